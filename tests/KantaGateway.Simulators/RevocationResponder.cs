using System.Collections.Concurrent;
using Org.BouncyCastle.Asn1;
using Org.BouncyCastle.Asn1.Ocsp;
using Org.BouncyCastle.Asn1.X509;
using Org.BouncyCastle.Crypto;
using Org.BouncyCastle.Crypto.Operators;
using Org.BouncyCastle.Ocsp;
using Org.BouncyCastle.Security;
using Org.BouncyCastle.X509;
using BigInteger = Org.BouncyCastle.Math.BigInteger;

namespace KantaGateway.Simulators;

/// <summary>What a responder or a list does wrong.</summary>
public enum RevocationMisbehaviour
{
    None,

    // Of the server.
    /// <summary>No answer ever.</summary>
    Silent,
    ServerError,
    Garbage,
    /// <summary>To an address that would give a good answer.</summary>
    Redirect,
    /// <summary>More bytes than anybody would take.</summary>
    Endless,

    // Of what it says.
    Expired,
    Future,
    ForeignSignature,
    Sha1Signature,
    CriticalExtension,

    // Of lists.
    OtherIssuer,
    OldNumber,
    NoNumber,
    NoNextUpdate,
    /// <summary>Says in its critical extension that it holds a part only.</summary>
    Partial,
    CriticalEntry,

    // Of OCSP answers.
    TryLater,
    OtherSerial,
    StatusUnknown,
    OtherNonce,
    /// <summary>Made in advance, an hour ago, and good for a day.</summary>
    InAdvance,
    DelegateWithoutUsage,
    ForeignDelegate,
    ExpiredDelegate,
}

/// <summary>
/// The revocation list (<c>/pki/ca.crl</c>) and the OCSP responder (<c>/pki/ocsp</c>) of one authority. It vouches for every certificate
/// but those that it was told to revoke, and misbehaves as told.
/// </summary>
/// <param name="prefix">In the place of <c>/pki</c>.</param>
public sealed class RevocationResponder(DevelopmentAuthority authority, TimeProvider? time = null, string prefix = "/pki")
{
    private readonly ConcurrentDictionary<BigInteger, DateTime> _revoked = [];
    private readonly ConcurrentQueue<string> _asked = [];
    private readonly X509Certificate _certificate = new(authority.Certificate.RawData);
    private readonly AsymmetricKeyParameter _key = PrivateKeyFactory.CreateKey(authority.PrivateKey);
    private readonly Lazy<IssuedCertificate> _delegate = new(() => authority.IssueResponder());
    private long _number = 1000;

    /// <summary>Where the list is, below the host's address.</summary>
    public string ListPath => prefix + "/ca.crl";

    public string ResponderPath => prefix + "/ocsp";

    public RevocationMisbehaviour ListMisbehaviour { get; set; }

    public RevocationMisbehaviour ResponderMisbehaviour { get; set; }

    /// <summary>Answers with <see cref="Delegate"/>, which the authority issued for that, in the place of the authority's key.</summary>
    public bool Delegates { get; set; }

    public IssuedCertificate Delegate => _delegate.Value;

    /// <summary>Answers wait for it.</summary>
    public Task Ready { get; set; } = Task.CompletedTask;

    /// <summary>Paths that were asked, in order.</summary>
    public IReadOnlyCollection<string> Asked => _asked;

    public void Revoke(IssuedCertificate certificate) => Revoke(certificate.SerialNumber);

    /// <summary>Of one of several authorities in a chain.</summary>
    public void Revoke(DevelopmentAuthority intermediate) => Revoke(new X509Certificate(intermediate.Certificate.RawData).SerialNumber);

    public void Restore(IssuedCertificate certificate) => _revoked.TryRemove(certificate.SerialNumber, out _);

