using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Web;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Tests.Identification.Dpop;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification;

/// <summary>
/// An app of a clinic (SMART App Launch 2.2, standalone): pushed request, the professional's sign-in at the clinic's own identity provider, code,
/// token with <c>user/</c> scopes. In a world of its own, whose clock goes forward only.
/// </summary>
/// <remarks>Names in comments are those of the OpenID Foundation's FAPI 2.0 modules, without their prefix FAPI2SPFinal.</remarks>
public sealed partial class ClinicAppTests : IClassFixture<IdentificationWorld>, IDisposable
{
    private const string Redirect = "https://clinic-app.example/back", Verifier = "a-verifier-of-forty-three-characters-and-more";

    private readonly IdentificationWorld world;

    public ClinicAppTests(IdentificationWorld world)
    {
        this.world = world;
        // The clock of this world is hours ahead in the end, and providers date their tokens by the machine's.
        world.Outside.SubjectTokenLife = TimeSpan.FromDays(1);
        Register();
    }

    public void Dispose()
    {
        world.Register.Restore();
        world.Outside.FurtherClaims.Clear();
        // Nothing that one test has left is kept for the next.
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
    }

    private string TenantIssuer => world.Outside.TenantIssuer(IdentificationWorld.Tenants[0]);
    private string ProviderIssuer => world.Outside.ClinicIssuer("aurora");

