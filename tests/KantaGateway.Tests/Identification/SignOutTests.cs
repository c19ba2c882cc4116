using System.Net;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Sessions end where the citizen ends them, at all places at once where she says so, and when the broker says so.</summary>
[Collection(SignInCollection.Name)]
public sealed class SignOutTests(IdentificationWorld world)
{
    private const int Adult = 0;
    private const int AnotherAdult = 3;

    private FtnBroker Broker => world.Outside.Broker!;

    [Fact]
    public async Task Signing_out_everywhere_ends_every_session_of_the_person_and_nobody_elses()
    {
        var (here, there, another) = (new CookieContainer(), new CookieContainer(), new CookieContainer());
        await world.SignInAsync(here, Adult);
        await world.SignInAsync(there, Adult);
        await world.SignInAsync(another, AnotherAdult);

        using (var http = world.Connect(cookies: here))
        using (var left = await http.PostAsync("/signout/everywhere", null))
            Assert.Equal(HttpStatusCode.SeeOther, left.StatusCode);

        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(here));
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(there));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(another));
        // And she may come again.
        await world.SignInAsync(here, Adult);
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(here));
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(there));
    }

    [Fact]
    public async Task Signing_out_leaves_the_other_sessions()
    {
        var (here, there) = (new CookieContainer(), new CookieContainer());
        await world.SignInAsync(here, Adult);
        await world.SignInAsync(there, Adult);
        using (var http = world.Connect(cookies: here))
        using (await http.PostAsync("/signout", null))
            Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(here));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(there));
    }

    [Theory]
    [InlineData("/signout")]
    [InlineData("/signout/everywhere")]
    public async Task The_browser_is_told_to_forget_what_it_has_kept_but_not_what_tells_that_she_has_signed_out(string path)
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, Adult);
        using var http = world.Connect(cookies: cookies);
        using var left = await http.PostAsync(path, null);
        Assert.Equal((HttpStatusCode.SeeOther, "\"cache\", \"storage\""), (left.StatusCode, left.Headers.GetValues("Clear-Site-Data").Single()));
    }

    /// <summary>Two gateways that share a Redis: what one has answered holds at the other.</summary>
    [Fact]
    public async Task Signing_out_everywhere_holds_on_every_gateway()
    {
        await using var redis = await TestRedis.FindAsync();
        await using var first = Build(redis.Connection, out var one);
        await using var second = Build(redis.Connection, out var other);
        await Task.WhenAll(first.StartAsync(), second.StartAsync());
        var (here, there) = (new CookieContainer(), new CookieContainer());
        await world.SignInAsync(here, Adult, gateway: one);
        await world.SignInAsync(there, Adult, gateway: other);
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(there, other));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(there, one));

        using var http = world.Connect(cookies: here);
        using var left = await http.PostAsync(new Uri(one, "/signout/everywhere"), null);
        Assert.DoesNotContain("failed", left.Headers.Location!.OriginalString);
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(there, other));
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(there, one));
    }

    [Fact]
    public async Task Another_site_cannot_sign_anybody_out_everywhere()
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, Adult);
        using var http = world.Connect(cookies: cookies);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/signout/everywhere") { Headers = { { "Sec-Fetch-Site", "same-site" } } };
        Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(request)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(cookies));
    }

    /// <summary>OpenID Connect RP-Initiated Logout 1.0.</summary>
    [Theory]
    [InlineData("/signout")]
    [InlineData("/signout/everywhere")]
    public async Task Signing_out_ends_the_brokers_session_too_and_names_nobody_in_the_address(string path)
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, Adult);
        var session = Broker.Began.Last();
        using var http = world.Connect(cookies: cookies);
        using var left = await http.PostAsync(path, null);
        var there = left.Headers.Location!;
        Assert.StartsWith(world.Outside.FtnIssuer + "/logout?", there.AbsoluteUri);
        Assert.DoesNotContain("id_token", there.Query);
        using var back = await http.GetAsync(there);
        Assert.Equal(world.Options.PublicAddress + "/?signout=done", back.Headers.Location!.AbsoluteUri);
        Assert.Contains(session, Broker.Ended);
    }

    [Theory]
    [InlineData("")]
    [InlineData("https://elsewhere.example/logout")]
    [InlineData("javascript:alert(1)")]
    public async Task Nobody_is_sent_to_sign_out_at_another_place_than_the_broker(string endpoint)
    {
        world.Outside.EndSessionEndpoint = endpoint;
        try
        {
            await using var gateway = Build(null, out var address);
            await gateway.StartAsync();
            var cookies = new CookieContainer();
            await world.SignInAsync(cookies, Adult, gateway: address);
            using var http = world.Connect(cookies: cookies);
            using var left = await http.PostAsync(new Uri(address, "/signout"), null);
            Assert.Equal("/?signout=done", left.Headers.Location!.OriginalString);
            Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(cookies, address));
        }
        finally
        {
            world.Outside.EndSessionEndpoint = null;
        }
    }

    [Fact]
    public async Task Who_has_no_session_is_not_sent_to_the_broker_to_sign_out()
    {
        using var http = world.Connect();
        using var left = await http.PostAsync("/signout", null);
        Assert.Equal("/?signout=done", left.Headers.Location!.OriginalString);
    }

    [Fact]
    public async Task Who_has_no_session_is_not_told_that_all_are_ended()
    {
        var (over, there) = (new CookieContainer(), new CookieContainer());
        await world.SignInAsync(over, Adult);
        var session = over.GetCookieHeader(new Uri(world.Options.PublicAddress));
        await world.SignInAsync(there, Adult);
        using (var http = world.Connect(cookies: over))
        using (await http.PostAsync("/signout", null)) { }
        using var late = world.Connect();
        late.DefaultRequestHeaders.Add("Cookie", session);
        using var left = await late.PostAsync("/signout/everywhere", null);
        Assert.Equal((HttpStatusCode.SeeOther, "/?signout=sign-in-first"), (left.StatusCode, left.Headers.Location!.OriginalString));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(there));
    }

    [Fact]
    public async Task A_logout_token_with_sid_ends_what_began_with_that_session_of_the_broker()
    {
        var (ended, other) = (new CookieContainer(), new CookieContainer());
        await world.SignInAsync(ended, Adult);
        var session = Broker.Began.Last();
        await world.SignInAsync(other, Adult);
        Assert.Equal(HttpStatusCode.OK, await LogOutAsync(Broker.LogoutToken(claims => { claims["sid"] = session; claims["sub"] = Broker.SubjectOf(world.Outside.Citizens[Adult]); })));
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(ended));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(other));
    }

    [Fact]
    public async Task A_logout_token_with_sub_alone_ends_all_of_the_subject()
    {
        var (first, second, another) = (new CookieContainer(), new CookieContainer(), new CookieContainer());
        await world.SignInAsync(first, Adult);
        await world.SignInAsync(second, Adult);
        await world.SignInAsync(another, AnotherAdult);
        Assert.Equal(HttpStatusCode.OK, await LogOutAsync(Broker.LogoutToken(claims => claims["sub"] = Broker.SubjectOf(world.Outside.Citizens[Adult]))));
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(first));
        Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(second));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(another));
        await world.SignInAsync(first, Adult);
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(first));
    }

    [Fact]
    public async Task A_session_that_the_broker_has_ended_begins_nothing_anew()
    {
        var cookies = new CookieContainer();
        var callback = await world.ReachCallbackAsync(cookies, Adult);
        var before = Broker.Began.Count;
        world.Outside.SentIdTokens = token =>
        {
            // Between the broker's answer and the session's beginning.
            Assert.Equal(HttpStatusCode.OK, LogOutAsync(Broker.LogoutToken(claims => claims["sid"] = Broker.Began.Last())).GetAwaiter().GetResult());
            return Broker.Encrypt(token);
        };
        try
        {
            using var http = world.Connect(cookies: cookies);
            using var response = await http.GetAsync(callback);
            Assert.Equal(before + 1, Broker.Began.Count);
            Assert.Equal(HttpStatusCode.Unauthorized, await WhoAmIAsync(cookies));
        }
        finally
        {
            world.Outside.SentIdTokens = null;
        }
    }

    /// <summary>OpenID Connect Back-Channel Logout 1.0 §2.6, each condition once.</summary>
    public static TheoryData<string, string> BadTokens => new()
    {
        { "signed with another key", "encrypted, signed" }, { "not encrypted", "encrypted, signed" }, { "of another issuer", "encrypted, signed" }, { "for another", "encrypted, signed" },
        { "expired", "encrypted, signed" }, { "without exp", "encrypted, signed" }, { "typed as an ID token", "typ" }, { "without iat", "iat" }, { "old", "iat" }, { "of the future", "iat" },
        { "without events", "events" }, { "with another event", "events" }, { "with an event that is text", "events" }, { "with events as a list", "events" },
        { "with a nonce", "nonce" }, { "with neither sid nor sub", "sid or sub" }, { "without jti", "jti" }, { "no token", "encrypted, signed" },
    };

    [Theory]
    [MemberData(nameof(BadTokens))]
    public async Task A_logout_token_ends_nothing_that_is(string how, string reason)
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, Adult);
        var session = Broker.Began.Last();
        using var foreign = RsaKeys.Of("of nobody");
        const string Event = "http://schemas.openid.net/event/backchannel-logout";
        var now = DateTimeOffset.UtcNow;
        void Change(Dictionary<string, object?> claims)
        {
            claims["sid"] = session;
            (string, object?)? change = how switch
            {
                "of another issuer" => ("iss", "https://elsewhere.example"),
                "for another" => ("aud", "another-portal"),
                "expired" => ("exp", now.AddMinutes(-1).ToUnixTimeSeconds()),
                "without exp" => ("exp", null),
                "without iat" => ("iat", null),
                "old" => ("iat", now.AddMinutes(-6).ToUnixTimeSeconds()),
                "of the future" => ("iat", now.AddMinutes(2).ToUnixTimeSeconds()),
                "without events" => ("events", null),
                "with another event" => ("events", new Dictionary<string, object> { ["http://elsewhere.example/event"] = new Dictionary<string, object>() }),
                "with an event that is text" => ("events", new Dictionary<string, object> { [Event] = "yes" }),
                "with events as a list" => ("events", new[] { Event }),
                "with a nonce" => ("nonce", "n"),
                "with neither sid nor sub" => ("sid", null),
                "without jti" => ("jti", null),
                _ => null,
            };
            if (change is var (name, value))
                claims[name] = value;
        }
        var token = how == "no token" ? "a.b.c" : Broker.LogoutToken(Change, how == "typed as an ID token" ? "JWT" : "logout+jwt",
            how == "signed with another key" ? new RsaSecurityKey(foreign.ExportParameters(true)) { KeyId = "ftn-1" } : null, how != "not encrypted");
        Assert.Equal(HttpStatusCode.BadRequest, await LogOutAsync(token));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(cookies));
        Assert.Contains(world.Refusals.All, refusal => refusal.Client == "kanta-portal" && refusal.Reason.StartsWith("The logout token is refused.", StringComparison.Ordinal) && refusal.Reason.Contains(reason));
    }

    [Fact]
    public async Task A_used_logout_token_ends_nothing_more()
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, Adult);
        var token = Broker.LogoutToken(claims => claims["sub"] = Broker.SubjectOf(world.Outside.Citizens[Adult]));
        Assert.Equal(HttpStatusCode.OK, await LogOutAsync(token));
        await world.SignInAsync(cookies, Adult);
        Assert.Equal(HttpStatusCode.BadRequest, await LogOutAsync(token));
        Assert.Equal(HttpStatusCode.OK, await WhoAmIAsync(cookies));
    }

    [Fact]
    public async Task A_form_of_too_many_fields_is_refused()
    {
        using var http = world.Connect();
        using var response = await http.PostAsync("/signout-ftn", new FormUrlEncodedContent(Enumerable.Range(0, 1025).Select(static n => new KeyValuePair<string, string>("p" + n, "1"))));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    [Theory]
    [InlineData("")]
    [InlineData("logout_token=")]
    [InlineData("logout_token=a&logout_token=b")]
    public async Task A_form_without_one_logout_token_is_refused(string form)
    {
        using var http = world.Connect();
        using var response = await http.PostAsync("/signout-ftn", new StringContent(form, System.Text.Encoding.ASCII, "application/x-www-form-urlencoded"));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.True(response.Headers.CacheControl!.NoStore);
    }

    private async Task<HttpStatusCode> LogOutAsync(string token)
    {
        using var http = world.Connect();
        using var response = await http.PostAsync("/signout-ftn", new FormUrlEncodedContent([new("logout_token", token)]));
        return response.StatusCode;
    }

    private async Task<HttpStatusCode> WhoAmIAsync(CookieContainer cookies, Uri? gateway = null)
    {
        using var http = world.Connect(cookies: cookies);
        using var response = await http.GetAsync(new Uri(gateway ?? http.BaseAddress!, "/whoami"));
        return response.StatusCode;
    }

    private WebApplication Build(string? redis, out Uri address)
    {
        address = new($"https://localhost:{IdentificationWorld.FreePort()}");
        return world.BuildGateway(world.Options with { Port = address.Port, TerminatorListen = null, Redis = redis });
    }
}
