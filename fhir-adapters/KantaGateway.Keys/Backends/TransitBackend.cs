using System.Buffers.Text;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys.Backends;

/// <summary>Keys in a Transit service (developer.hashicorp.com/vault/api-docs/secret/transit). A ciphertext of it is <c>vault:v[version]:[base64]</c>.</summary>
sealed class TransitBackend : IKeyBackend
{
    private const string Prefix = "vault:v";

    private readonly TransitOptions _options;
    private readonly HttpClient _http;

    public TransitBackend(TransitOptions options, HttpClient http)
    {
        (_options, _http) = (options, http);
        _http.BaseAddress = new Uri(options.Address.TrimEnd('/') + "/");
        _http.Timeout = TimeSpan.FromSeconds(options.TimeoutSeconds);
        _http.MaxResponseContentBufferSize = 64 * 1024;
    }

    public async ValueTask<IReadOnlyList<uint>> VersionsAsync(KeyKind kind, CancellationToken cancel) =>
        (await SendAsync(HttpMethod.Get, $"keys/{NameOf(kind)}", null, TransitJson.Default.KeyAnswer, cancel).ConfigureAwait(false))?.Data is { LatestVersion: > 0 and var latest, MinDecryptionVersion: > 0 and var first }
            ? [.. Enumerable.Range(first, latest - first + 1).Select(static version => (uint)version)]
            : throw new KeyBackendException("The Transit service does not say which versions of a key it has.");

    public async ValueTask MakeAsync(KeyKind kind, uint version, CancellationToken cancel)
    {
        if ((await VersionsAsync(kind, cancel).ConfigureAwait(false)).Contains(version))
            return;
        await SendAsync(HttpMethod.Post, $"keys/{NameOf(kind)}/rotate", new(), TransitJson.Default.KeyAnswer, cancel).ConfigureAwait(false);
        if (!(await VersionsAsync(kind, cancel).ConfigureAwait(false)).Contains(version))
            throw new KeyBackendException("The Transit service made another version of the key.");
    }

    public async ValueTask DestroyAsync(KeyKind kind, uint version, CancellationToken cancel)
    {
        // The service trims what neither may seal nor open any more (api-docs/secret/transit, "Trim key").
        var first = version + 1;
        await SendAsync(HttpMethod.Post, $"keys/{NameOf(kind)}/config", new() { MinDecryptionVersion = first, MinEncryptionVersion = first }, TransitJson.Default.KeyAnswer, cancel).ConfigureAwait(false);
        await SendAsync(HttpMethod.Post, $"keys/{NameOf(kind)}/trim", new() { MinAvailableVersion = first }, TransitJson.Default.KeyAnswer, cancel).ConfigureAwait(false);
        if ((await VersionsAsync(kind, cancel).ConfigureAwait(false)).Any(there => there < first))
            throw new KeyBackendException("The Transit service still has a version that was to be destroyed.");
    }

