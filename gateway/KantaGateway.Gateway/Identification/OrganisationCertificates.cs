using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Gateway.Identification.Certificates;
using Org.BouncyCastle.Asn1.X509;
using Org.BouncyCastle.Math;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Gateway.Identification;

/// <summary>What one TLS client certificate proves.</summary>
/// <param name="Thumbprint">SHA-256 of the DER, base64url: RFC 8705 <c>x5t#S256</c>.</param>
/// <param name="Organisation">From organizationIdentifier in the subject; null when it has none.</param>
/// <param name="Subject">Its distinguished name.</param>
/// <param name="From">From when on it and the authorities above it are all valid.</param>
/// <param name="Problem">Why it is not accepted, a plain sentence; null when it is.</param>
/// <param name="Standing">Whether it has been revoked; null when its chain does not hold.</param>
internal sealed record CertificateFacts(string Thumbprint, Oid? Organisation, X509Name Subject, DateTimeOffset From, DateTimeOffset To, string? Problem, CertificateStanding? Standing)
{
    /// <summary>Whether a client authority issued it to an organisation: nobody else can show it, whatever its dates and its standing are.</summary>
    public bool IsIssued => Standing is not null;

    /// <summary>Whether the problem is that the authorities cannot be asked: an outage (503), nothing that the client has done.</summary>
    public bool IsOutage { get; init; }
}

/// <summary>
/// Examines organisation certificates against the client authorities. TLS itself accepts any certificate, so that a bad
/// one gets an answer that explains and not a broken connection.
/// </summary>
/// <remarks>Thread-safe. A chain is built once for each certificate; its dates and its standing with the authorities are compared at every use.</remarks>
internal sealed class OrganisationCertificates
{
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string OrganizationIdentifier = "2.5.4.97";

    private readonly X509Certificate2Collection _roots = [];
    private readonly X509Certificate2Collection _intermediates = [];
    private readonly Dictionary<string, RevocationInquiry> _inquiries = [];
    private readonly TimeProvider _time;
    private readonly ConditionalWeakTable<X509Certificate2, CertificateFacts> _examined = [];
    private readonly RecentCache<string, CertificateFacts> _known = new(10_000);

    /// <param name="authorityPem">PEM of the authorities: self-signed ones are roots, the others intermediates.</param>
    /// <param name="sources">Where to ask each of them what it has revoked.</param>
    /// <param name="http">Does not follow redirects.</param>
    /// <exception cref="InvalidDataException">There is no root, or an authority without a source.</exception>
    public OrganisationCertificates(string authorityPem, IReadOnlyList<RevocationSource> sources, HttpClient http, TimeProvider time, ILogger<OrganisationCertificates> logger)
    {
        _time = time;
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(authorityPem);
        foreach (var authority in authorities)
        {
            (authority.SubjectName.RawData.AsSpan().SequenceEqual(authority.IssuerName.RawData) ? _roots : _intermediates).Add(authority);
            var fingerprint = RevocationSource.FingerprintOf(authority.RawDataMemory.Span);
            var source = sources.FirstOrDefault(it => it.IsOf(fingerprint))
                ?? throw new InvalidDataException($"The client authority {fingerprint} has no revocation source.");
            _inquiries[fingerprint] = new(authority, source, http, time, logger);
        }
        if (_roots.Count == 0)
            throw new InvalidDataException("The client authority file has no root certificate.");
    }

    /// <summary>
    /// Brings what is known of the certificate's standing up to date; at once while it may still be relied on. Call it before <see cref="Examine(X509Certificate2)"/>,
    /// which asks nobody and takes what is not known for an outage.
    /// </summary>
    public Task RenewAsync(X509Certificate2 certificate, CancellationToken cancel) =>
        FactsOf(certificate).Standing is { } standing && standing.RenewAsync() is { IsCompletedSuccessfully: false } asking ? asking.WaitAsync(cancel) : Task.CompletedTask;

    public CertificateFacts Examine(X509Certificate2 certificate)
    {
        var facts = FactsOf(certificate);
        if (facts.Problem is not null)
            return facts;
        var now = _time.GetUtcNow();
        return now >= facts.To ? facts with { Problem = "The TLS client certificate has expired, or that of its authority; renew it." }
            : now < facts.From ? facts with { Problem = "The TLS client certificate is not valid yet." }
            : facts.Standing!.At(now) switch
            {
                RevocationStatus.Good => facts,
                RevocationStatus.Revoked => facts with { Problem = "The TLS client certificate has been revoked by its authority, or an authority above it." },
                _ => facts with { Problem = "The authority of the TLS client certificate cannot be asked at the moment whether it has been revoked; try again.", IsOutage = true },
            };
    }

    private CertificateFacts FactsOf(X509Certificate2 certificate)
    {
        if (!_examined.TryGetValue(certificate, out var facts))
        {
            var thumbprint = Base64Url.EncodeToString(SHA256.HashData(certificate.RawDataMemory.Span));
            if (!_known.TryGet(thumbprint, out facts))
                _known.Set(thumbprint, facts = Examine(certificate, thumbprint));
            _examined.AddOrUpdate(certificate, facts);
        }
        return facts;
    }

    private CertificateFacts Examine(X509Certificate2 certificate, string thumbprint)
    {
        Oid? organisation = OrganisationOf(certificate) is { } text && Oid.TryParse(text, out var oid) ? oid : null;

        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(_roots);
        chain.ChainPolicy.ExtraStore.AddRange(_intermediates);
        // What is revoked is found out by CertificateStanding: the platform's check asks addresses that stand in the certificate.
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ApplicationPolicy.Add(new System.Security.Cryptography.Oid(ClientAuthentication));
        // Dates are compared at each use instead: the result is kept.
        chain.ChainPolicy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid;
        var holds = chain.Build(certificate);
        var links = chain.ChainElements.Select(element => element.Certificate).ToArray();
        var from = new DateTimeOffset(links.Max(link => link.NotBefore.ToUniversalTime()));
        var to = new DateTimeOffset(links.Min(link => link.NotAfter.ToUniversalTime()));
        var standing = holds ? StandingOf(links) : null;
        foreach (var link in links)
            if (link != certificate)
                link.Dispose();

        var problem = standing is null ? Explain(chain.ChainStatus)
            : organisation is null ? "The TLS client certificate names no organisation (organizationIdentifier with the organisation's OID)."
            : null;
        return new(thumbprint, organisation, X509Name.GetInstance(certificate.SubjectName.RawData), from, to, problem, problem is null ? standing : null);
    }

    /// <summary>Null when an authority in the chain is none of those that are configured: this platform looks into its user's stores too.</summary>
    private CertificateStanding? StandingOf(X509Certificate2[] chain)
    {
        var links = new List<(RevocationInquiry, BigInteger)>();
        for (var i = 0; i + 1 < chain.Length; i++)
            if (_inquiries.TryGetValue(RevocationSource.FingerprintOf(chain[i + 1].RawDataMemory.Span), out var authority))
                links.Add((authority, new Org.BouncyCastle.X509.X509Certificate(chain[i].RawData).SerialNumber));
            else
                return null;
        return links.Count > 0 ? new(links, _time) : null;
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
