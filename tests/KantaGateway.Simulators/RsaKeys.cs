using System.Collections.Concurrent;
using System.Security.Cryptography;

namespace KantaGateway.Simulators;

/// <summary>
/// RSA keys of the outside world and of development folders, one for each name as long as the process lives: making one takes a processor
/// a quarter of a second, and a process of tests opens the outside world hundreds of times. Two processes have no key in common.
/// </summary>
public static class RsaKeys
{
    private static readonly ConcurrentDictionary<(string Name, int Bits), Lazy<RSAParameters>> Made = new();

    /// <param name="name">Whose key; another name, another key.</param>
    /// <param name="bits">Length of the modulus.</param>
    /// <returns>An object of its own, which the caller disposes of. Whoever signs tokens with it gives IdentityModel the parameters instead: it keeps what signs for a key beyond the object.</returns>
    public static RSA Of(string name, int bits = 2048) => RSA.Create(Made.GetOrAdd((name, bits), key => new(() =>
    {
        using var rsa = RSA.Create(key.Bits);
        return rsa.ExportParameters(true);
    })).Value);
}
