using System.Collections.Concurrent;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using KantaGateway.Fhir.Transport;
using StackExchange.Redis;

namespace KantaGateway.Gateway.Identification;

/// <summary>What the gateways of a deployment remember together for a while: used assertion ids, portal sessions, failures to identify, how many patients who has opened.</summary>
/// <remarks>Keys are digests and values ciphertext, so whoever reads the store learns neither. Throws <see cref="SharedStateException"/> when it cannot answer.</remarks>
internal interface ISharedState
{
    /// <param name="from">The earliest moment at which it may have been added before; null: that it is forgotten does no harm.</param>
    /// <returns>False when the key is already there: of all concurrent callers exactly one gets true.</returns>
    /// <exception cref="SharedStateException">Or the store has been emptied, started or put in the place of another since <paramref name="from"/>, so that nobody knows.</exception>
    ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from = null);

    ValueTask SetAsync(string key, byte[] value, TimeSpan life);

    /// <summary>Sets what is there, in one step: what has been removed stays removed, whoever read it before.</summary>
    /// <returns>False when the key is not there.</returns>
    ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life);

    ValueTask<byte[]?> GetAsync(string key);
    ValueTask RemoveAsync(string key);

    /// <summary>Counts one more under a key.</summary>
    /// <param name="life">From the first; after it the count begins anew.</param>
    /// <returns>How many there are now, this one included.</returns>
    ValueTask<long> CountAsync(string key, TimeSpan life);

    /// <summary>
    /// Adds a member to several sets, or to none: where it is not yet in a window of one and the window is full, that set is held from then on, and nothing is added. Of all concurrent callers exactly one is
    /// told that it has filled a set; until it says so (<see cref="SettleAsync"/>) another is told after <see cref="SpreadAnswer.Lease"/>. A member that is there counts from now on.
    /// </summary>
    /// <param name="hold">For how long a set is held that is full.</param>
    /// <param name="trace">What is kept for a while of it that the member was added; null: nothing.</param>
    ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace = null);

    /// <summary>What has been kept under a name of members added since then; at most <see cref="SpreadTrace.Most"/>, the newest.</summary>
    ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within);

    /// <summary>What follows of it that a set was filled is done.</summary>
    ValueTask SettleAsync(string set);

    /// <summary>Sets that were filled, and whoever was told so has not settled them, and had its turn longer ago than that. They are the caller's to settle now.</summary>
    ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after);

    /// <summary>Takes a member out of sets as if it had never been added. A set that is held stays so.</summary>
    ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member);

    /// <summary>Puts a member into a group, or a new value in the place of its old one. The group goes with its last member.</summary>
    /// <param name="member">Without spaces.</param>
    /// <param name="most">So many members at most.</param>
    /// <exception cref="SharedStateException">Or the group is full: none is forgotten for another.</exception>
    ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most);

    /// <summary>What the members of a group have that have not ended, in no order.</summary>
    ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group);
}

/// <summary>A set that counts its members in windows, each from when the member was last added.</summary>
/// <param name="Windows">By length, the longest last; <c>Most</c> members at most in each.</param>
internal readonly record struct Spread(string Key, IReadOnlyList<(TimeSpan Window, int Most)> Windows);

/// <summary>What came of adding to sets.</summary>
/// <param name="Set">Position of the set that is full or held; null: it was added to all.</param>
/// <param name="Window">Position of the window that is full, for whose it is to do what follows; null: it is held from before.</param>
/// <param name="Until">Until when it is held.</param>
/// <param name="AskAgain">When what follows may be another's to do; null: it is done, or the caller's.</param>
internal readonly record struct SpreadAnswer(int? Set, int? Window, DateTimeOffset Until, DateTimeOffset? AskAgain = null)
{
    /// <summary>How long whoever is told that it has filled a set has for what follows.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(10);
}

/// <summary>Something that is kept of an addition under a name.</summary>
/// <param name="Life">For how long.</param>
internal sealed record SpreadTrace(string Key, string Value, TimeSpan Life)
{
    /// <summary>Under one name.</summary>
    public const int Most = 32;
}

