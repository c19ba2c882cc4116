using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>What of contradicting, overlapping, expired and future-dated declarations is in force (§58: of one thing the latest; of one moment what gives less).</summary>
public sealed class InForceTests
{
    private const string Event = "1.2.246.10.99000011.14.2026.1", OtherEvent = "1.2.246.10.99000011.14.2026.2", Me = "revontuli-laakari";
    private static readonly string Own = ConsentWorld.Revontuli.ToString();
    private static readonly DateTimeOffset Now = ConsentWorld.Now;
    private static readonly DisclosurePermit Permit = new() { Id = "c2", At = Now.AddDays(-1) };
    private static readonly Informing Informed = new() { Id = "c1", At = Now.AddDays(-9), TextVersion = Informing.CurrentTextVersion };
    private static readonly DisclosureDenial DenialOfAll = new() { Id = "c3", At = Now.AddDays(-1), Target = new DenialTarget.All() };
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    // :: Permissions

    [Fact]
    public void Of_two_permissions_the_later_decides()
    {
        Assert.True(Discloses(Informed, Permit with { IsActive = false, At = Now.AddDays(-2) }, Permit));
        Assert.True(Discloses(Informed, Permit, Permit with { IsActive = false, At = Now.AddDays(-2) }));
        Assert.False(Discloses(Informed, Permit, Permit with { IsActive = false, At = Permit.At + Tick }));
    }

    [Fact]
    public void Of_two_permissions_of_one_moment_the_one_that_gives_less_decides()
    {
        foreach (var less in new[] { Permit with { IsActive = false }, Permit with { Until = Now } })
        {
            Assert.False(Discloses(Informed, Permit, less));
            Assert.False(Discloses(Informed, less, Permit));
        }
        var (shorter, longer) = (Permit with { Until = Now + Tick }, Permit with { Until = Now + 2 * Tick });
        foreach (var policy in new[] { Policy(Informed, shorter, longer), Policy(Informed, longer, shorter), Policy(Informed, longer, shorter, Permit) })
        {
            Assert.Equal(shorter, policy.PermissionAt(Now));
            Assert.Null(policy.PermissionAt(Now + Tick));
        }
        // Withdrawn at that moment stays withdrawn, however short the other.
        foreach (var policy in new[] { Policy(Informed, Permit with { IsActive = false }, shorter), Policy(Informed, shorter, Permit with { IsActive = false }) })
            Assert.Null(policy.PermissionAt(Now));
    }

    [Fact]
    public void A_permission_holds_from_its_start_until_its_end()
    {
        var policy = Policy(Informed, Permit with { From = Now, Until = Now.AddHours(1) });
        Assert.Null(policy.PermissionAt(Now - Tick));
        Assert.NotNull(policy.PermissionAt(Now));
        Assert.NotNull(policy.PermissionAt(Now.AddHours(1) - Tick));
        Assert.Null(policy.PermissionAt(Now.AddHours(1)));
        // And back again: what was found for one time does not serve another.
        Assert.NotNull(policy.PermissionAt(Now));
        Assert.Null(policy.PermissionAt(Now - Tick));
    }

    /// <summary>Clocks may be five minutes apart; what is dated further ahead gives nothing yet.</summary>
    [Fact]
    public void A_permission_dated_ahead_gives_nothing_yet()
    {
        var policy = Policy(Informed, Permit with { At = Now.AddMinutes(5) });
        Assert.NotNull(policy.PermissionAt(Now));
        Assert.Null(policy.PermissionAt(Now - Tick));
        Assert.Null(Policy(Informed, Permit with { At = Now.AddMinutes(5) + Tick }).PermissionAt(Now));
    }

    /// <summary>§50, §51: a custodian's permission counts for nothing after a minor able to decide has withdrawn it, until the minor gives it anew.</summary>
    [Theory]
    [InlineData(16, true)]
    [InlineData(12, true)]
    [InlineData(11, false)]
    [InlineData(null, true)]
    public void A_custodians_permission_does_not_undo_what_a_minor_has_withdrawn(int? age, bool stands)
    {
        var person = new PersonFacts(age is { } years ? DateOnly.FromDateTime(Now.AddDays(-9).AddYears(-years).UtcDateTime) : null, null);
        DisclosurePermit withdrawn = Permit with { Order = 2, IsActive = false, At = Now.AddDays(-8) }, custodians = Permit with { Id = "c4", Order = 3, ByCustodian = true };
        Assert.Equal(!stands, Gives(withdrawn, custodians));
        // Nor when the custodian has withdrawn it too in between, whatever the order in which they are read.
        Assert.Equal(!stands, Gives(custodians with { Order = 5 }, custodians with { Id = "c5", Order = 4, IsActive = false }, withdrawn));
        // What the minor gives counts, and a custodian's after it, as one does that no minor's came before.
        Assert.True(Gives(withdrawn, custodians, Permit with { Id = "c5", Order = 4 }));
        Assert.True(Gives(withdrawn, custodians with { Order = 5 }, Permit with { Id = "c5", Order = 4, At = Now.AddDays(-7) }));
        Assert.True(Gives(Permit with { IsActive = false, ByCustodian = true, Order = 2 }, custodians));
        Assert.False(Gives(custodians, Permit with { Id = "c5", Order = 4, IsActive = false }));

        bool Gives(params Declaration[] declared) => PolicySnapshot.Compile(1, declared, [], person).PermissionAt(Now) is not null;
    }

