namespace KantaGateway.Gateway.Consent;

/// <summary>
/// Everything about one person on which decisions rest, compiled once per policy version: no text left to parse. What holds depends on the
/// time too, so it is found once for each stretch in which nothing begins or ends. Immutable but for what it remembers of itself; thread-safe.
/// </summary>
/// <remarks>Valid as long as the repository says the version still holds; it says so in the snapshot that it reads (law 3).</remarks>
public sealed class PolicySnapshot
{
    private readonly CareEvents _events;
    private readonly bool _unreadable;
    private PolicyState? _state;

    private PolicySnapshot(long version, IReadOnlyList<Declaration> declarations, bool unreadable, IReadOnlyList<ServiceEvent> serviceEvents, PersonFacts person)
    {
        Version = version;
        Declarations = declarations;
        Person = person;
        _unreadable = unreadable;
        _events = new(serviceEvents);
    }

    /// <summary>A person of whom nothing is known.</summary>
    public static PolicySnapshot Empty { get; } = new(0, [], false, [], PersonFacts.Unknown);

    public long Version { get; }

    /// <summary>All declarations, in force or withdrawn; the person sees them in the portal.</summary>
    public IReadOnlyList<Declaration> Declarations { get; }

    public PersonFacts Person { get; }

    /// <summary>Whether an access was ever disputed: then a decision about an own register rests on the policy too.</summary>
    public bool HasRestrictions => Declarations.Any(static declaration => declaration is AccessRestriction);

    /// <param name="version">Policy version of the compartment; 0 where nothing was ever declared.</param>
    /// <param name="declarations">Those read from the Consents, any order; null stands for one that could not be read.</param>
    /// <param name="serviceEvents">Those not finished, of all controllers.</param>
    /// <param name="person">What is known of the person; null: nothing.</param>
    public static PolicySnapshot Compile(long version, IEnumerable<Declaration?> declarations, IEnumerable<ServiceEvent> serviceEvents, PersonFacts? person = null)
    {
        var facts = person ?? PersonFacts.Unknown;
        var read = new List<Declaration>();
        var unreadable = false;
        foreach (var declaration in declarations)
            if (declaration is null)
                unreadable = true;
            else
                read.Add(Told(declaration, facts));
        return new(version, read, unreadable, serviceEvents as IReadOnlyList<ServiceEvent> ?? [.. serviceEvents], facts);
    }

    /// <summary>The same person had they declared this too, in the place of its former version where it has one: for the preview before it is saved.</summary>
    public PolicySnapshot With(Declaration declared) =>
        new(Version, [.. Declarations.Where(d => declared.Id.Length == 0 || d.Id != declared.Id), Told(declared with { Order = long.MaxValue, StoredAt = null }, Person)], _unreadable, _events, Person);

    /// <summary>Of who was of age a related person spoke by a mandate, as the person (§50).</summary>
    private static Declaration Told(Declaration declared, PersonFacts person) =>
        declared.ByCustodian && !person.MayBeMinorAt(declared.SaidAt) ? declared with { ByCustodian = false } : declared;

    private PolicySnapshot(long version, IReadOnlyList<Declaration> declarations, bool unreadable, CareEvents events, PersonFacts person) =>
        (Version, Declarations, _unreadable, _events, Person) = (version, declarations, unreadable, events, person);

    /// <summary>What is in force at a time.</summary>
    internal PolicyState At(DateTimeOffset now)
    {
        var state = Volatile.Read(ref _state);
        if (state is not null && state.HoldsAt(now))
            return state;
        state = new(Declarations, _unreadable, Person, now);
        Volatile.Write(ref _state, state);
        return state;
    }

    /// <summary>The disclosure permission in force (§54, §58); null: none.</summary>
    public DisclosurePermit? PermissionAt(DateTimeOffset now) => At(now).Permission;

    /// <summary>The emergency that a professional has recorded and that is not over (§54.2); null: none.</summary>
    public EmergencyAccess? EmergencyOf(string? professional, string organisation, DateTimeOffset now) => At(now).EmergencyOf(professional, organisation, now);

    /// <summary>Whether an event of the organisation is one that it has begun and not ended, and that proves nothing only because nobody has written it for <see cref="ServiceEvent.Lasts"/>.</summary>
    /// <param name="organisation">OID of the requester's organisation.</param>
    /// <param name="oid">OID of the service event.</param>
    /// <param name="at">Time of the request, UTC.</param>
    internal bool IsStale(string organisation, string oid, DateTimeOffset at) => _events.IsStale(organisation, oid, at);

    /// <summary>Whether the organisation treats the person in this of its registers for employers (§18).</summary>
    internal Treatment TreatmentIn(string organisation, string register, DateTimeOffset at) => _events.TreatmentIn(organisation, register, at);

    /// <summary>Whether an emergency that a professional recorded of this person has waited too long for its review (§54.2).</summary>
    /// <param name="professional">Unique id.</param>
    /// <param name="organisation">For which it was recorded; null: for any.</param>
    /// <param name="now">UTC.</param>
    /// <param name="ended">What was recorded before is settled by operators; null: nothing is.</param>
    public bool HasOverdueEmergency(string? professional, string? organisation, DateTimeOffset now, DateTimeOffset? ended = null) => At(now).HasOverdue(professional, organisation, ended, now);

    /// <summary>The emergencies that nobody has settled yet, over or not (EHDS Art. 11(5)).</summary>
    public IReadOnlyList<EmergencyAccess> UnsettledAt(DateTimeOffset now)
    {
        var state = At(now);
        return [.. state.Records.OfType<EmergencyAccess>().Where(emergency => state.ReviewOf(emergency.Id) is null)];
    }

    /// <summary>What of the person's declarations is in force: the permission, and the denials newest first.</summary>
    public (DisclosurePermit? Permission, IReadOnlyList<DisclosureDenial> Denials) InForceAt(DateTimeOffset now)
    {
        var state = At(now);
        return (state.Permission, state.Denials);
    }

    /// <summary>The care relationship (hoitosuhde) that an open service event or booking of the organisation proves; null: none.</summary>
    /// <param name="organisation">OID of the requester's organisation.</param>
    /// <param name="oid">A particular service event; null: any open one, with the services that all open ones are of.</param>
    /// <param name="at">Time of the request, UTC.</param>
    /// <param name="unit">OID of the unit in which the requester acts: an event that names its unit is of a protected service to that unit alone (§26.2). Null: none is known.</param>
    public CareRelationship? RelationshipOf(string organisation, string? oid, DateTimeOffset at, string? unit = null) => _events.RelationshipOf(organisation, oid, at, unit);
}
