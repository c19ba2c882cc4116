using System.Globalization;
using StackExchange.Redis;

namespace KantaGateway.Gateway.Identification;

/// <summary>One revocation as the gateways tell it each other.</summary>
/// <param name="Name">Digest of what is revoked.</param>
/// <param name="Until">After it the revoked thing has ended by itself; whole milliseconds.</param>
/// <param name="Sequence">Place among all revocations, 1 and up; later ones have higher numbers.</param>
internal readonly record struct Revocation(string Name, DateTimeOffset Until, long Sequence);

/// <summary>What a renewal of a lease brought.</summary>
/// <param name="IsBehind">The log has lost what this gateway had seen in it; no lease was given.</param>
/// <param name="Sequence">Of the last revocation there is.</param>
/// <param name="Entries">Those after the last one seen, in order; all of them when the log is behind.</param>
internal sealed record RevocationNews(bool IsBehind, long Sequence, IReadOnlyList<Revocation> Entries);

/// <summary>The revocations of all gateways of a deployment, and who of them has seen how much.</summary>
/// <remarks>Throws <see cref="SharedStateException"/> when it cannot answer.</remarks>
internal interface IRevocationLog
{
    /// <summary>Says how much a gateway has applied, and gives it a lease.</summary>
    /// <param name="applied">Sequence of what is in force at this gateway; the log's numbers never fall below it again.</param>
    /// <param name="last">The last entry that it saw in the log.</param>
    ValueTask<RevocationNews> RenewAsync(string gateway, long applied, Revocation? last, TimeSpan lease);

    /// <summary>Adds an entry and tells every gateway.</summary>
    /// <param name="anew">Whether one that stands there already moves to the end; otherwise it keeps its place.</param>
    /// <returns>Its sequence.</returns>
    ValueTask<long> AddAsync(string name, DateTimeOffset until, bool anew);

    /// <summary>Whether a gateway with a lease has not yet applied this entry, or may not have.</summary>
    /// <param name="lease">How long leases are at most that the log may have forgotten.</param>
    ValueTask<bool> IsAwaitedAsync(long sequence, TimeSpan lease);

    /// <param name="told">Called at each addition, on any thread; nothing is lost when a call is.</param>
    /// <param name="reconnected">Called when the connection to the log has been made anew.</param>
    ValueTask SubscribeAsync(Action told, Action reconnected);
}

/// <summary>Keeps the log in Redis. Every step is one script, so that it happens whole or not at all.</summary>
/// <remarks>Leases run by the clock of Redis; gateways count theirs by their own and never compare the two.</remarks>
internal sealed class RedisRevocationLog(Lazy<Task<IConnectionMultiplexer>> connection, TimeProvider time) : IRevocationLog
{
    // Braces: one slot of a cluster for all of them.
    private const string Prefix = "kanta:identification:{revoked}:";
    private static readonly RedisKey Sequence = Prefix + "sequence", Entries = Prefix + "entries", Ends = Prefix + "ends", Leases = Prefix + "leases", Applied = Prefix + "applied", Store = Prefix + "store";
    private static readonly RedisChannel Added = RedisChannel.Literal(Prefix + "added");

    /// <summary>Entries stay this much longer than needed: clocks differ, and a token is revoked as long as any gateway takes it.</summary>
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(5);

    // A replica that has become the master may never have heard of the last leases, nor of the gateways that hold them: until those have run out everything is
    // awaited. Each promotion, and each start of a master, has a replication id of its own.
    private const string Notice = """
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        local function notice(key, lease)
            local store = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
            if redis.call('HGET', key, 'id') ~= store then redis.call('HSET', key, 'id', store, 'forgotten', now + tonumber(lease)) end
            return now < tonumber(redis.call('HGET', key, 'forgotten'))
        end

        """;

    private const string Renew = Notice + """
        notice(KEYS[5], ARGV[5])
        local applied = tonumber(ARGV[2])
        local last = tonumber(redis.call('GET', KEYS[1]) or '0')
        local behind = applied > last
        if behind then
            redis.call('SET', KEYS[1], ARGV[2])
            last = applied
        end
        if ARGV[3] ~= '' and redis.call('ZSCORE', KEYS[2], ARGV[3]) ~= ARGV[4] then behind = true end
        if behind then
            return {1, last, redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')}
        end
        redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[1])
        redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
        return {0, last, redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf', 'WITHSCORES')}
        """;

