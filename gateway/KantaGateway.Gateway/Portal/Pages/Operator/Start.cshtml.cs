using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Where operators sign in, and are told how that ended.</summary>
[ForOperators]
internal sealed class OperatorStartModel : PageModel
{
    /// <param name="signin">How a sign-in ended that did not succeed: refused, cancelled or unavailable.</param>
    /// <param name="signout">Present after signing out: done or failed.</param>
    public IActionResult OnGet([FromQuery] string? signin, [FromQuery] string? signout)
    {
        if (signin is null && signout is null)
            return Page();
        // Told once: a reload must not tell it again.
        Notices.Leave(HttpContext, signin switch
        {
            null => signout == "failed" ? "sign-out-failed" : "signed-out",
            "cancelled" => "sign-in-cancelled",
            "unavailable" => "sign-in-unavailable",
            _ => "operator-sign-in-failed",
        });
        return new SeeOtherResult(OperatorSignIn.StartPath);
    }
}
