using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The start page: sign-in, or what a signed-in citizen can do.</summary>
[OpenToAll]
internal sealed class IndexModel(Inbox inbox, SpecialAccesses accesses, DenialChoices choices, PrintedDeclarations prints, AccessEvents events, TimeProvider time) : PageModel
{
    /// <summary>Events of others, and messages, that are named here at most; all have their pages.</summary>
    private const int MostLately = 3, MostNews = 3;

    public bool IsSignedIn { get; private set; }

    /// <summary>Null while nobody is signed in, or it is <see cref="IsAway"/>.</summary>
    public DeclarationState? State { get; private set; }

    /// <summary>The record cannot be asked, or not all of it: what is not of it is shown all the same.</summary>
    public bool IsAway { get; private set; }

    /// <summary>Messages that the citizen has not read.</summary>
    public int New { get; private set; }

    /// <summary>The newest of them that have no place of their own on this page.</summary>
    public IReadOnlyList<Message> News { get; private set; } = [];

    /// <summary>The last events of others, newest first; null: the log cannot be opened now.</summary>
    public IReadOnlyList<AccessEvent>? Lately { get; private set; }

    /// <summary>There are older entries in the log than were looked at.</summary>
    public bool HasOlder { get; private set; }

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
            (IsSignedIn, Name) = (true, citizen.CitizenName);
            IsCustodian = citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian };
            await ReadAsync(citizen, cancel);
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
        var content = await inbox.ReadAsync(citizen, cancel);
        (State, BreachNotices, IsAway) = (content.State, content.Notices, content.State is null);
        if (!IsCustodian)
        {
            if (State is not null)
                await TellAsync(citizen, State, cancel);
            New = content.Messages.Count(static one => one.IsNew);
            News = [.. content.Messages.Where(one => one.IsNew && (one.Kind is MessageKind.Review or MessageKind.Dispute or MessageKind.Rectification || (one.Kind is MessageKind.Recorded && Recorded.Count == 0))).Take(MostNews)];
            await LookBackAsync(citizen, cancel);
        }
        if (IsAway)
            Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
    }

    private async Task TellAsync(Requester citizen, DeclarationState state, CancellationToken cancel)
    {
        try
        {
            Emergencies = await accesses.TellAsync(citizen, [.. state.Accesses.Where(a => a.IsNew)], cancel);
            var named = await choices.NamingAsync(citizen, state.NewAtDesks.OfType<DisclosureDenial>().Select(d => d.Target), cancel);
            var now = time.GetUtcNow();
            Recorded = [.. state.NewAtDesks.Select(d => prints.Of(d, d is DisclosureDenial denial ? choices.Describe(denial.Target, named) : null, null, now, state.Holds(d))).OfType<PrintedDeclaration>()];
        }
        catch (Exception failure) when (Inbox.IsOutage(failure))
        {
            IsAway = true;
        }
    }

    private async Task LookBackAsync(Requester citizen, CancellationToken cancel)
    {
        try
        {
            (Lately, HasOlder) = await events.LatelyAsync(citizen, MostLately, cancel);
        }
        catch (Exception failure) when (Inbox.IsOutage(failure))
        {
            // Null says so.
        }
    }
}
