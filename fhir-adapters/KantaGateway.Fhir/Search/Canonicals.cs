using System.Text;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Fhir.Search;

/// <summary>
/// What is defined under which canonical URL, among the resources of one type (hl7.org/fhir/R4/references.html#canonical). Read off their
/// index entries.
/// </summary>
public sealed class Canonicals
{
    private readonly ILookup<string, (string? Version, SearchRecord Record)> _byUrl;

    /// <param name="records">Resources of the type; those without a URL are left out.</param>
    public Canonicals(string type, IEnumerable<SearchRecord> records)
    {
        var (url, version) = (SearchParameters.Find(type, "url"), SearchParameters.Find(type, "version"));
        _byUrl = records.Select(r => (Url: First(r, url), Version: First(r, version), Record: r)).Where(r => r.Url is not null)
            .ToLookup(r => r.Url!, r => (r.Version, r.Record), StringComparer.Ordinal);
    }

    /// <summary>All that have the URL and, where one is named, the version.</summary>
    /// <param name="canonical"><c>url</c> or <c>url|version</c>.</param>
    public IEnumerable<SearchRecord> Named(string canonical)
    {
        var (url, version) = KnownDefinitions.Split(canonical);
        return _byUrl[url].Where(r => version is null || r.Version == version).Select(r => r.Record);
    }

    /// <summary>What a canonical reference leads to: the version that it names, else the latest there is. Several where several have that.</summary>
    public IReadOnlyList<SearchRecord> Resolve(string canonical)
    {
        var (url, version) = KnownDefinitions.Split(canonical);
        version ??= _byUrl[url].Select(r => r.Version).MaxBy(v => v, Comparer<string?>.Create(CompareVersions));
        return [.. _byUrl[url].Where(r => r.Version == version).Select(r => r.Record)];
    }

    /// <summary>By their parts, numbers as numbers: 1.10 comes after 1.9, and 2 after both; none before all.</summary>
    internal static int CompareVersions(string? left, string? right)
    {
        if (left is null || right is null)
            return (left is null ? 0 : 1) - (right is null ? 0 : 1);
        var (a, b) = (left.Split('.', '-'), right.Split('.', '-'));
        for (var i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            var order = ulong.TryParse(a[i], out var one) && ulong.TryParse(b[i], out var other) ? one.CompareTo(other) : string.CompareOrdinal(a[i], b[i]);
            if (order != 0)
                return order;
        }
        return a.Length.CompareTo(b.Length);
    }

    private static string? First(SearchRecord record, SearchParameter? parameter)
    {
        if (parameter is null)
            return null;
        var values = new SearchValues(new IndexEntry(record.Entry).Values);
        if (!values.Next(parameter.Code))
            return null;
        return Encoding.UTF8.GetString(values.Kind == ValueKind.Token ? SearchValues.CodeOf(values.Payload) : values.Payload);
    }
}

/// <summary>Canonical URLs compared as they lie in index entries, with the versions that they name.</summary>
static class CanonicalText
{
    /// <summary>
    /// Whether a stored URL is the one asked for, above or below it. A version that is asked for leaves the URL alone and goes by itself:
    /// 1 is above 1.2 (search.html#uri, search.html#reference). None asked for is any.
    /// </summary>
    public static bool Fits(UriMode mode, ReadOnlySpan<byte> asked, ReadOnlySpan<byte> stored)
    {
        Split(asked, out var url, out var version);
        Split(stored, out var storedUrl, out var storedVersion);
        return version.IsEmpty ? mode switch
        {
            UriMode.Same => storedUrl.SequenceEqual(url),
            UriMode.Above => IsWithin(url, storedUrl),
            _ => IsWithin(storedUrl, url),
        } : storedUrl.SequenceEqual(url) && FitsVersion(mode, version, storedVersion);
    }

    public static bool FitsVersion(UriMode mode, ReadOnlySpan<byte> asked, ReadOnlySpan<byte> stored) => mode switch
    {
        UriMode.Same => stored.SequenceEqual(asked),
        UriMode.Above => IsVersionWithin(asked, stored),
        _ => IsVersionWithin(stored, asked),
    };

    public static void Split(ReadOnlySpan<byte> canonical, out ReadOnlySpan<byte> url, out ReadOnlySpan<byte> version)
    {
        var bar = canonical.IndexOf((byte)'|');
        url = bar < 0 ? canonical : canonical[..bar];
        version = bar < 0 ? default : canonical[(bar + 1)..];
    }

    private static bool IsWithin(ReadOnlySpan<byte> inner, ReadOnlySpan<byte> outer) =>
        inner.StartsWith(outer) && (inner.Length == outer.Length || outer.EndsWith("/"u8) || inner[outer.Length] == '/');

    private static bool IsVersionWithin(ReadOnlySpan<byte> inner, ReadOnlySpan<byte> outer) =>
        !outer.IsEmpty && inner.StartsWith(outer) && (inner.Length == outer.Length || inner[outer.Length] is (byte)'.' or (byte)'-');
}
