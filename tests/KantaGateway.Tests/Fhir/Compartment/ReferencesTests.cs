using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Compartment;

public class ReferencesTests
{
    [Theory]
    [InlineData(null, ReferenceKind.Logical, null, null)]
    [InlineData("#a", ReferenceKind.Contained, null, null)]
    [InlineData("#", ReferenceKind.Contained, null, null)]
    [InlineData("Patient/a-1.B", ReferenceKind.Local, "Patient", "a-1.B")]
    [InlineData("Patient/a/_history/2", ReferenceKind.Local, "Patient", "a")]
    [InlineData("urn:uuid:11111111-1111-4111-8111-111111111111", ReferenceKind.Urn, null, null)]
    [InlineData("urn:oid:1.2.3", ReferenceKind.Urn, null, null)]
    [InlineData("https://x.example/fhir/Patient/a", ReferenceKind.External, null, null)]
    [InlineData("Patient?identifier=x", ReferenceKind.Conditional, "Patient", null)]
    [InlineData("Patient", ReferenceKind.Malformed, null, null)]
    [InlineData("Patient/", ReferenceKind.Malformed, null, null)]
    [InlineData("/Patient/a", ReferenceKind.Malformed, null, null)]
    [InlineData("Patiend/a", ReferenceKind.Malformed, null, null)]
    [InlineData("Patient/a/b", ReferenceKind.Malformed, null, null)]
    [InlineData("Patient/a/_history/", ReferenceKind.Malformed, null, null)]
    [InlineData("Patient/a b", ReferenceKind.Malformed, null, null)]
    [InlineData("../Patient/a", ReferenceKind.Malformed, null, null)]
    [InlineData("urn:x", ReferenceKind.Malformed, null, null)]
    [InlineData("javascript:alert(1)", ReferenceKind.Malformed, null, null)]
    public void A_literal_is_one_thing(string? literal, ReferenceKind kind, string? type, string? id)
    {
        Assert.Equal(kind, References.Classify(literal, out var t, out var i));
        Assert.Equal((type, id), (t, i));
    }

    [Fact]
    public void Every_reference_is_found_with_its_expression()
    {
        var observation = Sample.Parse<Observation>("""
            {"resourceType":"Observation","status":"final","code":{"text":"a","extension":[{"url":"u","valueReference":{"reference":"Encounter/x"}}]},
             "subject":{"reference":"Patient/p"},"performer":[{"reference":"Practitioner/1"},{"identifier":{"value":"2"}}],
             "contained":[{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/q"}}],
             "component":[{"code":{"text":"b"},"extension":[{"url":"u","valueReference":{"reference":"#c"}}]}]}
            """);
        Assert.Equal(
            ["contained[0].subject", "code.extension[0].value", "subject", "performer[0]", "performer[1]", "component[0].extension[0].value"],
            References.Of(observation).Select(r => r.Expression["Observation.".Length..]));
        Assert.Equal("Bundle.entry[3].resource.subject", References.Of(observation, "Bundle.entry[3].resource").Single(r => r.Id == "p").Expression);
    }

    [Fact]
    public void Subjects_are_those_whom_the_resource_is_about()
    {
        var observation = new Observation { Subject = new("Patient/p"), Performer = [new("Patient/q")] };
        Assert.Equal(["Observation.subject"], References.Subjects(observation).Select(r => r.Expression));
        var appointment = new Appointment { Participant = [new() { Actor = new("Practitioner/1") }, new() { Actor = new("Patient/p") }] };
        Assert.Equal(["Appointment.participant[0].actor", "Appointment.participant[1].actor"], References.Subjects(appointment).Select(r => r.Expression));
        Assert.Equal("Bundle.entry[0].resource.subject", References.Subjects(observation, "Bundle.entry[0].resource")[0].Expression);
    }

    [Fact]
    public void References_to_this_servers_own_address_become_relative_and_no_others()
    {
        var observation = new Observation
        {
            Subject = new("https://localhost:8443/fhir/Patient/p"),
            Performer = [new("https://localhost:8443/fhirx/Patient/p"), new("https://localhost:8443/fhir/nonsense")],
        };
        References.MakeRelative(observation, "https://localhost:8443/fhir");
        Assert.Equal("Patient/p", observation.Subject.Reference);
        Assert.Equal(["https://localhost:8443/fhirx/Patient/p", "https://localhost:8443/fhir/nonsense"], observation.Performer.Select(p => p.Reference));
    }

