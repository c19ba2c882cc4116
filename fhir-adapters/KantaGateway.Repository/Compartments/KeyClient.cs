using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
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

    /// <summary>Requests to unwrap at once, and keys in one of them: who comes while these are under way goes with the next, together with all that have come.</summary>
    private const int Lanes = 4, MostAtOnce = 64;

    private readonly SemaphoreSlim _lanes = new(Lanes, Lanes);
    private readonly ConcurrentQueue<Asked> _asked = new();

    public KeyClient(InternalEndpoint keys) : this(keys.CreateClient(Timeout)) { }

    /// <summary>A new data key for the grant's compartment: wrapped, for the store, and in the clear.</summary>
    /// <exception cref="AskAnewException">A key has been given out for this grant.</exception>
    /// <exception cref="RecordKnownException">A record of this person is stored, or was.</exception>
    /// <exception cref="FaultException"><see cref="Fault.Erased"/>: none is made for this person any more. <see cref="Fault.Nobody"/>: this is no number of anybody.</exception>
    public async Task<(byte[] Wrapped, GivenKey Key)> CreateAsync(string grant, CancellationToken cancel)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/v1/keys/create");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", grant);
        using var answer = await SendAsync(request, cancel).ConfigureAwait(false);
        if (answer.StatusCode == HttpStatusCode.NotFound)
            throw new FaultException(Fault.Nobody);
        var made = answer.IsSuccessStatusCode ? await ReadSecretsAsync(answer, KeyJson.Default.CreateAnswer, cancel).ConfigureAwait(false) : null;
        return GivenBy(new((int)answer.StatusCode, made is null ? null : new(made.Key, 0, null, made.Witness, made.Rotations), (long?)answer.Headers.RetryAfter?.Delta?.TotalSeconds)) is not { } given
            ? throw new FaultException(Fault.Erased) : made?.Wrapped is { } wrapped ? (wrapped, given) : throw Refused();
    }

    /// <summary>The data key in the clear, and how far the record was when somebody last told; null: it is destroyed.</summary>
    /// <param name="wrapped">As it is stored. Empty where the store says that it is destroyed, of which it is the key service that knows.</param>
    /// <exception cref="TamperedException">It is not the compartment's key.</exception>
    /// <exception cref="AskAnewException">A key has been given out for this grant.</exception>
    public async Task<GivenKey?> UnwrapAsync(string grant, byte[] wrapped, CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        patience.CancelAfter(Timeout);
        var asked = new Asked(grant, wrapped, new(TaskCreationOptions.RunContinuationsAsynchronously));
        _asked.Enqueue(asked);
        try
        {
            // There is one that waits here for each that is asked for, so that each is sent, if not by its own.
            await _lanes.WaitAsync(patience.Token).ConfigureAwait(false);
            _ = SendAskedAsync();
            return GivenBy(await asked.Answer.Task.WaitAsync(patience.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            if (!asked.Answer.TrySetCanceled(CancellationToken.None) && asked.Answer.Task is { IsCompletedSuccessfully: true, Result.Key.Key: { } late })
                CryptographicOperations.ZeroMemory(late);
            cancel.ThrowIfCancellationRequested();
            throw Refused();
        }
    }

    /// <summary>Sends what has been asked for meanwhile, on a lane that it leaves. Not cancelled with any of those who asked; the client's time is its end.</summary>
    private async Task SendAskedAsync()
    {
        var together = new List<Asked>();
        try
        {
            while (together.Count < MostAtOnce && _asked.TryDequeue(out var next))
                if (!next.Answer.Task.IsCompleted)
                    together.Add(next);
            if (together.Count == 0)
                return;
            using var answer = await SendAsync(new(HttpMethod.Post, "/v1/keys/unwrap")
            {
                Content = JsonContent.Create(new([.. together.Select(static one => new UnwrapItem(one.Grant, one.Wrapped))]), KeyJson.Default.UnwrapRequest),
            }, CancellationToken.None).ConfigureAwait(false);
            if (!answer.IsSuccessStatusCode || await ReadSecretsAsync(answer, KeyJson.Default.UnwrapAnswer, CancellationToken.None).ConfigureAwait(false) is not { Keys: { } keys } || keys.Length != together.Count)
                throw Refused();
            for (var i = 0; i < keys.Length; i++)
                if (!together[i].Answer.TrySetResult(keys[i]) && keys[i].Key?.Key is { } unwanted)
                    CryptographicOperations.ZeroMemory(unwanted);
        }
        catch (Exception failure)
        {
            foreach (var one in together)
                one.Answer.TrySetException(failure);
        }
        finally
        {
            _lanes.Release();
        }
    }

    /// <summary>Tells how far compartments are; it is kept when this returns.</summary>
    /// <param name="told">Each with a witness.</param>
    /// <returns>False: some were left out, for they were told too late.</returns>
    public async Task<bool> TellAsync(IReadOnlyList<ToldHead> told, CancellationToken cancel)
    {
        using var answer = await SendAsync(new(HttpMethod.Post, "/v1/heads")
        {
            Content = JsonContent.Create(new([.. told.Select(one => new TellItem(one.Compartment.Encode(), one.Head.Sequence, one.Head.DigestBytes(), one.Witness!))]), KeyJson.Default.TellRequest),
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
            ? new([.. answer.Heads.Select(static known => known is null ? default((CompartmentHead, int, int)?) : (HeadOf(known.Sequence, known.Digest), known.Place, known.Rotations))], answer.Count, answer.Places) : throw Refused();
    }

    /// <summary>Which versions of the wrapping key serve.</summary>
    public Task<ServingVersions> VersionsAsync(CancellationToken cancel) => AskAsync(new(HttpMethod.Get, "/v1/keys/versions"), KeyJson.Default.ServingVersions, cancel);

    /// <summary>Every wrapped data key in the store was given to be wrapped anew since the key service said that it lacks people: it does no more.</summary>
    /// <returns>False: it knows of records that it has not been told of.</returns>
    public async Task<bool> ToldOfEverybodyAsync(CancellationToken cancel)
    {
        using var answer = await SendAsync(new(HttpMethod.Post, "/v1/people/whole"), cancel).ConfigureAwait(false);
        return answer.IsSuccessStatusCode || (answer.StatusCode == HttpStatusCode.Conflict ? false : throw Refused());
    }

    /// <summary>The same data keys, wrapped with the current wrapping key; null in the place of one that does not open, empty of one that is destroyed. Nothing of them comes into the clear here.</summary>
    public async Task<byte[]?[]> RewrapAsync(IReadOnlyList<StoredKey> stored, CancellationToken cancel)
    {
        var answer = await AskAsync(new(HttpMethod.Post, "/v1/keys/rewrap")
        {
            Content = JsonContent.Create(new([.. stored.Select(key => new RewrapItem(key.Compartment.Encode(), key.Wrapped))]), KeyJson.Default.RewrapRequest),
        }, KeyJson.Default.RewrapAnswer, cancel).ConfigureAwait(false);
        return answer.Wrapped.Length == stored.Count ? answer.Wrapped : throw Refused();
    }

    /// <summary>The data key that there is and the one that is to take its place; or, of a rotation that is done, what came of it. Asked again by the same act it goes on with the same key.</summary>
    /// <param name="statement">The gateway's.</param>
    /// <param name="wrapped">As it is stored.</param>
    /// <exception cref="TamperedException">It is not the compartment's key.</exception>
    /// <exception cref="FaultException"><see cref="Fault.Erased"/>: it is destroyed.</exception>
    public async Task<RotationKeys> RotateAsync(string statement, byte[] wrapped, CancellationToken cancel)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rotations") { Content = JsonContent.Create(new(wrapped), KeyJson.Default.RotateRequest) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", statement);
        using var answer = await SendAsync(request, cancel).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode)
            throw GivenBy(new((int)answer.StatusCode, null, (long?)answer.Headers.RetryAfter?.Delta?.TotalSeconds)) is null ? new FaultException(Fault.Erased) : Refused();
        return await ReadSecretsAsync(answer, KeyJson.Default.RotateAnswer, cancel).ConfigureAwait(false) switch
        {
            { Done: { Before: { } before, After: { } after } done } => new([], [], [], "", default, 0, new(HeadOf(done.Sequence, before), HeadOf(done.Sequence, after))),
            { Key: { Length: 32 } key, NewKey: { Length: 32 } made, Wrapped: { } wrappedNew, Ticket: { } ticket } step => new(key, made, wrappedNew, ticket, HeadOf(step.Sequence, step.Digest), step.Rotations, null),
            _ => throw Refused(),
        };
    }

    /// <summary>Tells where a record ends that is sealed anew and about to be in the store; it is kept when this returns.</summary>
    public async Task SealedAsync(Pseudonym compartment, string ticket, RotatedHeads heads, CancellationToken cancel)
    {
        using var answer = await SendAsync(new(HttpMethod.Post, "/v1/rotations/sealed")
        {
            Content = JsonContent.Create(new(compartment.Encode(), ticket, heads.After.Sequence, heads.Before.DigestBytes(), heads.After.DigestBytes()), KeyJson.Default.SealedRequest),
        }, cancel).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode)
            throw Refused();
    }

    /// <summary>Tells that the store has the new data key: the old one opens nothing any more when this returns.</summary>
    /// <returns>A witness for who has the record open under the new key, and how often it got another one.</returns>
    public async Task<(string Witness, int Rotations)> EndRotationAsync(Pseudonym compartment, string ticket, CancellationToken cancel)
    {
        var answer = await AskAsync(new(HttpMethod.Post, "/v1/rotations/end") { Content = JsonContent.Create(new(compartment.Encode(), ticket), KeyJson.Default.EndRequest) }, KeyJson.Default.EndAnswer, cancel).ConfigureAwait(false);
        return answer.Witness is { } witness ? (witness, answer.Rotations) : throw Refused();
    }

    public void Dispose()
    {
        http.Dispose();
        _lanes.Dispose();
    }

    private async Task<T> AskAsync<T>(HttpRequestMessage message, JsonTypeInfo<T> type, CancellationToken cancel) where T : class
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

    /// <summary>What an answer holds, of which no other copy is left.</summary>
    private static async Task<T?> ReadSecretsAsync<T>(HttpResponseMessage answer, JsonTypeInfo<T> type, CancellationToken cancel) where T : class
    {
        byte[]? bytes = null;
        try
        {
            bytes = await answer.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
            return JsonSerializer.Deserialize(bytes, type);
        }
        catch (Exception e) when (e is HttpRequestException or JsonException)
        {
            throw Refused();
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <returns>Null: the key is destroyed.</returns>
    private static GivenKey? GivenBy(KeyAnswer answer) => answer switch
    {
        { Status: 200, Key: { Key: { Length: 32 } key, Witness: { } witness } made } => new(key, HeadOf(made.Sequence, made.Digest), witness, made.Rotations),
        { Status: 410 } => null,
        { Status: 429 } => throw new FaultException(Fault.BudgetUsedUp(answer.RetryAfter is { } seconds ? TimeSpan.FromSeconds(seconds) : null)),
        { Status: 422 or 404 } => throw new TamperedException("The wrapped key of a compartment is not its own, was changed, is missing though it was not destroyed, was rotated, or its wrapping key does not serve; or what stands behind it does not say whose it is, and the key service does not know either."),
        { Status: 409 } => throw new AskAnewException(null),
        { Status: 412 } => throw new RecordKnownException(),
        _ => throw Refused(),
    };

    /// <exception cref="FaultException">It is none.</exception>
    private static CompartmentHead HeadOf(long sequence, byte[]? digest) =>
        sequence == 0 ? default : digest is { Length: CompartmentHead.DigestSize } && sequence > 0 ? CompartmentHead.Read(sequence, digest) : throw Refused();

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
/// <param name="Rotations">How often the compartment got another data key.</param>
sealed record GivenKey(byte[] Key, CompartmentHead Known, string Witness, int Rotations);

/// <summary>What is to be told of a compartment.</summary>
/// <param name="Witness">Null: none that the key service takes. Who has another grant checked gets another.</param>
/// <param name="Rotations">How often the compartment had got another data key when it was so far: under the next one the same rows have another head.</param>
/// <param name="Opened">Whose past it is the end of; null: of a record that has just been begun.</param>
readonly record struct ToldHead(Pseudonym Compartment, CompartmentHead Head, int Rotations, string? Witness, OpenedCompartment? Opened);

/// <summary>What the key service knows of compartments.</summary>
/// <param name="Heads">In the order asked for; null where nobody has told. With each its place among all, from 0, and how often its data key was rotated.</param>
/// <param name="Count">Of how many it knows a head.</param>
/// <param name="Places">Below which all of them have their places; some may be empty.</param>
sealed record KnownHeads((CompartmentHead Head, int Place, int Rotations)?[] Heads, int Count, int Places);

/// <summary>Versions of the wrapping key that serve.</summary>
/// <param name="Current">Data keys are wrapped with it.</param>
/// <param name="Serving">All that open.</param>
/// <param name="Lacks">Whether the key service was brought back from a backup, and people whom the store knows may be unknown to it.</param>
sealed record ServingVersions(uint Current, uint[] Serving, bool Lacks);

/// <summary>Somebody who waits for a key.</summary>
sealed record Asked(string Grant, byte[] Wrapped, TaskCompletionSource<KeyAnswer> Answer);

sealed record CreateAnswer(byte[]? Wrapped, byte[]? Key, string? Witness, int Rotations);
sealed record UnwrapItem(string Grant, byte[] Wrapped);
sealed record UnwrapRequest(UnwrapItem[] Keys);
sealed record UnwrapAnswer(KeyAnswer[]? Keys);
sealed record KeyAnswer(int Status, AnsweredKey? Key, long? RetryAfter);
sealed record AnsweredKey(byte[]? Key, long Sequence, byte[]? Digest, string? Witness, int Rotations);
/// <summary>Where a record ended under the data key that it had, and where it ends under the one that it has got; the same row.</summary>
readonly record struct RotatedHeads(CompartmentHead Before, CompartmentHead After);

/// <summary>The keys of a rotation. Whoever has them zeroes them.</summary>
/// <param name="Old">In the clear.</param>
/// <param name="New">In the clear.</param>
/// <param name="Wrapped">The new one, for the store.</param>
/// <param name="Ticket">With it one may tell how the rotation goes on.</param>
/// <param name="Known">How far the compartment was when somebody last told.</param>
/// <param name="Rotations">How often the compartment had got another data key before.</param>
/// <param name="Done">Of one that is done, of which there are no keys; null: it is not.</param>
sealed record RotationKeys(byte[] Old, byte[] New, byte[] Wrapped, string Ticket, CompartmentHead Known, int Rotations, RotatedHeads? Done);

sealed record SealedRequest(string Compartment, string Ticket, long Sequence, byte[] Before, byte[] After);
sealed record EndRequest(string Compartment, string Ticket);
sealed record EndAnswer(string? Witness, int Rotations);
sealed record RotateRequest(byte[] Wrapped);
sealed record RotateAnswer(byte[]? Key, byte[]? NewKey, byte[]? Wrapped, string? Ticket, long Sequence, byte[]? Digest, int Rotations, RotatedItem? Done);
sealed record RotatedItem(long Sequence, byte[]? Before, byte[]? After);
sealed record RewrapItem(string Compartment, byte[] Wrapped);
sealed record RewrapRequest(RewrapItem[] Keys);
sealed record RewrapAnswer(byte[]?[] Wrapped);
sealed record TellItem(string Compartment, long Sequence, byte[] Digest, string Witness);
sealed record TellRequest(TellItem[] Heads);
sealed record KnownRequest(string[] Compartments);
sealed record KnownItem(long Sequence, byte[] Digest, int Place, int Rotations);
sealed record KnownAnswer(KnownItem?[]? Heads, int Count, int Places);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(CreateAnswer)), JsonSerializable(typeof(UnwrapRequest)), JsonSerializable(typeof(UnwrapAnswer)), JsonSerializable(typeof(ServingVersions)), JsonSerializable(typeof(RewrapRequest)), JsonSerializable(typeof(RewrapAnswer)), JsonSerializable(typeof(RotationProgress)), JsonSerializable(typeof(RotatedRecord))]
[JsonSerializable(typeof(RotateRequest)), JsonSerializable(typeof(RotateAnswer)), JsonSerializable(typeof(SealedRequest)), JsonSerializable(typeof(EndRequest)), JsonSerializable(typeof(EndAnswer)), JsonSerializable(typeof(TellRequest)), JsonSerializable(typeof(KnownRequest)), JsonSerializable(typeof(KnownAnswer))]
sealed partial class KeyJson : JsonSerializerContext;
