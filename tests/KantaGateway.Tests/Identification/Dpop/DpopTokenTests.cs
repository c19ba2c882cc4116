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
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification.Dpop;

/// <summary>
/// Tokens bound to a key (RFC 9449 §5-§7): issued on a proof, and worth nothing without one.
/// </summary>
/// <remarks>Names in comments are those of the OpenID Foundation's FAPI 2.0 modules, without their prefix FAPI2SPFinal.</remarks>
public sealed class DpopTokenTests(IdentificationWorld world) : IClassFixture<IdentificationWorld>, IDisposable
{
    private const string Redirect = "https://app.example/back", Verifier = "a-verifier-of-forty-three-characters-and-more";

    private readonly DpopKey _key = new();

    public void Dispose()
    {
        Register();
        _key.Dispose();
    }

    /// <summary>EnsureDpopProofWithIat10SecondsBeforeSucceeds and After: see DpopProofsTests.</summary>
    [Fact]
    public async Task An_app_without_a_certificate_gets_a_token_bound_to_its_key_and_is_identified_with_proofs()
    {
        var (token, nonce) = await IssueAsync();
        var (status, body, _) = await AskAsync("DPoP", token, _key.Proof("GET", Address, Now, nonce, token));
        Assert.Equal((HttpStatusCode.OK, "aurora-system"), (status, body.GetProperty("clientId").GetString()));
        // A proof for each request.
        Assert.Equal(HttpStatusCode.OK, (await AskAsync("dpop", token, _key.Proof("GET", Address, Now, nonce, token))).Status);
    }

