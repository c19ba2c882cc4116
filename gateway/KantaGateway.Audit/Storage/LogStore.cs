using System.Runtime.InteropServices;
using System.Text;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Audit.Storage;

/// <summary>
/// The log's files, written by one thread: rows to the end of one file, one write and one flush a commit. Everything else but the
/// checkpoint follows from the rows: tiles are written once they are full, the subject index when a file of rows is.
/// </summary>
sealed class LogStore : ILogStore
{
    public const string IdentityFile = "log", CheckpointFile = "checkpoint", CosignedFile = "cosigned", PrunedFile = "pruned";

    // Length and place of blocks that are already on disk need no journal when they are overwritten: a flush takes half the time.
    private static readonly byte[] Zeros = new byte[1 << 20];

    private readonly string _folder;
    private readonly AuditLogOptions _options;
    private readonly NoteSigner _signer;
    private readonly FileStream _lock;
    private readonly ILogger _logger;
    private readonly RowIndex _index;
    private readonly TreeEdge _edge;
    private readonly byte[] _bundle = new byte[EntryBundle.FullLength];
    private readonly List<SealedRow> _inserted = [], _ahead = [];
    private readonly List<TileChange> _tiles = [];
    private readonly List<Posting> _postings = [];
    private readonly List<uint> _places = [];
    private byte[] _buffer = new byte[1 << 16];
    private int _length;
    private Task _settling = Task.CompletedTask;

    // The segment that is written: its file, its first row, where what is known to be durable ends, and how far zeros reach.
    private FileStream _rows;
    private long _segment, _end, _zeroed;
    private RecentRows _recent;
    // The last durable frame of it, by which the file is known again.
    private FrameMark _last;
    private string? _attempted;

    private volatile PublishedFiles _published;
    private readonly Lock _keeping = new();
    private volatile Cosigned _cosigned;

    // Of settling and merging, and of pruning what they have made.
    private readonly Lock _tidying = new(), _pruning = new();
    private volatile Pruning? _pruned;
    private volatile bool _closes;

    private LogStore(AuditLogOptions options, NoteSigner signer, ILogger logger, FileStream storeLock, Opening opened)
    {
        (_folder, _options, _signer, _logger, _lock) = (options.Folder!, options, signer, logger, storeLock);
        (_index, _edge, _recent, _rows, _segment, _end, _last, Note) =
            (opened.Index, opened.Edge, opened.Recent!, opened.Rows!, opened.Segment, opened.End, opened.Last, opened.Note);
        opened.Bundle.CopyTo(_bundle, 0);
        _zeroed = _end;
        _published = Load();
        _cosigned = ReadCosigned();
        if (opened.Pruned is not { } pruned)
            return;
        if (pruned.Before > _published.Size || !_published.RootOf(pruned.Before).AsSpan().SequenceEqual(pruned.Root))
            throw new AuditStoreException("The note of what was pruned is of another history than the audit store.");
        _pruned = pruned;
        _index.Forget(pruned.Before);
        FinishPruning(pruned.Before);
    }

    /// <summary>Rows that are on disk.</summary>
    public long Size => _edge.Size + _ahead.Count;

    public int Waiting => _length;

    public bool IsBehind => Size > _published.Size;

    public PublishedTree Published => _published;

    /// <summary>The stored checkpoint.</summary>
    public string Note { get; private set; }

    /// <summary>Its unfinished tiles as they stand.</summary>
    private EdgeTiles EdgeTiles => EdgeTiles.Of(_edge, _bundle.AsSpan(0, Unfinished * EntryBundle.EntryLength));

    private int Unfinished => (int)(_edge.Size % TilePath.FullWidth);

