using System.Net.Http.Headers;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Patching;

/// <summary>A change to part of a resource, as a client sends it. Immutable; thread-safe; applied to any number of versions.</summary>
/// <remarks>
/// hl7.org/fhir/R4/http.html#patch knows three forms; two are read here, XML Patch is not, since resources are kept as JSON.
/// A patch is all or nothing, and what comes out of it passes the same parser as what is sent whole.
/// </remarks>
public abstract class ResourcePatch
{
    /// <summary>Content type of a JSON Patch (RFC 6902).</summary>
    public const string JsonPatchType = "application/json-patch+json";

    /// <summary>Most operations in one patch.</summary>
    public const int MaxOperations = 1_000;

    private protected ResourcePatch() { }

    /// <summary>Reads the body of a PATCH.</summary>
    /// <param name="contentType"><see cref="JsonPatchType"/>, with parameters or without; anything else is read as a FHIRPath Patch.</param>
    /// <returns>One of the two; the fault never quotes a value.</returns>
    public static (ResourcePatch? Patch, Fault? Fault) Read(ReadOnlyMemory<byte> body, string? contentType)
    {
        if (IsJsonPatch(contentType))
            return JsonPatch.Read(body.Span);
        var (resource, fault) = ResourceParser.Parse(body);
        return resource is null ? (null, fault) : Read(resource);
    }

    /// <summary>
    /// Reads the resource by which a Bundle carries a patch: Parameters, or a Binary around a JSON Patch
    /// (hl7.org/fhir/R4/http.html#transaction).
    /// </summary>
    /// <param name="root">FHIRPath of the resource where it is part of a larger body.</param>
    public static (ResourcePatch? Patch, Fault? Fault) Read(Resource carrier, string? root = null) => carrier switch
    {
        Parameters parameters => FhirPathPatch.Read(parameters, root),
        Binary { Data: { } data } binary when IsJsonPatch(binary.ContentType) => JsonPatch.Read(data, root),
        Binary => (null, new Fault(FaultKind.UnsupportedMediaType, $"A Binary that carries a patch has contentType {JsonPatchType} and data.", root ?? "Binary.contentType")),
        _ => (null, new Fault(FaultKind.Invalid, $"A patch is a JSON Patch ({JsonPatchType}) or a FHIRPath Patch (Parameters).", root ?? "resourceType")),
    };

    /// <summary>Whether a content type is that of a JSON Patch.</summary>
    public static bool IsJsonPatch(string? contentType) =>
        MediaTypeHeaderValue.TryParse(contentType, out var type) && string.Equals(type.MediaType, JsonPatchType, StringComparison.OrdinalIgnoreCase);

    /// <summary>Applies the whole patch.</summary>
    /// <param name="current">A stored resource as JSON; stays as it is.</param>
    /// <returns>
    /// The patched resource, parsed and checked, with type and id of the one before; or a fault: 422 where an operation does
    /// not fit the resource or what comes out is no valid resource.
    /// </returns>
    public ParseResult Apply(ReadOnlyMemory<byte> current)
    {
        byte[] changed;
        try
        {
            changed = Change(current);
        }
        catch (FaultException e)
        {
            return new(null, e.Fault);
        }
        var (resource, fault) = ResourceParser.Parse(changed);
        if (resource is null)
            return new(null, fault);
        var before = RequestedIdentity.Of(current.Span);
        return resource.TypeName == before.Type && resource.Id == before.Id ? new(resource, null)
            : new(null, new Fault(FaultKind.Unprocessable, new FaultIssue("A patch changes neither the type nor the id of a resource.", Root, "business-rule")));
    }

    /// <summary>FHIRPath of the patch itself; null where it has none.</summary>
    private protected abstract string? Root { get; }

    /// <exception cref="FaultException">An operation does not fit.</exception>
    private protected abstract byte[] Change(ReadOnlyMemory<byte> current);

    private readonly record struct RequestedIdentity(string? Type, string? Id)
    {
        public static RequestedIdentity Of(ReadOnlySpan<byte> json)
        {
            var scan = Compartment.RequestScan.Read(json);
            return new(scan.ResourceType, scan.Id);
        }
    }
}
