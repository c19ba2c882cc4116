using System.Text;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Profiles;

public class ResourceParserTests
{
    public static TheoryData<string> BadResources
    {
        get
        {
            var data = new TheoryData<string>();
            foreach (var vector in Sample.Vectors("bad-resources.json").GetProperty("resources").EnumerateArray())
                data.Add(vector.GetProperty("why").GetString()!);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(BadResources))]
    public void Rejects_with_the_element_at_fault(string why)
    {
        var vector = Sample.Vectors("bad-resources.json").GetProperty("resources").EnumerateArray().Single(v => v.GetProperty("why").GetString() == why);
        var result = ResourceParser.Parse(Encoding.UTF8.GetBytes(vector.GetProperty("body").GetString()!));
        Assert.Null(result.Resource);
        Assert.Equal(vector.GetProperty("kind").GetString(), result.Fault!.Kind.ToString());
        var expression = vector.GetProperty("expression").GetString();
        var code = vector.GetProperty("code").GetString();
        Assert.True(result.Fault.Issues.Any(i => i.Expression == expression && i.Code == code),
            string.Join("; ", result.Fault.Issues.Select(i => $"{i.Expression} {i.Code} {i.Diagnostics}")));
    }

    [Fact]
    public void No_answer_repeats_a_value_of_the_body()
    {
        const string Secret = "Kissanpentu";
        string[] bodies =
        [
            """{"resourceType":"Observation","status":"Kissanpentu","code":{"text":"a"}}""",
            """{"resourceType":"Patient","birthDate":"Kissanpentu"}""",
            """{"resourceType":"Patient","active":"Kissanpentu"}""",
            """{"resourceType":"Patient","id":"Kissanpentu Kissanpentu"}""",
            """{"resourceType":"Patient","text":{"status":"generated","div":"<Kissanpentu/>"}}""",
            """{"resourceType":"Patient","photo":[{"data":"Kissanpentu!"}]}""",
            """{"resourceType":"Patient","identifier":[{"system":"urn:oid:1.2.246.21","value":"Kissanpentu"}]}""",
            """{"resourceType":"Patient","multipleBirthInteger":"Kissanpentu"}""",
            """{"resourceType":"Observation","Kissanpentu Kissanpentu":1}""",
            """{"resourceType":"Observation Kissanpentu"}""",
            """{"resourceType":"Patient","name":[{"family":"Kissanpentu]}""",
        ];
        foreach (var body in bodies)
        {
            var fault = ResourceParser.Parse(Encoding.UTF8.GetBytes(body)).Fault;
            Assert.NotNull(fault);
            Assert.DoesNotContain(Secret, Encoding.UTF8.GetString(FaultTable.ToOperationOutcome(fault, "c", OutcomeLanguage.English)));
        }
    }

    [Fact]
    public void Accepts_nesting_that_FHIR_can_have_and_rejects_what_only_an_attacker_sends()
    {
        Assert.Null(ResourceParser.Parse(Nested(12)).Fault);
        foreach (var depth in new[] { 40, 100, 10_000, 1_000_000 })
        {
            var fault = ResourceParser.Parse(Nested(depth)).Fault;
            Assert.Equal(FaultKind.Invalid, fault!.Kind);
            Assert.Contains("deeper", fault.Issues[0].Diagnostics);
            Assert.StartsWith("Patient.extension[0].extension[0]", fault.Issues[0].Expression);
        }
    }

    [Theory]
    [InlineData(60, false, true)]
    [InlineData(64, false, false)]
    [InlineData(100_000, false, false)] // a megabyte that took the schema validator two minutes
    [InlineData(100_000, true, false)]
    public void Narratives_are_nested_as_deeply_as_people_write_them(int depth, bool isCutOff, bool accepted)
    {
        var inside = string.Concat(Enumerable.Repeat("<div><!-- </div> -->", depth)) + "a" + (isCutOff ? "" : string.Concat(Enumerable.Repeat("</div>", depth)));
        var fault = ResourceParser.Parse(Encoding.UTF8.GetBytes(
            "{\"resourceType\":\"Patient\",\"text\":{\"status\":\"generated\",\"div\":\"<div xmlns='http://www.w3.org/1999/xhtml'>" + inside + "</div>\"}}")).Fault;
        Assert.Equal(accepted, fault is null);
        if (fault is not null)
            Assert.Equal(("Patient.text.div", "too-long"), (fault.Issues[0].Expression, fault.Issues[0].Code));
    }

    [Fact]
    public void Names_at_most_fifty_faults()
    {
        var body = $$"""{"resourceType":"Patient",{{string.Join(',', Enumerable.Range(0, 500).Select(i => $"\"x{i}\":1"))}}}""";
        Assert.Equal(ResourceParser.MaxIssues, ResourceParser.Parse(Encoding.UTF8.GetBytes(body)).Fault!.Issues.Count);
    }

