using System.Security.Cryptography.X509Certificates;
using Org.BouncyCastle.Math;

namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>The configured authorities of one kind of certificate, each with where to ask it what it has revoked. Thread-safe.</summary>
internal sealed class CertificateAuthorities
{
    private readonly X509Certificate2Collection _roots = [], _intermediates = [];
    private readonly Dictionary<string, RevocationInquiry> _inquiries = [];

    /// <param name="kind">Whose authorities they are, for the errors: <c>client</c>, <c>card</c>.</param>
    /// <param name="pem">PEM of the authorities: self-signed ones are roots, the others intermediates.</param>
    /// <param name="sources">Where to ask each of them what it has revoked.</param>
    /// <param name="http">Does not follow redirects.</param>
    /// <exception cref="InvalidDataException">There is no root, or an authority without a source.</exception>
    public CertificateAuthorities(string kind, string pem, IReadOnlyList<RevocationSource> sources, HttpClient http, TimeProvider time, ILogger logger)
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(pem);
        foreach (var authority in authorities)
        {
            (authority.SubjectName.RawData.AsSpan().SequenceEqual(authority.IssuerName.RawData) ? _roots : _intermediates).Add(authority);
            var fingerprint = RevocationSource.FingerprintOf(authority.RawDataMemory.Span);
            var source = sources.FirstOrDefault(it => it.IsOf(fingerprint))
                ?? throw new InvalidDataException($"The {kind} authority {fingerprint} has no revocation source.");
            _inquiries[fingerprint] = new(authority, source, http, time, logger);
        }
        if (_roots.Count == 0)
            throw new InvalidDataException($"The {kind} authority file has no root certificate.");
    }

    /// <summary>A chain that leads to these authorities alone and asks nobody.</summary>
    public X509Chain NewChain()
    {
        var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(_roots);
        chain.ChainPolicy.ExtraStore.AddRange(_intermediates);
        // The inquiries find out what has been revoked: the platform's check asks addresses that stand in the certificate.
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        return chain;
    }

    /// <summary>Whom to ask about each certificate of a chain below its root.</summary>
    /// <returns>Null when an authority in it is none of these, for this platform looks into its user's stores too; and when there is none above the first.</returns>
    public IReadOnlyList<(RevocationInquiry Authority, BigInteger Serial)>? LinksOf(X509Certificate2[] chain)
    {
        var links = new List<(RevocationInquiry, BigInteger)>();
        for (var i = 0; i + 1 < chain.Length; i++)
            if (_inquiries.TryGetValue(RevocationSource.FingerprintOf(chain[i + 1].RawDataMemory.Span), out var authority))
                links.Add((authority, new Org.BouncyCastle.X509.X509Certificate(chain[i].RawData).SerialNumber));
            else
                return null;
        return links.Count > 0 ? links : null;
    }

    /// <summary>A single-valued attribute of the subject; null when it has none.</summary>
    /// <param name="type">OID of the attribute.</param>
    public static string? SubjectOf(X509Certificate2 certificate, string type)
    {
        foreach (var name in certificate.SubjectName.EnumerateRelativeDistinguishedNames())
            if (!name.HasMultipleElements && name.GetSingleElementType().Value == type)
                return name.GetSingleElementValue();
        return null;
    }
}
