using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary><c>:in</c>, <c>:not-in</c>, <c>:above</c> and <c>:below</c> of codes, over the value sets and code systems of R4 (hl7.org/fhir/R4/search.html#modifiers).</summary>
public sealed class ValueSetSearchTests : IDisposable
{
    private const string ActCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode", Clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical";

    private static readonly Pseudonym Compartment = Pseudonym.Read("0123456789"u8);
    private readonly IdentifierCipher _ids = new(new byte[IdentifierCipher.KeySize]);

    public void Dispose() => _ids.Dispose();

    /// <summary>An acute inpatient visit with a relapse and a measurement; an outpatient visit with something that is over.</summary>
    private static InMemorySpace Ward()
    {
        var space = new InMemorySpace();
        space.Add(new Encounter { Id = "acute", Status = Encounter.EncounterStatus.InProgress, Class = new(ActCode, "ACUTE") });
        space.Add(new Encounter { Id = "amb", Status = Encounter.EncounterStatus.Finished, Class = new(ActCode, "AMB") });
        space.Add(new Encounter { Id = "local", Status = Encounter.EncounterStatus.Finished, Class = new("http://clinic.example/visits", "ACUTE") });
        space.Add(new Condition { Id = "relapse", ClinicalStatus = new(Clinical, "relapse"), Encounter = new("Encounter/acute"), Code = new("http://clinic.example/codes", "a") });
        space.Add(new Condition { Id = "over", ClinicalStatus = new(Clinical, "resolved"), Encounter = new("Encounter/amb") });
        space.Add(new Condition { Id = "unsaid", Encounter = new("Encounter/amb"), Code = new() { Coding = [new(null, "relapse")] } });
        space.Add(new Observation { Id = "o", Status = ObservationStatus.Final, Encounter = new("Encounter/acute"), Code = new() { Text = "x" } });
        space.Add(new Binary { Id = "b", ContentType = "text/plain", Language = "fi" });
        return space;
    }

    [Theory]
    [InlineData("Encounter", "class:in=http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", "acute,amb")]
    [InlineData("Encounter", "class:in=http://terminology.hl7.org/ValueSet/v3-ActEncounterCode|2014-03-26", "acute,amb")]
    [InlineData("Encounter", "class:not-in=http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", "local")]
    [InlineData("Encounter", "status:in=http://hl7.org/fhir/ValueSet/encounter-status", "acute,amb,local")]
    [InlineData("Encounter", "status:in=http://hl7.org/fhir/ValueSet/observation-status", "")]
    [InlineData("Condition", "clinical-status:in=http://hl7.org/fhir/ValueSet/condition-clinical", "relapse,over")]
    [InlineData("Condition", "clinical-status:not-in=http://hl7.org/fhir/ValueSet/condition-clinical", "unsaid")]
    [InlineData("Condition", "clinical-status:in=http://hl7.org/fhir/ValueSet/encounter-status,http://hl7.org/fhir/ValueSet/condition-clinical", "relapse,over")]
    [InlineData("Condition", "clinical-status:not-in=http://hl7.org/fhir/ValueSet/encounter-status,http://hl7.org/fhir/ValueSet/condition-clinical", "unsaid")]
    [InlineData("Condition", "code:in=http://hl7.org/fhir/ValueSet/condition-clinical", "")]
    [InlineData("Encounter", $"class:below={ActCode}|IMP", "acute")]
    [InlineData("Encounter", $"class:below={ActCode}|_ActEncounterCode", "acute,amb")]
    [InlineData("Encounter", $"class:below={ActCode}|AMB,{ActCode}|NONAC", "amb")]
    [InlineData("Condition", $"clinical-status:below={Clinical}|active", "relapse")]
    [InlineData("Condition", $"clinical-status:below={Clinical}|relapse", "relapse")]
    [InlineData("Condition", $"clinical-status:below={Clinical}|inactive", "over")]
    [InlineData("Condition", $"clinical-status:above={Clinical}|relapse", "relapse")]
    [InlineData("Condition", $"clinical-status:above={Clinical}|active", "")]
    [InlineData("Observation", $"encounter:Encounter.class:below={ActCode}|IMP", "o")]
    [InlineData("Observation", "encounter.status:not-in=http://hl7.org/fhir/ValueSet/encounter-status", "")]
    [InlineData("Encounter", $"_has:Condition:encounter:clinical-status:below={Clinical}|inactive", "amb")]
    [InlineData("Encounter", "_has:Condition:encounter:clinical-status:in=http://hl7.org/fhir/ValueSet/condition-clinical&status:in=http://hl7.org/fhir/ValueSet/encounter-status", "acute,amb")]
    public void Codes_are_found_by_their_value_sets_and_hierarchies(string type, string query, string found) =>
        Assert.Equal(found.Split(',', StringSplitOptions.RemoveEmptyEntries), Ward().Search(Parse(type, query).Query!));

    [Theory]
    [InlineData("code:in=http://example.org/ValueSet/unknown", "not-supported")]
    [InlineData("code:not-in=ValueSet/condition-clinical", "not-supported")]
    [InlineData("code:in=http://hl7.org/fhir/ValueSet/condition-clinical|0", "not-supported")]
    [InlineData("code:in=http://hl7.org/fhir/ValueSet/condition-code", "not-supported")] // SNOMED CT
    [InlineData("code:not-in=http://hl7.org/fhir/ValueSet/observation-codes", "not-supported")] // LOINC
    [InlineData("code:not-in=http://hl7.org/fhir/ValueSet/service-category", "not-supported")] // an example of a code system
    [InlineData("code:below=http://snomed.info/sct|404684003", "not-supported")]
    [InlineData("code:above=http://example.org/CodeSystem/unknown|a", "not-supported")]
    [InlineData($"code:below={Clinical}|010190-999W", "not-supported")]
    [InlineData("code:below=active", "value")]
    [InlineData("code:below=|active", "value")]
    [InlineData($"code:above={Clinical}|", "value")]
    [InlineData("encounter.class:in=http://example.org/ValueSet/010190-999W", "not-supported")]
    [InlineData("code-value-quantity:in=http://hl7.org/fhir/ValueSet/condition-clinical", "not-supported")]
    public void What_is_not_known_is_refused_with_what_to_do_and_without_the_value(string query, string code)
    {
        foreach (var lenient in (bool[])[false, true])
        {
            var (parsed, fault) = Parse("Observation", query, lenient);
            Assert.Null(parsed);
            var issue = Assert.Single(fault!.Issues);
            Assert.Equal(($"Observation?{query.Split('=')[0]}", code), (issue.Expression, issue.Code));
            Assert.DoesNotContain("010190", issue.Diagnostics);
        }
    }

    [Fact]
    public void Many_value_sets_at_once_cost_too_much() =>
        Assert.Equal("too-costly", Parse("Observation", "code:in=" + string.Join(',', Enumerable.Repeat("http://hl7.org/fhir/ValueSet/condition-clinical", 21))).Fault!.Issues[0].Code);

    /// <summary>An expansion is a set that is made once: an entry is looked up in it and nothing else.</summary>
    [Fact]
    public void Looking_up_an_entry_allocates_nothing()
    {
        var query = Parse("Encounter", $"class:in=http://terminology.hl7.org/ValueSet/v3-ActEncounterCode&class:below={ActCode}|IMP").Query!;
        var entry = Ward().OfType("Encounter").First().Entry.ToArray();
        Assert.Contains(0, Enumerable.Range(0, 10).Select(_ =>
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 1000; i++)
                if (!query.Matches(entry))
                    return -1;
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }));
    }

    /// <summary>One concept of v2-0550 has no code.</summary>
    [Fact]
    public void A_code_system_with_a_slip_is_read() =>
