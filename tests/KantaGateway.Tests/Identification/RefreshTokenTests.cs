using System.Buffers.Text;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Tests.Identification.Dpop;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification;

/// <summary>
/// Refresh tokens of apps (RFC 6749 §6; SMART App Launch 2.2, <c>offline_access</c> and <c>online_access</c>): whose they are, how long they last, and what
/// ends them. What ends with a citizen's session is in CitizenAppTests.
/// </summary>
/// <remarks>Names in comments are those of the OpenID Foundation's FAPI 2.0 modules, without their prefix FAPI2SPFinal.</remarks>
public sealed class RefreshTokenTests : IClassFixture<IdentificationWorld>, IDisposable
{
    private const string Redirect = "https://app.example/back", Verifier = "a-verifier-of-forty-three-characters-and-more", AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    private readonly IdentificationWorld world;
    private readonly DpopKey _key = new();

    public RefreshTokenTests(IdentificationWorld world)
    {
        this.world = world;
        Register();
    }

    public void Dispose()
    {
        _key.Dispose();
        world.Refusals.IsAway = false;
        world.Register.Restore();
        // Nothing that one test has revoked is left for the next.
        world.Clock.Ahead += TimeSpan.FromMinutes(8);
    }

    private AppAuthorizations Apps => world.Services.GetRequiredService<AppAuthorizations>();
    private AppGrants Grants => world.Services.GetRequiredService<AppGrants>();
    private string Patient => world.Services.GetRequiredService<IdentifierCipher>().PatientId(Person);
    private static Pseudonym Person => Pseudonym.Read(new byte[Pseudonym.Size]);

    /// <summary>RefreshToken.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_app_gets_new_access_tokens_on_one_refresh_token_again_and_again(bool isKey)
    {
        Register(isKey);
        var (_, granted) = await RedeemAsync(isKey: isKey);
        Assert.Equal("openid fhirUser patient/Observation.rs patient/Condition.rs?category=problem-list-item offline_access", granted.GetProperty("scope").GetString());
        var refresh = granted.GetProperty("refresh_token").GetString()!;
        var before = world.Refusals.Refreshed.Count;
        for (var i = 0; i < 2; i++)
        {
            world.Clock.Ahead += TimeSpan.FromMinutes(6);
            var (status, body) = await RefreshAsync(refresh, isKey);
            Assert.True(status == HttpStatusCode.OK, body.ToString());
            Assert.Equal("patient/Observation.rs patient/Condition.rs?category=problem-list-item offline_access", body.GetProperty("scope").GetString());
            Assert.Equal((Patient, isKey ? "DPoP" : "Bearer"), (body.GetProperty("patient").GetString(), body.GetProperty("token_type").GetString()));
            Assert.InRange(body.GetProperty("expires_in").GetInt32(), 1, 300);
            // Not rotated, and nobody has been identified anew.
            Assert.False(body.TryGetProperty("refresh_token", out _));
            Assert.False(body.TryGetProperty("id_token", out _));
            Assert.Equal(HttpStatusCode.OK, await UseAsync(body, isKey));
        }
        var told = world.Refusals.Refreshed.Skip(before).ToArray();
        Assert.Equal(2, told.Length);
        Assert.All(told, app => Assert.Equal((world.Aurora.ClientId, RequesterKind.Citizen, Person, "PATRQT"), (app.ClientId, app.Kind, app.Self!.Value, app.PurposeOfUse)));
        Assert.NotEqual(told[0].TokenId, told[1].TokenId);
    }

    [Fact]
    public async Task Without_either_scope_there_is_none()
    {
        var (_, granted) = await RedeemAsync(access: null);
        Assert.Equal("openid fhirUser patient/Observation.rs patient/Condition.rs?category=problem-list-item", granted.GetProperty("scope").GetString());
        Assert.False(granted.TryGetProperty("refresh_token", out _));
    }

