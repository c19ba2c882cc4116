using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace KantaGateway.Audit.Tree;

/// <summary>
/// Address of a tile: 256 hashes of one level, or the entry bundle beside a tile of level 0 (C2SP tlog-tiles).
/// </summary>
/// <param name="Level">0 to 63; <see cref="Entries"/> for an entry bundle.</param>
/// <param name="Index">Number of the tile within the level.</param>
/// <param name="Width">1 to 255 for a partial tile, 256 for a full one.</param>
public readonly record struct TilePath(int Level, long Index, int Width)
{
    public const int FullWidth = 256;

    /// <summary>Stands for the level of an entry bundle.</summary>
    public const int Entries = -1;

    /// <summary>First leaf past those that this tile needs: the smallest tree that has it. Saturates.</summary>
    public long EndSize
    {
        get
        {
            var last = (Int128)Index * FullWidth + Width;
            var end = Level > 7 ? Int128.MaxValue : last << (8 * Math.Max(Level, 0));
            return end > long.MaxValue ? long.MaxValue : (long)end;
        }
    }

    /// <summary>Reads <c>tile/0/x001/234/067.p/12</c> or <c>tile/entries/000</c>; only the canonical form.</summary>
    public static bool TryParse([NotNullWhen(true)] string? path, out TilePath tile)
    {
        tile = default;
        if (path is null || path.Length > 64)
            return false;
        var parts = path.Split('/');
        var width = FullWidth;
        if (parts.Length > 3 && parts[^2].EndsWith(".p", StringComparison.Ordinal))
        {
            if (!int.TryParse(parts[^1], NumberStyles.None, CultureInfo.InvariantCulture, out width) || width is < 1 or >= FullWidth)
                return false;
            parts[^2] = parts[^2][..^2];
            parts = parts[..^1];
        }
        if (parts.Length < 3)
            return false;
        int level;
        if (parts[1] == "entries")
            level = Entries;
        else if (!int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out level) || level > 63)
            return false;
        Int128 index = 0;
        foreach (var part in parts.AsSpan(2))
        {
            var digits = part.AsSpan().TrimStart('x');
            if (digits.Length != 3 || !int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                return false;
            index = index * 1000 + number;
        }
        if (index > long.MaxValue)
            return false;
        tile = new TilePath(level, (long)index, width);
        // Leading zeros, missing or doubled x and the like have no second spelling.
        return tile.ToString() == path;
    }

    public override string ToString()
    {
        var number = Index.ToString("D3", CultureInfo.InvariantCulture);
        number = number.PadLeft((number.Length + 2) / 3 * 3, '0');
        var path = new StringBuilder("tile/").Append(Level == Entries ? "entries" : Level.ToString(CultureInfo.InvariantCulture));
        for (var i = 0; i < number.Length; i += 3)
            path.Append(i + 3 < number.Length ? "/x" : "/").Append(number, i, 3);
        if (Width < FullWidth)
            path.Append(CultureInfo.InvariantCulture, $".p/{Width}");
        return path.ToString();
    }
}
