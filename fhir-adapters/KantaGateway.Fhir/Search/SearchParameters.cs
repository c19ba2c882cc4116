using System.Collections.Concurrent;
using System.Collections.Frozen;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Fhir.Search;

/// <summary>Kind of a search parameter (hl7.org/fhir/R4/search.html#ptypes).</summary>
public enum SearchKind : byte { Token = 1, Date = 2, Reference = 3, String = 4, Number = 5, Quantity = 6, Uri = 7, Composite = 8, Special = 9 }

/// <summary>A search parameter of one type, as R4 defines it.</summary>
/// <param name="Name">Such as <c>code</c>.</param>
public sealed record SearchParameter(string Name, SearchKind Kind)
{
    /// <summary>Canonical URL of its definition.</summary>
    public required string Definition { get; init; }

    /// <summary>Types that a reference may point to; empty for other kinds.</summary>
    public IReadOnlyList<string> Targets { get; init; } = [];

    /// <summary>Modifiers that it may be asked with, besides the type of a reference's target; without colon.</summary>
    public IReadOnlyList<string> Modifiers => Kind switch
    {
        SearchKind.String => ["missing", "exact", "contains"],
        SearchKind.Token => ["missing", "not", "text", "of-type", "in", "not-in", "above", "below"],
        SearchKind.Uri => ["missing", "above", "below"],
        SearchKind.Reference when IsCanonical => ["missing", "above", "below"],
        SearchKind.Reference when Hierarchies.Any() => ["missing", "identifier", "above", "below"],
        SearchKind.Reference => ["missing", "identifier"],
        _ => ["missing"],
    };

    /// <summary>Of <see cref="Targets"/> the types whose resources are parts of others of their type, such as Location.</summary>
    internal IEnumerable<string> Hierarchies => Targets.Where(t => SearchParameters.PartOf(t) is not null);

    /// <summary>Of a reference: it is written as the canonical URL of what is defined, and not as an address (hl7.org/fhir/R4/references.html#canonical).</summary>
    public bool IsCanonical { get; init; }

    /// <summary>Identifies the parameter in index entries; never reused for another one.</summary>
    internal ushort Code { get; init; }

    internal IReadOnlyList<ElementSource> Sources { get; init; } = [];

    /// <summary>Of a composite, its parts in order; empty for other kinds.</summary>
    internal IReadOnlyList<SearchComponent> Components { get; init; } = [];
}

/// <summary>One part of a composite parameter.</summary>
/// <param name="Kind">What its part of the value is read as.</param>
/// <param name="Sources">From the composite's base element, or from the resource.</param>
sealed record SearchComponent(SearchKind Kind, IReadOnlyList<ElementSource> Sources);

/// <summary>One alternative of an expression.</summary>
/// <param name="FromResource">It begins at the resource also where it is asked of an element within (<c>%resource</c>).</param>
sealed record ElementSource(ElementPath Path, string Expression, bool FromResource = false)
{
    public static ElementSource Of(string expression)
    {
        const string Resource = "%resource.";
        var fromResource = expression.StartsWith(Resource, StringComparison.Ordinal);
        var text = fromResource ? expression[Resource.Length..] : expression;
        return new(ElementPath.Parse(text), text, fromResource);
    }

    public List<Base> Select(Base root) => Path.Select(root);
}

/// <summary>
/// The search parameters that are served: all that R4 defines for the served types, but those that <see cref="WhyNot"/> names.
/// Thread-safe; a type's are made when first asked for.
/// </summary>
public static class SearchParameters
{
    private static readonly FrozenDictionary<string, ushort> Codes = LoadCodes();

    private static readonly ConcurrentDictionary<string, TypeParameters> ByType = new();

    /// <summary>Definitions by canonical URL and type; several types share a URL.</summary>
    private static readonly Lazy<ILookup<string, SearchParamDefinition>> Definitions = new(() => ModelInfo.SearchParameters.ToLookup(p => p.Resource ?? "", StringComparer.Ordinal));

    private sealed record TypeParameters(SearchParameter[] All, FrozenDictionary<string, SearchParameter> ByName);

    /// <summary>
    /// The parameters of a type, in the order of their codes, besides <c>_id</c> and <c>_lastUpdated</c> which all have; empty for an
    /// unserved type.
    /// </summary>
    public static IReadOnlyList<SearchParameter> Of(string type) => In(type).All;

    /// <summary>The parameter of a type with a name, or null.</summary>
    public static SearchParameter? Find(string type, string name) => In(type).ByName.GetValueOrDefault(name);

    /// <summary>The parameter of a type with a code, or null.</summary>
    internal static SearchParameter? Find(string type, ushort code) => Array.Find(In(type).All, p => p.Code == code);

    /// <summary>The parameter by which a resource of a type is part of another one of the type; null where there is none.</summary>
    internal static SearchParameter? PartOf(string type) => (Find(type, "partof") ?? Find(type, "part-of")) is { } parameter && parameter.Targets.Contains(type) ? parameter : null;

    /// <summary>Why a parameter that FHIR knows is not served, as a sentence that says what to do instead; null for others.</summary>
    public static string? WhyNot(string name) => name switch
    {
        "_text" or "_content" => "is not served: there is no full-text index. Search by codes, or by the text of a code with :text.",
        "_filter" => "is not served. Use the parameters themselves, repeated for AND and with commas for OR.",
        "_list" => "is not served. Read the List and search by the ids in it.",
        "_query" => "is not served: there are no named queries.",
        "_contained" or "_containedType" => "is not served: contained resources are found through the resource that contains them.",
        "phonetic" => "is not served: no algorithm is known that hears Finnish names as their bearers do, and one made for English would bring strangers. Search by name, with :contains for a part of it.",
        "_score" => "is not served: matches are not ranked.",
        _ => null,
    };

