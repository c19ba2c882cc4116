using System.Text.Json;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Fhir.Grants;

public class DisclosureScopeTests
{
    private const string Own = "1.2.246.10.1", Other = "1.2.246.10.2", Denied = "1.2.246.10.2.14.2030.1", Open = "1.2.246.10.2.14.2030.2";

    [Theory]
    [InlineData(Breadth.None, Own, null, false)]
    [InlineData(Breadth.OwnRegister, Own, null, true)]
    [InlineData(Breadth.OwnRegister, Own, Denied, true)]
    [InlineData(Breadth.OwnRegister, Other, null, false)]
    [InlineData(Breadth.OwnRegister, Other, Open, false)]
    [InlineData(Breadth.Disclosed, Own, Denied, true)]
    [InlineData(Breadth.Disclosed, Other, Open, true)]
    [InlineData(Breadth.Disclosed, Other, null, true)]
    [InlineData(Breadth.Disclosed, Other, Denied, false)]
    [InlineData(Breadth.WholePerson, Other, Denied, true)]
    [InlineData(Breadth.Directory, Other, null, true)]
    [InlineData((Breadth)99, Own, null, false)]
    public void An_entry_is_admitted_by_breadth_controller_and_denial(Breadth breadth, string controller, string? serviceEvent, bool admitted) =>
        Assert.Equal(admitted, Scope(breadth).Admits("Observation", controller, serviceEvent));

    [Theory]
    [InlineData(Breadth.Disclosed, Other, false)]
    [InlineData(Breadth.Disclosed, Own, true)]
    [InlineData(Breadth.OwnRegister, Own, true)]
    [InlineData(Breadth.WholePerson, Other, true)]
    public void An_entry_that_shows_a_denied_event_is_denied_with_it_outside_the_own_register(Breadth breadth, string controller, bool admitted)
    {
        Assert.Equal(admitted, Scope(breadth).Admits("List", controller, null, Open, Denied));
        Assert.Equal(admitted, Scope(breadth).Admits("List", controller, Open, Denied));
        Assert.True(Scope(breadth).Admits("List", controller, null, Open) || controller == Other && breadth == Breadth.OwnRegister);
    }

    [Theory]
    [InlineData(Breadth.OwnRegister)]
    [InlineData(Breadth.Disclosed)]
    public void Consents_are_for_the_person_alone(Breadth breadth)
    {
        Assert.False(Scope(breadth).Admits("Consent", Own, null));
        Assert.True(Scope(Breadth.WholePerson).Admits("Consent", Other, null));
    }

    [Fact]
    public void A_type_outside_the_list_is_never_admitted()
    {
        foreach (var breadth in Enum.GetValues<Breadth>())
        {
            Assert.False((Scope(breadth) with { Types = ["Observation"] }).Admits("Condition", Own, null));
            Assert.False((Scope(breadth) with { Types = [] }).Admits("Observation", Own, null));
        }
    }

    [Fact]
    public void A_scope_that_says_nothing_admits_nothing() => Assert.False(DisclosureScope.Nothing.Admits("Observation", "", null));

    [Fact]
    public void A_scope_without_a_breadth_cannot_be_read() =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<DisclosureScope>("""{"c":"1.2.246.10.1"}"""));

    private static DisclosureScope Scope(Breadth breadth) => new() { Breadth = breadth, Controller = Own, DeniedServiceEvents = [Denied] };
}
