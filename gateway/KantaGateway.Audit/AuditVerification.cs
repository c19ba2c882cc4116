using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit;

/// <summary>What a check of a whole store found.</summary>
/// <param name="Entries">Rows read.</param>
/// <param name="Published">The stored checkpoint; null when its signature is not this log's.</param>
/// <param name="Faults">Everything that is not as it must be, at most <see cref="MaxFaults"/>; empty for an intact log. Without personal data.</param>
public sealed record AuditVerification(long Entries, Checkpoint? Published, IReadOnlyList<string> Faults)
{
    public const int MaxFaults = 100;

    public bool IsIntact => Faults.Count == 0;

    /// <summary>
    /// Reads every entry, recomputes leaves, tiles and roots, and compares them with what is stored and signed. Finds a
    /// changed, dropped, inserted or reordered entry, changed hashes, a subject index that hides an entry, a forged checkpoint and, against a
    /// checkpoint that was kept elsewhere, a fork or a log rolled back. Needs no secret. May run while the log is written. Its memory does not
    /// grow with the log.
    /// </summary>
    /// <param name="earlierCheckpoint">A signed note of this log from any time before.</param>
    /// <exception cref="AuditStoreException">There is no such store.</exception>
    public static AuditVerification Of(string folder, NoteVerifier log, string? earlierCheckpoint = null)
    {
        LogStore.CheckIdentity(folder, log);
        var faults = new List<string>();
        void Fault(string fault)
        {
            if (faults.Count < MaxFaults)
                faults.Add(fault);
        }

        var earlier = default(Checkpoint);
        if (earlierCheckpoint is not null && !Checkpoint.TryOpen(earlierCheckpoint, log, out earlier))
            Fault("the earlier checkpoint is not signed by this log");
        if (!Checkpoint.TryOpen(LogStore.ReadCheckpoint(folder), log, out var published))
            Fault("the stored checkpoint is not signed by this log");

        // First what is signed, then what follows from the rows, then the rows: what the writer adds meanwhile is only more.
        var reading = new Reading(folder, published, earlier, Fault);
        reading.ListTiles();
        reading.ListRuns();
        try
        {
            reading.ReadRows();
        }
        catch (AuditStoreException e)
        {
            Fault(e.Message);
        }
        var size = reading.Edge.Size;
        if (published is not null && published.Size > size)
            Fault($"the stored checkpoint has {published.Size} entries, the store {size}");
        if (earlier is not null && earlier.Size > (published?.Size ?? 0))
            Fault($"rolled back: the earlier checkpoint has {earlier.Size} entries, the stored one {published?.Size ?? 0}");
        reading.CheckLeftTiles();
        reading.CheckRuns();
        return new(size, published, faults);
    }

    private sealed class Reading(string folder, Checkpoint? published, Checkpoint? earlier, Action<string> fault)
    {
        private readonly HashSet<(int Level, long Index)> _tiles = [];
        private readonly List<TileChange> _changes = [];
        private readonly byte[] _bundle = new byte[EntryBundle.FullLength];
        private List<(SubjectRun Run, PostingSum Sum)> _runs = [];

        public TreeEdge Edge { get; } = new();

        public void ListTiles()
        {
            foreach (var (file, tile) in TileFiles.List(folder))
                if (tile is { } full)
                    _tiles.Add((full.Level, full.Index));
                else
                    fault($"{file} is no full tile");
        }

        public void ListRuns() => _runs = [.. RowIndex.ListRuns(folder).Select(r => (r, new PostingSum()))];

        public void ReadRows()
        {
            CheckRoots();
            var segments = Segments.List(folder);
            foreach (var first in segments)
            {
                using var reader = SegmentReader.TryOpen(Segments.FileOf(folder, first));
                if (reader is null && first == segments[^1] && first == Edge.Size)
                    return; // it is being made
                if (reader is null)
                    throw new AuditStoreException($"the file of rows from {first} on is damaged");
                RequireNext(first);
                if (!reader.Unfinished.AsSpan().SequenceEqual(_bundle.AsSpan(0, (int)(first % TilePath.FullWidth) * EntryBundle.EntryLength)))
                    fault($"the file of rows from {first} on begins with leaves that are not those before it");
                var runs = _runs.FindAll(r => r.Run.From <= first && first < r.Run.To);
                var places = PlacesOf(first);
                while (reader.Next())
                    foreach (var row in reader.Rows())
                    {
                        Read(row, runs);
                        if (places is not null && ((row.Index - first + 1) * sizeof(uint) > places.Length
                            || BinaryPrimitives.ReadUInt32BigEndian(places.AsSpan((int)(row.Index - first) * sizeof(uint))) != row.Offset))
                        {
                            fault($"places of the rows from {first} on: they are not where they say");
                            places = null;
                        }
                    }
                if (reader.Rest() == SegmentEnd.Damaged)
                    throw new AuditStoreException($"the rows after {Edge.Size - 1} are damaged");
            }
        }

