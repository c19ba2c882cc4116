using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Keys.Custody;

/// <summary>Who asks for whose key with which grant, as it is counted and recorded: digests, made once for a request.</summary>
/// <param name="Head">Under which it is kept how far the record is.</param>
/// <param name="IsOfDirectory">The directory is nobody's.</param>
readonly record struct KeyRequest(Digest Grant, Digest Requester, Digest Person, Digest Head, bool IsOfDirectory);

/// <summary>Counts and records whose keys are given out to whom (law 5). Thread-safe.</summary>
sealed partial class KeyCustody(PatientBudgets budgets, byte[] digestKey, TimeProvider time, KeyMetrics metrics, ILogger<KeyCustody> logger, CustodyLog log, ErasedPeople erased, RotatedKeys rotated, KnownHeads heads)
{
    private readonly SpentGrants _spent = new(time);
    private readonly UnpairedKeys _unpaired = new(time);
    private readonly KnownGateways _gateways = new(time);
    private readonly DateTimeOffset _start = time.GetUtcNow();

    /// <summary>Reads back what a former process gave out, and destroyed.</summary>
    /// <exception cref="InvalidOperationException">What says whose keys are destroyed is not as it was left; says what to do.</exception>
    public void Restore(string folder)
    {
        var (destroyed, retired) = (new List<Digest>(), new List<Digest>());
        var (arePaired, last) = (false, DateTimeOffset.MinValue);
        foreach (var record in CustodyLog.ReadSince(folder, DateTimeOffset.MinValue))
        {
            last = record.At;
            switch (record)
            {
                case { Operation: KeyOperation.Destroy, Status: 200 }:
                    destroyed.Add(record.Person);
                    break;
                case { Operation: KeyOperation.Retire, Status: 200 }:
                    retired.Add(record.Person);
                    break;
                // Of keys from before there was a gateway that says so, none says what came of it.
                case { Operation: KeyOperation.Create or KeyOperation.Unwrap, Status: 200 } when arePaired && !IsOfDirectory(record.Person):
                    _unpaired.Give(record.Grant, record.At);
                    break;
                case { Operation: KeyOperation.Pair }:
                    _unpaired.Pair(record.Grant);
                    break;
                case { Operation: KeyOperation.Gateway }:
                    arePaired = true;
                    _gateways.Restore(record.Grant, record.Status, record.At);
                    break;
            }
        }
        _gateways.Await(last);
        erased.Open(destroyed);
        rotated.Open(retired);
        heads.Open();
        var now = time.GetUtcNow();
        foreach (var record in CustodyLog.ReadSince(folder, now - (budgets.Longest > SpentGrants.Kept ? budgets.Longest : SpentGrants.Kept)))
            if (record is { Status: 200 or 410, Operation: KeyOperation.Create or KeyOperation.Unwrap or KeyOperation.Rotate })
            {
                budgets.Restore(record.Requester, record.Person, record.At, now);
                // That of a rotation is none of a request, and the same act may ask again.
                if (record is { Status: 200, Operation: not KeyOperation.Rotate } && now - record.At <= SpentGrants.Kept)
                    _spent.TryTake(record.Grant);
            }
    }

    /// <summary>A gateway says that it is there, or that it ends; on record when this returns.</summary>
    /// <exception cref="IOException">It may not be.</exception>
    public Task HearAsync(Digest gateway, bool ends) => _gateways.HearAsync(gateway, ends, (of, status) => log.AppendAsync(new(KeyOperation.Gateway, status, time.GetUtcNow(), of, default, default)).AsTask());

    /// <summary>The keys that were given out and of which no gateway has said what came of it, oldest first. The directory is nobody's, and what is rotated is by the word of two.</summary>
    public IReadOnlyList<UnpairedItem> Unpaired(Digest gateway, long after, int most)
    {
        var now = time.GetUtcNow();
        return [.. _unpaired.After(after, most).Select(one => new UnpairedItem(one.Grant.ToString(), one.Number, SecondsSince(one.At, now), SecondsSince(one.At > _start ? one.At : _start, now),
            one.HeldUntil > now && one.HeldBy != gateway, _gateways.HasStoppedSince(one.At)))];
    }

