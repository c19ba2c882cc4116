using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>All of one kind, newest first.</summary>
internal sealed class KindModel(OwnRecords records, EntryLines lines) : CitizenPage
{
    public EntryKind Kind { get; private set; } = EntryKind.All[0];

    public IReadOnlyList<EntryLine> Lines { get; private set; } = [];

    public Pager Pager { get; private set; } = new("", 1, 1);

    public int Count { get; private set; }

    public bool Truncated { get; private set; }

    public async Task<IActionResult> OnGetAsync(string kind, [FromQuery(Name = "page")] int number, CancellationToken cancel)
    {
        if (EntryKind.Find(kind) is not { } found)
            throw new RefusedException(StatusCodes.Status404NotFound);
        Kind = found;
        var all = await records.ReadAsync(Citizen, [found], cancel);
        (Pager, var entries) = Pager.Cut($"/records/kind/{found.Code}", number, all.Entries);
        Lines = lines.OfKind(found, entries);
        (Count, Truncated) = (all.Entries.Count, all.Truncated);
        return Page();
    }
}
