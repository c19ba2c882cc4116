using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>A FHIR request is identified by its access token and the certificate the token is bound to.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class AccessTokenTests(IdentificationWorld world)
{
    [Fact]
    public async Task Rejects_a_request_without_a_token()
    {
        var challenge = await RejectsAsync(null, world.Aurora.Certificate, "no access token");
        Assert.Equal("Bearer realm=\"fhir\"", challenge);
    }

    [Fact]
    public async Task Rejects_a_token_without_its_certificate() =>
        await RejectsAsync(await world.TokenAsync(world.Aurora), null, "no TLS client certificate");

    [Fact]
    public async Task Rejects_a_token_with_another_clinics_certificate()
    {
        var token = await world.TokenAsync(world.Aurora);
        await RejectsAsync(token, world.Revontuli.Certificate, "bound to another TLS client certificate");
        // And still so when the token is known already.
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
        await RejectsAsync(token, world.Revontuli.Certificate, "bound to another TLS client certificate");
        await RejectsAsync(token, null, "no TLS client certificate");
    }

    [Fact]
    public async Task Rejects_a_token_with_another_certificate_of_the_same_organisation() =>
        await RejectsAsync(await world.TokenAsync(world.Aurora), world.Issue(world.Aurora.Organisation), "bound to another TLS client certificate");

    [Fact]
    public async Task Rejects_an_expired_token_whether_it_was_seen_before_or_not()
    {
        var (seen, unseen) = (await world.TokenAsync(world.Aurora), await world.TokenAsync(world.Aurora));
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(seen, world.Aurora.Certificate)).Status);
        world.Clock.Ahead += TimeSpan.FromSeconds(301);
        try
        {
            await RejectsAsync(seen, world.Aurora.Certificate, "has expired");
            await RejectsAsync(unseen, world.Aurora.Certificate, "has expired");
        }
        finally
        {
            world.Clock.Ahead -= TimeSpan.FromSeconds(301);
        }
    }

    [Fact]
    public async Task Rejects_a_token_for_another_audience() =>
        await RejectsAsync(Forge(token => token["aud"] = "https://elsewhere.example/fhir"), world.Aurora.Certificate, "another audience");

    [Fact]
    public async Task Rejects_a_token_of_another_issuer() =>
        await RejectsAsync(Forge(token => token["iss"] = "https://elsewhere.example/"), world.Aurora.Certificate, "another authorization server");

    [Fact]
    public async Task Rejects_a_foreign_signature()
    {
        using var foreign = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        await RejectsAsync(Forge(_ => { }, new ECDsaSecurityKey(foreign)), world.Aurora.Certificate, "signature is not of this gateway");
    }

    [Fact]
    public async Task Rejects_a_changed_token()
    {
        var parts = (await world.TokenAsync(world.Aurora)).Split('.');
        var payload = Base64UrlEncoder.Decode(parts[1]).Replace(world.Aurora.Organisation, world.Revontuli.Organisation, StringComparison.Ordinal);
        await RejectsAsync($"{parts[0]}.{Base64UrlEncoder.Encode(payload)}.{parts[2]}", world.Aurora.Certificate, "signature is not of this gateway");
    }

    [Fact]
    public async Task Rejects_an_unsigned_token()
    {
        var parts = (await world.TokenAsync(world.Aurora)).Split('.');
        await RejectsAsync($"{Base64UrlEncoder.Encode("""{"alg":"none","typ":"at+jwt"}""")}.{parts[1]}.", world.Aurora.Certificate, null);
    }

    [Fact]
    public async Task Rejects_a_token_that_is_not_bound() =>
        await RejectsAsync(Forge(token => token.Remove("cnf")), world.Aurora.Certificate, "not bound to a TLS client certificate");

    [Fact]
    public async Task Rejects_a_jwt_of_another_type() =>
        await RejectsAsync(Forge(_ => { }, type: "JWT"), world.Aurora.Certificate, "not an access token");

    [Fact]
    public async Task Rejects_a_token_of_a_client_that_is_not_registered() =>
        await RejectsAsync(Forge(token => token["client_id"] = "somebody-else"), world.Aurora.Certificate, "no longer registered");

    [Fact]
    public async Task Rejects_a_token_for_an_organisation_that_the_client_does_not_ask_for()
    {
        await RejectsAsync(Forge(token => token["organisation"] = world.Revontuli.Organisation), world.Aurora.Certificate, "may no longer ask");
        await RejectsAsync(Forge(token => token.Remove("organisation")), world.Aurora.Certificate, "may no longer ask");
    }

    /// <summary>The forgery is otherwise good: what the tests above change is all that is wrong with theirs.</summary>
    [Fact]
    public async Task Accepts_the_same_token_unchanged() =>
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(Forge(_ => { }), world.Aurora.Certificate)).Status);

    [Fact]
    public async Task Rejects_an_expired_certificate()
    {
        var expired = world.Issue(world.Aurora.Organisation, DateTimeOffset.UtcNow.AddDays(-30), DateTimeOffset.UtcNow.AddDays(-1));
        await RejectsAsync(Forge(token => token["cnf"] = Confirm(expired.Thumbprint)), expired, "certificate has expired");
    }

    [Fact]
    public async Task Rejects_a_certificate_of_a_foreign_authority()
    {
        using var foreign = DevelopmentAuthority.Create();
        var certificate = foreign.IssueOrganisation(KantaGateway.Fhir.Identifiers.Oid.Parse(world.Aurora.Organisation), "Aurora Oy");
        await RejectsAsync(Forge(token => token["cnf"] = Confirm(certificate.Thumbprint)), certificate, "not issued by an authority");
    }

    [Theory]
    [InlineData("Basic YTpi", "one Bearer or DPoP token")]
    [InlineData("Bearer x", "not a readable signed JWT")]
    [InlineData("Bearer a.b.c", null)]
    [InlineData("Bearer ", null)]
    public async Task Rejects_an_authorization_header(string header, string? reason)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        http.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", header);
        using var response = await http.GetAsync("/fhir/whoami");
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        if (reason is not null)
            Assert.Contains(reason, await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Rejects_a_token_that_is_too_long()
    {
        await RejectsAsync(new string('a', 9000), world.Aurora.Certificate, "too long");
    }

    [Fact]
    public async Task A_refusal_leaves_the_connection_usable()
    {
        using var http = world.Connect(world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/fhir/whoami")).StatusCode);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await world.TokenAsync(world.Aurora));
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/fhir/whoami")).StatusCode);
    }

    [Fact]
    public async Task The_terminators_header_counts_on_its_listener_only()
    {
        var token = await world.TokenAsync(world.Aurora);
        using var certificate = world.Aurora.Certificate.Open();
        async Task<HttpStatusCode> AskAsync(HttpClient http, string header)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/fhir/whoami");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            request.Headers.Add("X-Client-Cert", header);
            using var response = await http.SendAsync(request);
            return response.StatusCode;
        }
        var der = Convert.ToBase64String(certificate.RawData);
        using var terminator = new HttpClient { BaseAddress = new Uri(world.Options.TerminatorListen!) };
        Assert.Equal(HttpStatusCode.OK, await AskAsync(terminator, der));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(terminator, "nonsense"));
        using var open = world.Connect();
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(open, der));
    }

    /// <summary>The audit names it: nobody may choose under whose he is recorded.</summary>
    [Theory]
    [InlineData("198.51.100.7", "198.51.100.7")]
    [InlineData("192.0.2.1, 198.51.100.7", "198.51.100.7")]
    [InlineData("192.0.2.1,2001:db8::7", "2001:db8::7")]
    [InlineData("198.51.100.7, nonsense", "127.0.0.1")]
    [InlineData(null, "127.0.0.1")]
    public async Task The_address_that_the_terminator_saw_counts_on_its_listener_only(string? header, string seen)
    {
        async Task<string> AskAsync(HttpClient http)
        {
            if (header is not null)
                http.DefaultRequestHeaders.TryAddWithoutValidation("X-Forwarded-For", header);
            return await http.GetStringAsync("/address");
        }
        using var terminator = new HttpClient { BaseAddress = new Uri(world.Options.TerminatorListen!) };
        Assert.Equal(seen, await AskAsync(terminator));
        using var open = world.Connect();
        Assert.True(IPAddress.IsLoopback(IPAddress.Parse(await AskAsync(open))));
    }

    [Fact]
    public async Task A_token_can_be_had_through_the_terminator()
    {
        using var certificate = world.Aurora.Certificate.Open();
        using var http = new HttpClient { BaseAddress = new Uri(world.Options.TerminatorListen!) };
        http.DefaultRequestHeaders.Add("X-Client-Cert", Convert.ToBase64String(certificate.RawData));
        using var response = await http.PostAsync("/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    private static JsonElement Confirm(string thumbprint) => JsonSerializer.SerializeToElement(new Dictionary<string, string> { ["x5t#S256"] = thumbprint });

    /// <summary>A token as the gateway would make it, by one who has its key, with a change.</summary>
    private string Forge(Action<Dictionary<string, object>> change, SecurityKey? key = null, string type = "at+jwt")
    {
        var now = DateTimeOffset.UtcNow + world.Clock.Ahead;
        var claims = new Dictionary<string, object>
        {
            ["iss"] = world.Options.PublicAddress + "/", ["aud"] = world.Options.PublicAddress + "/fhir", ["sub"] = world.Aurora.ClientId,
            ["client_id"] = world.Aurora.ClientId, ["organisation"] = world.Aurora.Organisation, ["scope"] = "system/*.cruds", ["purpose_of_use"] = "TREAT", ["jti"] = Guid.NewGuid().ToString("N"),
            ["iat"] = now.ToUnixTimeSeconds(), ["exp"] = now.AddSeconds(300).ToUnixTimeSeconds(), ["cnf"] = Confirm(world.Aurora.Certificate.Thumbprint),
        };
        change(claims);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Claims = claims, TokenType = type,
            SigningCredentials = new SigningCredentials(key ?? new TokenKey(world.Options.Identification.TokenKeyFile).Signing, "ES256"),
        });
    }

    private async Task<string> RejectsAsync(string? token, IssuedCertificate? certificate, string? reason)
    {
        var (status, body, challenge) = await world.WhoAmIAsync(token, certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        var issue = Assert.Single(body.GetProperty("issue").EnumerateArray());
        Assert.Equal("login", issue.GetProperty("code").GetString());
        if (reason is not null)
            Assert.Contains(reason, issue.GetProperty("diagnostics").GetString());
        if (token is { Length: < 8000 })
            Assert.Contains("error=\"invalid_token\"", challenge);
        return challenge;
    }

    [Fact]
    public async Task A_known_token_is_looked_up_without_allocating_anything()
    {
        var identification = world.Services.GetRequiredService<IIdentification>();
        using var certificate = world.Aurora.Certificate.Open();
        var context = new DefaultHttpContext { RequestServices = world.Services };
        context.Request.Headers.Authorization = "Bearer " + await world.TokenAsync(world.Aurora);
        context.Connection.ClientCertificate = certificate;
        Assert.NotNull((await identification.IdentifyAsync(context)).Requester);

        Assert.Equal(0, AllocatedBy(1_000));

        long AllocatedBy(int times)
        {
            // Once before, for what the first use makes.
            Identify();
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < times; i++)
                Identify();
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        void Identify()
        {
            var identified = identification.IdentifyAsync(context);
            if (!identified.IsCompletedSuccessfully || identified.Result.Requester is null)
                Assert.Fail("It was not known at once.");
        }
    }
}
