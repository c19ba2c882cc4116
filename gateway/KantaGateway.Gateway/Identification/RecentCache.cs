using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// A bounded map of what was seen lately, in two generations: when the young one is full the old one is dropped whole.
/// An entry that is used survives; finding one takes no lock and writes nothing while it is young.
/// </summary>
/// <param name="capacity">Entries at most, both generations together; 2 or more.</param>
internal sealed class RecentCache<TKey, TValue>(int capacity) where TKey : notnull
{
    private readonly Lock _turn = new();
    private volatile Generations _now = new(new(), new());

    private sealed record Generations(ConcurrentDictionary<TKey, TValue> Young, ConcurrentDictionary<TKey, TValue> Old)
    {
        // ConcurrentDictionary.Count takes every lock; this counts additions, which is enough for a bound.
        public int Added;
    }

    public bool TryGet(TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        var now = _now;
        if (now.Young.TryGetValue(key, out value))
            return true;
        if (!now.Old.TryGetValue(key, out value))
            return false;
        Set(key, value);
        return true;
    }

    public void Set(TKey key, TValue value)
    {
        var now = _now;
        now.Young[key] = value;
        if (Interlocked.Increment(ref now.Added) < capacity / 2)
            return;
        lock (_turn)
            if (ReferenceEquals(_now, now))
                _now = new(new(), now.Young);
    }
}
