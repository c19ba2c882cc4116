using System.Security.Cryptography;
using Org.BouncyCastle.Asn1;
using Org.BouncyCastle.Asn1.Ocsp;
using Org.BouncyCastle.Asn1.X509;
using Org.BouncyCastle.Math;
using Org.BouncyCastle.Ocsp;
using Org.BouncyCastle.X509;

namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>One question to an OCSP responder and the examination of its answer (RFC 6960).</summary>
internal sealed class OcspQuestion
{
    private const int DigitalSignature = 0;

    /// <summary>RFC 9654 §2.1: 32 octets.</summary>
    private const int NonceSize = 32;

    private readonly X509Certificate _authority;
    private readonly CertificateID _certificate;
    private readonly byte[] _nonce = new DerOctetString(RandomNumberGenerator.GetBytes(NonceSize)).GetEncoded();

    public OcspQuestion(X509Certificate authority, BigInteger serial)
    {
        _authority = authority;
        // SHA-1 here names the authority and proves nothing; it is what every responder understands (RFC 5019 §2.1.1).
        _certificate = new CertificateID(CertificateID.DigestSha1, authority, serial);
        var request = new OcspReqGenerator();
        request.AddRequest(_certificate);
        request.SetRequestExtensions(new X509Extensions(new Dictionary<DerObjectIdentifier, X509Extension>
        {
            [OcspObjectIdentifiers.PkixOcspNonce] = new(false, new DerOctetString(_nonce)),
        }));
        Encoded = request.Generate().GetEncoded();
    }

    /// <summary>The OCSPRequest, DER.</summary>
    public byte[] Encoded { get; }

    /// <summary>Examines an answer that has just come.</summary>
    /// <param name="list">The authority's revocation list where there is a fresh one: for the certificate of a delegated responder.</param>
    /// <returns>Unknown where the responder does not know the certificate.</returns>
    /// <exception cref="InvalidDataException">It is not an answer to this question that can be relied on; the message says why, to follow "because".</exception>
    public RevocationAnswer Read(byte[] encoded, RevocationList? list, DateTimeOffset now, TimeSpan maxAge)
    {
        var response = SignedByAuthority.Read(() => new OcspResp(encoded));
        // RFC 6960 §2.3: everything else is an error message without a signature.
        if (response.Status != OcspResponseStatus.Successful)
            throw new InvalidDataException("it is an error message");
        var answer = SignedByAuthority.Read(() => response.GetResponseObject() as BasicOcspResp);

        // RFC 6960 §3.2 (1): about the certificate that was asked about.
        var said = SignedByAuthority.Read(() => answer.Responses.Where(one => IsTheCertificate(one.GetCertID())).ToArray());
        if (said is not [var single])
            throw new InvalidDataException("it is not about the certificate that was asked about");

        // RFC 6960 §3.2 (2, 3, 4), §4.2.2.2
        if (!SignedByAuthority.Holds(answer.SignatureAlgorithm.Algorithm.Id) || !IsOfTheAuthority(answer, list, now))
            throw new InvalidDataException("it is not signed by the authority, with SHA-2, or by whom it lets answer");
        if (HasCritical(answer.ResponseExtensions) || HasCritical(single.SingleExtensions))
            throw new InvalidDataException("it has a critical extension");

        // RFC 9654: an answer to another question is an old one. Without a nonce it may have been made in advance, or kept by somebody in between.
        var nonce = answer.ResponseExtensions?.GetExtension(OcspObjectIdentifiers.PkixOcspNonce)?.Value.GetOctets();
        if (nonce is not null && !nonce.AsSpan().SequenceEqual(_nonce))
            throw new InvalidDataException("it answers another question (nonce)");

        // RFC 6960 §3.2 (5, 6), §4.2.2.1
        var made = SignedByAuthority.Time(single.ThisUpdate);
        if (made > now + SignedByAuthority.Skew)
            throw new InvalidDataException("it is dated in the future");
        var until = (nonce is not null ? now : SignedByAuthority.Earlier(made, now)) + maxAge;
        if (single.NextUpdate is { } next)
            until = SignedByAuthority.Earlier(until, SignedByAuthority.Time(next));
        if (until <= now)
            throw new InvalidDataException("its time is over");
        return new(SignedByAuthority.Read<object>(() => single.GetCertStatus() ?? (object)RevocationStatus.Good) switch
        {
            RevocationStatus.Good => RevocationStatus.Good,
            RevokedStatus => RevocationStatus.Revoked,
            _ => RevocationStatus.Unknown,
        }, until);
    }

    /// <summary>Field by field: of the hash algorithm's parameters some write NULL and some nothing.</summary>
    private bool IsTheCertificate(CertificateID named) =>
        named.HashAlgOid == _certificate.HashAlgOid && named.SerialNumber.Equals(_certificate.SerialNumber)
        && named.GetIssuerNameHash().AsSpan().SequenceEqual(_certificate.GetIssuerNameHash())
        && named.GetIssuerKeyHash().AsSpan().SequenceEqual(_certificate.GetIssuerKeyHash());

    private static bool HasCritical(X509Extensions? extensions) => extensions?.HasAnyCriticalExtensions() ?? false;

    private bool IsOfTheAuthority(BasicOcspResp answer, RevocationList? list, DateTimeOffset now) =>
        SignedByAuthority.Verifies(() => answer.Verify(_authority.GetPublicKey()))
        || SignedByAuthority.Verifies(() => answer.GetCerts() is [var signer, ..] && MayAnswer(signer, list, now) && answer.Verify(signer.GetPublicKey()));

    /// <summary>RFC 6960 §4.2.2.2: issued by the authority itself for this use alone, and not revoked.</summary>
    private bool MayAnswer(X509Certificate signer, RevocationList? list, DateTimeOffset now) =>
        signer.IssuerDN.Equivalent(_authority.SubjectDN, true)
        && SignedByAuthority.Holds(signer.SigAlgOid) && signer.IsSignatureValid(_authority.GetPublicKey())
        && signer.IsValid(now.UtcDateTime)
        && SignedByAuthority.MayBeUsedFor(signer, DigitalSignature)
        && signer.GetExtendedKeyUsage() is { } uses && uses.Contains(KeyPurposeID.id_kp_OCSPSigning)
        && (list is not null ? !list.Revokes(signer.SerialNumber) : signer.GetExtension(OcspObjectIdentifiers.PkixOcspNocheck) is not null);
}
