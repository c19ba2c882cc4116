using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>One breach case: what was seen, its clocks and its journal.</summary>
[ForOperators(OperatorRole.DataProtection)]
internal sealed class OperatorCaseModel(BreachCases cases, GatewayOptions options, TimeProvider time) : OperatorPage
{
    public ShownCase Case { get; private set; } = null!;

    public IActionResult OnGet(long number)
    {
        if (cases.Find(number) is not { } one)
            return NotFound();
        Case = ShownCase.Of(one, cases, options.Breach!, time.GetUtcNow());
        return Page();
    }
}
