using System.Globalization;
using System.Security.Claims;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Strong identification of citizens by OIDC at a broker of the Finnish Trust Network (Traficom 213/2023): signed request
/// object, <c>private_key_jwt</c>, encrypted ID token, exact <c>acr</c>, nonce, state and PKCE.
/// </summary>
internal sealed class CitizenSignIn(
    GatewayOptions options, BrokerKeys keys, IPseudonyms pseudonyms, PortalSessions sessions, SessionEnds ends, IIdentificationObserver observer, SignInFailures failures, IdentificationMetrics metrics, TimeProvider time)
{
    public const string Scheme = "ftn";
    public const string CallbackPath = "/signin-ftn";

    /// <summary>Page of the portal for who has been identified without a Finnish identity code.</summary>
    public const string WithoutCodePath = "/without-identity-code";

    // Claims of the network, named by OID.
    private const string IdentityCodeClaim = "urn:oid:1.2.246.21";
    private const string DisplayNameClaim = "urn:oid:2.16.840.1.113730.3.1.241";
    private const string GivenNamesClaim = "urn:oid:1.2.246.575.1.14";
    private const string SurnameClaim = "urn:oid:2.5.4.4";

    /// <summary>The level that a sign-in asks for, in its state.</summary>
    private const string AskedLevel = "acr";

    private const string NoIdentityCode = "The identification carries no Finnish personal identity code.";
    private const string Unavailable = "The broker, the key service or the shared store does not answer.";

    private const int LongestToken = 32 * 1024;

    private static readonly TimeSpan RequestObjectLife = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan AssertionLife = TimeSpan.FromMinutes(1);
    private static readonly JsonWebTokenHandler Tokens = new() { SetDefaultTimesOnTokenCreation = false };

    private readonly CitizenIdentification _citizens = options.Identification.Citizens;
    private readonly SigningCredentials _signing = new(RsaKeyFile.Read(options.Identification.Citizens.SigningKeyFile), SecurityAlgorithms.RsaSha256);
    private readonly RsaSecurityKey _decryption = RsaKeyFile.Read(options.Identification.Citizens.EncryptionKeyFile);

    public void Configure(OpenIdConnectOptions oidc, HttpMessageHandler upstream)
    {
        oidc.SignInScheme = PortalSessions.Scheme;
        OidcSignIn.Configure(oidc, _citizens.Authority, _citizens.ClientId, CallbackPath, RequestObjectLife, keys, upstream);
        oidc.TokenValidationParameters = new TokenValidationParameters
        {
            ValidIssuer = _citizens.Authority,
            ValidAudience = _citizens.ClientId,
            // One list for signature, key encryption and content encryption; EncryptedIdTokens demands the latter two.
            ValidAlgorithms = [SecurityAlgorithms.RsaSha256, SecurityAlgorithms.RsaOAEP, SecurityAlgorithms.Aes128CbcHmacSha256],
            TokenDecryptionKey = _decryption,
            RequireExpirationTime = true,
            RequireSignedTokens = true,
            ClockSkew = TimeSpan.FromSeconds(10),
        };
        oidc.TokenHandler = new EncryptedIdTokens { MapInboundClaims = false };
        oidc.Events = new OpenIdConnectEvents
        {
            OnRedirectToIdentityProvider = SendRequestObject,
            OnAuthorizationCodeReceived = AuthenticateSelf,
            // Not earlier: the nonce is looked at after the ID token, and until then nothing has been proven (OpenID Connect Core §3.1.3.7).
            OnTicketReceived = AdmitAsync,
            OnRemoteFailure = RefuseAsync,
            OnAccessDenied = CancelAsync,
        };
    }

    /// <summary>Whether an address is one at the broker: only there a citizen is sent to sign out.</summary>
    public static bool IsOfBroker(string? address, GatewayOptions options) =>
        OriginOfBroker(options) is { } broker && Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.GetLeftPart(UriPartial.Authority) == broker;

    /// <summary>Null when the broker's issuer is no address.</summary>
    public static string? OriginOfBroker(GatewayOptions options) =>
        Uri.TryCreate(options.Identification.Citizens.Authority, UriKind.Absolute, out var uri) ? uri.GetLeftPart(UriPartial.Authority) : null;

    /// <summary>The configured level with this last part of its name, such as <c>loa3</c>; null names the usual one.</summary>
    /// <returns>Null when there is none.</returns>
    public string? LevelOf(string? name) => name is null ? _citizens.Acr
        : _citizens.FurtherAcrs.Prepend(_citizens.Acr).FirstOrDefault(acr => acr[(acr.LastIndexOf('/') + 1)..] == name);

    /// <summary>What begins a sign-in at one of the configured levels.</summary>
    public static AuthenticationProperties Ask(string acr, string back) => new(new Dictionary<string, string?> { [AskedLevel] = acr }) { RedirectUri = back };

    /// <summary>RFC 9101: everything that is asked stands in one signed JWT.</summary>
    private Task SendRequestObject(RedirectContext context)
    {
        var message = context.ProtocolMessage;
        // Not from the Host header: where the broker sends the citizen back to is fixed.
        message.RedirectUri = options.PublicAddress + CallbackPath;
        // The handler would make the state after this event; the request object has to contain it.
        context.Properties.Items[OpenIdConnectDefaults.RedirectUriForCodePropertiesKey] = message.RedirectUri;
        var state = context.Options.StateDataFormat.Protect(context.Properties);

        var language = CultureInfo.CurrentUICulture.TwoLetterISOLanguageName;
        var request = Sign(_citizens.Authority, RequestObjectLife, new Dictionary<string, object>
        {
            ["client_id"] = _citizens.ClientId,
            ["response_type"] = message.ResponseType,
            ["redirect_uri"] = message.RedirectUri,
            ["scope"] = message.Scope,
            ["state"] = state,
            ["nonce"] = message.Nonce,
            ["acr_values"] = context.Properties.Items[AskedLevel]!,
            ["ui_locales"] = language is "fi" or "sv" or "en" ? language : "fi",
            ["ftn_spname"] = _citizens.ServiceName,
            ["code_challenge"] = message.GetParameter("code_challenge"),
            ["code_challenge_method"] = message.GetParameter("code_challenge_method"),
        }, "oauth-authz-req+jwt");
        // OpenID Connect Core §6.1 wants these three outside too; the network ignores them there.
        context.Response.Redirect(Microsoft.AspNetCore.WebUtilities.QueryHelpers.AddQueryString(message.IssuerAddress, new Dictionary<string, string?>
        {
            ["client_id"] = _citizens.ClientId,
            ["response_type"] = message.ResponseType,
            ["scope"] = message.Scope,
            ["request"] = request,
        }));
        context.HandleResponse();
        return Task.CompletedTask;
    }

    /// <summary>RFC 7523: the portal's own client assertion at the broker's token endpoint.</summary>
    private async Task AuthenticateSelf(AuthorizationCodeReceivedContext context)
    {
        var broker = await context.Options.ConfigurationManager!.GetConfigurationAsync(context.HttpContext.RequestAborted).ConfigureAwait(false);
        context.TokenEndpointRequest!.ClientAssertionType = ClientAssertionTypes.JwtBearer;
        context.TokenEndpointRequest.ClientAssertion = Sign(broker.TokenEndpoint, AssertionLife, new Dictionary<string, object> { ["sub"] = _citizens.ClientId }, "JWT");
    }

    private async Task AdmitAsync(TicketReceivedContext context)
    {
        var claims = context.Principal!;
        var (code, acr, problem) = Examine(claims, context.Properties!.Items[AskedLevel]);
        if (problem == NoIdentityCode)
        {
            // Not counted as a failure: it is no attack, and who comes from abroad may share the address of many.
            await observer.RefusedAsync(context.HttpContext, _citizens.ClientId, problem, context.HttpContext.RequestAborted).ConfigureAwait(false);
            metrics.RefusedSignIn("no-code");
            context.Response.Redirect(WithoutCodePath);
            context.HandleResponse();
            return;
        }
        if (problem is not null)
        {
            await failures.EndAsync(context, _citizens.ClientId, problem, "refused", "/").ConfigureAwait(false);
            return;
        }
        try
        {
            var name = claims.FindFirst(DisplayNameClaim)?.Value
                ?? $"{claims.FindFirst(GivenNamesClaim)?.Value} {claims.FindFirst(SurnameClaim)?.Value}".Trim();
            var self = await pseudonyms.OfAsync(code, context.HttpContext.RequestAborted).ConfigureAwait(false);
            if (ends.IsContained(self))
            {
                await failures.EndAsync(context, _citizens.ClientId, "The operators have contained this person.", "refused", "/").ConfigureAwait(false);
                return;
            }
            await sessions.LeaveAsync(context.HttpContext).ConfigureAwait(false);
            // From here on the code is known to nobody but Keys and the broker, and to the citizen's browser where she may act for others.
            if (options.Identification.Mandates is not null)
                PortalSessions.Keep(context.Properties, code);
            context.Principal = PortalSessions.CreatePrincipal(self, name, acr);
            PortalSessions.Begin(context.Properties, time.GetUtcNow());
            ends.Begin(context.Properties, claims.FindFirst("sid")?.Value, claims.FindFirst(Claims.Subject)?.Value ?? "");
            metrics.AcceptedSignIn();
        }
        catch (Exception outage) when (outage is HttpRequestException or FaultException or SharedStateException)
        {
            await failures.EndAsync(context, _citizens.ClientId, Unavailable, "unavailable", "/").ConfigureAwait(false);
        }
    }

    /// <param name="asked">The level that was asked for.</param>
    /// <returns>The identity code and the level, or why not.</returns>
    private (PersonalIdentityCode Code, string Acr, string? Problem) Examine(ClaimsPrincipal claims, string? asked)
    {
        // Never "at least": the level that was asked for is the level that was billed, shown and agreed on.
        if (claims.FindFirst(Claims.AuthenticationContextReference)?.Value is not { } acr || acr != asked)
            return (default, "", "The identification was not made at the level that was asked for (acr).");
        // Foreign means of identification (eIDAS) carry no code: who uses them is identified, but nothing here can be found by it.
        if (claims.FindFirst(IdentityCodeClaim)?.Value is not { Length: > 0 } stated)
            return (default, acr, NoIdentityCode);
        if (!PersonalIdentityCode.TryParse(stated, out var code))
            return (default, acr, "The identification carries no valid Finnish personal identity code.");
        return code.IsTemporary == options.Identification.TestIdentityCodes ? (code, acr, null)
            : (default, acr, code.IsTemporary ? "The identity code is a temporary one, which this service does not accept." : "This test service accepts identity codes of the 900 series only.");
    }

    private async Task RefuseAsync(RemoteFailureContext context)
    {
        // Messages of the framework may quote what came in; only these are passed on.
        var reason = context.Failure switch
        {
            OpenIdConnectProtocolInvalidNonceException => "The ID token answers another sign-in (nonce).",
            SecurityTokenDecryptionFailedException or UnencryptedIdTokenException => "The ID token is not encrypted as agreed.",
            SecurityTokenException => "The ID token could not be verified.",
            HttpRequestException => Unavailable,
            _ => "The sign-in could not be completed.",
        };
        await failures.EndAsync(context, _citizens.ClientId, reason, reason == Unavailable ? "unavailable" : "refused", "/").ConfigureAwait(false);
    }

    private Task CancelAsync(AccessDeniedContext context) => failures.EndAsync(context, _citizens.ClientId, "The citizen cancelled the sign-in.", "cancelled", "/");

    private string Sign(string audience, TimeSpan life, Dictionary<string, object> claims, string type)
    {
        var now = time.GetUtcNow();
        claims["iss"] = _citizens.ClientId;
        claims["aud"] = audience;
        claims["jti"] = Guid.NewGuid().ToString("N");
        claims["iat"] = now.ToUnixTimeSeconds();
        claims["exp"] = (now + life).ToUnixTimeSeconds();
        return Tokens.CreateToken(new SecurityTokenDescriptor { Claims = claims, SigningCredentials = _signing, TokenType = type });
    }

    private sealed class UnencryptedIdTokenException() : SecurityTokenException("The ID token is not encrypted as agreed.");

    /// <summary>Refuses a token that did not come as RSA-OAEP with A128CBC-HS256, signed or not, or whose outer or inner form is not <see cref="TokenShape"/>'s.</summary>
    private sealed class EncryptedIdTokens : JsonWebTokenHandler
    {
        public override Task<TokenValidationResult> ValidateTokenAsync(string token, TokenValidationParameters validationParameters)
        {
            if (TokenShape.ReadEncrypted(token, LongestToken, out _) is not { Alg: SecurityAlgorithms.RsaOAEP, Enc: SecurityAlgorithms.Aes128CbcHmacSha256 } outer)
                return Refused(new UnencryptedIdTokenException());
            string inner;
            try
            {
                inner = DecryptToken(outer, validationParameters);
            }
            catch (Exception failure) when (failure is SecurityTokenException or ArgumentException)
            {
                return Refused(new UnencryptedIdTokenException());
            }
            return TokenShape.Read(inner, LongestToken, out _) is not null
                ? base.ValidateTokenAsync(inner, validationParameters)
                : Refused(new SecurityTokenException("The token inside is not a signed JWT."));
        }

        private static Task<TokenValidationResult> Refused(Exception reason) => Task.FromResult(new TokenValidationResult { IsValid = false, Exception = reason });
    }
}
