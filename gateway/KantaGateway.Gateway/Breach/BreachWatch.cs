using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// Whether this gateway may serve. One breach that a probe has seen ends that for the life of the process; where there are cases, one that has been
/// started anew serves when a round of probes was sound. So does one whose probes were answered for some rounds without what they should have seen: who watches blindly
/// proves nothing. Rounds that were not answered leave it as it was. Thread-safe.
/// </summary>
sealed class BreachWatch(BreachCases cases, GatewayOptions options, ILogger<BreachWatch> logger)
{
    private readonly HashSet<BreachKind> _seen = [];
    // What somebody has asked for too much of, or should not have, says nothing against the gateway that stopped it.
    private volatile bool _waits = options.Breach!.Probes is not null && cases.All.Any(static one => one.Kind is not (BreachKind.DisputedAccess or BreachKind.CanaryTouched or BreachKind.BreadthExceeded));
    private volatile bool _breached;
    private volatile int _blind, _unanswered;

    /// <summary>For readiness.</summary>
    public bool MayServe => !_breached && !_waits && !IsBlind;

    private bool IsBlind => options.Breach!.Probes is { } probes && _blind >= probes.BlindRounds;

    public void RoundWasSound()
    {
        if (IsBlind)
            Log.Sighted(logger);
        (_blind, _unanswered, _waits) = (0, 0, false);
    }

    /// <summary>A round that was answered without what it should have seen. Rounds come one after another: nobody else counts meanwhile.</summary>
    public void RoundWasBlind()
    {
        var was = IsBlind;
        _blind++;
        _unanswered = 0;
        if (!was && IsBlind)
            Log.BlindTooLong(logger, _blind);
    }

    /// <summary>A round that says nothing. As many in a row as may not be blind are somebody's to look into, and no reason to serve nobody.</summary>
    public void RoundWasUnanswered()
    {
        if (++_unanswered == options.Breach!.Probes!.BlindRounds)
            Log.UnansweredLong(logger, _unanswered);
    }

    /// <summary>The gateway serves no more; a case is opened, one for each kind in the life of the process.</summary>
    public async Task BreachAsync(BreachKind kind, string what)
    {
        // Before anything that can fail.
        _breached = true;
        lock (_seen)
            if (!_seen.Add(kind))
                return;
        try
        {
            var opened = await cases.OpenAsync(kind, what).ConfigureAwait(false);
            Log.Opened(logger, opened.Number, opened.What);
        }
        catch
        {
            // A disk that does not take it: the next round tries again.
            lock (_seen)
                _seen.Remove(kind);
            throw;
        }
    }
}

/// <summary>Puts cases and probes together.</summary>
static class BreachSetup
{
    public static void AddBreach(this WebApplicationBuilder builder, GatewayOptions options, byte[] identifierKey)
    {
        if (options.Breach is not { } breach)
            return;
        builder.Services.AddSingleton<BreachCases>().AddHostedService<BreachCasesCheck>();
        builder.Services.AddSingleton<BreachWatch>();
        builder.Services.AddSingleton<ForgeryReports>();
        if (options.Identification.Operators is not null)
            builder.Services.AddSingleton<CaseWork>();
        if (breach.Notices is not null)
            builder.Services.AddSingleton(s => new BreachNotices(options, identifierKey, s.GetRequiredService<BreachCases>(), s.GetRequiredService<Audit.AuditLog>(), s.GetRequiredService<TimeProvider>()));
        if (breach.Notices?.MessageRelay is not null)
            builder.Services.AddSingleton<NoticeMessages>();
        if (breach.Escalation is not null)
            builder.Services.AddHostedService<BreachEscalation>();
        builder.Services.AddSingleton<StoreWatch>();
        builder.Services.AddHostedService(static services => services.GetRequiredService<StoreWatch>());
        builder.Services.AddSingleton<DisputeWatch>().AddHostedService(static s => s.GetRequiredService<DisputeWatch>());
        builder.Services.AddSingleton<BreachMetrics>();
        builder.Services.AddSingleton<Signs>();
        if (breach.Breadth is { } breadth)
            builder.Services.AddSingleton(s => new BreadthBudgets(s.GetRequiredService<ISharedState>(), breadth, s.GetRequiredService<IdentifierKey>(), s.GetRequiredService<BreachCases>(),
                s.GetRequiredService<BreachMetrics>(), s.GetRequiredService<TimeProvider>(), s.GetRequiredService<ILogger<BreadthBudgets>>()));
        if (breach.Breadth is not null)
            builder.Services.AddHostedService<BreadthWatch>();
        if (breach.PeopleFile is not null)
        {
            builder.Services.AddSingleton<WatchedPeople>();
            builder.Services.AddSingleton<Containing>();
            builder.Services.AddHostedService(static s => s.GetRequiredService<Containing>());
            builder.Services.AddSingleton<Canaries>();
        }
        if (breach.Canaries is not null)
            builder.Services.AddSingleton<CanaryRecords>();
        if (breach.Probes is null)
            return;
        builder.Services.AddSingleton<LiveProbe>();
        builder.Services.AddHostedService<LiveProbeService>();
    }
}
