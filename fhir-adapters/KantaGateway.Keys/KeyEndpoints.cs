using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Ceremonies;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Keys;

/// <summary>The key service's contract: every answer that holds a secret follows a check of who asks and for whom.</summary>
static class KeyEndpoints
{
    public static void Map(WebApplication app)
    {
        app.MapPost("/v1/pseudonym", PseudonymAsync);
        app.MapPost("/v1/keys/create", CreateAsync);
        app.MapPost("/v1/keys/unwrap", UnwrapAsync);
        app.MapGet("/v1/keys/versions", (WrappingVersions versions, KnownPeople people) => Results.Json(new VersionsAnswer(versions.Current, versions.All, people.IsLacking), Wire.Default.VersionsAnswer));
        app.MapPost("/v1/keys/rewrap", RewrapAsync);
        app.MapGet("/v1/people", (KnownPeople people, PseudonymVersions versions) =>
        {
            var (all, left, perSecond) = people.Progress;
            return Results.Json(new PeopleAnswer(versions.Current, all, left, perSecond), Wire.Default.PeopleAnswer);
        });
        app.MapPost("/v1/people/whole", HaveEverybodyAsync);
        app.MapPost("/v1/heads", TellAsync);
        app.MapPost("/v1/heads/known", KnownAsync);
        app.MapGet("/v1/heads/changes", (KeyCustody custody) => Results.Json(custody.HeadChanges, Wire.Default.ChangesAnswer));
        app.MapPost("/v1/ceremonies", HoldAsync);
        app.MapPost("/v1/erasures", EraseAsync);
        app.MapPost("/v1/restores", RestoreAsync);
        app.MapPost("/v1/grants/unpaired", UnpairedAsync);
        app.MapPost("/v1/grants/paired", PairAsync);
        RotationEndpoints.Map(app);
        app.MapPost("/v1/audit/open", OpenAsync);
        app.MapPost("/v1/audit/keys", AuditKeysAsync);
        app.MapGet("/v1/audit/reader", (AuditOpener opener) => Results.Json(new ReaderAnswer(opener.PublicKey), Wire.Default.ReaderAnswer));
        app.MapLive();
    }

