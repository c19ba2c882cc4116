using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Backends;

namespace KantaGateway.Keys;

/// <summary>Names people: the first 80 bits of HMAC-SHA-256 over all eleven characters of the identity code. Thread-safe.</summary>
sealed class Pseudonyms(IKeyBackend backend)
{
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    public async ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        var text = Encoding.ASCII.GetBytes(code.Reveal());
        try
        {
            var mac = await backend.MacAsync(text, cancel).ConfigureAwait(false);
            var pseudonym = Pseudonym.Read(mac);
            // All zeros is the shared directory; nobody gets it, though the chance is 2^-80.
            return pseudonym.IsDirectory ? Pseudonym.Read(mac.AsSpan(Pseudonym.Size)) : pseudonym;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(text);
        }
    }
}
