using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Tests.Fhir.Validation;

/// <summary>HL7 Finland's own examples of its profiles are accepted, and one change away from them is refused where it was made.</summary>
public sealed class FinnishExamplesTests
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Vectors", "finnish-base");

    public static TheoryData<string> Examples => [.. Directory.GetFiles(Folder, "*.json").Select(f => Path.GetFileName(f)).Where(f => f != "spoilings.json").Order(StringComparer.Ordinal)];

    public static TheoryData<string, string, string?, string> Spoilings
    {
        get
        {
            var data = new TheoryData<string, string, string?, string>();
            foreach (var row in Sample.Vectors("finnish-base/spoilings.json").EnumerateArray())
                data.Add(row.GetProperty("example").GetString()!, row.GetProperty("at").GetString()!, row.TryGetProperty("to", out var to) ? to.GetRawText() : null, row.GetProperty("expression").GetString()!);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Examples))]
    public void An_example_is_accepted(string example)
    {
        var json = File.ReadAllText(Path.Combine(Folder, example));
        Assert.Contains("https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/", json, StringComparison.Ordinal);
        Assert.Empty(Issues(json));
    }

    /// <param name="at">JSON pointer of what is changed or, one after the last, added.</param>
    /// <param name="to">The new value; null: it is removed.</param>
    [Theory]
    [MemberData(nameof(Spoilings))]
    public void One_change_away_it_is_refused_at_its_place(string example, string at, string? to, string expression)
    {
        var resource = JsonNode.Parse(File.ReadAllText(Path.Combine(Folder, example)))!;
        Change(resource, at.Split('/')[1..], to is null ? null : JsonNode.Parse(to));
        var issues = Issues(resource.ToJsonString());
        Assert.True(issues.Exists(i => i.Severity == FaultSeverity.Error && i.Expression == expression), string.Join("; ", issues));
        Assert.All(issues, issue => Assert.NotNull(issue.Code));
        Assert.All(issues, issue => Assert.Equal(3, Enum.GetValues<OutcomeLanguage>().Select(l => OutcomeTexts.Of(FaultKind.Unprocessable, issue, l)).Distinct().Count()));
    }

    private static void Change(JsonNode node, ReadOnlySpan<string> way, JsonNode? to)
    {
        if (way.Length > 1)
        {
            Change((node is JsonArray list ? list[Index(way[0])] : node[way[0]])!, way[1..], to);
            return;
        }
        switch (node)
        {
            case JsonArray items when to is null:
                items.RemoveAt(Index(way[0]));
                break;
            case JsonArray items when Index(way[0]) == items.Count:
                items.Add(to);
                break;
            case JsonArray items:
                items[Index(way[0])] = to;
                break;
            case JsonObject members when to is null:
                Assert.True(members.Remove(way[0]));
                break;
            default:
                node[way[0]] = to;
                break;
        }
    }

    private static int Index(string step) => int.Parse(step, CultureInfo.InvariantCulture);

    private static List<FaultIssue> Issues(string json)
    {
        var (resource, fault) = ResourceParser.Parse(Encoding.UTF8.GetBytes(json));
        if (resource is null)
            return [.. fault!.Issues];
        var issues = new List<FaultIssue>();
        ResourceValidator.Check(resource, UnknownProfiles.Refuse, issues);
        return issues;
    }
}
