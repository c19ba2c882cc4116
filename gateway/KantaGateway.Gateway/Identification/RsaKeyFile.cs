using System.Security.Cryptography;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>An RSA private key from a PKCS#8 PEM file, named by its RFC 7638 thumbprint.</summary>
internal static class RsaKeyFile
{
    /// <exception cref="InvalidDataException">The file holds no RSA key of 2048 bits or more.</exception>
    public static RsaSecurityKey Read(string file)
    {
        var rsa = RSA.Create();
        try
        {
            rsa.ImportFromPem(File.ReadAllText(file));
        }
        catch (Exception wrong) when (wrong is ArgumentException or CryptographicException)
        {
            throw new InvalidDataException($"{file}: not a PKCS#8 PEM RSA private key.", wrong);
        }
        if (rsa.KeySize < 2048)
            throw new InvalidDataException($"{file}: the RSA key must have 2048 bits or more.");
        var key = new RsaSecurityKey(rsa);
        key.KeyId = Base64UrlEncoder.Encode(key.ComputeJwkThumbprint());
        return key;
    }
}
