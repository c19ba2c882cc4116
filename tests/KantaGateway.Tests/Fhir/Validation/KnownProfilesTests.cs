using System.Text;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Tests.Fhir.Validation;

/// <summary>What a resource claims in meta.profile is enforced where the profile is known, and never ignored in silence.</summary>
public class KnownProfilesTests
{
    private const string Fi = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/";

    private const string Custodian = """
        {"resourceType":"Provenance","meta":{"profile":["PROFILE"]},"target":[{"reference":"Observation/x"}],"recorded":"2026-01-01T10:00:00Z",
         "agent":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"CST"}]},
          "role":[{"coding":[{"system":"urn:oid:1.2.246.537.5.40172","code":"2"}]}],
          "who":{"identifier":{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"PRN"}]},"system":"urn:oid:1.2.246.537.6.202","value":"1"}}}]}
        """;

    [Fact]
    public void The_profiles_that_the_national_specifications_name_are_known()
    {
        foreach (var (id, type) in new[]
        {
            ("fi-base-patient", "Patient"), ("fi-base-encounter", "Encounter"), ("fi-base-observation", "Observation"), ("fi-base-condition", "Condition"),
            ("fi-base-medication-request", "MedicationRequest"), ("fi-base-provenance", "Provenance"), ("fi-base-information-custodian-private", "Provenance"),
            ("fi-base-appointment", "Appointment"),
        })
            Assert.Equal((Fi + id, "2.0.0-rc2", type), KnownProfiles.Find(Fi + id) is { } p ? (p.Url, p.Version, p.Type) : default);
        Assert.NotNull(KnownProfiles.Find(Fi + "fi-base-patient|2.0.0-rc2"));
        Assert.Null(KnownProfiles.Find(Fi + "fi-base-patient|1.0.0"));
        Assert.Null(KnownProfiles.Find("http://example.org/profile"));
    }

    public static TheoryData<string, string> Accepted => new()
    {
        { "fi-base-patient", """{"resourceType":"Patient","meta":{"profile":["PROFILE"]},"identifier":[{"use":"official","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"NNFIN"}]},"system":"urn:oid:1.2.246.21","value":"010190-999W"}]}""" },
        { "fi-base-encounter", """{"resourceType":"Encounter","meta":{"profile":["PROFILE"]},"status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/x"}}""" },
        { "fi-base-observation", """{"resourceType":"Observation","meta":{"profile":["PROFILE"]},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/x"}}""" },
        { "fi-base-condition", """{"resourceType":"Condition","meta":{"profile":["PROFILE"]},"subject":{"reference":"Patient/x"}}""" },
        { "fi-base-medication-request", """{"resourceType":"MedicationRequest","meta":{"profile":["PROFILE"]},"status":"active","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/x"}}""" },
        { "fi-base-appointment", """{"resourceType":"Appointment","meta":{"profile":["PROFILE"]},"status":"proposed","participant":[{"actor":{"reference":"Patient/x"},"status":"accepted"}]}""" },
        { "fi-base-information-custodian-private", Custodian },
    };

    [Theory]
    [MemberData(nameof(Accepted))]
    public void Accepts_what_conforms(string id, string json) => Assert.Empty(Check(json.Replace("PROFILE", Fi + id, StringComparison.Ordinal)));

    [Theory]
    // patient.fsh: identifier slice PIC by use=official has type NNFIN and the system of identity codes.
    [InlineData("fi-base-patient", """{"resourceType":"Patient","meta":{"profile":["PROFILE"]},"identifier":[{"use":"official","system":"http://example.org/other","value":"1"}]}""", "Patient.identifier")]
    // A claim for another type.
    [InlineData("fi-base-encounter", """{"resourceType":"Observation","meta":{"profile":["PROFILE"]},"status":"final","code":{"text":"x"}}""", "Observation")]
    // observation.fsh: subject only FiBasePatient.
    [InlineData("fi-base-observation", """{"resourceType":"Observation","meta":{"profile":["PROFILE"]},"status":"final","code":{"text":"x"},"subject":{"reference":"#d"},"contained":[{"resourceType":"Device","id":"d"}]}""", "Observation.subject")]
    [InlineData("fi-base-condition", """{"resourceType":"Condition","meta":{"profile":["PROFILE"]},"subject":{"reference":"#g"},"contained":[{"resourceType":"Group","id":"g","type":"person","actual":true}]}""", "Condition.subject")]
    // appointment.fsh: RestrictionParent 0..1 with a Coding from its value set.
    [InlineData("fi-base-appointment", """{"resourceType":"Appointment","meta":{"profile":["PROFILE"]},"status":"proposed","participant":[{"actor":{"display":"x"},"status":"accepted"}],"extension":[{"url":"https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/RestrictionParent","valueString":"1"}]}""", "Appointment.extension")]
    public void Refuses_what_breaks_the_profile_at_its_place(string id, string json, string expression)
    {
        var issues = Check(json.Replace("PROFILE", Fi + id, StringComparison.Ordinal));
        Assert.Contains(issues, i => i.Severity == FaultSeverity.Error && i.Expression!.StartsWith(expression, StringComparison.Ordinal));
    }

