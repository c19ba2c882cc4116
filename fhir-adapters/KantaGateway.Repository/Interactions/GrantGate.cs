using System.Collections.Concurrent;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Repository.Interactions;

/// <summary>A verified grant and the signed form to pass on to the key service.</summary>
sealed record HeldGrant(Grant Grant, string Token);

/// <summary>
/// Verifies grants, remembering the valid ones until they expire: the gateway uses one for many requests, and an ES256
/// verification costs more than a read. Thread-safe.
/// </summary>
sealed class GrantGate(GrantVerifier verifier, TimeProvider time)
{
    private const int MaxRemembered = 10_000;

    private readonly ConcurrentDictionary<string, HeldGrant> _valid = new(StringComparer.Ordinal);

    /// <exception cref="FaultException">There is none, or anything about it is not right.</exception>
    public ValueTask<HeldGrant> RequireAsync(string? token) =>
        token is not null && _valid.TryGetValue(token, out var held) && held.Grant.Expires > time.GetUtcNow() ? new(held) : VerifyAsync(token);

    private async ValueTask<HeldGrant> VerifyAsync(string? token)
    {
        var (grant, _) = await verifier.VerifyAsync(token).ConfigureAwait(false);
        if (grant is null || grant.Use == GrantUse.None)
            throw new FaultException(new Fault(FaultKind.NotIdentified, "The repository answers only to a valid grant of its gateway."));
        if (_valid.Count >= MaxRemembered)
        {
            var now = time.GetUtcNow();
            foreach (var (known, old) in _valid)
                if (old.Grant.Expires <= now)
                    _valid.TryRemove(known, out _);
            if (_valid.Count >= MaxRemembered)
                _valid.Clear();
        }
        return _valid[token!] = new(grant, token!);
    }
}