    /// <summary>Keeps what a gateway says of grants that have opened a key (<see cref="Pairing"/>); on disk when this returns.</summary>
    /// <returns>Of which it counts: not of those that are paired, nor of those that it reports or holds while another does.</returns>
    /// <exception cref="IOException">It may not be. Say it again.</exception>
    public async Task<IReadOnlyList<Digest>> PairAsync(Digest gateway, IEnumerable<(Digest Grant, int Status)> said)
    {
        var now = time.GetUtcNow();
        var counts = await Task.WhenAll(said.Select(async one =>
        {
            if (one.Status == Pairing.Held)
                return _unpaired.TryHold(one.Grant, gateway) ? one.Grant : (Digest?)null;
            if (one.Status == Pairing.Recorded ? !_unpaired.Contains(one.Grant) : !_unpaired.IsHeldBy(one.Grant, gateway))
                return null;
            await log.AppendAsync(new(KeyOperation.Pair, one.Status, now, one.Grant, gateway, default)).ConfigureAwait(false);
            _unpaired.Pair(one.Grant);
            return one.Grant;
        })).ConfigureAwait(false);
        return [.. counts.OfType<Digest>()];
    }

    private static double SecondsSince(DateTimeOffset at, DateTimeOffset now) => Math.Max(0, (now - at).TotalSeconds);

    private bool IsOfDirectory(Digest person) => person == (_directory ??= DigestOf("person", Pseudonym.Directory.Encode()));

    private Digest? _directory;

    /// <summary>What a request is counted and recorded under.</summary>
    public KeyRequest RequestOf(Grant grant) =>
        new(GrantDigestOf(grant.Id), DigestOf("requester", grant.Caller), DigestOf("person", grant.Compartment.Encode()), HeadDigestOf(grant.Compartment.Encode()), grant.Compartment.IsDirectory);

    /// <summary>The same of the rotation of a data key: its act is in the place of a grant, and who approved of it in that of the requester.</summary>
    public KeyRequest RequestOf(DataKeyRotation rotation)
    {
        var person = rotation.Compartment.Encode();
        return new(GrantDigestOf(rotation.Act), DigestOf("requester", rotation.ApprovedBy), DigestOf("person", person), HeadDigestOf(person), IsOfDirectory: false);
    }

    /// <summary>Under which a person's keys and the head of the record are kept.</summary>
    public KeyRequest RequestOf(Pseudonym compartment)
    {
        var person = compartment.Encode();
        return new(default, default, DigestOf("person", person), HeadDigestOf(person), compartment.IsDirectory);
    }

    /// <summary>What a witness is made out to: a compartment, under the data key that it has. Who was given another before it was rotated tells of another record.</summary>
    /// <param name="compartment">As <see cref="Pseudonym.Encode"/> writes it.</param>
    public string NameOf(string compartment) => RotationsOf(compartment) is > 0 and var rotations ? string.Create(CultureInfo.InvariantCulture, $"{compartment}\n{rotations}") : compartment;

    /// <summary>How often the data key of a compartment was rotated.</summary>
    /// <param name="compartment">As <see cref="Pseudonym.Encode"/> writes it.</param>
    public int RotationsOf(string compartment) => rotated.IsEmpty ? 0 : rotated.RotationsOf(DigestOf("person", compartment));

    /// <summary>Takes the request's grant, once; <see cref="PutBack"/> where no key leaves for it.</summary>
    /// <returns>False: a key has left for it.</returns>
    public bool TryTake(KeyRequest request) => _spent.TryTake(request.Grant);

    /// <inheritdoc cref="SpentGrants.PutBack"/>
    public void PutBack(KeyRequest request) => _spent.PutBack(request.Grant);

    /// <summary>Whether the data key that is asked for is destroyed.</summary>
    public bool IsErased(KeyRequest request) => erased.Contains(request.Person);

    /// <summary>Whether anybody's data key is destroyed.</summary>
    public bool HasErased => erased.HasAny;

