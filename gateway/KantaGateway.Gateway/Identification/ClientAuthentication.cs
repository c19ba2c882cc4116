using System.Buffers.Text;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>Why a token request is refused.</summary>
/// <param name="Error">Code of RFC 6749 §5.2.</param>
/// <param name="Description">A plain sentence that says what to change.</param>
internal sealed record TokenRefusal(string Error, string Description);

/// <summary>
/// Authenticates a clinic system at the token endpoint: a signed assertion (RFC 7523, SMART App Launch 2.2
/// client-confidential-asymmetric) over a TLS connection with the system's registered certificate (RFC 8705), or where it is
/// registered so that certificate alone (RFC 8705 §2.1).
/// </summary>
/// <remarks>The checks are a list, in the order in which they are written; the first that fails is the answer.</remarks>
internal sealed class ClientAuthentication(ClientRegistry registry, ClientKeys keys, OrganisationCertificates certificates, ISharedState shared, GatewayOptions options, TimeProvider time)
{
    /// <summary>What SMART and FAPI 2.0 ask of a server, and nothing weaker; each client has its own of them.</summary>
    public static readonly IReadOnlyList<string> Algorithms = ["ES256", "PS256", "ES384", "RS384"];

    /// <summary>An assertion may end at most this far ahead (SMART: five minutes).</summary>
    private static readonly TimeSpan LongestLife = TimeSpan.FromMinutes(5);

