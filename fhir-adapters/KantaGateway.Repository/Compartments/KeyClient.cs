using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
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
    /// <exception cref="RecordKnownException">A record of this person is stored, or was.</exception>
    /// <exception cref="FaultException"><see cref="Fault.Erased"/>: none is made for this person any more.</exception>
    public async Task<(byte[] Wrapped, GivenKey Key)> CreateAsync(string grant, CancellationToken cancel)
    {
        var fields = await PostAsync("/v1/keys/create", grant, "{}"u8.ToArray(), cancel).ConfigureAwait(false);
        return fields is not { } made ? throw new FaultException(Fault.Erased)
            : made is { Wrapped: { } wrapped, Key: { Length: 32 } key, Witness: { } witness } ? (wrapped, new(key, default, witness)) : throw Refused();
    }

    /// <summary>The data key in the clear, and how far the record was when somebody last told; null: it is destroyed.</summary>
    /// <param name="wrapped">As it is stored. Empty where the store says that it is destroyed, of which it is the key service that knows.</param>
    /// <exception cref="TamperedException">It is not the compartment's key.</exception>
    /// <exception cref="AskAnewException">A key has been given out for this grant.</exception>
    public async Task<GivenKey?> UnwrapAsync(string grant, byte[] wrapped, CancellationToken cancel)
    {
        var fields = await PostAsync("/v1/keys/unwrap", grant, JsonSerializer.SerializeToUtf8Bytes(new { wrapped }), cancel).ConfigureAwait(false);
        return fields is not { } opened ? null : opened is { Key: { Length: 32 } key, Witness: { } witness } ? new(key, HeadOf(opened.Sequence, opened.Digest), witness) : throw Refused();
    }

    /// <summary>Tells how far compartments are; it is kept when this returns.</summary>
    /// <param name="told">Each with a witness.</param>
    /// <returns>False: some were left out, for they were told too late.</returns>
    public async Task<bool> TellAsync(IReadOnlyList<ToldHead> told, CancellationToken cancel)
    {
        using var answer = await SendAsync(new(HttpMethod.Post, "/v1/heads")
        {
            Content = JsonContent.Create(new([.. told.Select(one => new TellItem(one.Compartment.Encode(), one.Head.Sequence, BytesOf(one.Head.Digest), one.Witness!))]), KeyJson.Default.TellRequest),
        }, cancel).ConfigureAwait(false);
        return answer.IsSuccessStatusCode || (answer.StatusCode == HttpStatusCode.Forbidden ? false : throw Refused());
    }

    /// <summary>How far compartments are, as far as the key service was told.</summary>
    public async Task<KnownHeads> KnownAsync(IReadOnlyList<Pseudonym> compartments, CancellationToken cancel)
    {
        var answer = await AskAsync(new(HttpMethod.Post, "/v1/heads/known")
        {
            Content = JsonContent.Create(new([.. compartments.Select(static compartment => compartment.Encode())]), KeyJson.Default.KnownRequest),
        }, KeyJson.Default.KnownAnswer, cancel).ConfigureAwait(false);
        return answer.Heads?.Length == compartments.Count
            ? new([.. answer.Heads.Select(static known => known is null ? default((CompartmentHead, int)?) : (HeadOf(known.Sequence, known.Digest), known.Place))], answer.Count, answer.Places) : throw Refused();
    }

    /// <summary>Which versions of the wrapping key serve.</summary>
    public Task<ServingVersions> VersionsAsync(CancellationToken cancel) => AskAsync(new(HttpMethod.Get, "/v1/keys/versions"), KeyJson.Default.ServingVersions, cancel);

    /// <summary>The same data keys, wrapped with the current wrapping key; null in the place of one that does not open, empty of one that is destroyed. Nothing of them comes into the clear here.</summary>
    public async Task<byte[]?[]> RewrapAsync(IReadOnlyList<StoredKey> stored, CancellationToken cancel)
    {
        var answer = await AskAsync(new(HttpMethod.Post, "/v1/keys/rewrap")
        {
            Content = JsonContent.Create(new([.. stored.Select(key => new RewrapItem(key.Compartment.Encode(), key.Wrapped))]), KeyJson.Default.RewrapRequest),
        }, KeyJson.Default.RewrapAnswer, cancel).ConfigureAwait(false);
        return answer.Wrapped.Length == stored.Count ? answer.Wrapped : throw Refused();
    }

    public void Dispose() => http.Dispose();

    private async Task<T> AskAsync<T>(HttpRequestMessage message, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancel) where T : class
    {
        using var response = await SendAsync(message, cancel).ConfigureAwait(false);
        try
        {
            return response.IsSuccessStatusCode && await response.Content.ReadFromJsonAsync(type, cancel).ConfigureAwait(false) is { } answer ? answer : throw Refused();
        }
        catch (JsonException)
        {
            throw Refused();
        }
    }

    /// <param name="message">Disposed.</param>
    /// <returns>The whole answer.</returns>
    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage message, CancellationToken cancel)
    {
        using var request = message;
        try
        {
            return await http.SendAsync(request, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            throw Refused();
        }
    }

    /// <returns>Null: the key is destroyed.</returns>
    private async Task<Fields?> PostAsync(string path, string grant, byte[] body, CancellationToken cancel)
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
            if (response.StatusCode == HttpStatusCode.PreconditionFailed)
                throw new RecordKnownException();
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
    private static Fields Read(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        var fields = new Fields();
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
                continue;
            var name = reader.ValueTextEquals("wrapped"u8) ? 'w' : reader.ValueTextEquals("key"u8) ? 'k' : reader.ValueTextEquals("digest"u8) ? 'd'
                : reader.ValueTextEquals("witness"u8) ? 't' : reader.ValueTextEquals("sequence"u8) ? 's' : ' ';
            reader.Read();
            if (name == 's' && reader.TokenType == JsonTokenType.Number)
                fields.Sequence = reader.GetInt64();
            else if (reader.TokenType == JsonTokenType.String)
                switch (name)
                {
                    case 'w':
                        fields.Wrapped = reader.GetBytesFromBase64();
                        break;
                    case 'k':
                        fields.Key = reader.GetBytesFromBase64();
                        break;
                    case 'd':
                        fields.Digest = reader.GetBytesFromBase64();
                        break;
                    case 't':
                        fields.Witness = reader.GetString();
                        break;
                }
        }
        return fields;
    }

    private struct Fields
    {
        public byte[]? Wrapped, Key, Digest;
        public string? Witness;
        public long Sequence;
    }

    /// <exception cref="FaultException">It is none.</exception>
    private static CompartmentHead HeadOf(long sequence, byte[]? digest) =>
        sequence == 0 ? default : digest is { Length: 16 } && sequence > 0 ? new(sequence, BinaryPrimitives.ReadUInt128BigEndian(digest)) : throw Refused();

    private static byte[] BytesOf(UInt128 digest)
    {
        var bytes = new byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, digest);
        return bytes;
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

