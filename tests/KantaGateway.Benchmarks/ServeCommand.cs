using System.CommandLine;
using System.Text.Json;
using KantaGateway.Dev;
using KantaGateway.Harness.Generating;

namespace KantaGateway.Benchmarks;

/// <summary>
/// What the benchmark starts of itself as child processes, so that servers and load generator do not share a runtime.
/// A server lives as long as its standard input: with the parent it ends, however that ends.
/// </summary>
static class ServeCommand
{
    public const string Name = "serve", Product = "product", Unidentified = "unidentified", Reference = "reference", Keys = "keys", Generator = "generator", Ready = "ready";

    public static Command Create()
    {
        var what = new Argument<string>("WHAT") { Description = $"{Product}, {Unidentified}, {Reference}, {Keys} or {Generator}" };
        what.AcceptOnlyFromAmong(Product, Unidentified, Reference, Keys, Generator);
        var data = new Option<string>("--data") { Required = true };
        var port = new Option<int>("--port") { Required = true };
        var command = new Command(Name, "Used by the benchmark itself: one server process") { what, data, port };
        command.Hidden = true;
        command.SetAction(async (parsed, cancel) =>
        {
            if (parsed.GetValue(what) == Generator)
            {
                Console.WriteLine(Ready);
                await LoadGenerator.ServeAsync(Console.In, Console.Out, cancel);
                return 0;
            }
            var folder = parsed.GetRequiredValue(data);
            var ports = new Ports(parsed.GetRequiredValue(port));
            await using var server = parsed.GetValue(what) == Keys ? await KeysCommand.ServeAsync(folder, ports) : parsed.GetValue(what) is Product or Unidentified
                ? await DevHost.StartAsync(new DevHostOptions
                {
                    Port = ports.Gateway,
                    TerminatorPort = ports.Terminator,
                    DataFolder = folder,
                    Postgres = Environment.GetEnvironmentVariable("KANTA_POSTGRES"),
                    Redis = Environment.GetEnvironmentVariable("KANTA_REDIS"),
                    Configure = builder =>
                    {
                        builder.Logging.AddSimpleConsole().SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft", LogLevel.Error);
                        if (parsed.GetValue(what) == Unidentified)
                            builder.Host.UseServiceProviderFactory(new OneCallerOnly());
                    },
                })
                : await ReferenceServer.StartAsync(ports, CannedAnswer.Load(Path.Combine(folder, "answer.json")),
                    Path.Combine(folder, "server", "tls.pem"), Path.Combine(folder, "server", "tls.key"),
                    // Not beside the data: that path may be longer than a socket's may be.
                    Path.Combine(Path.GetTempPath(), $"kanta-reference-{ports.Base}.sock"));
            Console.WriteLine(Ready);
            while (await Console.In.ReadLineAsync(cancel) is not null)
                Console.WriteLine(JsonSerializer.Serialize(HeapSize.Now()));
            return 0;
        });
        return command;
    }
}

/// <summary>Managed memory of a process.</summary>
/// <param name="Live">Bytes that were alive after the last collection.</param>
/// <param name="Committed">Bytes that the collector has from the operating system.</param>
sealed record HeapSize(long Live, long Committed)
{
    public static HeapSize Now()
    {
        var info = GC.GetGCMemoryInfo(GCKind.Any);
        return new(info.HeapSizeBytes, info.TotalCommittedBytes);
    }
}
