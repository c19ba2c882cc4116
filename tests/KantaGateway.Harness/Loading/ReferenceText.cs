using System.Text.Json.Nodes;

namespace KantaGateway.Harness.Loading;

/// <summary>Finds and rewrites the places of a resource's JSON that name other resources.</summary>
static class ReferenceText
{
    /// <summary>Keys that the resource refers to, without fragments and logical references.</summary>
    public static IEnumerable<string> In(JsonNode? node) => Places(node).Select(p => KeyOf(p.Value));

    /// <summary>Replaces each reference for which <paramref name="replace"/> has an answer.</summary>
    public static void Rewrite(JsonNode? node, Func<string, string?> replace)
    {
        foreach (var (owner, member, value) in Places(node).ToList())
            if (replace(KeyOf(value)) is { } target)
                owner[member] = target;
    }

    /// <summary>A reference without its version: <c>Type/id/_history/1</c> names the resource <c>Type/id</c>.</summary>
    private static string KeyOf(string reference)
    {
        var history = reference.IndexOf("/_history/", StringComparison.Ordinal);
        return history < 0 ? reference : reference[..history];
    }

    private static IEnumerable<(JsonObject Owner, string Member, string Value)> Places(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject o:
                foreach (var (name, child) in o)
                {
                    if (child is JsonValue v && v.TryGetValue<string>(out var text) && Names(name, text))
                        yield return (o, name, text);
                    foreach (var place in Places(child))
                        yield return place;
                }
                break;
            case JsonArray a:
                foreach (var place in a.SelectMany(Places))
                    yield return place;
                break;
        }
    }

    // Reference.reference, and the url of an Attachment that lies in a Binary.
    private static bool Names(string member, string text) => member switch
    {
        "reference" => !text.StartsWith('#'),
        "url" => text.StartsWith("Binary/", StringComparison.Ordinal) || text.StartsWith("urn:uuid:", StringComparison.Ordinal),
        _ => false,
    };
}
