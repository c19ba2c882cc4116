using System.Globalization;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Consent;

/// <summary>
/// The FHIR form of declarations, both ways: a Consent shaped after IHE Privacy Consent on FHIR (PCF).
/// </summary>
/// <remarks>
/// <list type="table">
/// <item><term>kind</term><description><c>category</c> with <see cref="KindSystem"/>: informing, disclosure-permission, disclosure-denial</description></item>
/// <item><term>in force</term><description><c>status</c>: active, else inactive</description></item>
/// <item><term>informing text</term><description><c>policy.uri</c>: <see cref="InformingUri"/> + version</description></item>
/// <item><term>denial of all</term><description>root <c>provision.type</c> deny and nothing more</description></item>
/// <item><term>denial of a service event</term><description><c>provision.data</c> with meaning related and the Encounter by its OID</description></item>
/// </list>
/// What does not fit this table exactly is no declaration: <see cref="Read"/> answers null and the caller denies.
/// </remarks>
public static class Declarations
{
    public const string KindSystem = "https://kantagateway.fi/fhir/CodeSystem/declaration-kind";
    public const string InformingUri = "https://kantagateway.fi/informing/";

    private const string Act = "https://www.finlex.fi/fi/laki/ajantasa/2023/20230703";
    private const string InformingKind = "informing", PermissionKind = "disclosure-permission", DenialKind = "disclosure-denial";

    /// <summary>The person has been informed with the text now in force.</summary>
    public static byte[] Informing(string patientId, DateTimeOffset at) => Write(patientId, at, InformingKind, null);

    public static byte[] Permit(string patientId, DateTimeOffset at) => Write(patientId, at, PermissionKind, null);

    public static byte[] Denial(string patientId, DenialTarget target, DateTimeOffset at) => Write(patientId, at, DenialKind, target);

    /// <summary>The same Consent with status inactive: how a permission or denial is withdrawn (§58), as a new version.</summary>
    /// <param name="consent">The stored resource.</param>
    public static byte[] Withdrawn(JsonElement consent)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            foreach (var property in consent.EnumerateObject())
                if (property.NameEquals("status"))
                    json.WriteString("status", "inactive");
                else if (!property.NameEquals("meta"))
                    property.WriteTo(json);
            json.WriteEndObject();
        }
        return buffer.ToArray();
    }

    /// <summary>Reads a Consent; null when it is not exactly one of the declarations above.</summary>
    public static Declaration? Read(JsonElement consent)
    {
        if (Text(consent, "resourceType") != "Consent" || Text(consent, "status") is not { } status
            || !DateTimeOffset.TryParse(Text(consent, "dateTime"), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at))
            return null;
        var inForce = status == "active";
        if (!inForce && status != "inactive")
            return null;
        var id = Text(consent, "id") ?? "";
        var version = consent.TryGetProperty("meta", out var meta) ? Text(meta, "versionId") ?? "" : "";
        var provision = consent.TryGetProperty("provision", out var p) ? p : (JsonElement?)null;
        return (KindOf(consent), provision) switch
        {
            (InformingKind, null) when InformingVersionOf(consent) is { } text => new Informing(id, version, at, inForce, text),
            (PermissionKind, { } permit) when Text(permit, "type") == "permit" && HasOnly(permit, "type") => new DisclosurePermit(id, version, at, inForce),
            (DenialKind, { } deny) when Text(deny, "type") == "deny" && TargetOf(deny) is { } target => new DisclosureDenial(id, version, at, inForce, target),
            _ => null,
        };
    }

    private static string? KindOf(JsonElement consent)
    {
        foreach (var category in Items(consent, "category"))
            foreach (var coding in Items(category, "coding"))
                if (Text(coding, "system") == KindSystem)
                    return Text(coding, "code");
        return null;
    }

    private static string? InformingVersionOf(JsonElement consent)
    {
        foreach (var policy in Items(consent, "policy"))
            if (Text(policy, "uri") is { } uri && uri.StartsWith(InformingUri, StringComparison.Ordinal))
                return uri[InformingUri.Length..];
        return null;
    }

    private static DenialTarget? TargetOf(JsonElement deny)
    {
        if (HasOnly(deny, "type"))
            return new DenialTarget.All();
        if (!HasOnly(deny, "type", "data") || deny.GetProperty("data") is not { ValueKind: JsonValueKind.Array } data || data.GetArrayLength() != 1)
            return null;
        var item = data[0];
        return Text(item, "meaning") == "related"
            && item.TryGetProperty("reference", out var reference) && Text(reference, "type") == "Encounter"
            && reference.TryGetProperty("identifier", out var identifier) && Oid.TryParse(Text(identifier, "value"), out var oid)
            ? new DenialTarget.OfServiceEvent(oid.ToString())
            : null;
    }

    private static bool HasOnly(JsonElement element, params ReadOnlySpan<string> names)
    {
        foreach (var property in element.EnumerateObject())
            if (!names.Contains(property.Name))
                return false;
        return true;
    }

    private static IEnumerable<JsonElement> Items(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var array) && array.ValueKind == JsonValueKind.Array
            ? array.EnumerateArray() : [];

    private static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static byte[] Write(string patientId, DateTimeOffset at, string kind, DenialTarget? target)
    {
        var patient = new { reference = "Patient/" + patientId };
        var serviceEvent = (target as DenialTarget.OfServiceEvent)?.Oid;
        object? provision = kind == InformingKind ? null : new
        {
            type = target is null ? "permit" : "deny",
            data = serviceEvent is null ? null : new[]
            {
                new
                {
                    meaning = "related",
                    reference = new { type = "Encounter", identifier = new { system = "urn:ietf:rfc:3986", value = "urn:oid:" + serviceEvent } },
                },
            },
        };
        return JsonSerializer.SerializeToUtf8Bytes(new
        {
            resourceType = "Consent",
            status = "active",
            scope = Concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            category = new[] { Concept("http://loinc.org", "59284-0"), Concept(KindSystem, kind) },
            patient,
            dateTime = at.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture),
            performer = new[] { patient },
            policy = new[]
            {
                new { authority = "https://www.finlex.fi", uri = kind == InformingKind ? InformingUri + Consent.Informing.CurrentTextVersion : Act },
            },
            provision,
        }, Omitting);

        static object Concept(string system, string code) => new { coding = new[] { new { system, code } } };
    }

    private static readonly JsonSerializerOptions Omitting = new() { DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull };
}
