using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using KantaGateway.Simulators;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Tests.Identification.BadInput;

/// <summary>Every kind of bad certificate, shown in TLS or passed on by a terminator, at the token endpoint and on a FHIR request.</summary>
[Collection(SignInCollection.Name)]
public sealed class CertificateTableTests(IdentificationWorld world)
{
    private const string Foreign = "was not issued by an authority that this gateway accepts", None = "has no TLS client certificate";

    private static readonly Dictionary<string, string> Shown = new()
    {
        ["none"] = None,
        ["self-signed"] = Foreign,
        ["of another authority"] = Foreign,
        ["of an authority of the same name"] = Foreign,
        ["with a name of the authority's and no signature of it"] = Foreign,
        ["of the wrong curve, self-signed"] = Foreign,
        ["expired"] = "has expired",
        ["not valid yet"] = "is not valid yet",
        ["of a server"] = "is not meant for client authentication (extended key usage clientAuth)",
        ["of a person"] = "names no organisation",
        ["of another organisation"] = "another",
    };

    /// <summary>What no TLS would carry.</summary>
    private static readonly Dictionary<string, string> Passed = new()
    {
        ["empty"] = None, ["no base64"] = None, ["base64 of nothing known"] = None, ["PEM"] = None, ["oversized"] = None, ["cut off"] = None, ["two of them, joined"] = None, ["a key"] = None,
    };

    public static TheoryData<string, string, bool> Table()
    {
        var table = new TheoryData<string, string, bool>();
        foreach (var (kind, says) in Shown)
            table.Add(kind, says, false);
        foreach (var (kind, says) in Shown.Concat(Passed))
            table.Add(kind, says, true);
        return table;
    }

    [Theory, MemberData(nameof(Table))]
    public async Task Refused(string kind, string says, bool isPassedOn)
    {
        using var foreign = DevelopmentAuthority.Create("Foreign");
        using var twin = DevelopmentAuthority.Create();
        var organisation = Oid.Parse(world.Aurora.Organisation);
        using var certificate = kind switch
        {
            "self-signed" => SelfSigned("CN=Aurora Oy", ECCurve.NamedCurves.nistP256),
            "of the wrong curve, self-signed" => SelfSigned("CN=Aurora Oy", ECCurve.NamedCurves.nistP521),
            "with a name of the authority's and no signature of it" => SelfSigned("CN=KantaGateway development authority", ECCurve.NamedCurves.nistP256),
            "of another authority" => foreign.IssueOrganisation(organisation, "Aurora Oy").Open(),
            "of an authority of the same name" => twin.IssueOrganisation(organisation, "Aurora Oy").Open(),
            "expired" => world.Issue(world.Aurora.Organisation, DateTimeOffset.UtcNow.AddDays(-30), DateTimeOffset.UtcNow.AddDays(-1)).Open(),
            "not valid yet" => world.Issue(world.Aurora.Organisation, DateTimeOffset.UtcNow.AddDays(2)).Open(),
            "of a server" => world.Authority.IssueServer("localhost").Open(),
            "of a person" => world.Authority.IssueCard("90001", "Lasse", "Lääkäri").Open(),
            "of another organisation" => world.Revontuli.Certificate.Open(),
            _ => null,
        };
        var token = await world.TokenAsync(world.Aurora);
        var assertion = world.Assertion(world.Aurora);
        using var http = isPassedOn ? new HttpClient { BaseAddress = new(world.Options.TerminatorListen!) } : Connect(certificate);
        if (isPassedOn && kind != "none")
            http.DefaultRequestHeaders.TryAddWithoutValidation("X-Client-Cert", certificate is not null ? Convert.ToBase64String(certificate.RawData) : Written(kind));
        var logged = world.Logs.Length;

        using var asked = await http.PostAsync("/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora, assertion)));
        Assert.Equal(HttpStatusCode.Unauthorized, asked.StatusCode);
        var refused = await asked.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("invalid_client", refused.GetProperty("error").GetString());
        Assert.Contains(says, refused.GetProperty("error_description").GetString());

        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var read = await http.GetAsync("/fhir/whoami");
        Assert.Equal(HttpStatusCode.Unauthorized, read.StatusCode);
        var challenge = read.Headers.WwwAuthenticate.ToString();
        Assert.Contains("error=\"invalid_token\"", challenge);
        Assert.Contains(says, challenge);

        var log = world.Logs.Since(logged);
        if (certificate is not null)
            Assert.DoesNotContain(Convert.ToBase64String(certificate.RawData), log);
        Assert.DoesNotContain(token, log);
        // It was the certificate alone: the assertion has not been used up.
        Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(world.ClientCredentials(world.Aurora, assertion), world.Aurora.Certificate)).Status);
    }

    private HttpClient Connect(X509Certificate2? certificate)
    {
        var handler = new SocketsHttpHandler();
        var roots = new X509Certificate2Collection();
        roots.ImportFromPem(world.Authority.CertificatePem);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(roots);
        handler.SslOptions.CertificateChainPolicy = policy;
        // Whatever it is: the handler would leave out one that is no client's.
        handler.SslOptions.LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate!;
        return new HttpClient(handler) { BaseAddress = new Uri(world.Options.PublicAddress) };
    }

    private string Written(string kind)
    {
        using var good = world.Aurora.Certificate.Open();
        var encoded = Convert.ToBase64String(good.RawData);
        return kind switch
        {
            "empty" => "",
            "no base64" => "%%%",
            "base64 of nothing known" => Convert.ToBase64String(new byte[300]),
            "PEM" => good.ExportCertificatePem().ReplaceLineEndings(" "),
            "oversized" => encoded + new string('A', 16_384),
            "cut off" => Convert.ToBase64String(good.RawData.AsSpan(0, good.RawData.Length - 10)),
            "two of them, joined" => $"{encoded}, {encoded}",
            "a key" => Convert.ToBase64String(good.PublicKey.ExportSubjectPublicKeyInfo()),
            _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
        };
    }

    private static X509Certificate2 SelfSigned(string name, ECCurve curve)
    {
        using var key = ECDsa.Create(curve);
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new("1.3.6.1.5.5.7.3.2")], false));
        using var made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }
}
