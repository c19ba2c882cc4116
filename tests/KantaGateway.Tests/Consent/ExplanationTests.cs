using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>A decision says exactly which rules fired, in their order: for the audit, operators and the person's preview.</summary>
public sealed class ExplanationTests
{
    private const string Aurora = "1.2.246.10.99000011", Event = Aurora + ".14.2026.1", Prescription = "4f6c0b3e-1111-4000-8000-000000000001";

    [Theory]
    [InlineData("", false, "OwnRegister NotInformed SpeciallyProtected")]
    [InlineData("informed", true, "OwnRegister NoPermission SpeciallyProtected")]
    [InlineData("informed permit deny-all", true, "OwnRegister DenialOfAll SpeciallyProtected")]
    [InlineData("informed permit", false, "OwnRegister NoCareRelationship SpeciallyProtected")]
    [InlineData("informed permit", true, "OwnRegister Permission CareRelationship SpeciallyProtected NonDisclosure")]
    [InlineData("informed permit confirmed", true, "OwnRegister Permission CareRelationship SpeciallyProtected Confirmation NonDisclosure")]
    [InlineData("informed permit deny-event:" + Event, true, "OwnRegister Permission CareRelationship DenialOfServiceEvents SpeciallyProtected NonDisclosure")]
    [InlineData("informed permit deny-register:" + Aurora, true, "OwnRegister Permission CareRelationship DenialOfRegisters SpeciallyProtected NonDisclosure")]
    [InlineData("informed permit deny-prescription:" + Prescription, true, "OwnRegister Permission CareRelationship DenialOfPrescriptions SpeciallyProtected NonDisclosure")]
    [InlineData("confirmed", false, "OwnRegister NotInformed SpeciallyProtected Confirmation")]
    public void Of_a_professional_who_treats(string declared, bool open, string rules)
    {
        Assert.Equal(rules, Rules(ConsentWorld.Requester("professional"), InteractionKind.Search, declared, open));
        // What is archived goes by the same rules, and shows nothing of others that a permission would widen.
        Assert.Equal(rules.Replace("OwnRegister", "Archive", StringComparison.Ordinal), Rules(ConsentWorld.Requester("professional"), InteractionKind.Create, declared, open));
    }

    [Theory]
    [InlineData(TaskClass.LimitedCare, "OwnRegister Permission CareRelationship TaskBound SpeciallyProtected NonDisclosure")]
    [InlineData(TaskClass.Medication, "OwnRegister Permission CareRelationship TaskBound SpeciallyProtected NonDisclosure")]
    [InlineData(TaskClass.BroadCare, "OwnRegister Permission CareRelationship SpeciallyProtected NonDisclosure")]
    [InlineData(TaskClass.Support, "OwnRegister TaskTooNarrow SpeciallyProtected")]
    public void Of_a_task(TaskClass task, string rules) =>
        Assert.Equal(rules, Rules(ConsentWorld.Requester("professional") with { Tasks = task }, InteractionKind.Search, "informed permit", true));

    [Theory]
    [InlineData("", "OwnRegister NotInformed TaskBound SpeciallyProtected")]
    [InlineData("informed permit", "OwnRegister Permission CareRelationship TaskBound SpeciallyProtected NonDisclosure")]
    public void Of_a_task_that_does_not_reach_all_of_the_own_register(string declared, string rules) =>
        Assert.Equal(rules, Rules(ConsentWorld.Requester("professional") with { Tasks = TaskClass.LimitedCare, Profession = "optikko" }, InteractionKind.Search, declared, true));

    [Fact]
    public void Of_treatment_in_a_protected_service() =>
        Assert.Equal("OwnRegister Permission CareRelationship SpeciallyProtected OwnService NonDisclosure",
            Rules(ConsentWorld.Requester("professional"), InteractionKind.Search, "informed permit", true, ProtectedService.Psychiatry));

    [Theory]
    [InlineData("emergency", "OwnRegister Emergency CareRelationship EmergencyTypes SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-all-but-emergency", "OwnRegister Emergency CareRelationship EmergencyTypes EmergencyOverDenial SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-event-but-emergency:" + Event, "OwnRegister Emergency CareRelationship EmergencyTypes EmergencyOverDenial SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-register-but-emergency:" + Aurora, "OwnRegister Emergency CareRelationship EmergencyTypes EmergencyOverDenial SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-prescription-but-emergency:" + Prescription, "OwnRegister Emergency CareRelationship EmergencyTypes EmergencyOverDenial SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-event:" + Event, "OwnRegister Emergency CareRelationship EmergencyTypes DenialOfServiceEvents SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-register:" + Aurora, "OwnRegister Emergency CareRelationship EmergencyTypes DenialOfRegisters SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-prescription:" + Prescription, "OwnRegister Emergency CareRelationship EmergencyTypes DenialOfPrescriptions SpeciallyProtected NonDisclosure")]
    [InlineData("emergency deny-all", "OwnRegister DenialOfAll SpeciallyProtected")]
    public void Of_an_emergency(string declared, string rules) =>
        Assert.Equal(rules, Rules(ConsentWorld.Requester("professional", "ETREAT"), InteractionKind.Search, declared, true));

