using System.Text.Json;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Fhir.Grants;

public class DisclosureScopeTests
{
    private const string Own = "1.2.246.10.1", Other = "1.2.246.10.2";
    private static readonly string OfEmployer = Register.Occupational("1.2.246.10.3");

    [Theory]
    [InlineData(Breadth.None, Own, Hidden.None, false)]
    [InlineData(Breadth.OwnRegister, Own, Hidden.None, true)]
    [InlineData(Breadth.OwnRegister, Own, Hidden.FromOthers, true)]
    [InlineData(Breadth.OwnRegister, Other, Hidden.None, false)]
    [InlineData(Breadth.Disclosed, Own, Hidden.FromOthers, true)]
    [InlineData(Breadth.Disclosed, Other, Hidden.None, true)]
    [InlineData(Breadth.Disclosed, Other, Hidden.FromOthers, false)]
    [InlineData(Breadth.WholePerson, Other, Hidden.FromOthers, true)]
    [InlineData(Breadth.Directory, Other, Hidden.None, true)]
    [InlineData((Breadth)99, Own, Hidden.None, false)]
    public void An_entry_is_admitted_by_breadth_controller_and_denial(Breadth breadth, string controller, Hidden hidden, bool admitted) =>
        Assert.Equal(admitted, Scope(breadth).Admits("Observation", controller, Register.Patient, hidden));

    [Fact]
    public void What_is_hidden_from_all_is_admitted_to_nobody()
    {
        foreach (var breadth in Enum.GetValues<Breadth>())
        {
            Assert.False(Scope(breadth).Admits("Observation", Own, Register.Patient, Hidden.FromAll));
            Assert.False(Scope(breadth).Admits("Observation", Own, Register.Patient, Hidden.FromAll | Hidden.FromOthers));
        }
    }

    [Fact]
    public void Another_register_of_the_same_controller_is_not_the_own_one()
    {
        Assert.False(Scope(Breadth.OwnRegister).Admits("Observation", Own, OfEmployer, Hidden.None));
        Assert.True(Scope(Breadth.Disclosed).Admits("Observation", Own, OfEmployer, Hidden.None));
        Assert.False(Scope(Breadth.Disclosed).Admits("Observation", Own, OfEmployer, Hidden.FromOthers));
        Assert.True((Scope(Breadth.OwnRegister) with { Register = OfEmployer }).Admits("Observation", Own, OfEmployer, Hidden.FromOthers));
        Assert.False((Scope(Breadth.OwnRegister) with { Register = OfEmployer }).Admits("Observation", Own, Register.Occupational("1.2.246.10.4"), Hidden.None));
    }

    [Fact]
    public void The_bound_of_a_task_holds_for_other_registers_alone()
    {
        var scope = Scope(Breadth.Disclosed) with { TypesOfOthers = ["Condition"] };
        Assert.False(scope.Admits("Observation", Other, Register.Patient, Hidden.None));
        Assert.True(scope.Admits("Condition", Other, Register.Patient, Hidden.None));
        Assert.True(scope.Admits("Observation", Own, Register.Patient, Hidden.None));
    }

    [Theory]
    [InlineData(Breadth.OwnRegister)]
    [InlineData(Breadth.Disclosed)]
    public void Consents_are_for_the_person_alone(Breadth breadth)
    {
        Assert.False(Scope(breadth).Admits("Consent", Own, Register.Patient, Hidden.None));
        Assert.True(Scope(Breadth.WholePerson).Admits("Consent", Other, Register.Patient, Hidden.None));
        Assert.False((Scope(Breadth.WholePerson) with { Withheld = new() { FromCustodians = true } }).Admits("Consent", Other, Register.Patient, Hidden.None));
    }

    [Fact]
    public void A_type_outside_the_list_is_never_admitted()
    {
        foreach (var breadth in Enum.GetValues<Breadth>())
        {
            Assert.False((Scope(breadth) with { Types = ["Observation"] }).Admits("Condition", Own, Register.Patient, Hidden.None));
            Assert.False((Scope(breadth) with { Types = [] }).Admits("Observation", Own, Register.Patient, Hidden.None));
        }
    }

    [Fact]
    public void A_scope_that_says_nothing_admits_nothing() => Assert.False(DisclosureScope.Nothing.Admits("Observation", "", Register.Patient, Hidden.None));

