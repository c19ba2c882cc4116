using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal;

/// <summary>A page for which <see cref="OperatorOnly"/> has seen to a signed-in operator.</summary>
[ForOperators]
internal abstract class OperatorPage : PageModel
{
    protected Operator Who => HttpContext.Features.GetRequiredFeature<OperatorFeature>().Operator;

    /// <summary>Why nothing was decided; the page says it.</summary>
    public DecisionRefusal? Refused { get; private set; }

    /// <summary>Goes to the list, which tells what was done.</summary>
    protected IActionResult Done(string notice)
    {
        Notices.Leave(HttpContext, notice);
        return new SeeOtherResult(OperatorSignIn.HomePath);
    }

    /// <summary>The same page with what is wrong on it; nothing was changed.</summary>
    protected IActionResult Rejected(DecisionRefusal? refused = null)
    {
        Refused = refused;
        Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
        return Page();
    }
}
