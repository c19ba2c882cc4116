using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Citizens sign in at a broker of the Finnish Trust Network.</summary>
[Collection(SignInCollection.Name)]
public sealed class CitizenSignInTests(IdentificationWorld world)
{
    private const int Adult = 0;
    private const int WithoutCode = 1;
    private const int OutsideTestSeries = 2;
    private const int AnotherAdult = 3;
    private const int WithBrokenCode = 4;

    [Fact]
    public async Task A_citizen_gets_a_session_with_pseudonym_and_name()
    {
        var cookies = new CookieContainer();
        var end = await SignInAsync(cookies, Adult, "/signin?back=/consent");

        Assert.Equal("/consent", end.PathAndQuery);
        using var http = world.Connect(cookies: cookies);
        var who = await http.GetFromJsonAsync<JsonElement>("/whoami");
        Assert.Equal("Citizen", who.GetProperty("kind").GetString());
        Assert.Equal("Aino Esimerkki", who.GetProperty("citizenName").GetString());
        Assert.Equal(14, who.GetProperty("self").GetString()!.Length);
        Assert.Equal(IdentificationWorld.Acr, who.GetProperty("acr").GetString());
        Assert.Equal("PATRQT", who.GetProperty("purposeOfUse").GetString());
        Assert.InRange(who.GetProperty("tokenId").GetString()!.Length, 20, 32);
    }

