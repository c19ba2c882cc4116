using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Tests.Consent;

/// <summary>Who acts for another (Act 703/2023 §50, §51) reaches that person's record, one person at a time, and a custodian decides no denial of the child.</summary>
public sealed class RepresentationTests
{
    private static readonly string[] Informed = ["informed"];

    public static TheoryData<RepresentationKind> Kinds => [.. Enum.GetValues<RepresentationKind>()];

    [Theory, MemberData(nameof(Kinds))]
    public void Who_acts_for_a_person_sees_the_whole_record_and_the_basis_says_so(RepresentationKind kind)
    {
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(For(ConsentWorld.Person, kind), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), PolicySnapshot.Empty));
        Assert.Equal((LegalBasis.OnBehalf, Breadth.WholePerson), (permit.Basis, permit.Scope.Breadth));
    }

    [Theory, MemberData(nameof(Kinds))]
    public void Who_acts_for_another_reaches_neither_her_own_record_nor_a_third_ones(RepresentationKind kind)
    {
        var representative = For(ConsentWorld.PseudonymOf("represented"), kind);
        foreach (var someone in new[] { ConsentWorld.PseudonymOf("representative"), ConsentWorld.Person })
            foreach (var interaction in new[] { InteractionKind.Search, InteractionKind.Read, InteractionKind.Everything, InteractionKind.HistorySystem })
                Assert.Equal(DenyReason.NotOwnData, Refused(representative, ConsentWorld.Interaction(interaction, "Observation") with { Compartment = someone }));
    }

    [Theory, MemberData(nameof(Kinds))]
    public void Nobody_who_acts_for_another_writes_clinical_entries(RepresentationKind kind) =>
        Assert.Equal(DenyReason.NoLegalBasis, Refused(For(ConsentWorld.Person, kind), ConsentWorld.Interaction(InteractionKind.Create, "Observation")));

    /// <summary>kanta.fi: a custodian cannot set the denials of a minor; §51: they are the minor's.</summary>
    [Theory]
    [InlineData(InteractionKind.Create, "deny-all")]
    [InlineData(InteractionKind.Create, "deny-event:1.2.246.10.99000011.14.2026.1")]
    [InlineData(InteractionKind.Update, "deny-all-withdrawn")]
    [InlineData(InteractionKind.Update, "deny-all")]
    public void A_custodian_neither_sets_nor_withdraws_a_denial_of_the_child(InteractionKind kind, string declaration)
    {
        var write = ConsentWorld.Interaction(kind, "Consent", declares: declaration);
        Assert.Equal(DenyReason.NotForCustodians, Refused(For(ConsentWorld.Person, RepresentationKind.Custodian), write, ["informed", "deny-all"]));
        // What the person may do, who holds her mandate may do.
        Assert.IsType<Decision.Permit>(Decide(For(ConsentWorld.Person, RepresentationKind.Mandate), write, ConsentWorld.Policy(["informed", "deny-all"], false)));
    }

    /// <summary>A notice is the child's to read; who holds a mandate reads the person's.</summary>
    [Fact]
    public void A_custodian_acknowledges_no_emergency_of_the_child()
    {
        var write = ConsentWorld.Interaction(InteractionKind.Create, "Consent") with { Declares = new Acknowledgement { At = ConsentWorld.Now, Notice = "e" } };
        Assert.Equal(DenyReason.NotForCustodians, Refused(For(ConsentWorld.Person, RepresentationKind.Custodian), write));
        Assert.IsType<Decision.Permit>(Decide(For(ConsentWorld.Person, RepresentationKind.Mandate), write, ConsentWorld.Policy([], false)));
    }

    [Theory]
    [InlineData("permit")]
    [InlineData("informed")]
    public void A_custodian_writes_nothing_in_the_place_of_a_denial(string declaration)
    {
        var declared = ConsentWorld.Declared(declaration)! with { Id = "c3" };
        var write = ConsentWorld.Interaction(InteractionKind.Update, "Consent") with { Declares = declared };
        Assert.Equal(DenyReason.NotForCustodians, Refused(For(ConsentWorld.Person, RepresentationKind.Custodian), write, ["informed", "permit", "deny-all"]));
        // Nor of a child's of any age: it is no custodian's to change, where the like of such a child would be.
        PolicySnapshot ofChild(string there) => PolicySnapshot.Compile(7, [ConsentWorld.Declared("informed"), ConsentWorld.Declared(there)! with { Id = "c3" }], [], new(DateOnly.FromDateTime(ConsentWorld.Now.AddYears(-3).UtcDateTime), null));
        Assert.Equal(Decision.Deny.Of(DenyReason.NotForCustodians), Decide(For(ConsentWorld.Person, RepresentationKind.Custodian), write, ofChild("deny-all")));
        Assert.IsType<Decision.Permit>(Decide(For(ConsentWorld.Person, RepresentationKind.Custodian), write, ofChild(declaration)));
        // Nor of one that nobody can read, which counts as one.
        Assert.Equal(DenyReason.NotForCustodians, Refused(For(ConsentWorld.Person, RepresentationKind.Custodian), write, ["informed", "permit", "unreadable"]));
    }

    [Theory, MemberData(nameof(Kinds))]
    public void Whoever_represents_a_person_is_informed_and_gives_and_withdraws_the_permission(RepresentationKind kind)
    {
        var representative = For(ConsentWorld.Person, kind);
        foreach (var (interaction, declaration, before) in new[]
        {
            (InteractionKind.Create, "informed", Array.Empty<string>()), (InteractionKind.Create, "permit", Informed), (InteractionKind.Update, "permit-withdrawn", ["informed", "permit"]),
        })
        {
            var known = PolicySnapshot.Compile(7, before.Select(name => ConsentWorld.Declared(name)! with { ByCustodian = kind == RepresentationKind.Custodian }), []);
            var permit = Assert.IsType<Decision.Permit>(Decide(representative, ConsentWorld.Interaction(interaction, "Consent", declares: declaration), known));
            Assert.Equal((LegalBasis.OnBehalf, true), (permit.Basis, permit.RestsOnPolicy));
        }
        Assert.Equal(DenyReason.NotInformed, Refused(representative, ConsentWorld.Interaction(InteractionKind.Create, "Consent", declares: "permit")));
    }

    /// <summary>Who declared it decides what it is worth, so nobody says of it what is not so.</summary>
    [Fact]
    public void A_declaration_names_a_custodian_when_one_makes_it_and_only_then()
    {
        var write = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: new DisclosurePermit { At = ConsentWorld.Now });
        var byCustodian = write with { Declares = write.Declares! with { ByCustodian = true } };
        foreach (var (requester, wrong) in new[]
        {
            (For(ConsentWorld.Person, RepresentationKind.Custodian), write), (For(ConsentWorld.Person, RepresentationKind.Mandate), byCustodian), (ConsentWorld.Requester("citizen"), byCustodian),
        })
            Assert.Equal(Decision.Deny.Of(DenyReason.DeclarationByAnother), ConsentWorld.Decide(requester, wrong, ConsentWorld.Policy(Informed, false)));
    }

    /// <summary>§50, §51: what a minor able to decide has said of the permission stands where it is; of a younger child's it is the custodian's to change.</summary>
    [Fact]
    public void A_custodian_writes_nothing_in_the_place_of_a_permission_that_a_minor_gave_or_withdrew()
    {
        var custodian = For(ConsentWorld.Person, RepresentationKind.Custodian);
        foreach (var isActive in new[] { true, false })
        {
            var write = ConsentWorld.InteractionOf(InteractionKind.Update, "Consent", declares: new DisclosurePermit { Id = "c2", At = ConsentWorld.Now, IsActive = isActive });
            foreach (var (born, isMinors) in new[] { (ConsentWorld.Now.AddYears(-16), true), (ConsentWorld.Now.AddYears(-11), false) })
            {
                var person = new PersonFacts(DateOnly.FromDateTime(born.UtcDateTime), null);
                Assert.Equal(isMinors ? DenyReason.NotForCustodians : null, (Decide(custodian, write, ConsentWorld.Policy(["informed", "permit-withdrawn"], false, person: person)) as Decision.Deny)?.Reason);
            }
            var own = (DisclosurePermit)ConsentWorld.Declared("permit")! with { ByCustodian = true };
            Assert.IsType<Decision.Permit>(Decide(custodian, write, PolicySnapshot.Compile(7, [ConsentWorld.Declared("informed"), own], [], new(DateOnly.FromDateTime(ConsentWorld.Now.AddYears(-16).UtcDateTime), null))));
        }
    }

    [Theory, MemberData(nameof(Kinds))]
    public void Writes_for_another_are_decided_on_that_persons_policy(RepresentationKind kind)
    {
        var write = ConsentWorld.Interaction(InteractionKind.Create, "Consent", declares: "permit");
        Assert.True(ConsentDecision.NeedsPolicy(For(ConsentWorld.Person, kind), write));
        Assert.False(ConsentDecision.NeedsPolicy(For(ConsentWorld.PseudonymOf("represented"), kind), write));
    }

    [Fact]
    public void What_was_given_to_who_acts_for_one_person_is_none_of_hers_or_of_another_ones()
    {
        var own = For(ConsentWorld.Person, RepresentationKind.Mandate) with { OnBehalfOf = null };
        var callers = new[] { own, For(ConsentWorld.Person, RepresentationKind.Mandate), For(ConsentWorld.PseudonymOf("represented"), RepresentationKind.Mandate) };
        Assert.Equal(3, callers.Select(r => r.Caller).Distinct().Count());
    }

    [Fact]
    public void A_represented_person_is_named_in_no_log_line() =>
        Assert.DoesNotContain("Onni", $"{For(ConsentWorld.Person, RepresentationKind.Custodian)} {For(ConsentWorld.Person, RepresentationKind.Custodian).OnBehalfOf}");

    private static Requester For(KantaGateway.Fhir.Identifiers.Pseudonym represented, RepresentationKind kind) => ConsentWorld.Requester("citizen", "PATRQT") with
    {
        ClientId = "portal", Self = ConsentWorld.PseudonymOf("representative"), OnBehalfOf = new(represented, kind, "Onni Koe"),
    };

    /// <summary>With who declares it as the portal writes it.</summary>
    private static Decision Decide(Requester requester, Interaction interaction, PolicySnapshot policy) => ConsentWorld.Decide(requester,
        interaction.Declares is { } declared ? interaction with { Declares = declared with { ByCustodian = requester.OnBehalfOf is { Kind: RepresentationKind.Custodian } } } : interaction, policy);

    private static DenyReason Refused(Requester requester, Interaction interaction, string[]? declared = null) =>
        Assert.IsType<Decision.Deny>(Decide(requester, interaction, ConsentWorld.Policy(declared ?? [], false))).Reason;
}
