using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>What one kind of viewer would see of the entries of one controller.</summary>
/// <param name="Controller">OID of the data controller.</param>
/// <param name="Register">As <see cref="Fhir.Grants.Register"/> names it.</param>
/// <param name="Count">How many entries there are.</param>
/// <param name="Now">How many are seen as things are, for each <see cref="Viewer"/> in turn, the last one only where public providers share registers.</param>
/// <param name="Then">How many would be seen, likewise; null where nothing is about to change.</param>
internal sealed record SeenOfController(string Controller, string Register, int Count, IReadOnlyList<int> Now, IReadOnlyList<int>? Then);

/// <summary>Whether a professional sees an entry, and why.</summary>
/// <param name="Entry">What was asked about.</param>
/// <param name="Treats">Whether the organisation treats the person, as assumed or as its service events prove.</param>
/// <param name="Sees">Whether the entry is seen.</param>
/// <param name="Because">Why, or why not; at least one reason.</param>
/// <param name="Basis">On what basis the professional sees anything; null where the request would be refused.</param>
/// <param name="Rules">Which rules fired.</param>
internal sealed record SeenEntry(EntryPlace Entry, bool Treats, bool Sees, IReadOnlyList<Because> Because, LegalBasis? Basis, IReadOnlyList<Rule> Rules);

/// <summary>What an answer rests on and shows, for its record.</summary>
/// <param name="Interaction">What was asked.</param>
/// <param name="Permit">By which the asker was let to ask.</param>
/// <param name="Policy">The person's declarations.</param>
/// <param name="At">When it was decided, UTC.</param>
internal sealed record Asked(Interaction Interaction, Decision.Permit Permit, PolicySnapshot Policy, DateTimeOffset At);

/// <summary>"Who would see what if I save this", and "why is this seen".</summary>
internal interface IWhoSeesWhat
{
    /// <summary>What each <see cref="Viewer"/> sees of the person's record, by controller: of what the asker sees of it.</summary>
    /// <param name="citizen">The person, who represents them, or an app of theirs.</param>
    /// <param name="about">What is about to be declared; null: as things are.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">The asker may not know, may not declare this, or the repository cannot be reached.</exception>
    async Task<IReadOnlyList<SeenOfController>> OfAsync(Requester citizen, Declaration? about, CancellationToken cancel) => (await PreviewAsync(citizen, about, cancel)).Seen;

    /// <summary>What decisions about the person's record rest on, as the repository has it now.</summary>
    /// <param name="citizen">The person, or who holds a mandate of theirs.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">The asker may not know, or the repository cannot be reached.</exception>
    Task<PolicySnapshot> PolicyAsync(Requester citizen, CancellationToken cancel);

    /// <inheritdoc cref="OfAsync"/>
    Task<(IReadOnlyList<SeenOfController> Seen, Asked Asked)> PreviewAsync(Requester citizen, Declaration? about, CancellationToken cancel);

    /// <summary>Whether a professional sees an entry, and why.</summary>
    /// <param name="citizen">The person, who represents them, or an app of theirs.</param>
    /// <param name="type">FHIR resource type of the entry.</param>
    /// <param name="id">Its logical id.</param>
    /// <param name="onlooker">Of whom it is asked.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">The asker may not know, or does not see such an entry; or the repository cannot be reached.</exception>
    Task<(SeenEntry Seen, Asked Asked)> ExplainAsync(Requester citizen, string type, string id, Onlooker onlooker, CancellationToken cancel);
}

/// <summary>The decisions about made-up professionals, held against the person's own record.</summary>
internal sealed class WhoSeesWhat(PolicyLookup policies, PolicyPreview preview, IControllers controllers, GatewayOptions options, TimeProvider time) : IWhoSeesWhat
{
    /// <summary>In the order of their numbers; the public providers of Uusimaa where there are any.</summary>
    private readonly Viewer[] _viewers = [.. Enum.GetValues<Viewer>().Where(viewer => viewer != Viewer.Joint || options.JointControllers.Count > 0)];

    /// <inheritdoc />
    public async Task<PolicySnapshot> PolicyAsync(Requester citizen, CancellationToken cancel) => (await AskAsync(citizen, [], cancel)).Asked.Policy;

    /// <inheritdoc />
    public async Task<(IReadOnlyList<SeenOfController>, Asked)> PreviewAsync(Requester citizen, Declaration? about, CancellationToken cancel)
    {
        var (person, asked) = await AskAsync(citizen, [], cancel);
        var (policy, now) = (asked.Policy, asked.At);
        if (about is not null)
            RequireSavable(citizen, person, about, policy, now);
        var scopes = _viewers.Select(v => Preview.Of(v, policy, now, options.JointControllers).Scope).ToList();
        if (about is not null)
            scopes.AddRange(_viewers.Select(v => Preview.Of(v, policy.With(about), now, options.JointControllers).Scope));
        var counted = await preview.CountAsync(citizen, person, new() { Within = asked.Permit.Scope, Scopes = scopes }, cancel);
        // Declarations are nobody else's, and a Patient is known to whoever treats them.
        return (
        [
            .. counted.Where(c => c.Type is not ("Consent" or "Patient" or "AuditEvent")).GroupBy(c => (c.Controller, c.Register)).Select(g => new SeenOfController(
                g.Key.Controller, g.Key.Register, g.Sum(c => c.Count), Sum(g, 0), about is null ? null : Sum(g, _viewers.Length))),
        ], asked);
    }

