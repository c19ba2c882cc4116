using System.Buffers.Text;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>What takes effect only when a second person approves of it.</summary>
public enum ApprovalKind { Onboarding, ScopeWidening, KeyCeremony, BulkExport, BreachCaseEnd, EmergencyBarEnd, Erasure, StoreRestore, DataKeyRotation, ContainmentEnd, BreachScope, DisputeEnd, CanaryEnd, BreachNotices, BreachLetters, AuditPruning }

/// <summary>What an entry of the log of decisions says.</summary>
internal enum DecisionStep { Proposed, Approved, Rejected, CarriedOut, Suspended, Contained }

/// <summary>Why a decision was not taken.</summary>
internal enum DecisionRefusal { NoSuchProposal, AlreadyDecided, TooLate, SamePerson, OtherContent, SignInAgain, NoRole, ChangedMeanwhile, NotApproved, NoSuchClient, KeysLeft, NotNow, StillKept, Waiting, EntriesKept, EntriesNeeded, OtherLog }

/// <summary>Who decided, as the log keeps it.</summary>
internal sealed record Decider(string Tenant, string Id, string Name, DateTimeOffset SignedIn)
{
    private const string MachineId = "machine";

    public static Decider Of(Operator who) => new(who.Tenant, who.Id, who.Name, who.SignedIn);

    /// <summary>The gateway by itself: it contains, and decides nothing else. No operator is without a tenant.</summary>
    public static Decider Machine(DateTimeOffset at) => new("", MachineId, MachineId, at);

    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsMachine => Tenant.Length == 0 && Id == MachineId;

    /// <summary>Whether both are one person. Ids that differ in case only are one: the doubt goes against the approver.</summary>
    public bool Is(Decider other) => string.Equals(Tenant, other.Tenant, StringComparison.OrdinalIgnoreCase) && string.Equals(Id, other.Id, StringComparison.OrdinalIgnoreCase);

    /// <summary>What those are told of her who only have to know one operator from another: a SHA-256 (base64url); two whom <see cref="Is"/> takes for one have one.</summary>
    public string OpaqueName => Base64Url.EncodeToString(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes((string[])[Tenant.ToUpperInvariant(), Id.ToUpperInvariant()])));
}

/// <summary>One entry of the log.</summary>
internal sealed record Decision
{
    /// <summary>From 1, without gaps.</summary>
    public required long Number { get; init; }

    /// <summary>SHA-256 (base64url) of the entry before it as it was written; empty in the first.</summary>
    public required string Previous { get; init; }

    public required DateTimeOffset At { get; init; }
    public required Decider By { get; init; }
    public required DecisionStep Step { get; init; }

    /// <summary>Id of the proposal; of every step but a suspension and a containment.</summary>
    public string? Proposal { get; init; }

    /// <summary><see cref="Subject"/> is the client id of a registration, else what the kind of act is about.</summary>
    public ApprovalKind? Kind { get; init; }
    public string? Subject { get; init; }

    /// <summary>Of a proposal: digest of what it takes the place of; null when there was nothing.</summary>
    public string? Replaces { get; init; }

    /// <summary>Of a proposal: exactly what is proposed, as text; of a containment: why.</summary>
    public string? Content { get; init; }

    /// <summary>What <see cref="DigestOf"/> gives for the proposal: whoever approves says by it what was before his eyes.</summary>
    public string? Digest { get; init; }

    /// <summary>Of a containment by the machine: number of its breach case; null where none could be opened.</summary>
    public long? Case { get; init; }

    /// <summary>Of an approval that waits: when it may be carried out. Until it is, anybody who may decide can reject it.</summary>
    public DateTimeOffset? NotBefore { get; init; }

    public static string DigestOf(ApprovalKind kind, string subject, string? replaces, string content) =>
        Base64Url.EncodeToString(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes((string[])[kind.ToString(), subject, replaces ?? "", content])));
}

internal enum ProposalStatus { Open, Approved, Rejected, CarriedOut }

