using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>
/// A citizen's own identity code while her session lasts, for e-Authorizations wants it whenever she chooses for whom to act. Sealed under the session's
/// name, which only her browser has (the store knows its digest): who has the store and every key of the gateway cannot open it.
/// </summary>
internal static class OwnCode
{
    public static string Seal(string session, PersonalIdentityCode code) => Convert.ToBase64String(Under(session).Protect(Encoding.ASCII.GetBytes(code.Reveal())));

    /// <returns>Null when it was sealed under another session's name.</returns>
    public static PersonalIdentityCode? Open(string session, string sealedCode)
    {
        try
        {
            return PersonalIdentityCode.TryParse(Encoding.ASCII.GetString(Under(session).Unprotect(Convert.FromBase64String(sealedCode))), out var code) ? code : null;
        }
        catch (Exception wrong) when (wrong is CryptographicException or FormatException)
        {
            return null;
        }
    }

    private static SessionProtection Under(string session) =>
        new([HKDF.DeriveKey(HashAlgorithmName.SHA256, Encoding.ASCII.GetBytes(session), 32, info: "kanta own code v1"u8.ToArray())], static () => 0);
}
