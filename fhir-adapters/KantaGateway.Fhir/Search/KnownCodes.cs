using System.Collections.Frozen;
using Hl7.Fhir.Model;
using Hl7.Fhir.Specification.Source;
using Hl7.Fhir.Specification.Terminology;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Fhir.Search;

/// <summary>
/// The value sets and code systems that a search may name: those of <see cref="KnownDefinitions"/>. Thread-safe.
/// </summary>
/// <remarks>
/// A value set is expanded when first asked for and kept; so are the hierarchies of code systems. What is kept can only be what
/// is defined, never what a client makes up, and is dropped all at once beyond <see cref="MaxKept"/> codes. The first question
/// waits until the specification has been read, as in <see cref="KnownProfiles"/>.
/// </remarks>
static class KnownCodes
{
    /// <summary>Most codes of one value set.</summary>
    public const int MaxExpansion = 10_000;

    /// <summary>Most codes that are kept, some 100 bytes each.</summary>
    private const int MaxKept = 250_000;

    public const string NoSuchCode = "names a code that its system does not have.";

    private static readonly Lock Turn = new();
    private static readonly Dictionary<string, (CodeSet? Codes, string? Version)> Expansions = new(StringComparer.Ordinal);
    private static readonly Dictionary<string, CodeHierarchy?> Hierarchies = new(StringComparer.Ordinal);
    private static int _kept;

    private static readonly Lazy<FrozenSet<string>> ValueSets = new(() => KnownDefinitions.Canonicals("ValueSet").ToFrozenSet(StringComparer.Ordinal));
    private static readonly Lazy<FrozenSet<string>> Systems = new(() => KnownDefinitions.Canonicals("CodeSystem").ToFrozenSet(StringComparer.Ordinal));
    private static readonly Lazy<WholeOnly> Definitions = new(() => new(KnownDefinitions.Open()));

    public static bool HasValueSet(string canonical) => ValueSets.Value.Contains(KnownDefinitions.Split(canonical).Url);

    public static bool HasSystem(string canonical) => Systems.Value.Contains(KnownDefinitions.Split(canonical).Url);

    /// <summary>The codes of a value set (hl7.org/fhir/R4/valueset.html#expansion).</summary>
    /// <param name="canonical">With or without <c>|version</c>.</param>
    /// <returns>The codes, or why there are none: a sentence that says what to do.</returns>
    public static (CodeSet? Codes, string? Why) In(string canonical)
    {
        var (url, version) = KnownDefinitions.Split(canonical);
        if (!ValueSets.Value.Contains(url))
            return (null, "names a value set that is not known here. Known are, by their canonical URLs, those of FHIR R4 and of the Finnish Base Profiles. Of others give the codes, separated by commas.");
        lock (Turn)
        {
            if (!Expansions.TryGetValue(url, out var known))
            {
                known = Expand(url);
                Keep(known.Codes?.Count ?? 0);
                Expansions[url] = known;
            }
            return version is not null && known.Version != version ? (null, "names another version of the value set than is known here. Leave the version out.")
                : known.Codes is { } codes ? (codes, null)
                : (null, $"names a value set that cannot be expanded here: it takes up a code system that is not kept here whole (such as SNOMED CT), selects in a way that is not served, or has more than {MaxExpansion} codes. Give the codes, separated by commas.");
        }
    }

    /// <summary>A code and everything under it, or everything that it is under, by the hierarchy of its system.</summary>
    /// <returns>The codes, or why there are none: a sentence that says what to do.</returns>
    public static (CodeSet? Codes, string? Why) Around(string system, string code, bool above)
    {
        if (!Systems.Value.Contains(system))
            return (null, "names a code system whose hierarchy is not known here. Known are those of FHIR R4 and of the Finnish Base Profiles. Of others give the codes, separated by commas.");
        CodeHierarchy? hierarchy;
        lock (Turn)
            if (!Hierarchies.TryGetValue(system, out hierarchy))
            {
                hierarchy = Definitions.Value.FindAsync<CodeSystem>(system).GetAwaiter().GetResult() is { } found ? CodeHierarchy.Of(found) : null;
                Keep(hierarchy?.Count ?? 0);
                Hierarchies[system] = hierarchy;
            }
        return hierarchy is null ? (null, "names a code system that is not kept here whole, or whose hierarchy does not say what is a kind of what. Give the codes, separated by commas.")
            : hierarchy.Around(code, above) is { } codes ? (new(codes.Select(c => (system, c))), null)
            : (null, NoSuchCode);
    }

