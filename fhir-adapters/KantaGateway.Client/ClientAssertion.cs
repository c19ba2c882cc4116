using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Client;

/// <summary>Signed client assertions (RFC 7523), as SMART Backend Services has them.</summary>
public static class ClientAssertion
{
    public const string Type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    private static readonly JsonWebTokenHandler Handler = new() { SetDefaultTimesOnTokenCreation = false };

    /// <param name="clientId">Issuer and subject.</param>
    /// <param name="audience">The token endpoint.</param>
    /// <param name="algorithm">ES384 or RS384.</param>
    /// <param name="jti">Unique id; random by default.</param>
    /// <param name="lifetime">One minute by default; the gateway takes five at most.</param>
    public static string Create(string clientId, string audience, JsonWebKey key, string algorithm, TimeProvider time, string? jti = null, TimeSpan? lifetime = null)
    {
        var now = time.GetUtcNow();
        return Handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = clientId,
            Audience = audience,
            TokenType = "JWT",
            IssuedAt = now.UtcDateTime,
            NotBefore = now.UtcDateTime,
            Expires = (now + (lifetime ?? TimeSpan.FromMinutes(1))).UtcDateTime,
            Claims = new Dictionary<string, object> { ["sub"] = clientId, ["jti"] = jti ?? Guid.NewGuid().ToString("N") },
            SigningCredentials = new(key, algorithm),
        });
    }
}
