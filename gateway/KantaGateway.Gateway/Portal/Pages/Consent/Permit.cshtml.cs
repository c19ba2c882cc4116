using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Gives the disclosure permission (luovutuslupa, Act 703/2023 §54), which has to rest on the informing now in force (§58).</summary>
internal sealed class PermitModel(OwnDeclarations declarations, IWhoSeesWhat sees, TimeProvider time) : CitizenPage
{
    /// <summary>The very permission that could be given is in force; one that ends by itself is another.</summary>
    public bool Already { get; private set; }

    /// <summary>When the one in force ends; null: there is none that does.</summary>
    public DateTimeOffset? Until { get; private set; }

    /// <summary>Who would see what with the permission; null for custodians, who are not shown what is denied, and where it is given already.</summary>
    public IReadOnlyList<SeenOfController>? Preview { get; private set; }

    /// <inheritdoc cref="DeclarationState.HasJoint"/>
    public bool HasJoint => declarations.HasJoint;

    public async Task<IActionResult> OnGetAsync(CancellationToken cancel)
    {
        if (IsCustodian)
            return Page();
        var state = await declarations.ReadAsync(Citizen, cancel);
        (Already, Until) = (state.Permission is { Until: null }, state.Permission?.Until);
        if (state.Informed is null)
            return Done("/consent/inform", "inform-first");
        if (!Already)
            Preview = await sees.OfAsync(Citizen, new DisclosurePermit { At = time.GetUtcNow() }, cancel);
        return Page();
    }

    public async Task<IActionResult> OnPostAsync([FromForm] string? permit, CancellationToken cancel)
    {
        if (IsCustodian)
            return await PermitForChildAsync(permit, cancel);
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Informed is null)
            return Done("/consent/inform", "inform-first");
        if (permit != "yes")
            return Rejected();
        if (state.Permission is { Until: null })
            return Done("/consent", "nothing-changed");
        await declarations.PermitAsync(Citizen, cancel);
        return Done("/consent", "permitted");
    }

    /// <summary>A custodian is not shown what the child has declared: whether it rests on informing the decision alone knows.</summary>
    private async Task<IActionResult> PermitForChildAsync(string? permit, CancellationToken cancel)
    {
        if (permit != "yes")
            return Rejected();
        try
        {
            await declarations.PermitAsync(Citizen, cancel);
        }
        catch (RefusedException refused) when (refused.Status == StatusCodes.Status403Forbidden)
        {
            return Done("/consent/inform", "inform-first");
        }
        return Done("/consent", "permitted");
    }
}
