using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>How this gateway stands now, in figures, and of nobody: what is down, how far the log is, what waits for somebody. Asked anew each time the page is opened.</summary>
[ForOperators(OperatorRole.Onboarding, OperatorRole.Keys, OperatorRole.DataProtection)]
internal sealed class OperatorStandingModel(IReadiness readiness, ILogStanding log, Approvals approvals, Onboarding onboarding, EmergencyTrail trail, GatewayOptions options, TimeProvider time, BreachCases? cases = null) : OperatorPage
{
    public const string Address = "/operator/standing";

    public DateTimeOffset At { get; } = time.GetUtcNow();

    /// <summary>Each part, and whether it is down.</summary>
    public IReadOnlyList<(string Name, bool IsDown)> Parts { get; private set; } = [];

    /// <summary>Null: it cannot be told now.</summary>
    public LogState? Log { get; private set; }

    /// <summary>Null: this gateway keeps none.</summary>
    public (int Open, int Overdue)? Cases { get; private set; }

    public int Contained { get; private set; }

    /// <summary>Proposals of all kinds that wait for a second person, and acts that wait for being carried out.</summary>
    public (int Open, int Approved) Waiting { get; private set; }

    public (int Active, int Suspended) Clients { get; private set; }

    public (int Waiting, int Overdue) Emergencies { get; private set; }

    public async Task OnGetAsync(CancellationToken cancel)
    {
        var down = await readiness.DownAsync(cancel);
        Parts = [.. IReadiness.All.Where(name => name switch { IReadiness.Probes => options.Breach is not null, IReadiness.Redis => options.Redis is not null, _ => true }).Select(name => (name, down.Contains(name)))];
        Log = await log.OfAsync();
        var state = approvals.Current;
        Contained = state.Contained.Count;
        var open = state.Proposals.Values.Where(one => one.Until > At).ToLookup(static one => one.Status);
        Waiting = (open[ProposalStatus.Open].Count(), open[ProposalStatus.Approved].Count(static one => !DecisionState.IsDoneWhenApproved(one.Kind)));
        var clients = onboarding.List().Clients;
        Clients = (clients.Count(static one => one.IsActive), clients.Count(static one => !one.IsActive));
        Emergencies = trail.Count();
        if (cases is not null)
        {
            var shown = cases.All.Where(one => cases.IsOpen(one.Number)).Select(one => ShownCase.Of(one, cases, options.Breach!, At)).ToList();
            Cases = (shown.Count, shown.Count(static one => one.Next?.State == BreachClockState.Overdue));
        }
    }
}
