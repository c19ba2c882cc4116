using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Harness.Clients;
using Spectre.Console;

namespace KantaGateway.Harness.Verification;

/// <summary><c>verify</c>: the main scenario and further checks against any running gateway.</summary>
static class VerifyCommand
{
    public static Command Create()
    {
        var target = new Option<Uri>("--target") { CustomParser = Addresses.One, Description = "Address of the gateway, such as https://localhost:8443" };
        var dev = new Option<DirectoryInfo>("--dev") { Description = "The gateway's data folder, with ca.pem and clinics/" };
        var only = new Option<string[]>("--only") { AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [], Description = "Only these checks: ids, or what they begin with, such as smart or consent.denied; also 'scenario' and 'checks'" };
        var profile = new Option<string?>("--profile") { Description = "Only what a system of this kind needs" };
        var seed = new Option<int?>("--seed") { Description = "Of an earlier run, to be about the same fictional person" };
        var log = new Option<string>("--log") { DefaultValueFactory = _ => "audit.vkey", Description = "File of that folder with the key of this gateway's audit log" };
        var junit = new Option<FileInfo?>("--junit") { Description = "Write JUnit XML there" };
        var json = new Option<FileInfo?>("--json") { Description = "Write JSON there" };
        var html = new Option<FileInfo?>("--html") { Description = "Write one HTML page with everything there" };
        var list = new Option<bool>("--list") { Description = "Name all checks, and where each requirement comes from" };
        profile.AcceptOnlyFromAmong([.. Selection.Profiles.Keys]);
        var command = new Command("verify", "Runs the main scenario and further checks, and says what was expected where something else came") { target, dev, only, profile, seed, log, junit, json, html, list };
        command.SetAction(async (parsed, cancel) =>
        {
            var kind = parsed.GetValue(profile);
            var selection = Selection.Of(parsed.GetValue(only)!, kind);
            if (parsed.GetValue(list))
            {
                foreach (var check in Check.All.Where(selection.Has))
                    AnsiConsole.WriteLine($"{check.Id,-44} {check.Source}");
                return 0;
            }
            if (parsed.GetValue(target) is not { } address || parsed.GetValue(dev) is not { } data)
                throw new InvalidDataException("verify needs --target and --dev.");
            var folder = new DevFolder(data.FullName) { LogKey = parsed.GetValue(log)! };
            var report = await VerificationRun.RunAsync(folder, address, selection, parsed.GetValue(seed) ?? RandomNumberGenerator.GetInt32(int.MaxValue), kind, Print, cancel).ConfigureAwait(false);
            foreach (var (file, text) in new (FileInfo?, Func<VerificationReport, string>)[] { (parsed.GetValue(junit), Reports.JUnit), (parsed.GetValue(json), Reports.Json), (parsed.GetValue(html), Reports.Html) })
                if (file is not null)
                    await File.WriteAllTextAsync(file.FullName, text(report), cancel).ConfigureAwait(false);
            AnsiConsole.MarkupLine(string.Create(CultureInfo.InvariantCulture,
                $"{(report.Failed == 0 ? "[green]all" : "[red]not all")} well[/]: {report.Results.Count - report.Failed} of {report.Results.Count} steps, seed {report.Seed}"));
            return report.Failed == 0 ? 0 : 1;
        });
        return command;
    }

    private static void Print(StepResult result)
    {
        var (colour, word) = result.Outcome switch
        {
            StepOutcome.Passed => ("green", "ok"),
            StepOutcome.Failed => ("red", "FAILED"),
            _ => ("yellow", "not reached"),
        };
        AnsiConsole.MarkupLine(string.Create(CultureInfo.InvariantCulture,
            $"[{colour}]{word,-11}[/] {result.Duration.TotalMilliseconds,7:0} ms  {Markup.Escape(result.Check.Id)}: {Markup.Escape(result.Title)}"));
        if (result.Problem is not { } problem)
            return;
        AnsiConsole.WriteLine($"            {problem}");
        foreach (var exchange in result.Sent)
            AnsiConsole.WriteLine($"            sent {exchange}");
        AnsiConsole.WriteLine($"            required by {result.Check.Source}");
        AnsiConsole.WriteLine($"            to change: {result.Check.Advice}");
    }
}
