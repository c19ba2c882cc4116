using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KantaGateway.Audit.Balp;

/// <summary>
/// Writes a record as a FHIR R4 AuditEvent after IHE Basic Audit Log Patterns 1.1. Pure; does not throw for any record.
/// </summary>
/// <remarks>
/// <c>meta.profile</c> is claimed only where the event has that profile's whole form: BALP's RESTful patterns are for
/// successes, and each has exactly one object, so further resources stand beside it under their own type code.
/// </remarks>
public static class BalpEvent
{
    internal const string Profiles = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/";
    internal const string UserAgentTypes = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes";
    internal const string EntityTypes = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
    internal const string AuthorizationSubtypes = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
    internal const string Dicom = "http://dicom.nema.org/resources/ontology/DCM";
    internal const string EventType = "http://terminology.hl7.org/CodeSystem/audit-event-type";
    internal const string Interactions = "http://hl7.org/fhir/restful-interaction";
    internal const string ActReason = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
    internal const string Participation = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
    internal const string RoleCodes = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";
    internal const string RoleClass = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";
    internal const string EntityType = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
    internal const string ObjectRole = "http://terminology.hl7.org/CodeSystem/object-role";
    internal const string ResourceTypes = "http://hl7.org/fhir/resource-types";
    internal const string LegalBasisPolicy = "urn:kanta:legal-basis:";
    internal const string TokenPolicy = "urn:ietf:params:oauth:jti:";
    internal const string CertificatePolicy = "urn:kanta:certificate:x5t-S256:";
    internal const string ControllerDetail = "controller", CategoryDetail = "category", RegisterDetail = "register", RulesDetail = "rules", DigestDetail = "sha-256", RequestDetail = "X-Request-Id",
        InteractionDetail = "interaction", QueryDetail = "query", HeadDetail = "head";

