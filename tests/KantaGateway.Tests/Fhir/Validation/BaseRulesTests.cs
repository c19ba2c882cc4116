using System.Text.Json.Nodes;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Tests.Fhir.Validation;

/// <summary>The rules of the base specification are kept, as Firely's validator would keep them.</summary>
public class BaseRulesTests
{
    [Theory]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"dataAbsentReason":{"text":"x"},"valueString":"x"}""", "Observation", "obs-6")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"coding":[{"code":"a"}]},"valueString":"x","component":[{"code":{"coding":[{"code":"a"}]}}]}""", "Observation", "obs-7")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"referenceRange":[{"type":{"text":"x"}}]}""", "Observation.referenceRange[0]", "obs-3")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"#p"}}""", "Observation.subject", "ref-1")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"contained":[{"resourceType":"Patient","id":"p"}]}""", "Observation", "dom-3")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1,"code":"kg"}}""", "Observation.value", "qty-3")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectivePeriod":{"start":"2026-02-02","end":"2026-02-01"}}""", "Observation.effective", "per-1")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"referenceRange":[{"low":{"comparator":"<","value":1}}]}""", "Observation.referenceRange[0].low", "sqty-1")]
    [InlineData("""{"resourceType":"Patient","contact":[{"relationship":[{"text":"x"}]}]}""", "Patient.contact[0]", "pat-1")]
    [InlineData("""{"resourceType":"Patient","telecom":[{"value":"x"}]}""", "Patient.telecom[0]", "cpt-2")]
    [InlineData("""{"resourceType":"Patient","extension":[{"url":"http://example.org/x"}]}""", "Patient.extension[0]", "ext-1")]
    [InlineData("""{"resourceType":"Organization","telecom":[{"system":"phone","use":"home","value":"x"}],"name":"x"}""", "Organization.telecom[0]", "org-3")]
    [InlineData("""{"resourceType":"Appointment","status":"booked","participant":[{"status":"accepted","type":[{"text":"x"}]}]}""", "Appointment", "app-3")]
    [InlineData("""{"resourceType":"Condition","subject":{"display":"x"},"abatementString":"x"}""", "Condition", "con-4")]
    public void Refuses_what_breaks_a_constraint_and_says_which(string json, string expression, string key)
    {
        var issue = Assert.Single(Check(json));
        Assert.Equal(("invariant", expression), (issue.Code, issue.Expression));
        Assert.Contains(key, issue.Diagnostics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"resourceType":"Condition","subject":{"display":"x"},"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"well"}]}}""", "Condition.clinicalStatus")]
    [InlineData("""{"resourceType":"Condition","subject":{"display":"x"},"clinicalStatus":{"text":"active"}}""", "Condition.clinicalStatus")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1,"comparator":"ad"}}""", "Observation.value.comparator")] // of R5
    public void Refuses_what_has_no_code_of_its_required_value_set(string json, string expression)
    {
        var issue = Assert.Single(Check(json));
        Assert.Equal(("code-invalid", expression), (issue.Code, issue.Expression));
    }

    [Theory]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p"}]}""")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"coding":[{"code":"a"}]},"valueString":"x","component":[{"code":{"coding":[{"code":"b"}]}}]}""")]
    [InlineData("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectivePeriod":{"start":"2026-02-02","end":"2026-02-03T10:00:00+02:00"}}""")]
    [InlineData("""{"resourceType":"Condition","subject":{"display":"x"},"abatementString":"x","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"resolved"}]}}""")]
    public void Accepts_what_keeps_them(string json) => Assert.Empty(Check(json));

    /// <summary>A rule that the quick reading calls kept is kept for Firely's evaluator too: over every minimal resource and mutations of it.</summary>
    [Fact]
    public void The_quick_reading_never_says_more_than_FHIRPath()
    {
        var rules = BaseRules.All.ToLookup(r => r.Of, r => r.Constraint);
        var decided = 0;
        foreach (var json in Mutations().Where((_, i) => i % 2 == 0))
            if (ResourceParser.Parse(System.Text.Encoding.UTF8.GetBytes(json)).Resource is { } resource)
                ElementTree.Visit<Base>(resource, (element, place) =>
                {
                    foreach (var constraint in rules[element.TypeName].Concat(element is DomainResource ? rules["DomainResource"] : []))
                        if (constraint.Quickly(element) == Truth.True)
                        {
                            decided++;
                            Assert.True(constraint.HoldsExactly(element, resource), $"{constraint.Key} at {place.ToExpression()}: {json}");
                        }
                });
        Assert.True(decided > 1_000, $"{decided}");
    }

    /// <summary>
    /// What the base rules find, Firely's whole validator finds at the same places: in each minimal resource changed in one place and in
    /// resources that have every element. <c>KANTA_FUZZ_CASES=n</c> takes n of the latter for each type.
    /// </summary>
    [Fact]
    public void The_findings_are_those_of_Firelys_validator()
    {
        var campaign = int.TryParse(Environment.GetEnvironmentVariable("KANTA_FUZZ_CASES"), out var cases) ? cases : 0;
        var minimal = Mutations().Select(System.Text.Encoding.UTF8.GetBytes);
        var full = ResourceTypes.Served.SelectMany(type => Enumerable.Range(0, Math.Max(campaign, 2)).Select(variant => ResourceParser.Serialize(FullResources.Of(type, variant))));
        var (accepted, refused) = (0, 0);
        var different = new List<string>();
        foreach (var json in minimal.Concat(full))
            if (ResourceParser.Parse(json).Resource is { } resource)
            {
                var ours = new List<FaultIssue>();
                BaseRules.Check(resource, ours);
                _ = ours.Count > 0 ? refused++ : accepted++;
                if (ours.Count == ResourceParser.MaxIssues)
                    continue;
                // Firely's looks up no type of a target and no media type.
                var found = Findings(ours);
                var theirs = Findings(KnownProfiles.Check(resource).Where(i => i.Severity == FaultSeverity.Error && !(i.Code == "code-invalid" && MediaTypes.Any(m => i.Expression!.Contains(m, StringComparison.Ordinal)))));
                if (!found.SetEquals(theirs))
                    different.Add($"only ours: {string.Join("; ", found.Except(theirs))}, only theirs: {string.Join("; ", theirs.Except(found))} {System.Text.Encoding.UTF8.GetString(json.AsSpan()[..Math.Min(json.Length, 300)])}");
            }
        Assert.True(different.Count == 0, string.Join('\n', different.Take(20)));
        Assert.True(accepted > 200 && refused > 300, $"{accepted} accepted, {refused} refused");

        static HashSet<string> Findings(IEnumerable<FaultIssue> issues) => [.. issues.Where(i => i.Code is "invariant" or "code-invalid").Select(i => $"{i.Code} {i.Expression}")];
    }

    private static readonly string[] MediaTypes = [".contentType", ".payloadMimeType", ".targetFormat", ".sigFormat", ".payload", ".format"];

    [Theory]
    [InlineData("2026-02-02T10:00:00Z", "2026")] // the end may lie after the start: R5 says so, R4's words leave it open
    [InlineData("2026-02-02", "2026-02-02T10:00:00+02:00")]
    [InlineData("2026-02", "2026-02-03")]
    [InlineData("2026-02", "2026-02")]
    public void A_period_of_two_precisions_that_may_be_in_order_is_accepted(string start, string end) => Assert.Empty(Check(
        """{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectivePeriod":{"start":"START","end":"END"}}""".Replace("START", start, StringComparison.Ordinal).Replace("END", end, StringComparison.Ordinal)));

    [Theory]
    [InlineData("2026-02", "2026-01-31")]
    [InlineData("2026-02-02T10:00:00Z", "2026-02-02T11:00:00+02:00")]
    public void A_period_that_ends_before_it_starts_is_refused_whatever_its_precisions(string start, string end) => Assert.Equal("invariant", Assert.Single(Check(
        """{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectivePeriod":{"start":"START","end":"END"}}""".Replace("START", start, StringComparison.Ordinal).Replace("END", end, StringComparison.Ordinal))).Code);

    [Theory]
    [InlineData("""{"value":2,"system":"http://unitsofmeasure.org","code":"mg"}""", """{"value":1,"system":"http://unitsofmeasure.org","code":"g"}""", true)]
    [InlineData("""{"unit":"mg"}""", """{"value":1}""", true)]
    [InlineData("""{"value":1}""", """{"value":2}""", true)]
    [InlineData("""{"value":2}""", """{"value":1}""", false)]
    [InlineData("""{"value":1,"comparator":"<"}""", """{"value":2}""", false)]
    public void A_range_is_refused_where_its_ends_are_plainly_in_the_wrong_order(string low, string high, bool accepted) => Assert.Equal(accepted, Check(
        """{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueRange":{"low":LOW,"high":HIGH}}""".Replace("LOW", low, StringComparison.Ordinal).Replace("HIGH", high, StringComparison.Ordinal)).Count == 0);

    [Theory]
    [InlineData("""["AC","MORN"]""", true)]
    [InlineData("""["CM","MORN"]""", false)]
    [InlineData("""["C"]""", false)]
    public void An_offset_is_from_events_that_are_not_meals_themselves(string when, bool accepted) => Assert.Equal(accepted, Check(
        """{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectiveTiming":{"repeat":{"offset":5,"when":WHEN}}}""".Replace("WHEN", when, StringComparison.Ordinal)).Count == 0);

    [Theory]
    [InlineData("""{"resourceType":"Provenance","target":[{"reference":"Observation/x"}],"recorded":"2026-01-01T10:00:00Z","agent":[{"who":{"display":"x"}}],"signature":[{"data":"YQ=="}]}""", "required", "Provenance.signature[0].type")]
    [InlineData("""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"pdf","title":"x"}}]}""", "code-invalid", "DocumentReference.content[0].attachment.contentType")]
    public void Refuses_what_the_parser_lets_pass(string json, string code, string expression) => Assert.Contains(Check(json), i => i.Code == code && i.Expression == expression);

    [Theory]
    [InlineData("\"subject\":{\"reference\":\"Organization/x\"}", "Observation.subject")]
    [InlineData("\"subject\":{\"reference\":\"Organization/x/_history/1\"}", "Observation.subject")]
    [InlineData("\"subject\":{\"reference\":\"Organization?identifier=x\"}", "Observation.subject")]
    [InlineData("\"subject\":{\"reference\":\"https://x.example/fhir/Organization/x\"}", "Observation.subject")]
    [InlineData("\"subject\":{\"reference\":\"https://x.example/fhir/Organization/x/_history/1\"}", "Observation.subject")]
    [InlineData("\"subject\":{\"reference\":\"urn:uuid:1\"}", "Observation.subject")]
    [InlineData("\"subject\":{\"reference\":\"#o\"},\"contained\":[{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"x\"}]", "Observation.subject")]
    [InlineData("\"performer\":[{\"display\":\"x\"},{\"reference\":\"Device/x\"}]", "Observation.performer[1]")]
    [InlineData("\"note\":[{\"text\":\"x\",\"authorReference\":{\"reference\":\"Device/x\"}}]", "Observation.note[0].author")]
    [InlineData("\"subject\":{\"reference\":\"Patient/x\",\"type\":\"Device\"}", "Observation.subject.type")]
    [InlineData("\"subject\":{\"identifier\":{\"value\":\"x\"},\"type\":\"Organization\"}", "Observation.subject.type")]
    [InlineData("\"focus\":[{\"reference\":\"Patient/x\",\"type\":\"Device\"}]", "Observation.focus[0].type")]
    public void Refuses_a_reference_to_a_type_that_its_element_does_not_allow(string member, string expression)
    {
        var issue = Assert.Single(Check("{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"}," + member + "}", new Dictionary<string, string> { ["urn:uuid:1"] = "Organization" }));
        Assert.Equal(("value", expression, "wrong-target"), (issue.Code, issue.Expression, issue.Message));
    }

    [Theory]
    [InlineData("\"subject\":{\"reference\":\"Patient/x\",\"type\":\"Patient\"}")]
    [InlineData("\"subject\":{\"reference\":\"Patient/x\",\"type\":\"http://hl7.org/fhir/StructureDefinition/Patient\"}")]
    [InlineData("\"subject\":{\"reference\":\"Device?identifier=x\"}")]
    [InlineData("\"subject\":{\"reference\":\"urn:uuid:2\"}")]
    [InlineData("\"subject\":{\"reference\":\"urn:uuid:3\"}")] // nobody's here: whether it is somebody's is asked elsewhere
    [InlineData("\"subject\":{\"reference\":\"https://x.example/persons/x\"}")]
    [InlineData("\"focus\":[{\"reference\":\"Organization/x\"}]")]
    [InlineData("\"performer\":[{\"reference\":\"#p\"}],\"contained\":[{\"resourceType\":\"Practitioner\",\"id\":\"p\"}]")]
    public void Accepts_a_reference_whose_type_is_allowed_or_not_told(string member) => Assert.Empty(
        Check("{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"}," + member + "}", new Dictionary<string, string> { ["urn:uuid:2"] = "Patient" }));

    private const string Municipality = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/municipality-code", Hl7 = "http://hl7.org/fhir/StructureDefinition/";

    [Theory]
    [InlineData("Patient", Municipality, "\"valueString\":\"091\"", "Patient.extension[0].value")]
    [InlineData("Patient", Municipality, "\"extension\":[{\"url\":\"code\",\"valueString\":\"091\"}]", "Patient.extension[0]")]
    [InlineData("Organization", Municipality, "\"valueCoding\":{\"code\":\"091\"}", "Organization.extension[0]")]
    [InlineData("Patient", Hl7 + "patient-birthPlace", "\"valueString\":\"x\"", "Patient.extension[0].value")]
    [InlineData("Patient", Hl7 + "patient-nationality", "\"valueString\":\"x\"", "Patient.extension[0].value")]
    [InlineData("Patient", Hl7 + "patient-nationality", "\"extension\":[{\"url\":\"code\",\"valueCode\":\"FI\"}]", "Patient.extension[0].extension[0].value")]
    [InlineData("Patient", Hl7 + "patient-nationality", "\"extension\":[{\"url\":\"kode\",\"valueCode\":\"FI\"}]", "Patient.extension[0].extension[0].url")]
    [InlineData("Patient", Hl7 + "patient-citizenship", "\"extension\":[{\"url\":\"code\",\"valueCodeableConcept\":{\"text\":\"x\"}},{\"url\":\"code\",\"valueCodeableConcept\":{\"text\":\"x\"}}]", "Patient.extension[0].extension")]
    public void Refuses_a_known_extension_with_another_content_or_place_than_its_definition_gives_it(string type, string url, string content, string expression)
    {
        var issues = Check("{\"resourceType\":\"" + type + "\",\"identifier\":[{\"value\":\"x\"}],\"extension\":[{\"url\":\"" + url + "\"," + content + "}]}");
        Assert.Contains(issues, i => i.Code == "extension" && i.Expression == expression);
    }

    [Theory]
    [InlineData("\"_birthDate\":{\"extension\":[{\"url\":\"" + Hl7 + "data-absent-reason\",\"valueCode\":\"nobody-knows\"}]}", "Patient.birthDate.extension[0].value")]
    [InlineData("\"name\":[{\"given\":[\"x\"],\"_given\":[{\"extension\":[{\"url\":\"" + Hl7 + "iso21090-EN-qualifier\",\"valueCode\":\"XX\"}]}]}]", "Patient.name[0].given[0].extension[0].value")]
    [InlineData("\"extension\":[{\"url\":\"" + ParentRestriction + "\",\"valueCoding\":{\"system\":\"urn:oid:1.2.246.537.5.40202.201901\",\"code\":\"9\"}}]", "Patient.extension[0].value")]
    [InlineData("\"extension\":[{\"url\":\"" + ParentRestriction + "\",\"valueCoding\":{\"code\":\"1\"}}]", "Patient.extension[0].value")]
    public void Refuses_a_known_extension_whose_code_is_not_in_its_required_value_set(string member, string expression) =>
        Assert.Contains(Check("{\"resourceType\":\"Patient\"," + member + "}"), i => i.Code == "code-invalid" && i.Expression == expression);

    private const string ParentRestriction = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/RestrictionParent";

    [Fact]
    public void Of_the_one_value_set_that_is_not_held_any_code_is_taken_and_validate_says_that_it_is_not_known()
    {
        const string Sequence = """{"resourceType":"MolecularSequence","coordinateSystem":0,"structureVariant":[{"variantType":{"coding":[{"system":"http://loinc.org","code":"LA0000-0"}]}}]}""";
        Assert.Empty(Check(Sequence));
        var (issues, _) = ValidateOperation.Answer(new(System.Text.Encoding.UTF8.GetBytes(Sequence), null), "MolecularSequence", null, UnknownProfiles.Refuse);
        Assert.Contains(issues, i => i.Severity == FaultSeverity.Warning && i.Expression == "MolecularSequence.structureVariant[0].variantType");
    }

    [Theory]
    [InlineData("\"extension\":[{\"url\":\"" + Municipality + "\",\"valueCoding\":{\"code\":\"091\"}}]")]
    [InlineData("\"extension\":[{\"url\":\"http://example.org/x\",\"valueString\":\"x\"}]")]
    [InlineData("\"extension\":[{\"url\":\"http://example.org/x\",\"extension\":[{\"url\":\"y\",\"valueString\":\"x\"}]}]")]
    [InlineData("\"extension\":[{\"url\":\"" + Hl7 + "patient-nationality\",\"extension\":[{\"url\":\"code\",\"valueCodeableConcept\":{\"text\":\"x\"}}]}]")]
    [InlineData("\"birthDate\":\"2026-01-01\",\"_birthDate\":{\"extension\":[{\"url\":\"" + Hl7 + "patient-birthTime\",\"valueDateTime\":\"2026-01-01T10:00:00Z\"}]}")]
    [InlineData("\"extension\":[{\"url\":\"https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/service-event\",\"valueOid\":\"urn:oid:1.2.3\"}]")] // Element: anywhere
    [InlineData("\"_birthDate\":{\"extension\":[{\"url\":\"" + Hl7 + "data-absent-reason\",\"valueCode\":\"unknown\"}]}")]
    [InlineData("\"name\":[{\"family\":\"x\",\"_family\":{\"extension\":[{\"url\":\"" + Hl7 + "humanname-own-name\",\"valueString\":\"x\"}]}}]")]
    [InlineData("\"address\":[{\"line\":[\"x\"],\"_line\":[{\"extension\":[{\"url\":\"" + Hl7 + "iso21090-ADXP-streetName\",\"valueString\":\"x\"}]}]}]")]
    public void Accepts_extensions_as_they_are_defined_and_those_that_are_not_known(string member) => Assert.Empty(Check("{\"resourceType\":\"Patient\"," + member + "}"));

    private static List<FaultIssue> Check(string json, IReadOnlyDictionary<string, string>? entries = null)
    {
        var (resource, fault) = ResourceParser.Parse(System.Text.Encoding.UTF8.GetBytes(json));
        Assert.True(fault is null, fault?.Issues[0].ToString());
        var issues = new List<FaultIssue>();
        BaseRules.Check(resource!, issues, entries: entries);
        return issues;
    }

    /// <summary>Each served type's minimal resource, then with each member of each object left out, and with members that constraints are about.</summary>
    private static IEnumerable<string> Mutations()
    {
        foreach (var type in ResourceTypes.Served)
        {
            var minimal = MinimalResources.Of(type, "p", "010190-999W");
            yield return minimal.ToJsonString();
            foreach (var extra in Extras)
            {
                var mutated = JsonNode.Parse(minimal.ToJsonString())!.AsObject();
                foreach (var (name, value) in JsonNode.Parse(extra)!.AsObject())
                    mutated[name] = value!.DeepClone();
                yield return mutated.ToJsonString();
                foreach (var name in minimal.Select(m => m.Key).Where(n => n is not ("resourceType" or "subject" or "patient")))
                {
                    var less = JsonNode.Parse(mutated.ToJsonString())!.AsObject();
                    less.Remove(name);
                    yield return less.ToJsonString();
                }
            }
        }
    }

    private static readonly string[] Extras =
    [
        """{"contained":[{"resourceType":"Organization","id":"o","name":"x"}]}""",
        """{"identifier":[{"value":"1","period":{"start":"2026-01-02","end":"2026-01-01"}}]}""",
        """{"identifier":[{"value":"1","period":{"start":"2026-01-01T10:00:00Z","end":"2026-01-01T11:00:00Z"}}]}""",
        """{"telecom":[{"value":"x"}]}""",
        """{"extension":[{"url":"http://example.org/x","valueString":"x","extension":[{"url":"y","valueString":"x"}]}]}""",
        """{"dataAbsentReason":{"text":"x"},"valueString":"x"}""",
        """{"valueQuantity":{"value":1,"code":"kg"}}""",
        """{"clinicalStatus":{"text":"x"}}""",
        """{"name":"x"}""",
    ];
}
