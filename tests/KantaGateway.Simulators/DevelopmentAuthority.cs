using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using UniversalTagNumber = System.Formats.Asn1.UniversalTagNumber;
using Usage = System.Security.Cryptography.Oid;

namespace KantaGateway.Simulators;

/// <summary>A certificate with its private key, as files carry them.</summary>
/// <param name="ChainPem">Leaf first, then its issuer.</param>
/// <param name="KeyPem">PKCS#8, unencrypted.</param>
/// <param name="Thumbprint">SHA-256 over the DER, base64url: RFC 8705 <c>x5t#S256</c>.</param>
public sealed record IssuedCertificate(string ChainPem, string KeyPem, string Thumbprint)
{
    internal Org.BouncyCastle.Math.BigInteger SerialNumber
    {
        get
        {
            using var certificate = X509Certificate2.CreateFromPem(ChainPem);
            return new Org.BouncyCastle.X509.X509Certificate(certificate.RawData).SerialNumber;
        }
    }

    /// <summary>PKCS#8 DER.</summary>
    internal byte[] PrivateKey
    {
        get
        {
            using var key = ECDsa.Create();
            key.ImportFromPem(KeyPem);
            return key.ExportPkcs8PrivateKey();
        }
    }

    /// <summary>For an HTTP client's or a listener's own use in the same process.</summary>
    public X509Certificate2 Open()
    {
        using var pem = X509Certificate2.CreateFromPem(ChainPem, KeyPem);
        return X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null);
    }
}

/// <summary>
/// A certificate authority for development and tests, in the place of DVV's service certificates: a P-256 root, or an intermediate, that
/// issues server and organisation certificates.
/// </summary>
public sealed class DevelopmentAuthority : IDisposable
{
    /// <summary>organizationIdentifier (ITU-T X.520): where an organisation certificate carries its OID.</summary>
    private const string OrganizationIdentifier = "2.5.4.97";
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string OcspSigning = "1.3.6.1.5.5.7.3.9";
    private const string OcspNoCheck = "1.3.6.1.5.5.7.48.1.5";

    private readonly X509Certificate2 _root;
    private readonly ECDsa _key;

    private DevelopmentAuthority(X509Certificate2 root, ECDsa key) => (_root, _key) = (root, key);

    /// <summary>The root certificate, PEM: what others trust.</summary>
    public string CertificatePem => _root.ExportCertificatePem() + "\n";

    /// <summary>The root's private key, PKCS#8 PEM.</summary>
    public string KeyPem => _key.ExportPkcs8PrivateKeyPem() + "\n";

    internal X509Certificate2 Certificate => _root;

    /// <summary>PKCS#8 DER.</summary>
    internal byte[] PrivateKey => _key.ExportPkcs8PrivateKey();

    /// <summary>SHA-256 of the certificate's DER in hexadecimal, as revocation sources name their authority.</summary>
    public string Fingerprint => _root.GetCertHashString(HashAlgorithmName.SHA256);

    /// <param name="below">How many levels of intermediates it may have.</param>
    public static DevelopmentAuthority Create(string name = "KantaGateway development authority", DateTimeOffset? from = null, int below = 0)
    {
        var start = from ?? DateTimeOffset.UtcNow.AddMinutes(-5);
        var (request, key) = RequestAuthority(name, below);
        using var signed = request.CreateSelfSigned(start, start.AddYears(10));
        return new(X509CertificateLoader.LoadCertificate(signed.RawDataMemory.Span), key);
    }

    /// <summary>An intermediate authority.</summary>
    /// <param name="to">Default a year after it was issued.</param>
    public DevelopmentAuthority IssueAuthority(string name, DateTimeOffset? to = null)
    {
        var (request, key) = RequestAuthority(name, 0);
        var start = DateTimeOffset.UtcNow.AddMinutes(-5);
        using var signed = request.Create(_root.SubjectName, X509SignatureGenerator.CreateForECDsa(_key), start, to ?? start.AddYears(1), RandomNumberGenerator.GetBytes(16));
        return new(X509CertificateLoader.LoadCertificate(signed.RawDataMemory.Span), key);
    }

