using System.Buffers;
using System.Text;

namespace KantaGateway.Fhir.Search;

/// <summary>The parts that an index entry is written of; <see cref="SearchValues"/> reads them.</summary>
static class EntryWriting
{
    public static void WriteByte(this ArrayBufferWriter<byte> buffer, byte value)
    {
        buffer.GetSpan(1)[0] = value;
        buffer.Advance(1);
    }

    /// <summary>A length in 7-bit groups, low group first, as <see cref="SearchValues.ReadLength"/> reads it.</summary>
    public static void WriteLength(this ArrayBufferWriter<byte> buffer, int value)
    {
        for (; value >= 0x80; value >>= 7)
            buffer.WriteByte((byte)(value | 0x80));
        buffer.WriteByte((byte)value);
    }

    /// <summary>A text with its length before it; null is empty.</summary>
    public static void WriteText(this ArrayBufferWriter<byte> buffer, string? text)
    {
        buffer.WriteLength(Encoding.UTF8.GetByteCount(text ?? ""));
        Encoding.UTF8.GetBytes(text ?? "", buffer);
    }
}
