using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>An app of a citizen reaches what its scopes say, whatever it does, and only there is it the citizen.</summary>
public sealed class AppScopeTests
{
    public static TheoryData<InteractionKind> Kinds => [.. Enum.GetValues<InteractionKind>()];

    [Theory, MemberData(nameof(Kinds))]
    public void Every_interaction_needs_a_scope_of_its_type(InteractionKind kind)
    {
        var interaction = ConsentWorld.Interaction(kind, "Condition", false, null, null);
        foreach (var scopes in (string[][])[["patient/Observation.cruds"], ["user/*.cruds"], ["system/*.cruds"], []])
            Assert.Equal(DenyReason.ScopeTooNarrow, Assert.IsType<Decision.Deny>(ConsentWorld.Decide(ConsentWorld.Requester("citizen", "PATRQT", scopes), interaction, PolicySnapshot.Empty)).Reason);
    }

    [Fact]
    public void The_directory_needs_one_too()
    {
        var interaction = ConsentWorld.Interaction(InteractionKind.Read, "Organization", true, null, null);
        Assert.IsType<Decision.Deny>(ConsentWorld.Decide(ConsentWorld.Requester("citizen", "PATRQT", ["patient/Observation.rs"]), interaction, PolicySnapshot.Empty));
        Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("citizen", "PATRQT", ["patient/Organization.r"]), interaction, PolicySnapshot.Empty));
    }

    [Fact]
    public void What_comes_along_is_of_the_types_that_the_token_could_have_asked_for_alone()
    {
        var requester = ConsentWorld.Requester("citizen", "PATRQT", ["patient/Observation.rs", "patient/Encounter.r", "user/Condition.rs"]);
        var search = ConsentWorld.Interaction(InteractionKind.Search, "Observation", false, null, null);
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, search, PolicySnapshot.Empty));
        Assert.Equal(Breadth.WholePerson, permit.Scope.Breadth);
        Assert.Equal(search.ReadsBy == 's' ? ["Observation"] : ["Encounter", "Observation"], permit.Scope.Types);
        Assert.All(permit.Scope.Types!, type => Assert.True(ResourceTypes.IsServed(type)));
    }

    [Fact]
    public void The_portals_own_session_reaches_everything_of_the_person()
    {
        var search = ConsentWorld.Interaction(InteractionKind.Search, "Observation", false, null, null);
        Assert.Null(Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("citizen", "PATRQT"), search, PolicySnapshot.Empty)).Scope.Types);
    }
}
