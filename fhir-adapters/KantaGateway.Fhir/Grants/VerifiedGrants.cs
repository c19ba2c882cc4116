using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// Remembers grants whose signature was checked until they expire: the gateway uses one for many requests, and an ES256
/// verification costs more than a read. Keeps hashes of tokens, not tokens. Thread-safe.
/// </summary>
public sealed class VerifiedGrants(GrantVerifier verifier, TimeProvider time)
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
            // A grant is some 700 characters; a longer one costs an array.
            var most = Encoding.UTF8.GetMaxByteCount(token.Length);
            Span<byte> bytes = most <= 4096 ? stackalloc byte[4096] : new byte[most];
            Span<byte> hash = stackalloc byte[32];
            SHA256.HashData(bytes[..Encoding.UTF8.GetBytes(token, bytes)], hash);
            return new(BinaryPrimitives.ReadUInt128BigEndian(hash), BinaryPrimitives.ReadUInt128BigEndian(hash[16..]));
        }
    }
}
