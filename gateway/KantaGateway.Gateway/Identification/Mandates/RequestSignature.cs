using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>The header by which the Web API knows who asks (kehittajille.suomi.fi, "Web API and selection interface").</summary>
internal static class RequestSignature
{
    public const string Header = "X-AsiointivaltuudetAuthorization";

    /// <summary>Client id, time and checksum, with spaces. The service takes times that differ from its own by five minutes at most.</summary>
    /// <param name="apiKey">Its UTF-8 is the key of HMAC-SHA-256.</param>
    /// <param name="path">Path and query, exactly as sent.</param>
    /// <param name="at">Now; sent in UTC, to the second.</param>
    public static string Of(string clientId, string apiKey, string path, DateTimeOffset at)
    {
        var time = at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        return $"{clientId} {time} {Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(apiKey), Encoding.UTF8.GetBytes($"{path} {time}")))}";
    }
}
