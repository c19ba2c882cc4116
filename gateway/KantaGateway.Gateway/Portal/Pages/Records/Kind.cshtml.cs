using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>All of one kind, newest first.</summary>
internal sealed class KindModel(OwnRecords records, EntryLines lines, OrganisationNames names) : EntryListPage(records, lines, names)
{
    public EntryKind Kind { get; private set; } = EntryKind.All[0];

    public IReadOnlyList<EntryLine> Entries { get; private set; } = [];

    /// <summary>Results of which there are several, by name: the newest of each, and how many.</summary>
    public IReadOnlyList<(string Id, string Title, int Count)> Trends { get; private set; } = [];

    public Task<IActionResult> OnGetAsync(string kind, [FromQuery(Name = "page")] int number, CancellationToken cancel) => ShowAsync(kind, null, number, cancel);

    public Task<IActionResult> OnPostAsync(string kind, [FromForm] EntryForm form, [FromForm(Name = "page")] int number, CancellationToken cancel) => ShowAsync(kind, form, number, cancel);

    private async Task<IActionResult> ShowAsync(string kind, EntryForm? form, int number, CancellationToken cancel)
    {
        Kind = EntryKind.Find(kind) ?? throw new RefusedException(StatusCodes.Status404NotFound);
        Entries = Lines.OfKind(Kind, await ReadAsync([Kind], $"/records/kind/{Kind.Code}", form, number, cancel));
        if (form is null)
            Trends = [.. All.Where(static entry => Trend.KeyOf(entry) is not null).GroupBy(Trend.KeyOf).Where(static g => g.Count() > 1)
                .Select(g => (g.First().Id, Lines.Reader.Title(g.First()), g.Count())).OrderBy(static g => g.Item2, StringComparer.CurrentCulture)];
        return Shown();
    }
}
