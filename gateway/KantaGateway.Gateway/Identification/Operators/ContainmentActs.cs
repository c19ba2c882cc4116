using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>Operators let somebody or something in nowhere: one at once, whatever her role, and two end it. In force on every gateway with the answer.</summary>
internal sealed class ContainmentActs(Approvals approvals, Onboarding onboarding, Containments contained, Revocations revocations, TimeProvider time)
{
    public const int LongestSubject = 160, LongestReason = 2_000;

    private const string Client = "client/";

    /// <summary>Who and what is contained, longest first, and the ends that wait for a second person, oldest first.</summary>
    public (IReadOnlyList<Containment> Contained, IReadOnlyList<Proposal> Ends) List()
    {
        var (state, now) = (approvals.Current, time.GetUtcNow());
        return ([.. state.Contained.Values.OrderBy(static one => one.At)],
            [.. state.Proposals.Values.Where(one => IsEnd(one) && one.Status == ProposalStatus.Open && one.Until > now).OrderBy(static one => one.At)]);
    }

    /// <summary>Contains one. A client is suspended: it comes back by a registration that two approve.</summary>
    /// <param name="subject">As <see cref="ContainedSubject.TryParse"/> reads it, or <c>client/[client_id]</c>.</param>
    /// <returns>Whether the text names somebody or something at all, and why it was not done; null: it is.</returns>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    /// <exception cref="SharedStateException">It is kept, but may not be in force everywhere yet: do it again.</exception>
    public async ValueTask<(bool IsNamed, DecisionRefusal? Refusal)> ContainAsync(HttpContext context, Operator who, string subject, string reason)
    {
        if (subject.StartsWith(Client, StringComparison.Ordinal))
            return (true, await onboarding.SuspendAsync(context, who, subject[Client.Length..]).ConfigureAwait(false));
        if (!TryParse(subject, out var named))
            return (false, null);
        await approvals.ContainAsync(context, who, named, reason).ConfigureAwait(false);
        // The decision is kept, and known everywhere within half a second. By this it is in force with the answer, and what goes on is broken off.
        await revocations.RevokeAsync(RevokedName.Contained(named), time.GetUtcNow() + Approvals.Told, CancellationToken.None).ConfigureAwait(false);
        return (true, null);
    }

    /// <summary>Whether a text names what can be contained here.</summary>
    public bool TryParse(string text, out ContainedSubject subject) => ContainedSubject.TryParse(text, contained.IsNational, out subject);

    /// <summary>How it is named, in plain words.</summary>
    public string Forms => "The subject is organisation/[OID], certificate/[SHA-256 of the certificate], professional/"
        + (contained.IsNational ? "[number in the role register]" : "[OID of the organisation]/[number there]") + ", citizen/Patient/[id] or client/[client_id].";

    /// <summary>Proposes the end of a containment.</summary>
    /// <param name="finding">Why it may end.</param>
    /// <returns>Whether it is contained, and why its end was not proposed; null: it is.</returns>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public async ValueTask<(bool IsContained, DecisionRefusal? Refusal)> ProposeEndAsync(HttpContext context, Operator who, string subject, string finding) =>
        TryParse(subject, out var named) && approvals.Current.Contained.ContainsKey(named.Text)
            ? (true, (await approvals.ProposeAsync(context, who, ApprovalKind.ContainmentEnd, named.Text, null, finding).ConfigureAwait(false)).Refusal) : (false, null);

    /// <summary>Approves of an end, which is in force then.</summary>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public ValueTask<DecisionRefusal?> ApproveEndAsync(HttpContext context, Operator who, string id, string digest) => approvals.ApproveAsync(context, who, id, digest, IsEnd);

    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public ValueTask<DecisionRefusal?> RejectEndAsync(HttpContext context, Operator who, string id, string digest) => approvals.RejectAsync(context, who, id, digest, IsEnd);

    private static bool IsEnd(Proposal proposal) => proposal.Kind == ApprovalKind.ContainmentEnd;
}
