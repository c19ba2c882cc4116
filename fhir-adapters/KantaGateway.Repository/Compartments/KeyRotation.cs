using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>How far the wrapping of all data keys with the current wrapping key is.</summary>
/// <param name="Version">The current wrapping key.</param>
/// <param name="All">Data keys in the store.</param>
/// <param name="Left">Those still wrapped with another version.</param>
/// <param name="PerSecond">Of this process, in the run that is on or was last; 0 before the first.</param>
sealed record RotationProgress(uint Version, long All, long Left, double PerSecond) : WorkProgress(All, Left, PerSecond)
{
    /// <summary>Records whose data key is being replaced in this process.</summary>
    public IReadOnlyList<RecordProgress> Records { get; init; } = [];
}

/// <summary>
/// Has every data key wrapped with the current wrapping key while requests go on. What is left to do is what the store says, so a run that a kill cut off goes on
/// where it stopped, and several repositories over one store take from each other's work.
/// </summary>
/// <remarks>
/// It begins when it is told of a ceremony, and looks by itself at the start and every <see cref="Interval"/>. A record that was begun just before a ceremony
/// may be stored just after the run has passed its place: the store is looked through once more after <see cref="LongestWrite"/>. And every hour, for a store that was restored from a backup has old keys again. What a backup has brought back of people whose
/// keys are destroyed, which the key service says, is removed again. A key service that was restored, and lacks people, is given every key: by what stands behind them it finds the people again. And once more after <see cref="LongestWrite"/>, for whoever was stored behind that run.
/// </remarks>
sealed partial class KeyRotation(ICompartmentStore store, KeyClient keys, OpenedCompartments opened, DataKeyRotations records, TimeProvider time, ILogger<KeyRotation> logger) : BackgroundService
{
    public static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    /// <summary>Longer than any write may take from the making of its key to its commit.</summary>
    public static readonly TimeSpan LongestWrite = TimeSpan.FromMinutes(5);

    /// <summary>Also where everything was found to be done: a store may have been restored from a backup meanwhile.</summary>
    public static readonly TimeSpan LookAgain = TimeSpan.FromHours(1);

    private const int AtOnce = 100;

    private readonly SemaphoreSlim _told = new(0, 1);
    private (uint Version, DateTimeOffset Seen) _current;
    private (uint Version, DateTimeOffset Began) _clean;
    private DateTimeOffset? _broughtBack;
    private long _replaced;
    private long _began, _ended;

    /// <summary>Has it look now.</summary>
    public void Begin()
    {
        try
        {
            _told.Release();
        }
        catch (SemaphoreFullException)
        {
            // It has been told already.
        }
    }

    /// <summary>Counts what is left: looks at every compartment.</summary>
    /// <exception cref="FaultException">The key service does not answer.</exception>
    /// <exception cref="StoreException">The database does not.</exception>
    public async Task<RotationProgress> CountAsync(CancellationToken cancel)
    {
        var version = (await keys.VersionsAsync(cancel).ConfigureAwait(false)).Current;
        var count = await store.CountKeysAsync(version, cancel).ConfigureAwait(false);
        return new(version, count.All, count.Others, WorkProgress.RateOf(Volatile.Read(ref _replaced), time.GetElapsedTime(Volatile.Read(ref _began), Volatile.Read(ref _ended)))) { Records = records.Progress };
    }

    protected override async Task ExecuteAsync(CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                try
                {
                    await RotateAsync(stopping).ConfigureAwait(false);
                }
                catch (Exception failure) when (failure is StoreException or FaultException)
                {
                    // Whoever is down comes back; the store knows what is left.
                    LogInterrupted(failure.Message);
                }
                using var wait = CancellationTokenSource.CreateLinkedTokenSource(stopping);
                await Task.WhenAny(_told.WaitAsync(wait.Token), Task.Delay(Interval, time, wait.Token)).ConfigureAwait(false);
                await wait.CancelAsync().ConfigureAwait(false);
                stopping.ThrowIfCancellationRequested();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The host is being disposed: there is nobody to tell.
        }
    }

    private async Task RotateAsync(CancellationToken cancel)
    {
        var versions = await keys.VersionsAsync(cancel).ConfigureAwait(false);
        var (version, now) = (versions.Current, time.GetUtcNow());
        if (_current.Version != version)
            _current = (version, now);
        // Whoever was stored behind the run that brought everybody back is brought back by another one.
        var bringsBack = versions.Lacks || now >= _broughtBack + LongestWrite;
        // What is restored under it has old keys again, and says nothing.
        if (!bringsBack && _clean.Version == version && now < _clean.Began + LookAgain && (_clean.Began >= _current.Seen + LongestWrite || now < _current.Seen + LongestWrite))
            return;
        Volatile.Write(ref _replaced, 0);
        Volatile.Write(ref _began, time.GetTimestamp());
        var (refused, erased) = (0, 0);
        Pseudonym? after = null;
        while (true)
        {
            // Where the key service lacks people, all of them: it finds them again by what stands behind their keys.
            var page = await store.ReadKeysAsync(bringsBack ? 0 : version, after, AtOnce, cancel).ConfigureAwait(false);
            if (page.Count == 0)
                break;
            var wrapped = await keys.RewrapAsync(page, cancel).ConfigureAwait(false);
            var changes = new List<ReplacedKey>(page.Count);
            for (var i = 0; i < page.Count; i++)
                if (wrapped[i] is not { } anew)
                    refused++;
                else if (anew.AsSpan().SequenceEqual(page[i].Wrapped))
                    continue;
                else if (anew.Length > 0)
                    changes.Add(new(page[i].Compartment, page[i].Wrapped, anew));
                else
                {
                    await opened.EraseAsync(page[i].Compartment, cancel).ConfigureAwait(false);
                    erased++;
                }
            if (changes.Count > 0)
                Volatile.Write(ref _replaced, _replaced + await store.ReplaceKeysAsync(changes, cancel).ConfigureAwait(false));
            Volatile.Write(ref _ended, time.GetTimestamp());
            after = page[^1].Compartment;
        }
        if (versions.Lacks && !await keys.ToldOfEverybodyAsync(cancel).ConfigureAwait(false))
            LogUntold();
        if (bringsBack)
            _broughtBack = versions.Lacks ? now : null;
        if (_replaced > 0)
            LogDone(_replaced, version);
        if (refused > 0)
            LogRefused(refused);
        if (erased > 0)
            LogErased(erased);
        _clean = (version, now);
    }

    public override void Dispose()
    {
        _told.Dispose();
        base.Dispose();
    }

    [LoggerMessage(2201, LogLevel.Warning, "{Count} data keys are wrapped with the wrapping key of version {Version} now.")]
    private partial void LogDone(long count, uint version);

    [LoggerMessage(2202, LogLevel.Critical, "{Count} data keys could not be wrapped anew: they are damaged, or their wrapping key does not serve. No version of the wrapping key can be destroyed while they are there.")]
    private partial void LogRefused(int count);

    [LoggerMessage(2210, LogLevel.Critical, "The key service was brought back from a backup, and knows of records of which this store has not told: if it is an older store, have two operators accept it (store-restore). Until then nobody new gets a number.")]
    private partial void LogUntold();

    [LoggerMessage(2204, LogLevel.Warning, "What was back in the store of {Count} people whose keys are destroyed, out of a backup perhaps, is removed again.")]
    private partial void LogErased(int count);

    [LoggerMessage(2203, LogLevel.Warning, "The wrapping of data keys with the current wrapping key stopped and goes on by itself: {Failure}")]
    private partial void LogInterrupted(string failure);
}