/// <summary>A set that was filled.</summary>
internal sealed record FullSet(string Key, TimeSpan Window, int Most, DateTimeOffset Until);

/// <summary>Names in the shared store: who reads them must not learn what they stand for.</summary>
internal static class SharedKey
{
    /// <summary>A kind, and the SHA-256 of what tells one of the kind from the others.</summary>
    /// <param name="kind">Stands in the open; in memory each has room of its own.</param>
    public static string Of(string kind, params ReadOnlySpan<string?> parts) =>
        $"{kind}:{Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\0', parts))))}";
}

/// <summary>The shared store is full or out of reach: the caller must refuse, not go on without it.</summary>
internal sealed class SharedStateException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Remembers in this process, from its start on: for one gateway.</summary>
/// <param name="capacity">
/// Entries at most of one kind, the part of a key before its colon. Each kind has room of its own, so that a client's flood of assertions
/// leaves citizens their sessions.
/// </param>
internal sealed class MemoryState(TimeProvider time, int capacity = 200_000) : ISharedState
{
    /// <summary>What may have been added before the start is not taken, but where a caller's clock was ahead: ten seconds are allowed, and times of tokens are whole seconds.</summary>
    private static readonly TimeSpan Allowed = TimeSpan.FromSeconds(11);

    private readonly DateTimeOffset _since = time.GetUtcNow() - Allowed;
    private readonly ConcurrentDictionary<string, Shelf> _shelves = new(StringComparer.Ordinal);
    private readonly RecentCache<string, Tally> _tallies = new(100_000);
    private readonly Lock _spreading = new();
    private readonly Dictionary<string, Dictionary<string, DateTimeOffset>> _spread = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DateTimeOffset> _heldSets = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (DateTimeOffset Ends, int Position, FullSet Set)> _unsettled = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Dictionary<string, DateTimeOffset>> _traces = new(StringComparer.Ordinal);
    private readonly Lock _grouping = new();
    private readonly Dictionary<string, Dictionary<string, (byte[] Value, DateTimeOffset Ends)>> _groups = new(StringComparer.Ordinal);

    private sealed class Shelf
    {
        public readonly ConcurrentDictionary<string, (byte[] Value, DateTimeOffset Ends)> Entries = new(StringComparer.Ordinal);
        public int Count;
    }

    private sealed class Tally(DateTimeOffset ends)
    {
        public DateTimeOffset Ends => ends;
        public long Count;
    }