    public void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(ListPath, context => AnswerAsync(context, ListMisbehaviour, () => List(ListMisbehaviour)));
        endpoints.MapPost(ResponderPath, async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body, context.RequestAborted);
            var request = new OcspReq(body.ToArray());
            await AnswerAsync(context, ResponderMisbehaviour, () => Answer(request, ResponderMisbehaviour));
        });
        // What the redirects point at.
        endpoints.MapGet(prefix + "/elsewhere", context => AnswerAsync(context, RevocationMisbehaviour.None, () => List(RevocationMisbehaviour.None)));
    }

    private void Revoke(BigInteger serial) => _revoked[serial] = Now;

    private DateTime Now => (time ?? TimeProvider.System).GetUtcNow().UtcDateTime;

    private async Task AnswerAsync(HttpContext context, RevocationMisbehaviour misbehaviour, Func<byte[]> make)
    {
        _asked.Enqueue(context.Request.Path);
        await Ready;
        switch (misbehaviour)
        {
            case RevocationMisbehaviour.Silent:
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                return;
            case RevocationMisbehaviour.ServerError:
                context.Response.StatusCode = StatusCodes.Status500InternalServerError;
                await context.Response.Body.WriteAsync(make(), context.RequestAborted);
                return;
            case RevocationMisbehaviour.Redirect:
                context.Response.StatusCode = StatusCodes.Status307TemporaryRedirect;
                context.Response.Headers.Location = prefix + "/elsewhere";
                return;
            case RevocationMisbehaviour.Garbage:
                await context.Response.Body.WriteAsync("this is no DER"u8.ToArray(), context.RequestAborted);
                return;
            case RevocationMisbehaviour.Endless:
                var zeros = new byte[64 * 1024];
                while (!context.RequestAborted.IsCancellationRequested)
                    await context.Response.Body.WriteAsync(zeros, context.RequestAborted);
                return;
            default:
                await context.Response.Body.WriteAsync(make(), context.RequestAborted);
                return;
        }
    }

    private static Asn1SignatureFactory Signer(AsymmetricKeyParameter key, RevocationMisbehaviour misbehaviour) =>
        new(misbehaviour == RevocationMisbehaviour.Sha1Signature ? "SHA1WITHECDSA" : "SHA256WITHECDSA", key);

    /// <summary>When it was made and when it ends.</summary>
    private (DateTime This, DateTime Next) Times(RevocationMisbehaviour misbehaviour) => misbehaviour switch
    {
        RevocationMisbehaviour.Expired => (Now.AddDays(-2), Now.AddDays(-1)),
        RevocationMisbehaviour.Future => (Now.AddHours(1), Now.AddDays(1)),
        RevocationMisbehaviour.InAdvance => (Now.AddHours(-1), Now.AddDays(1)),
        _ => (Now.AddMinutes(-1), Now.AddDays(1)),
    };

    private static AsymmetricKeyParameter Foreign()
    {
        using var foreign = System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256);
        return PrivateKeyFactory.CreateKey(foreign.ExportPkcs8PrivateKey());
    }

    private byte[] List(RevocationMisbehaviour misbehaviour)
    {
        var list = new X509V2CrlGenerator();
        var (made, next) = Times(misbehaviour);
        list.SetIssuerDN(misbehaviour == RevocationMisbehaviour.OtherIssuer ? new X509Name("CN=Somebody else") : _certificate.SubjectDN);
        list.SetThisUpdate(made);
        if (misbehaviour != RevocationMisbehaviour.NoNextUpdate)
            list.SetNextUpdate(next);
        foreach (var (serial, at) in _revoked)
            list.AddCrlEntry(serial, at, CrlReason.KeyCompromise);
        if (misbehaviour == RevocationMisbehaviour.CriticalEntry)
            list.AddCrlEntry(BigInteger.One, made, new X509Extensions(new Dictionary<DerObjectIdentifier, X509Extension>
            {
                [X509Extensions.CertificateIssuer] = new(true, new DerOctetString(new GeneralNames(new GeneralName(new X509Name("CN=Somebody else"))))),
            }));
        if (misbehaviour == RevocationMisbehaviour.Partial)
            list.AddExtension(X509Extensions.IssuingDistributionPoint, true, new IssuingDistributionPoint(null, true, false, null, false, false));
        if (misbehaviour == RevocationMisbehaviour.CriticalExtension)
            list.AddExtension(X509Extensions.DeltaCrlIndicator, true, new CrlNumber(BigInteger.One));
        if (misbehaviour != RevocationMisbehaviour.NoNumber)
            list.AddExtension(X509Extensions.CrlNumber, false, new CrlNumber(BigInteger.ValueOf(misbehaviour == RevocationMisbehaviour.OldNumber ? 1 : Interlocked.Increment(ref _number))));
        return list.Generate(Signer(misbehaviour == RevocationMisbehaviour.ForeignSignature ? Foreign() : _key, misbehaviour)).GetEncoded();
    }

    private byte[] Answer(OcspReq request, RevocationMisbehaviour misbehaviour)
    {
        if (misbehaviour == RevocationMisbehaviour.TryLater)
            return new OCSPRespGenerator().Generate(OCSPRespGenerator.TryLater, null).GetEncoded();
        var (made, next) = Times(misbehaviour);
        var answer = new BasicOcspRespGenerator(new RespID(_certificate.SubjectDN));
        var critical = misbehaviour == RevocationMisbehaviour.CriticalExtension
            ? new X509Extensions(new Dictionary<DerObjectIdentifier, X509Extension> { [new DerObjectIdentifier("1.2.246.999")] = new(true, new DerOctetString([5, 0])) })
            : null;
        foreach (var asked in request.GetRequestList())
        {
            var id = asked.GetCertID();
            CertificateStatus? status = misbehaviour == RevocationMisbehaviour.StatusUnknown ? new UnknownStatus()
                : _revoked.TryGetValue(id.SerialNumber, out var at) ? new RevokedStatus(at, CrlReason.KeyCompromise)
                : CertificateStatus.Good;
            if (misbehaviour == RevocationMisbehaviour.OtherSerial)
                id = CertificateID.DeriveCertificateID(id, id.SerialNumber.Add(BigInteger.One));
            answer.AddResponse(id, status, made, next, critical);
        }
        var nonce = misbehaviour switch
        {
            RevocationMisbehaviour.InAdvance => null,
            RevocationMisbehaviour.OtherNonce => new X509Extension(false, new DerOctetString(new DerOctetString(new byte[32]))),
            _ => request.RequestExtensions?.GetExtension(OcspObjectIdentifiers.PkixOcspNonce),
        };
        if (nonce is not null)
            answer.SetResponseExtensions(new X509Extensions(new Dictionary<DerObjectIdentifier, X509Extension> { [OcspObjectIdentifiers.PkixOcspNonce] = nonce }));
        var (key, certificates) = SignerOf(misbehaviour);
        return new OCSPRespGenerator().Generate(OCSPRespGenerator.Successful, answer.Generate(Signer(key, misbehaviour), certificates, Now)).GetEncoded();
    }

    private (AsymmetricKeyParameter Key, X509Certificate[] Certificates) SignerOf(RevocationMisbehaviour misbehaviour)
    {
        if (misbehaviour == RevocationMisbehaviour.ForeignSignature)
            return (Foreign(), []);
        IssuedCertificate? signer = misbehaviour switch
        {
            RevocationMisbehaviour.DelegateWithoutUsage => authority.IssueServer("responder.example"),
            RevocationMisbehaviour.ForeignDelegate => ForeignDelegate(),
            RevocationMisbehaviour.ExpiredDelegate => authority.IssueResponder(Now.AddDays(-30), Now.AddDays(-1)),
            _ => Delegates ? Delegate : null,
        };
        if (signer is null)
            return (_key, []);
        using var certificate = signer.Open();
        return (PrivateKeyFactory.CreateKey(signer.PrivateKey), [new X509Certificate(certificate.RawData)]);

        static IssuedCertificate ForeignDelegate()
        {
            // Of the same name, and nobody's authority here.
            using var foreign = DevelopmentAuthority.Create();
            return foreign.IssueResponder();
        }
    }
}
