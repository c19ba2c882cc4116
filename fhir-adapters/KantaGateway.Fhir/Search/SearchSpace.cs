using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Fhir.Search;

/// <summary>One resource as a search sees it.</summary>
public abstract class SearchRecord
{
    /// <summary>FHIR resource type.</summary>
    public abstract string Type { get; }

    /// <summary>Its decrypted <see cref="IndexEntry"/>; not to be kept beyond the search.</summary>
    public abstract ReadOnlySpan<byte> Entry { get; }
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
    /// <param name="query">What cannot match it (<see cref="SearchQuery.MayMatch"/>) may be left out; null: nothing is.</param>
    IEnumerable<SearchRecord> OfType(string type, SearchQuery? query = null);

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

    // What chains and reverse chains look for is found once: then the cost is that of looking at each resource once.
    private readonly Dictionary<SearchQuery, HashSet<string>> _matches = [];
    private readonly Dictionary<SearchQuery, HashSet<string>> _targets = [];
    private readonly Dictionary<((string, string), bool), HashSet<string>> _hierarchies = [];
    private readonly Dictionary<(string, bool), ILookup<string, string>> _partOf = [];
    private readonly Dictionary<string, Canonicals> _canonicals = new(StringComparer.Ordinal);
    private readonly Dictionary<SearchRecord, (ValueKind Kind, byte[] Payload)?[]> _sortValues = [];

    internal SearchRun(SearchQuery query, ISearchSpace space) => (_query, Space) = (query, space);

    /// <summary>Where it looks.</summary>
    public ISearchSpace Space { get; }

    /// <summary>Whether a record is of the type, not deleted, and fulfils every parameter.</summary>
    public bool Matches(SearchRecord record) => _query.Matches(new IndexEntry(record.Entry), this, record);

    /// <summary>By the keys of <c>_sort</c>, what has no value last; then in the order of creation.</summary>
    public int Compare(SearchRecord left, SearchRecord right)
    {
        if (_query.Sort.Count > 0)
        {
            var (a, b) = (SortValuesOf(left), SortValuesOf(right));
            for (var i = 0; i < a.Length; i++)
            {
                if (a[i].HasValue != b[i].HasValue)
                    return a[i].HasValue ? -1 : 1;
                var order = a[i] is { } one && b[i] is { } other ? SortValue.Compare(one, other) : 0;
                if (order != 0)
                    return _query.Sort[i].IsDescending ? -order : order;
            }
        }
        return new IndexEntry(left.Entry).ResourceSequence.CompareTo(new IndexEntry(right.Entry).ResourceSequence);
    }

    /// <summary>A record's values of the keys of <c>_sort</c>, looked for once however often it is compared.</summary>
    private (ValueKind Kind, byte[] Payload)?[] SortValuesOf(SearchRecord record)
    {
        if (_sortValues.TryGetValue(record, out var known))
            return known;
        var entry = new IndexEntry(record.Entry);
        var values = new (ValueKind, byte[])?[_query.Sort.Count];
        for (var i = 0; i < values.Length; i++)
            values[i] = SortValue.Find(_query.Sort[i], entry);
        return _sortValues[record] = values;
    }

    /// <summary>What a record refers to by the parameters of an include; nothing for a record of another type than its source.</summary>
    public IEnumerable<(string Type, string Id)> Targets(Include include, SearchRecord record)
    {
        if (include.Source != "*" && include.Source != record.Type)
            return [];
        var targets = new List<(string, string)>();
        var values = new SearchValues(new IndexEntry(record.Entry).Values);
        while (values.Next())
        {
            if (values.Kind != ValueKind.Reference || (include.Parameter is not null && include.Parameter.Code != values.Code))
                continue;
            var literal = Plain(values.Payload);
            if (References.TryReadLocal(literal, out var type, out var id))
                Add(type!, id!);
            else if ((include.Parameter ?? SearchParameters.Find(record.Type, values.Code)) is { IsCanonical: true } parameter)
                foreach (var target in Definitions(parameter, literal))
                    Add(target.Type, Space.IdOf(target));
        }
        return targets;

        void Add(string type, string id)
        {
            if ((include.Target is null || include.Target == type) && !targets.Contains((type, id)))
                targets.Add((type, id));
        }
    }

    /// <summary>What the space has under a canonical URL, of the types that a parameter may refer to.</summary>
    private IEnumerable<SearchRecord> Definitions(SearchParameter parameter, string canonical)
    {
        foreach (var type in parameter.Targets)
        {
            if (!_canonicals.TryGetValue(type, out var known))
                _canonicals[type] = known = new(type, Space.OfType(type));
            foreach (var record in known.Resolve(canonical))
                yield return record;
        }
    }

    /// <summary>Whether a reference leads to one of the resources.</summary>
    /// <param name="resources">Each as <c>Type/id</c>.</param>
    /// <param name="literal">As <see cref="Plain"/> gives it.</param>
    internal bool LeadsInto(HashSet<string> resources, SearchParameter reference, string literal) => resources.Contains(literal)
        || (reference.IsCanonical && resources.Count > 0 && Definitions(reference, literal).Any(r => resources.Contains($"{r.Type}/{Space.IdOf(r)}")));

