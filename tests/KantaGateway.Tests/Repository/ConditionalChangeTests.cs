using System.Net;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Repository;

/// <summary>Changes whose resource criteria choose (hl7.org/fhir/R4/http.html#ccreate, #cond-update, #cdelete).</summary>
public abstract class ConditionalChangeTests : IAsyncLifetime
{
    private const string Oid = "1.2.246.10.11111111.14.1", Criteria = "identifier=urn:ietf:rfc:3986|urn:oid:" + Oid;

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!, _other = null!;

    /// <summary>Connection string of an empty PostgreSQL database; null: SQLite.</summary>
    private protected abstract Task<Storage.PostgresDatabase?> DatabaseAsync();

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(await DatabaseAsync());
        var person = await _world.NewPersonAsync();
        _clinic = _world.As(person, RepositoryWorld.Aurora).WithDirectory();
        _other = _world.As(person, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Of_many_identical_conditional_creates_one_stores()
    {
        // Two processes on one database: the turns of one do not hold the other.
        await _world.StartRepositoryAsync();
        var replies = await Task.WhenAll(Enumerable.Range(0, 60).Select(i => (_clinic with { Node = i % 2 })
            .CreateAsync(Some.Encounter(_clinic.PatientId, Oid), ("If-None-Exist", Criteria))));
        var created = Assert.Single(replies, r => r.Status == HttpStatusCode.Created);
        Assert.All(replies, r => Assert.True(r == created || r.Status == HttpStatusCode.OK, r.Text));
        Assert.Single(replies.Select(r => (string)r.Json["id"]!).Distinct());
        Assert.Equal(1, (int)(await _clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    [Fact]
    public async Task Of_many_identical_conditional_updates_one_creates_and_the_others_change_it()
    {
        var replies = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => _clinic.UpdateByAsync(Criteria, Some.Encounter(_clinic.PatientId, Oid))));
        Assert.Single(replies, r => r.Status == HttpStatusCode.Created);
        Assert.Equal(29, replies.Count(r => r.Status == HttpStatusCode.OK));
        Assert.Equal(30, replies.Select(r => r.ETag).Distinct().Count());
        Assert.Equal(1, (int)(await _clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    [Fact]
    public async Task An_update_by_criteria_changes_the_one_that_it_finds()
    {
        var created = await _clinic.CreateAsync(Some.Encounter(_clinic.PatientId, Oid));
        var updated = (await _clinic.UpdateByAsync(Criteria, Some.Encounter(_clinic.PatientId, Oid, "finished"))).Is(HttpStatusCode.OK);
        Assert.Equal((string)created.Json["id"]!, (string)updated.Json["id"]!);
        Assert.Equal("finished", (string)(await _clinic.GetAsync("Encounter/" + (string)created.Json["id"]!)).Json["status"]!);
        // The id may be said, if it is the one.
        (await _clinic.UpdateByAsync(Criteria, updated.Json)).Is(HttpStatusCode.OK);
        var wrong = updated.Json;
        wrong["id"] = Guid.NewGuid().ToString();
        Assert.Equal("Encounter.id", (await _clinic.UpdateByAsync(Criteria, wrong)).Is(HttpStatusCode.BadRequest).Expression);
    }

    [Fact]
    public async Task An_update_by_criteria_that_find_nothing_creates_but_not_with_an_id_of_the_clients()
    {
        (await _clinic.UpdateByAsync(Criteria, Some.Encounter(_clinic.PatientId, Oid))).Is(HttpStatusCode.Created);
        var named = Some.Encounter(_clinic.PatientId);
        named["id"] = "my-own-id";
        var refused = (await _clinic.UpdateByAsync("identifier=other", named)).Is(HttpStatusCode.MethodNotAllowed);
        Assert.Contains("POST", (string)refused.Json["issue"]![0]!["diagnostics"]!, StringComparison.Ordinal);
        Assert.Equal(1, (int)(await _clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    [Fact]
    public async Task Criteria_that_find_many_change_nothing()
    {
        await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        const string Many = "code=8867-4";
        (await _clinic.UpdateByAsync(Many, Some.Observation(_clinic.PatientId))).Is(HttpStatusCode.PreconditionFailed);
        (await _clinic.PatchAsync("Observation?" + Many, Some.Patch("replace", "/status", "amended"))).Is(HttpStatusCode.PreconditionFailed);
        (await _clinic.DeleteAsync("Observation?" + Many)).Is(HttpStatusCode.PreconditionFailed);
        (await _clinic.CreateAsync(Some.Observation(_clinic.PatientId), ("If-None-Exist", Many))).Is(HttpStatusCode.PreconditionFailed);
        var inBundle = await _clinic.TransactAsync(Some.Transaction(("DELETE", "Observation?" + Many, null, null)));
        Assert.Equal("Bundle.entry[0].request.url", inBundle.Is(HttpStatusCode.PreconditionFailed).Expression);
        Assert.Equal(2, (int)(await _clinic.SearchAsync("Observation", "status=final")).Json["total"]!);
    }

    [Fact]
    public async Task A_deletion_by_criteria_deletes_once_and_then_finds_nothing()
    {
        var id = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Oid));
        var deleted = (await _clinic.DeleteAsync("Encounter?" + Criteria)).Is(HttpStatusCode.NoContent);
        Assert.True(Assert.Single(deleted.Manifest!.Items).Written);
        Assert.Empty((await _clinic.DeleteAsync("Encounter?" + Criteria)).Is(HttpStatusCode.NoContent).Manifest!.Items);
        (await _clinic.GetAsync("Encounter/" + id)).Is(HttpStatusCode.Gone);
    }

    [Theory]
    [InlineData("PUT")]
    [InlineData("PATCH")]
    [InlineData("DELETE")]
    public async Task Criteria_must_be_there_and_be_a_search(string method)
    {
        foreach (var query in new[] { "", "?", "?_format=json", "?nonsense=1", "?_pretty=true&_summary=text" })
        {
            var reply = await _world.SendAsync(_clinic.Grant, null, method, "/fhir/Encounter" + query,
                method switch { "PUT" => Some.Encounter(_clinic.PatientId).ToJsonString(), "PATCH" => Some.Patch("remove", "/period").ToJsonString(), _ => null },
                method == "PATCH" ? "application/json-patch+json" : null);
            Assert.True(reply.Status == HttpStatusCode.BadRequest, $"{query}: {reply.Text}");
        }
    }

    [Fact]
    public async Task If_Match_and_If_None_Match_hold_for_what_the_criteria_find()
    {
        var encounter = Some.Encounter(_clinic.PatientId, Oid);
        (await _clinic.UpdateByAsync(Criteria, encounter, ("If-Match", "W/\"1\""))).Is(HttpStatusCode.PreconditionFailed);
        (await _clinic.DeleteAsync("Encounter?" + Criteria, ("If-Match", "W/\"1\""))).Is(HttpStatusCode.PreconditionFailed);
        var created = (await _clinic.UpdateByAsync(Criteria, encounter, ("If-None-Match", "*"))).Is(HttpStatusCode.Created);
        (await _clinic.UpdateByAsync(Criteria, encounter, ("If-None-Match", "*"))).Is(HttpStatusCode.PreconditionFailed);
        var updated = (await _clinic.UpdateByAsync(Criteria, encounter, ("If-Match", created.ETag))).Is(HttpStatusCode.OK);
        (await _clinic.PatchAsync("Encounter?" + Criteria, Some.Patch("replace", "/status", "finished"), ("If-Match", created.ETag))).Is(HttpStatusCode.PreconditionFailed);
        (await _clinic.PatchAsync("Encounter?" + Criteria, Some.Patch("replace", "/status", "finished"), ("If-Match", updated.ETag))).Is(HttpStatusCode.OK);
        // By id it asks that there be none, and ids are given here.
        var id = "Encounter/" + (string)created.Json["id"]!;
        (await _world.SendAsync(_clinic.Grant, null, "PUT", "/fhir/" + id, created.Text, null, ("If-None-Match", "*"))).Is(HttpStatusCode.PreconditionFailed);
    }

    [Fact]
    public async Task What_another_organisation_keeps_is_found_and_may_not_be_changed()
    {
        await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Oid));
        (await _other.UpdateByAsync(Criteria, Some.Encounter(_clinic.PatientId, Oid))).Is(HttpStatusCode.Forbidden);
        (await _other.PatchAsync("Encounter?" + Criteria, Some.Patch("replace", "/status", "finished"))).Is(HttpStatusCode.Forbidden);
        (await _other.DeleteAsync("Encounter?" + Criteria)).Is(HttpStatusCode.Forbidden);
        // Where nothing lets them see it, there is none, and they keep one of their own.
        var outside = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli);
        (await outside.DeleteAsync("Encounter?" + Criteria)).Is(HttpStatusCode.NoContent);
        (await outside.PatchAsync("Encounter?" + Criteria, Some.Patch("replace", "/status", "finished"))).Is(HttpStatusCode.NotFound);
        (await outside.UpdateByAsync(Criteria, Some.Encounter(_clinic.PatientId, Oid))).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Criteria_look_only_where_the_token_may_search()
    {
        await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Oid));
        var narrow = _clinic with { Grant = _clinic.Grant with { Scope = _clinic.Grant.Scope with { Types = ["Observation"] } } };
        (await narrow.PatchAsync("Encounter?" + Criteria, Some.Patch("replace", "/status", "finished"))).Is(HttpStatusCode.NotFound);
        var observation = Some.Observation(_clinic.PatientId);
        observation["encounter"] = Some.To("Encounter?" + Criteria);
        Assert.Equal("Observation.encounter", (await narrow.CreateAsync(observation.DeepClone())).Is(HttpStatusCode.UnprocessableEntity).Expression);
        (await _clinic.CreateAsync(observation)).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Directory_entries_are_changed_by_criteria_by_those_who_wrote_them()
    {
        const string Target = "/fhir/Organization?identifier=urn:oid:1.2.246.10.11111111";
        var mine = _world.DirectoryGrant(RepositoryWorld.Aurora);
        (await _world.SendAsync(mine, null, "PUT", Target, Some.Organization().ToJsonString())).Is(HttpStatusCode.Created);
        var renamed = await _world.SendAsync(mine, null, "PUT", Target, Some.Organization("Aurora oy").ToJsonString());
        Assert.Equal("Aurora oy", (string)renamed.Is(HttpStatusCode.OK).Json["name"]!);
        (await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Revontuli), null, "DELETE", Target)).Is(HttpStatusCode.Forbidden);
        (await _world.SendAsync(mine, null, "DELETE", Target)).Is(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task In_a_transaction_entries_that_come_to_one_resource_are_refused_together()
    {
        var id = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Oid));
        var conditional = Some.Transaction(
            ("DELETE", "Encounter/" + id, null, null),
            ("PUT", "Encounter?" + Criteria, Some.Encounter(_clinic.PatientId, Oid), null));
        Assert.Equal("Bundle.entry[1].request.url", (await _clinic.TransactAsync(conditional)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        var found = Some.Transaction(
            ("DELETE", "Encounter/" + id, null, null),
            ("POST", "Encounter", Some.Encounter(_clinic.PatientId, Oid), null));
        found["entry"]![1]!["request"]!["ifNoneExist"] = Criteria;
        Assert.Equal("Bundle.entry[1].request.ifNoneExist", (await _clinic.TransactAsync(found)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        (await _clinic.GetAsync("Encounter/" + id)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task In_a_transaction_links_lead_to_what_criteria_find_or_make()
    {
        var id = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Oid));
        const string Urn = "urn:uuid:00000000-0000-4000-8000-00000000000a", Other = "urn:oid:2.25.77";
        JsonObject ObservationIn(string encounter)
        {
            var observation = Some.Observation(_clinic.PatientId);
            observation["encounter"] = Some.To(encounter);
            return observation;
        }
        var reply = (await _clinic.TransactAsync(Some.Transaction(
            ("POST", "Observation", ObservationIn(Urn), null),
            ("POST", "Observation", ObservationIn(Other), null),
            ("PUT", "Encounter?" + Criteria, Some.Encounter(_clinic.PatientId, Oid, "finished"), Urn),
            ("PUT", "Encounter?identifier=none", Some.Encounter(_clinic.PatientId), Other)), ("Prefer", "return=representation"))).Is(HttpStatusCode.OK);
        var entries = reply.Json["entry"]!.AsArray();
        Assert.Equal(["201 Created", "201 Created", "200 OK", "201 Created"], entries.Select(e => (string)e!["response"]!["status"]!));
        Assert.Equal("Encounter/" + id, (string)entries[0]!["resource"]!["encounter"]!["reference"]!);
        Assert.Equal("Encounter/" + (string)entries[3]!["resource"]!["id"]!, (string)entries[1]!["resource"]!["encounter"]!["reference"]!);
        Assert.NotEqual(id, (string)entries[3]!["resource"]!["id"]!);
    }
}

public sealed class ConditionalChangeOnSqliteTests : ConditionalChangeTests
{
    private protected override Task<Storage.PostgresDatabase?> DatabaseAsync() => Task.FromResult<Storage.PostgresDatabase?>(null);
}

public sealed class ConditionalChangeOnPostgresTests : ConditionalChangeTests
{
    private protected override async Task<Storage.PostgresDatabase?> DatabaseAsync() => await Storage.PostgresServer.NewDatabaseAsync();
}
