using KantaGateway.Fhir.Search;

namespace KantaGateway.Gateway.Consent;

/// <summary>What of the person themselves decisions rest on. Days are those of the Finnish calendar.</summary>
/// <param name="BirthDate">Where only a year or a month is stated its first day, see <see cref="Stated"/>; null: not known.</param>
/// <param name="Deceased">When the person died at the earliest, UTC; null: alive, or not known to be dead.</param>
public sealed record PersonFacts(DateOnly? BirthDate, DateTimeOffset? Deceased)
{
    public static readonly PersonFacts Unknown = new(null, null);

    /// <summary>Age in years at which custody ends.</summary>
    public const int Majority = 18;

    private const int YearsAfterDeath = 12, YearsFromBirth = 120, AbleFrom = 12;

    /// <summary>The last day on which the person may have been born.</summary>
    public DateOnly? BornBy { get; init; } = BirthDate;

    /// <summary>The birth date from which majority is counted: the last of those that are equally well founded, see <see cref="Of"/>.</summary>
    public DateOnly? CustodyFrom { get; init; } = BirthDate;

    /// <summary>When the person died at the latest.</summary>
    public DateTimeOffset? DiedBy { get; init; } = Deceased;

    /// <summary>When a register stored that the person lives; null: it says nothing of that.</summary>
    public DateTimeOffset? AliveAt { get; init; }

    /// <summary>When a register stored its newest record of the person; null: not known.</summary>
    public DateTimeOffset? StoredAt { get; init; }

    /// <summary>From when on nothing may be shown any more: 12 years after death, or 120 from birth where no death is known.</summary>
    /// <remarks>Act 703/2023, Annex (care entries) and §24: they are destroyed then; until that is done nobody is given them.</remarks>
    public DateTimeOffset? KeptUntil { get; init; } = EndOf(BirthDate, Deceased);

    /// <summary>What one register's Patient record states. A day, a month or a year of birth and death may be known; each use takes the end that hides.</summary>
    /// <remarks>
    /// Who was born in 2008 counts as born on its first day: custody ends as soon as it may have ended (§50), and entries count as those of a child able to decide as soon
    /// as it may have been twelve (§34). A mandate ends as soon as the person may have died. Retention alone (§24) is counted from the last day: it hides nothing from who must
    /// not see it, and to end it too soon would keep a living person's record from those who treat them.
    /// </remarks>
    /// <param name="birthDate">FHIR date; null, and what cannot be read: not known.</param>
    /// <param name="deceased">FHIR date or dateTime; null: not known to be dead. What cannot be read is a death of unknown time: it ends mandates, and no retention.</param>
    /// <param name="stored">FHIR instant at which the record was stored; null: not known.</param>
    /// <param name="isAlive">Whether it says that the person lives.</param>
    public static PersonFacts Stated(string? birthDate, string? deceased, string? stored = null, bool isAlive = false)
    {
        var storedAt = TimeRange.TryParse(stored, out var instant) ? At(instant.Start) : (DateTimeOffset?)null;
        var born = TimeRange.TryParse(birthDate, out var birth) ? birth : (TimeRange?)null;
        var died = deceased is null ? (TimeRange?)null : TimeRange.TryParse(deceased, out var death) ? death : new(long.MinValue, long.MaxValue);
        var bornBy = born is { } last ? FinnishTime.DayOf(At(last.End - 1)) : (DateOnly?)null;
        return new(born is { } first ? FinnishTime.DayOf(At(first.Start)) : null, died is { } earliest ? At(earliest.Start) : null)
        {
            BornBy = bornBy,
            DiedBy = died is { } end ? At(end.End - 1) : null,
            AliveAt = isAlive ? storedAt : null,
            StoredAt = storedAt,
            KeptUntil = EndOf(bornBy, died is { } latest ? At(latest.End - 1) : null),
        };
    }