    // Only served types are remembered: the name may be anything that a client writes.
    private static TypeParameters In(string type) => !ResourceTypes.IsServed(type) ? Nothing : ByType.GetOrAdd(type, static t =>
    {
        SearchParameter[] all = [.. OfAllTypes().Concat(OfDocumentSharing(t)).Concat(Definitions.Value[t].Select(d => Make(t, d)).OfType<SearchParameter>()).DistinctBy(p => p.Name).OrderBy(p => p.Code)];
        return new(all, all.ToFrozenDictionary(p => p.Name, StringComparer.Ordinal));
    });

    private static readonly TypeParameters Nothing = new([], FrozenDictionary<string, SearchParameter>.Empty);

    // The SDK's table lacks them (hl7.org/fhir/R4/search.html#all).
    private static IEnumerable<SearchParameter> OfAllTypes() =>
    [
        Common("_tag", SearchKind.Token, "meta.tag"),
        Common("_security", SearchKind.Token, "meta.security"),
        Common("_profile", SearchKind.Uri, "meta.profile"),
        Common("_source", SearchKind.Uri, "meta.source"),
    ];

    // IHE MHD 4.2 finds submission sets and folders by their extensions too (ITI-66); its own definitions of the parameters.
    private static IEnumerable<SearchParameter> OfDocumentSharing(string type) => type == "List" ? [Extension("designationType", "List-DesignationType", "CodeableConcept"), Extension("sourceId", "List-SourceId", "Identifier")] : [];

    private static SearchParameter Extension(string name, string definition, string cast) => new(name, SearchKind.Token)
    {
        Definition = Interactions.SubmissionSet.Mhd + "SearchParameter/" + definition, Code = Codes[name],
        Sources = [ElementSource.Of($"List.extension('{Interactions.SubmissionSet.Mhd}StructureDefinition/ihe-{name}').value.ofType({cast})")],
    };

    private static SearchParameter Common(string name, SearchKind kind, string path) => new(name, kind)
    {
        Definition = "http://hl7.org/fhir/SearchParameter/Resource-" + name[1..], Code = Codes[name], Sources = [ElementSource.Of(path)],
    };

    private static SearchParameter? Make(string type, SearchParamDefinition definition)
    {
        if (definition.Name is not { } name || !Codes.TryGetValue(name, out var code) || KindOf(definition.Type) is not { } kind || definition.Expression is not { } expression)
            return null;
        // One expression serves all types of a parameter; the parts of this one begin with its name.
        ElementSource[] sources = [.. Parts(expression).Where(part => IsOf(type, part)).Select(ElementSource.Of)];
        return sources.Length == 0 ? null : new(name, kind)
        {
            Definition = definition.Url ?? "",
            Code = code,
            Sources = sources,
            IsCanonical = kind == SearchKind.Reference && sources.All(s => s.Path.TypeIn(type) is { } end && (end == typeof(Canonical) || end == typeof(FhirUri))),
            Targets = kind == SearchKind.Reference ? [.. (definition.Target ?? []).Select(t => t.ToString()).Where(ResourceTypes.IsServed)
                // R4 shares a definition among types; where(resolve() is Patient) leaves one.
                // Of others the type's own element says what it may refer to.
                .Where(t => sources.Any(s => (s.Path.Target is null || s.Path.Target == t) && BaseRules.MayReferTo(s.Expression, t)))] : [],
            Components = kind != SearchKind.Composite ? [] :
            [
                .. (definition.Component ?? []).Select(c => new SearchComponent(
                    KindOf(ModelInfo.SearchParameters.First(p => p.Url == PartOf(c)).Type) ?? SearchKind.Token,
                    [.. Parts(c.Expression!).Select(ElementSource.Of)])),
            ],
        };
    }

    // R4 names the two parts of DocumentReference?relationship the wrong way round: a code is no reference.
    private static string PartOf(SearchParamComponent component) => (component.Definition, component.Expression) switch
    {
        ("http://hl7.org/fhir/SearchParameter/DocumentReference-relatesto", "code") => "http://hl7.org/fhir/SearchParameter/DocumentReference-relation",
        ("http://hl7.org/fhir/SearchParameter/DocumentReference-relation", "target") => "http://hl7.org/fhir/SearchParameter/DocumentReference-relatesto",
        _ => component.Definition!,
    };

    private static bool IsOf(string type, string part) => part.TrimStart('(') is var plain && plain.StartsWith(type, StringComparison.Ordinal)
        && (plain.Length == type.Length || plain[type.Length] is '.' or ' ');

    private static string[] Parts(string expression) => expression.Split('|', StringSplitOptions.TrimEntries);

    private static SearchKind? KindOf(SearchParamType type) => type switch
    {
        SearchParamType.Token => SearchKind.Token,
        SearchParamType.Uri => SearchKind.Uri,
        SearchParamType.Date => SearchKind.Date,
        SearchParamType.Reference => SearchKind.Reference,
        SearchParamType.String => SearchKind.String,
        SearchParamType.Number => SearchKind.Number,
        SearchParamType.Quantity => SearchKind.Quantity,
        SearchParamType.Composite => SearchKind.Composite,
        SearchParamType.Special => SearchKind.Special,
        _ => null,
    };

    /// <summary>The place of a name in the list is its code. The list is in stored index entries: names are added at its end.</summary>
    private static FrozenDictionary<string, ushort> LoadCodes()
    {
        using var stream = typeof(SearchParameters).Assembly.GetManifestResourceStream("search-parameter-names.txt")
            ?? throw new InvalidOperationException("The list of search parameters is not embedded.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Index().ToFrozenDictionary(n => n.Item, n => (ushort)(n.Index + 1), StringComparer.Ordinal);
    }
}
