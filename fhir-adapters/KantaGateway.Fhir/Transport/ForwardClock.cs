using System.Globalization;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Fhir.Transport;

/// <summary>
/// The clock of a machine, of which no hour comes twice: where it is set back, time goes on as it passes. So a grant, a token or an open record that has ended does not begin again, and what was
/// forgotten because its time was over stays so. Where it is set forwards it is followed, for whatever lives for a time only ends earlier. Thread-safe.
/// </summary>
/// <param name="machine">Its clock, and the counter by which time passes whatever the clock is set to.</param>
public sealed class ForwardClock(TimeProvider machine) : TimeProvider
{
    /// <summary>Every part takes this one, unless it is given another.</summary>
    public static readonly ForwardClock OfThisMachine = new(System);

    /// <summary>Less than this it may be set back: time servers do it.</summary>
    private static readonly TimeSpan Allowed = PeerClocks.Most;

    /// <summary>As often it is looked whether it went a little back, which is followed then: so that little and little is no hour at last.</summary>
    private static readonly TimeSpan Between = TimeSpan.FromMinutes(1);

    /// <summary>By less it is not before the time that has passed.</summary>
    private static readonly TimeSpan Slight = TimeSpan.FromMilliseconds(10);

    private volatile Mark _mark = new(machine.GetUtcNow(), machine.GetTimestamp());

    /// <param name="At">By the counter.</param>
    private sealed record Mark(DateTimeOffset Time, long At);

    public override long TimestampFrequency => machine.TimestampFrequency;

    public override TimeZoneInfo LocalTimeZone => machine.LocalTimeZone;

    /// <summary>By how much the machine's clock is behind the time that has passed; negative where it is before it.</summary>
    public TimeSpan SetBack => Passed(_mark, machine.GetTimestamp()) - machine.GetUtcNow();

    public override DateTimeOffset GetUtcNow()
    {
        // The counter first, and for a mark once more afterwards: a thread that is held up between is no clock that was set.
        var mark = _mark;
        var passed = Passed(mark, machine.GetTimestamp());
        var now = machine.GetUtcNow();
        if (passed - now > Allowed)
            return passed;
        if (now - passed > Slight || passed - mark.Time >= Between)
            // Another may have marked a later moment meanwhile: then that one stands.
            Interlocked.CompareExchange(ref _mark, new(now, machine.GetTimestamp()), mark);
        return now;
    }

    public override long GetTimestamp() => machine.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => machine.CreateTimer(callback, state, dueTime, period);

    private DateTimeOffset Passed(Mark mark, long at) => mark.Time + machine.GetElapsedTime(mark.At, at);
}

/// <summary>
/// Stops a part whose machine's clock was set back and stays so: it goes on by a time that nobody else has. Started again, it takes the new one, and compares it with its peers'.
/// </summary>
/// <param name="time">Its clock; only a <see cref="ForwardClock"/> is watched.</param>
/// <param name="stop">Stops this part, as one that has failed.</param>
public sealed partial class ClockWatch(TimeProvider time, Action stop, ILogger<ClockWatch> log) : BackgroundService
{
    private const int MostSetBack = 3;

    /// <summary>Between two looks.</summary>
    public static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (time is not ForwardClock clock)
            return;
        using var timer = new PeriodicTimer(Every, time);
        try
        {
            for (var times = 0; await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false);)
            {
                times = clock.SetBack > PeerClocks.Most ? times + 1 : 0;
                if (times < MostSetBack)
                    continue;
                WasSetBack(log, clock.SetBack.TotalSeconds.ToString("0", CultureInfo.InvariantCulture));
                stop();
                return;
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    [LoggerMessage(1, LogLevel.Critical, "The clock of this machine was set back by {Seconds} s, so this part stops. Have it follow time servers (NTP), and start it again.")]
    private static partial void WasSetBack(ILogger log, string seconds);
}
