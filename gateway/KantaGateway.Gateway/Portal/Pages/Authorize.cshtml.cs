using System.Diagnostics.CodeAnalysis;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// An app asks the citizen for her own records (SMART App Launch, standalone): who asks, for what and how long, and her answer. Of her answer nothing is
/// kept but its entry in the log, and that the app may read, for as long as it may (<see cref="AppsOfPerson"/>). A professional is sent on to sign in at the clinic.
/// </summary>
[OpenToAll]
internal sealed class AuthorizeModel(AppAuthorizations authorizations, AppGrants grants, AttemptLimits limits, IdentificationMetrics metrics, ClientRegistry registry, ClinicSignIn clinics, PortalSessions sessions, DisclosureAudit audit, IdentifierCipher ids, GatewayOptions options, Texts texts, TimeProvider time) : PageModel
{
    /// <summary>Null when there is nothing to answer.</summary>
    public PushedRequest? Asked { get; private set; }

    public string RequestUri { get; private set; } = "";

    public string App { get; private set; } = "";

    public string Vendor { get; private set; } = "";

    /// <summary>Whose records they are: on a device of several people it may be another than she thinks.</summary>
    public string? Name => HttpContext.Features.Get<IRequesterFeature>()?.Requester.CitizenName;

    /// <summary>From when on she may answer: what she has ended a moment ago would end with it what she allows now. Null: now.</summary>
    public DateTimeOffset? NotBefore { get; private set; }

    /// <summary>How long the app may go on, in words.</summary>
    public string HowLong => Asked!.Access switch
    {
        AppGrants.OfflineAccess => texts["authorize.means.offline", AppGrants.OfflineLife.Days, Dates.Day(time.GetUtcNow() + AppGrants.OfflineLife)],
        AppGrants.OnlineAccess => texts["authorize.means.online"],
        _ => texts["authorize.means"],
    };

    /// <summary>Kinds of entries, in words.</summary>
    public IEnumerable<string> What => Asked!.Scopes.Select(scope => ConnectedApps.Word(texts, scope)).Distinct();

    public async Task<IActionResult> OnGetAsync([FromQuery(Name = "client_id")] string? client, [FromQuery(Name = "request_uri")] string? request)
    {
        if (limits.WaitForRequests(HttpContext) is { } wait)
        {
            _ = AttemptLimits.Refuse(HttpContext, wait);
            return PlainRefusals.Page(StatusCodes.Status429TooManyRequests, HttpContext);
        }
        var app = await ReadAsync(client, request);
        if (app is { Registration.Kind: ClientKind.ClinicApp })
        {
            await clinics.BeginAsync(HttpContext, app, Asked!, RequestUri);
            return new EmptyResult();
        }
        if (PortalSessions.AreAway(HttpContext))
            return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, HttpContext);
        if (ActsForAnother(out var first))
            return first;
        if (app is null)
            return await NothingAsync();
        if (HttpContext.Features.Get<IRequesterFeature>()?.Requester.Self is { } self)
            NotBefore = await FreeFromAsync(self, app);
        // Back to here once she is identified.
        return HttpContext.Features.Get<IRequesterFeature>() is null
            ? new SeeOtherResult("/signin?back=" + Uri.EscapeDataString($"{PushedAuthorization.AuthorizePath}?client_id={Uri.EscapeDataString(client!)}&request_uri={Uri.EscapeDataString(request!)}"))
            : Page();
    }

    public async Task<IActionResult> OnPostAsync([FromForm(Name = "client_id")] string? client, [FromForm(Name = "request_uri")] string? request, [FromForm] string? answer)
    {
        if (HttpContext.Features.Get<IRequesterFeature>()?.Requester is not { Self: { } self } citizen)
        {
            Notices.Leave(HttpContext, "sign-in-first");
            return new SeeOtherResult("/");
        }
        if (ActsForAnother(out var first))
            return first;
        // A citizen answers for herself, and not in the place of a clinic's professional.
        if (await ReadAsync(client, request) is not { Registration.Kind: ClientKind.App } app || answer is not ("allow" or "deny"))
            return await NothingAsync();
        if (answer == "allow" && (NotBefore = await FreeFromAsync(self, app)) is not null)
        {
            Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
            return Page();
        }
        if (!await authorizations.AnswerAsync(RequestUri))
            return await NothingAsync();
        var asked = Asked!;
        // No entry, no code.
        await audit.AnswerAsync(HttpContext, citizen, self, app, asked.Access is { } access ? [.. asked.Scopes, access] : asked.Scopes, isAllowed: answer == "allow");
        if (answer == "deny")
        {
            metrics.RefusedAnswer("denied");
            return new SeeOtherResult(PushedAuthorization.BackTo(asked, options, ("error", "access_denied")));
        }
        var code = await authorizations.AllowAsync(new(asked, ids.PatientId(self), citizen.Acr) { Session = sessions.DigestBroughtBy(HttpContext) });
        metrics.AcceptedAnswer();
        return new SeeOtherResult(PushedAuthorization.BackTo(asked, options, ("code", code)));
    }

    /// <summary>An app is let at one's own records only, and the page says whose they are: who acts for another comes back as herself.</summary>
    private bool ActsForAnother([NotNullWhen(true)] out IActionResult? first)
    {
        first = null;
        if (HttpContext.Features.Get<IRequesterFeature>()?.Requester.OnBehalfOf is null)
            return false;
        Notices.Leave(HttpContext, "acting-own-only");
        first = new SeeOtherResult(OnBehalf.PagePath);
        return true;
    }

    private async Task<DateTimeOffset?> FreeFromAsync(Pseudonym self, RegisteredClient app) =>
        await grants.FreeFromAsync(self, app.ClientId) is { } from && from > time.GetUtcNow() ? from : null;

    /// <returns>The app that asks; null when there is nothing to answer.</returns>
    private async Task<RegisteredClient?> ReadAsync(string? client, string? request)
    {
        Asked = await authorizations.ArriveAsync(request, client);
        if (Asked is null || registry.AppOf(Asked) is not { } known)
        {
            Asked = null;
            return null;
        }
        RequestUri = request!;
        Vendor = known.Registration.OrganisationName;
        App = known.AppName ?? Vendor;
        // The answer leads the browser there, and it holds the redirect after a form to this list.
        PortalHeaders.AllowFormTo(HttpContext, new Uri(Asked.RedirectUri).GetLeftPart(UriPartial.Authority));
        return known;
    }

    private async Task<PageResult> NothingAsync()
    {
        await limits.StrayedAsync(HttpContext);
        metrics.RefusedAnswer("none");
        Asked = null;
        Response.StatusCode = StatusCodes.Status400BadRequest;
        return Page();
    }
}
