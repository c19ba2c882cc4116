using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>
/// Everything of an answer by which one could tell it from another: status, headers and bytes, without what is fresh
/// in every answer (date, correlation id, the numbers of a receipt) and without the id that was asked for.
/// </summary>
/// <remarks>Law 4: what is hidden must have the same appearance as what was never there.</remarks>
public static partial class Appearance
{
    private static readonly HashSet<string> Fresh = new(StringComparer.OrdinalIgnoreCase) { "Date", "X-Correlation-Id", "X-Request-Id" };

    /// <param name="asked">The id in the request, so that two requests for different ids can be compared.</param>
    public static string Of(FhirReply reply, string? asked = null)
    {
        var text = new StringBuilder().Append(reply.Status).Append('\n');
        foreach (var (name, value) in reply.Headers.Where(h => !Fresh.Contains(h.Key)).OrderBy(h => h.Key, StringComparer.OrdinalIgnoreCase))
            text.Append(name).Append(": ").Append(Receipt().Replace(value, "receipt")).Append('\n');
        text.Append(Receipt().Replace(reply.Text, "receipt"));
        if (reply.Headers.GetValueOrDefault("X-Correlation-Id") is { Length: > 0 } correlation)
            text.Replace(correlation, "-");
        if (asked is not null)
            text.Replace(asked, "-");
        return text.ToString();
    }

    /// <summary>That there is one, and how many entries it names, is part of the appearance.</summary>
    [GeneratedRegex("""\d+;entry=("|\\u0022|&quot;)[0-9a-f]{32}\1""")]
    private static partial Regex Receipt();

    /// <summary>Where two appearances part, as a position and not as data; null when they don't.</summary>
    public static string? Difference(string one, string other)
    {
        if (one == other)
            return null;
        var at = one.Zip(other).TakeWhile(p => p.First == p.Second).Count();
        var line = one[..Math.Min(at, one.Length)].Count(c => c == '\n');
        return $"a difference at line {line + 1}, character {at} (lengths {one.Length} and {other.Length})";
    }

    /// <summary>The <c>next</c> link of a searchset, null on its last page.</summary>
    public static string? Next(FhirReply reply) =>
        reply.Json.TryGetProperty("link", out var links)
            ? links.EnumerateArray().Where(l => l.GetProperty("relation").GetString() == "next").Select(l => l.GetProperty("url").GetString()).FirstOrDefault()
            : null;

    /// <summary>The total of a searchset.</summary>
    public static int Total(FhirReply reply) => reply.Json.GetProperty("total").GetInt32();

    /// <summary>Ids of the entries of a Bundle, in its order.</summary>
    public static IReadOnlyList<string> Ids(FhirReply reply) =>
        reply.Json.TryGetProperty("entry", out var entries)
            ? [.. entries.EnumerateArray().Where(e => e.TryGetProperty("resource", out _)).Select(e => e.GetProperty("resource").GetProperty("id").GetString() ?? "")]
            : [];

    internal static string Kind(JsonElement json) => json.TryGetProperty("resourceType", out var type) ? type.GetString() ?? "" : "";
}
