using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>A list of entries, newest first, all or those that are looked for. What is looked for is the citizen's own affair, so it is in no address.</summary>
internal abstract class EntryListPage(OwnRecords records, EntryLines lines, OrganisationNames names) : CitizenPage
{
    private const int LongestWords = 100;

    /// <summary>What was looked for; null where all is shown.</summary>
    public EntryForm? Form { get; private set; }

    public FormProblem? Problem { get; private set; }

    public EntryChoices Choices { get; private set; } = EntryChoices.None;

    public Pager Pager { get; private set; } = new("", 1, 1);

    /// <summary>How many there are, of those that are looked for.</summary>
    public int Count { get; private set; }

    /// <summary>There are more than a look at the record reads.</summary>
    public bool Truncated { get; private set; }

    protected EntryLines Lines => lines;

    /// <summary>All entries of the list, found or not.</summary>
    protected IReadOnlyList<Entry> All { get; private set; } = [];

    /// <summary>Reads the entries of one page of the list.</summary>
    /// <param name="address">Of the list.</param>
    /// <param name="form">What is looked for; null: all.</param>
    protected async Task<IReadOnlyList<Entry>> ReadAsync(IReadOnlyList<EntryKind> kinds, string address, EntryForm? form, int page, CancellationToken cancel)
    {
        var read = await records.ReadAsync(Citizen, kinds, cancel);
        (All, Truncated, Choices, Form) = (read.Entries, read.Truncated, EntryChoices.Of(read.Entries, names), form);
        Problem = form?.Words?.Length > LongestWords ? new("words", "find.error.words") : null;
        var found = form is null || Problem is not null ? All : [.. All.Where(new EntryFilter(form, lines).Passes)];
        Count = found.Count;
        (Pager, var shown) = Pager.Cut(address, page, found);
        return shown;
    }

    protected IActionResult Shown() => Problem is null ? Page() : Rejected();
}
