using System.Diagnostics.Metrics;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Operations.Witnesses;

namespace KantaGateway.Gateway.Operations;

/// <summary>How this gateway stands, as gauges that are read when somebody asks. No measurement names anybody.</summary>
/// <remarks>
/// <c>kanta.audit.taking</c>: 1 where the audit log takes entries, 0 where nothing may be disclosed. <c>kanta.audit.lag</c>, seconds: for how long the oldest entry has waited for the disk. <c>kanta.audit.checkpoint.age</c>,
/// seconds: since when there have been entries that no checkpoint covers; 0 where it covers all. <c>kanta.witness.age</c>, seconds: since a quorum of witnesses has cosigned; without witnesses not there.
/// <c>kanta.breach.open</c> by <c>kind</c>: open breach cases. <c>kanta.gateway.serving</c>: 0 where a probe has seen a breach, or has been blind for long.
/// </remarks>
internal sealed class StandingMetrics : IHostedService
{
    public const string Meter = "KantaGateway.Standing";

    public StandingMetrics(IMeterFactory meters, AuditLog log, TimeProvider time, BreachCases? cases = null, BreachWatch? watch = null, Witnessing? witnessing = null)
    {
        var meter = meters.Create(Meter);
        meter.CreateObservableGauge("kanta.audit.taking", () => log.IsTaking ? 1 : 0, null, "Whether the audit log takes entries: 1 or 0.");
        meter.CreateObservableGauge("kanta.audit.lag", () => log.Lag.TotalSeconds, "s", "For how long the oldest entry has waited for the disk.");
        meter.CreateObservableGauge("kanta.audit.checkpoint.age", () => log.UncoveredFor.TotalSeconds, "s", "For how long there have been entries that no checkpoint covers.");
        if (witnessing is not null)
            meter.CreateObservableGauge("kanta.witness.age", () => (time.GetUtcNow() - witnessing.MetAt).TotalSeconds, "s", "Since a quorum of witnesses has cosigned the audit log.");
        if (cases is not null)
            meter.CreateObservableGauge("kanta.breach.open", () => cases.All.GroupBy(static one => one.Kind).Select(kind => new Measurement<int>(kind.Count(one => cases.IsOpen(one.Number)), new KeyValuePair<string, object?>("kind", JsonNamingPolicy.KebabCaseLower.ConvertName(kind.Key.ToString())))),
                "{case}", "Open breach cases, by kind.");
        meter.CreateObservableGauge("kanta.gateway.serving", () => watch is { MayServe: false } ? 0 : 1, null, "Whether no live probe keeps this gateway from serving: 1 or 0.");
    }

    // It is made at the start, so that its gauges are there before anybody asks; there is nothing to do.
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
