namespace KantaGateway.Fhir.Search;

/// <summary>
/// The zone of dates that name none: Finland's. R4 leaves it to the server, and a Finnish "1 May" begins three hours
/// before UTC's.
/// </summary>
/// <remarks>
/// By rule and not from the machine's zone data, so that an index entry means the same on every node: UTC+2, and UTC+3
/// from the last Sunday of March 03:00 to that of October 04:00 (of September until 1995), since 1981 (whose first two
/// summers began and ended an hour earlier, which no date can tell). Pure.
/// </remarks>
public static class FinnishTime
{
    private static readonly TimeSpan Winter = TimeSpan.FromHours(2);

    /// <summary>When a day of the Finnish calendar begins, UTC; of the first day that there is, no earlier than the calendar.</summary>
    public static DateTimeOffset Midnight(DateOnly day)
    {
        var local = day.ToDateTime(TimeOnly.MinValue);
        return new(Math.Max(local.Ticks - OffsetAt(local).Ticks, 0), TimeSpan.Zero);
    }

    /// <summary>The day of the Finnish calendar at a time. The hour in which clocks are put back is not near a midnight.</summary>
    public static DateOnly DayOf(DateTimeOffset at)
    {
        var latest = DateTime.MaxValue.Ticks;
        var offset = OffsetAt(new(Math.Min(at.UtcTicks + Winter.Ticks, latest)));
        return DateOnly.FromDateTime(new(Math.Min(at.UtcTicks + offset.Ticks, latest)));
    }

    /// <summary>Offset from UTC of a local time; of an hour that occurs twice, the first.</summary>
    public static TimeSpan OffsetAt(DateTime local)
    {
        var summer = local.Year >= 1981
            && local >= LastSunday(local.Year, 3).AddHours(3)
            && local < LastSunday(local.Year, local.Year < 1996 ? 9 : 10).AddHours(4);
        return TimeSpan.FromHours(summer ? 3 : 2);
    }

    private static DateTime LastSunday(int year, int month)
    {
        var last = new DateTime(year, month, DateTime.DaysInMonth(year, month));
        return last.AddDays(-(int)last.DayOfWeek);
    }
}
