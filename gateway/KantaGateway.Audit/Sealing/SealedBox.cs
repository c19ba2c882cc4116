using System.Security.Cryptography;

namespace KantaGateway.Audit.Sealing;

/// <summary>
/// One message sealed to a public key, by the HPKE that entries are sealed with: who seals it cannot open it again. Layout: encapsulated key (32), tag (16), ciphertext (AES-256-GCM).
/// </summary>
public static class SealedBox
{
    /// <summary>Of a public and of a private key (X25519).</summary>
    public const int KeyLength = Hpke.KeyLength;

    // A key seals one message.
    private static readonly byte[] Nonce = new byte[12];

    /// <summary>A new private key, 32 bytes.</summary>
    public static byte[] GeneratePrivateKey() => RandomNumberGenerator.GetBytes(KeyLength);

    /// <summary>The half to which is sealed, 32 bytes.</summary>
    public static byte[] PublicKeyOf(ReadOnlySpan<byte> privateKey)
    {
        using var key = new AgreementKey(privateKey);
        return key.PublicKey.ToArray();
    }

    /// <param name="publicKey">32 bytes.</param>
    /// <param name="use">Names the use of the key: what is sealed for one is not opened for another.</param>
    /// <param name="message">Of any length.</param>
    /// <exception cref="CryptographicException">No usable public key.</exception>
    public static byte[] Seal(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> use, ReadOnlySpan<byte> message)
    {
        var (context, enc) = Hpke.ToRecipient(publicKey, use);
        using (context)
        {
            using var aes = EntrySealer.CipherOf(context);
            var box = new byte[KeyLength + EntrySealer.GcmTagLength + message.Length];
            enc.CopyTo(box.AsSpan());
            aes.Encrypt(Nonce, message, box.AsSpan(KeyLength + EntrySealer.GcmTagLength), box.AsSpan(KeyLength, EntrySealer.GcmTagLength));
            return box;
        }
    }

    /// <exception cref="CryptographicException">It was not sealed to this key for this use, or was changed.</exception>
    public static byte[] Open(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> use, ReadOnlySpan<byte> box)
    {
        if (box.Length < KeyLength + EntrySealer.GcmTagLength)
            throw new CryptographicException("Too short to be sealed.");
        using var key = new AgreementKey(privateKey);
        using var context = Hpke.AtRecipient(key, box[..KeyLength], use);
        using var aes = EntrySealer.CipherOf(context);
        var message = new byte[box.Length - KeyLength - EntrySealer.GcmTagLength];
        aes.Decrypt(Nonce, box[(KeyLength + EntrySealer.GcmTagLength)..], box.Slice(KeyLength, EntrySealer.GcmTagLength), message);
        return message;
    }
}