    [Fact]
    public async Task The_session_cookie_is_bound_to_the_host_and_hidden_from_scripts()
    {
        var set = new List<string>();
        await SignInAsync(new CookieContainer(), Adult, setCookies: set);
        var session = Assert.Single(set, cookie => cookie.StartsWith("__Host-kanta=", StringComparison.Ordinal));
        Assert.Contains("secure", session, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("httponly", session, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=lax", session, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("path=/", session, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("domain=", session, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("expires=", session, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Everything_that_is_asked_of_the_broker_stands_in_the_signed_request_object()
    {
        using var http = world.Connect(cookies: new CookieContainer());
        using var response = await http.GetAsync("/signin");

        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        var query = System.Web.HttpUtility.ParseQueryString(response.Headers.Location!.Query);
        Assert.Equal(["client_id", "request", "response_type", "scope"], query.AllKeys.Order());
        var request = new JsonWebToken(query["request"]);
        Assert.Equal("RS256", request.Alg);
        Assert.Equal("kanta-portal", request.Issuer);
        Assert.Equal(world.Outside.FtnIssuer, Assert.Single(request.Audiences));
        Assert.Equal(IdentificationWorld.Acr, request.GetPayloadValue<string>("acr_values"));
        Assert.Equal("S256", request.GetPayloadValue<string>("code_challenge_method"));
        Assert.Equal(world.Options.PublicAddress + "/signin-ftn", request.GetPayloadValue<string>("redirect_uri"));
        foreach (var name in new[] { "state", "nonce", "jti", "code_challenge", "ui_locales", "ftn_spname" })
            Assert.NotEmpty(request.GetPayloadValue<string>(name));
        Assert.InRange((request.ValidTo - request.IssuedAt).TotalSeconds, 1, 600);
    }

    [Fact]
    public async Task Who_has_no_identity_code_is_led_to_the_page_that_explains()
    {
        var cookies = new CookieContainer();
        var end = await SignInAsync(cookies, WithoutCode);
        Assert.Equal("/without-identity-code", end.PathAndQuery);
        using var http = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whoami")).StatusCode);
        Assert.Contains(world.Refusals.All, refusal => refusal.Client == "kanta-portal" && refusal.Reason.Contains("no Finnish personal identity code"));
    }

    [Fact]
    public async Task Rejects_a_code_that_is_none() => await RejectsAsync(WithBrokenCode, "no valid Finnish personal identity code");

    /// <summary>One level is asked for, and the answer is exactly that one: neither less nor more.</summary>
    [Theory]
    [InlineData(null, IdentificationWorld.Acr, IdentificationWorld.Acr, true)]
    [InlineData("loatest3", IdentificationWorld.HigherAcr, IdentificationWorld.HigherAcr, true)]
    [InlineData("loatest2", IdentificationWorld.Acr, IdentificationWorld.HigherAcr, false)]
    [InlineData("loatest3", IdentificationWorld.HigherAcr, IdentificationWorld.Acr, false)]
    public async Task The_level_is_the_one_that_this_sign_in_asked_for(string? level, string asked, string answered, bool accepted)
    {
        var cookies = new CookieContainer();
        world.Outside.IssuedAcr = answered;
        try
        {
            var start = level is null ? "/signin" : "/signin?level=" + level;
            using var http = world.Connect(cookies: cookies);
            using var challenge = await http.GetAsync(start);
            Assert.Equal(asked, new JsonWebToken(System.Web.HttpUtility.ParseQueryString(challenge.Headers.Location!.Query)["request"]).GetPayloadValue<string>("acr_values"));
            Assert.Equal(accepted ? "/" : "/?signin=refused", (await SignInAsync(cookies, Adult, start)).PathAndQuery);
            using var who = await http.GetAsync("/whoami");
            Assert.Equal(accepted ? HttpStatusCode.OK : HttpStatusCode.Unauthorized, who.StatusCode);
            if (accepted)
                Assert.Equal(asked, (await who.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("acr").GetString());
        }
        finally
        {
            world.Outside.IssuedAcr = null;
        }
    }

    [Theory]
    [InlineData("loa9")]
    [InlineData("")]
    [InlineData("http://ftn.ficora.fi/2017/loatest3")]
    public async Task A_level_that_is_not_configured_is_not_asked_for(string level)
    {
        using var http = world.Connect();
        using var response = await http.GetAsync("/signin?level=" + Uri.EscapeDataString(level));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    /// <summary>RFC 7516 §4.1.13, §4.1.3; RFC 7519 §4: what the libraries would pass over in the header of an encrypted token.</summary>
    [Theory]
    [InlineData("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","alg":"RSA-OAEP"}""")]
    [InlineData("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","crit":["exp"],"exp":1}""")]
    [InlineData("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","zip":"DEF"}""")]
    [InlineData("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","cty":["JWT"]}""")]
    [InlineData("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","cty":"text/plain"}""")]
    [InlineData("""{"alg":"dir","enc":"A128CBC-HS256"}""")]
    [InlineData("""{"alg":"RSA-OAEP","enc":"A256GCM"}""")]
    public async Task Rejects_an_encrypted_token_whose_header_is_not_as_agreed(string header)
    {
        world.Outside.SentIdTokens = token => world.Outside.Broker!.Encrypt(token, header);
        try
        {
            await RejectsAsync(Adult, "not encrypted");
        }
        finally
        {
            world.Outside.SentIdTokens = null;
        }
    }

    [Fact]
    public async Task Rejects_an_encrypted_token_in_which_there_is_another_encrypted_one()
    {
        world.Outside.SentIdTokens = token => world.Outside.Broker!.Encrypt(world.Outside.Broker!.Encrypt(token));
        try
        {
            await RejectsAsync(Adult, "could not be verified");
        }
        finally
        {
            world.Outside.SentIdTokens = null;
        }
    }

    [Fact]
    public async Task Rejects_a_code_outside_the_test_series_in_a_test_service() =>
        await RejectsAsync(OutsideTestSeries, "900 series only");

    [Fact]
    public async Task Rejects_another_level_of_assurance()
    {
        world.Outside.IssuedAcr = "http://ftn.ficora.fi/2017/loatest3";
        try
        {
            await RejectsAsync(Adult, "level that was asked for");
        }
        finally
        {
            world.Outside.IssuedAcr = null;
        }
    }

    [Fact]
    public async Task Rejects_an_id_token_that_is_not_encrypted()
    {
        world.Outside.PlainIdTokens = true;
        try
        {
            await RejectsAsync(Adult, "not encrypted");
        }
        finally
        {
            world.Outside.PlainIdTokens = false;
        }
    }

    [Fact]
    public async Task Rejects_an_id_token_of_another_sign_in()
    {
        world.Outside.IssuedNonce = "another";
        try
        {
            await RejectsAsync(Adult, "another sign-in");
        }
        finally
        {
            world.Outside.IssuedNonce = null;
        }
    }

    /// <summary>OpenID Connect Core §3.1.3.7: until the nonce has been looked at it may be anybody's token.</summary>
    [Fact]
    public async Task An_id_token_of_another_sign_in_asks_for_nobody_and_ends_no_session()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        using var seen = new SeenMetrics();
        seen.Listen(world.Services);
        var asked = world.Pseudonyms.Asked;
        world.Outside.IssuedNonce = "another";
        try
        {
            Assert.Equal("/?signin=refused", (await SignInAsync(cookies, AnotherAdult)).PathAndQuery);
        }
        finally
        {
            world.Outside.IssuedNonce = null;
        }
        Assert.Equal(asked, world.Pseudonyms.Asked);
        Assert.Equal((0, 1), (seen.Count("kanta.identification.accepted", "sign-in"), seen.Count("kanta.identification.refused", "sign-in", "refused")));
        using var http = world.Connect(cookies: cookies);
        Assert.Contains("Aino", await http.GetStringAsync("/whoami"));
    }

    [Fact]
    public async Task Rejects_a_callback_in_a_browser_that_did_not_begin_it()
    {
        var callback = await ReachCallbackAsync(new CookieContainer(), Adult);
        var other = new CookieContainer();
        using var http = world.Connect(cookies: other);
        using var response = await http.GetAsync(callback);
        Assert.Equal("/?signin=refused", response.Headers.Location?.ToString());
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whoami")).StatusCode);
    }

    [Fact]
    public async Task Rejects_a_callback_that_is_used_again()
    {
        var cookies = new CookieContainer();
        var callback = await ReachCallbackAsync(cookies, Adult);
        using var http = world.Connect(cookies: cookies);
        using var first = await http.GetAsync(callback);
        Assert.Equal("/", first.Headers.Location?.ToString());
        using var second = await http.GetAsync(callback);
        Assert.Equal("/?signin=refused", second.Headers.Location?.ToString());
    }

    [Fact]
    public async Task Rejects_a_changed_state()
    {
        var cookies = new CookieContainer();
        var callback = (await ReachCallbackAsync(cookies, Adult)).ToString();
        using var http = world.Connect(cookies: cookies);
        using var response = await http.GetAsync(callback[..^4] + (callback[^1] == 'A' ? "BBBB" : "AAAA"));
        Assert.Equal("/?signin=refused", response.Headers.Location?.ToString());
    }

    [Fact]
    public async Task A_citizen_may_cancel()
    {
        var end = await SignInAsync(new CookieContainer(), null);
        Assert.Equal("/?signin=cancelled", end.PathAndQuery);
        Assert.Contains(world.Refusals.All, refusal => refusal.Reason.Contains("cancelled"));
    }

    [Theory]
    [InlineData("https://elsewhere.example/")]
    [InlineData("//elsewhere.example/")]
    [InlineData("/\\elsewhere.example/")]
    [InlineData("/\t/elsewhere.example/")]
    [InlineData("/about\\elsewhere.example/")]
    [InlineData("elsewhere")]
    public async Task After_the_sign_in_nobody_is_led_to_another_site(string back)
    {
        var end = await SignInAsync(new CookieContainer(), Adult, "/signin?back=" + Uri.EscapeDataString(back));
        Assert.Equal(new Uri(world.Options.PublicAddress + "/"), end);
    }

    [Fact]
    public async Task A_session_ends_by_signing_out_even_for_who_kept_the_cookie()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        var kept = cookies.GetCookies(new Uri(world.Options.PublicAddress))["__Host-kanta"]!.Value;
        using var http = world.Connect(cookies: cookies);
        using var response = await http.PostAsync("/signout", null);
        Assert.Equal(HttpStatusCode.SeeOther, response.StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whoami")).StatusCode);

        using var thief = world.Connect();
        thief.DefaultRequestHeaders.Add("Cookie", "__Host-kanta=" + kept);
        Assert.Equal(HttpStatusCode.Unauthorized, (await thief.GetAsync("/whoami")).StatusCode);
    }

    [Fact]
    public async Task A_cookie_from_before_a_sign_in_opens_nothing_after_it()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        var copied = SessionCookieOf(cookies);
        await SignInAsync(cookies, AnotherAdult);

        Assert.Equal(HttpStatusCode.Unauthorized, await OpenWithAsync(copied));
        Assert.NotEqual(copied, SessionCookieOf(cookies));
        using var http = world.Connect(cookies: cookies);
        Assert.Equal("Veikko Verrokki", (await http.GetFromJsonAsync<JsonElement>("/whoami")).GetProperty("citizenName").GetString());
    }

    [Fact]
    public async Task Nor_does_the_cookie_of_a_session_that_had_ended()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        var copied = SessionCookieOf(cookies);
        using (var http = world.Connect())
        {
            http.DefaultRequestHeaders.Add("Cookie", "__Host-kanta=" + copied);
            using var left = await http.PostAsync("/signout", null);
        }
        // The browser still has the cookie, and brings it.
        await SignInAsync(cookies, AnotherAdult);
        Assert.Equal(HttpStatusCode.Unauthorized, await OpenWithAsync(copied));
        Assert.Equal(HttpStatusCode.OK, await OpenWithAsync(SessionCookieOf(cookies)));
    }

    [Fact]
    public async Task A_renewal_neither_gives_a_session_to_another_nor_wakes_one_that_has_ended()
    {
        var ends = new SessionEnds(new Revocations(null, TimeProvider.System), TimeProvider.System);
        var sessions = new PortalSessions(new MemoryState(TimeProvider.System), ends, new EphemeralDataProtectionProvider(), TimeProvider.System);
        AuthenticationTicket Ticket(string name)
        {
            var properties = new AuthenticationProperties();
            ends.Begin(properties, null, "somebody");
            return new(PortalSessions.CreatePrincipal(Pseudonym.Read("one-person"u8), name, IdentificationWorld.Acr), properties, PortalSessions.Scheme);
        }
        var first = Ticket("first");
        var key = await sessions.StoreAsync(first);
        await sessions.RenewAsync(key, first);
        await Assert.ThrowsAsync<InvalidOperationException>(() => sessions.RenewAsync(key, Ticket("second")));
        Assert.Equal("first", (await sessions.RetrieveAsync(key))!.Principal.Identity!.Name);

        await sessions.RemoveAsync(key);
        await sessions.RenewAsync(key, first);
        Assert.Null(await sessions.RetrieveAsync(key));
    }

    [Fact]
    public async Task Another_site_cannot_sign_anybody_out()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        using var http = world.Connect(cookies: cookies);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/signout") { Headers = { { "Sec-Fetch-Site", "cross-site" } } };
        Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(request)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/whoami")).StatusCode);
    }

    [Fact]
    public async Task A_session_ends_after_fifteen_idle_minutes_and_four_hours_in_any_case()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        using var http = world.Connect(cookies: cookies);
        var began = world.Clock.Ahead;
        try
        {
            // Used every ten minutes it lives on.
            for (var minutes = 10; minutes < 240; minutes += 10)
            {
                world.Clock.Ahead = began + TimeSpan.FromMinutes(minutes);
                Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/whoami")).StatusCode);
            }
            world.Clock.Ahead = began + TimeSpan.FromMinutes(241);
            Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whoami")).StatusCode);

            world.Clock.Ahead = began;
            cookies = new CookieContainer();
            await SignInAsync(cookies, Adult);
            using var idle = world.Connect(cookies: cookies);
            world.Clock.Ahead = began + TimeSpan.FromMinutes(16);
            Assert.Equal(HttpStatusCode.Unauthorized, (await idle.GetAsync("/whoami")).StatusCode);
        }
        finally
        {
            world.Clock.Ahead = began;
        }
    }

    [Fact]
    public async Task A_session_is_no_identification_for_fhir_requests()
    {
        var cookies = new CookieContainer();
        await SignInAsync(cookies, Adult);
        using var http = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/fhir/whoami")).StatusCode);
    }

    [Fact]
    public async Task Neither_identity_codes_nor_names_nor_tokens_are_logged()
    {
        await SignInAsync(new CookieContainer(), Adult);
        var token = await world.TokenAsync(world.Aurora);
        await world.WhoAmIAsync(token, world.Aurora.Certificate);
        await world.PostTokenAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora.Certificate);

        var logs = world.Logs.ToString();
        Assert.NotEmpty(logs);
        foreach (var secret in new[] { "/signin-ftn?", "code=", IdentificationWorld.TestCode, "Aino", "Esimerkki", "Lasse", token, token[(token.LastIndexOf('.') + 1)..] })
            Assert.DoesNotContain(secret, logs);
    }

    private string SessionCookieOf(CookieContainer cookies) => cookies.GetCookies(new Uri(world.Options.PublicAddress))["__Host-kanta"]!.Value;

    private async Task<HttpStatusCode> OpenWithAsync(string session)
    {
        using var http = world.Connect();
        http.DefaultRequestHeaders.Add("Cookie", "__Host-kanta=" + session);
        using var response = await http.GetAsync("/whoami");
        return response.StatusCode;
    }

    private async Task RejectsAsync(int citizen, string reason)
    {
        var cookies = new CookieContainer();
        var end = await SignInAsync(cookies, citizen);
        Assert.Equal("/?signin=refused", end.PathAndQuery);
        using var http = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whoami")).StatusCode);
        Assert.Contains(world.Refusals.All, refusal => refusal.Client == "kanta-portal" && refusal.Reason.Contains(reason));
    }

    private Task<Uri> SignInAsync(CookieContainer cookies, int? citizen, string start = "/signin", List<string>? setCookies = null) =>
        world.SignInAsync(cookies, citizen, start, setCookies);

    private Task<Uri> ReachCallbackAsync(CookieContainer cookies, int? citizen, string start = "/signin") => world.ReachCallbackAsync(cookies, citizen, start);
}
