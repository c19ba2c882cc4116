using KantaGateway.Fhir.Grants;
using KantaGateway.Keys.Custody;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Keys;

/// <summary>Law 5: a grant opens one key in its life, whatever happens meanwhile.</summary>
public sealed class SpentGrantsTests
{
    private static readonly Digest One = new(1), Another = new(2);

    private readonly FakeTimeProvider _time = new();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(45)]
    [InlineData(89)]
    public void A_grant_is_taken_once_however_late_in_a_half_it_is(int seconds)
    {
        var spent = new SpentGrants(_time);
        Pass(seconds);
        Assert.True(spent.TryTake(One));
        // Somebody asks each second, which makes the halves change places.
        for (var second = 0; second < SpentGrants.Kept.TotalSeconds; second++)
        {
            Assert.False(spent.TryTake(One));
            Assert.True(spent.TryTake(new((UInt128)(100 + second))));
            Pass(1);
        }
        Assert.True(SpentGrants.Kept > Grant.MaxLifetime);
    }

    [Fact]
    public void It_is_forgotten_when_no_grant_of_then_lives()
    {
        var spent = new SpentGrants(_time);
        Assert.True(spent.TryTake(One));
        _time.Advance(2 * SpentGrants.Kept);
        Assert.True(spent.TryTake(One));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(95)]
    public void What_is_put_back_may_be_taken_again(int seconds)
    {
        var spent = new SpentGrants(_time);
        Assert.True(spent.TryTake(One));
        Pass(seconds);
        Assert.True(spent.TryTake(Another));
        spent.PutBack(One);
        Assert.True(spent.TryTake(One));
        Assert.False(spent.TryTake(Another));
    }

    /// <summary>By a clock that somebody sets nothing would be forgotten too soon: only time that passes counts.</summary>
    [Fact]
    public void A_clock_that_is_set_forgets_nothing()
    {
        var clock = new SetClock();
        var spent = new SpentGrants(clock);
        Assert.True(spent.TryTake(One));
        clock.Now += TimeSpan.FromHours(1);
        Assert.False(spent.TryTake(One));
        clock.Now -= TimeSpan.FromHours(2);
        Assert.False(spent.TryTake(One));
    }

    private void Pass(int seconds) => _time.Advance(TimeSpan.FromSeconds(seconds));

    private sealed class SetClock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => Now;

        public override long GetTimestamp() => 1;
    }
}
