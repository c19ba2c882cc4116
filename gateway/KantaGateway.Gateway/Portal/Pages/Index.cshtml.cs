using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The start page: sign-in, or what a signed-in citizen can do.</summary>
[OpenToAll]
internal sealed class IndexModel(OwnDeclarations declarations, SpecialAccesses accesses, DenialChoices choices, PrintedDeclarations prints, TimeProvider time) : PageModel
{
    /// <summary>Null while nobody is signed in, or it is <see cref="IsAway"/>.</summary>
    public DeclarationState? State { get; private set; }

    /// <summary>The record cannot be asked: a notice of a breach is shown without it.</summary>
    public bool IsAway { get; private set; }

    /// <summary>Emergencies whose notice the citizen has not acknowledged, newest first.</summary>
    public IReadOnlyList<SpecialAccess> Emergencies { get; private set; } = [];

    /// <summary>What desks have recorded for the citizen and the citizen has not acknowledged, newest first.</summary>
    public IReadOnlyList<PrintedDeclaration> Recorded { get; private set; } = [];

    /// <summary>Notices of breaches that the citizen was sent, newest first; null: it cannot be told now.</summary>
    public IReadOnlyList<NoticeStanding>? BreachNotices { get; private set; } = [];

    public string? Name { get; private set; }

    public bool IsCustodian { get; private set; }

    /// <param name="signin">How a sign-in ended that did not succeed: refused, cancelled or unavailable. Set by Identification.</param>
    /// <param name="acting">How the way to another person's record, or back, ended: begun, over or sign-in-first. Set by Identification.</param>
    /// <param name="signout">Present after signing out: done, failed when it could not be seen to everywhere, or sign-in-first when it was not known whose sessions to end.</param>
    public async Task<IActionResult> OnGetAsync([FromQuery] string? signin, [FromQuery] string? signout, [FromQuery] string? acting, CancellationToken cancel)
    {
        var requester = HttpContext.Features.Get<IRequesterFeature>()?.Requester;
        if (acting is not null)
        {
            // A link from anywhere may say so.
            if (Told(acting, requester) is { } code)
                Notices.Leave(HttpContext, code);
            return new SeeOtherResult("/");
        }
        if (signout is "done" && requester is not null)
            return new SeeOtherResult("/");
        if (signin is not null || signout is not null)
        {
            // Told once: a reload must not tell it again.
            Notices.Leave(HttpContext, signin switch
            {
                null => signout switch { "failed" => "sign-out-failed", "sign-in-first" => "sign-out-needs-sign-in", _ => "signed-out" },
                "cancelled" => "sign-in-cancelled",
                "unavailable" => "sign-in-unavailable",
                _ => "sign-in-failed",
            });
            return new SeeOtherResult("/");
        }
        if (PortalSessions.AreAway(HttpContext))
            return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, HttpContext);
        if (requester is { } citizen)
        {
            Name = citizen.CitizenName;
            IsCustodian = citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian };
            if (!IsCustodian)
                BreachNotices = NoticesOf(citizen);
            try
            {
                await ReadAsync(citizen, cancel);
            }
            catch (Exception failure) when (BreachNotices is { Count: > 0 } && IsOutage(failure))
            {
                (State, IsAway, Response.StatusCode) = (null, true, StatusCodes.Status503ServiceUnavailable);
            }
        }
        else if (Request.Cookies.ContainsKey(PortalSessions.CookieName))
        {
            // Its session is over; without the cookie the next look at this page is that of a stranger.
            Response.Cookies.Delete(PortalSessions.CookieName, new() { Secure = true, HttpOnly = true, Path = "/" });
            Notices.Leave(HttpContext, "session-ended");
            return new SeeOtherResult("/");
        }
        return Page();
    }

    /// <summary>What is told of the way to another person's record; null where it is not so.</summary>
    private static string? Told(string acting, Requester? requester) => (acting, requester) switch
    {
        ("begun", { OnBehalfOf: not null }) => "acting",
        ("over", { OnBehalfOf: null }) => "acting-over",
        ("begun" or "over", not null) => null,
        _ => "sign-in-first",
    };

    private async Task ReadAsync(Requester citizen, CancellationToken cancel)
    {
        State = await declarations.ReadAsync(citizen, cancel);
        if (IsCustodian)
            return;
        Emergencies = await accesses.TellAsync(citizen, [.. State.Accesses.Where(a => a.IsNew)], cancel);
        var named = await choices.NamingAsync(citizen, State.NewAtDesks.OfType<DisclosureDenial>().Select(d => d.Target), cancel);
        var now = time.GetUtcNow();
        Recorded = [.. State.NewAtDesks.Select(d => prints.Of(d, d is DisclosureDenial denial ? choices.Describe(denial.Target, named) : null, null, now, State.Holds(d))).OfType<PrintedDeclaration>()];
    }

    private static bool IsOutage(Exception failure) => failure switch
    {
        FaultException fault => FaultTable.Of(fault.Fault.Kind).Status >= StatusCodes.Status500InternalServerError,
        RefusedException refused => refused.Status >= StatusCodes.Status500InternalServerError,
        _ => failure is SharedStateException,
    };

    private IReadOnlyList<NoticeStanding>? NoticesOf(Requester citizen)
    {
        try
        {
            return HttpContext.RequestServices.GetService<BreachNotices>()?.Of(citizen.Person!.Value) ?? [];
        }
        catch (IOException)
        {
            return null;
        }
    }
}
