using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The accesses that the citizen disputes, what became of each, and the way back.</summary>
internal sealed class DisputesModel(Disputes disputes, OrganisationNames names) : CitizenPage
{
    public const string Address = "/access-log/disputes";

    /// <summary>Newest first.</summary>
    public IReadOnlyList<(Dispute Dispute, string Organisation)> Disputed { get; private set; } = [];

    public async Task OnGetAsync(CancellationToken cancel)
    {
        // Like the rest of the log (Act 703/2023 §51).
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        Disputed = [.. (await disputes.ListAsync(Citizen, cancel)).Select(one => (one, names.Of(one.Restriction.Organisation)))];
    }

    /// <param name="id">FHIR id of the Consent.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] Guid id, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        return Done(Address, await disputes.TakeBackAsync(Citizen, id.ToString("D"), cancel) ? "dispute-taken-back" : "nothing-changed");
    }
}
