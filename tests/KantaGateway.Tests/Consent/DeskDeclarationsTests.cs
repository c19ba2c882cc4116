using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>What is recorded at a desk for the person (Act 703/2023 §58), and what professionals record of their own access (§26.2, §54.2).</summary>
public class DeskDeclarationsTests
{
    private const string PatientId = "0b0a55d2-799a-45f5-a161-6a4a5faad1f8", EmergencyId = "4f6c0b3e-1111-4000-8000-0000000000e1";
    private const string Me = "revontuli-laakari", Unit = "1.2.246.10.99000022.10.1", OtherUnit = "1.2.246.10.99000022.10.2";
    private static readonly string Own = ConsentWorld.Revontuli.ToString();
    private static readonly DateTimeOffset Now = ConsentWorld.Now;

    private static readonly DisclosurePermit Permit = new() { At = Now, RecordedBy = Own, IsSigned = true };

    [Theory]
    [InlineData("system")]
    [InlineData("professional")]
    public void A_signed_permission_of_a_person_who_is_treated_there_is_recorded(string kind) =>
        Assert.Contains(Rule.DeskDeclares, Assert.IsType<Decision.Permit>(Decide(kind, Permit)).Rules);

    [Fact]
    public void Its_grant_stores_the_declaration_and_shows_nothing_of_others()
    {
        var scope = Assert.IsType<Decision.Permit>(Decide("system", Permit)).Scope;
        Assert.Equal((true, Breadth.OwnRegister, Own), (scope.MayDeclare, scope.Breadth, scope.Controller));
    }

    [Fact]
    public void Without_a_signed_form_nothing_is_recorded_but_the_informing()
    {
        Assert.Equal(DenyReason.UnsignedDeclaration, Reason("system", Permit with { IsSigned = false }));
        Assert.Equal(DenyReason.UnsignedDeclaration, Reason("system", new DisclosureDenial { At = Now, RecordedBy = Own, Target = new DenialTarget.All() }));
        Assert.IsType<Decision.Permit>(Decide("system", new Informing { At = Now, RecordedBy = Own, TextVersion = Informing.CurrentTextVersion }));
    }

