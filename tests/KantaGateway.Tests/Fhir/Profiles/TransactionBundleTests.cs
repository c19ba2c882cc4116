using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Profiles;

public class TransactionBundleTests
{
    private const string PatientUrn = "urn:uuid:11111111-1111-4111-8111-111111111111", EncounterUrn = "urn:uuid:22222222-2222-4222-8222-222222222222";

    [Fact]
    public void Entries_are_carried_out_in_the_order_of_the_specification_and_answered_in_their_own()
    {
        var bundle = Transaction(
            Entry("GET", "Observation?code=a"), Entry("PUT", "Patient/p1", new Patient { Id = "p1", Active = true }),
            Entry("POST", "Patient", new Patient { Active = true }), Entry("DELETE", "Observation/o1"),
            Entry("POST", "Condition", new Condition { Subject = new("Patient/p1") }), Entry("GET", "Patient/p1/_history/v1"),
            Entry("HEAD", "Patient/p1"), Entry("PATCH", "Patient/p2", Patch()), Entry("PUT", "Patient/p3", new Patient { Id = "p3" }));
        var read = Read(bundle);
        Assert.Equal([3, 2, 4, 1, 7, 8, 0, 5, 6], read.Operations.Select(o => o.Index));
        Assert.Equal(("code=a", null), (read.Operations[6].Query, read.Operations[6].Id));
        Assert.Equal(("p1", "v1"), (read.Operations[7].Id, read.Operations[7].VersionId));
        Assert.Equal((true, null), (read.Operations[4].Patch is not null, read.Operations[4].Resource));
    }

    [Fact]
    public void Criteria_may_take_the_place_of_an_id() => Assert.Equal(
        [("Observation", null, "code=a"), ("Patient", null, "identifier=1"), ("Condition", null, "code=b")],
        Read(Transaction(Entry("DELETE", "Observation?code=a"), Entry("PUT", "Patient?identifier=1", new Patient()), Entry("PATCH", "Condition?code=b", Patch())))
            .Operations.Select(o => (o.Type, o.Id, o.Query)));

    [Fact]
    public void A_slash_around_the_url_changes_nothing() =>
        Assert.Equal([("Patient", null), ("Patient", "p1")], Read(Transaction(
            Entry("POST", "Patient/", new Patient { Active = true }), Entry("PUT", "/Patient/p1", new Patient { Id = "p1" }))).Operations.Select(o => (o.Type, o.Id)));

    [Fact]
    public void References_to_entries_become_references_to_what_is_stored()
    {
        var observation = new Observation
        {
            Subject = new(PatientUrn),
            Encounter = new(EncounterUrn),
            Performer = [new("#contained"), new("Practitioner/9"), new("https://elsewhere.example/fhir/Practitioner/9")],
            Contained = [new Condition { Id = "contained", Subject = new(PatientUrn) }],
            Extension = [new("http://example.org/e", new ResourceReference(EncounterUrn)), new("http://example.org/u", new FhirUri(PatientUrn))],
        };
        var bundle = Transaction(
            Entry("POST", "Patient", new Patient { Active = true }, PatientUrn), Entry("POST", "Observation", observation, "urn:uuid:3"),
            Entry("POST", "Encounter", new Encounter(), EncounterUrn));
        Assert.Null(TransactionBundle.Rewrite(Read(bundle).Operations, new Dictionary<string, string> { [PatientUrn] = "Patient/P", [EncounterUrn] = "Encounter/E" }));
        Assert.Equal("Patient/P", observation.Subject.Reference);
        Assert.Equal("Encounter/E", observation.Encounter.Reference);
        Assert.Equal(["#contained", "Practitioner/9", "https://elsewhere.example/fhir/Practitioner/9"], observation.Performer.Select(p => p.Reference));
        Assert.Equal("Patient/P", ((Condition)observation.Contained[0]).Subject.Reference);
        Assert.Equal("Encounter/E", ((ResourceReference)observation.Extension[0].Value!).Reference);
        Assert.Equal("Patient/P", ((FhirUri)observation.Extension[1].Value!).Value);
    }

    [Fact]
    public void A_relative_reference_is_read_against_its_own_entrys_base()
    {
        var near = new Condition { Subject = new("Patient/1") };
        var far = new Condition { Subject = new("Patient/1") };
        var bundle = Transaction(
            Entry("POST", "Patient", new Patient { Active = true }, "https://clinic.example/fhir/Patient/1"),
            Entry("POST", "Condition", near, "https://clinic.example/fhir/Condition/2"), Entry("POST", "Condition", far, "https://other.example/fhir/Condition/3"));
        Assert.Null(TransactionBundle.Rewrite(Read(bundle).Operations, new Dictionary<string, string> { ["https://clinic.example/fhir/Patient/1"] = "Patient/P" }));
        Assert.Equal("Patient/P", near.Subject.Reference);
        Assert.Equal("Patient/1", far.Subject.Reference);
    }

