using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Fuzzing;

/// <summary>
/// Tokens and forms as strangers send them. What is mutated is what a token says: it is signed then, so that it reaches what comes behind the signature.
/// </summary>
public sealed class TokenEntryTests : IDisposable
{
    /// <summary>That of RFC 7515 A.3, so that the same numbers give the same inputs.</summary>
    private static readonly ECParameters Key = new()
    {
        Curve = ECCurve.NamedCurves.nistP256,
        D = Base64Url.DecodeFromChars("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"),
        Q = new() { X = Base64Url.DecodeFromChars("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), Y = Base64Url.DecodeFromChars("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0") },
    };

    private const string Jwk = """{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}""";

    /// <summary>A card of nobody's authority with that key.</summary>
    private const string Card = "MIIB5DCCAYqgAwIBAgIBATAKBggqhkjOPQQDAjBIMQ4wDAYDVQQFEwU5MDAwMTEOMAwGA1UEBAwFVGVzdGkxDzANBgNVBCoMBktvcnR0aTEVMBMGA1UEAwwMVGVzdGkgS29ydHRpMCAXDTI2MTEyODE5MzEwMVoYDzIxMjYxMTA0MTkzMTAxWjBIMQ4wDAYDVQQFEwU5MDAwMTEOMAwGA1UEBAwFVGVzdGkxDzANBgNVBCoMBktvcnR0aTEVMBMGA1UEAwwMVGVzdGkgS29ydHRpMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlraNjMGEwHQYDVR0OBBYEFM6NFrHJM463/jl5ma5Fvu4/tYaGMB8GA1UdIwQYMBaAFM6NFrHJM463/jl5ma5Fvu4/tYaGMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgeAMAoGCCqGSM49BAMCA0gAMEUCIE31IS1OPDijHiwfti6C/RWGNxpbvTqWUqT98t5uDe/PAiEAg4Z0rffPGh3GlfPX78mAXg1cg4nh5JweM33Pp+QBcJE=";

    private const string Address = "https://localhost";

    private readonly FakeTimeProvider _clock = new(new(2026, 12, 1, 12, 0, 0, TimeSpan.Zero));
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-fuzz-tokens").FullName;
    private readonly DevelopmentAuthority _authority = DevelopmentAuthority.Create();
    private readonly ECDsa _key = ECDsa.Create();
    private readonly HttpClient _nowhere = new(new Nowhere());
    private readonly ITestOutputHelper _output;
    private readonly ClientRegistry _registry;
    private readonly DpopNonces _nonces;
    private readonly DpopProofs _proofs;
    private readonly ClientAuthentication _clients;
    private readonly CardTokens _cards;

    public TokenEntryTests(ITestOutputHelper output)
    {
        _output = output;
        _key.ImportParameters(Key);
        string Write(string name, string text)
        {
            var file = Path.Combine(_folder, name);
            File.WriteAllText(file, text);
            return file;
        }
        var (pem, tokenKey) = (Write("ca.pem", _authority.CertificatePem), Write("token.key", _key.ExportPkcs8PrivateKeyPem()));
        var source = new RevocationSource { Authority = _authority.Fingerprint, Unchecked = true };
        var options = new GatewayOptions
        {
            PublicAddress = Address, Port = 1, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = pem, Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "",
            Identification = new()
            {
                ClientsFile = Write("clients.json", $$$"""
                    [{"client_id":"app","kind":"app","organisation_oid":"1.2.3","organisation_name":"A","controller_kind":"private","scopes":["patient/*.rs"],"redirect_uris":["https://app.example/"],
                      "dpop_bound_access_tokens":true,"token_endpoint_auth_signing_alg":["ES256"],"jwks":{"keys":[{{{Jwk[..^1]}}},"kid":"1"}]}}]
                    """),
                TokenKeyFile = tokenKey,
                Citizens = new() { Authority = "", ClientId = "", Acr = "", ServiceName = "", SigningKeyFile = "", EncryptionKeyFile = "" },
            },
        };
        _registry = new(options.Identification.ClientsFile, true, _clock, NullLogger<ClientRegistry>.Instance);
        var shared = new MemoryState(_clock, 10_000_000);
        // What may have been used before it began to remember is not taken (503), whatever the input is: it began before any of these could have been.
        _clock.Advance(TimeSpan.FromHours(1));
        _nonces = new(new TokenKeys([new TokenKey(tokenKey)], _clock), _clock);
        _proofs = new(_nonces, shared, Address, _clock);
        _clients = new(_registry, new(_nowhere, _clock, NullLogger<ClientKeys>.Instance),
            new OrganisationCertificates(_authority.CertificatePem, [source], _nowhere, _clock, NullLogger<OrganisationCertificates>.Instance), shared, options, _clock);
        _cards = new(new CardCertificates(new() { AuthorityFile = pem, RevocationSources = [source] }, _nowhere, _clock, NullLogger<CardCertificates>.Instance), shared, options, _clock);
    }

    public void Dispose()
    {
        _key.Dispose();
        _authority.Dispose();
        _nowhere.Dispose();
        Directory.Delete(_folder, true);
    }

    private long Now => _clock.GetUtcNow().ToUnixTimeSeconds();

    private string Proof => $$"""
        {"typ":"dpop+jwt","alg":"ES256","jwk":{{Jwk}}}
        {"jti":"1","htm":"POST","htu":"https://localhost/connect/token","iat":{{Now}},"nonce":"{{_nonces.Current}}"}
        """;

    private string Assertion => $$"""
        {"alg":"ES256","typ":"JWT","kid":"1"}
        {"iss":"app","sub":"app","aud":"https://localhost/connect/token","jti":"1","iat":{{Now}},"exp":{{Now + 240}}}
        """;

    private string CardToken => $$"""
        {"alg":"ES256","typ":"JWT","x5c":["{{Card}}"]}
        {"iss":"90001","sub":"90001","aud":"https://localhost/connect/token","client_id":"app","organisation":"1.2.3","jti":"1","iat":{{Now}},"exp":{{Now + 240}}}
        """;

    [Fact]
    public void Mutated_proofs_are_taken_or_refused() => Campaign.Run("proof", 3_000, new Mutator(Bytes(Proof), Pieces.Tokens), FeedProof, _output);

    [Fact]
    public void Mutated_client_assertions_are_taken_or_refused() => Campaign.Run("assertion", 3_000, new Mutator(Bytes(Assertion), Pieces.Tokens), FeedAssertion, _output);

    [Fact]
    public void Mutated_card_tokens_are_refused() => Campaign.Run("card", 2_000, new Mutator(Bytes(CardToken), Pieces.Tokens), FeedCard, _output);

    /// <summary>As it stands in a request, whoever signed it: the parts, the dots, the letters.</summary>
    [Fact]
    public void Mutated_texts_of_tokens_are_read_or_refused() => Campaign.Run("token", 10_000, new Mutator([.. Bytes(Proof, Assertion, CardToken).Select(Sign).Select(Encoding.ASCII.GetBytes),
        Encoding.ASCII.GetBytes($"{Encode("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","cty":"JWT"}""")}.AAAA.AAAA.AAAA.AAAA")], Pieces.Tokens), FeedText, _output);

    [Fact]
    public void Mutated_forms_are_read_or_refused() => Campaign.Run("form", 10_000, new Mutator(Bytes(
        "application/x-www-form-urlencoded\ngrant_type=client_credentials&scope=system%2F*.cruds&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c",
        "application/x-www-form-urlencoded; charset=utf-8\ntoken=a&client_id=app", "application/x-www-form-urlencoded\nlogout_token=a.b.c.d.e"), Pieces.Forms), FeedForm, _output);

    private string FeedProof(byte[] input)
    {
        var context = new DefaultHttpContext { Request = { Method = "POST", Path = "/connect/token", Headers = { ["DPoP"] = Sign(input) } } };
        var (thumbprint, refusal) = Wait(_proofs.VerifyAsync(context, null, null));
        // One proof is good once: the next input is another's.
        _clock.Advance(TimeSpan.FromTicks(1));
        return thumbprint is not null ? "taken" : Refused(refusal!.Error, refusal.Description);
    }

    private string FeedAssertion(byte[] input)
    {
        var (client, refusal) = Wait(_clients.AuthenticateAsync(new DefaultHttpContext(), null, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", Sign(input)));
        return client is not null ? "taken" : Refused(refusal!.Error, refusal.Description);
    }

    private string FeedCard(byte[] input)
    {
        var client = _registry.Current.Find("app")!;
        if (TokenShape.Read(Sign(input), 16 * 1024, out var problem) is not { } token)
            return Refused("shape", problem);
        if (!CardTokens.IsOne(token))
            return "none";
        var (holder, _, refusal) = Wait(_cards.ValidateAsync(token, client, client.Requesters[0]));
        Assert.Null(holder);
        return Refused(refusal!.Error, refusal.Description);
    }

    private static string FeedText(byte[] input)
    {
        var text = Encoding.UTF8.GetString(input);
        _ = ClientAuthentication.ClaimedIn(text);
        return TokenShape.Read(text, 16 * 1024, out var problem) is not null ? "read" : TokenShape.ReadEncrypted(text, 16 * 1024, out _) is not null ? "read, encrypted" : Refused("shape", problem);
    }

    private static string FeedForm(byte[] input)
    {
        var line = input.AsSpan().IndexOf((byte)'\n') is >= 0 and var end ? end : 0;
        var context = new DefaultHttpContext { Request = { Method = "POST", ContentType = Encoding.Latin1.GetString(input.AsSpan(0, line)), Body = new MemoryStream(input, Math.Min(line + 1, input.Length), Math.Max(0, input.Length - line - 1)) } };
        return Wait(ConnectForms.ExplainAsync(context)) is { } problem ? Refused("form", problem) : "read";
    }

    private static string Refused(string error, string sentence)
    {
        Assert.EndsWith(".", sentence);
        Assert.InRange(sentence.Length, 5, 300);
        return error;
    }

    /// <summary>Nobody is asked anything, so all is there at once.</summary>
    private static T Wait<T>(ValueTask<T> task) => task.AsTask().GetAwaiter().GetResult();

    /// <summary>The first line is its header, the rest its claims.</summary>
    private string Sign(byte[] input)
    {
        var line = input.AsSpan().IndexOf((byte)'\n') is >= 0 and var end ? end : input.Length;
        var text = Base64Url.EncodeToString(input.AsSpan(0, line)) + "." + Base64Url.EncodeToString(input.AsSpan(Math.Min(line + 1, input.Length)));
        return text + "." + Base64Url.EncodeToString(_key.SignData(Encoding.ASCII.GetBytes(text), HashAlgorithmName.SHA256));
    }

    private static string Encode(string text) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(text));

    private static byte[][] Bytes(params string[] texts) => [.. texts.Select(text => Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{text.ReplaceLineEndings("\n")}")))];

    private sealed class Nowhere : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => throw new InvalidOperationException("Somebody was asked.");
    }
}
