using System.Net;
using System.Net.Http.Headers;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification;

/// <summary>Revocation takes effect at once on each of two gateways over one Redis.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class RevokedTokenTests(IdentificationWorld world) : IAsyncLifetime
{
    private TestRedis _redis = null!;
    private readonly WebApplication[] _gateways = new WebApplication[2];
    private readonly Uri[] _addresses = new Uri[2];

    public async Task InitializeAsync()
    {
        _redis = await TestRedis.StartAsync();
        for (var i = 0; i < 2; i++)
        {
            _addresses[i] = new($"https://localhost:{IdentificationWorld.FreePort()}");
            _gateways[i] = world.BuildGateway(world.Options with { Port = _addresses[i].Port, TerminatorListen = null, Redis = _redis.Connection });
            await _gateways[i].StartAsync();
        }
    }

    public async Task DisposeAsync()
    {
        foreach (var gateway in _gateways)
            await gateway.DisposeAsync();
        await _redis.DisposeAsync();
    }

    [Theory]
    [InlineData("token")]
    [InlineData("client")]
    [InlineData("professional")]
    public async Task What_is_revoked_at_one_gateway_is_refused_by_both_while_they_read(string kind)
    {
        var subject = await world.SubjectTokenAsync("aurora", "90001");
        var (_, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, subject), world.Aurora.Certificate);
        var token = body.GetProperty("access_token").GetString()!;
        var name = kind switch
        {
            "token" => RevokedName.Token(new Microsoft.IdentityModel.JsonWebTokens.JsonWebToken(token).Id),
            "client" => RevokedName.Client(world.Aurora.ClientId),
            _ => RevokedName.Professional(world.Aurora.Organisation, "90001"),
        };
        var revoked = false;
        var readers = _addresses.Select(address => Task.Run(async () =>
        {
            using var http = Reader(address, token);
            var served = 0;
            while (true)
            {
                // Read before the request begins: what begins after the answer must not be served.
                var after = Volatile.Read(ref revoked);
                using var response = await http.GetAsync("/fhir/whoami");
                if (response.StatusCode != HttpStatusCode.OK)
                {
                    Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
                    Assert.Contains("revoked", response.Headers.WwwAuthenticate.ToString());
                    return served;
                }
                Assert.False(after, "Served after the revocation was answered.");
                served++;
                if (served == 20)
                    _reading.Release();
            }
        })).ToArray();
        foreach (var _ in readers)
            await _reading.WaitAsync();
        await _gateways[0].Services.GetRequiredService<Revocations>().RevokeAsync(name, DateTimeOffset.UtcNow.AddMinutes(5));
        Volatile.Write(ref revoked, true);
        Assert.All(await Task.WhenAll(readers), served => Assert.True(served >= 20));

        // Another clinic's goes on.
        using var revontuli = Reader(_addresses[1], await world.TokenAsync(world.Revontuli), world.Revontuli);
        Assert.Equal(HttpStatusCode.OK, (await revontuli.GetAsync("/fhir/whoami")).StatusCode);
    }

    [Fact]
    public async Task A_gateway_that_cannot_know_refuses_a_good_token_as_an_outage()
    {
        var address = new Uri($"https://localhost:{IdentificationWorld.FreePort()}");
        await using var gateway = world.BuildGateway(world.Options with
        {
            Port = address.Port, TerminatorListen = null, Redis = "127.0.0.1:1,connectTimeout=200,connectRetry=0,asyncTimeout=200",
        });
        await gateway.StartAsync();
        using var http = Reader(address, await world.TokenAsync(world.Aurora));
        var response = await http.GetAsync("/fhir/whoami");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.NotNull(response.Headers.RetryAfter);
        Assert.Contains("cannot be known at the moment", await response.Content.ReadAsStringAsync());
    }

    private readonly SemaphoreSlim _reading = new(0);

    private HttpClient Reader(Uri address, string token, SomeClinic? clinic = null)
    {
        var http = world.Connect((clinic ?? world.Aurora).Certificate);
        http.BaseAddress = address;
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return http;
    }
}
