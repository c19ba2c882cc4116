using Hl7.Fhir.Model;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>Places by how far they are (hl7.org/fhir/R4/location.html#search).</summary>
public sealed class NearSearchTests
{
    private static InMemorySpace Finland()
    {
        var space = new InMemorySpace();
        Add("helsinki", 60.1699m, 24.9384m);
        Add("espoo", 60.2055m, 24.6559m);
        Add("turku", 60.4518m, 22.2666m);
        Add("fiji", -17.7m, 179.9m);
        space.Add(new Location { Id = "nowhere", Name = "A place without a position" });
        return space;

        void Add(string id, decimal latitude, decimal longitude) =>
            space.Add(new Location { Id = id, Position = new() { Latitude = latitude, Longitude = longitude } });
    }

    // Helsinki to Espoo is 16 km, to Turku 150.
    [Theory]
    [InlineData("60.1699|24.9384|5|km", "helsinki")]
    [InlineData("60.1699|24.9384|15|km", "helsinki")]
    [InlineData("60.1699|24.9384|17|km", "helsinki,espoo")]
    [InlineData("60.1699|24.9384|17000|m", "helsinki,espoo")]
    [InlineData("60.1699|24.9384|11|[mi_i]", "helsinki,espoo")]
    [InlineData("60.1699|24.9384|17", "helsinki,espoo")]
    [InlineData("60.1699|24.9384", "helsinki,espoo")]
    [InlineData("60.1699|24.9384|160|", "helsinki,espoo,turku")]
    [InlineData("60.1699|24.9384|0|km", "helsinki")]
    [InlineData("-17.7|-179.9|25|km", "fiji")] // over the date line
    [InlineData("0|0|30000|km", "helsinki,espoo,turku,fiji")]
    [InlineData("10|10|1|km", "")]
    [InlineData("10|10|1|km,60.4518|22.2666|1|km", "turku")]
    public void Places_within_the_distance_are_found(string near, string found) =>
        Assert.Equal(found.Split(',', StringSplitOptions.RemoveEmptyEntries), Finland().Search(SearchSetting.Read("Location", "near=" + Uri.EscapeDataString(near).Replace("%2C", ",", StringComparison.Ordinal))));

    [Theory]
    [InlineData("near=60.1")]
    [InlineData("near=Helsinki|Finland")]
    [InlineData("near=91|24|5|km")]
    [InlineData("near=60|181|5|km")]
    [InlineData("near=60|24|-5|km")]
    [InlineData("near=60|24|5|kg")]
    [InlineData("near=60|24|5|furlongs")]
    [InlineData("near=60|24|5|km|more")]
    [InlineData("near:exact=60|24")]
    [InlineData("_sort=near")]
    public void What_is_no_place_is_refused(string form) => Assert.NotNull(SearchSetting.Parse("Location", form).Fault);

    [Fact]
    public void Places_without_a_position_are_missing_one() =>
        Assert.Equal(["nowhere"], Finland().Search(SearchSetting.Read("Location", "near:missing=true")));

    [Fact]
    public void What_is_not_served_says_what_to_do()
    {
        var fault = SearchSetting.Parse("Practitioner", "phonetic=Koivunen").Fault!;
        Assert.Equal("not-supported", fault.Issues[0].Code);
        Assert.Contains("Search by name", fault.Issues[0].Diagnostics, StringComparison.Ordinal);
    }
}
