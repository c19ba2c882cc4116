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
/// <param name="Receiver">Keyed hash of commitment and receiver, 16 bytes; null where nobody is given the proof.</param>
sealed record SealedRow(long Time, byte[]? Tag, byte[] Leaf, byte[] Enc, byte[] Sealed, byte[]? Receiver)
{
    public const int LeafLength = 64;

    public ReadOnlySpan<byte> Commitment => Leaf.AsSpan(0, 32);

    /// <summary>Length of what precedes the ciphertext in the digested envelope.</summary>
    private static int EnvelopeHeader(byte[]? tag, byte[]? receiver) => 8 + 1 + (tag?.Length ?? 0) + Hpke.KeyLength + (receiver?.Length ?? 0);

    /// <summary>Writes time, length of the tag, tag, encapsulated key and receiver: the envelope is these and the ciphertext.</summary>
    private static void WriteEnvelopeHeader(Span<byte> destination, long time, byte[]? tag, ReadOnlySpan<byte> enc, byte[]? receiver)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination, time);
        // Whether there is a receiver is told too: the first bytes of a ciphertext must not pass for one.
        destination[8] = (byte)((tag?.Length ?? 0) | (receiver is null ? 0 : 0x80));
        tag?.CopyTo(destination[9..]);
        var at = 9 + (tag?.Length ?? 0);
        enc.CopyTo(destination[at..]);
        receiver?.CopyTo(destination[(at + Hpke.KeyLength)..]);
    }

    /// <summary>SHA-256 of the envelope, 32 bytes: what lets the store be checked without opening anything.</summary>
    public static void EnvelopeDigest(long time, byte[]? tag, ReadOnlySpan<byte> enc, byte[]? receiver, ReadOnlySpan<byte> ciphertext, Span<byte> digest)
    {
        var length = EnvelopeHeader(tag, receiver) + ciphertext.Length;
        // One piece for one call: hashing in pieces costs three times as much, and an entry is short.
        var buffer = ArrayPool<byte>.Shared.Rent(length);
        var envelope = buffer.AsSpan(0, length);
        WriteEnvelopeHeader(envelope, time, tag, enc, receiver);
        ciphertext.CopyTo(envelope[EnvelopeHeader(tag, receiver)..]);
        SHA256.HashData(envelope, digest);
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
