using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Harness.Loading;

/// <summary>
/// Identity codes for people who have none: valid, of the temporary 900-999 series, and the same for the same source
/// id, so that loading a file twice registers one person once.
/// </summary>
/// <remarks>
/// Everything in the code comes from a hash: nothing of the person's birth date or sex goes into it. About 25 million
/// codes, so among 1,000 people two collide with probability 2 %; the loader then takes the next attempt.
/// </remarks>
public static class FictionalIdentityCode
{
    // Signs of the 1900s and 2000s (dvv.fi, hetu reform); all of one century mean the same century.
    private const string Signs1900 = "-YXWVU";
    private const string Signs2000 = "ABCDEF";

    /// <param name="sourceId">Id of the patient where they come from.</param>
    /// <param name="attempt">0, or more when an earlier attempt is somebody else's.</param>
    public static PersonalIdentityCode Of(string sourceId, int attempt = 0)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes($"kanta-harness/{attempt}/{sourceId}"));
        var day = new DateOnly(1920, 1, 1).AddDays((int)(BinaryPrimitives.ReadUInt32BigEndian(hash) % 36524));
        var sign = (day.Year < 2000 ? Signs1900 : Signs2000)[hash[4] % 6];
        var number = (900 + hash[5] % 100).ToString(CultureInfo.InvariantCulture);
        var date = day.ToString("ddMMyy", CultureInfo.InvariantCulture);
        var text = $"{date}{sign}{number}{PersonalIdentityCode.CheckCharacterOf(date, number)}";
        return PersonalIdentityCode.TryParse(text, out var code) ? code : throw new InvalidOperationException("The generator made an invalid code.");
    }
}
