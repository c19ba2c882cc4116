using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Compartment;

public class RequestScanTests
{
    [Fact]
    public void Patients_are_found_in_every_form_a_reference_can_have()
    {
        var scan = Scan("""
            {"id":"o","subject":{"reference":"Patient/a"},"performer":[{"reference":"https://x.example/fhir/Patient/b/_history/1"}],
             "extension":[{"url":"u","valueReference":{"reference":"Patient/a"}},{"url":"u","valueReference":{"display":"d","reference":"\u0050atient/c"}}],
             "note":[{"text":"Patient/not-a-reference"}],"focus":[{"reference":"MyPatient/d"},{"reference":"Practitioner/e"},{"reference":"urn:uuid:f"}],
             "contained":[{"resourceType":"Condition","subject":{"reference":"Patient/h"}}],"resourceType":"Observation"}
            """);
        Assert.Null(scan.Fault);
        Assert.Equal(("Observation", "o"), (scan.ResourceType, scan.Id));
        Assert.Equal(["a", "b", "c", "h"], scan.PatientIds);
        Assert.Empty(scan.IdentityCodes);
        Assert.True(scan.TouchesPatient);
        Assert.False(scan.TouchesDirectory);
    }

    [Fact]
    public void The_identity_code_of_a_patient_is_found_whatever_the_order_of_members()
    {
        Assert.Equal(["010190-999W"], Scan("""
            {"identifier":[{"value":"1","system":"urn:oid:1.2.246.22"},{"value":"010190-999W","use":"official","system":"urn:oid:1.2.246.21"}],"resourceType":"Patient"}
            """).IdentityCodes);
    }

    [Fact]
    public void Codes_of_others_than_the_patient_are_not_taken_for_the_patients()
    {
        Assert.Empty(Scan("""
            {"resourceType":"Patient","contact":[{"extension":[{"url":"u","valueIdentifier":{"system":"urn:oid:1.2.246.21","value":"010190-999W"}}]}],
             "contained":[{"resourceType":"Patient","identifier":[{"system":"urn:oid:1.2.246.21","value":"010190-999W"}]}]}
            """).IdentityCodes);
        Assert.Empty(Scan("""{"resourceType":"RelatedPerson","identifier":[{"system":"urn:oid:1.2.246.21","value":"010190-999W"}]}""").IdentityCodes);
    }

    [Theory]
    [InlineData("\"total\":1,", "", "Bundle.total")] // bdl-1
    [InlineData("", "\"search\":{\"mode\":\"match\"},", "Bundle.entry[1].search")] // bdl-2
    [InlineData("", "\"response\":{\"status\":\"200\"},", "Bundle.entry[1].response")] // bdl-4
    [InlineData("", "\"fullUrl\":\"urn:uuid:1\",", "Bundle.entry[1].fullUrl")] // bdl-7
    [InlineData("", "\"fullUrl\":\"https://x.example/fhir/Basic/1/_history/1\",", "Bundle.entry[1].fullUrl")] // bdl-8
    [InlineData("", "\"fullUrl\":\"urn:uuid:2\",", null)]
    public void What_a_bundle_of_requests_must_not_have_is_told(string member, string entryMember, string? expression)
    {
        var scan = Scan("{\"resourceType\":\"Bundle\",\"type\":\"batch\"," + member + "\"entry\":[{\"fullUrl\":\"urn:uuid:1\",\"resource\":{\"resourceType\":\"Basic\",\"total\":1},\"request\":{\"method\":\"POST\",\"url\":\"Basic\"}},{"
            + entryMember + "\"resource\":{\"resourceType\":\"Basic\"},\"request\":{\"method\":\"POST\",\"url\":\"Basic\"}}]}");
        Assert.Equal(expression, scan.Misplaced.SingleOrDefault()?.Expression);
        Assert.Equal(2, scan.Entries.Count);
    }

