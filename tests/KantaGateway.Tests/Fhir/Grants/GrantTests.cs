using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Fhir.Grants;

public sealed class GrantTests : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly ECDsa _foreignKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2030, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private readonly GrantSigner _signer;
    private readonly GrantVerifier _verifier;

    public GrantTests() => (_signer, _verifier) = (new(_key, _time), new([_key], _time));

    public void Dispose()
    {
        _key.Dispose();
        _foreignKey.Dispose();
    }

    private Grant AGrant => new()
    {
        Id = "grant-1",
        Use = GrantUse.Read,
        Compartment = Pseudonym.Read("0123456789"u8),
        PolicyVersion = 41,
        Scope = new() { Breadth = Breadth.Disclosed, Controller = "1.2.246.10.1", Withheld = new() { ServiceEvents = ["1.2.246.10.2.14.7"] }, Types = ["Observation"] },
        Caller = "client|person",
        PurposeOfUse = "TREAT",
        Writer = "1.2.246.10.3",
        Expires = _time.GetUtcNow().AddSeconds(60),
    };

    [Fact]
    public async Task A_grant_arrives_as_it_was_signed()
    {
        var (read, reason) = await _verifier.VerifyAsync(_signer.Sign(AGrant));
        Assert.Null(reason);
        Assert.Equal(AGrant with { Scope = null! }, read! with { Scope = null! });
        Assert.Equal(AGrant.Scope.Breadth, read.Scope.Breadth);
        Assert.Equal(AGrant.Scope.Controller, read.Scope.Controller);
        Assert.Equal(AGrant.Scope.Withheld.ServiceEvents, read.Scope.Withheld.ServiceEvents);
        Assert.Equal(AGrant.Scope.Types!, read.Scope.Types!);
    }

    [Fact]
    public async Task A_grant_without_a_policy_version_has_none_at_the_other_end()
    {
        var (read, _) = await _verifier.VerifyAsync(_signer.Sign(AGrant with { PolicyVersion = null }));
        Assert.Null(read!.PolicyVersion);
    }

    [Fact]
    public async Task A_grant_is_refused_at_the_second_it_expires()
    {
        var token = _signer.Sign(AGrant);
        _time.Advance(TimeSpan.FromSeconds(59));
        Assert.NotNull((await _verifier.VerifyAsync(token)).Grant);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null((await _verifier.VerifyAsync(token)).Grant);
    }

    [Fact]
    public void A_grant_that_would_live_longer_than_a_minute_is_not_signed() =>
        Assert.Throws<ArgumentException>(() => _signer.Sign(AGrant with { Expires = _time.GetUtcNow().AddSeconds(61) }));

    [Fact]
    public async Task A_grant_signed_to_live_longer_than_a_minute_is_refused() =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", lifetime: 61))).Grant);

    [Fact]
    public async Task The_forged_grant_of_these_tests_is_accepted_when_nothing_about_it_is_wrong() =>
        Assert.NotNull((await _verifier.VerifyAsync(Forge(_key, "ES256"))).Grant);

    [Fact]
    public async Task A_grant_from_the_future_is_refused() => Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", start: 10))).Grant);

    [Fact]
    public async Task A_grant_of_another_key_is_refused()
    {
        Assert.Null((await _verifier.VerifyAsync(new GrantSigner(_foreignKey, _time).Sign(AGrant))).Grant);
        // A foreign key under the trusted key's name.
        Assert.Null((await _verifier.VerifyAsync(Forge(_foreignKey, "ES256", keyId: GrantSigner.KeyIdOf(_key)))).Grant);
    }

    [Theory]
    [InlineData("JWT", "kanta-repository", "kanta-gateway")]
    [InlineData("kanta-service+jwt", "kanta-repository", "kanta-gateway")]
    [InlineData("kanta-grant+jwt", "kanta-keys", "kanta-gateway")]
    [InlineData("kanta-grant+jwt", "kanta-repository", "somebody")]
    public async Task A_token_of_another_type_audience_or_issuer_is_no_grant(string type, string audience, string issuer) =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", type: type, audience: audience, issuer: issuer))).Grant);

    [Fact]
    public async Task A_grant_and_a_service_token_cannot_stand_in_for_each_other()
    {
        Assert.True(await _verifier.IsServiceTokenAsync(_signer.SignServiceToken()));
        Assert.False(await _verifier.IsServiceTokenAsync(_signer.Sign(AGrant)));
        Assert.Null((await _verifier.VerifyAsync(_signer.SignServiceToken())).Grant);
    }

    [Fact]
    public async Task A_service_token_expires_and_a_foreign_one_is_refused()
    {
        var token = _signer.SignServiceToken();
        Assert.False(await _verifier.IsServiceTokenAsync(new GrantSigner(_foreignKey, _time).SignServiceToken()));
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.False(await _verifier.IsServiceTokenAsync(token));
        Assert.False(await _verifier.IsServiceTokenAsync(null));
    }

    [Fact]
    public async Task An_unsigned_token_and_one_signed_with_the_public_key_as_a_secret_are_refused()
    {
        var parts = _signer.Sign(AGrant).Split('.');
        var none = Base64UrlEncoder.Encode("""{"alg":"none","typ":"kanta-grant+jwt"}""");
        Assert.Null((await _verifier.VerifyAsync($"{none}.{parts[1]}.")).Grant);
        Assert.Null((await _verifier.VerifyAsync($"{parts[0]}.{parts[1]}.")).Grant);

        var header = Base64UrlEncoder.Encode($$"""{"alg":"HS256","typ":"kanta-grant+jwt","kid":"{{GrantSigner.KeyIdOf(_key)}}"}""");
        var mac = HMACSHA256.HashData(_key.ExportSubjectPublicKeyInfo(), Encoding.ASCII.GetBytes($"{header}.{parts[1]}"));
        Assert.Null((await _verifier.VerifyAsync($"{header}.{parts[1]}.{Base64UrlEncoder.Encode(mac)}")).Grant);
    }

    [Fact]
    public async Task A_grant_with_any_byte_of_it_changed_is_refused()
    {
        var token = _signer.Sign(AGrant);
        var parts = token.Split('.');
        foreach (var at in new[] { 5, parts[0].Length + 10, parts[0].Length + parts[1].Length + 10 })
        {
            var changed = token[..at] + (token[at] == 'A' ? 'B' : 'A') + token[(at + 1)..];
            Assert.Null((await _verifier.VerifyAsync(changed)).Grant);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("a.b.c")]
    [InlineData("nonsense")]
    public async Task No_token_and_nonsense_are_refused_with_a_reason(string? token)
    {
        var (grant, reason) = await _verifier.VerifyAsync(token);
        Assert.Null(grant);
        Assert.False(string.IsNullOrEmpty(reason));
    }

    [Theory]
    [InlineData(GrantClaim.Use)]
    [InlineData(GrantClaim.Subject)]
    [InlineData(GrantClaim.Scope)]
    [InlineData(GrantClaim.Caller)]
    [InlineData(GrantClaim.Purpose)]
    public async Task A_signed_token_without_one_of_its_claims_is_refused_and_does_not_throw(string missing) =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", without: missing))).Grant);

    [Theory]
    [InlineData("use", "None")]
    [InlineData("use", "2")]
    [InlineData("use", "Everything")]
    [InlineData("scp", "{}")]
    [InlineData("scp", "no JSON")]
    [InlineData("sub", "010190-999W")]
    public async Task A_signed_token_with_a_claim_that_says_nothing_known_is_refused(string claim, string value) =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", with: (claim, value)))).Grant);

    private static class GrantClaim
    {
        public const string Use = "use", Subject = "sub", Scope = "scp", Caller = "cal", Purpose = "pou";
    }

    private string Forge(ECDsa key, string algorithm, string type = "kanta-grant+jwt", string audience = "kanta-repository",
        string issuer = "kanta-gateway", int lifetime = 60, int start = 0, string? keyId = null, string? without = null, (string Claim, string Value)? with = null)
    {
        var now = _time.GetUtcNow().UtcDateTime.AddSeconds(start);
        var claims = new Dictionary<string, object>
        {
            ["jti"] = "x",
            ["sub"] = Pseudonym.Read("0123456789"u8).Encode(),
            ["use"] = "Read",
            ["scp"] = """{"b":1,"c":"1.2.246.10.1"}""",
            ["cal"] = "c",
            ["pou"] = "TREAT",
        };
        if (without is not null)
            claims.Remove(without);
        if (with is { } changed)
            claims[changed.Claim] = changed.Value;
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = issuer,
            Audience = audience,
            TokenType = type,
            Claims = claims,
            IssuedAt = now,
            NotBefore = now,
            Expires = now.AddSeconds(lifetime),
            SigningCredentials = new(new ECDsaSecurityKey(key) { KeyId = keyId ?? GrantSigner.KeyIdOf(key) }, algorithm),
        });
    }
}
