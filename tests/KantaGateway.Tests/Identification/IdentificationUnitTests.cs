using System.Text;
using KantaGateway.Gateway.Identification;
using Microsoft.Extensions.Time.Testing;
using StackExchange.Redis;

namespace KantaGateway.Tests.Identification;

public sealed class SmartScopeTests
{
    [Theory]
    [InlineData("system/*.cruds")]
    [InlineData("user/Observation.rs")]
    [InlineData("patient/Patient.r")]
    [InlineData("patient/Observation.rs?category=laboratory")]
    [InlineData("user/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory&status=final")]
    public void Accepts_a_scope(string text)
    {
        Assert.True(SmartScope.TryParse(text, out var scope));
        Assert.Equal(text, scope.ToString());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("openid")]
    [InlineData("system/*.read")]
    [InlineData("system/*.")]
    [InlineData("system/*.dc")]
    [InlineData("system/*.rr")]
    [InlineData("system/observation.r")]
    [InlineData("admin/*.r")]
    [InlineData("system/Obs ervation.r")]
    [InlineData("system.x/Observation")]
    [InlineData("system/Observation.rs?")]
    [InlineData("system/Observation.rs?category")]
    [InlineData("system/Observation.rs?_id=1")]
    [InlineData("system/Observation.rs?category=a b")]
    [InlineData("system/Observation.rs?category=\"a\"")]
    [InlineData("system/*.rs?category=laboratory")]
    [InlineData("system/Observation?category=laboratory")]
    public void Rejects_a_scope(string? text) => Assert.False(SmartScope.TryParse(text, out _));

    [Theory]
    [InlineData("system/*.cruds", "system/Observation.rs", true)]
    [InlineData("system/Observation.rs", "system/Observation.r", true)]
    [InlineData("system/Observation.rs", "system/*.r", false)]
    [InlineData("system/Observation.rs", "system/Observation.d", false)]
    [InlineData("system/Observation.rs", "system/Condition.r", false)]
    [InlineData("system/*.cruds", "user/Observation.r", false)]
    [InlineData("system/*.cruds", "system/Observation.rs?status=final", true)]
    [InlineData("system/Observation.rs", "system/Observation.rs?status=final", true)]
    [InlineData("system/Observation.rs?status=final", "system/Observation.rs", false)]
    [InlineData("system/Observation.rs?status=final", "system/Observation.r?status=final", true)]
    [InlineData("system/Observation.rs?status=final", "system/Observation.rs?status=final&code=1", true)]
    [InlineData("system/Observation.rs?status=final&code=1", "system/Observation.rs?code=1&status=final", true)]
    [InlineData("system/Observation.rs?status=final&code=1", "system/Observation.rs?status=final", false)]
    [InlineData("system/Observation.rs?status=final", "system/Observation.rs?status=final,amended", false)]
    [InlineData("system/Observation.rs?code=a|1", "system/Observation.rs?code=a%7C1", true)]
    [InlineData("system/Observation.rs?code=1", "system/Condition.rs?code=1", false)]
    public void Covers_what_it_contains(string wide, string narrow, bool covers)
    {
        Assert.True(SmartScope.TryParse(wide, out var a) && SmartScope.TryParse(narrow, out var b) && a.Covers(b) == covers);
    }
}

public sealed class RecentCacheTests
{
    [Fact]
    public void Never_holds_more_than_its_capacity_and_keeps_what_is_used()
    {
        var cache = new RecentCache<int, int>(100);
        for (var i = 0; i < 10_000; i++)
        {
            cache.Set(i, i);
            Assert.True(cache.TryGet(0, out _) || i == 0);
        }
        Assert.InRange(Enumerable.Range(0, 10_000).Count(i => cache.TryGet(i, out _)), 1, 100);
    }
}