    public ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from = null)
    {
        if (from < _since)
            throw new SharedStateException("What was used before this gateway started is not known.");
        var shelf = WithRoom(key);
        var now = time.GetUtcNow();
        var entry = (Array.Empty<byte>(), now + life);
        while (!shelf.Entries.TryAdd(key, entry))
        {
            if (!shelf.Entries.TryGetValue(key, out var old))
                continue;
            if (old.Ends > now)
                return new(false);
            // It has ended: whoever swaps it is the one that adds.
            if (shelf.Entries.TryUpdate(key, entry, old))
                return new(true);
        }
        Interlocked.Increment(ref shelf.Count);
        return new(true);
    }

    public ValueTask SetAsync(string key, byte[] value, TimeSpan life)
    {
        var shelf = WithRoom(key);
        var entry = (value, time.GetUtcNow() + life);
        if (shelf.Entries.TryAdd(key, entry))
            Interlocked.Increment(ref shelf.Count);
        else
            shelf.Entries[key] = entry;
        return default;
    }

    public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life)
    {
        var entries = ShelfOf(key).Entries;
        var now = time.GetUtcNow();
        while (entries.TryGetValue(key, out var old) && old.Ends > now)
            if (entries.TryUpdate(key, (value, now + life), old))
                return new(true);
        return new(false);
    }

    public ValueTask<byte[]?> GetAsync(string key) =>
        new(ShelfOf(key).Entries.TryGetValue(key, out var entry) && entry.Ends > time.GetUtcNow() ? entry.Value : null);

    public ValueTask RemoveAsync(string key)
    {
        var shelf = ShelfOf(key);
        if (shelf.Entries.TryRemove(key, out _))
            Interlocked.Decrement(ref shelf.Count);
        return default;
    }

    public ValueTask<long> CountAsync(string key, TimeSpan life)
    {
        var now = time.GetUtcNow();
        // Two that begin one at the same time may lose a count.
        if (!_tallies.TryGet(key, out var tally) || tally.Ends <= now)
            _tallies.Set(key, tally = new(now + life));
        return new(Interlocked.Increment(ref tally.Count));
    }

    public ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace = null)
    {
        var now = time.GetUtcNow();
        lock (_spreading)
        {
            for (var i = 0; i < sets.Count; i++)
                if (_heldSets.TryGetValue(sets[i].Key, out var until) && until > now)
                {
                    if (!_unsettled.TryGetValue(sets[i].Key, out var full))
                        return new(new SpreadAnswer(i, null, until));
                    if (full.Ends > now)
                        return new(new SpreadAnswer(i, null, until, full.Ends));
                    _unsettled[sets[i].Key] = full with { Ends = now + SpreadAnswer.Lease };
                    return new(new SpreadAnswer(i, full.Position, until));
                }
            if (_spread.Count >= capacity)
                TidySpread(now - sets[0].Windows[^1].Window, now);
            for (var i = 0; i < sets.Count; i++)
            {
                var members = _spread.GetValueOrDefault(sets[i].Key);
                for (var j = 0; members is not null && j < sets[i].Windows.Count; j++)
                {
                    var (window, most) = sets[i].Windows[j];
                    var from = now - window;
                    if (!(members.TryGetValue(member, out var at) && at > from) && members.Values.Count(other => other > from) >= most)
                    {
                        _heldSets[sets[i].Key] = now + hold;
                        _unsettled[sets[i].Key] = (now + SpreadAnswer.Lease, j, new(sets[i].Key, window, most, now + hold));
                        return new(new SpreadAnswer(i, j, now + hold));
                    }
                }
            }
            foreach (var set in sets)
            {
                if (!_spread.TryGetValue(set.Key, out var members))
                    _spread.Add(set.Key, members = new(StringComparer.Ordinal));
                var from = now - set.Windows[^1].Window;
                if (!members.ContainsKey(member) && members.Count >= set.Windows[^1].Most)
                    foreach (var (old, at) in members)
                        if (at <= from)
                            members.Remove(old);
                members[member] = now;
            }
            if (trace is not null)
                Trace(trace, now);
            return new(default(SpreadAnswer));
        }
    }

    public ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within)
    {
        var from = time.GetUtcNow() - within;
        lock (_spreading)
            return new([.. _traces.GetValueOrDefault(key)?.Where(one => one.Value > from).Select(static one => one.Key) ?? []]);
    }

    public ValueTask SettleAsync(string set)
    {
        lock (_spreading)
            _unsettled.Remove(set);
        return default;
    }

    public ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after)
    {
        var now = time.GetUtcNow();
        lock (_spreading)
        {
            FullSet[] taken = [.. _unsettled.Values.Where(one => one.Ends + after <= now).Select(static one => one.Set)];
            foreach (var one in taken)
                _unsettled[one.Key] = _unsettled[one.Key] with { Ends = now + SpreadAnswer.Lease };
            return new(taken);
        }
    }

    private void Trace(SpreadTrace trace, DateTimeOffset now)
    {
        // To forget where somebody was looked for costs her a count, and no more.
        if (_traces.Count >= capacity)
            _traces.Clear();
        if (!_traces.TryGetValue(trace.Key, out var values))
            _traces.Add(trace.Key, values = new(StringComparer.Ordinal));
        values[trace.Value] = now;
        foreach (var (value, at) in values)
            if (at <= now - trace.Life)
                values.Remove(value);
        while (values.Count > SpreadTrace.Most)
            values.Remove(values.MinBy(static one => one.Value).Key);
    }

    public ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member)
    {
        lock (_spreading)
            foreach (var set in sets)
                _spread.GetValueOrDefault(set)?.Remove(member);
        return default;
    }

    public ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most)
    {
        var now = time.GetUtcNow();
        lock (_grouping)
        {
            if (!_groups.TryGetValue(group, out var members))
            {
                if (_groups.Count >= capacity)
                    foreach (var (name, its) in _groups)
                        if (its.Values.All(one => one.Ends <= now))
                            _groups.Remove(name);
                if (_groups.Count >= capacity)
                    throw new SharedStateException("Too many groups at once.");
                _groups.Add(group, members = new(StringComparer.Ordinal));
            }
            foreach (var (name, one) in members)
                if (one.Ends <= now)
                    members.Remove(name);
            if (members.Count >= most && !members.ContainsKey(member))
                throw new SharedStateException("The group is full.");
            members[member] = (value, now + life);
        }
        return default;
    }

    public ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group)
    {
        var now = time.GetUtcNow();
        lock (_grouping)
            return new([.. _groups.GetValueOrDefault(group)?.Values.Where(one => one.Ends > now).Select(static one => one.Value) ?? []]);
    }

    /// <exception cref="SharedStateException">Nothing has ended: to forget some would let them begin anew.</exception>
    private void TidySpread(DateTimeOffset from, DateTimeOffset now)
    {
        foreach (var (key, members) in _spread)
            if (members.Values.All(at => at <= from))
                _spread.Remove(key);
        foreach (var (key, until) in _heldSets)
            if (until <= now)
                _heldSets.Remove(key);
        if (_spread.Count >= capacity)
            throw new SharedStateException("Too many requesters at once.");
    }

    private Shelf ShelfOf(string key) =>
        _shelves.GetOrAdd(key.IndexOf(':') is var colon and > 0 ? key[..colon] : "", static _ => new());

    private Shelf WithRoom(string key)
    {
        var shelf = ShelfOf(key);
        if (Volatile.Read(ref shelf.Count) < capacity)
            return shelf;
        var now = time.GetUtcNow();
        foreach (var entry in shelf.Entries)
            if (entry.Value.Ends <= now && shelf.Entries.TryRemove(entry))
                Interlocked.Decrement(ref shelf.Count);
        // Forgetting a live entry would let an assertion be replayed.
        return Volatile.Read(ref shelf.Count) < capacity ? shelf : throw new SharedStateException("Too many assertions or sessions at once.");
    }
}

