using System.Text.Json;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Download;

/// <summary>What of a record is printed: the newest entries of the kinds that pages show, and what she has asked to be rectified, gathered entry by entry.</summary>
internal sealed class PrintedContent
{
    /// <summary>Entries in a file, and letters of attached texts that are held for them.</summary>
    internal const int MostEntries = 2_000, MostHeld = 8_000_000;

    private List<Entry> _entries = [];
    private readonly Dictionary<string, string> _contents = [];
    private readonly List<JsonElement> _letters = [];
    private int _held;
    private bool _hasMore;

    public Entry? Patient { get; private set; }

    public void Add(Entry entry)
    {
        // The page that it came in is let go.
        Entry Kept() => entry with { Resource = entry.Resource.Clone() };
        if (entry.Type == "Patient")
            Patient = Kept();
        else if (entry.Type == "Binary")
        {
            if (entry.Resource.String("data") is { } data && _held + data.Length <= MostHeld)
                (_contents[entry.Id], _held) = (data, _held + data.Length);
        }
        else if (entry.IsRequest)
            _letters.Add(entry.Resource.Clone());
        else if (EntryKind.Shown.Contains(entry.Type))
        {
            _entries.Add(Kept());
            if (_entries.Count > 2 * MostEntries)
                (_entries, _hasMore) = (Newest(), true);
        }
    }

    /// <summary>By kind in the order of the pages, in each newest first; and whether there are older ones.</summary>
    public (IReadOnlyList<Entry> Entries, bool HasMore) Chosen()
    {
        var kinds = EntryKind.All.ToList();
        return ([.. Newest().OrderBy(e => kinds.IndexOf(EntryKind.Of(e))).ThenByDescending(When)], _hasMore || _entries.Count > MostEntries);
    }

    /// <summary>What she has asked controllers to rectify, newest first, with what has come of it.</summary>
    public IReadOnlyList<RectificationRequest> Asked() => RectificationRequest.ReadAll(_letters);

    /// <summary>Content of a Binary, base64; null where it is not at hand.</summary>
    public string? ContentOf(string id) => _contents.GetValueOrDefault(id);

    private List<Entry> Newest() => [.. _entries.OrderByDescending(When).Take(MostEntries)];

    private static DateTimeOffset When(Entry entry) => entry.When?.Sort ?? DateTimeOffset.MinValue;
}
