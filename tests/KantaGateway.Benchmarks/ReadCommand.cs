using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Spectre.Console;

namespace KantaGateway.Benchmarks;

/// <summary><c>read</c>: a read by id through the whole gateway, beside a bare YARP and a bare Kestrel, in one run.</summary>
static class ReadCommand
{
    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>What the JSON file holds.</summary>
    /// <param name="Command">That repeats the run.</param>
    /// <param name="Rows">The round with the median of requests per second, of each contestant.</param>
    /// <param name="Rounds">All of them.</param>
    private sealed record Report(DateTimeOffset Date, string Command, Machine Machine, int BodyLength, int Seconds, int RoundCount, IReadOnlyList<Row> Rows, IReadOnlyList<Measurement> Rounds);

    /// <param name="RatioToYarp">Requests per second of it through those of the bare YARP under the same load; null for YARP itself.</param>
    /// <param name="CpuRatioToYarp">The same of the processor time a request.</param>
    private sealed record Row(Measurement Median, double? RatioToYarp, double? CpuRatioToYarp);

    public static Command Create()
    {
        var seconds = new Option<int>("--seconds") { Description = "Length of one measurement, 1 to 20", DefaultValueFactory = _ => 8 };
        var rounds = new Option<int>("--rounds") { Description = "Measurements of each contestant; the one with the median rate counts", DefaultValueFactory = _ => 3 };
        var connections = new Option<int[]>("--connections") { Description = "Numbers of connections to measure with", DefaultValueFactory = _ => [1, 32], AllowMultipleArgumentsPerToken = true };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Artifact("read.json") };
        var place = new Place();
        var command = new Command("read", "Read by id through the whole gateway, beside a bare YARP and a bare Kestrel") { seconds, rounds, connections, json, place.Data, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            var (length, times, loads) = (Math.Clamp(parsed.GetValue(seconds), 1, 20), Math.Clamp(parsed.GetValue(rounds), 1, 20), parsed.GetRequiredValue(connections));
            await using var arena = await place.OpenAsync(parsed, Say, cancel);
            var machine = Machine.Describe(arena.Folder.Path);
            await WarmUpAsync(arena, length, cancel);
            var measured = new List<Measurement>();
            for (var round = 1; round <= times; round++)
                foreach (var tls in (bool[])[false, true])
                    foreach (var count in loads)
                        foreach (var contestant in arena.Contestants)
                        {
                            var one = await Measurement.TakeAsync(arena, contestant, tls, count, length, cancel);
                            Say(string.Create(CultureInfo.InvariantCulture, $"round {round}, TLS {(tls ? "on" : "off")}, {count} connections, {one.Name}: {one.RequestsPerSecond:0} requests/s, p99 {one.P99:0.0} ms"));
                            measured.Add(one);
                        }
            var rows = RowsOf(measured);
            Print(rows, machine);
            var file = Path.GetFullPath(parsed.GetRequiredValue(json));
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            var repeat = $"dotnet run -c Release --project tests/KantaGateway.Benchmarks -- read --seconds {length} --rounds {times} --connections {string.Join(' ', loads)}";
            await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new Report(DateTimeOffset.UtcNow, repeat, machine, arena.BodyLength, length, times, rows, measured), Readable), cancel);
            Console.WriteLine($"results in {file}");
            return 0;
        });
        return command;
    }

    private static void Say(string line) => Console.WriteLine("  " + line);

    // Twice the measuring time each, so that tiered compilation has come to its end.
    private static async Task WarmUpAsync(Arena arena, int seconds, CancellationToken cancel)
    {
        Say("warming up");
        for (var i = 0; i < 2; i++)
            foreach (var tls in (bool[])[false, true])
                foreach (var contestant in arena.Contestants)
                    await (tls ? arena.TlsTool : arena.PlainTool).RunAsync(await arena.LoadOfAsync(contestant, tls, 32, Math.Min(seconds, 8), cancel), cancel);
    }

    private static List<Row> RowsOf(IReadOnlyList<Measurement> measured)
    {
        var rows = new List<Row>();
        foreach (var load in measured.GroupBy(m => (m.Tls, m.Connections)))
        {
            var medians = load.GroupBy(m => m.Name).Select(g => g.OrderBy(m => m.RequestsPerSecond).ElementAt(g.Count() / 2)).ToList();
            var yarp = medians.First(m => m.Name == Arena.BareYarp);
            rows.AddRange(medians.Select(m => m == yarp ? new Row(m, null, null) : new Row(m, m.RequestsPerSecond / yarp.RequestsPerSecond, m.ServerCpu / yarp.ServerCpu)));
        }
        return rows;
    }

    private static void Print(List<Row> rows, Machine machine)
    {
        // Into a file or a pipe the table is as wide as it needs to be.
        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = 160;
        foreach (var load in rows.GroupBy(r => (r.Median.Tls, r.Median.Connections, r.Median.Tool)))
        {
            var table = new Table().Border(TableBorder.Rounded).Title($"TLS {(load.Key.Tls ? "on" : "off")}, {load.Key.Connections} connections, {load.Key.Tool}").AddColumn("");
            foreach (var name in (string[])["requests/s", "of YARP", "p50 ms", "p95 ms", "p99 ms", "CPU µs", "of YARP", "tool cores", "other cores"])
                table.AddColumn(new TableColumn(name).RightAligned());
            foreach (var (m, ratio, cpuRatio) in load)
                table.AddRow(m.Name, Number(m.RequestsPerSecond, "0"), Number(ratio, "0.000"), Number(m.P50, "0.00"), Number(m.P95, "0.00"), Number(m.P99, "0.00"),
                    Number(m.ServerCpu, "0"), Number(cpuRatio, "0.0"), Number(m.ToolShare, "0.00"), Number(m.OtherShare, "0.00"));
            AnsiConsole.Write(table);
        }
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{machine.Cores} cores, {machine.Processor}; {machine.Runtime}; one durable 4 KiB write {machine.Flush:0.00} ms"));
    }

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "";
}