    private static (CertificateRequest Request, ECDsa Key) RequestAuthority(string name, int below)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var subject = new X500DistinguishedNameBuilder();
        subject.AddCommonName(name);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, below, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        return (request, key);
    }

    /// <summary>A certificate to sign OCSP answers with (RFC 6960 §4.2.2.2), itself not to be asked about.</summary>
    public IssuedCertificate IssueResponder(DateTimeOffset? from = null, DateTimeOffset? to = null)
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.AddCommonName("OCSP responder");
        return Issue(subject, OcspSigning, new X509Extension(OcspNoCheck, [5, 0], false), from, to);
    }

    /// <summary>Reads what <see cref="CertificatePem"/> and <see cref="KeyPem"/> wrote.</summary>
    public static DevelopmentAuthority Load(string certificatePem, string keyPem)
    {
        var key = ECDsa.Create();
        key.ImportFromPem(keyPem);
        return new(X509Certificate2.CreateFromPem(certificatePem), key);
    }

    /// <summary>A TLS server certificate for these DNS names or IP addresses, a year long.</summary>
    public IssuedCertificate IssueServer(params IReadOnlyList<string> hosts)
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.AddCommonName(hosts[0]);
        var names = new SubjectAlternativeNameBuilder();
        foreach (var host in hosts)
            if (IPAddress.TryParse(host, out var address))
                names.AddIpAddress(address);
            else
                names.AddDnsName(host);
        return Issue(subject, ServerAuthentication, names.Build(), null, null);
    }

    /// <summary>An organisation's TLS client certificate: the organisation's OID in organizationIdentifier, its name in O and CN.</summary>
    /// <param name="from">Default five minutes ago.</param>
    /// <param name="to">Default a year after <paramref name="from"/>.</param>
    /// <param name="extension">One more, such as addresses of revocation lists.</param>
    public IssuedCertificate IssueOrganisation(KantaGateway.Fhir.Identifiers.Oid organisation, string name, DateTimeOffset? from = null, DateTimeOffset? to = null, X509Extension? extension = null)
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.Add(OrganizationIdentifier, organisation.ToString(), UniversalTagNumber.UTF8String);
        subject.AddOrganizationName(name);
        subject.AddCommonName(name);
        return Issue(subject, ClientAuthentication, extension, from, to);
    }

    /// <summary>The certificate of a professional card to sign in with: the professional's number in serialNumber, the name as surname and given name.</summary>
    /// <param name="number">Null: none.</param>
    /// <param name="usage">Default digitalSignature.</param>
    public IssuedCertificate IssueCard(string? number, string given, string surname, DateTimeOffset? from = null, DateTimeOffset? to = null, X509KeyUsageFlags usage = X509KeyUsageFlags.DigitalSignature, string? purpose = ClientAuthentication)
    {
        var subject = new X500DistinguishedNameBuilder();
        if (number is not null)
            subject.Add("2.5.4.5", number, UniversalTagNumber.PrintableString);
        subject.Add("2.5.4.4", surname, UniversalTagNumber.UTF8String);
        subject.Add("2.5.4.42", given, UniversalTagNumber.UTF8String);
        subject.AddCommonName($"{surname} {given} {number}");
        return Issue(subject, purpose, null, from, to, usage);
    }

    public void Dispose()
    {
        _root.Dispose();
        _key.Dispose();
    }

    private IssuedCertificate Issue(X500DistinguishedNameBuilder subject, string? usage, X509Extension? extension, DateTimeOffset? from, DateTimeOffset? to, X509KeyUsageFlags uses = X509KeyUsageFlags.DigitalSignature)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(uses, true));
        if (usage is not null)
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Usage(usage)], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_root, true, false));
        if (extension is not null)
            request.CertificateExtensions.Add(extension);
        var start = from ?? DateTimeOffset.UtcNow.AddMinutes(-5);
        var end = to ?? start.AddYears(1);
        var generator = X509SignatureGenerator.CreateForECDsa(_key);
        using var signed = request.Create(_root.SubjectName, generator, start, end, RandomNumberGenerator.GetBytes(16));
        var chain = new StringBuilder().AppendLine(signed.ExportCertificatePem()).Append(CertificatePem);
        return new(chain.ToString(), key.ExportPkcs8PrivateKeyPem() + "\n", Base64Url.EncodeToString(SHA256.HashData(signed.RawData)));
    }
}