public sealed class MemoryStateTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task A_key_can_be_added_once_until_it_ends()
    {
        var state = new MemoryState(_time);
        Assert.True(await state.AddAsync("a", TimeSpan.FromMinutes(5)));
        Assert.False(await state.AddAsync("a", TimeSpan.FromMinutes(5)));
        _time.Advance(TimeSpan.FromMinutes(5));
        Assert.True(await state.AddAsync("a", TimeSpan.FromMinutes(5)));
    }

    [Fact]
    public async Task What_may_have_been_used_before_the_start_is_not_taken()
    {
        var state = new MemoryState(_time);
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("a", TimeSpan.FromMinutes(5), _time.GetUtcNow().AddSeconds(-12)));
        Assert.True(await state.AddAsync("a", TimeSpan.FromMinutes(5), _time.GetUtcNow().AddSeconds(-10)));
    }

    [Fact]
    public async Task A_full_store_refuses_rather_than_forgets_and_takes_more_when_entries_have_ended()
    {
        var state = new MemoryState(_time, 3);
        foreach (var key in new[] { "a", "b", "c" })
            Assert.True(await state.AddAsync(key, TimeSpan.FromMinutes(5)));
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("d", TimeSpan.FromMinutes(5)));
        _time.Advance(TimeSpan.FromMinutes(5));
        Assert.True(await state.AddAsync("d", TimeSpan.FromMinutes(5)));
    }

    [Fact]
    public async Task A_kind_of_key_that_is_full_leaves_the_others_their_room()
    {
        var state = new MemoryState(_time, 3);
        for (var i = 0; i < 3; i++)
            Assert.True(await state.AddAsync($"assertion:{i}", TimeSpan.FromMinutes(5)));
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("assertion:4", TimeSpan.FromMinutes(5)));
        for (var i = 0; i < 3; i++)
            await state.SetAsync($"session:{i}", [1], TimeSpan.FromMinutes(5));
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.SetAsync("session:4", [1], TimeSpan.FromMinutes(5)));
        await state.RemoveAsync("session:0");
        await state.SetAsync("session:4", [1], TimeSpan.FromMinutes(5));
        Assert.Equal([1], (await state.GetAsync("session:4"))!);
    }

    [Fact]
    public async Task Only_what_is_there_can_be_replaced()
    {
        var state = new MemoryState(_time);
        Assert.False(await state.ReplaceAsync("a", [1], TimeSpan.FromMinutes(5)));
        Assert.Null(await state.GetAsync("a"));
        await state.SetAsync("a", [1], TimeSpan.FromMinutes(5));
        Assert.True(await state.ReplaceAsync("a", [2], TimeSpan.FromMinutes(10)));
        _time.Advance(TimeSpan.FromMinutes(9));
        Assert.Equal([2], (await state.GetAsync("a"))!);
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.False(await state.ReplaceAsync("a", [3], TimeSpan.FromMinutes(5)));
        Assert.Null(await state.GetAsync("a"));
    }

    [Fact]
    public async Task Groups_are_forgotten_for_others_only_when_all_of_them_has_ended()
    {
        var state = new MemoryState(_time, 2);
        await state.PutAsync("a", "1", [1], TimeSpan.FromMinutes(5), 9);
        await state.PutAsync("b", "1", [2], TimeSpan.FromMinutes(10), 9);
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.PutAsync("c", "1", [3], TimeSpan.FromMinutes(5), 9));
        _time.Advance(TimeSpan.FromMinutes(5));
        await state.PutAsync("c", "1", [3], TimeSpan.FromMinutes(5), 9);
        Assert.Equal([2], Assert.Single(await state.ValuesAsync("b")));
        Assert.Equal([3], Assert.Single(await state.ValuesAsync("c")));
    }
}

