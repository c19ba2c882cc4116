using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Keys.Ceremonies;

/// <summary>What became of a ceremony.</summary>
enum CeremonyOutcome { Done, NotNext, TooSoon }

/// <summary>
/// Puts versions of the wrapping key and of the pseudonym key into service and destroys them, each by the approval of two operators, and keeps by whose: a key that came into the backend by another
/// way serves nobody. Thread-safe.
/// </summary>
/// <remarks>
/// <c>ceremonies.json</c> in the custody folder: the ceremonies in their order, where the records of erased people, of rotated data keys and of who has which number end, and an HMAC over all of it, whose key is made by the custody key. A ceremony is
/// written as decided, the key is made or destroyed, it is written as done: one that a kill or a silent backend cut off is brought to its end at the next start, or
/// when it is asked for again.
/// </remarks>
sealed partial class KeyCeremonies(string folder, IKeyBackend backend, WrappingVersions wrapping, PseudonymVersions pseudonyms, byte[] macKey, TimeProvider time, ILogger<KeyCeremonies> logger) : IDisposable
{
    /// <summary>
    /// How long a version of the wrapping key stays when the next one has begun: a record may still be stored whose key was made before that. Longer than any write may take.
    /// </summary>
    public static readonly TimeSpan Overlap = TimeSpan.FromMinutes(10);

    private readonly SemaphoreSlim _turn = new(1);
    private readonly string _path = Path.Combine(folder, "ceremonies.json");
    private List<Ceremony> _held = [];

    /// <summary>Where the record of erased people ends; null: nothing was held yet, or not since there are erasures.</summary>
    public ChainEnd? Erased { get; private set; }

    /// <summary>Where the record of rotated data keys ends; null: none was yet.</summary>
    public ChainEnd? Rotated { get; private set; }

    /// <summary>Where the register of people ends; null: nobody was registered.</summary>
    public PeopleEnd? People { get; private set; }

    /// <summary>Reads what was held, if anything was.</summary>
    /// <exception cref="InvalidOperationException">The file is not as this service left it; says what to do.</exception>
    public void Read()
    {
        if (!File.Exists(_path))
            return;
        CeremonyFile? file;
        try
        {
            file = JsonSerializer.Deserialize(File.ReadAllBytes(_path), CeremonyJson.Default.CeremonyFile);
        }
        catch (JsonException)
        {
            file = null;
        }
        if (file is not { Ceremonies: { Count: > 0 } held, Mac: { } mac } || !CryptographicOperations.FixedTimeEquals(mac, MacOf(held, file.Erased, file.Rotated, file.People)))
            throw new InvalidOperationException($"{_path} is not as this key service wrote it: bring it back from where it was kept.");
        (_held, Erased, Rotated, People) = (held, file.Erased, file.Rotated, file.People);
    }

    /// <summary>Founds the service where nothing was held, and ends what was cut off.</summary>
    /// <exception cref="InvalidOperationException">The keys are not those of the ceremonies; says what to do.</exception>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    public async Task OpenAsync(CancellationToken cancel)
    {
        var there = new Dictionary<KeyKind, IReadOnlyList<uint>>();
        foreach (var kind in Enum.GetValues<KeyKind>())
            there[kind] = await backend.VersionsAsync(kind, cancel).ConfigureAwait(false);
        if (_held.Count == 0)
        {
            if (there.Values.Any(static versions => versions is not [1]))
                throw new InvalidOperationException($"There is no {_path}, and the backend has versions {string.Join(", ", there[KeyKind.Wrapping])} of the wrapping key and {string.Join(", ", there[KeyKind.Pseudonym])} of the pseudonym key: a service is founded with version 1 alone, and one that was founded keeps this file.");
            var check = await CheckOfAsync(1, cancel).ConfigureAwait(false);
            Write([.. Enum.GetValues<KeyKind>().Select(kind => new Ceremony(CeremonyStep.Begin, 1, "founding", null, null, time.GetUtcNow(), IsDone: true, kind, kind == KeyKind.Pseudonym ? check : null))]);
        }
        foreach (var (kind, versions) in there)
            if (Serving(kind).Except(versions).ToList() is { Count: > 0 } missing)
                throw new InvalidOperationException($"The backend has lost the {NameOf(kind)} key of version {string.Join(", ", missing)}, which {(kind == KeyKind.Wrapping ? "data keys are wrapped with" : "people are named by")}. Bring the key back; or, where a ceremony has destroyed it and {_path} is from a backup of before, that file as it was after the ceremony.");
        if (_held[^1] is { IsDone: false } begun)
            await EndAsync(begun, cancel).ConfigureAwait(false);
        Serve();
        // By another one everybody would be somebody new.
        foreach (var version in pseudonyms.All)
            if (!CryptographicOperations.FixedTimeEquals(await CheckOfAsync(version, cancel).ConfigureAwait(false), _held.Last(one => one is { Step: CeremonyStep.Begin, Key: KeyKind.Pseudonym } && one.Version == version).Check))
                throw new InvalidOperationException($"The pseudonym key of version {version} in the backend is another than the one that began its service: bring that one back.");
        foreach (var kind in Enum.GetValues<KeyKind>())
            foreach (var version in (await backend.VersionsAsync(kind, cancel).ConfigureAwait(false)).Except(Serving(kind)))
                LogStranger(NameOf(kind), version);
    }

