using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Gateway.Identification.Dpop;

/// <summary>
/// Nonces that proofs of possession must carry (RFC 9449 §8, §9): nobody makes a proof for later use while he holds a key for a moment. All gateways
/// with the same token keys give the same ones; nothing is stored.
/// </summary>
internal sealed class DpopNonces(TokenKeys keys, TimeProvider time)
{
    /// <summary>How long one is given out, in seconds. It is taken for as long again.</summary>
    public const int Seconds = 150;

    private const int Size = 16;

    private (long Step, TokenKey? Key, string Nonce) _current = (-1, null, "");
    private readonly Lock _gate = new();

    /// <summary>The one to be used from now on: 22 characters.</summary>
    public string Current
    {
        get
        {
            var step = StepOf(time.GetUtcNow());
            var key = keys.Newest;
            lock (_gate)
            {
                if (_current.Step != step || _current.Key != key)
                    _current = (step, key, NonceOf(step, key));
                return _current.Nonce;
            }
        }
    }

    /// <summary>Whether it is one that has been given out less than <see cref="Seconds"/> to twice that ago, be it by a gateway whose clock is a little ahead.</summary>
    public bool IsGood(string nonce)
    {
        if (string.Equals(nonce, Current, StringComparison.Ordinal))
            return true;
        var step = StepOf(time.GetUtcNow());
        var isGood = false;
        foreach (var key in keys.All)
            isGood |= Is(step - 1, key) | Is(step, key) | Is(step + 1, key);
        return isGood;

        bool Is(long of, TokenKey by) => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(nonce), Encoding.ASCII.GetBytes(NonceOf(of, by)));
    }

    private static long StepOf(DateTimeOffset now) => now.ToUnixTimeSeconds() / Seconds;

    private static string NonceOf(long step, TokenKey key)
    {
        Span<byte> number = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(number, step);
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key.NonceKey, number, mac);
        return Base64Url.EncodeToString(mac[..Size]);
    }
}
