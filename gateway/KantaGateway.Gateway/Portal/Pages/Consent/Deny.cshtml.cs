using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Denies disclosure (kielto, Act 703/2023 §58-59) of everything or of one service event.</summary>
internal sealed class DenyModel(OwnDeclarations declarations, Visits visits) : CitizenPage
{
    public IReadOnlyList<Visit> Choices { get; private set; } = [];

    public string? Target { get; private set; }

    public string? Event { get; private set; }

    public FormProblem? Problem { get; private set; }

    /// <param name="visit">FHIR id of a visit to choose beforehand. Not the service event's OID: an address stays in the browser's history.</param>
    public async Task<IActionResult> OnGetAsync([FromQuery] Guid? visit, CancellationToken cancel)
    {
        if (IsCustodian)
            return Done("/consent", "custodian-no-denials");
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Informed is null)
            return Done("/consent/inform", "inform-first");
        Choices = await visits.ReadAsync(Citizen, cancel);
        if (visit is { } id && Choices.FirstOrDefault(v => v.Id == id.ToString("D")) is { } chosen)
            (Target, Event) = ("event", chosen.ServiceEvent);
        return Page();
    }

    public async Task<IActionResult> OnPostAsync([FromForm] string? target, [FromForm(Name = "event")] string? serviceEvent, CancellationToken cancel)
    {
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Informed is null)
            return Done("/consent/inform", "inform-first");
        (Target, Event) = (target, serviceEvent);
        Choices = await visits.ReadAsync(Citizen, cancel);
        DenialTarget? denied = null;
        if (target == "all")
            denied = new DenialTarget.All();
        else if (target != "event")
            Problem = new("target-all", "deny.error.target");
        // Only a visit of one's own: a denial of any other OID would be declared and bind nothing.
        else if (Choices.FirstOrDefault(v => v.ServiceEvent == serviceEvent) is { } chosen)
            denied = new DenialTarget.OfServiceEvent(chosen.ServiceEvent);
        else
            Problem = new("event", "deny.error.event");
        if (denied is null)
            return Rejected();
        if (state.Denials.Any(d => d.Target == denied))
            return Done("/consent", "nothing-changed");
        await declarations.DenyAsync(Citizen, denied, cancel);
        return Done("/consent", "denied");
    }
}
