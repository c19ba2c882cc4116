using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
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
        // It is new, and nobody holds a lease.
        await new RedisRevocationLog(RedisState.Connect(_redis.Connection), TimeProvider.System).IsAwaitedAsync(0, TimeSpan.Zero);
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

    /// <summary>A citizen ends one app: nothing of it is taken any more, access token or refresh token, and another app's lives on.</summary>
    [Fact]
    public Task One_app_is_ended_at_one_gateway_and_refused_by_both_and_another_lives_on() => world.WithClientsAsync(static it => it with
    {
        Kind = ClientKind.App, RedirectUris = ["https://app.example/back"], Scopes = ["patient/*.rs", "offline_access"],
    }, async () =>
    {
        const string Verifier = "a-verifier-of-forty-three-characters-and-more";
        var person = KantaGateway.Fhir.Identifiers.Pseudonym.Read(Guid.NewGuid().ToByteArray().AsSpan(0, KantaGateway.Fhir.Identifiers.Pseudonym.Size));
        var patient = _gateways[0].Services.GetRequiredService<KantaGateway.Fhir.Identifiers.IdentifierCipher>().PatientId(person);
        var challenge = System.Buffers.Text.Base64Url.EncodeToString(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.ASCII.GetBytes(Verifier)));
        async Task<JsonElement> AskAsync(int gateway, SomeClinic app, Dictionary<string, string> form, HttpStatusCode expected = HttpStatusCode.OK)
        {
            using var http = world.Connect(app.Certificate);
            (form["client_assertion_type"], form["client_assertion"]) = ("urn:ietf:params:oauth:client-assertion-type:jwt-bearer", world.Assertion(app));
            using var response = await http.PostAsync(new Uri(_addresses[gateway], "/connect/token"), new FormUrlEncodedContent(form));
            var text = await response.Content.ReadAsStringAsync();
            Assert.True(response.StatusCode == expected, text);
            return JsonElement.Parse(text);
        }
        async Task<(HttpClient[] Readers, string Refresh)> LetAsync(SomeClinic app)
        {
            var code = await _gateways[0].Services.GetRequiredService<AppAuthorizations>().AllowAsync(new(
                new(app.ClientId, "https://app.example/back", null, challenge, ["patient/Observation.rs"]) { Access = AppGrants.OfflineAccess }, patient, IdentificationWorld.Acr));
            var given = await AskAsync(0, app, new() { ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = "https://app.example/back", ["code_verifier"] = Verifier });
            return ([.. _addresses.Select(address => Reader(address, given.GetProperty("access_token").GetString()!, app))], given.GetProperty("refresh_token").GetString()!);
        }
        // One after another: the first at a gateway has it look at the changed registrations, and whoever comes meanwhile is answered by those of before.
        static async Task<HttpStatusCode[]> ReadAsync(HttpClient[] readers)
        {
            var answers = new List<HttpStatusCode>();
            foreach (var http in readers)
                answers.Add((await http.GetAsync("/fhir/whoami")).StatusCode);
            return [.. answers];
        }
        async Task<string[]> ListedAsync(int gateway) => [.. (await _gateways[gateway].Services.GetRequiredService<AppsOfPerson>().OfAsync(person)).Select(static one => one.ClientId).Order(StringComparer.Ordinal)];

        var (ended, other) = (await LetAsync(world.Aurora), await LetAsync(world.Revontuli));
        Assert.Equal([HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.OK], await ReadAsync([.. ended.Readers, .. other.Readers]));
        Assert.Equal([world.Aurora.ClientId, world.Revontuli.ClientId], await ListedAsync(0));

        await _gateways[1].Services.GetRequiredService<AppGrants>().EndAppAsync(person, world.Aurora.ClientId, CancellationToken.None);

        Assert.Equal([HttpStatusCode.Unauthorized, HttpStatusCode.Unauthorized], await ReadAsync(ended.Readers));
        Assert.Equal("invalid_grant", (await AskAsync(0, world.Aurora, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = ended.Refresh }, HttpStatusCode.BadRequest)).GetProperty("error").GetString());
        Assert.Equal([world.Revontuli.ClientId], await ListedAsync(0));
        Assert.Equal([HttpStatusCode.OK, HttpStatusCode.OK], await ReadAsync(other.Readers));
        await AskAsync(1, world.Revontuli, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = other.Refresh });
    });

    /// <summary>RFC 7009.</summary>
    [Fact]
    public async Task A_client_revokes_its_token_and_both_gateways_refuse_it()
    {
        var token = await world.TokenAsync(world.Aurora);
        var other = await world.TokenAsync(world.Aurora);
        using var first = Reader(_addresses[0], token);
        using var second = Reader(_addresses[1], token);
        Assert.Equal(HttpStatusCode.OK, (await first.GetAsync("/fhir/whoami")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await second.GetAsync("/fhir/whoami")).StatusCode);

        Assert.Equal(HttpStatusCode.OK, (await PostAsync(1, "/connect/revoke", token)).Status);

        Assert.Equal(HttpStatusCode.Unauthorized, (await first.GetAsync("/fhir/whoami")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await second.GetAsync("/fhir/whoami")).StatusCode);
        // Revoked is what was named, and nothing else; and once more is no error.
        using var third = Reader(_addresses[0], other);
        Assert.Equal(HttpStatusCode.OK, (await third.GetAsync("/fhir/whoami")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(0, "/connect/revoke", token)).Status);
    }

    /// <summary>RFC 7009 §2.2: what the client cannot have means nothing to it.</summary>
    [Fact]
    public async Task Another_clients_token_and_nonsense_are_answered_alike_and_change_nothing()
    {
        var token = await world.TokenAsync(world.Aurora);
        var foreign = await PostAsync(0, "/connect/revoke", token, world.Revontuli);
        var nonsense = await PostAsync(0, "/connect/revoke", "nonsense", world.Revontuli);
        Assert.Equal((HttpStatusCode.OK, foreign.Body.ToString()), (nonsense.Status, nonsense.Body.ToString()));
        Assert.Equal(HttpStatusCode.OK, foreign.Status);
        using var http = Reader(_addresses[0], token);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/fhir/whoami")).StatusCode);
    }

    /// <summary>RFC 7662 §2.2, RFC 8705 §3.2.</summary>
    [Fact]
    public async Task Introspection_describes_a_token_until_it_is_revoked_at_the_other_gateway()
    {
        var subject = await world.SubjectTokenAsync("aurora", "90001");
        var (_, issued) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, subject), world.Aurora.Certificate);
        var token = issued.GetProperty("access_token").GetString()!;
        var (status, body) = await PostAsync(0, "/connect/introspect", token);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.True(body.GetProperty("active").GetBoolean());
        Assert.Equal("user/*.cruds", body.GetProperty("scope").GetString());
        Assert.Equal(world.Aurora.ClientId, body.GetProperty("client_id").GetString());
        Assert.Equal(world.Options.PublicAddress + "/fhir", body.GetProperty("aud").GetString());
        Assert.Equal(world.Aurora.Certificate.Thumbprint, body.GetProperty("cnf").GetProperty("x5t#S256").GetString());
        Assert.True(body.GetProperty("exp").GetInt64() > 0);

        await PostAsync(1, "/connect/revoke", token);
        AssertInactive(await PostAsync(0, "/connect/introspect", token));
    }

    [Theory]
    [InlineData("professional")]
    [InlineData("client")]
    public async Task Introspection_knows_what_was_revoked_with_its_bearer(string kind)
    {
        var subject = await world.SubjectTokenAsync("aurora", "90001");
        var (_, issued) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, subject), world.Aurora.Certificate);
        await _gateways[1].Services.GetRequiredService<Revocations>().RevokeAsync(
            kind == "client" ? RevokedName.Client(world.Aurora.ClientId) : RevokedName.Professional(world.Aurora.Organisation, "90001"), DateTimeOffset.UtcNow.AddMinutes(5));
        AssertInactive(await PostAsync(0, "/connect/introspect", issued.GetProperty("access_token").GetString()!));
    }

    [Fact]
    public async Task A_foreign_an_expired_and_a_malformed_token_are_not_active()
    {
        var token = await world.TokenAsync(world.Aurora);
        AssertInactive(await PostAsync(0, "/connect/introspect", token, world.Revontuli));
        AssertInactive(await PostAsync(0, "/connect/introspect", "nonsense"));
        AssertInactive(await PostAsync(0, "/connect/introspect", world.Assertion(world.Aurora)));
        world.Clock.Ahead += TimeSpan.FromMinutes(6);
        try
        {
            AssertInactive(await PostAsync(0, "/connect/introspect", token));
        }
        finally
        {
            world.Clock.Ahead -= TimeSpan.FromMinutes(6);
        }
    }

    [Theory]
    [InlineData("/connect/introspect")]
    [InlineData("/connect/revoke")]
    public async Task Both_endpoints_authenticate_the_client_before_they_look_at_the_token(string path)
    {
        var token = await world.TokenAsync(world.Aurora);
        var before = world.Refusals.All.Count;
        using var http = world.Connect(world.Aurora.Certificate);
        http.BaseAddress = _addresses[0];
        // Nothing, then a foreign key, then a used assertion.
        foreach (var form in (Dictionary<string, string>[])
        [
            new() { ["token"] = token, ["client_id"] = world.Aurora.ClientId },
            new(FormOf(token, world.Aurora)) { ["client_assertion"] = world.Assertion(world.Aurora, signing: new(world.Revontuli.Key, "RS384")) },
        ])
        {
            using var response = await http.PostAsync(path, new FormUrlEncodedContent(form));
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            Assert.Contains("invalid_client", await response.Content.ReadAsStringAsync());
        }
        var used = FormOf("nonsense", world.Aurora);
        using (var once = await http.PostAsync(path, new FormUrlEncodedContent(used)))
            Assert.Equal(HttpStatusCode.OK, once.StatusCode);
        using (var twice = await http.PostAsync(path, new FormUrlEncodedContent(used)))
            Assert.Contains("used before", await twice.Content.ReadAsStringAsync());
        Assert.Equal(3, world.Refusals.All.Count - before);

        using var query = await http.GetAsync($"{path}?token=x");
        Assert.Equal(HttpStatusCode.BadRequest, query.StatusCode);
        using var reader = Reader(_addresses[0], token);
        Assert.Equal(HttpStatusCode.OK, (await reader.GetAsync("/fhir/whoami")).StatusCode);
    }

    private static void AssertInactive((HttpStatusCode Status, JsonElement Body) answer)
    {
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal("""{"active":false}""", JsonSerializer.Serialize(answer.Body));
    }

    private Dictionary<string, string> FormOf(string token, SomeClinic clinic) => new()
    {
        ["token"] = token, ["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ["client_assertion"] = world.Assertion(clinic),
    };

    private async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(int gateway, string path, string token, SomeClinic? clinic = null)
    {
        clinic ??= world.Aurora;
        using var http = world.Connect(clinic.Certificate);
        using var response = await http.PostAsync(new Uri(_addresses[gateway], path), new FormUrlEncodedContent(FormOf(token, clinic)));
        var text = await response.Content.ReadAsStringAsync();
        return (response.StatusCode, text.Length == 0 ? default : JsonDocument.Parse(text).RootElement);
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
        using var response = await http.GetAsync("/fhir/whoami");
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