    [Theory]
    // informationCustodian.fsh: an agent of type CST, with a role of system 40172; of a private provider code 2 and the SOTE register.
    [InlineData("\"code\":\"CST\"", "\"code\":\"AUT\"")]
    [InlineData("1.2.246.537.5.40172\",\"code\":\"2\"", "1.2.246.537.5.40172\",\"code\":\"1\"")]
    [InlineData("1.2.246.537.6.202", "1.2.246.537.6.203")]
    [InlineData("\"code\":\"PRN\"", "\"code\":\"MR\"")]
    public void Refuses_an_information_custodian_that_is_not_named_as_the_profile_says(string right, string wrong) =>
        Assert.NotEmpty(Check(Custodian.Replace("PROFILE", Fi + "fi-base-information-custodian-private", StringComparison.Ordinal).Replace(right, wrong, StringComparison.Ordinal)));

    private const string BloodPressure = """
        {"resourceType":"Observation","meta":{"profile":["http://hl7.org/fhir/StructureDefinition/bp"]},"status":"final",
         "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],
         "code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},"subject":{"reference":"Patient/x"},"performer":[{"display":"x"}],"effectiveDateTime":"2026-01-01",
         "component":[
          {"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":120,"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
          {"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":80,"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]}
        """;

    [Theory]
    [InlineData("", "", null)]
    [InlineData("/bp\"", "/bp|4.0.1\"", null)]
    [InlineData("/bp\"", "/bp|5.0.0\"", "Observation.meta.profile[0]")]
    [InlineData("/bp\"", "/vitalsigns\"", null)]
    [InlineData("/bp\"", "/bodyweight\"", "Observation")]
    [InlineData("vital-signs", "laboratory", "Observation")] // the slice is missing
    [InlineData("\"effectiveDateTime\":\"2026-01-01\",", "", "Observation.effective")]
    [InlineData("8480-6", "8867-4", "Observation")]
    [InlineData("\"code\":\"mm[Hg]\"", "\"code\":\"kPa\"", "Observation.component")]
    [InlineData("Patient/x", "Device/x", "Observation.subject")] // vitalsigns: only Patient
    public void A_profile_of_R4_itself_is_known_and_enforced(string right, string wrong, string? expression)
    {
        var issues = Check(right.Length == 0 ? BloodPressure : BloodPressure.Replace(right, wrong, StringComparison.Ordinal));
        if (expression is null)
            Assert.Empty(issues);
        else
            Assert.Contains(issues, i => i.Severity == FaultSeverity.Error && i.Expression!.StartsWith(expression, StringComparison.Ordinal));
    }

    /// <summary>What the base rules accept on purpose is not refused where a profile is claimed.</summary>
    [Theory]
    [InlineData("\"effectivePeriod\":{\"start\":\"2024-05\",\"end\":\"2024-05-03\"}")]
    [InlineData("\"valueRange\":{\"low\":{\"value\":2,\"system\":\"http://unitsofmeasure.org\",\"code\":\"mg\"},\"high\":{\"value\":1,\"system\":\"http://unitsofmeasure.org\",\"code\":\"g\"}}")]
    [InlineData("\"effectiveTiming\":{\"repeat\":{\"offset\":5,\"when\":[\"AC\",\"MORN\"]}}")]
    [InlineData("\"performer\":[{\"display\":\"x\"}]")]
    public void What_is_mended_in_the_specification_is_mended_beside_a_profile_too(string member) => Assert.Empty(
        Check("{\"resourceType\":\"Observation\",\"meta\":{\"profile\":[\"" + Fi + "fi-base-observation\"]},\"status\":\"final\",\"code\":{\"text\":\"x\"}," + member + "}"));

    [Fact]
    public void An_unknown_profile_is_refused_or_told_of_as_the_clients_policy_says()
    {
        const string Json = """{"resourceType":"Observation","meta":{"profile":["http://example.org/unknown"]},"status":"final","code":{"text":"x"}}""";

        var refused = Assert.Single(Check(Json, UnknownProfiles.Refuse));
        var told = Assert.Single(Check(Json, UnknownProfiles.Accept));

        Assert.Equal((FaultSeverity.Error, "Observation.meta.profile[0]"), (refused.Severity, refused.Expression));
        Assert.Equal((FaultSeverity.Warning, "Observation.meta.profile[0]"), (told.Severity, told.Expression));
    }

    private static List<FaultIssue> Check(string json, UnknownProfiles unknown = UnknownProfiles.Refuse)
    {
        var (resource, fault) = ResourceParser.Parse(Encoding.UTF8.GetBytes(json));
        Assert.True(fault is null, fault?.Issues[0].ToString());
        var issues = new List<FaultIssue>();
        ResourceValidator.Check(resource!, unknown, issues);
        return issues;
    }
}
