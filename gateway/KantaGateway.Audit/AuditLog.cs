using System.Diagnostics;
using System.Security.Cryptography;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Audit;

/// <summary>
/// The append-only log of who was shown what: sealed entries, an RFC 6962 tree over them, and signed checkpoints.
/// Thread-safe.
/// </summary>
/// <remarks>
/// Callers seal on their own threads; one thread writes. All that waits when it comes round shares one commit, so the
/// more callers there are, the fewer disk flushes each costs (group commit; no artificial delay).
/// Law 1: <see cref="AppendAsync(AuditEntry, CancellationToken)"/> completes after the flush, never before.
/// </remarks>
public sealed class AuditLog : IAsyncDisposable
{
    private static readonly TimeSpan LongestGathering = TimeSpan.FromMicroseconds(400);

    private readonly AuditLogOptions _options;
    private readonly ILogger _logger;
    private readonly NoteSigner _signer;
    private readonly EntrySealer _sealer;
    private readonly FileStream _lock;
    private readonly Thread _writer;
    private readonly object _gate = new();
    private List<Waiting> _waiting = [];
    private int _waitingEntries;
    private bool _stopping;
    private TaskCompletionSource? _publishNow;

    // Of the writer thread alone. Null after a failure: the store is opened anew, and its content decides what is true.
    private LogStore? _store;
    private TreeEdge _edge;

    private volatile Published _published;

    private AuditLog(AuditLogOptions options, NoteSigner signer, EntrySealer sealer, FileStream storeLock, LogStore store, TreeEdge edge,
        Published published, ILogger logger)
    {
        (_options, _signer, _sealer, _lock, _store, _edge, _published, _logger) = (options, signer, sealer, storeLock, store, edge, published, logger);
        _writer = new Thread(Write) { IsBackground = true, Name = "audit log" };
        _writer.Start();
    }

    /// <summary>The key with which anyone checks this log's checkpoints.</summary>
    public NoteVerifier Verifier => _signer.Verifier;

    /// <summary>Commits since the log was opened, those of checkpoints alone included.</summary>
    public long Commits { get; private set; }

