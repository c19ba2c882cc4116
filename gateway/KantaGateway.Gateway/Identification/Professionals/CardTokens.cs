using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>
/// A subject token that a professional has signed with a card, for this gateway and one clinic system: a JWT with the card's certificate
/// in <c>x5c</c> (RFC 7515 §4.1.6).
/// </summary>
/// <remarks>
/// Its claims: <c>iss</c> and <c>sub</c> the number in the certificate's subject, <c>aud</c> this gateway's issuer or token endpoint,
/// <c>client_id</c> the system that it is handed to, <c>organisation</c> the OID of the one asked for where the system serves several, <c>jti</c>, <c>iat</c>, <c>exp</c> at most five minutes ahead. Once only.
/// </remarks>
internal sealed class CardTokens(CardCertificates certificates, ISharedState shared, GatewayOptions options, TimeProvider time)
{
    private const int LongestChain = 5;
    private const int LongestJti = 255;

    /// <summary>How the professional has signed in.</summary>
    public const string Acr = "urn:kanta:professional-card";

    private static readonly TimeSpan LongestLife = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);
    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    private readonly string[] _audiences = [options.PublicAddress + TokenEndpoint.Path, options.PublicAddress + "/", options.PublicAddress];

    /// <summary>Whether a token says that it is one: nobody has verified it.</summary>
    public static bool IsOne(JsonWebToken token) => token.TryGetHeaderValue<JsonElement>("x5c", out _);

    /// <returns>The professional, without what the role register knows, and until when; or why not. The token may have been used before: see <see cref="UseUpAsync"/>.</returns>
    public async ValueTask<(CardHolder? Holder, DateTimeOffset Until, TokenRefusal? Refusal)> ValidateAsync(JsonWebToken token, RegisteredClient client, RegisteredRequester requester)
    {
        (CardHolder?, DateTimeOffset, TokenRefusal?) No(string problem) => (null, default, new(Errors.InvalidRequest, problem));

        using var certificate = Read(token);
        if (certificate is null)
            return No($"The subject_token's x5c must hold 1 to {LongestChain} certificates, the card's first (RFC 7515 §4.1.6).");
        if (KeyOf(certificate, token.Alg) is not { } key)
            return No("The subject_token must be signed with ES256, ES384, RS256 or PS256 and the card's key of that kind, of RSA 2048 bits or more.");

        // The signature before anybody is asked about the certificate.
        var signed = await Tokens.ValidateTokenAsync(token, TokenShape.SignatureOf(key, token.Alg,
            static (type, _, _) => type is null or "" or "JWT" ? "JWT" : throw new SecurityTokenInvalidTypeException())).ConfigureAwait(false);
        if (!signed.IsValid)
            return No(signed.Exception is SecurityTokenInvalidTypeException ? "The subject_token's typ must be JWT." : "The subject_token's signature does not verify with the card's certificate.");
        var holder = await certificates.ExamineAsync(certificate).ConfigureAwait(false);
        if (holder.Problem is { } problem)
            return holder.IsOutage ? (null, default, new(Errors.TemporarilyUnavailable, "The card's certificate " + problem + " Try again with a new assertion.")) : No("The card's certificate " + problem);

        if (token.Subject != holder.Number || token.Issuer != holder.Number)
            return No("The subject_token's iss and sub must both be the number in the card's certificate.");
        if (token.Audiences.ToArray() is not [var audience] || !_audiences.Contains(audience))
            return No($"The subject_token's aud must be {_audiences[0]} or {_audiences[1]}, and nothing else.");
        // Otherwise one clinic could use at this gateway what a professional has given another.
        if (!token.TryGetPayloadValue<string>("client_id", out var system) || system != client.ClientId)
            return No("The subject_token's client_id must be the client that sends it.");
        // Nor a host at one tenant what was given it at another.
        if (token.TryGetPayloadValue<string>(TokenEndpoint.OrganisationClaim, out var organisation) ? organisation != requester.Organisation.ToString() : client.Requesters.Count > 1)
            return No("The subject_token's organisation must be the OID of the organisation that the token is asked for.");

        var now = time.GetUtcNow();
        if (!token.TryGetPayloadValue<long>("exp", out var exp) || !token.TryGetPayloadValue<long>("iat", out var iat))
            return No("The subject_token needs exp and iat.");
        var expires = TokenShape.Time(exp);
        if (expires <= now)
            return No("The subject_token has expired; the professional must sign a new one.");
        if (expires > now + LongestLife + Skew)
            return No("The subject_token's exp is more than five minutes ahead.");
        if (TokenShape.Time(iat) > now + Skew || (token.TryGetPayloadValue<long>("nbf", out var nbf) && TokenShape.Time(nbf) > now + Skew))
            return No("The subject_token is dated in the future; check the clock of where it was signed.");
        return token.Id is { Length: > 0 and <= LongestJti } ? (holder, expires, null) : No($"The subject_token needs a jti of 1 to {LongestJti} characters.");
    }

    /// <summary>Last of all, so that neither a refusal nor an outage of the role register uses up a token: a professional would have to take the card in hand again.</summary>
    /// <param name="token">One that has been validated.</param>
    /// <returns>Why not; null when this is its first use.</returns>
    /// <exception cref="SharedStateException">The replay cache does not answer.</exception>
    public async ValueTask<TokenRefusal?> UseUpAsync(JsonWebToken token, CardHolder holder, DateTimeOffset until) =>
        await shared.AddAsync(SharedKey.Of("card", holder.Number, token.Id), until - time.GetUtcNow() + Skew, TokenShape.Time(token.GetPayloadValue<long>("iat")) - Skew).ConfigureAwait(false) ? null
            : new(Errors.InvalidRequest, "The subject_token has been used before (jti); the professional must sign a new one.");

    private static X509Certificate2? Read(JsonWebToken token)
    {
        if (!token.TryGetHeaderValue<JsonElement>("x5c", out var chain) || chain.ValueKind != JsonValueKind.Array || chain.GetArrayLength() is 0 or > LongestChain
            || chain[0].ValueKind != JsonValueKind.String || !chain[0].TryGetBytesFromBase64(out var der))
            return null;
        try
        {
            return X509CertificateLoader.LoadCertificate(der);
        }
        catch (CryptographicException)
        {
            return null;
        }
    }

    private static AsymmetricSecurityKey? KeyOf(X509Certificate2 certificate, string algorithm)
    {
        try
        {
            return algorithm switch
            {
                SecurityAlgorithms.EcdsaSha256 => certificate.GetECDsaPublicKey() is { KeySize: 256 } key ? new ECDsaSecurityKey(key) : null,
                SecurityAlgorithms.EcdsaSha384 => certificate.GetECDsaPublicKey() is { KeySize: 384 } key ? new ECDsaSecurityKey(key) : null,
                SecurityAlgorithms.RsaSha256 or SecurityAlgorithms.RsaSsaPssSha256 => certificate.GetRSAPublicKey() is { KeySize: >= 2048 } key ? new RsaSecurityKey(key) : null,
                _ => null,
            };
        }
        catch (CryptographicException)
        {
            // A certificate may say that its key is one that it is not.
            return null;
        }
    }
}
