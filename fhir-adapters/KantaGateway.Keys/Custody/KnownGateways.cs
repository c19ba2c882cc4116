namespace KantaGateway.Keys.Custody;

/// <summary>
/// Which gateways are there, by what each says every few seconds, and until when one was that has stopped without a word: of the keys that were given out to it then nobody can say what came of them. Thread-safe.
/// </summary>
sealed class KnownGateways(TimeProvider time)
{
    /// <summary>Who has said nothing for so long has stopped.</summary>
    public static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(20);

    /// <summary>Between two words of a gateway, and until what it has asked for is opened.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan Kept = TimeSpan.FromHours(1);

    private readonly Lock _turn = new();
    private readonly Dictionary<Digest, Known> _known = [];

    /// <param name="First">When it was first heard.</param>
    /// <param name="Last">Until when keys may have been given out to it.</param>
    /// <param name="Heard">When it was last heard, or waited for from.</param>
    private readonly record struct Known(DateTimeOffset First, DateTimeOffset Last, DateTimeOffset Heard, bool HasStopped = false);

    /// <summary>Reads back what was recorded of one.</summary>
    /// <param name="status">As <see cref="HearAsync"/> records it.</param>
    public void Restore(Digest gateway, int status, DateTimeOffset at)
    {
        lock (_turn)
            if (status == 204)
                _known.Remove(gateway);
            else if (status == 410 && _known.TryGetValue(gateway, out var known))
                _known[gateway] = known with { Last = at - LongestSilence, Heard = at, HasStopped = true };
            else if (status == 200)
                _known[gateway] = new(at, at, at);
    }

    /// <summary>Waits from now on for those that had not stopped: the key service itself was away.</summary>
    /// <param name="last">When it gave out the last key.</param>
    public void Await(DateTimeOffset last)
    {
        var now = time.GetUtcNow();
        lock (_turn)
            foreach (var (gateway, known) in _known.ToArray())
                if (!known.HasStopped)
                    _known[gateway] = known with { Last = last > known.First ? last : known.First, Heard = now };
    }

    /// <summary>A gateway says that it is there, or that it ends. What is new of it, and of those that are silent, is recorded before it is in force.</summary>
    /// <param name="record">Of a gateway: 200 it is there, 204 it has ended, 410 it has stopped without a word.</param>
    public async Task HearAsync(Digest gateway, bool ends, Func<Digest, int, Task> record)
    {
        var now = time.GetUtcNow();
        Digest[] silent;
        bool isNew;
        lock (_turn)
        {
            isNew = !_known.TryGetValue(gateway, out var its) || its.HasStopped;
            silent = [.. _known.Where(one => one.Key != gateway && !one.Value.HasStopped && now - one.Value.Heard > LongestSilence).Select(static one => one.Key)];
        }
        if (ends ? !isNew : isNew)
            await record(gateway, ends ? 204 : 200).ConfigureAwait(false);
        foreach (var one in silent)
            await record(one, 410).ConfigureAwait(false);
        lock (_turn)
        {
            if (ends)
                _known.Remove(gateway);
            else
                _known[gateway] = new(_known.TryGetValue(gateway, out var known) ? known.First : now, now, now);
            foreach (var one in silent)
                if (_known.TryGetValue(one, out var its))
                    _known[one] = its with { HasStopped = true };
            foreach (var (old, its) in _known.ToArray())
                if (its.HasStopped && now - its.Heard > Kept)
                    _known.Remove(old);
        }
    }

    /// <summary>Whether a key may have been given out to a gateway that has stopped since.</summary>
    public bool HasStoppedSince(DateTimeOffset given)
    {
        lock (_turn)
            return _known.Values.Any(one => one.HasStopped && given >= one.First - Margin && given <= one.Last + Margin);
    }
}
