using KantaGateway.Gateway.Identification;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using StackExchange.Redis;

namespace KantaGateway.Tests.Identification;

/// <summary>What is revoked stays out: of one gateway, and of several over one log.</summary>
public sealed class RevocationsTests
{
    private static readonly RevokedName Some = RevokedName.Token("some");

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task One_gateway_alone_refuses_at_once_and_until_the_end()
    {
        var revocations = new Revocations(null, _time);
        Assert.True(revocations.IsCurrent);
        Assert.False(revocations.IsRevoked(Some));
        var before = revocations.Epoch;
        await revocations.RevokeAsync(Some, _time.GetUtcNow().AddMinutes(5));
        Assert.True(revocations.IsRevoked(Some));
        Assert.NotEqual(before, revocations.Epoch);
        _time.Advance(TimeSpan.FromMinutes(5));
        Assert.True(revocations.IsRevoked(Some));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.False(revocations.IsRevoked(Some));
    }

    [Fact]
    public async Task A_name_of_one_kind_is_not_that_of_another()
    {
        var revocations = new Revocations(null, _time);
        await revocations.RevokeAsync(RevokedName.Token("x"), _time.GetUtcNow().AddMinutes(5));
        Assert.False(revocations.IsRevoked(RevokedName.Client("x")));
        Assert.False(revocations.IsRevoked(RevokedName.Session("x")));
        await revocations.RevokeAsync(RevokedName.Professional("1.2", "3"), _time.GetUtcNow().AddMinutes(5));
        Assert.True(revocations.IsRevoked(RevokedName.Professional("1.2", "3")));
        Assert.False(revocations.IsRevoked(RevokedName.Professional("1.23", "")));
    }

