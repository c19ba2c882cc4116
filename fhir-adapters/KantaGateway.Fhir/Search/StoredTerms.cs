using Hl7.Fhir.Model;
using Hl7.Fhir.Specification.Source;

namespace KantaGateway.Fhir.Search;

/// <summary>Why what a search names is not to be had.</summary>
public enum TermAbsence
{
    /// <summary>There is none by that name that the search may see.</summary>
    Unknown,

    /// <summary>Several organisations have stored something by that name.</summary>
    Ambiguous,

    /// <summary>With what else the search names it is too much to be looked at.</summary>
    TooLarge,
}

/// <summary>
/// The value sets and code systems that a search names and that do not come with the product. A search is read once to learn which they
/// are; they are looked for in the directory; then it is read again, until nothing is wanted. Used by one request.
/// </summary>
/// <remarks>
/// What comes with the product always means what it means there, whatever is stored under its URL. Of anything else the meaning is
/// that of whoever stored it: a URL that several organisations have stored is refused, and an id names one.
/// </remarks>
public sealed class StoredTerms
{
    /// <summary>Most that one search may have looked for, what value sets take up in turn included.</summary>
    public const int Most = 20;

    private static readonly CodeSet Nothing = new([]);

    private readonly Dictionary<(string Type, string Name), Found?> _asked = [];
    private bool _isFull;

    private sealed record Found(Resource? Resource, TermAbsence Why);

    /// <summary>Bytes of what has been found.</summary>
    public long Size { get; set; }

    /// <summary>What is yet to be looked for: <c>ValueSet</c> or <c>CodeSystem</c>, and its canonical URL or <c>Type/id</c>.</summary>
    public IReadOnlyList<(string Type, string Name)> Wanted => [.. _asked.Where(a => a.Value is null).Select(a => a.Key)];

    /// <param name="resource">Null: it is not to be had.</param>
    public void Answer((string Type, string Name) wanted, Resource? resource, TermAbsence why = TermAbsence.Unknown) => _asked[wanted] = new(resource, why);

    /// <summary>The codes of a value set of the directory; none yet while something is wanted.</summary>
    internal (CodeSet? Codes, string? Why) In(string name)
    {
        if (Look("ValueSet", name) is not { } found)
            return _isFull ? (null, TooMany) : (Nothing, null);
        if (found.Resource is not ValueSet set)
            return (null, found.Why switch
            {
                TermAbsence.Ambiguous => "names a value set by a URL that several organisations have stored. Name the one that is meant: ValueSet/[id].",
                TermAbsence.TooLarge => TooMuch,
                _ => "names a value set that is not known here. Known are those of FHIR R4 and of the Finnish Base Profiles and those of the directory that this token may search, by their canonical URLs or as ValueSet/[id]. Store it with POST ValueSet, or give the codes, separated by commas.",
            });
        var codes = KnownCodes.Expand(set, new Source(this));
        return Wanted.Count > 0 ? (Nothing, null)
            : _isFull ? (null, TooMany)
            : codes is not null ? (codes, null)
            : (null, $"names a value set that cannot be expanded here: it takes up a code system or value set that is not kept here whole, or that several organisations have stored, selects in a way that is not served, or has more than {KnownCodes.MaxExpansion} codes. Store it with its whole expansion, or give the codes, separated by commas.");
    }

    /// <summary>A code and what is under or above it in a code system of the directory; none yet while something is wanted.</summary>
    internal (CodeSet? Codes, string? Why) Around(string system, string code, bool above)
    {
        if (Look("CodeSystem", system) is not { } found)
            return _isFull ? (null, TooMany) : (Nothing, null);
        if (found.Resource is not CodeSystem { Content: CodeSystemContentMode.Complete } defined || CodeHierarchy.Of(defined) is not { } hierarchy)
            return (null, found.Why switch
            {
                TermAbsence.Ambiguous => "names a code system by a URL that several organisations have stored, so that its hierarchy is open. Give the codes, separated by commas.",
                TermAbsence.TooLarge => TooMuch,
                _ => "names a code system whose hierarchy is not known here. Known are those of FHIR R4 and of the Finnish Base Profiles and those that are stored whole in the directory (content complete, the hierarchy in concept) and that this token may search. Store it with POST CodeSystem, or give the codes, separated by commas.",
            });
        return hierarchy.Around(code, above) is { } codes ? (new(codes.Select(c => (system, c))), null) : (null, KnownCodes.NoSuchCode);
    }

    private const string TooMuch = "names value sets and code systems of the directory that are too large to be looked at in one search. Give the codes, separated by commas.";

    private static readonly string TooMany = $"has too many value sets and code systems looked for in the directory; a search names at most {Most}. Search in steps.";

    private Found? Look(string type, string name)
    {
        if (_asked.TryGetValue((type, name), out var found))
            return found;
        if (_asked.Keys.Select(k => k.Name).Append(name).Distinct(StringComparer.Ordinal).Count() > Most)
            _isFull = true;
        else
            _asked[(type, name)] = null;
        return null;
    }

    /// <summary>What value sets take up, for one expansion: Firely's expander changes what it is given, so it gets copies, the same one each time.</summary>
    private sealed class Source(StoredTerms terms) : IAsyncResourceResolver
    {
        private readonly Dictionary<(string, string), Resource?> _given = [];

#pragma warning disable CS0618 // The interface still has the two.
        public async Task<Resource?> ResolveByUriAsync(string uri) => (await TryResolveByUriAsync(uri).ConfigureAwait(false)).Value;

        public async Task<Resource?> ResolveByCanonicalUriAsync(string uri) => (await TryResolveByCanonicalUriAsync(uri).ConfigureAwait(false)).Value;
#pragma warning restore CS0618

        public Task<ResolverResult> TryResolveByUriAsync(string uri) => TryResolveByCanonicalUriAsync(uri);

        /// <summary>The expander does not say which of the two it looks for: a URL is either's.</summary>
        public Task<ResolverResult> TryResolveByCanonicalUriAsync(string uri) => System.Threading.Tasks.Task.FromResult(
            Give("CodeSystem", uri) is CodeSystem { Content: CodeSystemContentMode.Complete } system ? system
            : Give("ValueSet", uri) is { } set ? set
            : (ResolverResult)ResolverException.NotFound());

        private Resource? Give(string type, string uri)
        {
            if (!_given.TryGetValue((type, uri), out var given))
                _given[(type, uri)] = given = terms.Look(type, uri)?.Resource?.DeepCopy() as Resource;
            return given;
        }
    }
}