    /// <summary>RefreshToken: bound to the client, to its authentication and to its key.</summary>
    [Theory]
    [InlineData("another client", "invalid_grant")]
    [InlineData("another client of its own key", "invalid_grant")]
    [InlineData("no authentication", "invalid_client")]
    [InlineData("another certificate", "invalid_grant")]
    [InlineData("a key in the place of the certificate", "invalid_grant")]
    [InlineData("another key", "invalid_grant")]
    [InlineData("no key", "invalid_dpop_proof")]
    [InlineData("a changed secret", "invalid_grant")]
    [InlineData("another grant's secret", "invalid_grant")]
    [InlineData("the access token", "invalid_grant")]
    [InlineData("nothing", "invalid_request")]
    public async Task Nobody_else_refreshes_it_and_it_serves_its_own_client_after(string what, string error)
    {
        var isKey = what.EndsWith(" key", StringComparison.Ordinal);
        Register(isKey);
        var (_, granted) = await RedeemAsync(isKey: isKey);
        var refresh = granted.GetProperty("refresh_token").GetString()!;
        using var other = new DpopKey();
        var told = world.Refusals.Refreshed.Count;
        var (status, body) = what switch
        {
            "another client" or "another client of its own key" => await SendAsync("/connect/token", Refresh(refresh), world.Revontuli, key: isKey ? _key : null),
            "no authentication" => await SendAsync("/connect/token", Refresh(refresh, ("client_id", world.Aurora.ClientId)), null),
            "another certificate" => await SendAsync("/connect/token", Refresh(refresh), world.Aurora, world.Issue(world.Aurora.Organisation)),
            "a key in the place of the certificate" or "another key" => await SendAsync("/connect/token", Refresh(refresh), world.Aurora, key: other),
            "no key" => await SendAsync("/connect/token", Refresh(refresh), world.Aurora),
            "a changed secret" => await RefreshAsync(refresh[..^1] + (refresh[^1] == 'A' ? 'B' : 'A')),
            "another grant's secret" => await RefreshAsync(refresh[..22] + (await RedeemAsync()).Body.GetProperty("refresh_token").GetString()![22..]),
            "the access token" => await RefreshAsync(granted.GetProperty("access_token").GetString()!),
            _ => await RefreshAsync(""),
        };
        Assert.Equal((error == "invalid_client" ? HttpStatusCode.Unauthorized : HttpStatusCode.BadRequest, error), (status, body.GetProperty("error").GetString()));
        Assert.False(body.TryGetProperty("access_token", out _));
        Assert.Equal(told, world.Refusals.Refreshed.Count);
        Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(refresh, isKey)).Status);
    }

    [Fact]
    public async Task Offline_it_lasts_thirty_days_however_often_it_is_used()
    {
        var (_, granted) = await RedeemAsync();
        var refresh = granted.GetProperty("refresh_token").GetString()!;
        var began = world.Clock.Ahead;
        foreach (var day in new[] { 10, 20, 29.99 })
        {
            world.Clock.Ahead = began + TimeSpan.FromDays(day);
            Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(refresh)).Status);
        }
        world.Clock.Ahead = began + TimeSpan.FromDays(30.01);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Theory]
    [InlineData("patient/Observation.rs", "patient/Observation.rs offline_access")]
    [InlineData("patient/Observation.r", "patient/Observation.r offline_access")]
    [InlineData("patient/Observation.rs?status=final", "patient/Observation.rs?status=final offline_access")]
    [InlineData("patient/Condition.r?category=problem-list-item&code=1", "patient/Condition.r?category=problem-list-item&code=1 offline_access")]
    [InlineData("openid launch/patient offline_access patient/Observation.s", "patient/Observation.s offline_access")]
    [InlineData("patient/Observation.cruds", null)]
    [InlineData("patient/*.rs", null)]
    [InlineData("patient/Condition.rs", null)]
    [InlineData("patient/Patient.r", null)]
    [InlineData("patient/Observation.rs patient/Patient.r", null)]
    [InlineData("user/Observation.rs", null)]
    [InlineData("patient/Observation.rs online_access", null)]
    [InlineData("patient/Observation.rs profile", null)]
    [InlineData("offline_access", null)]
    [InlineData("openid fhirUser", null)]
    public async Task A_refreshed_token_may_have_less_and_never_more(string asked, string? given)
    {
        var refresh = (await RedeemAsync()).Body.GetProperty("refresh_token").GetString()!;
        var (status, body) = await SendAsync("/connect/token", Refresh(refresh, ("scope", asked)), world.Aurora);
        if (given is null)
            Assert.Equal((HttpStatusCode.BadRequest, "invalid_scope"), (status, body.GetProperty("error").GetString()));
        else
        {
            Assert.True(status == HttpStatusCode.OK, body.ToString());
            Assert.Equal(given, body.GetProperty("scope").GetString());
            var (_, who, _) = await world.WhoAmIAsync(body.GetProperty("access_token").GetString(), world.Aurora.Certificate);
            Assert.Equal(given.Split(' ').Length - 1, who.GetProperty("scopes").GetArrayLength());
        }
        // What it stands for is as wide as before.
        Assert.Equal("patient/Observation.rs patient/Condition.rs?category=problem-list-item offline_access", (await RefreshAsync(refresh)).Body.GetProperty("scope").GetString());
    }

    [Theory]
    [InlineData("narrower")]
    [InlineData("without offline_access")]
    [InlineData("without openid")]
    [InlineData("another kind")]
    public async Task A_registration_that_no_longer_holds_ends_it_for_good(string how)
    {
        var (_, granted) = await RedeemAsync();
        var refresh = granted.GetProperty("refresh_token").GetString()!;
        switch (how)
        {
            case "narrower": Register(scopes: ["patient/Observation.r", "openid", "fhirUser", "offline_access"]); break;
            case "without offline_access": Register(scopes: ["patient/*.rs", "openid", "fhirUser"]); break;
            case "without openid": Register(scopes: ["patient/*.rs", "offline_access"]); break;
            default: Register(change: it => it with { Kind = ClientKind.ClinicApp, Scopes = ["user/*.rs"] }); break;
        }
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
        Register();
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(granted));
    }

    [Fact]
    public async Task A_suspended_client_refreshes_nothing()
    {
        var refresh = (await RedeemAsync()).Body.GetProperty("refresh_token").GetString()!;
        Register(change: it => it with { Status = ClientStatus.Suspended });
        Assert.Equal("invalid_client", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task Revoked_it_is_out_with_all_its_access_tokens_and_nothing_else_is()
    {
        var (_, granted) = await RedeemAsync();
        var refresh = granted.GetProperty("refresh_token").GetString()!;
        var (_, refreshed) = await RefreshAsync(refresh);
        var (_, other) = await RedeemAsync();

        // RFC 7009 §2.2: a stranger is told nothing, and ends nothing.
        Assert.Equal(HttpStatusCode.OK, (await SendAsync("/connect/revoke", new() { ["token"] = refresh }, world.Revontuli)).Status);
        Assert.Equal(HttpStatusCode.OK, await UseAsync(refreshed));
        // An access token alone goes alone.
        Assert.Equal(HttpStatusCode.OK, (await SendAsync("/connect/revoke", new() { ["token"] = refreshed.GetProperty("access_token").GetString()! }, world.Aurora)).Status);
        Assert.Equal((HttpStatusCode.Unauthorized, HttpStatusCode.OK), (await UseAsync(refreshed), await UseAsync(granted)));
        (_, refreshed) = await RefreshAsync(refresh);

        Assert.Equal(HttpStatusCode.OK, (await SendAsync("/connect/revoke", new() { ["token"] = refresh, ["token_type_hint"] = "refresh_token" }, world.Aurora)).Status);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
        Assert.Equal((HttpStatusCode.Unauthorized, HttpStatusCode.Unauthorized), (await UseAsync(refreshed), await UseAsync(granted)));
        Assert.Equal(HttpStatusCode.OK, await UseAsync(other));
        // Nor after those have been forgotten.
        world.Clock.Ahead += TimeSpan.FromMinutes(8);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
        Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(other.GetProperty("refresh_token").GetString()!)).Status);
    }

    [Fact]
    public async Task Introspection_says_of_it_what_the_token_endpoint_would()
    {
        var (_, granted) = await RedeemAsync();
        var token = new Dictionary<string, string> { ["token"] = granted.GetProperty("refresh_token").GetString()! };
        var (_, told) = await SendAsync("/connect/introspect", token, world.Aurora);
        Assert.True(told.GetProperty("active").GetBoolean());
        Assert.Equal(world.Aurora.ClientId, told.GetProperty("client_id").GetString());
        Assert.Equal("openid fhirUser patient/Observation.rs patient/Condition.rs?category=problem-list-item offline_access".Split(' ').Order(), told.GetProperty("scope").GetString()!.Split(' ').Order());
        Assert.Equal(world.Aurora.Certificate.Thumbprint, told.GetProperty("cnf").GetProperty("x5t#S256").GetString());
        Assert.InRange(told.GetProperty("exp").GetInt64() - told.GetProperty("iat").GetInt64(), 30 * 86_400 - 1, 30 * 86_400 + 1);

        Assert.False((await SendAsync("/connect/introspect", token, world.Revontuli)).Body.GetProperty("active").GetBoolean());
        Register(scopes: ["patient/Observation.r", "openid", "fhirUser", "offline_access"]);
        Assert.False((await SendAsync("/connect/introspect", token, world.Aurora)).Body.GetProperty("active").GetBoolean());
        Register();
        Assert.True((await SendAsync("/connect/introspect", token, world.Aurora)).Body.GetProperty("active").GetBoolean());
        await Grants.EndAsync(token["token"][..22]);
        Assert.False((await SendAsync("/connect/introspect", token, world.Aurora)).Body.GetProperty("active").GetBoolean());
    }

    [Fact]
    public async Task A_code_that_comes_again_ends_what_it_gave()
    {
        var code = await CodeAsync();
        var (_, granted) = await SendAsync("/connect/token", Redemption(code), world.Aurora);
        var refresh = granted.GetProperty("refresh_token").GetString()!;
        var (_, refreshed) = await RefreshAsync(refresh);
        Assert.Equal("invalid_grant", (await SendAsync("/connect/token", Redemption(code), world.Aurora)).Body.GetProperty("error").GetString());
        Assert.Equal((HttpStatusCode.Unauthorized, HttpStatusCode.Unauthorized), (await UseAsync(granted), await UseAsync(refreshed)));
        world.Clock.Ahead += TimeSpan.FromMinutes(8);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_code_that_comes_again_while_it_is_redeemed_gives_nothing()
    {
        var clock = new ShiftedClock();
        var (shared, revocations) = (new MemoryState(clock), new Revocations(null, clock));
        var grants = new AppGrants(shared, new EphemeralDataProtectionProvider(), revocations, clock);
        var (id, allowed) = (AppGrants.IdOf("code"), new AllowedRequest(Asked("offline_access"), Patient, null));
        await grants.EndAsync(id);
        Assert.Null(await grants.BeginAsync(allowed, id, null, "certificate"));
        clock.Ahead += TimeSpan.FromMinutes(8);
        Assert.NotNull(await grants.BeginAsync(allowed, id, null, "certificate"));
    }

    [Fact]
    public async Task It_ends_in_a_store_too_that_forgets_late()
    {
        var clock = new ShiftedClock();
        var grants = new AppGrants(new MemoryState(TimeProvider.System), new EphemeralDataProtectionProvider(), new Revocations(null, clock), clock);
        var token = await grants.BeginAsync(new(Asked("offline_access"), Patient, null), AppGrants.IdOf("code"), null, "certificate");
        clock.Ahead = TimeSpan.FromDays(29.99);
        Assert.NotNull(await grants.FindAsync(token));
        clock.Ahead = TimeSpan.FromDays(30.01);
        Assert.Null(await grants.FindAsync(token));
    }

    [Fact]
    public async Task Who_ends_what_apps_were_given_ends_refresh_tokens_and_what_is_allowed_later_stands()
    {
        var (_, before) = await RedeemAsync();
        await Grants.EndAllAsync(Person, default);
        Assert.Equal("invalid_grant", (await RefreshAsync(before.GetProperty("refresh_token").GetString()!)).Body.GetProperty("error").GetString());

        world.Clock.Ahead += TimeSpan.FromMinutes(8);
        var (_, after) = await RedeemAsync();
        Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(after.GetProperty("refresh_token").GetString()!)).Status);
        Assert.Equal(HttpStatusCode.OK, await UseAsync(after));
    }

    [Fact]
    public async Task A_refresh_token_that_lay_unused_when_all_was_ended_is_out_a_month_long()
    {
        var refresh = (await RedeemAsync()).Body.GetProperty("refresh_token").GetString()!;
        await Grants.EndAllAsync(Person, default);
        // Nothing is left of the revocation itself.
        world.Clock.Ahead += TimeSpan.FromDays(29);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task Without_an_entry_in_the_audit_there_is_no_token_and_the_refresh_token_stays()
    {
        var refresh = (await RedeemAsync()).Body.GetProperty("refresh_token").GetString()!;
        world.Refusals.IsAway = true;
        var (status, body) = await RefreshAsync(refresh);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "temporarily_unavailable"), (status, body.GetProperty("error").GetString()));
        world.Refusals.IsAway = false;
        Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(refresh)).Status);
    }

    [Fact]
    public async Task The_store_sees_neither_secret_nor_content()
    {
        var clock = new ShiftedClock();
        var seen = new SeenState(new MemoryState(clock));
        var grants = new AppGrants(seen, new EphemeralDataProtectionProvider(), new Revocations(null, clock), clock);
        var token = (await grants.BeginAsync(new(Asked("offline_access"), "the-patient", null), AppGrants.IdOf("code"), null, "certificate"))!;
        await grants.EndAllAsync(Person, default);
        Assert.NotNull(await grants.FindAsync(token));
        foreach (var secret in new[] { token, token[..22], token[22..], "the-patient", "app.example", "Observation", Person.Encode() })
            Assert.DoesNotContain(secret, seen.Text);
    }

    [Theory]
    [InlineData("offline_access", null, HttpStatusCode.Created)]
    [InlineData("online_access", null, HttpStatusCode.Created)]
    [InlineData("offline_access online_access", null, HttpStatusCode.BadRequest)]
    [InlineData("offline_access", "patient/*.rs,online_access", HttpStatusCode.BadRequest)]
    [InlineData("online_access", "patient/*.rs,offline_access", HttpStatusCode.BadRequest)]
    public async Task An_app_asks_for_what_is_registered(string asked, string? registered, HttpStatusCode expected)
    {
        Register(scopes: registered?.Split(','));
        var (status, body) = await SendAsync("/connect/par", new()
        {
            ["response_type"] = "code", ["redirect_uri"] = Redirect, ["scope"] = asked + " patient/Observation.rs", ["code_challenge"] = Asked(null).CodeChallenge, ["code_challenge_method"] = "S256",
        }, world.Aurora);
        Assert.True(expected == status, body.ToString());
        if (status != HttpStatusCode.Created)
        {
            Assert.Equal("invalid_scope", body.GetProperty("error").GetString());
            return;
        }
        var request = (await Apps.ArriveAsync(body.GetProperty("request_uri").GetString(), world.Aurora.ClientId))!;
        Assert.Equal(asked, request.Access);
        Assert.NotNull(world.Services.GetRequiredService<ClientRegistry>().AppOf(request));
        Register(scopes: ["patient/*.rs"]);
        Assert.Null(world.Services.GetRequiredService<ClientRegistry>().AppOf(request));
    }

    [Theory]
    [InlineData("app", "patient/*.rs,offline_access,online_access", true)]
    [InlineData("clinic_app", "user/*.rs,online_access", true)]
    [InlineData("clinic_app", "user/*.rs,offline_access", false)]
    [InlineData("system", "system/*.rs,offline_access", false)]
    [InlineData("system", "system/*.rs,online_access", false)]
    public void Who_may_be_registered_for_it(string kind, string scopes, bool isGood)
    {
        var entry = $$"""
            [{"client_id":"app","kind":"{{kind}}",{{(kind == "system" ? "" : "\"redirect_uris\":[\"https://app.example/back\"],")}}"organisation_oid":"1.2.246.10.90000009","organisation_name":"App Oy","controller_kind":"private",
              "scopes":["{{scopes.Replace(",", "\",\"", StringComparison.Ordinal)}}"],"token_endpoint_auth_signing_alg":["ES384"],"jwks":{"keys":[{{world.Aurora.PublicJwk}}] } }]
            """;
        if (isGood)
            Assert.NotNull(ClientDirectory.Read(Encoding.UTF8.GetBytes(entry), true).Find("app"));
        else
            Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes(entry), true));
    }

    /// <summary>A clinic's app, for as long as the clinic's provider has vouched.</summary>
    [Fact]
    public async Task A_professionals_ends_with_the_sign_in()
    {
        var refresh = await RedeemForClinicAsync(TimeSpan.FromMinutes(50));
        world.Clock.Ahead += TimeSpan.FromMinutes(49);
        var (status, body) = await RefreshAsync(refresh);
        Assert.True(status == HttpStatusCode.OK, body.ToString());
        Assert.Equal("user/Observation.rs online_access", body.GetProperty("scope").GetString());
        // Nor do its access tokens outlive it.
        Assert.InRange(body.GetProperty("expires_in").GetInt32(), 1, 60);
        var (_, who, _) = await world.WhoAmIAsync(body.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal(("90001", "ETREAT"), (who.GetProperty("professionalId").GetString(), who.GetProperty("purposeOfUse").GetString()));
        world.Clock.Ahead += TimeSpan.FromMinutes(2);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_professionals_ends_after_four_hours_however_long_the_provider_vouches()
    {
        var refresh = await RedeemForClinicAsync(TimeSpan.FromDays(1));
        world.Clock.Ahead += TimeSpan.FromMinutes(239);
        Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(refresh)).Status);
        world.Clock.Ahead += TimeSpan.FromMinutes(2);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_professionals_ends_with_the_right_to_practise_for_good_and_waits_where_that_is_not_known()
    {
        var refresh = await RedeemForClinicAsync(TimeSpan.FromHours(3));
        world.Register.Fault = KantaGateway.Simulators.RegisterFault.Error;
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await RefreshAsync(refresh)).Status);
        world.Register.Restore();
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal(HttpStatusCode.OK, (await RefreshAsync(refresh)).Status);

        world.Register.Change("90001", null);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
        world.Register.Restore();
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal("invalid_grant", (await RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task Discovery_says_so()
    {
        using var http = world.Connect();
        foreach (var path in new[] { "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/smart-configuration" })
        {
            var document = await http.GetFromJsonAsync<JsonElement>(path);
            string[] List(string name) => [.. document.GetProperty(name).EnumerateArray().Select(one => one.GetString()!)];
            Assert.Contains("refresh_token", List("grant_types_supported"));
            Assert.Superset(new HashSet<string> { "offline_access", "online_access" }, List("scopes_supported").ToHashSet());
            if (path.EndsWith("smart-configuration", StringComparison.Ordinal))
                Assert.Superset(new HashSet<string> { "permission-offline", "permission-online" }, List("capabilities").ToHashSet());
        }
    }

    private void Register(bool isKey = false, string[]? scopes = null, Func<ClientRegistration, ClientRegistration>? change = null)
    {
        world.WriteClients(it =>
        {
            it = it with { Kind = ClientKind.App, RedirectUris = [Redirect], Scopes = scopes ?? ["patient/*.rs", "openid", "fhirUser", "offline_access", "online_access"], DpopBoundAccessTokens = isKey };
            return change?.Invoke(it) ?? it;
        });
        // The file is looked at once a second.
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    private PushedRequest Asked(string? access) => new(world.Aurora.ClientId, Redirect, null, Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))),
        ["patient/Observation.rs", "patient/Condition.rs?category=problem-list-item"]) { Access = access, Identity = ["openid", "fhirUser"] };

    private Task<string> CodeAsync(string? access = "offline_access") => Apps.AllowAsync(new(Asked(access), Patient, IdentificationWorld.Acr));

    private async Task<(HttpStatusCode Status, JsonElement Body)> RedeemAsync(string? access = "offline_access", bool isKey = false) =>
        await SendAsync("/connect/token", Redemption(await CodeAsync(access)), world.Aurora, key: isKey ? _key : null);

    /// <returns>The refresh token of a professional's sign-in that lasts so long.</returns>
    private async Task<string> RedeemForClinicAsync(TimeSpan life)
    {
        Register(change: it => it with { Kind = ClientKind.ClinicApp, Scopes = ["user/*.cruds", "online_access"] });
        var professional = new VouchedProfessional("90001", "Lasse Lääkäri", null, null, null, null, DateTimeOffset.UtcNow + world.Clock.Ahead + life);
        var code = await Apps.AllowAsync(new(Asked("online_access") with { Scopes = ["user/Observation.rs"], Identity = [], Organisation = world.Aurora.Organisation, Purpose = "ETREAT" }, null, null) { Professional = professional });
        var (status, body) = await SendAsync("/connect/token", Redemption(code), world.Aurora);
        Assert.True(status == HttpStatusCode.OK, body.ToString());
        return body.GetProperty("refresh_token").GetString()!;
    }

    private static Dictionary<string, string> Redemption(string code) => new()
    {
        ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Redirect, ["code_verifier"] = Verifier,
    };

    private static Dictionary<string, string> Refresh(string token, (string Name, string Value)? more = null)
    {
        var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token };
        if (more is { } one)
            form[one.Name] = one.Value;
        return form;
    }

    private Task<(HttpStatusCode Status, JsonElement Body)> RefreshAsync(string token, bool isKey = false) => SendAsync("/connect/token", Refresh(token), world.Aurora, key: isKey ? _key : null);

    /// <param name="client">Whose assertion it is, and unless another is given whose certificate; null: without an assertion, by Aurora's.</param>
    private async Task<(HttpStatusCode Status, JsonElement Body)> SendAsync(string endpoint, Dictionary<string, string> form, SomeClinic? client, Simulators.IssuedCertificate? certificate = null, DpopKey? key = null)
    {
        using var http = world.Connect(certificate ?? (client ?? world.Aurora).Certificate);
        if (key is not null)
            http.DefaultRequestHeaders.Add("DPoP", key.Proof("POST", world.Options.PublicAddress + endpoint, DateTimeOffset.UtcNow + world.Clock.Ahead, world.Services.GetRequiredService<DpopNonces>().Current));
        var sent = new Dictionary<string, string>(form.Where(p => p.Value.Length > 0));
        if (client is not null)
            (sent["client_assertion_type"], sent["client_assertion"]) = (AssertionType, world.Assertion(client));
        using var response = await http.PostAsync(endpoint, new FormUrlEncodedContent(sent));
        var text = await response.Content.ReadAsStringAsync();
        return (response.StatusCode, text.Length == 0 ? default : JsonDocument.Parse(text).RootElement);
    }

    private async Task<HttpStatusCode> UseAsync(JsonElement token, bool isKey = false)
    {
        var access = token.GetProperty("access_token").GetString()!;
        if (!isKey)
            return (await world.WhoAmIAsync(access, world.Aurora.Certificate)).Status;
        using var http = world.Connect();
        http.DefaultRequestHeaders.Authorization = new("DPoP", access);
        http.DefaultRequestHeaders.Add("DPoP", _key.Proof("GET", world.Options.PublicAddress + "/fhir/whoami", DateTimeOffset.UtcNow + world.Clock.Ahead, world.Services.GetRequiredService<DpopNonces>().Current, access));
        return (await http.GetAsync("/fhir/whoami")).StatusCode;
    }
}
