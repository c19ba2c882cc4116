using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using KantaGateway.Audit.Tree;
using KantaGateway.Audit.Witnessing;

namespace KantaGateway.Audit.Monitoring;

/// <summary>Reads a resource of a log: <c>checkpoint</c>, or the path of a tile. Null where the log says that there is none.</summary>
public delegate Task<byte[]?> ReadLog(string path, CancellationToken cancel);

/// <summary>
/// Checks a log from outside, as anybody may who has its key: that its checkpoint is signed and cosigned, that the entries which it gives have the signed root, and that it goes on from all that was seen before (C2SP tlog-tiles). Each check
/// reads what is new. Its memory does not grow with the log. Not thread-safe.
/// </summary>
/// <param name="kept">What is known from before.</param>
/// <param name="read">The log's public face.</param>
/// <param name="policy">Who must have cosigned; null: nobody.</param>
public sealed class LogMonitor(NoteVerifier log, MonitorFolder kept, ReadLog read, WitnessPolicy? policy = null)
{
    /// <summary>Tiles between two saves: a check that is broken off goes on from the last.</summary>
    private const int TilesBetweenSaves = 1024;

    /// <summary>Bytes; those of this log have 64.</summary>
    private const int LongestEntry = 512;

    private readonly List<LogFault> _faults = [];

    // Tiles above the lowest that do not follow from the entries: of a log that was rewritten it is not they that are wrong.
    private readonly List<LogFault> _damaged = [];
    private string _note = "";

    /// <summary>Entry bundles that are read at once, with their tiles. Default 8.</summary>
    public int Ahead { get; init; } = 8;

    /// <summary>Whether everything is read, and not only what is new.</summary>
    public bool ReadsAll { get; init; }

    /// <summary>Told how many entries are read, and how many there are.</summary>
    public Action<long, long>? Progress { get; init; }

    /// <summary>Checks once.</summary>
    /// <exception cref="HttpRequestException">Of the reading: nothing is known then. So are others that it throws.</exception>
    /// <exception cref="IOException">What is known cannot be kept.</exception>
    public async Task<MonitorReport> CheckAsync(CancellationToken cancel = default)
    {
        _faults.Clear();
        _damaged.Clear();
        // :: The checkpoint by itself
        var note = await read("checkpoint", cancel).ConfigureAwait(false) is { } bytes ? Encoding.UTF8.GetString(bytes) : null;
        if (note is null)
            Say(LogFaultKind.Withheld, "the log shows no checkpoint");
        if (note is null || !Checkpoint.TryOpen(note, log, out var head))
        {
            if (note is not null)
                Say(LogFaultKind.Forged, "the checkpoint is not signed by the log");
            return new(null, 0, [], [.. _faults]);
        }
        var cosigners = policy?.CosignersOf(note) ?? [];
        if (policy is not null && !policy.IsMetBy(cosigners))
            Say(LogFaultKind.Unwitnessed, $"{cosigners.Count} of {policy.Witnesses.Count} witnesses have cosigned the checkpoint, which are not those that the policy asks for");

        // :: Against what was seen
        _note = note;
        var seen = kept.Seen;
        if (seen is not null && (head.Size < seen.Size || head.Size == seen.Size && !Same(head.Root, seen.Root)))
        {
            kept.KeepEvidence(note);
            if (head.Size < seen.Size)
                Say(LogFaultKind.RolledBack, $"the log had signed {seen.Size} entries and now signs {head.Size}");
            else
                Say(LogFaultKind.Forked, $"the log has signed two histories of {head.Size} entries");
            var compared = await CompareWithKeptAsync(head, cancel).ConfigureAwait(false);
            return new(head, compared, cosigners, [.. _faults]);
        }
        kept.See(head, note);

        // :: What it keeps no longer: the leaves of that are read like all others
        var pruned = await ReadPruningAsync(head, cancel).ConfigureAwait(false);

        // :: The entries
        var edge = ReadsAll ? new TreeEdge() : kept.Edge();
        var begun = edge.Size;
        try
        {
            if (head.Size == 0 && !Same(head.Root, Merkle.Empty))
                Say(LogFaultKind.Damaged, "the signed root of no entries is not that of an empty tree");
            else if (await ReadAsync(edge, head, seen, cancel).ConfigureAwait(false))
            {
                if (Same(edge.Root(), head.Root))
                    _damaged.ForEach(Say);
                else
                    await ContradictedAsync(head, $"the entries that the log gives do not have the root that it has signed", cancel).ConfigureAwait(false);
                if (_faults.TrueForAll(f => f.Kind == LogFaultKind.Unwitnessed))
                    kept.Verify(head, note, edge);
            }
        }
        catch (WithheldException withheld)
        {
            Say(LogFaultKind.Withheld, withheld.Message);
        }
        if (_faults.Exists(f => f.Kind is not (LogFaultKind.Unwitnessed or LogFaultKind.Withheld)))
            kept.Revert();
        return new(head, edge.Size - begun, cosigners, [.. _faults], pruned);
    }

