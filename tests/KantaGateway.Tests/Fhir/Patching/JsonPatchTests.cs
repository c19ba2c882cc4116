using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;

namespace KantaGateway.Tests.Fhir.Patching;

/// <summary>RFC 6902 and RFC 6901 as <c>Vectors/json-patch.json</c> has them: no <c>expect</c> means that the patch is refused.</summary>
public class JsonPatchTests
{
    private const string Patient = """{"resourceType":"Patient","id":"p1","name":[{"family":"Koivu","given":["Testi"]}],"birthDate":"1990-01-01"}""";

    public static TheoryData<string> Rules => [.. Sample.Vectors("json-patch.json").EnumerateArray().Select(v => v.GetProperty("rule").GetString()!)];

    [Theory]
    [MemberData(nameof(Rules))]
    public void Does_what_the_standard_says(string rule)
    {
        var vector = Sample.Vectors("json-patch.json").EnumerateArray().Single(v => v.GetProperty("rule").GetString() == rule);
        var text = vector.TryGetProperty("text", out var written) ? written.GetString()! : vector.GetProperty("patch").GetRawText();
        var (patch, fault) = JsonPatch.Read(Encoding.UTF8.GetBytes(text));
        var document = JsonNode.Parse(vector.GetProperty("doc").GetRawText());
        if (!vector.TryGetProperty("expect", out var expected))
        {
            Assert.NotNull(patch is null ? fault : Assert.Throws<FaultException>(() => patch.Change(document)).Fault);
            return;
        }
        Assert.Null(fault);
        var changed = patch!.Change(document);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected.GetRawText()), changed), changed?.ToJsonString() ?? "null");
    }

    [Fact]
    public void A_number_keeps_its_digits()
    {
        var patched = Apply("""{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}""",
            """[{"op":"replace","path":"/status","value":"amended"}]""");
        Assert.Contains("1.50", Encoding.UTF8.GetString(KantaGateway.Fhir.Profiles.ResourceParser.Serialize(patched.Resource!)), StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_removal_leaves_empty_goes_with_it()
    {
        var patched = Apply(Patient, """[{"op":"remove","path":"/name/0/given/0"},{"op":"remove","path":"/name/0/family"}]""");
        Assert.Empty(((Hl7.Fhir.Model.Patient)patched.Resource!).Name);
    }

    [Theory]
    [InlineData("""[{"op":"replace","path":"/id","value":"p2"}]""")]
    [InlineData("""[{"op":"remove","path":"/id"}]""")]
    [InlineData("""[{"op":"replace","path":"","value":{"resourceType":"Observation","id":"p1","status":"final","code":{"text":"x"}}}]""")]
    [InlineData("""[{"op":"replace","path":"","value":null}]""")]
    [InlineData("""[{"op":"remove","path":""}]""")]
    [InlineData("""[{"op":"replace","path":"/resourceType","value":"Person"}]""")]
    [InlineData("""[{"op":"add","path":"/nonsense","value":1}]""")]
    [InlineData("""[{"op":"replace","path":"/birthDate","value":"yesterday"}]""")]
    [InlineData("""[{"op":"add","path":"/text","value":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>"}}]""")]
    [InlineData("""[{"op":"add","path":"/identifier","value":[{"system":"urn:oid:1.2.246.21","value":"010190-900X"}]}]""")]
    [InlineData("""[{"op":"add","path":"/language","value":"\ud800"}]""")]
    [InlineData("""[{"op":"add","path":"/language","value":"fi","\ud800":1}]""")]
    public void What_comes_out_is_a_valid_resource_with_the_id_that_it_had(string patch) => Assert.NotNull(Apply(Patient, patch).Fault);

    [Fact]
    public void A_failed_test_is_told_as_a_conflict_without_what_is_there()
    {
        var issue = Assert.Single(Apply(Patient, """[{"op":"test","path":"/birthDate","value":"1990-01-02"}]""").Fault!.Issues);
        Assert.Equal("conflict", issue.Code);
        Assert.DoesNotContain("1990", issue.Diagnostics, StringComparison.Ordinal);
    }

    [Fact]
    public void Copies_of_copies_end_at_a_bound()
    {
        var doubling = new JsonArray([.. Enumerable.Range(0, 60).Select(_ => (JsonNode)new JsonObject { ["op"] = "copy", ["from"] = "/name", ["path"] = "/name/-" })]);
        Assert.Equal(FaultKind.Unprocessable, Apply(Patient, doubling.ToJsonString()).Fault!.Kind);
        var wide = new JsonArray([.. Enumerable.Range(0, 60).Select(i => (JsonNode)new JsonObject { ["op"] = "copy", ["from"] = "", ["path"] = "/name/0/extension" })]);
        Assert.Equal(FaultKind.Unprocessable, Apply(Patient, wide.ToJsonString()).Fault!.Kind);
        var many = new JsonArray([.. Enumerable.Range(0, ResourcePatch.MaxOperations + 1).Select(_ => (JsonNode)new JsonObject { ["op"] = "test", ["path"] = "/id", ["value"] = "p1" })]);
        Assert.Equal("too-costly", ResourcePatch.Read(Encoding.UTF8.GetBytes(many.ToJsonString()), ResourcePatch.JsonPatchType).Fault!.Issues[0].Code);
    }

    /// <summary>Whatever operations are strung together: a valid resource of the same id comes out, or a refusal; no other end.</summary>
    [Fact]
    public void Any_operations_end_in_a_resource_or_a_refusal()
    {
        var steps = Sample.OneOf("name", "given", "family", "0", "1", "-", "", "~1", "birthDate", "id", "extension", "url");
        var paths = steps.Array[0, 4].Select(s => string.Concat(s.Select(p => "/" + p)));
        var values = Sample.OneOf("null", "\"x\"", "[]", "{}", "[null]", "{\"family\":\"y\"}", "1e400", "\"1990\"", "[{\"url\":\"http://example.org\",\"valueString\":\"z\"}]");
        Gen.Select(Sample.OneOf("add", "remove", "replace", "move", "copy", "test"), paths, paths, values)
            .Select((op, path, from, value) => $$"""{"op":"{{op}}","path":"{{path}}","from":"{{from}}","value":{{value}}}""")
            .Array[1, 6].Sample(operations =>
            {
                var result = Apply(Patient, $"[{string.Join(',', operations)}]");
                return result.Resource is { Id: "p1", TypeName: "Patient" } != (result.Fault is not null);
            }, iter: 3_000);
    }

    private static KantaGateway.Fhir.Profiles.ParseResult Apply(string resource, string patch)
    {
        var (read, fault) = ResourcePatch.Read(Encoding.UTF8.GetBytes(patch), "application/json-patch+json; charset=utf-8");
        return read is null ? new(null, fault) : read.Apply(Encoding.UTF8.GetBytes(resource));
    }
}
