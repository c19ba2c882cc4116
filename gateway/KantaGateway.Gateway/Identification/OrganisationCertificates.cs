using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Gateway.Identification;

/// <summary>What one TLS client certificate proves.</summary>
/// <param name="Thumbprint">SHA-256 of the DER, base64url: RFC 8705 <c>x5t#S256</c>.</param>
/// <param name="Organisation">From organizationIdentifier in the subject; null when it has none.</param>
/// <param name="Problem">Why it is not accepted, a plain sentence; null when the chain holds.</param>
internal sealed record CertificateFacts(string Thumbprint, Oid? Organisation, DateTimeOffset From, DateTimeOffset To, string? Problem);

/// <summary>
/// Examines organisation certificates against the client authorities. TLS itself accepts any certificate, so that a bad
/// one gets an answer that explains and not a broken connection.
/// </summary>
/// <remarks>Thread-safe. A certificate is examined once per connection; its dates are compared at every use.</remarks>
internal sealed class OrganisationCertificates
{
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string OrganizationIdentifier = "2.5.4.97";

    private readonly X509Certificate2Collection _roots = [];
    private readonly X509Certificate2Collection _intermediates = [];
    private readonly TimeProvider _time;
    private readonly ConditionalWeakTable<X509Certificate2, CertificateFacts> _examined = [];
    private readonly RecentCache<string, CertificateFacts> _known = new(10_000);

    /// <param name="authorityPem">PEM of the authorities: self-signed ones are roots, the others intermediates.</param>
    public OrganisationCertificates(string authorityPem, TimeProvider time)
    {
        _time = time;
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(authorityPem);
        foreach (var authority in authorities)
            (authority.SubjectName.RawData.AsSpan().SequenceEqual(authority.IssuerName.RawData) ? _roots : _intermediates).Add(authority);
        if (_roots.Count == 0)
            throw new InvalidDataException("The client authority file has no root certificate.");
    }

    public CertificateFacts Examine(X509Certificate2 certificate)
    {
        if (!_examined.TryGetValue(certificate, out var facts))
        {
            var thumbprint = Base64Url.EncodeToString(SHA256.HashData(certificate.RawDataMemory.Span));
            if (!_known.TryGet(thumbprint, out facts))
                _known.Set(thumbprint, facts = Examine(certificate, thumbprint));
            _examined.AddOrUpdate(certificate, facts);
        }
        if (facts.Problem is not null)
            return facts;
        var now = _time.GetUtcNow();
        return now >= facts.To ? facts with { Problem = "The TLS client certificate has expired; renew it." }
            : now < facts.From ? facts with { Problem = "The TLS client certificate is not valid yet." }
            : facts;
    }

    private CertificateFacts Examine(X509Certificate2 certificate, string thumbprint)
    {
        var from = new DateTimeOffset(certificate.NotBefore.ToUniversalTime());
        var to = new DateTimeOffset(certificate.NotAfter.ToUniversalTime());
        Oid? organisation = OrganisationOf(certificate) is { } text && Oid.TryParse(text, out var oid) ? oid : null;

        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(_roots);
        chain.ChainPolicy.ExtraStore.AddRange(_intermediates);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ApplicationPolicy.Add(new System.Security.Cryptography.Oid(ClientAuthentication));
        // Dates are compared at each use instead: the result is kept.
        chain.ChainPolicy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid;
        var holds = chain.Build(certificate);
        foreach (var element in chain.ChainElements)
            if (element.Certificate != certificate)
                element.Certificate.Dispose();

        var problem = !holds ? Explain(chain.ChainStatus)
            : organisation is null ? "The TLS client certificate names no organisation (organizationIdentifier with the organisation's OID)."
            : null;
        return new(thumbprint, organisation, from, to, problem);
    }

    private static string Explain(X509ChainStatus[] statuses) =>
        statuses.Any(s => s.Status is X509ChainStatusFlags.NotValidForUsage)
            ? "The TLS client certificate is not meant for client authentication (extended key usage clientAuth)."
            : "The TLS client certificate was not issued by an authority that this gateway accepts.";

    private static string? OrganisationOf(X509Certificate2 certificate)
    {
        foreach (var name in certificate.SubjectName.EnumerateRelativeDistinguishedNames())
            if (!name.HasMultipleElements && name.GetSingleElementType().Value == OrganizationIdentifier)
                return name.GetSingleElementValue();
        return null;
    }
}
