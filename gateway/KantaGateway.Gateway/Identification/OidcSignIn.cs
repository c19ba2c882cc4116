using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;

namespace KantaGateway.Gateway.Identification;

/// <summary>What the sign-ins of citizens, of operators and of clinics' professionals have in common: the code flow, strictly, and what becomes of a sign-in that fails.</summary>
internal static class OidcSignIn
{
    private const int LongestDocument = 256 * 1024;

    /// <summary>Code flow with PKCE and nonce; of what comes back only the ID token's claims are used, and nothing is kept.</summary>
    /// <param name="documents">Reads the provider's metadata and keys.</param>
    /// <param name="life">How long a sign-in may take.</param>
    public static void Configure(OpenIdConnectOptions oidc, string authority, string clientId, string callbackPath, TimeSpan life,
        IConfigurationRetriever<OpenIdConnectConfiguration> documents, HttpMessageHandler upstream)
    {
        oidc.Authority = authority;
        oidc.ClientId = clientId;
        oidc.BackchannelHttpHandler = upstream;
        oidc.BackchannelTimeout = TimeSpan.FromSeconds(10);
        oidc.ConfigurationManager = new ConfigurationManager<OpenIdConnectConfiguration>(
            authority.TrimEnd('/') + "/.well-known/openid-configuration", documents,
            new HttpDocumentRetriever(new HttpClient(upstream, disposeHandler: false) { Timeout = oidc.BackchannelTimeout, MaxResponseContentBufferSize = LongestDocument }))
        {
            AutomaticRefreshInterval = TimeSpan.FromHours(1),
            // A key that is gone is gone.
            UseLastKnownGoodConfiguration = false,
        };
        oidc.CallbackPath = callbackPath;
        oidc.ResponseType = OpenIdConnectResponseType.Code;
        oidc.ResponseMode = OpenIdConnectResponseMode.Query;
        oidc.UsePkce = true;
        oidc.Scope.Clear();
        oidc.Scope.Add("openid");
        oidc.PushedAuthorizationBehavior = PushedAuthorizationBehavior.Disable;
        oidc.DisableTelemetry = true;
        oidc.MapInboundClaims = false;
        oidc.SaveTokens = false;
        oidc.GetClaimsFromUserInfoEndpoint = false;
        oidc.UseTokenLifetime = false;
        oidc.RemoteAuthenticationTimeout = life;
        oidc.ProtocolValidator.NonceLifetime = life;
        oidc.ProtocolValidator.RequireNonce = true;
        oidc.ClaimActions.Clear();
        // The provider answers by a redirect, so Lax is enough, and nothing cross-site can plant these.
        foreach (var cookie in new[] { oidc.CorrelationCookie, oidc.NonceCookie })
        {
            cookie.SameSite = SameSiteMode.Lax;
            cookie.SecurePolicy = CookieSecurePolicy.Always;
            cookie.HttpOnly = true;
        }
    }
}

/// <summary>Ends sign-ins that fail: recorded, counted, and sent back to a page that says how they ended.</summary>
internal sealed class SignInFailures(IIdentificationObserver observer, AttemptLimits limits, IdentificationMetrics metrics)
{
    /// <param name="clientId">At which client of ours it failed.</param>
    /// <param name="reason">For the audit: a plain sentence without anything from outside.</param>
    /// <param name="end">As the metric has it: <c>refused</c>, <c>cancelled</c>, or <c>unavailable</c>, which is no failure of the one who signs in.</param>
    /// <param name="page">Where the browser goes.</param>
    public async Task EndAsync(HandleRequestContext<RemoteAuthenticationOptions> context, string clientId, string reason, string end, string page)
    {
        await RecordAsync(context.HttpContext, clientId, reason, end).ConfigureAwait(false);
        context.Response.Redirect($"{page}?signin={end}");
        context.HandleResponse();
    }

    /// <summary>The same without the page: where the browser goes is the caller's affair.</summary>
    public async Task RecordAsync(HttpContext http, string clientId, string reason, string end)
    {
        // Anybody can send broken answers, and say that he has cancelled: they are counted, and not recorded without end.
        if (limits.Wait(http) is null)
        {
            await observer.RefusedAsync(http, clientId, reason, http.RequestAborted).ConfigureAwait(false);
            metrics.RefusedSignIn(end);
            if (end != "unavailable")
                await limits.FailedAsync(http).ConfigureAwait(false);
        }
    }
}
