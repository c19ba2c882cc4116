using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// AES-256-GCM of rows under a compartment's data key: random nonce (12 bytes), ciphertext, tag (16 bytes). The associated
/// data names the row, so one put in another's place (another compartment, resource or version) does
/// not open. It also binds the rows to each other: an entry takes in the tag of the entry before it, a body that of its own entry. So the tag of
/// the last entry stands for the whole record: a row that was sealed for the same place after another past opens nowhere else.
/// A compartment cut back as a whole, its last rows and its head together, still opens: that is noticed by
/// who knows the tag that was its last (the key service; <see cref="UntoldHeads"/>).
/// </summary>
/// <remarks>
/// For whoever has no key: who has it can seal two pasts that end in one tag. NIST SP 800-38D allows 2^32 random nonces a key; a row uses two, so a compartment would need 2^31 versions.
/// </remarks>
static class RowSeal
{
    private const int Nonce = 12, Tag = 16;

    /// <summary>Bytes that sealing adds.</summary>
    public const int Overhead = Nonce + Tag;

    // compartment, sequence and which of the two ciphertexts; then the tag that it takes in, for a body also resource and type.
    private const int RowNameSize = 1 + Pseudonym.Size + 8, IndexNameSize = RowNameSize + Tag, BodyNameSize = IndexNameSize + 8 + 64, PartNameSize = RowNameSize + 16 + 1;

    /// <summary>The tag of a sealed entry.</summary>
    /// <exception cref="TamperedException">It is too short to have one.</exception>
    public static UInt128 TagOf(ReadOnlySpan<byte> sealedEntry) =>
        sealedEntry.Length < Overhead ? throw new TamperedException("A sealed row is too short.") : BinaryPrimitives.ReadUInt128BigEndian(sealedEntry[^Tag..]);

    /// <param name="before">Tag of the entry before it; 0 for the first.</param>
    public static byte[] SealIndex(AesGcm key, Pseudonym compartment, long sequence, UInt128 before, ReadOnlySpan<byte> entry)
    {
        Span<byte> name = stackalloc byte[IndexNameSize];
        NameIndex(name, compartment, sequence, before);
        return Seal(key, entry, name);
    }

    /// <param name="own">Tag of its entry.</param>
    public static byte[] SealBody(AesGcm key, Pseudonym compartment, long sequence, UInt128 own, long resource, string type, ReadOnlySpan<byte> json)
    {
        Span<byte> name = stackalloc byte[BodyNameSize];
        return Seal(key, json, name[..NameBody(name, compartment, sequence, own, resource, type)]);
    }

    /// <summary>Decrypts an index entry into a buffer of its length.</summary>
    /// <param name="before">Tag of the entry before it; 0 for the first.</param>
    /// <exception cref="TamperedException">It is not what was sealed for this place.</exception>
    public static void OpenIndex(AesGcm key, Pseudonym compartment, long sequence, UInt128 before, ReadOnlySpan<byte> sealedEntry, Span<byte> into)
    {
        Span<byte> name = stackalloc byte[IndexNameSize];
        NameIndex(name, compartment, sequence, before);
        Open(key, sealedEntry, into, name);
    }

    /// <summary>Decrypts in place; the answer is a slice of the given array.</summary>
    /// <param name="own">Tag of its entry.</param>
    /// <exception cref="TamperedException">It is not what was sealed for this place.</exception>
    public static ReadOnlyMemory<byte> OpenBody(AesGcm key, Pseudonym compartment, long sequence, UInt128 own, long resource, string type, byte[] sealedBody)
    {
        Span<byte> name = stackalloc byte[BodyNameSize];
        var length = Math.Max(0, sealedBody.Length - Overhead);
        Open(key, sealedBody, sealedBody.AsSpan(Math.Min(Nonce, sealedBody.Length), length), name[..NameBody(name, compartment, sequence, own, resource, type)]);
        return sealedBody.AsMemory(Nonce, length);
    }

