using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace KantaGateway.Benchmarks;

/// <summary>One load: many connections that each send the next request when the answer to the last has come.</summary>
/// <param name="Address">Loopback only.</param>
/// <param name="Identity">PEM file with the client certificate's chain and key; null for none.</param>
sealed record Load(Uri Address, IReadOnlyList<(string Name, string Value)> Headers, string? Identity, int Connections, int Seconds);

/// <summary>What the tool saw. Latencies in milliseconds.</summary>
/// <param name="Failures">Connections that broke, answers that did not come, and statuses other than 2xx.</param>
sealed record LoadResult(long Requests, double Seconds, double P50, double P95, double P99, double Max, long Failures)
{
    public double RequestsPerSecond => Requests / Seconds;
}

/// <summary>A load generator from Debian's packages, run as a process of its own.</summary>
/// <param name="folder">For its files; readable by the owner alone, since tokens are in them.</param>
abstract partial class LoadTool(string folder)
{
    public abstract string Name { get; }

    /// <summary>wrk, for plain HTTP: it has no client certificates.</summary>
    public static LoadTool Wrk(string folder) => Find("wrk") is { } program ? new WrkTool(program, folder) : throw Missing("wrk", "wrk");

    /// <summary>ab, for TLS with a client certificate.</summary>
    public static LoadTool ApacheBench(string folder) => Find("ab") is { } program ? new ApacheBenchTool(program, folder) : throw Missing("ab", "apache2-utils");

    public abstract Task<LoadResult> RunAsync(Load load, CancellationToken cancel);

    private protected string File(string name, string content) => PrivateFile.Write(Path.Combine(folder, name), Encoding.UTF8.GetBytes(content));

    private protected static async Task<string> RunAsync(string program, IEnumerable<string> arguments, int seconds, CancellationToken cancel)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(TimeSpan.FromSeconds(seconds + 30));
        try
        {
            var error = process.StandardError.ReadToEndAsync(limit.Token);
            var output = await process.StandardOutput.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return process.ExitCode == 0 ? output : throw new BenchmarkException($"{Path.GetFileName(program)} failed: {(await error).Trim()}");
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }

    private static string? Find(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .Select(f => Path.Combine(f, program)).FirstOrDefault(System.IO.File.Exists);

    private static BenchmarkException Missing(string program, string package) =>
        new($"{program} is not installed. Install it (apt-get install {package}) and start again; nothing was measured.");

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    private sealed class WrkTool(string program, string folder) : LoadTool(folder)
    {
        public override string Name => "wrk";

        public override async Task<LoadResult> RunAsync(Load load, CancellationToken cancel)
        {
            var script = new StringBuilder();
            foreach (var (name, value) in load.Headers)
                script.Append(CultureInfo.InvariantCulture, $"wrk.headers[\"{name}\"] = \"{value}\"\n");
            // Microseconds. wrk's own report has no 95th percentile.
            script.Append("""
                function done(summary, latency, requests)
                  local e = summary.errors
                  print(string.format("RESULT %d %d %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(95),
                    latency:percentile(99), latency.max, e.connect + e.read + e.write + e.timeout + e.status))
                end
                """);
            var output = await RunAsync(program, ["-t", "1", "-c", Text(load.Connections), "-d", $"{load.Seconds}s", "-s", File("wrk.lua", script.ToString()), load.Address.ToString()], load.Seconds, cancel);
            var line = output.Split('\n').FirstOrDefault(l => l.StartsWith("RESULT ", StringComparison.Ordinal)) ?? throw new BenchmarkException("wrk gave no result.");
            var n = line.Split(' ')[1..].Select(Number).ToArray();
            return new((long)n[0], n[1] / 1e6, n[2] / 1e3, n[3] / 1e3, n[4] / 1e3, n[5] / 1e3, (long)n[6]);
        }
    }

    private sealed partial class ApacheBenchTool(string program, string folder) : LoadTool(folder)
    {
        // It allots a record for each request it may make before it begins.
        private const int MostRequests = 1_000_000;

        public override string Name => "ab";

        public override async Task<LoadResult> RunAsync(Load load, CancellationToken cancel)
        {
            var percentiles = File("ab.csv", "");
            List<string> arguments = ["-q", "-k", "-l", "-c", Text(load.Connections), "-t", Text(load.Seconds), "-n", Text(MostRequests), "-e", percentiles];
            foreach (var (name, value) in load.Headers)
                arguments.AddRange(["-H", $"{name}: {value}"]);
            if (load.Identity is { } identity)
                arguments.AddRange(["-E", identity]);
            arguments.Add(load.Address.ToString());
            var output = await RunAsync(program, arguments, load.Seconds, cancel);
            var at = System.IO.File.ReadLines(percentiles).Skip(1).Select(l => l.Split(',')).ToDictionary(p => (int)Number(p[0]), p => Number(p[1]));
            var requests = (long)Field(output, "Complete requests");
            // Not kept alive means a new TLS handshake, which is not what is measured here.
            var reconnected = requests - (long)Field(output, "Keep-Alive requests");
            return new(requests, Field(output, "Time taken for tests"), at[50], at[95], at[99], Longest().Match(output) is { Success: true } m ? Number(m.Groups[1].Value) : at[99],
                (long)(Field(output, "Failed requests") + Field(output, "Non-2xx responses", 0)) + Math.Max(0, reconnected));
        }

        private static double Field(string output, string name, double? absent = null) =>
            Regex.Match(output, Regex.Escape(name) + @":\s+([\d.]+)") is { Success: true } match ? Number(match.Groups[1].Value)
            : absent ?? throw new BenchmarkException($"ab did not say its {name}.");

        [GeneratedRegex(@"100%\s+(\d+) \(longest request\)")]
        private static partial Regex Longest();
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
