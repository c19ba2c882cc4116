namespace KantaGateway.Gateway.Identification;

/// <summary>How callers are identified.</summary>
public sealed record IdentificationOptions
{
    /// <summary>JSON file with the onboarded clients, see <see cref="ClientRegistration"/>; a change is in force within a second.</summary>
    public required string ClientsFile { get; init; }

    /// <summary>
    /// P-256 private key (PKCS#8 PEM) that signs access tokens, shared by all gateways of a deployment. What protects
    /// portal sessions is derived from it: whoever holds it could make tokens anyway.
    /// </summary>
    public required string TokenKeyFile { get; init; }

    /// <summary>
    /// Keys that take over from <see cref="TokenKeyFile"/> one after the other, oldest first; empty outside of a rotation. All are published and accepted
    /// as long as they stand here.
    /// </summary>
    public IReadOnlyList<FollowingTokenKey> FollowingTokenKeys { get; init; } = [];

    /// <summary>
    /// RSA private keys (PKCS#8 PEM, 2048 bits or more) for ID tokens of apps that are registered with PS256. The first signs, all are published: a new
    /// one is put behind the first, and before it once every gateway has been restarted. Empty: there are none but with ES256.
    /// </summary>
    public IReadOnlyList<string> IdTokenKeyFiles { get; init; } = [];

    /// <summary>Life of an access token, seconds; 1 to 300 (SMART Backend Services).</summary>
    public int AccessTokenSeconds { get; init; } = 300;

    /// <summary>Issuers whose subject tokens are accepted for professionals, each bound to one organisation.</summary>
    public IReadOnlyList<ProfessionalIssuer> ProfessionalIssuers { get; init; } = [];

    /// <summary>Where professionals' rights to practise are looked up. Null: nowhere, in a test environment only.</summary>
    public Professionals.RoleRegisterOptions? RoleRegister { get; init; }

    /// <summary>Whose cards professionals may sign in with, without an identity provider of the clinic. Null: nobody's.</summary>
    public Professionals.CardOptions? ProfessionalCards { get; init; }

    public required CitizenIdentification Citizens { get; init; }

    /// <summary>Where it is asked for whom citizens may act. Null: nowhere, and nobody acts for another.</summary>
    public Mandates.MandateOptions? Mandates { get; init; }

    /// <summary>Who onboards clients and decides about dangerous acts. Null: nobody, and none of the operators' addresses is there.</summary>
    public Operators.OperatorOptions? Operators { get; init; }

    /// <summary>Whether identity codes of the 900-999 range are the only ones accepted (test) or all refused (production).</summary>
    public bool TestIdentityCodes { get; init; }

    /// <summary>PEM file with extra trusted roots for the TLS of the broker and the clinics' identity providers; development only.</summary>
    public string? UpstreamAuthorityFile { get; init; }

    /// <summary>Where to learn what each client authority has revoked: one entry for every certificate in <see cref="GatewayOptions.ClientAuthorityFile"/>.</summary>
    public IReadOnlyList<Certificates.RevocationSource> RevocationSources { get; init; } = [];

    /// <summary>
    /// Failures to identify within a minute, of one organisation certificate or without one of one address, after which further attempts
    /// have to wait a minute; 1 or more.
    /// </summary>
    public int FailuresPerMinute { get; init; } = 30;

    /// <summary>
    /// Requests of one client to the token, introspection and revocation endpoints within a minute, after which further ones have to wait a
    /// minute; 1 or more. A clinic's system needs one for each professional at work every five minutes.
    /// </summary>
    public int TokenRequestsPerMinute { get; init; } = 1_200;

    /// <summary>
    /// Sign-ins of citizens that may begin within a minute at one address (of IPv6 the /64); 1 or more. Many households share the address
    /// of a mobile network.
    /// </summary>
    public int SignInsPerMinute { get; init; } = 60;

    /// <summary>Verified access tokens kept in memory, 1,000 or more; each takes about a kilobyte.</summary>
    public int VerifiedTokens { get; init; } = 20_000;
}