/// <summary>Groups of what ends one by one, in memory and over a real Redis.</summary>
public sealed class SharedGroupTests : IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly string _group = Guid.NewGuid().ToString();
    private TestRedis _server = null!;
    private IConnectionMultiplexer _redis = null!;

    public async Task InitializeAsync()
    {
        _server = await TestRedis.FindAsync();
        _redis = await ConnectionMultiplexer.ConnectAsync(_server.Connection);
    }

    public async Task DisposeAsync()
    {
        await _redis.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_member_is_there_until_it_ends_and_the_last_of_two_values_counts(bool redis)
    {
        var state = Open(redis);
        Assert.Empty(await state.ValuesAsync(_group));
        await state.PutAsync(_group, "a", [1], TimeSpan.FromMinutes(5), 9);
        await state.PutAsync(_group, "b", [0, 32, 200], TimeSpan.FromMinutes(10), 9);
        await state.PutAsync(_group, "a", [2], TimeSpan.FromMinutes(6), 9);
        Assert.Equal(["00-20-C8", "02"], await TextAsync(state));
        _time.Advance(TimeSpan.FromMinutes(6));
        Assert.Equal(["00-20-C8"], await TextAsync(state));
        _time.Advance(TimeSpan.FromMinutes(4));
        Assert.Empty(await state.ValuesAsync(_group));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_full_group_forgets_nothing_for_another_and_takes_one_when_another_has_ended(bool redis)
    {
        var state = Open(redis);
        await state.PutAsync(_group, "a", [1], TimeSpan.FromMinutes(5), 2);
        await state.PutAsync(_group, "b", [2], TimeSpan.FromMinutes(10), 2);
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.PutAsync(_group, "c", [3], TimeSpan.FromMinutes(5), 2));
        await state.PutAsync(_group, "b", [4], TimeSpan.FromMinutes(10), 2);
        Assert.Equal(["01", "04"], await TextAsync(state));
        _time.Advance(TimeSpan.FromMinutes(5));
        await state.PutAsync(_group, "c", [3], TimeSpan.FromMinutes(5), 2);
        Assert.Equal(["03", "04"], await TextAsync(state));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_many_put_at_the_same_time_is_all_there(bool redis)
    {
        ISharedState[] gateways = redis ? [Open(true), Open(true)] : [Open(false)];
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Task.Run(async () => await gateways[i % gateways.Length].PutAsync(_group, $"m{i}", [(byte)i], TimeSpan.FromMinutes(5), 20))));
        Assert.Equal(20, (await gateways[^1].ValuesAsync(_group)).Select(static value => value[0]).Distinct().Count());
    }

    [Fact]
    public async Task In_Redis_a_group_ends_with_its_last_member()
    {
        var state = Open(true);
        await state.PutAsync(_group, "a", [1], TimeSpan.FromDays(30), 9);
        await state.PutAsync(_group, "b", [1], TimeSpan.FromMinutes(5), 9);
        Assert.InRange((await _redis.GetDatabase().KeyTimeToLiveAsync("kanta:{identification}:" + _group))!.Value, TimeSpan.FromDays(29.9), TimeSpan.FromDays(30.1));
    }

    private async Task<string[]> TextAsync(ISharedState state) => [.. (await state.ValuesAsync(_group)).Select(static value => BitConverter.ToString(value)).Order(StringComparer.Ordinal)];

    private ISharedState Open(bool redis) => redis ? new RedisState(new(() => Task.FromResult(_redis)), time: _time) : new MemoryState(_time);
}

/// <summary>The contract of shared state over a real Redis, with two gateways.</summary>
public sealed class RedisStateTests : IAsyncLifetime
{
    private TestRedis _server = null!;
    private IConnectionMultiplexer _redis = null!;

    public async Task InitializeAsync()
    {
        _server = await TestRedis.FindAsync();
        _redis = await ConnectionMultiplexer.ConnectAsync(_server.Connection);
    }

