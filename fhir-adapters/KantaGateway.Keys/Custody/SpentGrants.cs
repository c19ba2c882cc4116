using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// The grants that have opened a key already: each opens one (law 5). What the gateway signs for one request is worth nothing to who comes by it later. Kept as long as a
/// grant may live, in two halves that change places, so that forgetting looks at none of them. Atomic; thread-safe. Memory: a digest for each key given out in two minutes.
/// </summary>
sealed class SpentGrants
{
    private readonly Lock _turn = new();
    private HashSet<Digest> _spent = [], _before = [];
    private DateTimeOffset _since = DateTimeOffset.MinValue;

    /// <summary>Takes a grant, once; whoever gives no key out for it puts it back.</summary>
    /// <param name="grant">Digest of its id.</param>
    /// <param name="now">UTC.</param>
    /// <returns>False: it has been taken.</returns>
    public bool TryTake(Digest grant, DateTimeOffset now)
    {
        lock (_turn)
        {
            if (now - _since >= Grant.MaxLifetime)
            {
                _before = now - _since < 2 * Grant.MaxLifetime ? _spent : [];
                (_spent, _since) = ([], now);
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
