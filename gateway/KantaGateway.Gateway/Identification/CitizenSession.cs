using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Options;

namespace KantaGateway.Gateway.Identification;

/// <summary>Beginning and end of a citizen's session.</summary>
internal static class CitizenSession
{
    /// <summary>Where the broker posts its logout tokens.</summary>
    public const string BackChannelPath = "/signout-ftn";

    /// <summary>There is no page yet that could be shown in one language.</summary>
    private const string TooManySignIns = """
        Tästä verkosta on aloitettu liian monta kirjautumista. Yritä uudelleen minuutin kuluttua.
        För många inloggningar har påbörjats från detta nätverk. Försök igen om en minut.
        Too many sign-ins have begun from this network. Try again in a minute.
        """;

    private const string SignedOut = "/?signout=done";
    private const string SignOutFailed = "/?signout=failed";

    /// <summary>It is not known whose sessions to end.</summary>
    private const string SignInFirst = "/?signout=sign-in-first";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet("/signin", static async (HttpContext context, CitizenSignIn citizens, AttemptLimits limits, string? back, string? level) =>
        {
            if (!Navigation.IsTop(context.Request))
            {
                context.Response.StatusCode = StatusCodes.Status403Forbidden;
                return;
            }
            if (await limits.SignInAsync(context).ConfigureAwait(false) is { } wait)
            {
                _ = AttemptLimits.Refuse(context, wait);
                context.Response.StatusCode = StatusCodes.Status429TooManyRequests;
                context.Response.ContentType = "text/plain; charset=utf-8";
                await context.Response.WriteAsync(TooManySignIns, context.RequestAborted).ConfigureAwait(false);
                return;
            }
            var target = LocalPath.IsLocal(back) ? back! : "/";
            if (citizens.LevelOf(level) is not { } acr)
            {
                context.Response.StatusCode = StatusCodes.Status400BadRequest;
                return;
            }
            try
            {
                await context.ChallengeAsync(CitizenSignIn.Scheme, CitizenSignIn.Ask(acr, target)).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is InvalidOperationException or HttpRequestException or IOException && !context.Response.HasStarted)
            {
                // The broker's metadata could not be read.
                context.Response.Redirect("/?signin=unavailable");
            }
        });
        endpoints.MapPost("/signout", static context => SignOutAsync(context, everywhere: false));
        endpoints.MapPost("/signout/everywhere", static context => SignOutAsync(context, everywhere: true));
        endpoints.MapPost(BackChannelPath, EndFromBrokerAsync);
    }

    private static async Task SignOutAsync(HttpContext context, bool everywhere)
    {
        // The cookie is not sent with a cross-site POST, so nobody else can end a session; this says so plainly.
        if (context.Request.Headers["Sec-Fetch-Site"] is [{ } site] && site is not ("same-origin" or "none"))
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            return;
        }
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        if (PortalSessions.AreAway(context))
        {
            context.Response.Headers.Location = SignOutFailed;
            return;
        }
        try
        {
            var session = context.Features.Get<IAuthenticateResultFeature>()?.AuthenticateResult?.Properties;
            var self = PortalSessions.SelfOf(context.User);
            if (everywhere && self is not null)
            {
                await context.RequestServices.GetRequiredService<SessionEnds>().EndAsync(self.Value, context.RequestAborted).ConfigureAwait(false);
                await context.RequestServices.GetRequiredService<AppGrants>().EndAllAsync(self.Value, context.RequestAborted).ConfigureAwait(false);
            }
            if (context.RequestServices.GetService<Representations>() is { } representations && context.RequestServices.GetRequiredService<IIdentification>().PortalRequester(context) is { } citizen)
                await representations.EndAsync(citizen).ConfigureAwait(false);
            await context.SignOutAsync(PortalSessions.Scheme).ConfigureAwait(false);
            // Whatever a browser has kept in spite of no-store. Not cookies: one tells the next page that she has signed out.
            context.Response.Headers["Clear-Site-Data"] = "\"cache\", \"storage\"";
            context.Response.Headers.Location = everywhere && self is null ? SignInFirst : session is null ? SignedOut : await LeaveBrokerAsync(context, session).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            // Never said to be done when it is not.
            context.Response.Headers.Location = SignOutFailed;
        }
    }

    /// <summary>OpenID Connect RP-Initiated Logout 1.0: the broker's own session is ended by the broker, where it offers that.</summary>
    /// <remarks>Without <c>id_token_hint</c>: an ID token says who somebody is, and this stands in an address. <c>logout_hint</c> names the broker's session.</remarks>
    private static async Task<string> LeaveBrokerAsync(HttpContext context, AuthenticationProperties session)
    {
        var options = context.RequestServices.GetRequiredService<GatewayOptions>();
        string? end;
        try
        {
            var oidc = context.RequestServices.GetRequiredService<IOptionsMonitor<OpenIdConnectOptions>>().Get(CitizenSignIn.Scheme);
            end = (await oidc.ConfigurationManager!.GetConfigurationAsync(context.RequestAborted).ConfigureAwait(false)).EndSessionEndpoint;
        }
        catch (Exception failure) when (failure is InvalidOperationException or HttpRequestException or IOException)
        {
            // Out of reach: here the session is over, and that is told.
            return SignedOut;
        }
        if (!CitizenSignIn.IsOfBroker(end, options))
            return SignedOut;
        var asked = new Dictionary<string, string?>
        {
            ["client_id"] = options.Identification.Citizens.ClientId,
            ["post_logout_redirect_uri"] = options.PublicAddress + SignedOut,
            ["logout_hint"] = SessionEnds.BrokerSessionOf(session),
        };
        return QueryHelpers.AddQueryString(end!, asked);
    }

    /// <summary>OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8.</summary>
    private static async Task EndFromBrokerAsync(HttpContext context)
    {
        var services = context.RequestServices;
        var limits = services.GetRequiredService<AttemptLimits>();
        if (limits.Wait(context) is { } wait)
        {
            _ = AttemptLimits.Refuse(context, wait);
            context.Response.StatusCode = StatusCodes.Status429TooManyRequests;
            return;
        }
        string? problem = "Send logout_token.";
        try
        {
            // Read before, by ConnectForms.
            if (context.Request.Form["logout_token"] is [{ Length: > 0 } token])
                problem = await services.GetRequiredService<LogoutTokens>().HeedAsync(token, context.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception outage) when (outage is SharedStateException or InvalidOperationException or HttpRequestException or IOException)
        {
            // The broker tries again, or knows that the session may go on.
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.RetryAfter = "5";
            return;
        }
        if (problem is null)
            return;
        await services.GetRequiredService<IIdentificationObserver>()
            .RefusedAsync(context, services.GetRequiredService<GatewayOptions>().Identification.Citizens.ClientId, problem, context.RequestAborted).ConfigureAwait(false);
        await limits.FailedAsync(context).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status400BadRequest;
        await context.Response.WriteAsJsonAsync(new { error = "invalid_request", error_description = problem }, context.RequestAborted).ConfigureAwait(false);
    }
}
