using System.Net;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Repository;

/// <summary>PATCH (hl7.org/fhir/R4/http.html#patch): what is patched is checked like what is sent whole.</summary>
public sealed class PatchTests : IAsyncLifetime
{
    private const string Event = "1.2.246.10.11111111.14.1";

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora).WithDirectory();
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task A_patch_makes_a_new_version_of_what_was_there()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var target = "Observation/" + (string)created.Json["id"]!;
        var byPointer = (await _clinic.PatchAsync(target, Some.Patch("replace", "/status", "amended"))).Is(HttpStatusCode.OK);
        Assert.Equal(("amended", "Muistiinpano"), ((string)byPointer.Json["status"]!, (string)byPointer.Json["note"]![0]!["text"]!));
        var byPath = (await _clinic.PatchAsync(target, Some.PathPatch("Observation.note[0].text", "valueMarkdown", "Korjattu"))).Is(HttpStatusCode.OK);
        Assert.Equal(("amended", "Korjattu"), ((string)byPath.Json["status"]!, (string)byPath.Json["note"]![0]!["text"]!));
        Assert.True(Assert.Single(byPath.Manifest!.Items).Written);
        Assert.Equal(3, (int)(await _clinic.GetAsync(target + "/_history")).Json["total"]!);
        Assert.Equal(byPath.Text, (await _clinic.GetAsync(target)).Text);
        Assert.Equal(1, (int)(await _clinic.SearchAsync("Observation", "status=amended")).Json["total"]!);
    }

    [Fact]
    public async Task If_Match_is_held_to_where_it_is_given()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var target = "Observation/" + (string)created.Json["id"]!;
        (await _clinic.PatchAsync(target, Some.Patch("replace", "/status", "amended"), ("If-Match", created.ETag))).Is(HttpStatusCode.OK);
        (await _clinic.PatchAsync(target, Some.Patch("replace", "/status", "final"), ("If-Match", created.ETag))).Is(HttpStatusCode.PreconditionFailed);
    }

    /// <summary>Each is applied to the version that the one before has made: none is lost though none names a version.</summary>
    [Fact]
    public async Task Many_patches_of_one_resource_are_all_in_it()
    {
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var replies = await Task.WhenAll(Enumerable.Range(0, 30).Select(i => _clinic.PatchAsync("Observation/" + id, Some.Patch("add", "/note/-", new JsonObject { ["text"] = "n" + i }))));
        Assert.All(replies, r => r.Is(HttpStatusCode.OK));
        var notes = (await _clinic.GetAsync("Observation/" + id)).Json["note"]!.AsArray().Select(n => (string)n!["text"]!);
        Assert.Equal(Enumerable.Range(0, 30).Select(i => "n" + i).Append("Muistiinpano").Order(), notes.Order());
    }

    [Theory]
    [InlineData("replace", "/subject/reference", "\"Patient/00000000-0000-4000-8000-000000000000\"", "Observation.subject")]
    [InlineData("add", "/encounter", "{\"reference\":\"Encounter/00000000-0000-4000-8000-000000000000\"}", "Observation.encounter")]
    [InlineData("add", "/performer", "[{\"reference\":\"Organization?identifier=none\"}]", "Observation.performer[0]")]
    [InlineData("add", "/performer", "[{\"reference\":\"urn:uuid:00000000-0000-4000-8000-000000000000\"}]", "Observation.performer[0]")]
    [InlineData("remove", "/subject", null, "Observation.subject")]
    [InlineData("remove", "/status", null, "Observation.status")]
    public async Task What_would_not_be_accepted_whole_is_not_accepted_by_a_patch(string op, string path, string? value, string expression)
    {
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var reply = await _clinic.PatchAsync("Observation/" + id, Some.Patch(op, path, value is null ? null : JsonNode.Parse(value)));
        Assert.Equal(expression, reply.Is(HttpStatusCode.UnprocessableEntity).Expression);
        Assert.Equal(1, (int)(await _clinic.GetAsync($"Observation/{id}/_history")).Json["total"]!);
    }

    [Fact]
    public async Task A_patch_moves_nothing_out_of_its_service_event_and_no_person_into_another()
    {
        var encounter = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Event));
        (await _clinic.PatchAsync("Encounter/" + encounter, Some.Patch("remove", "/identifier"))).Is(HttpStatusCode.UnprocessableEntity);
        var observation = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, encounterId: encounter));
        (await _clinic.PatchAsync("Observation/" + observation, Some.Patch("remove", "/encounter"))).Is(HttpStatusCode.UnprocessableEntity);
        (await _clinic.PatchAsync("Patient/" + _clinic.PatientId, Some.Patch("replace", "/identifier/0/value", "010190-901R"))).Is(HttpStatusCode.UnprocessableEntity);
        (await _clinic.PatchAsync("Patient/" + _clinic.PatientId, Some.Patch("remove", "/identifier"))).Is(HttpStatusCode.UnprocessableEntity);
        (await _clinic.PatchAsync("Patient/" + _clinic.PatientId, Some.Patch("replace", "/name/0/family", "Uusi"))).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Nobody_patches_what_others_keep_nor_what_is_gone()
    {
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var other = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed);
        (await other.PatchAsync("Observation/" + id, Some.Patch("replace", "/status", "amended"))).Is(HttpStatusCode.Forbidden);
        await _clinic.DeleteAsync("Observation/" + id);
        (await _clinic.PatchAsync("Observation/" + id, Some.Patch("replace", "/status", "amended"))).Is(HttpStatusCode.Gone);
    }

    [Fact]
    public async Task In_a_transaction_both_forms_are_carried_out_and_links_in_them_rewritten()
    {
        const string Urn = "urn:uuid:00000000-0000-4000-8000-00000000000a";
        var first = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var second = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var binary = new JsonObject
        {
            ["resourceType"] = "Binary",
            ["contentType"] = "application/json-patch+json",
            ["data"] = Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(Some.Patch("add", "/encounter", Some.To(Urn)).ToJsonString())),
        };
        var reply = (await _clinic.TransactAsync(Some.Transaction(
            ("PATCH", "Observation/" + first, binary, null),
            ("PATCH", "Observation?_id=" + second, Some.PathPatch("Observation.status", "valueCode", "amended"), null),
            ("POST", "Encounter", Some.Encounter(_clinic.PatientId), Urn)), ("Prefer", "return=representation"))).Is(HttpStatusCode.OK);
        var entries = reply.Json["entry"]!.AsArray();
        Assert.Equal(["200 OK", "200 OK", "201 Created"], entries.Select(e => (string)e!["response"]!["status"]!));
        Assert.Equal("Encounter/" + (string)entries[2]!["resource"]!["id"]!, (string)entries[0]!["resource"]!["encounter"]!["reference"]!);
        Assert.Equal("amended", (string)entries[1]!["resource"]!["status"]!);
    }

    [Fact]
    public async Task A_patch_that_fails_fails_its_transaction_at_its_entry()
    {
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var reply = await _clinic.TransactAsync(Some.Transaction(
            ("POST", "Encounter", Some.Encounter(_clinic.PatientId), null),
            ("PATCH", "Observation/" + id, Some.PathPatch("Observation.bodySite", "valueCodeableConcept", new JsonObject { ["text"] = "x" }), null)));
        Assert.Equal("Bundle.entry[1].resource.parameter[0]", reply.Is(HttpStatusCode.UnprocessableEntity).Expression);
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    [Theory]
    [InlineData("return=minimal", 0, null)]
    [InlineData("return=representation", 1, "Observation")]
    [InlineData("respond-async, Return=\"OperationOutcome\"; x=y", 1, "OperationOutcome")]
    [InlineData("return=nonsense", 1, "Observation")]
    public async Task Every_change_answers_as_it_is_preferred(string prefer, int bodies, string? type)
    {
        var header = ("Prefer", prefer);
        var created = (await _clinic.CreateAsync(Some.Observation(_clinic.PatientId), header)).Is(HttpStatusCode.Created);
        var location = created.Headers["Location"][(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0];
        var resource = (await _clinic.GetAsync(location)).Json;
        var updated = await _world.SendAsync(_clinic.Grant, null, "PUT", "/fhir/" + location, resource.ToJsonString(), null, header, ("If-Match", created.ETag));
        var patched = await _clinic.PatchAsync(location, Some.Patch("replace", "/status", "amended"), header);
        var found = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId), header, ("If-None-Exist", "status=amended"));
        foreach (var reply in new[] { created, updated.Is(HttpStatusCode.OK), patched.Is(HttpStatusCode.OK), found.Is(HttpStatusCode.OK) })
        {
            Assert.Equal(bodies, reply.Body.Length > 0 ? 1 : 0);
            if (type is not null)
                Assert.Equal(type, (string)reply.Json["resourceType"]!);
            Assert.Single(reply.Manifest!.Items);
        }
        var deleted = await _clinic.DeleteAsync(location, header);
        Assert.Equal(type == "OperationOutcome" ? HttpStatusCode.OK : HttpStatusCode.NoContent, deleted.Status);

        var bundle = (await _clinic.TransactAsync(Some.Transaction(("POST", "Observation", Some.Observation(_clinic.PatientId), null)), header)).Json["entry"]![0]!;
        Assert.Equal(prefer == "return=representation", bundle["resource"] is not null);
        Assert.Equal(type == "OperationOutcome", bundle["response"]!["outcome"] is not null);
    }

    [Fact]
    public async Task A_transaction_reads_what_is_not_known_already()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var target = "Observation/" + (string)created.Json["id"]!;
        var bundle = Some.Transaction(("GET", target, null, null), ("GET", target, null, null), ("GET", target, null, null), ("HEAD", target, null, null));
        bundle["entry"]![0]!["request"]!["ifNoneMatch"] = created.ETag;
        bundle["entry"]![1]!["request"]!["ifNoneMatch"] = "W/\"other\"";
        bundle["entry"]![2]!["request"]!["ifModifiedSince"] = "2100-01-01T00:00:00Z";
        var reply = (await _clinic.TransactAsync(bundle)).Is(HttpStatusCode.OK);
        var entries = reply.Json["entry"]!.AsArray();
        Assert.Equal(["304 Not Modified", "200 OK", "304 Not Modified", "200 OK"], entries.Select(e => (string)e!["response"]!["status"]!));
        Assert.Equal([false, true, false, false], entries.Select(e => e!["resource"] is not null));
        // A 304 and a HEAD tell that the version is there and the newest: that is an access too.
        Assert.Equal(4, reply.Manifest!.Items.Count);
    }
}
