using System.Globalization;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Gateway.Breach;

/// <summary>Says, once a day, of which disputes of accesses the time to answer is over (GDPR Art. 12(3)): a critical line of the log, and an entry of the audit log that names the case. Ending the case ends it.</summary>
internal sealed partial class DisputeWatch(BreachCases cases, GatewayOptions options, AuditLog log, TimeProvider time, ILogger<DisputeWatch> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromHours(1), Again = TimeSpan.FromDays(1);

    private readonly Dictionary<long, DateTimeOffset> _said = [];

    /// <summary>When a dispute is answered at the latest.</summary>
    public static DateTimeOffset DueOf(BreachCase dispute, BreachOptions options) => dispute.AwareAt.AddDays(options.DisputeAnswerDays);

    /// <summary>Looks once.</summary>
    /// <returns>Numbers of the cases of which it was said now.</returns>
    /// <exception cref="AuditUnavailableException">It could not be recorded; the next look says it.</exception>
    public async Task<IReadOnlyList<long>> LookAsync(CancellationToken cancel)
    {
        var (now, said) = (time.GetUtcNow(), new List<long>());
        foreach (var dispute in cases.All.Where(one => one.Kind == BreachKind.DisputedAccess && cases.IsOpen(one.Number) && DueOf(one, options.Breach!) <= now))
        {
            if (_said.TryGetValue(dispute.Number, out var last) && now - last < Again)
                continue;
            LogOverdue(dispute.Number, DueOf(dispute, options.Breach!));
            await log.AppendAsync(OwnRecord.Of(options, now, string.Create(CultureInfo.InvariantCulture, $"Breach case {dispute.Number} is overdue: the person who disputes an access was to be answered by {DueOf(dispute, options.Breach!):u}."),
                JsonSerializer.SerializeToUtf8Bytes(dispute), AuditOutcome.SeriousFailure), cancel);
            _said[dispute.Number] = now;
            said.Add(dispute.Number);
        }
        return said;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
                try
                {
                    await LookAsync(stoppingToken);
                }
                catch (AuditUnavailableException)
                {
                    // The audit log says so by itself.
                }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    [LoggerMessage(1230, LogLevel.Critical, "Breach case {Number} is overdue: whoever disputes an access was to be answered by {Due:u}. Propose its end with the answer (dispute-end), and then that of the case.")]
    private partial void LogOverdue(long number, DateTimeOffset due);
}
