using System.Globalization;
using System.Text.Unicode;
using System.Xml;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using Hl7.Fhir.Utility;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Formats;

/// <summary>Turns a resource that came as XML (hl7.org/fhir/R4/xml.html) into the canonical JSON that everything inside reads.</summary>
/// <remarks>
/// 1. it is UTF-8 and says nothing else; 2. one pass over it refuses what is not well-formed, a document type, and
/// nesting that no resource has; 3. Firely's STRICT reader makes the resource. The JSON that comes out is validated as
/// any other by whoever stores it. Nothing outside the body is ever looked up. Stateless; thread-safe.
/// </remarks>
public static class XmlBody
{
    /// <summary>Deepest nesting of elements outside a narrative.</summary>
    public const int MaxDepth = JsonFaults.MaxDepth;

    private const string Xhtml = "http://www.w3.org/1999/xhtml";

    // An entity is declared in a document type, so without one there is nothing to expand.
    private static readonly XmlReaderSettings Reading = new()
    {
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
        CheckCharacters = true,
        ConformanceLevel = ConformanceLevel.Document,
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
    };

    private static readonly FhirXmlDeserializer Deserializer = FhirXmlDeserializer.STRICT;

    /// <summary>Reads one resource.</summary>
    /// <param name="xml">UTF-8; bounded by the caller.</param>
    /// <returns>
    /// Malformed XML: <see cref="FaultKind.Invalid"/> with line and position. Wrong content: <see cref="FaultKind.Unprocessable"/>
    /// with one issue per problem, at most <see cref="ResourceParser.MaxIssues"/>, each with the FHIRPath of its element.
    /// </returns>
    public static (ReadOnlyMemory<byte> Json, Fault? Fault) ToJson(ReadOnlyMemory<byte> xml)
    {
        // XML allows this one; FHIR's JSON does not.
        if (xml.Span.StartsWith("\uFEFF"u8))
            xml = xml[3..];
        if (FindFault(xml) is { } malformed)
            return (default, malformed);
        Resource? resource;
        IEnumerable<CodedException> exceptions;
        using var reader = XmlReader.Create(Open(xml), Reading);
        try
        {
            Deserializer.TryDeserializeResource(reader, out resource, out exceptions);
        }
        catch (Exception e) when (e is XmlException || FirelyIssues.IsOfTheBody(e))
        {
            // As with JSON, the SDK fails on some structures instead of naming them.
            return (default, FirelyIssues.NoResource);
        }
        var issues = FirelyIssues.Describe(exceptions, resource?.TypeName);
        return issues.Count > 0 || resource is null
            ? (default, new(FaultKind.Unprocessable, issues.Count > 0 ? issues : [new FaultIssue("The body is not a FHIR resource.")]))
            : (ResourceParser.Serialize(resource), null);
    }

    private static Fault? FindFault(ReadOnlyMemory<byte> xml)
    {
        var bytes = xml.Span;
        if (bytes.Trim(" \t\r\n"u8).IsEmpty)
            return Invalid("The body is empty; a FHIR resource as XML is expected.");
        if (bytes.IndexOf((byte)0) >= 0 || !Utf8.IsValid(bytes))
            return Invalid("FHIR XML is UTF-8; the body has bytes that are not.");
        using var reader = XmlReader.Create(Open(xml), Reading);
        try
        {
            var narrative = int.MaxValue; // depth of the narrative that the reader is in
            while (reader.Read())
                switch (reader.NodeType)
                {
                    case XmlNodeType.XmlDeclaration when reader.GetAttribute("encoding") is { } encoding && !encoding.Equals("utf-8", StringComparison.OrdinalIgnoreCase):
                        return Invalid("FHIR XML is UTF-8; the XML declaration names another encoding.");
                    case XmlNodeType.Element:
                        if (reader.Depth <= narrative)
                            narrative = reader.NamespaceURI == Xhtml ? reader.Depth : int.MaxValue;
                        if (narrative == int.MaxValue ? reader.Depth > MaxDepth : reader.Depth - narrative > JsonFaults.MaxNarrativeDepth)
                            return Invalid($"Elements are nested deeper than {MaxDepth} levels{At(reader)}.");
                        break;
                }
            return null;
        }
        catch (XmlException e)
        {
            return bytes.IndexOf("<!DOCTYPE"u8) >= 0
                ? Invalid("A document type declaration is not allowed: FHIR XML has no DTD and no entities of its own.")
                : Invalid(string.Create(CultureInfo.InvariantCulture, $"Malformed XML at line {e.LineNumber}, position {e.LinePosition}."));
        }
    }

    private static string At(XmlReader reader) => reader is IXmlLineInfo info
        ? string.Create(CultureInfo.InvariantCulture, $" (line {info.LineNumber}, position {info.LinePosition})") : "";

    private static MemoryStream Open(ReadOnlyMemory<byte> xml) =>
        System.Runtime.InteropServices.MemoryMarshal.TryGetArray(xml, out var array) ? new(array.Array!, array.Offset, array.Count, writable: false) : new(xml.ToArray(), writable: false);

    private static Fault Invalid(string diagnostics) => new(FaultKind.Invalid, new FaultIssue(diagnostics, null, "structure"));
}
