using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Outcomes;

/// <summary>Makes FHIRPath expressions that are safe to answer: element names and indices, nothing that a sender could fill with data.</summary>
static class ElementExpression
{
    private const int LongestName = 64;

    /// <summary>Whether a text is of the shape of a FHIR element or type name.</summary>
    public static bool IsName(ReadOnlySpan<char> name) =>
        name.Length is > 0 and <= LongestName && char.IsAsciiLetter(name[0]) && !name.ContainsAnyExcept(NameCharacters);

    private static readonly System.Buffers.SearchValues<char> NameCharacters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");

    /// <summary>
    /// The longest leading part of a path that consists of names and indices, with <c>$this</c> replaced by the type;
    /// null when nothing is left.
    /// </summary>
    public static string? Clean(string? path, string? rootType)
    {
        if (string.IsNullOrEmpty(path))
            return rootType;
        if (path.StartsWith("$this", StringComparison.Ordinal))
            path = (rootType ?? "") + path["$this".Length..];
        var end = 0;
        foreach (var range in path.AsSpan().Split('.'))
        {
            var segment = path.AsSpan()[range];
            var bracket = segment.IndexOf('[');
            var name = bracket < 0 ? segment : segment[..bracket];
            if (!IsName(name) || (bracket >= 0 && !IsIndex(segment[bracket..])) || PersonalIdentityCode.Occurs(name))
                break;
            end = range.End.GetOffset(path.Length);
        }
        return end == 0 ? rootType : path[..end];
    }

    /// <summary>The path without a trailing index: <c>Observation.category[0]</c> to <c>Observation.category</c>.</summary>
    public static string? WithoutIndex(string? expression) =>
        expression is { } e && e.EndsWith(']') ? e[..e.LastIndexOf('[')] : expression;

    private static bool IsIndex(ReadOnlySpan<char> text) =>
        text.Length >= 3 && text[^1] == ']' && !text[1..^1].ContainsAnyExceptInRange('0', '9');
}
