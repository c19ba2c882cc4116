using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Keys;

/// <summary>Names people: the first 80 bits of HMAC-SHA-256 over all eleven characters of the identity code. Thread-safe.</summary>
sealed class Pseudonyms(byte[] key)
{
    public Pseudonym Of(PersonalIdentityCode code)
    {
        var text = Encoding.ASCII.GetBytes(code.Reveal());
        var mac = HMACSHA256.HashData(key, text);
        CryptographicOperations.ZeroMemory(text);
        var pseudonym = Pseudonym.Read(mac);
        // All zeros is the shared directory; nobody gets it, though the chance is 2^-80.
        return pseudonym.IsDirectory ? Pseudonym.Read(mac.AsSpan(Pseudonym.Size)) : pseudonym;
    }
}