    /// <summary>Opens the store, checks that it continues the last published checkpoint, and starts the writer.</summary>
    /// <exception cref="AuditStoreException">No store, another log's store, one in use, or one that contradicts its checkpoint.</exception>
    public static AuditLog Open(AuditLogOptions options, TimeProvider time, ILogger? logger = null)
    {
        var interval = options.CheckpointInterval;
        if (interval <= TimeSpan.Zero || interval > TimeSpan.FromSeconds(1))
            throw new ArgumentOutOfRangeException(nameof(options), "The checkpoint interval is more than 0 and at most 1 s.");
        var signer = new NoteSigner(options.Origin, options.LogKey);
        if (options.Create)
            OwnerOnly.CreateFolder(options.Folder);
        if (!Directory.Exists(options.Folder))
            throw new AuditStoreException("There is no audit store in the configured folder.");
        var storeLock = Lock(options.Folder);
        LogStore? store = null;
        try
        {
            if (options.Create)
                LogStore.Create(options.Folder, signer.Verifier, new Checkpoint(options.Origin, 0, Merkle.Empty).Sign(signer));
            store = LogStore.Open(options.Folder, signer.Verifier);
            var (edge, published) = Load(store, signer.Verifier);
            var sealer = new EntrySealer(options.ReaderPublicKey, options.LogKey, time);
            return new AuditLog(options, signer, sealer, storeLock, store, edge, published, logger ?? NullLogger.Instance);
        }
        catch
        {
            store?.Dispose();
            storeLock.Dispose();
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

    /// <summary>The newest entries about a person, still sealed, newest first.</summary>
    /// <param name="subject">10-byte pseudonym.</param>
    /// <param name="limit">Most entries to give.</param>
    /// <param name="beforeIndex">Only entries with a smaller index: that of the last one of the page before.</param>
    public IReadOnlyList<SealedEntry> ForSubject(ReadOnlySpan<byte> subject, int limit, long beforeIndex = long.MaxValue)
    {
        if (_sealer.TagOf(subject) is not { } tag)
            return [];
        using var reader = LogStore.OpenReader(_options.Folder, Verifier);
        return StoreReads.OfSubject(reader, tag, limit, beforeIndex);
    }

    /// <summary>The proof that an entry is in the log, for whom it was received by; null to anybody else, and for an index that no entry has.</summary>
    /// <param name="receiver">As it was in <see cref="AuditEntry.Receiver"/>.</param>
    /// <exception cref="AuditUnavailableException">It is theirs and newer than the last checkpoint, and another could not be stored.</exception>
    public async ValueTask<InclusionProof?> ProveAsync(long index, string receiver)
    {
        using var reader = LogStore.OpenReader(_options.Folder, Verifier);
        if (StoreReads.Receivable(reader, index) is not (var leaf, var expected)
            || !CryptographicOperations.FixedTimeEquals(_sealer.ReceiverOf(leaf.AsSpan(0, Merkle.HashLength), receiver), expected))
            return null;
        if (index >= _published.Size)
            await PublishAsync().ConfigureAwait(false);
        var published = _published;
        var tree = new TiledTree(published.Size, path => StoreReads.Tile(reader, path) ?? throw new AuditStoreException($"The store lacks the hashes of {path}."));
        return new(index, leaf, tree.ProveInclusion(index), published.Note);
    }

    /// <summary>The last published checkpoint, a signed note. Covers every entry that is older than <see cref="AuditLogOptions.CheckpointInterval"/>.</summary>
    public string ReadCheckpoint() => _published.Note;

    /// <summary>
    /// A tile or entry bundle of the published tree; null when the published tree does not have it.
    /// </summary>
    public byte[]? ReadTile(TilePath path)
    {
        if (path.EndSize > _published.Size)
            return null;
        using var reader = LogStore.OpenReader(_options.Folder, Verifier);
        return path.Level == TilePath.Entries ? StoreReads.EntryBundle(reader, path) : StoreReads.Tile(reader, path);
    }

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
    public AuditVerification Verify(string? earlierCheckpoint = null) => AuditVerification.Of(_options.Folder, Verifier, earlierCheckpoint);

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
        _lock.Dispose();
        LogStore.ReleaseReaders(_options.Folder);
    }

    private static AuditReceipt Receipt(long index, SealedRow row) => new(index, Convert.ToHexStringLower(row.Commitment[..16]));

    private async Task<long> EnqueueAsync(SealedRow[] rows, CancellationToken cancel)
    {
        var waiting = new Waiting(rows);
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
        // A checkpoint signed over what the last commit made durable, to be stored with the next one.
        Published? signed = null;
        var due = Environment.TickCount64;
        while (true)
        {
            TaskCompletionSource? publishNow;
            lock (_gate)
            {
                while (_waiting.Count == 0 && _publishNow is null && !_stopping)
                {
                    var behind = _store is null || _edge.Size > _published.Size;
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
                (publishNow, _publishNow) = (_publishNow, null);
                if (_stopping && batch.Count == 0 && publishNow is null)
                    break;
            }

            var wanted = publishNow is not null || Environment.TickCount64 >= due;
            try
            {
                _store ??= Reopen();
                if (batch.Count > 0)
                    Store(batch, signed);
                // What Store has stored besides the batch, it has published.
                signed = null;
                if (wanted && _edge.Size > _published.Size)
                {
                    signed = Sign();
                    due = Environment.TickCount64 + (long)_options.CheckpointInterval.TotalMilliseconds;
                }
                // Under load the checkpoint rides with the next batch; alone it takes a commit of its own.
                if (signed is not null && (publishNow is not null || IsIdle()))
                {
                    Store([], signed);
                    signed = null;
                }
                publishNow?.SetResult();
            }
            catch (Exception e)
            {
                // Whatever it was, this round's callers must not believe that they were recorded, and the next round
                // must not build on what this one may have left in memory.
                signed = null;
                due = Environment.TickCount64 + (long)_options.CheckpointInterval.TotalMilliseconds;
                GiveUp(batch, publishNow, e);
            }
            batch.Clear();
        }
        try
        {
            if (_store is not null && _edge.Size > _published.Size)
                Store([], Sign());
        }
        catch (Exception e) when (e is SqliteException or IOException)
        {
            Log.CheckpointFailed(_logger, e.GetType().Name);
        }
        _store?.Dispose();
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

    // A log never signs two histories of one size, so it signs only what is already on disk: after a crash between here
    // and the storing of the note, the tree still has these entries.
    private Published Sign() => new(_edge.Size, new Checkpoint(_options.Origin, _edge.Size, _edge.Root()).Sign(_signer));

    private void Store(List<Waiting> batch, Published? checkpoint)
    {
        var store = _store!;
        var changes = new List<TileChange>();
        var first = _edge.Size;
        Span<byte> leafHash = stackalloc byte[Merkle.HashLength];
        _options.OnStep?.Invoke(checkpoint is null ? DurableStep.BeforeInsert : DurableStep.BeforeCheckpoint);
        store.Begin();
        var index = first;
        foreach (var waiting in batch)
            foreach (var row in waiting.Rows)
            {
                store.Insert(index++, row);
                Merkle.HashLeaf(row.Leaf, leafHash);
                _edge.Append(leafHash, changes);
            }
        _edge.DrainPartialTiles(changes);
        foreach (var tile in changes)
            store.PutTile(tile);
        if (checkpoint is not null)
            store.PutCheckpoint(checkpoint.Note);
        _options.OnStep?.Invoke(DurableStep.BeforeCommit);
        store.Commit();
        // :: Durable from here on.
        Commits++;
        _options.OnStep?.Invoke(checkpoint is null ? DurableStep.AfterCommit : DurableStep.AfterCheckpoint);
        if (checkpoint is not null)
            _published = checkpoint;
        foreach (var waiting in batch)
        {
            waiting.Stored.SetResult(first);
            first += waiting.Rows.Length;
        }
    }

    private void GiveUp(List<Waiting> batch, TaskCompletionSource? publishNow, Exception cause)
    {
        Log.WriteFailed(_logger, batch.Count, cause.GetType().Name, (cause as SqliteException)?.SqliteExtendedErrorCode ?? 0);
        // The commit may have landed. Appending again could record one disclosure twice, so the callers are told that it
        // is not known; opening the store anew reads what is true.
        foreach (var waiting in batch)
            waiting.Stored.TrySetException(new AuditUnavailableException("The audit log could not be written.", cause));
        publishNow?.TrySetException(new AuditUnavailableException("The audit checkpoint could not be written.", cause));
        _store?.Dispose();
        _store = null;
    }

    private LogStore Reopen()
    {
        var store = LogStore.Open(_options.Folder, Verifier);
        try
        {
            var (edge, published) = Load(store, Verifier);
            // A store that has lost what was already shown to the world is not continued.
            if (published.Size < _published.Size)
                throw new AuditStoreException("The audit store is older than a checkpoint that it has published.");
            (_edge, _published) = (edge, published);
            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    private static (TreeEdge Edge, Published Published) Load(LogStore store, NoteVerifier log)
    {
        var note = store.ReadCheckpoint();
        if (!Checkpoint.TryOpen(note, log, out var checkpoint))
            throw new AuditStoreException("The stored checkpoint is not signed by this log.");
        var edge = store.LoadEdge();
        if (edge.Size < checkpoint.Size || !new TiledTree(checkpoint.Size, store.ReadTile).Root().AsSpan().SequenceEqual(checkpoint.Root))
            throw new AuditStoreException("The audit store contradicts its own checkpoint.");
        return (edge, new Published(checkpoint.Size, note));
    }

    private bool IsIdle()
    {
        lock (_gate)
            return _waiting.Count == 0;
    }

    // An advisory lock that the system drops with the process, whatever kills it.
    private static FileStream Lock(string folder)
    {
        try
        {
            return OwnerOnly.OpenFile(Path.Combine(folder, "lock"), FileShare.None);
        }
        catch (IOException e)
        {
            throw new AuditStoreException("The audit store is in use by another process, or its folder cannot be written.", e);
        }
    }

    private sealed record Published(long Size, string Note);

    private sealed class Waiting(SealedRow[] rows)
    {
        public SealedRow[] Rows { get; } = rows;

        /// <summary>Index of the first row, when they are on disk.</summary>
        public TaskCompletionSource<long> Stored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

static partial class Log
{
    [LoggerMessage(1, LogLevel.Error, "Audit log: {Callers} callers refused, the store could not be written ({Cause}, SQLite {Code}).")]
    public static partial void WriteFailed(ILogger logger, int callers, string cause, int code);

    [LoggerMessage(2, LogLevel.Warning, "Audit log: the last checkpoint could not be stored on closing ({Cause}).")]
    public static partial void CheckpointFailed(ILogger logger, string cause);
}
