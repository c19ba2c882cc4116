using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Fhir.Protection;

/// <summary>
/// Where a person lives and how they are reached, as a Patient or RelatedPerson tells it: what a non-disclosure for personal safety (turvakielto) is
/// for. Its address and telecom, those of its contacts, the home municipality, whatever extension holds an address or a contact point, and the
/// narrative, which may repeat them. Pure; thread-safe.
/// </summary>
/// <remarks>Finnish Base Profiles, fi-base-security-label-cs TURVAKIELTO; Act 661/2009 §36 (municipality and place of residence).</remarks>
public static class ContactDetails
{
    /// <summary>Code system of the label TURVAKIELTO.</summary>
    public const string LabelSystem = "https://hl7.fi/fhir/finnish-base-profiles/CodeSystem/fi-base-security-label-cs";

    private const string Label = "TURVAKIELTO";

    private const string Municipality = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/municipality-code";

    private static readonly string[] ParameterNames = ["address", "address-city", "address-country", "address-postalcode", "address-state", "address-use", "telecom", "phone", "email"];

    /// <summary>Codes of the search parameters over them.</summary>
    private static readonly ushort[] ParameterCodes = [.. ParameterNames.Select(n => SearchParameters.Find("Patient", n)!.Code)];

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Whether a resource is a person's record under the label.</summary>
    /// <remarks>The system is not asked for: who writes TURVAKIELTO means it, in whichever edition of the code system.</remarks>
    public static bool AreLabelled(Resource resource) =>
        resource is Patient && resource.Meta?.Security.Exists(s => string.Equals(s.Code, Label, StringComparison.OrdinalIgnoreCase)) == true;

    /// <summary>Whether a resource may hold them: it is a person's record, or contains one.</summary>
    public static bool MayBeIn(Resource resource) => IsPerson(resource.TypeName) || resource is DomainResource { Contained: { Count: > 0 } contained } && contained.Exists(c => IsPerson(c.TypeName));

    /// <summary>Whether search parameters of a type look at them.</summary>
    public static bool AreSearchedIn(string type) => IsPerson(type);

    /// <summary>An index entry without them.</summary>
    /// <param name="entry">As <see cref="Indexer"/> made it.</param>
    public static byte[] WithoutThem(ReadOnlySpan<byte> entry) => new IndexEntry(entry).Without(ParameterCodes);

    /// <summary>A stored resource without them; the rest byte for byte as it was.</summary>
    /// <param name="resource">A JSON object with <c>resourceType</c>.</param>
    public static ReadOnlyMemory<byte> WithoutThem(ReadOnlyMemory<byte> resource)
    {
        using var document = JsonDocument.Parse(resource);
        var buffer = new ArrayBufferWriter<byte>(resource.Length);
        using (var json = new Utf8JsonWriter(buffer, Options))
            WriteResource(json, document.RootElement);
        return buffer.WrittenMemory;
    }

    private static bool IsPerson(string? type) => type is "Patient" or "RelatedPerson";

    private static void WriteResource(Utf8JsonWriter json, JsonElement resource)
    {
        var isPerson = IsPerson(resource.TryGetProperty("resourceType"u8, out var type) ? type.GetString() : null);
        json.WriteStartObject();
        foreach (var property in resource.EnumerateObject())
            switch (property.Name)
            {
                case "contained" when property.Value.ValueKind == JsonValueKind.Array:
                    json.WriteStartArray(property.Name);
                    foreach (var contained in property.Value.EnumerateArray())
                        WriteResource(json, contained);
                    json.WriteEndArray();
                    break;
                case "address" or "telecom" or "text" when isPerson:
                    break;
                case "contact" or "extension" or "modifierExtension" when isPerson && property.Value.ValueKind == JsonValueKind.Array:
                    WriteList(json, property, withinContact: property.Name == "contact");
                    break;
                default:
                    Copy(json, property);
                    break;
            }
        json.WriteEndObject();
    }

    // FHIR JSON has neither empty arrays nor empty objects.
    private static void WriteList(Utf8JsonWriter json, JsonProperty list, bool withinContact)
    {
        JsonElement[] kept = [.. list.Value.EnumerateArray().Where(e => withinContact ? e.EnumerateObject().Any(p => IsKeptOfContact(p)) : IsKept(e))];
        if (kept.Length == 0)
            return;
        json.WriteStartArray(list.Name);
        foreach (var element in kept)
        {
            if (!withinContact)
            {
                json.WriteRawValue(element.GetRawText(), skipInputValidation: true);
                continue;
            }
            json.WriteStartObject();
            foreach (var property in element.EnumerateObject())
                if (property.Name is "extension" or "modifierExtension")
                    WriteList(json, property, withinContact: false);
                else if (IsKeptOfContact(property))
                    Copy(json, property);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static bool IsKeptOfContact(JsonProperty property) => property.Name switch
    {
        "address" or "telecom" => false,
        "extension" or "modifierExtension" => property.Value.EnumerateArray().Any(IsKept),
        _ => true,
    };

    /// <summary>Whether an extension tells none of them, in none of its parts.</summary>
    private static bool IsKept(JsonElement extension)
    {
        if (extension.TryGetProperty("url"u8, out var url) && url.ValueEquals(Municipality))
            return false;
        foreach (var property in extension.EnumerateObject())
            if (property.Name is "valueAddress" or "valueContactPoint" or "valueContactDetail"
                || (property is { Name: "extension", Value.ValueKind: JsonValueKind.Array } && !property.Value.EnumerateArray().All(IsKept)))
                return false;
        return true;
    }

    private static void Copy(Utf8JsonWriter json, JsonProperty property)
    {
        json.WritePropertyName(property.Name);
        json.WriteRawValue(property.Value.GetRawText(), skipInputValidation: true);
    }
}
