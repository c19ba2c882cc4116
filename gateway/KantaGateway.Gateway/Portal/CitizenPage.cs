using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal;

/// <summary>A page for which <see cref="CitizenOnly"/> has seen to a signed-in citizen.</summary>
internal abstract class CitizenPage : PageModel
{
    /// <summary>Whether she acts as custodian of a minor: then some of the page is the minor's alone (Act 703/2023 §51).</summary>
    public bool IsCustodian => Citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian };

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
