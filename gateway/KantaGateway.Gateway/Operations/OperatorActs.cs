using System.Globalization;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// Acts besides onboarding that take two persons, over HTTP with an operator's session: key ceremonies, the erasure of a person's record, the rotation of a person's data key, the restore of the store, or of one record, from a backup, bulk exports, the scope of a breach (<see cref="OperatorScopes"/>), its notices and letters (<see cref="OperatorNotices"/>), the end of a breach case, and of the bar that
/// emergencies nobody could review, or that were recorded under an abused number, leave for a professional, and of a containment; these two are in force with the approval. A canary is taken off, and the audit log pruned (<see cref="AuditRetention"/>), by two as well. One
/// proposes exactly what is to be done, another approves of just that, and whoever carries it out uses the approval up, once on all gateways. The end of
/// a case is carried out here, a ceremony, an erasure, a rotation and a restore by the key service, which holds none without the gateway's word for both persons. One that stopped on its way,
/// because the key service was silent, is carried out again by the same approval: it is held once. An erasure is proposed, approved and carried out only of a record that is kept no longer
/// (Act 703/2023 §24), and waits for days in between, in which one person is enough to stop it.
/// </summary>
public static class OperatorActs
{
    private const string WrappingKey = "wrapping-key/", PseudonymKey = "pseudonym-key/", Patient = "Patient/", Store = "store", Directory = "directory";
    private const int LongestSubject = 128, LongestContent = 2_000;

    private static readonly Dictionary<string, ApprovalKind> Kinds = new(StringComparer.Ordinal)
    {
        ["key-ceremony"] = ApprovalKind.KeyCeremony, ["bulk-export"] = ApprovalKind.BulkExport, ["breach-case-end"] = ApprovalKind.BreachCaseEnd,
        ["emergency-bar-end"] = ApprovalKind.EmergencyBarEnd, ["erasure"] = ApprovalKind.Erasure, ["store-restore"] = ApprovalKind.StoreRestore,
        ["data-key-rotation"] = ApprovalKind.DataKeyRotation, ["containment-end"] = ApprovalKind.ContainmentEnd, ["breach-scope"] = ApprovalKind.BreachScope, ["dispute-end"] = ApprovalKind.DisputeEnd,
        ["canary-end"] = ApprovalKind.CanaryEnd, ["audit-pruning"] = ApprovalKind.AuditPruning,
        ["breach-notices"] = ApprovalKind.BreachNotices, ["breach-letters"] = ApprovalKind.BreachLetters,
    };

    /// <param name="IdentityCode">Instead of the subject of an act about a person.</param>
    internal sealed record Act(string? Kind, string? Subject, string? Content, string? IdentityCode);

    /// <summary>What came of a proposal: it is there, or was refused, or says nothing that could be done, with what to change.</summary>
    internal sealed record Proposed(Proposal? Proposal, DecisionRefusal? Refusal, string? Title = null, string? Problem = null)
    {
        public Proposed((Proposal? Proposal, DecisionRefusal? Refusal) decided) : this(decided.Proposal, decided.Refusal)
        {
        }

        public Proposed(string title, string problem) : this(null, null, title, problem)
        {
        }
    }

