using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>What a person is answered who disputes an access, as the log of decisions keeps it: sealed under a key derived from the identifier key, as notices are, since it speaks of her visits and the log lies in the clear.</summary>
internal sealed class DisputeAnswers(IdentifierKey key)
{
    private readonly SessionProtection _seal = new([key.Derive("kanta dispute answers")], static () => 0);

    public string Seal(string answer) => Base64Url.EncodeToString(_seal.Protect(Encoding.UTF8.GetBytes(answer)));

    /// <returns>Null: it was sealed by others, or changed.</returns>
    public string? Open(string content)
    {
        try
        {
            return Encoding.UTF8.GetString(_seal.Unprotect(Base64Url.DecodeFromChars(content)));
        }
        catch (Exception changed) when (changed is CryptographicException or FormatException)
        {
            return null;
        }
    }
}