        private byte[]? PlacesOf(long segment)
        {
            var file = RowIndex.PlacesOf(folder, segment);
            return File.Exists(file) ? File.ReadAllBytes(file) : null;
        }

        public void CheckLeftTiles()
        {
            foreach (var (level, index) in _tiles)
                fault($"tile {Name(level)}/{index}: it does not follow from the entries");
        }

        public void CheckRuns()
        {
            foreach (var (run, sum) in _runs)
                try
                {
                    var (found, last, ordered) = (new PostingSum(), default(Posting?), true);
                    foreach (var posting in run.All())
                    {
                        found.Add(posting);
                        ordered &= last is not { } before || before.CompareTo(posting) < 0;
                        last = posting;
                    }
                    if (run.To <= Edge.Size && (!ordered || !found.Equals(sum)))
                        fault($"the subject index from {run.From} to {run.To - 1} is not what the entries say");
                }
                catch (FileNotFoundException)
                {
                    // Merged into another meanwhile.
                }
        }

        private void Read(StoredRow row, List<(SubjectRun Run, PostingSum Sum)> runs)
        {
            RequireNext(row.Index);
            var bytes = row.Bytes.Span;
            var leaf = SealedRow.LeafOf(bytes);
            Span<byte> hash = stackalloc byte[Merkle.HashLength];
            SHA256.HashData(SealedRow.EnvelopeOf(bytes), hash);
            if (!leaf[Merkle.HashLength..].SequenceEqual(hash))
                fault($"entry {row.Index}: its content is not what its leaf says");
            if (SealedRow.TagOf(bytes) is { IsEmpty: false } tag)
                foreach (var (_, sum) in runs)
                    sum.Add(new(Posting.TagOf(tag), row.Index, (uint)row.Offset, (uint)bytes.Length));
            LogStore.AddLeaf(leaf, hash, Edge, _bundle, _changes);
            foreach (var tile in _changes)
                Check(tile);
            _changes.Clear();
            CheckRoots();
        }

        private void Check(TileChange tile)
        {
            var path = new TilePath(tile.Level, tile.Index, TilePath.FullWidth);
            _tiles.Remove((tile.Level, tile.Index));
            var stored = TileFiles.Read(folder, path);
            // The writer puts a tile in its place after the rows, and before it signs a tree that has it.
            if (stored is null && published?.Size >= path.EndSize)
                fault($"tile {Name(tile.Level)}/{tile.Index} is missing or cut off");
            else if (stored is not null && !stored.AsSpan().SequenceEqual(tile.Hashes))
                fault($"tile {Name(tile.Level)}/{tile.Index}: it does not follow from the entries");
        }

        private void RequireNext(long index)
        {
            if (index > Edge.Size)
                throw new AuditStoreException($"entries {Edge.Size} to {index - 1} are missing");
            if (index < Edge.Size)
                throw new AuditStoreException($"entry {index} is there a second time");
        }

        private void CheckRoots()
        {
            CheckRoot(published, "stored");
            CheckRoot(earlier, "earlier");
        }

        private void CheckRoot(Checkpoint? checkpoint, string which)
        {
            if (checkpoint?.Size == Edge.Size && !checkpoint.Root.AsSpan().SequenceEqual(Edge.Root()))
                fault($"fork: the {which} checkpoint of {checkpoint.Size} entries has another root than the entries have");
        }

        private static string Name(int level) => level == TilePath.Entries ? "entries" : $"{level}";
    }

    /// <summary>Postings in any order, told apart from any others.</summary>
    private sealed class PostingSum : IEquatable<PostingSum>
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
}
