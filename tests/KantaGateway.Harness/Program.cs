using System.CommandLine;
using KantaGateway.Client;
using KantaGateway.Harness.Drills;
using KantaGateway.Harness.Generating;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Simulation;
using KantaGateway.Harness.Verification;
using Spectre.Console;

// In a file or a pipe nobody sees a margin, and wrapped lines can't be searched.
if (Console.IsOutputRedirected)
    AnsiConsole.Profile.Width = 240;

// What a vendor runs against any gateway: see README.md beside this file.
var root = new RootCommand("KantaGateway vendors' harness") { VerifyCommand.Create(), LoadCommand.Create(), OutageCommand.Create(), VerifyLogCommand.Create(), DrillCommand.Create(), SimulateCommand.Create(), LoadProfileCommand.Create() };
try
{
    return await root.Parse(args).InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false }).ConfigureAwait(false);
}
catch (Exception e) when (e is IOException or InvalidDataException or HttpRequestException or TokenRefusedException)
{
    // A wrong folder, clinic or address, or a gateway that is not there: say so without a stack trace.
    await Console.Error.WriteLineAsync(e.InnerException is { } inner ? $"{e.Message} ({inner.Message})" : e.Message).ConfigureAwait(false);
    return 2;
}
