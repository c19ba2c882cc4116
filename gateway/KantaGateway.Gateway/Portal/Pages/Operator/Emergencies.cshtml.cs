using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// How the review of emergencies stands (Act 703/2023 §54.2; EHDS Art. 11(5)): how many may wait, and whose bars two operators have ended. Of no person: what was recorded and settled stands in the records, and is reviewed by those who treat.
/// </summary>
[ForOperators(OperatorRole.DataProtection)]
internal sealed class OperatorEmergenciesModel(EmergencyTrail trail, Approvals approvals, TimeProvider time) : OperatorPage
{
    public const string Address = "/operator/emergencies";

    public int Waiting { get; private set; }

    public int Overdue { get; private set; }

    /// <summary>Whose emergencies before a time bar from nobody, latest first.</summary>
    public IReadOnlyList<(string Subject, DateTimeOffset Before)> Ended { get; private set; } = [];

    /// <summary>Ends of bars that wait for a second person.</summary>
    public IReadOnlyList<Proposal> Open { get; private set; } = [];

    public void OnGet()
    {
        var (state, now) = (approvals.Current, time.GetUtcNow());
        (Waiting, Overdue) = trail.Count();
        Ended = [.. state.EmergencyBarEnds.Select(static one => (one.Key, one.Value)).OrderByDescending(static one => one.Value)];
        Open = [.. state.Proposals.Values.Where(one => one.Kind == ApprovalKind.EmergencyBarEnd && one.Status == ProposalStatus.Open && one.Until > now).OrderBy(static one => one.At)];
    }
}
