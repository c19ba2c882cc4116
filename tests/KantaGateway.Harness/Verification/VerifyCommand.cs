using System.CommandLine;
using System.Globalization;
using KantaGateway.Harness.Clients;
using Spectre.Console;

namespace KantaGateway.Harness.Verification;

/// <summary><c>verify</c>: the main scenario and further checks against any running gateway.</summary>
static class VerifyCommand
{
    public static Command Create()
    {
        var target = new Option<Uri>("--target") { Required = true, CustomParser = result => new Uri(result.Tokens[0].Value), Description = "Address of the gateway, such as https://localhost:8443" };
        var dev = new Option<DirectoryInfo>("--dev") { Required = true, Description = "The gateway's data folder, with ca.pem and clinics/" };
        var only = new Option<string>("--only") { Description = "Only 'scenario' or 'checks'" };
        var log = new Option<string>("--log") { DefaultValueFactory = _ => "audit.vkey", Description = "File of that folder with the key of this gateway's audit log" };
        only.AcceptOnlyFromAmong("scenario", "checks");
        var command = new Command("verify", "Runs the main scenario and further checks, and says what was expected where something else came") { target, dev, only, log };
        command.SetAction(async (parsed, cancel) =>
        {
            var folder = new DevFolder(parsed.GetRequiredValue(dev).FullName) { LogKey = parsed.GetValue(log)! };
            var address = parsed.GetRequiredValue(target);
            var steps = new Steps(Print);
            if (parsed.GetValue(only) is null or "scenario")
            {
                using var scenario = new VisitScenario(folder, address);
                await scenario.RunAsync(steps, cancel).ConfigureAwait(false);
            }
            if (parsed.GetValue(only) is null or "checks")
            {
                using var checks = new FurtherChecks(folder, address);
                await checks.RunAsync(steps, cancel).ConfigureAwait(false);
            }
            var failed = steps.Results.Count(r => r.Outcome != StepOutcome.Passed);
            AnsiConsole.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"{(failed == 0 ? "[green]all" : "[red]not all")} well[/]: {steps.Results.Count - failed} of {steps.Results.Count} steps"));
            return failed == 0 ? 0 : 1;
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
            $"[{colour}]{word,-11}[/] {result.Duration.TotalMilliseconds,7:0} ms  {Markup.Escape(result.Part)}: {Markup.Escape(result.Title)}"));
        if (result.Problem is { } problem)
            AnsiConsole.WriteLine($"            {problem}");
    }
}
