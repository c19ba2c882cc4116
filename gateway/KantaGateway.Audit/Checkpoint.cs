using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit;

/// <summary>The head of a log's tree at one size (C2SP tlog-checkpoint).</summary>
/// <param name="Origin">Name of the log.</param>
/// <param name="Size">Number of leaves.</param>
/// <param name="Root">RFC 6962 root at that size, 32 bytes.</param>
public sealed record Checkpoint(string Origin, long Size, byte[] Root)
{
    /// <summary>The text that is signed: origin, size and root, a line each.</summary>
    public string Text => string.Create(CultureInfo.InvariantCulture, $"{Origin}\n{Size}\n{Convert.ToBase64String(Root)}\n");

    /// <summary>The signed note.</summary>
    public string Sign(NoteSigner signer) => SignedNote.Sign(Text, signer);

    /// <summary>Reads a checkpoint that the key has signed; its origin must be the key's name. Extension lines are skipped.</summary>
    public static bool TryOpen(string note, NoteVerifier verifier, [NotNullWhen(true)] out Checkpoint? checkpoint)
    {
        checkpoint = null;
        if (!SignedNote.TryOpen(note, verifier, out var text) || text.Split('\n') is not [var origin, var size, var root, .. var rest]
            || rest is not [.. var extensions, ""] || extensions.Contains("") || origin != verifier.Name
            || !long.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out var leaves)
            || leaves.ToString(CultureInfo.InvariantCulture) != size)
            return false;
        var hash = new byte[Merkle.HashLength];
        if (!Convert.TryFromBase64String(root, hash, out var length) || length != Merkle.HashLength || Convert.ToBase64String(hash) != root)
            return false;
        checkpoint = new(origin, leaves, hash);
        return true;
    }
}
