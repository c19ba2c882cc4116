using System.Globalization;
using System.Text.RegularExpressions;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Conventions;

/// <summary>Threat model, ASVS table and runbooks name only what exists, and leave no requirement out.</summary>
public sealed partial class AssuranceTests
{
    /// <summary>How many requirements each section of ASVS 5.0.0 has; 345 in all.</summary>
    private const string Sections = """
        1.1:2 1.2:10 1.3:12 1.4:3 1.5:3 2.1:3 2.2:3 2.3:5 2.4:2 3.1:1 3.2:3 3.3:5 3.4:8 3.5:8 3.6:1 3.7:5 4.1:5 4.2:5 4.3:2 4.4:4 5.1:1 5.2:6 5.3:3 5.4:3
        6.1:3 6.2:12 6.3:8 6.4:6 6.5:8 6.6:4 6.7:2 6.8:4 7.1:3 7.2:4 7.3:2 7.4:5 7.5:3 7.6:2 8.1:4 8.2:4 8.3:3 8.4:2 9.1:3 9.2:4 10.1:2 10.2:3 10.3:5 10.4:16 10.5:5 10.6:2 10.7:3
        11.1:4 11.2:5 11.3:5 11.4:4 11.5:2 11.6:2 11.7:2 12.1:5 12.2:2 12.3:5 13.1:4 13.2:6 13.3:4 13.4:7 14.1:2 14.2:8 14.3:3 15.1:5 15.2:5 15.3:7 15.4:4 16.1:1 16.2:5 16.3:4 16.4:3 16.5:4 17.1:2 17.2:8 17.3:2
        """;

    private static readonly string Folder = Path.Combine(Solution.Folder, "infra");

    /// <summary>Tests by class and method, of the suite and, as their source says, of those in a browser.</summary>
    private static readonly HashSet<string> Known =
    [
        .. typeof(AssuranceTests).Assembly.GetTypes().SelectMany(static type => type.GetMethods().Where(static method => method.IsDefined(typeof(FactAttribute), inherit: true)).Select(method => $"{type.Name}.{method.Name}")),
        .. Directory.EnumerateFiles(Path.Combine(Solution.Folder, "tests", "KantaGateway.Browser"), "*Tests.cs").SelectMany(static file => BrowserTest().Matches(File.ReadAllText(file)).Select(match => $"{Path.GetFileNameWithoutExtension(file)}.{match.Groups[1].Value}")),
    ];

    [Theory]
    [InlineData("threat-model.md", 5)]
    [InlineData("asvs.md", 3)]
    public void Every_row_is_shown_by_tests_that_exist_or_is_open_or_does_not_apply(string file, int cells)
    {
        var rows = Rows(file).ToArray();
        Assert.All(rows, row => Assert.Equal(cells, row.Length));
        Assert.Equal([], rows.Where(static row => Verdict(row[^1]) is null).Select(static row => row[0]));
        Assert.Equal([], rows.SelectMany(static row => Named(row[^1])).Where(static name => !Known.Contains(name)));
        // A threat that nothing is said against is open, and nothing else is without a control.
        if (file == "threat-model.md")
            Assert.Equal([], rows.Where(static row => row[3].Length == 0 && Verdict(row[^1]) != "open").Select(static row => row[0]));
    }

