using System.Text.Json.Serialization;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Gateway.Identification;

/// <summary>Whether a client, or one for whom it asks, may ask for tokens.</summary>
public enum ClientStatus { Active, Suspended }

/// <summary>What a client is: a clinic's system, an app that citizens let at their own records, or a clinic's app in which its professionals sign in.</summary>
public enum ClientKind { System, App, ClinicApp }

/// <summary>The rules that a client's assertions follow.</summary>
public enum ClientProfile
{
    /// <summary>SMART App Launch 2.2: <c>aud</c> is the token endpoint or the issuer.</summary>
    [JsonStringEnumMemberName("smart")] Smart,

    /// <summary>FAPI 2.0 Security Profile: <c>aud</c> is the issuer, as one string (§5.3.2.1), and the algorithms are ES256 and PS256 (§5.4.1).</summary>
    [JsonStringEnumMemberName("fapi2")] Fapi2,
}

/// <summary>How a client authenticates at the token endpoint (RFC 7591 §2, RFC 8705 §2.1.1); a TLS client certificate it needs either way.</summary>
public enum ClientAuthenticationMethod
{
    [JsonStringEnumMemberName("private_key_jwt")] PrivateKeyJwt,

    /// <summary>By the certificate alone, which the registration names.</summary>
    [JsonStringEnumMemberName("tls_client_auth")] TlsClientAuth,
}

/// <summary>Class of an information system (Act 703/2023 §79, THL 4/2024).</summary>
public enum CertificationClass
{
    [JsonStringEnumMemberName("A1")] A1,
    [JsonStringEnumMemberName("A2")] A2,
    [JsonStringEnumMemberName("A3")] A3,
    [JsonStringEnumMemberName("B")] B,
}

/// <summary>
/// An onboarded clinic system, citizens' app or clinic's app: one entry of the clients file, a JSON array with these members in snake_case
/// (RFC 7591 names where it has them).
/// </summary>
public sealed record ClientRegistration
{
    public required string ClientId { get; init; }

    public ClientKind Kind { get; init; }

    /// <summary>Name that citizens know an app by; the organisation's when it is null.</summary>
    public string? ClientName { get; init; }

    /// <summary>Of an app: where the browser of its citizen or professional may be sent back to, compared as text (RFC 9700 §4.1.3). https, without fragment.</summary>
    public IReadOnlyList<string> RedirectUris { get; init; } = [];

    /// <summary>
    /// Of a clinic's app: the identity provider at which its professionals sign in, its exact issuer. Needed only
    /// where the organisation has several.
    /// </summary>
    public string? ProfessionalIssuer { get; init; }

    /// <summary>
    /// OID of the organisation that has joined with this system (serviceSubscriber): its certificate is the client's. Unless there are
    /// <see cref="ServiceRequesters"/> it is also the one that asks, and the data controller of what it writes.
    /// </summary>
    public required string OrganisationOid { get; init; }

    public required string OrganisationName { get; init; }

    public required ControllerKind ControllerKind { get; init; }

    /// <summary>
    /// The organisations for whom a joint connection asks (serviceRequester), each authorised by itself. With any of them the subscriber asks for
    /// itself only where it stands among them. A token is for one: the parameter <c>service_requester</c> names it unless there is only one.
    /// </summary>
    public IReadOnlyList<ServiceRequester>? ServiceRequesters { get; init; }

    /// <summary>
    /// OIDs of the controllers for whom the organisation produces purchased services: into their patient registers it may write, saying so in an
    /// InformationCustodian Provenance (Act 703/2023 §13). Not of a joint connection, whose tenants ask for themselves.
    /// </summary>
    public IReadOnlyList<string> ProducesFor { get; init; } = [];

    /// <summary>
    /// The services that the organisation gives, as points of the decree 457/2024 §4 (1 to 14), each once: they bound what a task reaches (§5-9). None: those of a
    /// reception (1). Of a joint connection each of <see cref="ServiceRequesters"/> states its own.
    /// </summary>
    public IReadOnlyList<int> HealthServices { get; init; } = [];

    /// <summary>Name of the information system, at most 128 characters.</summary>
    public string? SystemName { get; init; }

    /// <summary>Its version, at most 64 characters.</summary>
    public string? SystemVersion { get; init; }

    public CertificationClass? CertificationClass { get; init; }

    public ClientProfile Profile { get; init; }

