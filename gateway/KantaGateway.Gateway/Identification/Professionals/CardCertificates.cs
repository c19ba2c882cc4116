using System.Security.Cryptography.X509Certificates;
using KantaGateway.Gateway.Identification.Certificates;

namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>What a card's certificate proves.</summary>
/// <param name="Number">The professional's number in the role register: serialNumber in the subject.</param>
/// <param name="Problem">Why it is not accepted, to follow "The card's certificate"; null when it is.</param>
/// <param name="IsOutage">Whether the problem is that the authorities cannot be asked.</param>
internal sealed record CardHolder(string Number, string Name, string? Problem, bool IsOutage);

/// <summary>Examines the certificates of professional cards against the authorities that issue them. Thread-safe.</summary>
/// <remarks>Each time anew: a professional signs in a few times a day, and the authorities' answers are kept where they are asked.</remarks>
internal sealed class CardCertificates
{
    private const string SerialNumber = "2.5.4.5", Surname = "2.5.4.4", GivenName = "2.5.4.42", CommonName = "2.5.4.3";

    private readonly X509Certificate2Collection _roots = [], _intermediates = [];
    private readonly Dictionary<string, RevocationInquiry> _inquiries = [];
    private readonly TimeProvider _time;

    /// <exception cref="InvalidDataException">There is no root, or an authority without a source.</exception>
    public CardCertificates(CardOptions options, HttpClient http, TimeProvider time, ILogger<CardCertificates> logger)
    {
        _time = time;
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(options.AuthorityFile);
        foreach (var authority in authorities)
        {
            (authority.SubjectName.RawData.AsSpan().SequenceEqual(authority.IssuerName.RawData) ? _roots : _intermediates).Add(authority);
            var fingerprint = RevocationSource.FingerprintOf(authority.RawDataMemory.Span);
            var source = options.RevocationSources.FirstOrDefault(it => it.IsOf(fingerprint))
                ?? throw new InvalidDataException($"The card authority {fingerprint} has no revocation source.");
            _inquiries[fingerprint] = new(authority, source, http, time, logger);
        }
        if (_roots.Count == 0)
            throw new InvalidDataException("The card authority file has no root certificate.");
    }

    public async ValueTask<CardHolder> ExamineAsync(X509Certificate2 certificate)
    {
        CardHolder No(string problem, bool isOutage = false) => new("", "", problem, isOutage);

        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(_roots);
        chain.ChainPolicy.ExtraStore.AddRange(_intermediates);
        // What is revoked the authorities below are asked: the platform's check asks addresses that stand in the certificate.
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.VerificationTimeIgnored = false;
        chain.ChainPolicy.VerificationTime = _time.GetUtcNow().LocalDateTime;
        var holds = chain.Build(certificate);
        var links = chain.ChainElements.Select(element => element.Certificate).ToArray();
        try
        {
            if (!holds)
                return No(chain.ChainStatus.Any(s => s.Status == X509ChainStatusFlags.NotTimeValid) ? "has expired, or is not valid yet." : "was not issued by an authority of professional cards that this gateway accepts.");
            // RFC 5280 §4.2.1.3; a card has another certificate for signatures that bind (nonRepudiation).
            if (certificate.Extensions.OfType<X509KeyUsageExtension>().FirstOrDefault() is not { } usage || !usage.KeyUsages.HasFlag(X509KeyUsageFlags.DigitalSignature))
                return No("is not meant for signing in (key usage digitalSignature).");
            if (Of(certificate, SerialNumber) is not { Length: > 0 and <= 128 } number)
                return No("names no professional (serialNumber in the subject).");
            var name = Of(certificate, GivenName) is { } given && Of(certificate, Surname) is { } surname ? $"{given} {surname}" : Of(certificate, CommonName);
            if (name is not { Length: > 0 and <= 256 })
                return No("has no name in its subject.");
            for (var i = 0; i + 1 < links.Length; i++)
            {
                // This platform looks for authorities in its user's stores too.
                if (!_inquiries.TryGetValue(RevocationSource.FingerprintOf(links[i + 1].RawDataMemory.Span), out var authority))
                    return No("was not issued by an authority of professional cards that this gateway accepts.");
                var answer = await authority.AskAsync(new Org.BouncyCastle.X509.X509Certificate(links[i].RawData).SerialNumber).ConfigureAwait(false);
                if (answer.Status == RevocationStatus.Revoked)
                    return No("has been revoked by its authority, or an authority above it.");
                if (answer.Status != RevocationStatus.Good)
                    return No("cannot be looked up at its authority at the moment.", isOutage: true);
            }
            return links.Length > 1 ? new(number, name, null, false) : No("was not issued by an authority of professional cards that this gateway accepts.");
        }
        finally
        {
            foreach (var link in links)
                if (link != certificate)
                    link.Dispose();
        }
    }

    private static string? Of(X509Certificate2 certificate, string type)
    {
        foreach (var name in certificate.SubjectName.EnumerateRelativeDistinguishedNames())
            if (!name.HasMultipleElements && name.GetSingleElementType().Value == type)
                return name.GetSingleElementValue();
        return null;
    }
}
