using System.Text.Json.Nodes;
using KantaGateway.Harness.Loading;

namespace KantaGateway.Tests.Loading;

/// <summary>Two resources are the same when they say the same, whatever the order of members.</summary>
public sealed class SemanticComparisonTests
{
    [Theory]
    [InlineData("""{"resourceType":"Observation","id":"1","status":"final"}""", """{"status":"final","resourceType":"Observation","id":"2","meta":{"versionId":"v","lastUpdated":"2026-01-01"}}""")]
    [InlineData("""{"resourceType":"Observation","valueQuantity":{"value":1.50}}""", """{"resourceType":"Observation","valueQuantity":{"value":1.50}}""")]
    [InlineData("""{"resourceType":"Observation","valueString":"\u00e4"}""", """{"resourceType":"Observation","valueString":"ä"}""")]
    public void Accepts_what_says_the_same(string sent, string stored) => Assert.Empty(Differences(sent, stored));

    [Theory]
    [InlineData("""{"resourceType":"O","a":1.50}""", """{"resourceType":"O","a":1.5}""", "O.a differs")]
    [InlineData("""{"resourceType":"O","a":{"b":[1,2]}}""", """{"resourceType":"O","a":{"b":[2,1]}}""", "O.a.b[0] differs")]
    [InlineData("""{"resourceType":"O","a":[1,2]}""", """{"resourceType":"O","a":[1]}""", "O.a has 1 elements, not 2")]
    [InlineData("""{"resourceType":"O","a":"x"}""", """{"resourceType":"O"}""", "O.a is missing")]
    [InlineData("""{"resourceType":"O"}""", """{"resourceType":"O","a":"x"}""", "O.a is added")]
    [InlineData("""{"resourceType":"O","a":"1"}""", """{"resourceType":"O","a":1}""", "O.a differs")]
    [InlineData("""{"resourceType":"O","meta":{"profile":["p"],"versionId":"1"}}""", """{"resourceType":"O"}""", "O.meta is missing")]
    public void Rejects_what_does_not_and_names_the_place(string sent, string stored, string difference) => Assert.Equal(difference, Differences(sent, stored)[0]);

    private static IReadOnlyList<string> Differences(string sent, string stored) => SemanticComparison.Differences(JsonNode.Parse(sent)!.AsObject(), JsonNode.Parse(stored)!.AsObject());
}