    public async Task DisposeAsync()
    {
        await _redis.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Of_two_gateways_exactly_one_adds_a_key()
    {
        RedisState[] gateways = [Open(), Open()];
        var key = Guid.NewGuid().ToString();
        var added = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => gateways[i % 2].AddAsync(key, TimeSpan.FromMinutes(1)).AsTask()));
        Assert.Single(added, it => it);
    }

    [Fact]
    public async Task One_gateway_reads_and_removes_what_another_has_set()
    {
        var (a, b) = (Open(), Open());
        var key = Guid.NewGuid().ToString();
        Assert.Null(await b.GetAsync(key));
        await a.SetAsync(key, [1, 2, 3], TimeSpan.FromMinutes(1));
        Assert.Equal([1, 2, 3], (await b.GetAsync(key))!);
        await b.RemoveAsync(key);
        Assert.Null(await a.GetAsync(key));
    }

    [Fact]
    public async Task One_gateway_replaces_only_what_no_other_has_removed()
    {
        var (a, b) = (Open(), Open());
        var key = Guid.NewGuid().ToString();
        await a.SetAsync(key, [1], TimeSpan.FromMinutes(1));
        Assert.True(await b.ReplaceAsync(key, [2], TimeSpan.FromMinutes(5)));
        Assert.Equal([2], (await a.GetAsync(key))!);
        Assert.InRange((await _redis.GetDatabase().KeyTimeToLiveAsync("kanta:{identification}:" + key))!.Value, TimeSpan.FromMinutes(2), TimeSpan.FromMinutes(5));
        await a.RemoveAsync(key);
        Assert.False(await b.ReplaceAsync(key, [3], TimeSpan.FromMinutes(1)));
        Assert.Null(await a.GetAsync(key));
    }

    [Fact]
    public async Task Two_gateways_count_together_from_the_first_on()
    {
        RedisState[] gateways = [Open(), Open()];
        var key = Guid.NewGuid().ToString();
        var counts = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => gateways[i % 2].CountAsync(key, TimeSpan.FromMinutes(5)).AsTask()));
        Assert.Equal(Enumerable.Range(1, 20).Select(n => (long)n), counts.Order());
        var life = await _redis.GetDatabase().KeyTimeToLiveAsync("kanta:{identification}:" + key);
        Assert.InRange(life!.Value, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(5));
    }

    [Fact]
    public async Task Entries_end_by_themselves()
    {
        var key = Guid.NewGuid().ToString();
        await Open().SetAsync(key, [1], TimeSpan.FromMinutes(5));
        var life = await _redis.GetDatabase().KeyTimeToLiveAsync("kanta:{identification}:" + key);
        Assert.InRange(life!.Value, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(5));
    }

    [Fact]
    public async Task An_unreachable_store_is_an_error_and_never_an_answer()
    {
        var state = new RedisState(RedisState.Connect("127.0.0.1:1,connectTimeout=200,connectRetry=0,asyncTimeout=200"));
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("a", TimeSpan.FromMinutes(1)));
    }

    private RedisState Open() => new(new(() => Task.FromResult(_redis)));
}

public sealed class SessionProtectionTests
{
    private static readonly byte[] Key = new byte[32];

    [Fact]
    public void Opens_what_another_gateway_with_the_same_key_sealed()
    {
        var sealedBytes = new SessionProtection([Key], () => 0).CreateProtector("a").Protect("text"u8.ToArray());
        Assert.Equal("text"u8.ToArray(), new SessionProtection([Key], () => 0).CreateProtector("a").Unprotect(sealedBytes));
        Assert.DoesNotContain("text", Encoding.Latin1.GetString(sealedBytes));
    }

    [Fact]
    public void Opens_what_any_of_its_keys_sealed_and_seals_with_the_newest()
    {
        byte[] next = [.. Key.Select(_ => (byte)1)];
        var newest = 0;
        var rotating = new SessionProtection([Key, next], () => newest).CreateProtector("a");
        var old = rotating.Protect("text"u8.ToArray());
        Assert.Equal("text"u8.ToArray(), new SessionProtection([Key], () => 0).CreateProtector("a").Unprotect(old));
        newest = 1;
        Assert.Equal("text"u8.ToArray(), rotating.Unprotect(old));
        Assert.Equal("text"u8.ToArray(), new SessionProtection([next], () => 0).CreateProtector("a").Unprotect(rotating.Protect("text"u8.ToArray())));
        old[^1] ^= 1;
        Assert.ThrowsAny<System.Security.Cryptography.CryptographicException>(() => rotating.Unprotect(old));
    }

