using System.CommandLine;
using System.Diagnostics;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary><c>outage</c>: load at several gateways while a command breaks something behind them.</summary>
static class OutageCommand
{
    public static Command Create()
    {
        var target = new Option<Uri[]>("--target") { Required = true, AllowMultipleArgumentsPerToken = true, CustomParser = Addresses.Each, Description = "Address of each gateway" };
        var dev = new Option<DirectoryInfo>("--dev") { Required = true, Description = "The gateways' data folder, with ca.pem and clinics/" };
        var happen = new Option<string>("--do") { Required = true, Description = "Shell command that breaks something; its end is waited for" };
        var lead = new Option<int>("--lead") { DefaultValueFactory = _ => 15, Description = "Seconds of load before it" };
        var after = new Option<int>("--after") { DefaultValueFactory = _ => 60, Description = "Seconds of load after it" };
        var within = new Option<int>("--within") { DefaultValueFactory = _ => 30, Description = "Seconds after it within which service has to be back" };
        var command = new Command("outage", "Writes and reads while something breaks off, and says what was lost, shown and silent") { target, dev, happen, lead, after, within };
        command.SetAction(async (parsed, cancel) =>
        {
            using var outage = new Outage(new DevFolder(parsed.GetRequiredValue(dev).FullName), parsed.GetRequiredValue(target));
            var report = await outage.RunAsync(TimeSpan.FromSeconds(parsed.GetValue(lead)), TimeSpan.FromSeconds(parsed.GetValue(after)), TimeSpan.FromSeconds(parsed.GetValue(within)),
                token => RunAsync(parsed.GetRequiredValue(happen), token), cancel).ConfigureAwait(false);
            foreach (var line in report.Lines)
                Console.WriteLine(line);
            foreach (var line in report.Wrong)
                Console.WriteLine($"WRONG: {line}");
            return report.Wrong.Count == 0 ? 0 : 1;
        });
        return command;
    }

    private static async Task RunAsync(string command, CancellationToken cancel)
    {
        using var shell = Process.Start(new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", command } })!;
        await shell.WaitForExitAsync(cancel).ConfigureAwait(false);
        if (shell.ExitCode != 0)
            throw new InvalidDataException($"The command ended with {shell.ExitCode}, so nothing was shown.");
    }
}