    [Fact]
    public void A_scope_without_a_breadth_cannot_be_read() =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<DisclosureScope>("""{"c":"1.2.246.10.1"}"""));

    [Fact]
    public void What_is_withheld_survives_the_way_through_a_grant()
    {
        var scope = Scope(Breadth.Disclosed) with
        {
            Register = OfEmployer,
            TypesOfOthers = ["Condition"],
            HidesContacts = true,
            Withheld = new()
            {
                ServiceEvents = ["1.2.246.10.2.14.7"],
                Registers = [Register.Of(Other, Register.Patient)],
                Prescriptions = ["4f6c0b3e-0000-4000-8000-000000000001"],
                SpeciallyProtected = true,
                SeenServices = ProtectedService.Psychiatry,
                SeenServicesOfOwn = ProtectedService.Psychotherapy,
                FromCustodians = true,
                UnknownShownBefore = new(2020, 1, 2, 0, 0, 0, TimeSpan.Zero),
                UnreleasedAt = new(2026, 1, 2, 0, 0, 0, TimeSpan.Zero),
            },
        };
        var read = JsonSerializer.Deserialize<DisclosureScope>(JsonSerializer.Serialize(scope))!;
        Assert.Equal(scope.Withheld, read.Withheld);
        Assert.Equal((scope.Register, scope.HidesContacts), (read.Register, read.HidesContacts));
        Assert.Equal(scope.TypesOfOthers, read.TypesOfOthers);
    }

    [Fact]
    public void Withheld_is_compared_by_each_of_its_values()
    {
        Withheld[] all =
        [
            new(), new() { ServiceEvents = ["1"] }, new() { ServiceEvents = ["1", "2"] }, new() { Registers = ["1"] }, new() { Prescriptions = ["1"] },
            new() { SpeciallyProtected = true }, new() { SeenServices = ProtectedService.Genetics }, new() { SeenServicesOfOwn = ProtectedService.Genetics }, new() { FromCustodians = true },
            new() { UnknownShownBefore = DateTimeOffset.UnixEpoch }, new() { UnreleasedAt = DateTimeOffset.UnixEpoch },
        ];
        for (var i = 0; i < all.Length; i++)
            for (var j = 0; j < all.Length; j++)
                Assert.Equal(i == j, all[i].Equals(all[j] with { }));
    }

    [Fact]
    public void A_scope_is_compared_by_each_of_its_values()
    {
        DisclosureScope[] all =
        [
            Scope(Breadth.Disclosed), Scope(Breadth.OwnRegister), Scope(Breadth.Disclosed) with { Controller = Other }, Scope(Breadth.Disclosed) with { Register = OfEmployer },
            Scope(Breadth.Disclosed) with { MayWriteFor = [Other] }, Scope(Breadth.Disclosed) with { Withheld = new() { SpeciallyProtected = true } },
            Scope(Breadth.Disclosed) with { Types = [] }, Scope(Breadth.Disclosed) with { Types = ["Observation"] }, Scope(Breadth.Disclosed) with { TypesOfOthers = ["Observation"] },
            Scope(Breadth.Disclosed) with { OnlyOf = [] }, Scope(Breadth.Disclosed) with { OnlyOf = [Other] },
            Scope(Breadth.Disclosed) with { FiltersOfOwn = [new("Observation", ["status=final"], true)] }, Scope(Breadth.Disclosed) with { FiltersOfOthers = [new("Observation", ["status=final"], true)] },
            Scope(Breadth.Disclosed) with { HidesContacts = true }, Scope(Breadth.Disclosed) with { MayDeclare = true },
            Scope(Breadth.Disclosed) with { Filters = [new("Observation", ["code=1"], true)] }, Scope(Breadth.Disclosed) with { Filters = [new("Observation", ["code=1"], false)] },
            Scope(Breadth.Disclosed) with { Filters = [new("Observation", ["code=1", "code=2"], true)] },
        ];
        for (var i = 0; i < all.Length; i++)
            for (var j = 0; j < all.Length; j++)
            {
                // Written and read, so that no list is the same object.
                var other = JsonSerializer.Deserialize<DisclosureScope>(JsonSerializer.Serialize(all[j]))!;
                Assert.Equal(i == j, all[i].Equals(other));
                Assert.True(i != j || all[i].GetHashCode() == other.GetHashCode());
            }
    }

    private static DisclosureScope Scope(Breadth breadth) => new() { Breadth = breadth, Controller = Own };
}
