using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The apps that may read the citizen's own record, and the end of what one of them was given.</summary>
internal sealed class AppsModel(ConnectedApps apps) : CitizenPage
{
    public const string Address = "/apps";

    /// <summary>By name.</summary>
    public IReadOnlyList<ConnectedApp> Apps { get; private set; } = [];

    public async Task<IActionResult> OnGetAsync(CancellationToken cancel)
    {
        if (Own is not { } self)
            return Done(OnBehalf.PagePath, "apps-own-only");
        Apps = await apps.OfAsync(Citizen, self, cancel);
        return Page();
    }

    /// <param name="client">Client id of the app.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] string? client)
    {
        if (Own is not { } self)
            return Done(OnBehalf.PagePath, "apps-own-only");
        return Done(Address, client is { Length: > 0 } && await apps.EndAsync(HttpContext, Citizen, self, client) ? "app-ended" : "nothing-changed");
    }

    /// <summary>Null while she acts for another: an app is let at one's own record only.</summary>
    private Pseudonym? Own => Citizen.OnBehalfOf is null ? Citizen.Self : null;
}
