using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;

namespace KantaGateway.Tests.Identification;

/// <summary>Who fails to identify too often has to wait, and nobody else.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class AttemptLimitsTests(IdentificationWorld world) : IAsyncLifetime
{
    private const int Limit = 5;
    private const string TooMany = "Too many attempts";

    private WebApplication _gateway = null!;
    private Uri _address = null!, _terminator = null!;

    public Task InitializeAsync() => StartAsync(null);

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    private async Task StartAsync(string? redis)
    {
        (_address, _terminator) = (new($"https://localhost:{IdentificationWorld.FreePort()}"), new($"http://127.0.0.1:{IdentificationWorld.FreePort()}"));
        _gateway = world.BuildGateway(world.Options with
        {
            Port = _address.Port, TerminatorListen = $"http://127.0.0.1:{_terminator.Port}", Redis = redis,
            Identification = world.Options.Identification with { FailuresPerMinute = Limit },
        });
        await _gateway.StartAsync();
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
    public async Task Of_IPv6_a_network_counts_as_one_address()
    {
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("2001:db8::" + i)).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await FromAsync("2001:db8::ffff:1")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("2001:db8:0:1::1")).StatusCode);
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
    public async Task Broken_answers_to_a_sign_in_are_recorded_up_to_the_limit()
    {
        var before = world.Refusals.All.Count;
        using var somebody = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = _terminator };
        for (var i = 0; i < 3 * Limit; i++)
            Assert.Equal("/?signin=refused", (await somebody.GetAsync("/signin-ftn?state=x&code=y")).Headers.Location!.OriginalString);
        Assert.Equal(Limit + 1, world.Refusals.All.Count - before);
    }

    [Fact]
    public async Task While_the_shared_store_is_away_each_gateway_counts_alone()
    {
        await _gateway.DisposeAsync();
        await StartAsync("127.0.0.1:1,connectTimeout=200,connectRetry=0,asyncTimeout=200");
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await FromAsync("198.51.100.1")).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await FromAsync("198.51.100.1")).StatusCode);
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
