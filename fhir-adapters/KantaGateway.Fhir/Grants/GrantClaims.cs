using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Identifiers;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Fhir.Grants;

/// <summary>What a grant says, as JSON with the names of RFC 7519 §4 where it has them.</summary>
/// <remarks>A member that is not known here may narrow what is granted, so it is refused, and so is one that is there twice: what cannot be read permits nothing.</remarks>
sealed record GrantClaims
{
    [JsonPropertyName(JwtRegisteredClaimNames.Jti)]
    public required string Id { get; init; }

    /// <summary>For whom it is, once more: claims that are signed in another tree are no grant.</summary>
    [JsonPropertyName(JwtRegisteredClaimNames.Aud)]
    public required string Audience { get; init; }

    /// <summary>Seconds since the epoch.</summary>
    [JsonPropertyName(JwtRegisteredClaimNames.Exp)]
    public required long Expires { get; init; }

    /// <summary>The compartment, as <see cref="Pseudonym.Encode"/> writes it.</summary>
    [JsonPropertyName(JwtRegisteredClaimNames.Sub)]
    public required string Subject { get; init; }

    /// <summary>Name of a <see cref="GrantUse"/>.</summary>
    [JsonPropertyName(GrantFormat.Use)]
    public required string Use { get; init; }

    [JsonPropertyName(GrantFormat.PolicyVersion)]
    public long? PolicyVersion { get; init; }

    [JsonPropertyName(GrantFormat.Scope)]
    public required DisclosureScope Scope { get; init; }

    [JsonPropertyName(GrantFormat.Caller)]
    public required string Caller { get; init; }

    [JsonPropertyName(GrantFormat.Purpose)]
    public required string PurposeOfUse { get; init; }

    [JsonPropertyName(GrantFormat.Writer)]
    public string? Writer { get; init; }

    public static byte[] Write(Grant grant) => JsonSerializer.SerializeToUtf8Bytes(new()
    {
        Id = grant.Id,
        Audience = GrantFormat.Audience,
        Expires = grant.Expires.ToUnixTimeSeconds(),
        Subject = grant.Compartment.Encode(),
        Use = grant.Use.ToString(),
        PolicyVersion = grant.PolicyVersion,
        Scope = grant.Scope,
        Caller = grant.Caller,
        PurposeOfUse = grant.PurposeOfUse,
        Writer = grant.Writer,
    }, GrantJson.Default.GrantClaims);

    /// <summary>The grant, whose signature and time are not looked at here; null where it says anything that is not known.</summary>
    public static Grant? Read(ReadOnlySpan<byte> claims)
    {
        try
        {
            return JsonSerializer.Deserialize(claims, GrantJson.Default.GrantClaims) is { Id.Length: > 0, Audience: GrantFormat.Audience, Expires: > 0 and < LatestSecond } said
                && Pseudonym.TryDecode(said.Subject, out var compartment) && UseOf(said.Use) is { } use
                ? new()
                {
                    Id = said.Id,
                    Use = use,
                    Compartment = compartment,
                    PolicyVersion = said.PolicyVersion,
                    Scope = said.Scope,
                    Caller = said.Caller,
                    PurposeOfUse = said.PurposeOfUse,
                    Writer = said.Writer,
                    Expires = DateTimeOffset.FromUnixTimeSeconds(said.Expires),
                } : null;
        }
        catch (JsonException)
        {
            return null; // a signer of another release
        }
    }

    /// <summary>The year 10000.</summary>
    private const long LatestSecond = 253_402_300_800;

    private static GrantUse? UseOf(string name) => name switch
    {
        nameof(GrantUse.Read) => GrantUse.Read,
        nameof(GrantUse.Write) => GrantUse.Write,
        nameof(GrantUse.Policy) => GrantUse.Policy,
        nameof(GrantUse.AuditTrail) => GrantUse.AuditTrail,
        _ => null,
    };
}

[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(GrantClaims))]
sealed partial class GrantJson : JsonSerializerContext;