    // By the earlier of two clocks: one that was set forwards must not take out what is in force by all the others.
    private const string Add = """
        local time = redis.call('TIME')
        local before = math.min(tonumber(ARGV[3]), tonumber(time[1]) * 1000 - tonumber(ARGV[6]))
        for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', before, 'LIMIT', 0, 100)) do
            redis.call('ZREM', KEYS[2], ended)
            redis.call('ZREM', KEYS[3], ended)
        end
        local place = redis.call('ZSCORE', KEYS[2], ARGV[1])
        if place and ARGV[4] == '0' then return tonumber(place) end
        local sequence = redis.call('INCR', KEYS[1])
        redis.call('ZADD', KEYS[2], sequence, ARGV[1])
        redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
        redis.call('PUBLISH', ARGV[5], '')
        return sequence
        """;

    private const string Awaited = Notice + """
        if notice(KEYS[3], ARGV[2]) then return 1 end
        for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
            redis.call('ZREM', KEYS[1], ended)
            redis.call('HDEL', KEYS[2], ended)
        end
        for _, applied in ipairs(redis.call('HVALS', KEYS[2])) do
            if tonumber(applied) < tonumber(ARGV[1]) then return 1 end
        end
        return 0
        """;

    public ValueTask<RevocationNews> RenewAsync(string gateway, long applied, Revocation? last, TimeSpan lease) => TryAsync(async redis =>
    {
        var answer = (RedisResult[])(await redis.ScriptEvaluateAsync(Renew, [Sequence, Entries, Leases, Applied, Store],
        [
            gateway, applied, last is { } seen ? MemberOf(seen.Name, seen.Until) : "", last?.Sequence ?? 0, (long)lease.TotalMilliseconds,
        ]).ConfigureAwait(false))!;
        var found = (RedisResult[])answer[2]!;
        var entries = new Revocation[found.Length / 2];
        for (var i = 0; i < entries.Length; i++)
            entries[i] = Read((string)found[2 * i]!, (long)found[2 * i + 1]);
        return new RevocationNews((long)answer[0] == 1, (long)answer[1], entries);
    });

    public ValueTask<long> AddAsync(string name, DateTimeOffset until, bool anew) => TryAsync(async redis => (long)await redis.ScriptEvaluateAsync(Add,
        [Sequence, Entries, Ends],
        [MemberOf(name, until), until.ToUnixTimeMilliseconds(), (time.GetUtcNow() - Slack).ToUnixTimeMilliseconds(), anew ? 1 : 0, Prefix + "added", (long)Slack.TotalMilliseconds]).ConfigureAwait(false));

    public ValueTask<bool> IsAwaitedAsync(long sequence, TimeSpan lease) =>
        TryAsync(async redis => (long)await redis.ScriptEvaluateAsync(Awaited, [Leases, Applied, Store], [sequence, (long)lease.TotalMilliseconds]).ConfigureAwait(false) == 1);

    public async ValueTask SubscribeAsync(Action told, Action reconnected)
    {
        await TryAsync(async redis =>
        {
            await redis.Multiplexer.GetSubscriber().SubscribeAsync(Added, (_, _) => told()).ConfigureAwait(false);
            redis.Multiplexer.ConnectionRestored += (_, _) => reconnected();
            return true;
        }).ConfigureAwait(false);
    }

    private static string MemberOf(string name, DateTimeOffset until) =>
        string.Create(CultureInfo.InvariantCulture, $"{name} {until.ToUnixTimeMilliseconds()}");

    private static Revocation Read(string member, long sequence)
    {
        var space = member.LastIndexOf(' ');
        return space > 0 && long.TryParse(member.AsSpan(space + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var until)
            ? new(member[..space], DateTimeOffset.FromUnixTimeMilliseconds(until), sequence)
            // Somebody else writes there: nothing that it says can be relied on.
            : throw new SharedStateException("The list of revocations in the shared store is damaged.");
    }

    private async ValueTask<T> TryAsync<T>(Func<IDatabase, Task<T>> ask)
    {
        try
        {
            return await ask((await connection.Value.ConfigureAwait(false)).GetDatabase()).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is RedisException or TimeoutException or InvalidCastException or FormatException or OverflowException)
        {
            throw new SharedStateException("The shared store does not answer.", failure);
        }
    }
}
