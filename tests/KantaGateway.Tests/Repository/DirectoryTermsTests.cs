using System.Net;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Repository;

/// <summary>Value sets and code systems of the directory, named by <c>:in</c>, <c>:not-in</c>, <c>:above</c> and <c>:below</c>.</summary>
public sealed class DirectoryTermsTests : IAsyncLifetime
{
    private const string Codes = "https://example.org/fhir/CodeSystem/pulses", Sets = "https://example.org/fhir/ValueSet/";

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;
    private Caller _directory = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora).WithDirectory();
        _directory = new(_world, _world.DirectoryGrant(RepositoryWorld.Aurora));
        await _clinic.StoreAsync(Some.Patient());
        foreach (var code in (string[])["slow", "fast", "flutter", "other"])
        {
            var observation = Some.Observation(_clinic.PatientId);
            observation["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = Codes, ["code"] = code }) };
            await _clinic.StoreAsync(observation);
        }
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    /// <summary>fast has flutter under it.</summary>
    private static JsonObject System(string content = "complete") => new()
    {
        ["resourceType"] = "CodeSystem", ["status"] = "active", ["content"] = content, ["url"] = Codes,
        ["concept"] = new JsonArray(new JsonObject { ["code"] = "slow" },
            new JsonObject { ["code"] = "fast", ["concept"] = new JsonArray(new JsonObject { ["code"] = "flutter" }) }),
    };

    private static JsonObject ValueSet(string name, JsonObject? compose = null, JsonObject? expansion = null, string? version = null)
    {
        var set = new JsonObject { ["resourceType"] = "ValueSet", ["status"] = "active", ["url"] = Sets + name };
        if (version is not null)
            set["version"] = version;
        if (compose is not null)
            set["compose"] = compose;
        if (expansion is not null)
            set["expansion"] = expansion;
        return set;
    }

    private static JsonObject Compose(params string[] codes) => new()
    {
        ["include"] = new JsonArray(new JsonObject { ["system"] = Codes, ["concept"] = new JsonArray([.. codes.Select(c => new JsonObject { ["code"] = c })]) }),
    };

    private static JsonObject Taking(params string[] sets) => new() { ["include"] = new JsonArray(new JsonObject { ["valueSet"] = new JsonArray([.. sets.Select(s => (JsonNode)(Sets + s))]) }) };

    private static JsonObject Whole => new() { ["include"] = new JsonArray(new JsonObject { ["system"] = Codes }) };

    private static JsonObject Expansion(int? total, params string[] codes)
    {
        var expansion = new JsonObject { ["timestamp"] = "2026-01-01", ["contains"] = new JsonArray([.. codes.Select(c => new JsonObject { ["system"] = Codes, ["code"] = c })]) };
        if (total is not null)
            expansion["total"] = total;
        return expansion;
    }

    private async Task<string[]> FoundAsync(string query, Caller? caller = null) =>
        [.. (await (caller ?? _clinic).SearchAsync("Observation", query)).Is(HttpStatusCode.OK).Json["entry"]?.AsArray().Select(e => (string)e!["resource"]!["code"]!["coding"]![0]!["code"]!) ?? []];

    private async Task RefusesAsync(string query, string told, Caller? caller = null)
    {
        var reply = (await (caller ?? _clinic).SearchAsync("Observation", query)).Is(HttpStatusCode.BadRequest);
        Assert.Contains(told, (string)reply.Json["issue"]![0]!["diagnostics"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Codes_of_a_stored_value_set_are_found_by_its_url_and_by_its_id()
    {
        var id = await _directory.StoreAsync(ValueSet("some", Compose("slow", "flutter")));
        foreach (var name in (string[])[Sets + "some", $"ValueSet/{id}", $"{RepositoryWorld.Base}/ValueSet/{id}"])
        {
            Assert.Equal(["slow", "flutter"], await FoundAsync($"code:in={name}"));
            Assert.Equal(["fast", "other"], await FoundAsync($"code:not-in={name}"));
        }
        Assert.Equal(["slow", "flutter"], await FoundAsync($"code:in={Sets}some,http://hl7.org/fhir/ValueSet/condition-clinical"));
        Assert.Single((await _clinic.SearchAsync("Patient", $"_has:Observation:patient:code:in={Sets}some")).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task An_expansion_that_is_whole_is_taken_as_it_is_and_a_part_of_one_is_not()
    {
        await _directory.StoreAsync(ValueSet("expanded", expansion: Expansion(1, "fast")));
        await _directory.StoreAsync(ValueSet("part", expansion: Expansion(7, "fast")));
        await _directory.StoreAsync(ValueSet("both", Compose("slow", "fast"), Expansion(7, "fast")));
        Assert.Equal(["fast"], await FoundAsync($"code:in={Sets}expanded"));
        await RefusesAsync($"code:in={Sets}part", "cannot be expanded");
        Assert.Equal(["slow", "fast"], await FoundAsync($"code:in={Sets}both"));
    }

    [Fact]
    public async Task Value_sets_take_up_code_systems_and_value_sets_of_the_directory()
    {
        await _directory.StoreAsync(ValueSet("whole", Whole));
        await RefusesAsync($"code:in={Sets}whole", "cannot be expanded");
        await _directory.StoreAsync(System());
        Assert.Equal(["slow", "fast", "flutter"], await FoundAsync($"code:in={Sets}whole"));
        await _directory.StoreAsync(ValueSet("of-sets", Taking("whole")));
        Assert.Equal(["slow", "fast", "flutter"], await FoundAsync($"code:in={Sets}of-sets"));
    }

    [Fact]
    public async Task Value_sets_that_take_up_each_other_end()
    {
        await _directory.StoreAsync(ValueSet("a", Taking("b")));
        await _directory.StoreAsync(ValueSet("b", Taking("a")));
        await RefusesAsync($"code:in={Sets}a", "cannot be expanded");
        // Each takes up the next one twice: as many expansions as there are value sets, and the codes run into their bound.
        for (var i = 0; i < 18; i++)
            await _directory.StoreAsync(ValueSet($"c{i}", new() { ["include"] = new JsonArray(Taking($"c{i + 1}")["include"]![0]!.DeepClone(), Taking($"c{i + 1}")["include"]![0]!.DeepClone()) }));
        await _directory.StoreAsync(ValueSet("c18", Compose("slow")));
        Assert.Equal(["slow"], await FoundAsync($"code:in={Sets}c8"));
        await RefusesAsync($"code:in={Sets}c0", "cannot be expanded");
    }

    [Fact]
    public async Task A_search_has_a_bounded_number_of_value_sets_looked_for()
    {
        for (var i = 0; i < 20; i++)
            await _directory.StoreAsync(ValueSet($"n{i}", Taking($"n{i + 1}")));
        await _directory.StoreAsync(ValueSet("n20", Compose("slow")));
        Assert.Equal(["slow"], await FoundAsync($"code:in={Sets}n1"));
        await RefusesAsync($"code:in={Sets}n0", "at most 20");
    }

    [Fact]
    public async Task What_is_too_large_to_be_looked_at_is_refused()
    {
        foreach (var name in (string[])["large", "larger"])
        {
            var set = ValueSet(name, Compose("slow"));
            // A string holds a megabyte (hl7.org/fhir/R4/datatypes.html#string).
            set["extension"] = new JsonArray([.. Enumerable.Range(0, 5).Select(_ => new JsonObject { ["url"] = "https://example.org/fhir/StructureDefinition/note", ["valueString"] = new string('x', 900_000) })]);
            await _directory.StoreAsync(set);
        }
        Assert.Equal(["slow"], await FoundAsync($"code:in={Sets}large"));
        await RefusesAsync($"code:in={Sets}large,{Sets}larger", "too large");
    }

    [Fact]
    public async Task A_hierarchy_of_the_directory_is_followed_both_ways()
    {
        await RefusesAsync($"code:below={Codes}|fast", "not known here");
        await _directory.StoreAsync(System());
        Assert.Equal(["fast", "flutter"], await FoundAsync($"code:below={Codes}|fast"));
        Assert.Equal(["fast", "flutter"], await FoundAsync($"code:above={Codes}|flutter"));
        Assert.Equal(["slow"], await FoundAsync($"code:below={Codes}|slow"));
        await RefusesAsync($"code:below={Codes}|unheard", "does not have");
    }

    [Fact]
    public async Task A_part_of_a_code_system_says_nothing_of_its_hierarchy()
    {
        await _directory.StoreAsync(System("fragment"));
        await RefusesAsync($"code:below={Codes}|fast", "stored whole");
    }

    [Fact]
    public async Task Of_several_versions_the_named_one_counts_or_the_latest()
    {
        await _directory.StoreAsync(ValueSet("some", Compose("slow"), version: "1.9"));
        await _directory.StoreAsync(ValueSet("some", Compose("fast"), version: "1.10"));
        Assert.Equal(["slow"], await FoundAsync($"code:in={Sets}some|1.9"));
        Assert.Equal(["fast"], await FoundAsync($"code:in={Sets}some"));
        await RefusesAsync($"code:in={Sets}some|2", "not known here");
    }

    /// <summary>Else anybody who may write to the directory would say what others find.</summary>
    [Fact]
    public async Task A_url_that_several_organisations_have_stored_under_means_nothing_until_one_is_named()
    {
        var own = await _directory.StoreAsync(ValueSet("some", Compose("slow"), version: "1"));
        await new Caller(_world, _world.DirectoryGrant(RepositoryWorld.Revontuli)).StoreAsync(ValueSet("some", Compose("fast"), version: "2"));
        await RefusesAsync($"code:in={Sets}some", "several organisations");
        Assert.Equal(["slow"], await FoundAsync($"code:in=ValueSet/{own}"));
        Assert.Equal(["fast"], await FoundAsync($"code:in={Sets}some|2"));
        // What comes with the product means what it means there.
        var twin = ValueSet("x", Compose("slow", "fast"));
        twin["url"] = "http://hl7.org/fhir/ValueSet/condition-clinical";
        await _directory.StoreAsync(twin);
        Assert.Empty(await FoundAsync("code:in=http://hl7.org/fhir/ValueSet/condition-clinical"));
    }

    [Fact]
    public async Task What_the_token_may_not_search_is_not_known()
    {
        await _directory.StoreAsync(ValueSet("some", Compose("slow")));
        await RefusesAsync($"code:in={Sets}some", "not known here", _clinic with { Directory = null });
        var narrow = _world.DirectoryGrant(RepositoryWorld.Aurora);
        await RefusesAsync($"code:in={Sets}some", "not known here", _clinic with { Directory = narrow with { Scope = narrow.Scope with { Types = ["Organization"] } } });
        await RefusesAsync("code:in=ValueSet/" + Guid.NewGuid(), "POST ValueSet");
    }

    [Fact]
    public async Task A_search_of_the_directory_knows_them_too()
    {
        await _directory.StoreAsync(ValueSet("kinds", new()
        {
            ["include"] = new JsonArray(new JsonObject { ["system"] = "https://example.org/kinds", ["concept"] = new JsonArray(new JsonObject { ["code"] = "clinic" }) }),
        }));
        var organisation = Some.Organization();
        organisation["type"] = new JsonArray(new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "https://example.org/kinds", ["code"] = "clinic" }) });
        var id = await _directory.StoreAsync(organisation);
        await _directory.StoreAsync(Some.Organization("Other"));
        Assert.Equal([id], (await _directory.SearchAsync("Organization", $"type:in={Sets}kinds")).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task Pages_go_by_the_value_set_of_the_first()
    {
        var id = await _directory.StoreAsync(ValueSet("some", Compose("slow", "fast")));
        var first = (await _clinic.GetAsync($"Observation?code:in={Sets}some&_count=1")).Is(HttpStatusCode.OK);
        var stored = (await _directory.GetAsync("ValueSet/" + id)).Is(HttpStatusCode.OK);
        var changed = stored.Json;
        changed["compose"] = Compose("slow");
        (await _directory.UpdateAsync(changed, stored.ETag)).Is(HttpStatusCode.OK);
        var next = (string)first.Json["link"]!.AsArray().Single(l => (string)l!["relation"]! == "next")!["url"]!;
        var second = (await _clinic.GetAsync(next[(RepositoryWorld.Base.Length + 1)..])).Is(HttpStatusCode.OK);
        Assert.Equal("fast", (string)second.Json["entry"]![0]!["resource"]!["code"]!["coding"]![0]!["code"]!);
        Assert.Equal(["slow"], await FoundAsync($"code:in={Sets}some"));
    }
}
