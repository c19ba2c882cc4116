using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal;

/// <summary>A page for which <see cref="CitizenOnly"/> has seen to a signed-in citizen.</summary>
internal abstract class CitizenPage : PageModel
{
    protected Requester Citizen => HttpContext.Features.GetRequiredFeature<IRequesterFeature>().Requester;

    /// <summary>Goes to another page, which tells what was done.</summary>
    protected IActionResult Done(string address, string notice)
    {
        Notices.Leave(HttpContext, notice);
        return new SeeOtherResult(address);
    }

    /// <summary>The same page with what is wrong on it; nothing was changed.</summary>
    protected IActionResult Rejected()
    {
        Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
        return Page();
    }
}