    private static async Task<IResult> PseudonymAsync(HttpContext http, GrantVerifier verifier, KnownPeople people, KeyMetrics metrics)
    {
        if (!await verifier.IsServiceTokenAsync(Bearer(http)).ConfigureAwait(false))
            return Refuse(metrics, "pseudonym", 401, "A service token of the gateway is required.");
        var request = await ReadAsync(http, Wire.Default.PseudonymRequest).ConfigureAwait(false);
        if (!PersonalIdentityCode.TryParse(request?.IdentityCode, out var code))
            return Refuse(metrics, "pseudonym", 400, "identityCode is not a valid personal identity code.");
        try
        {
            var pseudonym = request.IsKnown ? await people.FindAsync(code, http.RequestAborted).ConfigureAwait(false) : await people.OfAsync(code, http.RequestAborted).ConfigureAwait(false);
            if (pseudonym is not { } number)
                return Refuse(metrics, "pseudonym", 404, "Nobody has asked for this identity code before.");
            metrics.Served("pseudonym");
            return Results.Json(new PseudonymAnswer(number.Encode()), Wire.Default.PseudonymAnswer);
        }
        catch (Exception failure) when (failure is KeyBackendException or IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "pseudonym", 503, Silent);
        }
    }

    private const int MostRewrapped = 1_000, MostUnpaired = 2_000;

    /// <summary>For the gateways alone: which grants have opened a key, and how long ago. Whose key it was nobody learns. Who asks is there, until it says that it ends.</summary>
    private static async Task<IResult> UnpairedAsync(HttpContext http, GrantVerifier verifier, KeyCustody custody, KeyMetrics metrics)
    {
        if (!await verifier.IsServiceTokenAsync(Bearer(http)).ConfigureAwait(false))
            return Refuse(metrics, "unpaired", 401, "A service token of the gateway is required.");
        if (await ReadAsync(http, Wire.Default.UnpairedRequest).ConfigureAwait(false) is not { After: >= 0 } request || !Digest.TryParse(request.Gateway, out var gateway))
            return Refuse(metrics, "unpaired", 400, "The body is {\"gateway\": 32 hexadecimal digits, \"after\", \"ends\"}.");
        try
        {
            await custody.HearAsync(gateway, request.Ends).ConfigureAwait(false);
            metrics.Served("unpaired");
            return Results.Json(new UnpairedAnswer(custody.Unpaired(gateway, request.After, MostUnpaired)), Wire.Default.UnpairedAnswer);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "unpaired", 503, "It could not be kept which gateways are there.");
        }
    }

    private static async Task<IResult> PairAsync(HttpContext http, GrantVerifier verifier, KeyCustody custody, KeyMetrics metrics)
    {
        if (!await verifier.IsServiceTokenAsync(Bearer(http)).ConfigureAwait(false))
            return Refuse(metrics, "paired", 401, "A service token of the gateway is required.");
        var said = new List<(Digest Grant, int Status)>();
        if (await ReadAsync(http, Wire.Default.PairRequest).ConfigureAwait(false) is not { Grants: { Count: > 0 and <= MostUnpaired } items } request || !Digest.TryParse(request.Gateway, out var gateway)
            || !items.All(item => item is { Status: Pairing.Recorded or Pairing.Held or Pairing.Reported or Pairing.Lost } && Digest.TryParse(item.Grant, out var grant) && Add(grant, item.Status)))
            return Refuse(metrics, "paired", 400, $"The body is {{\"gateway\", \"grants\": [{{\"grant\": 32 hexadecimal digits, \"status\"}}]}}, 1 to {MostUnpaired} of them.");
        try
        {
            var counts = await custody.PairAsync(gateway, said).ConfigureAwait(false);
            metrics.Served("paired");
            return Results.Json(new PairAnswer([.. counts.Select(static one => one.ToString())]), Wire.Default.PairAnswer);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "paired", 503, "It could not be kept what came of the grants.");
        }

        bool Add(Digest grant, int status)
        {
            said.Add((grant, status));
            return true;
        }
    }

    internal const string Silent = "The keys cannot be used at the moment. Nothing was given out.";

    private static async Task<IResult> CreateAsync(HttpContext http, GrantVerifier grants, DataKeys keys, KeyCustody custody, RotatedKeys rotated, HeadWitnesses witnesses, KnownPeople people, KeyMetrics metrics)
    {
        byte[]? wrapped = null;
        var given = await GiveAsync(KeyOperation.Create, Bearer(http), grants, custody, people, metrics, number => new(number.IsDirectory || people.IsFound(number)), async (grant, request) =>
        {
            (var key, wrapped) = await keys.CreateAsync(grant.Compartment, http.RequestAborted).ConfigureAwait(false);
            wrapped = await people.WithPersonAsync(wrapped, grant.Compartment, http.RequestAborted).ConfigureAwait(false);
            await rotated.MadeAsync(request, grant.Compartment, key).ConfigureAwait(false);
            return new(key, 0, null, witnesses.Of(custody.NameOf(grant.Compartment.Encode())), rotated.RotationsOf(request.Person));
        }).ConfigureAwait(false);
        if (given is { Key: { } made })
            return new SecretAnswer<CreateAnswer>(Wire.Default.CreateAnswer, new(wrapped!, made.Key, made.Witness, made.Rotations), [made.Key]);
        if (given.RetryAfter is { } seconds)
            http.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return Results.Problem(given.Detail, statusCode: given.Status);
    }

    internal const string Nobodys = "Nobody has this number. Ask for the person's identity code, and use the number that is given for it.";

    internal const string MaybeNobodys = "This key service was brought back from a backup, and it is not known yet whether anybody has this number. Nothing was given out; try again.";

    private const int MostUnwrapped = 256;

    /// <summary>Many at once, each with a grant of its own and answered for itself, as if it had been asked for alone: what costs is the asking.</summary>
    private static async Task<IResult> UnwrapAsync(HttpContext http, GrantVerifier grants, DataKeys keys, KeyCustody custody, RotatedKeys rotated, HeadWitnesses witnesses, KnownPeople people, KeyMetrics metrics)
    {
        if (await ReadAsync(http, Wire.Default.UnwrapRequest).ConfigureAwait(false) is not { Keys: { Count: > 0 and <= MostUnwrapped } items } || items.Any(static item => item is not { Wrapped: not null }))
            return Refuse(metrics, "unwrap", 400, $"The body is {{\"keys\": [{{\"grant\", \"wrapped\": base64}}]}}, 1 to {MostUnwrapped} of them.");
        // All are begun before one is waited for: their records share a flush.
        var given = await Task.WhenAll(items.Select(item => GiveAsync(KeyOperation.Unwrap, item.Grant, grants, custody, people, metrics, number => people.HasAsync(number, WrappedKey.PersonOf(item.Wrapped), http.RequestAborted), async (grant, request) =>
        {
            if (await keys.UnwrapAsync(item.Wrapped, grant.Compartment, http.RequestAborted).ConfigureAwait(false) is not { } key)
                return null;
            if (!await rotated.MayGiveAsync(request, grant.Compartment, key).ConfigureAwait(false))
            {
                CryptographicOperations.ZeroMemory(key);
                return null;
            }
            var known = custody.HeadOf(request);
            return new(key, known.Sequence, BytesOf(known), witnesses.Of(custody.NameOf(grant.Compartment.Encode())), rotated.RotationsOf(request.Person));
        }))).ConfigureAwait(false);
        return new SecretAnswer<UnwrapAnswer>(Wire.Default.UnwrapAnswer, new(given), [.. given.Select(static one => one.Key?.Key).OfType<byte[]>()]);
    }

    /// <summary>Gives out a key, once for a grant: counted before it is made, and recorded before it leaves.</summary>
    /// <param name="isSomebodys">Whether somebody has the number: under one that nobody has, a record would be begun, or go on, that no identity code finds.</param>
    /// <param name="make">Null: the wrapped key is not of the compartment that the grant is for.</param>
    private static async Task<KeyAnswer> GiveAsync(KeyOperation operation, string? token, GrantVerifier grants, KeyCustody custody, KnownPeople people, KeyMetrics metrics, Func<Pseudonym, ValueTask<bool>> isSomebodys, Func<Grant, KeyRequest, Task<GivenKey?>> make)
    {
        var name = operation == KeyOperation.Create ? "create" : "unwrap";
        KeyAnswer refuse(int status, string detail, long? retryAfter = null)
        {
            metrics.Refused(name, status);
            return new(status, null, detail, retryAfter);
        }
        var (grant, reason) = await grants.VerifyAsync(token).ConfigureAwait(false);
        if (grant is null)
            return refuse(401, NoGrant(reason));
        // An audit trail grant opens audit entries, not records.
        if (!(grant.Use == GrantUse.Write || (operation == KeyOperation.Unwrap && grant.Use is GrantUse.Read or GrantUse.Policy)))
            return refuse(403, AnotherUse);
        GivenKey? key = null;
        var request = custody.RequestOf(grant);
        var (isTaken, isGiven) = (custody.TryTake(request), false);
        try
        {
            if (!isTaken)
            {
                await custody.RecordAsync(operation, request, 409).ConfigureAwait(false);
                return refuse(409, "A key has been given out for this grant, and none is twice.");
            }
            if (custody.Spend(request) is { } exceeded)
            {
                await custody.RecordAsync(operation, request, 429).ConfigureAwait(false);
                return refuse(429, "As many people have been opened as may be in this time. Nobody new is opened until it is over.", Math.Max(1, (long)Math.Ceiling(exceeded.RetryAfter.TotalSeconds)));
            }
            // After it is counted: whose record is destroyed is told to nobody more often than who is opened.
            if (custody.IsErased(request))
            {
                await custody.RecordAsync(operation, request, 410).ConfigureAwait(false);
                return refuse(410, "The data key of this compartment is destroyed, and none is made for it.");
            }
            if (operation == KeyOperation.Create && custody.HeadOf(request).Sequence > 0)
            {
                await custody.RecordAsync(operation, request, 412).ConfigureAwait(false);
                return refuse(412, "A record of this person is known to be stored, so none is begun.");
            }
            if (!await isSomebodys(grant.Compartment).ConfigureAwait(false))
            {
                var status = people.MayLack ? 503 : 404;
                await custody.RecordAsync(operation, request, status).ConfigureAwait(false);
                return refuse(status, status == 404 ? Nobodys : MaybeNobodys);
            }
            key = await make(grant, request).ConfigureAwait(false);
            await custody.RecordAsync(operation, request, key is null ? 422 : 200).ConfigureAwait(false);
            if (key is null)
                return refuse(422, "The wrapped key is not of the compartment that the grant is for, was changed, was rotated, or its wrapping key does not serve.");
            isGiven = true;
            metrics.Served(name);
            return new(200, key);
        }
        catch (Exception failure) when (failure is KeyBackendException or IOException or UnauthorizedAccessException)
        {
            if (key is not null)
                CryptographicOperations.ZeroMemory(key.Key);
            return refuse(503, Silent);
        }
        finally
        {
            if (isTaken && !isGiven)
                custody.PutBack(request);
        }
    }

    /// <summary>Needs no grant: it takes what is sealed and gives what is sealed, for the same compartments; a ceremony has asked for it.</summary>
    private static async Task<IResult> RewrapAsync(HttpContext http, DataKeys keys, KeyCustody custody, RotatedKeys rotated, KnownPeople people, ToldRecords told, KeyMetrics metrics)
    {
        if (await ReadAsync(http, Wire.Default.RewrapRequest).ConfigureAwait(false) is not { Keys: { Count: > 0 and <= MostRewrapped } items } || items.Any(static item => item is not { Wrapped: not null } || !Pseudonym.TryDecode(item.Compartment, out _)))
            return Refuse(metrics, "rewrap", 400, $"The body is {{\"keys\": [{{\"compartment\", \"wrapped\": base64}}]}}, 1 to {MostRewrapped} of them.");
        var answer = new byte[]?[items.Count];
        try
        {
            await people.FindAgainAsync(items.Where(item => !custody.IsErased(item.Compartment!)).Select(static item => (CompartmentIn(item), WrappedKey.PersonOf(item.Wrapped!))), http.RequestAborted).ConfigureAwait(false);
            for (var i = 0; i < answer.Length; i++)
            {
                var compartment = CompartmentIn(items[i]);
                answer[i] = custody.IsErased(items[i].Compartment!) ? [] : await keys.RewrapAsync(items[i].Wrapped!, compartment, http.RequestAborted,
                    key => rotated.IsEmpty || rotated.IsKept(custody.RequestOf(compartment).Person, compartment, key)).ConfigureAwait(false);
                if (answer[i] is { Length: > 0 } anew)
                    answer[i] = await people.WithPersonAsync(anew, compartment, http.RequestAborted, WrappedKey.PersonOf(items[i].Wrapped!)).ConfigureAwait(false);
            }
            await custody.RecordRewrappedAsync(items.Select((item, i) => (item.Compartment!, answer[i] switch { null => 422, [] => 410, _ => 200 }))).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is KeyBackendException or IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "rewrap", 503, Silent);
        }
        told.Add(items.Select(item => custody.RequestOf(CompartmentIn(item)).Head));
        metrics.Served("rewrap");
        return Results.Json(new RewrapAnswer(answer), Wire.Default.RewrapAnswer);
    }

    private static Pseudonym CompartmentIn(RewrapItem item) => Pseudonym.TryDecode(item.Compartment, out var compartment) ? compartment : throw new InvalidOperationException("It was looked at before.");

    /// <summary>Needs no grant, and is not believed: whoever says so has named everybody whose record is known to be stored, which who has not got the store cannot.</summary>
    private static async Task<IResult> HaveEverybodyAsync(HttpContext http, KnownPeople people, ToldRecords told, KeyMetrics metrics)
    {
        if (people.IsLacking && told.Left > 0)
            return Refuse(metrics, "people", 409, "Records are known to be stored of which nobody has told since this key service started: wrap every key in the store anew. If the store is an older one, have two operators accept it first (store-restore).");
        try
        {
            await people.HasEverybodyAsync(http.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "people", 503, "It could not be kept that nobody is missing.");
        }
        metrics.Served("people");
        return Results.NoContent();
    }

    private const int MostHeads = 1_000;

    /// <summary>Keeps how far records are. Each is told by who has been given its key; what anybody else tells is left out.</summary>
    private static async Task<IResult> TellAsync(HttpContext http, KeyCustody custody, HeadWitnesses witnesses, KnownPeople people, KeyMetrics metrics)
    {
        if (await ReadAsync(http, Wire.Default.TellRequest).ConfigureAwait(false) is not { Heads: { Count: > 0 and <= MostHeads } items }
            || items.Any(static item => item is not { Compartment: not null, Sequence: > 0 and <= int.MaxValue, Digest.Length: CompartmentHead.DigestSize, Witness: not null }))
            return Refuse(metrics, "tell", 400, $"The body is {{\"heads\": [{{\"compartment\", \"sequence\", \"digest\": base64 of {CompartmentHead.DigestSize} bytes, \"witness\"}}]}}, 1 to {MostHeads} of them.");
        var right = items.Where(item => witnesses.IsOf(item.Witness!, custody.NameOf(item.Compartment!))).ToList();
        try
        {
            // Their key was given out, so they were registered: a write that was on its way while an older register was brought back.
            if (right.Exists(item => Pseudonym.TryDecode(item.Compartment, out var number) && !number.IsDirectory && !people.IsKnown(number) && !custody.IsErased(item.Compartment!)))
                await people.HasLostAsync(http.RequestAborted).ConfigureAwait(false);
            await custody.TellAsync(right.Select(static item => (item.Compartment!, CompartmentHead.Read(item.Sequence, item.Digest)))).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "tell", 503, "The heads could not be kept. Tell them again.");
        }
        if (right.Count < items.Count)
            return Refuse(metrics, "tell", 403, "Some of the heads were told by who was not given the key, or too long ago, and were left out.");
        metrics.Served("tell");
        return Results.NoContent();
    }

    /// <summary>Needs no grant: it gives nothing that opens, and a digest tells of a record no more than that there is one.</summary>
    private static async Task<IResult> KnownAsync(HttpContext http, KeyCustody custody, KeyMetrics metrics)
    {
        if (await ReadAsync(http, Wire.Default.KnownRequest).ConfigureAwait(false) is not { Compartments: { Count: > 0 and <= MostHeads } compartments } || compartments.Contains(null!))
            return Refuse(metrics, "known", 400, $"The body is {{\"compartments\": []}}, 1 to {MostHeads} of them.");
        metrics.Served("known");
        var (people, places) = custody.HeadCount;
        return Results.Json(new KnownAnswer([.. custody.HeadsOf(compartments).Select((known, i) => known is { } one ? new KnownItem(one.Head.Sequence, BytesOf(one.Head)!, one.Place, custody.RotationsOf(compartments[i])) : null)], people, places), Wire.Default.KnownAnswer);
    }

    /// <returns>Null: there is none.</returns>
    internal static byte[]? BytesOf(CompartmentHead head) => head.Sequence == 0 ? null : head.DigestBytes();

    private static async Task<IResult> HoldAsync(HttpContext http, GrantVerifier verifier, KeyCeremonies ceremonies, KnownPeople people, PeopleWalk walk, KeyMetrics metrics)
    {
        if (await verifier.VerifyCeremonyAsync(Bearer(http)).ConfigureAwait(false) is not { } ceremony)
            return Refuse(metrics, "ceremony", 401, "A ceremony that the gateway has signed, and two persons have approved of, is required.");
        try
        {
            if (ceremony.Step == CeremonyStep.Destroy && await people.UsesAsync(ceremony.Key, ceremony.Version, http.RequestAborted).ConfigureAwait(false))
                return Refuse(metrics, "ceremony", 409, "People are still named by it, or identity codes sealed with it: wait until none is left.");
            var outcome = await ceremonies.HoldAsync(ceremony, http.RequestAborted).ConfigureAwait(false);
            walk.Begin();
            if (outcome != CeremonyOutcome.Done)
                return Refuse(metrics, "ceremony", 409, outcome == CeremonyOutcome.TooSoon
                    ? $"The version after it began less than {KeyCeremonies.Overlap.TotalMinutes:0} minutes ago: a record whose key was made before may still be stored."
                    : "The version is not the next one to begin, or not the oldest one, or a ceremony before it has not come to its end.");
            metrics.Served("ceremony");
            return Results.Json(new CeremonyAnswer(ceremony.Version), Wire.Default.CeremonyAnswer);
        }
        catch (Exception failure) when (failure is KeyBackendException or IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "ceremony", 503, "The ceremony could not be brought to its end. Ask for it again: it goes on where it stopped.");
        }
    }

    private static async Task<IResult> EraseAsync(HttpContext http, GrantVerifier verifier, KeyCustody custody, KnownPeople people, PeopleWalk walk, KeyMetrics metrics)
    {
        if (await verifier.VerifyErasureAsync(Bearer(http)).ConfigureAwait(false) is not { } erasure)
            return Refuse(metrics, "erasure", 401, "An erasure that the gateway has signed, and two persons have approved of, is required.");
        try
        {
            await custody.EraseAsync(erasure).ConfigureAwait(false);
            people.Erased(erasure.Compartment);
            walk.Begin();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "erasure", 503, "The erasure could not be kept. Ask for it again: it is done once.");
        }
        metrics.Served("erasure");
        return Results.NoContent();
    }

    private static async Task<IResult> RestoreAsync(HttpContext http, GrantVerifier verifier, KeyCustody custody, KeyMetrics metrics)
    {
        if (await verifier.VerifyRestoreAsync(Bearer(http)).ConfigureAwait(false) is not { } restore)
            return Refuse(metrics, "restore", 401, "A restore that the gateway has signed, and two persons have approved of, is required.");
        try
        {
            var forgotten = await custody.RestoreAsync(restore).ConfigureAwait(false);
            metrics.Served("restore");
            return Results.Json(new RestoreAnswer(forgotten), Wire.Default.RestoreAnswer);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "restore", 503, "It could not be kept that the store is an older one.");
        }
    }

    private static async Task<IResult> OpenAsync(HttpContext http, GrantVerifier grants, AuditOpener opener, KeyMetrics metrics)
    {
        var (grant, reason) = await grants.VerifyAsync(Bearer(http)).ConfigureAwait(false);
        if (grant is null)
            return Refuse(metrics, "audit", 401, NoGrant(reason));
        if (grant.Use != GrantUse.AuditTrail)
            return Refuse(metrics, "audit", 403, AnotherUse);
        if (await ReadAsync(http, Wire.Default.AuditOpenRequest).ConfigureAwait(false) is not { Entries: { } entries })
            return Refuse(metrics, "audit", 400, "The body is {\"entries\": [sealed entries]}.");
        var subject = grant.Compartment.ToArray();
        List<OpenedEntry> opened =
        [
            .. opener.Open([.. entries.Where(static entry => entry is { Enc: not null, Sealed: not null, Commitment: not null })])
                // The seal says whom an entry is about; what the caller claims about it does not count.
                .Where(plain => CryptographicOperations.FixedTimeEquals(plain.Subject, subject))
                // Which employee it was she is not told.
                .Select(static plain => plain with { Withheld = null }),
        ];
        metrics.Served("audit");
        return Results.Json(new AuditOpenAnswer(opened), Wire.Default.AuditOpenAnswer);
    }

    /// <summary>Gives the keys of seconds of the audit log, for a search that two want: on record before they leave.</summary>
    private static async Task<IResult> AuditKeysAsync(HttpContext http, GrantVerifier verifier, AuditOpener opener, KeyCustody custody, KeyMetrics metrics)
    {
        if (await verifier.VerifyAuditReadingAsync(Bearer(http)).ConfigureAwait(false) is not { } reading)
            return Refuse(metrics, "audit-keys", 401, "A reading of the audit log that the gateway has signed, for a breach case, and two persons have approved of, is required.");
        if (await ReadAsync(http, Wire.Default.AuditKeysRequest).ConfigureAwait(false) is not { Encs: { Count: > 0 and <= AuditSearch.MostKeys } encs } || encs.Any(static enc => enc is not { Length: 32 }))
            return Refuse(metrics, "audit-keys", 400, $"The body is {{\"encs\": [base64 of 32 bytes]}}, 1 to {AuditSearch.MostKeys} of them.");
        try
        {
            if (!await custody.ReadAuditAsync(reading, encs.Count).ConfigureAwait(false))
                return Refuse(metrics, "audit-keys", 429, "More keys were asked for than the time of the reading has.");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Refuse(metrics, "audit-keys", 503, Silent);
        }
        byte[]?[] keys = [.. encs.Select(enc => opener.KeyOf(enc))];
        metrics.Served("audit-keys");
        return new SecretAnswer<AuditKeysAnswer>(Wire.Default.AuditKeysAnswer, new([.. keys.Select(static key => new AuditKey(key))]), keys);
    }

    private static string NoGrant(string? reason) => $"A valid grant is required ({reason}).";

    private const string AnotherUse = "The grant is for another use.";

    internal static IResult Refuse(KeyMetrics metrics, string operation, int status, string detail)
    {
        metrics.Refused(operation, status);
        return Results.Problem(detail, statusCode: status);
    }

    internal static string? Bearer(HttpContext http) =>
        http.Request.Headers.Authorization is [{ } header] && header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? header[7..] : null;

    /// <summary>The body, or null when it is not JSON of the expected form.</summary>
    internal static async ValueTask<T?> ReadAsync<T>(HttpContext http, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return await JsonSerializer.DeserializeAsync(http.Request.Body, type, http.RequestAborted).ConfigureAwait(false);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    // Writes an answer and then zeroes the keys in it: the arrays are this request's alone.
    internal sealed class SecretAnswer<T>(System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, T answer, byte[]?[] secrets) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            try
            {
                httpContext.Response.Headers.CacheControl = "no-store";
                await httpContext.Response.WriteAsJsonAsync(answer, type, cancellationToken: httpContext.RequestAborted).ConfigureAwait(false);
            }
            finally
            {
                foreach (var secret in secrets)
                    CryptographicOperations.ZeroMemory(secret);
            }
        }
    }
}

