using KantaGateway.Fhir.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Faults;

/// <summary>No hour comes twice.</summary>
public sealed class ForwardClockTests
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1), Second = TimeSpan.FromSeconds(1);

    private readonly SetClock _machine = new();
    private readonly ForwardClock _clock;

    public ForwardClockTests() => _clock = new(_machine);

    [Fact]
    public void It_is_the_machines_as_long_as_nobody_sets_that()
    {
        for (var i = 0; i < 500; i++)
        {
            _machine.Pass(TimeSpan.FromSeconds(i));
            Assert.Equal(_machine.GetUtcNow(), _clock.GetUtcNow());
        }
        Assert.Equal(TimeSpan.Zero, _clock.SetBack);
    }

    [Fact]
    public void Set_back_it_goes_on_and_set_right_again_it_is_the_machines()
    {
        var before = _clock.GetUtcNow();
        _machine.Set = -Hour;
        Assert.Equal(before, _clock.GetUtcNow());
        _machine.Pass(5 * Second);
        Assert.Equal(before + 5 * Second, _clock.GetUtcNow());
        Assert.Equal(Hour, _clock.SetBack);
        _machine.Set = default;
        Assert.Equal(_machine.GetUtcNow(), _clock.GetUtcNow());
    }

    [Fact]
    public void Set_forwards_it_follows_and_does_not_come_back()
    {
        _machine.Set = Hour;
        var ahead = _clock.GetUtcNow();
        Assert.Equal(_machine.GetUtcNow(), ahead);
        _machine.Set = default;
        _machine.Pass(5 * Second);
        Assert.Equal(ahead + 5 * Second, _clock.GetUtcNow());
        Assert.Equal(Hour, _clock.SetBack);
    }

    /// <summary>What time servers do, and what many small steps come to.</summary>
    [Fact]
    public void A_little_back_is_followed_and_no_more_than_that_within_a_minute()
    {
        _machine.Set = -1.5 * Second;
        Assert.Equal(_machine.GetUtcNow(), _clock.GetUtcNow());
        _machine.Set = -3 * Second;
        Assert.Equal(_machine.GetUtcNow() + 3 * Second, _clock.GetUtcNow());
        _machine.Set = -1.5 * Second;
        _machine.Pass(TimeSpan.FromMinutes(1));
        Assert.Equal(_machine.GetUtcNow(), _clock.GetUtcNow());
        _machine.Set = -3 * Second;
        Assert.Equal(_machine.GetUtcNow(), _clock.GetUtcNow());
    }

    [Theory]
    [InlineData(-3_600, true)]
    [InlineData(-1, false)]
    [InlineData(3_600, false)]
    public async Task A_part_whose_clock_stays_set_back_stops_to_be_started_with_the_new_one(int seconds, bool stops)
    {
        var stopped = new TaskCompletionSource();
        using var watch = new ClockWatch(_clock, stopped.SetResult, NullLogger<ClockWatch>.Instance);
        await watch.StartAsync(CancellationToken.None);
        _machine.Set = seconds * Second;
        for (var look = 0; stops ? !watch.ExecuteTask!.IsCompleted : look < 100; look++)
        {
            _ = _clock.GetUtcNow();
            _machine.Pass(ClockWatch.Every);
            await Task.Yield();
        }
        Assert.Equal(stops, stopped.Task.IsCompleted);
        await watch.StopAsync(CancellationToken.None);
    }
}
