using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// Asks the key service to make and unwrap data keys, each time with the grant of the request that needs it (law 5).
/// Any answer but a key, or that it is destroyed, is <see cref="FaultKind.KeyUnavailable"/> or a budget that is used up; the next request asks anew. Thread-safe.
/// </summary>
sealed class KeyClient(HttpClient http) : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    public KeyClient(InternalEndpoint keys) : this(keys.CreateClient(Timeout)) { }

    /// <summary>A new data key for the grant's compartment: wrapped, for the store, and in the clear.</summary>
    /// <exception cref="AskAnewException">A key has been given out for this grant.</exception>
    /// <exception cref="FaultException"><see cref="Fault.Erased"/>: none is made for this person any more.</exception>
    public async Task<(byte[] Wrapped, byte[] Key)> CreateAsync(string grant, CancellationToken cancel)
    {
        var fields = await PostAsync("/v1/keys/create", grant, "{}"u8.ToArray(), cancel).ConfigureAwait(false);
        return fields is not { } made ? throw new FaultException(Fault.Erased)
            : made is { Wrapped: { } wrapped, Key: { Length: 32 } key } ? (wrapped, key) : throw Refused();
    }

    /// <summary>The data key in the clear; null: it is destroyed.</summary>
    /// <param name="wrapped">As it is stored. Empty where the store says that it is destroyed, of which it is the key service that knows.</param>
    /// <exception cref="TamperedException">It is not the compartment's key.</exception>
    /// <exception cref="AskAnewException">A key has been given out for this grant.</exception>
    public async Task<byte[]?> UnwrapAsync(string grant, byte[] wrapped, CancellationToken cancel)
    {
        var fields = await PostAsync("/v1/keys/unwrap", grant, JsonSerializer.SerializeToUtf8Bytes(new { wrapped }), cancel).ConfigureAwait(false);
        return fields is not { } opened ? null : opened.Key is { Length: 32 } key ? key : throw Refused();
    }

    /// <summary>Which versions of the wrapping key serve.</summary>
    public Task<ServingVersions> VersionsAsync(CancellationToken cancel) => AskAsync(() => new HttpRequestMessage(HttpMethod.Get, "/v1/keys/versions"), KeyJson.Default.ServingVersions, cancel);

    /// <summary>The same data keys, wrapped with the current wrapping key; null in the place of one that does not open, empty of one that is destroyed. Nothing of them comes into the clear here.</summary>
    public async Task<byte[]?[]> RewrapAsync(IReadOnlyList<StoredKey> stored, CancellationToken cancel)
    {
        var answer = await AskAsync(() => new HttpRequestMessage(HttpMethod.Post, "/v1/keys/rewrap")
        {
            Content = JsonContent.Create(new([.. stored.Select(key => new RewrapItem(key.Compartment.Encode(), key.Wrapped))]), KeyJson.Default.RewrapRequest),
        }, KeyJson.Default.RewrapAnswer, cancel).ConfigureAwait(false);
        return answer.Wrapped.Length == stored.Count ? answer.Wrapped : throw Refused();
    }

    public void Dispose() => http.Dispose();

    private async Task<T> AskAsync<T>(Func<HttpRequestMessage> make, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancel) where T : class
    {
        using var request = make();
        try
        {
            using var response = await http.SendAsync(request, cancel).ConfigureAwait(false);
            return response.IsSuccessStatusCode && await response.Content.ReadFromJsonAsync(type, cancel).ConfigureAwait(false) is { } answer ? answer : throw Refused();
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            throw Refused();
        }
    }

    /// <returns>Null: the key is destroyed.</returns>
    private async Task<(byte[]? Wrapped, byte[]? Key)?> PostAsync(string path, string grant, byte[] body, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new ByteArrayContent(body) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", grant);
        request.Content.Headers.ContentType = new("application/json");
        try
        {
            using var response = await http.SendAsync(request, cancel).ConfigureAwait(false);
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
                throw new FaultException(Fault.BudgetUsedUp(response.Headers.RetryAfter?.Delta));
            if (response.StatusCode == HttpStatusCode.Gone)
                return null;
            if (response.StatusCode == HttpStatusCode.UnprocessableEntity)
                throw new TamperedException("The wrapped key of a compartment is not its own, was changed, is missing though it was not destroyed, or its wrapping key does not serve.");
            if (response.StatusCode == HttpStatusCode.Conflict)
                throw new AskAnewException(null);
            if (!response.IsSuccessStatusCode)
                throw Refused();
            var answer = await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
            try
            {
                return Read(answer);
            }
            finally
            {
                CryptographicOperations.ZeroMemory(answer);
            }
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or FormatException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            throw Refused();
        }
    }

    // Not into a string: a string can't be zeroed.
    private static (byte[]? Wrapped, byte[]? Key) Read(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        byte[]? wrapped = null, key = null;
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
                continue;
            var isWrapped = reader.ValueTextEquals("wrapped"u8);
            var isKey = reader.ValueTextEquals("key"u8);
            reader.Read();
            if (isWrapped)
                wrapped = reader.GetBytesFromBase64();
            else if (isKey)
                key = reader.GetBytesFromBase64();
        }
        return (wrapped, key);
    }

    private static FaultException Refused() =>
        new(new Fault(FaultKind.KeyUnavailable, "The key service gave no key, so the data stays sealed. Nothing was read or stored; try again later."));
}

/// <summary>The gateway must ask again: it decides anew where the policy has moved on, and signs another grant where this one has opened its one key, here before the compartment was closed or at another repository.</summary>
/// <param name="policyVersion">The policy's in the snapshot that was read; null: the grant is spent.</param>
sealed class AskAnewException(long? policyVersion) : Exception
{
    public long? PolicyVersion { get; } = policyVersion;

    /// <summary>Name of a content that has arrived meanwhile and need not be sent again; null: none has.</summary>
    public string? Arrived { get; init; }
}

/// <summary>Versions of the wrapping key that serve.</summary>
/// <param name="Current">Data keys are wrapped with it.</param>
/// <param name="Serving">All that open.</param>
sealed record ServingVersions(uint Current, uint[] Serving);

sealed record RewrapItem(string Compartment, byte[] Wrapped);
sealed record RewrapRequest(RewrapItem[] Keys);
sealed record RewrapAnswer(byte[]?[] Wrapped);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ServingVersions)), JsonSerializable(typeof(RewrapRequest)), JsonSerializable(typeof(RewrapAnswer)), JsonSerializable(typeof(RotationProgress))]
sealed partial class KeyJson : JsonSerializerContext;
