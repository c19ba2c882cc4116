using System.Security.Cryptography;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Simulators;

/// <summary>What the simulated outside world consists of.</summary>
public sealed record SimulatorOptions
{
    /// <summary>Port of the TLS listener on loopback.</summary>
    public required int Port { get; init; }

    /// <summary>No trailing slash: <c>https://localhost:8444</c>. The broker's issuer is this plus <c>/ftn</c>, a clinic's plus <c>/idp/clinic</c>.</summary>
    public required string PublicAddress { get; init; }

    /// <summary>PEM chain and PKCS#8 key of the listener.</summary>
    public required string TlsCertificateFile { get; init; }
    public required string TlsKeyFile { get; init; }

    /// <summary>The client authority's revocation list and responder, at <c>/pki</c>; null: none.</summary>
    public RevocationResponder? Revocation { get; init; }

    /// <summary>The role register; null: none.</summary>
    public SimulatedRoleRegister? Register { get; init; }

    /// <summary>The operators' tenant; null: none.</summary>
    public OperatorTenant? OperatorTenant { get; init; }

    /// <summary>Who is told of breaches.</summary>
    public SimulatedBreachDesk BreachDesk { get; } = new();

    /// <summary>e-Authorizations; null: none.</summary>
    public SimulatedAuthorizations? Authorizations { get; init; }

    /// <summary>Witnesses of audit logs.</summary>
    public IReadOnlyList<SimulatedWitness> Witnesses { get; init; } = [];

    /// <summary>The people whom the broker can sign in.</summary>
    public required IReadOnlyList<SimulatedCitizen> Citizens { get; init; }

    /// <summary>Everyone a clinic's identity provider can vouch for.</summary>
    public required IReadOnlyList<SimulatedProfessional> Professionals { get; init; }

    /// <summary>What the clinics' providers sign their professionals in for; null: they only give subject tokens.</summary>
    public ProfessionalClient? ProfessionalClient { get; init; }

    /// <summary>Entra ID tenants of clinics.</summary>
    public IReadOnlyList<SimulatedTenant> Tenants { get; init; } = [];

    /// <summary>The relying party registered at the broker, keys exchanged beforehand as the network demands.</summary>
    public required BrokerClient Client { get; init; }

    /// <summary>The usual one of the levels of assurance that the broker may be asked for.</summary>
    public string Acr { get; init; } = "http://ftn.ficora.fi/2017/loatest2";

    /// <summary>The other ones.</summary>
    public IReadOnlyList<string> FurtherAcrs { get; init; } = ["http://ftn.ficora.fi/2017/loatest3"];

    /// <summary><c>aud</c> of the subject tokens of clinics.</summary>
    public required string ProfessionalAudience { get; init; }

    /// <summary>Misbehaviour, for tests of the relying party: the level that ID tokens really carry. Null: the one asked for.</summary>
    public string? IssuedAcr { get; set; }

    /// <summary>Misbehaviour: the <c>aud</c> that subject tokens really carry. Null: <see cref="ProfessionalAudience"/>.</summary>
    public string? IssuedAudience { get; set; }

    /// <summary>Life of subject tokens.</summary>
    public TimeSpan SubjectTokenLife { get; set; } = TimeSpan.FromHours(1);

    /// <summary>Misbehaviour and more: claims that subject tokens, and ID tokens of professionals, really carry; one that is null is left out.</summary>
    public Dictionary<string, object?> FurtherClaims { get; } = [];

    /// <summary>Misbehaviour: ID tokens are signed but not encrypted.</summary>
    public bool PlainIdTokens { get; set; }

    /// <summary>Misbehaviour: the nonce that ID tokens really carry. Null: the one asked for.</summary>
    public string? IssuedNonce { get; set; }

    /// <summary>Misbehaviour: what is sent of a signed ID token. Null: it is encrypted as agreed.</summary>
    public Func<string, string>? SentIdTokens { get; set; }

    /// <summary>Misbehaviour: where the broker says that sessions are ended; empty: nowhere. Null: at itself.</summary>
    public string? EndSessionEndpoint { get; set; }

    /// <summary>Misbehaviour: the signed JWK set that the broker really answers with. Null: a good one.</summary>
    public Func<string>? IssuedSignedJwks { get; set; }

    /// <summary>The broker, once it stands: tests look at what it was asked and have tokens made.</summary>
    internal FtnBroker? Broker { get; set; }

    /// <summary>The clinics' identity providers, likewise, by clinic.</summary>
    internal Dictionary<string, ClinicIdentityProvider> Providers { get; } = [];

    public string FtnIssuer => PublicAddress + "/ftn";

    public string ClinicIssuer(string clinic) => $"{PublicAddress}/idp/{clinic}";

    public string TenantIssuer(string tenant) => $"{PublicAddress}/entra/{tenant}/v2.0";

    /// <summary>Where a clinic's professional gets a subject token.</summary>
    public string SubjectTokenUrl(string clinic) => ClinicIssuer(clinic) + "/subject-token";
}

/// <summary>A fictional person with a valid 900-series identity code.</summary>
/// <param name="Name">Given names, a space, surname.</param>
/// <param name="Role">Why this person exists: <c>adult</c>, <c>guardian</c>, <c>minor</c>, ...</param>
public sealed record SimulatedCitizen(string IdentityCode, string Name, string Role);

/// <param name="Clinic">Folder name of the clinic, such as <c>aurora</c>.</param>
public sealed record SimulatedProfessional(string Id, string Name, string Profession, string Clinic)
{
    /// <summary>OID of the service unit that the identity provider names; null: none.</summary>
    public string? Unit { get; init; }
}

/// <param name="Jwks">Public keys as a JWK set: RSA with <c>use</c> sig and enc.</param>
public sealed record BrokerClient(string ClientId, string RedirectUri, string Jwks)
{
    /// <summary>Where it wants its people back after signing out.</summary>
    public string PostLogoutRedirectUri => new Uri(RedirectUri).GetLeftPart(UriPartial.Authority) + "/?signout=done";

    /// <summary>Reads the public halves of the relying party's PEM key files.</summary>
    public static BrokerClient FromKeyFiles(string clientId, string redirectUri, string signingKeyFile, string encryptionKeyFile) =>
        new(clientId, redirectUri, $$"""{"keys":[{{Jwk(signingKeyFile, "sig", "RS256")}},{{Jwk(encryptionKeyFile, "enc", "RSA-OAEP")}}]}""");

    private static string Jwk(string file, string use, string algorithm)
    {
        using var rsa = RSA.Create();
        rsa.ImportFromPem(File.ReadAllText(file));
        var parameters = rsa.ExportParameters(false);
        return $$"""{"kty":"RSA","use":"{{use}}","alg":"{{algorithm}}","n":"{{Base64UrlEncoder.Encode(parameters.Modulus)}}","e":"{{Base64UrlEncoder.Encode(parameters.Exponent)}}"}""";
    }
}
