using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// The grants that have opened a key already: each opens one (law 5). What the gateway signs for one request is worth nothing to who comes by it later. Kept longer than a
/// grant may live, by a clock that nobody sets, in two halves that change places, so that forgetting looks at none of them. Atomic; thread-safe. Memory: a digest for each key given out in two minutes.
/// </summary>
sealed class SpentGrants(TimeProvider time)
{
    /// <summary>A grant lives a minute, and clocks differ by seconds.</summary>
    public static readonly TimeSpan Kept = Grant.MaxLifetime + TimeSpan.FromSeconds(30);

    private readonly Lock _turn = new();
    private HashSet<Digest> _spent = [], _before = [];
    private long _since = time.GetTimestamp();

    /// <summary>Takes a grant, once; whoever gives no key out for it puts it back.</summary>
    /// <param name="grant">Digest of its id.</param>
    /// <returns>False: it has been taken.</returns>
    public bool TryTake(Digest grant)
    {
        lock (_turn)
        {
            if (time.GetElapsedTime(_since) is var elapsed && elapsed >= Kept)
            {
                _before = elapsed < 2 * Kept ? _spent : [];
                (_spent, _since) = ([], time.GetTimestamp());
            }
            return !_before.Contains(grant) && _spent.Add(grant);
        }
    }

    /// <summary>No key was given out for it.</summary>
    public void PutBack(Digest grant)
    {
        lock (_turn)
            if (!_spent.Remove(grant))
                _before.Remove(grant);
    }
}
