using Hl7.Fhir.Model;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>Canonical URLs and the versions they name (hl7.org/fhir/R4/references.html#canonical, search.html#uri).</summary>
public sealed class CanonicalSearchTests
{
    private const string Set = "https://example.org/fhir/ValueSet/drugs";

    /// <summary>A value set in three versions and what refers to it: with versions, without one, and to another.</summary>
    private static InMemorySpace Library()
    {
        var space = new InMemorySpace();
        foreach (var version in (string[])["1.2", "1.10", "2.0-draft"])
            space.Add(new ValueSet { Id = "v" + version, Url = Set, Version = version, Name = version == "1.10" ? "Latest of the first" : "Other" });
        space.Add(new ValueSet { Id = "below", Url = Set + "/old", Version = "1.2" });
        space.Add(new ValueSet { Id = "unversioned", Url = "https://example.org/fhir/ValueSet/foods" });
        foreach (var (id, canonical) in ((string, string)[])[("map1.2", Set + "|1.2"), ("map1.10", Set + "|1.10"), ("map", Set), ("map9", Set + "|9"), ("foods", "https://example.org/fhir/ValueSet/foods")])
            space.Add(new ConceptMap { Id = id, Source = new Canonical(canonical) });
        space.Add(new Observation { Id = "o1", Meta = new() { Profile = ["https://example.org/fhir/StructureDefinition/pulse|1.2"] } });
        space.Add(new Observation { Id = "o2", Meta = new() { Profile = ["https://example.org/fhir/StructureDefinition/pulse"] } });
        return space;
    }

    [Theory]
    [InlineData("url=" + Set, "v1.2,v1.10,v2.0-draft")]
    [InlineData("url=" + Set + "|1.2", "v1.2")]
    [InlineData("url=" + Set + "|1", "")]
    [InlineData("url:below=" + Set + "|1", "v1.2,v1.10")]
    [InlineData("url:below=" + Set + "|1.1", "")]
    [InlineData("url:below=" + Set + "|2.0", "v2.0-draft")]
    [InlineData("url:above=" + Set + "|1.2.7", "v1.2")]
    [InlineData("url:below=" + Set, "v1.2,v1.10,v2.0-draft,below")]
    [InlineData("url=" + Set + "|1.2,https://example.org/fhir/ValueSet/foods", "v1.2,unversioned")]
    [InlineData("url:below=https://example.org/fhir/ValueSet/foods|1", "")]
    public void What_is_defined_is_found_by_its_url_and_version(string query, string found) => Finds("ValueSet", query, found);

    [Theory]
    [InlineData("source=" + Set, "map1.2,map1.10,map,map9")]
    [InlineData("source=" + Set + "|1.2", "map1.2")]
    [InlineData("source=" + Set + "|1", "")]
    [InlineData("source:below=" + Set + "|1", "map1.2,map1.10")]
    [InlineData("source:above=" + Set + "|1.2.5", "map1.2")]
    [InlineData("source:below=" + Set, "map1.2,map1.10,map,map9")]
    [InlineData("source:missing=true", "")]
    public void Canonical_references_are_found_by_the_url_with_any_version_one_or_all_below_one(string query, string found) => Finds("ConceptMap", query, found);

    [Theory]
    [InlineData("_profile=https://example.org/fhir/StructureDefinition/pulse", "o1,o2")]
    [InlineData("_profile=https://example.org/fhir/StructureDefinition/pulse|1.2", "o1")]
    [InlineData("_profile:below=https://example.org/fhir/StructureDefinition/pulse|1", "o1")]
    [InlineData("_profile:below=https://example.org/fhir/StructureDefinition", "o1,o2")]
    [InlineData("_profile:above=https://example.org/fhir/StructureDefinition/pulse|1.2.3", "o1")]
    public void Claimed_profiles_are_found_with_and_without_their_versions(string query, string found) => Finds("Observation", query, found);

    [Theory]
    [InlineData("map1.2", "v1.2")]
    [InlineData("map1.10", "v1.10")]
    [InlineData("map", "v2.0-draft")] // no version is the latest
    [InlineData("map9", "")]
    [InlineData("foods", "unversioned")]
    public void An_include_brings_the_version_that_is_named_or_the_latest(string map, string included)
    {
        var space = Library();
        var query = SearchSetting.Read("ConceptMap", $"_include=ConceptMap:source");
        var targets = query.Over(space).Targets(query.Includes[0], space.Find("ConceptMap", map)!);
        Assert.Equal(included.Split(',', StringSplitOptions.RemoveEmptyEntries), targets.Select(t => t.Id));
    }

    [Theory]
    [InlineData("ConceptMap", "source:ValueSet.name=Latest", "map1.10")]
    [InlineData("ConceptMap", "source:ValueSet.version=2.0-draft", "map")]
    [InlineData("ValueSet", "_has:ConceptMap:source:_id=x", "")]
    [InlineData("ValueSet", "_has:ConceptMap:source:source=" + Set, "v1.2,v1.10,v2.0-draft")]
    public void Chains_lead_over_canonical_references(string type, string query, string found) => Finds(type, query, found);

    [Theory]
    [InlineData("1.9", "1.10")]
    [InlineData("1.10", "2")]
    [InlineData("1", "1.0")]
    [InlineData(null, "0")]
    [InlineData("2014-03-26", "2014-11-01")]
    public void Versions_are_ordered_by_their_parts(string? lower, string higher)
    {
        Assert.True(Canonicals.CompareVersions(lower, higher) < 0);
        Assert.True(Canonicals.CompareVersions(higher, lower) > 0);
        Assert.Equal(0, Canonicals.CompareVersions(higher, higher));
    }

    [Fact]
    public void A_reference_to_what_is_not_kept_is_not_included()
    {
        var (query, fault) = SearchSetting.Parse("QuestionnaireResponse", "_include=QuestionnaireResponse:questionnaire");
        Assert.Null(query);
        Assert.Equal("not-supported", Assert.Single(fault!.Issues).Code);
    }

    private static void Finds(string type, string query, string found) =>
        Assert.Equal(found.Split(',', StringSplitOptions.RemoveEmptyEntries), Library().Search(SearchSetting.Read(type, query)));
}
