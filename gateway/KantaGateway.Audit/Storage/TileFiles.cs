using System.Buffers.Binary;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit.Storage;

/// <summary>Leaf data as C2SP tlog-tiles prints it in an entry bundle: each after its length as a big-endian 16-bit number.</summary>
static class EntryBundle
{
    public const int EntryLength = 2 + SealedRow.LeafLength, FullLength = TilePath.FullWidth * EntryLength;

    public static void Write(ReadOnlySpan<byte> leaf, Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt16BigEndian(destination, SealedRow.LeafLength);
        leaf.CopyTo(destination[2..]);
    }
}

/// <summary>
/// Full tiles and full entry bundles, each a file at its C2SP path below the folder of the store. They follow from the rows; what a
/// power cut takes of them is made again.
/// </summary>
static class TileFiles
{
    public const string Folder = "tile";

    public static string FileOf(string folder, TilePath tile) => Path.Combine([folder, .. (tile with { Width = TilePath.FullWidth }).ToString().Split('/')]);

    /// <summary>Puts a tile in its place, unless it is already there.</summary>
    public static void Put(string folder, int level, long index, ReadOnlySpan<byte> content)
    {
        var file = FileOf(folder, new(level, index, TilePath.FullWidth));
        if (File.Exists(file) && File.ReadAllBytes(file).AsSpan().SequenceEqual(content))
            return;
        OwnerOnly.CreateFolder(Path.GetDirectoryName(file)!);
        Disk.Put(file, content, flush: false);
    }

    /// <summary>The first of a full tile's entries or hashes, as many as the path is wide; null when there is no such file.</summary>
    public static byte[]? Read(string folder, TilePath tile)
    {
        var (entry, file) = (tile.Level == TilePath.Entries ? EntryBundle.EntryLength : Merkle.HashLength, FileOf(folder, tile));
        if (!File.Exists(file))
            return null;
        var content = File.ReadAllBytes(file);
        return content.Length == entry * TilePath.FullWidth ? content[..(entry * tile.Width)] : null;
    }

    /// <summary>Every tile that there is a file of, in no order; null for a file that is no full tile's.</summary>
    public static IEnumerable<(string File, TilePath? Tile)> List(string folder)
    {
        var top = Path.Combine(folder, Folder);
        if (!Directory.Exists(top))
            yield break;
        foreach (var file in Directory.EnumerateFiles(top, "*", SearchOption.AllDirectories))
        {
            var path = Path.GetRelativePath(folder, file).Replace(Path.DirectorySeparatorChar, '/');
            // What a kill has left beside its place is nothing yet.
            if (!path.EndsWith(".new", StringComparison.Ordinal))
                yield return (path, TilePath.TryParse(path, out var tile) && tile.Width == TilePath.FullWidth ? tile : null);
        }
    }

    /// <summary>Flushes the tiles that a tree has completed on its way from one size to another, and their names.</summary>
    public static void Flush(string folder, long from, long to)
    {
        var folders = new HashSet<string>();
        for (var level = TilePath.Entries; level < 7; level++)
        {
            var shift = 8 * (Math.Max(level, 0) + 1);
            for (var index = from >> shift; index < to >> shift; index++)
            {
                var file = FileOf(folder, new(level, index, TilePath.FullWidth));
                Disk.FlushFile(file);
                var parent = Path.GetDirectoryName(file)!;
                while (parent.Length >= folder.Length && folders.Add(parent))
                    parent = Path.GetDirectoryName(parent)!;
            }
        }
        foreach (var made in folders)
            Disk.FlushFolder(made);
    }
}

/// <summary>The unfinished tiles of a tree of one size, which no file holds. Immutable.</summary>
sealed class EdgeTiles(long size, byte[] bundle, byte[][] levels)
{
    /// <summary>As they stand now.</summary>
    /// <param name="bundle">Entry bundle of the unfinished tile of level 0.</param>
    public static EdgeTiles Of(TreeEdge edge, ReadOnlySpan<byte> bundle) => new(edge.Size, bundle.ToArray(), edge.PartialTiles());

    /// <summary>Reads a tile that this tree has; null when its file is missing.</summary>
    public byte[]? Read(string folder, TilePath tile)
    {
        var level = Math.Max(tile.Level, 0);
        if (tile.Index != size >> 8 * (level + 1))
            return TileFiles.Read(folder, tile);
        return tile.Level == TilePath.Entries ? bundle[..(tile.Width * EntryBundle.EntryLength)] : levels[level][..(tile.Width * Merkle.HashLength)];
    }
}
