using System.Diagnostics;
using System.Globalization;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Fuzzing;

/// <summary>
/// Feeds mutated inputs to one entry point and holds it to three promises: it answers (a value or a refusal, never an
/// unforeseen exception), it answers within a second, and it keeps nothing.
/// </summary>
/// <remarks>
/// A test run feeds a sample; <c>infra/fuzz.sh</c> sets <c>KANTA_FUZZ_CASES</c> and <c>KANTA_FUZZ_FROM</c> for a campaign.
/// </remarks>
static class Campaign
{
    /// <summary>Longest that one input may take.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(1);

    /// <summary>Managed memory that may be held after a run beyond what was held before, in bytes.</summary>
    private const long Growth = 32 << 20;

    /// <param name="name">In the report.</param>
    /// <param name="sample">Inputs of an ordinary test run.</param>
    /// <param name="mutator">Where they come from.</param>
    /// <param name="feed">Returns what became of it in a word, for the report; throws when a promise is broken.</param>
    public static void Run(string name, int sample, Mutator mutator, Func<byte[], string> feed, ITestOutputHelper output)
    {
        var from = Setting("KANTA_FUZZ_FROM") ?? 0;
        var cases = Setting("KANTA_FUZZ_CASES") ?? sample;
        for (var i = 0; i < 200; i++) // what is made once is made before it is measured
            _ = feed(mutator.Make(from + i));
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var ends = new Dictionary<string, long>(StringComparer.Ordinal);
        var slowest = TimeSpan.Zero;
        var whole = Stopwatch.StartNew();
        for (var run = from; run < from + cases; run++)
        {
            var input = mutator.Make(run);
            var began = Stopwatch.GetTimestamp();
            string end;
            try
            {
                end = feed(input);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"{name}: input {run} ended in {e.GetType().Name}; keep it as a vector. {Convert.ToBase64String(input.AsSpan(0, Math.Min(input.Length, 3_000)))}", e);
            }
            var took = Stopwatch.GetElapsedTime(began);
            // A busy machine may stop a thread for long: what is slow must be slow again.
            if (took > Limit)
            {
                began = Stopwatch.GetTimestamp();
                _ = feed(input);
                took = Stopwatch.GetElapsedTime(began);
                Assert.True(took < Limit, $"{name}: input {run} took {took.TotalMilliseconds:0} ms twice.");
            }
            slowest = took > slowest ? took : slowest;
            ends[end] = ends.GetValueOrDefault(end) + 1;
        }
        var grown = GC.GetTotalMemory(forceFullCollection: true) - before;
        var report = string.Create(CultureInfo.InvariantCulture,
            $"{name}: {cases} inputs from {from} in {whole.Elapsed.TotalSeconds:0} s, slowest {slowest.TotalMilliseconds:0} ms, memory held {grown / 1024.0 / 1024.0:0.0} MB more; {string.Join(", ", ends.OrderByDescending(e => e.Value).Select(e => $"{e.Key} {e.Value}"))}");
        output.WriteLine(report);
        if (Environment.GetEnvironmentVariable("KANTA_FUZZ_REPORT") is { Length: > 0 } file)
            File.AppendAllText(file, report + "\n");
        // Beside other tests the measure is theirs too: a campaign runs alone.
        Assert.True(Setting("KANTA_FUZZ_CASES") is null || grown < Growth, $"{name}: {grown} bytes are held after the run.");
        Assert.True(ends.Count > 1, $"{name}: every input ended the same way, so the inputs do not reach far.");
    }

    private static long? Setting(string name) =>
        long.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;
}