    /// <summary>Makes the store if there is none; a kill on the way leaves no store, and the next call makes it.</summary>
    /// <param name="checkpoint">Note of the empty tree.</param>
    /// <exception cref="AuditStoreException">There are rows, and nothing says whose.</exception>
    public static void Create(string folder, NoteVerifier log, string checkpoint)
    {
        if (File.Exists(Path.Combine(folder, IdentityFile)))
            return;
        if (File.Exists(Path.Combine(folder, "audit.db")))
            throw new AuditStoreException("The configured folder holds an audit store of an earlier version, which this one does not read.");
        var segments = Segments.List(folder);
        if (segments.Exists(s => s != 0) || segments.Count > 0 && SegmentReader.TryOpen(Segments.FileOf(folder, 0)) is { } begun && HasRows(begun))
            throw new AuditStoreException("The configured folder holds the rows of a log, but not what says whose they are.");
        OwnerOnly.CreateFolder(Path.Combine(folder, Segments.Folder));
        OwnerOnly.CreateFolder(Path.Combine(folder, TileFiles.Folder));
        Segments.Create(folder, 0, [], out _).Dispose();
        Disk.Put(Path.Combine(folder, CheckpointFile), Encoding.UTF8.GetBytes(checkpoint), flush: true);
        Disk.FlushFolder(folder);
        // Last: with it the store is one.
        Disk.Put(Path.Combine(folder, IdentityFile), Encoding.UTF8.GetBytes(Identity(log)), flush: true);
        Disk.FlushFolder(folder);
    }

