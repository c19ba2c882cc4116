using System.Diagnostics;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

public enum StepOutcome { Passed, Failed, NotReached }

/// <summary>One check of a verification and how it went. Nothing in it is secret or personal.</summary>
/// <param name="Title">What was looked at this time: one check may be made of several clinics.</param>
/// <param name="Expected">What should have come; null when passed.</param>
/// <param name="Came">What came instead; null when passed.</param>
/// <param name="Sent">The last requests of the check, with how they were answered.</param>
public sealed record StepResult(Check Check, string Title, StepOutcome Outcome, TimeSpan Duration, string? Expected, string? Came, IReadOnlyList<Exchange> Sent)
{
    public string Part => Check.Suite;

    /// <summary>What was expected and what came; null when passed.</summary>
    public string? Problem => Came is null ? null : Expected is null ? Came : $"expected {Expected}; came {Came}";
}

/// <summary>Something was not as it must be. Never carries data of a person.</summary>
public sealed class ExpectationException(string expected, string came) : Exception($"expected {expected}; came {came}")
{
    public string Expected { get; } = expected;
    public string Came { get; } = came;
}

/// <summary>Carries out named checks and keeps what became of each.</summary>
/// <param name="told">Called after each.</param>
/// <param name="selection">Which are wanted; all by default.</param>
public sealed class Steps(Action<StepResult>? told = null, Selection? selection = null)
{
    private readonly List<StepResult> _results = [];
    private readonly Selection _selection = selection ?? Selection.All;
    private bool _broken;

    public IReadOnlyList<StepResult> Results => _results;

    /// <summary>Steps of a story rest on each other: after one fails, the rest are not reached. Those before a chosen one are carried out too, and told of when they fail.</summary>
    public Task ThenAsync(string id, string title, Func<Task> step)
    {
        var check = Check.Of(id);
        return _selection.Reaches(check) ? RunAsync(check, title, step, chained: true, _selection.Has(check)) : Task.CompletedTask;
    }

    /// <summary>A check that stands alone.</summary>
    public Task AlsoAsync(string id, string title, Func<Task> step)
    {
        var check = Check.Of(id);
        return _selection.Has(check) ? RunAsync(check, title, step, chained: false, isChosen: true) : Task.CompletedTask;
    }

    /// <summary>What checks of some suites rest on; carried out where one of them is wanted.</summary>
    public Task PrepareAsync(string id, string title, Func<Task> step, params ReadOnlySpan<string> suites)
    {
        var check = Check.Of(id);
        foreach (var suite in suites)
            if (_selection.HasAnyOf(suite))
                return RunAsync(check, title, step, chained: false, _selection.Has(check));
        return Task.CompletedTask;
    }

    /// <summary>Whether any check of a suite, or whose id begins so, is wanted.</summary>
    public bool Wants(string beginning) => _selection.HasAnyOf(beginning);

    /// <summary>Begins another story.</summary>
    public void Restart() => _broken = false;

    private async Task RunAsync(Check check, string title, Func<Task> step, bool chained, bool isChosen)
    {
        if (chained && _broken)
        {
            if (isChosen)
                Add(new(check, title, StepOutcome.NotReached, TimeSpan.Zero, null, null, []));
            return;
        }
        using var exchanges = Exchanges.Begin();
        var watch = Stopwatch.StartNew();
        try
        {
            await step().ConfigureAwait(false);
            if (isChosen)
                Add(new(check, title, StepOutcome.Passed, watch.Elapsed, null, null, exchanges.Last()));
        }
        catch (Exception e) when (e is not OperationCanceledException { CancellationToken.IsCancellationRequested: true })
        {
            // A verification reports whatever goes wrong, in our own code too, and goes on.
            _broken |= chained;
            var (expected, came) = e switch
            {
                ExpectationException its => (its.Expected, its.Came),
                PortalException or TokenRefusedException => (null, e.Message),
                _ => ((string?)null, $"{e.GetType().Name}: {e.Message}"),
            };
            Add(new(check, title, StepOutcome.Failed, watch.Elapsed, Redaction.Of(expected), Redaction.Of(came), exchanges.Last()));
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
