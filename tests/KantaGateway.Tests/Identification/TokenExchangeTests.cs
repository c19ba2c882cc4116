using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Token exchange (RFC 8693): a professional through a clinic system.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class TokenExchangeTests(IdentificationWorld world)
{
    [Fact]
    public async Task Identifies_professional_organisation_purpose_and_actor()
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["purpose_of_use"] = "ETREAT";
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("urn:ietf:params:oauth:token-type:access_token", body.GetProperty("issued_token_type").GetString());
        Assert.Equal("user/*.cruds", body.GetProperty("scope").GetString());
        Assert.InRange(body.GetProperty("expires_in").GetInt32(), 1, 300);
        var token = new JsonWebToken(body.GetProperty("access_token").GetString());
        Assert.Equal(world.Aurora.ClientId, token.GetPayloadValue<JsonElement>("act").GetProperty("sub").GetString());

        var (_, who, _) = await world.WhoAmIAsync(token.EncodedToken, world.Aurora.Certificate);
        Assert.Equal("Professional", who.GetProperty("kind").GetString());
        Assert.Equal("90001", who.GetProperty("professionalId").GetString());
        Assert.Equal("Lasse Lääkäri", who.GetProperty("professionalName").GetString());
        Assert.Equal("laakari", who.GetProperty("profession").GetString());
        Assert.Equal(world.Aurora.Organisation, who.GetProperty("organisation").GetString());
        Assert.Equal("ETREAT", who.GetProperty("purposeOfUse").GetString());
    }

    [Theory]
    [InlineData("urn:ietf:params:oauth:token-type:jwt")]
    [InlineData("urn:ietf:params:oauth:token-type:id_token")]
    public async Task Accepts_the_names_of_a_jwt(string type)
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["subject_token_type"] = type;
        Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(form, world.Aurora.Certificate)).Status);
    }

    [Fact]
    public async Task Without_a_purpose_it_is_treatment()
    {
        var (_, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora.Certificate);
        var (_, who, _) = await world.WhoAmIAsync(body.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal("TREAT", who.GetProperty("purposeOfUse").GetString());
    }

    [Fact]
    public async Task Rejects_the_token_of_another_organisations_provider() =>
        await RejectsAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("revontuli", "90002")), "another organisation");

    [Fact]
    public async Task Rejects_an_unknown_issuer() =>
        await RejectsAsync(world.TokenExchange(world.Aurora, Forge(iss: "https://elsewhere.example")), "not an identity provider that this gateway knows");

    [Fact]
    public async Task Rejects_a_foreign_signature() =>
        await RejectsAsync(world.TokenExchange(world.Aurora, Forge()), "signature does not verify");

    [Fact]
    public async Task Rejects_a_changed_token()
    {
        var parts = (await world.SubjectTokenAsync("aurora", "90001")).Split('.');
        var payload = Base64UrlEncoder.Decode(parts[1]).Replace("laakari", "kirurgi", StringComparison.Ordinal);
        await RejectsAsync(world.TokenExchange(world.Aurora, $"{parts[0]}.{Base64UrlEncoder.Encode(payload)}.{parts[2]}"), "signature does not verify");
    }

    [Fact]
    public async Task Rejects_a_token_for_another_audience()
    {
        world.Outside.IssuedAudience = "another";
        try
        {
            await RejectsAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), "another audience");
        }
        finally
        {
            world.Outside.IssuedAudience = null;
        }
    }

    [Fact]
    public async Task Rejects_an_expired_token()
    {
        world.Outside.SubjectTokenLife = TimeSpan.FromMinutes(-30);
        try
        {
            await RejectsAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), "has expired");
        }
        finally
        {
            world.Outside.SubjectTokenLife = TimeSpan.FromHours(1);
        }
    }

    [Fact]
    public async Task The_token_ends_no_later_than_the_subject_token()
    {
        // Far from the 300 s of other tokens, so that a slow machine does not matter.
        world.Outside.SubjectTokenLife = TimeSpan.FromSeconds(200);
        try
        {
            var subject = await world.SubjectTokenAsync("aurora", "90001");
            var (_, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, subject), world.Aurora.Certificate);
            Assert.True(new JsonWebToken(body.GetProperty("access_token").GetString()).ValidTo <= new JsonWebToken(subject).ValidTo);
        }
        finally
        {
            world.Outside.SubjectTokenLife = TimeSpan.FromHours(1);
        }
    }

    [Fact]
    public async Task Rejects_what_is_no_jwt() =>
        await RejectsAsync(world.TokenExchange(world.Aurora, "nonsense"), "not a readable signed JWT");

    [Fact]
    public async Task Rejects_a_missing_subject_token()
    {
        var form = world.TokenExchange(world.Aurora, "");
        form.Remove("subject_token");
        await RejectsAsync(form, "Send subject_token");
    }

    [Fact]
    public async Task Rejects_a_subject_token_that_is_said_to_be_something_else()
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["subject_token_type"] = "urn:ietf:params:oauth:token-type:saml2";
        await RejectsAsync(form, "subject_token_type as one of");
    }

    [Fact]
    public async Task Rejects_an_actor_token()
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["actor_token"] = "x";
        form["actor_token_type"] = "urn:ietf:params:oauth:token-type:access_token";
        await RejectsAsync(form, "actor_token");
    }

    [Fact]
    public async Task Rejects_an_unknown_purpose()
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["purpose_of_use"] = "HMARKT";
        await RejectsAsync(form, "purpose_of_use must be one of");
    }

    [Fact]
    public async Task Rejects_system_scopes()
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["scope"] = "system/*.cruds";
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_scope", body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task The_client_must_authenticate_as_everywhere()
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        form["client_assertion"] = world.Assertion(world.Aurora, claims => claims["jti"] = null);
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.Equal("invalid_client", body.GetProperty("error").GetString());

        form.Remove("client_assertion");
        form.Remove("client_assertion_type");
        Assert.NotEqual(HttpStatusCode.OK, (await world.PostTokenAsync(form, world.Aurora.Certificate)).Status);
    }

    /// <summary>A subject token by somebody who has not the provider's key.</summary>
    private string Forge(string? iss = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
        {
            Issuer = iss ?? world.Outside.ClinicIssuer("aurora"), Audience = "kanta", Expires = DateTime.UtcNow.AddHours(1), TokenType = "at+jwt",
            Claims = new Dictionary<string, object> { ["sub"] = "x", ["name"] = "Somebody", ["professional_id"] = "90001" },
            SigningCredentials = new SigningCredentials(new ECDsaSecurityKey(key) { KeyId = "aurora-1" }, "ES256"),
        });
    }

    private async Task RejectsAsync(Dictionary<string, string> form, string reason)
    {
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_request", body.GetProperty("error").GetString());
        Assert.Contains(reason, body.GetProperty("error_description").GetString());
        Assert.False(body.TryGetProperty("access_token", out _));
    }
}