    /// <summary>Every <c>Type/id</c> that matches a query within the space.</summary>
    internal HashSet<string> MatchesOf(SearchQuery query)
    {
        if (_matches.TryGetValue(query, out var known))
            return known;
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (var record in Space.OfType(query.Type, query))
            if (query.Matches(new IndexEntry(record.Entry), this, record))
                found.Add($"{record.Type}/{Space.IdOf(record)}");
        return _matches[query] = found;
    }

    /// <summary>Every <c>Type/id</c> that something that matches a query refers to by a parameter.</summary>
    internal HashSet<string> TargetsOf(SearchQuery query, SearchParameter reference)
    {
        if (_targets.TryGetValue(query, out var known))
            return known;
        var found = new HashSet<string>(StringComparer.Ordinal);
        var include = new Include(false, false, query.Type, reference, null);
        foreach (var record in Space.OfType(query.Type, query))
            if (query.Matches(new IndexEntry(record.Entry), this, record))
                foreach (var (type, id) in Targets(include, record))
                    found.Add($"{type}/{id}");
        return _targets[query] = found;
    }

    /// <summary>A resource and its parts, theirs and so on, or what it is part of; each as <c>Type/id</c>. Only what the space has leads further.</summary>
    internal HashSet<string> HierarchyOf((string Type, string Id) root, bool above)
    {
        if (_hierarchies.TryGetValue((root, above), out var known))
            return known;
        if (!_partOf.TryGetValue((root.Type, above), out var next))
        {
            var include = new Include(false, false, root.Type, SearchParameters.PartOf(root.Type), root.Type);
            var links = Space.OfType(root.Type).SelectMany(record => Targets(include, record), (record, whole) => (Part: $"{root.Type}/{Space.IdOf(record)}", Whole: $"{whole.Type}/{whole.Id}"));
            _partOf[(root.Type, above)] = next = above ? links.ToLookup(l => l.Part, l => l.Whole) : links.ToLookup(l => l.Whole, l => l.Part);
        }
        var found = new HashSet<string>(StringComparer.Ordinal);
        var open = new Stack<string>([$"{root.Type}/{root.Id}"]);
        while (open.TryPop(out var one))
            if (found.Add(one))
                foreach (var other in next[one])
                    open.Push(other);
        return _hierarchies[(root, above)] = found;
    }

    /// <summary>A stored literal without the version it may name.</summary>
    internal static string Plain(ReadOnlySpan<byte> literal)
    {
        var history = literal.IndexOf("/_history/"u8);
        return Encoding.UTF8.GetString(history < 0 ? literal : literal[..history]);
    }
}

/// <summary>The value of a parameter that an entry is sorted by: upwards the least of several, downwards the greatest.</summary>
static class SortValue
{
    /// <summary>Null where the record has none.</summary>
    public static (ValueKind Kind, byte[] Payload)? Find(SortKey key, in IndexEntry entry)
    {
        if (key.Parameter is null)
            return (ValueKind.Date, BitConverter.GetBytes(entry.LastUpdatedTicks));
        (ValueKind, byte[])? best = null;
        var values = new SearchValues(entry.Values);
        while (values.Next() && values.Code <= key.Parameter.Code)
        {
            if (values.Code != key.Parameter.Code || values.Kind is ValueKind.TypedIdentifier or ValueKind.Composite)
                continue;
            var value = (values.Kind, values.Payload.ToArray());
            if (best is not { } known || IsBetter(value, known))
                best = value;
        }
        return best;

        // A quantity in base units is comparable with the others, as it is written it is not.
        bool IsBetter((ValueKind Kind, byte[] Payload) one, (ValueKind Kind, byte[] Payload) other) => Rank(one.Kind) != Rank(other.Kind)
            ? Rank(one.Kind) > Rank(other.Kind)
            : key.IsDescending ? Compare(one, other) > 0 : Compare(one, other) < 0;
    }

    public static int Compare((ValueKind Kind, byte[] Payload) a, (ValueKind Kind, byte[] Payload) b)
    {
        if (a.Kind != b.Kind && Rank(a.Kind) != Rank(b.Kind))
            return Rank(b.Kind).CompareTo(Rank(a.Kind));
        return a.Kind switch
        {
            ValueKind.Date => BinaryPrimitives.ReadInt64LittleEndian(a.Payload).CompareTo(BinaryPrimitives.ReadInt64LittleEndian(b.Payload)),
            ValueKind.Number or ValueKind.Quantity or ValueKind.CanonicalQuantity => MemoryMarshal.Read<decimal>(a.Payload).CompareTo(MemoryMarshal.Read<decimal>(b.Payload)),
            _ => Text(a).SequenceCompareTo(Text(b)),
        };
    }

    private static int Rank(ValueKind kind) => kind switch
    {
        ValueKind.CanonicalQuantity => 2,
        ValueKind.TokenText or ValueKind.LogicalReference => 0,
        _ => 1,
    };

    private static ReadOnlySpan<byte> Text((ValueKind Kind, byte[] Payload) value)
    {
        ReadOnlySpan<byte> rest = value.Payload;
        if (value.Kind is ValueKind.Token or ValueKind.ImpliedToken or ValueKind.LogicalReference)
        {
            var system = SearchValues.ReadLength(ref rest);
            return rest[system..];
        }
        if (value.Kind != ValueKind.String)
            return rest;
        var length = SearchValues.ReadLength(ref rest);
        return rest[..length];
    }
}
