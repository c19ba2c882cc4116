namespace KantaGateway.Fhir.Interactions;

/// <summary>What a FHIR request asks for by its method and address (hl7.org/fhir/R4/http.html).</summary>
public enum RestInteraction
{
    /// <summary>No route: nothing is served by that method there.</summary>
    None = 0,
    Read, VRead, HistoryInstance, SearchType, Create, Update, Patch, Delete,

    /// <summary>Update, patch or delete of the one resource that the criteria find.</summary>
    ConditionalUpdate, ConditionalPatch, ConditionalDelete,

    /// <summary>A Bundle at the base: transaction or batch.</summary>
    Bundle,

    /// <summary>History of a type, or of everything, within one patient or the directory.</summary>
    HistoryType, HistorySystem,

    /// <summary>Operations: <c>$everything</c>, <c>$meta</c>, <c>$docref</c>, <c>$validate</c>.</summary>
    Everything, Meta, DocumentsOfPatient, Validate,

    /// <summary><c>$validate</c> of a stored resource, or of a new version of it.</summary>
    ValidateInstance,

    /// <summary>What clinics send that is no FHIR: <c>$hl7v2</c>, <c>$cda</c>, <c>$table</c>. The gateway makes transactions of it.</summary>
    Messages, Document, Table,

    /// <summary><c>$cda</c> of a Composition: it and what it refers to, read and written as a CDA document by the gateway.</summary>
    AsDocument,
}

/// <summary>One address with the method that goes with it.</summary>
/// <param name="Method">HTTP method.</param>
/// <param name="Template">
/// Segments under the FHIR base: <c>[type]</c>, <c>[id]</c> and <c>[vid]</c> stand for one each, everything else for itself.
/// </param>
/// <param name="Interaction">What it asks for.</param>
/// <param name="Code">Code of type-restful-interaction or system-restful-interaction; null for an operation.</param>
/// <param name="Definition">Canonical URL of an operation's definition.</param>
public sealed record RestRoute(string Method, string Template, RestInteraction Interaction, string? Code = null, string? Definition = null)
{
    internal string[] Parts { get; } = Template.Split('/', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Name of the operation that the address ends with, without <c>$</c>; null where it is none.</summary>
    public string? Operation => Parts is [.., ['$', ..] last] ? last[1..] : null;

    /// <summary>Whether it addresses a type or one of its resources.</summary>
    public bool IsOfType => Parts is ["[type]", ..] || OnlyType is not null;

    /// <summary>The one type that it is served for; null where it is any, or none.</summary>
    public string? OnlyType => Parts is [var first, ..] && char.IsAsciiLetterUpper(first[0]) ? first : null;

    internal bool Fits(ReadOnlySpan<string> segments)
    {
        if (segments.Length != Parts.Length)
            return false;
        for (var i = 0; i < segments.Length; i++)
            if (Parts[i] switch
                {
                    "[type]" => segments[i].StartsWith('_') || segments[i].StartsWith('$'),
                    "[id]" or "[vid]" => segments[i].Length == 0 || segments[i].StartsWith('_') || segments[i].StartsWith('$'),
                    var fixedPart => segments[i] != fixedPart,
                })
                return false;
        return true;
    }
}

/// <summary>A request's address, read.</summary>
/// <param name="Id">Logical id; of a search the Patient in whose compartment it takes place.</param>
public readonly record struct RestAddress(RestRoute? Route, string? Type = null, string? Id = null, string? VersionId = null)
{
    /// <summary><see cref="RestInteraction.None"/> where there is no route.</summary>
    public RestInteraction Interaction => Route?.Interaction ?? RestInteraction.None;

    /// <summary>
    /// A search's form-encoded parameters, with the Patient of its address among them: whom a resource is about is the
    /// compartment it lies in, so a compartment search is a search for that patient.
    /// </summary>
    public string WithPatient(string form) => Id is null ? form : form.Length == 0 ? $"{PatientParameter}={Id}" : $"{PatientParameter}={Id}&{form}";

    /// <summary>The parameter by which resources of the type are about a Patient.</summary>
    public string PatientParameter => Search.SearchParameters.Find(Type ?? "", "patient") is not null ? "patient" : "subject";
}

/// <summary>
/// Every address that is served. Gateway and repository read requests by this one table, and the CapabilityStatement is
/// generated from it, so that none of the three can promise what another does not do.
/// </summary>
public static class RestRoutes
{
    /// <summary>Where the names of this gateway's own operations begin.</summary>
    private const string Own = "https://kantagateway.fi/fhir/OperationDefinition/";

