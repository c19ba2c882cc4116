using System.Diagnostics;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>A whole verification: what was asked, what became of it.</summary>
/// <param name="Seed">Run again with it, the checks are about the same fictional person.</param>
/// <param name="Profile">Kind of vendor; null: all.</param>
public sealed record VerificationReport(Uri Target, string? Profile, int Seed, DateTimeOffset Began, TimeSpan Duration, IReadOnlyList<StepResult> Results)
{
    public int Failed => Results.Count(static r => r.Outcome != StepOutcome.Passed);
}

/// <summary>Carries a verification out.</summary>
public static class VerificationRun
{
    public static async Task<VerificationReport> RunAsync(DevFolder folder, Uri target, Selection selection, int seed, string? profile = null, Action<StepResult>? told = null, CancellationToken cancel = default)
    {
        var (began, watch) = (DateTimeOffset.UtcNow, Stopwatch.StartNew());
        var steps = new Steps(told, selection);
        if (Check.All.Any(c => c.IsStory && selection.Has(c)))
        {
            using var scenario = new VisitScenario(folder, target);
            await scenario.RunAsync(steps, cancel).ConfigureAwait(false);
        }
        if (Check.All.Any(c => !c.IsStory && selection.Has(c)))
        {
            using var checks = new FurtherChecks(folder, target, seed: seed);
            await checks.RunAsync(steps, cancel).ConfigureAwait(false);
        }
        return new(target, profile, seed, began, watch.Elapsed, steps.Results);
    }
}