/// <param name="IsKnown">Whether only who has a number already is asked for: nobody gets one.</param>
sealed record PseudonymRequest(string? IdentityCode, bool IsKnown = false);
sealed record PseudonymAnswer(string Pseudonym);
sealed record CreateAnswer(byte[] Wrapped, byte[] Key, string Witness, int Rotations);
sealed record UnwrapRequest(IReadOnlyList<UnwrapItem>? Keys);
sealed record UnwrapItem(string? Grant, byte[]? Wrapped);
sealed record UnwrapAnswer(IReadOnlyList<KeyAnswer> Keys);

/// <summary>How the asking for one key ended.</summary>
/// <param name="Status">As of HTTP: 200, or why there is none.</param>
/// <param name="Detail">Of a refusal.</param>
/// <param name="RetryAfter">Seconds, where a budget is used up.</param>
sealed record KeyAnswer(int Status, GivenKey? Key = null, string? Detail = null, long? RetryAfter = null);

/// <param name="Sequence">How far the record was when somebody last told; 0: nobody has.</param>
/// <param name="Digest">Of that head.</param>
/// <param name="Witness">With it one may tell how far the record is.</param>
/// <param name="Rotations">How often the person has got another data key.</param>
sealed record GivenKey(byte[] Key, long Sequence, byte[]? Digest, string Witness, int Rotations);