    /// <summary>Seals a part of a content into a buffer; its name says which content, which part, and whether it is the last.</summary>
    /// <returns>Bytes written: those of the part and <see cref="Overhead"/>.</returns>
    public static int SealPart(AesGcm key, Pseudonym compartment, Guid content, int number, bool isLast, ReadOnlySpan<byte> part, Span<byte> into)
    {
        Span<byte> name = stackalloc byte[PartNameSize];
        NamePart(name, compartment, content, number, isLast);
        var length = Overhead + part.Length;
        RandomNumberGenerator.Fill(into[..Nonce]);
        key.Encrypt(into[..Nonce], part, into.Slice(Nonce, part.Length), into[(length - Tag)..length], name);
        return length;
    }

    /// <summary>Decrypts a part into a buffer.</summary>
    /// <returns>Bytes written.</returns>
    /// <exception cref="TamperedException">It is not what was sealed for this place.</exception>
    public static int OpenPart(AesGcm key, Pseudonym compartment, Guid content, int number, bool isLast, ReadOnlySpan<byte> sealedPart, Span<byte> into)
    {
        Span<byte> name = stackalloc byte[PartNameSize];
        NamePart(name, compartment, content, number, isLast);
        var length = Math.Max(0, sealedPart.Length - Overhead);
        Open(key, sealedPart, into[..Math.Min(length, into.Length)], name);
        return length;
    }

    private static void NamePart(Span<byte> name, Pseudonym compartment, Guid content, int number, bool isLast)
    {
        NameRow(name, (byte)'P', compartment, number);
        content.TryWriteBytes(name[RowNameSize..], bigEndian: true, out _);
        name[RowNameSize + 16] = isLast ? (byte)1 : (byte)0;
    }

    private static byte[] Seal(AesGcm key, ReadOnlySpan<byte> plain, ReadOnlySpan<byte> name)
    {
        var row = new byte[Nonce + plain.Length + Tag];
        RandomNumberGenerator.Fill(row.AsSpan(0, Nonce));
        key.Encrypt(row.AsSpan(0, Nonce), plain, row.AsSpan(Nonce, plain.Length), row.AsSpan(Nonce + plain.Length), name);
        return row;
    }

    private static void Open(AesGcm key, ReadOnlySpan<byte> row, Span<byte> plain, ReadOnlySpan<byte> name)
    {
        if (row.Length < Overhead)
            throw new TamperedException("A sealed row is too short.");
        try
        {
            key.Decrypt(row[..Nonce], row[Nonce..^Tag], row[^Tag..], plain, name);
        }
        catch (AuthenticationTagMismatchException)
        {
            throw new TamperedException("A sealed row does not belong where it was found.");
        }
    }

    private static void NameRow(Span<byte> name, byte part, Pseudonym compartment, long sequence)
    {
        name[0] = part;
        compartment.Write(name[1..]);
        BinaryPrimitives.WriteInt64BigEndian(name[(1 + Pseudonym.Size)..], sequence);
    }

    private static void NameIndex(Span<byte> name, Pseudonym compartment, long sequence, UInt128 before)
    {
        NameRow(name, (byte)'I', compartment, sequence);
        BinaryPrimitives.WriteUInt128BigEndian(name[RowNameSize..], before);
    }

    private static int NameBody(Span<byte> name, Pseudonym compartment, long sequence, UInt128 own, long resource, string type)
    {
        NameRow(name, (byte)'B', compartment, sequence);
        BinaryPrimitives.WriteUInt128BigEndian(name[RowNameSize..], own);
        BinaryPrimitives.WriteInt64BigEndian(name[IndexNameSize..], resource);
        return IndexNameSize + 8 + Encoding.UTF8.GetBytes(type, name[(IndexNameSize + 8)..]);
    }
}

/// <summary>
/// The store holds something that was not written there: a row changed, swapped, put back to another version's, or missing
/// from among others. Answered as an unexpected failure without data, logged as an alarm.
/// </summary>
sealed class TamperedException(string message) : Exception(message);
