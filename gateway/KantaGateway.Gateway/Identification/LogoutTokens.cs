using System.Text.Json;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>What the broker says has ended: one of its sessions, or everything of a subject.</summary>
internal sealed record EndedAtBroker(string? Session, string Subject);

/// <summary>
/// Ends what the broker's logout tokens say (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6), which come signed and encrypted as its
/// ID tokens do.
/// </summary>
internal sealed class LogoutTokens(IOptionsMonitor<OpenIdConnectOptions> schemes, SessionEnds ends, ISharedState shared, TimeProvider time)
{
    private const string TokenType = "logout+jwt";
    private const string Event = "http://schemas.openid.net/event/backchannel-logout";
    private const int LongestId = 255;

    /// <summary>How old one may be; the specification recommends two minutes for the life of one.</summary>
    private static readonly TimeSpan Oldest = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);

    /// <returns>Null when what it names has ended; else a plain sentence why the token is not believed.</returns>
    /// <exception cref="SharedStateException">Whether it has been used cannot be said, or its end not be seen to; the same token may come again.</exception>
    public async Task<string?> HeedAsync(string token, CancellationToken cancel)
    {
        var oidc = schemes.Get(CitizenSignIn.Scheme);
        var broker = await oidc.ConfigurationManager!.GetConfigurationAsync(cancel).ConfigureAwait(false);
        // iss, aud, signature, encryption and exp as of ID tokens; the type keeps the two apart.
        var parameters = oidc.TokenValidationParameters.Clone();
        parameters.IssuerSigningKeys = broker.SigningKeys;
        parameters.ValidTypes = [TokenType];
        parameters.LifetimeValidator = (from, to, _, _) => to > time.GetUtcNow() && (from is null || from <= time.GetUtcNow() + Skew);
        var result = await oidc.TokenHandler.ValidateTokenAsync(token, parameters).ConfigureAwait(false);
        if (!result.IsValid || result.SecurityToken is not JsonWebToken jwt)
        {
            if (result.Exception is SecurityTokenSignatureKeyNotFoundException)
                oidc.ConfigurationManager.RequestRefresh();
            return Refuse(result.Exception is SecurityTokenInvalidTypeException
                ? $"typ must be {TokenType}." : "It is not encrypted, signed, issued and dated as the ID tokens of the broker are.");
        }
        if (!jwt.TryGetPayloadValue<long>("iat", out var iat)
            || TokenShape.Time(iat) is var issued && (issued > time.GetUtcNow() + Skew || issued < time.GetUtcNow() - Oldest))
            return Refuse("iat must be of the last five minutes.");
        if (!jwt.TryGetPayloadValue<JsonElement>("events", out var events) || events.ValueKind != JsonValueKind.Object
            || !events.TryGetProperty(Event, out var logout) || logout.ValueKind != JsonValueKind.Object)
            return Refuse($"events must hold {Event}.");
        // An ID token that somebody hands in again has one.
        if (jwt.TryGetPayloadValue<object>("nonce", out _))
            return Refuse("nonce is prohibited.");
        var session = jwt.TryGetPayloadValue<string>("sid", out var sid) && sid is { Length: > 0 } ? sid : null;
        if (session is null && string.IsNullOrEmpty(jwt.Subject))
            return Refuse("sid or sub is needed.");
        if (jwt.Id is not { Length: > 0 and <= LongestId })
            return Refuse($"jti of 1 to {LongestId} characters is needed.");
        // Last, so that only a good one is used up.
        var name = SharedKey.Of("logout", jwt.Id);
        if (!await shared.AddAsync(name, Oldest + Skew + Skew, issued - Skew).ConfigureAwait(false))
            return Refuse("It has been used before (jti).");
        try
        {
            await ends.EndAsync(new EndedAtBroker(session, jwt.Subject), cancel).ConfigureAwait(false);
            return null;
        }
        catch (SharedStateException)
        {
            await shared.RemoveAsync(name).ConfigureAwait(false);
            throw;
        }
    }

    private static string Refuse(string problem) => "The logout token is refused. " + problem;
}