    private async Task<Pruning?> ReadPruningAsync(Checkpoint head, CancellationToken cancel)
    {
        if (await read("pruned", cancel).ConfigureAwait(false) is not { } bytes)
            return null;
        if (!Pruning.TryOpen(Encoding.UTF8.GetString(bytes), log, out var pruned) || pruned.Before > head.Size)
        {
            Say(LogFaultKind.Forged, "the note of what was pruned is not signed by the log, or is of entries that it has not signed");
            return null;
        }
        try
        {
            if (!Same(await TiledTree.RootAsync(pruned.Before, async tile => await TileAsync(tile, cancel).ConfigureAwait(false)).ConfigureAwait(false), pruned.Root))
                Say(LogFaultKind.Forked, $"the note of what was pruned is of another history of {pruned.Before} entries");
        }
        catch (WithheldException withheld)
        {
            Say(LogFaultKind.Withheld, withheld.Message);
        }
        return pruned;
    }

    /// <summary>Reads the entries from the edge to the head, each against the hashes beside it and what was seen before.</summary>
    /// <returns>False: what was found is said, and there is no reading on.</returns>
    private async Task<bool> ReadAsync(TreeEdge edge, Checkpoint head, Checkpoint? seen, CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var ahead = new Queue<Task<(byte[][] Entries, byte[] Hashes)>>();
        var (next, end) = (edge.Size / TilePath.FullWidth, (head.Size + TilePath.FullWidth - 1) / TilePath.FullWidth);
        var changes = new List<TileChange>();
        try
        {
            for (var tile = next; tile < end && edge.Size < head.Size; tile++)
            {
                for (; next < end && ahead.Count < Ahead; next++)
                    ahead.Enqueue(ReadBothAsync(next, head.Size, stop.Token));
                var (entries, hashes) = await ahead.Dequeue().ConfigureAwait(false);
                for (var i = 0; i < entries.Length; i++)
                {
                    var index = tile * TilePath.FullWidth + i;
                    var (leaf, hash) = (Merkle.HashLeaf(entries[i]), hashes.AsMemory(i * Merkle.HashLength, Merkle.HashLength));
                    if (!Same(leaf, hash.Span))
                    {
                        await DisagreeAsync(head, index, leaf, hash.ToArray(), cancel).ConfigureAwait(false);
                        return false;
                    }
                    if (index < kept.Leaves && kept.Fingerprints(index, 1)[0] != BinaryPrimitives.ReadUInt64BigEndian(leaf))
                    {
                        await ContradictedAsync(head, $"entry {index} is not the one that the log gave before", cancel).ConfigureAwait(false);
                        return false;
                    }
                    if (index < edge.Size)
                        continue;
                    if (!await GoesOnFromAsync(seen, edge, head, cancel).ConfigureAwait(false))
                        return false;
                    edge.Append(leaf, changes);
                    if (index == kept.Leaves)
                        kept.Append(leaf);
                }
                foreach (var full in changes.Where(c => c.Level > 0 && _damaged.Count < MonitorReport.MaxFaults))
                    await CompareAsync(new(full.Level, full.Index, TilePath.FullWidth), full.Hashes, cancel).ConfigureAwait(false);
                changes.Clear();
                Progress?.Invoke(edge.Size, head.Size);
                if (!ReadsAll && (tile + 1) % TilesBetweenSaves == 0)
                    kept.Reach(edge);
            }
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(ahead).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default).ConfigureAwait(false);
        }
        if (!await GoesOnFromAsync(seen, edge, head, cancel).ConfigureAwait(false))
            return false;
        foreach (var (level, hashes) in edge.PartialTiles().Index().Skip(1))
            if (hashes.Length > 0)
                await CompareAsync(new(level, edge.Size >> 8 * (level + 1), hashes.Length / Merkle.HashLength), hashes, cancel).ConfigureAwait(false);
        return true;
    }

    /// <summary>Whether the tree, where it has come to the size of a checkpoint that was seen before, has its root.</summary>
    private async ValueTask<bool> GoesOnFromAsync(Checkpoint? seen, TreeEdge edge, Checkpoint head, CancellationToken cancel)
    {
        if (seen is null || edge.Size != seen.Size || Same(edge.Root(), seen.Root))
            return true;
        kept.KeepEvidence(_note);
        Say(LogFaultKind.Forked, $"the log has signed another history of {seen.Size} entries before");
        await CompareWithKeptAsync(head, cancel).ConfigureAwait(false);
        return false;
    }

    /// <summary>An entry is not what the hash beside it says: one of the two is what is signed, or neither.</summary>
    private async Task DisagreeAsync(Checkpoint head, long index, byte[] leaf, byte[] hash, CancellationToken cancel)
    {
        if (await IsSignedAsync(head, index, hash, cancel).ConfigureAwait(false))
            await LeafComparison.NameAsync(index, TilesOf(head.Size, cancel), BundlesOf(head.Size, cancel), AsServed).ConfigureAwait(false);
        else if (await IsSignedAsync(head, index, leaf, cancel).ConfigureAwait(false))
            Say(LogFaultKind.Damaged, $"{new TilePath(0, index / TilePath.FullWidth, TilePath.FullWidth)}: the hash of entry {index} is not the entry's");
        else
            await ContradictedAsync(head, $"entry {index} and its hash are not what is signed", cancel).ConfigureAwait(false);
    }

    /// <summary>What the log gives is not what it has signed; or that is not what it had signed before.</summary>
    /// <param name="otherwise">Where nothing has become of what was verified before.</param>
    private async Task ContradictedAsync(Checkpoint head, FormattableString otherwise, CancellationToken cancel)
    {
        var before = _faults.Count;
        await CompareWithKeptAsync(head, cancel).ConfigureAwait(false);
        if (_faults.Count == before)
        {
            Say(LogFaultKind.Damaged, otherwise);
            _damaged.ForEach(Say);
            return;
        }
        kept.KeepEvidence(_note);
        _faults.Insert(before, new(LogFaultKind.Forked, string.Create(CultureInfo.InvariantCulture, $"the {head.Size} entries do not go on from the {kept.Verified!.Size} that were verified before")));
    }

    /// <summary>Names what has become of the entries that were seen before.</summary>
    /// <returns>How many of them were compared.</returns>
    private async Task<long> CompareWithKeptAsync(Checkpoint head, CancellationToken cancel)
    {
        try
        {
            return await LeafComparison.NameAsync(0, (from, count) => new(kept.Fingerprints(from, (int)Math.Min(count, Math.Max(0, (kept.Verified?.Size ?? 0) - from)))), TilesOf(head.Size, cancel), Say).ConfigureAwait(false);
        }
        catch (WithheldException withheld)
        {
            Say(LogFaultKind.Withheld, withheld.Message);
            return 0;
        }
    }

    private async Task CompareAsync(TilePath tile, byte[] expected, CancellationToken cancel)
    {
        if (!Same(await TileAsync(tile, cancel).ConfigureAwait(false), expected))
            _damaged.Add(new(LogFaultKind.Damaged, $"{tile} does not follow from the entries"));
    }

    /// <summary>Whether a leaf hash is in the signed tree, by the log's own hashes.</summary>
    private async Task<bool> IsSignedAsync(Checkpoint head, long index, byte[] leafHash, CancellationToken cancel)
    {
        var path = await TiledTree.ProveInclusionAsync(head.Size, index, async tile => await TileAsync(tile, cancel).ConfigureAwait(false)).ConfigureAwait(false);
        return TiledTree.RootFromInclusion(index, head.Size, leafHash, path) is { } root && Same(root, head.Root);
    }

    private ReadFingerprints TilesOf(long size, CancellationToken cancel) =>
        Fingerprints(size, async tile => MonitorFolder.FingerprintsIn(await TileAsync(new(0, tile, WidthOf(tile, size)), cancel).ConfigureAwait(false), Merkle.HashLength));

    private ReadFingerprints BundlesOf(long size, CancellationToken cancel) => Fingerprints(size, async tile =>
        [.. EntriesIn(await GetAsync(new(TilePath.Entries, tile, WidthOf(tile, size)), cancel).ConfigureAwait(false), out _).Select(static entry => BinaryPrimitives.ReadUInt64BigEndian(Merkle.HashLeaf(entry)))]);

    /// <summary>Gives them tile by tile; the last few are remembered, for they are asked for in small steps.</summary>
    private static ReadFingerprints Fingerprints(long size, Func<long, Task<ulong[]>> readTile)
    {
        var recent = new Dictionary<long, ulong[]>();
        return async (from, count) =>
        {
            var found = new List<ulong>();
            while (found.Count < count && from + found.Count < size)
            {
                var (tile, within) = Math.DivRem(from + found.Count, TilePath.FullWidth);
                if (!recent.TryGetValue(tile, out var hashes))
                {
                    foreach (var old in recent.Keys.Where(k => k < tile - 3).ToList())
                        recent.Remove(old);
                    hashes = recent[tile] = await readTile(tile).ConfigureAwait(false);
                }
                // An entry bundle may have fewer than it must.
                if (within >= hashes.Length)
                    break;
                found.AddRange(hashes.Skip((int)within).Take(count - found.Count));
            }
            return [.. found];
        };
    }

    private async Task<(byte[][] Entries, byte[] Hashes)> ReadBothAsync(long tile, long size, CancellationToken cancel)
    {
        var hashes = TileAsync(new(0, tile, WidthOf(tile, size)), cancel);
        var entries = await BundleAsync(tile, size, cancel).ConfigureAwait(false);
        return (entries, await hashes.ConfigureAwait(false));
    }

    private async Task<byte[]> TileAsync(TilePath tile, CancellationToken cancel)
    {
        var bytes = await GetAsync(tile, cancel).ConfigureAwait(false);
        return bytes.Length == tile.Width * Merkle.HashLength ? bytes : throw new WithheldException($"{tile} has {bytes.Length} bytes");
    }

    /// <summary>Entries of a bundle, as many as the tree has there.</summary>
    private async Task<byte[][]> BundleAsync(long index, long size, CancellationToken cancel)
    {
        var tile = new TilePath(TilePath.Entries, index, WidthOf(index, size));
        var entries = EntriesIn(await GetAsync(tile, cancel).ConfigureAwait(false), out var isWhole);
        return isWhole && entries.Count == tile.Width ? [.. entries] : throw new WithheldException($"{tile} does not hold {tile.Width} entries");
    }

    private static List<byte[]> EntriesIn(ReadOnlyMemory<byte> bundle, out bool isWhole)
    {
        var entries = new List<byte[]>();
        while (bundle.Length >= 2 && BinaryPrimitives.ReadUInt16BigEndian(bundle.Span) is var length && bundle.Length >= 2 + length && length <= LongestEntry)
        {
            entries.Add(bundle.Slice(2, length).ToArray());
            bundle = bundle[(2 + length)..];
        }
        isWhole = bundle.Length == 0;
        return entries;
    }

    /// <summary>A tile; where a partial one is gone, the beginning of the full one.</summary>
    private async Task<byte[]> GetAsync(TilePath tile, CancellationToken cancel)
    {
        if (await read(tile.ToString(), cancel).ConfigureAwait(false) is { } bytes)
            return bytes;
        if (tile.Width < TilePath.FullWidth && await read((tile with { Width = TilePath.FullWidth }).ToString(), cancel).ConfigureAwait(false) is { } full)
            return tile.Level == TilePath.Entries ? Beginning(full, tile.Width) : full[..Math.Min(full.Length, tile.Width * Merkle.HashLength)];
        throw new WithheldException($"the log does not give {tile}, which its checkpoint has");
    }

    private static byte[] Beginning(byte[] bundle, int entries)
    {
        var end = 0;
        for (var i = 0; i < entries && end + 2 <= bundle.Length; i++)
            end += 2 + BinaryPrimitives.ReadUInt16BigEndian(bundle.AsSpan(end));
        return bundle[..Math.Min(end, bundle.Length)];
    }

    private static int WidthOf(long tile, long size) => (int)Math.Min(TilePath.FullWidth, size - tile * TilePath.FullWidth);

    private static bool Same(ReadOnlySpan<byte> one, ReadOnlySpan<byte> other) => one.SequenceEqual(other);

    private void AsServed(LogFault fault) => Say(fault with { What = $"of the entries that the log gives, {fault.What}: its hashes are those that are signed" });

    private void Say(LogFault fault)
    {
        if (_faults.Count < MonitorReport.MaxFaults)
            _faults.Add(fault);
    }

    private void Say(LogFaultKind kind, FormattableString what) => Say(new(kind, what.ToString(CultureInfo.InvariantCulture)));

    private void Say(LogFaultKind kind, string what) => Say(new(kind, what));

    /// <summary>The log does not give what it has signed.</summary>
    private sealed class WithheldException(string what) : Exception(what);
}
