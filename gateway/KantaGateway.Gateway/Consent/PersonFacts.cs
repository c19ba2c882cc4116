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

    /// <summary>For how long a record is kept after the person's death, years (Act 703/2023, Annex).</summary>
    public const int YearsAfterDeath = 12;

    private const int YearsFromBirth = 120, AbleFrom = 12;

    /// <summary>The last day on which the person may have been born.</summary>
    public DateOnly? BornBy { get; init; } = BirthDate;

    /// <summary>The birth date from which majority is counted: the last of those that are equally well founded, see <see cref="Of"/>.</summary>
    public DateOnly? CustodyFrom { get; init; } = BirthDate;

    /// <summary>The earliest birth date that anybody states, see <see cref="IsMinorByAllAt"/>.</summary>
    public DateOnly? FirstBirth { get; init; } = BirthDate;

    /// <summary>When the person died at the latest.</summary>
    public DateTimeOffset? DiedBy { get; init; } = Deceased;

    /// <summary>When a register stored that the person lives; null: it says nothing of that.</summary>
    public DateTimeOffset? AliveAt { get; init; }

    /// <summary>When a register stored its newest record of the person; null: not known.</summary>
    public DateTimeOffset? StoredAt { get; init; }

    /// <summary>OID of the controller whose register states it: all registers of one have one voice; null: one of its own.</summary>
    public string? Controller { get; init; }

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
    /// <param name="controller">OID of the controller whose record it is; null: not known.</param>
    public static PersonFacts Stated(string? birthDate, string? deceased, string? stored = null, bool isAlive = false, string? controller = null)
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
            Controller = controller,
            KeptUntil = EndOf(bornBy, died is { } latest ? At(latest.End - 1) : null),
        };
    }

    /// <summary>What follows from the records that several registers keep of one person, none of which is surer than another.</summary>
    /// <remarks>
    /// Of birth dates that agree the most exact counts. Of those that do not, the one that most controllers state; of equally many, each use takes the one that harms nobody for
    /// good: by the earliest a child is able to decide (§34), by the latest custody ends. That somebody is a custodian the population register says of each session, and it knows
    /// the age (§50): one clinic's wrong year shuts no parent out. A death that any states ends mandates and custody, until another register stores after that day that the person
    /// lives (Patient.deceasedBoolean false): one mistake is put right by whoever knows better. Nobody makes the others' entries vanish: a death that a record contradicts which was
    /// stored after it and knows of none ends no retention at all, for whoever has been registered since may well live. One that two controllers know and nobody contradicts ends it,
    /// also where others say nothing. Else it ends when it ends by every record that says when, and by two controllers at least where others say nothing. So a record with nothing but a
    /// name, of before, reopens nothing of somebody whose end two controllers know.
    /// </remarks>
    public static PersonFacts Of(IReadOnlyList<PersonFacts> records)
    {
        if (records.Count < 2)
            return records.Count == 0 ? Unknown : records[0].HeldAgainst(records);
        var births = records.Where(static record => record.BirthDate is not null).ToList();
        var first = births.Min(static record => record.BirthDate);
        var support = births.Select(its => Voices(births.Where(its.IsBornWith))).ToList();
        births = [.. births.Where((_, i) => support[i] == support.Max())];
        var (born, bornBy) = (births.Max(static record => record.BirthDate), births.Min(static record => record.BornBy));
        var agree = born <= bornBy;
        var deaths = records.Where(record => record.Deceased is not null && !records.Any(other => other.AliveAt > record.DiedBy)).ToList();
        var undisputed = records.Where(record => record.Deceased is not null && !records.Any(other => other.Deceased is null && other.StoredAt > record.DiedBy)).ToList();
        var ends = (Voices(undisputed) > 1 ? undisputed : records.Select(record => record.Deceased is null || undisputed.Contains(record) ? record : record with { KeptUntil = EndOf(record.BornBy, null) }))
            .Where(static record => record.KeptUntil is not null).ToList();
        return new PersonFacts(agree ? born : births.Min(static record => record.BirthDate), deaths.Min(static record => record.Deceased))
        {
            BornBy = agree ? bornBy : births.Max(static record => record.BornBy),
            CustodyFrom = born,
            FirstBirth = first,
            DiedBy = deaths.Max(static record => record.DiedBy),
            KeptUntil = ends.Count == records.Count || Voices(ends) > 1 ? ends.Max(static record => record.KeptUntil) : null,
        }.HeldAgainst(records);
    }

    /// <summary>Of who is said to live after her record should have ended it has not, whatever births and deaths are stated.</summary>
    private PersonFacts HeldAgainst(IReadOnlyList<PersonFacts> records) => records.Any(record => record.AliveAt > KeptUntil) ? this with { KeptUntil = null } : this;

    /// <summary>Whether somebody may have had custody then: not known to be of age.</summary>
    internal bool MayBeMinorAt(DateTimeOffset at) => AgeAt(at) is null or < Majority;

    /// <summary>Whether the person was a minor then by every birth date that anybody states: one register's mistake makes nobody a child whose representative is not heard.</summary>
    internal bool IsMinorByAllAt(DateTimeOffset at) => YearsFrom(FirstBirth, at) < Majority;

    /// <summary>Until when a child counts as not able to decide where nothing is recorded (§34): midnight in Finland; null where the birth date is not known.</summary>
    public DateTimeOffset? TwelfthBirthday => BirthDate is { } born ? Birthday(born, AbleFrom) : null;

    /// <summary>The same by the earliest birth date that anybody states.</summary>
    internal DateTimeOffset? EarliestTwelfthBirthday => FirstBirth is { } born ? Birthday(born, AbleFrom) : null;

    /// <summary>Of how many controllers records are.</summary>
    private static int Voices(IEnumerable<PersonFacts> records) => records.GroupBy(static record => record.Controller).Sum(static its => its.Key is null ? its.Count() : 1);

    /// <summary>Whether two records may be of one birth.</summary>
    private bool IsBornWith(PersonFacts other) => BirthDate <= other.BornBy && other.BirthDate <= BornBy;

    /// <summary>Completed years of age on the day that it is in Finland, by which custody ends; null where the birth date is not known.</summary>
    public int? AgeAt(DateTimeOffset at) => YearsFrom(CustodyFrom, at);

    private static int? YearsFrom(DateOnly? birth, DateTimeOffset at)
    {
        if (birth is not { } born)
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
