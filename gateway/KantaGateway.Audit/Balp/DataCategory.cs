namespace KantaGateway.Audit.Balp;

/// <summary>What kind of data a resource type holds, in the words in which a person is told: the priority categories of EHDS (Regulation (EU) 2025/327, Art. 14), and what is in none of them.</summary>
public static class DataCategory
{
    /// <param name="type">FHIR resource type.</param>
    public static string Of(string type) => type switch
    {
        "MedicationRequest" => "prescriptions",
        "MedicationDispense" => "dispensations",
        "ImagingStudy" or "Media" => "images",
        "Observation" or "DiagnosticReport" or "Specimen" => "test-results",
        "AllergyIntolerance" or "Condition" or "Immunization" or "MedicationStatement" or "Procedure" => "summary",
        "Encounter" or "EpisodeOfCare" or "Appointment" => "visits",
        "Patient" or "RelatedPerson" => "identity",
        "Consent" => "declarations",
        "Composition" or "DocumentReference" or "Binary" or "Bundle" or "ClinicalImpression" or "CarePlan" or "QuestionnaireResponse" => "documents",
        _ => "other",
    };
}
