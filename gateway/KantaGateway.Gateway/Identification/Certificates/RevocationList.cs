using Org.BouncyCastle.Asn1;
using Org.BouncyCastle.Asn1.X509;
using Org.BouncyCastle.Math;
using Org.BouncyCastle.X509;

namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>An authority's complete revocation list (RFC 5280 §5), verified. Immutable.</summary>
internal sealed class RevocationList
{
    private const int CrlSign = 6;

    private readonly HashSet<BigInteger> _revoked;
    private readonly BigInteger _number;
    private readonly DateTimeOffset _made;

    private RevocationList(HashSet<BigInteger> revoked, BigInteger number, DateTimeOffset made, DateTimeOffset until) =>
        (_revoked, _number, _made, Until) = (revoked, number, made, until);

    /// <summary>How long it may be relied on.</summary>
    public DateTimeOffset Until { get; }

    /// <summary>Whatever the reason: a certificate on hold stands on the list until it is taken off it.</summary>
    public bool Revokes(BigInteger serial) => _revoked.Contains(serial);

    /// <summary>Reads and verifies a list that has just been fetched.</summary>
    /// <param name="encoded">DER or PEM.</param>
    /// <param name="before">The authority's list before this one.</param>
    /// <exception cref="InvalidDataException">It is not the authority's current, complete list; the message says why, to follow "because".</exception>
    public static RevocationList Read(byte[] encoded, X509Certificate authority, RevocationList? before, DateTimeOffset now, TimeSpan maxAge)
    {
        var list = SignedByAuthority.Read(() => new X509CrlParser().ReadCrl(encoded));

        // RFC 5280 §6.3.3 (f, g): signed by the authority itself, which may sign lists.
        if (!list.IssuerDN.Equivalent(authority.SubjectDN, true))
            throw new InvalidDataException("it is another authority's");
        if (!SignedByAuthority.MayBeUsedFor(authority, CrlSign))
            throw new InvalidDataException("the authority may not sign lists (key usage cRLSign)");
        if (!SignedByAuthority.Holds(list.SigAlgOid) || !SignedByAuthority.Verifies(() => list.IsSignatureValid(authority.GetPublicKey())))
            throw new InvalidDataException("its signature does not verify with the authority's key and SHA-2");

        // RFC 5280 §5.2: what is critical and not understood changes what the list says. Delta lists, indirect lists and lists of a part of
        // the certificates all say so in a critical extension, and none is understood here: only a complete list makes the unlisted good.
        if (list.GetCriticalExtensionOids() is { Count: > 0 })
            throw new InvalidDataException("it has a critical extension: a complete list without one is needed");
        if (SignedByAuthority.Read(() => list.GetExtensionParsedValue(X509Extensions.CrlNumber) as DerInteger).Value is not { SignValue: >= 0 } number)
            throw new InvalidDataException("it has no number");

        var made = SignedByAuthority.Time(list.ThisUpdate);
        if (made > now + SignedByAuthority.Skew)
            throw new InvalidDataException("it is dated in the future");
        if (list.NextUpdate is not { } next || SignedByAuthority.Time(next) <= now)
            throw new InvalidDataException("its time is over, or it does not say when a new one comes");
        // An old list is what somebody in between would serve to hide a revocation.
        if (before is not null && (number.CompareTo(before._number) < 0 || made < before._made))
            throw new InvalidDataException("it is older than the one before");

        var revoked = SignedByAuthority.Read(() => list.GetRevokedCertificates() ?? new HashSet<X509CrlEntry>());
        if (revoked.Any(static entry => entry.GetCriticalExtensionOids() is { Count: > 0 }))
            throw new InvalidDataException("an entry has a critical extension");
        return new([.. revoked.Select(static entry => entry.SerialNumber)], number, made, SignedByAuthority.Earlier(SignedByAuthority.Time(next), now + maxAge));
    }
}