    private const int MaxString = 2048;

    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>The AuditEvent as UTF-8 JSON.</summary>
    public static byte[] Write(DisclosureRecord record)
    {
        var buffer = new ArrayBufferWriter<byte>(3072 + 320 * record.Items.Count);
        using (var json = new Utf8JsonWriter(buffer, Json))
        {
            json.WriteStartObject();
            json.WriteString("resourceType", "AuditEvent");
            WriteProfiles(json, record);
            WriteEvent(json, record);
            WriteAgents(json, record);
            WriteSource(json, record);
            WriteEntities(json, record);
            json.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The profile that the record's event conforms to; null when no BALP profile fits.</summary>
    internal static string? ProfileOf(DisclosureRecord record)
    {
        var known = record.PatientId is not null;
        switch (record.Kind)
        {
            case AuditKind.AuthorizationDecision:
                return known ? "IHE.BasicAudit.AuthZconsent" : null;
            case AuditKind.PrivacyDisclosure:
                return known && record.Items.Count > 0 ? "IHE.BasicAudit.PrivacyDisclosure.Source" : null;
            case AuditKind.Rest:
                return null;
        }
        if (record.Outcome != AuditOutcome.Success || (record.Items.Count == 0 && record.Kind != AuditKind.Query))
            return null;
        var name = (record.Kind, record.Interaction) switch
        {
            (AuditKind.Read, "read" or "vread") => "Read",
            (AuditKind.Query, "search" or "search-type" or "search-system") => "Query",
            (AuditKind.Create, "create") => "Create",
            (AuditKind.Update, "update" or "patch") => "Update",
            (AuditKind.Delete, "delete") => "Delete",
            _ => null,
        };
        return name is null ? null : $"IHE.BasicAudit.{(known ? "Patient" : "")}{name}";
    }

    private static bool IsRest(DisclosureRecord record) => record.Kind is not (AuditKind.AuthorizationDecision or AuditKind.PrivacyDisclosure);

    private static void WriteProfiles(Utf8JsonWriter json, DisclosureRecord record)
    {
        var profile = ProfileOf(record);
        var token = record.TokenId is not null && IsRest(record);
        if (profile is null && !token)
            return;
        json.WriteStartObject("meta");
        json.WriteStartArray("profile");
        if (profile is not null)
            json.WriteStringValue(Profiles + profile);
        if (token)
            json.WriteStringValue(Profiles + "IHE.BasicAudit.OAUTHaccessTokenUse.Minimal");
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteEvent(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WritePropertyName("type");
        switch (record.Kind)
        {
            case AuditKind.AuthorizationDecision:
                WriteCoding(json, Dicom, "110113", "Security Alert");
                json.WriteStartArray("subtype");
                WriteCoding(json, AuthorizationSubtypes, "AuthZ-Consent");
                // The pattern admits no other subtype; without a person there is no pattern, and no entity to hold it.
                if (record.PatientId is null)
                    WriteCoding(json, Interactions, record.Interaction);
                json.WriteEndArray();
                json.WriteString("action", "E");
                break;
            case AuditKind.PrivacyDisclosure:
                WriteCoding(json, Dicom, "110106", "Export");
                json.WriteStartArray("subtype");
                WriteCoding(json, "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose");
                WriteCoding(json, Interactions, record.Interaction);
                json.WriteEndArray();
                json.WriteString("action", "R");
                break;
            default:
                WriteCoding(json, EventType, "rest");
                json.WriteStartArray("subtype");
                WriteCoding(json, Interactions, record.Interaction);
                json.WriteEndArray();
                json.WriteString("action", ActionOf(record));
                break;
        }
        json.WriteString("recorded", record.Recorded.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
        json.WriteString("outcome", record.Outcome switch { AuditOutcome.Success => "0", AuditOutcome.MinorFailure => "4", _ => "8" });
        WriteOptional(json, "outcomeDesc", record.OutcomeDescription);
        WritePurpose(json, "purposeOfEvent", record);
    }

    // Unknown before the caller is identified.
    private static void WritePurpose(Utf8JsonWriter json, string name, DisclosureRecord record)
    {
        if (record.PurposeOfUse.Length == 0)
            return;
        json.WriteStartArray(name);
        WriteConcept(json, ActReason, record.PurposeOfUse);
        json.WriteEndArray();
    }

    private static string ActionOf(DisclosureRecord record) => record.Interaction switch
    {
        "read" or "vread" or "history-instance" or "history-type" => "R",
        "create" => "C",
        "update" or "patch" => "U",
        "delete" => "D",
        _ => "E",
    };

    private static void WriteAgents(Utf8JsonWriter json, DisclosureRecord record)
    {
        // In BALP data flows from source to destination: a reader is the destination, a writer or the sender of a query the source.
        const string source = "110153", destination = "110152", application = "110150";
        var person = record.Professional ?? record.Citizen;
        var clientCode = record.Kind switch
        {
            AuditKind.Create or AuditKind.Update or AuditKind.Query => source,
            AuditKind.Delete or AuditKind.AuthorizationDecision => application,
            _ => destination,
        };
        json.WriteStartArray("agent");

        json.WriteStartObject();
        WriteType(json, Dicom, clientCode);
        json.WriteStartObject("who");
        WriteIdentifier(json, record.System.ClientId);
        json.WriteEndObject();
        WriteOptional(json, "name", record.System.AppName);
        json.WriteBoolean("requestor", person is null);
        WritePolicies(json, record);
        WriteNetwork(json, record.System.Address, IPAddress.TryParse(record.System.Address, out _) ? "2" : "1");
        json.WriteEndObject();

        json.WriteStartObject();
        if (record.Kind == AuditKind.AuthorizationDecision)
            WriteType(json, "http://terminology.hl7.org/CodeSystem/extra-security-role-type", "authserver");
        else if (record.Kind == AuditKind.Delete)
            WriteType(json, "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian");
        else
            WriteType(json, Dicom, clientCode == source ? destination : source);
        json.WritePropertyName("who");
        WriteServer(json, record);
        json.WriteBoolean("requestor", false);
        if (record.Kind != AuditKind.AuthorizationDecision)
            WriteNetwork(json, record.Server, "5");
        json.WriteEndObject();

        if (person is not null)
            WriteUser(json, record, person);
        else if (record.Kind == AuditKind.AuthorizationDecision)
            // The pattern demands a user: a system that asks for itself is its own.
            WriteUser(json, record, new AuditPerson(record.System.ClientId, null, null));

        WriteOrganisation(json, "PROV", record.Organisation);
        if (record.Subscriber is { } subscriber)
            WriteOrganisation(json, "AGNT", subscriber);

        if (record.TokenId is { } token && IsRest(record))
        {
            json.WriteStartObject();
            WriteType(json, UserAgentTypes, "UserOauthAgent");
            json.WriteBoolean("requestor", true);
            json.WriteStartArray("policy");
            json.WriteStringValue(TokenPolicy + token);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <param name="role">PROV who asks; AGNT whose system acts for it.</param>
    private static void WriteOrganisation(Utf8JsonWriter json, string role, AuditOrganisation organisation)
    {
        json.WriteStartObject();
        WriteType(json, RoleClass, role);
        json.WriteStartObject("who");
        // What has no object identifier was not identified; its name says so.
        if (organisation.Oid is ['0' or '1' or '2', '.', ..])
            WriteIdentifier(json, "urn:oid:" + organisation.Oid, "urn:ietf:rfc:3986");
        json.WriteString("display", Clean(organisation.Name));
        json.WriteEndObject();
        json.WriteBoolean("requestor", false);
        json.WriteEndObject();
    }

    private static void WriteUser(Utf8JsonWriter json, DisclosureRecord record, AuditPerson person)
    {
        json.WriteStartObject();
        WriteType(json, Participation, record.Kind is AuditKind.Create or AuditKind.Update or AuditKind.Delete ? "AUT" : "IRCP");
        if (!string.IsNullOrWhiteSpace(person.Role))
        {
            json.WriteStartArray("role");
            json.WriteStartObject();
            if (ReferenceEquals(person, record.Citizen) && person.Role is AuditPerson.Custodian or AuditPerson.MandateHolder)
            {
                json.WriteStartArray("coding");
                WriteCoding(json, RoleCodes, person.Role == AuditPerson.Custodian ? "GUARD" : "HPOWATT");
                json.WriteEndArray();
            }
            WriteOptional(json, "text", person.Role);
            json.WriteEndObject();
            json.WriteEndArray();
        }
        json.WriteStartObject("who");
        if (ReferenceEquals(person, record.Citizen))
            json.WriteString("reference", "Patient/" + person.Id);
        else
            WriteIdentifier(json, person.Id);
        json.WriteEndObject();
        WriteOptional(json, "name", person.Name);
        json.WriteBoolean("requestor", true);
        if (record.Unit is { } unit)
        {
            json.WriteStartObject("location");
            WriteIdentifier(json, "urn:oid:" + unit, "urn:ietf:rfc:3986");
            json.WriteEndObject();
        }
        WritePurpose(json, "purposeOfUse", record);
        json.WriteEndObject();
    }

    private static void WritePolicies(Utf8JsonWriter json, DisclosureRecord record)
    {
        var token = record.Kind is AuditKind.AuthorizationDecision or AuditKind.PrivacyDisclosure ? record.TokenId : null;
        if (record.LegalBasis is null && token is null && record.System.Certificate is null)
            return;
        json.WriteStartArray("policy");
        if (record.System.Certificate is { } certificate)
            json.WriteStringValue(CertificatePolicy + certificate);
        if (record.LegalBasis is { } basis)
            json.WriteStringValue(LegalBasisPolicy + Uri.EscapeDataString(basis));
        if (token is not null)
            json.WriteStringValue(TokenPolicy + token);
        json.WriteEndArray();
    }

    private static void WriteSource(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WriteStartObject("source");
        json.WritePropertyName("observer");
        WriteServer(json, record);
        json.WriteStartArray("type");
        WriteCoding(json, "http://terminology.hl7.org/CodeSystem/security-source-type", record.Kind == AuditKind.AuthorizationDecision ? "6" : "4");
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteEntities(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WriteStartArray("entity");
        if (record.PatientId is { } patient)
        {
            json.WriteStartObject();
            WriteWhat(json, "Patient/" + patient);
            WriteType(json, EntityType, "1", concept: false);
            WriteRole(json, "1");
            // The authorization pattern is closed to further entities, so what it must say stands here.
            if (record.Kind == AuditKind.AuthorizationDecision)
                WriteRequestDetails(json, record);
            json.WriteEndObject();
        }
        if (record.Kind == AuditKind.AuthorizationDecision)
        {
            if (record.PatientId is null)
                WriteTransaction(json, record);
            WriteConsent(json, record);
            if (record.TokenId is { } token)
            {
                json.WriteStartObject();
                WriteWhatIdentifier(json, TokenPolicy + token);
                WriteType(json, UserAgentTypes, "UserOauthAgent", concept: false);
                json.WriteEndObject();
            }
        }
        else
        {
            WriteTransaction(json, record);
            if (record.ConsentId is not null)
                WriteConsent(json, record);
            if (record.Kind == AuditKind.Query)
            {
                json.WriteStartObject();
                WriteType(json, EntityType, "2", concept: false);
                WriteRole(json, "24");
                json.WriteBase64String("query", Encoding.UTF8.GetBytes(record.Query is { Length: > 0 } query ? query : "?"));
                json.WriteEndObject();
            }
            // The pattern's one object has the general type; all others, and those of a query, have their own.
            var one = record.Kind is AuditKind.Read or AuditKind.Create or AuditKind.Update or AuditKind.Delete;
            foreach (var item in record.Items)
            {
                WriteItem(json, item, general: one);
                one = false;
            }
        }
        json.WriteEndArray();
    }

    private static void WriteTransaction(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WriteStartObject();
        WriteWhatIdentifier(json, record.RequestId);
        WriteType(json, EntityTypes, "XrequestId", concept: false);
        if (record.Digest is not null || record.Rules is not null || record.Heads is not null)
        {
            json.WriteStartArray("detail");
            if (record.Digest is { } digest)
            {
                json.WriteStartObject();
                json.WriteString("type", DigestDetail);
                json.WriteBase64String("valueBase64Binary", digest);
                json.WriteEndObject();
            }
            if (record.Rules is { } rules)
                WriteDetail(json, RulesDetail, rules);
            foreach (var head in record.Heads ?? [])
                WriteDetail(json, HeadDetail, string.Create(CultureInfo.InvariantCulture, $"{head.Of} {head.Sequence} {head.Digest}"));
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void WriteRequestDetails(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WriteStartArray("detail");
        WriteDetail(json, RequestDetail, record.RequestId);
        WriteDetail(json, InteractionDetail, record.Interaction);
        if (record.Rules is { } rules)
            WriteDetail(json, RulesDetail, rules);
        if (record.Query is { Length: > 0 } query)
        {
            json.WriteStartObject();
            json.WriteString("type", QueryDetail);
            json.WriteBase64String("valueBase64Binary", Encoding.UTF8.GetBytes(query));
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteConsent(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WriteStartObject();
        if (record.ConsentId is { } consent)
            WriteWhat(json, "Consent/" + consent);
        else
        {
            json.WriteStartObject("what");
            json.WriteString("display", "No consent decided: the default policy applies");
            json.WriteEndObject();
        }
        WriteType(json, ResourceTypes, "Consent", concept: false);
        json.WriteEndObject();
    }

    private static void WriteItem(Utf8JsonWriter json, AuditItem item, bool general)
    {
        json.WriteStartObject();
        WriteWhat(json, item.VersionId is { } version ? $"{item.Type}/{item.Id}/_history/{version}" : $"{item.Type}/{item.Id}");
        if (general)
            WriteType(json, EntityType, "2", concept: false);
        else
            WriteType(json, ResourceTypes, item.Type, concept: false);
        WriteRole(json, "4");
        json.WriteStartArray("detail");
        // It follows from the type, so an entry from before it was named here names it too (EHDS Annex II 3.2).
        WriteDetail(json, CategoryDetail, DataCategory.Of(item.Type));
        if (item.Controller is { } controller)
        {
            WriteDetail(json, ControllerDetail, controller);
            if (item.Register is { } register)
                WriteDetail(json, RegisterDetail, register);
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteServer(Utf8JsonWriter json, DisclosureRecord record)
    {
        json.WriteStartObject();
        WriteIdentifier(json, record.Server);
        json.WriteEndObject();
    }

    private static void WriteNetwork(Utf8JsonWriter json, string address, string type)
    {
        json.WriteStartObject("network");
        json.WriteString("address", Clean(address));
        json.WriteString("type", type);
        json.WriteEndObject();
    }

    private static void WriteWhat(Utf8JsonWriter json, string reference)
    {
        json.WriteStartObject("what");
        json.WriteString("reference", reference);
        json.WriteEndObject();
    }

    private static void WriteWhatIdentifier(Utf8JsonWriter json, string value)
    {
        json.WriteStartObject("what");
        WriteIdentifier(json, value);
        json.WriteEndObject();
    }

    private static void WriteIdentifier(Utf8JsonWriter json, string value, string? system = null)
    {
        json.WriteStartObject("identifier");
        WriteOptional(json, "system", system);
        json.WriteString("value", Clean(value));
        json.WriteEndObject();
    }

    private static void WriteDetail(Utf8JsonWriter json, string type, string value)
    {
        json.WriteStartObject();
        json.WriteString("type", type);
        json.WriteString("valueString", Clean(value));
        json.WriteEndObject();
    }

    private static void WriteRole(Utf8JsonWriter json, string code)
    {
        json.WritePropertyName("role");
        WriteCoding(json, ObjectRole, code);
    }

    // An agent's type is a CodeableConcept, an entity's a Coding.
    private static void WriteType(Utf8JsonWriter json, string system, string code, bool concept = true)
    {
        json.WritePropertyName("type");
        if (concept)
            WriteConcept(json, system, code);
        else
            WriteCoding(json, system, code);
    }

    private static void WriteConcept(Utf8JsonWriter json, string system, string code)
    {
        json.WriteStartObject();
        json.WriteStartArray("coding");
        WriteCoding(json, system, code);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteCoding(Utf8JsonWriter json, string system, string code, string? display = null)
    {
        json.WriteStartObject();
        json.WriteString("system", system);
        json.WriteString("code", code);
        WriteOptional(json, "display", display);
        json.WriteEndObject();
    }

    // FHIR has no empty strings.
    private static void WriteOptional(Utf8JsonWriter json, string name, string? value)
    {
        if (!string.IsNullOrWhiteSpace(value))
            json.WriteString(name, Clean(value));
    }

    // Some of it comes from callers that nobody has identified yet: whatever they sent is recorded, in a form that is
    // still FHIR. Its strings have no control characters, no half surrogate pairs, and an end.
    private static string Clean(string value)
    {
        if (value.Length > MaxString)
            value = value[..MaxString];
        if (!value.Any(c => char.IsControl(c) || char.IsSurrogate(c)))
            return OrUnknown(value);
        var clean = new StringBuilder(value.Length);
        foreach (var rune in value.EnumerateRunes())
            clean.Append(Rune.IsControl(rune) ? "\uFFFD" : rune.ToString());
        return OrUnknown(clean.ToString());
    }

    private static string OrUnknown(string value) => value.Trim() is { Length: > 0 } text ? text : "unknown";
}
