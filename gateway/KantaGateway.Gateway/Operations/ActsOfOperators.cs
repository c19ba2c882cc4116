using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>The acts of <see cref="OperatorActs"/>, for the operators' pages.</summary>
internal sealed class ActsOfOperators(GatewayOptions options, Approvals approvals, IServiceProvider services) : IOperatorActs
{
    private readonly TimeSpan _wait = TimeSpan.FromDays(options.Identification.Operators!.ErasureWaitDays);

    public async Task<(bool IsUnderstood, DecisionRefusal? Refusal)> ProposeAsync(HttpContext context, Operator who, ApprovalKind kind, string subject, string content)
    {
        var proposed = await OperatorActs.ProposeAsync(context.RequestServices, context, who, new(OperatorActs.NameOf(kind), subject, content, null), options.Identification.TestIdentityCodes);
        return (proposed.Problem is null, proposed.Refusal);
    }

    public async Task<DecisionRefusal?> ApproveAsync(HttpContext context, Operator who, string id, string digest) => await OperatorActs.ApproveAsync(context.RequestServices, context, who, id, digest, _wait);

    public async Task<DecisionRefusal?> RejectAsync(HttpContext context, Operator who, string id, string digest) => await OperatorActs.RejectAsync(context.RequestServices, context, who, id, digest);

    public async Task<DecisionRefusal?> CarryOutAsync(HttpContext context, Operator who, string id, string digest)
    {
        if (approvals.Current.Proposals.GetValueOrDefault(id) is not { Kind: ApprovalKind.BreachLetters } letters)
            return await OperatorActs.CarryOutAsync(context.RequestServices, context, who, id, digest);
        var (written, refusal) = await OperatorNotices.WriteLettersAsync(context.RequestServices, context, who, OperatorActs.NumberOf(letters.Subject), id, digest);
        return written is null ? refusal ?? DecisionRefusal.ChangedMeanwhile : null;
    }

    public DraftedNotices? DraftNotices(byte[] list) => OperatorNotices.Draft(services, options, list);

    public async Task<SentNotices> SendNoticesAsync(HttpContext context, Operator who, long number, byte[] list)
    {
        var digest = OperatorNotices.DigestOf(list);
        // A list that broke off is sent again by the same approval.
        var act = approvals.Current.Proposals.Values.Where(one => one is { Kind: ApprovalKind.BreachNotices, Status: ProposalStatus.Approved or ProposalStatus.CarriedOut } && OperatorActs.NumberOf(one.Subject) == number
            && OperatorNotices.FilesIn(one.Content)?.Contains(digest) is true).MaxBy(static one => one.At);
        return act is null ? new(0, 0, DecisionRefusal.NotApproved) : await OperatorNotices.SendAsync(context.RequestServices, context, who, options, number, list, act.Id, act.Digest);
    }

    public async Task<KeyProgress?> ProgressAsync(CancellationToken cancel)
    {
        try
        {
            var progress = await OperatorActs.ProgressAsync(services, cancel);
            return new(Of(progress), Of(progress["people"]!));
        }
        catch (FaultException)
        {
            return null;
        }
    }

    private static WorkDone Of(JsonNode node) => node.Deserialize<WorkDone>(JsonSerializerOptions.Web)!;
}
