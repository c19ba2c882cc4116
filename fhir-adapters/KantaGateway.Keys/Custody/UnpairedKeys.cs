namespace KantaGateway.Keys.Custody;

/// <summary>What a gateway says of a grant that has opened a key, as the HTTP statuses that come nearest.</summary>
static class Pairing
{
    /// <summary>What came of it stands in the audit log.</summary>
    public const int Recorded = 200;

    /// <summary>The gateway is at it: its request is under way, or it is about to report it. Not kept.</summary>
    public const int Held = 102;

    /// <summary>Nobody can say what came of it, and a case says so.</summary>
    public const int Reported = 409;

    /// <summary>Its gateway has stopped without a word, and an entry in the audit log says so.</summary>
    public const int Lost = 410;
}

/// <summary>A key that was given out and of which no gateway has said what came of it.</summary>
/// <param name="Number">In the order in which they were given out, of this start.</param>
/// <param name="At">When it was given out.</param>
/// <param name="HeldBy">The gateway that is at it, until <paramref name="HeldUntil"/>.</param>
readonly record struct UnpairedKey(Digest Grant, long Number, DateTimeOffset At, Digest HeldBy = default, DateTimeOffset HeldUntil = default);

/// <summary>The keys that were given out and of which no gateway has said yet what came of it. Thread-safe. Memory: as many as are given out in the seconds until one says so.</summary>
sealed class UnpairedKeys(TimeProvider time)
{
    /// <summary>A gateway that says nothing any more is not waited for.</summary>
    public static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(20);

    private readonly Lock _turn = new();
    private readonly Dictionary<Digest, UnpairedKey> _unpaired = [];
    private long _last;

    public void Give(Digest grant, DateTimeOffset at)
    {
        lock (_turn)
            _unpaired[grant] = new(grant, ++_last, at);
    }

    public bool Contains(Digest grant)
    {
        lock (_turn)
            return _unpaired.ContainsKey(grant);
    }

    public void Pair(Digest grant)
    {
        lock (_turn)
            _unpaired.Remove(grant);
    }

    /// <summary>Takes it for one gateway, so that no other reports it too.</summary>
    /// <returns>False: another is at it, or it is paired.</returns>
    public bool TryHold(Digest grant, Digest gateway)
    {
        var now = time.GetUtcNow();
        lock (_turn)
        {
            if (!_unpaired.TryGetValue(grant, out var known) || (known.HeldBy != gateway && known.HeldUntil > now))
                return false;
            _unpaired[grant] = known with { HeldBy = gateway, HeldUntil = now + LongestHold };
            return true;
        }
    }

    /// <summary>Whether a gateway is at it, and no other has taken it since.</summary>
    public bool IsHeldBy(Digest grant, Digest gateway)
    {
        lock (_turn)
            return _unpaired.TryGetValue(grant, out var known) && known.HeldBy == gateway;
    }

    /// <summary>Those after a number, oldest first.</summary>
    public IReadOnlyList<UnpairedKey> After(long number, int most)
    {
        lock (_turn)
            return [.. _unpaired.Values.Where(one => one.Number > number).OrderBy(static one => one.Number).Take(most)];
    }
}
