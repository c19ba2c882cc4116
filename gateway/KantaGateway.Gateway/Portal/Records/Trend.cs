using System.Globalization;
using System.Text.Json;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>One result of a series.</summary>
/// <param name="Value">The number.</param>
/// <param name="Bound"><c>&lt;</c>, <c>&lt;=</c>, <c>&gt;</c> or <c>&gt;=</c> where the true value is only known to lie on that side; empty where it is known.</param>
/// <param name="Text">As people read it, with its unit.</param>
/// <param name="Low">Of its own reference range; null: it has none.</param>
/// <param name="High">Likewise.</param>
internal sealed record TrendPoint(Entry Entry, DateTimeOffset When, decimal Value, string Bound, string Text, decimal? Low, decimal? High);

/// <summary>Results of the same kind in the same unit.</summary>
/// <param name="Name">Of a component its own name, else that of the result.</param>
/// <param name="Points">Oldest first, at least one.</param>
internal sealed record TrendSeries(string Name, string Unit, IReadOnlyList<TrendPoint> Points);

/// <summary>How a result has changed: the dated numbers of one code, each unit apart, for a number is no other number's neighbour across units. Pure.</summary>
/// <param name="Title">What is measured.</param>
/// <param name="Charts">Series that share a unit, such as both pressures, to be drawn together; in the order in which the entry names them.</param>
/// <param name="Left">How many older results are not in it.</param>
internal sealed record Trend(string Title, IReadOnlyList<IReadOnlyList<TrendSeries>> Charts, int Left)
{
    /// <summary>Results that are drawn and listed: the newest.</summary>
    public const int Most = 200;

    /// <summary>Whether an entry is a dated result with a number.</summary>
    public static bool CanBeOf(Entry entry) => entry is { Type: "Observation", When: not null } && IsResult(entry) && Numbers(entry.Resource).Any();

    /// <summary>A key that results of the same thing share; null of what cannot be compared.</summary>
    public static string? KeyOf(Entry entry) => CanBeOf(entry) ? Keys(entry.Resource.At("code")).FirstOrDefault() : null;

    /// <summary>The trend of one result.</summary>
    /// <param name="entry">It <see cref="CanBeOf"/>.</param>
    /// <param name="all">Entries among which its like are.</param>
    public static Trend Of(Entry entry, IEnumerable<Entry> all, EntryReader reader, Texts texts)
    {
        var code = Keys(entry.Resource.At("code")).ToHashSet(StringComparer.Ordinal);
        Entry[] like = [.. all.Where(e => CanBeOf(e) && (e.Id == entry.Id || Keys(e.Resource.At("code")).Any(code.Contains))).OrderByDescending(e => e.When!.Value.Sort)];
        var title = reader.Title(entry);
        var series = like.Take(Most).SelectMany(e => Numbers(e.Resource).Select(n => (Entry: e, Number: n)))
            .GroupBy(n => (Part: n.Number.Part is { } part ? Keys(part).FirstOrDefault() ?? "" : "", n.Number.Unit))
            .Select(g => new TrendSeries(g.First().Number.Part is { } part ? FhirText.Concept(part, texts) ?? title : title, g.Key.Unit,
                [.. g.Select(n => new TrendPoint(n.Entry, n.Entry.When!.Value.Sort, n.Number.Value, n.Number.Bound, n.Number.Text, n.Number.Low, n.Number.High)).Reverse()]));
        return new(title, [.. series.GroupBy(s => s.Unit).Select(g => (IReadOnlyList<TrendSeries>)[.. g])], Math.Max(0, like.Length - Most));
    }

    /// <summary>What was withdrawn, or never came about, is no result.</summary>
    private static bool IsResult(Entry entry) => entry.Resource.String("status") is not ("entered-in-error" or "cancelled");

    /// <summary>Names of what was measured: its codes, else its text.</summary>
    private static IEnumerable<string> Keys(JsonElement? concept)
    {
        if (concept is not { } value)
            return [];
        string[] codes = [.. value.Each("coding").Select(c => c.String("code") is { } code ? $"{c.String("system")}|{code}" : null).OfType<string>()];
        return codes.Length > 0 ? codes : value.String("text") is { } text ? [text.Trim().ToLowerInvariant()] : [];
    }

    private sealed record Number(JsonElement? Part, decimal Value, string Bound, string Unit, string Text, decimal? Low, decimal? High);

    private static IEnumerable<Number> Numbers(JsonElement observation)
    {
        if (Read(observation, null) is { } own)
            yield return own;
        foreach (var component in observation.Each("component"))
            if (component.At("code") is { } code && Read(component, code) is { } part)
                yield return part;
    }

