using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal;

/// <summary>Acts that wait for a second person, or for being carried out, as a page shows them.</summary>
/// <param name="All">Oldest first.</param>
/// <param name="Address">Of the page, which decides them.</param>
/// <param name="MayDecide">Whether the operator has the role for them.</param>
internal sealed record ShownActs(IReadOnlyList<Proposal> All, string Address, bool MayDecide)
{
    /// <param name="isHere">Which acts the page is about.</param>
    public static ShownActs Of(DecisionState state, DateTimeOffset now, Func<Proposal, bool> isHere, string address, bool mayDecide) =>
        new([.. state.Proposals.Values.Where(one => isHere(one) && one.Until > now && (one.Status is ProposalStatus.Open or ProposalStatus.Approved || IsRepeatable(one))).OrderBy(static one => one.At)], address, mayDecide);

    /// <summary>Whether it may have stopped on its way, and is carried out again by the same approval: the key service holds a ceremony once.</summary>
    public static bool IsRepeatable(Proposal act) => act is { Kind: ApprovalKind.KeyCeremony, Status: ProposalStatus.CarriedOut };

    /// <summary>Whether the page can carry it out. Notices need their list, and the scope of a breach is a file: they have addresses of their own.</summary>
    public static bool CanCarryOut(Proposal act) => (act.Status == ProposalStatus.Approved && act.Kind is not (ApprovalKind.BreachNotices or ApprovalKind.BreachScope)) || IsRepeatable(act);
}

/// <summary>A page on which acts are proposed, decided by a second person, and carried out.</summary>
internal abstract class OperatorActsPage(IOperatorActs acts) : OperatorPage
{
    protected IOperatorActs Decisions => acts;

    /// <summary>Takes a step about an act.</summary>
    /// <param name="answer"><c>approve</c>, <c>reject</c> or <c>carry-out</c>.</param>
    /// <returns>Null: it is no such step.</returns>
    protected async Task<(string Notice, DecisionRefusal? Refusal)?> StepAsync(string? id, string? digest, string? answer) => id is null || digest is null ? null : answer switch
    {
        "approve" => ("operator-act-approved", await acts.ApproveAsync(HttpContext, Who, id, digest)),
        "reject" => ("operator-act-rejected", await acts.RejectAsync(HttpContext, Who, id, digest)),
        "carry-out" => ("operator-act-done", await acts.CarryOutAsync(HttpContext, Who, id, digest)),
        _ => null,
    };
}
