using System.Collections.Frozen;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Groups in which a citizen looks for things, in the order of the page; each gathers FHIR types, and together they have all that is shown, each entry once.</summary>
internal sealed record EntryKind(string Code, params IReadOnlyList<string> Types)
{
    /// <summary>Which entries of those types it has; null: all.</summary>
    private Func<Entry, bool>? Only { get; init; }

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
        new("medication", "MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"),
        new("laboratory", "Observation", "DiagnosticReport", "Specimen") { Only = IsOfLaboratory },
        new("measurements", "Observation") { Only = static entry => !IsOfLaboratory(entry) },
        new("imaging", "ImagingStudy", "DiagnosticReport", "Media") { Only = static entry => !IsOfLaboratory(entry) },
        new("vaccinations", "Immunization", "ImmunizationRecommendation", "ImmunizationEvaluation"),
        new("procedures", "Procedure"),
        new("referrals", "ServiceRequest"),
        new("notes", "DocumentReference", "Composition", "ClinicalImpression"),
        new("risks", "AllergyIntolerance", "RiskAssessment", "FamilyMemberHistory", "Flag", "AdverseEvent", "DetectedIssue"),
        new("plans", "CarePlan", "Goal", "Appointment", "DeviceRequest", "NutritionOrder", "VisionPrescription"),
    ];

    /// <summary>What has no group of its own is in the last one: nothing of the record is left out for want of a name.</summary>
    public static readonly IReadOnlyList<EntryKind> All = [.. Named, new("other", [.. Shown.Except(Named.SelectMany(static kind => kind.Types))])];

    /// <summary>Groups over several of those, which have an address and no place on the page.</summary>
    private static readonly EntryKind[] Wider = [new("results", "Observation", "DiagnosticReport", "ImagingStudy", "Specimen", "Media")];

    public static EntryKind? Find(string code) => All.Concat(Wider).FirstOrDefault(k => k.Code == code);

    /// <summary>The group of an entry.</summary>
    /// <exception cref="InvalidOperationException">It is of a type that is not <see cref="Shown"/>.</exception>
    public static EntryKind Of(Entry entry) => All.First(k => k.Holds(entry));

    public bool Holds(Entry entry) => Types.Contains(entry.Type) && Only?.Invoke(entry) != false;

    /// <summary>HL7 v2-0074, the sections of a laboratory; the others measure people or make pictures of them.</summary>
    private static readonly FrozenSet<string> LaboratorySections =
        FrozenSet.Create("BG", "BLB", "CG", "CH", "CP", "GE", "HM", "IMM", "LAB", "MB", "MCB", "MYC", "OSL", "SP", "SR", "TX", "VR");

    /// <summary>The national names of laboratory tests, with or without the year of their edition.</summary>
    private const string LaboratoryTests = "urn:oid:1.2.246.537.6.3";

    /// <summary>Whether a laboratory found it: as its category says, else as its code does. A report that says nothing of itself and shows no pictures is one.</summary>
    private static bool IsOfLaboratory(Entry entry)
    {
        if (entry.Type is "Specimen")
            return true;
        return entry.Type switch
        {
            "Observation" => Categories(entry).Contains("laboratory")
                || entry.Resource.At("code")?.Each("coding").Any(static c => c.String("system") is { } system && (system == LaboratoryTests || system.StartsWith(LaboratoryTests + ".", StringComparison.Ordinal))) == true,
            "DiagnosticReport" => Categories(entry) is { Count: > 0 } categories ? categories.Exists(LaboratorySections.Contains) : entry.Resource.At("imagingStudy") is null && entry.Resource.At("media") is null,
            _ => false,
        };
    }

    private static List<string> Categories(Entry entry) =>
        [.. entry.Resource.Each("category").SelectMany(static c => c.Each("coding")).Select(static c => c.String("code")).OfType<string>()];
}