    [Fact]
    public void A_bundle_is_told_entry_by_entry()
    {
        var body = Encoding.UTF8.GetBytes("""
            {"entry":[
              {"fullUrl":"urn:uuid:1","request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=x"},"resource": {"identifier":[{"system":"urn:oid:1.2.246.21","value":"010190-999W"}],"resourceType":"Patient"} },
              {"resource":{"resourceType":"Organization","id":"é"},"request":{"url":"Organization/1","method":"PUT","ifMatch":"W/\"1\""}},
              {"request":{"method":"GET","url":"Patient/p?x=1"}},
              {"request":{"method":"DELETE","url":"/Observation/o"}},
              7
            ],"type":"batch","resourceType":"Bundle"}
            """);
        var scan = RequestScan.Read(body);
        Assert.Equal(("Bundle", "batch"), (scan.ResourceType, scan.BundleType));
        Assert.Equal(["p"], scan.PatientIds);
        Assert.Equal(["010190-999W"], scan.IdentityCodes);
        Assert.True(scan.TouchesDirectory);
        Assert.True(scan.TouchesPatient);
        Assert.Equal([("POST", "Patient", "Patient"), ("PUT", "Organization/1", "Organization"), ("GET", "Patient/p?x=1", null), ("DELETE", "/Observation/o", null)],
            scan.Entries.Select(e => (e.Method!, e.Url!, e.ResourceType)));
        Assert.Equal(["identifier=x", null, null, null], scan.Entries.Select(e => e.IfNoneExist));
        Assert.Equal("W/\"1\"", scan.Entries[1].IfMatch);
        Assert.Equal("""{"resourceType":"Organization","id":"é"}""", Encoding.UTF8.GetString(body[scan.Entries[1].Resource]));
        Assert.StartsWith("""{"identifier""", Encoding.UTF8.GetString(body[scan.Entries[0].Resource]));
        Assert.Equal(0, scan.Entries[2].Resource.End.Value);
    }

    [Fact]
    public void A_bundle_of_directory_entries_touches_no_patient()
    {
        var scan = Scan("""{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Organization"},"request":{"method":"POST","url":"Organization"}},{"request":{"method":"DELETE","url":"Location/1"}}]}""");
        Assert.True(scan.TouchesDirectory);
        Assert.False(scan.TouchesPatient);
    }

    [Fact]
    public void A_list_with_entries_and_a_type_is_no_bundle()
    {
        var scan = Scan("""{"type":"x","entry":[{"item":{"reference":"Patient/a"},"request":{"url":"Patient/b"},"resource":{"resourceType":"Patient"}}],"resourceType":"List"}""");
        Assert.Null(scan.BundleType);
        Assert.Empty(scan.Entries);
        Assert.Contains("a", scan.PatientIds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("{\"resourceType\":\"Patient\"}{}")]
    public void Malformed_JSON_is_told_as_the_parser_tells_it(string body)
    {
        var scan = Scan(body);
        Assert.Equal(FaultKind.Invalid, scan.Fault!.Kind);
        Assert.Equal(ResourceParser.Parse(Encoding.UTF8.GetBytes(body)).Fault!.Issues, scan.Fault.Issues);
        Assert.Null(scan.ResourceType);
    }

    [Theory]
    [InlineData("""{"resourceType":["Patient"],"identifier":"x","id":{"a":[1]}}""")]
    [InlineData("""{"resourceType":"Bundle","type":{},"entry":{"resource":[]}}""")]
    [InlineData("""{"resourceType":"Bundle","entry":[[],{"resource":7,"request":[],"fullUrl":[{}]},null]}""")]
    [InlineData("""{"resourceType":"Patient","identifier":[[{"system":"urn:oid:1.2.246.21"}],{"system":[],"value":{}}]}""")]
    [InlineData("""{"subject":{"reference":{"reference":["Patient/a"]}}}""")]
    public void Wrong_shapes_are_read_over(string body) => Assert.Null(Scan(body).Fault);

    [Fact]
    public void The_scan_finds_what_a_full_parse_finds_in_the_shared_samples()
    {
        foreach (var file in Sample.SharedFiles("synthea").Concat(Sample.SharedFiles("fi-base")))
        {
            var body = File.ReadAllBytes(file);
            var scan = RequestScan.Read(body);
            Assert.Null(scan.Fault);
            if (ResourceParser.Parse(body).Resource is not { } resource)
                continue;
            Assert.Equal(resource.TypeName, scan.ResourceType);
            var expected = References.Of(resource).Where(r => r.Type == "Patient").Select(r => r.Id!).Distinct();
            Assert.Equal(expected.Order(StringComparer.Ordinal), scan.PatientIds.Order(StringComparer.Ordinal));
            if (resource is Bundle bundle)
                for (var i = 0; i < bundle.Entry.Count; i++)
                    Assert.Equal(ResourceParser.Serialize(bundle.Entry[i].Resource!), ResourceParser.Serialize(ResourceParser.Parse(body[scan.Entries[i].Resource]).Resource!));
        }
    }

    [Fact]
    public void A_hundred_thousand_patients_are_all_told()
    {
        var scan = Scan($$"""{"resourceType":"List","entry":[{{string.Join(',', Enumerable.Range(0, 100_000).Select(i => $$$"""{"item":{"reference":"Patient/{{{i}}}"}}"""))}}]}""");
        Assert.Equal(100_000, scan.PatientIds.Count);
    }

    private static RequestScan Scan(string body) => RequestScan.Read(Encoding.UTF8.GetBytes(body));
}
