using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// What the broker publishes about itself, and the keys that its ID tokens are believed with: those of a pinned file, or of a
/// JWK set that the broker has signed with a key exchanged beforehand. Its <c>jwks_uri</c> is then never asked.
/// </summary>
/// <remarks>
/// Traficom 213/2023: keys are exchanged beforehand, and change by themselves only where they are signed (OpenID Federation 1.0 §5.2.1,
/// <c>signed_jwks_uri</c>). Without either, TLS alone would say who signs identities: test services only.
/// </remarks>
internal sealed class BrokerKeys : IConfigurationRetriever<OpenIdConnectConfiguration>
{
    private const int LongestKeySet = 64 * 1024;
    private const string KeySetType = "jwk-set+jwt";

    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);
    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    private readonly CitizenIdentification _citizens;
    private readonly TimeProvider _time;

    /// <exception cref="InvalidDataException">A file holds no usable keys.</exception>
    public BrokerKeys(GatewayOptions options, TimeProvider time)
    {
        (_citizens, _time) = (options.Identification.Citizens, time);
        foreach (var file in new[] { _citizens.BrokerJwksFile, _citizens.BrokerSignedJwksKeyFile })
            if (file is not null)
                _ = ReadFile(file);
    }

    /// <exception cref="InvalidDataException">The broker's metadata or keys are not as agreed; nobody is identified with them.</exception>
    public async Task<OpenIdConnectConfiguration> GetConfigurationAsync(string address, IDocumentRetriever retriever, CancellationToken cancel)
    {
        var broker = OpenIdConnectConfiguration.Create(await retriever.GetDocumentAsync(address, cancel).ConfigureAwait(false));
        // OpenID Connect Discovery §4.3
        if (broker.Issuer != _citizens.Authority)
            throw new InvalidDataException("The broker's metadata has another issuer.");
        broker.JsonWebKeySet = _citizens switch
        {
            { BrokerJwksFile: { } file } => ReadFile(file),
            { BrokerSignedJwksKeyFile: { } file } => await VerifyAsync(await GetAsync("signed_jwks_uri").ConfigureAwait(false), ReadFile(file)).ConfigureAwait(false),
            _ => Read(await retriever.GetDocumentAsync(broker.JwksUri, cancel).ConfigureAwait(false), "The broker's JWK set"),
        };
        foreach (var key in broker.JsonWebKeySet.GetSigningKeys())
            broker.SigningKeys.Add(key);
        return broker;

        Task<string> GetAsync(string member) => broker.AdditionalData.TryGetValue(member, out var at) && at?.ToString() is { Length: > 0 } place
            ? retriever.GetDocumentAsync(place, cancel)
            : throw new InvalidDataException($"The broker's metadata has no {member}.");
    }

    private async Task<JsonWebKeySet> VerifyAsync(string text, JsonWebKeySet trusted)
    {
        if (TokenShape.Read(text.Trim(), LongestKeySet, out var problem) is not { } token)
            throw new InvalidDataException("The broker's signed JWK set " + problem);
        var result = await Tokens.ValidateTokenAsync(token, new TokenValidationParameters
        {
            IssuerSigningKeys = trusted.GetSigningKeys(),
            ValidIssuer = _citizens.Authority,
            ValidateAudience = false,
            ValidTypes = [KeySetType],
            ValidAlgorithms = [SecurityAlgorithms.RsaSha256],
            // RFC 7519: both are optional here, and hold where they stand.
            LifetimeValidator = (from, to, _, _) => (to is null || to > _time.GetUtcNow()) && (from is null || from <= _time.GetUtcNow() + Skew),
        }).ConfigureAwait(false);
        if (!result.IsValid)
            throw new InvalidDataException("The broker's signed JWK set is not signed with the key that was exchanged, not the broker's, or out of date.");
        if (token.Subject != _citizens.Authority)
            throw new InvalidDataException("The broker's signed JWK set is about another than the broker (sub).");
        return Read(Base64UrlEncoder.Decode(token.EncodedPayload), "The broker's signed JWK set");
    }

    private static JsonWebKeySet ReadFile(string file) => Read(File.ReadAllText(file), file);

    private static JsonWebKeySet Read(string json, string name)
    {
        JsonWebKeySet keys;
        try
        {
            keys = new JsonWebKeySet(json);
        }
        catch (Exception malformed) when (malformed is ArgumentException or JsonException)
        {
            throw new InvalidDataException($"{name}: not a JWK set.", malformed);
        }
        var signing = keys.Keys.Where(key => key.Use is null or "" or JsonWebKeyUseNames.Sig).ToList();
        if (signing.Count == 0 || signing.Any(key => key is not { Kty: JsonWebAlgorithmsKeyTypes.RSA, KeySize: >= 2048, Kid.Length: > 0, HasPrivateKey: false }))
            throw new InvalidDataException($"{name}: its signing keys must be public RSA keys of 2048 bits or more, each with a kid.");
        return keys;
    }
}