    [Fact]
    public void Every_requirement_of_the_standard_is_there_once()
    {
        string[] all = [.. Sections.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries).SelectMany(static section => Enumerable.Range(1, int.Parse(section.Split(':')[1], CultureInfo.InvariantCulture)).Select(n => $"{section.Split(':')[0]}.{n}"))];
        Assert.Equal(345, all.Length);
        var named = Rows("asvs.md").SelectMany(static row => row[0].Split(", ")).SelectMany(Range).ToArray();
        Assert.Equal([], all.Except(named));
        Assert.Equal([], named.Except(all));
        Assert.Equal([], named.GroupBy(static one => one).Where(static same => same.Count() > 1).Select(static same => same.Key));
    }

    [Fact]
    public void Every_threat_has_a_number_of_a_boundary_and_a_letter_of_STRIDE()
    {
        var rows = Rows("threat-model.md").ToArray();
        Assert.All(rows, static row => Assert.Matches("^[STRIDE]$", row[1]));
        Assert.Equal(rows.Length, rows.Select(static row => row[0]).Distinct().Count());
        // Each boundary of the picture, and no other.
        var flow = File.ReadAllText(Path.Combine(Folder, "assurance", "data-flow.md"));
        Assert.Equal(Arrow().Matches(flow).Select(static match => match.Groups[1].Value).Distinct().Order(StringComparer.Ordinal), rows.Select(static row => row[0].Split('.')[0]).Distinct().Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("`AssuranceTests.Nobody_has_written_this`", "AssuranceTests.Nobody_has_written_this")]
    [InlineData("`EndpointTests.A_planted_endpoint_is_found`", null)]
    [InlineData("`NoSuchTests.A_planted_endpoint_is_found` and more", "NoSuchTests.A_planted_endpoint_is_found")]
    public void A_test_that_does_not_exist_is_found(string cell, string? missing) => Assert.Equal(missing, Named(cell).SingleOrDefault(static name => !Known.Contains(name)));

    [Fact]
    public void Every_runbook_says_how_to_practise_it_with_a_command_that_exists()
    {
        foreach (var book in Directory.EnumerateFiles(Path.Combine(Folder, "runbooks"), "*.md"))
        {
            var commands = Practise().Matches(File.ReadAllText(book)).Select(static match => match.Groups[1].Value).ToArray();
            Assert.True(commands.Length > 0, book);
            foreach (var command in commands)
            {
                var words = command.Split(' ');
                var place = words[0] == "dotnet" ? words.First(static word => word.Contains('/')) : words[0];
                Assert.True(Path.Exists(Path.Combine(Solution.Folder, place)), $"{book}: {command}");
                if (words.LastOrDefault(static word => word.StartsWith("FullyQualifiedName~", StringComparison.Ordinal)) is { } filter)
                    Assert.Contains(Known, name => name.StartsWith(filter["FullyQualifiedName~".Length..] + ".", StringComparison.Ordinal));
                // A script says at its top what it can be told.
                if (words is [_, var what, ..] && place.EndsWith(".sh", StringComparison.Ordinal))
                    Assert.Contains($"{place} {what}", File.ReadAllText(Path.Combine(Solution.Folder, place)));
            }
        }
    }

    [Fact]
    public void Links_lead_somewhere()
    {
        foreach (var file in Directory.EnumerateFiles(Folder, "*.md", SearchOption.AllDirectories).Where(static file => !file.Contains("/bin/") && !file.Contains("/obj/")))
            Assert.Equal([], Link().Matches(File.ReadAllText(file)).Select(static match => match.Groups[1].Value).Where(static link => !link.Contains(':')).Where(link => !Path.Exists(Path.Combine(Path.GetDirectoryName(file)!, link))).Select(link => $"{file}: {link}"));
    }

    private static IEnumerable<string[]> Rows(string file) =>
        File.ReadLines(Path.Combine(Folder, "assurance", file)).Where(static line => Row().IsMatch(line)).Select(static line => line.Trim('|').Split('|').Select(static cell => cell.Trim()).ToArray());

    private static string? Verdict(string cell) => cell.StartsWith("open", StringComparison.Ordinal) ? "open" : cell.StartsWith("none: ", StringComparison.Ordinal) ? "none" : Named(cell).Any() ? "shown" : null;

    private static IEnumerable<string> Named(string cell) => Test().Matches(cell).Select(static match => match.Groups[1].Value);

    /// <summary><c>6.2.1-6.2.12</c> is all of them.</summary>
    private static IEnumerable<string> Range(string named)
    {
        if (named.Split('-') is not [var first, var last])
            return [named];
        var section = first[..(first.LastIndexOf('.') + 1)];
        var (from, to) = (int.Parse(first[section.Length..], CultureInfo.InvariantCulture), int.Parse(last[section.Length..], CultureInfo.InvariantCulture));
        return Enumerable.Range(from, to - from + 1).Select(n => section + n);
    }

    [GeneratedRegex(@"^\| \d")]
    private static partial Regex Row();

    [GeneratedRegex(@"`([A-Z]\w+\.[A-Z]\w+)`")]
    private static partial Regex Test();

    [GeneratedRegex(@"public async Task ([A-Z]\w+)")]
    private static partial Regex BrowserTest();

    [GeneratedRegex(@"-- ""(\d+) ")]
    private static partial Regex Arrow();

    [GeneratedRegex(@"Practise: `([^`]+)`")]
    private static partial Regex Practise();

    [GeneratedRegex(@"\]\(([^)#]+)\)")]
    private static partial Regex Link();
}