    [Theory]
    [InlineData("""{"use":"official","value":"1.2.246.10.6794809.14011.2023.200035"}""", "1.2.246.10.6794809.14011.2023.200035")]
    [InlineData("""{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.1.14.2030.1"}""", "1.2.246.10.1.14.2030.1")]
    [InlineData("""{"use":"official","system":"urn:oid:1.2.246.10.1","value":"4711"}""", null)]
    [InlineData("""{"use":"secondary","value":"1.2.246.10.1.14.2030.1"}""", null)]
    [InlineData("""{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.9.1"},{"use":"official","value":"1.2.246.10.9.2"}""", "1.2.246.10.9.2")]
    [InlineData("""{"use":"secondary","value":"1.2.246.10.9.1"},{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.9.2"}""", "1.2.246.10.9.2")]
    [InlineData("""{"use":"official","value":"4711"},{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.9.2"}""", "1.2.246.10.9.2")]
    public void The_service_event_of_an_encounter_is_its_official_OID(string identifier, string? oid)
    {
        var encounter = Sample.Parse<Encounter>($$"""{"resourceType":"Encounter","status":"planned","class":{"code":"AMB"},"identifier":[{{identifier}}]}""");
        Assert.Equal(oid, References.ServiceEvent(encounter)?.ToString());
        // What is stored is read by the same rule, by those who do not parse it.
        using var json = System.Text.Json.JsonDocument.Parse(ResourceParser.Serialize(encounter));
        Assert.Equal(oid, References.ServiceEvent(json.RootElement)?.ToString());
    }

    [Theory]
    [InlineData("""{"use":"official","value":"1.2.246.10.9.1"},{"use":"official","value":"1.2.246.10.9.2"}""", 2)]
    [InlineData("""{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.9.1"},{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.9.2"}""", 2)]
    [InlineData("""{"use":"official","value":"urn:oid:1.2.246.10.9.1"},{"use":"official","value":"1.2.246.10.9.1"}""", 1)]
    [InlineData("""{"use":"official","value":"1.2.246.10.9.1"},{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.9.2"}""", 1)]
    public void Only_different_OIDs_of_the_same_class_compete(string identifiers, int candidates)
    {
        var encounter = Sample.Parse<Encounter>($$"""{"resourceType":"Encounter","status":"planned","class":{"code":"AMB"},"identifier":[{{identifiers}}]}""");
        Assert.Equal(candidates, References.ServiceEventCandidates(encounter).Count);
    }

    [Fact]
    public void Others_name_their_service_event_by_extension()
    {
        var observation = Sample.Parse<Observation>($$"""
            {"resourceType":"Observation","status":"final","code":{"text":"a"},"extension":[{"url":"{{References.ServiceEventExtension}}","valueOid":"urn:oid:1.2.246.10.1.14.2030.1"}]}
            """);
        Assert.Equal("1.2.246.10.1.14.2030.1", References.ServiceEvent(observation)?.ToString());
        using var json = System.Text.Json.JsonDocument.Parse(ResourceParser.Serialize(observation));
        Assert.Equal("1.2.246.10.1.14.2030.1", References.ServiceEvent(json.RootElement)?.ToString());
        Assert.Null(References.ServiceEvent(new Observation()));
    }

    [Fact]
    public void The_encounter_of_a_resource_is_found_wherever_its_type_has_it()
    {
        Assert.Equal("Observation.encounter", References.EncounterReference(new Observation { Encounter = new("Encounter/e") })?.Expression);
        Assert.Equal("DocumentReference.context.encounter[0]",
            References.EncounterReference(new DocumentReference { Context = new() { Encounter = [new("Encounter/e")] } })?.Expression);
        Assert.Equal("MedicationAdministration.context", References.EncounterReference(new MedicationAdministration { Context = new("Encounter/e") })?.Expression);
        Assert.Equal("Encounter.partOf", References.EncounterReference(new Encounter { PartOf = new("Encounter/e") })?.Expression);
        Assert.Equal("Claim.item[0].encounter[0]", References.EncounterReference(new Claim { Item = [new() { Encounter = [new("Encounter/e")] }] })?.Expression);
        Assert.Null(References.EncounterReference(new MedicationAdministration { Context = new("EpisodeOfCare/e") }));
        Assert.Null(References.EncounterReference(new Observation { Encounter = new() { Display = "d" } }));
        Assert.Null(References.EncounterReference(new Patient()));
    }
}
