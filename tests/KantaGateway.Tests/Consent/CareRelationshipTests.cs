using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>When a service event proves treatment (Act 703/2023 §9, §57).</summary>
public class CareRelationshipTests
{
    private static readonly string Own = ConsentWorld.Revontuli.ToString();

    [Theory]
    [InlineData("in-progress", -60, null, true)]
    [InlineData("arrived", -60, null, true)]
    [InlineData("triaged", -1, null, true)]
    [InlineData("onleave", -60, null, true)]
    [InlineData("in-progress", null, null, true)]
    [InlineData("in-progress", -60, 60, true)]
    [InlineData("planned", -60, null, false)]
    [InlineData("finished", -60, null, false)]
    [InlineData("cancelled", -60, null, false)]
    [InlineData("entered-in-error", -60, null, false)]
    [InlineData("unknown", -60, null, false)]
    [InlineData("in-progress", 1, null, false)]
    [InlineData("in-progress", -60, 0, false)]
    [InlineData("in-progress", -60, -1, false)]
    public void A_service_event_proves_treatment_while_it_is_open(string status, int? startMinutes, int? endMinutes, bool proves)
    {
        var policy = PolicySnapshot.Compile(1, [], [new ServiceEvent("1.2.3", Own, status, At(startMinutes), At(endMinutes))]);
        Assert.Equal(proves, policy.RelationshipOf(Own, null, ConsentWorld.Now) is not null);
    }

    [Fact]
    public void Another_organisations_service_event_proves_nothing()
    {
        var policy = PolicySnapshot.Compile(1, [], [new ServiceEvent("1.2.3", "1.2.246.10.99000011", "in-progress", null, null)]);
        Assert.Null(policy.RelationshipOf(Own, null, ConsentWorld.Now));
        Assert.Null(policy.RelationshipOf(Own, "1.2.3", ConsentWorld.Now));
    }

    [Fact]
    public void A_named_service_event_must_be_the_open_one()
    {
        var policy = PolicySnapshot.Compile(1, [], [new ServiceEvent("1.2.3", Own, "in-progress", null, null), new ServiceEvent("1.2.4", Own, "planned", null, null)]);
        Assert.NotNull(policy.RelationshipOf(Own, "1.2.3", ConsentWorld.Now));
        Assert.Null(policy.RelationshipOf(Own, "1.2.4", ConsentWorld.Now));
    }

    private static DateTimeOffset? At(int? minutes) => minutes is { } m ? ConsentWorld.Now.AddMinutes(m) : null;
}
