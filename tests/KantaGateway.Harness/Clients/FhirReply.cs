using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace KantaGateway.Harness.Clients;

/// <summary>One issue of an OperationOutcome.</summary>
/// <param name="Expression">First FHIRPath expression, null when there is none.</param>
public sealed record ReplyIssue(string Severity, string Code, string? Diagnostics, string? Expression)
{
    public override string ToString() =>
        Expression is null ? $"{Diagnostics ?? Code}" : $"{Diagnostics ?? Code} [{Expression}]";
}

/// <summary>A whole answer of the gateway.</summary>
/// <param name="Status">HTTP status, 100-599.</param>
/// <param name="Headers">Response and content headers, names case-insensitive.</param>
public sealed record FhirReply(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    public bool IsSuccess => Status is >= 200 and < 300;

    public string? ETag => Headers.GetValueOrDefault("ETag");

    public string Text => Encoding.UTF8.GetString(Body);

    /// <summary>The body as JSON.</summary>
    /// <exception cref="JsonException">It is none; the message carries the status, never the body.</exception>
    public JsonElement Json
    {
        get
        {
            try
            {
                return JsonDocument.Parse(Body).RootElement;
            }
            catch (JsonException e)
            {
                throw new JsonException($"The answer {Status} ({Body.Length} bytes) is not JSON.", e);
            }
        }
    }

    /// <summary>The version id of a weak ETag <c>W/"id"</c>.</summary>
    public string? VersionId => ETag is { } tag ? tag.Replace("W/", "", StringComparison.Ordinal).Trim('"') : null;

    /// <summary>Type and id of <c>Location: .../Type/id/_history/version</c>.</summary>
    public (string Type, string Id)? Stored => Headers.GetValueOrDefault("Location") is { } location ? ParseLocation(location) : null;

    /// <summary>Issues of an OperationOutcome body, empty for any other body.</summary>
    public IReadOnlyList<ReplyIssue> Issues
    {
        get
        {
            if (Body.Length == 0)
                return [];
            try
            {
                return IssuesOf(Json);
            }
            catch (JsonException)
            {
                return []; // not JSON, so not an OperationOutcome
            }
        }
    }

    /// <summary>Status and what the answer says about it, for messages.</summary>
    public override string ToString()
    {
        var text = string.Join("; ", Issues.Take(3).Select(i => i.ToString()));
        return text.Length == 0
            ? string.Create(CultureInfo.InvariantCulture, $"{Status} with {Body.Length} bytes")
            : $"{Status}: {text}";
    }

    /// <summary>Issues of an OperationOutcome element, empty for anything else.</summary>
    public static IReadOnlyList<ReplyIssue> IssuesOf(JsonElement outcome)
    {
        if (outcome.ValueKind != JsonValueKind.Object || !outcome.TryGetProperty("issue", out var issues))
            return [];
        return
        [
            .. issues.EnumerateArray().Select(i => new ReplyIssue(
                Member(i, "severity") ?? "error", Member(i, "code") ?? "unknown", Member(i, "diagnostics"),
                i.TryGetProperty("expression", out var e) && e.GetArrayLength() > 0 ? e[0].GetString() : null)),
        ];
    }

    /// <summary>Type and id from a location, absolute or relative, versioned or not.</summary>
    public static (string Type, string Id)? ParseLocation(string location)
    {
        var parts = location.Split('/', StringSplitOptions.RemoveEmptyEntries);
        var history = Array.IndexOf(parts, "_history");
        var end = history < 0 ? parts.Length : history;
        return end >= 2 ? (parts[end - 2], parts[end - 1]) : null;
    }

    internal static async Task<FhirReply> ReadAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        Collect(response.Headers);
        Collect(response.Content.Headers);
        return new((int)response.StatusCode, headers, await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false));

        void Collect(HttpHeaders source)
        {
            foreach (var (name, values) in source.NonValidated)
                headers[name] = string.Join(", ", values);
        }
    }

    private static string? Member(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
