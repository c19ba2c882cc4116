namespace KantaGateway.Audit.Tree;

/// <summary>Hashes of one tile as they stand after an append.</summary>
readonly record struct TileChange(int Level, long Index, byte[] Hashes);

/// <summary>
/// The right edge of a growing RFC 6962 tree: all that is needed to append leaves, to give the root, and to cut the
/// hashes into tiles of height 8. About two hashes a leaf. Not thread-safe.
/// </summary>
sealed class TreeEdge
{
    private const int TileHeight = 8;

    // _peaks[h] is the root of the perfect subtree of height h at the edge; valid where bit h of Size is set.
    private readonly byte[][] _peaks = [.. Enumerable.Range(0, 64).Select(_ => new byte[Merkle.HashLength])];
    private readonly List<Level> _levels = [];

    /// <summary>Number of leaves.</summary>
    public long Size { get; private set; }

    /// <summary>Restores an edge from the hashes of the rightmost, partial tile of each level.</summary>
    /// <param name="partialTile">Concatenated hashes of the partial tile of a level: tile number and width are given; not called for width 0.</param>
    public static TreeEdge Restore(long size, Func<TilePath, byte[]> partialTile)
    {
        var edge = new TreeEdge { Size = size };
        for (var level = 0; level < TileHeight && size >> (TileHeight * level) is var count and > 0; level++)
        {
            var restored = edge.LevelAt(level);
            restored.Width = (int)(count % TilePath.FullWidth);
            if (restored.Width == 0)
                continue;
            partialTile(new TilePath(level, count / TilePath.FullWidth, restored.Width)).CopyTo(restored.Hashes, 0);
            // The perfect subtrees of this tile: one for each bit of its width, widest first.
            for (int bit = TileHeight - 1, at = 0; bit >= 0; bit--)
                if ((restored.Width >> bit & 1) != 0)
                {
                    Subtree(restored.Hashes.AsSpan(at * Merkle.HashLength, (1 << bit) * Merkle.HashLength), edge._peaks[TileHeight * level + bit]);
                    at += 1 << bit;
                }
        }
        return edge;
    }

    /// <summary>Root of a perfect subtree from the concatenated hashes of its lowest level; their number is a power of two.</summary>
    public static void Subtree(ReadOnlySpan<byte> hashes, Span<byte> root)
    {
        if (hashes.Length == Merkle.HashLength)
        {
            hashes.CopyTo(root);
            return;
        }
        Span<byte> left = stackalloc byte[Merkle.HashLength], right = stackalloc byte[Merkle.HashLength];
        Subtree(hashes[..(hashes.Length / 2)], left);
        Subtree(hashes[(hashes.Length / 2)..], right);
        Merkle.HashNode(left, right, root);
    }

    /// <summary>Adds a leaf by its hash; a tile of level 0 that it completes goes to <paramref name="changes"/>.</summary>
    public void Append(ReadOnlySpan<byte> leafHash, List<TileChange> changes)
    {
        Span<byte> node = stackalloc byte[Merkle.HashLength];
        leafHash.CopyTo(node);
        for (var height = 0; ; height++)
        {
            if (height % TileHeight == 0)
                AddToTile(height / TileHeight, node, changes);
            if ((Size >> height & 1) == 0)
            {
                node.CopyTo(_peaks[height]);
                break;
            }
            Merkle.HashNode(_peaks[height], node, node);
        }
        Size++;
    }

    /// <summary>Gives the partial tiles above level 0 that have grown since the last call. Level 0 follows from the entries.</summary>
    public void DrainPartialTiles(List<TileChange> changes)
    {
        for (var level = 1; level < _levels.Count; level++)
            if (_levels[level] is { Grown: true, Width: > 0 } partial)
            {
                changes.Add(new(level, TileIndex(level), partial.Hashes[..(partial.Width * Merkle.HashLength)]));
                partial.Grown = false;
            }
    }

    /// <summary>Hashes of the unfinished tile of each level, as they stand.</summary>
    public byte[][] PartialTiles() => [.. _levels.Select(l => l.Hashes[..(l.Width * Merkle.HashLength)])];

    /// <summary>MTH of all leaves: the peaks folded from the right.</summary>
    public byte[] Root()
    {
        byte[]? root = null;
        for (var height = 0; height < 63; height++)
            if ((Size >> height & 1) != 0)
                root = root is null ? [.. _peaks[height]] : Merkle.HashNode(_peaks[height], root);
        return root ?? Merkle.Empty;
    }

    private void AddToTile(int level, ReadOnlySpan<byte> hash, List<TileChange> changes)
    {
        var tile = LevelAt(level);
        hash.CopyTo(tile.Hashes.AsSpan(tile.Width * Merkle.HashLength));
        tile.Grown = true;
        if (++tile.Width < TilePath.FullWidth)
            return;
        // Size still counts without the leaf that completes the tile, so the tile's number is right.
        changes.Add(new(level, TileIndex(level), [.. tile.Hashes]));
        tile.Width = 0;
        tile.Grown = false;
    }

    private long TileIndex(int level) => Size >> (TileHeight * (level + 1));

    private Level LevelAt(int level)
    {
        while (_levels.Count <= level)
            _levels.Add(new Level());
        return _levels[level];
    }

    private sealed class Level
    {
        public readonly byte[] Hashes = new byte[TilePath.FullWidth * Merkle.HashLength];
        public int Width;
        public bool Grown;
    }
}