    [Fact]
    public void A_urn_that_no_entry_has_is_refused_at_its_element()
    {
        var bundle = Transaction(Entry("POST", "Patient", new Patient { Active = true }, PatientUrn),
            Entry("POST", "Condition", new Condition { Subject = new(PatientUrn), Asserter = new("urn:uuid:9") }));
        var fault = TransactionBundle.Rewrite(Read(bundle).Operations, new Dictionary<string, string> { [PatientUrn] = "Patient/P" });
        Assert.Equal(FaultKind.Unprocessable, fault!.Kind);
        Assert.Equal(["Bundle.entry[1].resource.asserter.reference"], fault.Issues.Select(i => i.Expression));
    }

    public static TheoryData<string, Bundle.EntryComponent> BadEntries => new()
    {
        { "request", new Bundle.EntryComponent { Resource = new Patient() } },
        { "resource", Entry("PATCH", "Patient/1") },
        { "resource", Entry("PATCH", "Patient/1", new Patient { Id = "1" }) },
        { "resource", Entry("PATCH", "Patient/1", new Binary { ContentType = "application/json", Data = "[]"u8.ToArray() }) },
        { "resource", Entry("PATCH", "Patient/1", new Binary { ContentType = "application/json-patch+json", Data = "{}"u8.ToArray() }) },
        { "resource.parameter[0].name", Entry("PATCH", "Patient/1", new Parameters { Parameter = [new() { Name = "op" }] }) },
        { "request.url", Entry("POST", "Nonsense", new Patient()) },
        { "request.url", Entry("POST", "Patient/1", new Patient()) },
        { "request.url", Entry("POST", "", new Patient()) },
        { "request.url", Entry("PUT", "Patient", new Patient()) },
        { "request.url", Entry("PUT", "Patient?", new Patient()) },
        { "request.url", Entry("DELETE", "Observation") },
        { "request.url", Entry("DELETE", "Observation/1?code=a") },
        { "request.url", Entry("PATCH", "Observation", Patch()) },
        { "request.url", Entry("HEAD", "Observation/1/$everything") },
        { "request.url", Entry("DELETE", "Observation/a b") },
        { "request.url", Entry("GET", "Observation/1/$everything") },
        { "request.url", Entry("GET", "Observation/1/../../Patient/2") },
        { "request.url", Entry("GET", "https://elsewhere.example/fhir/Observation/1") },
        { "request.url", Entry("POST", "StructureDefinition", new StructureDefinition()) },
        { "resource", Entry("POST", "Patient") },
        { "resource", Entry("POST", "Patient", new Observation()) },
        { "resource.id", Entry("PUT", "Patient/1", new Patient { Id = "2" }) },
        { "resource.id", Entry("PUT", "Patient/1", new Patient()) },
        { "resource", Entry("GET", "Patient/1", new Patient()) },
    };

    [Theory]
    [MemberData(nameof(BadEntries), DisableDiscoveryEnumeration = true)]
    public void Rejects_an_entry_at_the_element_that_is_wrong(string expression, Bundle.EntryComponent bad)
    {
        var (read, fault) = TransactionBundle.Read(Transaction(Entry("POST", "Patient", new Patient { Active = true }), bad));
        Assert.Null(read);
        Assert.Equal(FaultKind.Unprocessable, fault!.Kind);
        Assert.Equal([$"Bundle.entry[1].{expression}"], fault.Issues.Select(i => i.Expression));
    }

    [Fact]
    public void Rejects_two_entries_for_one_resource_or_one_full_url()
    {
        var (_, twice) = TransactionBundle.Read(Transaction(Entry("DELETE", "Observation/1"), Entry("PUT", "Observation/1", new Observation { Id = "1" })));
        Assert.Equal("Bundle.entry[1].request.url", twice!.Issues[0].Expression);
        var (_, same) = TransactionBundle.Read(Transaction(Entry("POST", "Patient", new Patient(), PatientUrn), Entry("POST", "Patient", new Patient(), PatientUrn)));
        Assert.Equal("Bundle.entry[1].fullUrl", same!.Issues[0].Expression);
        var (_, patched) = TransactionBundle.Read(Transaction(Entry("PATCH", "Observation/1", Patch()), Entry("DELETE", "Observation/1")));
        Assert.Equal("Bundle.entry[1].request.url", patched!.Issues[0].Expression);
    }

