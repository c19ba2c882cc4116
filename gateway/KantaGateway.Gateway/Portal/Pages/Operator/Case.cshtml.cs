using System.Globalization;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>One breach case: what was seen, its clocks and its journal, which is written here; its notices and letters; and its end, which two decide.</summary>
[ForOperators(OperatorRole.DataProtection)]
internal sealed class OperatorCaseModel(BreachCases cases, CaseWork work, IOperatorActs acts, Approvals approvals, GatewayOptions options, TimeProvider time, BreachNotices? notices = null) : OperatorActsPage(acts)
{
    /// <summary>What the authorities are told, as <c>/operator/breach-cases/{n}/authority</c> has it.</summary>
    public static readonly IReadOnlyList<string> Forms = ["early-warning", "data-protection", "incident-notification", "final-report"];

    public ShownCase Case { get; private set; } = null!;

    public ShownActs Shown { get; private set; } = null!;

    /// <summary>Null: this gateway sends none.</summary>
    public NoticeCount? Sent { get; private set; }

    public FormProblem? Problem { get; private set; }

    /// <summary>As it was filled in.</summary>
    public StepForm Step { get; private set; } = new(null, null, null, null);

    /// <inheritdoc cref="Step"/>
    public ActForm Act { get; private set; } = new(null, null);

    /// <summary>Of this page.</summary>
    public string Address => AddressOf(Case.About.Number);

    public static string AddressOf(long number) => string.Create(CultureInfo.InvariantCulture, $"{OperatorCasesModel.Address}/{number}");

    public IActionResult OnGet(long number) => Read(number) ? Page() : NotFound();

    /// <summary>Writes a line of the journal.</summary>
    public async Task<IActionResult> OnPostAsync(long number, [FromForm] StepForm step)
    {
        if (!Read(number))
            return NotFound();
        Step = step;
        // No names of others than those that the form has, nor numbers.
        if (!CaseWork.Steps.Any(kind => kind.ToString() == step.Kind) || !Enum.TryParse<BreachStepKind>(step.Kind, out var of))
            Problem = new("kind", "operator.step.error.kind");
        else
            switch (await work.AddStepAsync(HttpContext, Who, number, of, Blank(step.To), Blank(step.Reference), Blank(step.Note)))
            {
                case ({ }, _):
                    return Done("operator-step", Address);
                case (_, CaseFault.Sent):
                    Problem = new("to", "operator.step.error.sent");
                    break;
                case (_, CaseFault.IdentityCode):
                    Problem = new("note", "operator.contained.error.code");
                    break;
                default:
                    Problem = new("note", "operator.step.error.note");
                    break;
            }
        return Rejected();
    }

    /// <summary>Proposes the end of the case, or its letters.</summary>
    public async Task<IActionResult> OnPostActAsync(long number, [FromForm] ActForm act)
    {
        if (!Read(number))
            return NotFound();
        Act = act;
        var kind = act.What == "letters" && Sent is not null ? ApprovalKind.BreachLetters : act.What == "end" ? ApprovalKind.BreachCaseEnd : (ApprovalKind?)null;
        if (kind is null)
            return BadRequest();
        Problem = act.Content is not { Length: > 0 and <= CaseWork.LongestText } ? new("finding", "operator.case.error.content")
            : OutboundMessage.HoldsIdentityCode(act.Content) ? new("finding", "operator.contained.error.code") : null;
        if (Problem is not null)
            return Rejected();
        var (isUnderstood, refusal) = await Decisions.ProposeAsync(HttpContext, Who, kind.Value, number.ToString(CultureInfo.InvariantCulture), act.Content!);
        // What is not understood here is a case that has ended meanwhile.
        return !isUnderstood ? Rejected(DecisionRefusal.ChangedMeanwhile) : refusal is { } why ? Rejected(why) : Done("operator-act-proposed", Address);
    }

    /// <summary>The second person's answer, or the carrying out.</summary>
    public async Task<IActionResult> OnPostAnswerAsync(long number, [FromForm] string? id, [FromForm] string? digest, [FromForm] string? answer)
    {
        if (!Read(number) || (approvals.Current.Proposals.GetValueOrDefault(id ?? "") is { } act && !IsOfCase(act)))
            return NotFound();
        if (await StepAsync(id, digest, answer) is not (var notice, var refusal))
            return BadRequest();
        if (refusal is null)
            return Done(notice, Address);
        Read(number);
        return Rejected(refusal);
    }

    // An empty field of a form is one that was not filled in.
    private static string? Blank(string? text) => string.IsNullOrWhiteSpace(text) ? null : text.Trim();

    private bool IsOfCase(Proposal act) => act.Kind is ApprovalKind.BreachCaseEnd or ApprovalKind.BreachLetters or ApprovalKind.BreachNotices or ApprovalKind.BreachScope && act.Subject == NameOfCase;

    /// <summary>As acts about it are kept: by its number, and by a name that it has among the cases of all gateways.</summary>
    private string NameOfCase => string.Create(CultureInfo.InvariantCulture, $"{Case.About.Number}/{cases.NameOf(Case.About.Number).AsSpan(0, 16)}");

    private bool Read(long number)
    {
        if (cases.Find(number) is not { } one)
            return false;
        var now = time.GetUtcNow();
        Case = ShownCase.Of(one, cases, options.Breach!, now);
        Shown = ShownActs.Of(approvals.Current, now, IsOfCase, Address, mayDecide: true);
        Sent = notices?.CountOf(number);
        return true;
    }
}

/// <summary>A line of the journal.</summary>
/// <param name="Kind">Name of a <see cref="BreachStepKind"/>.</param>
internal sealed record StepForm(string? Kind, string? To, string? Reference, string? Note);

/// <summary>What two are to decide.</summary>
/// <param name="What"><c>end</c> or <c>letters</c>.</param>
/// <param name="Content">The finding, or why letters are due.</param>
internal sealed record ActForm(string? What, string? Content);