    [Theory]
    [InlineData(16, true)]
    [InlineData(12, true)]
    [InlineData(11, false)]
    [InlineData(null, false)]
    public void A_custodian_takes_back_no_permission_that_a_minor_has_given(int? age, bool stands)
    {
        var person = new PersonFacts(age is { } years ? DateOnly.FromDateTime(Now.AddDays(-9).AddYears(-years).UtcDateTime) : null, null);
        DisclosurePermit own = Permit with { Order = 2, At = Now.AddDays(-8) }, taken = Permit with { Id = "c4", Order = 3, IsActive = false, ByCustodian = true };
        Assert.Equal(stands ? "c2" : null, Given(own, taken));
        Assert.Equal(stands ? "c2" : null, Given(own, taken with { RecordedBy = Own }));
        // Nor is it ended by one that ends, sooner than the minor's own or at all; a longer one is given beside it.
        var shorter = taken with { IsActive = true, Until = Now + Tick };
        Assert.Equal(stands ? "c2" : "c4", Given(own, shorter));
        Assert.Equal(stands ? "c2" : null, Given(own, shorter with { Until = Now }));
        Assert.Equal("c4", Given(own with { Until = Now + Tick }, shorter with { Until = Now + 2 * Tick }));
        Assert.Equal("c4", Given(own with { Until = Now + Tick }, shorter with { Until = null }));
        // What the minor withdraws, or gave until yesterday, is over; a custodian's own one is the custodian's.
        Assert.Null(Given(own, taken, own with { Id = "c5", Order = 4, IsActive = false }));
        Assert.Null(Given(own with { Until = Now.AddDays(-1) }, taken));
        Assert.Null(Given(own with { ByCustodian = true }, taken));
        Assert.Null(Given(own with { ByCustodian = true, Order = 1 }, own with { Id = "c5", IsActive = false }, taken));
        Assert.Equal("c6", Given(own with { ByCustodian = true }, taken, own with { Id = "c6", Order = 5 }));

        string? Given(params Declaration[] declared) => PolicySnapshot.Compile(1, declared, [], person).PermissionAt(Now)?.Id;
    }

    /// <summary>§51, law 3: by one register's later birth nobody's withdrawal is undone.</summary>
    [Fact]
    public void What_a_representative_withdraws_is_heard_where_one_register_makes_the_person_of_age()
    {
        var person = PersonFacts.Of([PersonFacts.Stated("1983-05-06", null), PersonFacts.Stated("2012-05-06", null)]);
        DisclosurePermit own = Permit with { Order = 2, At = Now.AddDays(-8) }, taken = Permit with { Id = "c4", Order = 3, IsActive = false, ByCustodian = true };
        Assert.Null(PolicySnapshot.Compile(1, [own, taken], [], person).PermissionAt(Now));
        Assert.NotNull(PolicySnapshot.Compile(1, [own, taken], [], PersonFacts.Stated("2012-05-06", null)).PermissionAt(Now));
        Assert.NotNull(PolicySnapshot.Compile(1, [own], [], person).PermissionAt(Now));
    }

    /// <summary>§34, law 3: of a minor whose age registers dispute the own withdrawal closes as soon as it may be of one able to decide.</summary>
    [Fact]
    public void A_minors_withdrawal_counts_by_the_earliest_birth_and_the_permission_by_what_most_state()
    {
        var (older, younger) = (PersonFacts.Stated("2011-05-06", null), PersonFacts.Stated("2016-05-06", null));
        var person = PersonFacts.Of([older, younger, younger]);
        DisclosurePermit withdrawn = Permit with { Order = 2, IsActive = false, At = Now.AddDays(-8) }, custodians = Permit with { Id = "c4", Order = 3, ByCustodian = true };
        Assert.Null(PolicySnapshot.Compile(1, [withdrawn, custodians], [], person).PermissionAt(Now));
        Assert.NotNull(PolicySnapshot.Compile(1, [withdrawn, custodians], [], younger).PermissionAt(Now));
        Assert.False((Permit with { At = Now.AddDays(-8) }).IsOfMinor(person));
    }