    /// <summary>Adds the addresses under <c>/operator/acts</c>, and <c>/operator/keys</c>, which says how far a rotation is.</summary>
    public static void MapOperatorActs(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null)
            return;
        var wait = TimeSpan.FromDays(options.Identification.Operators.ErasureWaitDays);
        app.MapGet("/operator/acts", static context => OperatorClients.AnswerAsync(context, null, async (services, who) =>
        {
            var now = Now(services);
            var acts = services.GetRequiredService<Approvals>().Current.Proposals.Values
                .Where(one => IsOne(one) && who.Roles.Contains(Approvals.RoleFor(one.Kind)) && (one.Status == ProposalStatus.Open || (one.Status == ProposalStatus.Approved && !DecisionState.IsDoneWhenApproved(one.Kind))) && one.Until > now).OrderBy(static one => one.At).ToList();
            var described = new JsonArray();
            foreach (var act in acts)
                described.Add(await DescribeAsync(services, context, who, act));
            return Results.Json(new JsonObject { ["acts"] = described });
        }));
        app.MapGet("/operator/keys", static context => OperatorClients.AnswerAsync(context, null, async (services, who) =>
            who.Roles.Contains(OperatorRole.Keys) || who.Roles.Contains(OperatorRole.DataProtection)
                ? Results.Json(await ProgressAsync(services, CancellationToken.None)) : OperatorClients.Refuse(context, DecisionRefusal.NoRole)));
        var testCodes = options.Identification.TestIdentityCodes;
        app.MapPost("/operator/acts", context => OperatorClients.AnswerAsync(context, null, async (services, who) =>
            await ProposeAsync(services, context, who, await OperatorClients.ReadAsync<Act>(context), testCodes) switch
            {
                { Title: { } title, Problem: { } problem } => OperatorClients.Problem(context, 422, title, [problem]),
                { Proposal: { } proposal } => Results.Json(await DescribeAsync(services, context, who, proposal), statusCode: 201),
                var refused => OperatorClients.Refuse(context, refused.Refusal!.Value),
            }));
        app.MapPost("/operator/acts/{id}/approve", context => OperatorClients.DecideAsync(context, null, (services, context, who, id, digest) => ApproveAsync(services, context, who, id, digest, wait)));
        app.MapPost("/operator/acts/{id}/reject", static context => OperatorClients.DecideAsync(context, null, RejectAsync));
        app.MapPost("/operator/acts/{id}/carry-out", static context => OperatorClients.DecideAsync(context, null, CarryOutAsync));
    }

    /// <summary>Proposes an act, as the address and the page do.</summary>
    /// <param name="testCodes">Whether identity codes of the 900 series name people.</param>
    internal static async Task<Proposed> ProposeAsync(IServiceProvider services, HttpContext context, Operator who, Act? act, bool testCodes)
    {
        PersonalIdentityCode of = default;
        if (act is not { Kind: { } name, Content: { Length: > 0 and <= LongestContent } content } || !Kinds.TryGetValue(name, out var kind)
            || !(act.IdentityCode is { } code ? TryReadCode(kind, act.Subject, code, testCodes, out of) : act.Subject is { Length: > 0 and <= LongestSubject }))
            return new Proposed("Not understood",
                $"Send {{\"kind\": one of {string.Join(", ", Kinds.Keys)}, \"subject\": what it is about in at most {LongestSubject} characters, or of an act about a person \"identity_code\" instead, \"content\": exactly what is to be done, or was found, in at most {LongestContent}}}.");
        // What people write in their own words is shown to others, and stands in logs. The other contents have forms of their own.
        if (kind is not (ApprovalKind.KeyCeremony or ApprovalKind.StoreRestore or ApprovalKind.BreachScope or ApprovalKind.BreachNotices) && OutboundMessage.HoldsIdentityCode(content))
            return new Proposed("An identity code", "The content of an act names nobody: what looks like an identity code has to go.");
        var subject = act.Subject ?? "";
        if (act.IdentityCode is not null)
        {
            // Whoever may not propose it is told so, and nobody is looked for.
            if (!who.Roles.Contains(Approvals.RoleFor(kind)))
                return new Proposed(await services.GetRequiredService<Approvals>().ProposeAsync(context, who, kind, Patient, null, content));
            if (await services.GetRequiredService<IPseudonyms>().FindAsync(of, context.RequestAborted) is not { } person)
                return new Proposed("Nobody's record", "Nobody has asked for this identity code here before, so there is no record.");
            // Who is a canary nobody is told, nor does the log of decisions say it.
            subject = kind == ApprovalKind.CanaryEnd ? services.GetService<WatchedPeople>()?.CanaryNameOf(person) ?? "" : Patient + services.GetRequiredService<IdentifierCipher>().PatientId(person);
        }
        if (kind == ApprovalKind.CanaryEnd && services.GetService<WatchedPeople>()?.IsCanary(subject) is not true)
        {
            // Or codes could be tried until one is.
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, "Proposed to take off a canary.", "NoCanary", null);
            return new Proposed("No canary", "The end of a canary names her by \"identity_code\", the code that she was made with, and its content says why she is watched no more.");
        }
        if (kind == ApprovalKind.BreachCaseEnd && !IsOpen(services, subject))
            return new Proposed("No such case", "The subject of the end of a breach case is the number of one that has not ended.");
        if (kind == ApprovalKind.DisputeEnd && (!Guid.TryParseExact(subject, "D", out var dispute) || services.GetRequiredService<Approvals>().Current.DisputeEnds.ContainsKey(subject = dispute.ToString("D"))))
            return new Proposed("No such dispute", "The subject of the end of a dispute is its id, which its breach case names, of one that is not settled; its content is the answer that the person reads in the portal.");
        if (kind == ApprovalKind.BreachScope && (!IsOpen(services, subject) || ScopeCriteria.Read(content) is null))
            return new Proposed("No such scope", $"The subject of the scope of a breach is the number of a case that has not ended, and its content {ScopeCriteria.Form}.");
        if (kind == ApprovalKind.BreachNotices && (!IsOpen(services, subject) || OperatorNotices.FilesIn(content) is null))
            return new Proposed("No such notices", $"The subject of the notices of a breach is the number of a case that has not ended, and its content {OperatorNotices.FilesForm}.");
        if (kind == ApprovalKind.BreachLetters && !IsOpen(services, subject))
            return new Proposed("No such case", "The subject of the letters of a breach is the number of a case that has not ended, and its content says why they are due.");
        if (kind == ApprovalKind.DisputeEnd)
            content = services.GetRequiredService<DisputeAnswers>().Seal(content);
        if (IsOfCase(kind))
            subject = NamedCase(services.GetRequiredService<BreachCases>(), subject);
        if (kind == ApprovalKind.ContainmentEnd)
        {
            if (!services.GetRequiredService<ContainmentActs>().TryParse(subject, out var contained) || !services.GetRequiredService<Approvals>().Current.Contained.ContainsKey(contained.Text))
                return new Proposed("Not contained", "The subject of the end of a containment is one of /operator/containments.");
            subject = contained.Text;
        }
        if (kind == ApprovalKind.EmergencyBarEnd && !IsProfessional(services, subject))
            return new Proposed("Nobody's number",
                "The subject of the end of an emergency bar is a professional's number in the role register; where none is configured, the OID of the organisation, a slash and the number there.");
        if (kind == ApprovalKind.Erasure && PersonOf(services, subject) is null)
            return new Proposed("Nobody's record", $"The subject of an erasure is {Patient}[id], the logical id of the person's Patient here, and its content says why the record is kept no longer.");
        if (kind == ApprovalKind.DataKeyRotation && PersonOf(services, subject) is null)
            return new Proposed("Nobody's record", $"The subject of the rotation of a data key is {Patient}[id], the logical id of the person's Patient here, and its content says why the key may be known to somebody.");
        if (kind == ApprovalKind.KeyCeremony && !TryRead(subject, content, out _, out _, out _))
            return new Proposed("No such ceremony",
                $"The subject of a key ceremony is {WrappingKey} or {PseudonymKey} and the number of a version, and its content is begin (the next version begins its service) or destroy (the oldest is destroyed, and with it whatever only it opens, or finds).");
        if (kind == ApprovalKind.StoreRestore && (!IsStored(services, subject) || SinceIn(content) is not { } since || since > Now(services) + ClocksDiffer))
            return new Proposed("No such restore",
                $"The subject of a restore is {Store}, or for one record {Patient}[id] or {Directory}, and its content the time of the backup in UTC, such as 2026-01-31T04:00:00Z: what was written since is lost.");
        if (kind == ApprovalKind.AuditPruning && who.Roles.Contains(Approvals.RoleFor(kind)))
        {
            var (named, kept) = content.Any(char.IsControl) ? default : await services.GetRequiredService<AuditRetention>().SubjectOfAsync(subject, context.RequestAborted);
            if (named is null)
                return new Proposed("No such pruning", $"The subject of a pruning is {AuditRetention.Log}, or {AuditRetention.Log}/ and an index before which the entries go at most, and its content in one line why it is done.");
            return new Proposed(await services.GetRequiredService<Approvals>().ProposeAsync(context, who, kind, named, null, content, kept));
        }
        DecisionRefusal? against = kind == ApprovalKind.Erasure && who.Roles.Contains(Approvals.RoleFor(kind)) && !(await StandingAsync(services, subject, context.RequestAborted)).IsOverAt(Now(services)) ? DecisionRefusal.StillKept : null;
        return new Proposed(await services.GetRequiredService<Approvals>().ProposeAsync(context, who, kind, subject, null, content, against));
    }

    /// <summary>Approves of an act.</summary>
    /// <param name="wait">Of what cannot be undone, before it may be carried out.</param>
    internal static async ValueTask<DecisionRefusal?> ApproveAsync(IServiceProvider services, HttpContext context, Operator who, string id, string digest, TimeSpan wait)
    {
        var approvals = services.GetRequiredService<Approvals>();
        var erasure = ErasureOf(approvals, who, id);
        var isPruning = approvals.Current.Proposals.GetValueOrDefault(id) is { Kind: ApprovalKind.AuditPruning };
        var isOver = erasure is not null && (await StandingAsync(services, erasure.Subject, context.RequestAborted)).IsOverAt(Now(services));
        return await approvals.ApproveAsync(context, who, id, digest, IsOne, one => one.Kind switch
        {
            _ when IsOfCase(one.Kind) && !IsOpen(services, one.Subject) => DecisionRefusal.ChangedMeanwhile,
            ApprovalKind.CanaryEnd when services.GetService<WatchedPeople>()?.IsCanary(one.Subject) is not true => DecisionRefusal.ChangedMeanwhile,
            // Another gateway has just taken it in: here nobody has looked yet.
            ApprovalKind.Erasure when erasure is null => DecisionRefusal.NoSuchProposal,
            ApprovalKind.AuditPruning when !isPruning => DecisionRefusal.NoSuchProposal,
            ApprovalKind.AuditPruning => services.GetRequiredService<AuditRetention>().Against(one),
            ApprovalKind.Erasure when !isOver => DecisionRefusal.StillKept,
            _ => null,
        }, erasure is null && !isPruning ? null : wait);
    }

    /// <summary>Rejects an act.</summary>
    internal static ValueTask<DecisionRefusal?> RejectAsync(IServiceProvider services, HttpContext context, Operator who, string id, string digest) => services.GetRequiredService<Approvals>().RejectAsync(context, who, id, digest, IsOne);

    /// <summary>Carries out what two have decided.</summary>
    internal static async ValueTask<DecisionRefusal?> CarryOutAsync(IServiceProvider services, HttpContext context, Operator who, string id, string digest)
    {
        var approvals = services.GetRequiredService<Approvals>();
        // The scope of a breach is an answer, and notices need their list: they have addresses of their own.
        if (approvals.Current.Proposals.GetValueOrDefault(id) is not { } act || !IsOne(act) || act.Kind is ApprovalKind.BreachScope or ApprovalKind.BreachNotices or ApprovalKind.BreachLetters)
            return DecisionRefusal.NoSuchProposal;
        if (DecisionState.IsDoneWhenApproved(act.Kind))
            return act.Status == ProposalStatus.Open ? DecisionRefusal.NotApproved : DecisionRefusal.AlreadyDecided;
        if (act.Kind == ApprovalKind.BreachCaseEnd && !IsOpen(services, act.Subject))
            return DecisionRefusal.ChangedMeanwhile;
        if (act.Kind == ApprovalKind.KeyCeremony && TryRead(act.Subject, act.Content, out var key, out var step, out _) && step == CeremonyStep.Destroy && await HasLeftAsync(services, key, context.RequestAborted))
            return DecisionRefusal.KeysLeft;
        var standing = ErasureOf(approvals, who, id) is { } erasure ? await StandingAsync(services, erasure.Subject, context.RequestAborted) : null;
        DecisionRefusal? against = standing?.IsOverAt(Now(services)) is false ? DecisionRefusal.StillKept
            : act.Kind == ApprovalKind.AuditPruning ? services.GetRequiredService<AuditRetention>().Against(act) : null;
        if (await approvals.CarryOutAsync(context, who, id, digest, _ => against) is { } refusal)
        {
            if (refusal != DecisionRefusal.AlreadyDecided || !IsOnItsWay(act, services))
                return refusal;
            // What is not there any more is what was on its way to go.
            if (standing is { LastStored: not null } && against is not null)
                return against;
        }
        act = approvals.Current.Proposals[id];
        if (act.Kind == ApprovalKind.AuditPruning)
            return await services.GetRequiredService<AuditRetention>().PruneAsync(context, who, act);
        if (act.Kind == ApprovalKind.Erasure)
        {
            await EraseAsync(services, act, context.RequestAborted);
            return null;
        }
        if (act.Kind == ApprovalKind.StoreRestore)
        {
            var forgotten = await RestoreAsync(services, act, context.RequestAborted);
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, $"Had the key service forget how far {forgotten} records were, by the restore of {act.Subject}.", null, null);
            return null;
        }
        if (act.Kind == ApprovalKind.DataKeyRotation)
        {
            var rotated = await RotateAsync(services, act, context.RequestAborted);
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture,
                $"Had the record of {act.Subject} sealed anew under another data key, {rotated.Rows} rows: it ended at {rotated.Before} under the old one and ends at {rotated.After} now."), null, null);
            return null;
        }
        if (act.Kind == ApprovalKind.CanaryEnd)
        {
            await services.GetRequiredService<WatchedPeople>().RemoveCanaryAsync(act.Subject, context.RequestAborted);
            return null;
        }
        if (act.Kind == ApprovalKind.KeyCeremony)
            return await HoldAsync(services, act, context.RequestAborted) ? null : DecisionRefusal.NotNow;
        return act.Kind != ApprovalKind.BreachCaseEnd || await services.GetRequiredService<BreachCases>().EndAsync(NumberOf(act.Subject), act.Content, act.Digest) ? null : DecisionRefusal.ChangedMeanwhile;
    }

    /// <summary>A time further ahead was meant in another zone.</summary>
    private static readonly TimeSpan ClocksDiffer = TimeSpan.FromMinutes(5);

    private static DateTimeOffset Now(IServiceProvider services) => services.GetRequiredService<TimeProvider>().GetUtcNow();

    /// <summary>The erasure of that id, for who may decide about one; null: it is none.</summary>
    private static Proposal? ErasureOf(Approvals approvals, Operator who, string id) =>
        approvals.Current.Proposals.GetValueOrDefault(id) is { Kind: ApprovalKind.Erasure } act && who.Roles.Contains(Approvals.RoleFor(act.Kind)) ? act : null;

    /// <exception cref="FaultException">It cannot be known now.</exception>
    private static Task<RecordStanding> StandingAsync(IServiceProvider services, string subject, CancellationToken cancel) =>
        services.GetRequiredService<RecordRetention>().OfAsync(PersonOf(services, subject) ?? throw new InvalidOperationException("An erasure names a person."), cancel);

    private static bool IsProfessional(IServiceProvider services, string subject) => !subject.Any(char.IsWhiteSpace)
        && (services.GetService<IProfessionalRights>() is not null || (subject.Split('/', 2) is [var organisation, { Length: > 0 }] && Oid.TryParse(organisation, out _)));

    /// <summary>Whether it is a ceremony, an erasure, the rotation of a data key, the end of a canary or a pruning that has begun, and its approval still counts.</summary>
    private static bool IsOnItsWay(Proposal act, IServiceProvider services) =>
        act is { Kind: ApprovalKind.KeyCeremony or ApprovalKind.Erasure or ApprovalKind.DataKeyRotation or ApprovalKind.CanaryEnd or ApprovalKind.AuditPruning, Status: ProposalStatus.CarriedOut } && Now(services) < act.Until;

    private static async Task<bool> HoldAsync(IServiceProvider services, Proposal act, CancellationToken cancel)
    {
        if (!TryRead(act.Subject, act.Content, out var key, out var step, out var version) || act.ApprovedBy is not { } approver
            || !await services.GetRequiredService<KeyServiceClient>().HoldAsync(new(act.Id, step, version, act.By.OpaqueName, approver.OpaqueName, key), cancel))
            return false;
        if (step == CeremonyStep.Begin && key == KeyKind.Wrapping)
            await services.GetRequiredService<WrappingRotation>().BeginAsync(cancel);
        return true;
    }

    /// <summary>How far the wrapping of data keys is, and under <c>people</c> how far the naming of people and the sealing of their identity codes.</summary>
    internal static async Task<JsonNode> ProgressAsync(IServiceProvider services, CancellationToken cancel)
    {
        var progress = await services.GetRequiredService<WrappingRotation>().ProgressAsync(cancel);
        progress["people"] = await services.GetRequiredService<KeyServiceClient>().PeopleAsync(cancel);
        return progress;
    }

    /// <summary>Whether anything is left under an older version of a key: data keys or identity codes, or people's names.</summary>
    private static async Task<bool> HasLeftAsync(IServiceProvider services, KeyKind key, CancellationToken cancel) =>
        (long)(await services.GetRequiredService<KeyServiceClient>().PeopleAsync(cancel))["left"]! != 0
        || (key == KeyKind.Wrapping && await services.GetRequiredService<WrappingRotation>().HasKeysLeftAsync(cancel));

    private static async Task EraseAsync(IServiceProvider services, Proposal act, CancellationToken cancel)
    {
        if (PersonOf(services, act.Subject) is not { } person || act.ApprovedBy is not { } approver)
            throw new InvalidOperationException("An erasure that was carried out names a person, and who approved.");
        await services.GetRequiredService<RecordErasure>().EraseAsync(new(act.Id, person, act.By.OpaqueName, approver.OpaqueName), cancel);
    }

    private static Task<RotatedRecord> RotateAsync(IServiceProvider services, Proposal act, CancellationToken cancel) =>
        PersonOf(services, act.Subject) is { } person && act.ApprovedBy is { } approver
            ? services.GetRequiredService<RecordRotation>().RotateAsync(new(act.Id, person, act.By.OpaqueName, approver.OpaqueName), cancel)
            : throw new InvalidOperationException("A rotation that was carried out names a person, and who approved.");

    private static async Task<int> RestoreAsync(IServiceProvider services, Proposal act, CancellationToken cancel)
    {
        if (SinceIn(act.Content) is not { } since || act.ApprovedBy is not { } approver)
            throw new InvalidOperationException("A restore that was carried out names a time, and who approved.");
        Pseudonym? only = act.Subject == Store ? null : act.Subject == Directory ? Pseudonym.Directory
            : PersonOf(services, act.Subject) ?? throw new InvalidOperationException("A restore that was carried out names what it is of.");
        return await services.GetRequiredService<KeyServiceClient>().RestoreAsync(new(act.Id, only, since, act.By.OpaqueName, approver.OpaqueName), cancel);
    }

    /// <summary>The time of the backup that a restore names; null: none.</summary>
    private static DateTimeOffset? SinceIn(string content) => DateTimeOffset.TryParseExact(content, "yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var since) ? since : null;

    private static bool IsStored(IServiceProvider services, string subject) => subject is Store or Directory || PersonOf(services, subject) is not null;

    /// <summary>Whose record an act is about; null: nobody's here.</summary>
    private static Pseudonym? PersonOf(IServiceProvider services, string subject) => subject.StartsWith(Patient, StringComparison.Ordinal)
        && services.GetRequiredService<IdentifierCipher>().TryReadResourceId(subject.AsSpan(Patient.Length).ToString(), out var compartment, out var sequence) && sequence == 0 && !compartment.IsDirectory
            ? compartment : null;

    /// <summary>Whether an act is one about a person, who is named by a right identity code, which is not kept with it.</summary>
    private static bool TryReadCode(ApprovalKind kind, string? subject, string text, bool testCodes, out PersonalIdentityCode code) =>
        PersonalIdentityCode.TryParse(text, out code) && subject is null && kind is ApprovalKind.Erasure or ApprovalKind.DataKeyRotation or ApprovalKind.StoreRestore or ApprovalKind.CanaryEnd && SearchedCompartment.ForeignCode(code, testCodes) is null;

    private static bool TryRead(string subject, string content, out KeyKind key, out CeremonyStep step, out uint version)
    {
        version = 0;
        step = content switch { "begin" => CeremonyStep.Begin, "destroy" => CeremonyStep.Destroy, _ => default };
        key = subject.StartsWith(PseudonymKey, StringComparison.Ordinal) ? KeyKind.Pseudonym : KeyKind.Wrapping;
        var prefix = key == KeyKind.Pseudonym ? PseudonymKey : WrappingKey;
        return step != default && subject.StartsWith(prefix, StringComparison.Ordinal) && uint.TryParse(subject.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out version)
            && version >= (step == CeremonyStep.Begin ? 2 : 1);
    }

    /// <summary>Whether the subject is a case that has not ended.</summary>
    private static bool IsOfCase(ApprovalKind kind) => kind is ApprovalKind.BreachCaseEnd or ApprovalKind.BreachScope or ApprovalKind.BreachNotices or ApprovalKind.BreachLetters;

    /// <summary>Uses the approval of an act about a case up, which is not carried out under <c>/operator/acts</c>; as long as it counts, the same is asked for again by it.</summary>
    /// <returns>Why it may not be; null: it may.</returns>
    internal static async ValueTask<DecisionRefusal?> CarryOutAsync(IServiceProvider services, HttpContext context, Operator who, ApprovalKind kind, string id, string digest, long? number = null)
    {
        var approvals = services.GetRequiredService<Approvals>();
        if (approvals.Current.Proposals.GetValueOrDefault(id) is not { } act || act.Kind != kind || (number is { } of && NumberOf(act.Subject) != of))
            return DecisionRefusal.NoSuchProposal;
        if (!IsOpen(services, act.Subject))
            return DecisionRefusal.ChangedMeanwhile;
        return await approvals.CarryOutAsync(context, who, id, digest) is { } refusal
            && !(refusal == DecisionRefusal.AlreadyDecided && act.Status == ProposalStatus.CarriedOut && act.Digest == digest && Now(services) < act.Until) ? refusal : null;
    }

    /// <summary>The name of a kind of act here.</summary>
    internal static string NameOf(ApprovalKind kind) => Kinds.First(its => its.Value == kind).Key;

    private static bool IsOne(Proposal proposal) => Kinds.ContainsValue(proposal.Kind);

    /// <summary>Whether a subject names a breach case of this gateway that has not ended: by its number, and by the name that an act about it is kept under.</summary>
    internal static bool IsOpen(IServiceProvider services, string subject) => services.GetService<BreachCases>() is { } cases && cases.IsOpen(NumberOf(subject))
        && (!subject.Contains('/', StringComparison.Ordinal) || subject == NamedCase(cases, subject));

    internal static long NumberOf(string subject) => long.TryParse(subject.AsSpan(0, subject.IndexOf('/', StringComparison.Ordinal) is >= 0 and var end ? end : subject.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;

    /// <summary>Every gateway counts its own cases and all share the acts: what is decided of one is carried out of that one, where it is.</summary>
    private static string NamedCase(BreachCases cases, string subject) => string.Create(CultureInfo.InvariantCulture, $"{NumberOf(subject)}/{cases.NameOf(NumberOf(subject)).AsSpan(0, 16)}");

    /// <summary>The act, and of an erasure whose record it is about: that somebody is told so is recorded before.</summary>
    private static async Task<JsonObject> DescribeAsync(IServiceProvider services, HttpContext context, Operator who, Proposal act)
    {
        var described = Describe(act);
        if (act.Kind == ApprovalKind.DisputeEnd)
            described["content"] = services.GetRequiredService<DisputeAnswers>().Open(act.Content);
        if (act.Kind != ApprovalKind.Erasure)
            return described;
        RecordStanding standing;
        try
        {
            standing = await StandingAsync(services, act.Subject, context.RequestAborted);
        }
        catch (FaultException)
        {
            // The act can be rejected all the same; to approve of it or to carry it out asks again.
            return described;
        }
        await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, $"Was told from when the record of {act.Subject} is, and who keeps it.", null, null);
        described["about"] = standing.Describe(Now(services));
        return described;
    }

    private static JsonObject Describe(Proposal act) => new()
    {
        ["id"] = act.Id,
        ["kind"] = NameOf(act.Kind),
        ["subject"] = act.Subject,
        ["content"] = act.Content,
        ["digest"] = act.Digest,
        ["status"] = act.Status == ProposalStatus.Approved ? "approved" : "open",
        ["proposed_by"] = act.By.Name,
        ["proposed_at"] = act.At,
        ["not_before"] = act.NotBefore,
        ["until"] = act.Until,
    };
}
