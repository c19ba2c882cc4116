using System.Text.Json;
using System.Text.RegularExpressions;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Operations.Telemetry;

/// <summary>Alert rules, dashboards and runbooks, as they lie in infra.</summary>
static partial class ObservabilityFiles
{
    public static string Folder { get; } = Path.Combine(Solution.Folder, "infra", "observability");

    public static string Rules { get; } = Path.Combine(Folder, "alerts.yml");

    public static IEnumerable<string> Dashboards() => Directory.EnumerateFiles(Path.Combine(Folder, "dashboards"), "*.json");

    public static IEnumerable<string> Runbooks() => Directory.EnumerateFiles(Path.Combine(Solution.Folder, "infra", "runbooks"), "*.md");

    /// <summary>Every PromQL expression of rules and dashboards.</summary>
    public static IEnumerable<string> Expressions() =>
        RuleExpression().Matches(File.ReadAllText(Rules)).Select(static match => match.Groups[1].Value + match.Groups[2].Value).Concat(Dashboards().SelectMany(static file =>
        {
            using var dashboard = JsonDocument.Parse(File.ReadAllBytes(file));
            return ExpressionsIn(dashboard.RootElement.Clone());
        }));

    /// <summary>Names of metrics in an expression.</summary>
    public static IEnumerable<string> MetricsOf(string expression) => Metric().Matches(Selectors().Replace(expression, " ")).Select(static match => match.Value);

    private static IEnumerable<string> ExpressionsIn(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(static one => one is { Name: "expr", Value.ValueKind: JsonValueKind.String } ? [one.Value.GetString()!] : ExpressionsIn(one.Value)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(ExpressionsIn),
        _ => [],
    };

    [GeneratedRegex(@"expr: (?:\|\n((?: {10,}.*\n)+)|(.+))")]
    private static partial Regex RuleExpression();

    [GeneratedRegex(@"\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring) *\([^)]*\)|""[^""]*""")]
    private static partial Regex Selectors();

    [GeneratedRegex(@"\b(up|(kanta|http|db|dotnet|kestrel|aspnetcore)_[a-z0-9_]+)\b")]
    private static partial Regex Metric();
}
