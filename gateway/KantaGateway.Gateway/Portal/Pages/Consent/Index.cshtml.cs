using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>What is in force; and that the citizen has read the notice of what a desk recorded.</summary>
internal sealed class ConsentModel(OwnDeclarations declarations, DenialChoices choices, IWhoSeesWhat sees, Texts texts) : CitizenPage
{
    /// <param name="Target"><c>all</c>, a kind of <see cref="DenialChoices.Kinds"/>, or <c>other</c>.</param>
    /// <param name="Since">Null for one that nobody can read, so it cannot be withdrawn here.</param>
    /// <param name="Until">When it ends, as a desk may have recorded it; null: when it is withdrawn.</param>
    public sealed record Line(string Id, string Target, string ServiceEvent, string Title, DateTimeOffset? Since, bool AllowsEmergency, DateTimeOffset? Until = null);

    public DeclarationState State { get; private set; } = DeclarationState.None;

    public IReadOnlyList<Line> Denials { get; private set; } = [];

    /// <summary>Who sees what as things are.</summary>
    public IReadOnlyList<SeenOfController> Seen { get; private set; } = [];

    public async Task OnGetAsync(CancellationToken cancel)
    {
        // What a child has declared is not shown to custodians (§51): the page offers what they may do and states nothing.
        if (IsCustodian)
            return;
        State = await declarations.ReadAsync(Citizen, cancel);
        var named = await choices.NamingAsync(Citizen, State.Denials.Select(d => d.Target), cancel);
        Seen = await sees.OfAsync(Citizen, null, cancel);
        Denials =
        [
            .. State.Denials.Select(d => new Line(
                d.Id, DenialChoices.KindOf(d.Target), d.Target is DenialTarget.OfServiceEvent(var oid) ? oid : "", choices.Describe(d.Target, named), d.At, d.AllowsEmergency, d.Until)),
            .. State.Unreadable.Select(id => new Line(id, "other", "", texts["consent.denial.other"], null, false)),
        ];
    }

    /// <param name="id">FHIR id of the Consent that a desk recorded.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] Guid id, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        if ((await declarations.ReadAsync(Citizen, cancel)).NewAtDesks.FirstOrDefault(d => d.Id == id.ToString("D")) is not { } recorded)
            return Done("/consent", "nothing-changed");
        await declarations.AcknowledgeAsync(Citizen, recorded, cancel);
        return Done("/consent", "recorded-acknowledged");
    }
}