    [Fact]
    public void What_another_organisation_recorded_or_nobody_is_not_taken_from_this_one()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Permit with { RecordedBy = "1.2.246.10.99000011" }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Permit with { RecordedBy = null }));
    }

    [Fact]
    public void A_permission_and_an_informing_need_the_person_to_be_treated_there()
    {
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", Permit, open: false));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", new Informing { At = Now, RecordedBy = Own, TextVersion = Informing.CurrentTextVersion }, open: false));
    }

    [Fact]
    public void What_closes_is_taken_from_whoever_comes_to_the_desk_and_what_may_open_from_who_is_treated_there()
    {
        var denial = new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, Target = new DenialTarget.All() };
        Assert.IsType<Decision.Permit>(Decide("system", denial, open: false));
        Assert.IsType<Decision.Permit>(Decide("system", Permit with { IsActive = false }, open: false, declared: []));
        // Of one target the last decides: each of these would take the place of a stricter denial.
        foreach (var opening in new[] { denial with { IsActive = false }, denial with { AllowsEmergency = true }, denial with { Until = Now.AddDays(1) }, denial with { From = Now.AddDays(1) } })
        {
            Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", opening, open: false));
            Assert.IsType<Decision.Permit>(Decide("system", opening));
        }
    }

    [Fact]
    public void A_declaration_looks_for_nothing_on_its_way()
    {
        foreach (var needs in new (string, char)[][] { [("Consent", 'c'), ("DocumentReference", 's')], [("Consent", 'c'), ("Provenance", 's'), ("Provenance", 'r')] })
            foreach (var kind in (string[])["system", "professional"])
                Assert.Equal(Decision.Deny.Of(DenyReason.DeclarationByCriteria), ConsentWorld.Decide(ConsentWorld.Requester(kind) with { Scopes = SmartScope.ParseAll([kind == "system" ? "system/*.cruds" : "user/*.cruds"]) },
                    ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Permit) with { Needs = needs }, ConsentWorld.Policy(["informed"], true)));
        // And shows no protected entry of the own register to who refers to one and would not be shown it.
        Assert.True(Assert.IsType<Decision.Permit>(Decide("professional", Permit)).Scope.Withheld is { SpeciallyProtected: true, SeenServices: ProtectedService.None });
    }

    /// <summary>All that a psychiatric clinic stores is a protected entry, the signed form too.</summary>
    [Fact]
    public void A_declaration_refers_to_what_its_maker_sees_of_the_own_register()
    {
        var declares = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Permit);
        Withheld refersTo(Requester requester, ProtectedService ofEvent, params string[] declared) =>
            Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, declares, ConsentWorld.Policy(["informed", .. declared], true, ofEvent))).Scope.Withheld;
        Assert.Equal(Withheld.Nothing, refersTo(ConsentWorld.Requester("system"), ProtectedService.None));
        Assert.Equal(ProtectedService.Psychiatry, refersTo(ConsentWorld.Requester("professional"), ProtectedService.Psychiatry).SeenServices);
        Assert.Equal(ProtectedService.Psychiatry, refersTo(ConsentWorld.Requester("professional"), ProtectedService.None, "confirmed").SeenServices);
        Assert.Equal(ProtectedService.Psychotherapy, refersTo(ConsentWorld.Requester("professional") with { OwnServices = ProtectedService.Psychotherapy }, ProtectedService.None).SeenServices);
    }

    [Fact]
    public void Permissions_and_denials_rest_on_informing_at_the_desk_too()
    {
        Assert.Equal(DenyReason.NotInformed, Reason("system", Permit, declared: []));
        Assert.Equal(DenyReason.NotInformed, Reason("system", Permit, declared: ["informed-old"]));
    }

    /// <summary>§58: what is withdrawn is what the person has seen to be in force.</summary>
    [Theory]
    [InlineData(InteractionKind.Create)]
    [InlineData(InteractionKind.Update)]
    public void A_person_withdraws_no_denial_along_that_came_after_the_one_they_mean(InteractionKind kind)
    {
        DisclosureDenial Stored(string id, long order, DenialTarget target) => new() { At = Now, Target = target, Id = id, Order = order };
        var (seen, since, other) = (Stored("a", 2, new DenialTarget.All()), Stored("b", 3, new DenialTarget.All()), Stored("c", 4, new DenialTarget.OfServiceEvent("1.2.3")));
        var withdrawal = seen with { IsActive = false, Order = long.MaxValue, Id = kind == InteractionKind.Update ? "a" : "", Withdraws = kind == InteractionKind.Update ? null : "a" };

        Assert.Equal(DenyReason.DeclaredSince, Withdraw(withdrawal, seen, since));
        Assert.Equal(DenyReason.DeclaredSince, Withdraw(withdrawal, seen, since with { AllowsEmergency = true }));
        Assert.Null(Withdraw(withdrawal, seen, since with { Order = 1 }, other));
        // Withdrawn or over already, nothing is withdrawn along.
        Assert.Null(Withdraw(withdrawal, seen, since with { IsActive = false }));
        Assert.Null(Withdraw(withdrawal, seen, since with { Until = Now }));
        // What closes is done whatever came between.
        var permit = new DisclosurePermit { At = Now, Id = "a", Order = 1 };
        Assert.Null(Withdraw(permit with { IsActive = false, Order = long.MaxValue }, permit, permit with { Id = "b", Order = 2 }));
        Assert.Null(Withdraw(withdrawal with { IsActive = true }, new Informing { At = Now, TextVersion = Informing.CurrentTextVersion, Order = 0 }, seen, since));
        // A desk is not told that there is another.
        Assert.Null((ConsentWorld.Decide(ConsentWorld.Requester("system"), ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: AtDesk(withdrawal with { Id = "", Withdraws = "a" })),
            PolicySnapshot.Compile(1, [seen, since], [new("1.2.9", ConsentWorld.Revontuli.ToString(), "in-progress", ConsentWorld.Now.AddDays(-1), null)])) as Decision.Deny)?.Reason);

        DenyReason? Withdraw(Declaration declared, params Declaration[] stored) => (ConsentWorld.Decide(ConsentWorld.Requester("citizen"),
            ConsentWorld.InteractionOf(kind, "Consent", declares: declared), PolicySnapshot.Compile(1, stored, [])) as Decision.Deny)?.Reason;

        static Declaration AtDesk(Declaration declaration) => declaration with { RecordedBy = ConsentWorld.Revontuli.ToString(), IsSigned = true };
    }

    /// <summary>§58: revocable. A form that is not heard, being the older will, leaves in force what the person sees, and no way to it is closed.</summary>
    [Theory]
    [InlineData(InteractionKind.Create)]
    [InlineData(InteractionKind.Update)]
    public void A_person_withdraws_the_denial_in_force_whatever_older_form_was_typed_in_after_it(InteractionKind kind)
    {
        var denied = new DisclosureDenial { At = Now.AddHours(-3), StoredAt = Now.AddHours(-3), Target = new DenialTarget.All(), Id = "a", Order = 2 };
        var form = denied with { Id = "b", Order = 3, At = Now.AddDays(-2), StoredAt = Now.AddHours(-1), RecordedBy = Own, IsSigned = true };
        var withdrawal = denied with { At = Now, IsActive = false, Order = long.MaxValue, Id = kind == InteractionKind.Update ? "a" : "", Withdraws = kind == InteractionKind.Update ? null : "a" };
        foreach (var unheard in new[] { form with { IsActive = false }, form with { AllowsEmergency = true }, form with { Until = Now } })
        {
            var policy = PolicySnapshot.Compile(1, [denied, unheard], []);
            Assert.Equal("a", Assert.Single(policy.InForceAt(Now).Denials).Id);
            Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("citizen"), ConsentWorld.InteractionOf(kind, "Consent", declares: withdrawal), policy));
            Assert.Empty(policy.With(withdrawal).InForceAt(Now).Denials);
        }
    }

    /// <summary>Of a day alone nobody knows whether it is the older will: it would be kept, and never hold.</summary>
    [Fact]
    public void A_form_that_may_open_says_at_what_time_it_was_signed()
    {
        var denial = new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, IsOfDay = true, Target = new DenialTarget.All() };
        foreach (var opening in new Declaration[]
        {
            Permit with { IsOfDay = true }, new Informing { At = Now, IsOfDay = true, RecordedBy = Own, TextVersion = Informing.CurrentTextVersion },
            denial with { IsActive = false }, denial with { AllowsEmergency = true }, denial with { Until = Now.AddDays(1) }, denial with { From = Now.AddDays(1) },
        })
            // Whatever else was declared: the answer tells nothing of it.
            foreach (var declared in new[] { new[] { "informed" }, ["informed", "permit"], ["informed", "permit-withdrawn", "deny-all"] })
            {
                Assert.Equal(DenyReason.TimeOfDayMissing, Reason("system", opening, declared: declared));
                Assert.IsType<Decision.Permit>(Decide("system", opening with { IsOfDay = false }, declared: declared));
            }
        foreach (var closing in new Declaration[] { denial, Permit with { IsOfDay = true, IsActive = false } })
            Assert.IsType<Decision.Permit>(Decide("system", closing));
    }

    /// <summary>§51: whose word it is decides what it may do, so it is said; an emergency waits for nobody's spelling.</summary>
    [Fact]
    public void Who_declares_is_said_at_a_desk_and_by_an_app()
    {
        var denial = new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, Target = new DenialTarget.All() };
        foreach (var said in new Declaration[] { Permit, Permit with { IsActive = false }, denial, denial with { IsActive = false } })
        {
            Assert.Equal(DenyReason.SpeakerUnclear, Reason("system", said with { IsSpeakerUnclear = true }));
            Assert.Equal(DenyReason.SpeakerUnclear, Reason("professional", said with { IsSpeakerUnclear = true }));
            Assert.IsType<Decision.Permit>(Decide("system", said));
            var own = said with { RecordedBy = null };
            Assert.IsType<Decision.Permit>(Decide("citizen", own));
            Assert.Equal(DenyReason.SpeakerUnclear, Reason("citizen", own with { IsSpeakerUnclear = true }));
        }
    }

    /// <summary>§50, §51: a desk takes from a custodian what the portal takes, and not more.</summary>
    [Fact]
    public void A_custodian_declares_no_more_at_a_desk_than_in_the_portal()
    {
        var denial = new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, ByCustodian = true, Target = new DenialTarget.All() };
        var informed = new Informing { At = Now, RecordedBy = Own, ByCustodian = true, TextVersion = Informing.CurrentTextVersion };
        foreach (var childs in new Declaration[] { denial, denial with { IsActive = false }, denial with { AllowsEmergency = true }, informed with { IsActive = false } })
        {
            Assert.Equal(DenyReason.NotForCustodians, Reason("system", childs));
            Assert.Equal(DenyReason.NotForCustodians, Reason("professional", childs));
            Assert.IsType<Decision.Permit>(Decide("system", childs with { ByCustodian = false }));
        }
        foreach (var custodians in new Declaration[] { Permit with { ByCustodian = true }, Permit with { ByCustodian = true, IsActive = false }, informed })
        {
            Assert.IsType<Decision.Permit>(Decide("system", custodians));
            // Nor of who has died.
            foreach (var (person, isOver) in new[] { (new PersonFacts(new(2008, 11, 25), null), false), (new PersonFacts(new(2008, 11, 26), null), false), (new PersonFacts(null, Now), true) })
                Assert.Equal(isOver ? DenyReason.NotForCustodians : null, AtDesk(custodians, person));
        }
    }

    /// <summary>§50: who is of age is represented by a mandate or a guardian, who declares what the person may, and is named as who signed.</summary>
    [Fact]
    public void Of_who_is_of_age_a_representative_declares_at_a_desk_what_the_person_may()
    {
        var denial = new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, ByCustodian = true, Target = new DenialTarget.All() };
        foreach (var said in new Declaration[] { denial, denial with { IsActive = false }, denial with { AllowsEmergency = true }, Permit with { ByCustodian = true }, Permit with { ByCustodian = true, IsActive = false } })
        {
            Assert.Null(AtDesk(said, new(new(2008, 11, 25), null)));
            Assert.Equal(said is DisclosureDenial ? DenyReason.NotForCustodians : null, AtDesk(said, new(new(2008, 11, 26), null)));
        }
        // It counts as the person's own word, and undoes what they said before.
        var (adult, child) = (new PersonFacts(new(1946, 1, 1), null), new PersonFacts(new(2011, 1, 1), null));
        DisclosurePermit withdrawn = Permit with { Id = "a", Order = 1, RecordedBy = null, IsActive = false, At = Now.AddDays(-2) }, given = Permit with { Id = "b", Order = 2, ByCustodian = true };
        Assert.Equal(("b", null), (PolicySnapshot.Compile(1, [withdrawn, given], [], adult).PermissionAt(Now)?.Id, PolicySnapshot.Compile(1, [withdrawn, given], [], child).PermissionAt(Now)?.Id));
        Assert.Equal(("b", null), (PolicySnapshot.Compile(1, [withdrawn], [], adult).With(given with { Id = "b" }).PermissionAt(Now)?.Id, PolicySnapshot.Compile(1, [withdrawn], [], child).With(given).PermissionAt(Now)?.Id));
        // What a custodian signed while the person was a minor is no mandate's, whenever it is typed in.
        var came = new PersonFacts(new(2008, 11, 20), null);
        Assert.Null(AtDesk(denial with { IsActive = false, At = new(2026, 11, 19, 22, 0, 0, TimeSpan.Zero) }, came));
        Assert.Equal(DenyReason.NotForCustodians, AtDesk(denial with { IsActive = false, At = new(2026, 11, 19, 21, 59, 59, TimeSpan.Zero) }, came));
        // What was said of the child by a custodian stays a custodian's when the child has come of age.
        Assert.True(PolicySnapshot.Compile(1, [given with { At = Now.AddYears(-70) }], [], adult).Declarations[0].ByCustodian);
    }

    private static DenyReason? AtDesk(Declaration declaration, PersonFacts person) => (ConsentWorld.Decide(ConsentWorld.Requester("system"),
        ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: declaration), ConsentWorld.Policy(["informed"], true, person: person)) as Decision.Deny)?.Reason;

    /// <summary>What other registers say of a person is told to nobody who does not treat them: each other refusal comes first.</summary>
    [Fact]
    public void Who_does_not_treat_a_person_learns_nothing_of_their_age_or_death()
    {
        var permit = Permit with { ByCustodian = true };
        foreach (var person in new[] { new PersonFacts(null, Now), new(new(2015, 1, 1), null), new(new(1950, 1, 1), null) })
            foreach (var (said, reason) in new (Declaration, DenyReason)[]
            {
                (permit, DenyReason.NoOpenServiceEvent), (permit with { IsSigned = false }, DenyReason.UnsignedDeclaration), (permit with { IsActive = false }, DenyReason.NoOpenServiceEvent),
                (new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, ByCustodian = true, Target = new DenialTarget.All() }, DenyReason.NoOpenServiceEvent),
            })
                Assert.Equal(reason, (ConsentWorld.Decide(ConsentWorld.Requester("system"), ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: said),
                    ConsentWorld.Policy(["informed"], false, person: person)) as Decision.Deny)?.Reason);
    }

    /// <summary>§58: what was declared is kept, and a withdrawal takes back what it names and nothing else.</summary>
    [Fact]
    public void The_next_version_of_a_declaration_and_its_withdrawal_are_about_the_same()
    {
        var (all, visit) = (new DenialTarget.All(), new DenialTarget.OfServiceEvent("1.2.3"));
        var stored = new Declaration[]
        {
            new Informing { Id = "i", At = Now, Order = 1, TextVersion = Informing.CurrentTextVersion }, new DisclosurePermit { Id = "p", At = Now, Order = 2 },
            new DisclosureDenial { Id = "d", At = Now, Order = 3, Target = all }, new DisclosureDenial { Id = "v", At = Now, Order = 4, Target = visit },
        };
        var other = new DisclosureDenial { At = Now, Target = visit };
        foreach (var isActive in new[] { true, false })
        {
            Assert.Equal(DenyReason.SubjectChanged, Says(InteractionKind.Update, other with { Id = "d", IsActive = isActive }));
            Assert.Equal(DenyReason.SubjectChanged, Says(InteractionKind.Update, new DisclosurePermit { Id = "d", At = Now, IsActive = isActive }));
            Assert.Equal(DenyReason.SubjectChanged, Says(InteractionKind.Update, other with { Id = "p", IsActive = isActive }));
            Assert.Null(Says(InteractionKind.Update, other with { Id = "v", IsActive = isActive, AllowsEmergency = true }));
        }
        Assert.Equal(DenyReason.SubjectChanged, Says(InteractionKind.Create, other with { IsActive = false, Withdraws = "d" }));
        Assert.Equal(DenyReason.SubjectChanged, Says(InteractionKind.Create, new DisclosurePermit { At = Now, IsActive = false, Withdraws = "d" }));
        Assert.Null(Says(InteractionKind.Create, other with { IsActive = false, Withdraws = "v" }));
        Assert.Null(Says(InteractionKind.Create, other with { IsActive = false }));

        DenyReason? Says(InteractionKind kind, Declaration declared) => (ConsentWorld.Decide(ConsentWorld.Requester("citizen"),
            ConsentWorld.InteractionOf(kind, "Consent", declares: declared), PolicySnapshot.Compile(1, stored, [])) as Decision.Deny)?.Reason;
    }

    /// <summary>What names a place of care would be told, printed and ordered as recorded there.</summary>
    [Fact]
    public void A_person_records_nothing_in_the_name_of_a_desk()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("citizen", Permit));
        Assert.IsType<Decision.Permit>(Decide("citizen", Permit with { RecordedBy = null }));
    }

    [Fact]
    public void A_declaration_of_tomorrow_or_one_that_ends_before_it_begins_is_refused()
    {
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { At = Now.AddMinutes(6) }));
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { Until = Now }));
        Assert.Equal(DenyReason.WrongTime, Reason("citizen", new DisclosurePermit { At = Now.AddDays(1) }));
        // Nor one that is over: it would give nothing, and end what holds. To withdraw one it is.
        foreach (var (kind, desk) in new[] { ("system", Own), ("citizen", null) })
            foreach (var over in new Declaration[] { Permit with { RecordedBy = desk, At = Now.AddDays(-2), Until = Now }, new DisclosureDenial { At = Now.AddDays(-2), Until = Now, RecordedBy = desk, IsSigned = true, Target = new DenialTarget.All() } })
            {
                Assert.Equal(DenyReason.WrongTime, Reason(kind, over));
                Assert.Null(Reason(kind, over with { Until = Now.AddTicks(1) }));
                Assert.Null(Reason(kind, over with { IsActive = false }));
            }
        Assert.IsType<Decision.Permit>(Decide("system", Permit with { At = Now.AddMinutes(4) }));
    }

    [Theory]
    [InlineData(false, null, ControllerKind.Public)]
    [InlineData(false, DenyReason.PrivateProviderIsNoScope, ControllerKind.Private)]
    [InlineData(false, DenyReason.PrivateProviderIsNoScope, ControllerKind.Independent)]
    [InlineData(false, DenyReason.PrivateProviderIsNoScope, ControllerKind.Occupational)]
    [InlineData(true, null, ControllerKind.Occupational)]
    [InlineData(true, null, ControllerKind.Private)]
    [InlineData(true, null, ControllerKind.Public)]
    [InlineData(true, null, ControllerKind.Independent)]
    [InlineData(false, null, ControllerKind.Public, ControllerKind.Occupational)]
    [InlineData(true, null, ControllerKind.Public, ControllerKind.Occupational)]
    [InlineData(false, DenyReason.PrivateProviderIsNoScope, ControllerKind.Private, ControllerKind.Occupational)]
    [InlineData(false, DenyReason.UnknownRegister)]
    [InlineData(true, DenyReason.UnknownRegister)]
    public void Only_public_and_occupational_registers_can_be_denied(bool isOccupational, DenyReason? refused, params ControllerKind[] kinds)
    {
        var denial = new DisclosureDenial { At = Now, Target = new DenialTarget.OfRegister("1.2.246.10.99000033", isOccupational ? Register.Occupational("1.2.246.10.99000055") : Register.Patient) };
        var interaction = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: denial) with { KindsOfDenied = kinds };
        var decision = ConsentWorld.Decide(ConsentWorld.Requester("citizen"), interaction, ConsentWorld.Policy(["informed"], open: false));
        Assert.Equal(refused, (decision as Decision.Deny)?.Reason);
    }

    [Fact]
    public void A_clinic_changes_no_declaration_that_is_stored()
    {
        foreach (var kind in new[] { InteractionKind.Update, InteractionKind.Patch, InteractionKind.Delete })
            Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Permit, kind: kind));
    }

    // :: Confirmations

    private static readonly ProtectedConfirmation Confirmation = new()
    { At = Now, Until = Now.AddHours(8), Professional = Me, Organisation = Own, Unit = Unit, Purpose = "TREAT", Services = ProtectedService.Psychiatry };

    [Fact]
    public void A_professional_confirms_the_own_need_for_some_hours()
    {
        Assert.Contains(Rule.RecordsAccess, Assert.IsType<Decision.Permit>(Decide("professional", Confirmation)).Rules);
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { Until = Now.AddHours(8).AddTicks(1) }));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { Until = null }));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { Purpose = "ETREAT" }));
        foreach (var at in new[] { Now.AddMinutes(-5), Now, Now.AddMinutes(5) })
            Assert.Null(Reason("professional", Confirmation with { At = at, From = Now }));
        Assert.Equal(DenyReason.WrongTime, Reason("professional", Confirmation with { At = Now.AddMinutes(-5).AddTicks(-1), From = Now }));
    }

    /// <summary>§26.2 asks for a step, not for a visit: between visits the step opens the own register, and no other.</summary>
    [Fact]
    public void Between_visits_a_confirmation_opens_the_own_register_alone()
    {
        Assert.IsType<Decision.Permit>(Decide("professional", Confirmation, open: false));
        var read = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy(["informed", "permit", "confirmed"], open: false)));
        Assert.Equal((Breadth.OwnRegister, ProtectedService.Psychiatry), (read.Scope.Breadth, read.Scope.Withheld.SeenServices));
        // One that names a visit names one that is open.
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("professional", Confirmation, open: false, serviceEvent: ConsentWorld.OwnEvent));
    }

    [Fact]
    public void Nobody_confirms_for_another()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Confirmation with { Professional = "another" }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Confirmation with { Organisation = "1.2.246.10.99000011" }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Confirmation));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("citizen", Confirmation));
    }

    // :: Emergencies and their review

    private static readonly EmergencyAccess Emergency = new()
    { Id = "", At = Now, Until = Now.AddMinutes(30), Professional = Me, Organisation = Own, Unit = Unit, Reason = EmergencyReason.CannotBeAsked };

    private static readonly EmergencyReview Review = new()
    { At = Now, Professional = "reviewer", Organisation = Own, Unit = OtherUnit, Emergency = EmergencyId, IsJustified = true };

    [Fact]
    public void An_emergency_is_recorded_for_minutes_with_a_token_of_that_purpose()
    {
        Assert.IsType<Decision.Permit>(Decide("professional", Emergency, purpose: "ETREAT", declared: []));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Emergency, purpose: "TREAT"));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Emergency with { Until = Now.AddMinutes(31) }, purpose: "ETREAT"));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("professional", Emergency, purpose: "ETREAT", open: false));
        Assert.Equal(DenyReason.EmergenciesRest, Reason("professional", Emergency, purpose: "ETREAT", declared: ["emergency-unsettled"]));
        Assert.Null(Reason("professional", Emergency with { At = Now.AddMinutes(-5), From = Now }, purpose: "ETREAT"));
        Assert.Equal(DenyReason.WrongTime, Reason("professional", Emergency with { At = Now.AddMinutes(-5).AddTicks(-1), From = Now }, purpose: "ETREAT"));
    }

    /// <summary>EHDS Art. 11(5): another unit reviews it, so it is of one.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData(Unit)]
    public void An_emergency_needs_the_unit_that_the_token_names(string? said)
    {
        Decision record(string? unit) => ConsentWorld.Decide(ConsentWorld.Requester("professional", "ETREAT") with { Unit = unit }, ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Emergency with { Unit = said }), ConsentWorld.Policy([], true));
        Assert.Equal(Decision.Deny.Of(DenyReason.UnitMissing), record(null));
        Assert.Equal(Decision.Deny.Of(DenyReason.DeclarationByAnother), record(OtherUnit));
        Assert.Equal(said is null ? Decision.Deny.Of(DenyReason.DeclarationByAnother) : null, record(Unit) as Decision.Deny);
        // A confirmation is reviewed by nobody.
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Confirmation with { Unit = null }), ConsentWorld.Policy([], true)));
    }

    [Fact]
    public void A_reviewer_of_another_unit_settles_an_emergency_once()
    {
        Assert.Contains(Rule.ReviewsEmergency, Assert.IsType<Decision.Permit>(DecideReview(Review)).Rules);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Emergency = PatientId }) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review, settled: true) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Unit = Unit }, unit: Unit) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Unit = null }, unit: null) as Decision.Deny)?.Reason);
        // The unit is the token's, not what the record says.
        Assert.Equal(DenyReason.DeclarationByAnother, (DecideReview(Review with { Unit = OtherUnit }, unit: Unit) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.DeclarationByAnother, (DecideReview(Review, unit: null) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Professional = Me }, who: Me) as Decision.Deny)?.Reason);
        // Bookings and orders are no reviewing (decree §7); to look after the provider's own data is (§9).
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review, tasks: TaskClass.Support) as Decision.Deny)?.Reason);
        Assert.IsType<Decision.Permit>(DecideReview(Review, tasks: TaskClass.Administration));
    }

    [Fact]
    public void Who_may_settle_an_emergency_is_a_professional_alone()
    {
        var reviewer = ConsentWorld.Requester("professional") with { ProfessionalId = "reviewer", Unit = OtherUnit };
        Assert.True(ConsentDecision.MayReview(reviewer, Emergency));
        Assert.False(ConsentDecision.MayReview(reviewer with { Kind = KantaGateway.Gateway.Identification.RequesterKind.System }, Emergency));
        Assert.False(ConsentDecision.MayReview(reviewer with { ProfessionalId = null }, Emergency));
        Assert.False(ConsentDecision.MayReview(reviewer, Emergency with { Organisation = "1.2.246.10.99000011" }));
    }

    private static Decision DecideReview(EmergencyReview review, string who = "reviewer", string? unit = OtherUnit, bool settled = false, TaskClass? tasks = null)
    {
        var stored = Emergency with { Id = EmergencyId, At = Now.AddDays(-1), Until = Now.AddDays(-1).AddMinutes(20) };
        Declaration[] declared = settled ? [stored, Review with { At = Now.AddHours(-1) }] : [stored];
        return ConsentWorld.Decide(ConsentWorld.Requester("professional") with { ProfessionalId = who, Unit = unit, Tasks = tasks },
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: review), PolicySnapshot.Compile(7, declared, []));
    }

    [Fact]
    public void Only_the_person_acknowledges_the_notice_of_an_emergency()
    {
        var read = new Acknowledgement { At = Now, Notice = EmergencyId };
        Assert.IsType<Decision.Permit>(Decide("citizen", read, declared: []));
        foreach (var other in (string[])["system", "professional"])
            Assert.Equal(DenyReason.DeclarationByAnother, Reason(other, read with { RecordedBy = Own, IsSigned = true }));
    }

    // :: Edges of time

    [Fact]
    public void A_declaration_may_be_dated_five_minutes_ahead_and_has_to_last()
    {
        var tick = TimeSpan.FromTicks(1);
        Assert.Null(Reason("system", Permit with { At = Now.AddMinutes(5) }));
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { At = Now.AddMinutes(5) + tick }));
        Assert.Null(Reason("system", Permit with { Until = Now + tick }));
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { From = Now.AddDays(1), Until = Now.AddDays(1) }));
        Assert.Null(Reason("system", Permit with { From = Now.AddDays(1), Until = Now.AddDays(1) + tick }));
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { From = Now.AddDays(-2), Until = Now.AddDays(-1) }));
    }

    [Fact]
    public void A_confirmation_lasts_a_shift_from_its_start_and_begins_about_now()
    {
        var tick = TimeSpan.FromTicks(1);
        Assert.Null(Reason("professional", Confirmation with { From = Now.AddHours(-1), Until = Now.AddHours(7) }));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { From = Now.AddHours(-1), Until = Now.AddHours(7) + tick }));
        Assert.Null(Reason("professional", Confirmation with { From = Now.AddMinutes(5), Until = Now.AddHours(8).AddMinutes(5) }));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { From = Now.AddMinutes(5) + tick, Until = Now.AddHours(8).AddMinutes(5) + tick }));
        Assert.Equal(TimeSpan.FromHours(8), ProtectedConfirmation.MaxLength);
    }

    [Fact]
    public void An_emergency_lasts_half_an_hour_from_its_start()
    {
        var tick = TimeSpan.FromTicks(1);
        Assert.Null(Reason("professional", Emergency with { From = Now.AddMinutes(-1), Until = Now.AddMinutes(29) }, purpose: "ETREAT"));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Emergency with { From = Now.AddMinutes(-1), Until = Now.AddMinutes(29) + tick }, purpose: "ETREAT"));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Emergency with { Until = null }, purpose: "ETREAT"));
        Assert.Equal(TimeSpan.FromMinutes(30), EmergencyAccess.MaxLength);
    }

    // :: Who declares what

    [Fact]
    public void An_informing_of_an_outdated_text_is_refused_but_to_withdraw_it()
    {
        var outdated = new Informing { At = Now, RecordedBy = Own, TextVersion = "2019-1" };
        Assert.Equal(DenyReason.UnknownDeclaration, Reason("system", outdated));
        Assert.Null(Reason("system", outdated with { IsActive = false }));
        Assert.Null(Reason("citizen", outdated with { IsActive = false, RecordedBy = null }, declared: []));
    }

    [Fact]
    public void A_named_service_event_must_prove_treatment_for_what_is_declared_too()
    {
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, Target = new DenialTarget.All() }, serviceEvent: "1.2.246.10.99000022.14.2026.9"));
        Assert.Null(Reason("system", Permit, serviceEvent: ConsentWorld.OwnEvent));
    }

    [Fact]
    public void A_named_visit_that_is_only_stale_takes_what_needs_no_treatment_and_opens_nothing()
    {
        var stale = PolicySnapshot.Compile(7, [ConsentWorld.Declared("informed")], [new(ConsentWorld.OwnEvent, Own, "in-progress", Now - ServiceEvent.Lasts, null)]);
        DenyReason? Reason(Declaration declares) => (ConsentWorld.Decide(ConsentWorld.Requester("system"),
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", serviceEvent: ConsentWorld.OwnEvent, declares: declares) with { Needs = [("Consent", 'c')] }, stale) as Decision.Deny)?.Reason;
        Assert.Null(Reason(new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, Target = new DenialTarget.All() }));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason(Permit));
    }

    /// <summary>Whether a person is informed is for who treats her and records it for her.</summary>
    [Fact]
    public void Who_may_not_declare_is_not_told_whether_the_person_is_informed()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Permit with { RecordedBy = "1.2.246.10.99000011" }, declared: []));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", Permit, open: false, declared: []));
    }

    [Fact]
    public void What_is_no_declaration_is_refused_for_its_own_reason()
    {
        foreach (var kind in new[] { "system", "professional", "citizen" })
        {
            var write = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent") with { Objection = DenyReason.DocumentIsNoScope };
            Assert.Equal(DenyReason.DocumentIsNoScope, (ConsentWorld.Decide(ConsentWorld.Requester(kind), write, ConsentWorld.Policy(["informed"], true)) as Decision.Deny)?.Reason);
        }
    }

    [Fact]
    public void The_person_declares_by_making_and_changing_a_Consent_and_in_no_other_way()
    {
        Assert.Null(Reason("citizen", Permit with { RecordedBy = null }, kind: InteractionKind.Create));
        Assert.Null(Reason("citizen", Permit with { RecordedBy = null }, kind: InteractionKind.Update));
        foreach (var kind in new[] { InteractionKind.Patch, InteractionKind.Delete, InteractionKind.Transaction })
            Assert.Equal(DenyReason.NoLegalBasis, Reason("citizen", Permit, kind: kind));
        Assert.Equal(DenyReason.NoLegalBasis, (ConsentWorld.Decide(ConsentWorld.Requester("citizen"), ConsentWorld.InteractionOf(InteractionKind.Create, "Observation", declares: Permit), ConsentWorld.Policy(["informed"], true)) as Decision.Deny)?.Reason);
    }

    [Fact]
    public void The_person_says_nothing_of_how_a_declaration_was_made()
    {
        var write = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Permit) with { Needs = [("Consent", 'c'), ("Provenance", 'c')] };
        Assert.Equal(DenyReason.NoLegalBasis, (ConsentWorld.Decide(ConsentWorld.Requester("citizen"), write, ConsentWorld.Policy(["informed"], true)) as Decision.Deny)?.Reason);
        // A clinic does of its desk.
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("system"), write, ConsentWorld.Policy(["informed"], true)));
    }

    [Theory]
    [InlineData("system")]
    [InlineData("professional")]
    public void A_clinic_declares_by_making_a_Consent_alone(string kind)
    {
        var write = ConsentWorld.InteractionOf(InteractionKind.Create, "Observation", declares: Permit) with { Needs = [("Consent", 'c')] };
        Assert.Equal(DenyReason.DeclarationByAnother, (ConsentWorld.Decide(ConsentWorld.Requester(kind), write, ConsentWorld.Policy(["informed"], true)) as Decision.Deny)?.Reason);
    }

    [Fact]
    public void The_person_replaces_nothing_that_a_professional_has_recorded()
    {
        var write = ConsentWorld.InteractionOf(InteractionKind.Update, "Consent", declares: new DisclosurePermit { Id = "e1", At = Now });
        Assert.Equal(DenyReason.DeclarationByAnother, Refused(write, "informed", "emergency"));
        Assert.Null(Refused(write with { Declares = new DisclosurePermit { Id = "c2", At = Now } }, "informed", "permit", "emergency"));
        // A new one has no id that could be another's.
        Assert.Null(Refused(write with { Kind = InteractionKind.Create }, "informed", "emergency"));

        static DenyReason? Refused(Interaction write, params string[] declared) =>
            (ConsentWorld.Decide(ConsentWorld.Requester("citizen"), write, ConsentWorld.Policy(declared, false)) as Decision.Deny)?.Reason;
    }

    [Fact]
    public void Of_the_person_the_whole_record_is_the_scope_of_what_she_declares()
    {
        var permit = Assert.IsType<Decision.Permit>(Decide("citizen", Permit with { RecordedBy = null }));
        Assert.Equal((LegalBasis.OwnData, Breadth.WholePerson, Own, false), (permit.Basis, permit.Scope.Breadth, permit.Scope.Controller, permit.Scope.MayDeclare));
    }

    [Fact]
    public void What_is_declared_at_a_desk_goes_into_the_register_in_which_the_person_is_treated()
    {
        Assert.Equal(Register.Patient, Into(ControllerKind.Private, null));
        Assert.Equal(Register.Patient, Into(ControllerKind.Occupational, null));
        Assert.Equal(Register.Occupational("1.2.246.10.99000055"), Into(ControllerKind.Occupational, "1.2.246.10.99000055"));

        static string Into(ControllerKind kind, string? employer) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("system") with { ControllerKind = kind },
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Permit) with { Employer = employer }, ConsentWorld.Policy(["informed"], true))).Scope.Register;
    }

    [Fact]
    public void A_register_that_is_denied_may_be_given_free_again_by_the_same_rules()
    {
        var denial = new DisclosureDenial { At = Now, IsActive = false, Target = new DenialTarget.OfRegister("1.2.246.10.99000033", Register.Patient) };
        var write = ConsentWorld.InteractionOf(InteractionKind.Update, "Consent", declares: denial) with { KindsOfDenied = [ControllerKind.Public] };
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("citizen"), write, ConsentWorld.Policy([], false)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_denial_of_a_register_is_withdrawn_whatever_its_controller_has_become(bool isKnown)
    {
        var denial = new DisclosureDenial { At = Now, Target = new DenialTarget.OfRegister("1.2.246.10.99000033", Register.Patient) };
        foreach (var kind in new[] { InteractionKind.Create, InteractionKind.Update })
            foreach (var isActive in new[] { true, false })
            {
                var write = ConsentWorld.InteractionOf(kind, "Consent", declares: denial with { IsActive = isActive }) with { KindsOfDenied = isKnown ? [ControllerKind.Private] : [] };
                Assert.Equal(!isActive ? null : isKnown ? DenyReason.PrivateProviderIsNoScope : DenyReason.UnknownRegister,
                    (ConsentWorld.Decide(ConsentWorld.Requester("citizen"), write, ConsentWorld.Policy(["informed"], false)) as Decision.Deny)?.Reason);
            }
    }

    [Fact]
    public void A_record_of_access_is_never_made_out_of_force()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Confirmation with { IsActive = false }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Emergency with { IsActive = false }, purpose: "ETREAT"));
    }

    [Fact]
    public void Who_has_no_id_records_no_access()
    {
        var decision = ConsentWorld.Decide(ConsentWorld.Requester("professional") with { ProfessionalId = null },
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Confirmation with { Professional = null! }), ConsentWorld.Policy([], true));
        Assert.Equal(DenyReason.DeclarationByAnother, (decision as Decision.Deny)?.Reason);
    }

    [Theory]
    [InlineData(TaskClass.Support, DenyReason.NoLegalBasis)]
    [InlineData(TaskClass.Administration, DenyReason.NoLegalBasis)]
    [InlineData(TaskClass.LimitedCare, null)]
    [InlineData(TaskClass.BroadCare, null)]
    public void An_emergency_is_for_tasks_that_reach_others(TaskClass task, DenyReason? refused)
    {
        var decision = ConsentWorld.Decide(ConsentWorld.Requester("professional", "ETREAT") with { Tasks = task, Unit = Unit }, ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Emergency), ConsentWorld.Policy([], true));
        Assert.Equal(refused, (decision as Decision.Deny)?.Reason);
    }

    [Fact]
    public void A_reviewer_settles_what_the_own_organisation_recorded()
    {
        var stored = Emergency with { Id = EmergencyId, At = Now.AddDays(-1), Until = Now.AddDays(-1).AddMinutes(20), Organisation = "1.2.246.10.99000011" };
        var decision = ConsentWorld.Decide(ConsentWorld.Requester("professional") with { ProfessionalId = "reviewer", Unit = OtherUnit },
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: Review), PolicySnapshot.Compile(7, [stored], []));
        Assert.Equal(DenyReason.NoReview, (decision as Decision.Deny)?.Reason);
    }

    private static DenyReason? Reason(string requester, Declaration declares, bool open = true, string purpose = "TREAT", string[]? declared = null, InteractionKind kind = InteractionKind.Create, string? serviceEvent = null) =>
        (Decide(requester, declares, open, purpose, declared, kind, serviceEvent) as Decision.Deny)?.Reason;

    private static Decision Decide(string kind, Declaration declares, bool open = true, string purpose = "TREAT", string[]? declared = null, InteractionKind interaction = InteractionKind.Create, string? serviceEvent = null) =>
        ConsentWorld.Decide(ConsentWorld.Requester(kind, kind == "citizen" ? "PATRQT" : purpose) with { Unit = kind == "professional" ? Unit : null },
            ConsentWorld.InteractionOf(interaction, "Consent", serviceEvent: serviceEvent, declares: declares) with { Needs = [("Consent", 'c')] },
            ConsentWorld.Policy(declared ?? ["informed"], open));
}
