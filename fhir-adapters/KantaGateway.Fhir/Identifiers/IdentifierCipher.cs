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

    private readonly ThreadLocal<(Block Ids, Block Versions)> _ciphers;

    /// <param name="serverKey">The deployment's identifier key, <see cref="KeySize"/> bytes; the same on every node.</param>
    public IdentifierCipher(ReadOnlySpan<byte> serverKey)
    {
        if (serverKey.Length != KeySize)
            throw new ArgumentException($"The identifier key has {KeySize} bytes.", nameof(serverKey));
        var ids = HKDF.DeriveKey(HashAlgorithmName.SHA256, serverKey.ToArray(), 16, info: Encoding.ASCII.GetBytes("kanta resource id"));
        var versions = HKDF.DeriveKey(HashAlgorithmName.SHA256, serverKey.ToArray(), 16, info: Encoding.ASCII.GetBytes("kanta version id"));
        _ciphers = new(() => (new(ids), new(versions)), trackAllValues: true);
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

    private static string Encrypt(Block cipher, Pseudonym compartment, long sequence)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)sequence, (ulong)MaxSequence, nameof(sequence));
        Span<byte> block = stackalloc byte[16];
        // The sequence first: its low bytes are overwritten by nothing, its two high ones (zero) by the pseudonym.
        BinaryPrimitives.WriteInt64BigEndian(block[8..], sequence);
        compartment.Write(block);
        cipher.Encrypt(block);
        return new Guid(block, bigEndian: true).ToString("D");
    }

    private static bool TryDecrypt(Block cipher, ReadOnlySpan<char> id, out Pseudonym compartment, out long sequence)
    {
        compartment = default;
        sequence = 0;
        if (id.Length != 36 || !Guid.TryParseExact(id, "D", out var uuid))
            return false;
        Span<byte> block = stackalloc byte[16];
        uuid.TryWriteBytes(block, bigEndian: true, out _);
        cipher.Decrypt(block);
        compartment = Pseudonym.Read(block);
        sequence = BinaryPrimitives.ReadInt64BigEndian(block[8..]) & MaxSequence;
        return true;
    }

    /// <summary>AES of single blocks for one thread. The transforms keep their key schedules, which a one-shot call would make anew.</summary>
    private sealed class Block : IDisposable
    {
        private readonly byte[] _from = new byte[16], _to = new byte[16];
        private readonly ICryptoTransform _encrypt, _decrypt;

        public Block(byte[] key)
        {
            using var aes = Aes.Create();
            (aes.Key, aes.Mode, aes.Padding) = (key, CipherMode.ECB, PaddingMode.None);
            (_encrypt, _decrypt) = (aes.CreateEncryptor(), aes.CreateDecryptor());
        }

        public void Encrypt(Span<byte> block) => Transform(_encrypt, block);

        public void Decrypt(Span<byte> block) => Transform(_decrypt, block);

        public void Dispose()
        {
            _encrypt.Dispose();
            _decrypt.Dispose();
        }

        private void Transform(ICryptoTransform transform, Span<byte> block)
        {
            block.CopyTo(_from);
            transform.TransformBlock(_from, 0, _from.Length, _to, 0);
            _to.CopyTo(block);
        }
    }
}