    [Fact]
    public void Rejects_two_entries_with_the_same_criteria()
    {
        var (_, updates) = TransactionBundle.Read(Transaction(Entry("PUT", "Patient?identifier=1", new Patient()), Entry("PATCH", "Patient?identifier=1", Patch())));
        Assert.Equal("Bundle.entry[1].request.url", updates!.Issues[0].Expression);
        Bundle.EntryComponent[] creations = [Entry("POST", "Patient", new Patient { Active = true }), Entry("POST", "Patient", new Patient { Active = false })];
        foreach (var creation in creations)
            creation.Request!.IfNoneExist = "identifier=1";
        var (_, twins) = TransactionBundle.Read(Transaction(creations));
        Assert.Equal("Bundle.entry[1].request.ifNoneExist", twins!.Issues[0].Expression);
    }

    [Theory]
    [InlineData($"<a href=\"{PatientUrn}\">a</a>", "<a href=\"Patient/P\">a</a>")]
    [InlineData($"<img alt='x' src = '{PatientUrn}'/>", "<img alt='x' src = 'Patient/P'/>")]
    [InlineData($"<a href=\"{PatientUrn}#part\">a</a>", "<a href=\"Patient/P#part\">a</a>")]
    [InlineData("<a href=\"https://clinic.example/x?a=1&amp;b=2\">a</a>", "<a href=\"Binary/B\">a</a>")]
    [InlineData("<a href=\"#part\" title=\"urn:uuid:11111111-1111-4111-8111-111111111111\">a</a>", "<a href=\"#part\" title=\"urn:uuid:11111111-1111-4111-8111-111111111111\">a</a>")]
    public void Links_in_a_narrative_lead_to_what_is_stored(string sent, string stored)
    {
        var patient = new Patient { Text = new() { Div = $"<div xmlns=\"http://www.w3.org/1999/xhtml\">{sent}</div>" } };
        Assert.Null(TransactionBundle.Rewrite(Read(Transaction(Entry("POST", "Patient", patient))).Operations,
            new Dictionary<string, string> { [PatientUrn] = "Patient/P", ["https://clinic.example/x?a=1&b=2"] = "Binary/B" }));
        Assert.Equal($"<div xmlns=\"http://www.w3.org/1999/xhtml\">{stored}</div>", patient.Text.Div);
    }

    [Theory]
    [InlineData("urn:oid:1.2.246.10.1")]
    [InlineData("urn:uuid:11111111-1111-4111-8111-111111111111")]
    [InlineData("https://clinic.example/fhir/Binary/1")]
    public void Every_form_of_full_url_can_be_referred_to_from_references_urls_and_uris_but_not_from_canonicals(string fullUrl)
    {
        var document = new DocumentReference
        {
            Subject = new(fullUrl),
            Content = [new() { Attachment = new() { Url = fullUrl } }, new() { Attachment = new() { Url = fullUrl + "#page" } }],
            Extension = [new("http://example.org/u", new FhirUri(fullUrl)), new("http://example.org/c", new Canonical(fullUrl))],
        };
        Assert.Null(TransactionBundle.Rewrite(Read(Transaction(Entry("POST", "DocumentReference", document))).Operations, new Dictionary<string, string> { [fullUrl] = "Binary/B" }));
        Assert.Equal<string?[]>(["Binary/B", "Binary/B", "Binary/B#page", "Binary/B", fullUrl],
            [document.Subject.Reference, document.Content[0].Attachment.Url, document.Content[1].Attachment.Url,
                ((FhirUri)document.Extension[0].Value!).Value, ((Canonical)document.Extension[1].Value!).Value]);
    }

    [Theory]
    [InlineData(Bundle.BundleType.Collection)]
    [InlineData(Bundle.BundleType.Searchset)]
    [InlineData(Bundle.BundleType.Document)]
    public void Rejects_a_bundle_that_is_no_request(Bundle.BundleType type)
    {
        var (_, fault) = TransactionBundle.Read(new Bundle { Type = type });
        Assert.Equal("Bundle.type", fault!.Issues[0].Expression);
    }

    [Fact]
    public void A_batch_is_told_from_a_transaction()
    {
        Assert.True(TransactionBundle.Read(new Bundle { Type = Bundle.BundleType.Batch }).Bundle!.IsBatch);
        Assert.False(Read(Transaction()).IsBatch);
    }

    private static Parameters Patch() => new()
    {
        Parameter = [new() { Name = "operation", Part = [new() { Name = "type", Value = new Code("delete") }, new() { Name = "path", Value = new FhirString("Patient.active") }] }],
    };

    private static TransactionBundle Read(Bundle bundle)
    {
        var (read, fault) = TransactionBundle.Read(bundle);
        Assert.Null(fault);
        return read!;
    }

    private static Bundle Transaction(params Bundle.EntryComponent[] entries) => new() { Type = Bundle.BundleType.Transaction, Entry = [.. entries] };

    private static Bundle.EntryComponent Entry(string method, string url, Resource? resource = null, string? fullUrl = null) => new()
    {
        FullUrl = fullUrl,
        Resource = resource,
        Request = new() { Method = Enum.Parse<Bundle.HTTPVerb>(method), Url = url },
    };
}
