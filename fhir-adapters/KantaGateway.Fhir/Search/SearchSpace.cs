using System.Buffers.Binary;
using System.Text;
using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Fhir.Search;

/// <summary>One resource as a search sees it.</summary>
public abstract class SearchRecord
{
    /// <summary>FHIR resource type.</summary>
    public abstract string Type { get; }

    /// <summary>Its decrypted <see cref="IndexEntry"/>; not to be kept beyond the search.</summary>
    public abstract byte[] Entry { get; }
}

/// <summary>
/// What a search may look at: one compartment through one scope, and the directory. What is hidden is not in it. Used by
/// one request at a time.
/// </summary>
public interface ISearchSpace
{
    /// <summary>Types of which there may be resources.</summary>
    IEnumerable<string> Types { get; }

    /// <summary>Newest versions of the type's resources, without deleted ones, in the order of their creation.</summary>
    IEnumerable<SearchRecord> OfType(string type);

    /// <summary>Target of a literal reference <c>Type/id</c>; null when it is not there, is deleted or hidden.</summary>
    SearchRecord? Find(string type, string id);

    /// <summary>Logical id of one of its records.</summary>
    string IdOf(SearchRecord record);
}

/// <summary>One <c>_include</c> or <c>_revinclude</c> (hl7.org/fhir/R4/search.html#revinclude).</summary>
/// <param name="IsReverse">It brings what refers to a match, not what a match refers to.</param>
/// <param name="Iterates">It also applies to what was included.</param>
/// <param name="Source">Type of the resource that refers; <c>*</c>: any.</param>
/// <param name="Parameter">The reference parameter; null: any.</param>
/// <param name="Target">Type that is referred to; null: any.</param>
public sealed record Include(bool IsReverse, bool Iterates, string Source, SearchParameter? Parameter, string? Target);

/// <summary>One key of <c>_sort</c>.</summary>
/// <param name="Parameter">Null: <c>_lastUpdated</c>.</param>
public sealed record SortKey(SearchParameter? Parameter, bool IsDescending);

/// <summary>What <c>_total</c> asks for; an estimate is exact here.</summary>
public enum TotalMode { Accurate = 0, None = 1 }

/// <summary>One execution of a query over one space. Used by one thread.</summary>
public sealed class SearchRun
{
    private readonly SearchQuery _query;

    internal SearchRun(SearchQuery query, ISearchSpace space) => (_query, Space) = (query, space);

    /// <summary>Where it looks.</summary>
    public ISearchSpace Space { get; }

    /// <summary>Whether a record is of the type, not deleted, and fulfils every parameter.</summary>
    public bool Matches(SearchRecord record) => _query.Matches(record.Entry);

    /// <summary>By the keys of <c>_sort</c>, what has no value last; then in the order of creation.</summary>
    public int Compare(SearchRecord left, SearchRecord right)
    {
        var a = new IndexEntry(left.Entry);
        var b = new IndexEntry(right.Entry);
        foreach (var key in _query.Sort)
        {
            var order = key.Parameter is null ? a.LastUpdatedTicks.CompareTo(b.LastUpdatedTicks) : CompareBy(key.Parameter, a, b);
            if (order != 0)
                return key.IsDescending ? -order : order;
        }
        return a.ResourceSequence.CompareTo(b.ResourceSequence);
    }

    /// <summary>What a record refers to by the parameters of an include; nothing for a record of another type than its source.</summary>
    public IEnumerable<(string Type, string Id)> Targets(Include include, SearchRecord record)
    {
        if (include.Source != "*" && include.Source != record.Type)
            return [];
        var targets = new List<(string, string)>();
        var parameters = SearchParameters.Of(record.Type);
        var values = new SearchValues(new IndexEntry(record.Entry).Values);
        while (values.Next())
            foreach (var parameter in parameters)
                if (parameter.Kind == SearchKind.Reference && parameter.Code == values.Code && (include.Parameter is null || include.Parameter.Code == parameter.Code)
                    && References.TryReadLocal(Encoding.UTF8.GetString(values.Payload), out var type, out var id) && (include.Target is null || include.Target == type))
                    targets.Add((type!, id!));
        return targets;
    }

    private static int CompareBy(SearchParameter parameter, in IndexEntry a, in IndexEntry b)
    {
        var (hasA, hasB) = (TryFirst(parameter, a, out var first), TryFirst(parameter, b, out var second));
        return (hasA, hasB) switch
        {
            (true, true) when parameter.Kind == SearchKind.Date => BinaryPrimitives.ReadInt64LittleEndian(first).CompareTo(BinaryPrimitives.ReadInt64LittleEndian(second)),
            (true, true) => first.SequenceCompareTo(second),
            _ => hasB.CompareTo(hasA),
        };
    }

    private static bool TryFirst(SearchParameter parameter, in IndexEntry entry, out ReadOnlySpan<byte> payload)
    {
        var values = new SearchValues(entry.Values);
        while (values.Next())
            if ((values.Code & ~IndexEntry.ImpliedSystem) == parameter.Code)
            {
                payload = values.Payload;
                return true;
            }
        payload = default;
        return false;
    }
}
