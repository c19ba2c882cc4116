using System.IO.Compression;
using System.Xml.Linq;
using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Tests.Fhir.Compartment;

public class ResourceTypesTests
{
    private static readonly XNamespace Fhir = "http://hl7.org/fhir";

    [Fact]
    public void The_patient_compartment_is_HL7s_own()
    {
        using var zip = ZipFile.OpenRead(Path.Combine(AppContext.BaseDirectory, "specification.zip"));
        var compartment = Load(zip, "profiles-resources.xml").Descendants(Fhir + "CompartmentDefinition")
            .Single(d => Value(d, "code") == "Patient");
        var parameters = Load(zip, "search-parameters.xml").Descendants(Fhir + "SearchParameter")
            .SelectMany(p => p.Elements(Fhir + "base").Select(b => (Type: b.Attribute("value")!.Value, Code: Value(p, "code"), Expression: Value(p, "expression"))))
            .ToLookup(p => (p.Type, p.Code), p => p.Expression);

        var expected = new Dictionary<string, string[]>();
        foreach (var resource in compartment.Elements(Fhir + "resource"))
        {
            var type = Value(resource, "code")!;
            string[] paths =
            [
                .. resource.Elements(Fhir + "param").Select(p => p.Attribute("value")!.Value)
                    .SelectMany(code => parameters[(type, code)]).SelectMany(e => e!.Split('|', StringSplitOptions.TrimEntries))
                    .Where(e => e.StartsWith(type + ".", StringComparison.Ordinal)).Select(e => e.Replace(".where(resolve() is Patient)", "")).Distinct(),
            ];
            if (resource.Element(Fhir + "param") is not null)
                expected[type] = paths;
        }

        Assert.Equal(66, expected.Count);
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal),
            ResourceTypes.Served.Where(t => ResourceTypes.PlaceOf(t) == ResourcePlace.Patient));
        Assert.All(expected, e => Assert.Equal(e.Value, ResourceTypes.CompartmentElements(e.Key)));
    }

    [Theory]
    [InlineData("Observation", ResourcePlace.Patient)]
    [InlineData("Patient", ResourcePlace.Patient)]
    [InlineData("Consent", ResourcePlace.Patient)]
    [InlineData("Organization", ResourcePlace.Directory)]
    [InlineData("PractitionerRole", ResourcePlace.Directory)]
    [InlineData("ValueSet", ResourcePlace.Directory)]
    [InlineData("Medication", ResourcePlace.Companion)]
    [InlineData("Binary", ResourcePlace.Companion)]
    [InlineData("Bundle", ResourcePlace.Refused)]
    [InlineData("Parameters", ResourcePlace.Refused)]
    [InlineData("OperationOutcome", ResourcePlace.Refused)]
    [InlineData("Subscription", ResourcePlace.Refused)]
    [InlineData("observation", ResourcePlace.Refused)]
    [InlineData("Observatory", ResourcePlace.Refused)]
    [InlineData("", ResourcePlace.Refused)]
    [InlineData(null, ResourcePlace.Refused)]
    public void Every_type_has_one_place_and_an_unknown_one_has_none(string? type, ResourcePlace place) => Assert.Equal(place, ResourceTypes.PlaceOf(type));

    [Fact]
    public void Every_served_type_exists_in_R4_and_stands_once()
    {
        Assert.All(ResourceTypes.Served, type => Assert.True(ResourceTypes.IsFhirType(type), type));
        Assert.Equal(ResourceTypes.Served.Count, ResourceTypes.Served.Distinct().Count());
        Assert.All(ResourceTypes.Served, type => Assert.True(ResourceTypes.IsServed(type), type));
    }

    [Theory]
    [InlineData("Observation", "Observation.subject")]
    [InlineData("Consent", "Consent.patient")]
    [InlineData("Coverage", "Coverage.beneficiary")]
    [InlineData("Appointment", "Appointment.participant.actor")]
    [InlineData("Provenance", "Provenance.target")]
    public void The_subject_is_whom_a_resource_is_about(string type, string element) => Assert.Equal([element], ResourceTypes.SubjectElements(type));

    private static XDocument Load(ZipArchive zip, string name)
    {
        using var stream = zip.GetEntry(name)!.Open();
        return XDocument.Load(stream);
    }

    private static string? Value(XElement parent, string name) => parent.Element(Fhir + name)?.Attribute("value")?.Value;
}
