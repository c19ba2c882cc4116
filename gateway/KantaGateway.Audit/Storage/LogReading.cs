using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit.Storage;

/// <summary>Reads a whole log once: recomputes its tree from the rows, and holds what is stored and signed against it.</summary>
/// <param name="published">The stored checkpoint; null when it is none of this log's.</param>
/// <param name="earlier">One that was kept elsewhere; null: none.</param>
/// <param name="pruned">What may be missing; null: nothing.</param>
/// <param name="fault">Told what is not as it must be.</param>
abstract class LogReading(Checkpoint? published, Checkpoint? earlier, Pruning? pruned, Action<string> fault)
{
    private long _taken = -1, _lastTaken;
    private readonly HashSet<(int Level, long Index)> _tiles = [];
    private readonly List<TileChange> _changes = [];
    private readonly byte[] _bundle = new byte[EntryBundle.FullLength];

    /// <summary>The tree of the rows so far.</summary>
    public TreeEdge Edge { get; } = new();

    /// <summary>Leaves of the unfinished tile so far, as in its entry bundle.</summary>
    protected ReadOnlySpan<byte> Unfinished => _bundle.AsSpan(0, (int)(Edge.Size % TilePath.FullWidth) * EntryBundle.EntryLength);

    protected Action<string> Fault { get; } = fault;

    /// <summary>Entries before this may have no content any more, and are found by nobody.</summary>
    protected long Before { get; } = pruned?.Before ?? 0;

    /// <summary>Pieces of entries that a pruning has to take away still: their content, and what finds them.</summary>
    public long Left { get; protected set; }

    /// <summary>Says <see cref="Know"/> of every full tile that is stored, and lists the subject index.</summary>
    public abstract void ListTiles();

    /// <summary>Says <see cref="Add"/> of every row, in the order of its index.</summary>
    /// <exception cref="AuditStoreException">There is no reading on.</exception>
    public abstract void ReadRows();

    /// <summary>Holds the subject index against the rows.</summary>
    public abstract void CheckSubjects();

    /// <summary>Whether entry bundles are stored too, beside the rows.</summary>
    protected abstract bool StoresBundles { get; }

    /// <summary>A full tile as it is stored; null when it is missing or cut off.</summary>
    protected abstract byte[]? Stored(TilePath tile);

    protected void Know(int level, long index) => _tiles.Add((level, index));

    public void CheckLeftTiles()
    {
        foreach (var (level, index) in _tiles)
            Fault($"tile {Name(level)}/{index}: it does not follow from the entries");
    }

    protected void Add(long index, ReadOnlySpan<byte> leaf, ReadOnlySpan<byte> envelope)
    {
        RequireNext(index);
        Span<byte> hash = stackalloc byte[Merkle.HashLength];
        SHA256.HashData(envelope, hash);
        if (envelope.IsEmpty && index >= Before)
            Take(index);
        else if (!envelope.IsEmpty && !leaf[Merkle.HashLength..].SequenceEqual(hash))
            Fault($"entry {index}: its content is not what its leaf says");
        if (!envelope.IsEmpty && index < Before)
            Left++;
        LogStore.AddLeaf(leaf, hash, Edge, _bundle, _changes);
        foreach (var tile in _changes)
            if (tile.Level != TilePath.Entries || StoresBundles)
                Check(tile);
        _changes.Clear();
        CheckRoots();
    }

    // Of many next to each other one sentence.
    private void Take(long index)
    {
        if (_taken >= 0 && index != _lastTaken + 1)
            SayTaken();
        (_taken, _lastTaken) = (_taken < 0 ? index : _taken, index);
    }

    private void SayTaken()
    {
        if (_taken >= 0)
            Fault($"the content of entries {_taken} to {_lastTaken} was taken away, and no note of the log says so");
        _taken = -1;
    }

    /// <summary>After all rows.</summary>
    public void CheckTaken()
    {
        SayTaken();
        if (Before > (published?.Size ?? 0))
            Fault($"the note of what was pruned has {Before} entries, the stored checkpoint {published?.Size ?? 0}");
    }

    protected void RequireNext(long index)
    {
        if (index > Edge.Size)
            throw new AuditStoreException($"entries {Edge.Size} to {index - 1} are missing");
        if (index < Edge.Size)
            throw new AuditStoreException($"entry {index} is there a second time");
    }

    public void CheckRoots()
    {
        CheckRoot(published, "stored");
        CheckRoot(earlier, "earlier");
        if (Before > 0 && Before == Edge.Size && !pruned!.Root.AsSpan().SequenceEqual(Edge.Root()))
            Fault($"fork: the note of what was pruned is of {Before} entries with another root than the entries have");
    }

