namespace KantaGateway.Benchmarks;

/// <summary>One load on one contestant. Latencies in milliseconds.</summary>
/// <param name="ServerCpu">Processor time of the server process per request, microseconds.</param>
/// <param name="ToolShare">Processors kept busy by the load generator: 1 is one whole core.</param>
/// <param name="OtherShare">Processors kept busy by whatever else ran on the machine; near 0 on a quiet one.</param>
/// <param name="AuditEntries">Durable audit entries that the load made; null for the reference servers.</param>
sealed record Measurement(string Name, bool Tls, string Tool, int Connections, long Requests, double RequestsPerSecond, double P50, double P95, double P99, double Max,
    double ServerCpu, double ToolShare, double OtherShare, long? AuditEntries)
{
    /// <exception cref="BenchmarkException">Some requests failed, or some answers have no audit entry.</exception>
    public static async Task<Measurement> TakeAsync(Arena arena, Contestant contestant, bool tls, int connections, int seconds, CancellationToken cancel)
    {
        var tool = tls ? arena.TlsTool : arena.PlainTool;
        var load = await arena.LoadOfAsync(contestant, tls, connections, seconds, cancel);
        var audited = contestant.Who is not null;
        var entriesBefore = audited ? await SettledEntriesAsync(arena, cancel) : 0;
        var (cpuBefore, machineBefore) = (contestant.Server.Cpu, MachineTime.Now());
        var result = await tool.RunAsync(load, cancel);
        var (cpu, machine) = (contestant.Server.Cpu - cpuBefore, MachineTime.Now());
        if (result.Failures > 0 || result.Requests == 0)
            throw new BenchmarkException($"{contestant.Name} {(tls ? "with" : "without")} TLS failed {result.Failures} of {result.Requests} requests: these are no numbers of reads.");
        long? entries = audited ? await SettledEntriesAsync(arena, cancel) - entriesBefore : null;
        // Law 1. More entries than answers is right: the tool hangs up on the last requests.
        if (entries < result.Requests)
            throw new BenchmarkException($"{result.Requests} answers but {entries} audit entries: what was measured discloses without a record.");
        var tools = machine.Tools - machineBefore.Tools;
        var others = machine.Busy - machineBefore.Busy - tools - (machine.Own - machineBefore.Own) - cpu;
        return new(contestant.Name, tls, tool.Name, connections, result.Requests, result.RequestsPerSecond, result.P50, result.P95, result.P99, result.Max,
            cpu.TotalMicroseconds / result.Requests, tools.TotalSeconds / result.Seconds, Math.Max(0, others.TotalSeconds / result.Seconds), entries);
    }

    // The published tree covers what is more than a second old.
    private static async Task<long> SettledEntriesAsync(Arena arena, CancellationToken cancel)
    {
        await Task.Delay(TimeSpan.FromSeconds(1.2), cancel);
        return await arena.AuditEntriesAsync(cancel);
    }
}