    public ClientAuthenticationMethod TokenEndpointAuthMethod { get; init; }

    /// <summary>
    /// Public keys of client assertions, each with <c>kid</c>: EC P-256 for ES256, P-384 for ES384, RSA of 2048 bits or more for PS256 and RS384. This or
    /// <see cref="JwksUri"/>; neither with <see cref="ClientAuthenticationMethod.TlsClientAuth"/>.
    /// </summary>
    public RegisteredKeys? Jwks { get; init; }

    /// <summary>Where the client publishes those keys, https.</summary>
    public string? JwksUri { get; init; }

    /// <summary>
    /// Algorithms that the client's assertions may use. Profile smart: a subset of ES256, PS256, ES384 and RS384, by default the last two (SMART App
    /// Launch 2.2, client-confidential-asymmetric). Profile fapi2: a subset of ES256 and PS256, by default both.
    /// </summary>
    public IReadOnlyList<string>? TokenEndpointAuthSigningAlg { get; init; }

    /// <summary><see cref="TokenEndpointAuthSigningAlg"/> or its default.</summary>
    [JsonIgnore]
    internal IReadOnlyList<string> Algorithms => TokenEndpointAuthSigningAlg ?? (Profile == ClientProfile.Fapi2 ? ["ES256", "PS256"] : ["ES384", "RS384"]);

    /// <summary>
    /// SHA-256 thumbprints (base64url, RFC 8705 <c>x5t#S256</c>) of the TLS certificates it may use, beside those that <see cref="CertificateSubjects"/>
    /// names; two of them while one takes the other's place. Both empty: any certificate that the client authority issued to
    /// <see cref="OrganisationOid"/>, so that a renewal needs no registration.
    /// </summary>
    public IReadOnlyList<string> TlsClientCertificates { get; init; } = [];

    /// <summary>Subjects (RFC 4514, such as <c>CN=system,O=Aurora Oy,2.5.4.97=1.2.246.10.1</c>) of the TLS certificates it may use (RFC 8705 §2.1.2).</summary>
    public IReadOnlyList<string> CertificateSubjects { get; init; } = [];

    /// <summary>
    /// Its tokens are bound to a key that it proves (RFC 9449 §5.2) and not to a TLS certificate. An app then needs no certificate; a clinic's
    /// system shows its organisation's all the same.
    /// </summary>
    public bool DpopBoundAccessTokens { get; init; }

    /// <summary>
    /// SMART v2 scopes it may be granted, such as <c>system/*.cruds</c>; a request may narrow them. An app may have <c>openid</c> among them, and then
    /// <c>fhirUser</c>; a citizen's <c>offline_access</c> and <c>online_access</c>, a clinic's the latter (<see cref="AppGrants"/>).
    /// </summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>Of an app: what its ID tokens are signed with, ES256 or PS256 (OpenID Connect Dynamic Client Registration 1.0 §2).</summary>
    public string IdTokenSignedResponseAlg { get; init; } = "ES256";

    public ClientStatus Status { get; init; }

    /// <summary>
    /// Of a clinic's system: it may send HL7 v2 over MLLP, where its certificate alone says who it is. Then <see cref="TlsClientCertificates"/> or
    /// <see cref="CertificateSubjects"/> must name that certificate.
    /// </summary>
    public bool Mllp { get; init; }

    /// <summary>
    /// What becomes of its resources that claim a profile which the gateway does not know: <c>refuse</c> (default, as Kanta
    /// does) or <c>accept</c>, with a warning.
    /// </summary>
    public UnknownProfiles UnknownProfiles { get; init; }
}

/// <summary>An organisation for whom a joint connection asks: the tenant of its host, and the data controller of what it writes.</summary>
public sealed record ServiceRequester
{
    public required string OrganisationOid { get; init; }
    public required string OrganisationName { get; init; }
    public required ControllerKind ControllerKind { get; init; }

    /// <inheritdoc cref="ClientRegistration.HealthServices"/>
    public IReadOnlyList<int> HealthServices { get; init; } = [];
    public ClientStatus Status { get; init; }
}

/// <summary>A JWK set (RFC 7517), kept as it was written.</summary>
public sealed record RegisteredKeys
{
    [JsonPropertyName("keys")]
    public required IReadOnlyList<System.Text.Json.JsonElement> Keys { get; init; }
}
