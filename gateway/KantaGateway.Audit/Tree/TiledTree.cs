using System.Numerics;

namespace KantaGateway.Audit.Tree;

/// <summary>
/// A tree of a given size read through its tiles, wherever they come from: a store, or a log's HTTP address. Root,
/// inclusion proof (RFC 6962 §2.1.1) and consistency proof (§2.1.2) follow from them. Not thread-safe.
/// </summary>
/// <param name="size">Number of leaves, normally that of a checkpoint.</param>
/// <param name="read">Hashes of a tile, 32 bytes for each of its width; asked once for each tile.</param>
public sealed class TiledTree(long size, Func<TilePath, byte[]> read)
{
    private readonly Dictionary<(int, long), byte[]> _tiles = [];
    private readonly Dictionary<(int, long), byte[]> _tall = [];
    private readonly Dictionary<long, byte[]> _ragged = [];

    public long Size { get; } = size;

    /// <summary>MTH(D[0:size]).</summary>
    public byte[] Root() => Size == 0 ? Merkle.Empty : Hash(0, Size);

    /// <summary>Audit path of a leaf, from its sibling up.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The tree has no such leaf.</exception>
    public IReadOnlyList<byte[]> ProveInclusion(long index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Size);
        return Path(index, 1);
    }

    /// <summary>The part of an audit path that is above a full tile of leaves, from the sibling of the tile up. Takes no tile of level 0 but an unfinished one.</summary>
    /// <param name="tile">Number of the tile.</param>
    internal IReadOnlyList<byte[]> ProveTile(long tile) => Path(tile * TilePath.FullWidth, TilePath.FullWidth);

    // A full tile is a subtree of its own, however many leaves come after it.
    private List<byte[]> Path(long index, int leaves)
    {
        var path = new List<byte[]>();
        for (long from = 0, to = Size; to - from > leaves;)
        {
            var middle = from + Split(to - from);
            if (index < middle)
            {
                path.Add(Hash(middle, to));
                to = middle;
            }
            else
            {
                path.Add(Hash(from, middle));
                from = middle;
            }
        }
        path.Reverse();
        return path;
    }

    /// <summary>The same of a tree whose tiles are fetched.</summary>
    /// <param name="size">Number of leaves.</param>
    /// <param name="index">Of the leaf.</param>
    /// <param name="read">Asked once for each tile that the path takes.</param>
    public static ValueTask<IReadOnlyList<byte[]>> ProveInclusionAsync(long size, long index, Func<TilePath, ValueTask<byte[]>> read) =>
        ProveAsync(size, tree => tree.ProveInclusion(index), read);

    /// <summary>Proof that this tree continues the tree of its first <paramref name="earlier"/> leaves.</summary>
    /// <param name="earlier">1 to <see cref="Size"/>.</param>
    public IReadOnlyList<byte[]> ProveConsistency(long earlier)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(earlier, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(earlier, Size);
        var proof = new List<byte[]>();
        // SUBPROOF(m, D[n], b): m stays the absolute end of the earlier tree, b is whether it ends at a subtree of its own.
        long from = 0, to = Size;
        var complete = true;
        while (earlier < to)
        {
            var middle = from + Split(to - from);
            if (earlier <= middle)
            {
                proof.Add(Hash(middle, to));
                to = middle;
            }
            else
            {
                proof.Add(Hash(from, middle));
                from = middle;
                complete = false;
            }
        }
        if (!complete)
            proof.Add(Hash(from, to));
        proof.Reverse();
        return proof;
    }

    /// <summary>The same of a tree whose tiles are fetched.</summary>
    /// <param name="size">Number of leaves.</param>
    /// <param name="earlier">1 to <paramref name="size"/>.</param>
    /// <param name="read">Asked once for each tile that the proof takes.</param>
    public static ValueTask<IReadOnlyList<byte[]>> ProveConsistencyAsync(long size, long earlier, Func<TilePath, ValueTask<byte[]>> read) =>
        ProveAsync(size, tree => tree.ProveConsistency(earlier), read);

    /// <summary>Root of a tree whose tiles are fetched.</summary>
    /// <param name="read">Asked once for each tile that it takes.</param>
    public static async ValueTask<byte[]> RootAsync(long size, Func<TilePath, ValueTask<byte[]>> read) => (await ProveAsync(size, static tree => [tree.Root()], read).ConfigureAwait(false))[0];

    private static async ValueTask<IReadOnlyList<byte[]>> ProveAsync(long size, Func<TiledTree, IReadOnlyList<byte[]>> prove, Func<TilePath, ValueTask<byte[]>> read)
    {
        // Which tiles a proof takes follows from sizes and indices alone.
        var tiles = new Dictionary<TilePath, byte[]>();
        prove(new TiledTree(size, tile => tiles[tile] = new byte[tile.Width * Merkle.HashLength]));
        foreach (var tile in tiles.Keys.ToArray())
            tiles[tile] = await read(tile).ConfigureAwait(false);
        return prove(new TiledTree(size, tile => tiles[tile]));
    }

    /// <summary>Root that an inclusion proof leads to; null when the proof has a wrong length.</summary>
    public static byte[]? RootFromInclusion(long index, long size, byte[] leafHash, IReadOnlyList<byte[]> proof)
    {
        if (index < 0 || index >= size)
            return null;
        var hash = leafHash;
        var at = 0;
        for (long node = index, last = size - 1; last > 0; node >>= 1, last >>= 1)
        {
            // At the right edge without a sibling: the subtree is carried up as it is.
            if (node == last && (node & 1) == 0)
                continue;
            if (at == proof.Count)
                return null;
            hash = (node & 1) == 0 ? Merkle.HashNode(hash, proof[at++]) : Merkle.HashNode(proof[at++], hash);
        }
        return at == proof.Count ? hash : null;
    }

    /// <summary>Whether a consistency proof leads from the earlier root to the later one.</summary>
    public static bool IsConsistent(long earlier, byte[] earlierRoot, long size, byte[] root, IReadOnlyList<byte[]> proof)
    {
        if (earlier < 1 || earlier > size)
            return false;
        if (earlier == size)
            return proof.Count == 0 && earlierRoot.AsSpan().SequenceEqual(root);
        // Climb to the subtree at which the earlier tree ended; a complete earlier tree is itself the first hash.
        long node = earlier - 1, last = size - 1;
        while ((node & 1) != 0)
            (node, last) = (node >> 1, last >> 1);
        var at = 0;
        if (node != 0 && proof.Count == 0)
            return false;
        var first = node == 0 ? earlierRoot : proof[at++];
        byte[] old = first, now = first;
        for (; last > 0; node >>= 1, last >>= 1)
        {
            if (node == last && (node & 1) == 0)
                continue;
            if (at == proof.Count)
                return false;
            var sibling = proof[at++];
            if ((node & 1) != 0)
                (old, now) = (Merkle.HashNode(sibling, old), Merkle.HashNode(sibling, now));
            else
                now = Merkle.HashNode(now, sibling);
        }
        return at == proof.Count && old.AsSpan().SequenceEqual(earlierRoot) && now.AsSpan().SequenceEqual(root);
    }

    private byte[] Hash(long from, long to)
    {
        var count = to - from;
        if (BitOperations.IsPow2(count))
            return Perfect(BitOperations.TrailingZeroCount(count), from);
        // What is not perfect ends where the tree does.
        if (_ragged.TryGetValue(from, out var known))
            return known;
        var middle = from + Split(count);
        return _ragged[from] = Merkle.HashNode(Hash(from, middle), Hash(middle, to));
    }

    // A perfect subtree lies within one tile: its 2^(height mod 8) hashes are consecutive there, and aligned.
    private byte[] Perfect(int height, long from)
    {
        var (level, within) = Math.DivRem(height, 8);
        // What is far from the leaves is of many paths.
        if (level > 0 && _tall.TryGetValue((height, from), out var known))
            return known;
        var first = from >> (8 * level);
        var tile = first / TilePath.FullWidth;
        if (!_tiles.TryGetValue((level, tile), out var hashes))
        {
            var width = (int)Math.Min(TilePath.FullWidth, (Size >> (8 * level)) - tile * TilePath.FullWidth);
            hashes = read(new TilePath(level, tile, width));
            if (hashes.Length != width * Merkle.HashLength)
                throw new InvalidDataException("A tile has a wrong length.");
            _tiles.Add((level, tile), hashes);
        }
        var root = new byte[Merkle.HashLength];
        TreeEdge.Subtree(hashes.AsSpan((int)(first % TilePath.FullWidth) * Merkle.HashLength, (1 << within) * Merkle.HashLength), root);
        if (level > 0)
            _tall.Add((height, from), root);
        return root;
    }

    // Largest power of two below the count.
    private static long Split(long count) => 1L << (63 - BitOperations.LeadingZeroCount((ulong)(count - 1)));
}
