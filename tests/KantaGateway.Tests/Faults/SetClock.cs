using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Faults;

/// <summary>The clock of a machine that somebody sets, and the time that passes there meanwhile, which is another thing.</summary>
sealed class SetClock : TimeProvider
{
    private readonly FakeTimeProvider _passing = new(DateTimeOffset.UtcNow);

    /// <summary>By how much it was set.</summary>
    public TimeSpan Set { get; set; }

    public override long TimestampFrequency => _passing.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => _passing.GetUtcNow() + Set;

    public override long GetTimestamp() => _passing.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => _passing.CreateTimer(callback, state, dueTime, period);

    public void Pass(TimeSpan time) => _passing.Advance(time);
}