    /// <summary>Holds an approved ceremony; it is in force, and lasts, when this returns.</summary>
    /// <returns><see cref="CeremonyOutcome.Done"/> also for one that was held before.</returns>
    /// <exception cref="KeyBackendException">The key could not be made or the ceremony not be kept. Ask again: it goes on where it stopped.</exception>
    public async Task<CeremonyOutcome> HoldAsync(KeyCeremony ceremony, CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var known = _held.Find(one => one.Act == ceremony.Act);
            if (known is not null ? (known.Key, known.Step, known.Version) != (ceremony.Key, ceremony.Step, ceremony.Version) : !_held[^1].IsDone || !IsNext(ceremony))
                return CeremonyOutcome.NotNext;
            if (known is null && ceremony is { Step: CeremonyStep.Destroy, Key: KeyKind.Wrapping } && time.GetUtcNow() < _held.Last(one => one.Key == ceremony.Key && one.Step == CeremonyStep.Begin && one.Version == ceremony.Version + 1).At + Overlap)
                return CeremonyOutcome.TooSoon;
            if (known is null)
                Write([.. _held, known = new(ceremony.Step, ceremony.Version, ceremony.Act, ceremony.ProposedBy, ceremony.ApprovedBy, time.GetUtcNow(), IsDone: false, ceremony.Key)]);
            if (!known.IsDone)
                await EndAsync(known, cancel).ConfigureAwait(false);
            Serve();
            return CeremonyOutcome.Done;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new KeyBackendException("The ceremony cannot be kept.", failure);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Keeps where the record of erased people, of rotated data keys, or of who has which number, ends; on disk when this returns.</summary>
    /// <param name="erased">Null: as it is kept.</param>
    /// <param name="rotated">Null: as it is kept.</param>
    /// <param name="people">Null: as it is kept.</param>
    /// <exception cref="IOException">It may not be. Ask again.</exception>
    public async Task KeepAsync(ChainEnd? erased = null, ChainEnd? rotated = null, PeopleEnd? people = null)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            Write(_held, erased ?? Erased, rotated ?? Rotated, people ?? People);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    private void Serve()
    {
        wrapping.Set(Serving(KeyKind.Wrapping));
        pseudonyms.Set(Serving(KeyKind.Pseudonym));
    }

    private static string NameOf(KeyKind kind) => kind == KeyKind.Wrapping ? "wrapping" : "pseudonym";

    /// <summary>What a pseudonym key is known by: an HMAC of what is no identity code, which tells nothing.</summary>
    private async ValueTask<byte[]> CheckOfAsync(uint version, CancellationToken cancel) => (await backend.MacAsync(version, "kanta pseudonym key v1"u8.ToArray(), cancel).ConfigureAwait(false))[..16];

    /// <summary>The next version begins; the lowest is destroyed, and never the only one.</summary>
    private bool IsNext(KeyCeremony ceremony) => Serving(ceremony.Key) is var serving && ceremony.Step == CeremonyStep.Begin
        ? ceremony.Version == serving[^1] + 1 : serving.Count > 1 && ceremony.Version == serving[0];

    /// <summary>What has begun and nobody has decided to destroy, in order.</summary>
    private List<uint> Serving(KeyKind kind) => [.. _held.Where(one => one is { Step: CeremonyStep.Begin, IsDone: true } && one.Key == kind).Select(static one => one.Version)
        .Except(_held.Where(one => one.Step == CeremonyStep.Destroy && one.Key == kind).Select(static one => one.Version)).Order()];

    private async Task EndAsync(Ceremony decided, CancellationToken cancel)
    {
        if (decided.Step == CeremonyStep.Begin)
        {
            await backend.MakeAsync(decided.Key, decided.Version, cancel).ConfigureAwait(false);
            if (decided.Key == KeyKind.Pseudonym)
                decided = decided with { Check = await CheckOfAsync(decided.Version, cancel).ConfigureAwait(false) };
        }
        else
        {
            // From here on it opens nothing, whatever becomes of the rest.
            Serve();
            await backend.DestroyAsync(decided.Key, decided.Version, cancel).ConfigureAwait(false);
        }
        Write([.. _held[..^1], decided with { IsDone = true }]);
        LogHeld(decided.Version, NameOf(decided.Key), decided.Step, decided.Act);
    }

    private void Write(List<Ceremony> held) => Write(held, Erased, Rotated, People);

    private void Write(List<Ceremony> held, ChainEnd? erased, ChainEnd? rotated, PeopleEnd? people)
    {
        OwnerOnly.WriteWhole(_path, JsonSerializer.SerializeToUtf8Bytes(new(held, erased, rotated, people, MacOf(held, erased, rotated, people)), CeremonyJson.Default.CeremonyFile), overwrite: true);
        // Where the others end may be from before, for they go on behind it; what was held may not.
        if (held != _held)
            OwnerOnly.FlushFolder(_path);
        (_held, Erased, Rotated, People) = (held, erased, rotated, people);
    }

    // A service that was founded before there were erasures has the ceremonies alone under it, and one that has rotated no data key nothing of those.
    private byte[] MacOf(List<Ceremony> held, ChainEnd? erased, ChainEnd? rotated, PeopleEnd? people)
    {
        using var mac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, macKey);
        mac.AppendData(JsonSerializer.SerializeToUtf8Bytes(held, CeremonyJson.Default.ListCeremony));
        if (erased is not null)
            mac.AppendData(JsonSerializer.SerializeToUtf8Bytes(erased, CeremonyJson.Default.ChainEnd));
        if (rotated is not null)
        {
            mac.AppendData("rotated"u8);
            mac.AppendData(JsonSerializer.SerializeToUtf8Bytes(rotated, CeremonyJson.Default.ChainEnd));
        }
        if (people is not null)
        {
            mac.AppendData("people"u8);
            mac.AppendData(JsonSerializer.SerializeToUtf8Bytes(people, CeremonyJson.Default.PeopleEnd));
        }
        return mac.GetHashAndReset();
    }

