using System.Diagnostics;
using System.Security.Cryptography;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Audit;

/// <summary>
/// The append-only log of who was shown what: sealed entries, an RFC 6962 tree over them, and signed checkpoints.
/// Thread-safe.
/// </summary>
/// <remarks>
/// Callers seal on their own threads; one thread writes. All that waits when it comes round shares one commit, one write and one flush, so
/// the more callers there are, the fewer disk flushes each costs (group commit; no artificial delay).
/// Law 1: <see cref="AppendAsync(AuditEntry, CancellationToken)"/> completes after the flush, never before.
/// </remarks>
public sealed class AuditLog : IAsyncDisposable
{
    private static readonly TimeSpan LongestGathering = TimeSpan.FromMicroseconds(400);

    /// <summary>Bytes of a commit beyond which no further append is let into it.</summary>
    private const int FullCommit = 4 << 20;

    /// <summary>Longest append of several entries, bytes at rest: they are one frame of one file.</summary>
    private const long LongestAppend = 256 << 20;

    private readonly AuditLogOptions _options;
    private readonly ILogger _logger;
    private readonly AuditAlarm _alarm;
    private readonly NoteSigner _signer;
    private readonly EntrySealer _sealer;
    private readonly Thread _writer;
    private readonly object _gate = new();
    private List<Waiting> _waiting = [];
    private int _waitingEntries;
    private bool _stopping;
    private TaskCompletionSource? _publishNow;

    // Ticks in milliseconds; 0: none. When the oldest entry of the commit that is under way was handed in; and since when entries are uncovered.
    private long _writing, _uncoveredSince;

    // Written by the writer thread alone; entries are found by any.
    private readonly ILogStore _store;

    // After a failure: before anything else is written, the store is made what it is known to be.
    private volatile bool _failed;

    private AuditLog(AuditLogOptions options, NoteSigner signer, EntrySealer sealer, ILogStore store, ILogger logger)
    {
        (_options, _signer, _sealer, _store, _logger, _alarm) = (options, signer, sealer, store, logger, new(logger));
        _writer = new Thread(Write) { IsBackground = true, Name = "audit log" };
        _writer.Start();
    }

    /// <summary>The key with which anyone checks this log's checkpoints.</summary>
    public NoteVerifier Verifier => _signer.Verifier;

    /// <summary>Commits since the log was opened, those of checkpoints alone included.</summary>
    public long Commits { get; private set; }

    /// <summary>Whether a folder has a log in files.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, LogStore.IdentityFile));

    /// <summary>Whether the store took what it was last given; where not, appends are refused until it does, which is tried every <see cref="AuditLogOptions.CheckpointInterval"/>.</summary>
    public bool IsTaking => !_failed;

