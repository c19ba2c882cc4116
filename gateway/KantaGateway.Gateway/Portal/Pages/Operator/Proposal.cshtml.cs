using System.Text;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>What is proposed, beside what is in force, and the second person's answer. The form names the digest of what the page shows.</summary>
internal sealed class ProposalModel(Onboarding onboarding) : OperatorPage
{
    public Proposal? Proposal { get; private set; }

    public string After { get; private set; } = "";

    /// <summary>Null when there is no such client yet.</summary>
    public string? Now { get; private set; }

    public IActionResult OnGet(string id) => Show(id) ? Page() : NotFound();

    public async Task<IActionResult> OnPostAsync(string id, [FromForm] string? digest, [FromForm] string? answer)
    {
        if (digest is null || answer is not ("approve" or "reject"))
            return BadRequest();
        var refusal = answer == "approve" ? await onboarding.ApproveAsync(HttpContext, Who, id, digest) : await onboarding.RejectAsync(HttpContext, Who, id, digest);
        if (refusal is null)
            return Done(answer == "approve" ? "operator-approved" : "operator-rejected");
        return Show(id) ? Rejected(refusal) : NotFound();
    }

    private bool Show(string id)
    {
        Proposal = onboarding.Find(id);
        if (Proposal is null || ClientDirectory.ReadOne(Encoding.UTF8.GetBytes(Proposal.Content), isTest: true).Registration is not { } proposed)
            return false;
        After = ClientDirectory.Present(proposed);
        Now = onboarding.InForce(Proposal.Subject) is { } known ? ClientDirectory.Present(known) : null;
        return true;
    }
}
