using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using StackExchange.Redis;

namespace KantaGateway.Gateway.Identification;

/// <summary>What the gateways of a deployment remember together for a while: used assertion ids, portal sessions, failures to identify.</summary>
/// <remarks>Keys are digests and values ciphertext, so whoever reads the store learns neither. Throws <see cref="SharedStateException"/> when it cannot answer.</remarks>
internal interface ISharedState
{
    /// <returns>False when the key is already there: of all concurrent callers exactly one gets true.</returns>
    ValueTask<bool> AddAsync(string key, TimeSpan life);

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
}

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

/// <summary>Remembers in this process: for one gateway.</summary>
/// <param name="capacity">
/// Entries at most of one kind, the part of a key before its colon. Each kind has room of its own, so that a client's flood of assertions
/// leaves citizens their sessions.
/// </param>
internal sealed class MemoryState(TimeProvider time, int capacity = 200_000) : ISharedState
{
    private readonly ConcurrentDictionary<string, Shelf> _shelves = new(StringComparer.Ordinal);
    private readonly RecentCache<string, Tally> _tallies = new(100_000);

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

    public ValueTask<bool> AddAsync(string key, TimeSpan life)
    {
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
internal sealed class RedisState(Lazy<Task<IConnectionMultiplexer>> connection) : ISharedState
{
    private const string Prefix = "kanta:identification:";

    // In one step: a count that a crash had left without an end would never begin anew.
    private const string Count = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n";

    /// <summary>Connects when first asked. A server that is away then or later is waited for in the background; requests meanwhile are refused.</summary>
    public static Lazy<Task<IConnectionMultiplexer>> Connect(string connection)
    {
        var options = ConfigurationOptions.Parse(connection);
        options.AbortOnConnectFail = false;
        return new(async () => await ConnectionMultiplexer.ConnectAsync(options).ConfigureAwait(false));
    }

    /// <summary>What time it is where it runs.</summary>
    public async Task<DateTimeOffset> ReadClockAsync() =>
        await TryAsync(async redis => new DateTimeOffset(await redis.Multiplexer.GetServers()[0].TimeAsync().ConfigureAwait(false), TimeSpan.Zero)).ConfigureAwait(false);

    public ValueTask<bool> AddAsync(string key, TimeSpan life) =>
        TryAsync(redis => redis.StringSetAsync(Prefix + key, "", life, When.NotExists));

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
