using System.Globalization;
using CsCheck;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

public class TimeRangeTests
{
    [Theory]
    [InlineData("2030", "2029-12-31T22:00:00Z", "2030-12-31T22:00:00Z")]
    [InlineData("2030-05", "2030-04-30T21:00:00Z", "2030-05-31T21:00:00Z")]
    [InlineData("2030-05-01", "2030-04-30T21:00:00Z", "2030-05-01T21:00:00Z")]
    [InlineData("2030-03-31", "2030-03-30T22:00:00Z", "2030-03-31T21:00:00Z")] // 23 hours: summer time begins
    [InlineData("2030-10-27", "2030-10-26T21:00:00Z", "2030-10-27T22:00:00Z")] // 25 hours: it ends
    [InlineData("2028-02-29", "2028-02-28T22:00:00Z", "2028-02-29T22:00:00Z")]
    [InlineData("2030-05-01T10:30", "2030-05-01T07:30:00Z", "2030-05-01T07:31:00Z")]
    [InlineData("2030-05-01T10:30Z", "2030-05-01T10:30:00Z", "2030-05-01T10:31:00Z")]
    [InlineData("2030-05-01T10:30:15-05:00", "2030-05-01T15:30:15Z", "2030-05-01T15:30:16Z")]
    [InlineData("2030-05-01T10:30:15.5Z", "2030-05-01T10:30:15.5Z", "2030-05-01T10:30:15.6Z")]
    [InlineData("2030-05-01T10:30:15.123Z", "2030-05-01T10:30:15.123Z", "2030-05-01T10:30:15.124Z")]
    [InlineData("2030-05-01T23:59:60Z", "2030-05-01T23:59:59Z", "2030-05-02T00:00:00Z")]
    public void A_literal_stands_for_the_range_that_its_precision_leaves_open(string literal, string start, string end)
    {
        Assert.True(TimeRange.TryParse(literal, out var range));
        Assert.Equal(start, Text(range.Start));
        Assert.Equal(end, Text(range.End));
    }

    [Theory]
    [InlineData("0001")]
    [InlineData("9999")]
    [InlineData("9999-12")]
    [InlineData("9999-12-31")]
    [InlineData("9999-12-31T23:59:59.9999999-14:00")]
    [InlineData("0001-01-01T00:00:00+14:00")]
    [InlineData("2030-05-01T10:30:15.123456789012345678901234567890Z")]
    public void The_ends_of_time_are_times(string literal)
    {
        Assert.True(TimeRange.TryParse(literal, out var range));
        Assert.True(range.Start < range.End);
    }

    [Theory]
    [InlineData("")]
    [InlineData("203")]
    [InlineData("20300")]
    [InlineData("0000")]
    [InlineData("2030-")]
    [InlineData("2030-5")]
    [InlineData("2030-00")]
    [InlineData("2030-13")]
    [InlineData("2030-05-00")]
    [InlineData("2030-02-29")]
    [InlineData("2030-05-01T")]
    [InlineData("2030-05-01T10")]
    [InlineData("2030-05-01T24:00Z")]
    [InlineData("2030-05-01T10:60Z")]
    [InlineData("2030-05-01T10:30:61Z")]
    [InlineData("2030-05-01T10:30:15.Z")]
    [InlineData("2030-05-01T10:30:15+3:00")]
    [InlineData("2030-05-01T10:30:15+15:00")]
    [InlineData("2030-05-01T10:30:15ZZ")]
    [InlineData("2030-05-01 10:30")]
    [InlineData("-030")]
    [InlineData("٢٠٣٠")]
    public void Rejects_what_is_no_time(string literal) => Assert.False(TimeRange.TryParse(literal, out _));

