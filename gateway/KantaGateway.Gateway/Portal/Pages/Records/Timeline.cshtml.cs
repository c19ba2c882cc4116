using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Everything by time, newest first.</summary>
internal sealed class TimelineModel(OwnRecords records, EntryLines lines, OrganisationNames names) : EntryListPage(records, lines, names)
{
    /// <summary>Year (<see cref="EntryFilter.NoYear"/>: not known) and its lines, in the order of the page.</summary>
    public IReadOnlyList<(string Year, IReadOnlyList<EntryLine> Lines)> Years { get; private set; } = [];

    public Task<IActionResult> OnGetAsync([FromQuery(Name = "page")] int number, CancellationToken cancel) => ShowAsync(null, number, cancel);

    public Task<IActionResult> OnPostAsync([FromForm] EntryForm form, [FromForm(Name = "page")] int number, CancellationToken cancel) => ShowAsync(form, number, cancel);

    private async Task<IActionResult> ShowAsync(EntryForm? form, int number, CancellationToken cancel)
    {
        var entries = await ReadAsync(EntryKind.All, "/records/timeline", form, number, cancel);
        Years = [.. entries.GroupBy(EntryFilter.YearOf).Select(g => (g.Key, Lines.Of(g, withKind: true)))];
        return Shown();
    }
}