/// <summary>Something that was proposed, and what became of it.</summary>
internal sealed record Proposal(string Id, ApprovalKind Kind, string Subject, string? Replaces, string Content, string Digest, Decider By, DateTimeOffset At)
{
    /// <summary>How long a proposal can be approved, and an approval be carried out that need not wait.</summary>
    public static readonly TimeSpan OpenFor = TimeSpan.FromHours(24);

    /// <summary>How long one that had to wait can be carried out from then on.</summary>
    public static readonly TimeSpan OpenAfterWaiting = TimeSpan.FromDays(7);

    public ProposalStatus Status { get; init; }

    /// <summary>Null until somebody has.</summary>
    public Decider? ApprovedBy { get; init; }

    /// <summary>When it may be carried out at the earliest; null: as soon as it is approved.</summary>
    public DateTimeOffset? NotBefore { get; init; }
    public DateTimeOffset Until => NotBefore is { } begins ? begins + OpenAfterWaiting : At + OpenFor;

    /// <summary>Whether it is approved, and can still be rejected all the same.</summary>
    public bool IsWaiting => Status == ProposalStatus.Approved && NotBefore is not null;
}

/// <summary>What was decided about a client.</summary>
/// <param name="Registration">JSON; null when it is the clients file's.</param>
internal sealed record ClientDecision(string? Registration, bool IsSuspended);

/// <summary>How the dispute of an access was settled.</summary>
/// <param name="Answer">To the person, in the words of who proposed it, sealed.</param>
internal sealed record DisputeEnd(DateTimeOffset At, string Answer);

/// <summary>What all decisions up to one come to. Immutable.</summary>
internal sealed record DecisionState(long Number, string Previous, ImmutableDictionary<string, Proposal> Proposals, ImmutableDictionary<string, ClientDecision> Clients)
{
    /// <summary>Until when the emergencies under a professional's number bar from no other, by the subject of the act. What was recorded after the proposal nobody has looked at.</summary>
    public ImmutableDictionary<string, DateTimeOffset> EmergencyBarEnds { get; init; } = ImmutableDictionary<string, DateTimeOffset>.Empty;

    /// <summary>Disputes of accesses that are settled, by the id of the Consent, with what the person is told.</summary>
    public ImmutableDictionary<string, DisputeEnd> DisputeEnds { get; init; } = ImmutableDictionary<string, DisputeEnd>.Empty;

    /// <summary>Their ids.</summary>
    public IReadOnlySet<string> EndedRestrictions { get; init; } = FrozenSet<string>.Empty;

    /// <summary>Who and what is let in nowhere, by the text of a <see cref="ContainedSubject"/>.</summary>
    public ImmutableDictionary<string, Containment> Contained { get; init; } = ImmutableDictionary<string, Containment>.Empty;

    /// <summary>Whether a kind of act is in force with its approval: nobody carries it out.</summary>
    public static bool IsDoneWhenApproved(ApprovalKind kind) => kind is ApprovalKind.Onboarding or ApprovalKind.ScopeWidening or ApprovalKind.EmergencyBarEnd or ApprovalKind.ContainmentEnd or ApprovalKind.DisputeEnd;

    /// <summary>Whom the end of a bar is about.</summary>
    /// <param name="isNational">Whether the number is the role register's; otherwise it is the organisation's own.</param>
    /// <param name="organisation">OID, dotted.</param>
    /// <param name="professional">The number.</param>
    public static string SubjectOf(bool isNational, string organisation, string professional) => isNational ? professional : $"{organisation}/{professional}";

    /// <summary>Who decides has proven herself at most this long ago.</summary>
    public static readonly TimeSpan Recent = TimeSpan.FromMinutes(15);

    public static DecisionState Empty { get; } = new(0, "", ImmutableDictionary<string, Proposal>.Empty, ImmutableDictionary<string, ClientDecision>.Empty);

