using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The latest of each kind.</summary>
internal sealed class RecordsModel(OwnRecords records, EntryLines lines) : CitizenPage
{
    private const int Latest = 5;

    public sealed record Group(EntryKind Kind, IReadOnlyList<EntryLine> Latest, int Count);

    public IReadOnlyList<Group> Groups { get; private set; } = [];

    public bool Truncated { get; private set; }

    public async Task OnGetAsync(CancellationToken cancel)
    {
        var all = await records.ReadAsync(Citizen, EntryKind.All, cancel);
        Truncated = all.Truncated;
        var byKind = all.Entries.ToLookup(EntryKind.Of);
        Groups = [.. EntryKind.All.Where(byKind.Contains).Select(kind =>
            new Group(kind, lines.OfKind(kind, byKind[kind].Take(Latest)), byKind[kind].Count()))];
    }
}
