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
/// Puts versions of the wrapping key into service and destroys them, each by the approval of two operators, and keeps by whose: a key that came into the backend by another
/// way serves nobody. Thread-safe.
/// </summary>
/// <remarks>
/// <c>ceremonies.json</c> in the custody folder: the ceremonies in their order, where the records of erased people and of rotated data keys end, and an HMAC over all of it, whose key is made by the pseudonym key. A ceremony is
/// written as decided, the key is made or destroyed, it is written as done: one that a kill or a silent backend cut off is brought to its end at the next start, or
/// when it is asked for again.
/// </remarks>
sealed partial class KeyCeremonies(string folder, IKeyBackend backend, WrappingVersions versions, byte[] macKey, TimeProvider time, ILogger<KeyCeremonies> logger) : IDisposable
{
    /// <summary>
    /// How long a version stays when the next one has begun: a record may still be stored whose key was made before that. Longer than any write may take.
    /// </summary>
    public static readonly TimeSpan Overlap = TimeSpan.FromMinutes(10);

    private readonly SemaphoreSlim _turn = new(1);
    private readonly string _path = Path.Combine(folder, "ceremonies.json");
    private List<Ceremony> _held = [];

    /// <summary>Where the record of erased people ends; null: nothing was held yet, or not since there are erasures.</summary>
    public ChainEnd? Erased { get; private set; }

