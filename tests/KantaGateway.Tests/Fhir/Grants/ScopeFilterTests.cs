using System.Text.Json;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Fhir.Grants;

public sealed class ScopeFilterTests
{
    [Theory]
    [InlineData("Observation", "category=laboratory")]
    [InlineData("Observation", "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory")]
    [InlineData("Observation", "category=http%3A%2F%2Fterminology.hl7.org%2FCodeSystem%2Fobservation-category%7Claboratory&status=final,amended")]
    [InlineData("Observation", "date=ge2026-01-01")]
    [InlineData("Observation", "_lastUpdated=ge2026-01-01")]
    [InlineData("Observation", "status:not=final")]
    [InlineData("Observation", "category:missing=false")]
    [InlineData("Condition", "clinical-status=active")]
    public void Accepts_what_a_resource_says_itself(string type, string query) => Assert.Null(ScopeFilter.Explain(type, query));

    [Theory]
    [InlineData("Observation", "", "1 to 512")]
    [InlineData("Observation", "category", "name=value")]
    [InlineData("Observation", "=x", "name=value")]
    [InlineData("Observation", "category=", "name=value")]
    [InlineData("Observation", "category=a&", "name=value")]
    [InlineData("Observation", "_id=1", "not by _id")]
    [InlineData("Observation", "patient.name=x", "not by _id")]
    [InlineData("Observation", "subject:Patient.name=x", "looks at no other")]
    [InlineData("Observation", "_has:DiagnosticReport:result:status=final", "not by _id")]
    [InlineData("Observation", "_include=*", "not by _id")]
    [InlineData("Observation", "_revinclude=DiagnosticReport:result", "not by _id")]
    [InlineData("Observation", "_count=1", "not by _id")]
    [InlineData("Observation", "_sort=date", "not by _id")]
    [InlineData("Observation", "_summary=count", "not by _id")]
    [InlineData("Observation", "_elements=code", "not by _id")]
    [InlineData("Observation", "_filter=status eq final", "not by _id")]
    [InlineData("Observation", "nothing=x", "not by _id")]
    [InlineData("Observation", "patient:identifier=urn:oid:1.2.246.21|010190-900P", "names nobody")]
    [InlineData("Observation", "date=ap2026-01-01", "prefix ap")]
    [InlineData("Observation", "_lastUpdated=2026,ap2026-01-01", "prefix ap")]
    [InlineData("Observation", "date=yesterday", "")]
    [InlineData("Observation", "code:in=http://example.org/ValueSet/unknown", "")]
    [InlineData("Observation", "status:exact=final", "")]
    [InlineData("*", "status=final", "one resource type")]
    [InlineData("Nothing", "status=final", "one resource type")]
    public void Rejects_what_says_something_else(string type, string query, string reason) => Assert.Contains(reason, ScopeFilter.Explain(type, query) ?? throw new Xunit.Sdk.XunitException("accepted"));

    [Fact]
    public void Rejects_a_query_that_is_too_long() => Assert.NotNull(ScopeFilter.Explain("Observation", "status=" + new string('f', ScopeFilter.MaxQuery)));

    [Fact]
    public void A_query_that_cannot_be_read_admits_nothing() => Assert.False(new ScopeFilter("Observation", ["_id=1"], true).Admits([]));

    [Fact]
    public void Travels_in_a_grant_and_comes_back_the_same()
    {
        var scope = new DisclosureScope { Breadth = Breadth.OwnRegister, Filters = [new("Observation", ["status=final", "category=laboratory"], true), new("Observation", ["status=final"], false)] };
        var read = JsonSerializer.Deserialize<DisclosureScope>(JsonSerializer.Serialize(scope))!;
        Assert.Equal(scope.Filters.Select(f => f.Key), read.Filters!.Select(f => f.Key));
        Assert.Null(JsonSerializer.Deserialize<DisclosureScope>(JsonSerializer.Serialize(scope with { Filters = null }))!.Filters);
        Assert.Equal(2, scope.Filters.Select(f => f.Key).Distinct().Count());
    }

    /// <summary>What is changed has to be reached, and what is added is no part of the record yet.</summary>
    [Fact]
    public void What_a_task_narrows_of_the_own_register_travels_too_and_holds_in_writes()
    {
        var scope = new DisclosureScope { Breadth = Breadth.OwnRegister, FiltersOfOwn = [new("DocumentReference", ["setting:missing=true"], true)] };
        Assert.True(scope.HasFilters);
        Assert.Equal(["DocumentReference<setting:missing=true"], JsonSerializer.Deserialize<DisclosureScope>(JsonSerializer.Serialize(scope))!.FiltersOfOwn!.Select(f => f.Key));
        foreach (var writes in (DisclosureScope[])[scope.OfWrites, (scope with { Filters = [new("Observation", ["status=final"], true)] }).OfWrites])
            Assert.Same(scope.FiltersOfOwn, writes.FiltersOfOwn);
        Assert.Equal((true, false), (scope.Narrows("DocumentReference", isOwn: true), scope.Narrows("DocumentReference", isOwn: false)));
    }

    [Fact]
    public void What_is_written_by_id_is_bounded_by_what_may_be_written()
    {
        var scope = new DisclosureScope { Breadth = Breadth.OwnRegister, Types = ["Observation"], Filters = [new("Observation", ["status=final"], true), new("Observation", ["code=1"], false)] };
        Assert.Equal((2, null), (scope.OfAnyType.Filters!.Count, scope.OfAnyType.Types));
        Assert.Equal(["Observation>code=1"], scope.OfWrites.Filters!.Select(f => f.Key));
        Assert.Null(scope.OfWrites.Types);
        Assert.Null((scope with { Filters = [scope.Filters[0]] }).OfWrites.Filters);
    }
}
