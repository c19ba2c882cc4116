using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Denies disclosure (kielto, Act 703/2023 §58-59): of everything, a public or an occupational register, one service event, one prescription.</summary>
internal sealed class DenyModel(OwnDeclarations declarations, DenialChoices choices, IWhoSeesWhat sees, TimeProvider time) : CitizenPage
{
    /// <summary>Visits or prescriptions that the form lists: what a page can carry and a person look through. An older one is denied from its own page.</summary>
    private const int MostListed = 100;

    /// <summary>What is chosen of each kind, as the form sent it.</summary>
    private readonly Dictionary<string, string?> _chosen = [];

    public IReadOnlyList<DenialChoice> Choices { get; private set; } = [];

    /// <summary><c>all</c>, or a kind of <see cref="DenialChoices.Kinds"/>.</summary>
    public string? Target { get; private set; }

    /// <summary>Whether the denied records may be used in an emergency.</summary>
    public bool AllowsEmergency { get; private set; }

    /// <summary>Who would see what after the chosen denial; null until it is asked for.</summary>
    public IReadOnlyList<SeenOfController>? Preview { get; private set; }

    public FormProblem? Problem { get; private set; }

    /// <summary>What can be chosen of a kind.</summary>
    public IReadOnlyList<DenialChoice> Of(string kind) => [.. Choices.Where(c => c.Kind == kind)];

    /// <summary>Those of them that the form lists: of visits and prescriptions the newest, and what is chosen.</summary>
    public IReadOnlyList<DenialChoice> Listed(string kind)
    {
        var (all, chosen) = (Of(kind), Chosen(kind));
        return kind is DenialChoices.Visit or DenialChoices.Prescription ? [.. all.Where((choice, i) => i < MostListed || choice == chosen)] : all;
    }

    /// <summary>What is chosen of a kind; null: nothing that there is.</summary>
    public DenialChoice? Chosen(string kind) => Choices.FirstOrDefault(c => c.Kind == kind && c.Value == _chosen.GetValueOrDefault(kind));

    /// <param name="visit">FHIR id of a visit to choose beforehand. Not the service event's OID: an address stays in the browser's history.</param>
    /// <param name="prescription">Likewise of a prescription.</param>
    public async Task<IActionResult> OnGetAsync([FromQuery] Guid? visit, [FromQuery] Guid? prescription, CancellationToken cancel)
    {
        if (await OpenAsync(cancel) is (_, { } instead))
            return instead;
        if ((visit ?? prescription)?.ToString("D") is { } id && Choices.FirstOrDefault(c => c.Entry == id && c.Kind == (visit is null ? DenialChoices.Prescription : DenialChoices.Visit)) is { } chosen)
            (Target, _chosen[chosen.Kind]) = (chosen.Kind, chosen.Value);
        return Page();
    }

    /// <param name="target">all, register, occupational, event or prescription.</param>
    /// <param name="register">OID of the public controller.</param>
    /// <param name="occupational">The occupational register, as the form has it.</param>
    /// <param name="serviceEvent">OID of the visit's service event.</param>
    /// <param name="prescription">FHIR id of the MedicationRequest.</param>
    /// <param name="emergency">yes: may be used in an emergency.</param>
    /// <param name="preview">Anything: only show who would see what.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] string? target, [FromForm] string? register, [FromForm] string? occupational, [FromForm(Name = "event")] string? serviceEvent,
        [FromForm] string? prescription, [FromForm] string? emergency, [FromForm] string? preview, CancellationToken cancel)
    {
        var (state, instead) = await OpenAsync(cancel);
        if (instead is not null)
            return instead;
        (Target, AllowsEmergency) = (target, emergency == "yes");
        foreach (var (kind, value) in (ReadOnlySpan<(string, string?)>)[(DenialChoices.PublicRegister, register), (DenialChoices.OccupationalRegister, occupational), (DenialChoices.Visit, serviceEvent), (DenialChoices.Prescription, prescription)])
            _chosen[kind] = value;
        // Only what is one's own: a denial of anything else would be declared and bind nothing.
        var denied = target == "all" ? new DenialTarget.All() : target is null ? null : Chosen(target)?.Target;
        if (denied is null)
        {
            Problem = target is not null && Of(target).Count > 0 ? new(target, $"deny.error.{target}") : new("target-all", "deny.error.target");
            return Rejected();
        }
        if (preview is not null)
        {
            Preview = await sees.OfAsync(Citizen, new DisclosureDenial { At = time.GetUtcNow(), Target = denied, AllowsEmergency = AllowsEmergency }, cancel);
            return Page();
        }
        // What is declared here ends when it is withdrawn: one that a desk recorded with an end is not the same.
        if (state.Denials.Any(d => d.Target == denied && d.AllowsEmergency == AllowsEmergency && d.Until is null))
            return Done("/consent", "nothing-changed");
        await declarations.DenyAsync(Citizen, denied, AllowsEmergency, choices.Describe(denied, Choices), cancel);
        return Done("/consent", "denied");
    }

    /// <returns>What is in force; and where the page is not for this citizen now, where to instead.</returns>
    private async Task<(DeclarationState State, IActionResult? Instead)> OpenAsync(CancellationToken cancel)
    {
        if (IsCustodian)
            return (DeclarationState.None, Done("/consent", "custodian-no-denials"));
        var state = await declarations.ReadAsync(Citizen, cancel);
        if (state.Informed is null)
            return (state, Done("/consent/inform", "inform-first"));
        Choices = await choices.ReadAsync(Citizen, cancel);
        return (state, null);
    }
}