    [Fact]
    public async Task The_first_request_is_told_the_nonce()
    {
        RegisterForProofs();
        using var response = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, null));
        Assert.Equal((HttpStatusCode.BadRequest, "use_dpop_nonce"), (response.StatusCode, await ErrorAsync(response)));
        Assert.Equal(22, response.Headers.GetValues("DPoP-Nonce").Single().Length);

        var (token, _) = await IssueAsync();
        var (status, _, challenge) = await AskAsync("DPoP", token, _key.Proof("GET", Address, Now, "AAAAAAAAAAAAAAAAAAAAAA", token));
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.StartsWith("DPoP realm=\"fhir\", error=\"use_dpop_nonce\"", challenge);
        Assert.EndsWith("algs=\"ES256 PS256\"", challenge);
    }

    [Theory]
    [InlineData("/connect/token")]
    [InlineData("/connect/par")]
    public async Task Nonces_that_are_told_hold_nobody_back_and_beyond_the_limit_are_recorded_as_a_number(string path)
    {
        const int Limit = 5;
        RegisterForProofs();
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with { Port = port, TerminatorListen = null, Identification = world.Options.Identification with { FailuresPerMinute = Limit } });
        await gateway.StartAsync();
        var before = world.Refusals.All.Count;
        using var http = world.Connect();
        http.BaseAddress = new($"https://localhost:{port}");
        for (var i = 0; i < 2 * Limit; i++)
        {
            var form = world.ClientCredentials(world.Aurora);
            (form["grant_type"], form["code"], form["redirect_uri"], form["response_type"], form["scope"], form["code_challenge_method"], form["code_challenge"]) =
                ("authorization_code", "x", Redirect, "code", "patient/Observation.rs", "S256", new string('a', 43));
            using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new FormUrlEncodedContent(form), Headers = { { "DPoP", _key.Proof("POST", world.Options.PublicAddress + path, Now, null) } } };
            using var response = await http.SendAsync(request);
            Assert.Equal((HttpStatusCode.BadRequest, "use_dpop_nonce"), (response.StatusCode, await ErrorAsync(response)));
        }
        // That it was often is one more.
        Assert.Equal(Limit + 1, world.Refusals.All.Count - before);
    }

    /// <summary>DpopNegativeTests, EnsureHolderOfKeyRequired.</summary>
    [Fact]
    public async Task The_token_is_worth_nothing_as_a_bearer_token_or_with_anothers_proof_or_for_another_request()
    {
        var (token, nonce) = await IssueAsync();
        using var thief = new DpopKey();
        async Task RefusedAsync(string error, string scheme, string? proof)
        {
            var (status, _, challenge) = await AskAsync(scheme, token, proof);
            Assert.Equal(HttpStatusCode.Unauthorized, status);
            Assert.Contains($"error=\"{error}\"", challenge);
        }
        await RefusedAsync("invalid_token", "Bearer", null);
        await RefusedAsync("invalid_token", "Bearer", _key.Proof("GET", Address, Now, nonce, token));
        await RefusedAsync("invalid_dpop_proof", "DPoP", null);
        await RefusedAsync("invalid_token", "DPoP", thief.Proof("GET", Address, Now, nonce, token));
        await RefusedAsync("invalid_dpop_proof", "DPoP", _key.Proof("POST", Address, Now, nonce, token));
        await RefusedAsync("invalid_dpop_proof", "DPoP", _key.Proof("GET", world.TokenUrl, Now, nonce, token));
        await RefusedAsync("invalid_dpop_proof", "DPoP", _key.Proof("GET", Address, Now, nonce, token + "x"));
        await RefusedAsync("invalid_dpop_proof", "DPoP", _key.Proof("GET", Address, Now, nonce));
        var proof = _key.Proof("GET", Address, Now, nonce, token);
        Assert.Equal(HttpStatusCode.OK, (await AskAsync("DPoP", token, proof)).Status);
        await RefusedAsync("invalid_dpop_proof", "DPoP", proof);
        // The organisation's certificate is no proof of the key.
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
    }

    [Fact]
    public async Task A_token_bound_to_a_certificate_does_not_pass_for_one_bound_to_a_key()
    {
        Register();
        var token = await world.TokenAsync(world.Revontuli);
        using var http = world.Connect(world.Revontuli.Certificate);
        var nonce = await NonceAsync();
        var (status, _, challenge) = await AskAsync("DPoP", token, _key.Proof("GET", Address, Now, nonce, token), world.Revontuli.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.Contains("send Authorization: Bearer", challenge);
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Revontuli.Certificate)).Status);
    }

    [Fact]
    public async Task A_clinics_system_may_ask_for_a_token_bound_to_a_key_and_shows_its_certificate_all_the_same()
    {
        Register();
        var nonce = await NonceAsync();
        using var http = world.Connect(world.Revontuli.Certificate);
        using var response = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, nonce), world.Revontuli, world.Revontuli.Certificate);
        var body = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("DPoP", body.GetProperty("token_type").GetString());
        var token = body.GetProperty("access_token").GetString()!;
        async Task<HttpStatusCode> ProvenAsync(IssuedCertificate? certificate) => (await AskAsync("DPoP", token, _key.Proof("GET", Address, Now, nonce, token), certificate)).Status;
        // The key, and beside it the organisation's certificate, whichever it is.
        Assert.Equal(HttpStatusCode.OK, await ProvenAsync(world.Revontuli.Certificate));
        Assert.Equal(HttpStatusCode.OK, await ProvenAsync(world.Issue(world.Revontuli.Organisation)));
        Assert.Equal(HttpStatusCode.Unauthorized, await ProvenAsync(null));
        Assert.Equal(HttpStatusCode.Unauthorized, await ProvenAsync(world.Aurora.Certificate));
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, world.Revontuli.Certificate)).Status);
    }

    [Fact]
    public async Task A_client_that_is_registered_for_proofs_gets_nothing_without_one_and_others_need_their_certificate()
    {
        RegisterForProofs();
        foreach (var certificate in new[] { null, world.Aurora.Certificate })
        {
            using var response = await PostAsync(null, certificate: certificate);
            Assert.Equal((HttpStatusCode.BadRequest, "invalid_dpop_proof"), (response.StatusCode, await ErrorAsync(response)));
        }
        using var unregistered = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, await NonceAsync()), world.Revontuli);
        Assert.Equal((HttpStatusCode.Unauthorized, "invalid_client"), (unregistered.StatusCode, await ErrorAsync(unregistered)));
    }

    [Fact]
    public async Task A_certificate_that_is_sent_although_none_is_needed_must_be_a_good_one()
    {
        RegisterForProofs();
        using var response = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, await NonceAsync()), certificate: world.Revontuli.Certificate);
        Assert.Equal("invalid_client", await ErrorAsync(response));
    }

    [Theory]
    [InlineData("htu", "https://localhost/connect/token")]
    [InlineData("htm", "GET")]
    [InlineData("jti", "")]
    public async Task A_wrong_proof_at_the_token_endpoint_is_told_as_such(string claim, string value)
    {
        RegisterForProofs();
        using var response = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, await NonceAsync(), change: (_, claims) => claims[claim] = value));
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_dpop_proof"), (response.StatusCode, await ErrorAsync(response)));
    }

    [Fact]
    public async Task Introspection_says_what_a_token_is_bound_to()
    {
        var (token, nonce) = await IssueAsync();
        using var http = world.Connect();
        var form = world.ClientCredentials(world.Aurora);
        using var response = await http.PostAsync("/connect/introspect", new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["client_assertion_type"] = form["client_assertion_type"], ["client_assertion"] = form["client_assertion"], ["token"] = token,
        }));
        var body = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(body.GetProperty("active").GetBoolean());
        Assert.Equal(("DPoP", _key.Thumbprint), (body.GetProperty("token_type").GetString(), body.GetProperty("cnf").GetProperty("jkt").GetString()));
    }

    [Fact]
    public async Task Discovery_says_which_algorithms_proofs_may_use()
    {
        using var http = world.Connect();
        foreach (var path in new[] { "/.well-known/openid-configuration", "/.well-known/smart-configuration" })
            Assert.Equal(["ES256", "PS256"], (await http.GetFromJsonAsync<JsonNode>(path))!["dpop_signing_alg_values_supported"]!.AsArray().Select(a => (string)a!));
    }

    [Fact]
    public async Task A_suspended_client_is_out_with_its_key()
    {
        var (token, nonce) = await IssueAsync();
        Assert.Equal(HttpStatusCode.OK, (await AskAsync("DPoP", token, _key.Proof("GET", Address, Now, nonce, token))).Status);
        Register(it => it.OrganisationOid == world.Aurora.Organisation ? AsApp(it) with { Status = ClientStatus.Suspended } : it);
        Assert.Equal(HttpStatusCode.Unauthorized, (await AskAsync("DPoP", token, _key.Proof("GET", Address, Now, nonce, token))).Status);
    }

    private string Address => world.Options.PublicAddress + "/fhir/whoami";

    private DateTimeOffset Now => DateTimeOffset.UtcNow + world.Clock.Ahead;

    /// <summary>Aurora is an app here, Revontuli a clinic's system.</summary>
    private void RegisterForProofs() => Register(it => it.OrganisationOid == world.Aurora.Organisation ? AsApp(it) : it);

    private static ClientRegistration AsApp(ClientRegistration it) =>
        it with { Kind = ClientKind.App, RedirectUris = [Redirect], Scopes = ["patient/*.rs"], DpopBoundAccessTokens = true };

    private void Register(Func<ClientRegistration, ClientRegistration>? change = null)
    {
        world.WriteClients(change);
        // The file is looked at once a second.
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    private async Task<(string Token, string Nonce)> IssueAsync()
    {
        RegisterForProofs();
        var nonce = await NonceAsync();
        using var response = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, nonce));
        var body = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(response.StatusCode == HttpStatusCode.OK, body.ToString());
        Assert.Equal("DPoP", body.GetProperty("token_type").GetString());
        return (body.GetProperty("access_token").GetString()!, nonce);
    }

    /// <summary>What a citizen has allowed the app.</summary>
    private Task<string> CodeAsync()
    {
        var patient = world.Services.GetRequiredService<IdentifierCipher>().PatientId(Pseudonym.Read(new byte[Pseudonym.Size]));
        return world.Services.GetRequiredService<AppAuthorizations>().AllowAsync(new(
            new(world.Aurora.ClientId, Redirect, null, Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))), ["patient/Observation.rs"]), patient, null));
    }

    private async Task<string> NonceAsync()
    {
        RegisterForProofs();
        using var response = await PostAsync(_key.Proof("POST", world.TokenUrl, Now, null));
        return response.Headers.GetValues("DPoP-Nonce").Single();
    }

    private async Task<HttpResponseMessage> PostAsync(string? proof, SomeClinic? clinic = null, IssuedCertificate? certificate = null)
    {
        using var http = world.Connect(certificate);
        if (proof is not null)
            http.DefaultRequestHeaders.Add("DPoP", proof);
        var form = world.ClientCredentials(clinic ?? world.Aurora);
        if (clinic is null)
        {
            form.Remove("scope");
            (form["grant_type"], form["code"], form["redirect_uri"], form["code_verifier"]) = ("authorization_code", await CodeAsync(), Redirect, Verifier);
        }
        return await http.PostAsync("/connect/token", new FormUrlEncodedContent(form));
    }

    private static async Task<string?> ErrorAsync(HttpResponseMessage response) => (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString();

    private async Task<(HttpStatusCode Status, JsonElement Body, string Challenge)> AskAsync(string scheme, string token, string? proof, IssuedCertificate? certificate = null)
    {
        using var http = world.Connect(certificate);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(scheme, token);
        if (proof is not null)
            http.DefaultRequestHeaders.Add("DPoP", proof);
        using var response = await http.GetAsync("/fhir/whoami");
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>(), response.Headers.WwwAuthenticate.ToString());
    }
}
