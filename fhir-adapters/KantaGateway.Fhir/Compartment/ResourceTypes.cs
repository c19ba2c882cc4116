using System.Collections.Frozen;
using System.Text.Json;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Compartment;

/// <summary>Where a resource of a type is kept.</summary>
public enum ResourcePlace
{
    /// <summary>Nowhere: the type is unknown, or a message and not a record (Bundle, Parameters, OperationOutcome).</summary>
    Refused = 0,

    /// <summary>In the compartment of the patient that it is about.</summary>
    Patient = 1,

    /// <summary>In the shared directory.</summary>
    Directory = 2,

    /// <summary>In the compartment of the resource of the same transaction that refers to it, or of its <c>securityContext</c>.</summary>
    Companion = 3,
}

/// <summary>Which FHIR R4 types are served, and where each belongs. Immutable; thread-safe.</summary>
/// <remarks>
/// The patient compartment is HL7's CompartmentDefinition <c>patient</c> 4.0.1, kept as <c>patient-compartment.json</c>;
/// every type that it gives at least one parameter for belongs to it.
/// </remarks>
public static class ResourceTypes
{
    private static readonly FrozenDictionary<string, string[]> PatientCompartment = Load();

    // Organisations, people and places of care, and terminology: not patient data (architecture, section 7).
    private static readonly FrozenSet<string> DirectoryTypes = FrozenSet.Create(
        "Organization", "OrganizationAffiliation", "Practitioner", "PractitionerRole", "Location", "HealthcareService", "Endpoint",
        "CodeSystem", "ValueSet", "ConceptMap", "NamingSystem");

    // Types without a patient of their own whose content may still be about one.
    private static readonly FrozenSet<string> CompanionTypes = FrozenSet.Create(
        "Medication", "Substance", "Binary", "Device", "DeviceMetric", "BiologicallyDerivedProduct");

    /// <summary>Every served type, in ordinal order.</summary>
    public static IReadOnlyList<string> Served { get; } =
        [.. PatientCompartment.Keys.Concat(DirectoryTypes).Concat(CompanionTypes).Order(StringComparer.Ordinal)];

    /// <summary>Where a type belongs; total, case-sensitive, unknown is <see cref="ResourcePlace.Refused"/>.</summary>
    public static ResourcePlace PlaceOf(string? type) => type switch
    {
        null => ResourcePlace.Refused,
        _ when PatientCompartment.ContainsKey(type) => ResourcePlace.Patient,
        _ when DirectoryTypes.Contains(type) => ResourcePlace.Directory,
        _ when CompanionTypes.Contains(type) => ResourcePlace.Companion,
        _ => ResourcePlace.Refused,
    };

    /// <summary>Whether resources of this type are stored and read.</summary>
    public static bool IsServed(string? type) => PlaceOf(type) != ResourcePlace.Refused;

    /// <summary>Whether FHIR R4 has this resource type at all, served or not.</summary>
    public static bool IsFhirType(string? type) => type is not null && ModelInfo.IsKnownResource(type);

    /// <summary>
    /// The elements by which a resource of this type belongs to a patient's compartment, as FHIRPath, such as
    /// <c>Observation.subject</c>, <c>Observation.performer</c>; empty for other places.
    /// </summary>
    public static IReadOnlyList<string> CompartmentElements(string type) => PatientCompartment.GetValueOrDefault(type) ?? [];

    /// <summary>
    /// Of <see cref="CompartmentElements"/> those that say whom the resource is about (<c>subject</c>, <c>patient</c>,
    /// <c>beneficiary</c>, <c>individual</c>, <c>candidate</c>); where a type has none, all of them.
    /// </summary>
    public static IReadOnlyList<string> SubjectElements(string type)
    {
        var all = CompartmentElements(type);
        string[] subjects = [.. all.Where(IsSubject)];
        return subjects.Length > 0 ? subjects : all;
    }

    private static bool IsSubject(string path) =>
        path[(path.LastIndexOf('.') + 1)..] is "subject" or "patient" or "beneficiary" or "individual" or "candidate";

    private static FrozenDictionary<string, string[]> Load()
    {
        using var stream = typeof(ResourceTypes).Assembly.GetManifestResourceStream("patient-compartment.json")
            ?? throw new InvalidOperationException("The patient compartment table is not embedded.");
        using var document = JsonDocument.Parse(stream);
        return document.RootElement.GetProperty("resources").EnumerateObject()
            .ToFrozenDictionary(p => p.Name, p => p.Value.EnumerateArray().Select(e => e.GetString()!).ToArray());
    }
}
