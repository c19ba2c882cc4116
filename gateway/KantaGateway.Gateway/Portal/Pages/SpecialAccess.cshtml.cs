using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// Every emergency and every confirmation about the citizen, and how emergencies were settled (Act 703/2023 §26.2, §54.2; EHDS Art. 9, 11(5)); and that the citizen has
/// read the notice of one.
/// </summary>
internal sealed class SpecialAccessModel(OwnDeclarations declarations, SpecialAccesses accesses) : CitizenPage
{
    public const string Address = "/access-log/special";

    /// <summary>Newest first.</summary>
    public IReadOnlyList<SpecialAccess> Accesses { get; private set; } = [];

    public async Task OnGetAsync(CancellationToken cancel)
    {
        // Like the rest of the log (§51).
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        Accesses = await accesses.TellAsync(Citizen, (await declarations.ReadAsync(Citizen, cancel)).Accesses, cancel);
    }

    /// <param name="id">FHIR id of the emergency's Consent.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] Guid id, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Accesses.FirstOrDefault(a => a.IsNew && a.Record.Id == id.ToString("D"))?.Record is not EmergencyAccess emergency)
            return Done(Address, "nothing-changed");
        await declarations.AcknowledgeAsync(Citizen, emergency, cancel);
        return Done(Address, "acknowledged");
    }
}
