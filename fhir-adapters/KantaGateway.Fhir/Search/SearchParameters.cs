using System.Collections.Concurrent;
using System.Collections.Frozen;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Fhir.Search;

/// <summary>Kind of a served search parameter.</summary>
public enum SearchKind : byte { Token = 1, Date = 2, Reference = 3 }

/// <summary>A search parameter of one type, as R4 defines it.</summary>
/// <param name="Name">Such as <c>code</c>.</param>
public sealed record SearchParameter(string Name, SearchKind Kind)
{
    /// <summary>Identifies the parameter in index entries; never reused for another one.</summary>
    internal byte Code { get; init; }

    internal ElementPath[] Paths { get; init; } = [];
}

/// <summary>
/// The search parameters that are indexed, per type: those of R4 with one of the served names. Thread-safe; a type's
/// are made when first asked for.
/// </summary>
public static class SearchParameters
{
    // The codes are in stored index entries: add, never renumber.
    private static readonly FrozenDictionary<string, byte> Codes = new Dictionary<string, byte>
    {
        ["patient"] = 1, ["subject"] = 2, ["code"] = 3, ["category"] = 4, ["date"] = 5,
        ["status"] = 6, ["identifier"] = 7, ["encounter"] = 8, ["class"] = 9, ["type"] = 10,
    }.ToFrozenDictionary();

    private static readonly ConcurrentDictionary<string, SearchParameter[]> ByType = new();

    /// <summary>The parameters of a type, besides <c>_id</c>, <c>_lastUpdated</c> and <c>_count</c> which all have; empty for an unserved type.</summary>
    public static IReadOnlyList<SearchParameter> Of(string type) => ByType.GetOrAdd(type, static t => ResourceTypes.IsServed(t) ? Make(t) : []);

    /// <summary>Whether a name is one of those that are served for some type.</summary>
    internal static bool IsServedName(string name) => Codes.ContainsKey(name);

    private static SearchParameter[] Make(string type)
    {
        var made = new List<SearchParameter>();
        foreach (var parameter in ModelInfo.SearchParameters)
        {
            if (parameter.Resource != type || parameter.Name is not { } name || !Codes.TryGetValue(name, out var code)
                || KindOf(parameter.Type) is not { } kind || parameter.Expression is not { } expression)
                continue;
            // One expression serves all types of a parameter; the parts of this one begin with its name.
            var paths = expression.Split('|', StringSplitOptions.TrimEntries)
                .Where(part => part.TrimStart('(').StartsWith(type + ".", StringComparison.Ordinal)).Select(ElementPath.Parse).ToArray();
            if (paths.Length > 0)
                made.Add(new(name, kind) { Code = code, Paths = paths });
        }
        return [.. made.OrderBy(p => p.Code)];
    }

    private static SearchKind? KindOf(SearchParamType type) => type switch
    {
        SearchParamType.Token or SearchParamType.Uri => SearchKind.Token,
        SearchParamType.Date => SearchKind.Date,
        SearchParamType.Reference => SearchKind.Reference,
        _ => null,
    };
}
