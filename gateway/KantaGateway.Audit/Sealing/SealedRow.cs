using System.Buffers;
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
    private static int EnvelopeHeader(byte[]? tag) => 8 + 1 + (tag?.Length ?? 0) + Hpke.KeyLength;

    /// <summary>Writes time, length of the tag, tag and encapsulated key: the envelope is these and the ciphertext.</summary>
    private static void WriteEnvelopeHeader(Span<byte> destination, long time, byte[]? tag, ReadOnlySpan<byte> enc)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination, time);
        destination[8] = (byte)(tag?.Length ?? 0);
        tag?.CopyTo(destination[9..]);
        enc.CopyTo(destination[(9 + (tag?.Length ?? 0))..]);
    }

    /// <summary>SHA-256 of the envelope, 32 bytes: what lets the store be checked without opening anything.</summary>
    public static void EnvelopeDigest(long time, byte[]? tag, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> ciphertext, Span<byte> digest)
    {
        var length = EnvelopeHeader(tag) + ciphertext.Length;
        // One piece for one call: hashing in pieces costs three times as much, and an entry is short.
        var buffer = ArrayPool<byte>.Shared.Rent(length);
        var envelope = buffer.AsSpan(0, length);
        WriteEnvelopeHeader(envelope, time, tag, enc);
        ciphertext.CopyTo(envelope[EnvelopeHeader(tag)..]);
        SHA256.HashData(envelope, digest);
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
