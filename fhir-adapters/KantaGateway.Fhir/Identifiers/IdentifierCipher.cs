using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Fhir.Identifiers;

/// <summary>
/// Makes and reads the opaque ids of FHIR: one AES block of compartment (10 bytes) and sequence (6 bytes), printed
/// as a UUID. Whoever holds the server key finds the compartment from an id alone, without a lookup; to everybody
/// else two ids of one patient are unrelated, and neither ids nor version ids count anything.
/// </summary>
/// <remarks>
/// Logical ids and version ids use different keys, so neither can be passed off as the other. Every UUID decrypts to
/// something: a guessed one names a compartment that does not exist and is answered like any absent resource.
/// Thread-safe.
/// </remarks>
public sealed class IdentifierCipher : IDisposable
{
    /// <summary>Length of the server key in bytes.</summary>
    public const int KeySize = 32;

    /// <summary>Largest sequence number, 2^48 - 1.</summary>
    public const long MaxSequence = (1L << 48) - 1;

    private readonly ThreadLocal<(Aes Ids, Aes Versions)> _ciphers;

    /// <param name="serverKey">The deployment's identifier key, <see cref="KeySize"/> bytes; the same on every node.</param>
    public IdentifierCipher(ReadOnlySpan<byte> serverKey)
    {
        if (serverKey.Length != KeySize)
            throw new ArgumentException($"The identifier key has {KeySize} bytes.", nameof(serverKey));
        var ids = HKDF.DeriveKey(HashAlgorithmName.SHA256, serverKey.ToArray(), 16, info: Encoding.ASCII.GetBytes("kanta resource id"));
        var versions = HKDF.DeriveKey(HashAlgorithmName.SHA256, serverKey.ToArray(), 16, info: Encoding.ASCII.GetBytes("kanta version id"));
        _ciphers = new(() => (NewAes(ids), NewAes(versions)), trackAllValues: true);
    }

    /// <summary>The id of the Patient of a compartment: sequence 0, so that it follows from the pseudonym alone.</summary>
    public string PatientId(Pseudonym compartment) => ResourceId(compartment, 0);

    /// <summary>The logical id of the resource whose first row in its compartment has this sequence.</summary>
    public string ResourceId(Pseudonym compartment, long sequence) => Encrypt(_ciphers.Value.Ids, compartment, sequence);

    /// <summary>The version id of the row with this sequence.</summary>
    public string VersionId(Pseudonym compartment, long sequence) => Encrypt(_ciphers.Value.Versions, compartment, sequence);

    /// <summary>Reads a logical id. False only when the text is not a UUID in 8-4-4-4-12 form.</summary>
    public bool TryReadResourceId(ReadOnlySpan<char> id, out Pseudonym compartment, out long sequence) =>
        TryDecrypt(_ciphers.Value.Ids, id, out compartment, out sequence);

    /// <summary>Reads a version id. False only when the text is not a UUID in 8-4-4-4-12 form.</summary>
    public bool TryReadVersionId(ReadOnlySpan<char> id, out Pseudonym compartment, out long sequence) =>
        TryDecrypt(_ciphers.Value.Versions, id, out compartment, out sequence);

    public void Dispose()
    {
        foreach (var (ids, versions) in _ciphers.Values)
        {
            ids.Dispose();
            versions.Dispose();
        }
        _ciphers.Dispose();
    }

    private static Aes NewAes(byte[] key)
    {
        var aes = Aes.Create();
        aes.Key = key;
        return aes;
    }

    private static string Encrypt(Aes aes, Pseudonym compartment, long sequence)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)sequence, (ulong)MaxSequence, nameof(sequence));
        Span<byte> block = stackalloc byte[16];
        // The sequence first: its low bytes are overwritten by nothing, its two high ones (zero) by the pseudonym.
        BinaryPrimitives.WriteInt64BigEndian(block[8..], sequence);
        compartment.Write(block);
        aes.EncryptEcb(block, block, PaddingMode.None);
        return new Guid(block, bigEndian: true).ToString("D");
    }

    private static bool TryDecrypt(Aes aes, ReadOnlySpan<char> id, out Pseudonym compartment, out long sequence)
    {
        compartment = default;
        sequence = 0;
        if (id.Length != 36 || !Guid.TryParseExact(id, "D", out var uuid))
            return false;
        Span<byte> block = stackalloc byte[16];
        uuid.TryWriteBytes(block, bigEndian: true, out _);
        aes.DecryptEcb(block, block, PaddingMode.None);
        compartment = Pseudonym.Read(block);
        sequence = BinaryPrimitives.ReadInt64BigEndian(block[8..]) & MaxSequence;
        return true;
    }
}
