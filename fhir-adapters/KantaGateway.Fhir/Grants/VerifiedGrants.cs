using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// Remembers grants whose signature was checked until they expire: the gateway uses one for many requests, and an ES256
/// verification costs more than a read. Keeps hashes of tokens, not tokens. Thread-safe.
/// </summary>
public sealed class VerifiedGrants(GrantVerifier verifier, TimeProvider time)
{
    private const int Capacity = 50_000;

    private readonly VerifiedTokens<Grant> _grants = new(Capacity, static grant => grant.Expires);

    /// <summary>The grant, or null and why; the reason names a check and holds no data.</summary>
    public async ValueTask<(Grant? Grant, string? Reason)> VerifyAsync(string? token)
    {
        if (string.IsNullOrEmpty(token))
            return (null, "no grant");
        var hash = TokenHash.Of(token);
        var now = time.GetUtcNow();
        if (_grants.TryGet(hash, out var known))
            return known.Expires > now ? (known, null) : (null, "expired");
        var (grant, reason) = await verifier.VerifyAsync(token).ConfigureAwait(false);
        if (grant is null)
            return (null, reason);
        _grants.Add(hash, grant, now);
        return (grant, null);
    }
}

/// <summary>What was found right about tokens, under their digests. Bounded: when it is full, what has expired goes, and if that is not enough, everything. Thread-safe.</summary>
/// <param name="capacity">Tokens, some hundred bytes each.</param>
/// <param name="expires">When one ends. Whoever takes one looks at the time again.</param>
sealed class VerifiedTokens<T>(int capacity, Func<T, DateTimeOffset> expires) where T : class
{
    private readonly ConcurrentDictionary<TokenHash, T> _known = [];

    public int Count => _known.Count;

    public bool TryGet(TokenHash token, [NotNullWhen(true)] out T? known) => _known.TryGetValue(token, out known);

    public void Add(TokenHash token, T known, DateTimeOffset now)
    {
        if (_known.Count >= capacity)
            Sweep(now);
        _known.TryAdd(token, known);
    }

    private void Sweep(DateTimeOffset now)
    {
        foreach (var (token, known) in _known)
            if (expires(known) <= now)
                _known.TryRemove(token, out _);
        if (_known.Count >= capacity)
            _known.Clear();
    }
}

/// <summary>SHA-256 of a token.</summary>
readonly record struct TokenHash(UInt128 High, UInt128 Low)
{
    public static TokenHash Of(ReadOnlySpan<char> token)
    {
        // A grant is some 1,200 characters; a longer one costs an array.
        var length = Encoding.UTF8.GetByteCount(token);
        Span<byte> hash = stackalloc byte[32], bytes = length <= 2048 ? stackalloc byte[length] : new byte[length];
        Encoding.UTF8.GetBytes(token, bytes);
        SHA256.HashData(bytes, hash);
        return new(BinaryPrimitives.ReadUInt128BigEndian(hash), BinaryPrimitives.ReadUInt128BigEndian(hash[16..]));
    }
}
