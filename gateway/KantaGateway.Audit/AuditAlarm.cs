using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Audit;

/// <summary>
/// Says that a store is not what it has to be: to the operators' log, and as <c>kanta.audit.alarms</c>. What goes on to be so is said again after a minute. Thread-safe.
/// </summary>
sealed partial class AuditAlarm(ILogger logger)
{
    private static readonly Meter Meter = new("KantaGateway.Audit");

    private static readonly Counter<long> Alarms = Meter.CreateCounter<long>("kanta.audit.alarms", "{alarm}", "Times that the audit store was found not to be what it has to be.");

    private static readonly TimeSpan Again = TimeSpan.FromMinutes(1);

    // Taken at once: a metric that is not there before its first alarm cannot be watched.
    private readonly Counter<long> _alarms = Alarms;
    private readonly Lock _turn = new();
    private string? _said;
    private long _at;

    /// <param name="what">Without personal data.</param>
    public void Raise(string what)
    {
        _alarms.Add(1);
        lock (_turn)
        {
            var now = Environment.TickCount64;
            if (what == _said && now - _at < Again.TotalMilliseconds)
                return;
            (_said, _at) = (what, now);
        }
        LogAlarm(logger, what);
    }

    [LoggerMessage(4, LogLevel.Critical, "ALARM: the audit store is not what it has to be: {What} Check it against a checkpoint that was kept elsewhere.")]
    private static partial void LogAlarm(ILogger logger, string what);
}
