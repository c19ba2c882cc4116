using System.Globalization;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>The citizen's way to another person's record and back. How it ended stands in <c>?acting=</c> for the portal to tell.</summary>
internal static class OnBehalf
{
    /// <summary>The portal's page from which she sets out.</summary>
    public const string PagePath = "/on-behalf";

    public const string ChoosePath = "/on-behalf/choose";
    public const string SelfPath = "/on-behalf/self";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(ChoosePath, ChooseAsync);
        endpoints.MapGet(EAuthorizations.CallbackPath, static async (HttpContext context, string? code, string? state) =>
            await TryAsync(context, async (citizen, representations) => await representations.CompleteAsync(context, citizen, code, state).ConfigureAwait(false) switch
            {
                ChoiceEnd.Begun => "/?acting=begun",
                ChoiceEnd.Refused => PagePath + "?acting=refused",
                ChoiceEnd.Expired => PagePath + "?acting=expired",
                ChoiceEnd.Cancelled => PagePath + "?acting=cancelled",
                _ => Unavailable,
            }).ConfigureAwait(false));
        endpoints.MapPost(SelfPath, static async context => await TryAsync(context, static async (citizen, representations) =>
        {
            await representations.EndAsync(citizen).ConfigureAwait(false);
            return "/?acting=over";
        }).ConfigureAwait(false));
    }

    private const string Unavailable = PagePath + "?acting=unavailable";

    private static Task ChooseAsync(HttpContext context) => TryAsync(context, async (citizen, representations) =>
    {
        // Each asks the service something, so they are limited as sign-ins are; only those of a session, for any page could else use them up.
        if (await context.RequestServices.GetRequiredService<AttemptLimits>().SignInAsync(context).ConfigureAwait(false) is { } wait)
        {
            _ = AttemptLimits.Refuse(context, wait);
            return PagePath + "?acting=too-many";
        }
        // Of a session that began before there was such a service nothing is kept.
        if (context.RequestServices.GetRequiredService<PortalSessions>().OwnCodeOf(context) is not { } self)
            return PagePath + "?acting=sign-in-again";
        var language = CultureInfo.CurrentUICulture.TwoLetterISOLanguageName;
        return await representations.BeginAsync(context, citizen, self, language is "sv" or "en" ? language : "fi").ConfigureAwait(false) ?? Unavailable;
    });

    private static async Task TryAsync(HttpContext context, Func<Requester, Representations, Task<string>> act)
    {
        // The cookie is not sent with a cross-site POST; this says so plainly.
        if (HttpMethods.IsPost(context.Request.Method) && context.Request.Headers["Sec-Fetch-Site"] is [{ } site] && site is not ("same-origin" or "none"))
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            return;
        }
        if (PortalSessions.AreAway(context))
        {
            Lead(context, Unavailable);
            return;
        }
        if (context.RequestServices.GetRequiredService<IIdentification>().PortalRequester(context) is not { } citizen)
        {
            Lead(context, "/?acting=sign-in-first");
            return;
        }
        try
        {
            Lead(context, await act(citizen, context.RequestServices.GetRequiredService<Representations>()).ConfigureAwait(false));
        }
        catch (Exception outage) when (outage is SharedStateException or FaultException)
        {
            Lead(context, Unavailable);
        }
    }

    private static void Lead(HttpContext context, string address)
    {
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = address;
        context.Response.Headers.CacheControl = "no-store";
    }
}
