using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Patching;

/// <summary>
/// hl7.org/fhir/R4/fhirpatch.html as <c>Vectors/fhirpath-patch.json</c> has it, on a Patient: no <c>expect</c> means that
/// the patch is refused. The cases are those of HL7's own test set and of what it leaves open.
/// </summary>
public class FhirPathPatchTests
{
    public static TheoryData<string> Rules => [.. Sample.Vectors("fhirpath-patch.json").EnumerateArray().Select(v => v.GetProperty("rule").GetString()!)];

    [Theory]
    [MemberData(nameof(Rules))]
    public void Does_what_the_standard_says(string rule)
    {
        var vector = Sample.Vectors("fhirpath-patch.json").EnumerateArray().Single(v => v.GetProperty("rule").GetString() == rule);
        var before = Patient(vector.GetProperty("before"));
        var result = Apply(before, [.. vector.GetProperty("patch").EnumerateArray()]);
        if (vector.TryGetProperty("expect", out var expected))
        {
            Assert.True(result.Fault is null, result.Fault?.Issues[0].ToString());
            Assert.Equal(Canonical(Patient(expected)), Encoding.UTF8.GetString(ResourceParser.Serialize(result.Resource!)));
        }
        else
            Assert.NotNull(result.Fault);
    }

    [Fact]
    public void A_fault_names_the_operation_at_fault()
    {
        using var vector = JsonDocument.Parse("""[{"type":"delete","path":"Patient.active"},{"type":"replace","path":"Patient.gender","value":{"valueCode":"male"}}]""");
        Assert.Equal("Parameters.parameter[1]", Apply("""{"resourceType":"Patient","id":"p1","active":true}""", [.. vector.RootElement.EnumerateArray()]).Fault!.Issues[0].Expression);
    }

    [Theory]
    [InlineData(200, true)]
    [InlineData(2_000, false)]
    public void A_path_has_a_length_that_is_read(int length, bool isRead)
    {
        var path = "Patient.name.where(text = '" + new string('x', length) + "').text";
        var (patch, fault) = Read(new JsonArray(new JsonObject { ["name"] = "type", ["valueCode"] = "delete" }, new JsonObject { ["name"] = "path", ["valueString"] = path }));
        Assert.Equal(isRead, patch is not null);
        Assert.Equal(isRead, fault is null);
    }

    [Fact]
    public void Deep_nesting_of_a_path_is_refused_before_it_is_parsed()
    {
        var path = new string('(', 400) + "Patient" + new string(')', 400);
        Assert.Equal(FaultKind.Invalid, Read(new JsonArray(new JsonObject { ["name"] = "type", ["valueCode"] = "delete" }, new JsonObject { ["name"] = "path", ["valueString"] = path })).Fault!.Kind);
    }

    /// <summary>A thousand operations, each over a thousand elements, are done or refused, and soon.</summary>
    [Fact(Timeout = 30_000)]
    public async Task Much_work_ends_at_a_bound()
    {
        var names = new JsonArray([.. Enumerable.Range(0, 1_000).Select(i => (JsonNode)new JsonObject { ["text"] = "n" + i })]);
        var patient = new JsonObject { ["resourceType"] = "Patient", ["id"] = "p1", ["name"] = names };
        using var operation = JsonDocument.Parse("""{"type":"replace","path":"Patient.name.where(text.startsWith('n') and text.contains('n') and text = 'n999').text","value":{"valueString":"n999"}}""");
        var result = await Task.Run(() => Apply(patient.ToJsonString(), [.. Enumerable.Repeat(operation.RootElement, ResourcePatch.MaxOperations)]));
        Assert.True(result.Resource is not null || result.Fault!.Issues[0].Code == "too-costly");
    }

    private static string Patient(JsonElement elements)
    {
        var patient = new JsonObject { ["resourceType"] = "Patient", ["id"] = "p1" };
        foreach (var element in elements.EnumerateObject())
            patient[element.Name] = JsonNode.Parse(element.Value.GetRawText());
        return patient.ToJsonString();
    }

    private static string Canonical(string resource) => Encoding.UTF8.GetString(ResourceParser.Serialize(ResourceParser.Parse(Encoding.UTF8.GetBytes(resource)).Resource!));

    private static ParseResult Apply(string resource, params JsonElement[] operations)
    {
        var (patch, fault) = Read([.. operations.Select(Parts)]);
        return patch is null ? new(null, fault) : patch.Apply(Encoding.UTF8.GetBytes(resource));
    }

    private static JsonArray Parts(JsonElement operation)
    {
        var parts = new JsonArray();
        foreach (var given in operation.EnumerateObject())
        {
            var part = given.Name switch
            {
                "value" => JsonNode.Parse(given.Value.GetRawText())!.AsObject(),
                "type" => new JsonObject { ["valueCode"] = given.Value.GetString() },
                "index" or "source" or "destination" => new JsonObject { ["valueInteger"] = given.Value.GetInt32() },
                _ => new JsonObject { ["valueString"] = given.Value.GetString() },
            };
            part["name"] = given.Name;
            parts.Add((JsonNode)part);
        }
        return parts;
    }

    private static (ResourcePatch? Patch, Fault? Fault) Read(params JsonArray[] operations)
    {
        var parameters = new JsonObject
        {
            ["resourceType"] = "Parameters",
            ["parameter"] = new JsonArray([.. operations.Select(parts => (JsonNode)new JsonObject { ["name"] = "operation", ["part"] = parts })]),
        };
        return ResourcePatch.Read(Encoding.UTF8.GetBytes(parameters.ToJsonString()), "application/fhir+json");
    }
}
