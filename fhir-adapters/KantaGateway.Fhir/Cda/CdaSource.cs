using System.Xml.Linq;
using KantaGateway.Fhir.Adapters;

namespace KantaGateway.Fhir.Cda;

/// <summary>A document that is being read: every attribute and text of it, and what has become of it.</summary>
sealed class CdaSource(XElement root)
{
    private static readonly XNamespace Hl7 = CdaAdapter.Hl7;
    private readonly Dictionary<XObject, (SourceFate Fate, string? Target)> _fates = [];

    /// <summary>Attributes that the schema fixes: they say nothing that the element's name does not.</summary>
    private static readonly HashSet<string> Fixed = ["classCode", "determinerCode", "contextControlCode", "contextConductionInd", "schemaLocation", "mediaType", "typeCode", "type", "extensionType", "ID", "templateId", "styleCode"];

    public XElement Root => root;

    public static IEnumerable<XElement> All(XElement? element, params ReadOnlySpan<string> path)
    {
        IEnumerable<XElement> at = element is null ? [] : [element];
        foreach (var step in path)
            at = at.Elements(Hl7 + step);
        return at;
    }

    public static XElement? One(XElement? element, params ReadOnlySpan<string> path) => All(element, path).FirstOrDefault();

    /// <summary>An attribute's value, which a resource of the type says from now on; null: there is none, or it is empty.</summary>
    public string? Take(XElement? element, string attribute, string target)
    {
        if (element?.Attribute(attribute) is not { Value: { Length: > 0 } value } found)
            return null;
        _fates[found] = (SourceFate.Mapped, target);
        return value.Trim() is { Length: > 0 } trimmed ? trimmed : null;
    }

    /// <summary>A code that was looked at, and that nothing in FHIR says.</summary>
    public void Leave(XElement? coded)
    {
        foreach (var attribute in coded?.Attributes() ?? [])
            _fates.Remove(attribute);
    }

    /// <summary>The text of an element without its markup.</summary>
    public string? TakeText(XElement? element, string target)
    {
        if (element is null)
            return null;
        foreach (var text in element.DescendantNodes().OfType<XText>())
            _fates[text] = (SourceFate.Mapped, target);
        var plain = string.Join(' ', element.Value.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return plain.Length > 0 ? plain : null;
    }

    /// <summary>All of an element is read by people.</summary>
    public void Narrate(XElement element)
    {
        foreach (var node in element.DescendantNodesAndSelf())
        {
            if (node is XText text)
                _fates[text] = (SourceFate.Narrative, "Composition");
            else if (node is XElement inner)
                foreach (var attribute in inner.Attributes())
                    _fates[attribute] = (SourceFate.Narrative, "Composition");
        }
    }

    /// <summary>What an entry says stands in its section's text too (C-CDA and the Finnish guides have the text say all that entries do).</summary>
    public void NarrateUnread(XElement element)
    {
        foreach (var (part, _) in Leaves(element, ""))
            _fates.TryAdd(part, (SourceFate.Narrative, "Composition"));
    }

    public LossReport Report() => new([.. Leaves(root, "/" + CdaXml.StepOf(root.Name)).Select(leaf => _fates.TryGetValue(leaf.Part, out var fate)
        ? new SourcePart(leaf.Path, fate.Fate, fate.Target)
        : new SourcePart(leaf.Path, leaf.Part is XAttribute attribute && IsGrammar(attribute) ? SourceFate.Mapped : SourceFate.Lost))]);

    private static bool IsGrammar(XAttribute attribute) => attribute.IsNamespaceDeclaration || Fixed.Contains(attribute.Name.LocalName)
        // Of what the codes mean the system is the authority, and their system's name is in its OID.
        || attribute.Name.LocalName is "codeSystemName" or "codeSystemVersion" or "assigningAuthorityName";

    /// <summary>Every attribute and text that says something, with its path. Siblings are counted once, for there may be many.</summary>
    private static IEnumerable<(XObject Part, string Path)> Leaves(XElement element, string path)
    {
        foreach (var attribute in element.Attributes())
            if (!string.IsNullOrWhiteSpace(attribute.Value))
                yield return (attribute, $"{path}/@{attribute.Name.LocalName}");
        var of = new Dictionary<XName, int>();
        foreach (var inner in element.Elements())
            of[inner.Name] = of.GetValueOrDefault(inner.Name) + 1;
        var before = new Dictionary<XName, int>();
        var texts = 0;
        foreach (var node in element.Nodes())
            if (node is XText text)
            {
                texts++;
                if (!string.IsNullOrWhiteSpace(text.Value))
                    yield return (text, texts > 1 ? $"{path}/text()[{texts}]" : path + "/text()");
            }
            else if (node is XElement inner)
            {
                var place = before[inner.Name] = before.GetValueOrDefault(inner.Name) + 1;
                foreach (var leaf in Leaves(inner, $"{path}/{CdaXml.StepOf(inner.Name)}{(of[inner.Name] > 1 ? $"[{place}]" : "")}"))
                    yield return leaf;
            }
    }
}
