using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Tests.Consent;

/// <summary>What age and death begin and end: retention (§24, Annex), representation (§50), what custodians see (§34).</summary>
public sealed class PersonFactsTests
{
    private static readonly DateTimeOffset Now = ConsentWorld.Now;

    [Theory]
    [InlineData("2014-11-25T12:00:00Z", true)]
    [InlineData("2014-11-25T12:00:01Z", false)]
    public void Nothing_is_shown_twelve_years_after_death(string died, bool isOver) => Assert.Equal(isOver, IsOver(new(new(1990, 1, 1), At(died))));

    [Theory]
    [InlineData("1906-11-25", true)]
    [InlineData("1906-11-26", false)]
    public void Nothing_is_shown_a_hundred_and_twenty_years_from_birth(string born, bool isOver) => Assert.Equal(isOver, IsOver(new(Day(born), null)));

    [Fact]
    public void Death_decides_where_it_is_known()
    {
        Assert.False(IsOver(new(new(1900, 1, 1), Now.AddYears(-1))));
        Assert.False(IsOver(PersonFacts.Unknown));
    }

    [Fact]
    public void What_ends_after_the_last_day_that_there_is_does_not_end()
    {
        Assert.Equal(DateTimeOffset.MaxValue, new PersonFacts(null, DateTimeOffset.MaxValue).KeptUntil);
        Assert.Equal(DateTimeOffset.MaxValue, new PersonFacts(DateOnly.MaxValue, null).KeptUntil);
        Assert.Equal(DateTimeOffset.MaxValue, new PersonFacts(DateOnly.MaxValue, null).TwelfthBirthday);
        Assert.Equal(At("9998-12-31T22:00Z"), new PersonFacts(new(9987, 1, 1), null).TwelfthBirthday);
    }

