using System.Text;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir;

/// <summary>What other tests build on must itself be valid.</summary>
public sealed class MinimalResourcesTests
{
    public static TheoryData<string> Types => [.. ResourceTypes.Served];

    [Theory]
    [MemberData(nameof(Types))]
    public void A_minimal_resource_of_every_served_type_is_valid_and_names_its_patient(string type)
    {
        var json = MinimalResources.Of(type, "the-patient", Sample.IdentityCode()).ToJsonString();

        var (resource, fault) = ResourceParser.Parse(Encoding.UTF8.GetBytes(json));

        Assert.True(fault is null, fault is null ? "" : string.Join("; ", fault.Issues));
        Assert.Equal(type, resource!.TypeName);
        if (ResourceTypes.PlaceOf(type) == ResourcePlace.Patient && type != "Patient")
            Assert.Contains("\"Patient/the-patient\"", json, StringComparison.Ordinal);
    }
}
