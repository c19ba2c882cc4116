using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys;

/// <summary>
/// Remembers grants whose signature was checked until they expire, so that a grant used for many requests is verified
/// once. Keeps hashes of tokens, not tokens. Thread-safe.
/// </summary>
sealed class VerifiedGrants(GrantVerifier verifier, TimeProvider time)
{
    // Some hundred bytes each; when full, what has expired goes, and if that is not enough, everything.
    private const int Capacity = 50_000;

    private readonly ConcurrentDictionary<TokenHash, Grant> _grants = [];

    /// <summary>The grant, or null and why; the reason names a check and holds no data.</summary>
    public async ValueTask<(Grant? Grant, string? Reason)> VerifyAsync(string? token)
    {
        if (string.IsNullOrEmpty(token))
            return (null, "no grant");
        var hash = TokenHash.Of(token);
        var now = time.GetUtcNow();
        if (_grants.TryGetValue(hash, out var known))
            return known.Expires > now ? (known, null) : (null, "expired");
        var (grant, reason) = await verifier.VerifyAsync(token).ConfigureAwait(false);
        if (grant is null)
            return (null, reason);
        if (_grants.Count >= Capacity)
            Sweep(now);
        _grants.TryAdd(hash, grant);
        return (grant, null);
    }

    private void Sweep(DateTimeOffset now)
    {
        foreach (var (hash, grant) in _grants)
            if (grant.Expires <= now)
                _grants.TryRemove(hash, out _);
        if (_grants.Count >= Capacity)
            _grants.Clear();
    }

    private readonly record struct TokenHash(UInt128 High, UInt128 Low)
    {
        public static TokenHash Of(string token)
        {
            var hash = SHA256.HashData(Encoding.UTF8.GetBytes(token));
            return new(System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash),
                System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash.AsSpan(16)));
        }
    }
}
