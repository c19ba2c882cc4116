using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// How far a compartment was at some moment, in a form that tells nothing of it: who is shown the compartment later sees whether it still has the row that was its last, and with it
/// every row before that. The repository makes it of a commit; the audit log keeps it, and the key service.
/// </summary>
/// <param name="Sequence">Of the last row; 0: there is none.</param>
/// <param name="Digest">First half of a SHA-256 over a label, the compartment, the sequence and the tag of the row's sealed entry.</param>
public readonly record struct CompartmentHead(long Sequence, UInt128 Digest)
{
    private static ReadOnlySpan<byte> Label => "kanta compartment head v1\n"u8;

    /// <param name="tag">Of the sealed entry of the row, which stands for all rows up to it.</param>
    public static CompartmentHead Of(Pseudonym compartment, long sequence, UInt128 tag)
    {
        if (sequence == 0)
            return default;
        Span<byte> named = stackalloc byte[Label.Length + Pseudonym.Size + 8 + 16];
        Label.CopyTo(named);
        var rest = named[Label.Length..];
        compartment.Write(rest);
        BinaryPrimitives.WriteInt64BigEndian(rest[Pseudonym.Size..], sequence);
        BinaryPrimitives.WriteUInt128BigEndian(rest[(Pseudonym.Size + 8)..], tag);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(named, digest);
        return new(sequence, BinaryPrimitives.ReadUInt128BigEndian(digest));
    }

    /// <summary>Bytes of a digest.</summary>
    public const int DigestSize = 16;

    /// <param name="sequence">Of the last row.</param>
    /// <param name="digest">As <see cref="DigestBytes"/> gives it.</param>
    public static CompartmentHead Read(long sequence, ReadOnlySpan<byte> digest) => new(sequence, BinaryPrimitives.ReadUInt128BigEndian(digest));

    /// <summary>The digest, big-endian.</summary>
    public byte[] DigestBytes()
    {
        var bytes = new byte[DigestSize];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Digest);
        return bytes;
    }

    /// <summary>The digest as text: 32 hexadecimal digits.</summary>
    public string Hex => Digest.ToString("x32", System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>Where a commit has left a compartment.</summary>
/// <param name="IsDirectory">The directory, and not the compartment that the request was about; of a request about the directory, too.</param>
public readonly record struct WrittenHead(bool IsDirectory, CompartmentHead Head);
