using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>What the citizen has asked controllers to rectify, by when each is answered, the answers (GDPR Art. 12, 16), and the way back.</summary>
internal sealed class RectificationsModel(Rectifications rectifications, OrganisationNames names, EntryLines lines) : CitizenPage
{
    public const string Address = "/records/rectifications";

    /// <summary>Newest first.</summary>
    public IReadOnlyList<(RectificationRequest Request, string State, string Organisation, string Kind)> Asked { get; private set; } = [];

    public async Task OnGetAsync(CancellationToken cancel)
    {
        // What a minor able to decide has asked is the minor's (Act 703/2023 §51).
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        Asked = [.. (await rectifications.ListAsync(Citizen, cancel)).Select(one => (one, rectifications.StateOf(one), names.Of(one.Asked.Controller), lines.Reader.TypeName(one.Entry.Split('/')[0])))];
    }

    /// <param name="id">FHIR id of the Communication.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] Guid id, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        return Done(Address, await rectifications.WithdrawAsync(Citizen, id.ToString("D"), cancel) ? "rectification-withdrawn" : "nothing-changed");
    }
}