    /// <summary>
    /// Opens the store for its one writer. What a kill has left half done is undone or finished: an unfinished commit is cut off, tiles and runs
    /// that are missing are made from the rows. Reads what is not settled, a few segments at most.
    /// </summary>
    /// <exception cref="AuditStoreException">There is none, it is another log's, or it contradicts itself.</exception>
    /// <exception cref="IOException">It cannot be opened now.</exception>
    public static LogStore Open(AuditLogOptions options, NoteSigner signer, ILogger logger)
    {
        var folder = options.Folder ?? throw new ArgumentException("Neither a folder nor another store.", nameof(options));
        if (options.Create)
            OwnerOnly.CreateFolder(folder);
        if (!Directory.Exists(folder))
            throw new AuditStoreException("There is no audit store in the configured folder.");
        var storeLock = Lock(folder);
        var opening = new Opening(folder, signer.Verifier);
        try
        {
            if (options.Create)
                Create(folder, signer.Verifier, new Checkpoint(options.Origin, 0, Merkle.Empty).Sign(signer));
            CheckIdentity(folder, signer.Verifier);
            opening.Read();
            return new LogStore(options, signer, logger, storeLock, opening);
        }
        catch
        {
            opening.Rows?.Dispose();
            storeLock.Dispose();
            throw;
        }
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

    private PublishedFiles Load()
    {
        if (!Checkpoint.TryOpen(Note, _signer.Verifier, out var checkpoint))
            throw new AuditStoreException("The stored checkpoint is not signed by this log.");
        var published = new PublishedFiles(checkpoint.Size, Note, EdgeTiles, _folder);
        if (Size < checkpoint.Size || !published.Root().AsSpan().SequenceEqual(checkpoint.Root))
            throw new AuditStoreException("The audit store contradicts its own checkpoint.");
        return published;
    }

    /// <exception cref="AuditStoreException">There is no store, or another log's.</exception>
    public static void CheckIdentity(string folder, NoteVerifier log)
    {
        var file = Path.Combine(folder, IdentityFile);
        if (!File.Exists(file))
            throw new AuditStoreException("There is no finished audit store of this version in the configured folder.");
        // Another key would sign a second history under the same name.
        if (File.ReadAllText(file) != Identity(log))
            throw new AuditStoreException("The audit store was written under another origin or log key, or by another version.");
    }

    /// <summary>The stored note of a folder.</summary>
    public static string ReadCheckpoint(string folder) => File.ReadAllText(Path.Combine(folder, CheckpointFile));

    public void Begin()
    {
        _inserted.Clear();
        _postings.Clear();
        _places.Clear();
        _length = Frame.HeaderLength;
        if (_buffer.Length > 1 << 22)
            _buffer = new byte[1 << 16];
    }

    public void Insert(SealedRow row)
    {
        var length = row.StoredLength;
        if (_buffer.Length - _length < length)
            Array.Resize(ref _buffer, (int)Math.Min(Math.Max((long)_length + length, 2L * _buffer.Length), Array.MaxLength));
        row.WriteTo(_buffer.AsSpan(_length, length));
        if (row.Tag is { } tag)
            _postings.Add(new(Posting.TagOf(tag), Size + _inserted.Count, (uint)_length, (uint)length));
        _places.Add((uint)_length);
        _inserted.Add(row);
        _length += length;
    }

    public long Commit()
    {
        var first = Size;
        if (_end >= _options.SegmentBytes)
            BeginSegment();
        var frame = _buffer.AsSpan(0, _length);
        Frame.Close(frame, _inserted.Count, first);
        RandomAccess.Write(_rows.SafeFileHandle, frame, _end);
        if (_end + _length > _zeroed)
        {
            var zeros = Math.Min(Zeros.Length, _options.SegmentBytes);
            RandomAccess.Write(_rows.SafeFileHandle, Zeros.AsSpan(0, zeros), _end + _length);
            _zeroed = _end + _length + zeros;
        }
        _options.OnStep?.Invoke(DurableStep.Written);
        Disk.Flush(_rows.SafeFileHandle);
        // A file that was moved or deleted takes writes as before, and nobody would find them again.
        if (new FileInfo(Segments.FileOf(_folder, _segment)) is not { Exists: true } file || file.Length < _end + _length)
            throw new IOException("The file of rows is no longer in its place.");
        // :: Durable from here on.
        foreach (ref var posting in CollectionsMarshal.AsSpan(_postings))
            posting = posting with { Offset = posting.Offset + (uint)_end };
        foreach (ref var place in CollectionsMarshal.AsSpan(_places))
            place += (uint)_end;
        _recent.Add(CollectionsMarshal.AsSpan(_places), CollectionsMarshal.AsSpan(_postings));
        _ahead.AddRange(_inserted);
        _inserted.Clear();
        _last = FrameMark.Of(frame);
        _end += _length;
        return first;
    }

    /// <summary>Carries what is durable into the tree, and puts the tiles on disk that it fills.</summary>
    /// <exception cref="IOException">A tile could not be written; the next call tries again.</exception>
    public void Grow()
    {
        Span<byte> leafHash = stackalloc byte[Merkle.HashLength];
        foreach (var row in _ahead)
            AddLeaf(row.Leaf, leafHash, _edge, _bundle, _tiles);
        _ahead.Clear();
        if (_tiles.Count == 0)
            return;
        _options.OnStep?.Invoke(DurableStep.BeforeTiles);
        foreach (var tile in _tiles)
            TileFiles.Put(_folder, tile.Level, tile.Index, tile.Hashes);
        _tiles.Clear();
        _options.OnStep?.Invoke(DurableStep.AfterTiles);
    }

    // A log never signs two histories of one size, so it signs only what is already on disk: after a crash between here
    // and the storing of the note, the tree still has these entries.
    public void Publish()
    {
        if (!IsBehind)
            return;
        var size = _edge.Size;
        var note = new Checkpoint(_options.Origin, size, _edge.Root()).Sign(_signer);
        _options.OnStep?.Invoke(DurableStep.BeforeCheckpoint);
        PutCheckpoint(note);
        _options.OnStep?.Invoke(DurableStep.AfterCheckpoint);
        _published = new(size, note, EdgeTiles, _folder);
    }

    /// <summary>Now the note is on disk in the place of the one before.</summary>
    /// <exception cref="IOException">Which of the two is there is not known.</exception>
    private void PutCheckpoint(string note)
    {
        _attempted = note;
        _options.OnStep?.Invoke(DurableStep.BeforeCommit);
        Disk.Put(Path.Combine(_folder, CheckpointFile), Encoding.UTF8.GetBytes(note), flush: true);
        Disk.FlushFolder(_folder);
        Note = note;
    }

    /// <summary>
    /// After a failure: makes the files what they are known to be. A commit whose flush has failed is cut off, though all its bytes may be
    /// readable: they may be in memory alone, and no later flush would say so.
    /// </summary>
    /// <exception cref="IOException">The disk is not back.</exception>
    /// <exception cref="AuditStoreException">It is back without what it had acknowledged.</exception>
    public void Recover()
    {
        _rows.Dispose();
        _rows = Disk.OpenExisting(Segments.FileOf(_folder, _segment));
        var last = new byte[_last.Length];
        if (_rows.Length < _end || RandomAccess.Read(_rows.SafeFileHandle, last, _end - last.Length) != last.Length || FrameMark.Of(last) != _last || Frame.LengthAt(last) != last.Length)
            throw new AuditStoreException("The audit store lacks what it has acknowledged.");
        var note = ReadCheckpoint(_folder);
        if (note != Note && note != _attempted)
            throw new AuditStoreException("The audit store has another checkpoint than the one it has published.");
        _rows.SetLength(_end);
        _zeroed = _end;
        Disk.Flush(_rows.SafeFileHandle);
        Disk.FlushFolder(_folder);
        Note = note;
        Grow();
        if (Note != _published.Note)
            _published = Load();
    }

    public ValueTask<string?> CosignedAsync() => new(_cosigned.Note);

    public ValueTask<bool> KeepCosignedAsync(long size, string note)
    {
        lock (_keeping)
        {
            if (size < _cosigned.Size)
                return new(false);
            try
            {
                Disk.Put(Path.Combine(_folder, CosignedFile), Encoding.UTF8.GetBytes(note), flush: true);
                Disk.FlushFolder(_folder);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new AuditUnavailableException("The cosigned checkpoint could not be written.", e);
            }
            // :: Durable from here on.
            _cosigned = new(size, note);
            return new(true);
        }
    }

    /// <summary>What is there from before. What is no checkpoint of this log's is replaced by the next.</summary>
    private Cosigned ReadCosigned()
    {
        var file = Path.Combine(_folder, CosignedFile);
        return File.Exists(file) && File.ReadAllText(file) is var note && Checkpoint.TryOpen(note, _signer.Verifier, out var checkpoint) && checkpoint.Size <= _published.Size
            ? new(checkpoint.Size, note) : new(-1, null);
    }

    public ValueTask<Pruning?> PrunedAsync() => new(_pruned);

    // Files that are settled, whole ones.
    public ValueTask<long> BoundaryAsync(long atMost) => new(Segments.List(_folder).FindLast(first => first <= Math.Min(atMost, Math.Min(_index.Settled, _published.Size))));

    /// <summary>The stored note of a folder; null: none.</summary>
    public static string? ReadPruned(string folder)
    {
        var file = Path.Combine(folder, PrunedFile);
        return File.Exists(file) ? File.ReadAllText(file) : null;
    }

    public Task PruneAsync(Pruning pruning, CancellationToken cancel) => Task.Run(() =>
    {
        lock (_pruning)
        {
            ObjectDisposedException.ThrowIf(_closes, this);
            if (!(pruning.Before <= _pruned?.Before))
            {
                _options.OnStep?.Invoke(DurableStep.BeforePruning);
                Disk.Put(Path.Combine(_folder, PrunedFile), Encoding.UTF8.GetBytes(pruning.Note), flush: true);
                Disk.FlushFolder(_folder);
                // :: Durable from here on.
                _pruned = pruning;
                _index.Forget(pruning.Before);
                _options.OnStep?.Invoke(DurableStep.PruningNoted);
            }
            FinishPruning(_pruned!.Before);
        }
    }, CancellationToken.None);

    // What finds rows goes before the rows: where all files are pruned, all is done.
    private void FinishPruning(long before)
    {
        var segments = Segments.List(_folder);
        var left = segments.Index().Where(one => one.Item < before && !Segments.IsPruned(_folder, one.Item)).ToList();
        if (left.Count == 0)
            return;
        lock (_tidying)
            _index.Prune(before);
        _options.OnStep?.Invoke(DurableStep.IndexPruned);
        foreach (var (at, first) in left)
        {
            if (_closes)
                throw new IOException("The audit log is closed; the pruning goes on when it is opened.");
            if (segments[at + 1] > before)
                throw new AuditStoreException($"The rows before {before} do not end where a file of rows does.");
            Segments.Prune(_folder, first, segments[at + 1]);
            _options.OnStep?.Invoke(DurableStep.SegmentPruned);
        }
    }

    public ValueTask<PublishedTree> NewestAsync() => new(_published);

    public ValueTask<SealedRow?> RowAtAsync(long index) => new(_index.RowAt(index));

    public ValueTask<IReadOnlyList<SealedEntry>> OfSubjectAsync(byte[] tag, int limit, long before, long mostBytes) => new(_index.OfSubject(tag, limit, before, mostBytes));

    // One file of rows is read from its beginning.
    public IReadOnlyList<(long From, long To)> PartsOf(long from, long to)
    {
        var firsts = Segments.List(_folder);
        var parts = new List<(long, long)>();
        for (var i = 0; i < firsts.Count; i++)
        {
            var (begin, end) = (Math.Max(from, firsts[i]), Math.Min(to, i + 1 < firsts.Count ? firsts[i + 1] : long.MaxValue));
            if (begin < end)
                parts.Add((begin, end));
        }
        return parts;
    }

    public IEnumerable<RowBatch> Read((long From, long To) part)
    {
        var segment = Segments.List(_folder).FindLast(first => first <= part.From);
        using var reader = SegmentReader.TryOpen(Segments.FileOf(_folder, segment)) ?? throw new AuditStoreException($"The file of rows from {segment} on is damaged.");
        if (reader.IsPruned)
            throw segment < _pruned?.Before ? new AuditUnavailableException("The audit log was pruned meanwhile.") : Opening.NotPruned(segment);
        var (batch, next) = (new RowBatch(), part.From);
        while (next < part.To && reader.Next())
        {
            foreach (var row in reader.Rows())
                if (row.Index >= part.From && row.Index < part.To)
                {
                    if (row.Index != next++)
                        throw new AuditStoreException($"The rows from {next - 1} to {row.Index - 1} are missing.");
                    row.Bytes.Span.CopyTo(batch.Add(row.Index, row.Bytes.Length));
                }
            if (!batch.IsFull)
                continue;
            yield return batch;
            batch.Clear();
        }
        if (next < part.To)
            throw new AuditStoreException($"The rows from {next} on are missing or damaged.");
        if (batch.Count > 0)
            yield return batch;
    }

    public AuditVerification Verify(string? earlierCheckpoint) => AuditVerification.Of(_folder, _signer.Verifier, earlierCheckpoint);

    public void Dispose()
    {
        _settling.Wait();
        _closes = true;
        lock (_pruning)
            _rows.Dispose();
        _lock.Dispose();
    }

    private sealed record Cosigned(long Size, string? Note);

    /// <param name="Edge">Unfinished tiles of this tree or a later one.</param>
    private sealed record PublishedFiles(long Size, string Note, EdgeTiles Edge, string Folder) : PublishedTree(Size, Note)
    {
        public override ValueTask<byte[]?> ReadAsync(TilePath tile) => new(Edge.Read(Folder, tile));

        public byte[] Root() => RootOf(Size);

        public byte[] RootOf(long size) => new TiledTree(size, tile => Edge.Read(Folder, tile) ?? throw new AuditStoreException($"The store lacks the hashes of {tile}.")).Root();
    }

    // Between commits, with the tree up to date.
    private void BeginSegment()
    {
        // Where the index cannot be written, its memory must not grow for ever.
        if (_index.Unsettled >= _options.MostUnsettled)
        {
            _settling.Wait();
            if (_index.Unsettled >= _options.MostUnsettled)
                Settle();
        }
        _options.OnStep?.Invoke(DurableStep.BeforeSegment);
        _rows.SetLength(_end);
        _zeroed = _end;
        var rows = Segments.Create(_folder, Size, _bundle.AsSpan(0, Unfinished * EntryBundle.EntryLength), out var length);
        try
        {
            _options.OnStep?.Invoke(DurableStep.AfterSegment);
        }
        catch
        {
            rows.Dispose();
            throw;
        }
        _rows.Dispose();
        (_rows, _segment, _end, _zeroed, _last) = (rows, Size, length, length, default);
        _recent = _index.Begin(_segment);
        _settling = _settling.ContinueWith(_ => TrySettle(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private void TrySettle()
    {
        try
        {
            Settle();
        }
        catch (Exception e)
        {
            // The rows and the postings in memory are still all there; the next finished segment tries again.
            Log.SettlingFailed(_logger, e.GetType().Name);
        }
    }

    private void Settle()
    {
        while (_index.Unsettled > 0)
        {
            _options.OnStep?.Invoke(DurableStep.BeforeSettling);
            var (from, to) = _index.OldestUnsettled;
            TileFiles.Flush(_folder, from, to);
            // With its run a segment is settled: opening the store reads neither it nor its tiles again.
            _options.OnStep?.Invoke(DurableStep.BeforeRun);
            lock (_tidying)
            {
                _index.Settle();
                _options.OnStep?.Invoke(DurableStep.AfterRun);
                _index.Merge(() => _options.OnStep?.Invoke(DurableStep.Merged));
            }
        }
    }

    /// <summary>Adds a leaf to a tree and to the bundle of its unfinished tile; tiles and the bundle that it fills go to <paramref name="tiles"/>.</summary>
    public static void AddLeaf(ReadOnlySpan<byte> leaf, Span<byte> leafHash, TreeEdge edge, byte[] bundle, List<TileChange> tiles)
    {
        var (tile, within) = Math.DivRem(edge.Size, TilePath.FullWidth);
        EntryBundle.Write(leaf, bundle.AsSpan((int)within * EntryBundle.EntryLength));
        Merkle.HashLeaf(leaf, leafHash);
        if (within == TilePath.FullWidth - 1)
            tiles.Add(new(TilePath.Entries, tile, [.. bundle]));
        edge.Append(leafHash, tiles);
    }

    private static string Identity(NoteVerifier log) => $"KantaGateway audit store 4\n{log}\n";

    private static bool HasRows(SegmentReader reader)
    {
        using (reader)
            return reader.Next() || reader.Rest() != SegmentEnd.Clean;
    }

    /// <summary>What is found on opening.</summary>
    private sealed class Opening(string folder, NoteVerifier log)
    {
        public Pruning? Pruned;
        public RowIndex Index = null!;
        public TreeEdge Edge = new();
        public RecentRows? Recent;
        public FileStream? Rows;
        public long Segment, End;
        public FrameMark Last;
        public byte[] Bundle = new byte[EntryBundle.FullLength];
        public string Note = "";

        public void Read()
        {
            Note = ReadCheckpoint(folder);
            var segments = Segments.List(folder);
            DropUnfinished(segments);
            if (segments is not [0, ..])
                throw new AuditStoreException("The audit store lacks its first rows.");
            if (ReadPruned(folder) is { } note && !Pruning.TryOpen(note, log, out Pruned))
                throw new AuditStoreException("The note of what was pruned is not signed by this log.");
            foreach (var first in segments)
                if (!(first < Pruned?.Before) && Segments.IsPruned(folder, first))
                    throw NotPruned(first);
            Index = RowIndex.Open(folder, segments);
            Index.Know(segments.Where(s => s < Index.Settled));
            var unsettled = segments.FindAll(s => s >= Index.Settled);
            foreach (var first in unsettled)
                Read(first, isFirst: first == unsettled[0], isLast: first == unsettled[^1]);
        }

        private void Read(long first, bool isFirst, bool isLast)
        {
            using var reader = SegmentReader.TryOpen(Segments.FileOf(folder, first)) ?? throw new AuditStoreException($"The file of rows from {first} on is damaged.");
            if (isFirst)
            {
                Edge = Restore(first, reader.Unfinished);
                reader.Unfinished.CopyTo(Bundle, 0);
            }
            if (Edge.Size != first)
                throw new AuditStoreException($"The rows from {Edge.Size} to {first - 1} are missing.");
            Recent = Index.Begin(first);
            if (!isFirst)
                Settle(first);
            var (tiles, places, postings, hash) = (new List<TileChange>(), new List<uint>(), new List<Posting>(), new byte[Merkle.HashLength]);
            while (reader.Next())
            {
                foreach (var row in reader.Rows())
                {
                    if (row.Index != Edge.Size)
                        throw new AuditStoreException($"The rows from {Edge.Size} to {row.Index - 1} are missing.");
                    if (SealedRow.TagOf(row.Bytes.Span) is { IsEmpty: false } tag)
                        postings.Add(new(Posting.TagOf(tag), row.Index, (uint)row.Offset, (uint)row.Bytes.Length));
                    places.Add((uint)row.Offset);
                    AddLeaf(SealedRow.LeafOf(row.Bytes.Span), hash, Edge, Bundle, tiles);
                }
                Recent.Add(CollectionsMarshal.AsSpan(places), CollectionsMarshal.AsSpan(postings));
                foreach (var tile in tiles)
                    TileFiles.Put(folder, tile.Level, tile.Index, tile.Hashes);
                tiles.Clear();
                places.Clear();
                postings.Clear();
            }
            // Only the last commit of all may be unfinished: each begins when the one before is on disk.
            var end = reader.Rest();
            if (end != SegmentEnd.Clean && !(end == SegmentEnd.Torn && isLast))
                throw new AuditStoreException($"The file of rows from {first} on is damaged after row {Edge.Size - 1}.");
            if (!isLast)
                return;
            (Segment, End) = (first, reader.End);
            Rows = Disk.OpenExisting(Segments.FileOf(folder, first));
            Rows.SetLength(End);
            var last = new byte[reader.LastLength];
            RandomAccess.Read(Rows.SafeFileHandle, last, End - last.Length);
            Last = FrameMark.Of(last);
            // The last frame may have failed to reach the disk and be in memory alone; written again it cannot.
            RandomAccess.Write(Rows.SafeFileHandle, last, End - last.Length);
            Disk.Flush(Rows.SafeFileHandle);
        }

        public static AuditStoreException NotPruned(long first) => new($"The content of the rows from {first} on was taken away, and no note of the log says so.");

        private void Settle(long to)
        {
            var (from, _) = Index.OldestUnsettled;
            TileFiles.Flush(folder, from, to);
            Index.Settle();
            Index.Merge(() => { });
        }

        // A kill while a segment was made leaves one without rows, and perhaps without its header.
        private void DropUnfinished(List<long> segments)
        {
            if (segments.Count < 2)
                return;
            var file = Segments.FileOf(folder, segments[^1]);
            using (var whole = SegmentReader.TryOpen(file))
                if (whole is not null || new FileInfo(file).Length > Segments.HeaderLength(segments[^1]))
                    return;
            File.Delete(file);
            segments.RemoveAt(segments.Count - 1);
        }

        private TreeEdge Restore(long size, byte[] unfinished) => TreeEdge.Restore(size, tile =>
        {
            var hashes = new byte[tile.Width * Merkle.HashLength];
            for (var i = 0; i < tile.Width; i++)
            {
                var hash = hashes.AsSpan(i * Merkle.HashLength, Merkle.HashLength);
                if (tile.Level == 0)
                    Merkle.HashLeaf(unfinished.AsSpan(i * EntryBundle.EntryLength + 2, SealedRow.LeafLength), hash);
                else
                    TreeEdge.Subtree(TileFiles.Read(folder, new(tile.Level - 1, tile.Index * TilePath.FullWidth + i, TilePath.FullWidth))
                        ?? throw new AuditStoreException($"The store lacks the hashes of {new TilePath(tile.Level - 1, tile.Index * TilePath.FullWidth + i, TilePath.FullWidth)}."), hash);
            }
            return hashes;
        });
    }
}