/// <summary>An OIDC issuer of a clinic's professionals (an Entra ID tenant, or what speaks the same).</summary>
/// <param name="Issuer">Exact <c>iss</c>.</param>
/// <param name="Audience">Expected <c>aud</c> of subject tokens.</param>
/// <param name="Organisation">OID of the only organisation it may speak for.</param>
public sealed record ProfessionalIssuer(string Issuer, string Audience, string Organisation)
{
    /// <summary>
    /// Id of the Entra ID tenant (a GUID), which then stands in <see cref="Issuer"/> too: <c>https://login.microsoftonline.com/id/v2.0</c>. An
    /// organisation with several tenants has an issuer for each. Null for a provider that is no Entra ID.
    /// </summary>
    public string? Tenant { get; init; }

    /// <summary>App roles of which a token has to carry one; empty: none is asked for.</summary>
    public IReadOnlyList<string> Roles { get; init; } = [];

    /// <summary>Claim with the professional's number in the role register; in Entra ID one that the tenant's claims mapping makes.</summary>
    public string ProfessionalIdClaim { get; init; } = "professional_id";

    /// <summary>How the organisation's professionals sign in there for its apps. Null: they do not, and its apps get nothing.</summary>
    public ProfessionalSignIn? SignIn { get; init; }
}

/// <summary>The gateway as an application registered at a clinic's identity provider (in Entra ID: its own, beside that of <see cref="ProfessionalIssuer.Audience"/> or the same).</summary>
/// <param name="ClientId">Its id there, the <c>aud</c> of ID tokens.</param>
/// <param name="CertificateFile">Certificate registered there (PEM), RSA of 2048 bits or more, which client assertions are signed under (PS256, <c>x5t#S256</c>).</param>
/// <param name="KeyFile">Its private key (PKCS#8 PEM).</param>
public sealed record ProfessionalSignIn(string ClientId, string CertificateFile, string KeyFile)
{
    /// <summary>
    /// Path under the gateway's public address to which a provider sends its professionals back, registered there: <c>/signin-clinic/</c> and the
    /// first 16 hexadecimal digits of the issuer's SHA-256. Each has its own, so that no provider's answer passes for another's (RFC 9700 §4.4.2.2).
    /// </summary>
    public static string RedirectPathOf(string issuer) =>
        "/signin-clinic/" + Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(issuer)).AsSpan(0, 8));
}

/// <summary>The Finnish Trust Network broker.</summary>
public sealed record CitizenIdentification
{
    /// <summary>Issuer of the broker.</summary>
    public required string Authority { get; init; }
    public required string ClientId { get; init; }

    /// <summary>RSA private key (PKCS#8 PEM, 2048 bits or more) that signs request objects and client assertions (RS256).</summary>
    public required string SigningKeyFile { get; init; }

    /// <summary>RSA private key that ID tokens are encrypted to (RSA-OAEP).</summary>
    public required string EncryptionKeyFile { get; init; }

    /// <summary>The <c>acr</c> that a sign-in asks for when it names no level, such as <c>http://ftn.ficora.fi/2017/loa2</c>; the answer must equal it.</summary>
    public required string Acr { get; init; }

    /// <summary>
    /// Further levels that a sign-in may ask for by the last part of their name (<c>/signin?level=loa3</c>). One is asked for,
    /// and the answer must equal it: a higher one is not the one that was agreed on either.
    /// </summary>
    public IReadOnlyList<string> FurtherAcrs { get; init; } = [];

    /// <summary>JWK set with the keys that the broker signs ID tokens with (RSA, 2048 bits or more, each with <c>kid</c>), exchanged beforehand; read again at least hourly.</summary>
    public string? BrokerJwksFile { get; init; }

    /// <summary>
    /// In its place: JWK set with the keys that the broker signs its key set with, which its metadata names as <c>signed_jwks_uri</c>.
    /// One of the two is needed where real people are identified.
    /// </summary>
    public string? BrokerSignedJwksKeyFile { get; init; }

    /// <summary>Service name shown to the citizen by the broker (<c>ftn_spname</c>), at most 40 characters.</summary>
    public string ServiceName { get; init; } = "KantaGateway";
}
