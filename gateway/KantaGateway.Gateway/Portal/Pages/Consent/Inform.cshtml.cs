using KantaGateway.Gateway.Consent;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The informing text (informointi, Act 703/2023 §68) and the citizen's confirmation of it.</summary>
internal sealed class InformModel(OwnDeclarations declarations) : CitizenPage
{
    public string TextVersion => Informing.CurrentTextVersion;

    public FormProblem? Problem { get; private set; }

    public void OnGet() { }

    public async Task<IActionResult> OnPostAsync([FromForm] string? version, [FromForm] string? informed, CancellationToken cancel)
    {
        Problem = version != TextVersion ? new("informed", "inform.error.version")
            : informed != "yes" ? new("informed", "inform.error.box")
            : null;
        if (Problem is not null)
            return Rejected();
        // What a child has declared is not shown to custodians, so it is not known here.
        if (!IsCustodian && (await declarations.ReadAsync(Citizen, cancel)).Informed is not null)
            return Done("/consent", "nothing-changed");
        await declarations.InformedAsync(Citizen, cancel);
        return Done("/consent", "informed");
    }
}
