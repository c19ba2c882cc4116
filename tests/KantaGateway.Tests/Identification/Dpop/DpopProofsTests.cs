using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Dpop;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Identification.Dpop;

/// <summary>RFC 9449 §4.3, check by check; FAPI 2.0 modules DpopNegativeTests and CheckDpopProofNbfExp.</summary>
public sealed class DpopProofsTests : IDisposable
{
    private const string Public = "https://kanta.example", Target = "/fhir/Observation/a%20b?_pretty=true", Address = Public + "/fhir/Observation/a%20b", Token = "token.of.something";

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 11, 1, 12, 0, 0, TimeSpan.Zero));
    private readonly string _keyFile = Path.GetTempFileName();
    private readonly DpopNonces _nonces;
    private readonly DpopProofs _proofs;
    private readonly DpopKey _key = new();

    public DpopProofsTests()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(_keyFile, key.ExportPkcs8PrivateKeyPem());
        _nonces = new(new TokenKeys([new(_keyFile)], _time), _time);
        _proofs = new(_nonces, new MemoryState(_time), Public, _time);
        // It remembers what was used before.
        _time.Advance(TimeSpan.FromMinutes(2));
    }

    public void Dispose()
    {
        File.Delete(_keyFile);
        _key.Dispose();
    }

    [Fact]
    public async Task A_good_proof_tells_the_thumbprint_of_its_key()
    {
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(Proof()));
        using var rsa = new DpopKey(rsaBits: 2048);
        Assert.Equal((rsa.Thumbprint, null), await VerifyAsync(Proof(key: rsa)));
    }

    [Fact]
    public void The_thumbprint_is_that_of_the_published_example()
    {
        // RFC 9449 §4.1 (the key) and §6.1 (its thumbprint).
        var jwk = new Microsoft.IdentityModel.Tokens.JsonWebKey("""{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}""");
        Assert.Equal("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", System.Buffers.Text.Base64Url.EncodeToString(jwk.ComputeJwkThumbprint()));
    }

    public static TheoryData<string, string> Changed => new()
    {
        { "typ", "JWT" }, { "typ", "at+jwt" }, { "typ", "" }, { "alg", "none" }, { "alg", "HS256" }, { "alg", "RS256" }, { "alg", "ES384" },
        { "htm", "POST" }, { "htm", "get" }, { "htm", "" },
        { "htu", "http://kanta.example/fhir/Observation/a%20b" }, { "htu", "https://evil.example/fhir/Observation/a%20b" }, { "htu", Public + "/fhir/Observation/b" },
        { "htu", Public }, { "htu", "/fhir/Observation/a%20b" }, { "htu", "https://kanta.example:444/fhir/Observation/a%20b" }, { "htu", "https://a@kanta.example/fhir/Observation/a%20b" },
        { "iat", "-61" }, { "iat", "11" }, { "iat", "text" }, { "iat", "" }, { "exp", "-11" }, { "exp", "text" }, { "nbf", "11" },
        { "jti", "" }, { "jti", new string('j', 256) }, { "ath", "" }, { "ath", "bm9uZQ" }, { "crit", "x" }, { "cty", "JWT" },
    };

    [Theory]
    [MemberData(nameof(Changed))]
    public async Task A_proof_with_one_thing_wrong_is_refused_with_the_code_of_the_standard(string member, string value)
    {
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(Proof((header, claims) =>
        {
            var where = member is "typ" or "alg" or "crit" or "cty" ? header : claims;
            if (value.Length == 0)
                where.Remove(member);
            else
                where[member] = int.TryParse(value, out var seconds) ? (_time.GetUtcNow().ToUnixTimeSeconds() + seconds) : value;
        })));
    }

    /// <summary>EnsureDpopProofWithIat10SecondsBeforeSucceeds, EnsureDpopProofWithIat10SecondsAfterSucceeds.</summary>
    [Theory]
    [InlineData("iat", -60)]
    [InlineData("iat", -10)]
    [InlineData("iat", 10)]
    [InlineData("exp", 60)]
    [InlineData("nbf", 0)]
    public async Task Clocks_may_differ_a_little(string claim, int seconds) =>
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(Proof((_, claims) => claims[claim] = _time.GetUtcNow().ToUnixTimeSeconds() + seconds)));

    [Theory]
    [InlineData("https://KANTA.example:443/fhir/Observation/a%20b?x=1#y")]
    [InlineData("HTTPS://kanta.example/fhir/x/../Observation/a%20b")]
    public async Task The_address_is_compared_normalised_and_without_query(string htu) =>
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(Proof((_, claims) => claims["htu"] = htu)));

    [Fact]
    public async Task A_key_that_is_not_the_signers_or_not_public_or_too_weak_is_refused()
    {
        using var other = new DpopKey();
        using var wide = new DpopKey(curve: ECCurve.NamedCurves.nistP384);
        using var weak = new DpopKey(rsaBits: 1024);
        Action<JsonObject, JsonObject>[] wrong =
        [
            (header, _) => header["jwk"] = other.Jwk,
            (header, _) => header["jwk"]!["d"] = _key.PrivateMember,
            (header, _) => header.Remove("jwk"),
            (header, _) => header["jwk"] = "text",
            (header, _) => header["jwk"] = new JsonObject { ["kty"] = "oct", ["k"] = "c2VjcmV0" },
            (header, _) => header["jwk"]!["x"] = "AAAA",
            (header, _) => header["jwk"]!["x"] = header["jwk"]!["y"]!.DeepClone(),
            (header, _) => header["jwk"]!["crv"] = "P-384",
            (header, _) => header["alg"] = "PS256",
        ];
        foreach (var change in wrong)
            Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(Proof(change)));
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(Proof((header, _) => header["alg"] = "ES384", wide)));
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(Proof(key: wide)));
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(Proof(key: weak)));
    }

    [Fact]
    public async Task A_chain_beside_the_key_is_not_looked_at()
    {
        using var other = new DpopKey();
        using var signing = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var certificate = new System.Security.Cryptography.X509Certificates.CertificateRequest("CN=x", signing, HashAlgorithmName.SHA256).CreateSelfSigned(_time.GetUtcNow(), _time.GetUtcNow().AddDays(1));
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(Proof((header, _) => header["jwk"]!["x5c"] = new JsonArray(Convert.ToBase64String(certificate.RawData)))));
    }

    [Fact]
    public async Task A_proof_is_used_once()
    {
        var proof = Proof();
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(proof));
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(proof));
        // The same name under another key is another proof.
        using var other = new DpopKey();
        var first = Proof((_, claims) => claims["jti"] = "one");
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(first));
        Assert.Equal((other.Thumbprint, null), await VerifyAsync(Proof((_, claims) => claims["jti"] = "one", other)));
    }

    [Fact]
    public async Task A_proof_of_another_key_leaves_nothing_behind_and_learns_nothing()
    {
        using var other = new DpopKey();
        var proof = Proof(key: other);
        Assert.Equal((null, "invalid_token"), await VerifyAsync([proof], bound: _key.Thumbprint));
        Assert.Equal((null, "invalid_token"), await VerifyAsync([Proof((_, claims) => claims.Remove("nonce"), other)], bound: _key.Thumbprint));
        // It was not used up.
        Assert.Equal((other.Thumbprint, null), await VerifyAsync([proof], bound: other.Thumbprint));
    }

    [Fact]
    public async Task A_proof_that_was_refused_for_something_else_is_not_used_up()
    {
        var proof = Proof();
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(proof, "another.token.than"));
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(proof));
    }

    [Fact]
    public async Task Without_a_nonce_of_this_gateway_the_answer_brings_one()
    {
        foreach (var nonce in new[] { null, "", "AAAAAAAAAAAAAAAAAAAAAA", "ä" })
        {
            var context = Context(_key.Proof("GET", Address, _time.GetUtcNow(), nonce, Token));
            var (thumbprint, refusal) = await _proofs.VerifyAsync(context, Token, null);
            Assert.Equal((null, "use_dpop_nonce"), (thumbprint, refusal?.Error));
            Assert.Equal(_nonces.Current, (string?)context.Response.Headers["DPoP-Nonce"]);
        }
    }

    [Fact]
    public async Task A_nonce_is_good_for_a_while_and_then_not()
    {
        var old = _nonces.Current;
        _time.Advance(TimeSpan.FromSeconds(DpopNonces.Seconds));
        Assert.NotEqual(old, _nonces.Current);
        Assert.Equal((_key.Thumbprint, null), await VerifyAsync(_key.Proof("GET", Address, _time.GetUtcNow(), old, Token)));
        _time.Advance(TimeSpan.FromSeconds(DpopNonces.Seconds));
        Assert.Equal((null, "use_dpop_nonce"), await VerifyAsync(_key.Proof("GET", Address, _time.GetUtcNow(), old, Token)));
    }

    [Fact]
    public void Gateways_with_one_key_give_the_same_nonces_and_others_do_not()
    {
        Assert.Equal(_nonces.Current, new DpopNonces(new TokenKeys([new(_keyFile)], _time), _time).Current);
        // One whose clock is a little ahead has begun the next already.
        var ahead = new FakeTimeProvider(_time.GetUtcNow().AddSeconds(DpopNonces.Seconds));
        Assert.True(_nonces.IsGood(new DpopNonces(new TokenKeys([new(_keyFile)], ahead), ahead).Current));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(_keyFile, key.ExportPkcs8PrivateKeyPem());
        Assert.False(_nonces.IsGood(new DpopNonces(new TokenKeys([new(_keyFile)], _time), _time).Current));
    }

    [Fact]
    public async Task None_and_two_headers_and_what_is_no_token_are_refused()
    {
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync());
        Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync([Proof(), Proof()]));
        foreach (var text in new[] { "", "a.b.c", Proof() + "x", Proof()[..^4], new string('a', 5000), Proof().Replace('.', ',') })
            Assert.Equal((null, "invalid_dpop_proof"), await VerifyAsync(text));
    }

    [Fact]
    public async Task Without_the_shared_store_no_proof_is_taken()
    {
        var proofs = new DpopProofs(_nonces, new MemoryState(_time, capacity: 0), Public, _time);
        await Assert.ThrowsAsync<SharedStateException>(async () => await proofs.VerifyAsync(Context(Proof()), Token, null));
    }

    private string Proof(Action<JsonObject, JsonObject>? change = null, DpopKey? key = null) => (key ?? _key).Proof("GET", Address, _time.GetUtcNow(), _nonces.Current, Token, change);

    private Task<(string?, string?)> VerifyAsync(string proof, string token = Token) => VerifyAsync([proof], token);

    private async Task<(string?, string?)> VerifyAsync(string[]? proofs = null, string token = Token, string? bound = null)
    {
        var (thumbprint, refusal) = await _proofs.VerifyAsync(Context(proofs ?? []), token, bound);
        Assert.True(thumbprint is null != refusal is null);
        return (thumbprint, refusal?.Error);
    }

    private static DefaultHttpContext Context(params string[] proofs)
    {
        var context = new DefaultHttpContext();
        context.Request.Method = "GET";
        context.Features.Get<IHttpRequestFeature>()!.RawTarget = Target;
        if (proofs.Length > 0)
            context.Request.Headers["DPoP"] = proofs;
        return context;
    }
}