    private void Check(TileChange tile)
    {
        var path = new TilePath(tile.Level, tile.Index, TilePath.FullWidth);
        _tiles.Remove((tile.Level, tile.Index));
        var stored = Stored(path);
        // The writer puts a tile in its place after the rows, and before it signs a tree that has it.
        if (stored is null && published?.Size >= path.EndSize)
            Fault($"tile {Name(tile.Level)}/{tile.Index} is missing or cut off");
        else if (stored is not null && !stored.AsSpan().SequenceEqual(tile.Hashes))
            Fault($"tile {Name(tile.Level)}/{tile.Index}: it does not follow from the entries");
    }

    private void CheckRoot(Checkpoint? checkpoint, string which)
    {
        if (checkpoint?.Size == Edge.Size && !checkpoint.Root.AsSpan().SequenceEqual(Edge.Root()))
            Fault($"fork: the {which} checkpoint of {checkpoint.Size} entries has another root than the entries have");
    }

    private static string Name(int level) => level == TilePath.Entries ? "entries" : $"{level}";
}

/// <summary>Reads a log in files, beside its writer or without one.</summary>
sealed class FilesReading(string folder, Checkpoint? published, Checkpoint? earlier, Pruning? pruned, Action<string> fault) : LogReading(published, earlier, pruned, fault)
{
    private List<(SubjectRun Run, PostingSum Sum)> _runs = [];

    protected override bool StoresBundles => true;

    public override void ListTiles()
    {
        foreach (var (file, tile) in TileFiles.List(folder))
            if (tile is { } full)
                Know(full.Level, full.Index);
            else
                Fault($"{file} is no full tile");
        _runs = [.. RowIndex.ListRuns(folder).Select(r => (r, new PostingSum()))];
    }

    public override void ReadRows()
    {
        var segments = Segments.List(folder);
        foreach (var first in segments)
        {
            using var reader = SegmentReader.TryOpen(Segments.FileOf(folder, first));
            if (reader is null && first == segments[^1] && first == Edge.Size)
                return; // it is being made
            if (reader is null)
                throw new AuditStoreException($"the file of rows from {first} on is damaged");
            RequireNext(first);
            if (!reader.Unfinished.AsSpan().SequenceEqual(Unfinished))
                Fault($"the file of rows from {first} on begins with leaves that are not those before it");
            var runs = _runs.FindAll(r => r.Run.From <= first && first < r.Run.To);
            var places = PlacesOf(first);
            while (reader.Next())
                foreach (var row in reader.Rows())
                {
                    Read(row, runs);
                    if (places is not null && ((row.Index - first + 1) * sizeof(uint) > places.Length
                        || BinaryPrimitives.ReadUInt32BigEndian(places.AsSpan((int)(row.Index - first) * sizeof(uint))) != row.Offset))
                    {
                        Fault($"places of the rows from {first} on: they are not where they say");
                        places = null;
                    }
                }
            if (reader.Rest() == SegmentEnd.Damaged)
                throw new AuditStoreException($"the rows after {Edge.Size - 1} are damaged");
        }
    }

    public override void CheckSubjects()
    {
        foreach (var (run, sum) in _runs)
            try
            {
                var (found, last, ordered) = (new PostingSum(), default(Posting?), true);
                foreach (var posting in run.All())
                {
                    if (posting.Index < Before)
                        Left++;
                    else
                        found.Add(posting);
                    ordered &= last is not { } before || before.CompareTo(posting) < 0;
                    last = posting;
                }
                if (run.To <= Edge.Size && (!ordered || !found.Equals(sum)))
                    Fault($"the subject index from {run.From} to {run.To - 1} is not what the entries say");
            }
            catch (FileNotFoundException)
            {
                // Merged into another meanwhile.
            }
    }

    protected override byte[]? Stored(TilePath tile) => TileFiles.Read(folder, tile);

    private byte[]? PlacesOf(long segment)
    {
        var file = RowIndex.PlacesOf(folder, segment);
        return File.Exists(file) ? File.ReadAllBytes(file) : null;
    }

    private void Read(StoredRow row, List<(SubjectRun Run, PostingSum Sum)> runs)
    {
        var bytes = row.Bytes.Span;
        Add(row.Index, SealedRow.LeafOf(bytes), SealedRow.EnvelopeOf(bytes));
        if (row.Index >= Before && SealedRow.TagOf(bytes) is { IsEmpty: false } tag)
            foreach (var (_, sum) in runs)
                sum.Add(new(Posting.TagOf(tag), row.Index, (uint)row.Offset, (uint)bytes.Length));
    }
}

/// <summary>Postings in any order, told apart from any others.</summary>
sealed class PostingSum : IEquatable<PostingSum>
{
    private UInt128 _sum;

    public void Add(Posting posting)
    {
        Span<byte> bytes = stackalloc byte[Posting.StoredLength], hash = stackalloc byte[SHA256.HashSizeInBytes];
        posting.WriteTo(bytes);
        SHA256.HashData(bytes, hash);
        _sum += BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    public bool Equals(PostingSum? other) => _sum == other?._sum;

    public override bool Equals(object? obj) => Equals(obj as PostingSum);

    public override int GetHashCode() => _sum.GetHashCode();
}
