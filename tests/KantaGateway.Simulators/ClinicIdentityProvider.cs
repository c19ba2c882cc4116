using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Simulators;

/// <summary>
/// A clinic's identity provider, as an Entra ID tenant is one: discovery, keys, sign-in, ID tokens and access tokens of its professionals.
/// How a professional signs in to the clinic's own system is the clinic's affair, so a POST names one and gets the token.
/// </summary>
internal sealed class ClinicIdentityProvider(SimulatorOptions options, string clinic)
{
    private static readonly JsonWebTokenHandler Tokens = new();

    private readonly ECDsaSecurityKey _key = new(ECDsa.Create(ECCurve.NamedCurves.nistP256)) { KeyId = clinic + "-1" };
    private readonly string _issuer = options.ClinicIssuer(clinic);

    private sealed record SubjectTokenRequest(string? Professional);

    public void Map(IEndpointRouteBuilder endpoints)
    {
        var group = endpoints.MapGroup($"/idp/{clinic}");
        group.MapGet("/.well-known/openid-configuration", () => Results.Json(new JsonObject
        {
            ["issuer"] = _issuer,
            ["jwks_uri"] = _issuer + "/jwks",
            ["authorization_endpoint"] = _issuer + "/authorize",
            ["token_endpoint"] = _issuer + "/token",
            ["id_token_signing_alg_values_supported"] = new JsonArray("ES256"),
            ["response_types_supported"] = new JsonArray("code"),
            ["subject_types_supported"] = new JsonArray("public"),
        }));
        group.MapGet("/jwks", () =>
        {
            var point = _key.ECDsa.ExportParameters(false).Q;
            return Results.Json(new JsonObject
            {
                ["keys"] = new JsonArray(new JsonObject
                {
                    ["kty"] = "EC", ["crv"] = "P-256", ["use"] = "sig", ["alg"] = "ES256", ["kid"] = _key.KeyId,
                    ["x"] = Base64UrlEncoder.Encode(point.X), ["y"] = Base64UrlEncoder.Encode(point.Y),
                }),
            });
        });
        new ProfessionalSignInPage(options, clinic, _issuer, _issuer + "/authorize", _issuer + "/token", (professional, further) => Issue(professional, "JWT", further)).Map(endpoints);
        group.MapPost("/subject-token", (SubjectTokenRequest request) =>
            options.Professionals.FirstOrDefault(p => p.Clinic == clinic && p.Id == request.Professional) is { } professional
                ? Results.Json(new JsonObject
                {
                    ["subject_token"] = Issue(professional, "at+jwt", []),
                    ["subject_token_type"] = "urn:ietf:params:oauth:token-type:access_token",
                })
                : Results.NotFound());
    }

    /// <summary>ES256 under its key, of anything.</summary>
    public byte[] Sign(byte[] octets) => _key.ECDsa.SignData(octets, HashAlgorithmName.SHA256);

    private string Issue(SimulatedProfessional professional, string type, Dictionary<string, object> further)
    {
        var claims = new Dictionary<string, object>
        {
            ["aud"] = options.IssuedAudience ?? options.ProfessionalAudience,
            ["sub"] = $"{clinic}:{professional.Id}",
            ["jti"] = Guid.NewGuid().ToString("N"),
            ["professional_id"] = professional.Id,
            ["name"] = professional.Name,
            ["profession"] = professional.Profession,
            ["acr"] = "urn:kanta:professional-card",
        };
        if (professional.Unit is { } unit)
            claims["unit"] = unit;
        foreach (var (name, value) in further)
            claims[name] = value;
        return Tokens.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = _issuer,
            NotBefore = DateTime.UtcNow.AddHours(-2),
            Expires = DateTime.UtcNow + options.SubjectTokenLife,
            TokenType = type,
            SigningCredentials = new SigningCredentials(_key, SecurityAlgorithms.EcdsaSha256),
            Claims = Changed(claims),
        });
    }

    private Dictionary<string, object> Changed(Dictionary<string, object> claims)
    {
        foreach (var (name, value) in options.FurtherClaims)
            if (value is null)
                claims.Remove(name);
            else
                claims[name] = value;
        return claims;
    }
}
