using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Cda;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>The CapabilityStatement (hl7.org/fhir/R4/capabilitystatement.html): what this gateway does, no more.</summary>
public static class Capabilities
{
    private static readonly JsonSerializerOptions WithoutNulls = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>Answers GET and HEAD of <c>metadata</c>; made once, for it depends on nobody.</summary>
    public static RequestDelegate Endpoint(GatewayOptions options)
    {
        var body = Write(options);
        var tag = $"W/\"{Convert.ToHexStringLower(SHA256.HashData(body)[..8])}\"";
        return context =>
        {
            Correlation.Of(context);
            if (Negotiation.Agree(context, "CapabilityStatement", isSearch: false, "") is { } unreadable)
                return FaultWriter.WriteAsync(context, unreadable);
            if (context.Request.Query["mode"].ToString() is not ("" or "full"))
                return FaultWriter.WriteAsync(context, new Fault(FaultKind.NotSupported, "Only the full CapabilityStatement is given: leave mode out.", "http.mode"));
            context.Response.Headers.ETag = tag;
            context.Response.Headers.CacheControl = "no-cache";
            if (context.Request.Headers.IfNoneMatch == tag)
            {
                context.Response.StatusCode = StatusCodes.Status304NotModified;
                return Task.CompletedTask;
            }
            return FaultWriter.WriteAsync(context, body);
        };
    }

    private static object Resource(string type)
    {
        RestRoute[] routes = [.. RestRoutes.All.Where(r => r.IsOfType && (r.OnlyType is null || r.OnlyType == type) && ResourceRules.IsOffered(type, r))];
        bool Offers(RestInteraction interaction) => routes.Any(r => r.Interaction == interaction);
        return new
        {
            type,
            documentation = DocumentationOf(type),
            interaction = routes.Where(r => r.Code is not null).Select(r => r.Code).Distinct().Select(code => new { code }),
            versioning = "versioned-update",
            readHistory = true,
            updateCreate = false,
            conditionalCreate = Offers(RestInteraction.Create) && ResourceRules.Refusal(type, "POST", isConditional: true, isInTransaction: false) is null,
            conditionalRead = "full-support",
            conditionalUpdate = Offers(RestInteraction.ConditionalUpdate),
            conditionalDelete = Offers(RestInteraction.ConditionalDelete) ? "single" : "not-supported",
            referencePolicy = new[] { "literal", "logical", "local", "enforced" },
            searchInclude = Some(ReferencesOf(type).Where(p => p.Targets.Count > 0).Select(p => $"{type}:{p.Name}")),
            // A search of the directory stays in it.
            searchRevInclude = Some(ResourceTypes.Served.Where(source => !IsDirectory(type) || IsDirectory(source)).SelectMany(source => ReferencesOf(source).Where(p => p.Targets.Contains(type)).Select(p => $"{source}:{p.Name}"))),
            searchParam = SearchParameters.Of(type).Select(p => new { name = p.Name, definition = p.Definition, type = p.Kind.ToString().ToLowerInvariant(), documentation = ModifiersOf(p) })
                .Concat([new { name = "_id", definition = "http://hl7.org/fhir/SearchParameter/Resource-id", type = "token", documentation = "No modifiers." },
                    new { name = "_lastUpdated", definition = "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated", type = "date", documentation = "No modifiers." }]),
            operation = Some(routes.Where(r => r is { Operation: not null, Definition: not null }).Select(r => new { name = r.Operation, definition = r.Definition }).Distinct()),
        };
    }

    /// <summary>What an operation of the whole system takes; null: its definition says it.</summary>
    private static string? DocumentationOf(RestInteraction interaction) => interaction switch
    {
        RestInteraction.Messages => $"HL7 v2 messages, {MessageAdapter.ContentType}: one, a batch or a file. Each is answered with its acknowledgement when what it says is durable.",
        RestInteraction.Document => $"A CDA R2 document, {CdaAdapter.ContentType}: archived as FHIR and byte for byte. The answer says of each of its parts what became of it; dry-run=true stores nothing.",
        RestInteraction.Table => "A practice's table (CSV or XLSX) and its mapping, multipart/form-data: each row is a transaction. The answer says of each row what became of it; dry-run=true stores nothing.",
        _ => null,
    };

