using System.Globalization;
using System.Security.Claims;
using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Identity.Web;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// Sign-in of operators at their Entra ID tenant through Microsoft.Identity.Web: OIDC code flow with PKCE and a client assertion, this one tenant,
/// means that resist phishing, a proof of seconds ago, and an app role.
/// </summary>
internal sealed class OperatorSignIn(
    OperatorOptions operators, GatewayOptions options, OperatorSessions sessions, SignInFailures failures, IOperatorObserver observer, IdentificationMetrics metrics, TimeProvider time)
{
    public const string Scheme = "entra";
    public const string CallbackPath = "/signin-operator";

    /// <summary>The page for who is not signed in; <c>?signin=</c> tells how a sign-in ended.</summary>
    public const string StartPath = "/operator/start";
    public const string HomePath = "/operator";

    /// <summary>Whoever signs in proves herself then and there: an older session at Entra does not do.</summary>
    public static readonly TimeSpan FreshAtSignIn = TimeSpan.FromMinutes(5);

    private const string Unavailable = "Entra ID or the shared store does not answer.";
    private const string TenantClaim = "tid";
    private const string IdClaim = "oid";

    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StateLife = TimeSpan.FromMinutes(10);

    private readonly ApplicationCredential _own = new(operators.ClientId, operators.CertificateFile, operators.KeyFile, time);

    public static void Add(AuthenticationBuilder authentication, OperatorOptions operators, Func<HttpMessageHandler> upstream)
    {
        authentication.AddMicrosoftIdentityWebApp(
            entra =>
            {
                entra.Authority = operators.Authority;
                entra.ClientId = operators.ClientId;
            },
            OperatorSessions.Configure, Scheme, OperatorSessions.Scheme);
        authentication.Services.AddOptions<Microsoft.AspNetCore.Authentication.Cookies.CookieAuthenticationOptions>(OperatorSessions.Scheme)
            .Configure<OperatorSessions>(static (cookie, sessions) =>
            {
                // After Microsoft.Identity.Web, which puts its own into them.
                OperatorSessions.Configure(cookie);
                cookie.SessionStore = sessions;
            });
        authentication.Services.AddOptions<OpenIdConnectOptions>(Scheme)
            .Configure<OperatorSignIn>((oidc, signIn) => signIn.Configure(oidc, upstream()));
    }

    private void Configure(OpenIdConnectOptions oidc, HttpMessageHandler upstream)
    {
        oidc.SignInScheme = OperatorSessions.Scheme;
        OidcSignIn.Configure(oidc, operators.Authority, operators.ClientId, CallbackPath, StateLife, new OpenIdConnectConfigurationRetriever(), upstream);
        oidc.Scope.Add("profile");
        // The standard's way of asking for a proof now, and Entra's.
        oidc.MaxAge = TimeSpan.Zero;
        oidc.Prompt = OpenIdConnectPrompt.Login;
        // Microsoft.Identity.Web leaves the path of its own callback in them.
        oidc.CorrelationCookie.Path = oidc.NonceCookie.Path = CallbackPath;
        oidc.TokenValidationParameters = new TokenValidationParameters
        {
            ValidAudience = operators.ClientId,
            ValidTypes = ["JWT"],
            ValidAlgorithms = [SecurityAlgorithms.RsaSha256],
            // In the place of the Entra validator, which takes the aliases of a cloud: exactly this issuer.
            IssuerValidator = (found, _, _) => found == operators.Authority ? found : throw new SecurityTokenInvalidIssuerException(),
            RequireExpirationTime = true,
            RequireSignedTokens = true,
            ClockSkew = Skew,
        };
        oidc.TokenHandler = new ShapedIdTokens { MapInboundClaims = false };
        oidc.Events = new OpenIdConnectEvents
        {
            OnRedirectToIdentityProvider = Ask,
            OnAuthorizationCodeReceived = _own.AuthenticateAsync,
            // Not earlier: the nonce is looked at after the ID token, and until then nothing has been proven (OpenID Connect Core §3.1.3.7).
            OnTicketReceived = AdmitAsync,
            OnRemoteFailure = RefuseAsync,
            OnAccessDenied = CancelAsync,
        };
    }

    private Task Ask(RedirectContext context)
    {
        // Not from the Host header.
        context.ProtocolMessage.RedirectUri = OperatorOrigin.AddressOf(options) + CallbackPath;
        // OpenID Connect Core §5.5; Entra's authentication contexts come and are asked for as acrs.
        if (operators.Acrs is { } wanted)
            context.ProtocolMessage.SetParameter("claims", JsonSerializer.Serialize(new { id_token = new { acrs = new { essential = true, value = wanted } } }));
        return Task.CompletedTask;
    }

    private async Task AdmitAsync(TicketReceivedContext context)
    {
        var (who, reason) = Examine(context.Principal!);
        if (who is null)
        {
            await failures.EndAsync(context, operators.ClientId, reason, "refused", StartPath).ConfigureAwait(false);
            return;
        }
        try
        {
            await sessions.LeaveAsync(context.HttpContext).ConfigureAwait(false);
            await observer.ActedAsync(context.HttpContext, who, "Signed in.", null, null).ConfigureAwait(false);
            context.Principal = OperatorSessions.CreatePrincipal(who.Tenant, who.Id, who.Name, who.Roles, who.SignedIn);
            metrics.AcceptedSignIn();
        }
        catch (Exception outage) when (outage is FaultException or SharedStateException)
        {
            await failures.EndAsync(context, operators.ClientId, Unavailable, "unavailable", StartPath).ConfigureAwait(false);
        }
    }

    private (Operator? Who, string Reason) Examine(ClaimsPrincipal claims)
    {
        string? One(string name) => claims.FindAll(name).Select(static claim => claim.Value).ToArray() is [var value] ? value : null;
        bool Has(string name, IEnumerable<string> wanted) => claims.FindAll(name).Any(claim => wanted.Contains(claim.Value, StringComparer.Ordinal));

        if (One("ver") != "2.0" || One(TenantClaim) != operators.Tenant)
            return (null, "The ID token is not of the operators' tenant (ver, tid).");
        if (One(IdClaim) is not { Length: > 0 and <= 64 } id || One(Claims.Name) is not { Length: > 0 and <= 256 } name)
            return (null, "The ID token does not name the operator (oid, name).");
        if (operators.Acrs is { } context && !Has("acrs", [context]))
            return (null, "The operator has not signed in by phishing-resistant means (acrs).");
        if (operators.Amr.Count > 0 && !Has(Claims.AuthenticationMethodReference, operators.Amr))
            return (null, "The operator has not signed in by phishing-resistant means (amr).");
        // Options demand one of the two; were there neither, nobody would be let in.
        if (operators.Acrs is null && operators.Amr.Count == 0)
            return (null, "No phishing-resistant means are configured.");
        var now = time.GetUtcNow();
        if (!long.TryParse(One(Claims.AuthenticationTime), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) || seconds > DateTimeOffset.MaxValue.ToUnixTimeSeconds()
            || DateTimeOffset.FromUnixTimeSeconds(seconds) is var signedIn && (signedIn > now + Skew || now - signedIn > FreshAtSignIn))
            return (null, "The operator has not signed in just now (auth_time).");
        var roles = new HashSet<OperatorRole>();
        foreach (var (role, configured) in new[] { (OperatorRole.Onboarding, operators.OnboardingRole), (OperatorRole.Keys, operators.KeysRole), (OperatorRole.DataProtection, operators.DataProtectionRole) })
            if (Has("roles", [configured]))
                roles.Add(role);
        return roles.Count == 0 ? (null, "The person has no role of an operator (roles).")
            : (new(operators.Tenant, id, name, roles, DateTimeOffset.FromUnixTimeSeconds(seconds), ""), "");
    }

    private async Task RefuseAsync(RemoteFailureContext context)
    {
        // Messages of the framework may quote what came in; only these are passed on.
        var reason = context.Failure switch
        {
            OpenIdConnectProtocolInvalidNonceException => "The operator's ID token answers another sign-in (nonce).",
            SecurityTokenInvalidAudienceException => "The operator's ID token was issued for another audience.",
            SecurityTokenInvalidIssuerException => "The operator's ID token was issued by another tenant.",
            SecurityTokenException => "The operator's ID token could not be verified.",
            HttpRequestException => Unavailable,
            _ => "The operator's sign-in could not be completed.",
        };
        await failures.EndAsync(context, operators.ClientId, reason, reason == Unavailable ? "unavailable" : "refused", StartPath).ConfigureAwait(false);
    }

    private Task CancelAsync(AccessDeniedContext context) => failures.EndAsync(context, operators.ClientId, "The operator cancelled the sign-in.", "cancelled", StartPath);
}
