using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>For whom the citizen acts, and the way to somebody else's record and back (Act 703/2023 §50).</summary>
[WithoutRecord]
internal sealed class OnBehalfModel(Representations representations) : CitizenPage
{
    public RepresentedPerson? ActsFor => HttpContext.Features.Get<ToldFeature>()?.Person;

    public string? Name => Citizen.CitizenName;

    /// <param name="acting">How a choice ended that did not succeed. Set by Identification.</param>
    public IActionResult OnGet([FromQuery] string? acting)
    {
        if (acting is not null)
            // Told once: a reload must not tell it again.
            return Done(OnBehalf.PagePath, acting switch
            {
                "refused" => "acting-refused",
                "expired" => "acting-expired",
                "cancelled" => "acting-cancelled",
                "sign-in-again" => "acting-sign-in-again",
                "too-many" => "acting-too-many",
                _ => "acting-unavailable",
            });
        // The form's answer leads the browser there.
        PortalHeaders.AllowFormTo(HttpContext, representations.Origin);
        return Page();
    }
}
