using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>A page about a notice of a breach: the person's own. What was taken of a child may be what the child does not show its custodians (Act 703/2023 §51), so they are told by letter.</summary>
internal abstract class NoticePage(BreachNotices sent) : CitizenPage
{
    protected BreachNotices Sent => sent;

    /// <summary>Whose notices they are.</summary>
    /// <exception cref="RefusedException">A custodian asks.</exception>
    protected Pseudonym Person => IsCustodian ? throw new RefusedException(StatusCodes.Status403Forbidden)
        : Citizen.Person ?? throw new InvalidOperationException("A citizen's session names no person.");

    /// <summary>The page, or that it cannot be told now: no notice is called absent because a disk is.</summary>
    protected IActionResult Guarded(Func<IActionResult> answer)
    {
        try
        {
            return answer();
        }
        catch (IOException)
        {
            return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, HttpContext);
        }
    }

    /// <inheritdoc cref="Guarded"/>
    protected async Task<IActionResult> GuardedAsync(Func<Task<IActionResult>> answer)
    {
        try
        {
            return await answer();
        }
        catch (IOException)
        {
            return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, HttpContext);
        }
    }
}
