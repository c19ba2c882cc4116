using System.Globalization;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>One entry, whole; a visit with the entries that belong to it.</summary>
internal sealed partial class EntryModel(OwnRecords records, EntryLines lines) : CitizenPage
{
    public required Entry Entry { get; set; }

    public string Title { get; private set; } = "";

    public string TypeName { get; private set; } = "";

    public string Source { get; private set; } = "";

    public IReadOnlyList<EntryField> Fields { get; private set; } = [];

    /// <summary>What a professional calls it; null where that says no more than the title.</summary>
    public string? Term { get; private set; }

    public bool IsProtected { get; private set; }

    public IReadOnlyList<Attachment> Files { get; private set; } = [];

    /// <summary>In what language whoever wrote the entry says it was written (BCP 47); null where that is the page's own, or not said.</summary>
    public string? Language => Entry.Resource.String("language") is { } language && Tag().IsMatch(language)
        && !language.Split('-')[0].Equals(CultureInfo.CurrentUICulture.TwoLetterISOLanguageName, StringComparison.OrdinalIgnoreCase) ? language : null;

    /// <summary>Whether its result can be one of several over time.</summary>
    public bool HasTrend => Trend.CanBeOf(Entry);

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
        // The log names a request for rectification as it does any entry; where it is told of in full is a page of its own.
        if (found.Entry.IsRequest)
            return new SeeOtherResult(RectificationsModel.Address);
        Entry = found.Entry;
        Files = await records.AttachmentsAsync(Citizen, Entry, cancel);
        var line = lines.Of(Entry, withKind: false);
        (Title, Term, Source, IsProtected) = (line.Title, line.Term, line.Source, line.IsProtected);
        TypeName = lines.Reader.TypeName(type);
        Fields = lines.Reader.Fields(Entry, [.. Files.Select(static file => file.Text).OfType<string>()]);
        Visit = found.Visit is { } visit ? lines.Of(visit, withKind: false) : null;
        (Pager, var siblings) = Pager.Cut($"/records/entry/{type}/{Entry.Id}", number, found.OfVisit.Entries);
        Siblings = lines.Of(siblings, withKind: true);
        Truncated = found.OfVisit.Truncated;
        return Page();
    }

    [GeneratedRegex("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
    private static partial Regex Tag();
}