    [Fact]
    public void Bytes_that_are_no_UTF8_are_refused()
    {
        byte[] body = [.. """{"resourceType":"Patient","name":[{"family":"a"""u8, 0xFF, 0xFE, .. "\"}]}"u8];
        var fault = ResourceParser.Parse(body).Fault;
        Assert.Equal(FaultKind.Invalid, fault!.Kind);
        Assert.Equal("Patient.name[0].family", fault.Issues[0].Expression);
    }

    [Fact]
    public void An_identity_code_elsewhere_than_under_its_system_is_not_judged() =>
        Sample.Parse<Patient>("""{"resourceType":"Patient","identifier":[{"system":"urn:oid:1.2.246.10.1.22","value":"010190-999Y"}]}""");

    [Fact]
    public void What_is_written_is_read_back_equal_and_keeps_decimals_and_letters()
    {
        const string Body = """
            {"resourceType":"Observation","id":"a","status":"final","code":{"text":"Äyräpää <5 & \"x\""},
             "effectiveDateTime":"2030-05","_effectiveDateTime":{"id":"e"},
             "valueQuantity":{"value":1.50,"unit":"µg"},"component":[{"code":{"text":"c"},"valueQuantity":{"value":1E-7}}]}
            """;
        var written = ResourceParser.Serialize(Sample.Parse<Observation>(Body));
        var text = Encoding.UTF8.GetString(written);
        Assert.Contains("Äyräpää", text);
        Assert.Contains("1.50", text);
        Assert.DoesNotContain("\n", text);
        Assert.True(JsonElement.DeepEquals(JsonDocument.Parse(Body).RootElement, JsonDocument.Parse(written).RootElement), text);
        Assert.Equal(written, ResourceParser.Serialize(Sample.Parse<Observation>(text)));
    }

    [Fact]
    public void Every_Synthea_bundle_is_accepted_once_its_patient_has_an_identity_code()
    {
        var files = Sample.SharedFiles("synthea");
        for (var n = 0; n < files.Count; n++)
        {
            var bundle = Sample.Parse<Bundle>(File.ReadAllText(files[n]));
            var patient = Assert.Single(bundle.Entry.Select(e => e.Resource).OfType<Patient>());
            patient.Identifier.Add(new Identifier(PersonalIdentityCode.System, Sample.IdentityCode(n)));
            var written = ResourceParser.Serialize(bundle);
            var (transaction, fault) = TransactionBundle.Read(Sample.Parse<Bundle>(Encoding.UTF8.GetString(written)));
            Assert.Null(fault);
            Assert.Equal(bundle.Entry.Count, transaction!.Operations.Count);
        }
    }

    [Fact]
    public void Every_Finnish_base_example_is_accepted_unchanged_or_refused_with_an_existing_element()
    {
        foreach (var file in Sample.SharedFiles("fi-base"))
        {
            var body = File.ReadAllBytes(file);
            var (resource, fault) = ResourceParser.Parse(body);
            if (fault is null)
            {
                Assert.True(SameJson(body, ResourceParser.Serialize(resource!)), file);
                continue;
            }
            Assert.Equal(FaultKind.Unprocessable, fault.Kind);
            Assert.All(fault.Issues, i => Assert.True(Exists(JsonDocument.Parse(body).RootElement, i.Expression!), $"{file}: {i.Expression}"));
        }
    }

    private static byte[] Nested(int levels)
    {
        var text = new StringBuilder("""{"resourceType":"Patient","extension":[{"url":"u",""");
        for (var i = 1; i < levels; i++)
            text.Append("\"extension\":[{\"url\":\"u\",");
        text.Append("\"valueString\":\"x\"}");
        for (var i = 1; i < levels; i++)
            text.Append("]}");
        return Encoding.UTF8.GetBytes(text.Append("]}").ToString());
    }

    private static bool SameJson(byte[] one, byte[] other) =>
        JsonElement.DeepEquals(JsonDocument.Parse(one).RootElement, JsonDocument.Parse(other).RootElement);

    /// <summary>Follows a FHIRPath of names and indices through JSON, where a choice element has its type appended.</summary>
    private static bool Exists(JsonElement json, string expression)
    {
        foreach (var step in expression.Split('.').Skip(1))
        {
            var name = step.Split('[')[0];
            var member = json.EnumerateObject().Where(p => p.Name == name || (p.Name.StartsWith(name, StringComparison.Ordinal) && char.IsUpper(p.Name[name.Length]))).ToList();
            if (member.Count == 0)
                return false;
            json = member[0].Value;
            if (step.EndsWith(']'))
                json = json[int.Parse(step.Split('[')[1].TrimEnd(']'))];
        }
        return true;
    }
}
