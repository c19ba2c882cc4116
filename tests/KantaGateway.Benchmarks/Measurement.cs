using System.Globalization;
using KantaGateway.Harness.Generating;

namespace KantaGateway.Benchmarks;

/// <summary>One load on one contestant. Latencies in milliseconds.</summary>
/// <param name="Name">Of the contestant.</param>
/// <param name="ServerCpu">Processor time of the server process per request, microseconds.</param>
/// <param name="ServerShare">Processors kept busy by the server: 1 is one whole core.</param>
/// <param name="ToolShare">The same of the load generator.</param>
/// <param name="OtherShare">The same of whatever else ran on the machine; near 0 on a quiet one.</param>
/// <param name="AuditEntries">Durable audit entries that the load made; null for the reference servers.</param>
sealed record Measurement(string Load, string Name, bool Tls, int Connections, long Requests, double RequestsPerSecond, double P50, double P95, double P99, double Max,
    double ServerCpu, double ServerShare, double ToolShare, double OtherShare, long? AuditEntries)
{
    public static IReadOnlyList<string> Columns { get; } = ["requests/s", "of YARP", "p50 ms", "p95 ms", "p99 ms", "CPU µs", "server cores", "tool cores", "other cores", "bound by"];

    /// <summary>What keeps the rate from being higher.</summary>
    public string BoundBy => ServerShare + ToolShare + OtherShare >= 0.9 * Environment.ProcessorCount ? OtherShare > 0.2 ? "processor, not its own" : "processor" : "waiting";

    /// <param name="most">Requests after which the load ends; 0: when the time is over.</param>
    /// <exception cref="BenchmarkException">Some requests failed, or some answers have no audit entry.</exception>
    public static async Task<Measurement> TakeAsync(Arena arena, Contestant contestant, int connections, double seconds, CancellationToken cancel, bool tls = true, long most = 0)
    {
        var audited = !contestant.IsReference;
        var load = await arena.LoadOfAsync(contestant, tls, connections, seconds, cancel, most);
        var entriesBefore = audited ? await SettledEntriesAsync(contestant, cancel) : 0;
        var (cpuBefore, toolBefore, machineBefore) = (contestant.Server.Cpu, arena.Generator.Cpu, MachineTime.Now());
        var result = await arena.Generator.AskAsync<LoadResult>(System.Text.Json.JsonSerializer.Serialize(load), cancel);
        var (cpu, tool, machine) = (contestant.Server.Cpu - cpuBefore, arena.Generator.Cpu - toolBefore, MachineTime.Now());
        if (result.Failures > 0 || result.Requests == 0)
            throw new BenchmarkException(string.Create(CultureInfo.InvariantCulture,
                $"{contestant.Workload.Name}, {contestant.Name}: {result.Failures} of {result.Requests} requests failed, so these are no numbers. The first: {result.FirstFailure}"));
        long? entries = audited ? await SettledEntriesAsync(contestant, cancel) - entriesBefore : null;
        // Law 1.
        if (entries < result.Requests)
            throw new BenchmarkException($"{result.Requests} answers but {entries} audit entries: what was measured discloses without a record.");
        var others = machine.Busy - machineBefore.Busy - tool - (machine.Own - machineBefore.Own) - cpu;
        return new(contestant.Workload.Name, contestant.Name, tls, connections, result.Requests, result.Requests / result.Seconds, result.P50, result.P95, result.P99, result.Max,
            cpu.TotalMicroseconds / result.Requests, cpu.TotalSeconds / result.Seconds, tool.TotalSeconds / result.Seconds, Math.Max(0, others.TotalSeconds / result.Seconds), entries);
    }

    /// <summary>The one with the median rate.</summary>
    public static Measurement MedianOf(IEnumerable<Measurement> rounds)
    {
        var sorted = rounds.OrderBy(m => m.RequestsPerSecond).ToList();
        return sorted[sorted.Count / 2];
    }

    /// <param name="yarp">The bare YARP under the same load; null where there is none.</param>
    public IReadOnlyList<string> Row(Measurement? yarp) =>
    [
        Name, Number(RequestsPerSecond, "0"), yarp is null || yarp == this ? "" : Number(RequestsPerSecond / yarp.RequestsPerSecond, "0.000"), Number(P50, "0.00"), Number(P95, "0.00"), Number(P99, "0.00"),
        Number(ServerCpu, "0"), Number(ServerShare, "0.00"), Number(ToolShare, "0.00"), Number(OtherShare, "0.00"), BoundBy,
    ];

    public static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    // The published tree covers what is more than a second old.
    private static async Task<long> SettledEntriesAsync(Contestant contestant, CancellationToken cancel)
    {
        await Task.Delay(TimeSpan.FromSeconds(1.2), cancel);
        var note = await contestant.House!.Clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint", cancel: cancel);
        return long.Parse(note.Text.Split('\n')[1], CultureInfo.InvariantCulture);
    }
}
