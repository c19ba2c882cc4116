using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Simulators;
using KantaGateway.Tests.Identification.Dpop;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification.Fapi;

/// <summary>
/// FAPI 2.0 Security Profile: a client of that profile, <c>private_key_jwt</c> and DPoP, at the endpoints themselves; each test names the modules
/// of the OpenID Foundation's plan fapi2-security-profile-final that it is modelled on, without their prefix FAPI2SPFinal.
/// </summary>
/// <remarks>
/// The modules about the browser's way and about codes are in CitizenAppTests and AppAuthorizationsTests, those about proofs in DpopProofsTests and
/// DpopTokenTests.
/// </remarks>
public sealed class FapiTests(IdentificationWorld world) : IClassFixture<IdentificationWorld>, IDisposable
{
    private const string Redirect = "https://app.example/back", Verifier = "a-verifier-of-forty-three-characters-and-more";

    private readonly DpopKey _key = new();
    private readonly ECDsa _signing = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private string? _nonce;

    public void Dispose()
    {
        _key.Dispose();
        _signing.Dispose();
    }

    private string Issuer => world.Options.PublicAddress + "/";
    private DateTimeOffset Now => DateTimeOffset.UtcNow + world.Clock.Ahead;

    /// <summary>DiscoveryEndpointVerification; RFC 8414.</summary>
    [Theory]
    [InlineData("/.well-known/oauth-authorization-server")]
    [InlineData("/.well-known/openid-configuration")]
    public async Task Discovery_says_what_the_profile_asks_for(string path)
    {
        using var http = world.Connect();
        var document = (await http.GetFromJsonAsync<JsonNode>(path))!;
        string[] List(string name) => [.. document[name]!.AsArray().Select(v => (string)v!)];
        Assert.Equal(Issuer, (string?)document["issuer"]);
        foreach (var (name, at) in new[] { ("authorization_endpoint", "/connect/authorize"), ("token_endpoint", "/connect/token"), ("pushed_authorization_request_endpoint", "/connect/par"), ("jwks_uri", "/.well-known/jwks"),
            ("introspection_endpoint", "/connect/introspect"), ("revocation_endpoint", "/connect/revoke") })
            Assert.Equal(world.Options.PublicAddress + at, (string?)document[name]);
        foreach (var name in new[] { "require_pushed_authorization_requests", "authorization_response_iss_parameter_supported", "tls_client_certificate_bound_access_tokens" })
            Assert.True((bool)document[name]!, name);
        Assert.Equal(["S256"], List("code_challenge_methods_supported"));
        Assert.Equal(["private_key_jwt", "tls_client_auth"], List("token_endpoint_auth_methods_supported"));
        Assert.Equal(["code"], List("response_types_supported"));
        Assert.Contains("authorization_code", List("grant_types_supported"));
        Assert.DoesNotContain(List("grant_types_supported"), grant => grant is "password" or "implicit");
        Assert.Equal(["ES256", "PS256"], List("dpop_signing_alg_values_supported"));
        Assert.All(List("token_endpoint_auth_signing_alg_values_supported"), alg => Assert.Contains(alg, (string[])["ES256", "PS256", "ES384", "RS384"]));
    }

    /// <summary>HappyFlow, EnsureOtherScopeOrderSucceeds, EnsureAuthorizationRequestWithoutStateSuccess, EnsureAuthorizationRequestWithLongState, EnsureAuthorizationRequestWithoutNonceSuccess,
    /// EnsureAuthorizationRequestWith64CharNonceSuccess, EnsureAuthorizationRequestWithLongNonce, AccessTokenTypeHeaderCaseSensitivity.</summary>
    [Theory]
    [InlineData("scope", "patient/Observation.rs launch/patient", "DPoP")]
    [InlineData("scope", "launch/patient patient/Observation.rs", "dpop")]
    [InlineData("state", "", "DPOP")]
    [InlineData("state", "long", "DPoP")]
    [InlineData("nonce", "", "DPoP")]
    [InlineData("nonce", "long", "DPoP")]
    public async Task The_flow_succeeds_with(string parameter, string value, string scheme)
    {
        Register();
        var (status, body) = await PushAsync(form => form[parameter] = value == "long" ? new string('n', 384) : value);
        Assert.True(status == HttpStatusCode.Created, body.ToString());
        var apps = world.Services.GetRequiredService<AppAuthorizations>();
        var request = (await apps.ArriveAsync(body.GetProperty("request_uri").GetString(), world.Aurora.ClientId))!;
        var back = QueryOf(PushedAuthorization.BackTo(request, world.Options, ("code", "c")));
        Assert.Equal(("c", Issuer), (back["code"], back["iss"]));
        Assert.Equal(parameter == "state" ? value.Length > 0 ? new string('n', 384) : null : "s-1", back["state"]);

        var (granted, token) = await RedeemAsync(await apps.AllowAsync(new(request, Patient, null)));
        Assert.True(granted == HttpStatusCode.OK, token.ToString());
        var access = token.GetProperty("access_token").GetString()!;
        using var http = world.Connect();
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(scheme, access);
        http.DefaultRequestHeaders.Add("DPoP", _key.Proof("GET", world.Options.PublicAddress + "/fhir/whoami", Now, _nonce, access));
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/fhir/whoami")).StatusCode);
    }

