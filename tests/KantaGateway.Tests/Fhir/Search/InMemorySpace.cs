using Hl7.Fhir.Model;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>A space of resources that are all to be seen, in the order in which they were added.</summary>
sealed class InMemorySpace : ISearchSpace
{
    private readonly List<Record> _records = [];

    private sealed class Record(string type, string id, byte[] entry) : SearchRecord
    {
        public override string Type => type;
        public override ReadOnlySpan<byte> Entry => entry;
        public string Id => id;
    }

    public SearchRecord Add(Resource resource)
    {
        var record = new Record(resource.TypeName, resource.Id!, Indexer.Build(new()
        {
            Type = resource.TypeName, ResourceSequence = _records.Count + 1, RowSequence = _records.Count + 1, Controller = "1.2.246.10.1",
            LastUpdated = new DateTimeOffset(2030, 6, 1, 8, 0, 0, TimeSpan.Zero).AddSeconds(_records.Count),
        }, resource));
        _records.Add(record);
        return record;
    }

    public IEnumerable<string> Types => _records.Select(r => r.Type).Distinct();

    public IEnumerable<SearchRecord> OfType(string type, SearchQuery? query = null) => _records.Where(r => r.Type == type && query?.MayMatch(r.Entry) != false);

    public SearchRecord? Find(string type, string id) => _records.Find(r => r.Type == type && r.Id == id);

    public string IdOf(SearchRecord record) => ((Record)record).Id;

    /// <summary>Ids of what a query finds, in its order.</summary>
    public IReadOnlyList<string> Search(SearchQuery query)
    {
        var run = query.Over(this);
        var found = OfType(query.Type).Where(run.Matches).ToList();
        found.Sort(run.Compare);
        return [.. found.Select(IdOf)];
    }
}
