using System.Buffers.Binary;

namespace KantaGateway.Fhir.Search;

/// <summary>A stretch of time as search compares it: from <see cref="Start"/> up to but not including <see cref="End"/>.</summary>
/// <param name="Start">100 ns ticks since 0001-01-01 UTC; <see cref="long.MinValue"/>: open.</param>
/// <param name="End">Likewise; <see cref="long.MaxValue"/>: open.</param>
/// <remarks>hl7.org/fhir/R4/search.html#date: a literal stands for the whole range that its precision leaves open.</remarks>
public readonly record struct TimeRange(long Start, long End)
{
    /// <summary>Whether they have a moment in common.</summary>
    public bool Overlaps(TimeRange other) => Start < other.End && other.Start < End;

    /// <summary>As it lies in an index entry (<see cref="ValueKind.Date"/>).</summary>
    internal static TimeRange Read(ReadOnlySpan<byte> payload) =>
        new(BinaryPrimitives.ReadInt64LittleEndian(payload), BinaryPrimitives.ReadInt64LittleEndian(payload[8..]));

    /// <summary>
    /// Reads <c>YYYY</c>, <c>YYYY-MM</c>, <c>YYYY-MM-DD</c> or <c>YYYY-MM-DDThh:mm[:ss[.f]]</c>, with or without
    /// <c>Z</c> or an offset; without one the time is Finnish.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<char> text, out TimeRange range)
    {
        range = default;
        if (!Digits(ref text, 4, out var year) || year == 0)
            return false;
        if (text.IsEmpty)
            return Local(new(year, 1, 1), Precision.Year, out range);
        if (!Take(ref text, '-') || !Digits(ref text, 2, out var month) || month is < 1 or > 12)
            return false;
        if (text.IsEmpty)
            return Local(new(year, month, 1), Precision.Month, out range);
        if (!Take(ref text, '-') || !Digits(ref text, 2, out var day) || day < 1 || day > DateTime.DaysInMonth(year, month))
            return false;
        var date = new DateTime(year, month, day);
        if (text.IsEmpty)
            return Local(date, Precision.Day, out range);

        if (!Take(ref text, 'T') || !Digits(ref text, 2, out var hour) || hour > 23
            || !Take(ref text, ':') || !Digits(ref text, 2, out var minute) || minute > 59)
            return false;
        var length = TimeSpan.TicksPerMinute;
        var ticks = date.Ticks + hour * TimeSpan.TicksPerHour + minute * TimeSpan.TicksPerMinute;
        if (Take(ref text, ':'))
        {
            if (!Digits(ref text, 2, out var second) || second > 60)
                return false;
            length = TimeSpan.TicksPerSecond;
            ticks += Math.Min(second, 59) * TimeSpan.TicksPerSecond; // a leap second is part of the one before it
            if (Take(ref text, '.') && !Fraction(ref text, ref ticks, ref length))
                return false;
        }
        if (!Offset(ref text, new DateTime(Math.Min(ticks, DateTime.MaxValue.Ticks)), out var offset) || !text.IsEmpty)
            return false;
        range = new(ticks - offset, ticks - offset + length);
        return true;
    }

    /// <summary>A point in time in the precision of <c>meta.lastUpdated</c>, a millisecond.</summary>
    public static TimeRange Millisecond(long utcTicks)
    {
        var start = utcTicks - utcTicks % TimeSpan.TicksPerMillisecond;
        return new(start, start + TimeSpan.TicksPerMillisecond);
    }

    private enum Precision { Year, Month, Day }

    private static bool Local(DateTime start, Precision precision, out TimeRange range)
    {
        var isLast = start.Year == 9999 && (precision == Precision.Year || (start.Month == 12 && (precision == Precision.Month || start.Day == 31)));
        var end = isLast ? DateTime.MaxValue : precision switch
        {
            Precision.Year => start.AddYears(1),
            Precision.Month => start.AddMonths(1),
            _ => start.AddDays(1),
        };
        range = new(start.Ticks - FinnishTime.OffsetAt(start).Ticks, end.Ticks - FinnishTime.OffsetAt(end).Ticks);
        return true;
    }

    private static bool Fraction(ref ReadOnlySpan<char> text, ref long ticks, ref long length)
    {
        var digits = 0;
        while (!text.IsEmpty && char.IsAsciiDigit(text[0]))
        {
            // Beyond 100 ns the rest is cut off: nothing stored is more precise.
            if (length > 1)
            {
                length /= 10;
                ticks += (text[0] - '0') * length;
            }
            text = text[1..];
            digits++;
        }
        return digits > 0;
    }

    private static bool Offset(ref ReadOnlySpan<char> text, DateTime local, out long offset)
    {
        offset = 0;
        if (text.IsEmpty)
        {
            offset = FinnishTime.OffsetAt(local).Ticks;
            return true;
        }
        if (Take(ref text, 'Z'))
            return true;
        var sign = text[0] switch { '+' => 1, '-' => -1, _ => 0 };
        text = text[1..];
        if (sign == 0 || !Digits(ref text, 2, out var hours) || hours > 14 || !Take(ref text, ':') || !Digits(ref text, 2, out var minutes) || minutes > 59)
            return false;
        offset = sign * (hours * TimeSpan.TicksPerHour + minutes * TimeSpan.TicksPerMinute);
        return true;
    }

    private static bool Take(ref ReadOnlySpan<char> text, char expected)
    {
        if (text.IsEmpty || text[0] != expected)
            return false;
        text = text[1..];
        return true;
    }

    private static bool Digits(ref ReadOnlySpan<char> text, int count, out int value)
    {
        value = 0;
        if (text.Length < count)
            return false;
        foreach (var c in text[..count])
        {
            if (!char.IsAsciiDigit(c))
                return false;
            value = value * 10 + (c - '0');
        }
        text = text[count..];
        return true;
    }
}
