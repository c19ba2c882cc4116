using System.CommandLine;
using System.Globalization;
using KantaGateway.Harness.Clients;
using Spectre.Console;

namespace KantaGateway.Harness.Loading;

/// <summary><c>load</c>: stores FHIR JSON files as one clinic, and says what was refused and why.</summary>
static class LoadCommand
{
    public static Command Create()
    {
        var target = new Option<Uri>("--target") { Required = true, CustomParser = Addresses.One, Description = "Address of the gateway, such as https://localhost:8443" };
        var dev = new Option<DirectoryInfo>("--dev") { Required = true, Description = "The gateway's data folder, with ca.pem and clinics/" };
        var clinic = new Option<string>("--as") { Required = true, Description = "The clinic that archives, such as aurora" };
        var check = new Option<bool>("--check") { Description = "Read everything back and compare" };
        var stubs = new Option<bool>("--stub-patients") { Description = "Make up a Patient for every one that is referred to but not among the files" };
        var parallel = new Option<int>("--parallel") { Description = "Requests at a time", DefaultValueFactory = _ => 4 };
        var files = new Argument<string[]>("FILE") { Arity = ArgumentArity.OneOrMore, Description = "Files (.json, .ndjson), directories or patterns" };
        var command = new Command("load", "Loads FHIR JSON: single resources, Bundles, NDJSON") { target, dev, clinic, check, stubs, parallel, files };
        command.SetAction(async (parsed, cancel) =>
        {
            var folder = new DevFolder(parsed.GetRequiredValue(dev).FullName);
            using var client = ClinicClient.Open(folder, parsed.GetRequiredValue(clinic), parsed.GetRequiredValue(target));
            var plan = LoadPlan.Of(SourceReader.Read(SourceReader.Expand(parsed.GetRequiredValue(files))), parsed.GetValue(stubs));
            var report = await RunAsync(new Loader(client.System, Math.Max(1, parsed.GetValue(parallel))), plan, parsed.GetValue(check), cancel).ConfigureAwait(false);
            Print(report, parsed.GetValue(check));
            return report.Refused.Any() || report.Unreadable.Count > 0 || report.Different.Any() ? 1 : 0;
        });
        return command;
    }

    private static async Task<LoadReport> RunAsync(Loader loader, LoadPlan plan, bool check, CancellationToken cancel)
    {
        LoadReport? report = null;
        await AnsiConsole.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(async context =>
            {
                var task = context.AddTask($"{plan.Count} resources", maxValue: Math.Max(1, plan.Count));
                report = await loader.LoadAsync(plan, check, new Tick(task), cancel).ConfigureAwait(false);
                task.Value = task.MaxValue;
            }).ConfigureAwait(false);
        return report!;
    }

    private static void Print(LoadReport report, bool check)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn("Type").AddColumn(new TableColumn("Stored").RightAligned()).AddColumn(new TableColumn("Refused").RightAligned());
        var rows = report.Units.SelectMany(u => u.Entries.Select(e => (e.Entry.Type, u.IsStored))).GroupBy(r => r.Type).OrderBy(g => g.Key, StringComparer.Ordinal);
        foreach (var row in rows)
            table.AddRow(Markup.Escape(row.Key), Number(row.Count(r => r.IsStored)), Number(row.Count(r => !r.IsStored)));
        AnsiConsole.Write(table);
        // A file of a thousand entries about an unknown patient has one fault, not a thousand.
        foreach (var same in report.Refused.GroupBy(u => (What(u), u.Status, string.Join('\n', u.Issues.Select(Reason)))))
        {
            AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[red]refused[/] {same.Key.Item1}: {same.Key.Status}, at {same.First().Entries[0].Entry}{(same.Count() > 1 ? $" and {same.Count() - 1} more" : "")}");
            AnsiConsole.WriteLine(same.Key.Item3);
        }
        foreach (var source in report.Unreadable)
            AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[yellow]not sent[/] {source.File}: {source.Reason}");
        foreach (var entry in report.Different)
            AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[red]reads back otherwise[/] {entry.Entry.Type} {entry.Entry}: {string.Join("; ", entry.Differences.Take(5))}");
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{report.Stored.Count()} stored, {report.Refused.Sum(u => u.Entries.Count)} refused, {report.Unreadable.Count} not sent{(check ? $", {report.Different.Count()} read back otherwise" : "")} in {report.Duration.TotalSeconds:0.0} s"));
    }

    private static string What(LoadedUnit unit) => unit.Unit.Atomic ? $"transaction of {unit.Entries.Count}" : unit.Entries[0].Entry.Type;

    private static string Reason(ReplyIssue issue) => $"        {issue.Diagnostics ?? issue.Code}{(issue.Expression is null ? "" : $" [{issue.Expression}]")}";

    private static string Number(int count) => count.ToString(CultureInfo.InvariantCulture);

    private sealed class Tick(ProgressTask task) : IProgress<SourceEntry>
    {
        public void Report(SourceEntry value) => task.Increment(1);
    }
}