Assert.NotNull(KnownCodes.Around("http://terminology.hl7.org/CodeSystem/v2-0550", "none", above: true).Why);

    [Fact]
    public void A_value_set_is_expanded_once()
    {
        var (first, _) = KnownCodes.In("http://hl7.org/fhir/ValueSet/encounter-status");
        Assert.Same(first, KnownCodes.In("http://hl7.org/fhir/ValueSet/encounter-status").Codes);
    }

    /// <summary>A code under two others stands in the tree once: v3 names its other places as properties.</summary>
    [Theory]
    [InlineData("_Injection", true)]
    [InlineData("_EndocervicalRoute", true)]
    [InlineData("_RouteByMethod", true)]
    [InlineData("_NasalRoute", false)]
    public void A_code_with_two_parents_is_under_both(string parent, bool found)
    {
        const string Routes = "http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration";
        var space = new InMemorySpace();
        space.Add(new Observation { Id = "o", Code = new(Routes, "AMNINJ") });
        Assert.Equal(found ? ["o"] : [], space.Search(Parse("Observation", $"code:below={Routes}|{parent}").Query!));
    }

    private (SearchQuery? Query, Fault? Fault) Parse(string type, string query, bool lenient = false) =>
        SearchQuery.Parse(type, query, _ids, Compartment, new(2030, 6, 15, 12, 0, 0, TimeSpan.Zero), lenient: lenient);
}
