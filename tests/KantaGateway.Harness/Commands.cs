using System.CommandLine;
using System.CommandLine.Invocation;
using KantaGateway.Client;
using KantaGateway.Harness.Drills;
using KantaGateway.Harness.Generating;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Simulation;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Harness;

/// <summary>What a vendor runs against any gateway: see README.md beside this file.</summary>
static class Commands
{
    /// <summary>Nothing was found out: what was given is wrong, or nobody answers.</summary>
    private const int Unknown = 2;

    /// <returns>The command's exit code; 2 where it could not do what it is for.</returns>
    public static async Task<int> RunAsync(string[] words, InvocationConfiguration here)
    {
        var root = new RootCommand("KantaGateway vendors' harness") { VerifyCommand.Create(), LoadCommand.Create(), OutageCommand.Create(), VerifyLogCommand.Create(), DrillCommand.Create(), SimulateCommand.Create(), LoadProfileCommand.Create() };
        here.EnableDefaultExceptionHandler = false;
        var parsed = root.Parse(words);
        try
        {
            var code = await parsed.InvokeAsync(here).ConfigureAwait(false);
            // 1 is what a gateway or a log is told of that was looked at.
            return parsed.Action is ParseErrorAction ? Unknown : code;
        }
        catch (Exception e) when (e is IOException or InvalidDataException or HttpRequestException or TokenRefusedException)
        {
            // A wrong folder, clinic or address, or a gateway that is not there: say so without a stack trace.
            await here.Error.WriteLineAsync(e.InnerException is { } inner ? $"{e.Message} ({inner.Message})" : e.Message).ConfigureAwait(false);
            return Unknown;
        }
    }
}
