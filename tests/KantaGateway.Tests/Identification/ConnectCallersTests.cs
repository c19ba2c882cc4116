using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification;

/// <summary>Who asks is the first question at every endpoint of the authorization server, and is answered the same way.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class ConnectCallersTests(IdentificationWorld world) : IAsyncLifetime
{
    private const int Limit = 5;
    private const string AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    private static readonly string[] Endpoints = ["/connect/token", "/connect/par", "/connect/introspect", "/connect/revoke"];

    private readonly StoppableState _shared = new(new MemoryState(TimeProvider.System));
    private WebApplication _gateway = null!;
    private Uri _address = null!;

    public async Task InitializeAsync()
    {
        world.WriteClients();
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        _address = new($"https://localhost:{IdentificationWorld.FreePort()}");
        _gateway = world.BuildGateway(
            world.Options with { Port = _address.Port, TerminatorListen = null, Identification = world.Options.Identification with { FailuresPerMinute = Limit, TokenRequestsPerMinute = Limit } },
            builder => builder.Services.AddSingleton<ISharedState>(_shared));
        await _gateway.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        world.WriteClients();
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    [Theory]
    [InlineData("no assertion")]
    [InlineData("another's certificate")]
    [InlineData("an assertion that is none")]
    [InlineData("an assertion of nobody")]
    [InlineData("a used assertion")]
    [InlineData("another client_id")]
    [InlineData("a suspended client")]
    [InlineData("no certificate")]
    public async Task Who_is_not_identified_is_told_the_same_everywhere_whatever_else_is_wrong(string what)
    {
        var used = world.Assertion(world.Aurora);
        using (var first = await PostAsync("/connect/introspect", new() { ["token"] = "x", ["client_assertion_type"] = AssertionType, ["client_assertion"] = used }))
            Assert.Equal(HttpStatusCode.OK, first.StatusCode);
        if (what == "a suspended client")
        {
            world.WriteClients(it => it with { Status = ClientStatus.Suspended });
            world.Clock.Ahead += TimeSpan.FromSeconds(2);
        }
        var told = new List<string>();
        foreach (var endpoint in Endpoints)
        {
            // No token, no grant_type, no response_type: nothing is looked at before.
            var form = new Dictionary<string, string> { ["client_assertion_type"] = AssertionType, ["client_assertion"] = world.Assertion(world.Aurora) };
            switch (what)
            {
                case "no assertion": form = new() { ["client_id"] = world.Aurora.ClientId }; break;
                case "an assertion that is none": form["client_assertion"] = "a.b.c"; break;
                case "an assertion of nobody": form["client_assertion"] = world.Assertion(world.Aurora, claims => claims["iss"] = claims["sub"] = "nobody"); break;
                case "a used assertion": form["client_assertion"] = used; break;
                case "another client_id": form["client_id"] = world.Revontuli.ClientId; break;
            }
            var before = world.Refusals.All.Count;
            using var response = await PostAsync(endpoint, form, what == "another's certificate" ? world.Revontuli.Certificate : what == "no certificate" ? null : world.Aurora.Certificate);
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            Assert.True(response.Headers.CacheControl!.NoStore);
            var body = await response.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal(["error", "error_description"], body.EnumerateObject().Select(static member => member.Name).Order());
            var refused = Assert.Single(world.Refusals.All.Skip(before));
            told.Add($"{body.GetProperty("error")}, {body.GetProperty("error_description")} {refused.Client}: {refused.Reason}");
        }
        Assert.StartsWith("invalid_client, ", Assert.Single(told.Distinct()));
    }

    [Fact]
    public async Task Who_is_identified_and_asks_for_nothing_is_told_so_and_has_not_failed()
    {
        world.WriteClients(it => it with { Kind = ClientKind.App, RedirectUris = ["https://app.example/back"], Scopes = ["patient/*.rs"] });
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        foreach (var endpoint in Endpoints)
        {
            using var response = await PostAsync(endpoint, new() { ["client_assertion_type"] = AssertionType, ["client_assertion"] = world.Assertion(world.Aurora) });
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            Assert.NotEqual("invalid_client", (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString());
        }
        foreach (var endpoint in Endpoints)
            for (var i = 0; i < Limit; i++)
                using (var response = await PostAsync(endpoint, new() { ["client_assertion_type"] = AssertionType, ["client_assertion"] = world.Assertion(world.Revontuli) }, world.Revontuli.Certificate))
                    Assert.NotEqual(HttpStatusCode.Unauthorized, response.StatusCode);
    }

    [Fact]
    public async Task Failures_at_all_of_them_are_counted_together_and_who_waits_waits_everywhere()
    {
        for (var i = 0; i < Limit; i++)
            using (var failed = await PostAsync(Endpoints[i % Endpoints.Length], new() { ["client_id"] = world.Aurora.ClientId }))
                Assert.Equal(HttpStatusCode.Unauthorized, failed.StatusCode);
        foreach (var endpoint in Endpoints)
            await HeldAsync(endpoint, "Too many attempts");
    }

    [Fact]
    public async Task Requests_at_all_of_them_are_counted_together_and_who_waits_waits_everywhere()
    {
        for (var i = 0; i <= Limit; i++)
            using (var asked = await PostAsync(Endpoints[i % Endpoints.Length], new() { ["client_assertion_type"] = AssertionType, ["client_assertion"] = world.Assertion(world.Aurora) }))
                Assert.Equal(i == Limit ? HttpStatusCode.TooManyRequests : HttpStatusCode.BadRequest, asked.StatusCode);
        foreach (var endpoint in Endpoints)
            await HeldAsync(endpoint, "too often");
    }

    [Fact]
    public async Task A_store_that_does_not_answer_is_an_outage_everywhere()
    {
        _shared.IsAway = true;
        var told = new List<string>();
        foreach (var endpoint in Endpoints)
        {
            using var response = await PostAsync(endpoint, new() { ["token"] = "x", ["grant_type"] = "client_credentials", ["client_assertion_type"] = AssertionType, ["client_assertion"] = world.Assertion(world.Aurora) });
            Assert.Equal((HttpStatusCode.ServiceUnavailable, 5), (response.StatusCode, response.Headers.RetryAfter!.Delta!.Value.TotalSeconds));
            told.Add(await response.Content.ReadAsStringAsync());
        }
        Assert.Single(told.Select(static text => JsonDocument.Parse(text).RootElement.GetProperty("error_description").GetString()).Distinct());
        Assert.All(told, static text => Assert.Contains("temporarily_unavailable", text));
    }

    /// <summary>Neither a token nor an assertion belongs into a URL.</summary>
    [Theory]
    [InlineData("/connect/introspect")]
    [InlineData("/connect/revoke")]
    [InlineData("/connect/token")]
    [InlineData("/connect/par")]
    public async Task Nothing_is_asked_by_GET(string endpoint)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.GetAsync(new Uri(_address, $"{endpoint}?token=x&client_assertion_type={Uri.EscapeDataString(AssertionType)}&client_assertion={world.Assertion(world.Aurora)}"));
        Assert.True(response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.MethodNotAllowed or HttpStatusCode.NotFound, response.StatusCode.ToString());
    }

    private async Task HeldAsync(string endpoint, string says)
    {
        using var response = await PostAsync(endpoint, new() { ["client_assertion_type"] = AssertionType, ["client_assertion"] = world.Assertion(world.Aurora) });
        Assert.Equal(HttpStatusCode.TooManyRequests, response.StatusCode);
        Assert.InRange(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        var body = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("temporarily_unavailable", body.GetProperty("error").GetString());
        Assert.Contains(says, body.GetProperty("error_description").GetString());
    }

    private Task<HttpResponseMessage> PostAsync(string endpoint, Dictionary<string, string> form) => PostAsync(endpoint, form, world.Aurora.Certificate);

    private async Task<HttpResponseMessage> PostAsync(string endpoint, Dictionary<string, string> form, Simulators.IssuedCertificate? certificate)
    {
        using var http = world.Connect(certificate);
        return await http.PostAsync(new Uri(_address, endpoint), new FormUrlEncodedContent(form));
    }

    private sealed class StoppableState(ISharedState inner) : ISharedState
    {
        public bool IsAway { get; set; }

        private ISharedState Inner => IsAway ? throw new SharedStateException("away") : inner;

        public ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from) => Inner.AddAsync(key, life, from);
        public ValueTask SetAsync(string key, byte[] value, TimeSpan life) => Inner.SetAsync(key, value, life);
        public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life) => Inner.ReplaceAsync(key, value, life);
        public ValueTask<byte[]?> GetAsync(string key) => Inner.GetAsync(key);
        public ValueTask RemoveAsync(string key) => Inner.RemoveAsync(key);
        public ValueTask<long> CountAsync(string key, TimeSpan life) => Inner.CountAsync(key, life);
        public ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace) => Inner.SpreadAsync(sets, member, hold, trace);
        public ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within) => Inner.TracesAsync(key, within);
        public ValueTask SettleAsync(string set) => Inner.SettleAsync(set);
        public ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after) => Inner.TakeUnsettledAsync(after);
        public ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member) => Inner.WithdrawAsync(sets, member);
        public ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most) => Inner.PutAsync(group, member, value, life, most);
        public ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group) => Inner.ValuesAsync(group);
    }
}
