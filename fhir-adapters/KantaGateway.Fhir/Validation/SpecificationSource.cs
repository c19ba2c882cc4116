using System.Collections.Frozen;
using System.IO.Compression;
using System.Text;
using System.Xml;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using Hl7.Fhir.Specification.Source;

namespace KantaGateway.Fhir.Validation;

/// <summary>
/// The profiles, extensions and terminology of R4, from Firely's specification package, as the validator asks for them.
/// </summary>
/// <remarks>
/// Firely's own source unpacks the package to files, looks through 50 MB for each definition and hands out all that people
/// read in it: 500 MB and 40 s of a processor until the common types have been validated. This one reads the package once, leaves out what
/// no machine needs and keeps each definition compressed: 3 MB, 1 s, and 150 MB until then. Immutable; thread-safe.
/// </remarks>
sealed class SpecificationSource : IAsyncResourceResolver
{
    private static readonly string[] Files =
        ["profiles-types.xml", "profiles-resources.xml", "profiles-others.xml", "extension-definitions.xml", "valuesets.xml", "v3-codesystems.xml", "v2-tables.xml"];

    /// <summary>Elements that only people read, and the differentials beside finished snapshots.</summary>
    private static readonly FrozenSet<string> LeftOut = FrozenSet.Create(StringComparer.Ordinal,
        "text", "differential", "mapping", "definition", "comment", "requirements", "alias", "short", "meaningWhenMissing", "example", "contact", "publisher",
        "copyright", "purpose", "description", "designation", "isSummary", "orderMeaning", "human", "xpath", "date", "experimental");

    /// <summary>
    /// Constraints that R4 wrote too narrowly, in our words (<see cref="BaseRules"/> tells why). ref-1 is broken by a reference without
    /// a literal; Firely mends the type, but elements of references repeat the rule.
    /// </summary>
    private static readonly FrozenDictionary<string, string> Mended = new Dictionary<string, string>
    {
        ["reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))"] =
            "reference.exists() implies (reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids')) or (reference='#' and %rootResource!=%resource))",
        ["start.hasValue().not() or end.hasValue().not() or (start <= end)"] = "start.hasValue().not() or end.hasValue().not() or (start <= end) or (start <= end).empty()",
        ["low.empty() or high.empty() or (low <= high)"] = "low.comparator.exists() or high.comparator.exists() or low.value.empty() or high.value.empty() or (low <= high) or (low <= high).empty()",
        ["offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))"] = "offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    // The publisher's own files are not always quite FHIR.
    private static readonly FhirXmlDeserializer Reader = new(new DeserializerSettings().UsingMode(DeserializationMode.Ostrich));

    private readonly FrozenDictionary<string, (string Type, byte[] Packed)> _definitions;

    /// <summary>Canonical addresses of all definitions of a type: StructureDefinition, ValueSet or CodeSystem.</summary>
    public IEnumerable<string> Canonicals(string type) => _definitions.Where(d => d.Value.Type == type).Select(d => d.Key);

    public SpecificationSource()
    {
        using var package = ZipFile.OpenRead(Path.Combine(AppContext.BaseDirectory, "specification.zip"));
        var definitions = new Dictionary<string, (string, byte[])>(StringComparer.Ordinal);
        foreach (var file in Files)
        {
            using var stream = package.GetEntry(file)!.Open();
            using var xml = XmlReader.Create(stream, new() { IgnoreWhitespace = true, IgnoreComments = true });
            while (xml.ReadToFollowing("resource"))
            {
                xml.Read();
                if (xml.LocalName is ("StructureDefinition" or "ValueSet" or "CodeSystem") and var type && Pack(xml) is var (url, packed))
                    definitions.TryAdd(url, (type, packed));
            }
        }
        _definitions = definitions.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static (string Url, byte[] Packed)? Pack(XmlReader xml)
    {
        using var packed = new MemoryStream();
        string? url = null;
        using (var compressed = new BrotliStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        using (var writer = XmlWriter.Create(compressed, new() { OmitXmlDeclaration = true, Encoding = new UTF8Encoding(false) }))
            Copy(xml, writer, depth: 0, ref url);
        return url is null ? null : (url, packed.ToArray());
    }

    /// <summary>Copies the element that the reader stands on, and leaves the reader after it.</summary>
    private static void Copy(XmlReader xml, XmlWriter writer, int depth, ref string? url)
    {
        var value = xml.GetAttribute("value");
        if (depth == 1 && xml.LocalName == "url")
            url = value;
        writer.WriteStartElement(xml.LocalName, xml.NamespaceURI);
        if (value is not null && Mended.TryGetValue(value, out var mended))
            writer.WriteAttributeString("value", mended);
        else
            writer.WriteAttributes(xml, defattr: false);
        var (isEmpty, level) = (xml.IsEmptyElement, xml.Depth);
        xml.Read();
        if (!isEmpty)
        {
            while (xml.Depth > level)
                if (xml.NodeType != XmlNodeType.Element)
                    xml.Read();
                else if (LeftOut.Contains(xml.LocalName))
                    xml.Skip();
                else
                    Copy(xml, writer, depth + 1, ref url);
            xml.Read();
        }
        writer.WriteEndElement();
    }

    private ResolverResult Find(string uri)
    {
        if (!_definitions.TryGetValue(KnownDefinitions.Split(uri).Url, out var definition))
            return ResolverException.NotFound();
        using var text = new StreamReader(new BrotliStream(new MemoryStream(definition.Packed), CompressionMode.Decompress));
        return Reader.DeserializeResource(text.ReadToEnd());
    }

#pragma warning disable CS0618 // The interface still has the two.
    public Task<Resource?> ResolveByUriAsync(string uri) => System.Threading.Tasks.Task.FromResult(Find(uri).Value);

    public Task<Resource?> ResolveByCanonicalUriAsync(string uri) => ResolveByUriAsync(uri);
#pragma warning restore CS0618

    public Task<ResolverResult> TryResolveByUriAsync(string uri) => System.Threading.Tasks.Task.FromResult(Find(uri));

    public Task<ResolverResult> TryResolveByCanonicalUriAsync(string uri) => TryResolveByUriAsync(uri);
}