    /// <summary>Law 3: a form on which somebody is named by name alone closes as the person's own, and opens as a custodian's.</summary>
    [Theory]
    [InlineData("""{"display":"Ville Virtanen"}""", true)]
    [InlineData("""{"type":"Patient","identifier":{"value":"1"}}""", true)]
    [InlineData("""{"type":"RelatedPerson","display":"Helmi Virtanen"}""", false)]
    public void Who_is_not_known_to_be_a_custodian_closes_what_the_minor_has_given(string performer, bool closes)
    {
        var minor = PersonFacts.Stated("2010-05-06", null);
        var form = System.Text.Json.Nodes.JsonNode.Parse(Declarations.Permit("018f6b1e-0000-7000-8000-000000000001", Now.AddDays(-1)))!.AsObject();
        form["performer"] = new System.Text.Json.Nodes.JsonArray(System.Text.Json.Nodes.JsonNode.Parse(performer));
        Declaration Read(string status)
        {
            form["status"] = status;
            using var document = System.Text.Json.JsonDocument.Parse(form.ToJsonString());
            return Declarations.Read(document.RootElement)! with { Order = 3 };
        }
        Assert.Equal(!closes, PolicySnapshot.Compile(1, [Permit with { Order = 2, At = Now.AddDays(-8) }, Read("inactive")], [], minor).PermissionAt(Now) is not null);
        Assert.True(Read("active").ByCustodian);
    }

    /// <summary>§51: a child's denial is the child's. What a custodian has declared of it, however it came to be stored, undoes none.</summary>
    [Theory]
    [InlineData(16, true)]
    [InlineData(11, true)]
    [InlineData(null, true)]
    [InlineData(18, false)]
    public void A_custodian_undoes_no_denial(int? age, bool stands)
    {
        var person = new PersonFacts(age is { } years ? DateOnly.FromDateTime(Now.AddDays(-9).AddYears(-years).UtcDateTime) : null, null);
        DisclosureDenial own = new() { Id = "d", Order = 2, At = Now.AddDays(-8), Target = new DenialTarget.All() }, custodians = own with { Id = "e", Order = 3, At = Now.AddDays(-7), ByCustodian = true };
        foreach (var opening in new[] { custodians with { IsActive = false }, custodians with { AllowsEmergency = true }, custodians with { Until = Now } })
        {
            Assert.Equal(stands, Denies(own, opening));
            // What closes is heard, and as the first word about it too.
            Assert.True(Denies(own with { IsActive = false }, custodians));
            Assert.True(Denies(own with { AllowsEmergency = true }, custodians));
            Assert.True(Denies(custodians));
            // The child's own later word decides.
            Assert.False(Denies(custodians, own with { Order = 4, IsActive = false, At = Now.AddDays(-6) }));
        }

        bool Denies(params Declaration[] declared) => PolicySnapshot.Compile(1, declared, [], person).At(Now).DeniedInEmergency.DeniesAll;
    }

    /// <summary>Whose word it was is a matter of when it was said, not of what the sender's clock claims.</summary>
    [Fact]
    public void A_minor_is_able_to_decide_on_the_day_on_which_it_is_said()
    {
        var person = new PersonFacts(new(2014, 11, 24), null);
        var withdrawn = Permit with { Order = 2, IsActive = false, At = Now.AddDays(-300), StoredAt = Now.AddHours(-2) };
        Assert.True(withdrawn.IsOfMinor(person));
        Assert.False((withdrawn with { StoredAt = Now.AddDays(-300) }).IsOfMinor(person));
        // A form is of its date, and no later than its storing.
        Assert.False((withdrawn with { RecordedBy = Own }).IsOfMinor(person));
        Assert.False((withdrawn with { RecordedBy = Own, At = Now, StoredAt = Now.AddDays(-300) }).IsOfMinor(person));
    }

    // :: Informing

    [Fact]
    public void The_last_informing_decides_and_of_one_moment_the_outdated_one()
    {
        var outdated = Informed with { TextVersion = "2019-1" };
        Assert.True(Discloses(outdated with { At = Informed.At - Tick }, Informed, Permit));
        Assert.True(Discloses(Informed, outdated with { At = Informed.At - Tick }, Permit));
        Assert.False(Discloses(Informed, outdated with { At = Informed.At + Tick }, Permit));
        Assert.False(Discloses(Informed, outdated, Permit));
        Assert.False(Discloses(outdated, Informed, Permit));
    }

