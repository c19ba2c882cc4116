using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>Fictional resources for verification, each of the plainest shape that its rules allow.</summary>
public static class Some
{
    private static long _number = RandomNumberGenerator.GetInt32(1_000_000, 99_000_000) * 1000L;

    /// <summary>A fresh service-event OID (palvelutapahtuma, node 14) of a clinic.</summary>
    public static string ServiceEvent(ClinicClient clinic) =>
        string.Create(CultureInfo.InvariantCulture, $"{clinic.Client.OrganisationOid}.14.{Interlocked.Increment(ref _number)}");

    public static byte[] Patient(string identityCode, string name)
    {
        var parts = name.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return Bytes(new JsonObject
        {
            ["resourceType"] = "Patient",
            ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = PersonalIdentityCode.System, ["value"] = identityCode }),
            ["name"] = new JsonArray(new JsonObject
            {
                ["family"] = parts[^1],
                ["given"] = new JsonArray([.. parts[..^1].DefaultIfEmpty(parts[0]).Select(p => (JsonNode)p)]),
            }),
        });
    }

    public static JsonObject Encounter(string patient, string serviceEvent, string status = "in-progress") => new()
    {
        ["resourceType"] = "Encounter",
        ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = $"urn:oid:{serviceEvent}" }),
        ["status"] = status,
        ["class"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "AMB" },
        ["subject"] = Reference(patient),
        ["period"] = new JsonObject { ["start"] = Now() },
    };

    public static JsonObject Condition(string patient, string? encounter, string text) => WithEncounter(new()
    {
        ["resourceType"] = "Condition",
        ["clinicalStatus"] = Concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        ["code"] = Concept("urn:oid:1.2.246.537.6.1", "F32.1", text),
        ["subject"] = Reference(patient),
        ["recordedDate"] = Now(),
    }, encounter);

    public static JsonObject Observation(string patient, string? encounter = null, string code = "8867-4", decimal value = 72, string? identifier = null) => WithEncounter(new()
    {
        ["resourceType"] = "Observation",
        ["identifier"] = new JsonArray(new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = identifier ?? $"urn:uuid:{Guid.NewGuid()}" }),
        ["status"] = "final",
        ["category"] = new JsonArray(Concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")),
        ["code"] = Concept("http://loinc.org", code),
        ["subject"] = Reference(patient),
        ["effectiveDateTime"] = Now(),
        ["valueQuantity"] = new JsonObject { ["value"] = value, ["unit"] = "/min", ["system"] = "http://unitsofmeasure.org", ["code"] = "/min" },
    }, encounter);

    /// <summary>A therapy note as IHE MHD has it: a DocumentReference whose text lies in a Binary.</summary>
    public static JsonObject Note(string patient, string encounter, string binary) => new()
    {
        ["resourceType"] = "DocumentReference",
        ["status"] = "current",
        ["type"] = Concept("http://loinc.org", "11488-4"),
        ["subject"] = Reference(patient),
        ["date"] = Now(),
        ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = binary } }),
        ["context"] = new JsonObject { ["encounter"] = new JsonArray(Reference(encounter)) },
    };

    /// <param name="context">What the Binary belongs to; it is disclosed as that is.</param>
    public static JsonObject Binary(string context, string text) => new()
    {
        ["resourceType"] = "Binary",
        ["contentType"] = "text/plain",
        ["securityContext"] = Reference(context),
        ["data"] = Convert.ToBase64String(Encoding.UTF8.GetBytes(text)),
    };

    /// <summary>A Bundle of resources to create.</summary>
    /// <param name="type"><c>transaction</c> or <c>batch</c>.</param>
    public static byte[] Bundle(string type, params IEnumerable<(string FullUrl, JsonObject Resource)> entries) => Bytes(new JsonObject
    {
        ["resourceType"] = "Bundle",
        ["type"] = type,
        ["entry"] = new JsonArray([.. entries.Select(e => (JsonNode)new JsonObject
        {
            ["fullUrl"] = e.FullUrl,
            ["resource"] = e.Resource,
            ["request"] = new JsonObject { ["method"] = "POST", ["url"] = (string?)e.Resource["resourceType"] },
        })]),
    });

    public static string Url() => $"urn:uuid:{Guid.NewGuid()}";

    public static byte[] Bytes(JsonNode node) => Encoding.UTF8.GetBytes(node.ToJsonString());

    private static JsonObject Reference(string to) => new() { ["reference"] = to };

    private static JsonObject Concept(string system, string code, string? text = null)
    {
        var concept = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = system, ["code"] = code }) };
        if (text is not null)
            concept["text"] = text;
        return concept;
    }

    private static JsonObject WithEncounter(JsonObject resource, string? encounter)
    {
        if (encounter is not null)
            resource["encounter"] = Reference(encounter);
        return resource;
    }

    private static string Now() => DateTimeOffset.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
