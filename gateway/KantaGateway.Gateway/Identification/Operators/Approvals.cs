using System.Buffers.Text;
using System.Security.Cryptography;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// A second person's approval: somebody proposes exactly one thing, somebody else approves of just that within 24 hours, both
/// having proven themselves in the last minutes. Every step is in the audit log before it is in force, and on disk before it is answered; other
/// gateways know it within half a second, and one that starts reads it again.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed partial class Approvals(DecisionLog log, IOperatorObserver observer, TimeProvider time, ILogger<Approvals> logger)
{
    private static readonly long LookEvery = TimeSpan.TicksPerSecond / 2;

    /// <summary>The answer when a decision cannot be kept, or the log not be read.</summary>
    private static readonly Fault Unavailable = new(FaultKind.StoreUnavailable, "The decision could not be kept, so it may not be in force. Look whether it is before you repeat it.");

    private readonly Lock _reading = new();
    private volatile DecisionState _current = log.Read(DecisionState.Empty);
    private long _lookedAt = time.GetUtcNow().Ticks;
    private long _readAt = time.GetTimestamp();
    private bool _isUnreadable;

    /// <summary>How long what was read may be relied on while the log cannot be read.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromMinutes(1);

    /// <summary>How long that somebody is contained is told beside the decision: longer than a gateway lets anybody in that cannot read the decisions.</summary>
    public static readonly TimeSpan Told = Lease * 2;

    /// <summary>Whether <see cref="Current"/> may be relied on. If not, another gateway may long have suspended a client that is active here.</summary>
    public bool IsCurrent => !Volatile.Read(ref _isUnreadable) || time.GetElapsedTime(Volatile.Read(ref _readAt)) < Lease;

    /// <summary>What has been decided, as this gateway knows it. The instance changes with every decision.</summary>
    public DecisionState Current
    {
        get
        {
            var looked = Volatile.Read(ref _lookedAt);
            var now = time.GetUtcNow().Ticks;
            if ((ulong)(now - looked) >= (ulong)LookEvery && Interlocked.CompareExchange(ref _lookedAt, now, looked) == looked)
                try
                {
                    Follow();
                }
                catch (Exception failure) when (failure is IOException or InvalidDataException or UnauthorizedAccessException)
                {
                    LogUnreadable(failure.Message);
                }
            return _current;
        }
    }

    /// <summary>Whose affair a kind of act is.</summary>
    public static OperatorRole RoleFor(ApprovalKind kind) => kind switch
    {
        ApprovalKind.Onboarding or ApprovalKind.ScopeWidening => OperatorRole.Onboarding,
        ApprovalKind.KeyCeremony or ApprovalKind.StoreRestore => OperatorRole.Keys,
        _ => OperatorRole.DataProtection,
    };

    /// <summary>Proposes something for somebody else to approve.</summary>
    /// <param name="subject">What it is about: a client id, a key, a case.</param>
    /// <param name="replaces">Digest of what it takes the place of.</param>
    /// <param name="content">Exactly what is to be done.</param>
    /// <param name="against">Why it may not be proposed; null: nothing is against it.</param>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public async ValueTask<(Proposal? Proposal, DecisionRefusal? Refusal)> ProposeAsync(HttpContext context, Operator who, ApprovalKind kind, string subject, string? replaces, string content, DecisionRefusal? against = null)
    {
        var id = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));
        var digest = Decision.DigestOf(kind, subject, replaces, content);
        var (state, refusal) = await DecideAsync(context, who, _ => ($"Proposed {NameOf(kind)} of {subject}.", digest), (_, entry) =>
            !who.Roles.Contains(RoleFor(kind)) ? (null, DecisionRefusal.NoRole) : against is not null ? (null, against)
                : (entry with { Step = DecisionStep.Proposed, Proposal = id, Kind = kind, Subject = subject, Replaces = replaces, Content = content, Digest = digest }, null)).ConfigureAwait(false);
        return (state?.Proposals[id], refusal);
    }

    /// <summary>Approves of a proposal.</summary>
    /// <param name="digest">Of what the approver has seen.</param>
    /// <param name="isMeant">Whether it is one that is decided about here; any is when it is null.</param>
    /// <param name="against">Why a proposal may not be approved now, such as that what it takes the place of is not there any more; null: nothing is against it.</param>
    /// <param name="wait">How long it waits before it may be carried out, and can be rejected meanwhile; null: it need not.</param>
    public ValueTask<DecisionRefusal?> ApproveAsync(HttpContext context, Operator who, string id, string digest, Func<Proposal, bool>? isMeant = null, Func<Proposal, DecisionRefusal?>? against = null, TimeSpan? wait = null) =>
        StepAsync(context, who, DecisionStep.Approved, "Approved", id, digest, isMeant, against, wait);

    /// <summary>Rejects a proposal, or one that is approved and waits; its proposer may take it back so.</summary>
    /// <param name="isMeant">As in <see cref="ApproveAsync"/>.</param>
    public ValueTask<DecisionRefusal?> RejectAsync(HttpContext context, Operator who, string id, string digest, Func<Proposal, bool>? isMeant = null) =>
        StepAsync(context, who, DecisionStep.Rejected, "Rejected", id, digest, isMeant);

    /// <summary>Uses an approval up: of all that call, on all gateways, one may do what was approved, once.</summary>
    /// <param name="against">As in <see cref="ApproveAsync"/>.</param>
    public ValueTask<DecisionRefusal?> CarryOutAsync(HttpContext context, Operator who, string id, string digest, Func<Proposal, DecisionRefusal?>? against = null) =>
        StepAsync(context, who, DecisionStep.CarriedOut, "Began to carry out", id, digest, against: against);

    /// <summary>Suspends a client: one person's decision, at once, whatever her role.</summary>
    /// <param name="isKnown">Whether there is such a client.</param>
    public async ValueTask<DecisionRefusal?> SuspendAsync(HttpContext context, Operator who, string clientId, Func<bool> isKnown) =>
        (await DecideAsync(context, who, _ => ($"Suspended client {clientId}.", null), (_, entry) =>
            !isKnown() ? (null, DecisionRefusal.NoSuchClient)
            : (entry with { Step = DecisionStep.Suspended, Subject = clientId }, null)).ConfigureAwait(false)).Refusal;

    /// <summary>Contains somebody or something: one person's decision, at once.</summary>
    /// <param name="reason">For who ends it.</param>
    /// <exception cref="FaultException">It could not be recorded or kept.</exception>
    public async ValueTask ContainAsync(HttpContext context, Operator who, ContainedSubject subject, string reason) =>
        await DecideAsync(context, who, _ => ($"Contained {subject}.", null), (_, entry) => (entry with { Step = DecisionStep.Contained, Subject = subject.Text, Content = reason }, null)).ConfigureAwait(false);

    /// <summary>The machine contains somebody or something. An audit log that fails does not hinder it: to stop somebody cannot wait, and nothing is disclosed meanwhile.</summary>
    /// <param name="reason">For who ends it, without personal data.</param>
    /// <param name="caseNumber">Of the breach case; null: none could be opened yet.</param>
    /// <exception cref="FaultException">It could not be kept.</exception>
    public async ValueTask ContainAsync(ContainedSubject subject, string reason, long? caseNumber, CancellationToken cancel) =>
        await DecideAsync(Decider.Machine(time.GetUtcNow()), async (act, refused, digest) =>
        {
            try
            {
                await observer.MachineActedAsync(act, refused, digest).ConfigureAwait(false);
            }
            catch (FaultException)
            {
                LogUnrecorded();
            }
        }, _ => ($"Contained {subject} by itself.", null), (_, entry) => (entry with { Step = DecisionStep.Contained, Subject = subject.Text, Content = reason, Case = caseNumber }, null), cancel).ConfigureAwait(false);

    private async ValueTask<DecisionRefusal?> StepAsync(
        HttpContext context, Operator who, DecisionStep step, string verb, string id, string digest, Func<Proposal, bool>? isMeant = null, Func<Proposal, DecisionRefusal?>? against = null, TimeSpan? wait = null)
    {
        Proposal? In(DecisionState state) => state.Proposals.GetValueOrDefault(id) is { } proposal && isMeant?.Invoke(proposal) is not false ? proposal : null;
        return (await DecideAsync(context, who,
            state => In(state) is { } about ? ($"{verb} {NameOf(about.Kind)} of {about.Subject}.", about.Digest) : ($"{verb} a proposal that is not there.", null),
            (state, entry) => In(state) is not { } proposal ? (null, DecisionRefusal.NoSuchProposal)
                : !who.Roles.Contains(RoleFor(proposal.Kind)) ? (null, DecisionRefusal.NoRole)
                // Of what is decided already, that is what is said.
                : proposal.Status == (step == DecisionStep.CarriedOut ? ProposalStatus.Approved : ProposalStatus.Open) && against?.Invoke(proposal) is { } refusal ? (null, refusal)
                : (entry with { Step = step, Proposal = id, Digest = digest, NotBefore = entry.At + wait }, null)).ConfigureAwait(false)).Refusal;
    }

    /// <param name="say">What is done, in a plain sentence, and the digest of what it is done to.</param>
    /// <param name="decide">Makes the entry from what has been decided before it, or refuses.</param>
    private ValueTask<(DecisionState? State, DecisionRefusal? Refusal)> DecideAsync(
        HttpContext context, Operator who, Func<DecisionState, (string Act, string? Digest)> say, Func<DecisionState, Decision, (Decision? Entry, DecisionRefusal? Refusal)> decide) =>
        DecideAsync(Decider.Of(who), (act, refused, digest) => observer.ActedAsync(context, who, act, refused, digest), say, decide, context.RequestAborted);

    private async ValueTask<(DecisionState? State, DecisionRefusal? Refusal)> DecideAsync(
        Decider by, Func<string, string?, byte[]?, ValueTask> record, Func<DecisionState, (string Act, string? Digest)> say, Func<DecisionState, Decision, (Decision? Entry, DecisionRefusal? Refusal)> decide, CancellationToken cancel)
    {
        try
        {
            using var turn = await log.TakeTurnAsync(cancel).ConfigureAwait(false);
            var state = Follow();
            var (act, digest) = say(state);
            var bytes = digest is null ? null : Base64Url.DecodeFromChars(digest);
            var blank = new Decision { Number = state.Number + 1, Previous = state.Previous, At = time.GetUtcNow(), By = by, Step = default };
            var (entry, refusal) = decide(state, blank);
            var signed = entry is null ? null : log.Sign(entry);
            DecisionState? next = null;
            if (refusal is null)
                (next, refusal) = state.Apply(entry!, DecisionLog.DigestOf(signed!));
            await record(act, refusal?.ToString(), bytes).ConfigureAwait(false);
            if (next is null)
                return (null, refusal);
            // It is recorded. From here on it is not broken off.
            try
            {
                log.Append(next.Number, signed!);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                await record(act, "It could not be kept.", bytes).ConfigureAwait(false);
                throw;
            }
            return (Follow(), null);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            LogUnreadable(failure.Message);
            throw new FaultException(Unavailable);
        }
    }

    /// <exception cref="InvalidDataException">The log cannot be relied on.</exception>
    private DecisionState Follow()
    {
        lock (_reading)
        {
            try
            {
                var read = log.Read(_current);
                if (read.Number != _current.Number)
                    _current = read;
            }
            catch
            {
                Volatile.Write(ref _isUnreadable, true);
                throw;
            }
            Volatile.Write(ref _readAt, time.GetTimestamp());
            Volatile.Write(ref _isUnreadable, false);
            return _current;
        }
    }

    private static string NameOf(ApprovalKind kind) => kind switch
    {
        ApprovalKind.Onboarding => "the onboarding",
        ApprovalKind.ScopeWidening => "a change to the registration",
        ApprovalKind.KeyCeremony => "a key ceremony",
        ApprovalKind.BulkExport => "a bulk export",
        ApprovalKind.EmergencyBarEnd => "the end of an emergency bar",
        ApprovalKind.Erasure => "the erasure",
        ApprovalKind.StoreRestore => "the restore",
        ApprovalKind.DataKeyRotation => "the rotation of the data key",
        ApprovalKind.ContainmentEnd => "the end of the containment",
        ApprovalKind.DisputeEnd => "the end of the dispute",
        ApprovalKind.CanaryEnd => "the end of the watch over",
        ApprovalKind.AuditPruning => "the pruning",
        ApprovalKind.BreachScope => "the scope of a breach, case",
        ApprovalKind.BreachNotices => "the notices of a breach, case",
        ApprovalKind.BreachLetters => "the letters of a breach, case",
        _ => "the end of a breach case",
    };

    [LoggerMessage(1120, LogLevel.Critical, "The log of operators' decisions cannot be used, so no decision is taken, and those that were read before stay in force. {Problem}")]
    private partial void LogUnreadable(string problem);

    [LoggerMessage(1121, LogLevel.Critical, "That the machine contained somebody or something could not be recorded in the audit log. It is contained.")]
    private partial void LogUnrecorded();
}