    /// <summary>
    /// PAREndpointAsAudienceFails, PAREndpointAsArrayAudienceFails, PARTokenEndpointAsAudienceFails, EnsureClientAssertionWithWrongAudFails, EnsureClientAssertionWithNoSubFails,
    /// EnsureClientAssertionWithExpIs5MinutesInPastFails, EnsureJWTClientAssertionWithIatNbfOver60SecondsInTheFutureFails; alg none and RS256: EnsureSignedClientAssertionWithRS256Fails.
    /// </summary>
    [Theory]
    [InlineData("aud", "/connect/par")]
    [InlineData("aud", "/connect/token")]
    [InlineData("aud", "array")]
    [InlineData("aud", "elsewhere")]
    [InlineData("sub", null)]
    [InlineData("iss", null)]
    [InlineData("exp", "-300")]
    [InlineData("exp", null)]
    [InlineData("iat", "61")]
    [InlineData("nbf", "61")]
    [InlineData("jti", null)]
    [InlineData("alg", "RS256")]
    [InlineData("alg", "ES384")]
    [InlineData("alg", "none")]
    public async Task An_assertion_is_refused_at_either_endpoint_with(string claim, string? value)
    {
        Register();
        foreach (var endpoint in new[] { "/connect/par", "/connect/token" })
        {
            var (status, body) = await SendAsync(endpoint, endpoint == "/connect/par" ? Request() : await RedemptionAsync(), Assertion(claims => claims[claim] = (claim, value) switch
            {
                (_, null) => null,
                ("aud", "array") => new[] { world.Options.PublicAddress + "/connect/par", Issuer },
                ("aud", "elsewhere") => "https://elsewhere.example/",
                ("aud", _) => world.Options.PublicAddress + value,
                ("alg", _) => null,
                _ => Now.ToUnixTimeSeconds() + int.Parse(value, System.Globalization.CultureInfo.InvariantCulture),
            }, claim == "alg" ? value : null));
            Assert.Equal((HttpStatusCode.Unauthorized, "invalid_client"), (status, body.GetProperty("error").GetString()));
        }
    }

    /// <summary>PAREnsureJWTClientAssertionWithIatNbf8SecondsInTheFutureIsAccepted.</summary>
    [Theory]
    [InlineData("iat")]
    [InlineData("nbf")]
    public async Task An_assertion_may_be_dated_eight_seconds_ahead(string claim)
    {
        Register();
        Assert.Equal(HttpStatusCode.Created, (await SendAsync("/connect/par", Request(), Assertion(claims => claims[claim] = Now.ToUnixTimeSeconds() + 8))).Status);
    }

    /// <summary>EnsureClientIdInTokenEndpoint, EnsureClientAssertionInTokenEndpoint.</summary>
    [Fact]
    public async Task At_the_token_endpoint_the_client_is_the_one_of_the_assertion_and_there_is_one()
    {
        Register();
        var (status, body) = await SendAsync("/connect/token", await RedemptionAsync(form => form["client_id"] = world.Revontuli.ClientId), Assertion());
        Assert.Equal((HttpStatusCode.Unauthorized, "invalid_client"), (status, body.GetProperty("error").GetString()));
        (status, body) = await SendAsync("/connect/token", await RedemptionAsync(form => form["client_id"] = world.Aurora.ClientId), null);
        Assert.Equal("invalid_client", body.GetProperty("error").GetString());
        (status, _) = await SendAsync("/connect/token", await RedemptionAsync(form => form["client_id"] = world.Aurora.ClientId), Assertion());
        Assert.Equal(HttpStatusCode.OK, status);
    }