    [Fact]
    public void An_informing_that_is_withdrawn_over_or_dated_ahead_informs_nobody()
    {
        Assert.False(Discloses(Informed with { IsActive = false }, Permit));
        Assert.False(Discloses(Informed with { Until = Now }, Permit));
        Assert.True(Discloses(Informed with { Until = Now + Tick }, Permit));
        Assert.False(Discloses(Informed with { At = Now.AddMinutes(5) + Tick }, Permit));
    }

    // :: Denials

    [Fact]
    public void Of_two_denials_of_one_thing_the_later_decides_and_of_one_moment_both_hold()
    {
        var withdrawn = DenialOfAll with { IsActive = false };
        Assert.False(Discloses(Informed, Permit, withdrawn with { At = DenialOfAll.At - Tick }, DenialOfAll));
        Assert.False(Discloses(Informed, Permit, DenialOfAll, withdrawn with { At = DenialOfAll.At - Tick }));
        Assert.True(Discloses(Informed, Permit, DenialOfAll, withdrawn with { At = DenialOfAll.At + Tick }));
        Assert.True(Discloses(Informed, Permit, withdrawn with { At = DenialOfAll.At + Tick }, DenialOfAll));
        Assert.False(Discloses(Informed, Permit, DenialOfAll, withdrawn));
        Assert.False(Discloses(Informed, Permit, withdrawn, DenialOfAll));
    }

    [Fact]
    public void Withdrawing_the_denial_of_one_thing_withdraws_no_other()
    {
        var (one, other) = (DenialOfAll with { Target = new DenialTarget.OfServiceEvent(Event) }, DenialOfAll with { Target = new DenialTarget.OfServiceEvent(OtherEvent) });
        var permit = Decided("TREAT", Informed, Permit, one, other, one with { IsActive = false, At = Now });
        Assert.Equal([OtherEvent], permit.Scope.Withheld.ServiceEvents);
    }

    [Fact]
    public void Overlapping_denials_are_listed_once_and_in_order()
    {
        DisclosureDenial Of(DenialTarget target) => DenialOfAll with { Target = target };
        var withheld = Decided("TREAT", Informed, Permit, Of(new DenialTarget.OfServiceEvent(OtherEvent)), Of(new DenialTarget.OfServiceEvent(Event)), Of(new DenialTarget.OfServiceEvent(Event)),
            Of(new DenialTarget.OfRegister("1.2.4", Register.Patient)), Of(new DenialTarget.OfRegister("1.2.3", Register.Patient)), Of(new DenialTarget.OfPrescription("b")), Of(new DenialTarget.OfPrescription("a"))).Scope.Withheld;
        Assert.Equal([Event, OtherEvent], withheld.ServiceEvents);
        Assert.Equal(["1.2.3 2", "1.2.4 2"], withheld.Registers);
        Assert.Equal(["a", "b"], withheld.Prescriptions);
    }

    [Fact]
    public void A_denial_holds_from_its_start_until_its_end_and_waits_for_no_clock()
    {
        Assert.False(Discloses(Informed, Permit, DenialOfAll with { Until = Now + Tick }));
        Assert.True(Discloses(Informed, Permit, DenialOfAll with { Until = Now }));
        Assert.False(Discloses(Informed, Permit, DenialOfAll with { From = Now }));
        Assert.True(Discloses(Informed, Permit, DenialOfAll with { From = Now + Tick }));
        // Dated by a clock that is ahead it binds at once.
        Assert.False(Discloses(Informed, Permit, DenialOfAll with { At = Now.AddYears(1) }));
    }

    [Fact]
    public void What_is_in_force_is_told_newest_first()
    {
        var denials = Enumerable.Range(1, 3).Select(i => DenialOfAll with { Id = $"d{i}", At = Now.AddDays(-i), Target = new DenialTarget.OfServiceEvent($"1.2.{i}") }).ToArray();
        var (permission, inForce) = Policy(Informed, denials[1], Permit, denials[0], denials[2], DenialOfAll with { IsActive = false }).InForceAt(Now);
        Assert.Equal(Permit, permission);
        Assert.Equal(["d1", "d2", "d3"], inForce.Select(d => d.Id));
    }

    [Fact]
    public void An_unreadable_declaration_denies_all_and_lists_nothing()
    {
        var policy = PolicySnapshot.Compile(1, [Informed, null, Permit], []);
        Assert.Equal(2, policy.Declarations.Count);
        Assert.Equal(Permit, policy.InForceAt(Now).Permission);
        Assert.Empty(policy.InForceAt(Now).Denials);
        Assert.False(Discloses(policy.Declarations.Append(null).ToArray()));
    }

