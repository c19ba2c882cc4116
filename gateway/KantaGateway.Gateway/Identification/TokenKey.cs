using System.Security.Cryptography;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>A P-256 key of the deployment: signs access tokens (ES256), and yields the secret that protects portal sessions.</summary>
internal sealed class TokenKey
{
    private const int SessionKeySize = 32;

    /// <exception cref="InvalidDataException">The file holds no P-256 private key.</exception>
    public TokenKey(string file, DateTimeOffset signsFrom = default)
    {
        SignsFrom = signsFrom;
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(File.ReadAllText(file));
            if (key.KeySize != 256)
                throw new InvalidDataException($"{file}: the token key must be P-256.");
            var secret = key.ExportParameters(true).D!;
            SessionKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, SessionKeySize, info: "kanta portal sessions v1"u8.ToArray());
            EncryptionKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, SessionKeySize, info: "kanta token encryption v1"u8.ToArray());
            NonceKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, SessionKeySize, info: "kanta dpop nonces v1"u8.ToArray());
            CryptographicOperations.ZeroMemory(secret);
        }
        catch (Exception wrong) when (wrong is ArgumentException or CryptographicException)
        {
            throw new InvalidDataException($"{file}: not a PKCS#8 PEM private key.", wrong);
        }
        Signing = new ECDsaSecurityKey(key);
        Signing.KeyId = Base64UrlEncoder.Encode(Signing.ComputeJwkThumbprint());
    }

    public ECDsaSecurityKey Signing { get; }

    /// <summary>See <see cref="FollowingTokenKey.SignsFrom"/>; of the first one ever since.</summary>
    public DateTimeOffset SignsFrom { get; }

    /// <summary>32 bytes.</summary>
    public byte[] SessionKey { get; }

    /// <summary>32 bytes, of which the nonces of proofs of possession are made.</summary>
    public byte[] NonceKey { get; }

    /// <summary>32 bytes; OpenIddict demands one even where nothing is encrypted.</summary>
    public byte[] EncryptionKey { get; }
}
