using System.Text;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Tests.Fhir.Formats;

/// <summary>What a presentation makes of canonical JSON.</summary>
public sealed class PresentationTests
{
    private const string Observation = """
        {"resourceType":"Observation","id":"o","meta":{"versionId":"v"},"implicitRules":"urn:x","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &amp; b</p></div>"},
        "contained":[{"resourceType":"Patient","id":"p","active":true}],"modifierExtension":[{"url":"urn:m","valueBoolean":true}],"status":"final","code":{"text":"x"},
        "subject":{"reference":"Patient/1"},"valueQuantity":{"value":1.50,"unit":"mg"},"note":[{"text":"line\r\nbreak\tä"}]}
        """;

    public static TheoryData<string> Types => [.. ResourceTypes.Served];

    [Fact]
    public void The_canonical_presentation_gives_back_the_same_memory()
    {
        ReadOnlyMemory<byte> json = Bytes(Observation);
        Assert.True(json.Equals(Presentation.Canonical.Apply(json)));
        Assert.True(json.Equals(Presentation.Decode(null).Apply(json)));
        Assert.True(json.Equals(new Presentation(Summary: SummaryMode.Count).Apply(json)));
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void XML_of_every_type_reads_back_as_the_same_JSON(string type)
    {
        var json = MinimalResources.Of(type, "p", Sample.IdentityCode()).ToJsonString();
        Assert.Equal(json, RoundTrip(json));
    }

    [Fact]
    public void XML_loses_neither_digits_nor_line_ends_nor_narrative()
    {
        var json = JsonNode.Parse(Observation)!.ToJsonString();
        Assert.Equal(json, RoundTrip(json));
        Assert.Equal(json, JsonNode.Parse(RoundTrip(json, pretty: true))!.ToJsonString());
    }

    [Theory]
    [InlineData("\\uFFFF")]
    [InlineData("\uFFFE")]
    public void What_XML_cannot_carry_is_not_taken_as_JSON_either(string character)
    {
        var (_, fault) = KantaGateway.Fhir.Profiles.ResourceParser.Parse(Bytes($"{{\"resourceType\":\"Patient\",\"language\":\"{character}\"}}"));
        Assert.Equal("Patient.language", fault!.Issues[0].Expression);
        Assert.Contains("no character", fault.Issues[0].Diagnostics, StringComparison.Ordinal);
    }

    [Fact]
    public void Pretty_JSON_is_indented_and_otherwise_the_same()
    {
        var pretty = Text(new Presentation(Pretty: true), Observation);
        Assert.Contains("\n  \"id\": \"o\"", pretty, StringComparison.Ordinal);
        Assert.Contains("1.50", pretty, StringComparison.Ordinal);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(Observation), JsonNode.Parse(pretty)));
    }

    [Theory]
    [InlineData(SummaryMode.True, "code id implicitRules meta modifierExtension resourceType status subject valueQuantity")]
    [InlineData(SummaryMode.Text, "code id implicitRules meta modifierExtension resourceType status text")]
    [InlineData(SummaryMode.Data, "code contained id implicitRules meta modifierExtension note resourceType status subject valueQuantity")]
    public void A_summary_keeps_its_elements_and_the_mandatory_ones_and_says_so(SummaryMode mode, string elements)
    {
        var summary = Shown(new Presentation(Summary: mode), Observation);
        Assert.Equal(elements, Names(summary));
        Assert.True(IsSubsetted(summary));
    }

    [Fact]
    public void A_summary_leaves_out_what_is_none_inside_an_element_too()
    {
        var document = Shown(new Presentation(Summary: SummaryMode.True),
            """{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"text/plain","data":"aGVp","url":"urn:x"},"format":{"code":"f"}}]}""");
        Assert.Equal("""[{"attachment":{"contentType":"text/plain","url":"urn:x"},"format":{"code":"f"}}]""", document["content"]!.ToJsonString());
    }

    [Fact]
    public void Elements_keep_what_is_named_and_the_mandatory_ones_and_say_so()
    {
        var shown = Shown(new Presentation { Elements = ["value", "Patient.name"] }, Observation);
        Assert.Equal("code id implicitRules meta modifierExtension resourceType status valueQuantity", Names(shown));
        Assert.True(IsSubsetted(shown));
    }

    [Fact]
    public void Names_without_a_type_cut_the_matches_of_a_search_and_names_with_one_what_comes_along()
    {
        const string Bundle = """
            {"resourceType":"Bundle","type":"searchset","total":1,"link":[{"relation":"self","url":"urn:x"}],"entry":[
            {"fullUrl":"urn:a","resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},"note":[{"text":"n"}]},"search":{"mode":"match"}},
            {"fullUrl":"urn:b","resource":{"resourceType":"Patient","active":true,"birthDate":"2000-01-01"},"search":{"mode":"include"}},
            {"fullUrl":"urn:c","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"invalid","diagnostics":"d"}]},"search":{"mode":"outcome"}}]}
            """;

        var plain = Shown(new Presentation { Elements = ["status"] }, Bundle);
        Assert.Equal("code meta resourceType status", Names(Entry(plain, 0)));
        Assert.Equal("active birthDate resourceType", Names(Entry(plain, 1)));
        Assert.Equal(1, plain["total"]!.GetValue<int>());

        var typed = Shown(new Presentation { Elements = ["Patient.active"] }, Bundle);
        Assert.Equal("code note resourceType status", Names(Entry(typed, 0)));
        Assert.Equal("active meta resourceType", Names(Entry(typed, 1)));

        var summary = Shown(new Presentation(Summary: SummaryMode.True), Bundle);
        Assert.True(IsSubsetted(Entry(summary, 1)));
        Assert.Equal("issue resourceType", Names(Entry(summary, 2)));
    }

    [Fact]
    public void A_summary_can_be_XML()
    {
        var xml = XDocument.Parse(Text(new Presentation(FhirFormat.Xml, Summary: SummaryMode.True), Observation));
        Assert.Equal("{http://hl7.org/fhir}Observation", xml.Root!.Name);
        Assert.Contains(xml.Descendants("{http://hl7.org/fhir}tag"), t => t.ToString().Contains("SUBSETTED", StringComparison.Ordinal));
        Assert.DoesNotContain(xml.Descendants(), e => e.Name.LocalName is "note" or "div");
    }

    [Fact]
    public void What_nests_as_deep_as_may_be_stored_can_be_presented_inside_a_transaction_response()
    {
        var deep = string.Concat(Enumerable.Repeat("""{"url":"u","extension":[""", 30)) + """{"url":"u","valueBoolean":true}""" + string.Concat(Enumerable.Repeat("]}", 30));
        var resource = $$$"""{"resourceType":"Observation","extension":[{{{deep}}}],"status":"final","code":{"text":"x"}}""";
        var inside = $$$"""{"resourceType":"Bundle","type":"transaction-response","entry":[{"resource":{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{{{resource}}}}]}}]}""";

        foreach (var presentation in new Presentation[] { new(FhirFormat.Xml), new(Pretty: true), new(Summary: SummaryMode.True) })
            Assert.False(presentation.Apply(Bytes(inside)).IsEmpty);
    }

    [Theory]
    [InlineData("_format=xml", null, "1;0;0;")]
    [InlineData("_format=application/fhir+xml&_pretty=true", null, "1;1;0;")]
    [InlineData("_format=application%2Ffhir%2Bxml%3B%20charset%3Dutf-8", null, "1;0;0;")]
    [InlineData("_format=text/xml&_summary=data", null, "1;0;3;")]
    [InlineData("_format=json&_pretty=false&_summary=false&code=x", null, "0;0;0;")]
    [InlineData("_elements=value[x],code&_elements=Patient.name", "Observation", "0;0;0;value,code,Patient.name")]
    [InlineData("_elements=birthDate", null, "0;0;0;birthDate")]
    public void The_parameters_are_read(string form, string? type, string expected)
    {
        var (presentation, fault) = PresentationParameters.Read(PresentationParameters.Parse(form), FhirFormat.Json, type, isSearch: false);
        Assert.Null(fault);
        Assert.Equal(expected, presentation!.Encode());
        Assert.Equal(expected, Presentation.Decode(expected).Encode());
    }

    [Theory]
    [InlineData("_format=html", null, FaultKind.NotAcceptable)]
    [InlineData("_format=text/turtle", null, FaultKind.NotAcceptable)]
    [InlineData("_format=json&_format=xml", null, FaultKind.Invalid)]
    [InlineData("_pretty=yes", null, FaultKind.Invalid)]
    [InlineData("_summary=all", null, FaultKind.Invalid)]
    [InlineData("_summary=count", "Observation", FaultKind.NotSupported)]
    [InlineData("_summary=text&_include=Observation:subject", "Observation", FaultKind.Invalid)]
    [InlineData("_summary=true&_elements=code", "Observation", FaultKind.Invalid)]
    [InlineData("_elements=birthDate", "Observation", FaultKind.Invalid)]
    [InlineData("_elements=Observation.birthDate", "Observation", FaultKind.Invalid)]
    [InlineData("_elements=code.coding.code", "Observation", FaultKind.Invalid)]
    [InlineData("_elements=nonsense", null, FaultKind.Invalid)]
    public void What_cannot_be_understood_is_refused(string form, string? type, FaultKind kind)
    {
        var (presentation, fault) = PresentationParameters.Read(PresentationParameters.Parse(form), FhirFormat.Json, type, isSearch: false);
        Assert.Null(presentation);
        Assert.Equal(kind, fault!.Kind);
    }

    private static string RoundTrip(string json, bool pretty = false)
    {
        var (back, fault) = XmlBody.ToJson(new Presentation(FhirFormat.Xml, pretty).Apply(Bytes(json)));
        Assert.True(fault is null, fault is null ? "" : string.Join("; ", fault.Issues));
        return JsonNode.Parse(back.Span)!.ToJsonString();
    }

    private static JsonObject Shown(Presentation presentation, string json) => JsonNode.Parse(Text(presentation, json))!.AsObject();

    private static string Text(Presentation presentation, string json) => Encoding.UTF8.GetString(presentation.Apply(Bytes(json)).Span);

    private static byte[] Bytes(string json) => Encoding.UTF8.GetBytes(json);

    private static string Names(JsonObject resource) => string.Join(' ', resource.Select(p => p.Key).Order(StringComparer.Ordinal));

    private static JsonObject Entry(JsonObject bundle, int index) => bundle["entry"]![index]!["resource"]!.AsObject();

    private static bool IsSubsetted(JsonObject resource) => resource["meta"]?["tag"]?.ToJsonString().Contains("\"SUBSETTED\"", StringComparison.Ordinal) == true;
}