    /// <inheritdoc />
    public async Task<(SeenEntry, Asked)> ExplainAsync(Requester citizen, string type, string id, Onlooker onlooker, CancellationToken cancel)
    {
        var (person, asked) = await AskAsync(citizen, [(type, 'r')], cancel);
        var (policy, now) = (asked.Policy, asked.At);
        var decision = Preview.Of(onlooker, policy, now);
        var permit = decision as Decision.Permit;
        var reached = permit?.Scope ?? DisclosureScope.Nothing;
        // What is not even seen where all is disclosed never is: the signed form of a declaration, and what tells of one (EHDS Art. 8).
        IReadOnlyList<DisclosureScope> scopes = [.. EntryExplanation.PartsOf(reached), new() { Breadth = Breadth.Disclosed, Controller = reached.Controller, Register = reached.Register }];
        var counted = await preview.CountAsync(citizen, person, new() { Within = asked.Permit.Scope, Scopes = scopes, Only = new(type, id) }, cancel);
        if (counted is not [{ Count: 1 } found])
            throw new FaultException(Fault.Absent);
        var entry = new EntryPlace(type, id, found.Controller, found.Register, found.ServiceEvent);
        bool[] shown = [.. found.Seen.Select(count => count > 0)];
        return (new(entry, onlooker.IsTreating || (onlooker.Organisation is { } its && policy.RelationshipOf(its.ToString(), null, now) is not null), permit is not null && shown[0],
            permit is null ? [new(Why.Refused, [])]
                : !shown[^1] && !permit.Rules.Contains(Rule.RetentionOver) && !permit.Rules.Contains(Rule.Restricted) ? [new(Why.NeverDisclosed, [])]
                : EntryExplanation.Of(permit, entry, shown, policy, onlooker.IsEmergency, now), permit?.Basis, permit?.Rules ?? []), asked);
    }

    /// <summary>Lets who reads the person's declarations ask: the answers rest on them. Whoever is not shown them is told nothing.</summary>
    private async Task<(Pseudonym Person, Asked Asked)> AskAsync(Requester citizen, IReadOnlyList<(string, char)> needs, CancellationToken cancel)
    {
        if (citizen.Person is not { } person)
            throw new FaultException(Refusals.FaultOf(DenyReason.NoLegalBasis));
        var interaction = new Interaction { Kind = InteractionKind.Everything, Type = "Consent", Compartment = person, Needs = [("Consent", 'r'), .. needs] };
        var policy = await policies.FetchAsync(citizen, person, cancel);
        var now = time.GetUtcNow();
        var decision = ConsentDecision.Decide(citizen, interaction, policy, null, now);
        if (decision is not Decision.Permit permit)
            throw new FaultException(Refusals.FaultOf(decision is Decision.Deny deny ? deny.Reason : DenyReason.NoLegalBasis));
        // A child's declarations are the child's (§51).
        if (!permit.Scope.Admits("Consent", "", Register.Patient, Hidden.None))
            throw new FaultException(DeclarationsAreHidden);
        return (person, new(interaction, permit, policy, now));
    }

    private static Fault DeclarationsAreHidden { get; } = new(FaultKind.Denied, "What has been declared is not shown to who asks, so nothing that rests on it is told (Act 703/2023 §51).");

    /// <summary>What would be refused when it is saved is not previewed either.</summary>
    private void RequireSavable(Requester citizen, Pseudonym person, Declaration about, PolicySnapshot policy, DateTimeOffset now)
    {
        var isNew = about.Id.Length == 0;
        var interaction = new Interaction
        {
            Kind = isNew ? InteractionKind.Create : InteractionKind.Update,
            Type = "Consent",
            Compartment = person,
            Needs = [("Consent", isNew ? 'c' : 'u')],
            Declares = about,
            KindsOfDenied = about is DisclosureDenial { Target: DenialTarget.OfRegister target } ? controllers.KindsOf(target.Controller) : [],
        };
        if (ConsentDecision.Decide(citizen, interaction, policy, null, now) is Decision.Deny deny)
            throw new FaultException(Refusals.FaultOf(deny.Reason));
    }

    private int[] Sum(IEnumerable<PreviewedEntries> entries, int from) => [.. _viewers.Select((_, i) => entries.Sum(e => e.Seen[from + i]))];
}
