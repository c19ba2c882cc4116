namespace KantaGateway.Fhir.Search;

/// <summary>Comparison of a date parameter (hl7.org/fhir/R4/search.html#prefix).</summary>
enum TimePrefix { Eq, Ne, Lt, Le, Gt, Ge, Sa, Eb, Ap }

/// <summary>One date value of a search with its prefix. Pure.</summary>
readonly record struct TimeTest(TimePrefix Prefix, TimeRange Range)
{
    /// <param name="now">UTC ticks: <c>ap</c> reaches a tenth of the distance from now.</param>
    public static bool TryParse(ReadOnlySpan<char> text, long now, out TimeTest test)
    {
        test = default;
        var prefix = TimePrefix.Eq;
        if (text.Length > 2 && char.IsAsciiLetter(text[0]))
        {
            TimePrefix? read = text[..2] switch
            {
                "eq" => TimePrefix.Eq,
                "ne" => TimePrefix.Ne,
                "lt" => TimePrefix.Lt,
                "le" => TimePrefix.Le,
                "gt" => TimePrefix.Gt,
                "ge" => TimePrefix.Ge,
                "sa" => TimePrefix.Sa,
                "eb" => TimePrefix.Eb,
                "ap" => TimePrefix.Ap,
                _ => null,
            };
            if (read is null)
                return false;
            prefix = read.Value;
            text = text[2..];
        }
        if (!TimeRange.TryParse(text, out var range))
            return false;
        if (prefix == TimePrefix.Ap)
        {
            var reach = Math.Abs(now - range.Start) / 10;
            range = new(range.Start - reach, range.End + reach);
        }
        test = new(prefix, range);
        return true;
    }

    /// <summary>Whether a resource's time passes the test.</summary>
    public bool Holds(TimeRange value) => Prefix switch
    {
        TimePrefix.Eq => Contains(value),
        TimePrefix.Ne => !Contains(value),
        TimePrefix.Lt => value.Start < Range.Start,
        TimePrefix.Le => value.Start < Range.Start || Contains(value),
        TimePrefix.Gt => value.End > Range.End,
        TimePrefix.Ge => value.End > Range.End || Contains(value),
        TimePrefix.Sa => value.Start >= Range.End,
        TimePrefix.Eb => value.End <= Range.Start,
        _ => value.Start < Range.End && Range.Start < value.End,
    };

    private bool Contains(TimeRange value) => Range.Start <= value.Start && value.End <= Range.End;
}
