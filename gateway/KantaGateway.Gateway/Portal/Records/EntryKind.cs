namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Groups in which a citizen looks for things, in the order of the page; each gathers FHIR types.</summary>
internal sealed record EntryKind(string Code, params IReadOnlyList<string> Types)
{
    public static readonly IReadOnlyList<EntryKind> All =
    [
        new("visits", "Encounter"),
        new("diagnoses", "Condition"),
        new("notes", "DocumentReference", "Composition", "ClinicalImpression"),
        new("results", "Observation", "DiagnosticReport", "ImagingStudy"),
        new("medication", "MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"),
        new("vaccinations", "Immunization"),
        new("procedures", "Procedure"),
        new("risks", "AllergyIntolerance", "RiskAssessment", "FamilyMemberHistory"),
        new("plans", "CarePlan", "Goal", "ServiceRequest", "Appointment"),
        new("other", "QuestionnaireResponse", "Communication", "Media", "Claim", "ExplanationOfBenefit"),
    ];

    public static EntryKind? Find(string code) => All.FirstOrDefault(k => k.Code == code);

    /// <summary>The group of a FHIR type; null for a type that the pages do not show.</summary>
    public static EntryKind? OfType(string type) => All.FirstOrDefault(k => k.Types.Contains(type));
}
