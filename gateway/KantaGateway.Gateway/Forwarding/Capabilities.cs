using System.Text.Json;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Patching;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>The CapabilityStatement (hl7.org/fhir/R4/capabilitystatement.html): what this gateway does, no more.</summary>
public static class Capabilities
{
    public static RequestDelegate Endpoint(GatewayOptions options)
    {
        var body = Write(options);
        return context =>
        {
            Correlation.Of(context);
            return Negotiation.Agree(context, "CapabilityStatement", isSearch: false, "") is { } unreadable
                ? FaultWriter.WriteAsync(context, unreadable) : FaultWriter.WriteAsync(context, body);
        };
    }

    private static byte[] Write(GatewayOptions options)
    {
        var resources = ResourceTypes.Served.Select(type => new
        {
            type,
            interaction = RestRoutes.All.Where(r => r is { IsOfType: true, Code: not null } && ResourceRules.IsOffered(type, r))
                .Select(r => r.Code).Distinct().Select(code => new { code }),
            versioning = "versioned-update",
            readHistory = true,
            updateCreate = false,
            conditionalCreate = true,
            conditionalUpdate = true,
            conditionalDelete = "single",
            searchParam = SearchParameters.Of(type).Select(p => new { name = p.Name, type = p.Kind.ToString().ToLowerInvariant() })
                .Concat([new { name = "_id", type = "token" }, new { name = "_lastUpdated", type = "date" }]),
        });
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
                    resource = resources,
                    interaction = new[] { new { code = "transaction" }, new { code = "batch" } },
                },
            },
        });
    }
}