    /// <summary>What follows from the records that several registers keep of one person, none of which is surer than another.</summary>
    /// <remarks>
    /// Of birth dates that agree the most exact counts. Of those that do not, the one that most registers state; of equally many, each use takes the one that harms nobody for
    /// good: by the earliest a child is able to decide (§34), by the latest custody ends. That somebody is a custodian the population register says of each session, and it knows
    /// the age (§50): one clinic's wrong year shuts no parent out. A death that any states ends mandates and custody, until another register stores after that day that the person
    /// lives (Patient.deceasedBoolean false): one mistake is put right by whoever knows better. Nobody makes the others' entries vanish: retention ends when it ends by every
    /// record that says when, and by two of them at least where others say nothing. A death that two registers know counts also against those that know of none, but not against one that
    /// was stored after it: whoever has been registered since may well live. So a record with nothing but a name reopens nothing of somebody whose end two registers knew before.
    /// </remarks>
    public static PersonFacts Of(IReadOnlyList<PersonFacts> records)
    {
        if (records.Count < 2)
            return records.Count == 0 ? Unknown : records[0];
        var births = records.Where(static record => record.BirthDate is not null).ToList();
        var support = births.Select(its => births.Count(its.IsBornWith)).ToList();
        births = [.. births.Where((_, i) => support[i] == support.Max())];
        var (born, bornBy) = (births.Max(static record => record.BirthDate), births.Min(static record => record.BornBy));
        var agree = born <= bornBy;
        var deaths = records.Where(record => record.Deceased is not null && !records.Any(other => other.AliveAt > record.DiedBy)).ToList();
        var undisputed = deaths.FindAll(death => !records.Any(other => other.Deceased is null && other.StoredAt > death.DiedBy));
        var ends = (undisputed.Count > 1 ? undisputed : records).Where(static record => record.KeptUntil is not null).ToList();
        return new(agree ? born : births.Min(static record => record.BirthDate), deaths.Min(static record => record.Deceased))
        {
            BornBy = agree ? bornBy : births.Max(static record => record.BornBy),
            CustodyFrom = born,
            DiedBy = deaths.Max(static record => record.DiedBy),
            KeptUntil = ends.Count == records.Count || ends.Count > 1 ? ends.Max(static record => record.KeptUntil) : null,
        };
    }

    /// <summary>Whether somebody may have had custody then: not known to be of age.</summary>
    internal bool MayBeMinorAt(DateTimeOffset at) => AgeAt(at) is null or < Majority;

    /// <summary>Until when a child counts as not able to decide where nothing is recorded (§34): midnight in Finland; null where the birth date is not known.</summary>
    public DateTimeOffset? TwelfthBirthday => BirthDate is { } born ? Birthday(born, AbleFrom) : null;

    /// <summary>Whether two records may be of one birth.</summary>
    private bool IsBornWith(PersonFacts other) => BirthDate <= other.BornBy && other.BirthDate <= BornBy;

    /// <summary>Completed years of age on the day that it is in Finland, by which custody ends; null where the birth date is not known.</summary>
    public int? AgeAt(DateTimeOffset at)
    {
        if (CustodyFrom is not { } born)
            return null;
        var day = FinnishTime.DayOf(at);
        var age = day.Year - born.Year;
        return born.AddYears(age) > day ? age - 1 : age;
    }

    private static DateTimeOffset? EndOf(DateOnly? bornBy, DateTimeOffset? diedBy) =>
        diedBy is { } died ? died.Year + YearsAfterDeath > DateTimeOffset.MaxValue.Year ? DateTimeOffset.MaxValue : died.AddYears(YearsAfterDeath)
        : bornBy is { } born ? Birthday(born, YearsFromBirth)
        : null;

    private static DateTimeOffset Birthday(DateOnly born, int years) =>
        born.Year + years > DateOnly.MaxValue.Year ? DateTimeOffset.MaxValue : FinnishTime.Midnight(born.AddYears(years));

    private static DateTimeOffset At(long utcTicks) => new(Math.Clamp(utcTicks, 0, DateTime.MaxValue.Ticks), TimeSpan.Zero);
}

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
