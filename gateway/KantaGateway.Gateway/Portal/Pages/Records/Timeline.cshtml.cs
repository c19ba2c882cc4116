using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Everything by time, newest first.</summary>
internal sealed class TimelineModel(OwnRecords records, EntryLines lines) : CitizenPage
{
    /// <summary>Year (0: not known) and its lines, in the order of the page.</summary>
    public IReadOnlyList<(int Year, IReadOnlyList<EntryLine> Lines)> Years { get; private set; } = [];

    public Pager Pager { get; private set; } = new("", 1, 1);

    public bool Truncated { get; private set; }

    public async Task OnGetAsync([FromQuery(Name = "page")] int number, CancellationToken cancel)
    {
        var all = await records.ReadAsync(Citizen, EntryKind.All, cancel);
        Truncated = all.Truncated;
        (Pager, var entries) = Pager.Cut("/records/timeline", number, all.Entries);
        Years = [.. entries.GroupBy(e => e.When is { } when ? Dates.Year(when.Sort) : 0).Select(g => (g.Key, lines.Of(g, withKind: true)))];
    }
}
