using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;

namespace KantaGateway.Gateway.Identification;

/// <summary>The gateway's calls to the key service. A service that is down is a <see cref="FaultKind.KeyUnavailable"/>, never a guess.</summary>
/// <param name="address">As <see cref="GatewayOptions.Keys"/>.</param>
/// <param name="signer">Signs what is asked for.</param>
public sealed class KeyServiceClient(string address, GrantSigner signer) : IPseudonyms
{
    private readonly HttpClient _client = InternalEndpoint.Parse(address).CreateClient(TimeSpan.FromSeconds(5));

    /// <summary>The pseudonym of a person: the number that the key service has given the code, or gives it now.</summary>
    public async ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        using var answer = await PostAsync("/v1/pseudonym", signer.SignServiceToken(), new { identityCode = code.Reveal() }, cancel);
        return Pseudonym.TryDecode(answer.RootElement.GetProperty("pseudonym").GetString(), out var pseudonym) && !pseudonym.IsDirectory
            ? pseudonym : throw Unavailable();
    }

    /// <summary>The pseudonym of a person who has one; null: nobody has asked for this code before, and nobody does by this.</summary>
    public async ValueTask<Pseudonym?> FindAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        using var answer = await SendAsync("/v1/pseudonym", signer.SignServiceToken(), new { identityCode = code.Reveal(), isKnown = true }, cancel);
        if (answer.StatusCode == HttpStatusCode.NotFound)
            return null;
        using var read = answer.StatusCode == HttpStatusCode.OK ? JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(cancel)) : throw Unavailable();
        return Pseudonym.TryDecode(read.RootElement.GetProperty("pseudonym").GetString(), out var pseudonym) && !pseudonym.IsDirectory ? pseudonym : throw Unavailable();
    }

    /// <summary>Has a key ceremony held that two operators have approved of.</summary>
    /// <returns>False: not now; the version is not the next one or the oldest, or it is too soon.</returns>
    /// <exception cref="FaultException">It may not be held to its end. Ask again: the key service holds it once.</exception>
    public async Task<bool> HoldAsync(KeyCeremony ceremony, CancellationToken cancel)
    {
        using var answer = await SendAsync("/v1/ceremonies", signer.Sign(ceremony), new { }, cancel);
        return answer.StatusCode switch
        {
            HttpStatusCode.OK => true,
            HttpStatusCode.Conflict => false,
            _ => throw Unavailable("The key service could not bring the ceremony to its end. Carry it out again."),
        };
    }

    /// <summary>How far it is that everybody is named with the newest pseudonym key: <c>version</c>, <c>all</c>, <c>left</c>, <c>percent</c>, <c>perSecond</c>, <c>secondsLeft</c>.</summary>
    /// <exception cref="FaultException">It cannot be known now.</exception>
    public async Task<JsonNode> PeopleAsync(CancellationToken cancel)
    {
        try
        {
            using var answer = await _client.GetAsync(new Uri("/v1/people", UriKind.Relative), cancel);
            if (answer.StatusCode == HttpStatusCode.OK && JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancel)) is { } progress && progress["left"] is not null)
                return progress;
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            // Said below.
        }
        throw Unavailable("The key service cannot say how many people are left. Nothing was done; try again.");
    }

    /// <summary>Has a person's data key destroyed, as two operators have approved of.</summary>
    /// <exception cref="FaultException">It may not be. Ask again: it is done once.</exception>
    public async Task EraseAsync(KeyErasure erasure, CancellationToken cancel)
    {
        using var answer = await SendAsync("/v1/erasures", signer.Sign(erasure), new { }, cancel);
        if (answer.StatusCode != HttpStatusCode.NoContent)
            throw Unavailable("The key service could not keep the erasure. Carry it out again.");
    }

    /// <summary>Has what is stored accepted as it was, as two operators have approved of.</summary>
    /// <returns>How many records it is forgotten of how far they were.</returns>
    /// <exception cref="FaultException">It may not be. Have it approved of anew.</exception>
    public async Task<int> RestoreAsync(StoreRestore restore, CancellationToken cancel)
    {
        using var answer = await SendAsync("/v1/restores", signer.Sign(restore), new { }, cancel);
        if (answer.StatusCode != HttpStatusCode.OK)
            throw Unavailable("The key service could not keep that the store is an older one. Propose it anew.");
        using var read = JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(cancel));
        return read.RootElement.GetProperty("forgotten").GetInt32();
    }

    /// <summary>How often what the key service knows of how far records are has changed.</summary>
    /// <exception cref="FaultException">It does not answer.</exception>
    public async Task<HeadChanges> HeadChangesAsync(CancellationToken cancel)
    {
        try
        {
            return await _client.GetFromJsonAsync<HeadChanges>(new Uri("/v1/heads/changes", UriKind.Relative), cancel) ?? throw Unavailable();
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            throw Unavailable();
        }
    }

    /// <summary>Which grants have opened a key of which no gateway has said what came of it, oldest first; and that this gateway is there, or that it ends.</summary>
    /// <param name="gateway">Name of this start of the gateway, 32 hexadecimal digits.</param>
    /// <param name="ends">It says nothing any more.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">It does not answer.</exception>
    public async Task<IReadOnlyList<UnpairedGrant>> UnpairedAsync(string gateway, bool ends, CancellationToken cancel)
    {
        var all = new List<UnpairedGrant>();
        while (true)
        {
            using var answer = await PostAsync("/v1/grants/unpaired", signer.SignServiceToken(), new { gateway, after = all.Count == 0 ? 0 : all[^1].Number, ends }, cancel);
            if (answer.RootElement.GetProperty("grants").Deserialize<UnpairedGrant[]>(JsonSerializerOptions.Web) is not { Length: > 0 } more)
                return all;
            all.AddRange(more);
        }
    }

    /// <summary>Says what came of grants that have opened a key.</summary>
    /// <param name="gateway">Name of this start of the gateway.</param>
    /// <param name="said">Digest and status, as the key service's contract has them.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <returns>Those of which it counts.</returns>
    /// <exception cref="FaultException">It may not be kept. Say it again.</exception>
    public async Task<IReadOnlySet<string>> PairAsync(string gateway, IEnumerable<(string Grant, int Status)> said, CancellationToken cancel)
    {
        var counts = new HashSet<string>();
        foreach (var some in said.Chunk(MostPaired))
        {
            using var answer = await PostAsync("/v1/grants/paired", signer.SignServiceToken(), new { gateway, grants = some.Select(static one => new { grant = one.Grant, status = one.Status }) }, cancel);
            counts.UnionWith(answer.RootElement.GetProperty("grants").EnumerateArray().Select(static one => one.GetString()!));
        }
        return counts;
    }

    private const int MostPaired = 2_000;

    /// <summary>Opens audit entries about the person that the grant names.</summary>
    /// <param name="grant">Signed grant with <see cref="GrantUse.AuditTrail"/>.</param>
    /// <param name="entries">Sealed.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <returns>Those that are about her, in the order of the entries.</returns>
    /// <exception cref="FaultException">None are opened.</exception>
    public async Task<IReadOnlyList<OpenedEntry>> OpenAuditAsync(string grant, IReadOnlyList<SealedEntry> entries, CancellationToken cancel)
    {
        using var response = await SendAsync("/v1/audit/open", grant, new AuditOpenRequest(entries), cancel);
        try
        {
            return response.StatusCode == HttpStatusCode.OK && await response.Content.ReadFromJsonAsync<AuditOpenAnswer>(cancel) is { Entries: { } opened } ? opened : throw Unavailable();
        }
        catch (JsonException)
        {
            throw Unavailable();
        }
    }

    /// <summary>Keys of seconds of the audit log, for a search that two operators have approved of: in the order of the encapsulated keys, null for what is none.</summary>
    /// <exception cref="FaultException">None are given.</exception>
    public async Task<IReadOnlyList<byte[]?>> AuditKeysAsync(AuditReading reading, IReadOnlyList<byte[]> encs, CancellationToken cancel)
    {
        using var answer = await PostAsync("/v1/audit/keys", signer.Sign(reading), new { encs }, cancel);
        byte[]?[] keys = [.. answer.RootElement.GetProperty("keys").EnumerateArray().Select(static one => one.GetProperty("key") is { ValueKind: JsonValueKind.String } key ? key.GetBytesFromBase64() : null)];
        return keys.Length == encs.Count ? keys : throw Unavailable();
    }

    /// <summary>The public key to which audit entries are sealed.</summary>
    public async Task<byte[]> AuditReaderKeyAsync(CancellationToken cancel)
    {
        using var answer = JsonDocument.Parse(await _client.GetByteArrayAsync(new Uri("/v1/audit/reader", UriKind.Relative), cancel));
        return answer.RootElement.GetProperty("publicKey").GetBytesFromBase64();
    }

    private async Task<JsonDocument> PostAsync(string path, string bearer, object body, CancellationToken cancel)
    {
        using var response = await SendAsync(path, bearer, body, cancel);
        try
        {
            return response.StatusCode == HttpStatusCode.OK ? await JsonDocument.ParseAsync(await response.Content.ReadAsStreamAsync(cancel), cancellationToken: cancel) : throw Unavailable();
        }
        catch (JsonException)
        {
            throw Unavailable();
        }
    }

    /// <summary>The whole answer.</summary>
    private async Task<HttpResponseMessage> SendAsync(string path, string bearer, object body, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        try
        {
            return await _client.SendAsync(request, cancel);
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            throw Unavailable();
        }
    }

    private static FaultException Unavailable(string diagnostics = "The key service cannot be reached. Nothing was disclosed or stored; try again.") =>
        new(new Fault(FaultKind.KeyUnavailable, diagnostics));
}

/// <summary>A grant that has opened a key.</summary>
/// <param name="Grant">Digest of its id, hexadecimal.</param>
/// <param name="Number">In the order in which they have opened one.</param>
/// <param name="Seconds">Since it opened one.</param>
/// <param name="Waited">Seconds in which a gateway could say what came of it.</param>
/// <param name="IsHeld">Another gateway has just said that it is at it.</param>
/// <param name="IsLost">It may be of a gateway that has stopped without a word.</param>
public sealed record UnpairedGrant(string Grant, long Number, double Seconds, double Waited, bool IsHeld, bool IsLost);

/// <summary>How often what the key service knows of how far records are has changed.</summary>
/// <param name="Start">Of that start of the key service alone.</param>
/// <param name="Before">Until that.</param>
/// <param name="Now">Until now; it only grows.</param>
public sealed record HeadChanges(Guid Start, long Before, long Now);