    [Fact]
    public void What_is_kept_no_longer_is_not_written_into_the_past()
    {
        // What an update would show of a record is decided as any write is: it may be corrected until it is destroyed.
        var policy = ConsentWorld.Policy([], false, person: new(null, Now.AddYears(-13)));
        Assert.Equal(Breadth.OwnRegister, Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Create, "Observation"), policy)).Scope.Breadth);
    }

    /// <summary>A transaction of reads, a patch and what criteria choose show what is there, or act by it: as little as a read. By id it is answered as where there never was anything.</summary>
    [Theory]
    [InlineData(InteractionKind.Transaction, "r")]
    [InlineData(InteractionKind.Transaction, "cs")]
    [InlineData(InteractionKind.Patch, "ur")]
    [InlineData(InteractionKind.Create, "csr")]
    [InlineData(InteractionKind.Update, "ucs")]
    [InlineData(InteractionKind.Delete, "ds")]
    public void A_write_that_reads_finds_nothing_that_is_kept_no_longer(InteractionKind kind, string letters)
    {
        var write = ConsentWorld.Interaction(kind, "Observation") with { Needs = [.. letters.Select(letter => ("Observation", letter))], Query = letters is "ucs" or "ds" ? "Observation?code=1" : null };
        Assert.Equal(Decision.Deny.Of(kind == InteractionKind.Patch ? DenyReason.AsIfAbsent : DenyReason.NoLegalBasis), ConsentWorld.Decide(ConsentWorld.Requester("professional"), write, ConsentWorld.Policy(["informed", "permit"], true, person: new(null, Now.AddYears(-12)))));
        var plain = write with { Needs = [("Observation", kind == InteractionKind.Delete ? 'd' : 'u')] };
        foreach (var (decided, died) in new[] { (write, Now.AddYears(-12).AddTicks(1)), (plain, Now.AddYears(-12)) })
            Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"), decided, ConsentWorld.Policy(["informed", "permit"], true, person: new(null, died))));
    }

    [Theory]
    [InlineData("2008-11-26", true)]
    [InlineData("2008-11-25", false)]
    [InlineData("2008-11-24", false)]
    [InlineData("2008-12-01", true)]
    [InlineData("2007-12-01", false)]
    public void Custody_ends_with_majority(string born, bool represents)
    {
        Assert.Equal(represents, Represents(RepresentationKind.Custodian, new(Day(born), null)));
        Assert.True(Represents(RepresentationKind.Mandate, new(Day(born), null)));
    }

    /// <summary>A birthday begins at midnight in Finland, in summer three hours before UTC's and in winter two.</summary>
    [Theory]
    [InlineData("2008-11-25", "2026-11-24T21:59:59.9999999Z", 17)]
    [InlineData("2008-11-25", "2026-11-24T22:00Z", 18)]
    [InlineData("2008-07-01", "2026-06-30T20:59:59.9999999Z", 17)]
    [InlineData("2008-07-01", "2026-06-30T21:00Z", 18)]
    public void Age_changes_at_midnight_in_Finland(string born, string at, int age)
    {
        var facts = new PersonFacts(Day(born), null);
        Assert.Equal(age, facts.AgeAt(At(at)));
        Assert.Equal(age >= 18, facts.AgeAt(At(at).AddYears(-6)) >= 12);
        Assert.Equal(age >= 18, facts.TwelfthBirthday <= At(at).AddYears(-6));
        Assert.Equal(age >= 18, facts.KeptUntil <= At(at).AddYears(102));
    }

    /// <summary>What hides: custody and the time before twelve end as soon as they may have ended, and so do mandates. Retention ends when it surely has.</summary>
    [Theory]
    [InlineData("2008", "2008-01-01", "2008-12-31")]
    [InlineData("2008-02", "2008-02-01", "2008-02-29")]
    [InlineData("2008-02-03", "2008-02-03", "2008-02-03")]
    public void Of_a_birth_date_that_is_not_exact_each_use_takes_the_end_that_hides(string stated, string first, string last)
    {
        var facts = PersonFacts.Stated(stated, null);
        Assert.Equal((Day(first), Day(last)), (facts.BirthDate, facts.BornBy));
        Assert.Equal(new PersonFacts(Day(first), null).TwelfthBirthday, facts.TwelfthBirthday);
        Assert.Equal(18, facts.AgeAt(At(first + "T12:00Z").AddYears(18)));
        Assert.Equal(new PersonFacts(Day(last), null).KeptUntil, facts.KeptUntil);
    }

    [Fact]
    public void Of_a_death_that_is_not_exact_the_first_moment_ends_mandates_and_the_last_begins_the_twelve_years()
    {
        var facts = PersonFacts.Stated("1990-01-01", "2014");
        Assert.Equal(At("2013-12-31T22:00Z"), facts.Deceased);
        Assert.Equal(At("2026-12-31T21:59:59.9999999Z"), facts.KeptUntil);
        // One that nobody can read ends mandates and hides nothing.
        var unreadable = PersonFacts.Stated("1990-01-01", "soon");
        Assert.Equal((DateTimeOffset.MinValue, DateTimeOffset.MaxValue), (unreadable.Deceased!.Value, unreadable.KeptUntil!.Value));
        Assert.Equal(PersonFacts.Unknown, PersonFacts.Stated(null, null));
        Assert.Equal(PersonFacts.Unknown, PersonFacts.Stated("2008-13", null));
    }

    [Fact]
    public void A_year_and_a_day_in_it_agree()
    {
        var (year, day, another) = (PersonFacts.Stated("2008", null), PersonFacts.Stated("2008-05-06", null), PersonFacts.Stated("2009", null));
        Assert.Equal((day.BirthDate, day.BornBy), (PersonFacts.Of([year, day]).BirthDate, PersonFacts.Of([day, PersonFacts.Unknown, year]).BornBy));
        Assert.Equal((Day("2008-01-01"), Day("2009-12-31")), (PersonFacts.Of([another, year]).BirthDate, PersonFacts.Of([another, year]).BornBy));
    }

    /// <summary>§34, §50: as many say the one as the other. A child's own word counts the soonest; custody ends by no single mistake, for that somebody is a custodian the population register says.</summary>
    [Fact]
    public void Of_births_that_differ_the_child_is_able_by_the_earliest_and_in_custody_by_the_latest()
    {
        var (right, typo) = (PersonFacts.Stated("2022-03-05", null), PersonFacts.Stated("2022-03-06", null));
        foreach (var facts in new[] { PersonFacts.Of([right, typo]), PersonFacts.Of([typo, PersonFacts.Unknown, right]) })
        {
            Assert.Equal(right.TwelfthBirthday, facts.TwelfthBirthday);
            Assert.Equal(4, facts.AgeAt(Now));
        }
        var wrong = PersonFacts.Stated("2002-03-05", null);
        foreach (var facts in new[] { PersonFacts.Of([right, wrong]), PersonFacts.Of([wrong, PersonFacts.Unknown, right]) })
        {
            Assert.Equal((wrong.TwelfthBirthday, 4), (facts.TwelfthBirthday, facts.AgeAt(Now)));
            Assert.True(Represents(RepresentationKind.Custodian, facts));
        }
    }

    [Fact]
    public void Of_births_that_differ_the_one_that_most_registers_state_counts()
    {
        var (right, wrong, year) = (PersonFacts.Stated("2022-03-05", null), PersonFacts.Stated("2002-03-05", null), PersonFacts.Stated("2022", null));
        foreach (var facts in new[] { PersonFacts.Of([right, wrong, right]), PersonFacts.Of([wrong, PersonFacts.Unknown, year, right]) })
            Assert.Equal((right.BirthDate, right.BornBy, right.TwelfthBirthday, true), (facts.BirthDate, facts.BornBy, facts.TwelfthBirthday, Represents(RepresentationKind.Custodian, facts)));
        Assert.False(Represents(RepresentationKind.Custodian, PersonFacts.Of([wrong, right, wrong])));
        // A year that agrees with two days counts for both; by itself it stands for neither.
        var other = PersonFacts.Stated("2022-03-06", null);
        Assert.Equal((year.BirthDate, year.BornBy), (PersonFacts.Of([right, year, other]).BirthDate, PersonFacts.Of([other, right, year]).BornBy));
    }

    [Fact]
    public void Of_deaths_that_differ_the_first_ends_mandates_and_the_last_begins_the_twelve_years()
    {
        var (first, second) = (PersonFacts.Stated("1950-02-03", "2010-01-01"), PersonFacts.Stated("1950-02-03", "2011-01-01"));
        foreach (var facts in new[] { PersonFacts.Of([first, second]), PersonFacts.Of([second, first]) })
            Assert.Equal((first.Deceased, second.DiedBy, second.KeptUntil), (facts.Deceased, facts.DiedBy, facts.KeptUntil));
    }

    /// <summary>§50: a word of death ends mandates and custody, and is taken back by who stores later that the person lives.</summary>
    [Theory]
    [InlineData("2026-11-20", "2026-11-21T10:00:00.000Z", false)]
    [InlineData("2026-11-20", "2026-11-20T21:59:59.000Z", true)]
    [InlineData("2026-11-20", "2026-11-20T22:00:00.000Z", false)]
    [InlineData("2026-11", "2026-11-24T10:00:00.000Z", true)]
    [InlineData("2026-11-20", null, true)]
    [InlineData("soon", "2026-11-24T10:00:00.000Z", true)]
    public void A_death_is_believed_until_a_register_stores_later_that_the_person_lives(string died, string? alive, bool isDead)
    {
        var (death, life) = (PersonFacts.Stated("2015-01-01", died), PersonFacts.Stated("2015-01-01", null, alive, isAlive: true));
        foreach (var facts in new[] { PersonFacts.Of([death, life]), PersonFacts.Of([life, PersonFacts.Unknown, death]) })
        {
            Assert.Equal(isDead ? death.Deceased : null, facts.Deceased);
            Assert.Equal(!isDead, Represents(RepresentationKind.Custodian, facts));
            Assert.Equal(!isDead, Represents(RepresentationKind.Mandate, facts));
        }
        // Another death after that is another word, and nothing of it is about retention.
        var again = PersonFacts.Of([death, life, PersonFacts.Stated("2015-01-01", "2026-11-25")]);
        Assert.False(Represents(RepresentationKind.Mandate, again));
        Assert.Equal(PersonFacts.Of([death, PersonFacts.Stated("2015-01-01", null)]).KeptUntil, PersonFacts.Of([death, life]).KeptUntil);
    }

    /// <summary>Who was born on a leap day comes of age on 28 February where there is none.</summary>
    [Theory]
    [InlineData("2026-02-27T12:00Z", 17)]
    [InlineData("2026-02-28T12:00Z", 18)]
    [InlineData("2028-02-28T12:00Z", 19)]
    [InlineData("2028-02-29T12:00Z", 20)]
    public void Age_is_counted_in_completed_years(string at, int age) => Assert.Equal(age, new PersonFacts(new(2008, 2, 29), null).AgeAt(At(at)));

    [Fact]
    public void Of_whom_no_birth_date_is_known_no_age_is()
    {
        Assert.Null(PersonFacts.Unknown.AgeAt(Now));
        Assert.Null(PersonFacts.Unknown.TwelfthBirthday);
        Assert.True(Represents(RepresentationKind.Custodian, PersonFacts.Unknown));
    }

    [Theory]
    [InlineData(RepresentationKind.Custodian)]
    [InlineData(RepresentationKind.Mandate)]
    public void Representation_ends_at_the_moment_of_death(RepresentationKind kind)
    {
        Assert.False(Represents(kind, new(new(2015, 1, 1), Now)));
        Assert.True(Represents(kind, new(new(2015, 1, 1), Now.AddTicks(1))));
    }

    /// <summary>§34, §51: 40202 codes decide; what has none is seen if it was written before the child was twelve, and never where that is not known.</summary>
    [Fact]
    public void A_custodian_is_withheld_what_is_the_minors_own()
    {
        Assert.Equal((true, At("2025-03-04T22:00Z")), Withheld(RepresentationKind.Custodian, new(new(2013, 3, 5), null)));
        Assert.Equal((true, null), Withheld(RepresentationKind.Custodian, PersonFacts.Unknown));
        Assert.Equal((false, null), Withheld(RepresentationKind.Mandate, new(new(2013, 3, 5), null)));
    }

    /// <summary>Release days begin at midnight in Finland, so the hour is as exact as the second.</summary>
    [Theory]
    [InlineData("2026-11-25T11:59:59.9999999Z", "2026-11-25T11:00Z")]
    [InlineData("2026-11-25T12:00:00Z", "2026-11-25T12:00Z")]
    [InlineData("2026-11-25T12:00:00.0000001Z", "2026-11-25T12:00Z")]
    [InlineData("2026-11-25T14:30:00+02:00", "2026-11-25T12:00Z")]
    public void What_is_not_yet_released_is_withheld_from_the_person(string now, string unreleasedAt)
    {
        foreach (var requester in new[] { ConsentWorld.Requester("citizen"), For(RepresentationKind.Mandate), For(RepresentationKind.Custodian) })
            // One after the other, so that what was kept of an hour does not serve another.
            foreach (var moment in new[] { At(now), At(now).AddHours(5), At(now) })
                Assert.Equal(At(unreleasedAt) + (moment - At(now)), Decided(requester with { Expires = DateTimeOffset.MaxValue }, PersonFacts.Unknown, moment).Scope.Withheld.UnreleasedAt);
    }

    private static bool IsOver(PersonFacts facts) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"),
        ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy([], true, person: facts))).Scope.Breadth == Breadth.None;

    private static bool Represents(RepresentationKind kind, PersonFacts facts)
    {
        var decision = ConsentWorld.Decide(For(kind), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy([], false, person: facts));
        Assert.True(decision is Decision.Permit || ((Decision.Deny)decision).Reason == DenyReason.NotOwnData);
        return decision is Decision.Permit;
    }

    private static (bool, DateTimeOffset?) Withheld(RepresentationKind kind, PersonFacts facts)
    {
        var withheld = Decided(For(kind), facts, Now).Scope.Withheld;
        return (withheld.FromCustodians, withheld.UnknownShownBefore);
    }

    private static Decision.Permit Decided(KantaGateway.Gateway.Identification.Requester requester, PersonFacts facts, DateTimeOffset now) => Assert.IsType<Decision.Permit>(
        ConsentDecision.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy([], false, person: facts), null, now));

    private static KantaGateway.Gateway.Identification.Requester For(RepresentationKind kind) =>
        ConsentWorld.Requester("another citizen", "PATRQT") with { OnBehalfOf = new(ConsentWorld.Person, kind, "Onni Koe") };

    private static DateOnly Day(string text) => DateOnly.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    private static DateTimeOffset At(string text) => DateTimeOffset.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Nobody's record of a person is surer than another's.</summary>
    [Fact]
    public void No_single_register_ends_the_retention_of_all()
    {
        var born = new DateOnly(2015, 2, 3);
        var died = new DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero);
        Assert.Equal(PersonFacts.Unknown, PersonFacts.Of([]));
        Assert.Equal(born, PersonFacts.Of([new(born, null), new(null, null), new(born, null)]).BirthDate);
        var disputed = PersonFacts.Of([new(born, null), new(born.AddYears(-115), null)]);
        Assert.Equal(born.AddYears(-115), disputed.BirthDate);
        Assert.Equal(born.Year + 120, disputed.KeptUntil!.Value.Year);
        var dead = PersonFacts.Of([new(born, null), new(born, died)]);
        // It ends mandates, and hides nothing.
        Assert.Equal(died, dead.Deceased);
        Assert.Equal(born.Year + 120, dead.KeptUntil!.Value.Year);
        Assert.Null(PersonFacts.Of([new(null, null), new(born, died)]).KeptUntil);
        Assert.Equal(2012, PersonFacts.Of([new(born, died), new(born, died)]).KeptUntil!.Value.Year);
    }

    /// <summary>§24: by two false deaths no record of who lives is lost, also where nobody states a birth.</summary>
    [Fact]
    public void Deaths_end_nothing_against_a_record_that_was_stored_after_them()
    {
        var died = new DateTimeOffset(2010, 1, 1, 0, 0, 0, TimeSpan.Zero);
        PersonFacts dead = new(null, died), name = PersonFacts.Unknown with { StoredAt = Now }, alive = name with { AliveAt = Now };
        foreach (var living in new[] { name, alive, new(new(1990, 1, 1), null) { StoredAt = Now } })
            foreach (var facts in new[] { PersonFacts.Of([living, dead, dead]), PersonFacts.Of([dead, living, living, dead]) })
                Assert.False(facts.KeptUntil <= Now, facts.ToString());
        Assert.Equal(2022, PersonFacts.Of([name with { StoredAt = died }, dead, dead]).KeptUntil!.Value.Year);
        // One later death is no end of those that the first contradicts.
        Assert.Null(PersonFacts.Of([name with { StoredAt = died.AddDays(1) }, dead, new(null, died.AddYears(1))]).KeptUntil);
    }

    /// <summary>§24: a birth that stands for one that nobody knows hides nobody who is said to live.</summary>
    [Fact]
    public void Nothing_ends_before_somebody_has_stored_that_the_person_lives()
    {
        PersonFacts placeholder = new(new(1900, 1, 1), null) { StoredAt = Now.AddYears(-1) }, alive = PersonFacts.Unknown with { StoredAt = Now, AliveAt = Now };
        Assert.Equal(2019, PersonFacts.Of([placeholder, placeholder]).KeptUntil!.Value.Year);
        Assert.Null(PersonFacts.Of([placeholder, placeholder, alive]).KeptUntil);
        Assert.Null(PersonFacts.Of([placeholder with { AliveAt = Now }]).KeptUntil);
        Assert.NotNull(PersonFacts.Of([placeholder with { AliveAt = placeholder.KeptUntil }]).KeptUntil);
    }

    /// <summary>§18: occupational care keeps a register for each employer, and is one controller.</summary>
    [Fact]
    public void All_registers_of_one_controller_have_one_voice()
    {
        var (born, died) = (new DateOnly(1990, 1, 1), new DateTimeOffset(2010, 1, 1, 0, 0, 0, TimeSpan.Zero));
        PersonFacts dead = new(null, died) { Controller = "1.2.3" }, before = PersonFacts.Unknown with { Controller = "1.2.4" };
        Assert.Null(PersonFacts.Of([dead, dead, before]).KeptUntil);
        Assert.Equal(2022, PersonFacts.Of([dead, dead with { Controller = "1.2.5" }, before]).KeptUntil!.Value.Year);
        Assert.Equal(2022, PersonFacts.Of([dead, dead]).KeptUntil!.Value.Year);
        Assert.Equal(born, PersonFacts.Of([new(born, null) { Controller = "1.2.3" }, new(born, null) { Controller = "1.2.4" }, new(new(2002, 3, 5), null) { Controller = "1.2.5" }, new(new(2002, 3, 5), null) { Controller = "1.2.5" }, new(new(2002, 3, 5), null) { Controller = "1.2.5" }]).CustodyFrom);
    }

    /// <summary>§51: what closes is heard of who is of age by anybody's word.</summary>
    [Fact]
    public void Who_is_of_age_by_one_register_is_no_minor_by_all()
    {
        var (adult, child) = (PersonFacts.Stated("1983-05-06", null), PersonFacts.Stated("2015-05-06", null));
        Assert.True(child.IsMinorByAllAt(Now));
        Assert.False(PersonFacts.Unknown.IsMinorByAllAt(Now));
        foreach (var facts in new[] { PersonFacts.Of([adult, child]), PersonFacts.Of([child, PersonFacts.Unknown, adult, child]) })
        {
            Assert.False(facts.IsMinorByAllAt(Now));
            Assert.Equal(11, facts.AgeAt(Now));
        }
        Assert.True(PersonFacts.Of([child, PersonFacts.Stated("2012", null)]).IsMinorByAllAt(Now));
        // The day on which majority begins, in Finland.
        Assert.True(PersonFacts.Stated("2008-11-26", null).IsMinorByAllAt(Now));
        Assert.False(PersonFacts.Stated("2008-11-25", null).IsMinorByAllAt(Now));
    }

    /// <summary>Annex: 12 years after death nothing is shown, and a record with a name alone does not change that.</summary>
    [Fact]
    public void A_record_that_says_neither_birth_nor_death_reopens_nothing_whose_end_two_registers_know()
    {
        var (born, died) = (new DateOnly(1950, 2, 3), new DateTimeOffset(2010, 1, 1, 0, 0, 0, TimeSpan.Zero));
        foreach (var facts in new[] { PersonFacts.Of([new(born, died), PersonFacts.Unknown, new(born, died)]), PersonFacts.Of([PersonFacts.Unknown, new(born, died), new(born, died), PersonFacts.Unknown]) })
            Assert.Equal(2022, facts.KeptUntil!.Value.Year);
        Assert.Equal(born.Year + 120, PersonFacts.Of([new(born, died), PersonFacts.Unknown, new(born, null)]).KeptUntil!.Value.Year);
        // Nor does one that knows of no death, where two do, if it is of before; one that was stored after it contradicts them, and any does a single one.
        PersonFacts since = new(born, null) { StoredAt = died.AddDays(1) }, before = new(born, null) { StoredAt = died };
        Assert.Equal(2022, PersonFacts.Of([new(born, died), before, new(born, died)]).KeptUntil!.Value.Year);
        Assert.Equal(born.Year + 120, PersonFacts.Of([new(born, died), since, new(born, died)]).KeptUntil!.Value.Year);
        Assert.Equal(2022, PersonFacts.Of([new(born, died), new(born, died) { StoredAt = died.AddDays(1) }, before]).KeptUntil!.Value.Year);
        Assert.Equal(2022, PersonFacts.Of([new(born, died), new(born, null), new(born, died)]).KeptUntil!.Value.Year);
        Assert.Equal(born.Year + 120, PersonFacts.Of([new(born, died), new(born, null), new(born, null)]).KeptUntil!.Value.Year);
        Assert.Null(PersonFacts.Of([PersonFacts.Unknown, PersonFacts.Unknown]).KeptUntil);
    }
}
