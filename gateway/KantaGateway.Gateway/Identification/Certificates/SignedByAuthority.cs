using Org.BouncyCastle.Asn1.Pkcs;
using Org.BouncyCastle.Asn1.X9;
using Org.BouncyCastle.X509;

namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>What lists and answers have in common: the authority's signature under a hash that still holds.</summary>
internal static class SignedByAuthority
{
    /// <summary>RSA (PKCS #1) and ECDSA over SHA-2. MD5 and SHA-1 do not hold.</summary>
    private static readonly HashSet<string> Algorithms =
    [
        PkcsObjectIdentifiers.Sha256WithRsaEncryption.Id, PkcsObjectIdentifiers.Sha384WithRsaEncryption.Id, PkcsObjectIdentifiers.Sha512WithRsaEncryption.Id,
        X9ObjectIdentifiers.ECDsaWithSha256.Id, X9ObjectIdentifiers.ECDsaWithSha384.Id, X9ObjectIdentifiers.ECDsaWithSha512.Id,
    ];

    /// <summary>How far the authority's clock may be ahead.</summary>
    public static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);

    public static bool Holds(string algorithm) => Algorithms.Contains(algorithm);

    public static DateTimeOffset Time(DateTime utc) => new(DateTime.SpecifyKind(utc, DateTimeKind.Utc));

    public static DateTimeOffset Earlier(DateTimeOffset one, DateTimeOffset other) => one < other ? one : other;

    /// <summary>Reads what came from outside. The parser throws nearly anything at what is malformed, and all of it means the same here.</summary>
    /// <exception cref="InvalidDataException">It cannot be read.</exception>
    public static T Read<T>(Func<T?> read) where T : class
    {
        try
        {
            return read() ?? throw new InvalidDataException("it cannot be read");
        }
        catch (Exception malformed) when (malformed is not OutOfMemoryException and not InvalidDataException)
        {
            throw new InvalidDataException("it cannot be read", malformed);
        }
    }

    /// <summary>Whether a verification succeeds; one that cannot be made, such as with a key of another kind, does not.</summary>
    public static bool Verifies(Func<bool> verify)
    {
        try
        {
            return verify();
        }
        catch (Exception impossible) when (impossible is not OutOfMemoryException)
        {
            return false;
        }
    }

    /// <summary>Whether the certificate may be used so (RFC 5280 §4.2.1.3); one that does not say may.</summary>
    /// <param name="bit">Of KeyUsage: 0 digitalSignature, 6 cRLSign.</param>
    public static bool MayBeUsedFor(X509Certificate certificate, int bit) => certificate.GetKeyUsage() is not { } usage || (bit < usage.Length && usage[bit]);
}