    private static Number? Read(JsonElement holder, JsonElement? part)
    {
        if (holder.At("valueQuantity") is not { } quantity || Decimal(quantity.At("value")) is not { } value)
            return null;
        var ranges = holder.Each("referenceRange").ToArray();
        // Of several ranges, for ages or phases, none is known to be this person's.
        var range = ranges.Length == 1 ? ranges[0] : default;
        return new(part, value, quantity.String("comparator") ?? "", UnitOf(quantity), FhirText.Quantity(quantity)!, Bound("low"), Bound("high"));

        decimal? Bound(string end) => range.At(end) is { } bound && UnitOf(bound) is var unit && (unit.Length == 0 || unit == UnitOf(quantity)) ? Decimal(bound.At("value")) : null;
    }

    /// <summary>By its code where both speak UCUM, else as it is written.</summary>
    private static string UnitOf(JsonElement quantity) => (quantity.String("code") ?? quantity.String("unit") ?? "").Trim();

    // Beyond this nothing is a measurement, and what is drawn has to be reckoned with.
    private static decimal? Decimal(JsonElement? number) =>
        number is { ValueKind: JsonValueKind.Number } its && its.TryGetDecimal(out var value) && Math.Abs(value) < 1_000_000_000_000m ? value : null;
}

/// <summary>Where the points of a chart lie, in units of its own picture: a server draws it, so it is there without a script.</summary>
internal sealed class TrendChart
{
    public const int Width = 640, Height = 260;
    private const int Left = 64, Right = 16, Top = 16, Bottom = 36;

    private readonly double _least, _most;
    private readonly long _first, _last;

    public TrendChart(IReadOnlyList<TrendSeries> series)
    {
        Series = series;
        TrendPoint[] points = [.. series.SelectMany(s => s.Points)];
        (_first, _last) = (points.Min(p => p.When.UtcTicks), points.Max(p => p.When.UtcTicks));
        double[] values = [.. points.SelectMany(p => new[] { p.Value, p.Low, p.High }).OfType<decimal>().Select(v => (double)v)];
        (Ticks, _least, _most) = Scale(values.Min(), values.Max());
    }

    public IReadOnlyList<TrendSeries> Series { get; }

    /// <summary>Values with a line across, lowest first.</summary>
    public IReadOnlyList<double> Ticks { get; }

    public DateTimeOffset First => new(_first, TimeSpan.Zero);

    public DateTimeOffset Last => new(_last, TimeSpan.Zero);

    public static string PlotLeft => Write(Left);

    public static string PlotRight => Write(Width - Right);

    public static string PlotBottom => Write(Height - Bottom);

    public static string PlotWidth => Write(Width - Left - Right);

    /// <summary>From the left; one moment alone stands in the middle.</summary>
    public string X(DateTimeOffset when) =>
        Write(_first == _last ? Left + (Width - Left - Right) / 2.0 : Left + (Width - Left - Right) * ((when.UtcTicks - _first) / (double)(_last - _first)));

    /// <summary>From the top.</summary>
    public string Y(double value) => Write(Along(value));

    public string Y(decimal value) => Y((double)value);

    /// <summary>The range of reference that all points of the only series share: where it begins from the top, and how tall it is; null where they differ or have none.</summary>
    public (string Top, string Height)? Band
    {
        get
        {
            if (Series is not [var only] || only.Points.Select(p => (p.Low, p.High)).Distinct().ToArray() is not [var (low, high)] || (low is null && high is null))
                return null;
            var (top, bottom) = (Along(high is { } most ? (double)most : _most), Along(low is { } least ? (double)least : _least));
            return (Write(top), Write(bottom - top));
        }
    }

    /// <summary>The corners of a series' line.</summary>
    public string Line(TrendSeries series) => string.Join(' ', series.Points.Select(p => $"{X(p.When)},{Y(p.Value)}"));

    /// <summary>A tick as people read it.</summary>
    public static string Label(double tick) => ((decimal)tick).ToString("0.#####", CultureInfo.CurrentCulture);

    private double Along(double value) => Top + (Height - Top - Bottom) * (1 - (value - _least) / (_most - _least));

    private static string Write(double place) => place.ToString("0.#", CultureInfo.InvariantCulture);

    /// <summary>Some four round steps that hold all values.</summary>
    private static (double[] Ticks, double Least, double Most) Scale(double least, double most)
    {
        if (most - least < 1e-9 * Math.Max(1, Math.Abs(most)))
            (least, most) = (least - Math.Max(1, Math.Abs(least) / 10), most + Math.Max(1, Math.Abs(most) / 10));
        var rough = (most - least) / 4;
        var power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        var step = power * (rough / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 };
        var (from, to) = (Math.Floor(least / step), Math.Ceiling(most / step));
        return ([.. Enumerable.Range(0, (int)(to - from) + 1).Select(i => (from + i) * step)], from * step, to * step);
    }
}
