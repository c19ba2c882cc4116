using System.Text.Json.Serialization;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Gateway.Identification;

/// <summary>Whether a client may ask for tokens.</summary>
public enum ClientStatus { Active, Suspended }

/// <summary>What a client is: a clinic's system, or an app that citizens let at their own records.</summary>
public enum ClientKind { System, App }

/// <summary>
/// An onboarded clinic system or citizens' app: one entry of the clients file, a JSON array with these members in snake_case
/// (RFC 7591 names where it has them).
/// </summary>
public sealed record ClientRegistration
{
    public required string ClientId { get; init; }

    public ClientKind Kind { get; init; }

    /// <summary>Name that citizens know an app by; the organisation's when it is null.</summary>
    public string? ClientName { get; init; }

    /// <summary>Of an app: where the citizen's browser may be sent back to, compared as text (RFC 9700 §4.1.3). https, without fragment.</summary>
    public IReadOnlyList<string> RedirectUris { get; init; } = [];

    /// <summary>OID of the organisation that the system belongs to: the data controller of what it writes.</summary>
    public required string OrganisationOid { get; init; }

    public required string OrganisationName { get; init; }

    public required ControllerKind ControllerKind { get; init; }

    /// <summary>Public keys of client assertions, each with <c>kid</c>: P-384 for ES384, RSA of 2048 bits or more for RS384.</summary>
    public required RegisteredKeys Jwks { get; init; }

    /// <summary>Algorithms that the client's assertions may use; a subset of ES384 and RS384 (SMART App Launch 2.2, client-confidential-asymmetric).</summary>
    public IReadOnlyList<string> TokenEndpointAuthSigningAlg { get; init; } = ["ES384", "RS384"];

    /// <summary>
    /// SHA-256 thumbprints (base64url, RFC 8705 <c>x5t#S256</c>) of the TLS certificates it may use. Empty: any certificate
    /// that the client authority issued to <see cref="OrganisationOid"/>, so that a renewal needs no registration.
    /// </summary>
    public IReadOnlyList<string> TlsClientCertificates { get; init; } = [];

    /// <summary>SMART v2 scopes it may be granted, such as <c>system/*.cruds</c>; a request may narrow them.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    public ClientStatus Status { get; init; }

    /// <summary>
    /// What becomes of its resources that claim a profile which the gateway does not know: <c>refuse</c> (default, as Kanta
    /// does) or <c>accept</c>, with a warning.
    /// </summary>
    public UnknownProfiles UnknownProfiles { get; init; }
}

/// <summary>A JWK set (RFC 7517), kept as it was written.</summary>
public sealed record RegisteredKeys
{
    [JsonPropertyName("keys")]
    public required IReadOnlyList<System.Text.Json.JsonElement> Keys { get; init; }
}
