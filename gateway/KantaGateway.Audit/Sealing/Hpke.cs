using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Audit.Sealing;

/// <summary>
/// Hybrid Public Key Encryption, RFC 9180, base mode, suite DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export-only
/// (0x0020, 0x0001, 0xFFFF): a context from which keys are exported (§5.3), and nothing is sealed with itself.
/// </summary>
/// <remarks>
/// Export-only, since entries must open one by one and in any order, which the sequence numbers of a sealing context
/// forbid. Not thread-safe; zeroed by <see cref="Dispose"/>.
/// </remarks>
sealed class Hpke : IDisposable
{
    public const int KeyLength = AgreementKey.Length;

    private const int KemId = 0x0020, KdfId = 0x0001, ExportOnly = 0xFFFF;

    private static readonly byte[] KemSuite = [.. "KEM"u8, KemId >> 8, KemId & 0xFF];
    private static readonly byte[] Suite = [.. "HPKE"u8, KemId >> 8, KemId & 0xFF, KdfId >> 8, KdfId & 0xFF, ExportOnly >> 8, ExportOnly & 0xFF];
    private static readonly byte[] Version = "HPKE-v1"u8.ToArray();

    // §5.1, mode_base: there is no pre-shared key, so its id and value are empty.
    private static readonly byte[] NoPskIdHash = LabeledExtract([], Suite, "psk_id_hash", []);

    private readonly byte[] _exporterSecret;

    private Hpke(ReadOnlySpan<byte> sharedSecret, ReadOnlySpan<byte> info)
    {
        // §5.1 KeySchedule.
        byte[] context = [0, .. NoPskIdHash, .. LabeledExtract([], Suite, "info_hash", info)];
        var secret = LabeledExtract(sharedSecret, Suite, "secret", []);
        _exporterSecret = LabeledExpand(secret, Suite, "exp", context, KeyLength);
        CryptographicOperations.ZeroMemory(secret);
    }

    /// <summary>SetupBaseS (§5.1.1): a fresh context to the holder of the private half of <paramref name="recipient"/>.</summary>
    /// <returns>The context and the 32-byte encapsulated key that the recipient needs.</returns>
    /// <exception cref="CryptographicException">It is not a usable public key.</exception>
    public static (Hpke Context, byte[] Enc) ToRecipient(ReadOnlySpan<byte> recipient, ReadOnlySpan<byte> info)
    {
        using var ephemeral = AgreementKey.Generate();
        return ToRecipient(recipient, info, ephemeral);
    }

    /// <summary>The same with a given ephemeral key, for test vectors only.</summary>
    internal static (Hpke Context, byte[] Enc) ToRecipient(ReadOnlySpan<byte> recipient, ReadOnlySpan<byte> info, AgreementKey ephemeral) =>
        (Agree(ephemeral, recipient, ephemeral.PublicKey, recipient, info), ephemeral.PublicKey.ToArray());

    /// <summary>SetupBaseR: the same context on the recipient's side.</summary>
    /// <exception cref="CryptographicException">The encapsulated key is not a usable public key.</exception>
    public static Hpke AtRecipient(AgreementKey recipient, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> info) => Agree(recipient, enc, enc, recipient.PublicKey, info);

    /// <summary>Export (§5.3): a key that only the two ends of this context can have.</summary>
    public byte[] Export(ReadOnlySpan<byte> context) => LabeledExpand(_exporterSecret, Suite, "sec", context, KeyLength);

    public void Dispose() => CryptographicOperations.ZeroMemory(_exporterSecret);

    // §4.1 DHKEM: Encap and Decap differ only in which half is private.
    private static Hpke Agree(AgreementKey own, ReadOnlySpan<byte> other, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> recipient, ReadOnlySpan<byte> info)
    {
        Span<byte> dh = stackalloc byte[KeyLength];
        own.Agree(other, dh);
        var prk = LabeledExtract([], KemSuite, "eae_prk", dh);
        var shared = LabeledExpand(prk, KemSuite, "shared_secret", [.. enc, .. recipient], KeyLength);
        try
        {
            return new Hpke(shared, info);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(dh);
            CryptographicOperations.ZeroMemory(prk);
            CryptographicOperations.ZeroMemory(shared);
        }
    }

    private static byte[] LabeledExtract(ReadOnlySpan<byte> salt, byte[] suite, string label, ReadOnlySpan<byte> input)
    {
        var prk = new byte[KeyLength];
        HKDF.Extract(HashAlgorithmName.SHA256, [.. Version, .. suite, .. Encoding.ASCII.GetBytes(label), .. input], salt, prk);
        return prk;
    }

    private static byte[] LabeledExpand(byte[] prk, byte[] suite, string label, ReadOnlySpan<byte> info, int length)
    {
        Span<byte> labeled = stackalloc byte[2 + Version.Length + suite.Length + label.Length + info.Length];
        BinaryPrimitives.WriteUInt16BigEndian(labeled, (ushort)length);
        var rest = labeled[2..];
        Version.CopyTo(rest);
        rest = rest[Version.Length..];
        suite.CopyTo(rest);
        rest = rest[suite.Length..];
        rest = rest[Encoding.ASCII.GetBytes(label, rest)..];
        info.CopyTo(rest);
        var output = new byte[length];
        HKDF.Expand(HashAlgorithmName.SHA256, prk, output, labeled);
        return output;
    }
}
