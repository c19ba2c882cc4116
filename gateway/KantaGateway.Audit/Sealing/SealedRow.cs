using System.Buffers.Binary;
using System.Security.Cryptography;

namespace KantaGateway.Audit.Sealing;

/// <summary>An entry as it goes to disk, before it has an index.</summary>
/// <param name="Time">Milliseconds since 1970, UTC.</param>
/// <param name="Tag">Keyed hash of the subject, 16 bytes; null without a subject.</param>
/// <param name="Leaf">Leaf data of the tree: commitment, then digest of the envelope; 64 bytes.</param>
/// <param name="Enc">HPKE encapsulated key.</param>
/// <param name="Sealed">Ciphertext and tag.</param>
sealed record SealedRow(long Time, byte[]? Tag, byte[] Leaf, byte[] Enc, byte[] Sealed)
{
    public const int LeafLength = 64;

    public ReadOnlySpan<byte> Commitment => Leaf.AsSpan(0, 32);

    /// <summary>Length of what precedes the ciphertext in the digested envelope.</summary>
    public static int EnvelopeHeader(byte[]? tag) => 8 + 1 + (tag?.Length ?? 0) + Hpke.KeyLength;

    /// <summary>Writes time, length of the tag, tag and encapsulated key: the envelope is these and the ciphertext.</summary>
    public static void WriteEnvelopeHeader(Span<byte> destination, long time, byte[]? tag, ReadOnlySpan<byte> enc)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination, time);
        destination[8] = (byte)(tag?.Length ?? 0);
        tag?.CopyTo(destination[9..]);
        enc.CopyTo(destination[(9 + (tag?.Length ?? 0))..]);
    }

    /// <summary>SHA-256 of the envelope: what lets the store be checked without opening anything.</summary>
    public static byte[] EnvelopeDigest(long time, byte[]? tag, byte[] enc, byte[] ciphertext)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> header = stackalloc byte[EnvelopeHeader(tag)];
        WriteEnvelopeHeader(header, time, tag, enc);
        hash.AppendData(header);
        hash.AppendData(ciphertext);
        return hash.GetHashAndReset();
    }
}