    [Fact]
    public void Of_an_emergency_without_treatment() =>
        Assert.Equal("OwnRegister NoCareRelationship SpeciallyProtected", Rules(ConsentWorld.Requester("professional", "ETREAT"), InteractionKind.Search, "emergency", false));

    [Theory]
    [InlineData("", true, "OwnRegister JointRegister CareRelationship SpeciallyProtected NonDisclosure")]
    [InlineData("informed", true, "OwnRegister JointRegister CareRelationship SpeciallyProtected NonDisclosure")]
    [InlineData("permit", true, "OwnRegister JointRegister CareRelationship SpeciallyProtected NonDisclosure")]
    [InlineData("informed permit", true, "OwnRegister Permission CareRelationship SpeciallyProtected NonDisclosure")]
    [InlineData("deny-event:" + Event, true, "OwnRegister JointRegister CareRelationship DenialOfServiceEvents SpeciallyProtected NonDisclosure")]
    [InlineData("deny-all", true, "OwnRegister DenialOfAll SpeciallyProtected")]
    [InlineData("", false, "OwnRegister NoCareRelationship SpeciallyProtected")]
    public void Of_controllers_that_need_no_permission_among_each_other(string declared, bool open, string rules)
    {
        var requester = ConsentWorld.Requester("professional") with { JointWith = [ConsentWorld.Revontuli.ToString(), Aurora] };
        Assert.Equal(rules, Rules(requester, InteractionKind.Search, declared, open));
        var joint = rules.Contains("Joint", StringComparison.Ordinal);
        var decided = Decided(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), declared, open);
        Assert.Equal(joint ? requester.JointWith : null, decided.Scope.OnlyOf);
        Assert.Equal(joint, decided.Basis == LegalBasis.JointRegister);
    }

    [Fact]
    public void Of_who_writes_for_those_who_buy_its_services()
    {
        var professional = ConsentWorld.Requester("professional") with { ProducesFor = [Aurora] };
        Assert.Equal("Archive NotInformed SpeciallyProtected PurchasedServices", Rules(professional, InteractionKind.Create, "", true));
        Assert.Equal("Archive Permission CareRelationship SpeciallyProtected NonDisclosure PurchasedServices", Rules(professional, InteractionKind.Create, "informed permit", true));
        Assert.Equal("Archive PurchasedServices", Rules(professional with { Kind = RequesterKind.System }, InteractionKind.Create, "", true));
        // What is declared at a desk, the directory and a person's own declarations are nobody's purchase.
        var confirmation = ConsentWorld.Interaction(InteractionKind.Create, "Consent", declares: "confirmed");
        Assert.Equal("RecordsAccess", Rules(professional, confirmation, "", true));
        Assert.Empty(Decided(professional, confirmation, "", true).Scope.MayWriteFor);
        Assert.Equal("Directory", Rules(professional, ConsentWorld.Interaction(InteractionKind.Create, "Organization", directory: true), "", true));
        Assert.Equal("SelfDeclares", Rules(ConsentWorld.Requester("citizen") with { ProducesFor = [Aurora] }, ConsentWorld.Interaction(InteractionKind.Create, "Consent", declares: "permit"), "informed", true));
    }

    [Theory]
    [InlineData(InteractionKind.Search, "OwnRegister")]
    [InlineData(InteractionKind.Create, "Archive")]
    public void Of_a_system(InteractionKind kind, string rules) => Assert.Equal(rules, Rules(ConsentWorld.Requester("system"), kind, "informed permit", true));

    [Fact]
    public void Of_the_person_and_who_acts_for_her()
    {
        Assert.Equal("SelfRead ReleaseDelay", Rules(ConsentWorld.Requester("citizen", "PATRQT"), InteractionKind.Search, "", false));
        Assert.Equal("Represents ReleaseDelay NonDisclosure", Rules(For(RepresentationKind.Mandate), InteractionKind.Search, "", false));
        Assert.Equal("Represents MinorsOwn ReleaseDelay NonDisclosure", Rules(For(RepresentationKind.Custodian), InteractionKind.Search, "", false));
    }

    [Fact]
    public void Of_what_is_declared()
    {
        var permit = ConsentWorld.Declared("permit")! with { RecordedBy = ConsentWorld.Revontuli.ToString(), IsSigned = true };
        var write = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: permit);
        var own = write with { Declares = permit with { RecordedBy = null } };
        Assert.Equal("SelfDeclares", Rules(ConsentWorld.Requester("citizen", "PATRQT"), own, "informed", false));
        Assert.Equal("Represents SelfDeclares", Rules(For(RepresentationKind.Mandate), own, "informed", false));
        Assert.Equal("DeskDeclares", Rules(ConsentWorld.Requester("system"), write, "informed", true));
        Assert.Equal("RecordsAccess", Rules(ConsentWorld.Requester("professional"), write with { Declares = ConsentWorld.Declared("confirmed") }, "", true));
    }

    [Fact]
    public void Of_the_directory_and_of_what_is_kept_no_longer()
    {
        var directory = ConsentWorld.Interaction(InteractionKind.Read, "Organization", directory: true);
        Assert.Equal("Directory", Rules(ConsentWorld.Requester("professional"), directory, "", false));
        Assert.Equal("Directory", Rules(ConsentWorld.Requester("system"), ConsentWorld.Interaction(InteractionKind.Create, "Organization", directory: true), "", false));
        var dead = ConsentWorld.Policy(["informed", "permit"], true, person: new(null, ConsentWorld.Now.AddYears(-12)));
        Assert.Equal("RetentionOver", string.Join(' ', Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), dead)).Rules));
    }

    /// <summary>The version of the policy has to hold still where the data is read exactly where a declaration or an event could have decided otherwise (law 3).</summary>
    [Theory]
    [InlineData("system", InteractionKind.Search, "", false)]
    [InlineData("system", InteractionKind.Create, "", false)]
    [InlineData("professional", InteractionKind.Search, "", true)]
    [InlineData("professional", InteractionKind.Create, "", false)]
    [InlineData("professional", InteractionKind.Search, "informed permit", true)]
    [InlineData("professional", InteractionKind.Create, "informed permit", true)]
    [InlineData("citizen", InteractionKind.Search, "", false)]
    public void Rests_on_the_policy(string kind, InteractionKind interaction, string declared, bool rests) =>
        Assert.Equal(rests, Decided(ConsentWorld.Requester(kind), ConsentWorld.Interaction(interaction, "Observation"), declared, true).RestsOnPolicy);

    [Fact]
    public void Declarations_representation_and_retention_rest_on_the_policy_and_the_directory_does_not()
    {
        Assert.True(Decided(For(RepresentationKind.Mandate), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), "", false).RestsOnPolicy);
        Assert.True(Decided(ConsentWorld.Requester("citizen"), ConsentWorld.Interaction(InteractionKind.Create, "Consent", declares: "permit"), "informed", false).RestsOnPolicy);
        Assert.True(Decided(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Create, "Consent", declares: "confirmed"), "", true).RestsOnPolicy);
        Assert.True(Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Observation"),
            ConsentWorld.Policy([], true, person: new(null, ConsentWorld.Now.AddYears(-12))))).RestsOnPolicy);
        foreach (var kind in new[] { InteractionKind.Read, InteractionKind.Create })
            Assert.False(Decided(ConsentWorld.Requester("system"), ConsentWorld.Interaction(kind, "Organization", directory: true), "", false).RestsOnPolicy);
    }

    /// <summary>Turvakielto: addresses and ways to reach a person are of the register that wrote them and of the person alone.</summary>
    [Fact]
    public void Contacts_under_a_non_disclosure_are_for_the_own_register_and_the_person()
    {
        Assert.True(Decided(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Patient"), "informed permit", true).Scope.HidesContacts);
        Assert.True(Decided(ConsentWorld.Requester("professional", "ETREAT"), ConsentWorld.Interaction(InteractionKind.Search, "Patient"), "emergency", true).Scope.HidesContacts);
        foreach (var kind in Enum.GetValues<RepresentationKind>())
            Assert.True(Decided(For(kind), ConsentWorld.Interaction(InteractionKind.Search, "Patient"), "", false).Scope.HidesContacts);
        Assert.False(Decided(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Patient"), "", true).Scope.HidesContacts);
        Assert.False(Decided(ConsentWorld.Requester("citizen"), ConsentWorld.Interaction(InteractionKind.Search, "Patient"), "", false).Scope.HidesContacts);
    }

    [Fact]
    public void Every_rule_reason_and_basis_has_a_name_in_words()
    {
        Assert.Equal("denial-of-service-events", Explanation.NameOf(Rule.DenialOfServiceEvents));
        Assert.Equal("no-open-service-event", Explanation.NameOf(DenyReason.NoOpenServiceEvent));
        Assert.Equal("disclosure-permission", Explanation.NameOf(LegalBasis.DisclosurePermission));
        Assert.Equal("permit own-register: own-register not-informed specially-protected",
            Explanation.Of(Decided(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), "", true)));
        Assert.Equal(Enum.GetValues<Rule>().Length, Enum.GetValues<Rule>().Select(Explanation.NameOf).Distinct().Count(name => name.Length > 0));
    }

    private static Requester For(RepresentationKind kind) => ConsentWorld.Requester("another citizen", "PATRQT") with { OnBehalfOf = new(ConsentWorld.Person, kind, "Onni Koe") };

    private static string Rules(Requester requester, InteractionKind kind, string declared, bool open, ProtectedService services = ProtectedService.None) =>
        Rules(requester, ConsentWorld.Interaction(kind, requester.Tasks == TaskClass.Support ? "Appointment" : "Observation"), declared, open, services);

    private static string Rules(Requester requester, Interaction interaction, string declared, bool open, ProtectedService services = ProtectedService.None) =>
        string.Join(' ', Decided(requester, interaction, declared, open, services).Rules);

    private static Decision.Permit Decided(Requester requester, Interaction interaction, string declared, bool open, ProtectedService services = ProtectedService.None) =>
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, ConsentWorld.Policy(declared.Split(' ', StringSplitOptions.RemoveEmptyEntries), open, services)));
}