/// <summary>Remembers in Redis: for any number of gateways.</summary>
/// <param name="connection">To whichever is the master.</param>
/// <param name="store">Its <c>run_id</c> and <c>evicted_keys</c> when it was asked last; empty: it was not.</param>
/// <param name="time">By which sets count; null: this machine's.</param>
internal sealed class RedisState(Lazy<Task<IConnectionMultiplexer>> connection, string store = "", TimeProvider? time = null) : ISharedState
{
    // Braces: one slot of a cluster for all of them, that one script may look at two.
    private const string Prefix = "kanta:{identification}:";
    private static readonly RedisKey Since = Prefix + "since";

    /// <summary>The clock of Redis may differ from that of a gateway.</summary>
    private static readonly TimeSpan Difference = PeerClocks.Most;

    /// <summary>By how much the clock of Redis may be set forwards without ending what must not be forgotten.</summary>
    private static readonly TimeSpan SetForwards = TimeSpan.FromHours(1);

    private volatile string _store = store;

    // A store that was emptied has nothing written there; one that was started again, or took the place of another, is another process than wrote there, or than this gateway asked last; one that was short of memory may have evicted anything. Each has
    // forgotten something, or never heard of it.
    private const string Notice = """
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        local store = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. '/' .. string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
        local function since(key, seen)
            if redis.call('HGET', key, 'store') ~= store or (seen ~= '' and seen ~= store) then redis.call('HSET', key, 'store', store, 'since', now) end
            return tonumber(redis.call('HGET', key, 'since'))
        end

        """;

    private const string Add = Notice + """
        if since(KEYS[2], ARGV[3]) > tonumber(ARGV[2]) then return {-1, store} end
        if redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1]) then return {1, store} end
        return {0, store}
        """;

