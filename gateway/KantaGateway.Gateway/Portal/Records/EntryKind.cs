using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Groups in which a citizen looks for things, in the order of the page; each gathers FHIR types, and together they have all that is shown.</summary>
internal sealed record EntryKind(string Code, params IReadOnlyList<string> Types)
{
    /// <summary>
    /// What is no entry of the record: who the person is, what she has declared and who has looked have pages of their own, and a Provenance only tells of others.
    /// </summary>
    private static readonly string[] Elsewhere = ["Patient", "Consent", "AuditEvent", "Provenance"];

    /// <summary>Every type that the pages show: those about a patient, and devices, which may be within her. Other companions (a medicine, a file) are shown with what refers to them.</summary>
    public static readonly IReadOnlyList<string> Shown =
        [.. ResourceTypes.Served.Where(static type => ResourceTypes.PlaceOf(type) == ResourcePlace.Patient || type == "Device").Except(Elsewhere)];

    private static readonly EntryKind[] Named =
    [
        new("visits", "Encounter", "EpisodeOfCare"),
        new("diagnoses", "Condition"),
        new("notes", "DocumentReference", "Composition", "ClinicalImpression"),
        new("results", "Observation", "DiagnosticReport", "ImagingStudy", "Specimen"),
        new("medication", "MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"),
        new("vaccinations", "Immunization", "ImmunizationRecommendation", "ImmunizationEvaluation"),
        new("procedures", "Procedure"),
        new("risks", "AllergyIntolerance", "RiskAssessment", "FamilyMemberHistory", "Flag", "AdverseEvent", "DetectedIssue"),
        new("plans", "CarePlan", "Goal", "ServiceRequest", "Appointment", "DeviceRequest", "NutritionOrder", "VisionPrescription"),
    ];

    /// <summary>What has no group of its own is in the last one: nothing of the record is left out for want of a name.</summary>
    public static readonly IReadOnlyList<EntryKind> All = [.. Named, new("other", [.. Shown.Except(Named.SelectMany(static kind => kind.Types))])];

    public static EntryKind? Find(string code) => All.FirstOrDefault(k => k.Code == code);

    /// <summary>The group of an entry.</summary>
    /// <exception cref="InvalidOperationException">It is of a type that is not <see cref="Shown"/>.</exception>
    public static EntryKind Of(Entry entry) => All.First(k => k.Holds(entry));

    public bool Holds(Entry entry) => Types.Contains(entry.Type);
}