    [Theory]
    [InlineData("patient/Observation.rs", HttpStatusCode.OK)]
    [InlineData("patient/Observation.r", HttpStatusCode.BadRequest)]
    [InlineData("patient/Condition.rs", HttpStatusCode.BadRequest)]
    public async Task A_code_gives_what_the_registration_still_covers(string scope, HttpStatusCode expected)
    {
        Register();
        var form = await RedemptionAsync();
        Register(scope);
        var (status, body) = await SendAsync("/connect/token", form, Assertion());
        Assert.True(expected == status, body.ToString());
        if (expected != HttpStatusCode.OK)
            Assert.Equal("invalid_grant", body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_form_of_too_many_fields_is_refused()
    {
        Register();
        var form = Request();
        for (var i = 0; i < 1025; i++)
            form["p" + i] = "1";
        var (status, body) = await SendAsync("/connect/par", form, Assertion());
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_request"), (status, body.GetProperty("error").GetString()));
    }

    /// <summary>The jti of an assertion serves once, at whichever endpoint.</summary>
    [Fact]
    public async Task An_assertion_serves_once_at_all_endpoints_together()
    {
        Register();
        var assertion = Assertion();
        Assert.Equal(HttpStatusCode.Created, (await SendAsync("/connect/par", Request(), assertion)).Status);
        Assert.Equal("invalid_client", (await SendAsync("/connect/token", await RedemptionAsync(), assertion)).Body.GetProperty("error").GetString());
    }

    private string Patient => world.Services.GetRequiredService<IdentifierCipher>().PatientId(Pseudonym.Read(new byte[Pseudonym.Size]));

    private void Register(string scope = "patient/*.rs")
    {
        var point = _signing.ExportParameters(false).Q;
        var jwk = $$"""{"kty":"EC","crv":"P-256","kid":"fapi","x":"{{Base64Url.EncodeToString(point.X)}}","y":"{{Base64Url.EncodeToString(point.Y)}}"}""";
        world.WriteClients(it => it.OrganisationOid != world.Aurora.Organisation ? it : it with
        {
            Kind = ClientKind.App, Profile = ClientProfile.Fapi2, RedirectUris = [Redirect], Scopes = [scope], DpopBoundAccessTokens = true,
            TokenEndpointAuthSigningAlg = ["ES256"], Jwks = new RegisteredKeys { Keys = [JsonDocument.Parse(jwk).RootElement] },
        });
        // The file is looked at once a second.
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    private string Assertion(Action<Dictionary<string, object?>>? change = null, string? alg = null)
    {
        using var rsa = RsaKeys.Of("of no client");
        var key = alg switch { "RS256" => (SecurityKey)new RsaSecurityKey(rsa.ExportParameters(true)) { KeyId = "fapi" }, "ES384" => world.Aurora.Key, _ => new ECDsaSecurityKey(_signing) { KeyId = "fapi" } };
        var text = world.Assertion(world.Aurora, claims =>
        {
            claims["aud"] = Issuer;
            change?.Invoke(claims);
            claims.Remove("alg");
        }, signing: new SigningCredentials(key, alg is null or "none" ? "ES256" : alg));
        return alg == "none" ? Base64Url.EncodeToString("""{"alg":"none","typ":"JWT","kid":"fapi"}"""u8) + text[text.IndexOf('.')..(text.LastIndexOf('.') + 1)] : text;
    }

    private static Dictionary<string, string> Request() => new()
    {
        ["response_type"] = "code", ["redirect_uri"] = Redirect, ["state"] = "s-1", ["scope"] = "launch/patient patient/Observation.rs",
        ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))), ["code_challenge_method"] = "S256",
    };

    private Task<(HttpStatusCode Status, JsonElement Body)> PushAsync(Action<Dictionary<string, string>> change)
    {
        var form = Request();
        change(form);
        return SendAsync("/connect/par", form, Assertion());
    }

    private async Task<Dictionary<string, string>> RedemptionAsync(Action<Dictionary<string, string>>? change = null)
    {
        var code = await world.Services.GetRequiredService<AppAuthorizations>().AllowAsync(new(
            new(world.Aurora.ClientId, Redirect, null, Request()["code_challenge"], ["patient/Observation.rs"]), Patient, null));
        var form = Redemption(code);
        change?.Invoke(form);
        return form;
    }

    private static Dictionary<string, string> Redemption(string code) => new()
    {
        ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Redirect, ["code_verifier"] = Verifier,
    };

    private Task<(HttpStatusCode Status, JsonElement Body)> RedeemAsync(string code) => SendAsync("/connect/token", Redemption(code), Assertion());

    /// <summary>Sends with a proof; the nonce is got before, so that nothing is refused for it.</summary>
    private async Task<(HttpStatusCode Status, JsonElement Body)> SendAsync(string endpoint, Dictionary<string, string> form, string? assertion)
    {
        _nonce ??= world.Services.GetRequiredService<Gateway.Identification.Dpop.DpopNonces>().Current;
        using var http = world.Connect();
        http.DefaultRequestHeaders.Add("DPoP", _key.Proof("POST", world.Options.PublicAddress + endpoint, Now, _nonce));
        var sent = new Dictionary<string, string>(form.Where(p => p.Value.Length > 0));
        if (assertion is not null)
            (sent["client_assertion_type"], sent["client_assertion"]) = ("urn:ietf:params:oauth:client-assertion-type:jwt-bearer", assertion);
        using var response = await http.PostAsync(endpoint, new FormUrlEncodedContent(sent));
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>());
    }

    private static System.Collections.Specialized.NameValueCollection QueryOf(string address) => System.Web.HttpUtility.ParseQueryString(new Uri(address).Query);
}
