namespace KantaGateway.Fhir.Search;

/// <summary>Comparison of a date, number or quantity parameter (hl7.org/fhir/R4/search.html#prefix).</summary>
enum SearchPrefix { Eq, Ne, Lt, Le, Gt, Ge, Sa, Eb, Ap }

/// <summary>One date value of a search with its prefix. Pure.</summary>
readonly record struct TimeTest(SearchPrefix Prefix, TimeRange Range)
{
    /// <param name="now">UTC ticks: <c>ap</c> reaches a tenth of the distance from now.</param>
    public static bool TryParse(ReadOnlySpan<char> text, long now, out TimeTest test)
    {
        test = default;
        var prefix = SearchPrefix.Eq;
        if (text.Length > 2 && char.IsAsciiLetter(text[0]))
        {
            if (!TryPrefix(text[..2], out prefix))
                return false;
            text = text[2..];
        }
        if (!TimeRange.TryParse(text, out var range))
            return false;
        if (prefix == SearchPrefix.Ap)
        {
            var reach = Math.Abs(now - range.Start) / 10;
            range = new(range.Start - reach, range.End + reach);
        }
        test = new(prefix, range);
        return true;
    }

    /// <summary>Reads a prefix of a date, number or quantity.</summary>
    public static bool TryPrefix(ReadOnlySpan<char> text, out SearchPrefix prefix)
    {
        SearchPrefix? read = text switch
        {
            "eq" => SearchPrefix.Eq,
            "ne" => SearchPrefix.Ne,
            "lt" => SearchPrefix.Lt,
            "le" => SearchPrefix.Le,
            "gt" => SearchPrefix.Gt,
            "ge" => SearchPrefix.Ge,
            "sa" => SearchPrefix.Sa,
            "eb" => SearchPrefix.Eb,
            "ap" => SearchPrefix.Ap,
            _ => null,
        };
        prefix = read ?? SearchPrefix.Eq;
        return read is not null;
    }

    /// <summary>Whether a resource's time passes the test.</summary>
    public bool Holds(TimeRange value) => Prefix switch
    {
        SearchPrefix.Eq => Contains(value),
        SearchPrefix.Ne => !Contains(value),
        SearchPrefix.Lt => value.Start < Range.Start,
        SearchPrefix.Le => value.Start < Range.Start || Contains(value),
        SearchPrefix.Gt => value.End > Range.End,
        SearchPrefix.Ge => value.End > Range.End || Contains(value),
        SearchPrefix.Sa => value.Start >= Range.End,
        SearchPrefix.Eb => value.End <= Range.Start,
        _ => value.Overlaps(Range),
    };

    private bool Contains(TimeRange value) => Range.Start <= value.Start && value.End <= Range.End;
}
