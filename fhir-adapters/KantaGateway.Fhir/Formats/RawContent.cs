using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Formats;

/// <summary>When a Binary goes to and fro as its own content and not as a FHIR resource (hl7.org/fhir/R4/binary.html#rest). Pure.</summary>
/// <remarks>
/// Only the types that mean FHIR resources or JSON do: <c>text/xml</c> and <c>application/xml</c>, which elsewhere stand for FHIR XML,
/// are here what CDA documents come in.
/// </remarks>
public static class RawContent
{
    /// <summary>Names the resource that a content belongs with, <c>Type/id</c>.</summary>
    public const string SecurityContextHeader = "X-Security-Context";

    /// <summary>Default of the largest content, bytes.</summary>
    public const long DefaultMax = 200L << 20;

    /// <summary>The answer to a content that does not say whose it is.</summary>
    public static Fault NoSecurityContext { get; } = new(FaultKind.Unprocessable,
        $"A content comes with {SecurityContextHeader}: the resource it belongs with, such as Encounter/[id] or Patient/[id].", $"http.{SecurityContextHeader}");

    /// <summary>Whether a body of this media type is content.</summary>
    /// <param name="contentType">Null or empty: it is said of nothing.</param>
    public static bool IsContent(string? contentType) => !string.IsNullOrWhiteSpace(contentType) && !IsResource(MediaOf(contentType));

    /// <summary>Whether an answer is asked for as content: what is accepted has no name of a FHIR format in it.</summary>
    /// <param name="accept">The header; null or empty: a resource.</param>
    /// <param name="format">Value of <c>_format</c>, which overrides the header; null or empty: none.</param>
    public static bool IsAskedFor(string? accept, string? format) =>
        string.IsNullOrEmpty(format) && !string.IsNullOrWhiteSpace(accept) && !accept.Split(',').Any(range => IsResource(MediaOf(range)));

    /// <summary>Whether a content of this type is among what is accepted.</summary>
    public static bool Accepts(string accept, string contentType)
    {
        var media = MediaOf(contentType);
        return accept.Split(',').Select(MediaOf).Any(range => range == "*/*" || range == media
            || (range.EndsWith("/*", StringComparison.Ordinal) && media.StartsWith(range[..^1], StringComparison.Ordinal)));
    }

    /// <summary>The literal <c>Type/id</c> in a security context, which may name this server; null when it is none.</summary>
    /// <param name="publicBase">The public FHIR base, no trailing slash.</param>
    public static (string Type, string Id)? SecurityContext(string? header, string publicBase)
    {
        var literal = header is null ? null : References.Relative(header, publicBase);
        return literal is not null && References.TryReadLocal(literal, out var type, out var id) ? (type!, id!) : null;
    }

    private static bool IsResource(string media) =>
        media is MediaTypes.Json or MediaTypes.Xml or "application/json" or "text/json" or "application/json+fhir" or "application/xml+fhir";

    private static string MediaOf(string range) => range.Split(';', 2)[0].Trim().ToLowerInvariant();
}
