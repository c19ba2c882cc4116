using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;

namespace KantaGateway.Tests.Loading;

/// <summary>The loader sends what can be resolved, in an order in which it resolves, under codes that stay the same.</summary>
public sealed class LoadPlanTests
{
    [Fact]
    public void Referred_to_goes_before_referrers()
    {
        var plan = Plan("""{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/e"}}""",
            """{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p"}}""", """{"resourceType":"Patient","id":"p"}""");
        Assert.Equal(["Patient", "Encounter", "Observation"], Types(plan));
        Assert.All(plan.Levels.SelectMany(l => l), u => Assert.False(u.Atomic));
    }

    [Fact]
    public void A_circle_is_sent_as_one_transaction()
    {
        var plan = Plan("""{"resourceType":"Condition","id":"c","encounter":{"reference":"Encounter/e"}}""",
            """{"resourceType":"Encounter","id":"e","diagnosis":[{"condition":{"reference":"Condition/c"}}]}""",
            """{"resourceType":"Observation","id":"o","encounter":{"reference":"Encounter/e"}}""");
        Assert.Equal([true, false], plan.Levels.SelectMany(l => l).Select(u => u.Atomic));
        Assert.Equal(["Condition", "Encounter", "Observation"], Types(plan).Order());
    }

    [Fact]
    public void A_companion_goes_with_its_referrers_and_is_copied_for_each_patient()
    {
        var plan = Plan("""{"resourceType":"Medication","id":"m"}""",
            """{"resourceType":"MedicationRequest","id":"1","subject":{"reference":"Patient/a"},"medicationReference":{"reference":"Medication/m"}}""",
            """{"resourceType":"MedicationRequest","id":"2","subject":{"reference":"Patient/b"},"medicationReference":{"reference":"Medication/m"}}""",
            """{"resourceType":"MedicationRequest","id":"3","subject":{"reference":"Patient/b"},"medicationReference":{"reference":"Medication/m"}}""");
        var units = plan.Levels.SelectMany(l => l).ToList();
        Assert.All(units, u => Assert.True(u.Atomic));
        Assert.Equal([2, 3], units.Select(u => u.Entries.Count).Order());
    }

    [Fact]
    public void A_patient_without_an_identity_code_always_gets_the_same_valid_temporary_one()
    {
        var first = Code(Plan("""{"resourceType":"Patient","id":"p"}"""));
        Assert.Equal(first, Code(Plan("""{"resourceType":"Patient","id":"p"}""", """{"resourceType":"Patient","id":"q"}""")));
        Assert.NotEqual(first, Code(Plan("""{"resourceType":"Patient","id":"q"}""")));
        Assert.True(PersonalIdentityCode.TryParse(first, out var code) && code.IsTemporary);
    }

    [Fact]
    public void A_wrong_identity_code_is_left_for_the_gateway_to_refuse()
    {
        var plan = Plan("""{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:oid:1.2.246.21","value":"010170-900A"}]}""");
        Assert.Equal("010170-900A", Code(plan));
    }

    [Fact]
    public void Missing_patients_are_made_up_only_when_asked_for()
    {
        const string Observation = """{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"}}""";
        Assert.Equal(["Observation"], Types(Plan(Observation)));
        Assert.Equal(["Patient", "Observation"], Types(LoadPlan.Of(Contents(Observation), stubPatients: true)));
    }

    [Fact]
    public void Ten_thousand_fictional_codes_are_all_valid()
    {
        for (var i = 0; i < 10_000; i++)
            Assert.True(PersonalIdentityCode.TryParse(FictionalIdentityCode.Of($"{i}").Reveal(), out var code) && code.IsTemporary);
    }

    private static LoadPlan Plan(params string[] resources) => LoadPlan.Of(Contents(resources));

    private static SourceContents Contents(params string[] resources) =>
        new([.. resources.Select((r, i) => new SourceEntry("test", $"line {i}", JsonNode.Parse(r)!.AsObject()))], [], []);

    private static IEnumerable<string> Types(LoadPlan plan) => plan.Levels.SelectMany(l => l).SelectMany(u => u.Entries).Select(e => e.Type);

    private static string? Code(LoadPlan plan) =>
        plan.Levels.SelectMany(l => l).SelectMany(u => u.Entries).First(e => e.Type == "Patient").Resource["identifier"]!.AsArray().Select(i => (string?)i!["value"]).Single();
}