    /// <summary>What the members of the statement cannot say; null: nothing.</summary>
    private static string? DocumentationOf(string type) => type switch
    {
        "DocumentReference" => $"IHE MHD: documents are published in a transaction (ITI-65) or by POST of a DocumentReference that claims {SimplifiedPublish.Profile} (ITI-105: its data become a Binary, and the two a submission set), found (ITI-66, ITI-67) and fetched (ITI-68).",
        "AuditEvent" => "Entries of the writing organisation's own use log, of what has been: read by that organisation alone, never changed nor deleted. The persons see in the portal who has used their data; no AuditEvent is served to them here.",
        "Provenance" => "Never changed nor deleted.",
        "Composition" => $"$cda gives a Composition, and what it refers to, as a CDA R2 document with a report of what became of each element; with Accept: {CdaAdapter.ContentType} the document alone.",
        "Consent" => "Declared, changed and read by the person in the portal, or recorded at a desk with its signed form; confirmations of specially protected entries and emergencies are recorded by professionals. Nobody but the person is told of them.",
        "Binary" => null,
        _ when ResourceTypes.PlaceOf(type) == ResourcePlace.Companion =>
            $"A {type} is created in a transaction with a resource that refers to it, by criteria too. Afterwards it is updated, patched and deleted by id or by criteria; outside a transaction they name it by _id, for it names no patient.",
        _ => null,
    };

    /// <summary>What a parameter may be asked with; the types of a reference that may lead to anything go without saying.</summary>
    private static string ModifiersOf(SearchParameter parameter) =>
        $"Modifiers: {string.Join(", ", parameter.Modifiers.Concat(parameter.Targets.Count > 12 ? ["[type]"] : parameter.Targets).Select(m => ":" + m))}.";

    private static IEnumerable<SearchParameter> ReferencesOf(string type) => SearchParameters.Of(type).Where(p => p.Kind == SearchKind.Reference);

    private static bool IsDirectory(string type) => ResourceTypes.PlaceOf(type) == ResourcePlace.Directory;

    /// <summary>FHIR JSON has no empty arrays.</summary>
    private static T[]? Some<T>(IEnumerable<T> values) => values.ToArray() is { Length: > 0 } some ? some : null;

    private static byte[] Write(GatewayOptions options)
    {
        return JsonSerializer.SerializeToUtf8Bytes(new
        {
            resourceType = "CapabilityStatement",
            status = "active",
            date = "2026-11-25",
            kind = "instance",
            software = new { name = "KantaGateway" },
            implementation = new { description = "National health data exchange gateway", url = options.PublicAddress + "/fhir" },
            fhirVersion = "4.0.1",
            format = new[] { MediaTypes.Json, "json", MediaTypes.Xml, "xml" },
            patchFormat = new[] { ResourcePatch.JsonPatchType, MediaTypes.Json, MediaTypes.Xml },
            rest = new[]
            {
                new
                {
                    mode = "server",
                    security = new
                    {
                        service = new[] { new { coding = new[] { new { system = "http://terminology.hl7.org/CodeSystem/restful-security-service", code = "SMART-on-FHIR" } } } },
                        description = "mTLS with an organisation certificate and SMART Backend Services; tokens are bound to the certificate (RFC 8705). Professionals by token exchange (RFC 8693).",
                    },
                    resource = ResourceTypes.Served.Select(Resource),
                    interaction = new[] { "transaction", "batch" }.Concat(RestRoutes.All.Where(r => r is { IsOfType: false, Code: not null }).Select(r => r.Code!)).Select(code => new { code }),
                    operation = RestRoutes.All.Where(static r => r is { IsOfType: false, Operation: not null, Definition: not null }).Select(static r => new { name = r.Operation, definition = r.Definition, documentation = DocumentationOf(r.Interaction) }),
                },
            },
        }, WithoutNulls);
    }
}
