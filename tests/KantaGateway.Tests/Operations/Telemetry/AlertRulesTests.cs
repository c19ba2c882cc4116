using System.Diagnostics;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Operations.Telemetry;

/// <summary>Alert rules are what Prometheus takes, fire where they should, and lead to a runbook.</summary>
public sealed partial class AlertRulesTests
{
    [Theory]
    [InlineData("check", "rules", "alerts.yml")]
    [InlineData("test", "rules", "alerts.test.yml", "alerts.week.test.yml")]
    public async Task Promtool_takes_them_and_they_fire_where_they_should(params string[] arguments)
    {
        var start = new ProcessStartInfo("promtool", arguments) { WorkingDirectory = ObservabilityFiles.Folder, RedirectStandardOutput = true, RedirectStandardError = true };
        using var promtool = Process.Start(start) ?? throw new InvalidOperationException("promtool did not start.");
        var (said, wrong) = (promtool.StandardOutput.ReadToEndAsync(), promtool.StandardError.ReadToEndAsync());
        await promtool.WaitForExitAsync();
        Assert.True(promtool.ExitCode == 0, await said + await wrong);
    }

    [Fact]
    public void Every_alert_has_a_severity_and_a_runbook_that_says_what_to_look_at_and_what_to_do()
    {
        var rules = File.ReadAllText(ObservabilityFiles.Rules);
        var (alerts, books) = (Alert().Matches(rules).Select(static match => match.Groups[1].Value).ToArray(), Runbook().Matches(rules).Select(static match => match.Groups[1].Value).ToArray());
        Assert.NotEmpty(alerts);
        Assert.Equal(alerts.Length, books.Length);
        Assert.Equal(alerts.Length, Regex.Count(rules, "severity: (page|ticket) }"));
        foreach (var (alert, book) in alerts.Zip(books))
        {
            var file = Path.Combine(Solution.Folder, book);
            Assert.True(File.Exists(file), $"{alert}: {book} is missing");
            var text = File.ReadAllText(file);
            Assert.Contains(alert, text);
            Assert.Contains("## Look", text);
            Assert.Contains("## Do", text);
        }
        // And none that nobody is sent to.
        Assert.Equal([], ObservabilityFiles.Runbooks().Select(static file => "infra/runbooks/" + Path.GetFileName(file)).Except(books).Except(["infra/runbooks/README.md", "infra/runbooks/drills.md"]));
    }

    [Fact]
    public void What_a_runbook_tells_to_run_or_to_propose_exists()
    {
        var acts = Enum.GetNames<ApprovalKind>().Select(System.Text.Json.JsonNamingPolicy.KebabCaseLower.ConvertName).ToHashSet();
        var missing = new List<string>();
        foreach (var book in ObservabilityFiles.Runbooks())
        {
            var text = File.ReadAllText(book);
            missing.AddRange(InfraPath().Matches(text).Select(static match => match.Value).Where(static path => !File.Exists(Path.Combine(Solution.Folder, path)) && !Directory.Exists(Path.Combine(Solution.Folder, path))).Select(path => $"{Path.GetFileName(book)}: {path}"));
            missing.AddRange(Act().Matches(text).Select(static match => match.Groups[1].Value).Where(act => !acts.Contains(act)).Select(act => $"{Path.GetFileName(book)}: act {act}"));
            missing.AddRange(Link().Matches(text).Select(static match => match.Groups[1].Value).Where(link => !File.Exists(Path.GetFullPath(Path.Combine(Path.GetDirectoryName(book)!, link)))).Select(link => $"{Path.GetFileName(book)}: {link}"));
        }
        Assert.Equal([], missing);
    }

    [Fact]
    public void A_dashboard_is_whole_and_every_panel_asks_for_something()
    {
        Assert.NotEmpty(ObservabilityFiles.Dashboards());
        foreach (var file in ObservabilityFiles.Dashboards())
        {
            using var dashboard = System.Text.Json.JsonDocument.Parse(File.ReadAllBytes(file));
            Assert.Equal(Path.GetFileNameWithoutExtension(file), dashboard.RootElement.GetProperty("uid").GetString());
            Assert.All(dashboard.RootElement.GetProperty("panels").EnumerateArray(), static panel =>
                Assert.All(panel.GetProperty("targets").EnumerateArray(), static target => Assert.NotEmpty(ObservabilityFiles.MetricsOf(target.GetProperty("expr").GetString()!))));
        }
    }

    [GeneratedRegex(@"- alert: (\w+)")]
    private static partial Regex Alert();

    [GeneratedRegex(@"runbook: (\S+)")]
    private static partial Regex Runbook();

    [GeneratedRegex(@"\binfra/[a-z0-9/._-]*[a-z0-9]")]
    private static partial Regex InfraPath();

    [GeneratedRegex(@"\bact `([a-z-]+)`")]
    private static partial Regex Act();

    [GeneratedRegex(@"\]\(([^)#]+)\)")]
    private static partial Regex Link();
}
