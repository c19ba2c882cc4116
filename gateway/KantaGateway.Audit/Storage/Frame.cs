using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using KantaGateway.Audit.Sealing;

namespace KantaGateway.Audit.Storage;

/// <summary>
/// The rows of one commit as they stand in a file: they are there whole, or not at all. Numbers are big-endian.
/// <c>magic (4) | CRC-32C of all that follows (4) | length of the rows (4) | their number (4) | index of the first (8) | rows</c>
/// </summary>
static class Frame
{
    public const int HeaderLength = 24;

    /// <summary>"KAf1".</summary>
    public const uint Magic = 0x4B416631;

    /// <summary>CRC-32C (Castagnoli), which the processor has an instruction for.</summary>
    public static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes))
            crc = BitOperations.Crc32C(crc, word);
        foreach (var one in bytes[(bytes.Length & ~7)..])
            crc = BitOperations.Crc32C(crc, one);
        return ~crc;
    }

    /// <summary>Length of the frame that begins here, header and all; 0 when what is here is no whole frame.</summary>
    public static int LengthAt(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderLength || BinaryPrimitives.ReadUInt32BigEndian(bytes) != Magic)
            return 0;
        var length = BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]);
        if (length > bytes.Length - HeaderLength)
            return 0;
        var end = HeaderLength + (int)length;
        return Checksum(bytes[8..end]) == BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]) ? end : 0;
    }

    /// <summary>Writes the header before rows that stand from <see cref="HeaderLength"/> on.</summary>
    public static void Close(Span<byte> frame, int count, long first)
    {
        BinaryPrimitives.WriteUInt32BigEndian(frame, Magic);
        BinaryPrimitives.WriteInt32BigEndian(frame[8..], frame.Length - HeaderLength);
        BinaryPrimitives.WriteInt32BigEndian(frame[12..], count);
        BinaryPrimitives.WriteInt64BigEndian(frame[16..], first);
        BinaryPrimitives.WriteUInt32BigEndian(frame[4..], Checksum(frame[8..]));
    }
}

/// <summary>By what a frame is known again.</summary>
readonly record struct FrameMark(int Length, uint Checksum)
{
    /// <summary>Of a frame as it stands in the file; of none, that of no frame.</summary>
    public static FrameMark Of(ReadOnlySpan<byte> frame) => frame.IsEmpty ? default : new(frame.Length, BinaryPrimitives.ReadUInt32BigEndian(frame[4..]));
}

/// <summary>A row in a file: where it stands, and its bytes there.</summary>
/// <param name="Index">Leaf index.</param>
/// <param name="Offset">Where it begins in its segment.</param>
/// <param name="Bytes">As <see cref="SealedRow.WriteTo"/> wrote them; valid until the next frame is read.</param>
readonly record struct StoredRow(long Index, long Offset, ReadOnlyMemory<byte> Bytes);
