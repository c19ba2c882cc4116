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

    /// <summary>What is left of an entry whose time was over: its leaf, and an empty envelope.</summary>
    public static SealedRow Pruned(byte[] leaf) => new(0, null, leaf, [], [], null);

    public bool IsPruned => Enc.Length == 0;

    /// <summary>Bytes of the row in a file: <c>length of the envelope (4) | leaf (64) | envelope</c>.</summary>
    public int StoredLength => StoredHeader + (IsPruned ? 0 : EnvelopeHeader(Tag, Receiver) + Sealed.Length);

    /// <summary>Bytes before the envelope.</summary>
    public const int StoredHeader = 4 + LeafLength;

    /// <summary>Bit of the length of the tag that says that there is a receiver.</summary>
    private const int HasReceiver = 0x80;

    /// <summary>Bytes that the shortest stored row has, and of any row all that say how long it is.</summary>
    public static int ShortestStored => StoredHeader + EnvelopeHeader(null, null);

    /// <summary>Writes <see cref="StoredLength"/> bytes.</summary>
    public void WriteTo(Span<byte> destination)
    {
        BinaryPrimitives.WriteInt32BigEndian(destination, StoredLength - StoredHeader);
        Leaf.CopyTo(destination[4..]);
        WriteEnvelope(destination[StoredHeader..]);
    }

    private void WriteEnvelope(Span<byte> destination)
    {
        if (IsPruned)
            return;
        WriteEnvelopeHeader(destination, Time, Tag, Enc, Receiver);
        Sealed.CopyTo(destination[EnvelopeHeader(Tag, Receiver)..]);
    }

    /// <summary>The envelope, of which the leaf has the digest.</summary>
    public byte[] Envelope()
    {
        var envelope = new byte[StoredLength - StoredHeader];
        WriteEnvelope(envelope);
        return envelope;
    }

    /// <summary>Length of the stored row that begins here; 0 when there is no whole one.</summary>
    public static int StoredLengthAt(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < ShortestStored)
            return 0;
        var length = BinaryPrimitives.ReadUInt32BigEndian(bytes);
        return length <= bytes.Length - StoredHeader && IsEnvelope(bytes.Slice(StoredHeader, (int)length)) ? StoredHeader + (int)length : 0;
    }

    /// <summary>The same of one that was pruned.</summary>
    public static int PrunedLengthAt(ReadOnlySpan<byte> bytes) => bytes.Length >= StoredHeader && BinaryPrimitives.ReadUInt32BigEndian(bytes) == 0 ? StoredHeader : 0;

    /// <summary>Whether these bytes are the form of an envelope.</summary>
    public static bool IsEnvelope(ReadOnlySpan<byte> envelope) => envelope.Length >= EnvelopeHeader(null, null)
        && envelope[8] is 0 or EntrySealer.TagLength or HasReceiver or (EntrySealer.TagLength | HasReceiver) && envelope.Length >= CiphertextAt(envelope);

    /// <summary>The leaf of a stored row.</summary>
    public static ReadOnlySpan<byte> LeafOf(ReadOnlySpan<byte> stored) => stored.Slice(4, LeafLength);

    /// <summary>The envelope of a stored row, of which its leaf has the digest.</summary>
    public static ReadOnlySpan<byte> EnvelopeOf(ReadOnlySpan<byte> stored) => stored[StoredHeader..];

    /// <summary>Whether the envelope of a stored row is the one that its leaf has the digest of.</summary>
    public static bool HasOwnEnvelope(ReadOnlySpan<byte> stored)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(EnvelopeOf(stored), digest);
        return digest.SequenceEqual(LeafOf(stored)[32..]);
    }

    /// <summary>The subject tag of an envelope; empty without a subject, and where it was pruned.</summary>
    public static ReadOnlySpan<byte> TagIn(ReadOnlySpan<byte> envelope) => envelope.IsEmpty ? default : envelope.Slice(9, envelope[8] & ~HasReceiver);

    /// <summary>The subject tag of a stored row; empty without a subject.</summary>
    public static ReadOnlySpan<byte> TagOf(ReadOnlySpan<byte> stored) => TagIn(EnvelopeOf(stored));

    /// <summary>When an envelope was sealed, milliseconds since 1970, UTC.</summary>
    public static long TimeIn(ReadOnlySpan<byte> envelope) => BinaryPrimitives.ReadInt64BigEndian(envelope);

    /// <summary>The encapsulated key of an envelope, 32 bytes.</summary>
    public static ReadOnlySpan<byte> EncIn(ReadOnlySpan<byte> envelope) => envelope.Slice(9 + (envelope[8] & ~HasReceiver), Hpke.KeyLength);

    /// <summary>Ciphertext and tag of an envelope.</summary>
    public static ReadOnlySpan<byte> SealedIn(ReadOnlySpan<byte> envelope) => envelope[CiphertextAt(envelope)..];

    private static int CiphertextAt(ReadOnlySpan<byte> envelope) => 9 + (envelope[8] & ~HasReceiver) + Hpke.KeyLength + ((envelope[8] & HasReceiver) == 0 ? 0 : EntrySealer.TagLength);

    /// <summary>Reads a stored row of exactly this length.</summary>
    public static SealedRow Read(ReadOnlySpan<byte> stored) => Read(LeafOf(stored).ToArray(), EnvelopeOf(stored));

    /// <summary>Reads a row by its leaf and its envelope.</summary>
    public static SealedRow Read(byte[] leaf, ReadOnlySpan<byte> envelope)
    {
        if (envelope.IsEmpty)
            return Pruned(leaf);
        var (tag, at) = (TagIn(envelope).ToArray(), CiphertextAt(envelope));
        var enc = 9 + tag.Length;
        var receiver = envelope[(enc + Hpke.KeyLength)..at];
        return new(BinaryPrimitives.ReadInt64BigEndian(envelope), tag.Length == 0 ? null : tag, leaf, envelope.Slice(enc, Hpke.KeyLength).ToArray(), envelope[at..].ToArray(),
            receiver.IsEmpty ? null : receiver.ToArray());
    }

    /// <summary>As it is handed to who may open it.</summary>
    public SealedEntry At(long index) => new(index, DateTimeOffset.FromUnixTimeMilliseconds(Time), Commitment.ToArray(), Enc, Sealed);

    /// <summary>Length of what precedes the ciphertext in the digested envelope.</summary>
    private static int EnvelopeHeader(byte[]? tag, byte[]? receiver) => 8 + 1 + (tag?.Length ?? 0) + Hpke.KeyLength + (receiver?.Length ?? 0);

    /// <summary>Writes time, length of the tag, tag, encapsulated key and receiver: the envelope is these and the ciphertext.</summary>
    private static void WriteEnvelopeHeader(Span<byte> destination, long time, byte[]? tag, ReadOnlySpan<byte> enc, byte[]? receiver)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination, time);
        // Whether there is a receiver is told too: the first bytes of a ciphertext must not pass for one.
        destination[8] = (byte)((tag?.Length ?? 0) | (receiver is null ? 0 : HasReceiver));
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
