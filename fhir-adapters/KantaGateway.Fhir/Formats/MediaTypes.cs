namespace KantaGateway.Fhir.Formats;

/// <summary>Names of the formats on the wire (hl7.org/fhir/R4/http.html#mime-type).</summary>
public static class MediaTypes
{
    public const string Json = "application/fhir+json";
    public const string Xml = "application/fhir+xml";

    /// <summary>The one release that is served, as the media type parameter <c>fhirVersion</c> names it.</summary>
    public const string FhirVersion = "4.0";

    /// <summary>Content type of what is answered.</summary>
    public static string Of(FhirFormat format) => format == FhirFormat.Xml ? Xml + "; charset=utf-8" : Json + "; charset=utf-8";

    /// <summary>The format that a media type without parameters, or a value of <c>_format</c>, stands for; null for none.</summary>
    /// <remarks>Beside the FHIR types the generic ones, the older ones of DSTU2 and the short names, as R4 lists them.</remarks>
    public static FhirFormat? FormatOf(ReadOnlySpan<char> name)
    {
        Span<char> lower = stackalloc char[32];
        name = name.Trim();
        if (name.Length > lower.Length)
            return null;
        name.ToLowerInvariant(lower);
        return lower[..name.Length] switch
        {
            Json or "json" or "application/json" or "text/json" or "application/json+fhir" => FhirFormat.Json,
            Xml or "xml" or "application/xml" or "text/xml" or "application/xml+fhir" => FhirFormat.Xml,
            _ => null,
        };
    }
}
