using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>All that the person has declared, or a desk has recorded for her, in force or not (Act 703/2023 §58, §74), newest first; to be printed page by page.</summary>
internal sealed class HistoryModel(OwnDeclarations declarations, DenialChoices choices, PrintedDeclarations prints, TimeProvider time) : CitizenPage
{
    public sealed record Line(Declaration Declaration, PrintedDeclaration Printed);

    public IReadOnlyList<Line> Lines { get; private set; } = [];

    public Pager Pager { get; private set; } = new("", 1, 1);

    /// <summary>How many Consents there are that nobody can read; each is taken for a denial of everything.</summary>
    public int Unreadable { get; private set; }

    public async Task OnGetAsync([FromQuery(Name = "page")] int number, CancellationToken cancel)
    {
        // What has been declared is not shown to custodians (§51).
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        var state = await declarations.ReadAsync(Citizen, cancel);
        Unreadable = state.Unreadable.Count;
        (Pager, var shown) = Pager.Cut("/consent/history", number, [.. state.All.Where(d => d is Informing or DisclosurePermit or DisclosureDenial).OrderByDescending(d => d.At).ThenByDescending(d => d.Order)]);
        var named = await choices.NamingAsync(Citizen, shown.OfType<DisclosureDenial>().Select(d => d.Target), cancel);
        var now = time.GetUtcNow();
        Lines = [.. shown.Select(d => new Line(d, prints.Of(d, d is DisclosureDenial denial ? choices.Describe(denial.Target, named) : null, state.InformingOf(d), now, state.Holds(d))!))];
    }
}
