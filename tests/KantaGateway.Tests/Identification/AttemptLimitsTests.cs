using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Identification.Operators;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Who fails to identify too often has to wait, and nobody else.</summary>
[Collection(SignInCollection.Name)]
public sealed class AttemptLimitsTests(IdentificationWorld world) : IAsyncLifetime
{
    private const int Limit = 5;
    private const int TokenLimit = 2 * Limit;
    private const string TooMany = "Too many attempts";

    private WebApplication _gateway = null!;
    private SeenMetrics _seen = null!;
    private Uri _address = null!, _terminator = null!;

    public Task InitializeAsync() => StartAsync(null);

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        _seen.Dispose();
    }

    private async Task StartAsync(string? redis)
    {
        _seen = new();
        (_address, _terminator) = (new($"https://localhost:{IdentificationWorld.FreePort()}"), new($"http://127.0.0.1:{IdentificationWorld.FreePort()}"));
        _gateway = world.BuildGateway(world.Options with
        {
            Port = _address.Port, TerminatorListen = $"http://127.0.0.1:{_terminator.Port}", Redis = redis,
            Identification = world.Options.Identification with { FailuresPerMinute = Limit, TokenRequestsPerMinute = TokenLimit, SignInsPerMinute = Limit },
        });
        await _gateway.StartAsync();
        _seen.Listen(_gateway.Services);
    }

    [Fact]
    public async Task An_address_that_fails_too_often_waits_and_another_does_not()
    {
        var before = Recorded();
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("198.51.100.1")).StatusCode);
        for (var i = 0; i < 3; i++)
        {
            var held = await FromAsync("198.51.100.1");
            Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
            Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
            Assert.Contains("failed from here", await held.Content.ReadAsStringAsync());
        }
        Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("198.51.100.2")).StatusCode);
        // However many there were: once.
        Assert.Equal(before + 1, Recorded());
    }

    [Fact]
    public async Task Choices_for_whom_to_act_wait_as_sign_ins_do_and_none_of_a_stranger_counts()
    {
        using var stranger = At(_address, world.Connect());
        for (var i = 0; i <= Limit; i++)
            Assert.Equal("/?acting=sign-in-first", (await stranger.PostAsync("/on-behalf/choose", null)).Headers.Location!.OriginalString);
        var cookies = new CookieContainer();
        // Counts as one.
        await world.SignInAsync(cookies, 0, gateway: _address);
        using var citizen = At(_address, world.Connect(cookies: cookies));
        for (var i = 1; i < Limit; i++)
            Assert.StartsWith(world.Outside.PublicAddress + "/oauth/authorize?", (await citizen.PostAsync("/on-behalf/choose", null)).Headers.Location!.OriginalString);
        using var held = await citizen.PostAsync("/on-behalf/choose", null);
        Assert.Equal("/on-behalf?acting=too-many", held.Headers.Location!.OriginalString);
        Assert.NotNull(held.Headers.RetryAfter);
    }

    [Fact]
    public async Task Of_IPv6_a_network_counts_as_one_address()
    {
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("2001:db8::" + i)).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await FromAsync("2001:db8::ffff:1")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("2001:db8:0:1::1")).StatusCode);
    }

    /// <summary>Whoever has a /48 has 65,536 such networks.</summary>
    [Fact]
    public async Task Of_IPv6_a_network_of_networks_has_a_limit_too()
    {
        var before = Recorded();
        for (var i = 0; i < 16 * Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync($"2001:db8:5:{i:x}::1")).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await FromAsync("2001:db8:5:ffff::1")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("2001:db8:6::1")).StatusCode);
        Assert.Equal(before + 1, Recorded());
    }

    [Fact]
    public async Task Tokens_of_ones_own_that_have_ended_are_answered_and_beyond_the_limit_recorded_as_a_number()
    {
        using var clinic = At(_address, world.Connect(world.Aurora.Certificate));
        clinic.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await TokenAsync(clinic, world.Aurora));
        var limits = _gateway.Services.GetRequiredService<AttemptLimits>();
        world.Clock.Ahead += TimeSpan.FromMinutes(6);
        for (var i = 0; i < Limit + 3; i++)
        {
            using var response = await clinic.GetAsync("/fhir/whoami");
            Assert.Equal((HttpStatusCode.Unauthorized, i >= Limit), (response.StatusCode, response.Headers.Contains("X-Counted")));
        }
        await limits.ReportAsync(default);
        Assert.Contains("3 times a nonce was told, or a token had ended", world.Refusals.All[^1].Reason);
        // A minute later each is recorded again.
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        using var later = await clinic.GetAsync("/fhir/whoami");
        Assert.False(later.Headers.Contains("X-Counted"));
    }

    [Fact]
    public async Task Who_waits_is_heard_again_after_a_minute()
    {
        for (var i = 0; i <= Limit; i++)
            _ = await FromAsync("198.51.100.1");
        Assert.Equal(HttpStatusCode.TooManyRequests, (await FromAsync("198.51.100.1")).StatusCode);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        try
        {
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("198.51.100.1")).StatusCode);
        }
        finally
        {
            world.Clock.Ahead -= TimeSpan.FromSeconds(61);
        }
    }

    [Fact]
    public async Task A_clinic_is_not_shut_out_by_a_stranger_behind_its_address()
    {
        using var stranger = At(_address, world.Connect());
        for (var i = 0; i <= Limit; i++)
            _ = await stranger.GetAsync("/fhir/whoami");
        Assert.Equal(HttpStatusCode.TooManyRequests, (await stranger.GetAsync("/fhir/whoami")).StatusCode);
        using var clinic = At(_address, world.Connect(world.Aurora.Certificate));
        clinic.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await TokenAsync(clinic, world.Aurora));
        Assert.Equal(HttpStatusCode.OK, (await clinic.GetAsync("/fhir/whoami")).StatusCode);
    }

    [Fact]
    public async Task A_clinic_that_fails_waits_at_the_token_endpoint_and_its_good_token_goes_on()
    {
        using var revontuli = At(_address, world.Connect(world.Revontuli.Certificate));
        revontuli.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await TokenAsync(revontuli, world.Revontuli));
        Assert.Equal(HttpStatusCode.OK, (await revontuli.GetAsync("/fhir/whoami")).StatusCode);

        // In another's name: it is his certificate that they count under.
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await PostAsync(revontuli, world.ClientCredentials(world.Aurora))).StatusCode);
        var held = await PostAsync(revontuli, world.ClientCredentials(world.Revontuli));
        Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
        Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Equal("temporarily_unavailable", (await held.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString());
        Assert.Equal(HttpStatusCode.OK, (await revontuli.GetAsync("/fhir/whoami")).StatusCode);

        using var aurora = At(_address, world.Connect(world.Aurora.Certificate));
        _ = await TokenAsync(aurora, world.Aurora);
    }

    [Fact]
    public async Task A_scope_that_goes_too_far_is_no_failure_to_identify()
    {
        using var clinic = At(_address, world.Connect(world.Aurora.Certificate));
        for (var i = 0; i < 2 * Limit; i++)
        {
            var form = world.ClientCredentials(world.Aurora);
            form["scope"] = "user/*.cruds";
            Assert.Equal(HttpStatusCode.BadRequest, (await PostAsync(clinic, form)).StatusCode);
        }
    }

    [Fact]
    public async Task What_a_client_asks_wrongly_that_has_proven_itself_holds_nobody_back()
    {
        using var clinic = At(_address, world.Connect(world.Aurora.Certificate));
        for (var i = 0; i < TokenLimit - 1; i++)
            Assert.Equal(HttpStatusCode.BadRequest, (await PostAsync(clinic, world.TokenExchange(world.Aurora, "stale"))).StatusCode);
        _ = await TokenAsync(clinic, world.Aurora);
    }

    [Fact]
    public async Task A_token_of_its_own_that_has_ended_holds_a_clinic_back_no_more_than_a_strangers_expired_one_goes_free()
    {
        using var revontuli = At(_address, world.Connect(world.Revontuli.Certificate));
        using var aurora = At(_address, world.Connect(world.Aurora.Certificate));
        var ended = new AuthenticationHeaderValue("Bearer", await TokenAsync(revontuli, world.Revontuli));
        world.Clock.Ahead += TimeSpan.FromMinutes(6);
        (revontuli.DefaultRequestHeaders.Authorization, aurora.DefaultRequestHeaders.Authorization) = (ended, ended);
        for (var i = 0; i < 2 * Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await revontuli.GetAsync("/fhir/whoami")).StatusCode);
        _ = await TokenAsync(revontuli, world.Revontuli);
        // Under the certificate of another it is a failure, ended or not.
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await aurora.GetAsync("/fhir/whoami")).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await aurora.GetAsync("/fhir/whoami")).StatusCode);
    }

    [Fact]
    public async Task Broken_answers_to_a_sign_in_are_recorded_up_to_the_limit()
    {
        var before = world.Refusals.All.Count;
        using var somebody = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = _terminator };
        for (var i = 0; i < 3 * Limit; i++)
            Assert.Equal("/?signin=refused", (await somebody.GetAsync("/signin-ftn?state=x&code=y")).Headers.Location!.OriginalString);
        Assert.Equal(Limit + 1, world.Refusals.All.Count - before);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancelled_sign_ins_are_recorded_up_to_the_limit(bool isOperator)
    {
        var address = new Uri($"https://localhost:{IdentificationWorld.FreePort()}");
        await using var gateway = world.BuildGateway(world.Options with { Port = address.Port, TerminatorListen = null, Identification = world.Options.Identification with { FailuresPerMinute = 3 } });
        await gateway.StartAsync();
        var before = world.Refusals.All.Count;
        for (var i = 0; i < 8; i++)
        {
            var cookies = new CookieContainer();
            var end = isOperator ? await world.SignInOperatorAsync(cookies, null, gateway: address) : await world.SignInAsync(cookies, null, gateway: address);
            Assert.Contains("signin=cancelled", end.Query);
        }
        // That there are too many is one more.
        Assert.Equal(3 + 1, world.Refusals.All.Count - before);
    }

    [Fact]
    public async Task While_the_shared_store_is_away_each_gateway_counts_alone()
    {
        await DisposeAsync();
        await StartAsync("127.0.0.1:1,connectTimeout=200,connectRetry=0,asyncTimeout=200");
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("198.51.100.1")).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await FromAsync("198.51.100.1")).StatusCode);
    }

    [Fact]
    public async Task Replays_of_an_assertion_are_failures_of_who_holds_the_certificate()
    {
        using var clinic = At(_address, world.Connect(world.Aurora.Certificate));
        var form = world.ClientCredentials(world.Aurora);
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(clinic, form)).StatusCode);
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await PostAsync(clinic, form)).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await PostAsync(clinic, form)).StatusCode);
        Assert.Equal(Limit, _seen.Count("kanta.identification.refused", "token", "invalid_client"));
    }

    [Fact]
    public async Task A_client_that_asks_for_tokens_too_often_waits_and_its_token_and_other_clinics_go_on()
    {
        using var aurora = At(_address, world.Connect(world.Aurora.Certificate));
        var token = "";
        for (var i = 0; i < TokenLimit; i++)
            token = await TokenAsync(aurora, world.Aurora);
        var before = world.Refusals.All.Count;
        for (var i = 0; i < 3; i++)
        {
            var held = await PostAsync(aurora, world.ClientCredentials(world.Aurora));
            Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
            Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
            Assert.Contains("asks for tokens too often", await held.Content.ReadAsStringAsync());
        }
        // Recorded once, under its name.
        var (client, reason) = Assert.Single(world.Refusals.All.Skip(before));
        Assert.Equal(world.Aurora.ClientId, client);
        Assert.Contains("asks for tokens too often", reason);

        aurora.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        Assert.Equal(HttpStatusCode.OK, (await aurora.GetAsync("/fhir/whoami")).StatusCode);
        using var revontuli = At(_address, world.Connect(world.Revontuli.Certificate));
        _ = await TokenAsync(revontuli, world.Revontuli);
        // To claim its name is a failure of one's own and not a part of its flood.
        Assert.Equal(HttpStatusCode.Unauthorized, (await PostAsync(revontuli, world.ClientCredentials(world.Aurora))).StatusCode);
        // Revocation comes by the same road, so that it too cannot be flooded.
        using var revoke = await aurora.PostAsync("/connect/revoke", new FormUrlEncodedContent(new Dictionary<string, string>(world.ClientCredentials(world.Aurora)) { ["token"] = token }));
        Assert.Equal(HttpStatusCode.TooManyRequests, revoke.StatusCode);
    }

    [Fact]
    public async Task Nobody_makes_another_client_wait_by_claiming_to_be_it()
    {
        using var revontuli = At(_address, world.Connect(world.Revontuli.Certificate));
        for (var i = 0; i < 2 * Limit; i++)
            _ = await PostAsync(revontuli, world.ClientCredentials(world.Aurora));
        using var stranger = At(_address, world.Connect());
        for (var i = 0; i < 2 * Limit; i++)
            _ = await PostAsync(stranger, world.ClientCredentials(world.Aurora));
        using var aurora = At(_address, world.Connect(world.Aurora.Certificate));
        _ = await TokenAsync(aurora, world.Aurora);
    }

    [Fact]
    public async Task Sign_ins_that_begin_too_often_at_one_address_wait_and_those_at_another_do_not()
    {
        using var somebody = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = _terminator };
        async Task<HttpResponseMessage> SignInAsync(string address)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/signin") { Headers = { { "X-Forwarded-For", address } } };
            return await somebody.SendAsync(request);
        }
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Redirect, (await SignInAsync("198.51.100.1")).StatusCode);
        var held = await SignInAsync("198.51.100.1");
        Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
        Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Contains("minuutin", await held.Content.ReadAsStringAsync());
        Assert.Equal(HttpStatusCode.Redirect, (await SignInAsync("198.51.100.2")).StatusCode);
    }

    [Theory]
    [InlineData("/signin", "no-cors", "image")]
    [InlineData("/signin", "navigate", "iframe")]
    [InlineData("/signin", "cors", "empty")]
    [InlineData("/operator/signin", "no-cors", "image")]
    public async Task A_page_that_only_embeds_the_sign_in_uses_up_none_of_its_visitors(string path, string mode, string destination)
    {
        using var visitor = At(_address, world.Connect());
        async Task<HttpStatusCode> OpenAsync(string path, string mode, string destination)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "Sec-Fetch-Mode", mode }, { "Sec-Fetch-Dest", destination } } };
            using var answer = await visitor.SendAsync(request);
            return answer.StatusCode;
        }
        for (var i = 0; i < 2 * Limit; i++)
            Assert.Equal(HttpStatusCode.Forbidden, await OpenAsync(path, mode, destination));
        Assert.Equal(HttpStatusCode.Redirect, await OpenAsync(path, "navigate", "document"));
    }

    [Fact]
    public async Task A_client_that_floods_does_not_keep_a_citizen_from_signing_in()
    {
        using var aurora = At(_address, world.Connect(world.Aurora.Certificate));
        for (var i = 0; i < 3 * Limit; i++)
            _ = await PostAsync(aurora, world.ClientCredentials(world.Aurora));
        using var citizen = At(_address, world.Connect());
        Assert.Equal(HttpStatusCode.Redirect, (await citizen.GetAsync("/signin")).StatusCode);
    }

    [Fact]
    public async Task What_was_refused_unexamined_is_recorded_as_a_number_and_kept_while_it_cannot_be()
    {
        var limits = _gateway.Services.GetRequiredService<AttemptLimits>();
        for (var i = 0; i < Limit + 7; i++)
            _ = await FromAsync("198.51.100.1");
        world.Refusals.IsAway = true;
        try
        {
            await Assert.ThrowsAsync<FaultException>(async () => await limits.ReportAsync(default));
        }
        finally
        {
            world.Refusals.IsAway = false;
        }
        _ = await FromAsync("198.51.100.1");
        await limits.ReportAsync(default);
        Assert.Equal("198.51.100.1: 8 attempts were refused unexamined because there were too many (failures).", world.Refusals.All[^1].Reason);
        // Once.
        var before = world.Refusals.All.Count;
        await limits.ReportAsync(default);
        Assert.Equal(before, world.Refusals.All.Count);
        // The rest stands in the log when the gateway has ended.
        _ = await FromAsync("198.51.100.1");
        await _gateway.StopAsync();
        Assert.StartsWith("198.51.100.1: 1 attempts", world.Refusals.All[^1].Reason);
    }

    [Fact]
    public async Task Who_waits_again_is_recorded_again()
    {
        for (var minute = 0; minute < 2; minute++)
        {
            var before = Recorded();
            for (var i = 0; i < Limit + 2; i++)
                _ = await FromAsync("198.51.100.1");
            Assert.Equal(before + 1, Recorded());
            world.Clock.Ahead += TimeSpan.FromSeconds(61);
        }
        world.Clock.Ahead -= TimeSpan.FromSeconds(122);
        await _gateway.Services.GetRequiredService<AttemptLimits>().ReportAsync(default);
        Assert.StartsWith("198.51.100.1: 4 attempts", world.Refusals.All[^1].Reason);
    }

    [Fact]
    public async Task Operators_see_what_was_accepted_refused_and_limited_and_why()
    {
        using var clinic = At(_address, world.Connect(world.Aurora.Certificate));
        var token = await TokenAsync(clinic, world.Aurora);
        _ = await clinic.GetAsync("/fhir/whoami");
        clinic.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        _ = await clinic.GetAsync("/fhir/whoami");
        _ = await clinic.GetAsync("/fhir/whoami");
        await _gateway.Services.GetRequiredService<Revocations>().RevokeAsync(RevokedName.Token(new JsonWebToken(token).Id), DateTimeOffset.UtcNow.AddMinutes(5));
        _ = await clinic.GetAsync("/fhir/whoami");
        for (var i = 0; i < Limit + 2; i++)
            _ = await FromAsync("198.51.100.1");

        Assert.Equal(1, _seen.Count("kanta.identification.accepted", "token"));
        Assert.Equal(2, _seen.Count("kanta.identification.accepted", "fhir"));
        Assert.Equal(1, _seen.Count("kanta.identification.refused", "fhir", "revoked"));
        Assert.Equal(Limit + 1, _seen.Count("kanta.identification.refused", "fhir", "no_token"));
        Assert.Equal(2, _seen.Count("kanta.identification.limited", "failures"));
    }

    [Theory]
    [InlineData("expired")]
    [InlineData("signature")]
    [InlineData("malformed")]
    [InlineData("certificate")]
    public async Task A_refusal_is_counted_under_its_reason(string reason)
    {
        using var clinic = At(_address, reason == "certificate" ? world.Connect(world.Revontuli.Certificate) : world.Connect(world.Aurora.Certificate));
        var token = await world.TokenAsync(world.Aurora);
        token = reason switch
        {
            "signature" => token[..^8] + "AAAAAAAA",
            "malformed" => "nonsense",
            _ => token,
        };
        clinic.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (reason == "expired")
            world.Clock.Ahead += TimeSpan.FromMinutes(6);
        try
        {
            Assert.Equal(HttpStatusCode.Unauthorized, (await clinic.GetAsync("/fhir/whoami")).StatusCode);
        }
        finally
        {
            if (reason == "expired")
                world.Clock.Ahead -= TimeSpan.FromMinutes(6);
        }
        Assert.Equal(1, _seen.Count("kanta.identification.refused", "fhir", reason));
    }

    private int Recorded() => world.Refusals.All.Count(r => r.Reason.StartsWith(TooMany, StringComparison.Ordinal));

    private async Task<HttpResponseMessage> FromAsync(string address)
    {
        using var http = new HttpClient { BaseAddress = _terminator };
        http.DefaultRequestHeaders.Add("X-Forwarded-For", address);
        return await http.GetAsync("/fhir/whoami");
    }

    private async Task<string> TokenAsync(HttpClient http, SomeClinic clinic)
    {
        using var response = await PostAsync(http, world.ClientCredentials(clinic));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("access_token").GetString()!;
    }

    private static Task<HttpResponseMessage> PostAsync(HttpClient http, Dictionary<string, string> form) => http.PostAsync("/connect/token", new FormUrlEncodedContent(form));

    private static HttpClient At(Uri address, HttpClient http)
    {
        http.BaseAddress = address;
        return http;
    }
}

/// <summary>Measurements of one host's identification.</summary>
internal sealed class SeenMetrics : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly List<(string Name, string Tags, long Value)> _seen = [];

    public void Listen(IServiceProvider services)
    {
        var mine = services.GetRequiredService<IMeterFactory>();
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == IdentificationMetrics.Meter && instrument.Meter.Scope == mine)
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            lock (_seen)
                _seen.Add((instrument.Name, string.Join(' ', tags.ToArray().Select(tag => tag.Value)), value));
        });
        _listener.Start();
    }

    public long Count(string name, params string[] tags)
    {
        lock (_seen)
            return _seen.Where(it => it.Name == name && it.Tags == string.Join(' ', tags)).Sum(it => it.Value);
    }

    public void Dispose() => _listener.Dispose();
}