    /// <summary>How far a client's clock may differ.</summary>
    internal static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);

    private const int LongestAssertion = 8 * 1024;
    private const int LongestJti = 255;

    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    private readonly string _issuer = TokenEndpoint.IssuerOf(options);
    private readonly string[] _audiences = [options.PublicAddress + "/connect/token", options.PublicAddress + "/", options.PublicAddress];

    /// <returns>The client, or why not; exactly one of the two.</returns>
    /// <exception cref="SharedStateException">The replay cache does not answer, so nothing can be accepted.</exception>
    public async ValueTask<(RegisteredClient? Client, TokenRefusal? Refusal)> AuthenticateAsync(
        HttpContext context, string? clientId, string? assertionType, string? assertion)
    {
        // RFC 8705 §2: first, because it costs strangers a certificate before they can make this gateway verify signatures. Clients whose tokens
        // are bound to a key need none where they are apps; of one that is there all the same it is asked whose it is.
        CertificateFacts? facts = null;
        if (await context.Connection.GetClientCertificateAsync(context.RequestAborted).ConfigureAwait(false) is { } certificate)
        {
            await certificates.RenewAsync(certificate, context.RequestAborted).ConfigureAwait(false);
            facts = certificates.Examine(certificate);
            if (facts is { IsOutage: true, Problem: { } outage })
                return (null, new(Errors.TemporarilyUnavailable, outage));
            if (facts.Problem is { } problem)
                return Refuse(problem);
        }
        else if ((clientId ?? ClaimedIn(assertion)) is not { } named || registry.Current.Find(named) is not { NeedsCertificate: false })
            return Refuse("The token request has no TLS client certificate; connect with the organisation certificate of the client.");

        if (assertionType is null && assertion is null && clientId is { Length: > 0 } && registry.Current.Find(clientId) is { UsesCertificateAlone: true } bare)
            return ExplainCertificate(bare, facts) is { } other ? Refuse(other) : bare.IsActive ? (bare, null) : Refuse("The client is suspended.");
        if (assertionType != ClientAssertionTypes.JwtBearer)
            return Refuse($"Send client_assertion_type={ClientAssertionTypes.JwtBearer} with a signed client_assertion.");
        if (TokenShape.Read(assertion ?? "", LongestAssertion, out var misshapen) is not { } token)
            return Refuse("The client assertion " + misshapen);

        // RFC 7523 §3 (1, 2): iss and sub are the client.
        if (token.Subject is not { Length: > 0 } claimed || token.Issuer != claimed)
            return Refuse("The client assertion's iss and sub must both be the client_id.");
        if (clientId is { Length: > 0 } && clientId != claimed)
            return Refuse("client_id differs from the client assertion's iss and sub.");
        if (registry.Current.Find(claimed) is not { } client)
            return Refuse("The client is not registered at this gateway.");

        if (client.UsesCertificateAlone)
            return Refuse("The client has registered tls_client_auth: send client_id and no client assertion.");

        // RFC 8705 §2: the certificate is the same organisation's and system's. Before its keys: they may have to be fetched.
        if (ExplainCertificate(client, facts) is { } foreign)
            return Refuse(foreign);

        // RFC 7523 §3 (9): the signature, under the algorithms that this client has registered.
        if (!client.Registration.Algorithms.Contains(token.Alg))
            return Refuse($"The client assertion must be signed with {string.Join(" or ", client.Registration.Algorithms)}.");
        if (await keys.OfAsync(client, token.Kid ?? "").ConfigureAwait(false) is not { } registered)
            return (null, new(Errors.TemporarilyUnavailable, "The client's keys cannot be read from its jwks_uri at the moment; try again."));
        if (token.Kid is not { Length: > 0 } kid || registered.FirstOrDefault(key => key.Kid == kid && RegisteredKey.Fits(key, token.Alg)) is not { } key)
            return Refuse("The client assertion's kid is not among the keys that the client has registered.");
        if (await ExplainSignatureAsync(token, key).ConfigureAwait(false) is { } signature)
            return Refuse(signature);

        // From here on the client itself is speaking, so being suspended can be told.
        if (!client.IsActive)
            return Refuse("The client is suspended.");

        // RFC 7523 §3 (3): meant for this server. FAPI 2.0 §5.3.2.1: and for no other, or a server could use it at another.
        if (client.Registration.Profile == ClientProfile.Fapi2)
        {
            if (!IsOneString(token, Claims.Audience, _issuer))
                return Refuse($"The client assertion's aud must be {_issuer}, as one string.");
        }
        else if (!token.Audiences.Any(_audiences.Contains))
            return Refuse($"The client assertion's aud must be {_audiences[0]} or {_audiences[1]}.");

        // RFC 7523 §3 (4, 5, 6) and SMART: short-lived.
        var now = time.GetUtcNow();
        if (!token.TryGetPayloadValue<long>("exp", out var exp))
            return Refuse("The client assertion has no exp.");
        var expires = TokenShape.Time(exp);
        if (expires <= now)
            return Refuse("The client assertion has expired; make a new one for each request.");
        if (expires > now + LongestLife + Skew)
            return Refuse("The client assertion's exp is more than five minutes ahead.");
        // Absent ones are 0.
        _ = token.TryGetPayloadValue<long>("nbf", out var nbf);
        _ = token.TryGetPayloadValue<long>("iat", out var iat);
        if (TokenShape.Time(nbf) > now + Skew || TokenShape.Time(iat) > now + Skew)
            return Refuse("The client assertion is dated in the future; check the client's clock.");
        if (token.Id is not { Length: > 0 and <= LongestJti } jti)
            return Refuse($"The client assertion needs a jti of 1 to {LongestJti} characters.");

        // RFC 7523 §3 (7): last, so that only an otherwise good assertion is used up. Before the latest of these moments it would have been refused.
        DateTimeOffset[] accepted = [expires - LongestLife - Skew, TokenShape.Time(iat) - Skew, TokenShape.Time(nbf) - Skew];
        return await shared.AddAsync(SharedKey.Of("assertion", claimed, jti), expires - now + Skew, accepted.Max()).ConfigureAwait(false)
            ? (client, null)
            : Refuse("The client assertion has been used before (jti); make a new one for each request.");
    }

    /// <summary>The certificate is the subscriber's, and where the registration names some, one of them.</summary>
    private static string? ExplainCertificate(RegisteredClient client, CertificateFacts? facts) =>
        facts is null ? client.NeedsCertificate ? "The client needs its TLS client certificate." : null
            : facts.Organisation != client.Organisation ? "The TLS client certificate belongs to another organisation than the client."
            : client.Registration.TlsClientCertificates.Count + client.Subjects.Count > 0
              && !client.Registration.TlsClientCertificates.Contains(facts.Thumbprint) && !client.Subjects.Any(subject => subject.Equivalent(facts.Subject, true))
                ? "The TLS client certificate is not one that the client has registered."
                : null;

    /// <summary>Libraries make no difference between a string and a list of one.</summary>
    private static bool IsOneString(JsonWebToken token, string claim, string expected)
    {
        using var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(token.EncodedPayload));
        return claims.RootElement.TryGetProperty(claim, out var value) && value.ValueKind == JsonValueKind.String && value.GetString() == expected;
    }

    /// <summary>The <c>sub</c> of an assertion that nobody has verified; null when it cannot be read.</summary>
    public static string? ClaimedIn(string? assertion) =>
        TokenShape.Read(assertion ?? "", LongestAssertion, out _)?.Subject;

    private static (RegisteredClient?, TokenRefusal?) Refuse(string description) => (null, new(Errors.InvalidClient, description));

    private static async ValueTask<string?> ExplainSignatureAsync(JsonWebToken assertion, JsonWebKey key)
    {
        // Only the signature and the type: claims have their own sentences.
        // SMART writes JWT, RFC 7523bis client-authentication+jwt; an access token (at+jwt) must not pass for either.
        var result = await Tokens.ValidateTokenAsync(assertion, TokenShape.SignatureOf(key, assertion.Alg,
            static (type, _, _) => type is null or "" or "JWT" or "jwt" or "client-authentication+jwt" ? type ?? "JWT" : throw new SecurityTokenInvalidTypeException())).ConfigureAwait(false);
        return result switch
        {
            { IsValid: true } => null,
            { Exception: SecurityTokenInvalidTypeException } => "The client assertion's typ must be JWT.",
            _ => "The client assertion's signature does not verify with the registered key of that kid.",
        };
    }
}
