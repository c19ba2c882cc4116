using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Xml;
using Hl7.Fhir.Serialization;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Formats;

/// <summary>The two forms in which resources are read and written (hl7.org/fhir/R4/formats.html).</summary>
public enum FhirFormat { Json = 0, Xml = 1 }

/// <summary>How much of each resource is shown (<c>_summary</c>, hl7.org/fhir/R4/search.html#summary).</summary>
public enum SummaryMode
{
    /// <summary><c>false</c> or not asked for: all of it.</summary>
    None = 0,

    /// <summary><c>true</c>: the elements that the specification marks as summary, and mandatory ones.</summary>
    True,

    /// <summary><c>text</c>: narrative, id, meta and mandatory elements.</summary>
    Text,

    /// <summary><c>data</c>: everything but the narrative.</summary>
    Data,

    /// <summary><c>count</c>: of a search the total and no entries. There is nothing to cut: the search gives none.</summary>
    Count,
}

/// <summary>
/// The form in which an answer leaves. Inside everything is canonical JSON; whoever writes an answer applies this once,
/// to the finished body, before its digest is taken.
/// </summary>
/// <param name="Format">Of the body.</param>
/// <param name="Pretty">Indented for human eyes.</param>
/// <param name="Summary">Which elements.</param>
/// <remarks>Immutable; thread-safe. hl7.org/fhir/R4/http.html#parameters.</remarks>
public sealed record Presentation(FhirFormat Format = FhirFormat.Json, bool Pretty = false, SummaryMode Summary = SummaryMode.None)
{
    /// <summary>Deepest nesting of what is answered: a stored resource in a searchset in a transaction's response.</summary>
    private const int MaxDepth = JsonFaults.MaxDepth + 32;

    /// <summary>Bytes as they are kept: nothing to do.</summary>
    public static Presentation Canonical { get; } = new();

    /// <summary>
    /// Names of <c>_elements</c>: <c>element</c> of every resource that was asked for, or <c>Type.element</c> of all of a
    /// type, included ones too. Empty: all elements.
    /// </summary>
    public IReadOnlyList<string> Elements { get; init; } = [];

    /// <summary>Whether <see cref="Apply"/> gives back what it gets.</summary>
    public bool IsCanonical => Format == FhirFormat.Json && !Pretty && !Cuts;

    /// <summary>Whether parts of resources are left out; such a resource is tagged as SUBSETTED.</summary>
    public bool Cuts => Elements.Count > 0 || Summary is SummaryMode.True or SummaryMode.Text or SummaryMode.Data;

    /// <summary>Value of the Content-Type header.</summary>
    public string ContentType => MediaTypes.Of(Format);

    /// <summary>For the header between gateway and repository: ASCII, read by <see cref="Decode"/>.</summary>
    public string Encode() => string.Join(';', (int)Format, Pretty ? 1 : 0, (int)Summary, string.Join(',', Elements));

    /// <summary>Reads what <see cref="Encode"/> wrote; null or empty is canonical.</summary>
    /// <exception cref="FormatException">Anything else.</exception>
    public static Presentation Decode(string? text) =>
        string.IsNullOrEmpty(text) ? Canonical
        : text.Split(';') is [var format, var pretty, var summary, var elements]
            ? new(Enum.Parse<FhirFormat>(format), pretty == "1", Enum.Parse<SummaryMode>(summary))
            {
                Elements = elements.Split(',', StringSplitOptions.RemoveEmptyEntries),
            }
            : throw new FormatException("No presentation.");

    /// <summary>A body in this form.</summary>
    /// <param name="json">One resource as canonical JSON, a Bundle with all that is in it; empty stays empty.</param>
    public ReadOnlyMemory<byte> Apply(ReadOnlyMemory<byte> json)
    {
        if (IsCanonical || json.IsEmpty)
            return json;
        if (Format == FhirFormat.Json && !Cuts)
            return Indent(json);
        var reader = new Utf8JsonReader(json.Span, new JsonReaderOptions { MaxDepth = MaxDepth });
        // What is stored has been validated; here it is only read.
        FhirJsonDeserializer.OSTRICH.TryDeserializeResource(ref reader, out var resource, out _);
        if (resource is null)
            throw new InvalidOperationException("What is to be presented is no resource.");
        if (Cuts)
            Subset.Cut(resource, this);
        using var buffer = new MemoryStream(json.Length + json.Length / 4);
        if (Format == FhirFormat.Xml)
        {
            using var xml = XmlWriter.Create(buffer, Pretty ? IndentedXml : CompactXml);
            FhirXmlSerializer.Default.Serialize(resource, xml);
        }
        else
        {
            using var writer = new Utf8JsonWriter(buffer, Pretty ? IndentedJson : CompactJson);
            FhirJsonSerializer.Default.Serialize(resource, writer);
        }
        return buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
    }

    private static ReadOnlyMemory<byte> Indent(ReadOnlyMemory<byte> json)
    {
        using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaxDepth });
        using var buffer = new MemoryStream(json.Length * 2);
        using (var writer = new Utf8JsonWriter(buffer, IndentedJson))
            document.WriteTo(writer);
        return buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
    }

    // Escapes what the stored form escapes.
    private static readonly JsonWriterOptions CompactJson = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions IndentedJson = CompactJson with { Indented = true };

    // Line ends inside values survive only as entities.
    private static readonly XmlWriterSettings CompactXml = new() { Encoding = new UTF8Encoding(false), NewLineHandling = NewLineHandling.Entitize };
    private static readonly XmlWriterSettings IndentedXml = new() { Encoding = new UTF8Encoding(false), NewLineHandling = NewLineHandling.Entitize, Indent = true };
}