    /// <summary>Whether the data key of a compartment is destroyed: nobody is given it, and no other is made.</summary>
    /// <param name="compartment">As <see cref="Pseudonym.Encode"/> writes it.</param>
    public bool IsErased(string compartment) => erased.Contains(DigestOf("person", compartment));

    /// <summary>How far the record is whose key is asked for, as far as anybody has told; none: nobody has.</summary>
    public CompartmentHead HeadOf(KeyRequest request) => heads.Of(request.Head)?.Head ?? default;

    /// <summary>How far records are, as far as anybody has told.</summary>
    /// <param name="compartments">As <see cref="Pseudonym.Encode"/> writes them.</param>
    public KnownHead?[] HeadsOf(IEnumerable<string> compartments) => [.. compartments.Select(compartment => heads.Of(HeadDigestOf(compartment)))];

    /// <inheritdoc cref="KnownHeads.Count"/>
    public (int People, int Places) HeadCount => heads.Count;

    /// <summary>How often what is known of how far records are has changed, ever, and had at this start.</summary>
    public ChangesAnswer HeadChanges => new(heads.Start, heads.ChangesBefore, heads.Changes);

    /// <summary>Keeps how far records are; on disk when this returns.</summary>
    /// <exception cref="IOException">It may not be. Tell it again.</exception>
    public Task TellAsync(IEnumerable<(string Compartment, CompartmentHead Head)> told) =>
        // Looked at when it is this telling's turn: who is erased meanwhile is forgotten after it.
        heads.TellAsync(told.Where(one => !IsErased(one.Compartment)).Select(one => (HeadDigestOf(one.Compartment), one.Head)));

    /// <summary>Destroys a person's data key; in force, and on record, when this returns.</summary>
    /// <exception cref="IOException">It may not be. Ask again: it is done once.</exception>
    public async Task EraseAsync(KeyErasure erasure)
    {
        var (person, act, now) = (DigestOf("person", erasure.Compartment.Encode()), GrantDigestOf(erasure.Act), time.GetUtcNow());
        await erased.AddAsync(person, act, now).ConfigureAwait(false);
        await heads.ForgetAsync(HeadDigestOf(erasure.Compartment.Encode())).ConfigureAwait(false);
        await log.AppendAsync(new(KeyOperation.Destroy, 200, now, act, DigestOf("requester", erasure.ApprovedBy), person)).ConfigureAwait(false);
        LogErased(erasure.Act);
    }

    /// <summary>Forgets how far records are, or one is, of which that was told since a time: what is stored is accepted by two. On record when this returns.</summary>
    /// <returns>Of how many people.</returns>
    /// <exception cref="IOException">It may not be in force, or not on record.</exception>
    public async Task<int> RestoreAsync(StoreRestore restore)
    {
        await log.AppendAsync(new(KeyOperation.Restore, 200, time.GetUtcNow(), GrantDigestOf(restore.Act), DigestOf("requester", restore.ApprovedBy), restore.Compartment is { } one ? DigestOf("person", one.Encode()) : default)).ConfigureAwait(false);
        var forgotten = await heads.ForgetSinceAsync(restore.Since - ClocksDiffer, restore.Compartment is { } only ? HeadDigestOf(only.Encode()) : null).ConfigureAwait(false);
        LogRestored(restore.Since, forgotten, restore.Act);
        return forgotten;
    }

    /// <summary>Whether keys of the audit log may be given for a reading: no more than its time has seconds, on every gateway of a large deployment, and the clocks and the disks that it may wait for. On record when this returns.</summary>
    /// <param name="keys">How many are asked for now.</param>
    /// <exception cref="IOException">It may not be on record; give none.</exception>
    public async Task<bool> ReadAuditAsync(AuditReading reading, int keys)
    {
        var (most, act) = ((long)((reading.To - reading.From + 2 * AuditSearch.Disorder).TotalSeconds + 1) * MostGateways, GrantDigestOf(reading.Act));
        bool isFirst, isGiven;
        lock (_readings)
        {
            isFirst = _readings.TryAdd(act, 0);
            isGiven = _readings[act] + keys <= most;
            if (isGiven)
                _readings[act] += keys;
        }
        await log.AppendAsync(new(KeyOperation.AuditReading, isGiven ? 200 : 429, time.GetUtcNow(), act, DigestOf("requester", reading.ApprovedBy), default)).ConfigureAwait(false);
        if (isFirst)
            LogReading(reading.From, reading.To, reading.Case, reading.Act);
        return isGiven;
    }

