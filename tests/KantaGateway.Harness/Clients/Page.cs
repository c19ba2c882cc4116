using System.Net;
using System.Text.RegularExpressions;

namespace KantaGateway.Harness.Clients;

/// <summary>A start tag of a page: its name and decoded attributes, names in lower case.</summary>
/// <param name="Position">Where it begins in the page's text.</param>
public sealed record PageTag(string Name, IReadOnlyDictionary<string, string> Attributes, int Position)
{
    /// <summary>The attribute's value, empty when it is missing or has none.</summary>
    public string this[string attribute] => Attributes.GetValueOrDefault(attribute, "");

    public bool Has(string attribute) => Attributes.ContainsKey(attribute);
}

/// <summary>A form: where it goes and what it carries when nobody has touched it.</summary>
/// <param name="Action">Absolute.</param>
/// <param name="Fields">Hidden and preset fields; buttons are left out.</param>
/// <param name="Buttons">Submit buttons with a name: name, value and the text they show.</param>
public sealed record PageForm(Uri Action, HttpMethod Method, IReadOnlyDictionary<string, string> Fields, IReadOnlyList<(string Name, string Value, string Text)> Buttons);

/// <summary>
/// An HTML page as a client without a browser sees it. Reads start tags only, which is enough for forms and the
/// <c>data-*</c> hooks of server-rendered pages.
/// </summary>
/// <param name="Address">Where the page was found after redirects.</param>
public sealed partial record Page(Uri Address, int Status, string Html)
{
    private IReadOnlyList<PageTag>? _tags;

    public IReadOnlyList<PageTag> Tags => _tags ??=
    [
        .. Tag().Matches(Html).Select(m => new PageTag(
            m.Groups["name"].Value.ToLowerInvariant(),
            m.Groups["attribute"].Captures.Select(a => Attribute().Match(a.Value))
                .GroupBy(a => a.Groups["name"].Value.ToLowerInvariant())
                .ToDictionary(g => g.Key, g => WebUtility.HtmlDecode(Value(g.First()))),
            m.Index)),
    ];

    /// <summary>The visible text, white space collapsed.</summary>
    public string Text => WebUtility.HtmlDecode(Space().Replace(AnyTag().Replace(Html, " "), " ")).Trim();

    /// <summary>Tags that carry an attribute, in the order of the page.</summary>
    public IEnumerable<PageTag> With(string attribute) => Tags.Where(t => t.Has(attribute));

    /// <summary>All forms in the order of the page.</summary>
    public IReadOnlyList<PageForm> Forms => [.. Tags.Where(t => t.Name == "form").Select(Read)];

    /// <summary>The form with an id, null when the page has none.</summary>
    public PageForm? Form(string id) => Tags.FirstOrDefault(t => t.Name == "form" && t["id"] == id) is { } tag ? Read(tag) : null;

    private PageForm Read(PageTag form)
    {
        var end = Html.IndexOf("</form", form.Position, StringComparison.OrdinalIgnoreCase);
        var inside = Tags.Where(t => t.Position > form.Position && (end < 0 || t.Position < end)).ToList();
        var fields = new Dictionary<string, string>();
        foreach (var input in inside.Where(t => t.Name is "input" && t["name"].Length > 0))
            if (input["type"] is not ("submit" or "button" or "image") && (input["type"] is not ("radio" or "checkbox") || input.Has("checked")))
                fields[input["name"]] = input["value"];
        var buttons = inside
            .Where(t => t["name"].Length > 0 && (t.Name == "button" || t is { Name: "input" } && t["type"] is "submit" or "radio"))
            .Select(t => (t["name"], t["value"], TextAfter(t)));
        return new(new(Address, form["action"]), form["method"].Equals("post", StringComparison.OrdinalIgnoreCase) ? HttpMethod.Post : HttpMethod.Get, fields, [.. buttons]);
    }

    private string TextAfter(PageTag tag)
    {
        if (tag.Name != "button")
            return tag["value"];
        var end = Html.IndexOf("</button", tag.Position, StringComparison.OrdinalIgnoreCase);
        return WebUtility.HtmlDecode(Space().Replace(AnyTag().Replace(Html[tag.Position..(end < 0 ? Html.Length : end)], " "), " ")).Trim();
    }

    private static string Value(Match attribute) =>
        attribute.Groups["double"] is { Success: true } d ? d.Value
        : attribute.Groups["single"] is { Success: true } s ? s.Value
        : attribute.Groups["bare"].Value;

    private const string AttributePattern = """(?<name>[^\s"'>/=]+)(?:\s*=\s*(?:"(?<double>[^"]*)"|'(?<single>[^']*)'|(?<bare>[^\s"'>]+)))?""";

    [GeneratedRegex("""<(?<name>[a-zA-Z][a-zA-Z0-9-]*)(?:\s+(?<attribute>[^\s"'>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?))*\s*/?>""")]
    private static partial Regex Tag();

    [GeneratedRegex(AttributePattern)]
    private static partial Regex Attribute();

    [GeneratedRegex("<[^>]*>")]
    private static partial Regex AnyTag();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
