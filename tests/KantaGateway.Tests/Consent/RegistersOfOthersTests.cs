using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>Registers that are reached without a permission: jointly (Act 703/2023 §54.1), and those of whom services are produced for (§13).</summary>
public class RegistersOfOthersTests
{
    private const string Hospital = "1.2.246.10.99000033", Stranger = "1.2.246.10.99000011";

    private static Decision.Permit Decide(string[] declared, bool open = true, bool joint = true, InteractionKind kind = InteractionKind.Search, string[]? producesFor = null)
    {
        var requester = ConsentWorld.Requester("professional") with
        {
            JointWith = joint ? [ConsentWorld.Revontuli.ToString(), Hospital] : [],
            ProducesFor = producesFor ?? [],
        };
        return Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(kind, "Observation"), ConsentWorld.Policy(declared, open)));
    }

    private static bool Sees(Decision.Permit permit, string controller, Hidden hidden = Hidden.None) => permit.Scope.Admits("Observation", controller, Register.Patient, hidden);

    [Fact]
    public void Public_providers_of_Uusimaa_see_each_others_entries_without_a_permission_and_nobody_elses()
    {
        var permit = Decide([]);
        Assert.Equal(LegalBasis.JointRegister, permit.Basis);
        Assert.True(Sees(permit, Hospital));
        Assert.False(Sees(permit, Stranger));
        Assert.False(Sees(Decide([], joint: false), Hospital));
    }

    [Fact]
    public void A_permission_widens_what_they_see_to_all()
    {
        var permit = Decide(["informed", "permit"]);
        Assert.Equal(LegalBasis.DisclosurePermission, permit.Basis);
        Assert.True(Sees(permit, Stranger));
    }

    [Fact]
    public void They_reach_no_occupational_register() =>
        Assert.False(Decide([]).Scope.Admits("Observation", Hospital, Register.Occupational("1.2.246.10.99000055"), Hidden.None));

    [Fact]
    public void A_preview_tells_of_them_too()
    {
        string[] joint = [Hospital];
        Assert.Equal([Hospital], Preview.Of(Viewer.Joint, PolicySnapshot.Empty, ConsentWorld.Now, joint).Scope.OnlyOf);
        Assert.Equal(Breadth.OwnRegister, Preview.Of(Viewer.Treating, PolicySnapshot.Empty, ConsentWorld.Now, joint).Scope.Breadth);
    }

    [Fact]
    public void They_too_need_a_care_relationship() => Assert.False(Sees(Decide([], open: false), Hospital));

    [Fact]
    public void A_denial_binds_them()
    {
        Assert.False(Sees(Decide(["deny-all"]), Hospital));
        var denied = Decide(["deny-register:" + Hospital]);
        Assert.Contains(Register.Of(Hospital, Register.Patient), denied.Scope.Withheld.Registers);
        Assert.False(Sees(denied, Hospital, Hidden.FromOthers));
    }

    [Fact]
    public void A_producer_of_services_writes_into_the_registers_of_those_who_buy_them_and_reads_none()
    {
        var written = Decide([], joint: false, kind: InteractionKind.Create, producesFor: [Hospital]);
        Assert.Equal([Hospital], written.Scope.MayWriteFor);
        Assert.Contains(Rule.PurchasedServices, written.Rules);
        var read = Decide([], joint: false, producesFor: [Hospital]);
        Assert.Empty(read.Scope.MayWriteFor);
        Assert.False(Sees(read, Hospital));
        Assert.Empty(Decide([], joint: false, kind: InteractionKind.Create).Scope.MayWriteFor);
    }

    [Fact]
    public void A_limited_task_reaches_the_summary_and_the_documents_of_its_own_speciality()
    {
        var asker = ConsentWorld.Requester("professional") with { Tasks = TaskClass.LimitedCare, Profession = "fysioterapeutti" };
        DisclosureScope ScopeOf(Requester requester) =>
            Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy(["informed", "permit", "emergency"], open: true))).Scope;
        var scope = ScopeOf(asker);
        Assert.Contains("DocumentReference", scope.TypesOfOthers!);
        var filter = Assert.Single(scope.FiltersOfOthers!);
        Assert.Equal("DocumentReference", filter.Type);
        Assert.Contains("setting=" + Uri.EscapeDataString("http://snomed.info/sct|394602003"), filter.AnyOf);
        // Each can be held against an entry; one that could not would match nothing.
        Assert.All(filter.AnyOf, query => Assert.Null(ScopeFilter.Explain("DocumentReference", query)));

        // Of no known speciality: the summary. Of broad care: everything. In an emergency no documents.
        foreach (var scoped in (DisclosureScope[])[ScopeOf(asker with { Profession = "lahihoitaja" }), ScopeOf(asker with { Profession = null }), ScopeOf(asker with { PurposeOfUse = "ETREAT" })])
        {
            Assert.DoesNotContain("DocumentReference", scoped.TypesOfOthers!);
            Assert.Null(scoped.FiltersOfOthers);
        }
        Assert.Null(ScopeOf(asker with { Tasks = TaskClass.BroadCare }).TypesOfOthers);
    }

    [Fact]
    public void Every_speciality_is_one_of_a_profession_with_a_limited_task() =>
        Assert.All(Specialities.Settings.Keys, profession => Assert.Equal(TaskClass.LimitedCare, TaskClasses.Of(profession)));

    /// <summary>hl7.org/fhir/R4/valueset-c80-practice-codes.html.</summary>
    [Fact]
    public void Every_speciality_of_SNOMED_CT_is_one_of_the_practice_settings_of_R4()
    {
        var known = new ScopeFilter("DocumentReference", ["setting:in=" + Uri.EscapeDataString("http://hl7.org/fhir/ValueSet/c80-practice-codes")], reads: true);
        Assert.False(known.Admits(ConsentModel.DocumentOf("http://snomed.info/sct|394608007")));
        Assert.All(Specialities.Settings.Values.SelectMany(static its => its).Where(static token => token.StartsWith("http://snomed.info/sct|", StringComparison.Ordinal)),
            token => Assert.True(known.Admits(ConsentModel.DocumentOf(token)), token));
    }

    [Fact]
    public void A_decision_prints_what_it_rests_on()
    {
        Assert.Equal("permit joint-register: own-register joint-register care-relationship specially-protected non-disclosure", Explanation.Of(Decide([])));
        Assert.Equal("deny no-open-service-event", Explanation.Of(Decision.Deny.Of(DenyReason.NoOpenServiceEvent)));
    }
}
