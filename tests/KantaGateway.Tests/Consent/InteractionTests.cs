using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Tests.Consent;

/// <summary>What an interaction is to decisions: what it writes, what it meets besides, and whose policy it needs.</summary>
public sealed class InteractionTests
{
    [Theory]
    [InlineData(InteractionKind.Read, false, 'r', false)]
    [InlineData(InteractionKind.VRead, false, 'r', false)]
    [InlineData(InteractionKind.History, false, 'r', false)]
    [InlineData(InteractionKind.HistoryType, false, 'r', false)]
    [InlineData(InteractionKind.HistorySystem, false, 'r', false)]
    [InlineData(InteractionKind.Search, false, 's', true)]
    [InlineData(InteractionKind.Everything, false, 'r', true)]
    [InlineData(InteractionKind.Validate, false, 'r', true)]
    [InlineData(InteractionKind.Create, true, 's', true)]
    [InlineData(InteractionKind.Update, true, 's', true)]
    [InlineData(InteractionKind.Patch, true, 's', true)]
    [InlineData(InteractionKind.Delete, true, 's', true)]
    [InlineData(InteractionKind.Transaction, true, 's', true)]
    public void Writes_reads_by_a_letter_and_reaches_the_directory(InteractionKind kind, bool writes, char letter, bool reachesDirectory)
    {
        var interaction = ConsentWorld.Interaction(kind, "Observation");
        Assert.Equal((writes, letter, reachesDirectory), (interaction.IsWrite, interaction.ReadsBy, interaction.ReachesDirectory));
        // In the directory itself there is none beside.
        Assert.False((interaction with { Compartment = Pseudonym.Directory }).ReachesDirectory);
    }

    [Fact]
    public void Every_kind_is_in_the_table_above() => Assert.Equal(13, Enum.GetValues<InteractionKind>().Length);

    [Theory]
    [InlineData("professional", InteractionKind.Search, "Observation", true)]
    [InlineData("professional", InteractionKind.Create, "Observation", true)]
    [InlineData("system", InteractionKind.Search, "Observation", false)]
    [InlineData("system", InteractionKind.Create, "Observation", false)]
    [InlineData("system", InteractionKind.Search, "Consent", false)]
    [InlineData("system", InteractionKind.Read, "Consent", false)]
    [InlineData("system", InteractionKind.Create, "Consent", true)]
    [InlineData("system", InteractionKind.Update, "Consent", true)]
    [InlineData("system", InteractionKind.Delete, "Consent", true)]
    [InlineData("citizen", InteractionKind.Search, "Observation", false)]
    [InlineData("citizen", InteractionKind.Create, "Consent", true)]
    [InlineData("another citizen", InteractionKind.Search, "Observation", false)]
    [InlineData("another citizen", InteractionKind.Create, "Consent", false)]
    public void The_policy_is_asked_for_where_a_declaration_or_an_event_could_decide(string kind, InteractionKind interaction, string type, bool needs)
    {
        Assert.Equal(needs, ConsentDecision.NeedsPolicy(ConsentWorld.Requester(kind), ConsentWorld.Interaction(interaction, type)));
        Assert.False(ConsentDecision.NeedsPolicy(ConsentWorld.Requester(kind), ConsentWorld.Interaction(interaction, type, directory: true)));
    }

    [Fact]
    public void Whoever_represents_needs_that_persons_policy_to_read_too()
    {
        var representative = ConsentWorld.Requester("another citizen") with { OnBehalfOf = new(ConsentWorld.Person, RepresentationKind.Custodian, "Onni Koe") };
        Assert.True(ConsentDecision.NeedsPolicy(representative, ConsentWorld.Interaction(InteractionKind.Search, "Observation")));
    }

    [Fact]
    public void A_transaction_that_declares_among_other_things_is_a_declaration()
    {
        var transaction = ConsentWorld.Interaction(InteractionKind.Transaction, "") with { Type = null, Needs = [("Observation", 'c'), ("Consent", 'c')] };
        Assert.True(ConsentDecision.NeedsPolicy(ConsentWorld.Requester("system"), transaction));
        foreach (var kind in new[] { "system", "professional" })
            Assert.Equal(DenyReason.DeclarationByAnother, Reason(ConsentWorld.Requester(kind), transaction));
        Assert.Equal(DenyReason.NoLegalBasis, Reason(ConsentWorld.Requester("citizen"), transaction));
    }

    // :: The directory

    [Fact]
    public void The_directory_is_read_whole_and_an_organisation_changes_its_own_entries()
    {
        foreach (var kind in new[] { "system", "professional", "citizen" })
            Assert.Equal(("", null), Directory(ConsentWorld.Requester(kind), InteractionKind.Read));
        foreach (var kind in new[] { "system", "professional" })
            Assert.Equal((ConsentWorld.Revontuli.ToString(), null), Directory(ConsentWorld.Requester(kind), InteractionKind.Update));

        static (string, IReadOnlyList<string>?) Directory(Requester requester, InteractionKind kind)
        {
            var scope = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(kind, "Organization", directory: true), PolicySnapshot.Empty)).Scope;
            Assert.Equal(Breadth.Directory, scope.Breadth);
            return (scope.Controller, scope.Types);
        }
    }

    [Fact]
    public void Beside_a_record_a_write_sees_the_directory_as_its_writer()
    {
        Assert.Equal((Breadth.Directory, ConsentWorld.Revontuli.ToString()), Beside(InteractionKind.Create));
        Assert.Equal((Breadth.Directory, ""), Beside(InteractionKind.Search));

        static (Breadth, string) Beside(InteractionKind kind)
        {
            var scope = ConsentDecision.DirectoryBeside(ConsentWorld.Requester("system"), ConsentWorld.Interaction(kind, "Observation"));
            return (scope.Breadth, scope.Controller);
        }
    }

    [Fact]
    public void Nobody_declares_in_the_directory()
    {
        foreach (var kind in new[] { "system", "professional" })
            Assert.Equal(DenyReason.DeclarationByAnother, Reason(ConsentWorld.Requester(kind), ConsentWorld.Interaction(InteractionKind.Create, "Consent", directory: true)));
        Assert.Equal(DenyReason.NoLegalBasis, Reason(ConsentWorld.Requester("citizen"), ConsentWorld.Interaction(InteractionKind.Create, "Consent", directory: true)));
    }

    private static DenyReason Reason(Requester requester, Interaction interaction) =>
        Assert.IsType<Decision.Deny>(ConsentWorld.Decide(requester, interaction, ConsentWorld.Policy(["informed"], true))).Reason;
}
