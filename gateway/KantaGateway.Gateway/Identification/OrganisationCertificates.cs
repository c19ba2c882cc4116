using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Identification.Operators;
using Org.BouncyCastle.Asn1.X509;
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

    /// <summary>By which it is contained at once, whatever is bound to it.</summary>
    public RevokedName Name { get; } = RevokedName.Contained(ContainedSubject.Certificate(Thumbprint));
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

    private readonly CertificateAuthorities _authorities;
    private readonly TimeProvider _time;
    private readonly Containments? _contained;
    private readonly ConditionalWeakTable<X509Certificate2, CertificateFacts> _examined = [];

    // Apart: anybody makes as many certificates as he likes, and must not push out what is known of good ones.
    private readonly RecentCache<string, CertificateFacts> _issued, _foreign = new(1_000);

    /// <param name="authorityPem">PEM of the authorities: self-signed ones are roots, the others intermediates.</param>
    /// <param name="sources">Where to ask each of them what it has revoked.</param>
    /// <param name="http">Does not follow redirects.</param>
    /// <param name="contained">Certificates that operators have put out.</param>
    /// <param name="capacity">Certificates of organisations that are remembered.</param>
    /// <exception cref="InvalidDataException">There is no root, or an authority without a source.</exception>
    public OrganisationCertificates(string authorityPem, IReadOnlyList<RevocationSource> sources, HttpClient http, TimeProvider time, ILogger<OrganisationCertificates> logger, Containments? contained = null, int capacity = 10_000)
    {
        (_time, _contained) = (time, contained);
        _issued = new(capacity);
        _authorities = new("client", authorityPem, sources, http, time, logger);
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
        if (_contained?.HoldsCertificate(facts.Thumbprint, facts.Name) is true)
            return facts with { Problem = "The TLS client certificate has been contained; ask the operators of this gateway." };
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

    /// <summary>SHA-256 of the DER, base64url: RFC 8705 <c>x5t#S256</c>.</summary>
    public static string ThumbprintOf(X509Certificate2 certificate) => Base64Url.EncodeToString(SHA256.HashData(certificate.RawDataMemory.Span));

    private CertificateFacts FactsOf(X509Certificate2 certificate)
    {
        if (!_examined.TryGetValue(certificate, out var facts))
        {
            var thumbprint = ThumbprintOf(certificate);
            if (!_issued.TryGet(thumbprint, out facts) && !_foreign.TryGet(thumbprint, out facts))
            {
                facts = Examine(certificate, thumbprint);
                (facts.IsIssued ? _issued : _foreign).Set(thumbprint, facts);
            }
            _examined.AddOrUpdate(certificate, facts);
        }
        return facts;
    }

    private CertificateFacts Examine(X509Certificate2 certificate, string thumbprint)
    {
        Oid? organisation = CertificateAuthorities.SubjectOf(certificate, OrganizationIdentifier) is { } text && Oid.TryParse(text, out var oid) ? oid : null;

        using var chain = _authorities.NewChain();
        chain.ChainPolicy.ApplicationPolicy.Add(new System.Security.Cryptography.Oid(ClientAuthentication));
        // Dates are compared at each use instead: the result is kept.
        chain.ChainPolicy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid;
        var holds = chain.Build(certificate);
        var links = chain.ChainElements.Select(element => element.Certificate).ToArray();
        var from = new DateTimeOffset(links.Max(link => link.NotBefore.ToUniversalTime()));
        var to = new DateTimeOffset(links.Min(link => link.NotAfter.ToUniversalTime()));
        var standing = holds && _authorities.LinksOf(links) is { } asked ? new CertificateStanding(asked, _time) : null;
        foreach (var link in links)
            if (link != certificate)
                link.Dispose();

        var problem = standing is null ? Explain(chain.ChainStatus)
            : organisation is null ? "The TLS client certificate names no organisation (organizationIdentifier with the organisation's OID)."
            : null;
        return new(thumbprint, organisation, X509Name.GetInstance(certificate.SubjectName.RawData), from, to, problem, problem is null ? standing : null);
    }

    private static string Explain(X509ChainStatus[] statuses) =>
        statuses.Any(s => s.Status is X509ChainStatusFlags.NotValidForUsage)
            ? "The TLS client certificate is not meant for client authentication (extended key usage clientAuth)."
            : "The TLS client certificate was not issued by an authority that this gateway accepts.";
}
