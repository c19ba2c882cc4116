using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.AspNetCore.DataProtection.XmlEncryption;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Data protection with keys derived from the deployment's token keys: every gateway opens what another one sealed, and no
/// key ring has to be stored, guarded and rotated beside it.
/// </summary>
/// <remarks>AES-256-GCM with a random nonce, a key for each purpose (HKDF-SHA-256). Layout: nonce (12), tag (16), ciphertext.</remarks>
/// <param name="keys">32 bytes each; any of them opens.</param>
/// <param name="newest">Index of the one that seals now.</param>
internal sealed class SessionProtection(IReadOnlyList<byte[]> keys, Func<int> newest) : IDataProtectionProvider, IDataProtector
{
    private const int NonceSize = 12;
    private const int TagSize = 16;

    public static void Add(IServiceCollection services)
    {
        services.AddDataProtection();
        services.AddSingleton<IDataProtectionProvider>(static provider =>
        {
            var keys = provider.GetRequiredService<TokenKeys>();
            return new SessionProtection([.. keys.All.Select(static key => key.SessionKey)], () => keys.IndexOfNewest);
        });
        // The framework still warms up its own key ring at start; it gets one in memory that nothing uses.
        services.Configure<KeyManagementOptions>(ring =>
        {
            ring.XmlRepository = new ForgetfulRepository();
            ring.XmlEncryptor = new NullXmlEncryptor();
        });
    }

    public IDataProtector CreateProtector(string purpose) =>
        new SessionProtection([.. keys.Select(key => HKDF.DeriveKey(HashAlgorithmName.SHA256, key, key.Length, info: Encoding.UTF8.GetBytes(purpose)))], newest);

    public byte[] Protect(byte[] plaintext)
    {
        var sealedBytes = new byte[NonceSize + TagSize + plaintext.Length];
        var nonce = sealedBytes.AsSpan(0, NonceSize);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(keys[newest()], TagSize);
        aes.Encrypt(nonce, plaintext, sealedBytes.AsSpan(NonceSize + TagSize), sealedBytes.AsSpan(NonceSize, TagSize));
        return sealedBytes;
    }

    /// <exception cref="CryptographicException">Not sealed here, or changed since.</exception>
    public byte[] Unprotect(byte[] protectedData)
    {
        if (protectedData.Length < NonceSize + TagSize)
            throw new CryptographicException("Too short to be sealed.");
        var plaintext = new byte[protectedData.Length - NonceSize - TagSize];
        var likely = newest();
        foreach (var key in keys.Where((_, index) => index != likely).Prepend(keys[likely]))
        {
            using var aes = new AesGcm(key, TagSize);
            try
            {
                aes.Decrypt(protectedData.AsSpan(0, NonceSize), protectedData.AsSpan(NonceSize + TagSize), protectedData.AsSpan(NonceSize, TagSize), plaintext);
                return plaintext;
            }
            catch (AuthenticationTagMismatchException)
            {
                // Sealed under another key, or under none of ours.
            }
        }
        throw new CryptographicException("Not sealed here, or changed since.");
    }

    private sealed class ForgetfulRepository : IXmlRepository
    {
        private readonly List<System.Xml.Linq.XElement> _elements = [];

        public IReadOnlyCollection<System.Xml.Linq.XElement> GetAllElements()
        {
            lock (_elements)
                return [.. _elements];
        }

        public void StoreElement(System.Xml.Linq.XElement element, string friendlyName)
        {
            lock (_elements)
                _elements.Add(element);
        }
    }
}
