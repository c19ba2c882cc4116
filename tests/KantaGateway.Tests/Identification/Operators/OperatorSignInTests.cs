using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>Operators sign in at their Entra ID tenant.</summary>
[Collection(OperatorsCollection.Name)]
public sealed class OperatorSignInTests(IdentificationWorld world)
{
    [Fact]
    public async Task An_operator_gets_a_session_with_the_roles_that_are_known()
    {
        var cookies = new CookieContainer();
        var end = await world.SignInOperatorAsync(cookies, Olga, "/operator/signin?back=/operator/propose");

        Assert.Equal("/operator/propose", end.PathAndQuery);
        using var http = world.Connect(cookies: cookies);
        var who = await http.GetFromJsonAsync<JsonElement>("/operator-whoami");
        Assert.Equal((IdentificationWorld.OperatorTenantId, "00000000-0000-0000-0000-0000000000a1", "Olga Operaattori"),
            (who.GetProperty("tenant").GetString(), who.GetProperty("id").GetString(), who.GetProperty("name").GetString()));
        Assert.Equal(["Onboarding"], who.GetProperty("roles").EnumerateArray().Select(r => r.GetString()));
        Assert.Contains(world.Acts.All, act => act is { Who: "Olga Operaattori", Act: "Signed in.", Refused: null });
    }

    [Fact]
    public async Task The_tenant_is_asked_for_phishing_resistant_means_and_a_proof_now()
    {
        await world.SignInOperatorAsync(new CookieContainer(), Olga);
        var asked = world.Entra.Asked;
        Assert.Equal("c1", JsonDocument.Parse(asked["claims"]).RootElement.GetProperty("id_token").GetProperty("acrs").GetProperty("value").GetString());
        Assert.Equal(("0", "login", "S256", world.Options.PublicAddress + "/signin-operator"), (asked["max_age"], asked["prompt"], asked["code_challenge_method"], asked["redirect_uri"]));
    }