sealed record TellRequest(IReadOnlyList<ToldItem>? Heads);
sealed record ToldItem(string? Compartment, long Sequence, byte[]? Digest, string? Witness);
sealed record KnownRequest(IReadOnlyList<string>? Compartments);
sealed record KnownItem(long Sequence, byte[] Digest, int Place, int Rotations);
sealed record KnownAnswer(KnownItem?[] Heads, int Count, int Places);

/// <param name="Gateway">Random, of that start of the gateway alone, hexadecimal.</param>
/// <param name="After">Number of the last one that is known.</param>
/// <param name="Ends">It says nothing any more.</param>
sealed record UnpairedRequest(string? Gateway, long After = 0, bool Ends = false);
sealed record UnpairedAnswer(IReadOnlyList<UnpairedItem> Grants);

/// <param name="Grant">Digest of its id, hexadecimal.</param>
/// <param name="Number">In the order in which they have opened a key.</param>
/// <param name="Seconds">Since it opened one.</param>
/// <param name="Waited">Seconds in which a gateway could say what came of it.</param>
/// <param name="IsHeld">Another gateway has just said that it is at it.</param>
/// <param name="IsLost">It may be of a gateway that has stopped without a word.</param>
sealed record UnpairedItem(string Grant, long Number, double Seconds, double Waited, bool IsHeld, bool IsLost);

