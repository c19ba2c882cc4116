using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>What the citizen has asked controllers to rectify, by when each is answered, and the answers (GDPR Art. 12, 16).</summary>
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
}
