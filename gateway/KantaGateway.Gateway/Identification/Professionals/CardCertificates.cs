using System.Security.Cryptography;
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
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string Foreign = "was not issued by an authority of professional cards that this gateway accepts.";

    private readonly CertificateAuthorities _authorities;
    private readonly TimeProvider _time;

    /// <exception cref="InvalidDataException">There is no root, or an authority without a source.</exception>
    public CardCertificates(CardOptions options, HttpClient http, TimeProvider time, ILogger<CardCertificates> logger)
    {
        _time = time;
        _authorities = new("card", File.ReadAllText(options.AuthorityFile), options.RevocationSources, http, time, logger);
    }

    public async ValueTask<CardHolder> ExamineAsync(X509Certificate2 certificate)
    {
        CardHolder No(string problem, bool isOutage = false) => new("", "", problem, isOutage);

        using var chain = _authorities.NewChain();
        chain.ChainPolicy.VerificationTimeIgnored = false;
        chain.ChainPolicy.VerificationTime = _time.GetUtcNow().LocalDateTime;
        // RFC 5280 §4.2.1.12: where the card or an authority above it says what it is for, signing in is among it.
        chain.ChainPolicy.ApplicationPolicy.Add(new Oid(ClientAuthentication));
        var holds = chain.Build(certificate);
        var links = chain.ChainElements.Select(element => element.Certificate).ToArray();
        try
        {
            if (!holds)
                return No(chain.ChainStatus.Any(s => s.Status == X509ChainStatusFlags.NotTimeValid) ? "has expired, or is not valid yet."
                    : chain.ChainStatus.Any(s => s.Status == X509ChainStatusFlags.NotValidForUsage) ? "is not meant for signing in (extended key usage clientAuth)." : Foreign);
            // RFC 5280 §4.2.1.3; a card has another certificate for signatures that bind (nonRepudiation).
            if (certificate.Extensions.OfType<X509KeyUsageExtension>().FirstOrDefault() is not { } usage || !usage.KeyUsages.HasFlag(X509KeyUsageFlags.DigitalSignature))
                return No("is not meant for signing in (key usage digitalSignature).");
            if (CertificateAuthorities.SubjectOf(certificate, SerialNumber) is not { Length: > 0 and <= 128 } number)
                return No("names no professional (serialNumber in the subject).");
            var name = CertificateAuthorities.SubjectOf(certificate, GivenName) is { } given && CertificateAuthorities.SubjectOf(certificate, Surname) is { } surname ? $"{given} {surname}" : CertificateAuthorities.SubjectOf(certificate, CommonName);
            if (name is not { Length: > 0 and <= 256 })
                return No("has no name in its subject.");
            if (_authorities.LinksOf(links) is not { } asked)
                return No(Foreign);
            foreach (var (authority, serial) in asked)
            {
                var answer = await authority.AskAsync(serial).ConfigureAwait(false);
                if (answer.Status == RevocationStatus.Revoked)
                    return No("has been revoked by its authority, or an authority above it.");
                if (answer.Status != RevocationStatus.Good)
                    return No("cannot be looked up at its authority at the moment.", isOutage: true);
            }
            return new(number, name, null, false);
        }
        finally
        {
            foreach (var link in links)
                if (link != certificate)
                    link.Dispose();
        }
    }
}
