using System.Text;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Proposes a registration: a new client's, or another one of a known client.</summary>
internal sealed class ProposeModel(Onboarding onboarding) : OperatorPage
{
    public RegistrationForm Form { get; private set; } = RegistrationForm.Blank;

    /// <summary>Everything that is wrong with it.</summary>
    public IReadOnlyList<RegistrationFault> Faults { get; private set; } = [];

    /// <param name="client">Whose registration to begin with.</param>
    public void OnGet([FromQuery] string? client)
    {
        if (client is not null && onboarding.InForce(client) is { } known)
            Form = RegistrationForm.Of(known);
    }

    public async Task<IActionResult> OnPostAsync()
    {
        Form = RegistrationForm.Read(Request.Form);
        var (json, unwritable) = Form.Write();
        if (unwritable.Count > 0)
        {
            Faults = [.. unwritable, .. onboarding.Examine(Encoding.UTF8.GetBytes(json)).Where(fault => unwritable.All(other => other.Member != fault.Member))];
            return Rejected();
        }
        var (proposal, faults, refusal) = await onboarding.ProposeAsync(HttpContext, Who, Encoding.UTF8.GetBytes(json));
        if (proposal is not null)
            return Done("operator-proposed");
        Faults = faults;
        return Rejected(refusal);
    }
}
