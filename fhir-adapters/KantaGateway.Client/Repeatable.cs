using System.Text.Json;

namespace KantaGateway.Client;

/// <summary>Which requests may be sent again when nobody knows whether they were carried out.</summary>
/// <remarks>
/// Reads and searches; changes and deletions, which name what they change and, by <c>If-Match</c>, its version (the gateway asks for it); creations under <c>If-None-Exist</c>; and transactions of nothing else. A creation
/// without a condition is none: it would be stored twice.
/// </remarks>
public static class Repeatable
{
    /// <summary>Whether the request may be sent again. Pure but for reading the body of a Bundle.</summary>
    public static async ValueTask<bool> IsAsync(HttpRequestMessage request, CancellationToken cancel = default)
    {
        if (request.Method == HttpMethod.Get || request.Method == HttpMethod.Head || request.Method == HttpMethod.Put || request.Method == HttpMethod.Delete)
            return true;
        if (request.Headers.Contains("If-None-Exist") || request.Method == HttpMethod.Patch && request.Headers.Contains("If-Match"))
            return true;
        var path = request.RequestUri!.AbsolutePath.TrimEnd('/');
        if (request.Method == HttpMethod.Post && path.EndsWith("/_search", StringComparison.Ordinal))
            return true;
        if (request.Method != HttpMethod.Post || !path.EndsWith("/fhir", StringComparison.Ordinal) || request.Content is not { } content)
            return false;
        return IsBundle(await content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false));
    }

    /// <summary>Whether every entry of a transaction or batch is repeatable. False for what is no Bundle in JSON.</summary>
    public static bool IsBundle(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.TryGetProperty("entry", out var entries) && entries.EnumerateArray().All(static entry =>
                entry.TryGetProperty("request", out var request) && request.TryGetProperty("method", out var method) && (method.GetString() switch
                {
                    "GET" or "HEAD" or "PUT" or "DELETE" => true,
                    "POST" => request.TryGetProperty("ifNoneExist", out _),
                    "PATCH" => request.TryGetProperty("ifMatch", out _),
                    _ => false,
                }));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false; // no Bundle in JSON: what nobody understands is not repeated
        }
    }
}
