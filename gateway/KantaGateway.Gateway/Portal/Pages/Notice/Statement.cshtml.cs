using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>A statement to print and sign, filled in as far as the notice says. The identity code is for the pen: the portal does not know it.</summary>
internal sealed class NoticeStatementModel(BreachNotices notices, EntryLines lines) : NoticePage(notices)
{
    public BreachNotice Notice { get; private set; } = null!;

    public VictimAction Action { get; private set; } = null!;

    public string? Name { get; private set; }

    /// <summary>Kinds of what was taken, in words. No more of it than whom it is sent to needs.</summary>
    public string Kinds { get; private set; } = "";

    public string Line => "______________________________";

    public IActionResult OnGet(string id, string what) => Guarded(() =>
    {
        if (Sent.Find(Person, id) is not { Notice: var notice } || VictimHelp.Find(what) is not { HasStatement: true } action)
            throw new RefusedException(StatusCodes.Status404NotFound);
        (Notice, Action, Name) = (notice, action, Citizen.OnBehalfOf?.Name ?? Citizen.CitizenName);
        Kinds = notice.Items.Count == 0 ? "–" : lines.Kinds(notice.Items.Select(static item => item.Type));
        return Page();
    });
}
