using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>One entry, whole; a visit with the entries that belong to it.</summary>
internal sealed class EntryModel(OwnRecords records, EntryLines lines) : CitizenPage
{
    public required Entry Entry { get; set; }

    public string Title { get; private set; } = "";

    public string TypeName { get; private set; } = "";

    public string Source { get; private set; } = "";

    public IReadOnlyList<EntryField> Fields { get; private set; } = [];

    /// <summary>Media types of attachments that cannot be shown.</summary>
    public IReadOnlyList<string> Files { get; private set; } = [];

    public IReadOnlyList<string> Codes => EntryReader.Codes(Entry);

    /// <summary>The visit it belongs to; null for a visit itself.</summary>
    public EntryLine? Visit { get; private set; }

    /// <summary>Of a visit: the entries that refer to it.</summary>
    public IReadOnlyList<EntryLine> Siblings { get; private set; } = [];

    /// <summary>Where among them.</summary>
    public Pager Pager { get; private set; } = new("", 1, 1);

    /// <summary>There are more of them than a page may carry.</summary>
    public bool Truncated { get; private set; }

    public async Task<IActionResult> OnGetAsync(string type, Guid id, [FromQuery(Name = "page")] int number, CancellationToken cancel)
    {
        if (!EntryKind.Shown.Contains(type) || await records.FindAsync(Citizen, type, id.ToString("D"), cancel) is not { } found)
            throw new RefusedException(StatusCodes.Status404NotFound);
        Entry = found.Entry;
        var files = new List<string>();
        var attachments = await records.AttachmentsAsync(Citizen, Entry, files, cancel);
        Files = files;
        Title = lines.Reader.Title(Entry);
        TypeName = lines.Reader.TypeName(type);
        Source = lines.Of(Entry, withKind: false).Source;
        Fields = lines.Reader.Fields(Entry, attachments);
        Visit = found.Visit is { } visit ? lines.Of(visit, withKind: false) : null;
        (Pager, var siblings) = Pager.Cut($"/records/entry/{type}/{Entry.Id}", number, found.OfVisit.Entries);
        Siblings = lines.Of(siblings, withKind: true);
        Truncated = found.OfVisit.Truncated;
        return Page();
    }
}