    private static void Keep(int codes)
    {
        if (_kept + codes > MaxKept)
        {
            Expansions.Clear();
            Hierarchies.Clear();
            _kept = 0;
        }
        _kept += codes;
    }

    private static (CodeSet?, string?) Expand(string url) =>
        Definitions.Value.FindAsync<ValueSet>(url).GetAwaiter().GetResult() is { } found ? (Expand(found, Definitions.Value), found.Version) : (null, null);

    /// <summary>The codes of a value set that did not come with the product.</summary>
    /// <param name="set">Stays as it is.</param>
    /// <param name="others">What it may take up besides what is known here.</param>
    /// <returns>Null where not all of them are to be had.</returns>
    public static CodeSet? Expand(ValueSet set, IAsyncResourceResolver others)
    {
        if (set.Expansion is { Contains: { Count: > 0 } contains } expansion
            && expansion.Offset is null or 0 && (expansion.Total is not { } total || total <= Contents(contains).Count()))
            return Contents(contains).Take(MaxExpansion + 1).ToList() is { Count: <= MaxExpansion } codes ? new(codes) : null;
        if (set.Compose is null)
            return null;
        var copy = (ValueSet)set.DeepCopy();
        copy.Expansion = null;
        lock (Turn)
            return Expand(copy, new WholeOnly(new MultiResolver(Definitions.Value, others)));
    }

    /// <param name="set">Firely's expander changes it.</param>
    private static CodeSet? Expand(ValueSet set, WholeOnly source)
    {
        try
        {
            var expander = new ValueSetExpander(new() { ValueSetSource = source, MaxExpansionSize = MaxExpansion });
            expander.ExpandAsync(set).GetAwaiter().GetResult();
        }
        catch (TerminologyServiceException)
        {
            return null;
        }
        return new(Contents(set.Expansion?.Contains ?? []));
    }

    private static IEnumerable<(string, string)> Contents(IEnumerable<ValueSet.ContainsComponent> contains) =>
        contains.SelectMany(c => Contents(c.Contains).Concat(c is { System: { } system, Code: { } code } ? [(system, code)] : []));

    /// <summary>Without code systems of which there is only a part: what is expanded from one would be wrong, and <c>:not-in</c> would find too much.</summary>
    private sealed class WholeOnly(IAsyncResourceResolver source) : IAsyncResourceResolver
    {
        public async Task<T?> FindAsync<T>(string canonical) where T : Resource => (await TryResolveByCanonicalUriAsync(canonical).ConfigureAwait(false)).Value as T;

#pragma warning disable CS0618 // The interface still has the two.
        public async Task<Resource?> ResolveByUriAsync(string uri) => (await TryResolveByUriAsync(uri).ConfigureAwait(false)).Value;

        public async Task<Resource?> ResolveByCanonicalUriAsync(string uri) => (await TryResolveByCanonicalUriAsync(uri).ConfigureAwait(false)).Value;
#pragma warning restore CS0618

        public async Task<ResolverResult> TryResolveByUriAsync(string uri) => Whole(await source.TryResolveByUriAsync(uri).ConfigureAwait(false));

        public async Task<ResolverResult> TryResolveByCanonicalUriAsync(string uri) => Whole(await source.TryResolveByCanonicalUriAsync(uri).ConfigureAwait(false));

        private static ResolverResult Whole(ResolverResult result) =>
            result.Value is CodeSystem { Content: not CodeSystemContentMode.Complete } ? ResolverException.NotFound() : result;
    }
}