    [LoggerMessage(1302, LogLevel.Warning, "Key ceremony: version {Version} of the {Key} key, {Step}, by the act {Act}.")]
    private partial void LogHeld(uint version, string key, CeremonyStep step, string act);

    [LoggerMessage(1303, LogLevel.Critical, "The backend has a {Key} key of version {Version} that no ceremony has put into service: it is used for nothing. Two operators put one into service by an act of the kind key-ceremony.")]
    private partial void LogStranger(string key, uint version);
}

/// <summary>One ceremony as it is kept.</summary>
/// <param name="Step">What was done.</param>
/// <param name="Version">To which version of the key.</param>
/// <param name="Act">Id of the approved act; the first is the founding of the service.</param>
/// <param name="ProposedBy">Opaque; null of the founding.</param>
/// <param name="ApprovedBy">Opaque; null of the founding.</param>
/// <param name="At">When it was decided here.</param>
/// <param name="IsDone">Whether the key is made, or destroyed.</param>
/// <param name="Key">To which key.</param>
/// <param name="Check">By which a version of the pseudonym key is known again that has begun its service.</param>
sealed record Ceremony(CeremonyStep Step, uint Version, string Act, string? ProposedBy, string? ApprovedBy, DateTimeOffset At, bool IsDone, KeyKind Key, byte[]? Check = null);

sealed record CeremonyFile(List<Ceremony> Ceremonies, ChainEnd? Erased, ChainEnd? Rotated, PeopleEnd? People, byte[] Mac);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(CeremonyFile)), JsonSerializable(typeof(List<Ceremony>)), JsonSerializable(typeof(ChainEnd)), JsonSerializable(typeof(PeopleEnd))]
sealed partial class CeremonyJson : JsonSerializerContext;
