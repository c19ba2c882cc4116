using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Simulators;

/// <summary>An Entra ID tenant of a clinic.</summary>
/// <param name="Id">GUID.</param>
/// <param name="Clinic">Whose professionals it signs in.</param>
public sealed record SimulatedTenant(string Id, string Clinic);

/// <summary>
/// Speaks as an Entra ID tenant does with v2.0 endpoints: discovery, keys, sign-in, ID tokens and access tokens with <c>tid</c>, <c>oid</c>, <c>roles</c>,
/// <c>ver</c>. A POST to <c>/entra/id/subject-token</c> names a professional and gets the token.
/// </summary>
internal sealed class EntraTenant(SimulatorOptions options, SimulatedTenant tenant)
{
    private static readonly JsonWebTokenHandler Tokens = new() { SetDefaultTimesOnTokenCreation = false };

    private readonly RsaSecurityKey _key = new(RsaKeys.Of(tenant.Id)) { KeyId = tenant.Id[..8] };

    private sealed record SubjectTokenRequest(string? Professional);

    public void Map(IEndpointRouteBuilder endpoints)
    {
        var issuer = options.TenantIssuer(tenant.Id);
        var group = endpoints.MapGroup($"/entra/{tenant.Id}");
        group.MapGet("/v2.0/.well-known/openid-configuration", () => Results.Json(new JsonObject
        {
            ["issuer"] = issuer,
            ["jwks_uri"] = $"{options.PublicAddress}/entra/{tenant.Id}/discovery/v2.0/keys",
            ["authorization_endpoint"] = $"{options.PublicAddress}/entra/{tenant.Id}/oauth2/v2.0/authorize",
            ["token_endpoint"] = $"{options.PublicAddress}/entra/{tenant.Id}/oauth2/v2.0/token",
            ["id_token_signing_alg_values_supported"] = new JsonArray("RS256"),
            ["response_types_supported"] = new JsonArray("code"),
            ["subject_types_supported"] = new JsonArray("pairwise"),
        }));
        group.MapGet("/discovery/v2.0/keys", () =>
        {
            var key = _key.Rsa.ExportParameters(false);
            return Results.Json(new JsonObject
            {
                ["keys"] = new JsonArray(new JsonObject
                {
                    ["kty"] = "RSA", ["use"] = "sig", ["kid"] = _key.KeyId, ["n"] = Base64UrlEncoder.Encode(key.Modulus), ["e"] = Base64UrlEncoder.Encode(key.Exponent),
                }),
            });
        });
        new ProfessionalSignInPage(options, tenant.Clinic, issuer, $"{options.PublicAddress}/entra/{tenant.Id}/oauth2/v2.0/authorize", $"{options.PublicAddress}/entra/{tenant.Id}/oauth2/v2.0/token",
            (professional, further) => Issue(issuer, professional, further)).Map(endpoints);
        group.MapPost("/subject-token", (SubjectTokenRequest request) =>
            options.Professionals.FirstOrDefault(p => p.Clinic == tenant.Clinic && p.Id == request.Professional) is { } professional
                ? Results.Json(new JsonObject { ["subject_token"] = Issue(issuer, professional), ["subject_token_type"] = "urn:ietf:params:oauth:token-type:access_token" })
                : Results.NotFound());
    }

    private string Issue(string issuer, SimulatedProfessional professional, Dictionary<string, object>? further = null)
    {
        var now = DateTimeOffset.UtcNow;
        var claims = new Dictionary<string, object>
        {
            ["iss"] = issuer,
            ["aud"] = options.IssuedAudience ?? options.ProfessionalAudience,
            ["iat"] = now.AddMinutes(-5).ToUnixTimeSeconds(),
            ["nbf"] = now.AddMinutes(-5).ToUnixTimeSeconds(),
            ["exp"] = (now + options.SubjectTokenLife).ToUnixTimeSeconds(),
            ["name"] = professional.Name,
            // The same person has the same object id in a tenant, and another in the next.
            ["oid"] = new Guid(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(tenant.Id + professional.Id)).AsSpan(0, 16)).ToString(),
            ["roles"] = new[] { "Kanta.Professional" },
            ["sub"] = Base64UrlEncoder.Encode(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(professional.Id + tenant.Id))),
            ["tid"] = tenant.Id,
            ["uti"] = Guid.NewGuid().ToString("N"),
            ["ver"] = "2.0",
            ["professional_id"] = professional.Id,
        };
        // What an application holds for an API says whose it is and what for; an ID token does not.
        foreach (var (name, value) in further ?? new() { ["azp"] = "00000000-0000-0000-0000-00000000c111", ["scp"] = "kanta" })
            claims[name] = value;
        foreach (var (name, value) in options.FurtherClaims)
            if (value is null)
                claims.Remove(name);
            else
                claims[name] = value;
        return Tokens.CreateToken(new SecurityTokenDescriptor { TokenType = "JWT", Claims = claims, SigningCredentials = new SigningCredentials(_key, SecurityAlgorithms.RsaSha256) });
    }
}
