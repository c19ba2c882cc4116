using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Who and what is let in nowhere: one operator of any role contains at once, two of data protection end it.</summary>
[ForOperators(OperatorRole.Onboarding, OperatorRole.DataProtection, OperatorRole.Keys)]
internal sealed class OperatorContainedModel(ContainmentActs acts) : OperatorPage
{
    public const string Address = "/operator/contained";

    public IReadOnlyList<Containment> Contained { get; private set; } = [];

    /// <summary>Ends that wait for a second person.</summary>
    public IReadOnlyList<Proposal> Ends { get; private set; } = [];

    public bool MayEnd => Who.Roles.Contains(OperatorRole.DataProtection);

    /// <summary>How somebody or something is named.</summary>
    public string Forms => acts.Forms;

    public FormProblem? Problem { get; private set; }

    /// <summary>As they were typed.</summary>
    public string? Subject { get; private set; }

    /// <inheritdoc cref="Subject"/>
    public string? Reason { get; private set; }

    public void OnGet() => Read();

    public async Task<IActionResult> OnPostAsync([FromForm] string? subject, [FromForm] string? reason)
    {
        (Subject, Reason) = (subject, reason);
        if (!IsReason(reason, "reason"))
            return Refuse(null);
        var (isNamed, refusal) = subject is { Length: > 0 and <= ContainmentActs.LongestSubject } ? await acts.ContainAsync(HttpContext, Who, subject.Trim(), reason!) : (false, null);
        if (isNamed)
            return refusal is { } why ? Refuse(why) : Done("operator-contained", Address);
        Problem = new("subject", "operator.contained.error.subject");
        return Refuse(null);
    }

    /// <summary>Proposes that a containment ends.</summary>
    public async Task<IActionResult> OnPostEndAsync([FromForm] string? subject, [FromForm] string? reason)
    {
        if (!IsReason(reason, "contained"))
            return Refuse(null);
        var (isContained, refusal) = await acts.ProposeEndAsync(HttpContext, Who, subject ?? "", reason!);
        return !isContained ? Done("nothing-changed", Address) : refusal is { } why ? Refuse(why) : Done("operator-end-proposed", Address);
    }

    /// <summary>The second person's answer.</summary>
    public async Task<IActionResult> OnPostAnswerAsync([FromForm] string? id, [FromForm] string? digest, [FromForm] string? answer)
    {
        if (id is null || digest is null || answer is not ("approve" or "reject"))
            return BadRequest();
        var refusal = answer == "approve" ? await acts.ApproveEndAsync(HttpContext, Who, id, digest) : await acts.RejectEndAsync(HttpContext, Who, id, digest);
        return refusal is { } why ? Refuse(why) : Done(answer == "approve" ? "operator-end-approved" : "operator-end-rejected", Address);
    }

    // It is kept in the log of decisions, and shown to other operators.
    private bool IsReason(string? text, string field)
    {
        Problem = text is not { Length: > 0 and <= ContainmentActs.LongestReason } ? new(field, "operator.contained.error.reason")
            : OutboundMessage.HoldsIdentityCode(text) ? new(field, "operator.contained.error.code") : null;
        return Problem is null;
    }

    private IActionResult Refuse(DecisionRefusal? refusal)
    {
        Read();
        return Rejected(refusal);
    }

    private void Read() => (Contained, Ends) = acts.List();
}
