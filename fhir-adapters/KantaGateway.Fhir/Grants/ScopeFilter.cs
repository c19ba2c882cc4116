using System.Text.Json.Serialization;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// Which resources of one type a token reaches: those that match one of its queries (SMART App Launch 2.2, scopes with search parameters).
/// Immutable; thread-safe.
/// </summary>
/// <remarks>
/// A query is held against the resource alone, as its index entry has it, and so says the same wherever the resource is met: found, included, chained
/// through, read by id, in a history, or about to be written. Fails closed: a query that cannot be read matches nothing.
/// </remarks>
public sealed class ScopeFilter
{
    /// <summary>Longest query, characters.</summary>
    public const int MaxQuery = 512;

    // Nothing of a query depends on either: ids are not taken, and no value is measured from now.
    private static readonly IdentifierCipher NoIds = new(new byte[IdentifierCipher.KeySize]);
    private static readonly DateTimeOffset NoTime = DateTimeOffset.UnixEpoch;

    private SearchQuery?[]? _queries;

    /// <param name="reads">Whether it bounds what is read and found, or else what is written.</param>
    [JsonConstructor]
    public ScopeFilter(string type, IReadOnlyList<string> anyOf, bool reads) => (Type, AnyOf, Reads) = (type, anyOf, reads);

    /// <summary>FHIR resource type.</summary>
    [JsonPropertyName("t")]
    public string Type { get; }

    /// <summary>Search parameters, form-encoded, of which one has to match.</summary>
    [JsonPropertyName("q")]
    public IReadOnlyList<string> AnyOf { get; }

    /// <summary>Whether it bounds what is read and found; else what is written, and what it replaces.</summary>
    [JsonPropertyName("r")]
    public bool Reads { get; }

    /// <summary>Everything that it says, to compare by.</summary>
    [JsonIgnore]
    public string Key => $"{Type}{(Reads ? '<' : '>')}{string.Join('\n', AnyOf)}";

    /// <summary>Whether a resource of the type passes.</summary>
    /// <param name="entry">Its index entry (<see cref="IndexEntry"/>), not that of a deletion.</param>
    public bool Admits(ReadOnlySpan<byte> entry)
    {
        foreach (var query in _queries ??= [.. AnyOf.Select(query => Read(Type, query).Query)])
            if (query?.Matches(entry) is true)
                return true;
        return false;
    }

    /// <summary>Why a query cannot narrow a scope, as a plain sentence; null when it can.</summary>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="query">What stands behind the question mark.</param>
    public static string? Explain(string type, string query) => Read(type, query).Problem;

    /// <summary>The parameters of a query, decoded: which ones they are, however they are written.</summary>
    public static HashSet<string> ParametersOf(string query) => query.Split('&').Select(static pair => System.Net.WebUtility.UrlDecode(pair)).ToHashSet(StringComparer.Ordinal);

    private static (SearchQuery? Query, string? Problem) Read(string type, string query)
    {
        if (!ResourceTypes.IsServed(type))
            return (null, "A scope with search parameters names one resource type that is served here.");
        if (query.Length is 0 or > MaxQuery)
            return (null, $"The search parameters of a scope have 1 to {MaxQuery} characters.");
        foreach (var pair in query.Split('&'))
        {
            var equals = pair.IndexOf('=');
            if (equals <= 0 || equals == pair.Length - 1)
                return (null, "Each search parameter of a scope is name=value.");
            var (name, value) = (System.Net.WebUtility.UrlDecode(pair[..equals]), System.Net.WebUtility.UrlDecode(pair[(equals + 1)..]));
            var bare = name.Split(':')[0];
            // What says how to answer, and what depends on who asks for whose record, describes no resource.
            if (bare is not "_lastUpdated" && SearchParameters.Find(type, bare) is null)
                return (null, $"A scope is narrowed by search parameters of {type} itself: not by _id, chains, includes, or what shapes an answer.");
            if (value.Contains(PersonalIdentityCode.System, StringComparison.Ordinal))
                return (null, "A scope names nobody.");
            // From when it would be measured cannot be said of a scope.
            if ((bare == "_lastUpdated" || SearchParameters.Find(type, bare) is { Kind: SearchKind.Date or SearchKind.Number or SearchKind.Quantity or SearchKind.Composite })
                && value.Split(',', '$').Any(static one => one.StartsWith("ap", StringComparison.Ordinal)))
                return (null, "The prefix ap is not taken in a scope.");
        }
        var (read, fault) = SearchQuery.Parse(type, query, NoIds, Pseudonym.Directory, NoTime);
        return read is null ? (null, fault!.Issues[0].Diagnostics)
            : read.LooksBeyondItsType ? (null, "A scope is narrowed by what a resource says itself: it looks at no other.")
            : (read, null);
    }
}
