using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit;

/// <summary>
/// That a log has an entry, to be checked by anyone and without the log (C2SP tlog-proof): leaf data, the way from its hash to a root, and the
/// checkpoint that signs the root.
/// </summary>
/// <param name="Index">Leaf index, from 0.</param>
/// <param name="Leaf">Leaf data, 64 bytes; the proof's <c>extra</c> line.</param>
/// <param name="Path">RFC 6962 §2.1.1, from the leaf's sibling up.</param>
/// <param name="Checkpoint">Signed note.</param>
public sealed record InclusionProof(long Index, byte[] Leaf, IReadOnlyList<byte[]> Path, string Checkpoint)
{
    public const string Version = "c2sp.org/tlog-proof@v1";

    private const string Extra = "extra ", AtIndex = "index ";
    private const int LeafLength = 64, LongestPath = 64;

    /// <summary>As in <see cref="AuditReceipt.EntryId"/>.</summary>
    public string EntryId => Convert.ToHexStringLower(Leaf.AsSpan(0, 16));

    /// <summary>Whether this log has signed a tree with this leaf at this index.</summary>
    public bool IsOf(NoteVerifier log) => Audit.Checkpoint.TryOpen(Checkpoint, log, out var checkpoint)
        && TiledTree.RootFromInclusion(Index, checkpoint.Size, Merkle.HashLeaf(Leaf), Path) is { } root && root.AsSpan().SequenceEqual(checkpoint.Root);

    /// <summary>The text of the proof.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(Version).Append('\n').Append(Extra).Append(Convert.ToBase64String(Leaf)).Append('\n')
            .Append(CultureInfo.InvariantCulture, $"{AtIndex}{Index}").Append('\n');
        foreach (var hash in Path)
            text.Append(Convert.ToBase64String(hash)).Append('\n');
        return text.Append('\n').Append(Checkpoint).ToString();
    }

    /// <summary>Reads what <see cref="ToString"/> wrote; whether it proves anything says <see cref="IsOf"/>.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out InclusionProof? proof)
    {
        proof = null;
        var split = text?.IndexOf("\n\n", StringComparison.Ordinal) ?? -1;
        if (split < 0 || text![..split].Split('\n') is not [Version, var extra, var at, .. var hashes] || hashes.Length > LongestPath
            || !extra.StartsWith(Extra, StringComparison.Ordinal) || !TryRead(extra[Extra.Length..], LeafLength, out var leaf)
            || !at.StartsWith(AtIndex, StringComparison.Ordinal) || !long.TryParse(at[AtIndex.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out var index)
            || index.ToString(CultureInfo.InvariantCulture) != at[AtIndex.Length..])
            return false;
        var path = new byte[hashes.Length][];
        for (var i = 0; i < hashes.Length; i++)
            if (!TryRead(hashes[i], Merkle.HashLength, out path[i]!))
                return false;
        proof = new(index, leaf, path, text[(split + 2)..]);
        return true;
    }

    private static bool TryRead(string base64, int length, [NotNullWhen(true)] out byte[]? bytes)
    {
        bytes = new byte[length];
        if (Convert.TryFromBase64String(base64, bytes, out var read) && read == length && Convert.ToBase64String(bytes) == base64)
            return true;
        bytes = null;
        return false;
    }
}