    private const string Clock = Notice + """
        return {now, since(KEYS[1], '')}
        """;

    // In one step: a count that a crash had left without an end would never begin anew.
    private const string Count = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n";

    // KEYS: what is not settled, the trace, and each set and beside it until when it is held. ARGV: now, how long one is held, the member, the lease, what is traced (or nothing) and for how long, and of each set how many windows, and
    // of each window its length and how many are allowed.
    private const string Spreading = """
        local now, hold, member, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
        for i = 3, #KEYS, 2 do
            local ends = tonumber(redis.call('GET', KEYS[i + 1]) or 0)
            if ends > now then
                local full = redis.call('HGET', KEYS[1], KEYS[i])
                if not full then return {(i - 3) / 2, -1, ends, 0} end
                local turn, rest = string.match(full, '^(%d+) (.*)$')
                if tonumber(turn) > now then return {(i - 3) / 2, -1, ends, tonumber(turn)} end
                redis.call('HSET', KEYS[1], KEYS[i], (now + lease) .. ' ' .. rest)
                return {(i - 3) / 2, tonumber(string.match(rest, '^%d+')), ends, 0}
            end
        end
        local longest, at = {}, 7
        for i = 3, #KEYS, 2 do
            local windows = tonumber(ARGV[at])
            for j = 0, windows - 1 do
                local window, most = tonumber(ARGV[at + 1 + 2 * j]), tonumber(ARGV[at + 2 + 2 * j])
                local score = redis.call('ZSCORE', KEYS[i], member)
                if (not score or tonumber(score) <= now - window) and redis.call('ZCOUNT', KEYS[i], '(' .. (now - window), '+inf') >= most then
                    redis.call('SET', KEYS[i + 1], now + hold, 'PX', hold)
                    redis.call('HSET', KEYS[1], KEYS[i], (now + lease) .. ' ' .. j .. ' ' .. window .. ' ' .. most .. ' ' .. (now + hold) .. ' ' .. KEYS[i])
                    return {(i - 3) / 2, j, now + hold, 0}
                end
                longest[i] = window
            end
            at = at + 1 + 2 * windows
        end
        for i = 3, #KEYS, 2 do
            redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - longest[i])
            redis.call('ZADD', KEYS[i], now, member)
            redis.call('PEXPIRE', KEYS[i], longest[i])
        end
        if ARGV[5] ~= '' then
            redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[6]))
            redis.call('ZADD', KEYS[2], now, ARGV[5])
            for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -33)) do redis.call('ZREM', KEYS[2], old) end
            redis.call('PEXPIRE', KEYS[2], ARGV[6])
        end
        return {-1, -1, 0, 0}
        """;

    // ARGV: now, how long ago a turn must have ended, and the lease.
    private const string TakeUnsettled = """
        local now, taken = tonumber(ARGV[1]), {}
        for _, full in ipairs(redis.call('HVALS', KEYS[1])) do
            local turn, rest = string.match(full, '^(%d+) (.*)$')
            if tonumber(turn) + tonumber(ARGV[2]) <= now then
                redis.call('HSET', KEYS[1], string.match(rest, '(%S+)$'), (now + tonumber(ARGV[3])) .. ' ' .. rest)
                taken[#taken + 1] = rest
            end
        end
        return taken
        """;

    private const string Unsettled = Prefix + "breadth-unsettled";

    // A field is when it ends, its own name, and the value. ARGV: now, when the member ends, its name, its value, and how many there may be.
    private const string Put = """
        local now, last, others = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
        for _, held in ipairs(redis.call('HVALS', KEYS[1])) do
            local ends, member = string.match(held, '^(%d+) (%S+) ')
            ends = tonumber(ends)
            if ends <= now then redis.call('HDEL', KEYS[1], member)
            elseif member ~= ARGV[3] then
                others = others + 1
                if ends > last then last = ends end
            end
        end
        if others >= tonumber(ARGV[5]) then return 0 end
        redis.call('HSET', KEYS[1], ARGV[3], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
        redis.call('PEXPIRE', KEYS[1], last - now)
        return 1
        """;

