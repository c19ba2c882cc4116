using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// Withdraws the permission or a denial (Act 703/2023 §58), after saying what follows. A custodian withdraws the permission without being shown whether there is one.
/// </summary>
internal sealed class WithdrawModel(OwnDeclarations declarations, DenialChoices choices, IWhoSeesWhat sees) : CitizenPage
{
    public string Id { get; private set; } = "";

    public bool IsPermit { get; private set; }

    /// <summary>The denial in words.</summary>
    public string What { get; private set; } = "";

    /// <summary>Key of the text that says what follows.</summary>
    public string Effect { get; private set; } = "";

    /// <summary>Who would see what afterwards.</summary>
    public IReadOnlyList<SeenOfController>? Preview { get; private set; }

    /// <inheritdoc cref="DeclarationState.HasJoint"/>
    public bool HasJoint => declarations.HasJoint;

    /// <param name="id">FHIR id of the Consent; null: a custodian means the permission.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnGetAsync([FromQuery] Guid? id, CancellationToken cancel)
    {
        if (IsCustodian)
        {
            (IsPermit, Effect) = (true, "withdraw.permit.child");
            return id is null ? Page() : Done("/consent", "custodian-no-denials");
        }
        var (state, declaration) = await FindAsync(id, cancel);
        if (declaration is null)
            return Done("/consent", "nothing-changed");
        Id = declaration.Id;
        IsPermit = declaration is DisclosurePermit;
        What = await DescribeAsync(declaration, cancel) ?? "";
        Effect = IsPermit ? "withdraw.permit.text" : state.Permission is null ? "withdraw.denial.text.nopermit" : "withdraw.denial.text.permit";
        try
        {
            Preview = await sees.OfAsync(Citizen, declaration with { IsActive = false, ByCustodian = false, RecordedBy = null, IsSpeakerUnclear = false }, cancel);
        }
        catch (FaultException fault) when (fault.Fault.Kind == FaultKind.VersionConflict)
        {
            return Done("/consent", "declared-since");
        }
        return Page();
    }

    /// <inheritdoc cref="OnGetAsync"/>
    public async Task<IActionResult> OnPostAsync([FromForm] Guid? id, CancellationToken cancel)
    {
        if (IsCustodian)
        {
            if (id is not null)
                return Done("/consent", "custodian-no-denials");
            await declarations.WithdrawPermissionAsync(Citizen, cancel);
            return Done("/consent", "child-permit-withdrawn");
        }
        var (_, declaration) = await FindAsync(id, cancel);
        if (declaration is null)
            return Done("/consent", "nothing-changed");
        try
        {
            await declarations.WithdrawAsync(Citizen, declaration, await DescribeAsync(declaration, cancel), cancel);
        }
        catch (RefusedException refused) when (refused.Status == StatusCodes.Status412PreconditionFailed)
        {
            // In another window, or at a desk: what is in force now has not been seen.
            return Done("/consent", "declared-since");
        }
        return Done("/consent", declaration is DisclosurePermit ? "permit-withdrawn" : "denial-withdrawn");
    }

    private async Task<string?> DescribeAsync(Declaration declaration, CancellationToken cancel) =>
        declaration is DisclosureDenial denial ? choices.Describe(denial.Target, await choices.NamingAsync(Citizen, [denial.Target], cancel)) : null;

    /// <summary>The permission or denial in force with that id. The informing is no choice and is not withdrawn.</summary>
    private async Task<(DeclarationState State, Declaration? Declaration)> FindAsync(Guid? id, CancellationToken cancel)
    {
        var state = await declarations.ReadAsync(Citizen, cancel);
        var text = id?.ToString("D");
        return (state, state.Permission?.Id == text ? state.Permission : state.Denials.FirstOrDefault(d => d.Id == text));
    }
}
