using System.Net;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Formats;

/// <summary>
/// Reads the parameters that go with every interaction and choose a form, not a content: <c>_format</c>, <c>_pretty</c>,
/// <c>_summary</c> and <c>_elements</c> (hl7.org/fhir/R4/http.html#parameters). Pure.
/// </summary>
public static class PresentationParameters
{
    /// <summary>Most names in <c>_elements</c>.</summary>
    public const int MaxElements = 100;

    /// <summary>Whether a parameter chooses a form; such a one is no search criterion.</summary>
    public static bool Contains(string name) => name is "_format" or "_pretty" or "_summary" or "_elements";

    /// <summary>Of form-encoded parameters those that choose a form: what the next page must repeat.</summary>
    public static string Of(string form) =>
        string.Join('&', form.Split('&', StringSplitOptions.RemoveEmptyEntries).Where(p => Contains(p.Split('=', 2)[0])));

    /// <summary>Name and value pairs of form-encoded parameters.</summary>
    public static IEnumerable<(string Name, string Value)> Parse(string form) =>
        form.Split('&', StringSplitOptions.RemoveEmptyEntries).Select(p => p.Split('=', 2))
            .Select(p => (WebUtility.UrlDecode(p[0]), p.Length > 1 ? WebUtility.UrlDecode(p[1]) : ""));

    /// <summary>Reads the four among a request's parameters; all others are left alone.</summary>
    /// <param name="parameters">Name and value, decoded.</param>
    /// <param name="accepted">Format where <c>_format</c> asks for none.</param>
    /// <param name="type">Type that the request is about: <c>_elements</c> names its elements. Null: it may be about any.</param>
    /// <param name="isSearch">Whether <c>_summary=count</c> means something.</param>
    /// <returns>One of the two.</returns>
    public static (Presentation? Presentation, Fault? Fault) Read(IEnumerable<(string Name, string Value)> parameters, FhirFormat accepted, string? type, bool isSearch)
    {
        Dictionary<string, string>? asked = null;
        var names = new List<string>();
        var includes = false;
        foreach (var (name, value) in parameters)
        {
            includes |= name.StartsWith("_include", StringComparison.Ordinal) || name.StartsWith("_revinclude", StringComparison.Ordinal);
            if (!Contains(name))
                continue;
            if (name == "_elements")
                names.AddRange(value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
            else if (!(asked ??= []).TryAdd(name, value) && asked[name] != value)
                return Refuse(FaultKind.Invalid, $"{name} is given twice.", name);
        }
        var presentation = new Presentation(accepted);
        if (asked?.GetValueOrDefault("_format") is { Length: > 0 } format)
        {
            // A plus sign that was not escaped has become a space.
            if (MediaTypes.FormatOf(format.Split(';')[0].Trim().Replace(' ', '+')) is not { } named)
                return Refuse(FaultKind.NotAcceptable, "_format is json, xml, or the media type of one of them; HTML, Turtle and others are not served.", "_format");
            presentation = presentation with { Format = named };
        }
        if (asked?.GetValueOrDefault("_pretty") is { } pretty)
        {
            if (pretty is not ("true" or "false"))
                return Refuse(FaultKind.Invalid, "_pretty is true or false.", "_pretty");
            presentation = presentation with { Pretty = pretty == "true" };
        }
        if (asked?.GetValueOrDefault("_summary") is { } summary)
        {
            SummaryMode? mode = summary switch
            {
                "true" => SummaryMode.True,
                "text" => SummaryMode.Text,
                "data" => SummaryMode.Data,
                "count" => SummaryMode.Count,
                "false" => SummaryMode.None,
                _ => null,
            };
            if (mode is null)
                return Refuse(FaultKind.Invalid, "_summary is true, text, data, count or false.", "_summary");
            if (mode == SummaryMode.Count && !isSearch)
                return Refuse(FaultKind.NotSupported, "_summary=count goes with a search only.", "_summary");
            if (mode == SummaryMode.Text && includes)
                return Refuse(FaultKind.Invalid, "_summary=text does not go with _include or _revinclude.", "_summary");
            presentation = presentation with { Summary = mode.Value };
        }
        if (names.Count == 0)
            return (presentation, null);
        if (presentation.Summary is not (SummaryMode.None or SummaryMode.Count))
            return Refuse(FaultKind.Invalid, "Give _elements or _summary, not both.", "_elements");
        if (names.Count > MaxElements)
            return Refuse(FaultKind.Invalid, $"_elements names at most {MaxElements} elements.", "_elements");
        for (var i = 0; i < names.Count; i++)
        {
            names[i] = names[i].EndsWith("[x]", StringComparison.Ordinal) ? names[i][..^3] : names[i];
            if (!IsElement(names[i], type))
                return Refuse(FaultKind.Invalid, $"_elements names elements of {type ?? "the resources"} without a path, such as code, or with a type, such as Observation.code; one of them does not exist.", "_elements");
        }
        return (presentation with { Elements = names }, null);
    }

    private static bool IsElement(string name, string? type) => name.Split('.') switch
    {
        [var element] when type is not null => Has(type, element),
        [var element] => ResourceTypes.Served.Any(t => Has(t, element)),
        [var of, var element] => ResourceTypes.IsFhirType(of) && Has(of, element),
        _ => false,
    };

    private static bool Has(string type, string element) => ModelInfo.ModelInspector.FindClassMapping(type)?.FindMappedElementByName(element) is not null;

    private static (Presentation?, Fault?) Refuse(FaultKind kind, string diagnostics, string name) => (null, new(kind, diagnostics, $"http.{name}"));
}
