using System.Buffers.Binary;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;

namespace KantaGateway.Fhir.Identifiers;

/// <summary>
/// A person as the repository knows them: a random number of 80 bits that the key service gives an identity code once
/// and for ever, and that only it can find by the code. It names the patient compartment.
/// </summary>
/// <remarks>
/// Among ten million people two share 80 bits with probability 4e-11. A pseudonym is still personal data
/// (GDPR Art. 4(5)), so <see cref="ToString"/> is masked; <see cref="Encode"/> is for the wire and the store.
/// </remarks>
public readonly record struct Pseudonym
{
    /// <summary>Length in bytes.</summary>
    public const int Size = 10;

    private readonly ulong _high;
    private readonly ushort _low;

    private Pseudonym(ulong high, ushort low) => (_high, _low) = (high, low);

    /// <summary>
    /// The shared compartment of directory resources (organisations, professionals, terminology). No person has it:
    /// the key service never gives out an all-zero pseudonym.
    /// </summary>
    public static Pseudonym Directory => default;

    /// <summary>
    /// Whose an id is that was never given out: it is asked for there and takes the way of an id whose resource is hidden. One
    /// of 2^80, which the key service gives nobody.
    /// </summary>
    public static Pseudonym Nobody { get; } = new(ulong.MaxValue, ushort.MaxValue);

    /// <summary>True for the shared directory compartment.</summary>
    public bool IsDirectory => _high == 0 && _low == 0;

    /// <summary>Reads the first <see cref="Size"/> bytes; a longer span (a whole MAC) is truncated.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The span is shorter than <see cref="Size"/>.</exception>
    public static Pseudonym Read(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt16BigEndian(bytes[8..]));

    /// <summary>Writes <see cref="Size"/> bytes, big-endian.</summary>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, _high);
        BinaryPrimitives.WriteUInt16BigEndian(destination[8..], _low);
    }

    /// <summary>The <see cref="Size"/> bytes as a new array, as a storage key.</summary>
    public byte[] ToArray()
    {
        var bytes = new byte[Size];
        Write(bytes);
        return bytes;
    }

    /// <summary>Base64url without padding, 14 characters.</summary>
    public string Encode()
    {
        Span<byte> bytes = stackalloc byte[Size];
        Write(bytes);
        return Base64Url.EncodeToString(bytes);
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    public static bool TryDecode([NotNullWhen(true)] string? text, out Pseudonym pseudonym)
    {
        Span<byte> bytes = stackalloc byte[Size];
        pseudonym = default;
        if (text is not { Length: 14 } || !Base64Url.IsValid(text) || Base64Url.DecodeFromChars(text, bytes) != Size)
            return false;
        pseudonym = Read(bytes);
        return true;
    }

    /// <summary>Masked, so that no log line can carry it by accident.</summary>
    public override string ToString() => IsDirectory ? "Pseudonym(directory)" : "Pseudonym(***)";
}
