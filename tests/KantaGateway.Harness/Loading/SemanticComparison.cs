using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace KantaGateway.Harness.Loading;

/// <summary>
/// Whether two FHIR JSON resources say the same: order of members does not count, order of elements and the precision
/// of decimals do. Differences name places, never values.
/// </summary>
public static class SemanticComparison
{
    // What the server decides itself.
    private static readonly string[] ServerMeta = ["versionId", "lastUpdated"];

    /// <param name="sent">With references as they must have been rewritten.</param>
    /// <returns>Empty when equal, else places such as <c>Observation.value.unit is missing</c>.</returns>
    public static IReadOnlyList<string> Differences(JsonObject sent, JsonObject stored)
    {
        var differences = new List<string>();
        Compare((string?)sent["resourceType"] ?? "?", Comparable(sent), Comparable(stored), differences);
        return differences;
    }

    private static JsonObject Comparable(JsonObject resource)
    {
        var copy = resource.DeepClone().AsObject();
        copy.Remove("id");
        if (copy["meta"] is JsonObject meta)
        {
            foreach (var member in ServerMeta)
                meta.Remove(member);
            if (meta.Count == 0)
                copy.Remove("meta");
        }
        return copy;
    }

    private static void Compare(string path, JsonNode? sent, JsonNode? stored, List<string> differences)
    {
        switch (sent, stored)
        {
            case (null, null):
                break;
            case (JsonObject a, JsonObject b):
                foreach (var name in a.Select(m => m.Key).Union(b.Select(m => m.Key)))
                {
                    if (!a.ContainsKey(name))
                        differences.Add($"{path}.{name} is added");
                    else if (!b.ContainsKey(name))
                        differences.Add($"{path}.{name} is missing");
                    else
                        Compare($"{path}.{name}", a[name], b[name], differences);
                }
                break;
            case (JsonArray a, JsonArray b) when a.Count == b.Count:
                for (var i = 0; i < a.Count; i++)
                    Compare($"{path}[{i}]", a[i], b[i], differences);
                break;
            case (JsonArray a, JsonArray b):
                differences.Add($"{path} has {b.Count} elements, not {a.Count}");
                break;
            case (JsonValue a, JsonValue b) when Equal(a, b):
                break;
            default:
                differences.Add($"{path} differs");
                break;
        }
    }

    private static bool Equal(JsonValue a, JsonValue b)
    {
        if (a.GetValueKind() != b.GetValueKind())
            return false;
        if (a.GetValueKind() != JsonValueKind.Number)
            return JsonNode.DeepEquals(a, b);
        var (x, y) = (a.ToJsonString(), b.ToJsonString());
        // 1.0 and 1.00 are different measurements (hl7.org/fhir/R4/datatypes.html#decimal), 1E2 and 100 are not.
        return x == y || decimal.TryParse(x, NumberStyles.Float, CultureInfo.InvariantCulture, out var m)
            && decimal.TryParse(y, NumberStyles.Float, CultureInfo.InvariantCulture, out var n) && m == n && m.Scale == n.Scale;
    }
}