    [Fact]
    public void Does_not_open_for_another_purpose_another_key_or_after_a_change()
    {
        var sealedBytes = new SessionProtection([Key], () => 0).CreateProtector("a").Protect("text"u8.ToArray());
        Assert.ThrowsAny<System.Security.Cryptography.CryptographicException>(() => new SessionProtection([Key], () => 0).CreateProtector("b").Unprotect(sealedBytes));
        Assert.ThrowsAny<System.Security.Cryptography.CryptographicException>(() => new SessionProtection([[.. Key.Select(_ => (byte)1)]], () => 0).CreateProtector("a").Unprotect(sealedBytes));
        for (var i = 0; i < sealedBytes.Length; i++)
        {
            var changed = sealedBytes.ToArray();
            changed[i] ^= 1;
            Assert.ThrowsAny<System.Security.Cryptography.CryptographicException>(() => new SessionProtection([Key], () => 0).CreateProtector("a").Unprotect(changed));
        }
        Assert.ThrowsAny<System.Security.Cryptography.CryptographicException>(() => new SessionProtection([Key], () => 0).CreateProtector("a").Unprotect([1, 2, 3]));
    }
}

public sealed class ClientDirectoryTests
{
    private const string Valid = """
        [{"client_id":"a","organisation_oid":"1.2.246.10.1","organisation_name":"A","controller_kind":"private","scopes":["system/*.cruds"],
          "jwks":{"keys":[{"kty":"EC","crv":"P-384","kid":"1","x":"iEJ3KIAAMU7dEoYtXlCCG1DtOqVzj3Zp3ZSUdpqXKm6lOSBkAIpfCzfHsWMQ0kFm","y":"iEJ3KIAAMU7dEoYtXlCCG1DtOqVzj3Zp3ZSUdpqXKm6lOSBkAIpfCzfHsWMQ0kFm"}]}}]
        """;

