using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Keys.Custody;

/// <summary>What a record of the register says.</summary>
enum PersonKind : byte
{
    /// <summary>Who has this number.</summary>
    Person = 1,

    /// <summary>The same of who is erased: without the identity code.</summary>
    Erased = 2,

    /// <summary>Everybody is in this file.</summary>
    Whole = 3,

    /// <summary>The store has a record under this number of somebody who is found under another one: no name leads to it.</summary>
    Other = 4,
}

/// <summary>By which versions of the keys somebody is named and sealed.</summary>
/// <param name="Named">The pseudonym key.</param>
/// <param name="Sealed">The wrapping key; 0: there is no identity code.</param>
readonly record struct PersonForm(uint Named, uint Sealed);

/// <summary>The form of the records in the register of people. Thread-safe.</summary>
/// <remarks>
/// 136 bytes: what it is (1), the version of the pseudonym key at 4 (4, big-endian), the name (16), the number and six zeros as one AES block under a key that is made by the custody key (16), the identity code sealed with the
/// wrapping key (65), and the HMAC of <see cref="ChainedRecords"/> at 112. It names nobody.
/// </remarks>
sealed class PersonRecords(PeopleKeys own) : IDisposable
{
    public const int Size = 136;

    private const int VersionAt = 4, NameAt = 8, NumberAt = 24, NumberSize = 16, SealedAt = 40;

    private readonly Aes _numbers = own.Numbers();

    /// <param name="sealedCode">None where there is no identity code.</param>
    public byte[] Of(PersonKind kind, uint version, Digest name, Pseudonym number, ReadOnlySpan<byte> sealedCode)
    {
        var record = new byte[Size];
        record[0] = (byte)kind;
        BinaryPrimitives.WriteUInt32BigEndian(record.AsSpan(VersionAt), version);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(NameAt), name.Value);
        var block = new byte[NumberSize];
        number.Write(block);
        lock (_numbers)
            _numbers.EncryptEcb(block, record.AsSpan(NumberAt, NumberSize), PaddingMode.None);
        sealedCode.CopyTo(record.AsSpan(SealedAt));
        return record;
    }

    public static byte[] Whole()
    {
        var record = new byte[Size];
        record[0] = (byte)PersonKind.Whole;
        return record;
    }

    public static PersonKind KindIn(ReadOnlySpan<byte> record) => (PersonKind)record[0];

    public Pseudonym NumberIn(ReadOnlySpan<byte> record)
    {
        Span<byte> block = stackalloc byte[NumberSize];
        lock (_numbers)
            _numbers.DecryptEcb(record.Slice(NumberAt, NumberSize), block, PaddingMode.None);
        return Pseudonym.Read(block);
    }

    /// <returns>Null: no name leads to the number.</returns>
    public static Digest? NameIn(ReadOnlySpan<byte> record) => KindIn(record) == PersonKind.Other ? null : new(BinaryPrimitives.ReadUInt128BigEndian(record[NameAt..]));

    public static byte[] SealedIn(ReadOnlySpan<byte> record) => record.Slice(SealedAt, WrappedKey.Length).ToArray();

    public static PersonForm FormIn(ReadOnlySpan<byte> record) =>
        new(BinaryPrimitives.ReadUInt32BigEndian(record[VersionAt..]), WrappedKey.VersionOf(record.Slice(SealedAt, WrappedKey.Length)) ?? 0);

    public void Dispose() => _numbers.Dispose();
}

/// <summary>The keys of the register of people, made by the custody key.</summary>
/// <param name="MacKey">Chains the records.</param>
/// <param name="NumberKey">Hides the numbers in them: AES-256.</param>
sealed record PeopleKeys(byte[] MacKey, byte[] NumberKey)
{
    public Aes Numbers()
    {
        var aes = Aes.Create();
        aes.Key = NumberKey;
        return aes;
    }
}
