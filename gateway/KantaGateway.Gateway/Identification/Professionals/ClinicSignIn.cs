using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Identity.Web;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>
/// Sign-in of a clinic's professionals for its apps (SMART App Launch 2.2, standalone) at the clinic's identity provider, through
/// Microsoft.Identity.Web: OIDC code flow with PKCE and a client assertion. Its ID token is heard as a subject token of token exchange is.
/// </summary>
/// <remarks>
/// It ends with the app's code and begins no session here: what the professional was signed in for is the one request of the app.
/// </remarks>
internal sealed class ClinicSignIn
{
    private const string SchemePrefix = "clinic:";

    /// <summary>What the professional was sent to sign in for, in the sign-in's state.</summary>
    private const string AskedClient = "client", AskedRequest = "request";

    private const string Unavailable = "The clinic's identity provider, the role register or the shared store does not answer.";

    private static readonly TimeSpan StateLife = TimeSpan.FromMinutes(10);

    private readonly GatewayOptions _options;
    private readonly SubjectTokens _subjects;
    private readonly AppAuthorizations _apps;
    private readonly ClientRegistry _registry;
    private readonly AttemptLimits _limits;
    private readonly SignInFailures _failures;
    private readonly IdentificationMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly Dictionary<string, ApplicationCredential> _own;

    /// <exception cref="InvalidDataException">A certificate or key file is not what it has to be.</exception>
    public ClinicSignIn(GatewayOptions options, SubjectTokens subjects, AppAuthorizations apps, ClientRegistry registry, AttemptLimits limits, SignInFailures failures, IdentificationMetrics metrics, TimeProvider time)
    {
        (_options, _subjects, _apps, _registry, _limits, _failures, _metrics, _time) = (options, subjects, apps, registry, limits, failures, metrics, time);
        _own = options.Identification.ProfessionalIssuers.Where(static issuer => issuer.SignIn is not null)
            .ToDictionary(static issuer => issuer.Issuer, issuer => new ApplicationCredential(issuer.SignIn!.ClientId, issuer.SignIn.CertificateFile, issuer.SignIn.KeyFile, time), StringComparer.Ordinal);
    }

    public static void Add(AuthenticationBuilder authentication, IdentificationOptions options, Func<HttpMessageHandler> upstream)
    {
        foreach (var issuer in options.ProfessionalIssuers)
        {
            if (issuer.SignIn is not { } signIn)
                continue;
            authentication.AddMicrosoftIdentityWebApp(
                entra =>
                {
                    entra.Authority = issuer.Issuer;
                    entra.ClientId = signIn.ClientId;
                },
                configureCookieAuthenticationOptions: null, SchemePrefix + issuer.Issuer, cookieScheme: null);
            authentication.Services.AddOptions<OpenIdConnectOptions>(SchemePrefix + issuer.Issuer)
                .Configure<ClinicSignIn>((oidc, clinics) => clinics.Configure(oidc, issuer, upstream()));
        }
    }

    /// <summary>The only provider at which an app's professionals sign in; null when there is none, or none is named of several.</summary>
    public ProfessionalIssuer? IssuerOf(RegisteredClient app, RegisteredRequester requester)
    {
        var candidates = _options.Identification.ProfessionalIssuers.Where(issuer => issuer.SignIn is not null && issuer.Organisation == requester.Organisation.ToString()
            && (app.Registration.ProfessionalIssuer is null || app.Registration.ProfessionalIssuer == issuer.Issuer)).Take(2).ToArray();
        return candidates is [var one] ? one : null;
    }

