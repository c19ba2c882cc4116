using System.CommandLine;
using System.Globalization;
using KantaGateway.Dev;

namespace KantaGateway.Benchmarks;

/// <summary><c>memory</c>: what the house holds in memory while a mixed load goes on.</summary>
static class MemoryCommand
{
    private const double Piece = 10;

    /// <summary>
    /// Bound of the resident set, MiB: the heap that the process may have, which the runtime enforces, and 256 outside it. Opened records
    /// take a quarter of it by their own count (<c>RepositoryOptions.OpenMebibytes</c>).
    /// </summary>
    private const int Bound = 2_048 + 256;

    /// <summary>What the servers may use, bytes in hexadecimal, as a container or an operator would set it: 2 GiB.</summary>
    private const string Limit = "80000000";

    public static Command Create()
    {
        var seconds = new Option<double>("--seconds") { Description = "Length of the load", DefaultValueFactory = _ => 60 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("memory.json") };
        var place = new Place();
        var command = new Command("memory", "Memory of the servers while a mixed load goes on") { seconds, json, place.Data, place.Port, place.Patients, place.Resources };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var seeded = await place.SeedAsync(parsed, cancel);
            var ports = new Ports(parsed.GetValue(place.Port));
            Environment.SetEnvironmentVariable("DOTNET_GCHeapHardLimit", Limit);
            await using var house = await House.StartAsync(seeded, ports, cancel);
            await using var arena = await Arena.OpenAsync(ports, cancel);
            var contestant = house.Contestant("mixed", arena.Prepare("memory", Workload.Mixed(seeded, DevelopmentFolder.Clinics[0].Oid, 20_000)));
            var (rows, measured, sizes) = (new List<IReadOnlyList<string>>(), new List<Measurement>(), new List<long>());
            await RowAsync("before", null);
            for (var at = Piece; at <= parsed.GetValue(seconds) + 0.001; at += Piece)
            {
                var one = await Measurement.TakeAsync(arena, contestant, 32, Piece, cancel);
                measured.Add(one);
                await RowAsync(string.Create(CultureInfo.InvariantCulture, $"after {at:0} s of load"), one);
            }
            IReadOnlyList<Goal> goals = [new("resident set at its largest, MiB", sizes.Max() / (double)(1 << 20), Bound, AtLeast: false)];
            return await new Report("memory", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(seeded.Path),
                $"Gateway, repository, key service and simulators in one process, which may use 2 GiB; 60 % reads, 25 % searches, 10 % creations, 5 % transactions of ten, 32 connections. {Place.DataOf(seeded)}",
                [new("Memory under load", ["resident set MiB", "managed, alive MiB", "managed, committed MiB", "requests/s", "p99 ms"], rows)], goals, measured).PublishAsync(parsed.GetRequiredValue(json), cancel);

            async Task RowAsync(string when, Measurement? one)
            {
                var heap = await house.Server.AskAsync<HeapSize>("heap", cancel);
                sizes.Add(house.Server.Memory);
                rows.Add([when, MiB(sizes[^1]), MiB(heap.Live), MiB(heap.Committed), one is null ? "" : Measurement.Number(one.RequestsPerSecond, "0"), one is null ? "" : Measurement.Number(one.P99, "0.0")]);
                Place.Say(string.Create(CultureInfo.InvariantCulture, $"{when}: {sizes[^1] >> 20} MiB resident, {heap.Live >> 20} alive"));
            }
        });
        return command;
    }

    private static string MiB(long bytes) => Measurement.Number(bytes / (double)(1 << 20), "0");
}