    [Fact]
    public void An_organisation_gives_every_service_that_its_clients_state_or_else_those_of_a_reception()
    {
        string stated(string id, string points) => Valid.Trim()[1..^1].Replace("\"client_id\":\"a\"", $"\"client_id\":\"{id}\"").Replace("\"scopes\":", $"\"health_services\":{points},\"scopes\":");
        ClientDirectory read(params string[] clients) => ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{string.Join(',', clients)}]"), true);
        foreach (var point in HealthServicePoints.All)
            Assert.Equal((HealthServices)(1 << point), read(stated("a", $"[{point}]")).Find("a")!.RequesterOf("1.2.246.10.1")!.Services);
        Assert.Equal(HealthServices.Reception, read(Valid.Trim()[1..^1]).Find("a")!.RequesterOf("1.2.246.10.1")!.Services);
        var both = read(stated("a", "[4]"), stated("b", "[10,13]"));
        Assert.Equal(HealthServices.Oral | HealthServices.Rehabilitation | HealthServices.ScreeningAndVaccination, both.ServicesOf("1.2.246.10.1"));
        Assert.Equal(HealthServices.Reception, both.ServicesOf("1.2.246.10.9"));
    }

    [Fact]
    public void An_organisation_is_of_every_kind_that_its_clients_are_of()
    {
        var another = Valid.Replace("\"client_id\":\"a\"", "\"client_id\":\"b\"").Replace("\"private\"", "\"public\"");
        var forAnother = Valid.Replace("\"client_id\":\"a\"", "\"client_id\":\"c\"").Replace("\"organisation_oid\":\"1.2.246.10.1\"", "\"organisation_oid\":\"1.2.246.10.2\"")
            .Replace("\"scopes\":", "\"service_requesters\":[{\"organisation_oid\":\"1.2.246.10.1\",\"organisation_name\":\"A\",\"controller_kind\":\"occupational\"}],\"scopes\":");
        var directory = ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{string.Join(',', new[] { Valid, another, forAnother }.Select(one => one.Trim()[1..^1]))}]"), true);
        Assert.Equal([ControllerKind.Public, ControllerKind.Private, ControllerKind.Occupational], directory.KindsOfOrganisation("1.2.246.10.1"));
        Assert.Equal([ControllerKind.Private], directory.KindsOfOrganisation("1.2.246.10.2"));
        Assert.Empty(directory.KindsOfOrganisation("1.2.246.10.9"));
    }

    [Fact]
    public void Accepts_a_registration() => Assert.NotNull(ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid), true).Find("a"));

    [Theory]
    [InlineData("\"kid\":\"1\",", "", "no kid")]
    [InlineData("\"kid\":\"1\",", "\"kid\":\"1\",\"d\":\"AAAA\",", "private key")]
    [InlineData("P-384", "P-256", "fits none of ES384, RS384")]
    [InlineData("1.2.246.10.1", "organisation", "organisation_oid")]
    [InlineData("system/*.cruds", "everything", "SMART v2 scope")]
    [InlineData("\"client_id\":\"a\",", "", "client_id")]
    [InlineData("\"client_id\":\"a\",", "\"client_id\":\"portal\",", "portal's own")]
    [InlineData("\"client_id\":\"a\",", "\"client_id\":\"a\",\"unknown\":1,", "unknown")]
    [InlineData("\"private\"", "\"secret\"", "")]
    [InlineData("\"scopes\":", "\"token_endpoint_auth_signing_alg\":[\"HS256\"],\"scopes\":", "one or more of ES256, PS256, ES384, RS384")]
    public void Rejects_a_registration(string what, string by, string reason)
    {
        var wrong = Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid.Replace(what, by)), true));
        Assert.Contains(reason, wrong.Message);
    }

    [Theory]
    [InlineData("\"profile\":\"fapi2\",\"token_endpoint_auth_signing_alg\":[\"RS384\"]", "one or more of ES256, PS256")]
    [InlineData("\"profile\":\"fapi2\"", "fits none of ES256, PS256")]
    [InlineData("\"token_endpoint_auth_signing_alg\":[]", "one or more of")]
    [InlineData("\"token_endpoint_auth_signing_alg\":[\"RS384\"]", "fits none of RS384")]
    [InlineData("\"jwks_uri\":\"https://clinic.example/jwks\"", "one of jwks and jwks_uri")]
    [InlineData("\"token_endpoint_auth_method\":\"tls_client_auth\",\"certificate_subjects\":[\"CN=a\"]", "goes without jwks")]
    [InlineData("\"token_endpoint_auth_method\":\"tls_client_auth\"", "needs tls_client_certificates or certificate_subjects")]
    [InlineData("\"token_endpoint_auth_method\":\"client_secret_basic\"", "")]
    [InlineData("\"certificate_subjects\":[\"nobody\"]", "not a distinguished name")]
    [InlineData("\"service_requesters\":[]", "one organisation or more")]
    [InlineData("\"service_requesters\":[{\"organisation_oid\":\"1.2.3\",\"organisation_name\":\"B\",\"controller_kind\":\"private\"},{\"organisation_oid\":\"1.2.3\",\"organisation_name\":\"B\",\"controller_kind\":\"private\"}]", "each once")]
    [InlineData("\"service_requesters\":[{\"organisation_oid\":\"B\",\"organisation_name\":\"B\",\"controller_kind\":\"private\"}]", "organisation_oid is not an OID")]
    [InlineData("\"produces_for\":[\"B\"]", "organisation_oid is not an OID")]
    [InlineData("\"produces_for\":[\"1.2.3\",\"1.2.3\"]", "each once")]
    [InlineData("\"produces_for\":[\"1.2.4\"],\"service_requesters\":[{\"organisation_oid\":\"1.2.3\",\"organisation_name\":\"B\",\"controller_kind\":\"private\"}]", "neither with service_requesters")]
    [InlineData("\"health_services\":[0]", "1 to 14")]
    [InlineData("\"health_services\":[15]", "1 to 14")]
    [InlineData("\"health_services\":[3,3]", "each once")]
    [InlineData("\"health_services\":[\"x\"]", "")]
    [InlineData("\"service_requesters\":[{\"organisation_oid\":\"1.2.3\",\"organisation_name\":\"B\",\"controller_kind\":\"private\",\"health_services\":[15]}]", "1 to 14")]
    [InlineData("\"health_services\":[3],\"service_requesters\":[{\"organisation_oid\":\"1.2.3\",\"organisation_name\":\"B\",\"controller_kind\":\"private\"}]", "each of which states its own")]
    [InlineData("\"certification_class\":\"C\"", "")]
    [InlineData("\"system_name\":\"\"", "system_name")]
    public void Rejects_a_registration_with(string member, string reason)
    {
        var wrong = Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid.Replace("\"scopes\":", member + ",\"scopes\":", StringComparison.Ordinal)), true));
        Assert.Contains(reason, wrong.Message);
    }

    [Theory]
    [InlineData("https://clinic.example/jwks", true)]
    [InlineData("http://clinic.example/jwks", false)]
    [InlineData("https://user@clinic.example/jwks", false)]
    [InlineData("jwks", false)]
    public void The_address_of_keys_is_an_https_one(string address, bool holds)
    {
        var text = $$"""[{"client_id":"a","organisation_oid":"1.2.3","organisation_name":"A","controller_kind":"private","scopes":[],"jwks_uri":"{{address}}"}]""";
        if (holds)
            Assert.Equal(address, ClientDirectory.Read(Encoding.UTF8.GetBytes(text), true).Find("a")!.Registration.JwksUri);
        else
            Assert.Contains("jwks_uri", Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes(text), true)).Message);
    }

    [Fact]
    public void Reads_what_a_joint_connection_and_its_system_are()
    {
        var client = ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid.Replace("\"scopes\":", """
            "system_name":"Potilas","system_version":"7.1","certification_class":"A3","service_requesters":[
              {"organisation_oid":"1.2.246.10.2","organisation_name":"B","controller_kind":"independent","health_services":[6,10]},
              {"organisation_oid":"1.2.246.10.3","organisation_name":"C","controller_kind":"private","status":"suspended"}],"scopes":
            """, StringComparison.Ordinal)), true).Find("a")!;
        Assert.Equal(("Potilas", "7.1", CertificationClass.A3), (client.Registration.SystemName, client.Registration.SystemVersion, client.Registration.CertificationClass));
        Assert.Equal("B", client.RequesterOf("1.2.246.10.2")?.Name);
        Assert.Equal(HealthServices.MentalHealthAndAddiction | HealthServices.Rehabilitation, client.RequesterOf("1.2.246.10.2")?.Services);
        Assert.Null(client.RequesterOf("1.2.246.10.3"));
        // A host is not its tenants.
        Assert.Null(client.RequesterOf("1.2.246.10.1"));
        var written = ClientDirectory.Read(ClientDirectory.Write([client.Registration]), true).Find("a")!;
        Assert.Equal("B", written.RequesterOf("1.2.246.10.2")?.Name);
    }

    [Fact]
    public void Outside_of_tests_organisations_have_OIDs_of_the_register()
    {
        var wrong = Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid), false));
        Assert.Contains("SOTE register", wrong.Message);
        Assert.NotNull(ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid.Replace("1.2.246.10.1", "1.2.246.10.2048198", StringComparison.Ordinal)), false).Find("a"));
    }

    [Fact]
    public void Says_all_that_is_wrong_at_once()
    {
        var wrong = Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes(Valid.Replace("P-384", "P-521").Replace("system/*.cruds", "x")), true));
        Assert.Contains("fits none of", wrong.Message);
        Assert.Contains("SMART v2 scope", wrong.Message);
    }
}
