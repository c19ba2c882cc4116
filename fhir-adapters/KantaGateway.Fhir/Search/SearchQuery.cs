using System.Net;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Search;

/// <summary>
/// A search of one type in one compartment, ready to be held against index entries. Immutable; thread-safe.
/// </summary>
/// <remarks>
/// hl7.org/fhir/R4/search.html: repeated parameters are ANDed, comma-separated values ORed. What is not supported is
/// refused, never ignored: an ignored filter would disclose more than was asked for.
/// </remarks>
public sealed class SearchQuery
{
    public const int DefaultCount = 50;
    public const int MaxCount = 200;

    private const int MaxParameters = 50;

    private readonly byte[] _type;
    private readonly SearchClause[] _clauses;

    internal SearchQuery(string type, SearchReader reading, string understood)
    {
        Type = type;
        _type = Encoding.UTF8.GetBytes(type);
        _clauses = [.. reading.Clauses];
        LooksBeyondItsType = reading.Includes.Count > 0 || reading.Clauses.Exists(c => c.LooksBeyond);
        Count = reading.Count;
        IsCountOnly = reading.IsCountOnly;
        Total = reading.Total;
        Sort = reading.Sort;
        Includes = reading.Includes;
        Ignored = reading.Unknown;
        Understood = understood;
    }

    public string Type { get; }

    /// <summary>Entries on a page, 1 to <see cref="MaxCount"/>.</summary>
    public int Count { get; }

    /// <summary><c>_count=0</c> or <c>_summary=count</c>: the total and no entries.</summary>
    public bool IsCountOnly { get; }

    public TotalMode Total { get; }

    /// <summary>Keys of <c>_sort</c>, the most important first; empty: in the order of creation.</summary>
    public IReadOnlyList<SortKey> Sort { get; }

    public IReadOnlyList<Include> Includes { get; }

    /// <summary>What was left out of a lenient search because nothing is known by that name, to be told in the answer.</summary>
    public IReadOnlyList<FaultIssue> Ignored { get; }

    /// <summary>The parameters that were understood, form-encoded, in their order.</summary>
    public string Understood { get; }

    /// <summary>Whether it looks at more than resources of its type: includes, chains, reverse chains.</summary>
    public bool LooksBeyondItsType { get; }

    /// <summary>Begins an execution over a space.</summary>
    public SearchRun Over(ISearchSpace space) => new(this, space);

    /// <summary>Reads the parameters of a search.</summary>
    /// <param name="form">Form-encoded, from the URL or the body of <c>_search</c> or both joined by <c>&amp;</c>; without <c>?</c>.</param>
    /// <param name="compartment">Where the search takes place; an <c>_id</c> of another one finds nothing.</param>
    /// <param name="now">Time of request, for the prefix <c>ap</c>.</param>
    /// <param name="publicBase">The FHIR base without trailing slash: references below it count as relative.</param>
    /// <param name="lenient">What no parameter is named, and an order or include by such a name, is left out (<see cref="Ignored"/>); what is wrong is refused all the same.</param>
    /// <param name="terms">What the directory knows of value sets and code systems; null: only those that come with the product may be named. Where it
    /// wants something afterwards, the query is not yet the one to be asked.</param>
    /// <returns>One of the two; the fault names every parameter that is wrong, never a value.</returns>
    public static (SearchQuery? Query, Fault? Fault) Parse(
        string type, string? form, IdentifierCipher ids, Pseudonym compartment, DateTimeOffset now, string? publicBase = null, bool lenient = false, StoredTerms? terms = null)
    {
        var reader = new SearchReader(type, ids, compartment, now.UtcTicks, publicBase, terms);
        var understood = new List<string>();
        var number = 0;
        foreach (var pair in (form ?? "").Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            if (++number > MaxParameters)
            {
                reader.Wrong(null, $"More than {MaxParameters} parameters.", "too-costly");
                break;
            }
            var equals = pair.IndexOf('=');
            var unknown = reader.Unknown.Count;
            reader.Read(WebUtility.UrlDecode(equals < 0 ? pair : pair[..equals]), equals < 0 ? "" : WebUtility.UrlDecode(pair[(equals + 1)..]));
            if (reader.Unknown.Count == unknown)
                understood.Add(pair);
        }
        FaultIssue[] wrong = lenient ? [.. reader.Issues] : [.. reader.Unknown, .. reader.Issues];
        return wrong.Length > 0
            ? (null, new Fault(FaultKind.Invalid, wrong))
            : (new SearchQuery(type, reader, string.Join('&', understood)), null);
    }

    /// <summary>
    /// Whether an entry is of the type, not deleted, and fulfils every parameter. Allocates nothing. Only for a query that
    /// looks at nothing beyond its type.
    /// </summary>
    public bool Matches(ReadOnlySpan<byte> entry) => Matches(new IndexEntry(entry), null, null);

    /// <summary>
    /// Whether an entry is of the type, not deleted, and fulfils every parameter that can be told from it alone: what fails here
    /// need not be looked at further. Allocates nothing.
    /// </summary>
    public bool MayMatch(ReadOnlySpan<byte> entry) => Holds(new IndexEntry(entry), null, null, looksBeyond: false);

    /// <inheritdoc cref="Matches(ReadOnlySpan{byte})"/>
    internal bool Matches(in IndexEntry entry, SearchRun? run, SearchRecord? record) => Holds(entry, run, record, looksBeyond: true);

    private bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record, bool looksBeyond)
    {
        if (entry.IsDeleted || !entry.Type.SequenceEqual(_type))
            return false;
        foreach (var clause in _clauses)
            if ((looksBeyond || !clause.LooksBeyond) && !clause.Holds(entry, run, record))
                return false;
        return true;
    }

    /// <summary>Masked: parameters are personal data.</summary>
    public override string ToString() => $"SearchQuery({Type}, {_clauses.Length} clauses)";
}
