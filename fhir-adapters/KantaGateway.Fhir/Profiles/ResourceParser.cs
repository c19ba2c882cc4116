using System.Text.Json;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Profiles;

/// <summary>A parsed resource, or why there is none. Exactly one of the two is set.</summary>
public readonly record struct ParseResult(Resource? Resource, Fault? Fault);

/// <summary>Reads and writes FHIR R4 JSON with the Firely SDK. Stateless; thread-safe.</summary>
/// <remarks>
/// Mode STRICT: cardinality, types, formats, required bindings, unknown and repeated members, and narrative against the
/// FHIR XHTML rules, since a script in a narrative would run in somebody's viewer. What has passed here is what is stored.
/// </remarks>
public static class ResourceParser
{
    /// <summary>Most issues told of one body: enough to mend it, too few to flood an answer.</summary>
    public const int MaxIssues = 50;

    private static readonly FhirJsonDeserializer Deserializer = FhirJsonDeserializer.STRICT;

    private static readonly JsonSerializerOptions Writing = new JsonSerializerOptions().ForFhir();

    /// <summary>Parses and validates one resource, a Bundle with everything in it included.</summary>
    /// <returns>
    /// Malformed JSON: <see cref="FaultKind.Invalid"/> with line and byte. Wrong content: <see cref="FaultKind.Unprocessable"/>
    /// with one issue per problem, at most <see cref="MaxIssues"/>, each with the element's expression and without its value.
    /// </returns>
    public static ParseResult Parse(ReadOnlyMemory<byte> json)
    {
        if (JsonFaults.Find(json.Span) is { } malformed)
            return new(null, malformed);
        var reader = new Utf8JsonReader(json.Span, JsonFaults.ReaderOptions);
        Resource? resource;
        IEnumerable<Hl7.Fhir.Utility.CodedException> exceptions;
        try
        {
            Deserializer.TryDeserializeResource(ref reader, out resource, out exceptions);
        }
        catch (Exception e) when (FirelyIssues.IsOfTheBody(e))
        {
            // The SDK fails on some structures that no resource has instead of naming them. That is the body's fault.
            return new(null, JsonFaults.Repeated(json.Span) ?? FirelyIssues.NoResource);
        }
        var issues = FirelyIssues.Describe(exceptions, resource?.TypeName);
        if (issues.Count == 0 && resource is not null)
            IdentityCodes.Check(resource, issues);
        if (issues.Count > 0 || resource is null)
            return new(null, new Fault(FaultKind.Unprocessable, issues.Count > 0 ? issues : [new FaultIssue("The body is not a FHIR resource.")]));
        return new(resource, null);
    }

    /// <summary>The resource as compact JSON with elements in the order of the specification: the form that is stored.</summary>
    public static byte[] Serialize(Resource resource) => JsonSerializer.SerializeToUtf8Bytes(resource, Writing);
}