    private const string Withdraw = "for i = 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end";

    /// <summary>Connects when first asked. A server that is away then or later is waited for in the background; requests meanwhile are refused.</summary>
    /// <param name="connection">Connection string of StackExchange.Redis.</param>
    /// <param name="authorityFile">PEM file with the authorities of its TLS certificate, and then no others count; null: those of the system.</param>
    public static Lazy<Task<IConnectionMultiplexer>> Connect(string connection, string? authorityFile = null)
    {
        var options = ConfigurationOptions.Parse(connection);
        options.AbortOnConnectFail = false;
        if (authorityFile is not null)
        {
            var authorities = new X509Certificate2Collection();
            authorities.ImportFromPemFile(authorityFile);
            options.CertificateValidation += (_, certificate, _, errors) => certificate is X509Certificate2 its && (errors & ~SslPolicyErrors.RemoteCertificateChainErrors) == 0 && IsOf(authorities, its);
        }
        return new(async () => await ConnectionMultiplexer.ConnectAsync(options).ConfigureAwait(false));
    }

    /// <summary>What time it is where it runs.</summary>
    /// <remarks>A store that is new, or has forgotten, begins to remember with this.</remarks>
    public async Task<DateTimeOffset> ReadClockAsync() => At((await ReadTimesAsync().ConfigureAwait(false))[0]);

    /// <summary>Whether it takes what a client makes now, by a clock that may be ten seconds slow: it has remembered for longer than what was used before could still be used.</summary>
    /// <remarks>A store that is new, or has forgotten, begins to remember with this, and is there after 13 s.</remarks>
    /// <exception cref="SharedStateException">It does not answer.</exception>
    public async Task<bool> IsRememberingAsync()
    {
        var times = await ReadTimesAsync().ConfigureAwait(false);
        // Times of tokens are whole seconds.
        return times[0] - times[1] >= (ClientAuthentication.Skew + Difference).TotalMilliseconds + 1_000;
    }

    private async ValueTask<long[]> ReadTimesAsync() => await TryAsync(async redis => (long[])(await redis.ScriptEvaluateAsync(Clock, [Since]).ConfigureAwait(false))!).ConfigureAwait(false);

    private static bool IsOf(X509Certificate2Collection authorities, X509Certificate2 certificate)
    {
        using var chain = new X509Chain { ChainPolicy = { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck } };
        chain.ChainPolicy.CustomTrustStore.AddRange(authorities);
        return chain.Build(certificate);
    }

