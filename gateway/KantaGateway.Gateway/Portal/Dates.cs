using System.Globalization;

namespace KantaGateway.Gateway.Portal;

/// <summary>A point in time as FHIR states it, which may be only a year or a month (R4 datatypes, dateTime).</summary>
/// <param name="Sort">Start of what was stated, UTC; for ordering.</param>
/// <param name="Precision">How much of it was stated.</param>
internal readonly record struct StatedTime(DateTimeOffset Sort, TimePrecision Precision)
{
    /// <summary>Reads <c>2026</c>, <c>2026-03</c>, <c>2026-03-12</c> or a dateTime with zone; null for anything else.</summary>
    public static StatedTime? Read(string? text)
    {
        var culture = CultureInfo.InvariantCulture;
        return text?.Length switch
        {
            4 when DateTime.TryParseExact(text, "yyyy", culture, DateTimeStyles.None, out var year) => new(AtHome(year), TimePrecision.Year),
            7 when DateTime.TryParseExact(text, "yyyy-MM", culture, DateTimeStyles.None, out var month) => new(AtHome(month), TimePrecision.Month),
            10 when DateTime.TryParseExact(text, "yyyy-MM-dd", culture, DateTimeStyles.None, out var day) => new(AtHome(day), TimePrecision.Day),
            > 10 when DateTimeOffset.TryParse(text, culture, DateTimeStyles.AssumeUniversal, out var time) => new(time.ToUniversalTime(), TimePrecision.Minute),
            _ => null,
        };
    }

    // The first day of all began in Finland before there is a time for it.
    private static DateTimeOffset AtHome(DateTime local) => new(local, local == DateTime.MinValue ? TimeSpan.Zero : Dates.Home.GetUtcOffset(local));
}

internal enum TimePrecision { Year, Month, Day, Minute }

/// <summary>Dates as people in Finland write them, in Finnish time and in the language of the request.</summary>
internal static class Dates
{
    public static readonly TimeZoneInfo Home = TimeZoneInfo.FindSystemTimeZoneById("Europe/Helsinki");

    public static string Day(DateTimeOffset time) => Local(time).ToString(Pattern(TimePrecision.Day), CultureInfo.CurrentCulture);

    public static string Minute(DateTimeOffset time) => Local(time).ToString(Pattern(TimePrecision.Minute), CultureInfo.CurrentCulture);

    public static string Clock(DateTimeOffset time) => Local(time).ToString(CultureInfo.CurrentUICulture.Name is "en" ? "H:mm" : "H.mm", CultureInfo.CurrentCulture);

    public static string Of(StatedTime time) => Local(time.Sort).ToString(Pattern(time.Precision), CultureInfo.CurrentCulture);

    /// <summary>For the datetime attribute of &lt;time&gt;.</summary>
    public static string Machine(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    public static DateOnly DayAtHome(DateTimeOffset time) => DateOnly.FromDateTime(Local(time).DateTime);

    /// <summary>A day as a form sends it, or as people in Finland write it: <c>2026-03-12</c>, <c>12.3.2026</c>; null for anything else.</summary>
    public static DateOnly? Typed(string? text) => DateOnly.TryParseExact(text?.Trim(), ["yyyy-MM-dd", "d.M.yyyy"], CultureInfo.InvariantCulture, DateTimeStyles.None, out var day) ? day : null;

    public static int Year(DateTimeOffset time) => Local(time).Year;

    private static DateTimeOffset Local(DateTimeOffset time) => TimeZoneInfo.ConvertTime(time, Home);

    private static string Pattern(TimePrecision precision) => (precision, CultureInfo.CurrentUICulture.Name) switch
    {
        (TimePrecision.Year, _) => "yyyy",
        (TimePrecision.Month, "en") => "MMMM yyyy",
        (TimePrecision.Month, _) => "M'/'yyyy",
        (TimePrecision.Day, "en") => "d MMMM yyyy",
        (TimePrecision.Day, _) => "d.M.yyyy",
        (TimePrecision.Minute, "en") => "d MMMM yyyy 'at' H:mm",
        (TimePrecision.Minute, "sv") => "d.M.yyyy 'kl.' H.mm",
        _ => "d.M.yyyy 'klo' H.mm",
    };
}