    /// <summary>For how long the oldest entry has waited for the disk that is not on it yet; zero where none waits.</summary>
    public TimeSpan Lag
    {
        get
        {
            lock (_gate)
            {
                var oldest = _writing != 0 ? _writing : _waiting.Count > 0 ? _waiting[0].At : 0;
                return oldest == 0 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Environment.TickCount64 - oldest);
            }
        }
    }

    /// <summary>For how long there have been entries of this log that no checkpoint covers; zero where it covers all.</summary>
    public TimeSpan UncoveredFor => Volatile.Read(ref _uncoveredSince) is var since and not 0 ? TimeSpan.FromMilliseconds(Environment.TickCount64 - since) : TimeSpan.Zero;

    /// <summary>Opens the store, checks that it continues the last published checkpoint, and starts the writer.</summary>
    /// <exception cref="AuditStoreException">No store, another log's store, one in use, or one that contradicts its checkpoint.</exception>
    public static AuditLog Open(AuditLogOptions options, TimeProvider time, ILogger? logger = null)
    {
        var interval = options.CheckpointInterval;
        if (interval <= TimeSpan.Zero || interval > TimeSpan.FromSeconds(1))
            throw new ArgumentOutOfRangeException(nameof(options), "The checkpoint interval is more than 0 and at most 1 s.");
        logger ??= NullLogger.Instance;
        var signer = new NoteSigner(options.Origin, options.LogKey);
        var store = options.Engine is { } engine ? engine.Open(options, signer, logger) : LogStore.Open(options, signer, logger);
        try
        {
            return new AuditLog(options, signer, new EntrySealer(options.ReaderPublicKey, options.LogKey, time), store, logger);
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>Records one entry; completes when it is on disk.</summary>
    /// <param name="cancel">Stops the waiting. The entry may be recorded all the same.</param>
    /// <exception cref="AuditUnavailableException">It is not known to be on disk: what it records may not happen.</exception>
    public async ValueTask<AuditReceipt> AppendAsync(AuditEntry entry, CancellationToken cancel = default)
    {
        cancel.ThrowIfCancellationRequested();
        var row = _sealer.Seal(entry);
        return Receipt(await EnqueueAsync([row], cancel).ConfigureAwait(false), row);
    }

    /// <summary>Records several entries, all or none, next to each other.</summary>
    /// <inheritdoc cref="AppendAsync(AuditEntry, CancellationToken)"/>
    public async ValueTask<IReadOnlyList<AuditReceipt>> AppendAsync(IReadOnlyList<AuditEntry> entries, CancellationToken cancel = default)
    {
        cancel.ThrowIfCancellationRequested();
        if (entries.Count == 0)
            return [];
        var rows = new SealedRow[entries.Count];
        for (var i = 0; i < rows.Length; i++)
            rows[i] = _sealer.Seal(entries[i]);
        var first = await EnqueueAsync(rows, cancel).ConfigureAwait(false);
        return [.. rows.Select((row, i) => Receipt(first + i, row))];
    }

    /// <summary>The newest entries about a person, still sealed, newest first: those of every log that shares the store.</summary>
    /// <param name="subject">10-byte pseudonym.</param>
    /// <param name="limit">Most entries to give.</param>
    /// <param name="beforeIndex">Only entries with a smaller index: that of the last one of the page before.</param>
    /// <param name="withOwn">Whether those of the person's own visits too (<see cref="AuditEntry.IsOwn"/>).</param>
    /// <param name="mostBytes">The one with which their sealed texts are longer than this together is the last: an entry that names everything which was disclosed is long.</param>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public ValueTask<IReadOnlyList<SealedEntry>> ForSubjectAsync(ReadOnlySpan<byte> subject, int limit, long beforeIndex = long.MaxValue, bool withOwn = true, long mostBytes = long.MaxValue)
    {
        if (_sealer.TagOf(subject) is not { } tag)
            return new([]);
        var own = withOwn ? _sealer.TagOf(subject, isOwn: true) : null;
        return AskAsync<IReadOnlyList<SealedEntry>>(async () =>
        {
            var others = await _store.OfSubjectAsync(tag, limit, beforeIndex, mostBytes).ConfigureAwait(false);
            if (own is null || await _store.OfSubjectAsync(own, limit, beforeIndex, mostBytes).ConfigureAwait(false) is not { Count: > 0 } visits)
                return others;
            // Either may have ended for its length, with the entry that was too much: together they are at the end before they come so far.
            var (all, left) = (new List<SealedEntry>(), mostBytes);
            foreach (var entry in others.Concat(visits).OrderByDescending(static one => one.Index).Take(limit))
            {
                all.Add(entry);
                if ((left -= entry.Sealed.Length) < 0)
                    break;
            }
            return all;
        });
    }

    /// <summary>The proof that an entry is in the log, for whom it was received by; null to anybody else, and for an index that no entry has.</summary>
    /// <param name="receiver">As it was in <see cref="AuditEntry.Receiver"/>.</param>
    /// <exception cref="AuditUnavailableException">The store cannot be asked; or it is theirs and newer than the last checkpoint, and another could not be stored.</exception>
    public ValueTask<InclusionProof?> ProveAsync(long index, string receiver) => AskAsync<InclusionProof?>(async () =>
    {
        if (await _store.RowAtAsync(index).ConfigureAwait(false) is not { Receiver: { } expected } row
            || !CryptographicOperations.FixedTimeEquals(_sealer.ReceiverOf(row.Commitment, receiver), expected))
            return null;
        return await ProofOfAsync(index, row).ConfigureAwait(false);
    });

    private async ValueTask<InclusionProof> ProofOfAsync(long index, SealedRow row)
    {
        // The one that others have vouched for, where it covers the entry.
        if (await CosignedAsync().ConfigureAwait(false) is var (note, size) && index < size)
            return new(index, row.Leaf, await _store.Published.ProveInclusionAsync(index, size).ConfigureAwait(false), note);
        if (index >= _store.Published.Size)
            await PublishAsync().ConfigureAwait(false);
        var published = _store.Published;
        return new(index, row.Leaf, await published.ProveInclusionAsync(index, published.Size).ConfigureAwait(false), published.Note);
    }

    /// <summary>The proof that an entry is in the log, for the person whom it is about; null for one that is about somebody else or nobody, and for an index that no entry has.</summary>
    /// <param name="subject">10-byte pseudonym.</param>
    /// <exception cref="AuditUnavailableException">As of <see cref="ProveAsync(long, string)"/>.</exception>
    public ValueTask<InclusionProof?> ProveAboutAsync(long index, ReadOnlyMemory<byte> subject) => AskAsync(async () =>
        await _store.RowAtAsync(index).ConfigureAwait(false) is { Tag: { } tag } row && (IsOf(tag, subject.Span, isOwn: false) || IsOf(tag, subject.Span, isOwn: true))
            ? await ProofOfAsync(index, row).ConfigureAwait(false) : null);

    private bool IsOf(byte[] tag, ReadOnlySpan<byte> subject, bool isOwn) => _sealer.TagOf(subject, isOwn) is { } expected && CryptographicOperations.FixedTimeEquals(tag, expected);

    /// <summary>Reads every published entry of a stretch of time, and gives back those that are looked for, with what proves them.</summary>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    /// <exception cref="AuditStoreException">A row is missing or malformed, or the tree is not the one of the checkpoint.</exception>
    /// <exception cref="AuditSearchTooWideException">More than <see cref="AuditSearch.MostFound"/> are looked for.</exception>
    public async Task<AuditFindings> SearchAsync(AuditSearch search, CancellationToken cancel = default)
    {
        // What was appended before this call is searched as well, and can be proven.
        await PublishAsync().ConfigureAwait(false);
        return await search.RunAsync(_store, await _store.NewestAsync().ConfigureAwait(false), Verifier, cancel).ConfigureAwait(false);
    }

    /// <summary>What was pruned of the log; null: nothing.</summary>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public ValueTask<Pruning?> ReadPruningAsync() => AskAsync(_store.PrunedAsync);

    /// <summary>Before which index the log may be pruned: the time of all entries before it is over (<see cref="Pruning.IsOver"/>), and they are what the tree has signed. Reads them.</summary>
    /// <param name="atMost">Not more than that.</param>
    /// <returns>0, or what was pruned before: nothing more.</returns>
    /// <exception cref="AuditStoreException">An entry is not what the tree has signed, or that not what the checkpoint has.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async Task<long> PrunableAsync(DateTimeOffset now, long atMost = long.MaxValue, CancellationToken cancel = default)
    {
        var published = await _store.NewestAsync().ConfigureAwait(false);
        var before = (await _store.PrunedAsync().ConfigureAwait(false))?.Before ?? 0;
        var (end, _) = await Task.Run(() => new OverdueRows(_store, published, Verifier).ReadAsync(before, Math.Min(published.Size, Math.Max(atMost, before)), now, cancel), cancel).ConfigureAwait(false);
        return Math.Max(before, await _store.BoundaryAsync(end).ConfigureAwait(false));
    }

    /// <summary>Takes away all that entries before an index were about, of which nothing is to be had afterwards. Leaves, tiles and checkpoints stay, so every proof and every check is what it was. What a kill leaves half done is done when the log is opened, or by the same call.</summary>
    /// <param name="before">At most what <see cref="PrunableAsync"/> gives, and where the store can be cut.</param>
    /// <param name="reason">As of <see cref="Pruning"/>.</param>
    /// <param name="now">UTC.</param>
    /// <param name="record">Given what will be done, records it: it is called before anything is.</param>
    /// <param name="cancel">Stops the looking. What has begun goes on.</param>
    /// <returns>Null: an entry before it is kept still, or it is not where the store can be cut. Nothing was done.</returns>
    /// <exception cref="AuditStoreException">An entry is not what the tree has signed: nothing is taken away of what may be evidence.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    /// <exception cref="IOException">It may not be at its end.</exception>
    public async Task<Pruning?> PruneAsync(long before, string reason, DateTimeOffset now, Func<Pruning, ValueTask> record, CancellationToken cancel = default)
    {
        var published = await _store.NewestAsync().ConfigureAwait(false);
        var pruned = await _store.PrunedAsync().ConfigureAwait(false);
        if (before <= pruned?.Before)
        {
            await _store.PruneAsync(pruned, cancel).ConfigureAwait(false);
            return pruned;
        }
        if (before <= 0 || before > published.Size || await _store.BoundaryAsync(before).ConfigureAwait(false) != before)
            return null;
        var (end, newest) = await Task.Run(() => new OverdueRows(_store, published, Verifier).ReadAsync(pruned?.Before ?? 0, before, now, cancel), cancel).ConfigureAwait(false);
        if (end < before || newest is not { } last)
            return null;
        var root = await TiledTree.RootAsync(before, published.ReadTileAsync).ConfigureAwait(false);
        var pruning = new Pruning(_options.Origin, before, root, pruned?.Newest > last ? pruned.Newest : last, DateTimeOffset.FromUnixTimeMilliseconds(now.ToUnixTimeMilliseconds()), reason).Sign(_signer);
        await record(pruning).ConfigureAwait(false);
        await _store.PruneAsync(pruning, cancel).ConfigureAwait(false);
        return pruning;
    }

    /// <summary>The largest checkpoint with cosignatures that was kept, by whichever log shares the store; null: none. Who has cosigned it is the caller's to check.</summary>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public ValueTask<string?> ReadCosignedCheckpointAsync() => AskAsync(async () => (await CosignedAsync().ConfigureAwait(false))?.Note);

    /// <summary>Keeps a checkpoint of this log with its cosignatures; it is durable when this returns. One of the same size is replaced, a larger one stays.</summary>
    /// <returns>Whether it was kept.</returns>
    /// <exception cref="AuditUnavailableException">It is not known to be kept.</exception>
    /// <exception cref="ArgumentException">It is no checkpoint that this log has published.</exception>
    public async ValueTask<bool> KeepCosignedAsync(string note)
    {
        if (!Checkpoint.TryOpen(note, Verifier, out var checkpoint) || checkpoint.Size > await PublishedSizeAsync(checkpoint.Size).ConfigureAwait(false))
            throw new ArgumentException("This is no checkpoint that the log has published.", nameof(note));
        return await _store.KeepCosignedAsync(checkpoint.Size, note).ConfigureAwait(false);
    }

    /// <summary>Proof that the published tree of a size continues the one of an earlier size (RFC 6962 §2.1.2).</summary>
    /// <param name="earlier">1 to <paramref name="size"/>.</param>
    /// <param name="size">Of a published checkpoint.</param>
    /// <exception cref="ArgumentOutOfRangeException">Nothing of that size is published.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask<IReadOnlyList<byte[]>> ProveConsistencyAsync(long earlier, long size)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, await PublishedSizeAsync(size).ConfigureAwait(false));
        return await _store.Published.ProveConsistencyAsync(earlier, size).ConfigureAwait(false);
    }

    private async ValueTask<long> PublishedSizeAsync(long wanted) => _store.Published.Size >= wanted ? _store.Published.Size : (await _store.NewestAsync().ConfigureAwait(false)).Size;

    // One that is larger than what is published is of a store that was put back, and one under another key of nobody.
    private async ValueTask<(string Note, long Size)?> CosignedAsync() =>
        await _store.CosignedAsync().ConfigureAwait(false) is { } note && Checkpoint.TryOpen(note, Verifier, out var checkpoint) && checkpoint.Size <= await PublishedSizeAsync(checkpoint.Size).ConfigureAwait(false)
            ? (note, checkpoint.Size) : null;

    /// <summary>
    /// The last checkpoint that this log has published or seen, a signed note. It covers every entry that is older than <see cref="AuditLogOptions.CheckpointInterval"/>.
    /// </summary>
    public string ReadCheckpoint() => _store.Published.Note;

    /// <summary>The last checkpoint that any log which shares the store has published: asked at whichever, none is smaller than one that was given before.</summary>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public ValueTask<string> ReadNewestCheckpointAsync() => AskAsync(async () => (await _store.NewestAsync().ConfigureAwait(false)).Note);

    /// <summary>
    /// A tile or entry bundle of the published tree; null when the published tree does not have it.
    /// </summary>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public ValueTask<byte[]?> ReadTileAsync(TilePath path) => AskAsync(async () =>
    {
        var published = _store.Published;
        if (path.EndSize > published.Size)
            published = await _store.NewestAsync().ConfigureAwait(false);
        return path.EndSize > published.Size ? null : await published.ReadAsync(path).ConfigureAwait(false);
    });

    /// <summary>Publishes a checkpoint over everything appended so far, without waiting for the interval.</summary>
    /// <exception cref="AuditUnavailableException">It could not be stored.</exception>
    public Task PublishAsync()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_stopping, this);
            _publishNow ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Monitor.Pulse(_gate);
            return _publishNow.Task;
        }
    }

    /// <summary>Reads the whole store and checks it against its tree and checkpoint; see <see cref="AuditVerification"/>.</summary>
    public AuditVerification Verify(string? earlierCheckpoint = null) => _store.Verify(earlierCheckpoint);

    /// <summary>Writes what waits, publishes it, and closes the store.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _stopping = true;
            Monitor.Pulse(_gate);
        }
        await Task.Run(_writer.Join).ConfigureAwait(false);
        _sealer.Dispose();
        _signer.Dispose();
    }

    // A store that contradicts itself answers nobody, and somebody has to look at it.
    private async ValueTask<T> AskAsync<T>(Func<ValueTask<T>> ask)
    {
        try
        {
            return await ask().ConfigureAwait(false);
        }
        catch (AuditStoreException e)
        {
            _alarm.Raise(e.Message);
            throw new AuditUnavailableException("The audit store is not what it has to be.", e);
        }
    }

    private static AuditReceipt Receipt(long index, SealedRow row) => new(index, Convert.ToHexStringLower(row.Commitment[..16]));

    private async Task<long> EnqueueAsync(SealedRow[] rows, CancellationToken cancel)
    {
        var waiting = new Waiting(rows);
        if (rows.Length > 1 && waiting.Length > LongestAppend)
            throw new ArgumentException("The entries of one append are too long together.", nameof(rows));
        lock (_gate)
        {
            if (_stopping || _waitingEntries + rows.Length > _options.MaxWaiting)
                throw new AuditUnavailableException(_stopping ? "The audit log is closed." : "Too many audit entries wait for the disk.");
            _waiting.Add(waiting);
            _waitingEntries += rows.Length;
            if (_waiting.Count == 1)
                Monitor.Pulse(_gate);
        }
        return await waiting.Stored.Task.WaitAsync(cancel).ConfigureAwait(false);
    }

    // The writer thread. Each round takes all that waits and makes it durable in one transaction.
    private void Write()
    {
        var batch = new List<Waiting>();
        var due = Environment.TickCount64;
        while (true)
        {
            TaskCompletionSource? publishNow;
            lock (_gate)
            {
                while (_waiting.Count == 0 && _publishNow is null && !_stopping)
                {
                    var behind = _failed || _store.IsBehind;
                    var left = behind ? due - Environment.TickCount64 : Timeout.Infinite;
                    if (behind && left <= 0)
                        break;
                    Monitor.Wait(_gate, (int)left);
                }
            }
            Gather();
            lock (_gate)
            {
                (batch, _waiting) = (_waiting, batch);
                _waitingEntries = 0;
                _writing = batch.Count > 0 ? batch[0].At : 0;
                (publishNow, _publishNow) = (_publishNow, null);
                if (_stopping && batch.Count == 0 && publishNow is null)
                    break;
            }

            var wanted = publishNow is not null || Environment.TickCount64 >= due;
            try
            {
                if (_failed)
                    Recover();
                Store(batch);
                if (batch.Count > 0 && _uncoveredSince == 0)
                    Volatile.Write(ref _uncoveredSince, Environment.TickCount64);
                if (wanted && _store.IsBehind)
                {
                    _store.Publish();
                    Volatile.Write(ref _uncoveredSince, 0);
                    due = Environment.TickCount64 + (long)_options.CheckpointInterval.TotalMilliseconds;
                }
                publishNow?.SetResult();
            }
            catch (Exception e)
            {
                // Whatever it was, this round's callers must not believe that they were recorded, and the next round
                // must not build on what this one may have left on disk.
                due = Environment.TickCount64 + (long)_options.CheckpointInterval.TotalMilliseconds;
                GiveUp(batch, publishNow, e);
            }
            batch.Clear();
            lock (_gate)
                _writing = 0;
        }
        try
        {
            if (_failed)
                Recover();
            _store.Publish();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or AuditStoreException)
        {
            Log.CheckpointFailed(_logger, e.GetType().Name);
        }
        _store.Dispose();
    }

    // A commit costs as much for one entry as for many: who is about to add one is let in first, for as long as others come. Where
    // nobody does, that takes a few microseconds.
    private void Gather()
    {
        var began = Stopwatch.GetTimestamp();
        var seen = Volatile.Read(ref _waitingEntries);
        for (var quiet = 0; seen > 0 && quiet < 3 && Stopwatch.GetElapsedTime(began) < LongestGathering;)
        {
            Thread.Yield();
            var now = Volatile.Read(ref _waitingEntries);
            (quiet, seen) = now > seen ? (0, now) : (quiet + 1, seen);
        }
    }

    private void Store(List<Waiting> batch)
    {
        for (var next = 0; next < batch.Count;)
        {
            var from = next;
            _options.OnStep?.Invoke(DurableStep.BeforeInsert);
            _store.Begin();
            do
                foreach (var row in batch[next].Rows)
                    _store.Insert(row);
            while (++next < batch.Count && _store.Waiting + batch[next].Length <= FullCommit);
            _options.OnStep?.Invoke(DurableStep.BeforeCommit);
            var first = _store.Commit();
            // :: Durable from here on.
            Commits++;
            _options.OnStep?.Invoke(DurableStep.AfterCommit);
            for (; from < next; from++)
            {
                batch[from].Stored.SetResult(first);
                first += batch[from].Rows.Length;
            }
            // The tree is nobody's to wait for: a checkpoint says when it has grown.
            _store.Grow();
        }
    }

    private void GiveUp(List<Waiting> batch, TaskCompletionSource? publishNow, Exception cause)
    {
        _failed = true;
        Log.WriteFailed(_logger, batch.Count, (cause.InnerException ?? cause).GetType().Name, cause.HResult);
        if (cause is AuditStoreException)
            _alarm.Raise(cause.Message);
        // The commit may be on disk. Appending again could record one disclosure twice, so the callers are told that it is not known.
        foreach (var waiting in batch)
            waiting.Stored.TrySetException(new AuditUnavailableException("The audit log could not be written.", cause));
        publishNow?.TrySetException(new AuditUnavailableException("The audit checkpoint could not be written.", cause));
    }

    private void Recover()
    {
        _store.Recover();
        _failed = false;
    }

    private sealed class Waiting(SealedRow[] rows)
    {
        public SealedRow[] Rows { get; } = rows;

        /// <summary>When it was handed in, milliseconds of <see cref="Environment.TickCount64"/>.</summary>
        public long At { get; } = Environment.TickCount64;

        /// <summary>Bytes at rest.</summary>
        public long Length { get; } = rows.Length == 1 ? rows[0].StoredLength : rows.Sum(r => (long)r.StoredLength);

        /// <summary>Index of the first row, when they are on disk.</summary>
        public TaskCompletionSource<long> Stored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

static partial class Log
{
    [LoggerMessage(1, LogLevel.Error, "Audit log: {Callers} callers refused, the store could not be written ({Cause}, {Code}).")]
    public static partial void WriteFailed(ILogger logger, int callers, string cause, int code);

    [LoggerMessage(2, LogLevel.Warning, "Audit log: the last checkpoint could not be stored on closing ({Cause}).")]
    public static partial void CheckpointFailed(ILogger logger, string cause);

    [LoggerMessage(3, LogLevel.Warning, "Audit log: a finished file of rows could not be settled and stays in memory until it can ({Cause}).")]
    public static partial void SettlingFailed(ILogger logger, string cause);
}
