using System.Diagnostics;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Harness.Drills;

/// <summary>How an attack ended.</summary>
/// <param name="Got">What the thief has now, in numbers.</param>
/// <param name="Surfaced">What showed the attack to somebody who is not the thief; null: nothing did, nor need it.</param>
/// <param name="After">From the first step of the attack until it had surfaced.</param>
/// <param name="Problem">Where the house did not hold: what had been expected, and what came.</param>
public sealed record Outcome(string Got, string? Surfaced = null, TimeSpan? After = null, string? Problem = null);

/// <summary>One line of a drill.</summary>
/// <param name="At">Since the drill began.</param>
public sealed record DrillLine(TimeSpan At, string Attack, Outcome Outcome)
{
    public bool IsHeld => Outcome.Problem is null;
}

/// <summary>Stages attacks one after another and keeps what became of each.</summary>
/// <param name="told">Called after each.</param>
public sealed class Drill(Action<DrillLine>? told = null)
{
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly List<DrillLine> _lines = [];

    public IReadOnlyList<DrillLine> Lines => _lines;

    /// <param name="attack">What is done, such as "the stolen disk is searched".</param>
    /// <param name="carryOut">Gets a clock that runs since the attack began.</param>
    public async Task AttackAsync(string attack, Func<Stopwatch, Task<Outcome>> carryOut)
    {
        Outcome outcome;
        try
        {
            outcome = await carryOut(Stopwatch.StartNew()).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not OperationCanceledException { CancellationToken.IsCancellationRequested: true })
        {
            // A drill tells whatever goes wrong, in its own code too, and goes on: the attack was not carried out, so nothing held.
            outcome = new("not known", Problem: e is ExpectationException or PortalException or TokenRefusedException ? e.Message : $"{e.GetType().Name}: {e.Message}");
        }
        var line = new DrillLine(_watch.Elapsed, attack, outcome);
        _lines.Add(line);
        told?.Invoke(line);
    }
}