    /// <summary>Sends the professional to the clinic's provider, or back to the app where that cannot be. Writes the whole answer.</summary>
    /// <param name="asked">As it was read for this request, under the registration that is in force.</param>
    /// <exception cref="SharedStateException">The shared store does not answer.</exception>
    public async Task BeginAsync(HttpContext http, RegisteredClient app, PushedRequest asked, string requestUri)
    {
        if (!Navigation.IsTop(http.Request))
        {
            http.Response.StatusCode = StatusCodes.Status403Forbidden;
            return;
        }
        if (await _limits.SignInAsync(http).ConfigureAwait(false) is { } wait)
        {
            _ = AttemptLimits.Refuse(http, wait);
            http.Response.StatusCode = StatusCodes.Status429TooManyRequests;
            return;
        }
        if (app.RequesterOf(asked.Organisation) is not { } requester || IssuerOf(app, requester) is not { } issuer)
        {
            await LeaveAsync(http, asked, requestUri, Errors.ServerError, "The app's organisation has no identity provider here any more.").ConfigureAwait(false);
            return;
        }
        try
        {
            await http.ChallengeAsync(SchemePrefix + issuer.Issuer, new AuthenticationProperties(new Dictionary<string, string?> { [AskedClient] = asked.ClientId, [AskedRequest] = requestUri })).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is InvalidOperationException or HttpRequestException or IOException && !http.Response.HasStarted)
        {
            // The provider's metadata could not be read.
            _metrics.RefusedSignIn("unavailable");
            await LeaveAsync(http, asked, requestUri, Errors.TemporarilyUnavailable, Unavailable).ConfigureAwait(false);
        }
    }

    private void Configure(OpenIdConnectOptions oidc, ProfessionalIssuer issuer, HttpMessageHandler upstream)
    {
        var path = ProfessionalSignIn.RedirectPathOf(issuer.Issuer);
        OidcSignIn.Configure(oidc, issuer.Issuer, issuer.SignIn!.ClientId, path, StateLife, new OpenIdConnectConfigurationRetriever(), upstream);
        oidc.Scope.Add("profile");
        // One is demanded, and nobody is signed in to it: every answer ends in an event below.
        oidc.SignInScheme = PortalSessions.Scheme;
        // Microsoft.Identity.Web leaves the path of its own callback in them.
        oidc.CorrelationCookie.Path = oidc.NonceCookie.Path = path;
        oidc.TokenValidationParameters = new TokenValidationParameters
        {
            ValidAudience = issuer.SignIn.ClientId,
            ValidTypes = ["JWT"],
            ValidAlgorithms = SubjectTokens.Algorithms,
            // In the place of the Entra validator, which takes the aliases of a cloud: exactly this issuer.
            IssuerValidator = (found, _, _) => found == issuer.Issuer ? found : throw new SecurityTokenInvalidIssuerException(),
            RequireExpirationTime = true,
            RequireSignedTokens = true,
            ClockSkew = TimeSpan.FromSeconds(10),
        };
        oidc.TokenHandler = new ShapedIdTokens { MapInboundClaims = false };
        oidc.Events = new OpenIdConnectEvents
        {
            // Not from the Host header.
            OnRedirectToIdentityProvider = context =>
            {
                context.ProtocolMessage.RedirectUri = _options.PublicAddress + path;
                return Task.CompletedTask;
            },
            OnAuthorizationCodeReceived = _own[issuer.Issuer].AuthenticateAsync,
            // Not earlier: the nonce is looked at after the ID token.
            OnTicketReceived = context => AdmitAsync(context, issuer),
            OnRemoteFailure = RefuseAsync,
            OnAccessDenied = context => EndAsync(context, context.Properties, "The professional cancelled the sign-in.", Errors.AccessDenied, "cancelled"),
        };
    }

