using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// The public keys of clients: those of the registration, or those at the <c>jwks_uri</c> that was registered (RFC 7591 §2), so that a client changes
/// its keys without anybody's help.
/// </summary>
/// <remarks>
/// A set is fetched anew after five minutes, and for a key that it does not name at most once a minute; while its address is silent the last one
/// is used for an hour. Thread-safe.
/// </remarks>
internal sealed partial class ClientKeys(HttpClient http, TimeProvider time, ILogger<ClientKeys> logger)
{
    private const int Longest = 64 * 1024;

    private static readonly TimeSpan Fresh = TimeSpan.FromMinutes(5), Longer = TimeSpan.FromHours(1), Between = TimeSpan.FromMinutes(1), Patience = TimeSpan.FromSeconds(5);
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false, MaxDepth = 8 };

    private readonly ConcurrentDictionary<(string, ClientProfile), Kept> _sets = new();

    private sealed class Kept
    {
        public readonly SemaphoreSlim Fetching = new(1);
        public IReadOnlyList<JsonWebKey>? Keys;
        public DateTimeOffset FetchedAt = DateTimeOffset.MinValue, TriedAt = DateTimeOffset.MinValue;
    }

    /// <param name="kid">The key that is looked for; a set without it may be an old one.</param>
    /// <returns>Null when the client's address gives no keys: nobody can be authenticated by them.</returns>
    public async ValueTask<IReadOnlyList<JsonWebKey>?> OfAsync(RegisteredClient client, string kid)
    {
        if (client.Registration.JwksUri is not { } address)
            return client.Keys;
        var kept = _sets.GetOrAdd((address, client.Registration.Profile), static _ => new());
        await kept.Fetching.WaitAsync().ConfigureAwait(false);
        try
        {
            var now = time.GetUtcNow();
            var isOld = now - kept.FetchedAt >= Fresh || kept.Keys?.Any(key => key.Kid == kid) != true;
            if (isOld && now - kept.TriedAt >= Between)
            {
                kept.TriedAt = now;
                if (await FetchAsync(client, address).ConfigureAwait(false) is { } keys)
                    (kept.Keys, kept.FetchedAt) = (keys, now);
            }
            return now - kept.FetchedAt < Longer ? kept.Keys : null;
        }
        finally
        {
            kept.Fetching.Release();
        }
    }

    private async Task<IReadOnlyList<JsonWebKey>?> FetchAsync(RegisteredClient client, string address)
    {
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            using var response = await http.GetAsync(address, HttpCompletionOption.ResponseHeadersRead, patience.Token).ConfigureAwait(false);
            if (response.StatusCode != HttpStatusCode.OK)
                throw new InvalidDataException($"the status is {(int)response.StatusCode}");
            await response.Content.LoadIntoBufferAsync(Longest, patience.Token).ConfigureAwait(false);
            using var set = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(patience.Token).ConfigureAwait(false), Strict);
            if (set.RootElement.ValueKind != JsonValueKind.Object || !set.RootElement.TryGetProperty("keys", out var members) || members.ValueKind != JsonValueKind.Array)
                throw new InvalidDataException("it is not a JWK set");
            var keys = new List<JsonWebKey>();
            foreach (var member in members.EnumerateArray())
            {
                // Keys for other uses may stand beside; one that is not public is known to who knows whom.
                var problem = RegisteredKey.Read(member, client.Registration.Algorithms, out var key);
                if (problem is null)
                    keys.Add(key!);
                else if (key is { HasPrivateKey: true })
                    throw new InvalidDataException("it holds a private key");
            }
            return keys;
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or OperationCanceledException or JsonException or InvalidDataException or InvalidOperationException)
        {
            LogUnusable(client.ClientId, failure is InvalidDataException ? failure.Message : "there is no readable answer in time, or it is too long");
            return null;
        }
    }

    [LoggerMessage(1104, LogLevel.Warning, "The key set at the jwks_uri of the client {Client} cannot be used, because {Problem}.")]
    private partial void LogUnusable(string client, string problem);
}

/// <summary>What a client's public key has to be.</summary>
internal static class RegisteredKey
{
    /// <returns>What is wrong with it, or null.</returns>
    /// <param name="algorithms">Of which the key must fit one.</param>
    public static string? Read(JsonElement json, IReadOnlyList<string> algorithms, out JsonWebKey? key)
    {
        key = null;
        try
        {
            key = new JsonWebKey(json.GetRawText());
            if (string.IsNullOrEmpty(key.Kid))
                return "a key in jwks has no kid";
            if (key.HasPrivateKey)
                return "jwks holds a private key; register public keys only";
            var given = key;
            return algorithms.Any(algorithm => Fits(given, algorithm)) ? null
                : $"a key in jwks fits none of {string.Join(", ", algorithms)}: EC P-256 for ES256, EC P-384 for ES384, RSA of 2048 bits or more for PS256 and RS384";
        }
        catch (Exception malformed) when (malformed is ArgumentException or FormatException or JsonException or InvalidOperationException)
        {
            return "a key in jwks is not a JWK (RFC 7517)";
        }
    }

    /// <summary>Whether the key verifies signatures of the algorithm, as far as it says.</summary>
    public static bool Fits(JsonWebKey key, string algorithm) =>
        (string.IsNullOrEmpty(key.Alg) || key.Alg == algorithm) && (string.IsNullOrEmpty(key.Use) || key.Use == "sig")
        && algorithm switch
        {
            "ES256" => key is { Kty: "EC", Crv: "P-256" },
            "ES384" => key is { Kty: "EC", Crv: "P-384" },
            "PS256" or "RS384" => key is { Kty: "RSA", KeySize: >= 2048 },
            _ => false,
        };
}
