using System.CommandLine;
using System.Globalization;
using KantaGateway.Harness.Clients;
using Spectre.Console;

namespace KantaGateway.Harness.Drills;

/// <summary><c>drill vastaamo</c>: what happened at Vastaamo, staged against a development host, and what the thief has of it here.</summary>
static class DrillCommand
{
    public static Command Create()
    {
        var target = new Option<Uri>("--target") { Required = true, CustomParser = Addresses.One, Description = "Address of the gateway, such as https://localhost:8443" };
        var dev = new Option<DirectoryInfo>("--dev") { Required = true, Description = "The gateway's data folder: the disk that is stolen, and the database that is changed" };
        var vastaamo = new Command("vastaamo", "The theft of 2018-2020, attack by attack") { target, dev };
        vastaamo.SetAction(async (parsed, cancel) =>
        {
            var drill = new Drill(Print);
            using (var staged = new VastaamoDrill(new DevFolder(parsed.GetRequiredValue(dev).FullName), parsed.GetRequiredValue(target)))
                await staged.RunAsync(drill, cancel).ConfigureAwait(false);
            var broken = drill.Lines.Count(static line => !line.IsHeld);
            AnsiConsole.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"{(broken == 0 ? "[green]the house held[/]" : "[red]the house did not hold[/]")}: {drill.Lines.Count - broken} of {drill.Lines.Count} attacks"));
            return broken == 0 ? 0 : 1;
        });
        return new("drill", "Stages an attack against a development host, and says what the thief got and what surfaced it") { vastaamo };
    }

    private static void Print(DrillLine line)
    {
        var its = line.Outcome;
        AnsiConsole.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"[{(line.IsHeld ? "green]held  " : "red]BROKEN")}[/] {line.At.TotalSeconds,6:0.0} s  {Markup.Escape(line.Attack)}"));
        AnsiConsole.WriteLine($"                  the thief got: {its.Got}");
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture, $"                  surfaced:      {its.Surfaced ?? "nothing, and nobody is harmed"}{(its.After is { } after ? $", after {after.TotalSeconds:0.0} s" : "")}"));
        if (its.Problem is { } problem)
            AnsiConsole.WriteLine($"                  {problem}");
    }
}
