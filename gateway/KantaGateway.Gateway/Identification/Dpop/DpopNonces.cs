using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Gateway.Identification.Dpop;

/// <summary>
/// Nonces that proofs of possession must carry (RFC 9449 §8, §9): nobody makes a proof for later use while he holds a key for a moment. All gateways
/// with the same token key give the same ones; nothing is stored.
/// </summary>
internal sealed class DpopNonces(TokenKey key, TimeProvider time)
{
    /// <summary>How long one is given out, in seconds. It is taken for as long again.</summary>
    public const int Seconds = 150;

    private const int Size = 16;

    private (long Step, string Nonce) _current = (-1, "");
    private readonly Lock _gate = new();

    /// <summary>The one to be used from now on: 22 characters.</summary>
    public string Current
    {
        get
        {
            var step = StepOf(time.GetUtcNow());
            lock (_gate)
            {
                if (_current.Step != step)
                    _current = (step, NonceOf(step));
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
        return Is(step - 1) | Is(step + 1);

        bool Is(long of) => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(nonce), Encoding.ASCII.GetBytes(NonceOf(of)));
    }

    private static long StepOf(DateTimeOffset now) => now.ToUnixTimeSeconds() / Seconds;

    private string NonceOf(long step)
    {
        Span<byte> number = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(number, step);
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key.NonceKey, number, mac);
        return Base64Url.EncodeToString(mac[..Size]);
    }
}
