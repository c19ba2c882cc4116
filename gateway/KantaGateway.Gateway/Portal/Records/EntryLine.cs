namespace KantaGateway.Gateway.Portal.Records;

/// <summary>An entry as a list shows it.</summary>
/// <param name="Term">What a professional calls it; null where that says no more than the title.</param>
/// <param name="Gist">Result, dose or status; null for none.</param>
/// <param name="Source">Name of the organisation that recorded it.</param>
/// <param name="Kind">Plain name of its type where the list mixes them; null where the heading says it.</param>
/// <param name="IsProtected">Whether it is specially protected (Act 703/2023 §26.2).</param>
internal sealed record EntryLine(Entry Entry, string Title, string? Term, string? Gist, string Source, string? Kind, bool IsProtected);

/// <summary>Where a list stands.</summary>
/// <param name="Path">Address without the page.</param>
/// <param name="Page">From 1.</param>
/// <param name="Last">Number of pages, at least 1.</param>
internal sealed record Pager(string Path, int Page, int Last)
{
    /// <summary>Entries on a page: what a phone can load and a person can look through.</summary>
    public const int Size = 50;

    /// <summary>Cuts one page out; a page that does not exist becomes the nearest one that does.</summary>
    public static (Pager Pager, IReadOnlyList<T> Items) Cut<T>(string path, int page, IReadOnlyList<T> all)
    {
        var last = Math.Max(1, (all.Count + Size - 1) / Size);
        page = Math.Clamp(page, 1, last);
        return (new(path, page, last), [.. all.Skip((page - 1) * Size).Take(Size)]);
    }
}
