using System.CommandLine;
using Spectre.Console;

namespace KantaGateway.Harness.Simulation;

/// <summary><c>simulate</c>: a gateway that misbehaves on demand, for a vendor to test its own client with.</summary>
static class SimulateCommand
{
    public static Command Create()
    {
        var data = new Option<DirectoryInfo>("--data") { Required = true, Description = "Folder to write ca.pem and clinics/vendor/ to" };
        var port = new Option<int>("--port") { DefaultValueFactory = _ => 8543, Description = "Port of the loopback interface" };
        var how = new Option<Misbehaviour[]>("--how") { AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [], Description = "How to misbehave from the start, until told otherwise" };
        var wait = new Option<int>("--retry-after") { DefaultValueFactory = _ => 1, Description = "Seconds that 429 and 503 ask to wait" };
        var command = new Command("simulate", "Stands in for a gateway that is slow, full, broken, out of date or changed, for a vendor to test its own client with") { data, port, how, wait };
        command.SetAction(async (parsed, cancel) =>
        {
            var folder = parsed.GetRequiredValue(data);
            folder.Create();
            await using var standIn = await StandIn.StartAsync(folder.FullName, parsed.GetValue(port)).ConfigureAwait(false);
            standIn.RetryAfter = Math.Max(0, parsed.GetValue(wait));
            foreach (var one in parsed.GetValue(how)!)
                standIn.Misbehave(one, -1);
            AnsiConsole.WriteLine($"{standIn.Address}fhir, its client in {Path.Combine(folder.FullName, "clinics", StandInFolder.Clinic)}");
            AnsiConsole.WriteLine($"to have it misbehave: POST {standIn.Address}simulate?how={string.Join('|', Enum.GetNames<Misbehaviour>())}&times=N");
            AnsiConsole.WriteLine("ready");
            await Task.Delay(Timeout.Infinite, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return 0;
        });
        return command;
    }
}
