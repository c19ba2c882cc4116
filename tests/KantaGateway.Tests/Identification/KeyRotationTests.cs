using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Dpop;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Tests.Identification;

/// <summary>One token key follows another, and nobody is signed out or refused because of it.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class KeyRotationTests : IAsyncLifetime
{
    private const int Adult = 0;

    private readonly IdentificationWorld world;
    private readonly TimeSpan _began;
    private readonly string _nextFile = Path.GetTempFileName();
    private readonly string _old, _next;
    private readonly List<WebApplication> _gateways = [];

    public KeyRotationTests(IdentificationWorld world)
    {
        this.world = world;
        _began = world.Clock.Ahead;
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(_nextFile, key.ExportPkcs8PrivateKeyPem());
        (_old, _next) = (new TokenKey(world.Options.Identification.TokenKeyFile).Signing.KeyId, new TokenKey(_nextFile).Signing.KeyId);
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var gateway in _gateways)
            await gateway.DisposeAsync();
        world.Clock.Ahead = _began;
        File.Delete(_nextFile);
    }

    [Fact]
    public async Task Tokens_of_the_old_key_live_on_and_new_ones_are_signed_with_the_new_one_from_its_moment_on()
    {
        var gateway = await StartAsync(TimeSpan.FromMinutes(6));
        Assert.Equal([_old, _next], await PublishedAsync(gateway));
        Pass(minutes: 5.9);
        var before = await TokenAsync(gateway);
        Assert.Equal(_old, KidOf(before));
        Pass(minutes: 0.2);

        var after = await TokenAsync(gateway);
        Assert.Equal(_next, KidOf(after));
        foreach (var token in new[] { before, after })
        {
            Assert.Equal(HttpStatusCode.OK, await AskAsync(gateway, token));
            Assert.True(await IsActiveAsync(gateway, token));
        }
    }

    [Fact]
    public async Task A_gateway_that_has_just_been_told_of_a_key_announces_it_for_five_minutes()
    {
        var gateway = await StartAsync(TimeSpan.FromMinutes(-1));
        Assert.Equal([_old, _next], await PublishedAsync(gateway));
        Pass(minutes: 4.9);
        Assert.Equal(_old, KidOf(await TokenAsync(gateway)));
        Pass(minutes: 0.2);
        Assert.Equal(_next, KidOf(await TokenAsync(gateway)));
    }

    /// <summary>It might be alone with the old one by then.</summary>
    [Fact]
    public async Task A_gateway_that_starts_long_after_the_moment_signs_with_the_new_key_at_once() =>
        Assert.Equal(_next, KidOf(await TokenAsync(await StartAsync(TimeSpan.FromMinutes(-61)))));

    [Fact]
    public async Task Tokens_of_a_key_that_was_taken_out_are_refused()
    {
        var token = await TokenAsync(await StartAsync(TimeSpan.FromMinutes(30)));
        var gateway = await StartAsync(signsFrom: null);
        Assert.Equal([_next], await PublishedAsync(gateway));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(gateway, token));
        Assert.False(await IsActiveAsync(gateway, token));
        Assert.Equal(HttpStatusCode.OK, await AskAsync(gateway, await TokenAsync(gateway)));
    }

    [Fact]
    public async Task A_session_survives_the_rotation_and_then_needs_the_old_key_no_longer()
    {
        await using var redis = await TestRedis.FindAsync();
        var (gateway, later) = (await StartAsync(TimeSpan.FromMinutes(6), redis.Connection), await StartAsync(signsFrom: null, redis.Connection));
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, Adult, gateway: gateway);
        Assert.Equal(HttpStatusCode.Unauthorized, await SeeAsync(later, cookies));
        Pass(minutes: 6.1);
        Assert.Equal(HttpStatusCode.OK, await SeeAsync(gateway, cookies));
        Assert.Equal(HttpStatusCode.OK, await SeeAsync(later, cookies));
    }

    [Fact]
    public async Task Two_gateways_that_are_told_at_different_moments_take_each_others_tokens_and_nonces_all_the_time()
    {
        var first = await StartAsync(TimeSpan.FromMinutes(1));
        Pass(minutes: 2);
        var second = await StartAsync(TimeSpan.FromMinutes(-1));
        foreach (var (minutes, ofFirst, ofSecond) in new[] { (0.0, _old, _old), (3.1, _next, _old), (2.0, _next, _next) })
        {
            Pass(minutes);
            foreach (var (gateway, kid) in new[] { (first, ofFirst), (second, ofSecond) })
            {
                var token = await TokenAsync(gateway);
                Assert.Equal(kid, KidOf(token));
                Assert.Equal(HttpStatusCode.OK, await AskAsync(first, token));
                Assert.Equal(HttpStatusCode.OK, await AskAsync(second, token));
            }
            var (one, other) = (_gateways[0].Services.GetRequiredService<DpopNonces>(), _gateways[1].Services.GetRequiredService<DpopNonces>());
            Assert.Equal(ofFirst == ofSecond, one.Current == other.Current);
            Assert.True(one.IsGood(other.Current));
            Assert.True(other.IsGood(one.Current));
        }
    }

    [Fact]
    public void The_same_key_in_two_files_does_not_start()
    {
        var options = world.Options.Identification with { FollowingTokenKeys = [new() { File = world.Options.Identification.TokenKeyFile, SignsFrom = Now }] };
        Assert.Throws<InvalidDataException>(() => TokenKeys.Read(options));
    }

    private DateTimeOffset Now => world.Clock.GetUtcNow();

    private void Pass(double minutes) => world.Clock.Ahead += TimeSpan.FromMinutes(minutes);

    private static string KidOf(string token) => new JsonWebToken(token).Kid;

    /// <param name="signsFrom">When the next key takes over, from now; null: it is the only one.</param>
    private async Task<Uri> StartAsync(TimeSpan? signsFrom, string? redis = null)
    {
        var address = new Uri($"https://localhost:{IdentificationWorld.FreePort()}");
        var identification = signsFrom is { } ahead
            ? world.Options.Identification with { FollowingTokenKeys = [new() { File = _nextFile, SignsFrom = Now + ahead }] }
            : world.Options.Identification with { TokenKeyFile = _nextFile };
        var gateway = world.BuildGateway(world.Options with { Port = address.Port, TerminatorListen = null, Redis = redis, Identification = identification with { Operators = null } });
        _gateways.Add(gateway);
        await gateway.StartAsync();
        return address;
    }

    private async Task<IEnumerable<string?>> PublishedAsync(Uri gateway)
    {
        using var http = world.Connect();
        var keys = await http.GetFromJsonAsync<JsonElement>(new Uri(gateway, "/.well-known/jwks"));
        return keys.GetProperty("keys").EnumerateArray().Select(key => key.GetProperty("kid").GetString());
    }

    private async Task<string> TokenAsync(Uri gateway)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.PostAsync(new Uri(gateway, "/connect/token"), new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("access_token").GetString()!;
    }

    private async Task<bool> IsActiveAsync(Uri gateway, string token)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        var form = new Dictionary<string, string>(world.ClientCredentials(world.Aurora)) { ["token"] = token };
        using var response = await http.PostAsync(new Uri(gateway, "/connect/introspect"), new FormUrlEncodedContent(form));
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("active").GetBoolean();
    }

    private async Task<HttpStatusCode> AskAsync(Uri gateway, string token)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var response = await http.GetAsync(new Uri(gateway, "/fhir/whoami"));
        return response.StatusCode;
    }

    private async Task<HttpStatusCode> SeeAsync(Uri gateway, CookieContainer cookies)
    {
        using var http = world.Connect(cookies: cookies);
        using var response = await http.GetAsync(new Uri(gateway, "/whoami"));
        return response.StatusCode;
    }
}