    // :: Confirmations (§26.2)

    private static readonly ProtectedConfirmation Confirmed = (ProtectedConfirmation)ConsentWorld.Declared("confirmed")!;

    [Fact]
    public void Every_confirmation_in_force_counts()
    {
        Assert.Equal(ProtectedService.Psychiatry | ProtectedService.Genetics, Seen(Confirmed, Confirmed with { Services = ProtectedService.Genetics }));
        Assert.Equal(ProtectedService.Psychiatry, Seen(Confirmed, Confirmed with { Id = "p2" }));
        Assert.Equal(ProtectedService.Psychiatry, Seen(Confirmed, Confirmed with { Services = ProtectedService.Genetics, IsActive = false }));
        Assert.Equal(ProtectedService.Psychiatry, Seen(Confirmed, Confirmed with { Services = ProtectedService.Genetics, Until = Now }));
        Assert.Equal(ProtectedService.Psychiatry, Seen(Confirmed with { Until = Now + Tick }));
        Assert.Equal(ProtectedService.None, Seen(Confirmed with { From = Now + Tick }));
    }

    /// <summary>Bound to the professional, the organisation, the purpose and the time: nobody else's serves.</summary>
    [Fact]
    public void A_confirmation_is_of_one_professional_in_one_organisation_for_one_purpose()
    {
        Assert.Equal(ProtectedService.None, Seen(Confirmed with { Professional = "another" }));
        Assert.Equal(ProtectedService.None, Seen(Confirmed with { Organisation = "1.2.246.10.99000011" }));
        Assert.Equal(ProtectedService.None, Seen(Confirmed with { Purpose = "ETREAT" }));
    }

    // :: Emergencies (§54.2, EHDS Art. 11(5))

    private static readonly EmergencyAccess Emergency = (EmergencyAccess)ConsentWorld.Declared("emergency")!;

    [Fact]
    public void An_emergency_is_open_for_its_professional_until_its_end()
    {
        var policy = Policy(Emergency);
        Assert.Equal(Emergency, policy.EmergencyOf(Me, Own, Now));
        Assert.Equal(Emergency, policy.EmergencyOf(Me, Own, Emergency.Until!.Value - Tick));
        Assert.Null(policy.EmergencyOf(Me, Own, Emergency.Until.Value));
        Assert.Null(policy.EmergencyOf("another", Own, Now));
        Assert.Null(policy.EmergencyOf(Me, "1.2.246.10.99000011", Now));
        Assert.Null(policy.EmergencyOf(null, Own, Now));
        Assert.Null(Policy(Emergency with { IsActive = false }).EmergencyOf(Me, Own, Now));
        Assert.Equal("e2", Policy(Emergency with { Until = Now }, Emergency with { Id = "e2" }).EmergencyOf(Me, Own, Now)!.Id);
    }

    [Fact]
    public void An_emergency_waits_three_days_for_its_review()
    {
        var old = Emergency with { Id = "e0", At = Now - EmergencyAccess.ReviewedWithin, Until = Now.AddDays(-2) };
        Assert.Equal(TimeSpan.FromDays(3), EmergencyAccess.ReviewedWithin);
        Assert.Equal(DenyReason.EmergenciesRest, Refused(Emergency, old));
        Assert.Null(Refused(Emergency, old with { At = old.At + Tick }));
        Assert.Null(Refused(Emergency, old with { Professional = "another" }));
        Assert.Null(Refused(Emergency, old with { Organisation = "1.2.246.10.99000011" }));
        // The same policy, a moment before and at the third day's end.
        var policy = Policy(Informed, old with { Id = "e1" }, Emergency with { Until = Now.AddHours(1) });
        Assert.IsType<Decision.Permit>(Decide("ETREAT", policy, Now - Tick));
        Assert.IsType<Decision.Deny>(Decide("ETREAT", policy, Now));
    }

