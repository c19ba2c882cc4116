using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Gives the disclosure permission (luovutuslupa, Act 703/2023 §54), which has to rest on the informing now in force (§58).</summary>
internal sealed class PermitModel(OwnDeclarations declarations) : CitizenPage
{
    public bool Already { get; private set; }

    public async Task<IActionResult> OnGetAsync(CancellationToken cancel)
    {
        var state = await declarations.ReadAsync(Citizen, cancel);
        Already = state.Permission is not null;
        return state.Informed is null ? Done("/consent/inform", "inform-first") : Page();
    }

    public async Task<IActionResult> OnPostAsync([FromForm] string? permit, CancellationToken cancel)
    {
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Informed is null)
            return Done("/consent/inform", "inform-first");
        if (permit != "yes")
            return Rejected();
        if (state.Permission is not null)
            return Done("/consent", "nothing-changed");
        await declarations.PermitAsync(Citizen, cancel);
        return Done("/consent", "permitted");
    }
}
