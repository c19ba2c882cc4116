using System.Diagnostics;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

public enum StepOutcome { Passed, Failed, NotReached }

/// <summary>One step of a verification and how it went.</summary>
/// <param name="Problem">What was expected and what came; null when passed.</param>
public sealed record StepResult(string Part, string Title, StepOutcome Outcome, TimeSpan Duration, string? Problem);

/// <summary>Something was not as it must be. Never carries data of a person.</summary>
public sealed class ExpectationException(string expected, string came) : Exception($"expected {expected}; came {came}");

/// <summary>Runs named steps and keeps what became of each.</summary>
/// <param name="told">Called after each step.</param>
public sealed class Steps(Action<StepResult>? told = null)
{
    private readonly List<StepResult> _results = [];
    private bool _broken;

    public IReadOnlyList<StepResult> Results => _results;

    /// <summary>Steps of a story rest on each other: after one fails, the rest are not reached.</summary>
    public Task ThenAsync(string part, string title, Func<Task> step) => RunAsync(part, title, step, chained: true);

    /// <summary>A check that stands alone.</summary>
    public Task AlsoAsync(string part, string title, Func<Task> step) => RunAsync(part, title, step, chained: false);

    /// <summary>Begins another story.</summary>
    public void Restart() => _broken = false;

    private async Task RunAsync(string part, string title, Func<Task> step, bool chained)
    {
        if (chained && _broken)
        {
            Add(new(part, title, StepOutcome.NotReached, TimeSpan.Zero, null));
            return;
        }
        var watch = Stopwatch.StartNew();
        try
        {
            await step().ConfigureAwait(false);
            Add(new(part, title, StepOutcome.Passed, watch.Elapsed, null));
        }
        catch (Exception e) when (e is not OperationCanceledException { CancellationToken.IsCancellationRequested: true })
        {
            // A verification reports whatever goes wrong, in our own code too, and goes on.
            _broken |= chained;
            Add(new(part, title, StepOutcome.Failed, watch.Elapsed, e is ExpectationException or PortalException or TokenRefusedException ? e.Message : $"{e.GetType().Name}: {e.Message}"));
        }
    }

    private void Add(StepResult result)
    {
        _results.Add(result);
        told?.Invoke(result);
    }
}

/// <summary>What an answer must be; throws <see cref="ExpectationException"/> with both sides.</summary>
public static class Expect
{
    public static void That(bool holds, string expected, string came)
    {
        if (!holds)
            throw new ExpectationException(expected, came);
    }

    /// <returns>The same reply.</returns>
    public static FhirReply Status(FhirReply reply, string what, params ReadOnlySpan<int> statuses)
    {
        if (!statuses.Contains(reply.Status))
            throw new ExpectationException($"{string.Join(" or ", statuses.ToArray())} for {what}", $"{reply}");
        return reply;
    }

    /// <summary>A refusal with an OperationOutcome that says something, at an element when one is given.</summary>
    /// <param name="expression">What the first matching issue's expression must begin with; null when no element is at fault.</param>
    public static void Refusal(FhirReply reply, string what, int[] statuses, string? expression = null)
    {
        Status(reply, what, statuses);
        That(reply.Issues.Any(i => !string.IsNullOrWhiteSpace(i.Diagnostics)), $"an explaining OperationOutcome for {what}", $"{reply}");
        if (expression is not null)
            That(reply.Issues.Any(i => i.Expression?.StartsWith(expression, StringComparison.Ordinal) == true), $"an issue at {expression} for {what}",
                $"{reply.Status} at {string.Join(", ", reply.Issues.Select(i => i.Expression ?? "no expression"))}");
    }
}
