using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace KantaGateway.Harness.Loading;

/// <summary>One resource as its source has it.</summary>
/// <param name="File">Path as given or found.</param>
/// <param name="Place">Where in the file, such as <c>entry[3]</c> or <c>line 12</c>; empty for a file of one resource.</param>
/// <param name="FullUrl">Bundle entry's full URL, null outside Bundles.</param>
/// <param name="IfNoneExist">Bundle entry's condition of creation.</param>
public sealed record SourceEntry(string File, string Place, JsonObject Resource, string? FullUrl = null, string? IfNoneExist = null)
{
    public string Type { get; } = (string?)Resource["resourceType"] ?? "";

    public string? Id { get; } = (string?)Resource["id"];

    /// <summary>What references may call it: <c>Type/id</c> and the full URL.</summary>
    public IEnumerable<string> Keys
    {
        get
        {
            if (Id is not null)
                yield return $"{Type}/{Id}";
            if (FullUrl is not null)
                yield return FullUrl;
        }
    }

    public override string ToString() => Place.Length == 0 ? File : $"{File} {Place}";
}

/// <summary>A file, or a part of it, that holds nothing to load.</summary>
public sealed record UnreadableSource(string File, string Reason);

/// <summary>What the files hold: single resources, and groups that their senders meant to be atomic.</summary>
public sealed record SourceContents(IReadOnlyList<SourceEntry> Singles, IReadOnlyList<IReadOnlyList<SourceEntry>> Transactions, IReadOnlyList<UnreadableSource> Unreadable);

/// <summary>Reads FHIR JSON from disk: single resources, Bundles, NDJSON (one resource a line).</summary>
public static class SourceReader
{
    private static readonly string[] Extensions = [".json", ".ndjson", ".jsonl"];

    /// <summary>Files behind paths, directories (all the way down) and patterns with <c>*</c> and <c>?</c>, each once, sorted.</summary>
    /// <exception cref="FileNotFoundException">A path that names nothing.</exception>
    public static IReadOnlyList<string> Expand(IEnumerable<string> paths)
    {
        var files = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var path in paths)
        {
            var found = Find(path).ToList();
            if (found.Count == 0)
                throw new FileNotFoundException($"Nothing to load at {path}.", path);
            files.UnionWith(found);
        }
        return [.. files];
    }

    public static SourceContents Read(IEnumerable<string> files)
    {
        List<SourceEntry> singles = [];
        List<IReadOnlyList<SourceEntry>> transactions = [];
        List<UnreadableSource> unreadable = [];
        foreach (var file in files)
            foreach (var (place, node) in Documents(file, unreadable))
                Sort(file, place, node, singles, transactions, unreadable);
        return new(singles, transactions, unreadable);
    }

    private static IEnumerable<string> Find(string path)
    {
        if (File.Exists(path))
            return [path];
        if (Directory.Exists(path))
            return Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories).Where(HasExtension);
        if (path.IndexOfAny(['*', '?']) < 0)
            return [];
        var folder = path[..path.IndexOfAny(['*', '?'])];
        folder = folder.LastIndexOf(Path.DirectorySeparatorChar) is >= 0 and var slash ? folder[..(slash + 1)] : ".";
        var depth = path.Contains("**", StringComparison.Ordinal) ? SearchOption.AllDirectories : SearchOption.TopDirectoryOnly;
        return Directory.Exists(folder) ? Directory.EnumerateFiles(folder, Path.GetFileName(path), depth) : [];
    }

    private static bool HasExtension(string file) => Extensions.Contains(Path.GetExtension(file).ToLowerInvariant());

    private static IEnumerable<(string Place, JsonNode? Node)> Documents(string file, List<UnreadableSource> unreadable)
    {
        if (Path.GetExtension(file).Equals(".json", StringComparison.OrdinalIgnoreCase))
        {
            if (Parse(File.ReadAllText(file), file, "", unreadable) is { } node)
                yield return ("", node);
            yield break;
        }
        var number = 0;
        foreach (var line in File.ReadLines(file, Encoding.UTF8))
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line) && Parse(line, file, $"line {number}", unreadable) is { } node)
                yield return ($"line {number}", node);
        }
    }

    private static JsonNode? Parse(string text, string file, string place, List<UnreadableSource> unreadable)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException e)
        {
            unreadable.Add(new(file, $"{place} is not JSON: line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}".Trim()));
            return null;
        }
    }

    private static void Sort(string file, string place, JsonNode? node, List<SourceEntry> singles,
        List<IReadOnlyList<SourceEntry>> transactions, List<UnreadableSource> unreadable)
    {
        if (node is not JsonObject resource || (string?)resource["resourceType"] is not { Length: > 0 } type)
        {
            unreadable.Add(new(file, $"{place} is no FHIR resource".Trim()));
            return;
        }
        if (type != "Bundle")
        {
            singles.Add(new(file, place, resource));
            return;
        }
        var entries = new List<SourceEntry>();
        foreach (var (entry, index) in (resource["entry"] as JsonArray ?? []).Select((e, i) => (e, i)))
        {
            var where = $"{place} entry[{index}]".Trim();
            if (entry?["resource"] is JsonObject inner && inner["resourceType"] is not null)
                entries.Add(new(file, where, inner, (string?)entry["fullUrl"], (string?)entry["request"]?["ifNoneExist"]));
            else
                unreadable.Add(new(file, $"{where} has no resource to store"));
        }
        if ((string?)resource["type"] == "transaction" && entries.Count > 0)
            transactions.Add(entries);
        else
            singles.AddRange(entries);
    }
}
