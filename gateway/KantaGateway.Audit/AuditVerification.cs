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
    /// changed, dropped, inserted or reordered entry, changed hashes, a forged checkpoint and, against a checkpoint that
    /// was kept elsewhere, a fork or a log rolled back. Needs no secret. May run while the log is written.
    /// </summary>
    /// <param name="earlierCheckpoint">A signed note of this log from any time before.</param>
    /// <exception cref="AuditStoreException">There is no such store.</exception>
    public static AuditVerification Of(string folder, NoteVerifier log, string? earlierCheckpoint = null)
    {
        using var connection = LogStore.OpenReader(folder, log);
        // One snapshot: entries, tiles and checkpoint are compared as of one moment.
        using var snapshot = connection.BeginTransaction(deferred: true);
        var faults = new List<string>();
        void Fault(string fault)
        {
            if (faults.Count < MaxFaults)
                faults.Add(fault);
        }

        var earlier = default(Checkpoint);
        if (earlierCheckpoint is not null && !Checkpoint.TryOpen(earlierCheckpoint, log, out earlier))
            Fault("the earlier checkpoint is not signed by this log");
        if (!Checkpoint.TryOpen(StoreReads.Checkpoint(connection), log, out var published))
            Fault("the stored checkpoint is not signed by this log");

        var edge = new TreeEdge();
        var tiles = new Dictionary<(int, long), byte[]>();
        var changes = new List<TileChange>();
        Span<byte> leafHash = stackalloc byte[Merkle.HashLength], digest = stackalloc byte[32];
        CheckRoot(published, "stored", edge, Fault);
        CheckRoot(earlier, "earlier", edge, Fault);
        foreach (var (index, row) in StoreReads.All(connection))
        {
            if (index != edge.Size)
            {
                Fault($"entries {edge.Size} to {index - 1} are missing");
                break;
            }
            if (row.Leaf.Length != SealedRow.LeafLength)
            {
                Fault($"entry {index}: its leaf has a wrong length");
                break;
            }
            SealedRow.EnvelopeDigest(row.Time, row.Tag, row.Enc, row.Receiver, row.Sealed, digest);
            if (!row.Leaf.AsSpan(Merkle.HashLength).SequenceEqual(digest))
                Fault($"entry {index}: its content is not what its leaf says");
            Merkle.HashLeaf(row.Leaf, leafHash);
            edge.Append(leafHash, changes);
            edge.DrainPartialTiles(changes);
            foreach (var tile in changes)
                tiles[(tile.Level, tile.Index)] = tile.Hashes;
            changes.Clear();
            CheckRoot(published, "stored", edge, Fault);
            CheckRoot(earlier, "earlier", edge, Fault);
        }
        if (published is not null && published.Size > edge.Size)
            Fault($"the stored checkpoint has {published.Size} entries, the store {edge.Size}");
        if (earlier is not null && earlier.Size > (published?.Size ?? 0))
            Fault($"rolled back: the earlier checkpoint has {earlier.Size} entries, the stored one {published?.Size ?? 0}");
        foreach (var tile in StoreReads.Tiles(connection))
            if (!tiles.Remove((tile.Level, tile.Index), out var hashes) || !hashes.AsSpan().SequenceEqual(tile.Hashes))
                Fault($"tile {tile.Level}/{tile.Index}: its hashes do not follow from the entries");
        foreach (var (level, index) in tiles.Keys)
            Fault($"tile {level}/{index} is missing");
        return new(edge.Size, published, faults);
    }

    private static void CheckRoot(Checkpoint? checkpoint, string which, TreeEdge edge, Action<string> fault)
    {
        if (checkpoint?.Size == edge.Size && !checkpoint.Root.AsSpan().SequenceEqual(edge.Root()))
            fault($"fork: the {which} checkpoint of {checkpoint.Size} entries has another root than the entries have");
    }
}