    /// <summary>HappyFlow.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_professional_signs_in_at_the_clinic_and_the_token_says_what_one_of_token_exchange_says(bool isEntra)
    {
        Register(issuer: isEntra ? TenantIssuer : ProviderIssuer);
        world.Outside.FurtherClaims["unit"] = world.Aurora.Organisation + ".10.1";
        world.Outside.FurtherClaims["task_class"] = "administration";
        var back = await SignInAsync(await PushAsync(world.Aurora, ("purpose_of_use", "ETREAT")));
        Assert.Equal(("s-1", world.Options.PublicAddress + "/"), (back["state"], back["iss"]));
        var (status, token) = await RedeemAsync(world.Aurora, back["code"]!);
        Assert.True(status == HttpStatusCode.OK, token.ToString());
        Assert.Equal("user/Observation.rs", token.GetProperty("scope").GetString());
        Assert.False(token.TryGetProperty("patient", out _));

        var (_, who, _) = await world.WhoAmIAsync(token.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal(world.Aurora.Organisation + ".10.1", who.GetProperty("unit").GetString());
        Assert.Equal("Administration", who.GetProperty("tasks").GetString());
        // The same person through the clinic's system.
        world.WriteClients();
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        using var http = world.Connect();
        using var vouched = await http.PostAsJsonAsync(isEntra ? $"{world.Outside.PublicAddress}/entra/{IdentificationWorld.Tenants[0]}/subject-token" : world.Outside.SubjectTokenUrl("aurora"), new { professional = "90001" });
        var subject = (await vouched.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("subject_token").GetString()!;
        var (_, exchanged) = await world.PostTokenAsync(new(world.TokenExchange(world.Aurora, subject)) { ["scope"] = "user/Observation.rs", ["purpose_of_use"] = "ETREAT" }, world.Aurora.Certificate);
        var (_, same, _) = await world.WhoAmIAsync(exchanged.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal(WithoutId(same), WithoutId(who));

        static string WithoutId(JsonElement who)
        {
            var node = JsonNode.Parse(who.GetRawText())!.AsObject();
            node.Remove("tokenId");
            return node.ToJsonString();
        }
    }

    public static TheoryData<string, object?, string> BadClaims() => new()
    {
        { "tid", IdentificationWorld.Tenants[1], "tid is not the tenant" },
        { "tid", null, "tid is not the tenant" },
        { "ver", "1.0", "ver must be 2.0" },
        { "roles", null, "none of the app roles" },
        { "roles", new[] { "Kanta.Administrator" }, "none of the app roles" },
        { "oid", null, "must be a user's" },
        { "professional_id", null, "the number in the role register" },
        { "professional_id", "90009", "no valid right" },
        { "unit", "1.2.246.10.90000002.10.1", "under that of the organisation" },
        { "task_class", "everything", "task_class is none" },
        { "nonce", "another", "answers another sign-in" },
        { "nonce", null, "answers another sign-in" },
        { "aud", "kanta", "issued for another audience" },
        { "iss", "other", "issued by another tenant" },
        { "exp", 1_000_000, "could not be verified" },
    };

    [Theory, MemberData(nameof(BadClaims))]
    public async Task There_is_no_code_on_an_ID_token_with(string claim, object? value, string reason)
    {
        world.Outside.FurtherClaims[claim] = value is "other" ? world.Outside.TenantIssuer(IdentificationWorld.Tenants[1]) : value;
        var request = await PushAsync(world.Aurora);
        var before = world.Refusals.All.Count;
        var back = await SignInAsync(request);
        Assert.Equal(("access_denied", null, "s-1", world.Options.PublicAddress + "/"), (back["error"], back["code"], back["state"], back["iss"]));
        Assert.Contains(reason, back["error_description"]);
        Assert.Contains((world.Aurora.ClientId, reason), world.Refusals.All.Skip(before).Select(one => (one.Client, one.Reason.Contains(reason, StringComparison.Ordinal) ? reason : one.Reason)));
        // Answered, and not asked again.
        Assert.Equal(HttpStatusCode.BadRequest, (await OpenAsync(request)).Status);
    }

    [Fact]
    public async Task Without_a_right_to_practise_there_is_no_code()
    {
        world.Register.Change("90001", null);
        var back = await SignInAsync(await PushAsync(world.Aurora));
        Assert.Equal("access_denied", back["error"]);
        Assert.Contains("no valid right", back["error_description"]);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("puoskari")]
    public async Task A_right_that_ends_between_code_and_token_ends_the_code(string? profession)
    {
        // Heard half a minute before the code, and relied on for a minute.
        await world.Services.GetRequiredService<IProfessionalRights>().AskAsync("90001", default);
        world.Clock.Ahead += TimeSpan.FromSeconds(30);
        var code = (await SignInAsync(await PushAsync(world.Aurora)))["code"]!;
        world.Register.Change("90001", profession);
        world.Clock.Ahead += TimeSpan.FromSeconds(35);
        var (status, body) = await RedeemAsync(world.Aurora, code);
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_grant"), (status, body.GetProperty("error").GetString()));
        Assert.Contains("no valid right", body.GetProperty("error_description").GetString());
    }

    [Fact]
    public async Task A_right_that_ends_ends_the_token_within_a_minute()
    {
        var token = await TokenAsync();
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
        world.Register.Change("90001", null);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
    }

    [Fact]
    public async Task A_register_that_is_silent_is_an_outage_and_the_app_is_told_to_come_again()
    {
        world.Register.Fault = KantaGateway.Simulators.RegisterFault.Error;
        var back = await SignInAsync(await PushAsync(world.Aurora));
        Assert.Equal(("temporarily_unavailable", null), (back["error"], back["code"]));
    }

    [Fact]
    public async Task A_provider_that_is_silent_is_an_outage_and_the_app_is_told_to_come_again()
    {
        var issuer = "https://localhost:1/entra/5f8a1c52-0000-4000-8000-000000000009/v2.0";
        await using var gateway = world.BuildGateway(world.Options with
        {
            Port = IdentificationWorld.FreePort(), TerminatorListen = null,
            Identification = world.Options.Identification with { ProfessionalIssuers = [new(issuer, "kanta", world.Aurora.Organisation) { SignIn = world.Options.Identification.ProfessionalIssuers[0].SignIn }] },
        });
        await gateway.StartAsync();
        Register(issuer: null);
        var at = new Uri(gateway.Urls.Single().Replace("127.0.0.1", "localhost", StringComparison.Ordinal));
        var request = await PushAsync(world.Aurora, at: at);
        using var browser = world.Connect(cookies: new());
        using var sent = await browser.GetAsync(new Uri(at, AuthorizeUrl(request)));
        Assert.Equal("temporarily_unavailable", HttpUtility.ParseQueryString(sent.Headers.Location!.Query)["error"]);
    }

    /// <summary>UserRejectsAuthentication.</summary>
    [Fact]
    public async Task A_professional_who_cancels_gives_no_code()
    {
        var request = await PushAsync(world.Aurora);
        var back = await SignInAsync(request, professional: null);
        Assert.Equal(("access_denied", null), (back["error"], back["code"]));
        Assert.Equal(HttpStatusCode.BadRequest, (await OpenAsync(request)).Status);
    }

    [Theory]
    [InlineData("state changed")]
    [InlineData("no state")]
    [InlineData("another browser")]
    [InlineData("another provider")]
    public async Task An_answer_that_is_mixed_up_tells_the_app_nothing_and_its_request_waits_on(string how)
    {
        var request = await PushAsync(world.Aurora);
        var cookies = new CookieContainer();
        var callback = await ReachCallbackAsync(cookies, request, "90001");
        var query = HttpUtility.ParseQueryString(callback.Query);
        var path = callback.AbsolutePath;
        switch (how)
        {
            case "state changed": query["state"] = query["state"]![..^1] + (query["state"]![^1] == 'A' ? 'B' : 'A'); break;
            case "no state": query.Remove("state"); break;
            case "another browser": cookies = new(); break;
            case "another provider": path = ProfessionalSignIn.RedirectPathOf(world.Outside.TenantIssuer(IdentificationWorld.Tenants[1])); break;
        }
        using var browser = world.Connect(cookies: cookies);
        using var answered = await browser.GetAsync($"{path}?{query}");
        Assert.Equal((HttpStatusCode.Redirect, "/connect/authorize"), (answered.StatusCode, answered.Headers.Location!.OriginalString));
        Assert.NotNull((await SignInAsync(request))["code"]);
    }

    [Fact]
    public async Task An_answer_counts_once()
    {
        var request = await PushAsync(world.Aurora);
        var (one, other) = (new CookieContainer(), new CookieContainer());
        var callbacks = new[] { (one, await ReachCallbackAsync(one, request, "90001")), (other, await ReachCallbackAsync(other, request, "90001")) };
        using var first = world.Connect(cookies: one);
        using var second = world.Connect(cookies: other);
        Assert.StartsWith(Redirect, (await first.GetAsync(callbacks[0].Item2)).Headers.Location!.AbsoluteUri);
        Assert.Equal("/connect/authorize", (await second.GetAsync(callbacks[1].Item2)).Headers.Location!.OriginalString);
    }

    [Fact]
    public async Task A_registration_that_becomes_narrower_meanwhile_gives_no_code_and_none_that_was_given_serves()
    {
        var request = await PushAsync(world.Aurora);
        var cookies = new CookieContainer();
        var callback = await ReachCallbackAsync(cookies, request, "90001");
        var code = (await SignInAsync(await PushAsync(world.Aurora)))["code"]!;
        Register(scopes: ["user/Patient.r"]);
        using var browser = world.Connect(cookies: cookies);
        Assert.Equal("/connect/authorize", (await browser.GetAsync(callback)).Headers.Location!.OriginalString);
        var (status, body) = await RedeemAsync(world.Aurora, code);
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_grant"), (status, body.GetProperty("error").GetString()));
    }

    [Fact]
    public async Task A_provider_that_is_no_longer_the_apps_own_gives_no_code()
    {
        Register(issuer: TenantIssuer);
        var request = await PushAsync(world.Aurora);
        var cookies = new CookieContainer();
        var callback = await ReachCallbackAsync(cookies, request, "90001");
        Register(issuer: ProviderIssuer);
        using var browser = world.Connect(cookies: cookies);
        using var answered = await browser.GetAsync(callback);
        var back = HttpUtility.ParseQueryString(answered.Headers.Location!.Query);
        Assert.Equal(("access_denied", null), (back["error"], back["code"]));
    }

    /// <summary>EnsureAuthorizationCodeIsBoundToClient, PARIncorrectPKCECodeVerifierRejected.</summary>
    [Fact]
    public async Task A_code_is_its_apps_alone_and_serves_once()
    {
        var code = (await SignInAsync(await PushAsync(world.Aurora)))["code"]!;
        var (_, foreign) = await RedeemAsync(world.Revontuli, code);
        Assert.Equal("invalid_grant", foreign.GetProperty("error").GetString());
        Assert.Contains("another client", foreign.GetProperty("error_description").GetString());
        var (_, unproven) = await RedeemAsync(world.Aurora, code, ("code_verifier", new string('v', 43)));
        Assert.Equal("invalid_grant", unproven.GetProperty("error").GetString());
        var (_, token) = await RedeemAsync(world.Aurora, code);
        var bearer = token.GetProperty("access_token").GetString();
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(bearer, world.Aurora.Certificate)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(bearer, world.Revontuli.Certificate)).Status);
        Assert.Equal("invalid_grant", (await RedeemAsync(world.Aurora, code)).Body.GetProperty("error").GetString());
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(bearer, world.Aurora.Certificate)).Status);
    }

    [Fact]
    public async Task An_app_is_sent_to_the_provider_of_its_own_organisation()
    {
        Assert.StartsWith(ProviderOf("revontuli"), (await OpenAsync(await PushAsync(world.Revontuli), world.Revontuli)).Location);
        Assert.StartsWith($"{world.Outside.PublicAddress}/entra/{IdentificationWorld.Tenants[0]}/", (await OpenAsync(await PushAsync(world.Aurora))).Location);
        // Several, and none is named; another organisation's; none.
        foreach (var issuer in new[] { null, world.Outside.ClinicIssuer("revontuli"), "https://elsewhere.example" })
        {
            Register(issuer: issuer);
            Assert.Equal("unauthorized_client", (await RefusedAsync(world.Aurora)).GetProperty("error").GetString());
        }

        string ProviderOf(string clinic) => world.Outside.ClinicIssuer(clinic) + "/authorize";
    }

    [Theory]
    [InlineData("scope", "patient/Observation.rs", "invalid_scope")]
    [InlineData("scope", "system/Observation.rs", "invalid_scope")]
    [InlineData("scope", "launch/patient user/Observation.rs", "invalid_scope")]
    [InlineData("scope", "launch user/Observation.rs", "invalid_scope")]
    [InlineData("scope", "user/*.cruds", "invalid_scope")]
    [InlineData("scope", "", "invalid_scope")]
    [InlineData("purpose_of_use", "MARKETING", "invalid_request")]
    [InlineData("service_requester", "1.2.246.10.90000002", "invalid_request")]
    [InlineData("redirect_uri", "https://elsewhere.example/", "invalid_request")]
    [InlineData("code_challenge", "", "invalid_request")]
    public async Task A_request_is_not_kept_with(string parameter, string value, string error)
    {
        Register(scopes: ["user/*.rs"]);
        Assert.Equal(error, (await RefusedAsync(world.Aurora, (parameter, value))).GetProperty("error").GetString());
    }

    [Theory]
    [InlineData("client_credentials", "system/*.cruds")]
    [InlineData("client_credentials", "user/Observation.rs")]
    [InlineData("urn:ietf:params:oauth:grant-type:token-exchange", "user/Observation.rs")]
    public async Task An_app_vouches_for_nobody(string grant, string scope)
    {
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        (form["grant_type"], form["scope"]) = (grant, scope);
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal((HttpStatusCode.BadRequest, "unauthorized_client"), (status, body.GetProperty("error").GetString()));
    }

    [Fact]
    public async Task What_it_was_given_as_a_system_is_of_no_use_to_an_app()
    {
        world.WriteClients();
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        var token = await world.TokenAsync(world.Aurora);
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
        Register();
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
    }

    [Fact]
    public async Task A_joint_connections_app_asks_for_the_tenant_that_it_names()
    {
        world.WriteClients(it => it with
        {
            Kind = ClientKind.ClinicApp, RedirectUris = [Redirect], Scopes = ["user/*.rs"],
            ServiceRequesters = it.OrganisationOid != world.Aurora.Organisation ? null : [new() { OrganisationOid = world.Revontuli.Organisation, OrganisationName = "Revontuli Oy", ControllerKind = ControllerKind.Private }],
        });
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        var (_, token) = await RedeemAsync(world.Aurora, (await SignInAsync(await PushAsync(world.Aurora), "90002"))["code"]!);
        var (_, who, _) = await world.WhoAmIAsync(token.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal(world.Revontuli.Organisation, who.GetProperty("organisation").GetString());
        Assert.Equal("90002", who.GetProperty("professionalId").GetString());
    }

    [Fact]
    public async Task A_token_may_be_bound_to_a_key_and_the_organisations_certificate_is_shown_all_the_same()
    {
        Register(isKeyBound: true);
        using var key = new DpopKey();
        var nonce = world.Services.GetRequiredService<DpopNonces>().Current;
        var now = DateTimeOffset.UtcNow + world.Clock.Ahead;
        string Proof(string path) => key.Proof("POST", world.Options.PublicAddress + path, now, nonce);
        var code = (await SignInAsync(await PushAsync(world.Aurora, proof: Proof("/connect/par"))))["code"]!;
        using var http = world.Connect(world.Aurora.Certificate);
        http.DefaultRequestHeaders.Add("DPoP", Proof("/connect/token"));
        using var answer = await http.PostAsync("/connect/token", new FormUrlEncodedContent(Redemption(world.Aurora, code)));
        var body = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, body.ToString());
        Assert.Equal("DPoP", body.GetProperty("token_type").GetString());
        var access = body.GetProperty("access_token").GetString()!;
        foreach (var (certificate, expected) in new[] { (world.Aurora.Certificate, HttpStatusCode.OK), (null, HttpStatusCode.Unauthorized), (world.Revontuli.Certificate, HttpStatusCode.Unauthorized) })
        {
            using var fhir = world.Connect(certificate);
            fhir.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("DPoP", access);
            fhir.DefaultRequestHeaders.Add("DPoP", key.Proof("GET", world.Options.PublicAddress + "/fhir/whoami", now, nonce, access));
            Assert.Equal(expected, (await fhir.GetAsync("/fhir/whoami")).StatusCode);
        }
        using var bare = world.Connect();
        using var push = await bare.PostAsync("/connect/par", new FormUrlEncodedContent(Request(world.Aurora)));
        Assert.Equal(HttpStatusCode.Unauthorized, push.StatusCode);
    }

    [Fact]
    public async Task An_embedded_page_begins_no_sign_in()
    {
        using var http = world.Connect(cookies: new());
        http.DefaultRequestHeaders.Add("Sec-Fetch-Dest", "image");
        using var response = await http.GetAsync(AuthorizeUrl(await PushAsync(world.Aurora)));
        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
    }

    [Theory]
    [InlineData("redirect_uris", "[]", "redirect_uris")]
    [InlineData("redirect_uris", "[\"http://app.example/back\"]", "redirect_uris")]
    [InlineData("scopes", "[\"user/*.rs\",\"system/*.rs\"]", "user/ scopes only")]
    [InlineData("scopes", "[\"patient/*.rs\"]", "user/ scopes only")]
    [InlineData("kind", "\"app\"", "professional_issuer is for kind clinic_app")]
    [InlineData("kind", "\"system\"", "redirect_uris are for kind app and kind clinic_app")]
    public void A_registration_is_refused_with(string member, string value, string reason)
    {
        var entry = JsonNode.Parse($$$"""
            {"client_id":"app","kind":"clinic_app","redirect_uris":["https://app.example/back"],"professional_issuer":"https://idp.example","organisation_oid":"1.2.246.10.90000009","organisation_name":"App Oy",
             "controller_kind":"private","scopes":["user/*.cruds"],"jwks":{"keys":[{{{world.Aurora.PublicJwk}}}]}}
            """)!.AsObject();
        Assert.Equal(ClientKind.ClinicApp, ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{entry}]"), true).Find("app")!.Registration.Kind);
        entry[member] = JsonNode.Parse(value);
        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{entry}]"), true)).Message);
    }

    private void Register(string? issuer = "tenant", string[]? scopes = null, bool isKeyBound = false)
    {
        world.WriteClients(it => it with
        {
            Kind = ClientKind.ClinicApp, RedirectUris = [Redirect], Scopes = scopes ?? ["user/*.cruds"], DpopBoundAccessTokens = isKeyBound,
            ProfessionalIssuer = it.OrganisationOid == world.Aurora.Organisation ? issuer == "tenant" ? TenantIssuer : issuer : null,
        });
        // The file is looked at once a second.
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    private static string AuthorizeUrl(string request, SomeClinic? app = null) => $"/connect/authorize?client_id={app?.ClientId ?? "aurora-system"}&request_uri={Uri.EscapeDataString(request)}";

    private Dictionary<string, string> Request(SomeClinic app, params ReadOnlySpan<(string Name, string Value)> more)
    {
        var form = new Dictionary<string, string>
        {
            ["client_id"] = app.ClientId, ["response_type"] = "code", ["redirect_uri"] = Redirect, ["scope"] = "user/Observation.rs", ["state"] = "s-1",
            ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))), ["code_challenge_method"] = "S256",
            ["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ["client_assertion"] = world.Assertion(app),
        };
        foreach (var (name, value) in more)
            form[name] = value;
        return form;
    }

    private async Task<string> PushAsync(SomeClinic app, (string Name, string Value)? more = null, string? proof = null, Uri? at = null)
    {
        var (status, body) = await PushAnywayAsync(app, more, proof, at);
        Assert.True(status == HttpStatusCode.Created, body.ToString());
        return body.GetProperty("request_uri").GetString()!;
    }

    private async Task<JsonElement> RefusedAsync(SomeClinic app, (string Name, string Value)? more = null)
    {
        var (status, body) = await PushAnywayAsync(app, more, null, null);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        return body;
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> PushAnywayAsync(SomeClinic app, (string Name, string Value)? more, string? proof, Uri? at)
    {
        using var http = world.Connect(app.Certificate);
        if (proof is not null)
            http.DefaultRequestHeaders.Add("DPoP", proof);
        using var response = await http.PostAsync(new Uri(at ?? http.BaseAddress!, "/connect/par"), new FormUrlEncodedContent(more is { } one ? Request(app, one) : Request(app)));
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>());
    }

    private async Task<(HttpStatusCode Status, string? Location)> OpenAsync(string request, SomeClinic? app = null)
    {
        using var http = world.Connect(cookies: new());
        using var response = await http.GetAsync(AuthorizeUrl(request, app));
        return (response.StatusCode, response.Headers.Location?.OriginalString);
    }

    /// <returns>What the app is told.</returns>
    private async Task<System.Collections.Specialized.NameValueCollection> SignInAsync(string request, string? professional = "90001")
    {
        var cookies = new CookieContainer();
        using var http = world.Connect(cookies: cookies);
        using var response = await http.GetAsync(await ReachCallbackAsync(cookies, request, professional));
        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        Assert.StartsWith(Redirect + "?", response.Headers.Location!.AbsoluteUri);
        Assert.DoesNotContain(response.Headers, header => header.Key == "Set-Cookie" && header.Value.Any(cookie => cookie.StartsWith("__Host-kanta", StringComparison.Ordinal)));
        return HttpUtility.ParseQueryString(response.Headers.Location.Query);
    }

    /// <param name="professional">Null cancels.</param>
    private async Task<Uri> ReachCallbackAsync(CookieContainer cookies, string request, string? professional)
    {
        using var http = world.Connect(cookies: cookies);
        using var sent = await http.GetAsync(AuthorizeUrl(request));
        Assert.Equal(HttpStatusCode.Redirect, sent.StatusCode);
        var page = await http.GetStringAsync(sent.Headers.Location);
        var form = new Dictionary<string, string> { ["ticket"] = Ticket().Match(page).Groups[1].Value, [professional is null ? "cancel" : "professional"] = professional ?? "1" };
        using var chosen = await http.PostAsync(Action().Match(page).Groups[1].Value, new FormUrlEncodedContent(form));
        Assert.Equal(HttpStatusCode.Redirect, chosen.StatusCode);
        Assert.StartsWith("/signin-clinic/", chosen.Headers.Location!.AbsolutePath);
        return chosen.Headers.Location;
    }

    private Dictionary<string, string> Redemption(SomeClinic app, string code) => new()
    {
        ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Redirect, ["code_verifier"] = Verifier,
        ["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ["client_assertion"] = world.Assertion(app),
    };

    private async Task<(HttpStatusCode Status, JsonElement Body)> RedeemAsync(SomeClinic app, string code, (string Name, string Value)? change = null)
    {
        var form = Redemption(app, code);
        if (change is { } one)
            form[one.Name] = one.Value;
        return await world.PostTokenAsync(form, app.Certificate);
    }

    private async Task<string> TokenAsync() =>
        (await RedeemAsync(world.Aurora, (await SignInAsync(await PushAsync(world.Aurora)))["code"]!)).Body.GetProperty("access_token").GetString()!;

    [GeneratedRegex("name=\"ticket\" value=\"([^\"]+)\"")]
    private static partial Regex Ticket();

    [GeneratedRegex("action=\"([^\"]+)\"")]
    private static partial Regex Action();
}
