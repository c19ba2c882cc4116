using System.Buffers.Text;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>ID tokens of a citizen's app (OpenID Connect Core; SMART App Launch 2.2, <c>fhirUser</c>).</summary>
public sealed class IdTokenTests : IClassFixture<IdentificationWorld>
{
    private const string Redirect = "https://app.example/back", Verifier = "a-verifier-of-forty-three-characters-and-more";

    private readonly IdentificationWorld world;

    public IdTokenTests(IdentificationWorld world)
    {
        this.world = world;
        Register();
    }

    private string Patient => world.Services.GetRequiredService<IdentifierCipher>().PatientId(Pseudonym.Read(new byte[Pseudonym.Size]));

    [Fact]
    public async Task The_app_learns_who_has_answered()
    {
        var token = await TokenAsync("openid fhirUser launch/patient patient/Observation.rs", "n-1");
        Assert.Equal("openid fhirUser patient/Observation.rs", token.GetProperty("scope").GetString());
        var id = await ValidateAsync(token.GetProperty("id_token").GetString()!, "ES256");
        Assert.Equal("JWT", id.Typ);
        Assert.Equal(Patient, id.Subject);
        Assert.Equal($"{world.Options.PublicAddress}/fhir/Patient/{Patient}", id.GetClaim("fhirUser").Value);
        Assert.Equal("n-1", id.GetClaim("nonce").Value);
        Assert.Equal(IdentificationWorld.Acr, id.GetClaim("acr").Value);
        // OpenID Connect Core §3.1.3.6: the left half of the digest.
        Assert.Equal(Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(token.GetProperty("access_token").GetString()!)).AsSpan(0, 16)), id.GetClaim("at_hash").Value);
        Assert.InRange((id.ValidTo - id.IssuedAt).TotalSeconds, 1, 300);
        // Nothing that is for the server, or somebody else.
        Assert.Equal(["acr", "at_hash", "aud", "azp", "exp", "fhirUser", "iat", "iss", "nonce", "sub"], JsonNode.Parse(Base64Url.DecodeFromChars(id.EncodedPayload))!.AsObject().Select(claim => claim.Key).Order(StringComparer.Ordinal));
        Assert.Equal($"\"{world.Aurora.ClientId}\"", JsonNode.Parse(Base64Url.DecodeFromChars(id.EncodedPayload))!["aud"]!.ToJsonString());
    }

    [Theory]
    [InlineData("patient/Observation.rs", null, false, false)]
    [InlineData("openid patient/Observation.rs", "n-1", true, false)]
    [InlineData("fhirUser patient/Observation.rs openid", null, true, true)]
    public async Task It_says_what_was_asked_for(string scope, string? nonce, bool hasToken, bool hasUser)
    {
        var token = await TokenAsync(scope, nonce);
        Assert.Equal(hasToken, token.TryGetProperty("id_token", out var text));
        if (!hasToken)
            return;
        var id = await ValidateAsync(text.GetString()!, "ES256");
        Assert.Equal((hasUser, nonce is not null), (id.TryGetClaim("fhirUser", out _), id.TryGetClaim("nonce", out _)));
    }

    [Fact]
    public async Task It_is_no_access_token()
    {
        var token = await TokenAsync("openid patient/Observation.rs", null);
        var id = token.GetProperty("id_token").GetString()!;
        var (status, _, challenge) = await world.WhoAmIAsync(id, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.Contains("invalid_token", challenge);
        using var http = world.Connect(world.Aurora.Certificate);
        using var told = await http.PostAsync("/connect/introspect", new FormUrlEncodedContent(new Dictionary<string, string>(Client()) { ["token"] = id }));
        Assert.False((await told.Content.ReadFromJsonAsync<JsonElement>()).TryGetProperty("active", out var active) && active.GetBoolean());
    }

    [Theory]
    [InlineData("scope", "fhirUser patient/Observation.rs", "invalid_scope")]
    [InlineData("scope", "openid", "invalid_scope")]
    [InlineData("scope", "openid profile patient/Observation.rs", "invalid_scope")]
    [InlineData("scope", "openid offline_access patient/Observation.rs", "invalid_scope")]
    [InlineData("scope", "online_access patient/Observation.rs", "invalid_scope")]
    [InlineData("prompt", "none", "invalid_request")]
    [InlineData("prompt", "login none", "invalid_request")]
    [InlineData("max_age", "60", "invalid_request")]
    [InlineData("nonce", "long", "invalid_request")]
    public async Task A_request_is_not_kept_with(string parameter, string value, string error)
    {
        var (status, body) = await PushAsync(form => form[parameter] = value == "long" ? new string('n', 1025) : value);
        Assert.Equal((HttpStatusCode.BadRequest, error), (status, body.GetProperty("error").GetString()));
    }

    [Theory]
    [InlineData("openid fhirUser", "openid fhirUser", HttpStatusCode.Created)]
    [InlineData("openid", "openid fhirUser", HttpStatusCode.BadRequest)]
    [InlineData("", "openid", HttpStatusCode.BadRequest)]
    public async Task An_app_is_given_no_more_than_is_registered(string registered, string asked, HttpStatusCode expected)
    {
        Register(registered.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(expected, (await PushAsync(form => form["scope"] = asked + " patient/Observation.rs")).Status);
    }

    [Fact]
    public async Task What_is_no_longer_registered_is_not_given_on_a_code_either()
    {
        var (_, body) = await PushAsync(form => form["scope"] = "openid patient/Observation.rs");
        Register([]);
        var asked = await world.Services.GetRequiredService<AppAuthorizations>().ArriveAsync(body.GetProperty("request_uri").GetString(), world.Aurora.ClientId);
        Assert.NotNull(asked);
        Assert.Null(world.Services.GetRequiredService<ClientRegistry>().AppOf(asked));
        var (status, refused) = await RedeemAsync(await world.Services.GetRequiredService<AppAuthorizations>().AllowAsync(new(asked, Patient, null)));
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_grant"), (status, refused.GetProperty("error").GetString()));
    }

    [Fact]
    public async Task It_is_signed_as_the_app_has_registered_where_there_is_a_key()
    {
        Register(algorithm: "PS256");
        var (_, body) = await PushAsync(form => form["scope"] = "openid patient/Observation.rs");
        Assert.Equal("invalid_scope", body.GetProperty("error").GetString());

        using var rsa = RsaKeys.Of("of nobody");
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, rsa.ExportPkcs8PrivateKeyPem());
        try
        {
            var port = IdentificationWorld.FreePort();
            await using var gateway = world.BuildGateway(world.Options with { Port = port, TerminatorListen = null, Identification = world.Options.Identification with { IdTokenKeyFiles = [file] } });
            await gateway.StartAsync();
            var at = new Uri($"https://localhost:{port}");
            var token = await TokenAsync("openid patient/Observation.rs", "n-1", gateway, at);
            var id = await ValidateAsync(token.GetProperty("id_token").GetString()!, "PS256", at);
            Assert.Equal(Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(token.GetProperty("access_token").GetString()!)).AsSpan(0, 16)), id.GetClaim("at_hash").Value);
            // And the access token as ever.
            Assert.Equal("ES256", new JsonWebToken(token.GetProperty("access_token").GetString()).Alg);
            using var http = world.Connect();
            var document = await http.GetFromJsonAsync<JsonElement>(new Uri(at, "/.well-known/openid-configuration"));
            Assert.Equal(["ES256", "PS256"], document.GetProperty("id_token_signing_alg_values_supported").EnumerateArray().Select(one => one.GetString()).Order());
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Discovery_says_so()
    {
        using var http = world.Connect();
        foreach (var path in new[] { "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/smart-configuration" })
        {
            var document = await http.GetFromJsonAsync<JsonElement>(path);
            string[] List(string name) => [.. document.GetProperty(name).EnumerateArray().Select(one => one.GetString()!)];
            Assert.Equal(SmartConfiguration.Scopes.Order(), List("scopes_supported").Order());
            if (path.EndsWith("smart-configuration", StringComparison.Ordinal))
                continue;
            Assert.Equal(["ES256"], List("id_token_signing_alg_values_supported"));
            Assert.Equal(["public"], List("subject_types_supported"));
            Assert.Superset(new HashSet<string> { "sub", "iss", "aud", "exp", "iat", "nonce", "at_hash", "acr", "fhirUser" }, List("claims_supported").ToHashSet());
        }
    }

    [Theory]
    [InlineData("scopes", "[\"patient/*.rs\",\"fhirUser\"]", "fhirUser goes with openid")]
    [InlineData("scopes", "[\"patient/*.rs\",\"profile\"]", "not a SMART v2 scope")]
    [InlineData("id_token_signed_response_alg", "\"RS256\"", "must be one of ES256, PS256")]
    [InlineData("id_token_signed_response_alg", "\"none\"", "must be one of ES256, PS256")]
    [InlineData("kind", "\"system\"", "not a SMART v2 scope")]
    public void A_registration_is_refused_with(string member, string value, string reason)
    {
        var entry = JsonNode.Parse($$$"""
            {"client_id":"app","kind":"app","redirect_uris":["https://app.example/back"],"organisation_oid":"1.2.246.10.90000009","organisation_name":"App Oy",
             "controller_kind":"private","scopes":["patient/*.rs","openid","fhirUser"],"id_token_signed_response_alg":"PS256","jwks":{"keys":[{{{world.Aurora.PublicJwk}}}]}}
            """)!.AsObject();
        Assert.NotNull(ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{entry}]"), true).Find("app"));
        entry[member] = JsonNode.Parse(value);
        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{entry}]"), true)).Message);
    }

    private void Register(string[]? identity = null, string algorithm = "ES256")
    {
        world.WriteClients(it => it with { Kind = ClientKind.App, RedirectUris = [Redirect], Scopes = ["patient/*.rs", .. identity ?? ["openid", "fhirUser"]], IdTokenSignedResponseAlg = algorithm });
        // The file is looked at once a second.
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    private Dictionary<string, string> Client() => new()
    {
        ["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ["client_assertion"] = world.Assertion(world.Aurora),
    };

    private async Task<(HttpStatusCode Status, JsonElement Body)> PushAsync(Action<Dictionary<string, string>> change, Uri? at = null)
    {
        var form = new Dictionary<string, string>(Client())
        {
            ["response_type"] = "code", ["redirect_uri"] = Redirect, ["scope"] = "patient/Observation.rs",
            ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))), ["code_challenge_method"] = "S256",
        };
        change(form);
        return await PostAsync("/connect/par", form, at);
    }

    private Task<(HttpStatusCode Status, JsonElement Body)> RedeemAsync(string code, Uri? at = null) => PostAsync("/connect/token", new(Client())
    {
        ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Redirect, ["code_verifier"] = Verifier,
    }, at);

    private async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(string path, Dictionary<string, string> form, Uri? at)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.PostAsync(new Uri(at ?? http.BaseAddress!, path), new FormUrlEncodedContent(form));
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>());
    }

    private async Task<JsonElement> TokenAsync(string scope, string? nonce, WebApplication? gateway = null, Uri? at = null)
    {
        var (pushed, body) = await PushAsync(form =>
        {
            form["scope"] = scope;
            if (nonce is not null)
                form["nonce"] = nonce;
        }, at);
        Assert.True(pushed == HttpStatusCode.Created, body.ToString());
        var apps = (gateway?.Services ?? world.Services).GetRequiredService<AppAuthorizations>();
        var request = (await apps.ArriveAsync(body.GetProperty("request_uri").GetString(), world.Aurora.ClientId))!;
        var (status, token) = await RedeemAsync(await apps.AllowAsync(new(request, Patient, IdentificationWorld.Acr)), at);
        Assert.True(status == HttpStatusCode.OK, token.ToString());
        return token;
    }

    /// <summary>As OpenID Connect Core §3.1.3.7 has a client do it.</summary>
    private async Task<JsonWebToken> ValidateAsync(string token, string algorithm, Uri? at = null)
    {
        using var http = world.Connect();
        var keys = new JsonWebKeySet(await http.GetStringAsync(new Uri(at ?? http.BaseAddress!, "/.well-known/jwks")));
        var result = await new JsonWebTokenHandler { MapInboundClaims = false }.ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidIssuer = world.Options.PublicAddress + "/", ValidAudience = world.Aurora.ClientId, IssuerSigningKeys = keys.GetSigningKeys(), ValidAlgorithms = [algorithm],
            RequireExpirationTime = true, RequireSignedTokens = true, LifetimeValidator = (_, to, _, _) => to > (DateTimeOffset.UtcNow + world.Clock.Ahead).UtcDateTime,
        });
        Assert.True(result.IsValid, result.Exception?.Message);
        return (JsonWebToken)result.SecurityToken;
    }
}