    [Fact]
    public void What_is_shared_is_a_digest_and_not_the_name()
    {
        foreach (var id in new[] { "90001", "90002" })
            Assert.Equal(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(string.Join('\0', "professional", "1.2", id))),
                System.Buffers.Text.Base64Url.DecodeFromChars(RevokedName.Professional("1.2", id).Digest));
    }

    [Fact]
    public async Task What_begins_after_a_revocation_is_not_ended_by_it()
    {
        var revocations = new Revocations(null, _time);
        var first = revocations.Mark;
        await revocations.RevokeAsync(Some, _time.GetUtcNow().AddHours(4));
        var second = revocations.Mark;
        Assert.True(revocations.IsRevoked(Some, first));
        Assert.False(revocations.IsRevoked(Some, second));
        await revocations.RevokeAsync(Some, _time.GetUtcNow().AddHours(1));
        Assert.True(revocations.IsRevoked(Some, second));
        // The later end holds.
        _time.Advance(TimeSpan.FromHours(2));
        Assert.True(revocations.IsRevoked(Some, second));
    }

    [Fact]
    public async Task A_gateway_that_has_not_looked_lets_nobody_in()
    {
        var revocations = new Revocations(new SomeLog(_time), _time);
        Assert.False(revocations.IsCurrent);
        Assert.Throws<SharedStateException>(() => revocations.IsRevoked(Some));
        await revocations.RenewAsync();
        Assert.False(revocations.IsRevoked(Some));
    }

    [Fact]
    public async Task A_gateway_that_is_cut_off_stops_before_a_revocation_is_answered()
    {
        var log = new SomeLog(_time);
        var (here, away) = (new Revocations(log, _time), new Revocations(log, _time));
        await here.RenewAsync();
        await away.RenewAsync();
        var began = _time.GetUtcNow();

        var revoking = here.RevokeAsync(Some, began.AddHours(1)).AsTask();
        while (!revoking.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(10));
            // This one is not cut off.
            await here.RenewAsync();
            await Task.Yield();
        }
        await revoking;
        Assert.True(_time.GetUtcNow() - began >= Revocations.Lease, "It was answered while a lease was running.");
        Assert.False(away.IsCurrent);
        Assert.True(here.IsRevoked(Some));
        await away.RenewAsync();
        Assert.True(away.IsRevoked(Some));
    }

    [Fact]
    public async Task A_gateway_that_renews_and_never_applies_is_an_error_and_no_answer()
    {
        var log = new SomeLog(_time);
        var here = new Revocations(log, _time);
        await log.RenewAsync("stuck", 0, null, Revocations.Lease);
        var revoking = here.RevokeAsync(Some, _time.GetUtcNow().AddHours(1)).AsTask();
        while (!revoking.IsCompleted)
        {
            await log.RenewAsync("stuck", 0, null, Revocations.Lease);
            _time.Advance(TimeSpan.FromMilliseconds(10));
            await Task.Yield();
        }
        await Assert.ThrowsAsync<SharedStateException>(() => revoking);
    }

    [Fact]
    public async Task After_a_failover_a_revocation_waits_for_the_leases_that_the_log_has_forgotten()
    {
        var log = new SomeLog(_time);
        var (here, away) = (new Revocations(log, _time), new Revocations(log, _time));
        await here.RenewAsync();
        await away.RenewAsync();
        log.ForgetLeases();
        here.Reconnected();

        var revoking = here.RevokeAsync(Some, _time.GetUtcNow().AddHours(1)).AsTask();
        while (!revoking.IsCompleted)
        {
            Assert.False(away.IsCurrent && revoking.IsCompleted);
            _time.Advance(TimeSpan.FromMilliseconds(10));
            await Task.Yield();
        }
        await revoking;
        Assert.False(away.IsCurrent);
    }

    [Fact]
    public async Task No_more_is_taken_than_memory_holds_and_what_has_ended_makes_room()
    {
        var revocations = new Revocations(null, _time, 3);
        for (var i = 0; i < 3; i++)
            await revocations.RevokeAsync(RevokedName.Token(i.ToString()), _time.GetUtcNow().AddMinutes(5));
        await Assert.ThrowsAsync<SharedStateException>(async () => await revocations.RevokeAsync(Some, _time.GetUtcNow().AddMinutes(5)));
        _time.Advance(TimeSpan.FromMinutes(6));
        await revocations.RevokeAsync(Some, _time.GetUtcNow().AddMinutes(5));
        Assert.True(revocations.IsRevoked(Some));
    }

    [Fact]
    public async Task A_gateway_that_only_hears_of_revocations_forgets_those_that_have_ended()
    {
        var log = new SomeLog(_time);
        var listening = new Revocations(log, _time);
        for (var i = 0; i < 2_000; i++)
            await log.AddAsync($"{i}", _time.GetUtcNow().AddMinutes(5), true);
        await listening.RenewAsync();
        Assert.Equal(2_000, listening.Held);
        _time.Advance(TimeSpan.FromMinutes(6));
        for (var i = 0; i < 1_000; i++)
            await log.AddAsync($"later {i}", _time.GetUtcNow().AddMinutes(5), true);
        await listening.RenewAsync();
        Assert.Equal(1_000, listening.Held);
    }

    [Fact]
    public async Task A_revocation_that_the_log_loses_before_it_is_answered_is_an_error_and_no_answer()
    {
        var log = new SomeLog(_time) { LosesNext = true };
        var here = new Revocations(log, _time);
        await Assert.ThrowsAsync<SharedStateException>(async () => await here.RevokeAsync(Some, _time.GetUtcNow().AddHours(1)));
        await here.RevokeAsync(Some, _time.GetUtcNow().AddHours(1));
        Assert.True(here.IsRevoked(Some));
    }

    /// <summary>The log as Redis keeps it, in memory and by a clock that tests move.</summary>
    private sealed class SomeLog(FakeTimeProvider time) : IRevocationLog
    {
        private readonly Lock _turn = new();
        private readonly List<Revocation> _entries = [];
        private readonly Dictionary<string, (long Applied, DateTimeOffset Ends)> _leases = [];

        /// <summary>The next entry gets its number and is gone.</summary>
        public bool LosesNext { get; set; }

        public void ForgetLeases() { lock (_turn) _leases.Clear(); }

        public ValueTask<RevocationNews> RenewAsync(string gateway, long applied, Revocation? last, TimeSpan lease)
        {
            lock (_turn)
            {
                _leases[gateway] = (applied, time.GetUtcNow() + lease);
                return new(new RevocationNews(false, _entries.Count, [.. _entries.Where(e => e.Sequence > applied)]));
            }
        }

        public ValueTask<long> AddAsync(string name, DateTimeOffset until, bool anew)
        {
            lock (_turn)
            {
                _entries.Add(new(LosesNext ? "another" : name, until, _entries.Count + 1));
                LosesNext = false;
            }
            return new(_entries.Count);
        }

        public ValueTask<bool> IsAwaitedAsync(long sequence, TimeSpan lease)
        {
            lock (_turn)
                return new(_leases.Values.Any(lease => lease.Ends > time.GetUtcNow() && lease.Applied < sequence));
        }

        public ValueTask SubscribeAsync(Action told, Action reconnected) => default;
    }
}