    [Fact]
    public void Finnish_time_is_what_the_zone_database_says_since_1983()
    {
        if (!TimeZoneInfo.TryFindSystemTimeZoneById("Europe/Helsinki", out var zone))
            return; // a machine without zone data; the rule itself does not need it
        Gen.DateTime[new DateTime(1983, 1, 1), new DateTime(2099, 12, 31)].Select(d => DateTime.SpecifyKind(d, DateTimeKind.Unspecified))
            .Where(local => !zone.IsInvalidTime(local) && !zone.IsAmbiguousTime(local))
            .Sample(local => FinnishTime.OffsetAt(local) == zone.GetUtcOffset(local), iter: 20_000);
    }

    [Fact]
    public void A_day_begins_at_its_midnight_and_a_tick_earlier_it_is_the_day_before() => Gen.Int[1, DateOnly.MaxValue.DayNumber].Select(DateOnly.FromDayNumber).Sample(day =>
        FinnishTime.DayOf(FinnishTime.Midnight(day)) == day && FinnishTime.DayOf(FinnishTime.Midnight(day).AddTicks(-1)) == day.AddDays(-1)
        && TimeRange.TryParse(day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture), out var range) && range.Start == FinnishTime.Midnight(day).UtcTicks);

    [Fact]
    public void The_day_is_the_one_of_the_zone_database_at_any_time() => Gen.DateTime[new DateTime(1983, 1, 1), new DateTime(2099, 12, 31)].Select(d => new DateTimeOffset(d.Ticks, TimeSpan.Zero))
        .Sample(at => FinnishTime.DayOf(at) == DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(at, TimeZoneInfo.FindSystemTimeZoneById("Europe/Helsinki")).DateTime), iter: 20_000);

    [Fact]
    public void At_the_ends_of_the_calendar_there_are_days_too()
    {
        Assert.Equal(DateTimeOffset.MinValue, FinnishTime.Midnight(DateOnly.MinValue));
        Assert.Equal(DateOnly.MinValue, FinnishTime.DayOf(DateTimeOffset.MinValue));
        Assert.Equal(DateOnly.MaxValue, FinnishTime.DayOf(DateTimeOffset.MaxValue));
    }

    [Fact]
    public void Whatever_a_literal_is_cut_to_contains_it() => Literals.Sample(literal =>
    {
        Assert.True(TimeRange.TryParse(literal, out var exact));
        foreach (var length in new[] { 4, 7, 10 })
        {
            // Cut off the time, the day, the month: in Finnish time only where the literal is Finnish.
            if (literal.Length <= length || !(literal.Length <= 10 || IsFinnish(literal)))
                continue;
            Assert.True(TimeRange.TryParse(literal.AsSpan(0, length), out var wider));
            Assert.True(wider.Start <= exact.Start && exact.End <= wider.End, literal);
        }
    });

    /// <summary>Literals of every precision, with and without offset.</summary>
    internal static readonly Gen<string> Literals = Gen.Select(
        Gen.DateTime[new DateTime(1990, 1, 1), new DateTime(2040, 1, 1)], Gen.Int[0, 6], Gen.Int[-12, 14], (time, precision, offset) =>
        {
            var text = time.ToString(precision switch
            {
                0 => "yyyy",
                1 => "yyyy-MM",
                2 => "yyyy-MM-dd",
                3 => "yyyy-MM-ddTHH:mm:ss",
                4 => "yyyy-MM-ddTHH:mm:ss.f",
                5 => "yyyy-MM-ddTHH:mm:ss.fff",
                _ => "yyyy-MM-ddTHH:mm:ss.fffffff",
            }, CultureInfo.InvariantCulture);
            return precision < 3 ? text : offset == 0 ? text + "Z" : $"{text}{(offset < 0 ? '-' : '+')}{Math.Abs(offset):00}:00";
        });

    private static bool IsFinnish(string literal) =>
        DateTimeOffset.Parse(literal, CultureInfo.InvariantCulture) is var time && FinnishTime.OffsetAt(time.DateTime) == time.Offset;

    private static string Text(long ticks) => new DateTime(ticks, DateTimeKind.Utc).ToString("yyyy-MM-ddTHH:mm:ss.FFFFFFFZ", CultureInfo.InvariantCulture);
}
