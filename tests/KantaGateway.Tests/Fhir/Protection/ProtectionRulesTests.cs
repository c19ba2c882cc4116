using System.Text;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Tests.Fhir.Protection;

/// <summary>Act 703/2023 §26.2 and decree 457/2024 §26, §34 and §51: what an entry says of who may be shown it.</summary>
public class ProtectionRulesTests
{
    private const string ActCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode", Hilmo = "urn:oid:1.2.246.537.6.24.2003", Practice = "http://snomed.info/sct";

    [Theory]
    [InlineData(ActCode, "PSY", ProtectedService.Psychiatry)]
    [InlineData(ActCode, "PSYTHPN", ProtectedService.Psychotherapy)]
    [InlineData(ActCode, "SUD", ProtectedService.Addiction)]
    [InlineData(ActCode, "ETH", ProtectedService.Addiction)]
    [InlineData(ActCode, "SEX", ProtectedService.SexualTherapy)]
    [InlineData(ActCode, "GDIS", ProtectedService.Genetics)]
    [InlineData(ActCode, "MH", ProtectedService.MentalHealth)]
    // What nothing is known of is protected.
    [InlineData(ActCode, "HIV", ProtectedService.Unknown)]
    [InlineData("urn:x", "PSY", ProtectedService.Unknown)]
    [InlineData(null, "PSY", ProtectedService.Unknown)]
    [InlineData("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "V", ProtectedService.Unknown)]
    [InlineData("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N", ProtectedService.None)]
    [InlineData("urn:oid:1.2.246.537.5.40202.201901", "1", ProtectedService.None)]
    [InlineData("urn:oid:1.2.246.537.5.402021", "1", ProtectedService.Unknown)]
    public void A_label_shows_its_service(string? system, string code, ProtectedService service) =>
        Assert.Equal((service, service), (ProtectionRules.Default.LabelsOf(Labelled(system, code))?.Services ?? ProtectedService.None,
            ProtectionRules.Default.ServicesOf(JsonSerializer.SerializeToElement(new { meta = new { security = new[] { new { system, code } } } }))));

    public static TheoryData<string, ProtectedService> Entries => new()
    {
        { $$$"""{"resourceType":"Encounter","serviceType":{{{Concept("http://terminology.hl7.org/CodeSystem/service-type", "142")}}}}""", ProtectedService.Psychology },
        { $$$"""{"resourceType":"Encounter","type":[{{{Concept("http://terminology.hl7.org/CodeSystem/service-type", "108")}}}]}""", ProtectedService.Addiction },
        { $$$"""{"resourceType":"Encounter","serviceType":{{{Concept("http://terminology.hl7.org/CodeSystem/service-type", "124")}}}}""", ProtectedService.None },
        { $$$"""{"resourceType":"Appointment","serviceType":[{{{Concept("http://terminology.hl7.org/CodeSystem/service-type", "166")}}}]}""", ProtectedService.Genetics },
        { $$$"""{"resourceType":"Appointment","specialty":[{{{Concept(Hilmo, "75")}}}]}""", ProtectedService.Psychiatry },
        { $$$"""{"resourceType":"PractitionerRole","specialty":[{{{Concept(Practice, "394913002")}}}]}""", ProtectedService.Psychotherapy },
        { $$$"""{"resourceType":"HealthcareService","specialty":[{{{Concept(Hilmo, "94")}}}]}""", ProtectedService.Genetics },
        { $$$"""{"resourceType":"DocumentReference","type":{{{Concept("http://loinc.org", "34904-3")}}}}""", ProtectedService.MentalHealth },
        { $$$"""{"resourceType":"DocumentReference","context":{"practiceSetting":{{{Concept(Hilmo, "70")}}}}}""", ProtectedService.Psychiatry },
        { $$$"""{"resourceType":"Composition","type":{{{Concept("http://loinc.org", "11510-5")}}}}""", ProtectedService.Psychology },
        { $$$"""{"resourceType":"Encounter","contained":[{"resourceType":"PractitionerRole","id":"r","specialty":[{{{Concept(Practice, "394587001")}}}]}]}""", ProtectedService.Psychiatry },
        // A code elsewhere is no service.
        { $$$"""{"resourceType":"Observation","code":{{{Concept(Practice, "394587001")}}}}""", ProtectedService.None },
        { $$$"""{"resourceType":"Encounter","serviceType":{"text":"psykoterapia"}}""", ProtectedService.None },
    };

    [Theory]
    [MemberData(nameof(Entries))]
    public void An_entry_shows_its_service(string json, ProtectedService service) =>
        Assert.Equal((service, service), (ProtectionRules.Default.LabelsOf(Parse(json))?.Services ?? ProtectedService.None, ProtectionRules.Default.ServicesOf(JsonElement.Parse(json))));

    [Theory]
    [InlineData("1", CustodianAccess.Shown)]
    [InlineData("2", CustodianAccess.Shown)]
    [InlineData("3", CustodianAccess.Hidden)]
    [InlineData("4", CustodianAccess.Hidden)]
    [InlineData("5", CustodianAccess.Hidden)]
    public void Custodians_are_shown_what_1_and_2_say(string code, CustodianAccess access)
    {
        foreach (var system in (string[])["urn:oid:1.2.246.537.5.40202", "urn:oid:1.2.246.537.5.40202.201901"])
        {
            Assert.Equal(access, ProtectionRules.Default.LabelsOf(Labelled(system, code))!.Custodians);
            foreach (var type in (string[])["Appointment", "Provenance"])
                Assert.Equal(access, ProtectionRules.Default.LabelsOf(Parse($$$"""{"resourceType":"{{{type}}}","extension":[{"url":"https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/RestrictionParent","valueCoding":{"system":"{{{system}}}","code":"{{{code}}}"}}]}"""))!.Custodians);
        }
    }

    [Fact]
    public void Of_two_words_about_custodians_the_stricter_holds_and_of_another_code_system_none_opens()
    {
        var resource = Labelled("urn:oid:1.2.246.537.5.40202", "1");
        resource.Meta!.Security.Add(new("urn:oid:1.2.246.537.5.40202.201901", "3"));
        Assert.Equal(CustodianAccess.Hidden, ProtectionRules.Default.LabelsOf(resource)?.Custodians);
        Assert.Equal(CustodianAccess.Hidden, ProtectionRules.Default.LabelsOf(Parse("""{"resourceType":"Appointment","extension":[{"url":"https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/RestrictionParent","valueCoding":{"system":"urn:x","code":"1"}}]}"""))!.Custodians);
        Assert.Null(ProtectionRules.Default.LabelsOf(new Observation()));
    }

    [Theory]
    // Finnish midnight, in winter and in summer.
    [InlineData("2026-01-15", "2026-01-14T22:00:00Z")]
    [InlineData("2026-07-15", "2026-07-14T21:00:00Z")]
    // The day is not known before the month is over.
    [InlineData("2026-07", "2026-07-31T21:00:00Z")]
    public void A_release_begins_at_a_Finnish_midnight(string date, string utc)
    {
        foreach (var type in (string[])["Appointment", "Provenance"])
            Assert.Equal(DateTimeOffset.Parse(utc, System.Globalization.CultureInfo.InvariantCulture).UtcTicks, ProtectionRules.Default.LabelsOf(Released(type, date))!.ReleasedAt);
    }

    [Fact]
    public void A_day_that_cannot_be_read_never_comes_and_another_resource_has_none()
    {
        Assert.Equal(EntryLabels.Never, ProtectionRules.Default.LabelsOf(new Appointment { Extension = [new("https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/ReleaseDateForPatientViewing", new FhirString("soon"))] })!.ReleasedAt);
        Assert.Null(ProtectionRules.Default.LabelsOf(Released("Observation", "2026-01-15")));
    }

    [Fact]
    public void A_mark_of_delay_is_read()
    {
        const string system = "https://hl7.fi/fhir/finnish-base-profiles/CodeSystem/fi-base-release-for-patient-viewing-cs";
        Assert.True(ProtectionRules.Default.LabelsOf(Labelled(system, "1"))!.IsDelayed);
        Assert.Null(ProtectionRules.Default.LabelsOf(Labelled(system, "2")));
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("""{"rules":[]}""")]
    [InlineData("""{"rules":[{"service":"Psychiatry","where":"label","system":"urn:x","codes":["1"]}],"neutral":[]}""")]
    [InlineData("""{"rules":[{"service":"Surgery","where":"label","system":"urn:x","codes":["1"],"source":"x"}],"neutral":[]}""")]
    [InlineData("""{"rules":[{"service":"Psychiatry","where":"anywhere","system":"urn:x","codes":["1"],"source":"x"}],"neutral":[]}""")]
    [InlineData("""{"rules":[{"service":"Psychiatry","where":"label","system":"urn:x","codes":[],"source":"x"}],"neutral":[]}""")]
    public void A_table_that_is_none_is_refused(string json) => Assert.Throws<InvalidDataException>(() => ProtectionRules.Read(new MemoryStream(Encoding.UTF8.GetBytes(json))));

    [Fact]
    public void Another_table_takes_the_place_of_the_first()
    {
        var rules = ProtectionRules.Read(new MemoryStream("""{"rules":[{"service":"Genetics","where":"label","system":"urn:x","codes":["1"],"source":"a test"}],"neutral":[]}"""u8.ToArray()));
        Assert.Equal(ProtectedService.Genetics, rules.LabelsOf(Labelled("urn:x", "1"))!.Services);
        Assert.Equal(ProtectedService.Unknown, rules.LabelsOf(Labelled(ActCode, "PSY"))!.Services);
    }

    private static Observation Labelled(string? system, string code) => new() { Meta = new() { Security = [new(system, code)] } };

    private static Resource Released(string type, string date) =>
        Parse($$$"""{"resourceType":"{{{type}}}","extension":[{"url":"https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/ReleaseDateForPatientViewing","valueDate":"{{{date}}}"}]}""");

    private static string Concept(string system, string code) => $$$"""{"coding":[{"system":"{{{system}}}","code":"{{{code}}}"}]}""";

    // Only what the rules look at: these are no whole resources.
    private static Resource Parse(string json)
    {
        var reader = new System.Text.Json.Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        new Hl7.Fhir.Serialization.FhirJsonDeserializer().TryDeserializeResource(ref reader, out var resource, out _);
        return resource ?? throw new InvalidOperationException(json);
    }

    [Fact]
    public void A_controller_may_be_of_a_service_with_everything_that_it_records()
    {
        var rules = ProtectionRules.Read(new MemoryStream("""
            {"rules":[{"service":"Psychotherapy","where":"controller","system":"urn:ietf:rfc:3986","codes":["1.2.246.10.99000044"],"source":"the practice's own register"}],"neutral":[]}
            """u8.ToArray()));
        Assert.Equal(ProtectedService.Psychotherapy, rules.OfController("1.2.246.10.99000044"));
        Assert.Equal(ProtectedService.None, rules.OfController("1.2.246.10.9900004"));
        Assert.Equal(ProtectedService.None, ProtectionRules.Default.OfController("1.2.246.10.99000044"));
        // Beside the product's table, which goes on holding.
        var both = ProtectionRules.Default.And(rules);
        Assert.Equal(ProtectedService.Psychotherapy, both.OfController("1.2.246.10.99000044"));
        var labelled = new Observation { Meta = new() { Security = [new("http://terminology.hl7.org/CodeSystem/v3-ActCode", "SUD"), new("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N")] } };
        Assert.Equal(ProtectedService.Addiction, both.LabelsOf(labelled)!.Services);
    }
}