    private async Task AdmitAsync(TicketReceivedContext context, ProfessionalIssuer issuer)
    {
        try
        {
            if (await ReadAsync(context.Properties).ConfigureAwait(false) is not var (app, asked, requestUri)
                || app.RequesterOf(asked.Organisation) is not { } requester || IssuerOf(app, requester) != issuer)
            {
                await EndAsync(context, context.Properties, "The app's request has ended, or its registration has changed.", Errors.AccessDenied, "refused").ConfigureAwait(false);
                return;
            }
            var (professional, refusal) = await _subjects.VouchAsync(issuer, context.Principal!, null, "ID token", context.HttpContext.RequestAborted).ConfigureAwait(false);
            if (refusal is { Error: Errors.TemporarilyUnavailable })
                await EndAsync(context, context.Properties, Unavailable, Errors.TemporarilyUnavailable, "unavailable").ConfigureAwait(false);
            else if (professional is null || professional.Until <= _time.GetUtcNow())
                await EndAsync(context, context.Properties, refusal?.Description ?? "The professional's ID token has expired.", Errors.AccessDenied, "refused").ConfigureAwait(false);
            else if (!await _apps.AnswerAsync(requestUri).ConfigureAwait(false))
                await EndAsync(context, null, "The app's request has been answered before.", Errors.AccessDenied, "refused").ConfigureAwait(false);
            else
            {
                var code = await _apps.AllowAsync(new(asked, null, professional.Acr) { Professional = professional }).ConfigureAwait(false);
                _metrics.AcceptedSignIn();
                context.Response.Redirect(PushedAuthorization.BackTo(asked, _options, (Parameters.Code, code)));
                context.HandleResponse();
            }
        }
        catch (SharedStateException)
        {
            await EndAsync(context, context.Properties, Unavailable, Errors.TemporarilyUnavailable, "unavailable").ConfigureAwait(false);
        }
    }

    private Task RefuseAsync(RemoteFailureContext context) => context.Failure switch
    {
        OpenIdConnectProtocolInvalidNonceException => EndAsync(context, context.Properties, "The professional's ID token answers another sign-in (nonce).", Errors.AccessDenied, "refused"),
        SecurityTokenInvalidAudienceException => EndAsync(context, context.Properties, "The professional's ID token was issued for another audience.", Errors.AccessDenied, "refused"),
        SecurityTokenInvalidIssuerException => EndAsync(context, context.Properties, "The professional's ID token was issued by another tenant.", Errors.AccessDenied, "refused"),
        SecurityTokenException => EndAsync(context, context.Properties, "The professional's ID token could not be verified.", Errors.AccessDenied, "refused"),
        HttpRequestException => EndAsync(context, context.Properties, Unavailable, Errors.TemporarilyUnavailable, "unavailable"),
        // Perhaps another browser than the one that was sent, with a state that it was given: the app is told nothing, and its request waits on.
        _ => EndAsync(context, null, "The professional's sign-in could not be completed.", Errors.AccessDenied, "refused"),
    };

    /// <summary>Tells the app how it ended; where its request is not known, or not any more, the browser sees a page.</summary>
    private async Task EndAsync(HandleRequestContext<RemoteAuthenticationOptions> context, AuthenticationProperties? state, string reason, string error, string end)
    {
        await _failures.RecordAsync(context.HttpContext, state?.Items[AskedClient] ?? "", reason, end).ConfigureAwait(false);
        try
        {
            if (await ReadAsync(state).ConfigureAwait(false) is not var (_, asked, requestUri))
                context.Response.Redirect(PushedAuthorization.AuthorizePath);
            else
                await LeaveAsync(context.HttpContext, asked, requestUri, error, reason).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            context.Response.Redirect(PushedAuthorization.AuthorizePath);
        }
        context.HandleResponse();
    }

    /// <summary>Ends the app's request with an error (RFC 6749 §4.1.2.1), once.</summary>
    private async Task LeaveAsync(HttpContext http, PushedRequest asked, string requestUri, string error, string description) =>
        http.Response.Redirect(await _apps.AnswerAsync(requestUri).ConfigureAwait(false)
            ? PushedAuthorization.BackTo(asked, _options, (Parameters.Error, error), (Parameters.ErrorDescription, description)) : PushedAuthorization.AuthorizePath);

    /// <returns>What the professional was sent to sign in for; null when it has ended.</returns>
    private async Task<(RegisteredClient App, PushedRequest Asked, string RequestUri)?> ReadAsync(AuthenticationProperties? state) =>
        state?.Items.TryGetValue(AskedRequest, out var requestUri) is true && requestUri is not null
            && await _apps.ArriveAsync(requestUri, state.Items[AskedClient]).ConfigureAwait(false) is { } asked && _registry.AppOf(asked) is { } app
            ? (app, asked, requestUri) : null;
}