    /// <summary>The rules. They hold for what is about to be written and again for what is read.</summary>
    /// <param name="digest">Of the entry as it is written.</param>
    public (DecisionState? Next, DecisionRefusal? Refusal) Apply(Decision decision, string digest)
    {
        var next = this with { Number = Number + 1, Previous = digest };
        if (decision.By.IsMachine && decision.Step != DecisionStep.Contained)
            return (null, DecisionRefusal.NoRole);
        if (decision.Step == DecisionStep.Suspended)
            return (next with { Clients = Clients.SetItem(decision.Subject!, new(Clients.GetValueOrDefault(decision.Subject!)?.Registration, true)) }, null);
        if (decision.Step == DecisionStep.Contained)
        {
            var contained = new Containment(decision.Subject!, decision.Content!, decision.At, decision.By) { Case = decision.Case };
            return (next with { Contained = Contained.SetItem(decision.Subject!, Contained.GetValueOrDefault(decision.Subject!)?.Again(contained) ?? contained) }, null);
        }
        if (decision.Step is DecisionStep.Proposed or DecisionStep.Approved && decision.At - decision.By.SignedIn > Recent)
            return (null, DecisionRefusal.SignInAgain);
        if (decision.Step == DecisionStep.Proposed)
        {
            var proposed = new Proposal(decision.Proposal!, decision.Kind!.Value, decision.Subject!, decision.Replaces, decision.Content!, decision.Digest!, decision.By, decision.At);
            if (proposed.Digest != Decision.DigestOf(proposed.Kind, proposed.Subject, proposed.Replaces, proposed.Content))
                return (null, DecisionRefusal.OtherContent);
            return Proposals.ContainsKey(proposed.Id) ? (null, DecisionRefusal.AlreadyDecided) : (next with { Proposals = Proposals.Add(proposed.Id, proposed) }, null);
        }
        if (decision.Proposal is not { } id || !Proposals.TryGetValue(id, out var proposal))
            return (null, DecisionRefusal.NoSuchProposal);
        if (proposal.Digest != decision.Digest)
            return (null, DecisionRefusal.OtherContent);
        if (decision.Step == DecisionStep.CarriedOut && proposal.Status != ProposalStatus.Approved)
            return (null, proposal.Status == ProposalStatus.CarriedOut ? DecisionRefusal.AlreadyDecided : DecisionRefusal.NotApproved);
        if (decision.Step != DecisionStep.CarriedOut && proposal.Status != ProposalStatus.Open && !(decision.Step == DecisionStep.Rejected && proposal.IsWaiting))
            return (null, DecisionRefusal.AlreadyDecided);
        if (decision.At >= proposal.Until)
            return (null, DecisionRefusal.TooLate);
        if (decision.Step == DecisionStep.CarriedOut && decision.At < proposal.NotBefore)
            return (null, DecisionRefusal.Waiting);
        if (decision.Step == DecisionStep.Approved && decision.By.Is(proposal.By))
            return (null, DecisionRefusal.SamePerson);
        // What was contained since, nobody has looked at who approves.
        if (decision.Step == DecisionStep.Approved && proposal.Kind == ApprovalKind.ContainmentEnd && !(Contained.GetValueOrDefault(proposal.Subject)?.At <= proposal.At))
            return (null, DecisionRefusal.ChangedMeanwhile);
        var status = decision.Step switch { DecisionStep.Approved => ProposalStatus.Approved, DecisionStep.Rejected => ProposalStatus.Rejected, _ => ProposalStatus.CarriedOut };
        next = next with { Proposals = Proposals.SetItem(id, status == ProposalStatus.Approved
            ? proposal with { Status = status, ApprovedBy = decision.By, NotBefore = decision.NotBefore } : proposal with { Status = status }) };
        // None of them needs anybody to carry it out.
        return (status != ProposalStatus.Approved ? next : proposal.Kind switch
        {
            ApprovalKind.EmergencyBarEnd => next with { EmergencyBarEnds = EmergencyBarEnds.SetItem(proposal.Subject, proposal.At) },
            ApprovalKind.DisputeEnd => next with { DisputeEnds = DisputeEnds.SetItem(proposal.Subject, new(decision.At, proposal.Content)), EndedRestrictions = DisputeEnds.Keys.Append(proposal.Subject).ToFrozenSet(StringComparer.Ordinal) },
            ApprovalKind.ContainmentEnd => next with { Contained = Contained.Remove(proposal.Subject) },
            ApprovalKind.Onboarding or ApprovalKind.ScopeWidening => next with { Clients = Clients.SetItem(proposal.Subject, new(proposal.Content, false)) },
            _ => next,
        }, null);
    }
}