    public static IReadOnlyList<RestRoute> All { get; } =
    [
        new("POST", "", RestInteraction.Bundle),
        new("GET", "[type]", RestInteraction.SearchType, "search-type"),
        new("POST", "[type]/_search", RestInteraction.SearchType, "search-type"),
        new("GET", "Patient/[id]/[type]", RestInteraction.SearchType, "search-type"),
        new("POST", "Patient/[id]/[type]/_search", RestInteraction.SearchType, "search-type"),
        new("POST", "[type]", RestInteraction.Create, "create"),
        new("GET", "[type]/[id]", RestInteraction.Read, "read"),
        new("PUT", "[type]/[id]", RestInteraction.Update, "update"),
        new("PATCH", "[type]/[id]", RestInteraction.Patch, "patch"),
        new("DELETE", "[type]/[id]", RestInteraction.Delete, "delete"),
        new("PUT", "[type]", RestInteraction.ConditionalUpdate, "update"),
        new("PATCH", "[type]", RestInteraction.ConditionalPatch, "patch"),
        new("DELETE", "[type]", RestInteraction.ConditionalDelete, "delete"),
        new("GET", "[type]/[id]/_history", RestInteraction.HistoryInstance, "history-instance"),
        new("GET", "[type]/[id]/_history/[vid]", RestInteraction.VRead, "vread"),
        new("GET", "[type]/_history", RestInteraction.HistoryType, "history-type"),
        new("GET", "_history", RestInteraction.HistorySystem, "history-system"),
        new("GET", "[type]/[id]/$meta", RestInteraction.Meta, Definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta"),
        new("POST", "[type]/$validate", RestInteraction.Validate, Definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
        new("GET", "[type]/[id]/$validate", RestInteraction.ValidateInstance, Definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
        new("POST", "[type]/[id]/$validate", RestInteraction.ValidateInstance, Definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
        new("GET", "Patient/[id]/$everything", RestInteraction.Everything, Definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything"),
        new("POST", "Patient/[id]/$everything", RestInteraction.Everything, Definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything"),
        new("GET", "Encounter/[id]/$everything", RestInteraction.Everything, Definition: "http://hl7.org/fhir/OperationDefinition/Encounter-everything"),
        new("POST", "Encounter/[id]/$everything", RestInteraction.Everything, Definition: "http://hl7.org/fhir/OperationDefinition/Encounter-everything"),
        new("GET", "DocumentReference/$docref", RestInteraction.DocumentsOfPatient, Definition: "http://hl7.org/fhir/us/core/OperationDefinition/docref"),
        new("POST", "DocumentReference/$docref", RestInteraction.DocumentsOfPatient, Definition: "http://hl7.org/fhir/us/core/OperationDefinition/docref"),
        new("POST", "$hl7v2", RestInteraction.Messages, Definition: Own + "hl7v2"),
        new("POST", "$cda", RestInteraction.Document, Definition: Own + "cda"),
        new("POST", "$table", RestInteraction.Table, Definition: Own + "table"),
        new("GET", "Composition/[id]/$cda", RestInteraction.AsDocument, Definition: Own + "composition-cda"),
    ];

    /// <summary>Whether an interaction is an adapter's: the gateway serves it by requests of its own, so it is asked for by itself.</summary>
    public static bool IsOfAdapter(RestInteraction interaction) => interaction is RestInteraction.Messages or RestInteraction.Document or RestInteraction.Table or RestInteraction.AsDocument;

    /// <summary>Segments of a path under the FHIR base, for <see cref="Match"/>.</summary>
    /// <param name="path">Such as <c>/fhir/Patient/x</c>.</param>
    public static string[] Segments(string path) => [.. path.Trim('/').Split('/').Skip(1).SkipWhile(static s => s.Length == 0)];

    /// <summary>Reads an address.</summary>
    /// <param name="method">HTTP method, upper case.</param>
    /// <param name="segments">Of the path under the FHIR base, not decoded again; empty for the base itself.</param>
    /// <returns>Without a route where nothing is served; the type is not checked to be one that is kept here.</returns>
    public static RestAddress Match(string method, ReadOnlySpan<string> segments)
    {
        // What is read can be asked for without its body (hl7.org/fhir/R4/http.html#head); the host leaves the body out.
        if (method == "HEAD")
            method = "GET";
        foreach (var route in All)
        {
            if (route.Method != method || !route.Fits(segments))
                continue;
            var address = new RestAddress(route, route.OnlyType);
            for (var i = 0; i < segments.Length; i++)
                address = route.Parts[i] switch
                {
                    "[type]" => address with { Type = segments[i] },
                    "[id]" => address with { Id = segments[i] },
                    "[vid]" => address with { VersionId = segments[i] },
                    _ => address,
                };
            return address;
        }
        return default;
    }

    /// <summary>The methods that an address takes where it does not take this one: what <c>Allow</c> says with 405 (RFC 9110 §10.2.1, §15.5.6).</summary>
    /// <param name="method">HTTP method that was refused, upper case.</param>
    /// <param name="segments">As for <see cref="Match"/>.</param>
    /// <returns>In the order of the alphabet, HEAD among them where GET is; empty where it takes none.</returns>
    public static string Allowed(string method, ReadOnlySpan<string> segments)
    {
        var allowed = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var route in All)
            // What was refused at the base or at a type is what came with the method, or how much of it at a time: the address takes it.
            if (route.Fits(segments) && (route.Method != method || segments.Length < 2)
                && ResourceRules.Refusal(segments.Length == 0 ? null : segments[0], route.Method, ResourceRules.IsConditional(route.Interaction), isInTransaction: false) is null)
                allowed.Add(route.Method);
        if (allowed.Contains("GET"))
            allowed.Add("HEAD");
        return string.Join(", ", allowed);
    }
}
