using System.Globalization;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>How a result has changed, drawn and in numbers.</summary>
internal sealed class TrendModel(OwnRecords records, EntryLines lines, OrganisationNames names, Texts texts) : CitizenPage
{
    private static readonly EntryKind[] Results = [new("observations", "Observation")];

    public Entry Entry { get; private set; } = null!;

    public Trend Trend { get; private set; } = null!;

    /// <summary>There are more entries than a look at the record reads.</summary>
    public bool Truncated { get; private set; }

    public string SourceOf(TrendPoint point) => names.Of(point.Entry.Organisation);

    public static string RangeOf(TrendPoint point) => (point.Low, point.High) switch
    {
        ({ } low, { } high) => $"{Write(low)} – {Write(high)}",
        ({ } low, null) => $"≥ {Write(low)}",
        (null, { } high) => $"≤ {Write(high)}",
        _ => "",
    };

    private static string Write(decimal bound) => bound.ToString(CultureInfo.CurrentCulture);

    public async Task OnGetAsync(Guid id, CancellationToken cancel)
    {
        var read = await records.ReadAsync(Citizen, Results, cancel);
        Entry = read.Entries.FirstOrDefault(entry => entry.Id == id.ToString("D") && Trend.CanBeOf(entry)) ?? throw new RefusedException(StatusCodes.Status404NotFound);
        Trend = Trend.Of(Entry, read.Entries, lines.Reader, texts);
        Truncated = read.Truncated;
    }
}