sealed record PairRequest(string? Gateway, IReadOnlyList<PairItem>? Grants);
sealed record PairItem(string? Grant, int Status);
sealed record PairAnswer(IReadOnlyList<string> Grants);
sealed record ChangesAnswer(Guid Start, long Before, long Now);
sealed record AuditKeysRequest(IReadOnlyList<byte[]>? Encs);
sealed record AuditKeysAnswer(IReadOnlyList<AuditKey> Keys);

/// <param name="Key">Null: of what is no encapsulated key.</param>
sealed record AuditKey(byte[]? Key);

sealed record ReaderAnswer(byte[] PublicKey);
sealed record CeremonyAnswer(uint Version);
sealed record RestoreAnswer(int Forgotten);
sealed record VersionsAnswer(uint Current, IReadOnlyList<uint> Serving, bool Lacks);

/// <summary>How far it is that everybody is named and sealed with the current keys.</summary>
/// <param name="Version">The current pseudonym key.</param>
sealed record PeopleAnswer(uint Version, long All, long Left, double PerSecond) : WorkProgress(All, Left, PerSecond);

sealed record RotateRequest(byte[]? Wrapped);
sealed record RotateAnswer(byte[]? Key, byte[]? NewKey, byte[]? Wrapped, string? Ticket, long Sequence, byte[]? Digest, int Rotations, RotatedItem? Done);
sealed record RotatedItem(long Sequence, byte[] Before, byte[] After);
sealed record SealedRequest(string? Compartment, string? Ticket, long Sequence, byte[]? Before, byte[]? After);
sealed record EndRequest(string? Compartment, string? Ticket);
sealed record EndAnswer(string Witness, int Rotations);
sealed record RewrapRequest(IReadOnlyList<RewrapItem>? Keys);
sealed record RewrapItem(string? Compartment, byte[]? Wrapped);
sealed record RewrapAnswer(byte[]?[] Wrapped);

