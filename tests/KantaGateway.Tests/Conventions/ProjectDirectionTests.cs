using System.Xml.Linq;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Conventions;

/// <summary>Which project may know which: gateway and repository meet over HTTP only, the product knows no simulator.</summary>
public sealed class ProjectDirectionTests
{
    private static readonly string[] ProductFolders = ["gateway", "fhir-adapters"];

    /// <summary>Whom each product project may reference, directly or through others.</summary>
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["KantaGateway.Fhir"] = [],
        ["KantaGateway.Audit"] = [],
        ["KantaGateway.Telemetry"] = [],
        // What vendors are given knows the check of receipts and nothing of what runs behind the address.
        ["KantaGateway.Client"] = ["KantaGateway.Audit"],
        ["KantaGateway.Postgres"] = ["KantaGateway.Fhir"],
        ["KantaGateway.Audit.Postgres"] = ["KantaGateway.Audit", "KantaGateway.Fhir", "KantaGateway.Postgres"],
        ["KantaGateway.Keys"] = ["KantaGateway.Audit", "KantaGateway.Fhir", "KantaGateway.Telemetry"],
        ["KantaGateway.Repository"] = ["KantaGateway.Audit", "KantaGateway.Fhir", "KantaGateway.Postgres", "KantaGateway.Telemetry"],
        ["KantaGateway.Gateway"] = ["KantaGateway.Audit", "KantaGateway.Audit.Postgres", "KantaGateway.Fhir", "KantaGateway.Postgres", "KantaGateway.Telemetry"],
    };

    [Fact]
    public void Product_projects_reference_only_whom_they_may() => Assert.Equal([], Violations(References()));

    [Theory]
    [InlineData("KantaGateway.Gateway", "KantaGateway.Repository")]
    [InlineData("KantaGateway.Gateway", "KantaGateway.Simulators")]
    [InlineData("KantaGateway.Repository", "KantaGateway.Gateway")]
    [InlineData("KantaGateway.Audit", "KantaGateway.Fhir")]
    [InlineData("KantaGateway.Keys", "KantaGateway.Audit.Postgres")]
    [InlineData("KantaGateway.Fhir", "KantaGateway.Harness")]
    [InlineData("KantaGateway.Client", "KantaGateway.Gateway")]
    [InlineData("KantaGateway.Client", "KantaGateway.Repository")]
    [InlineData("KantaGateway.Gateway", "KantaGateway.Client")]
    public void A_planted_reference_is_found(string from, string to)
    {
        var references = References();
        references[from] = [.. references[from], to];
        Assert.Contains($"{from} -> {to}", Violations(references));
    }

    [Fact]
    public void Compiled_assemblies_agree_with_their_project_files()
    {
        foreach (var (name, allowed) in Allowed)
        {
            var ours = System.Reflection.Assembly.Load(name).GetReferencedAssemblies().Select(a => a.Name).Where(n => n!.StartsWith("KantaGateway.", StringComparison.Ordinal));
            Assert.Equal([], ours.Except(allowed));
        }
    }

    private static List<string> Violations(Dictionary<string, string[]> references) =>
    [
        .. from project in references.Keys.Where(p => Allowed.ContainsKey(p))
           from reached in Reached(project, references)
           where !Allowed[project].Contains(reached)
           select $"{project} -> {reached}",
        .. from project in ProductProjects() where !Allowed.ContainsKey(project) select $"{project} has no rule",
    ];

    private static HashSet<string> Reached(string project, Dictionary<string, string[]> references)
    {
        var reached = new HashSet<string>();
        var next = new Stack<string>([project]);
        while (next.TryPop(out var current))
            foreach (var reference in references.GetValueOrDefault(current, []).Where(reached.Add))
                next.Push(reference);
        return reached;
    }

    private static IEnumerable<string> ProductProjects() =>
        ProductFolders.SelectMany(f => Directory.EnumerateFiles(Path.Combine(Solution.Folder, f), "*.csproj", SearchOption.AllDirectories)).Select(f => Path.GetFileNameWithoutExtension(f));

    private static Dictionary<string, string[]> References() =>
        Directory.EnumerateFiles(Solution.Folder, "*.csproj", SearchOption.AllDirectories).ToDictionary(
            f => Path.GetFileNameWithoutExtension(f),
            f => XDocument.Load(f).Descendants("ProjectReference").Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/'))).ToArray());
}
