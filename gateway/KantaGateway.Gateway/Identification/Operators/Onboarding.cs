using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// Clients are onboarded, and their registrations changed, by two operators; one is enough to suspend a client. In force at this gateway with
/// the answer, at the others within a second.
/// </summary>
internal sealed class Onboarding(Approvals approvals, ClientRegistry registry, Revocations revocations, GatewayOptions options, TimeProvider time)
{
    /// <summary>Most bytes of a proposed registration.</summary>
    public const int LongestRegistration = 64 * 1024;

    /// <summary>All clients, and what waits for a second person, oldest first.</summary>
    public (IReadOnlyList<RegisteredClient> Clients, IReadOnlyList<Proposal> Open) List()
    {
        var now = time.GetUtcNow();
        var open = approvals.Current.Proposals.Values.Where(one => IsOfClients(one) && one.Status == ProposalStatus.Open && one.Until > now).OrderBy(static one => one.At);
        return ([.. registry.Current.All], [.. open]);
    }

    /// <summary>Null when there is no such proposal of a registration.</summary>
    public Proposal? Find(string id) => approvals.Current.Proposals.GetValueOrDefault(id) is { } proposal && IsOfClients(proposal) ? proposal : null;

    /// <summary>The registration that is in force; null when there is none.</summary>
    public ClientRegistration? InForce(string clientId) => registry.Current.Find(clientId)?.Registration;

    /// <summary>What is wrong with a registration, without proposing it.</summary>
    public IReadOnlyList<RegistrationFault> Examine(ReadOnlySpan<byte> json) => ClientDirectory.ReadOne(json, options.Identification.TestIdentityCodes).Faults;

    /// <summary>Proposes a registration: of a client that is new, or in the place of the one that a known client has.</summary>
    /// <returns>One of the three.</returns>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public async ValueTask<(Proposal? Proposal, IReadOnlyList<RegistrationFault> Faults, DecisionRefusal? Refusal)> ProposeAsync(HttpContext context, Operator who, ReadOnlyMemory<byte> json)
    {
        if (json.Length > LongestRegistration)
            return (null, [new("", "", RegistrationRule.Length, $"The registration has more than {LongestRegistration} bytes.")], null);
        var (registration, faults) = ClientDirectory.ReadOne(json.Span, options.Identification.TestIdentityCodes);
        if (registration is null)
            return (null, faults, null);
        if (registration.Status != ClientStatus.Active)
            return (null, [new("", "status", RegistrationRule.Status, "status: a registration is proposed as active; a client is suspended at once and without a proposal")], null);
        var (proposal, refusal) = await approvals.ProposeAsync(context, who,
            InForce(registration.ClientId) is null ? ApprovalKind.Onboarding : ApprovalKind.ScopeWidening,
            registration.ClientId, DigestInForce(registration.ClientId), ClientDirectory.WriteOne(registration)).ConfigureAwait(false);
        return (proposal, [], refusal);
    }

    /// <param name="digest">Of the proposal as the approver has seen it.</param>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public ValueTask<DecisionRefusal?> ApproveAsync(HttpContext context, Operator who, string id, string digest) =>
        approvals.ApproveAsync(context, who, id, digest, IsOfClients, proposal => DigestInForce(proposal.Subject) == proposal.Replaces ? null : DecisionRefusal.ChangedMeanwhile);

    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public ValueTask<DecisionRefusal?> RejectAsync(HttpContext context, Operator who, string id, string digest) =>
        approvals.RejectAsync(context, who, id, digest, IsOfClients);

    /// <summary>Suspends a client and ends what it has been given, on every gateway.</summary>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    /// <exception cref="SharedStateException">It is kept, but may not be in force everywhere yet: do it again.</exception>
    public async ValueTask<DecisionRefusal?> SuspendAsync(HttpContext context, Operator who, string clientId)
    {
        if (await approvals.SuspendAsync(context, who, clientId, () => InForce(clientId) is not null).ConfigureAwait(false) is { } refusal)
            return refusal;
        await revocations.RevokeAsync(RevokedName.Client(clientId), time.GetUtcNow().AddSeconds(options.Identification.AccessTokenSeconds), context.RequestAborted).ConfigureAwait(false);
        return null;
    }

    /// <summary>Whoever approves of a change approves of it as a change to what was in force when it was proposed.</summary>
    private string? DigestInForce(string clientId) => InForce(clientId) is { } registration
        ? Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(ClientDirectory.WriteOne(registration)))) : null;

    private static bool IsOfClients(Proposal proposal) => proposal.Kind is ApprovalKind.Onboarding or ApprovalKind.ScopeWidening;
}