// Not the generated writer: it writes a null among bytes as an empty text, and a key that does not open would be told as one that is destroyed.
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(PseudonymRequest)), JsonSerializable(typeof(PseudonymAnswer))]
[JsonSerializable(typeof(CreateAnswer)), JsonSerializable(typeof(UnwrapRequest)), JsonSerializable(typeof(UnwrapAnswer))]
[JsonSerializable(typeof(TellRequest)), JsonSerializable(typeof(KnownRequest)), JsonSerializable(typeof(KnownAnswer)), JsonSerializable(typeof(ChangesAnswer))]
[JsonSerializable(typeof(UnpairedRequest)), JsonSerializable(typeof(UnpairedAnswer)), JsonSerializable(typeof(PairRequest)), JsonSerializable(typeof(PairAnswer))]
[JsonSerializable(typeof(ReaderAnswer)), JsonSerializable(typeof(CeremonyAnswer)), JsonSerializable(typeof(RestoreAnswer)), JsonSerializable(typeof(VersionsAnswer)), JsonSerializable(typeof(PeopleAnswer)), JsonSerializable(typeof(RewrapRequest)), JsonSerializable(typeof(RewrapAnswer)), JsonSerializable(typeof(RotateRequest)), JsonSerializable(typeof(RotateAnswer)), JsonSerializable(typeof(SealedRequest)), JsonSerializable(typeof(EndRequest)), JsonSerializable(typeof(EndAnswer)), JsonSerializable(typeof(AuditKeysRequest)), JsonSerializable(typeof(AuditKeysAnswer)), JsonSerializable(typeof(AuditOpenRequest)), JsonSerializable(typeof(AuditOpenAnswer))]
sealed partial class Wire : JsonSerializerContext;