    public async ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        var answer = await SendAsync(HttpMethod.Post, $"encrypt/{_options.WrappingKey}",
            new() { Plaintext = key.ToArray(), AssociatedData = associated.ToArray(), KeyVersion = version }, TransitJson.Default.EncryptAnswer, cancel).ConfigureAwait(false);
        return Read(answer?.Data?.Ciphertext) is (var its, { Length: IKeyBackend.SealedLength } sealedKey) && its == version
            ? sealedKey : throw new KeyBackendException("The Transit service sealed with another version, or in another form.");
    }

    public async ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        var ciphertext = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{version}:{Convert.ToBase64String(sealedKey.Span)}");
        var answer = await SendAsync(HttpMethod.Post, $"decrypt/{_options.WrappingKey}",
            new() { Ciphertext = ciphertext, AssociatedData = associated.ToArray() }, TransitJson.Default.DecryptAnswer, cancel, canBeRefused: true).ConfigureAwait(false);
        return answer is null ? null : answer.Data?.Plaintext is { Length: DataKeys.KeyLength } key ? key : throw new KeyBackendException("The Transit service opened something else.");
    }

    public ValueTask<byte[]> MacAsync(uint version, ReadOnlyMemory<byte> text, CancellationToken cancel) => MacAsync(_options.PseudonymKey, version, text.ToArray(), cancel);

    // The version that the mount began with: what is derived from it can never change.
    public ValueTask<byte[]> DeriveAsync(string label, CancellationToken cancel) => MacAsync(_options.CustodyKey, 1, Encoding.ASCII.GetBytes(label), cancel);

    private async ValueTask<byte[]> MacAsync(string key, uint version, byte[] text, CancellationToken cancel)
    {
        var answer = await SendAsync(HttpMethod.Post, $"hmac/{key}/sha2-256", new() { Input = text, KeyVersion = version }, TransitJson.Default.MacAnswer, cancel).ConfigureAwait(false);
        return Read(answer?.Data?.Hmac) is (var its, { Length: 32 } mac) && its == version ? mac : throw new KeyBackendException("The Transit service gave no HMAC of this version.");
    }

    private string NameOf(KeyKind kind) => kind == KeyKind.Pseudonym ? _options.PseudonymKey : _options.WrappingKey;

    public void Dispose() => _http.Dispose();

    private static (uint Version, byte[] Bytes)? Read(string? text)
    {
        if (text is null || !text.StartsWith(Prefix, StringComparison.Ordinal) || text.IndexOf(':', Prefix.Length) is not (> 0 and var colon)
            || !uint.TryParse(text.AsSpan(Prefix.Length, colon - Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var version) || !Base64.IsValid(text.AsSpan(colon + 1)))
            return null;
        return (version, Convert.FromBase64String(text[(colon + 1)..]));
    }

    /// <param name="canBeRefused">Whether 400 is an answer: what was to be opened does not open.</param>
    private async Task<T?> SendAsync<T>(HttpMethod method, string path, TransitRequest? body, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancel, bool canBeRefused = false)
        where T : class
    {
        try
        {
            using var request = new HttpRequestMessage(method, $"v1/{_options.Mount}/{path}");
            request.Headers.Add("X-Vault-Token", (await File.ReadAllTextAsync(_options.TokenFile, cancel).ConfigureAwait(false)).Trim());
            request.Headers.Add("X-Vault-Request", "true");
            if (body is not null)
                request.Content = JsonContent.Create(body, TransitJson.Default.TransitRequest);
            using var response = await _http.SendAsync(request, cancel).ConfigureAwait(false);
            if (canBeRefused && response.StatusCode == HttpStatusCode.BadRequest)
                return null;
            if (response.StatusCode == HttpStatusCode.NoContent)
                return null;
            if (response.StatusCode != HttpStatusCode.OK)
                throw new KeyBackendException($"The Transit service answers {(int)response.StatusCode}.");
            return await response.Content.ReadFromJsonAsync(type, cancel).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or JsonException or UnauthorizedAccessException || (failure is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            // What it could not read may be a key.
            throw new KeyBackendException($"The Transit service does not answer ({failure.GetType().Name}).");
        }
    }
}

sealed record TransitRequest
{
    public byte[]? Plaintext { get; init; }
    public string? Ciphertext { get; init; }
    public byte[]? AssociatedData { get; init; }
    public byte[]? Input { get; init; }
    public uint? KeyVersion { get; init; }
    public uint? MinDecryptionVersion { get; init; }
    public uint? MinEncryptionVersion { get; init; }
    public uint? MinAvailableVersion { get; init; }
}

sealed record TransitAnswer<T>(T? Data);
sealed record EncryptData(string? Ciphertext);
sealed record DecryptData(byte[]? Plaintext);
sealed record MacData(string? Hmac);
sealed record KeyData(int LatestVersion, int MinDecryptionVersion);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(TransitRequest))]
[JsonSerializable(typeof(TransitAnswer<EncryptData>), TypeInfoPropertyName = "EncryptAnswer"), JsonSerializable(typeof(TransitAnswer<DecryptData>), TypeInfoPropertyName = "DecryptAnswer")]
[JsonSerializable(typeof(TransitAnswer<MacData>), TypeInfoPropertyName = "MacAnswer"), JsonSerializable(typeof(TransitAnswer<KeyData>), TypeInfoPropertyName = "KeyAnswer")]
sealed partial class TransitJson : JsonSerializerContext;
