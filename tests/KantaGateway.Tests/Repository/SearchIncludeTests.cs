using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Repository.Search;

namespace KantaGateway.Tests.Repository;

/// <summary>What a search brings besides its matches: each resource once, none that is hidden, all of them recorded.</summary>
public sealed class SearchIncludeTests : IAsyncLifetime
{
    private const string Event = "1.2.246.10.11111111.14.1", OtherEvent = "1.2.246.10.11111111.14.2";

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;
    private string _visit = "", _other = "", _first = "", _second = "", _third = "";

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await _clinic.StoreAsync(Some.Patient());
        _visit = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Event));
        _other = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, OtherEvent));
        _first = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, "8867-1", _visit));
        _second = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, "8867-2", _visit));
        _third = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, "8867-3", _other));
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    private static string[] Entries(Reply reply) =>
        [.. reply.Json["entry"]?.AsArray().Select(e => $"{(string)e!["search"]!["mode"]!} {(string)e["resource"]!["resourceType"]!}/{(string)e["resource"]!["id"]!}") ?? []];

    private async Task AssertAsync(Caller caller, string target, params string[] entries)
    {
        var reply = (await caller.GetAsync(target)).Is(HttpStatusCode.OK);
        Assert.Equal(entries, Entries(reply));
        Assert.Equal(entries.Count(e => e.StartsWith("match", StringComparison.Ordinal)), (int)reply.Json["total"]!);
        Assert.Equal(entries.Select(e => e.Split(' ')[1]), reply.Manifest!.Items.Select(i => $"{i.Type}/{i.Id}"));
        Assert.Equal(entries.Select(e => $"{RepositoryWorld.Base}/{e.Split(' ')[1]}"), reply.Json["entry"]?.AsArray().Select(e => (string)e!["fullUrl"]!) ?? []);
    }

    [Fact]
    public async Task Includes_what_matches_refer_to_once() => await AssertAsync(_clinic, "Observation?code=8867-1,8867-2&_include=Observation:encounter",
        $"match Observation/{_first}", $"match Observation/{_second}", $"include Encounter/{_visit}");

    [Fact]
    public async Task Includes_what_refers_to_matches() => await AssertAsync(_clinic, $"Encounter?_id={_visit}&_revinclude=Observation:encounter",
        $"match Encounter/{_visit}", $"include Observation/{_first}", $"include Observation/{_second}");

    [Fact]
    public async Task Every_reference_is_included_by_an_asterisk()
    {
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=*", $"match Observation/{_first}", $"include Patient/{_clinic.PatientId}", $"include Encounter/{_visit}");
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=Observation:*", $"match Observation/{_first}", $"include Patient/{_clinic.PatientId}", $"include Encounter/{_visit}");
        await AssertAsync(_clinic, $"Encounter?_id={_visit}&_revinclude=*", $"match Encounter/{_visit}", $"include Observation/{_first}", $"include Observation/{_second}");
    }

    [Fact]
    public async Task A_target_type_narrows_an_include()
    {
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=Observation:subject:Patient", $"match Observation/{_first}", $"include Patient/{_clinic.PatientId}");
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=Observation:subject:Group", $"match Observation/{_first}");
    }

    [Fact]
    public async Task An_include_of_another_type_than_the_matches_brings_nothing_unless_it_iterates()
    {
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=Encounter:patient", $"match Observation/{_first}");
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=Observation:encounter&_include=Encounter:patient", $"match Observation/{_first}", $"include Encounter/{_visit}");
        await AssertAsync(_clinic, "Observation?code=8867-1&_include=Observation:encounter&_include:iterate=Encounter:patient",
            $"match Observation/{_first}", $"include Encounter/{_visit}", $"include Patient/{_clinic.PatientId}");
    }

    [Fact]
    public async Task Iterating_in_circles_ends_with_each_resource_once()
    {
        var reply = (await _clinic.GetAsync("Observation?code=8867-1&_include:iterate=*&_revinclude:iterate=*")).Is(HttpStatusCode.OK);
        Assert.Equal(["match", "include", "include", "include", "include", "include"], Entries(reply).Select(e => e.Split(' ')[0]));
        Assert.Equal(6, reply.Ids.Distinct().Count());
    }

    [Fact]
    public async Task A_match_is_not_included_again() => await AssertAsync(_clinic, "Encounter?_revinclude=Observation:encounter&_include:iterate=Observation:encounter",
        $"match Encounter/{_visit}", $"match Encounter/{_other}", $"include Observation/{_first}", $"include Observation/{_second}", $"include Observation/{_third}");

    [Fact]
    public async Task What_is_deleted_or_hidden_is_not_included()
    {
        var reader = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed, Event);
        await AssertAsync(reader, "Observation?_include=Observation:encounter", $"match Observation/{_third}", $"include Encounter/{_other}");
        await AssertAsync(reader, "Patient?_revinclude=Observation:patient", $"match Patient/{_clinic.PatientId}", $"include Observation/{_third}");
        await _world.AsPerson(_clinic.Grant.Compartment).StoreAsync(Some.Consent(_clinic.PatientId));
        await AssertAsync(_clinic, "Patient?_revinclude=Consent:patient", $"match Patient/{_clinic.PatientId}");
        (await _clinic.DeleteAsync("Observation/" + _third)).Is(HttpStatusCode.NoContent);
        await AssertAsync(reader, "Patient?_revinclude=Observation:patient", $"match Patient/{_clinic.PatientId}");
    }

    [Fact]
    public async Task Types_that_the_token_does_not_reach_are_not_included()
    {
        var narrow = _clinic with { Grant = _clinic.Grant with { Scope = _clinic.Grant.Scope with { Types = ["Observation", "Patient"] } } };
        await AssertAsync(narrow, "Observation?code=8867-1&_include=*", $"match Observation/{_first}", $"include Patient/{_clinic.PatientId}");
        await AssertAsync(narrow, "Observation?code=8867-1&_include=Observation:encounter&_include:iterate=Encounter:patient", $"match Observation/{_first}");
        await AssertAsync(narrow with { Grant = narrow.Grant with { Scope = narrow.Grant.Scope with { Types = ["Patient"] } } }, "Observation");
    }

    [Fact]
    public async Task Entries_of_the_directory_are_included_and_chained_through_the_grant_for_it()
    {
        var aurora = _clinic.WithDirectory();
        var keeper = _world.As(KantaGateway.Fhir.Identifiers.Pseudonym.Directory, RepositoryWorld.Aurora, Breadth.Directory);
        var organization = await keeper.StoreAsync(Some.Organization());
        var observation = Some.Observation(_clinic.PatientId, "8867-4");
        observation["performer"] = new JsonArray(Some.To("Organization/" + organization));
        var performed = await aurora.StoreAsync(observation);

        await AssertAsync(aurora, "Observation?code=8867-4&_include=Observation:performer", $"match Observation/{performed}", $"include Organization/{organization}");
        await AssertAsync(aurora, "Observation?performer:Organization.name=Aurora", $"match Observation/{performed}");
        await AssertAsync(aurora, "Observation?performer:Organization.name=Revontuli");
        // Without the grant, and beyond its types, the directory is not there.
        await AssertAsync(_clinic, "Observation?code=8867-4&_include=Observation:performer", $"match Observation/{performed}");
        var narrow = aurora.Directory! with { Scope = aurora.Directory.Scope with { Types = ["Practitioner"] } };
        await AssertAsync(aurora with { Directory = narrow }, "Observation?code=8867-4&_include=*", $"match Observation/{performed}", $"include Patient/{_clinic.PatientId}");
        await AssertAsync(aurora with { Directory = narrow }, "Observation?performer:Organization.name=Aurora");

        // Pages show the directory as it was at the first of them.
        observation["code"]!["coding"]![0]!["code"] = "8867-5";
        await aurora.StoreAsync(observation);
        var first = (await aurora.GetAsync("Observation?performer:Organization.name=Aurora&_count=1&_include=Observation:performer")).Is(HttpStatusCode.OK);
        var current = await keeper.GetAsync("Organization/" + organization);
        var renamed = current.Json;
        renamed["name"] = "Revontuli";
        (await keeper.UpdateAsync(renamed, current.ETag)).Is(HttpStatusCode.OK);
        var link = (string)first.Json["link"]!.AsArray().Single(l => (string)l!["relation"]! == "next")!["url"]!;
        var second = (await aurora.GetAsync(link[(RepositoryWorld.Base.Length + 1)..])).Is(HttpStatusCode.OK);
        Assert.Equal("Aurora", (string)second.Json["entry"]![1]!["resource"]!["name"]!);
        await AssertAsync(aurora, "Observation?performer:Organization.name=Aurora");
    }

    [Fact]
    public async Task Chains_find_nothing_through_what_is_hidden_or_of_another_type_than_the_token_reaches()
    {
        var reader = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed, Event);
        var oid = "encounter:Encounter.identifier=urn:oid:";
        await AssertAsync(_clinic, "Observation?" + oid + Event, $"match Observation/{_first}", $"match Observation/{_second}");
        await AssertAsync(reader, "Observation?" + oid + Event);
        await AssertAsync(reader, "Observation?" + oid + OtherEvent, $"match Observation/{_third}");
        await AssertAsync(reader, "Encounter?_has:Observation:encounter:code=8867-1");
        await AssertAsync(reader, "Encounter?_has:Observation:encounter:code=8867-3", $"match Encounter/{_other}");
        await AssertAsync(reader, "Patient?_has:Observation:patient:code=8867-1");
        await AssertAsync(reader, "Patient?_has:Observation:patient:code=8867-3", $"match Patient/{_clinic.PatientId}");
        var narrow = _clinic with { Grant = _clinic.Grant with { Scope = _clinic.Grant.Scope with { Types = ["Encounter"] } } };
        await AssertAsync(narrow, "Encounter?_has:Observation:encounter:code=8867-1");
        narrow = narrow with { Grant = narrow.Grant with { Scope = narrow.Grant.Scope with { Types = ["Observation"] } } };
        await AssertAsync(narrow, "Observation?" + oid + Event);
    }

    [Fact]
    public async Task A_page_ends_where_what_its_matches_include_grows_too_much_and_goes_on()
    {
        // Three visits with 400 notes each: two to a page.
        var visits = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            var visit = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, status: "finished"));
            await StoreNotesAsync(visit, 400);
            visits.Add(visit);
        }
        var first = (await _clinic.GetAsync("Encounter?status=finished&_revinclude=Observation:encounter")).Is(HttpStatusCode.OK);
        Assert.Equal(visits[..2], Matches(first));
        Assert.Equal(802, first.Ids.Distinct().Count());
        Assert.Equal(802, first.Manifest!.Items.Count);
        var link = (string)first.Json["link"]!.AsArray().Single(l => (string)l!["relation"]! == "next")!["url"]!;
        var second = (await _clinic.GetAsync(link[(RepositoryWorld.Base.Length + 1)..])).Is(HttpStatusCode.OK);
        Assert.Equal(visits[2..], Matches(second));
        Assert.Equal(401, second.Ids.Length);

        // One match alone that brings more than a page holds.
        await StoreNotesAsync(visits[0], SearchPage.MaxIncluded - 399);
        var refused = (await _clinic.GetAsync($"Encounter?_id={visits[0]}&_revinclude=Observation:encounter")).Is(HttpStatusCode.UnprocessableEntity);
        Assert.Equal("too-costly", (string)refused.Json["issue"]![0]!["code"]!);

        static IEnumerable<string> Matches(Reply reply) => Entries(reply).Where(e => e.StartsWith("match", StringComparison.Ordinal)).Select(e => e.Split('/')[1]);

        async Task StoreNotesAsync(string visit, int count) => (await _clinic.TransactAsync(Some.Transaction(
            [.. Enumerable.Range(0, count).Select(_ => ("POST", "Observation", (JsonObject?)Some.Observation(_clinic.PatientId, encounterId: visit), (string?)null))]))).Is(HttpStatusCode.OK);
    }
}