    /// <summary>Overdue of one person it rests for all: the policy of that one says so, and the requester of everybody's.</summary>
    [Fact]
    public void An_overdue_review_bars_from_emergencies_of_everybody()
    {
        var old = Emergency with { At = Now - EmergencyAccess.ReviewedWithin };
        var policy = Policy(old);
        Assert.False(policy.HasOverdueEmergency(Me, Own, Now - Tick));
        Assert.True(policy.HasOverdueEmergency(Me, Own, Now));
        Assert.False(policy.HasOverdueEmergency("another", Own, Now));
        Assert.False(policy.HasOverdueEmergency(Me, "1.2.246.10.99000011", Now));
        foreach (var isJustified in new[] { true, false })
            Assert.False(Policy(old, (EmergencyReview)ConsentWorld.Declared("emergency-unjustified")! with { IsJustified = isJustified }).HasOverdueEmergency(Me, Own, Now));

        var others = Policy(Emergency);
        var requester = ConsentWorld.Requester("professional", "ETREAT") with { Unit = Emergency.Unit };
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), others));
        Assert.Equal(Decision.Deny.Of(DenyReason.EmergenciesRest), ConsentWorld.Decide(requester with { EmergencyIsOverdue = true }, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), others));
        Assert.Equal(Decision.Deny.Of(DenyReason.EmergenciesRest), ConsentWorld.Decide(requester with { EmergencyIsOverdue = true },
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Emergency with { At = Now, Until = Now.AddMinutes(30) }), others));
        // In treatment it bars nobody.
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional") with { EmergencyIsOverdue = true }, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), others));
    }

    /// <summary>Of a practice that has nobody to review, or a number that was abused: operators, two of them, end the bar.</summary>
    [Fact]
    public void What_was_recorded_before_operators_ended_the_bar_bars_no_more()
    {
        var old = Emergency with { At = Now - EmergencyAccess.ReviewedWithin - TimeSpan.FromHours(1) };
        var misused = (EmergencyReview)ConsentWorld.Declared("emergency-unjustified")!;
        var requester = ConsentWorld.Requester("professional", "ETREAT") with { Unit = Emergency.Unit };
        foreach (var policy in new[] { Policy(old, Emergency with { Id = "e9" }), Policy(old, misused, Emergency with { Id = "e9" }) })
            foreach (var (ended, isBarred) in new (DateTimeOffset?, bool)[] { (null, true), (old.At, true), (old.At + Tick, false) })
                Assert.Equal(isBarred, ConsentWorld.Decide(requester with { EmergencyBarEnded = ended }, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), policy).Equals(Decision.Deny.Of(DenyReason.EmergenciesRest)));
        Assert.True(Policy(old).HasOverdueEmergency(Me, null, Now, old.At));
        Assert.False(Policy(old).HasOverdueEmergency(Me, null, Now, old.At + Tick));
    }

    [Fact]
    public void An_emergency_is_unsettled_until_its_review_over_or_not()
    {
        EmergencyAccess over = Emergency(Now.AddDays(-2), "e1"), open = Emergency(Now, "e2");
        Assert.Equal(["e1", "e2"], Policy(over, open).UnsettledAt(Now).Select(e => e.Id));
        Assert.Equal(["e2"], Policy(over, open, Reviewed("e1")).UnsettledAt(Now).Select(e => e.Id));
        Assert.Empty(Policy(over, Reviewed("e1")).UnsettledAt(Now));

        static EmergencyAccess Emergency(DateTimeOffset at, string id) =>
            new() { Id = id, At = at, Until = at.AddMinutes(20), Professional = Me, Organisation = Own, Reason = EmergencyReason.CannotBeAsked };
        static EmergencyReview Reviewed(string id) => new() { Id = "r", At = Now.AddHours(-1), Professional = "reviewer", Organisation = Own, Emergency = id, IsJustified = true };
    }

    [Fact]
    public void The_first_review_stands()
    {
        var review = (EmergencyReview)ConsentWorld.Declared("emergency-unjustified")!;
        Assert.Equal(DenyReason.EmergenciesRest, Refused(Emergency, review));
        Assert.Null(Refused(Emergency, review, review with { IsJustified = true, At = review.At - Tick }));
        Assert.Null(Refused(Emergency, review with { IsJustified = true, At = review.At - Tick }, review));
        Assert.Equal(DenyReason.EmergenciesRest, Refused(Emergency, review, review with { IsJustified = true, At = review.At + Tick }));
        Assert.Equal(DenyReason.EmergenciesRest, Refused(Emergency, review with { IsJustified = true, At = review.At + Tick }, review));
        // Of another emergency it settles nothing, and withdrawn neither.
        Assert.Null(Refused(Emergency, review with { Emergency = "e9" }));
        Assert.Null(Refused(Emergency, review with { IsActive = false }));
    }

    // :: The preview's people

    [Fact]
    public void What_is_about_to_be_declared_changes_the_preview_and_not_the_policy()
    {
        var policy = PolicySnapshot.Compile(7, [Informed, null], [], new(new(2000, 1, 1), null));
        var with = policy.With(Permit);
        Assert.Null(policy.PermissionAt(Now));
        Assert.Equal(Permit, with.PermissionAt(Now));
        Assert.Equal((7L, policy.Person, 2), (with.Version, with.Person, with.Declarations.Count));
        // What nobody can read denies in the preview too.
        Assert.Equal(Breadth.OwnRegister, Preview.Of(Viewer.Treating, with, Now).Scope.Breadth);
        Assert.Equal(Breadth.Disclosed, Preview.Of(Viewer.Treating, Policy(Informed).With(Permit), Now).Scope.Breadth);
    }

    [Fact]
    public void A_withdrawal_in_the_preview_takes_the_place_of_what_it_withdraws()
    {
        var policy = Policy(Informed, Permit, DenialOfAll, DenialOfAll with { Id = "", At = Now.AddDays(-3), Target = new DenialTarget.OfServiceEvent(Event) });
        Assert.Equal(LegalBasis.OwnRegister, Preview.Of(Viewer.Treating, policy, Now).Basis);
        var withdrawn = policy.With(DenialOfAll with { IsActive = false });
        Assert.Equal(LegalBasis.DisclosurePermission, Preview.Of(Viewer.Treating, withdrawn, Now).Basis);
        Assert.Equal(4, withdrawn.Declarations.Count);
        // What is not stored yet has no id, and takes nothing's place.
        Assert.Equal(5, policy.With(DenialOfAll with { Id = "" }).Declarations.Count);
    }

    [Fact]
    public void A_preview_of_an_emergency_is_of_one_that_was_just_recorded()
    {
        Assert.Equal(LegalBasis.Emergency, Preview.Of(Viewer.InEmergency, PolicySnapshot.Empty, Now).Basis);
        Assert.Equal(Breadth.OwnRegister, Preview.Of(Viewer.InEmergency, Policy(DenialOfAll), Now).Scope.Breadth);
        Assert.Equal(LegalBasis.Emergency, Preview.Of(Viewer.InEmergency, Policy(DenialOfAll with { AllowsEmergency = true }), Now).Basis);
        Assert.Equal(LegalBasis.OwnRegister, Preview.Of(Viewer.Treating, PolicySnapshot.Empty, Now).Basis);
    }

    // :: Forms that are typed in late (§58)

    private static T Form<T>(T declared, int order, int days) where T : Declaration => declared with { Order = order, At = Now.AddDays(days), StoredAt = Now.AddHours(order - 20), RecordedBy = Own };

    private static T Said<T>(T declared, int order) where T : Declaration => declared with { Order = order, StoredAt = Now.AddHours(order - 20) };

    [Fact]
    public void A_form_opens_if_it_is_no_older_than_anything_said_before()
    {
        DisclosurePermit withdrawn = Permit with { IsActive = false };
        // On the very moment of what it opens again, and a tick before; two days are between the withdrawals, of which the first stored is the later said.
        Assert.Equal("late", Given(Form(withdrawn, 1, -1), Form(Permit with { Id = "late" }, 2, -1)));
        Assert.Null(Given(Form(withdrawn, 1, -1), Form(Permit, 2, -1) with { At = Now.AddDays(-1) - Tick }));
        Assert.Null(Given(Form(withdrawn, 1, -1), Form(withdrawn, 2, -3), Form(Permit, 3, -2)));
        // What the person said was said as it was stored, whatever it is dated.
        Assert.Null(Given(Said(withdrawn with { At = Now.AddDays(-9) }, 1), Form(Permit, 2, -1)));
        Assert.Equal("late", Given(Said(withdrawn with { At = Now.AddDays(-9) }, 1), Form(Permit with { Id = "late" }, 2, 0)));
        // A desk's clock ahead makes nothing later than its storing: what came after that is heard.
        Assert.Equal("late", Given(Form(withdrawn, 1, 0) with { At = Now.AddMinutes(4) }, Form(Permit with { Id = "late" }, 2, 0)));
        // Not heard, it leaves what held before it.
        Assert.Equal("c2", Given(Said(Permit, 1), Form(Permit with { Id = "late" }, 2, -9)));
        // One with an end gives less than what holds, and is heard.
        Assert.Equal("late", Given(Said(Permit, 1), Form(Permit with { Id = "late", Until = Now + Tick }, 2, -9)));
        Assert.Null(Given(Said(Permit, 1), Form(Permit with { Id = "late", Until = Now }, 2, -9)));

        static string? Given(params Declaration[] declared) => Policy(declared).PermissionAt(Now)?.Id;
    }

    [Fact]
    public void A_wider_denial_that_is_typed_in_late_takes_no_stricter_ones_place()
    {
        var exception = DenialOfAll with { Id = "late", AllowsEmergency = true };
        Assert.Equal((true, true), Denies(Said(DenialOfAll, 1), Form(exception, 2, -2)));
        Assert.Equal((true, false), Denies(Said(DenialOfAll, 1), Form(exception, 2, 0)));
        Assert.Equal((true, false), Denies(Said(DenialOfAll, 1), Said(exception, 2)));
        Assert.Equal((true, true), Denies(Said(exception, 1), Form(DenialOfAll, 2, -2)));
        Assert.Equal((true, true), Denies(Said(DenialOfAll, 1), Form(DenialOfAll with { Until = Now }, 2, -2)));
        Assert.Equal((false, false), Denies(Said(DenialOfAll, 1), Form(DenialOfAll with { Until = Now }, 2, 0)));
        // Of another thing it says nothing.
        Assert.Equal((true, true), Denies(Said(DenialOfAll with { Target = new DenialTarget.OfServiceEvent(Event) }, 1), Form(DenialOfAll, 2, -9)));

        static (bool, bool) Denies(params Declaration[] declared) => (Policy(declared).At(Now).Denied.DeniesAll, Policy(declared).At(Now).DeniedInEmergency.DeniesAll);
    }

    [Fact]
    public void The_first_word_about_a_thing_is_heard_however_old_its_form()
    {
        Assert.NotNull(Policy(Form(Permit, 1, -900)).PermissionAt(Now));
        Assert.True(Policy(Form(Informed, 1, -900)).At(Now).IsInformed);
        Assert.False(Policy(Said(Informed with { IsActive = false }, 1), Form(Informed, 2, -2)).At(Now).IsInformed);
        Assert.True(Policy(Said(Informed with { IsActive = false }, 1), Form(Informed, 2, 0)).At(Now).IsInformed);
    }

    private static PolicySnapshot Policy(params Declaration?[] declared) =>
        PolicySnapshot.Compile(7, declared, [new ServiceEvent(ConsentWorld.OwnEvent, Own, "in-progress", Now.AddHours(-1), null)]);

    private static bool Discloses(params Declaration?[] declared) => Decided("TREAT", declared).Scope.Breadth == Breadth.Disclosed;

    private static ProtectedService Seen(params Declaration?[] declared) => Decided("TREAT", [Informed, Permit, .. declared]).Scope.Withheld.SeenServices;

    private static DenyReason? Refused(params Declaration?[] declared) => (Decide("ETREAT", Policy(declared), Now) as Decision.Deny)?.Reason;

    private static Decision.Permit Decided(string purpose, params Declaration?[] declared) => Assert.IsType<Decision.Permit>(Decide(purpose, Policy(declared), Now));

    private static Decision Decide(string purpose, PolicySnapshot policy, DateTimeOffset now) => ConsentDecision.Decide(ConsentWorld.Requester("professional", purpose),
        ConsentWorld.Interaction(InteractionKind.Search, "Observation"), policy, policy.RelationshipOf(Own, null, now), now);

    /// <summary>Law 3: what was answered last binds, whatever the clock of who declared it said.</summary>
    [Fact]
    public void What_was_stored_last_decides_whatever_it_is_dated()
    {
        var all = new DenialTarget.All();
        var withdrawn = new DisclosureDenial { Id = "1", Order = 7, At = Now.AddMinutes(4), Target = all, IsActive = false };
        var denied = new DisclosureDenial { Id = "2", Order = 8, At = Now, Target = all };
        Assert.True(Policy(withdrawn, denied).At(Now).Denied.DeniesAll);
        Assert.False(Policy(denied with { Order = 6 }, withdrawn).At(Now).Denied.DeniesAll);

        var given = new DisclosurePermit { Id = "3", Order = 1, At = Now.AddMinutes(4) };
        Assert.Null(Policy(given, new DisclosurePermit { Id = "4", Order = 2, At = Now.AddDays(-1), IsActive = false }).PermissionAt(Now));
        Assert.Equal("3", Policy(given with { Order = 3 }, new DisclosurePermit { Id = "4", Order = 2, At = Now.AddMinutes(5), IsActive = false }).PermissionAt(Now)?.Id);

        var told = new Informing { Id = "5", Order = 1, At = Now, TextVersion = Informing.CurrentTextVersion };
        Assert.False(Policy(told, told with { Id = "6", Order = 2, At = Now.AddDays(-1), IsActive = false }).At(Now).IsInformed);
        // What is not stored yet comes last: that is what a preview asks.
        Assert.True(Policy(withdrawn).With(denied with { Order = long.MaxValue, At = Now.AddDays(-9) }).At(Now).Denied.DeniesAll);
    }
}