    public async ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from = null)
    {
        var knownFrom = from is { } earliest ? (earliest - Difference).ToUnixTimeMilliseconds() : long.MaxValue;
        if (from is not null)
            life += SetForwards;
        var answer = await TryAsync(async redis => (RedisResult[])(await redis.ScriptEvaluateAsync(Add, [Prefix + key, Since], [(long)life.TotalMilliseconds, knownFrom, _store]).ConfigureAwait(false))!).ConfigureAwait(false);
        _store = (string)answer[1]!;
        var added = (int)answer[0];
        return added >= 0 ? added == 1 : throw new SharedStateException("The shared store has been emptied or started meanwhile; what was used before is not known.");
    }

    public async ValueTask SetAsync(string key, byte[] value, TimeSpan life) =>
        await TryAsync(redis => redis.StringSetAsync(Prefix + key, value, life)).ConfigureAwait(false);

    public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life) =>
        TryAsync(redis => redis.StringSetAsync(Prefix + key, value, life, When.Exists));

    public async ValueTask<byte[]?> GetAsync(string key) =>
        await TryAsync(redis => redis.StringGetAsync(Prefix + key)).ConfigureAwait(false);

    public async ValueTask RemoveAsync(string key) =>
        await TryAsync(redis => redis.KeyDeleteAsync(Prefix + key)).ConfigureAwait(false);

    public ValueTask<long> CountAsync(string key, TimeSpan life) =>
        TryAsync(async redis => (long)await redis.ScriptEvaluateAsync(Count, [Prefix + key], [(long)life.TotalMilliseconds]).ConfigureAwait(false));

    /// <remarks>By the clock of the gateway that asks; those of a deployment differ by seconds at most.</remarks>
    public async ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace = null)
    {
        var now = Now;
        RedisKey[] keys = [Unsettled, Prefix + (trace?.Key ?? "breadth-untraced"), .. sets.SelectMany(static set => (RedisKey[])[Prefix + set.Key, Prefix + set.Key + ":held"])];
        RedisValue[] values = [now, (long)hold.TotalMilliseconds, member, (long)SpreadAnswer.Lease.TotalMilliseconds, trace?.Value ?? "", (long)(trace?.Life.TotalMilliseconds ?? 0), .. sets.SelectMany(static set => set.Windows.SelectMany(static its => (RedisValue[])[(long)its.Window.TotalMilliseconds, its.Most]).Prepend(set.Windows.Count))];
        var answer = await TryAsync(async redis => (long[])(await redis.ScriptEvaluateAsync(Spreading, keys, values).ConfigureAwait(false))!).ConfigureAwait(false);
        return answer[0] < 0 ? default : new((int)answer[0], answer[1] < 0 ? null : (int)answer[1], At(answer[2]), answer[3] == 0 ? null : At(answer[3]));
    }

    public async ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within) =>
        [.. (await TryAsync(redis => redis.SortedSetRangeByScoreAsync(Prefix + key, Now - within.TotalMilliseconds, exclude: Exclude.Start)).ConfigureAwait(false)).Select(static value => (string)value!)];

    public async ValueTask SettleAsync(string set) => await TryAsync(redis => redis.HashDeleteAsync(Unsettled, Prefix + set)).ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after)
    {
        RedisValue[] values = [Now, (long)after.TotalMilliseconds, (long)SpreadAnswer.Lease.TotalMilliseconds];
        var taken = await TryAsync(async redis => (string[])(await redis.ScriptEvaluateAsync(TakeUnsettled, [Unsettled], values).ConfigureAwait(false))!).ConfigureAwait(false);
        return [.. taken.Select(static one => one.Split(' ')).Select(static its => new FullSet(its[4][Prefix.Length..], TimeSpan.FromMilliseconds(Number(its[1])), (int)Number(its[2]), At(Number(its[3]))))];

        static long Number(string text) => long.Parse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture);
    }

    private long Now => (time ?? TimeProvider.System).GetUtcNow().ToUnixTimeMilliseconds();

    private static DateTimeOffset At(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);

    public async ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member) =>
        await TryAsync(redis => redis.ScriptEvaluateAsync(Withdraw, [.. sets.Select(static set => (RedisKey)(Prefix + set))], [member])).ConfigureAwait(false);

    public async ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most)
    {
        RedisValue[] values = [Now, Now + (long)life.TotalMilliseconds, member, value, most];
        if (await TryAsync(async redis => (long)await redis.ScriptEvaluateAsync(Put, [Prefix + group], values).ConfigureAwait(false)).ConfigureAwait(false) == 0)
            throw new SharedStateException("The group is full.");
    }

    public async ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group)
    {
        var (values, now) = (new List<byte[]>(), Now);
        foreach (var field in await TryAsync(redis => redis.HashValuesAsync(Prefix + group)).ConfigureAwait(false))
        {
            byte[] held = field!;
            var end = held.AsSpan().IndexOf((byte)' ');
            var begin = end + 1 + held.AsSpan(end + 1).IndexOf((byte)' ') + 1;
            if (long.Parse(held.AsSpan(0, end), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture) > now)
                values.Add(held[begin..]);
        }
        return values;
    }

    private async ValueTask<T> TryAsync<T>(Func<IDatabase, Task<T>> ask)
    {
        try
        {
            return await ask((await connection.Value.ConfigureAwait(false)).GetDatabase()).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is RedisException or TimeoutException)
        {
            throw new SharedStateException("The shared store does not answer.", failure);
        }
    }
}
