using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Denies disclosure (kielto, Act 703/2023 §58-59) of everything or of one service event.</summary>
internal sealed class DenyModel(OwnDeclarations declarations, Visits visits, IWhoSeesWhat sees, OrganisationNames names, TimeProvider time) : CitizenPage
{
    public IReadOnlyList<Visit> Choices { get; private set; } = [];

    public string? Target { get; private set; }

    public string? Event { get; private set; }

    /// <summary>OID of the public controller whose register is chosen.</summary>
    public string? Register { get; private set; }

    /// <summary>Public controllers that have joined, by OID and name: theirs are the registers that can be denied (§59.2).</summary>
    public IReadOnlyList<(string Oid, string Name)> Registers { get; } = names.OfPublicControllers();

    /// <summary>Whether the denied records may be used in an emergency.</summary>
    public bool AllowsEmergency { get; private set; }

    /// <summary>Who would see what after the chosen denial; null until it is asked for.</summary>
    public IReadOnlyList<SeenOfController>? Preview { get; private set; }

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

    /// <param name="target">all, register or event.</param>
    /// <param name="serviceEvent">OID of the visit's service event.</param>
    /// <param name="register">OID of the public controller.</param>
    /// <param name="emergency">yes: may be used in an emergency.</param>
    /// <param name="preview">Anything: only show who would see what.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync(
        [FromForm] string? target, [FromForm(Name = "event")] string? serviceEvent, [FromForm] string? register, [FromForm] string? emergency, [FromForm] string? preview, CancellationToken cancel)
    {
        if (IsCustodian)
            return Done("/consent", "custodian-no-denials");
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Informed is null)
            return Done("/consent/inform", "inform-first");
        (Target, Event, Register, AllowsEmergency) = (target, serviceEvent, register, emergency == "yes");
        Choices = await visits.ReadAsync(Citizen, cancel);
        DenialTarget? denied = null;
        if (target == "all")
            denied = new DenialTarget.All();
        else if (target == "register")
        {
            if (Registers.Any(r => r.Oid == register))
                denied = new DenialTarget.OfRegister(register!, Fhir.Grants.Register.Patient);
            else
                Problem = new("register", "deny.error.register");
        }
        else if (target != "event")
            Problem = new("target-all", "deny.error.target");
        // Only a visit of one's own: a denial of any other OID would be declared and bind nothing.
        else if (Choices.FirstOrDefault(v => v.ServiceEvent == serviceEvent) is { } chosen)
            denied = new DenialTarget.OfServiceEvent(chosen.ServiceEvent);
        else
            Problem = new("event", "deny.error.event");
        if (denied is null)
            return Rejected();
        if (preview is not null)
        {
            Preview = await sees.OfAsync(Citizen, new DisclosureDenial { At = time.GetUtcNow(), Target = denied, AllowsEmergency = AllowsEmergency }, cancel);
            return Page();
        }
        if (state.Denials.Any(d => d.Target == denied && d.AllowsEmergency == AllowsEmergency))
            return Done("/consent", "nothing-changed");
        await declarations.DenyAsync(Citizen, denied, AllowsEmergency, cancel);
        return Done("/consent", "denied");
    }
}
