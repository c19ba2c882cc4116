using System.Net;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using StackExchange.Redis;

namespace KantaGateway.Tests.Identification;

/// <summary>A Redis that has forgotten what was used lets nothing be used twice.</summary>
[Collection(SignInCollection.Name)]
public sealed class SharedStateLossTests(IdentificationWorld world)
{
    [Fact]
    public async Task An_assertion_that_was_used_before_Redis_was_emptied_is_not_taken_again_and_a_later_one_is()
    {
        await using var redis = await TestRedis.StartAsync();
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with { Port = port, TerminatorListen = null, Redis = redis.Connection });
        await gateway.StartAsync();
        using var http = world.Connect(world.Aurora.Certificate);
        async Task<(HttpStatusCode, string?)> AskAsync(string assertion)
        {
            using var response = await http.PostAsync($"https://localhost:{port}/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora, assertion)));
            var answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
            return (response.StatusCode, answer.TryGetProperty("error", out var error) ? error.GetString() : null);
        }

        var used = world.Assertion(world.Aurora);
        Assert.Equal((HttpStatusCode.OK, null), await AskAsync(used));
        Assert.Equal((HttpStatusCode.Unauthorized, "invalid_client"), await AskAsync(used));
        await redis.EmptyAsync();
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "temporarily_unavailable"), await AskAsync(used));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "temporarily_unavailable"), await AskAsync(used));

        try
        {
            world.Clock.Ahead = TimeSpan.FromMinutes(1);
            var now = world.Clock.GetUtcNow().ToUnixTimeSeconds();
            var later = world.Assertion(world.Aurora, claims => (claims["iat"], claims["exp"]) = (now, now + 60));
            Assert.Equal((HttpStatusCode.OK, null), await AskAsync(later));
            Assert.Equal((HttpStatusCode.Unauthorized, "invalid_client"), await AskAsync(later));
        }
        finally
        {
            world.Clock.Ahead = default;
        }
    }

    [Fact]
    public async Task A_gateway_is_not_ready_before_its_store_has_had_time_to_know_what_was_used_nor_while_it_is_away()
    {
        await using var redis = await TestRedis.StartAsync();
        await using var house = await Laws.HouseInMemory.OpenAsync(redis: redis.Connection);
        await redis.EmptyAsync();
        var port = Scenarios.RunningHost.FreePorts();
        await using var gateway = await house.StartFurtherGatewayAsync(port, house.Repositories[0]);
        using var caller = Harness.Clients.ClinicClient.Open(house.Folder, "aurora", new Uri($"https://localhost:{port}"));
        async Task<bool> IsDownAsync() => (await caller.SendAsync(HttpMethod.Get, "/health/ready")) is { Status: 503 } answer && answer.Text == "not ready: redis";

        Assert.True(await IsDownAsync());
        await redis.AgeAsync();
        Assert.False(await IsDownAsync());
        // All gateways of a deployment have this one store: what they still can they do.
        await redis.EmptyAsync();
        Assert.False(await IsDownAsync());
        await redis.StopAsync();
        Assert.True(await IsDownAsync());
    }

    [Fact]
    public async Task A_store_that_was_emptied_or_started_again_does_not_know_what_was_used_before()
    {
        await using var redis = await TestRedis.StartAsync();
        var state = new RedisState(RedisState.Connect(redis.Connection));
        var (before, after) = (DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
        Assert.True(await state.AddAsync("a", TimeSpan.FromMinutes(5), before));
        await redis.EmptyAsync();
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("a", TimeSpan.FromMinutes(5), before));
        Assert.True(await state.AddAsync("b", TimeSpan.FromMinutes(5), after));
        Assert.False(await state.AddAsync("b", TimeSpan.FromMinutes(5), after));
        Assert.True(await state.AddAsync("c", TimeSpan.FromMinutes(5)));

        // Another process in its place, with what was written of it: it may lack what was written last.
        await using var database = await ConnectionMultiplexer.ConnectAsync(redis.Connection);
        await database.GetDatabase().HashSetAsync("kanta:{identification}:since", [new("store", "another"), new("since", 0)]);
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("a", TimeSpan.FromMinutes(5), before));
    }

    [Fact]
    public async Task A_store_that_has_evicted_something_does_not_know_what_was_used_before()
    {
        await using var redis = await TestRedis.StartAsync();
        var state = new RedisState(RedisState.Connect(redis.Connection));
        var (before, after) = (DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
        Assert.True(await state.AddAsync("a", TimeSpan.FromMinutes(5), before));
        await redis.EvictAsync();
        await Assert.ThrowsAsync<SharedStateException>(async () => await state.AddAsync("a", TimeSpan.FromMinutes(5), before));
        await Assert.ThrowsAsync<SharedStateException>(async () => await new RedisState(RedisState.Connect(redis.Connection)).AddAsync("a", TimeSpan.FromMinutes(5), before));
        Assert.True(await state.AddAsync("b", TimeSpan.FromMinutes(5), after));
    }

    [Fact]
    public async Task A_master_that_comes_back_after_another_was_asked_does_not_know_what_that_one_has_taken()
    {
        await using var redis = await TestRedis.StartAsync();
        var before = DateTimeOffset.UtcNow.AddMinutes(-1);
        var stayed = new RedisState(RedisState.Connect(redis.Connection));
        Assert.True(await stayed.AddAsync("a", TimeSpan.FromMinutes(5), before));
        var returned = new RedisState(RedisState.Connect(redis.Connection), "run_id of another");
        await Assert.ThrowsAsync<SharedStateException>(async () => await returned.AddAsync("b", TimeSpan.FromMinutes(5), before));
        Assert.True(await returned.AddAsync("b", TimeSpan.FromMinutes(5), DateTimeOffset.UtcNow.AddMinutes(1)));
    }

    /// <summary>What it has taken once ends by its own clock.</summary>
    [Fact]
    public async Task A_store_whose_clock_is_set_forwards_by_an_hour_knows_what_was_used_before()
    {
        await using var redis = await TestRedis.StartAsync();
        var state = new RedisState(RedisState.Connect(redis.Connection));
        var (life, before) = (TimeSpan.FromMinutes(5), DateTimeOffset.UtcNow.AddMinutes(-1));
        Assert.True(await state.AddAsync("a", life, before));
        // As the clock that is an hour ahead sees it: all that ends within the hour has ended.
        await using var database = await ConnectionMultiplexer.ConnectAsync(redis.Connection);
        var left = (await database.GetDatabase().KeyTimeToLiveAsync("kanta:{identification}:a"))!.Value;
        await database.GetDatabase().KeyExpireAsync("kanta:{identification}:a", left - TimeSpan.FromHours(1));
        Assert.False(await state.AddAsync("a", life, before));
    }

    /// <summary>The rights that the README asks for.</summary>
    private const string User = "resetchannels &kanta:* ~kanta:* -@all +ping +echo +info +time +get +set +setex +psetex +del +unlink +incr +pexpire +eval +evalsha +script|load +hget +hset +hdel +hvals +zadd +zrem +zscore +zrange +zrangebyscore +zcount +zremrangebyscore "
        + "+publish +subscribe +unsubscribe +client|setname +client|id";

    [Fact]
    public async Task Redis_is_used_over_tls_by_a_user_who_may_do_no_more()
    {
        await using var redis = await TestRedis.StartSecuredAsync(User);
        var connection = RedisState.Connect(redis.Connection, redis.AuthorityFile);
        var state = new RedisState(connection);
        Assert.InRange(await state.ReadClockAsync(), DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
        Assert.True(await state.AddAsync("a", TimeSpan.FromMinutes(5), DateTimeOffset.UtcNow.AddMinutes(1)));
        await state.SetAsync("b", [1], TimeSpan.FromMinutes(5));
        Assert.True(await state.ReplaceAsync("b", [2], TimeSpan.FromMinutes(5)));
        Assert.Equal([2], (await state.GetAsync("b"))!);
        Assert.Equal(1, await state.CountAsync("c", TimeSpan.FromMinutes(5)));
        await state.RemoveAsync("b");
        await state.PutAsync("d", "a", [3], TimeSpan.FromMinutes(5), 1);
        await state.PutAsync("d", "a", [4], TimeSpan.FromMinutes(5), 1);
        Assert.Equal([4], Assert.Single(await state.ValuesAsync("d")));

        var log = new RedisRevocationLog(connection, TimeProvider.System);
        var told = new TaskCompletionSource();
        await log.SubscribeAsync(told.SetResult, static () => { });
        var sequence = await log.AddAsync("name", DateTimeOffset.UtcNow.AddMinutes(5), anew: false);
        await told.Task;
        Assert.Single((await log.RenewAsync("gateway", 0, null, TimeSpan.FromSeconds(2))).Entries, entry => entry.Name == "name" && entry.Sequence == sequence);
        await log.IsAwaitedAsync(sequence, TimeSpan.FromSeconds(2));

        var database = (await connection.Value).GetDatabase();
        foreach (var forbidden in new Func<Task>[] { () => database.StringGetAsync("others:a"), () => database.ExecuteAsync("RANDOMKEY") })
            Assert.Contains("NOPERM", (await Assert.ThrowsAnyAsync<RedisServerException>(forbidden)).Message);
    }

    [Fact]
    public async Task A_Redis_that_another_authority_vouches_for_is_not_spoken_to()
    {
        await using var redis = await TestRedis.StartSecuredAsync(User);
        using var other = Simulators.DevelopmentAuthority.Create();
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, other.CertificatePem);
            foreach (var authority in new[] { null, file })
            {
                var state = new RedisState(RedisState.Connect(redis.Connection.Replace("connectTimeout=5000", "connectTimeout=1000,connectRetry=0,asyncTimeout=1000", StringComparison.Ordinal), authority));
                await Assert.ThrowsAsync<SharedStateException>(async () => await state.SetAsync("a", [1], TimeSpan.FromMinutes(5)));
            }
        }
        finally
        {
            File.Delete(file);
        }
    }
}
