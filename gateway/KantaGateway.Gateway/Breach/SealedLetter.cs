using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit.Sealing;

namespace KantaGateway.Gateway.Breach;

/// <summary>A letter as it lies in the folder until it is printed: sealed to who prints it, so that neither the folder nor a backup of it says what it says, or to whom.</summary>
/// <param name="Name">Of the file when it is open: case, Patient id and notice, for who puts it into an envelope.</param>
/// <param name="Document">HTML.</param>
internal sealed record SealedLetter(string Name, string Document)
{
    public const string Extension = ".sealed";

    private static ReadOnlySpan<byte> Use => "KantaGateway letter 1"u8;

    public byte[] Seal(ReadOnlySpan<byte> publicKey) => SealedBox.Seal(publicKey, Use, JsonSerializer.SerializeToUtf8Bytes(this));

    /// <exception cref="CryptographicException">It was not sealed to this key, or is no letter.</exception>
    public static SealedLetter Open(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> box)
    {
        try
        {
            var letter = JsonSerializer.Deserialize<SealedLetter>(SealedBox.Open(privateKey, Use, box));
            // Anybody can seal to a public key: what it names is a name, and no place.
            return letter is { Document: not null, Name.Length: > 0 } && letter.Name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.') && letter.Name[0] != '.' ? letter : throw new CryptographicException("No letter.");
        }
        catch (JsonException e)
        {
            throw new CryptographicException("No letter.", e);
        }
    }

    /// <summary>32 bytes in base64; null: no such key.</summary>
    public static byte[]? KeyIn(string? text)
    {
        Span<byte> key = stackalloc byte[SealedBox.KeyLength + 1];
        return text is not null && Convert.TryFromBase64String(text, key, out var length) && length == SealedBox.KeyLength ? key[..length].ToArray() : null;
    }
}
