using System.Text;
using System.Text.Json;
using System.Xml;
using System.Xml.Linq;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Cda;

/// <summary>A CDA document that was made of a Composition.</summary>
/// <param name="Bytes">UTF-8.</param>
/// <param name="Report">Every element of the resources that were given, by its path as JSON has it: <c>Composition.title</c>, <c>Observation/[id].valueQuantity.value</c>.</param>
public sealed record WrittenDocument(byte[] Bytes, LossReport Report);

/// <summary>A FHIR document, or a Composition with what it refers to, as a CDA R2 document with the Finnish local header. Pure.</summary>
/// <remarks>
/// What is no statement of a fact becomes no entry: what was entered in error, ruled out, suspected or not taken, and what is about somebody else than the
/// patient. People read it in the section's text where that has it, and the report says so or lists it as lost. The same resources give the same bytes.
/// </remarks>
public static class CdaWriter
{
    /// <summary>Writes a document.</summary>
    /// <param name="bundle">A document, or what a search has found: its first Composition, and what that refers to.</param>
    /// <returns>The document, or why none is made of it.</returns>
    public static (WrittenDocument? Document, Fault? Fault) Write(Bundle bundle)
    {
        var resources = new CdaResources(bundle);
        if (resources.First<Composition>() is not { } composition)
            return Refuse("A document has a Composition, which says of what it consists.", "Bundle.entry");
        if (composition.Status == CompositionStatus.EnteredInError)
            return Refuse("The Composition was entered in error: no document is made of it.", "Composition.status");
        if (resources.Of(composition.Subject) is not Patient patient)
            return Refuse("A document is about one person: the Composition's subject is a Patient, and among what was given.", "Composition.subject");
        var writing = new CdaWriting(resources, composition, patient);
        var root = writing.Write();
        using var bytes = new MemoryStream();
        using (var writer = XmlWriter.Create(bytes, new XmlWriterSettings { Encoding = new UTF8Encoding(false) }))
            WithoutForeignCharacters(root).WriteTo(writer);
        return (new(bytes.ToArray(), ReportOf(resources, writing)), null);

        static (WrittenDocument?, Fault?) Refuse(string sentence, string path) => (null, new(FaultKind.Unprocessable, sentence, path));
    }

    private static LossReport ReportOf(CdaResources resources, CdaWriting writing)
    {
        var text = Plain(writing.Text);
        var parts = new List<SourcePart>();
        foreach (var (resource, path) in resources.All)
        {
            using var json = JsonDocument.Parse(ResourceParser.Serialize(resource));
            foreach (var (at, value) in Leaves(json.RootElement, path))
                parts.Add(writing.Said.TryGetValue(at, out var target) ? new(at, target == CdaWriting.InText ? SourceFate.Narrative : SourceFate.Mapped, target)
                    : IsRead(value) ? new(at, SourceFate.Narrative, CdaWriting.InText) : new(at, SourceFate.Lost));
        }
        return new(parts);

        // Shorter than this it stands there by accident.
        bool IsRead(string value) => value.Length > 2 && text.Contains($" {value} ", StringComparison.Ordinal);
    }

    private static string Plain(string text) => $" {string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))} ";

    private static IEnumerable<(string Path, string Value)> Leaves(JsonElement element, string path)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                    // The path has it.
                    if (member.Name != "resourceType")
                        foreach (var leaf in Leaves(member.Value, $"{path}.{member.Name}"))
                            yield return leaf;
                break;
            case JsonValueKind.Array:
                var index = 0;
                foreach (var item in element.EnumerateArray())
                    foreach (var leaf in Leaves(item, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{path}[{index++}]")))
                        yield return leaf;
                break;
            case JsonValueKind.Null:
                break;
            default:
                yield return (path, element.ValueKind == JsonValueKind.String ? element.GetString()! : element.GetRawText());
                break;
        }
    }

    /// <summary>FHIR's strings may have characters that XML 1.0 has no way to write.</summary>
    private static XElement WithoutForeignCharacters(XElement root)
    {
        foreach (var element in root.DescendantsAndSelf())
        {
            foreach (var attribute in element.Attributes())
                attribute.Value = Mended(attribute.Value);
            foreach (var text in element.Nodes().OfType<XText>())
                text.Value = Mended(text.Value);
        }
        return root;

        static string Mended(string text) => string.Concat(text.EnumerateRunes().Select(static rune => rune.Value > char.MaxValue || XmlConvert.IsXmlChar((char)rune.Value) ? rune : Rune.ReplacementChar));
    }
}

/// <summary>The resources that a document is made of, found by what refers to them.</summary>
sealed class CdaResources
{
    private readonly Dictionary<string, Resource> _byReference = new(StringComparer.Ordinal);
    private readonly List<(Resource Resource, string Path)> _all = [];
    private readonly Dictionary<Resource, string> _paths = new(ReferenceEqualityComparer.Instance);

    public CdaResources(Bundle bundle)
    {
        DocumentId = bundle.Identifier;
        for (var i = 0; i < bundle.Entry.Count; i++)
            // What a search says of itself is nothing of the document's.
            if (bundle.Entry[i] is { Resource: { } resource, Search: null or { Mode: not Bundle.SearchEntryMode.Outcome } } entry)
            {
                var isIdentified = !string.IsNullOrEmpty(resource.Id);
                var path = resource is Composition && First<Composition>() is null ? "Composition" : isIdentified ? $"{resource.TypeName}/{resource.Id}" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Bundle.entry[{i}].resource");
                _paths[resource] = path;
                _all.Add((resource, path));
                if (isIdentified)
                    _byReference.TryAdd($"{resource.TypeName}/{resource.Id}", resource);
                if (!string.IsNullOrEmpty(entry.FullUrl))
                    _byReference.TryAdd(entry.FullUrl, resource);
            }
    }

    /// <summary>Of the document itself; null: it has none.</summary>
    public Identifier? DocumentId { get; }

    /// <summary>In the order in which they were given, each with its path.</summary>
    public IReadOnlyList<(Resource Resource, string Path)> All => _all;

    public T? First<T>() where T : Resource => _all.Select(static one => one.Resource).OfType<T>().FirstOrDefault();

    public string PathOf(Resource resource) => _paths[resource];

    /// <summary>Null: it is not among them.</summary>
    public Resource? Of(ResourceReference? reference) => reference?.Reference is { Length: > 0 } url && _byReference.TryGetValue(url.Split("/_history/")[0], out var resource) ? resource : null;
}