/// <summary>No key is made for a person of whom a record is stored, or was: look for it.</summary>
sealed class RecordKnownException : Exception;

/// <summary>A data key as it is given out.</summary>
/// <param name="Key">In the clear; whoever has it zeroes it.</param>
/// <param name="Known">How far the compartment was when somebody last told; none: nobody has.</param>
/// <param name="Witness">With it one may tell how far the compartment is.</param>
sealed record GivenKey(byte[] Key, CompartmentHead Known, string Witness);

/// <summary>What is to be told of a compartment.</summary>
/// <param name="Witness">Null: none that the key service takes. Who has another grant checked gets another.</param>
/// <param name="Opened">Whose past it is the end of; null: of a record that has just been begun.</param>
readonly record struct ToldHead(Pseudonym Compartment, CompartmentHead Head, string? Witness, OpenedCompartment? Opened);

/// <summary>What the key service knows of compartments.</summary>
/// <param name="Heads">In the order asked for; null where nobody has told. With each its place among all, from 0.</param>
/// <param name="Count">Of how many it knows a head.</param>
/// <param name="Places">Below which all of them have their places; some may be empty.</param>
sealed record KnownHeads((CompartmentHead Head, int Place)?[] Heads, int Count, int Places);

/// <summary>Versions of the wrapping key that serve.</summary>
/// <param name="Current">Data keys are wrapped with it.</param>
/// <param name="Serving">All that open.</param>
sealed record ServingVersions(uint Current, uint[] Serving);

sealed record RewrapItem(string Compartment, byte[] Wrapped);
sealed record RewrapRequest(RewrapItem[] Keys);
sealed record RewrapAnswer(byte[]?[] Wrapped);
sealed record TellItem(string Compartment, long Sequence, byte[] Digest, string Witness);
sealed record TellRequest(TellItem[] Heads);
sealed record KnownRequest(string[] Compartments);
sealed record KnownItem(long Sequence, byte[] Digest, int Place);
sealed record KnownAnswer(KnownItem?[]? Heads, int Count, int Places);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ServingVersions)), JsonSerializable(typeof(RewrapRequest)), JsonSerializable(typeof(RewrapAnswer)), JsonSerializable(typeof(RotationProgress))]
[JsonSerializable(typeof(TellRequest)), JsonSerializable(typeof(KnownRequest)), JsonSerializable(typeof(KnownAnswer))]
sealed partial class KeyJson : JsonSerializerContext;
