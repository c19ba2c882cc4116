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

    public async Task<IActionResult> OnGetAsync(string type, Guid id, CancellationToken cancel)
    {
        if (EntryKind.OfType(type) is null || await records.FindAsync(Citizen, type, id.ToString("D"), cancel) is not { } entry)
            throw new RefusedException(StatusCodes.Status404NotFound);
        Entry = entry;
        var files = new List<string>();
        var attachments = await records.AttachmentsAsync(Citizen, entry, files, cancel);
        Files = files;
        Title = lines.Reader.Title(entry);
        TypeName = lines.Reader.TypeName(type);
        Source = lines.Of(entry, withKind: false).Source;
        Fields = lines.Reader.Fields(entry, attachments);
        if (type == "Encounter")
        {
            var all = await records.ReadAsync(Citizen, EntryKind.All, cancel);
            Siblings = lines.Of(all.Entries.Where(e => e.Type != "Encounter" && e.Visit == entry.Id), withKind: true);
        }
        else if (entry.Visit is { } visit && await records.FindAsync(Citizen, "Encounter", visit, cancel) is { } encounter)
        {
            Visit = lines.Of(encounter, withKind: false);
        }
        return Page();
    }
}