/// <summary>The same over a real Redis.</summary>
public sealed class RedisRevocationsTests : IAsyncLifetime
{
    private TestRedis _server = null!;
    private IConnectionMultiplexer _redis = null!;

    public async Task InitializeAsync()
    {
        // Its own: here the list is lost on purpose.
        _server = await TestRedis.StartAsync();
        _redis = await ConnectionMultiplexer.ConnectAsync(_server.Connection + ",allowAdmin=true");
        // It is new, and nobody holds a lease.
        await Log().IsAwaitedAsync(0, TimeSpan.Zero);
    }

    public async Task DisposeAsync()
    {
        await _redis.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Once_revoked_no_gateway_accepts_it_whoever_revoked_it()
    {
        Revocations[] gateways = [Open(), Open(), Open()];
        var leases = gateways.Select(gateway => new RevocationLease(gateway, NullLogger<RevocationLease>.Instance, Log())).ToArray();
        foreach (var lease in leases)
            await lease.StartAsync(default);
        for (var i = 0; i < 100; i++)
        {
            var name = RevokedName.Token($"token {i}");
            Assert.All(gateways, gateway => Assert.False(gateway.IsRevoked(name)));
            var marks = gateways.Select(gateway => gateway.Mark).ToArray();
            await gateways[i % 3].RevokeAsync(name, DateTimeOffset.UtcNow.AddMinutes(5));
            Assert.All(gateways, gateway => Assert.True(gateway.IsRevoked(name)));
            Assert.All(gateways.Zip(marks), it => Assert.True(it.First.IsRevoked(name, it.Second)));
            Assert.All(gateways, gateway => Assert.False(gateway.IsRevoked(name, gateway.Mark)));
        }
        await Task.WhenAll(Enumerable.Range(0, 60).Select(i => gateways[i % 3].RevokeAsync(RevokedName.Session($"{i}"), DateTimeOffset.UtcNow.AddMinutes(5)).AsTask()));
        Assert.All(gateways, gateway => Assert.All(Enumerable.Range(0, 60), i => Assert.True(gateway.IsRevoked(RevokedName.Session($"{i}")))));
        foreach (var lease in leases)
        {
            await lease.StopAsync(default);
            lease.Dispose();
        }
    }

    [Fact]
    public async Task A_gateway_that_starts_later_knows_what_was_revoked_before()
    {
        var name = RevokedName.Token("before");
        await Open().RevokeAsync(name, DateTimeOffset.UtcNow.AddMinutes(5));
        var later = Open();
        await later.RenewAsync();
        Assert.True(later.IsRevoked(name));
    }

    [Fact]
    public async Task A_lease_is_awaited_while_it_runs_and_no_longer()
    {
        var log = Log();
        await log.RenewAsync("gone", 0, null, TimeSpan.Zero);
        Assert.False(await log.IsAwaitedAsync(1, Revocations.Lease));

        await log.RenewAsync("slow", 0, null, TimeSpan.FromMinutes(1));
        var sequence = await log.AddAsync("name", DateTimeOffset.UtcNow.AddMinutes(5), true);
        Assert.True(await log.IsAwaitedAsync(sequence, Revocations.Lease));
        await log.RenewAsync("slow", sequence, null, TimeSpan.FromMinutes(1));
        Assert.False(await log.IsAwaitedAsync(sequence, Revocations.Lease));
        Assert.True(await log.IsAwaitedAsync(sequence + 1, Revocations.Lease));
    }

    [Fact]
    public async Task A_list_that_the_store_has_lost_is_written_again_and_its_numbers_never_fall()
    {
        var (one, other) = (Open(), Open());
        var name = RevokedName.Token("kept");
        await one.RevokeAsync(name, DateTimeOffset.UtcNow.AddMinutes(5));
        // Nobody writes these again.
        for (var i = 0; i < 3; i++)
            await one.RevokeAsync(RevokedName.Token($"ended {i}"), DateTimeOffset.UtcNow.AddSeconds(-1));
        await other.RenewAsync();
        var mark = other.Mark;

        await _redis.GetServers()[0].FlushDatabaseAsync();
        await other.RenewAsync();

        var later = Open();
        await later.RenewAsync();
        Assert.True(later.IsRevoked(name));
        Assert.True(other.IsRevoked(name, mark - 4));
        var next = RevokedName.Token("next");
        await one.RevokeAsync(next, DateTimeOffset.UtcNow.AddMinutes(5));
        await other.RenewAsync();
        Assert.True(other.IsRevoked(next, mark));
    }

    [Fact]
    public async Task Another_list_in_the_place_of_the_one_it_knew_is_noticed()
    {
        var one = Open();
        var name = RevokedName.Token("kept");
        await one.RevokeAsync(name, DateTimeOffset.UtcNow.AddMinutes(5));
        await _redis.GetServers()[0].FlushDatabaseAsync();
        // As many entries as it knew, but others.
        await Log().AddAsync("other", DateTimeOffset.UtcNow.AddMinutes(5), true);
        await one.RenewAsync();
        var later = Open();
        await later.RenewAsync();
        Assert.True(later.IsRevoked(name));
    }

    /// <summary>A failover behind an open connection: nothing tells the gateway of it but the store itself.</summary>
    [Fact]
    public async Task A_replica_that_has_become_the_master_makes_revocations_wait_for_leases_it_never_heard_of()
    {
        var (here, away) = (Open(), Open());
        await here.RevokeAsync(RevokedName.Token("first"), DateTimeOffset.UtcNow.AddMinutes(5));
        await away.RenewAsync();
        var database = _redis.GetDatabase();
        foreach (var kind in new[] { "leases", "applied" })
            Assert.True(await database.KeyDeleteAsync("kanta:identification:{revoked}:" + kind));
        await database.ExecuteAsync("REPLICAOF", "127.0.0.1", "1");
        await database.ExecuteAsync("REPLICAOF", "NO", "ONE");

        await here.RevokeAsync(RevokedName.Token("second"), DateTimeOffset.UtcNow.AddMinutes(5));
        Assert.False(away.IsCurrent);
    }

    [Fact]
    public async Task Without_the_store_nothing_is_revoked_and_nobody_let_in()
    {
        var revocations = new Revocations(new RedisRevocationLog(RedisState.Connect("127.0.0.1:1,connectTimeout=200,connectRetry=0,asyncTimeout=200"), TimeProvider.System), TimeProvider.System);
        await Assert.ThrowsAsync<SharedStateException>(async () => await revocations.RevokeAsync(RevokedName.Token("a"), DateTimeOffset.UtcNow.AddMinutes(5)));
        Assert.False(revocations.IsCurrent);
    }

    private RedisRevocationLog Log() => new(new(() => Task.FromResult(_redis)), TimeProvider.System);
    private Revocations Open() => new(Log(), TimeProvider.System);
}
