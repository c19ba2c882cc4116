using CsCheck;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>When a service event or a booking proves treatment (Act 703/2023 §9, §57).</summary>
public class CareRelationshipTests
{
    private static readonly string Own = ConsentWorld.Revontuli.ToString();
    private static readonly DateTimeOffset Now = ConsentWorld.Now;
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    [Theory]
    [InlineData("in-progress", -60, null, true)]
    [InlineData("arrived", -60, null, true)]
    [InlineData("triaged", -1, null, true)]
    [InlineData("onleave", -60, null, true)]
    [InlineData("in-progress", null, null, false)]
    [InlineData("in-progress", -60, 60, true)]
    [InlineData("in-progress", 0, null, true)]
    [InlineData("planned", -60, null, false)]
    [InlineData("finished", -60, null, false)]
    [InlineData("cancelled", -60, null, false)]
    [InlineData("entered-in-error", -60, null, false)]
    [InlineData("unknown", -60, null, false)]
    [InlineData("booked", -60, null, false)]
    [InlineData("checked-in", -60, null, false)]
    [InlineData("", -60, null, false)]
    [InlineData("in-progress", 1, null, false)]
    [InlineData("in-progress", -60, 0, false)]
    [InlineData("in-progress", -60, -1, false)]
    public void A_service_event_proves_treatment_while_it_is_open(string status, int? startMinutes, int? endMinutes, bool proves) =>
        Assert.Equal(proves, Proves(new("1.2.3", Own, status, Minutes(startMinutes), Minutes(endMinutes))));

    /// <summary>A booking proves treatment from 24 hours before its start until 24 hours after its end.</summary>
    [Theory]
    [InlineData("booked", 0, 1, true)]
    [InlineData("arrived", 0, 1, true)]
    [InlineData("checked-in", 0, 1, true)]
    [InlineData("proposed", 0, 1, false)]
    [InlineData("pending", 0, 1, false)]
    [InlineData("fulfilled", 0, 1, false)]
    [InlineData("cancelled", 0, 1, false)]
    [InlineData("noshow", 0, 1, false)]
    [InlineData("waitlist", 0, 1, false)]
    [InlineData("in-progress", 0, 1, false)]
    [InlineData("booked", 24, 25, true)]
    [InlineData("booked", 25, 26, false)]
    [InlineData("booked", -25, -23, true)]
    [InlineData("booked", -25, -24, false)]
    [InlineData("booked", -23, null, true)]
    [InlineData("booked", -24, null, false)]
    [InlineData("booked", null, 1, false)]
    [InlineData("booked", null, null, false)]
    public void A_booking_proves_treatment_around_its_time(string status, int? startHours, int? endHours, bool proves) =>
        Assert.Equal(proves, Proves(Booking(status, Hours(startHours), Hours(endHours))));

