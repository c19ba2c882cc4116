using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal;

/// <summary>A page for which <see cref="OperatorOnly"/> has seen to a signed-in operator: of onboarding, where it does not name other roles.</summary>
[ForOperators(OperatorRole.Onboarding)]
internal abstract class OperatorPage : PageModel
{
    protected Operator Who => HttpContext.Features.GetRequiredFeature<OperatorFeature>().Operator;

    /// <summary>Why nothing was decided; the page says it.</summary>
    public DecisionRefusal? Refused { get; private set; }

    /// <summary>Goes to a list, which tells what was done.</summary>
    protected IActionResult Done(string notice, string address = OperatorSignIn.HomePath)
    {
        Notices.Leave(HttpContext, notice);
        return new SeeOtherResult(address);
    }

    /// <summary>The same page with what is wrong on it; nothing was changed.</summary>
    protected IActionResult Rejected(DecisionRefusal? refused = null)
    {
        Refused = refused;
        Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
        return Page();
    }
}
