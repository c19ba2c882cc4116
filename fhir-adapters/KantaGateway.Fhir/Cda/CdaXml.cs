using System.Globalization;
using System.Xml;
using System.Xml.Linq;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Cda;

/// <summary>Reads the XML of a document into a tree, within bounds, and names the place where it is not what it has to be.</summary>
/// <remarks>No document type, so no entities; nothing outside the bytes is ever looked up. Stateless; thread-safe.</remarks>
static class CdaXml
{
    /// <summary>Deepest nesting of elements.</summary>
    public const int MaxDepth = 100;

    /// <summary>Most elements, attributes and texts of a document together.</summary>
    public const int MaxNodes = 200_000;

    private static readonly XmlReaderSettings Reading = new()
    {
        DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null, CheckCharacters = true, ConformanceLevel = ConformanceLevel.Document,
        IgnoreComments = true, IgnoreProcessingInstructions = true, MaxCharactersInDocument = 64 * 1024 * 1024,
    };

    public static (XElement? Root, Fault? Fault) Read(ReadOnlyMemory<byte> bytes)
    {
        var open = new Stack<XElement>();
        XElement? root = null;
        var nodes = 0;
        using var stream = new MemoryStream(bytes.ToArray(), writable: false);
        using var reader = XmlReader.Create(stream, Reading);
        try
        {
            while (reader.Read())
                switch (reader.NodeType)
                {
                    case XmlNodeType.Element:
                        nodes += 1 + reader.AttributeCount;
                        if (open.Count >= MaxDepth)
                            return Refuse($"Elements are nested deeper than {MaxDepth} levels.");
                        if (nodes > MaxNodes)
                            return Refuse($"The document has more than {MaxNodes} elements, attributes and texts.");
                        var element = new XElement(XName.Get(reader.LocalName, reader.NamespaceURI));
                        var isEmpty = reader.IsEmptyElement;
                        while (reader.MoveToNextAttribute())
                            element.Add(new XAttribute(reader.NamespaceURI == XNamespace.Xmlns.NamespaceName && reader.LocalName == "xmlns" ? "xmlns" : XName.Get(reader.LocalName, reader.NamespaceURI), reader.Value));
                        if (open.TryPeek(out var parent))
                            parent.Add(element);
                        else
                            root = element;
                        if (!isEmpty)
                            open.Push(element);
                        break;
                    case XmlNodeType.EndElement:
                        open.Pop();
                        break;
                    // Between the words of what people read a space is one: "1" and "0" in two elements are no 10.
                    case XmlNodeType.Whitespace when !open.Any(static e => e.Name.LocalName is "text" or "div"):
                        break;
                    case XmlNodeType.Text or XmlNodeType.CDATA or XmlNodeType.SignificantWhitespace or XmlNodeType.Whitespace when open.TryPeek(out var holder):
                        if (++nodes > MaxNodes)
                            return Refuse($"The document has more than {MaxNodes} elements, attributes and texts.");
                        holder.Add(new XText(reader.Value));
                        break;
                }
        }
        catch (XmlException e)
        {
            return bytes.Span.IndexOf("<!DOCTYPE"u8) >= 0
                ? Refuse("A document type declaration is not allowed: a CDA document has no DTD and no entities of its own.")
                : Refuse(string.Create(CultureInfo.InvariantCulture, $"Malformed XML, or bytes that are not of the encoding it declares, at line {e.LineNumber}, position {e.LinePosition}."));
        }
        catch (ArgumentException)
        {
            // So the reader says that the declared encoding is none.
            return Refuse("The XML declaration names an encoding that is not known.");
        }
        return root is null ? Refuse("The body is empty; a CDA document is expected.") : (root, null);

        (XElement?, Fault?) Refuse(string diagnostics) => (null, new(FaultKind.Invalid, new FaultIssue(diagnostics, open.TryPeek(out var at) ? PathOf(at) : "/", "structure")));
    }

    /// <summary>Path of an element, such as <c>/ClinicalDocument/recordTarget/patientRole/id[2]</c>; names of other namespaces than CDA's with <c>hl7fi:</c> or <c>*:</c>.</summary>
    public static string PathOf(XElement element)
    {
        var steps = new Stack<string>();
        for (var at = element; at is not null; at = at.Parent)
        {
            var place = at.ElementsBeforeSelf(at.Name).Count() + 1;
            var several = place > 1 || at.ElementsAfterSelf(at.Name).Any();
            steps.Push(StepOf(at.Name) + (several ? $"[{place}]" : ""));
        }
        return "/" + string.Join('/', steps);
    }

    public static string StepOf(XName name) => (name.NamespaceName switch { CdaAdapter.Hl7 => "", CdaAdapter.Finnish => "hl7fi:", _ => "*:" }) + name.LocalName;
}