    private const int MostGateways = 64;

    private readonly Dictionary<Digest, long> _readings = [];

    /// <summary>By how much the clocks of the store and of this service may differ.</summary>
    private static readonly TimeSpan ClocksDiffer = TimeSpan.FromSeconds(2);

    /// <summary>Whether the requester may have this person's key now; counted if so.</summary>
    /// <returns>Null: it may.</returns>
    public BudgetExceeded? Spend(KeyRequest request)
    {
        if (request.IsOfDirectory || budgets.Spend(request.Requester, request.Person, time.GetUtcNow()) is not { } exceeded)
            return null;
        metrics.Exceeded(exceeded.IsTotal);
        LogExceeded(exceeded.IsTotal ? "all requesters" : "one requester", exceeded.IsTotal ? exceeded.Budget.Total : exceeded.Budget.PerRequester, exceeded.Budget.Seconds);
        return exceeded;
    }

    /// <summary>Records how a request ended; on disk when this returns.</summary>
    /// <exception cref="IOException">It is not; give nothing out.</exception>
    public async ValueTask RecordAsync(KeyOperation operation, KeyRequest request, int status)
    {
        var now = time.GetUtcNow();
        await log.AppendAsync(new(operation, status, now, request.Grant, request.Requester, request.Person)).ConfigureAwait(false);
        if (status == 200 && !request.IsOfDirectory && operation is KeyOperation.Create or KeyOperation.Unwrap)
            _unpaired.Give(request.Grant, now);
    }

    /// <summary>Records which data keys were wrapped anew; on disk when this returns. No requester and no grant stand in it.</summary>
    /// <exception cref="IOException">It is not.</exception>
    public Task RecordRewrappedAsync(IEnumerable<(string Compartment, int Status)> keys)
    {
        var now = time.GetUtcNow();
        return Task.WhenAll(keys.Select(key => log.AppendAsync(new(KeyOperation.Rewrap, key.Status, now, default, default, DigestOf("person", key.Compartment))).AsTask()));
    }

    /// <summary>What a grant is recorded under: its id is random, so its digest needs no key, and the gateway can make it too.</summary>
    public static Digest GrantDigestOf(string id) => new(BinaryPrimitives.ReadUInt128BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(id))));

    // Not the person's: the digest of a head is made of what the store has, so whoever has both would know whom each record of the custody log is about.
    private Digest HeadDigestOf(string compartment) => DigestOf("head", compartment);

    private Digest DigestOf(string kind, string name)
    {
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(digestKey, Encoding.UTF8.GetBytes($"{kind}\n{name}"), mac);
        return new(BinaryPrimitives.ReadUInt128BigEndian(mac));
    }

    [LoggerMessage(1304, LogLevel.Warning, "The data key of one person is destroyed, by the act {Act}.")]
    private partial void LogErased(string act);

    [LoggerMessage(1307, LogLevel.Warning, "The store is accepted as it was at {Since:u}, and how far the records of {People} people were is forgotten, by the act {Act}.")]
    private partial void LogRestored(DateTimeOffset since, int people, string act);

    [LoggerMessage(1320, LogLevel.Warning, "The audit log from {From:u} to {To:u} is read for breach case {Case}, by the act {Act}.")]
    private partial void LogReading(DateTimeOffset from, DateTimeOffset to, long @case, string act);

    [LoggerMessage(1301, LogLevel.Critical, "ALARM: the key budget of {Whom} is used up: {People} people within {Seconds} s. Nobody new is opened until the window ends.")]
    private partial void LogExceeded(string whom, int people, int seconds);
}