    [Fact]
    public void Both_ends_of_an_event_are_exact_to_the_tick()
    {
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now, Now.AddHours(1));
        Assert.Equal([false, true, true, false], new[] { Now - Tick, Now, Now.AddHours(1) - Tick, Now.AddHours(1) }.Select(at => Proves(visit, at)));
        var booking = Booking("booked", Now, Now.AddHours(1));
        Assert.Equal([false, true, true, false], new[] { Now.AddHours(-24) - Tick, Now.AddHours(-24), Now.AddHours(25) - Tick, Now.AddHours(25) }.Select(at => Proves(booking, at)));
    }

    /// <summary>§57: an Encounter that nobody ends, or that ends in another century, is closed thirty days after its newest version was stored; that it was written again opens it anew.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData(100 * 365)]
    public void What_states_no_near_end_proves_treatment_for_thirty_days_after_it_was_stored(int? endDays)
    {
        var end = endDays is { } days ? Now.AddDays(days) : (DateTimeOffset?)null;
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now.AddYears(-1), end);
        Assert.False(Proves(visit));
        foreach (var start in new[] { Now.AddYears(-1), (DateTimeOffset?)null })
        {
            var stored = visit with { Start = start, StoredAt = Now };
            Assert.Equal([true, true, false], new[] { Now, Now.AddDays(30) - Tick, Now.AddDays(30) }.Select(at => Proves(stored, at)));
            Assert.True(Proves(stored with { StoredAt = Now.AddDays(29) }, Now.AddDays(58)));
        }
        // Of which nothing says when it was stored counts from its start, and without one it proves nothing.
        Assert.Equal([true, false], new[] { Now.AddDays(30) - Tick, Now.AddDays(30) }.Select(at => Proves(visit with { Start = Now }, at)));
        Assert.False(Proves(visit with { Start = null }));
        // Its own end comes first.
        Assert.False(Proves(visit with { End = Now.AddDays(1), StoredAt = Now }, Now.AddDays(1)));
        // A booking counts from its start: it may have been made long before.
        var booked = Booking("booked", Now, end) with { StoredAt = Now.AddYears(-1) };
        var over = Now.AddDays(end is null ? 1 : 31);
        Assert.Equal([true, false], new[] { over - Tick, over }.Select(at => Proves(booked, at)));
    }

    /// <summary>Stale is a visit alone that goes on by its own words and that nobody has written for so long: neither one that has not begun nor a booking.</summary>
    [Fact]
    public void Only_a_visit_that_goes_on_unwritten_is_stale()
    {
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-31), null) { StoredAt = Now.AddDays(-30) };
        Assert.True(IsStale(visit));
        // Whatever else bears its number, and is no visit that goes on.
        foreach (var over in new[]
        {
            visit with { StoredAt = Now.AddDays(-30) + Tick }, visit with { Start = Now + Tick }, visit with { End = Now }, visit with { Status = "finished" }, visit with { Status = "planned" }, visit with { Controller = "1.2.4" },
            Booking("booked", Now.AddDays(-40), Now.AddDays(-39)) with { Oid = "1.2.3", StoredAt = Now.AddDays(-50) }, visit with { Oid = "1.2.30" },
        })
            Assert.False(IsStale(over));
        Assert.True(IsStale(visit with { Start = Now }));
        // Two that bear one number are as stale as one; where one of them is open the visit is.
        Assert.True(IsStale(visit, visit));
        Assert.False(IsStale(visit, visit with { StoredAt = Now }));

        static bool IsStale(params ServiceEvent[] events) => PolicySnapshot.Compile(1, [], events).IsStale(Own, "1.2.3", Now);
    }

    /// <summary>What is stated but cannot be read comes as the earliest time: it is over.</summary>
    [Fact]
    public void Times_at_the_ends_of_the_calendar_open_nothing_by_overflow()
    {
        Assert.False(Proves(new("1.2.3", Own, "in-progress", Now.AddDays(-1), DateTimeOffset.MinValue)));
        Assert.False(Proves(Booking("booked", DateTimeOffset.MinValue, DateTimeOffset.MinValue)));
        Assert.False(Proves(Booking("booked", DateTimeOffset.MinValue, null)));
        Assert.False(Proves(Booking("booked", Now, DateTimeOffset.MinValue)));
        Assert.False(Proves(Booking("booked", DateTimeOffset.MaxValue, DateTimeOffset.MaxValue)));
        Assert.True(Proves(Booking("booked", Now, DateTimeOffset.MaxValue)));
        Assert.False(Proves(Booking("booked", DateTimeOffset.MinValue, Now)));
        Assert.False(Proves(Booking("booked", DateTimeOffset.MinValue.AddHours(24), Now)));
        Assert.True(Proves(Booking("booked", DateTimeOffset.MinValue, Now), DateTimeOffset.MinValue));
        Assert.True(Proves(Booking("booked", DateTimeOffset.MaxValue.AddDays(-1), DateTimeOffset.MaxValue), DateTimeOffset.MaxValue - Tick));
        Assert.True(Proves(Booking("booked", Now, DateTimeOffset.MaxValue.AddHours(-24))));
        Assert.False(Proves(new("1.2.3", Own, "in-progress", DateTimeOffset.MinValue, DateTimeOffset.MaxValue)));
        Assert.True(Proves(new("1.2.3", Own, "in-progress", DateTimeOffset.MinValue, DateTimeOffset.MaxValue) { StoredAt = Now }));
        Assert.True(Proves(new("1.2.3", Own, "in-progress", Now, null) { StoredAt = DateTimeOffset.MaxValue }));
        Assert.False(Proves(new("1.2.3", Own, "in-progress", Now, null) { StoredAt = DateTimeOffset.MinValue }));
        Assert.False(Proves(new("1.2.3", Own, "in-progress", DateTimeOffset.MaxValue, null)));
    }

    [Fact]
    public void Another_organisations_service_event_proves_nothing()
    {
        var policy = PolicySnapshot.Compile(1, [], [new ServiceEvent("1.2.3", "1.2.246.10.99000011", "in-progress", Now.AddDays(-1), null)]);
        Assert.Null(policy.RelationshipOf(Own, null, Now));
        Assert.Null(policy.RelationshipOf(Own, "1.2.3", Now));
    }

    [Fact]
    public void A_named_service_event_must_be_the_open_one()
    {
        var policy = PolicySnapshot.Compile(1, [], [new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null), new ServiceEvent("1.2.4", Own, "planned", Now.AddDays(-1), null), new ServiceEvent("1.2.5", Own, "in-progress", Now.AddDays(-1), Now)]);
        Assert.NotNull(policy.RelationshipOf(Own, "1.2.3", Now));
        Assert.Null(policy.RelationshipOf(Own, "1.2.4", Now));
        Assert.Null(policy.RelationshipOf(Own, "1.2.5", Now));
        Assert.NotNull(policy.RelationshipOf(Own, "1.2.5", Now - Tick));
        Assert.Null(policy.RelationshipOf(Own, "1.2.9", Now));
    }

    [Fact]
    public void A_relationship_names_its_organisation_event_register_and_services()
    {
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Register = "4:1.2.9", Services = ProtectedService.Psychiatry };
        var policy = PolicySnapshot.Compile(1, [], [visit]);
        foreach (var named in new[] { null, "1.2.3" })
            Assert.Equal(new CareRelationship(Own, "1.2.3") { Register = "4:1.2.9", Services = ProtectedService.Psychiatry }, policy.RelationshipOf(Own, named, Now));
    }

    /// <summary>§18: in two employers' registers at once the person is treated in neither, until one of the events is named or over.</summary>
    [Fact]
    public void A_relationship_for_two_employers_names_no_register()
    {
        ServiceEvent[] visits =
        [
            new("1.2.3", Own, "in-progress", Now.AddDays(-1), Now.AddHours(1)) { Register = "4:1.2.8" },
            new("1.2.4", Own, "in-progress", Now.AddDays(-1), Now.AddHours(2)) { Register = "4:1.2.9" },
            new("1.2.5", Own, "in-progress", Now.AddDays(-1), null),
        ];
        var policy = PolicySnapshot.Compile(1, [], visits);
        Assert.Null(policy.RelationshipOf(Own, null, Now)!.Register);
        Assert.Equal("4:1.2.8", policy.RelationshipOf(Own, "1.2.3", Now)!.Register);
        Assert.Equal("4:1.2.9", policy.RelationshipOf(Own, null, Now.AddHours(1))!.Register);
        Assert.Equal(Register.Patient, policy.RelationshipOf(Own, null, Now.AddHours(2))!.Register);
        // A booking of one employer and its visit of another bear one OID; two of one employer are no two.
        Assert.Null(PolicySnapshot.Compile(1, [], [.. visits.Select(e => e with { Oid = "1.2.3" })]).RelationshipOf(Own, "1.2.3", Now)!.Register);
        Assert.Equal("4:1.2.8", PolicySnapshot.Compile(1, [], [visits[0], visits[0] with { Oid = "1.2.6" }]).RelationshipOf(Own, null, Now)!.Register);
    }

    /// <summary>§26.2: entries of a protected service are seen in events of that service: of a named one, else where every open one is of it.</summary>
    [Fact]
    public void Services_are_those_of_the_open_events()
    {
        var policy = PolicySnapshot.Compile(1, [],
        [
            new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Psychiatry },
            new ServiceEvent("1.2.4", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Genetics | ProtectedService.Psychology },
            new ServiceEvent("1.2.5", Own, "in-progress", Now.AddDays(-1), Now) { Services = ProtectedService.Addiction },
            new ServiceEvent("1.2.6", Own, "finished", Now.AddDays(-1), null) { Services = ProtectedService.Psychotherapy },
            new ServiceEvent("1.2.7", "1.2.246.10.99000011", "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.SexualTherapy },
            new ServiceEvent(null, Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Unknown },
        ]);
        Assert.Equal(ProtectedService.None, policy.RelationshipOf(Own, null, Now)!.Services);
        Assert.Equal(ProtectedService.Psychiatry, policy.RelationshipOf(Own, "1.2.3", Now)!.Services);
        Assert.Equal(ProtectedService.Addiction, policy.RelationshipOf(Own, "1.2.5", Now - Tick)!.Services);
        var both = PolicySnapshot.Compile(1, [],
        [
            new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Psychiatry | ProtectedService.Genetics },
            new ServiceEvent("1.2.4", Own, "in-progress", Now, null) { Services = ProtectedService.Psychiatry },
        ]);
        Assert.Equal(ProtectedService.Psychiatry, both.RelationshipOf(Own, null, Now)!.Services);
        Assert.Equal(ProtectedService.Psychiatry | ProtectedService.Genetics, both.RelationshipOf(Own, null, Now - Tick)!.Services);
    }

    /// <summary>§26.2: outside the service's own events protected entries wait for a confirmation, also where a colleague's visit is named.</summary>
    [Theory]
    [InlineData("1.2.3", null, ProtectedService.None)]
    [InlineData("1.2.3", OtherUnit, ProtectedService.None)]
    [InlineData("1.2.3", Unit, ProtectedService.Psychiatry)]
    [InlineData("1.2.4", OtherUnit, ProtectedService.Genetics)]
    [InlineData("1.2.4", null, ProtectedService.None)]
    public void A_visit_to_a_unit_is_of_its_service_to_that_unit_alone(string named, string? asking, ProtectedService seen)
    {
        var events = new[]
        {
            new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Psychiatry, Unit = Unit },
            new ServiceEvent("1.2.4", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Genetics, Unit = OtherUnit },
        };
        var relationship = PolicySnapshot.Compile(1, [], events).RelationshipOf(Own, named, Now, asking);
        // It proves treatment all the same: what is not protected is seen by whoever treats in the house.
        Assert.Equal((named, seen), (relationship!.ServiceEvent, relationship.Services));
        // Without a name too: the one visit that there is to another unit is not surely the own one.
        var only = PolicySnapshot.Compile(1, [], [.. events.Where(e => e.Oid == named)]);
        Assert.Equal(seen, only.RelationshipOf(Own, null, Now, asking)!.Services);
    }

    private const string Unit = "1.2.246.10.99000022.10.7", OtherUnit = "1.2.246.10.99000022.10.8";

    [Fact]
    public void Whether_a_person_is_treated_in_a_register_is_told_by_the_open_events_in_it()
    {
        var policy = PolicySnapshot.Compile(1, [],
        [
            new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), Now) { Register = "4:1.2.9" }, new ServiceEvent("1.2.4", Own, "in-progress", Now.AddDays(-1), null),
            new ServiceEvent("1.2.5", "1.2.246.10.99000011", "in-progress", Now.AddDays(-1), null) { Register = "4:1.2.8" },
        ]);
        Assert.Equal(Treatment.Here, policy.TreatmentIn(Own, "4:1.2.9", Now - Tick));
        Assert.Equal(Treatment.None, policy.TreatmentIn(Own, "4:1.2.9", Now));
        Assert.Equal(Treatment.ForAnother, policy.TreatmentIn(Own, "4:1.2.8", Now - Tick));
        Assert.Equal(Treatment.None, policy.TreatmentIn(Own, "4:1.2.8", Now));
    }

    [Fact]
    public void Two_events_of_one_service_are_of_it()
    {
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Psychiatry };
        Assert.Equal(ProtectedService.Psychiatry, PolicySnapshot.Compile(1, [], [visit, visit with { Oid = "1.2.4" }]).RelationshipOf(Own, null, Now)!.Services);
    }

    /// <summary>Of events that open at the very moment of the request, most of which are over in it, the one that lasts is found wherever it stands.</summary>
    [Fact]
    public void Of_events_that_open_at_one_moment_the_one_that_lasts_is_found()
    {
        for (var count = 1; count <= 6; count++)
            for (var lasting = 0; lasting < count; lasting++)
            {
                var events = Enumerable.Range(0, count).Select(i => new ServiceEvent($"1.2.{i}", Own, "in-progress", Now, i == lasting ? Now.AddHours(1) : Now));
                // A sequence will do: it is read once.
                Assert.Equal($"1.2.{lasting}", PolicySnapshot.Compile(1, [], events.Append(new("1.2.9", Own, "in-progress", Now + Tick, null))).RelationshipOf(Own, null, Now)?.ServiceEvent);
            }
    }

    /// <summary>§26.2: a booking that names neither a visit nor a service may be that of the visit: it takes nothing from who treats in it, and gives nobody else anything.</summary>
    [Fact]
    public void A_booking_that_names_no_visit_is_no_other_visit()
    {
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Services = ProtectedService.Psychiatry };
        var booking = Booking("booked", Now, null) with { Oid = null };
        ProtectedService services(params ServiceEvent[] events) => PolicySnapshot.Compile(1, [], events).RelationshipOf(Own, null, Now, Unit)!.Services;
        Assert.Equal(ProtectedService.Psychiatry, services(visit, booking));
        Assert.Equal(ProtectedService.None, services(booking));
        // One that says anything of itself is another: a number, a service, even one that is another unit's.
        Assert.Equal(ProtectedService.None, services(visit, booking with { Oid = "1.2.4" }));
        Assert.Equal(ProtectedService.None, services(visit, booking with { Services = ProtectedService.Genetics }));
        Assert.Equal(ProtectedService.None, services(visit, booking with { Services = ProtectedService.Genetics, Unit = OtherUnit }));
        Assert.Equal(ProtectedService.None, services(visit, visit with { Oid = null, Services = ProtectedService.None }));
    }

    /// <summary>The first of all that open at the very moment of the request may be over in it.</summary>
    [Fact]
    public void Of_two_events_that_open_now_and_no_others_the_one_that_lasts_is_found()
    {
        foreach (var lasting in new[] { 0, 1 })
            Assert.Equal($"1.2.{lasting}", PolicySnapshot.Compile(1, [], [.. new[] { 0, 1 }.Select(i => new ServiceEvent($"1.2.{i}", Own, "in-progress", Now, i == lasting ? Now.AddHours(1) : Now))])
                .RelationshipOf(Own, null, Now)?.ServiceEvent);
    }

    [Fact]
    public void An_encounter_and_its_booking_may_bear_one_number()
    {
        var visit = new ServiceEvent("1.2.3", Own, "in-progress", Now.AddDays(-1), null) { Register = "4:1.2.9", Services = ProtectedService.Psychiatry };
        var booking = Booking("booked", Now, null) with { Services = ProtectedService.Genetics };
        var policy = PolicySnapshot.Compile(1, [], [visit, booking]);
        // The first that is open is told, the services are those of both.
        Assert.Equal(new CareRelationship(Own, "1.2.3") { Register = "4:1.2.9", Services = ProtectedService.Psychiatry | ProtectedService.Genetics }, policy.RelationshipOf(Own, "1.2.3", Now));
        Assert.Equal(new CareRelationship(Own, "1.2.3") { Register = "4:1.2.9", Services = ProtectedService.Psychiatry }, policy.RelationshipOf(Own, "1.2.3", Now.AddDays(2)));
    }

    [Fact]
    public void Of_many_events_the_open_one_is_found()
    {
        var events = Gen.Select(Gen.Int[-50, 50], Gen.Int[0, 60], Gen.Int[0, 9], Gen.Bool).Array[0, 12].Select(all => all.Select((e, i) =>
            e.Item4 ? Booking("booked", Now.AddHours(e.Item1), Now.AddHours(e.Item1 + e.Item2)) with { Oid = $"1.2.{i}" }
                : new ServiceEvent($"1.2.{i}", Own, "in-progress", e.Item3 == 0 ? null : Now.AddHours(e.Item1), e.Item3 == 1 ? null : Now.AddHours(e.Item1 + e.Item2)) { StoredAt = e.Item3 < 5 ? null : Now.AddHours(e.Item2).AddDays(-31) }).ToArray());
        Gen.Select(events, Gen.Int[-110, 110].Array[1, 20]).Sample((all, hours) =>
        {
            var policy = PolicySnapshot.Compile(1, [], all);
            foreach (var at in hours.Select(h => Now.AddHours(h / 2.0)))
            {
                var open = all.Where(e => e.IsOpenAt(at)).Select(e => e.Oid).ToArray();
                var found = policy.RelationshipOf(Own, null, at);
                if (found is null ? open.Length > 0 : !open.Contains(found.ServiceEvent))
                    return false;
                foreach (var e in all)
                    if ((policy.RelationshipOf(Own, e.Oid, at) is not null) != e.IsOpenAt(at))
                        return false;
            }
            return true;
        });
    }

    private static bool Proves(ServiceEvent e, DateTimeOffset? at = null)
    {
        var proves = PolicySnapshot.Compile(1, [], [e]).RelationshipOf(Own, null, at ?? Now) is not null;
        Assert.Equal(e.IsOpenAt(at ?? Now), proves);
        Assert.Equal(proves, PolicySnapshot.Compile(1, [], [e]).RelationshipOf(Own, e.Oid, at ?? Now) is not null);
        return proves;
    }

    private static ServiceEvent Booking(string status, DateTimeOffset? start, DateTimeOffset? end) => new("1.2.3", Own, status, start, end) { Kind = CareEventKind.Appointment };

    private static DateTimeOffset? Minutes(int? minutes) => minutes is { } m ? Now.AddMinutes(m) : null;

    private static DateTimeOffset? Hours(int? hours) => hours is { } h ? Now.AddHours(h) : null;
}