    /// <summary>Where the record of rotated data keys ends; null: none was yet.</summary>
    public ChainEnd? Rotated { get; private set; }

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
        if (file is not { Ceremonies: { Count: > 0 } held, Mac: { } mac } || !CryptographicOperations.FixedTimeEquals(mac, MacOf(held, file.Erased, file.Rotated)))
            throw new InvalidOperationException($"{_path} is not as this key service wrote it: bring it back from where it was kept.");
        (_held, Erased, Rotated) = (held, file.Erased, file.Rotated);
    }

    /// <summary>Founds the service where nothing was held, and ends what was cut off.</summary>
    /// <exception cref="InvalidOperationException">The keys are not those of the ceremonies; says what to do.</exception>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    public async Task OpenAsync(CancellationToken cancel)
    {
        var there = await backend.VersionsAsync(cancel).ConfigureAwait(false);
        if (_held.Count == 0 && there is [1])
            Write([new(CeremonyStep.Begin, 1, "founding", null, null, time.GetUtcNow(), IsDone: true)]);
        else if (_held.Count == 0)
            throw new InvalidOperationException($"There is no {_path}, and the backend has versions {string.Join(", ", there)} of the wrapping key: a service is founded with version 1 alone, and one that was founded keeps this file.");
        if (Serving().Except(there).ToList() is { Count: > 0 } missing)
            throw new InvalidOperationException($"The backend has lost the wrapping key of version {string.Join(", ", missing)}, which data keys are wrapped with.");
        if (_held[^1] is { IsDone: false } begun)
            await EndAsync(begun, cancel).ConfigureAwait(false);
        Serve();
        foreach (var version in (await backend.VersionsAsync(cancel).ConfigureAwait(false)).Except(versions.All))
            LogStranger(version);
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
            if (known is not null ? (known.Step, known.Version) != (ceremony.Step, ceremony.Version) : !_held[^1].IsDone || !IsNext(ceremony))
                return CeremonyOutcome.NotNext;
            if (known is null && ceremony.Step == CeremonyStep.Destroy && time.GetUtcNow() < _held.Last(one => one.Step == CeremonyStep.Begin && one.Version == ceremony.Version + 1).At + Overlap)
                return CeremonyOutcome.TooSoon;
            if (known is null)
                Write([.. _held, known = new(ceremony.Step, ceremony.Version, ceremony.Act, ceremony.ProposedBy, ceremony.ApprovedBy, time.GetUtcNow(), IsDone: false)]);
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

    /// <summary>Keeps where the record of erased people, or of rotated data keys, ends; on disk when this returns.</summary>
    /// <param name="erased">Null: as it is kept.</param>
    /// <param name="rotated">Null: as it is kept.</param>
    /// <exception cref="IOException">It may not be. Ask again.</exception>
    public async Task KeepAsync(ChainEnd? erased = null, ChainEnd? rotated = null)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            Write(_held, erased ?? Erased, rotated ?? Rotated);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    private void Serve() => versions.Set(Serving());

    /// <summary>The next version begins; the lowest is destroyed, and never the only one.</summary>
    private bool IsNext(KeyCeremony ceremony) => Serving() is var serving && ceremony.Step == CeremonyStep.Begin
        ? ceremony.Version == serving[^1] + 1 : serving.Count > 1 && ceremony.Version == serving[0];

    /// <summary>What has begun and nobody has decided to destroy, in order.</summary>
    private List<uint> Serving() => [.. _held.Where(static one => one is { Step: CeremonyStep.Begin, IsDone: true }).Select(static one => one.Version)
        .Except(_held.Where(static one => one.Step == CeremonyStep.Destroy).Select(static one => one.Version)).Order()];

    private async Task EndAsync(Ceremony decided, CancellationToken cancel)
    {
        if (decided.Step == CeremonyStep.Begin)
            await backend.MakeAsync(decided.Version, cancel).ConfigureAwait(false);
        else
        {
            // From here on it opens nothing, whatever becomes of the rest.
            Serve();
            await backend.DestroyAsync(decided.Version, cancel).ConfigureAwait(false);
        }
        Write([.. _held[..^1], decided with { IsDone = true }]);
        LogHeld(decided.Version, decided.Step, decided.Act);
    }

    private void Write(List<Ceremony> held) => Write(held, Erased, Rotated);

    private void Write(List<Ceremony> held, ChainEnd? erased, ChainEnd? rotated)
    {
        OwnerOnly.WriteWhole(_path, JsonSerializer.SerializeToUtf8Bytes(new(held, erased, rotated, MacOf(held, erased, rotated)), CeremonyJson.Default.CeremonyFile), overwrite: true);
        (_held, Erased, Rotated) = (held, erased, rotated);
    }

    // A service that was founded before there were erasures has the ceremonies alone under it, and one that has rotated no data key nothing of those.
    private byte[] MacOf(List<Ceremony> held, ChainEnd? erased, ChainEnd? rotated)
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
        return mac.GetHashAndReset();
    }

    [LoggerMessage(1302, LogLevel.Warning, "Key ceremony: version {Version} of the wrapping key, {Step}, by the act {Act}.")]
    private partial void LogHeld(uint version, CeremonyStep step, string act);

    [LoggerMessage(1303, LogLevel.Critical, "The backend has a wrapping key of version {Version} that no ceremony has put into service: nothing is wrapped with it. Two operators do so by an act of the kind key-ceremony.")]
    private partial void LogStranger(uint version);
}

/// <summary>One ceremony as it is kept.</summary>
/// <param name="Step">What was done.</param>
/// <param name="Version">To which version of the wrapping key.</param>
/// <param name="Act">Id of the approved act; the first is the founding of the service.</param>
/// <param name="ProposedBy">Opaque; null of the founding.</param>
/// <param name="ApprovedBy">Opaque; null of the founding.</param>
/// <param name="At">When it was decided here.</param>
/// <param name="IsDone">Whether the key is made, or destroyed.</param>
sealed record Ceremony(CeremonyStep Step, uint Version, string Act, string? ProposedBy, string? ApprovedBy, DateTimeOffset At, bool IsDone);

sealed record CeremonyFile(List<Ceremony> Ceremonies, ChainEnd? Erased, ChainEnd? Rotated, byte[] Mac);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(CeremonyFile)), JsonSerializable(typeof(List<Ceremony>)), JsonSerializable(typeof(ChainEnd))]
sealed partial class CeremonyJson : JsonSerializerContext;
