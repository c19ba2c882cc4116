using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>SMART Backend Services with private_key_jwt over mTLS.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class BackendServicesTests(IdentificationWorld world)
{
    [Theory]
    [InlineData("ES384")]
    [InlineData("RS384")]
    public async Task Gives_a_certificate_bound_token_of_at_most_300_seconds(string algorithm)
    {
        var clinic = algorithm == "ES384" ? world.Aurora : world.Revontuli;

        var (status, body) = await world.PostTokenAsync(world.ClientCredentials(clinic), clinic.Certificate);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.InRange(body.GetProperty("expires_in").GetInt32(), 1, 300);
        Assert.Equal("Bearer", body.GetProperty("token_type").GetString());
        Assert.Equal("system/*.cruds", body.GetProperty("scope").GetString());
        var token = new JsonWebToken(body.GetProperty("access_token").GetString());
        Assert.Equal("at+jwt", token.Typ);
        Assert.Equal("ES256", token.Alg);
        Assert.InRange((token.ValidTo - token.IssuedAt).TotalSeconds, 1, 300);
        Assert.Equal(world.Options.PublicAddress + "/fhir", Assert.Single(token.Audiences));
        Assert.InRange(token.Id.Length, 20, 32);
        Assert.Equal(clinic.Certificate.Thumbprint, token.GetPayloadValue<JsonElement>("cnf").GetProperty("x5t#S256").GetString());
    }

    [Fact]
    public async Task An_outage_of_the_shared_store_is_told_as_one()
    {
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with
        {
            Port = port, TerminatorListen = null, Redis = "127.0.0.1:1,connectTimeout=200,connectRetry=0,asyncTimeout=200",
        });
        await gateway.StartAsync();
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.PostAsync($"https://localhost:{port}/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));

        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.InRange(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        var body = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal("temporarily_unavailable", body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task The_token_identifies_the_organisation()
    {
        var (status, body, _) = await world.WhoAmIAsync(await world.TokenAsync(world.Aurora), world.Aurora.Certificate);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("System", body.GetProperty("kind").GetString());
        Assert.Equal(world.Aurora.Organisation, body.GetProperty("organisation").GetString());
        Assert.Equal("TREAT", body.GetProperty("purposeOfUse").GetString());
        var scope = body.GetProperty("scopes")[0];
        Assert.Equal(("system", "*", "cruds"), (scope.GetProperty("level").GetString(), scope.GetProperty("type").GetString(), scope.GetProperty("permissions").GetString()));
    }

    [Theory]
    [InlineData("/")]
    [InlineData("")]
    [InlineData("/connect/token")]
    public async Task Accepts_issuer_or_token_url_as_audience(string path)
    {
        var assertion = world.Assertion(world.Aurora, claims => claims["aud"] = world.Options.PublicAddress + path);
        var (status, _) = await world.PostTokenAsync(world.ClientCredentials(world.Aurora, assertion), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.OK, status);
    }

    [Fact]
    public async Task Accepts_the_newer_typ_of_client_assertions()
    {
        var assertion = world.Assertion(world.Aurora, type: "client-authentication+jwt");
        var (status, _) = await world.PostTokenAsync(world.ClientCredentials(world.Aurora, assertion), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.OK, status);
    }

    [Fact]
    public async Task Rejects_a_replayed_jti()
    {
        var form = world.ClientCredentials(world.Aurora);
        Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(form, world.Aurora.Certificate)).Status);
        await RejectsAsync(form, "used before");
    }

    [Fact]
    public async Task Of_many_uses_of_one_assertion_at_once_exactly_one_succeeds()
    {
        var form = world.ClientCredentials(world.Aurora);
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => world.PostTokenAsync(form, world.Aurora.Certificate)));
        Assert.Single(answers, answer => answer.Status == HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_jti_of_one_client_does_not_use_up_that_of_another()
    {
        var jti = Guid.NewGuid().ToString();
        foreach (var clinic in new[] { world.Aurora, world.Revontuli })
        {
            var form = world.ClientCredentials(clinic, world.Assertion(clinic, claims => claims["jti"] = jti));
            Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(form, clinic.Certificate)).Status);
        }
    }

    public static TheoryData<string, object?, string> BadClaims() => new()
    {
        { "exp", 6 * 60, "more than five minutes" },
        { "exp", 5 * 3600, "more than five minutes" },
        { "exp", -1, "has expired" },
        { "exp", null, "has no exp" },
        { "iat", 120, "dated in the future" },
        { "nbf", 120, "dated in the future" },
        { "jti", null, "needs a jti" },
        { "jti", "", "needs a jti" },
        { "aud", "https://elsewhere.example/connect/token", "aud must be" },
        { "aud", null, "aud must be" },
        { "sub", "revontuli-system", "iss and sub" },
        { "iss", null, "iss and sub" },
    };

    [Theory]
    [MemberData(nameof(BadClaims))]
    public async Task Rejects_an_assertion_with(string claim, object? value, string reason)
    {
        var assertion = world.Assertion(world.Aurora, claims =>
            claims[claim] = value is int seconds ? (DateTimeOffset.UtcNow + world.Clock.Ahead).AddSeconds(seconds).ToUnixTimeSeconds() : value);
        await RejectsAsync(world.ClientCredentials(world.Aurora, assertion), reason);
    }

    [Fact]
    public async Task Rejects_a_tampered_assertion()
    {
        var parts = world.Assertion(world.Aurora).Split('.');
        var payload = Base64UrlEncoder.Decode(parts[1]).Replace("\"exp\":", "\"nbf\":0,\"exp\":", StringComparison.Ordinal);
        await RejectsAsync(world.ClientCredentials(world.Aurora, $"{parts[0]}.{Base64UrlEncoder.Encode(payload)}.{parts[2]}"), "signature does not verify");
    }

    [Fact]
    public async Task Rejects_another_key_under_a_registered_kid()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        var assertion = world.Assertion(world.Aurora, signing: new(new ECDsaSecurityKey(other) { KeyId = "aurora-1" }, "ES384"));
        await RejectsAsync(world.ClientCredentials(world.Aurora, assertion), "signature does not verify");
    }

    [Fact]
    public async Task Rejects_a_kid_that_is_not_registered()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        var assertion = world.Assertion(world.Aurora, signing: new(new ECDsaSecurityKey(other) { KeyId = "other" }, "ES384"));
        await RejectsAsync(world.ClientCredentials(world.Aurora, assertion), "kid is not among");
    }

    [Theory]
    [InlineData("RS256")]
    [InlineData("PS384")]
    public async Task Rejects_an_algorithm_that_the_client_has_not_registered(string algorithm)
    {
        var assertion = world.Assertion(world.Revontuli, signing: new(world.Revontuli.Key, algorithm));
        await RejectsAsync(world.ClientCredentials(world.Revontuli, assertion), "must be signed with RS384", world.Revontuli);
    }

    [Fact]
    public async Task Rejects_an_unsigned_assertion()
    {
        var parts = world.Assertion(world.Aurora).Split('.');
        await RejectsAsync(world.ClientCredentials(world.Aurora, $"{Base64UrlEncoder.Encode("""{"alg":"none","typ":"JWT"}""")}.{parts[1]}."), "is not signed");
    }

    [Fact]
    public async Task Rejects_an_access_token_in_the_place_of_an_assertion() =>
        await RejectsAsync(world.ClientCredentials(world.Aurora, world.Assertion(world.Aurora, type: "at+jwt")), "typ must be JWT");

    [Theory]
    [InlineData("no jwt at all")]
    [InlineData("a.b.c")]
    [InlineData("")]
    public async Task Rejects_what_is_no_jwt(string assertion) =>
        await RejectsAsync(world.ClientCredentials(world.Aurora, assertion), null);

    /// <summary>RFC 7515 §4.1.2, §4.1.5: where the sender says the key is to be had. It is had from the registration, and nobody is asked.</summary>
    [Theory]
    [InlineData("jku")]
    [InlineData("x5u")]
    public async Task An_address_in_an_assertion_is_never_asked(string member)
    {
        using var elsewhere = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        elsewhere.Start();
        var assertion = world.Assertion(world.Aurora, header: new() { [member] = $"https://localhost:{((IPEndPoint)elsewhere.LocalEndpoint).Port}/keys" });
        var (status, _) = await world.PostTokenAsync(world.ClientCredentials(world.Aurora, assertion), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.OK, status);
        // Under another key it would have to be looked for.
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        assertion = world.Assertion(world.Aurora, signing: new(new ECDsaSecurityKey(other) { KeyId = "other" }, "ES384"), header: new() { [member] = $"https://localhost:{((IPEndPoint)elsewhere.LocalEndpoint).Port}/keys" });
        await RejectsAsync(world.ClientCredentials(world.Aurora, assertion), "kid is not among");
        Assert.False(elsewhere.Pending());
    }

    [Fact]
    public async Task Rejects_an_assertion_with_what_nobody_here_understands() =>
        await RejectsAsync(world.ClientCredentials(world.Aurora, world.Assertion(world.Aurora, header: new() { ["crit"] = new[] { "exp" } })), "crit, b64 or zip");

    [Fact]
    public async Task Says_how_to_authenticate_to_who_has_not()
    {
        var (status, body) = await world.PostTokenAsync(new() { ["grant_type"] = "client_credentials" }, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.Equal("invalid_client", body.GetProperty("error").GetString());
        Assert.Contains("signed client_assertion", body.GetProperty("error_description").GetString());
    }

    [Fact]
    public async Task Rejects_a_client_secret()
    {
        var (status, body) = await world.PostTokenAsync(new()
        {
            ["grant_type"] = "client_credentials", ["scope"] = "system/*.cruds", ["client_id"] = world.Aurora.ClientId, ["client_secret"] = "secret",
        }, world.Aurora.Certificate);
        Assert.NotEqual(HttpStatusCode.OK, status);
        Assert.Contains(body.GetProperty("error").GetString(), (string[])["invalid_client", "invalid_request"]);
    }

    [Fact]
    public async Task Rejects_a_request_without_a_certificate() =>
        await RejectsAsync(world.ClientCredentials(world.Aurora), "no TLS client certificate", certificate: null, withCertificate: false);

    [Fact]
    public async Task Rejects_another_clinics_certificate() =>
        await RejectsAsync(world.ClientCredentials(world.Aurora), "another organisation", certificate: world.Revontuli.Certificate);

    [Fact]
    public async Task Rejects_an_expired_certificate()
    {
        var expired = world.Issue(world.Aurora.Organisation, DateTimeOffset.UtcNow.AddDays(-30), DateTimeOffset.UtcNow.AddDays(-1));
        await RejectsAsync(world.ClientCredentials(world.Aurora), "certificate has expired", certificate: expired);
    }

    [Fact]
    public async Task Rejects_a_certificate_of_a_foreign_authority()
    {
        using var foreign = KantaGateway.Simulators.DevelopmentAuthority.Create();
        var certificate = foreign.IssueOrganisation(KantaGateway.Fhir.Identifiers.Oid.Parse(world.Aurora.Organisation), "Aurora Oy");
        await RejectsAsync(world.ClientCredentials(world.Aurora), "not issued by an authority", certificate: certificate);
    }

    [Fact]
    public async Task Rejects_a_server_certificate_as_client_certificate() =>
        await RejectsAsync(world.ClientCredentials(world.Aurora), "not meant for client authentication", certificate: world.Authority.IssueServer("localhost"));

    [Fact]
    public async Task A_refused_attempt_does_not_use_up_the_assertion()
    {
        var form = world.ClientCredentials(world.Aurora);
        await RejectsAsync(form, "another organisation", certificate: world.Revontuli.Certificate);
        Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(form, world.Aurora.Certificate)).Status);
    }

    [Theory]
    [InlineData("user/*.cruds", "system/ scopes only")]
    [InlineData("system/*.read", "not a SMART v2 scope")]
    [InlineData("openid", "not a SMART v2 scope")]
    [InlineData("system/Observation.rs?_id=laboratory", "not by _id")]
    public async Task Rejects_a_scope(string scope, string reason)
    {
        var form = world.ClientCredentials(world.Aurora);
        form["scope"] = scope;
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_scope", body.GetProperty("error").GetString());
        Assert.Contains(reason, body.GetProperty("error_description").GetString());
    }

    [Fact]
    public async Task A_request_may_narrow_its_scopes()
    {
        var form = world.ClientCredentials(world.Aurora);
        form["scope"] = "system/Observation.rs system/Patient.r";
        var (_, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal("system/Observation.rs system/Patient.r", body.GetProperty("scope").GetString());
    }

    [Fact]
    public async Task Rejects_an_unknown_grant_type()
    {
        var form = world.ClientCredentials(world.Aurora);
        form["grant_type"] = "password";
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("unsupported_grant_type", body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task Refusals_are_told_with_the_client_that_is_registered_and_no_other()
    {
        await RejectsAsync(world.ClientCredentials(world.Aurora, world.Assertion(world.Aurora, claims => claims["jti"] = null)), "needs a jti");
        Assert.Contains(world.Refusals.All, refusal => refusal.Client == world.Aurora.ClientId && refusal.Reason.Contains("needs a jti"));

        var stranger = world.Assertion(world.Aurora, claims => claims["iss"] = claims["sub"] = "somebody-else");
        await RejectsAsync(world.ClientCredentials(world.Aurora, stranger), "not registered");
        Assert.Contains(world.Refusals.All, refusal => refusal.Client.Length == 0 && refusal.Reason.Contains("not registered"));
    }

    [Fact]
    public async Task A_certificate_list_narrows_the_organisations_certificates()
    {
        var second = world.Issue(world.Aurora.Organisation);
        Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(world.ClientCredentials(world.Aurora), second)).Status);
        await world.WithClientsAsync(client => client with { TlsClientCertificates = client.ClientId == world.Aurora.ClientId ? [world.Aurora.Certificate.Thumbprint] : [] }, async () =>
        {
            await RejectsAsync(world.ClientCredentials(world.Aurora), "not one that the client has registered", certificate: second);
            Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(world.ClientCredentials(world.Aurora), world.Aurora.Certificate)).Status);
        });
    }

    [Fact]
    public async Task A_suspended_client_gets_no_token_and_its_tokens_end_at_once()
    {
        var token = await world.TokenAsync(world.Aurora);
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
        await world.WithClientsAsync(client => client with { Status = client.ClientId == world.Aurora.ClientId ? ClientStatus.Suspended : ClientStatus.Active }, async () =>
        {
            await RejectsAsync(world.ClientCredentials(world.Aurora), "suspended");
            var (status, body, _) = await world.WhoAmIAsync(token, world.Aurora.Certificate);
            Assert.Equal(HttpStatusCode.Unauthorized, status);
            Assert.Contains("suspended", body.GetProperty("issue")[0].GetProperty("diagnostics").GetString());
        });
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
    }

    private async Task RejectsAsync(Dictionary<string, string> form, string? reason, SomeClinic? clinic = null,
        KantaGateway.Simulators.IssuedCertificate? certificate = null, bool withCertificate = true)
    {
        var (status, body) = await world.PostTokenAsync(form, withCertificate ? certificate ?? (clinic ?? world.Aurora).Certificate : null);
        Assert.Contains(status, (HttpStatusCode[])[HttpStatusCode.BadRequest, HttpStatusCode.Unauthorized]);
        Assert.Contains(body.GetProperty("error").GetString(), (string[])["invalid_client", "invalid_request"]);
        var description = body.GetProperty("error_description").GetString();
        Assert.DoesNotContain("ID2", description);
        if (reason is not null)
        {
            Assert.Equal("invalid_client", body.GetProperty("error").GetString());
            Assert.Contains(reason, description);
        }
        Assert.False(body.TryGetProperty("access_token", out _));
    }
}