    [Fact]
    public async Task The_operators_cookie_is_bound_to_the_host_and_hidden_from_scripts()
    {
        var set = new List<string>();
        await world.SignInOperatorAsync(new CookieContainer(), Olga, setCookies: set);
        var session = Assert.Single(set, static cookie => cookie.StartsWith("__Host-kanta-operator=", StringComparison.Ordinal));
        foreach (var part in (string[])["secure", "httponly", "samesite=lax", "path=/"])
            Assert.Contains(part, session, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("domain=", session, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("expires=", session, StringComparison.OrdinalIgnoreCase);
    }

    public static TheoryData<string, Action<Dictionary<string, object?>>> Misbehaviours => new()
    {
        { "(amr)", static claims => claims["amr"] = new[] { "pwd", "mfa" } },
        { "(amr)", static claims => claims["amr"] = new[] { "FIDO" } },
        { "(amr)", static claims => claims["amr"] = null },
        { "(acrs)", static claims => claims["acrs"] = new[] { "c2", "c11" } },
        { "(acrs)", static claims => claims["acrs"] = null },
        { "(ver, tid)", static claims => claims["tid"] = "00000000-0000-0000-0000-00000000000b" },
        { "(ver, tid)", static claims => claims["tid"] = null },
        { "(ver, tid)", static claims => claims["ver"] = "1.0" },
        { "another tenant", static claims => claims["iss"] = ((string)claims["iss"]!).Replace("00000000000a", "00000000000b") },
        { "another audience", static claims => claims["aud"] = "another-application" },
        { "(roles)", static claims => claims["roles"] = null },
        { "(roles)", static claims => claims["roles"] = new[] { "kanta.onboarding", "Kanta.Onboarding.Read" } },
        { "(auth_time)", static claims => claims["auth_time"] = (long)claims["auth_time"]! - 301 },
        { "(auth_time)", static claims => claims["auth_time"] = (long)claims["auth_time"]! + 60 },
        { "(auth_time)", static claims => claims["auth_time"] = long.MaxValue },
        { "(auth_time)", static claims => claims["auth_time"] = null },
        { "(oid, name)", static claims => claims["oid"] = null },
        { "(oid, name)", static claims => claims["name"] = new[] { "Olga", "Another" } },
        { "(nonce)", static claims => claims["nonce"] = "another" },
        { "could not be verified", static claims => claims["exp"] = (long)claims["iat"]! - 3600 },
    };

    [Theory]
    [MemberData(nameof(Misbehaviours))]
    public async Task Rejects(string reason, Action<Dictionary<string, object?>> change)
    {
        var cookies = new CookieContainer();
        world.Entra.Change = change;
        try
        {
            Assert.Equal("/operator/start?signin=refused", (await world.SignInOperatorAsync(cookies, Olga)).PathAndQuery);
        }
        finally
        {
            world.Entra.Change = null;
        }
        Assert.True(world.Refusals.All[^1].Reason.Contains(reason), world.Refusals.All[^1].Reason);
        Assert.Equal("kanta-operators", world.Refusals.All[^1].Client);
        Assert.DoesNotContain("__Host-kanta-operator", cookies.GetCookieHeader(new Uri(world.Options.PublicAddress)));
    }

    /// <summary>OpenID Connect Core §3.1.3.7: until the nonce has been looked at it may be anybody's token.</summary>
    [Fact]
    public async Task An_id_token_of_another_sign_in_is_no_act_and_ends_no_session()
    {
        var cookies = new CookieContainer();
        await world.SignInOperatorAsync(cookies, Olga);
        var acts = world.Acts.All.Count;
        world.Entra.Change = static claims => claims["nonce"] = "another";
        try
        {
            Assert.Equal("/operator/start?signin=refused", (await world.SignInOperatorAsync(cookies, Heikki)).PathAndQuery);
        }
        finally
        {
            world.Entra.Change = null;
        }
        Assert.Equal(acts, world.Acts.All.Count);
        using var http = world.Connect(cookies: cookies);
        Assert.Contains("Olga", await http.GetStringAsync("/operator-whoami"));
    }

    [Fact]
    public async Task Rejects_a_token_that_another_key_signed()
    {
        world.Entra.SignsWithOtherKey = true;
        try
        {
            Assert.Equal("/operator/start?signin=refused", (await world.SignInOperatorAsync(new CookieContainer(), Olga)).PathAndQuery);
        }
        finally
        {
            world.Entra.SignsWithOtherKey = false;
        }
    }

    [Fact]
    public async Task Rejects_a_person_of_the_tenant_who_has_no_role()
    {
        Assert.Equal("/operator/start?signin=refused", (await world.SignInOperatorAsync(new CookieContainer(), WithoutRole)).PathAndQuery);
        Assert.Contains("(roles)", world.Refusals.All[^1].Reason);
    }

    [Fact]
    public async Task Who_cancels_is_told_so() =>
        Assert.Equal("/operator/start?signin=cancelled", (await world.SignInOperatorAsync(new CookieContainer(), null)).PathAndQuery);

    [Fact]
    public async Task Nobody_signs_in_while_it_cannot_be_recorded()
    {
        var cookies = new CookieContainer();
        world.Acts.IsAway = true;
        try
        {
            Assert.Equal("/operator/start?signin=unavailable", (await world.SignInOperatorAsync(cookies, Olga)).PathAndQuery);
        }
        finally
        {
            world.Acts.IsAway = false;
        }
        using var http = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/operator-whoami")).StatusCode);
    }

    [Theory]
    [InlineData("//elsewhere.example")]
    [InlineData("/consent")]
    [InlineData("https://elsewhere.example/operator")]
    public async Task A_sign_in_leads_back_to_the_operators_pages_only(string back) =>
        Assert.Equal("/operator", (await world.SignInOperatorAsync(new CookieContainer(), Olga, "/operator/signin?back=" + Uri.EscapeDataString(back))).PathAndQuery);

    [Fact]
    public async Task An_operator_is_no_citizen_and_a_citizen_no_operator()
    {
        var cookies = new CookieContainer();
        await world.SignInOperatorAsync(cookies, Olga);
        using var http = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whoami")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/fhir/whoami")).StatusCode);

        var address = new Uri(world.Options.PublicAddress);
        var stolen = new CookieContainer();
        stolen.Add(new Cookie("__Host-kanta", cookies.GetCookies(address)["__Host-kanta-operator"]!.Value, "/", "localhost") { Secure = true });
        using var thief = world.Connect(cookies: stolen);
        Assert.Equal(HttpStatusCode.Unauthorized, (await thief.GetAsync("/whoami")).StatusCode);

        cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0);
        using var citizen = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, (await citizen.GetAsync("/operator-whoami")).StatusCode);
    }

    [Fact]
    public async Task A_session_that_was_planted_is_not_the_one_that_begins()
    {
        var address = new Uri(world.Options.PublicAddress);
        var cookies = new CookieContainer();
        await world.SignInOperatorAsync(cookies, Heikki);
        var planted = cookies.GetCookies(address)["__Host-kanta-operator"]!.Value;
        await world.SignInOperatorAsync(cookies, Olga);
        Assert.NotEqual(planted, cookies.GetCookies(address)["__Host-kanta-operator"]!.Value);
        var old = new CookieContainer();
        old.Add(new Cookie("__Host-kanta-operator", planted, "/", "localhost") { Secure = true });
        using var http = world.Connect(cookies: old);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/operator-whoami")).StatusCode);
    }

    [Fact]
    public async Task A_session_that_is_signed_out_is_over_for_whoever_copied_its_cookie()
    {
        var cookies = new CookieContainer();
        await world.SignInOperatorAsync(cookies, Olga);
        using var copy = world.Connect();
        copy.DefaultRequestHeaders.Add("Cookie", cookies.GetCookieHeader(new Uri(world.Options.PublicAddress)));
        Assert.Equal(HttpStatusCode.OK, (await copy.GetAsync("/operator-whoami")).StatusCode);

        using var http = world.Connect(cookies: cookies);
        using var elsewhere = new HttpRequestMessage(HttpMethod.Post, "/operator/signout") { Headers = { { "Sec-Fetch-Site", "cross-site" } } };
        Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(elsewhere)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await copy.GetAsync("/operator-whoami")).StatusCode);
        using var over = await http.PostAsync("/operator/signout", null);
        Assert.Equal((HttpStatusCode.SeeOther, "/operator/start?signout=done"), (over.StatusCode, over.Headers.Location!.ToString()));
        Assert.Equal(HttpStatusCode.Unauthorized, (await copy.GetAsync("/operator-whoami")).StatusCode);
    }

    [Fact]
    public async Task A_session_ends_after_fifteen_idle_minutes_and_two_hours_in_any_case()
    {
        var cookies = new CookieContainer();
        await world.SignInOperatorAsync(cookies, Olga);
        using var http = world.Connect(cookies: cookies);
        var began = world.Clock.Ahead;
        try
        {
            for (var minutes = 10; minutes < 120; minutes += 10)
            {
                world.Clock.Ahead = began + TimeSpan.FromMinutes(minutes);
                Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/operator-whoami")).StatusCode);
            }
            world.Clock.Ahead = began + TimeSpan.FromMinutes(121);
            Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/operator-whoami")).StatusCode);

            world.Clock.Ahead = began;
            cookies = new CookieContainer();
            await world.SignInOperatorAsync(cookies, Olga);
            using var idle = world.Connect(cookies: cookies);
            world.Clock.Ahead = began + TimeSpan.FromMinutes(16);
            Assert.Equal(HttpStatusCode.Unauthorized, (await idle.GetAsync("/operator-whoami")).StatusCode);
        }
        finally
        {
            world.Clock.Ahead = began;
        }
    }

    [Fact]
    public async Task Without_operators_none_of_their_addresses_is_there()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null, Identification = world.Options.Identification with { Operators = null } };
        await using var gateway = world.BuildGateway(options);
        await gateway.StartAsync();
        using var http = world.Connect();
        var address = new Uri($"https://localhost:{options.Port}");
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(new Uri(address, "/operator/signin"))).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await http.PostAsync(new Uri(address, "/operator/signout"), null)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(new Uri(address, "/signin-operator?code=a&state=b"))).StatusCode);
    }

    [Fact]
    public async Task While_the_tenant_is_away_the_start_page_says_so()
    {
        world.Entra.IsAway = true;
        // A gateway that has not read the tenant's metadata yet.
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null };
        try
        {
            await using var gateway = world.BuildGateway(options);
            await gateway.StartAsync();
            using var http = world.Connect();
            using var answer = await http.GetAsync(new Uri($"https://localhost:{options.Port}/operator/signin"));
            Assert.Equal((HttpStatusCode.Redirect, "/operator/start?signin=unavailable"), (answer.StatusCode, answer.Headers.Location!.ToString()));
        }
        finally
        {
            world.Entra.IsAway = false;
        }
    }
}
