using System.Net;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Repository;

public abstract class TransactionTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    /// <summary>Connection string of an empty PostgreSQL database; null: SQLite.</summary>
    private protected abstract Task<Storage.PostgresDatabase?> DatabaseAsync();

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(await DatabaseAsync());
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora).WithDirectory();
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Links_between_entries_lead_to_the_ids_that_are_given()
    {
        var observation = Some.Observation("", encounterId: "");
        observation["subject"] = Some.To("urn:uuid:00000000-0000-4000-8000-00000000000a");
        observation["encounter"] = Some.To("urn:uuid:00000000-0000-4000-8000-00000000000b");
        observation["performer"] = new JsonArray(Some.To("urn:uuid:00000000-0000-4000-8000-00000000000c"));
        var encounter = Some.Encounter("", "1.2.246.10.11111111.14.1");
        encounter["subject"] = Some.To("urn:uuid:00000000-0000-4000-8000-00000000000a");
        var reply = (await _clinic.TransactAsync(Some.Transaction(
            ("POST", "Observation", observation, "urn:uuid:00000000-0000-4000-8000-00000000000d"),
            ("POST", "Encounter", encounter, "urn:uuid:00000000-0000-4000-8000-00000000000b"),
            ("POST", "Patient", Some.Patient(), "urn:uuid:00000000-0000-4000-8000-00000000000a"),
            ("POST", "Organization", Some.Organization(), "urn:uuid:00000000-0000-4000-8000-00000000000c"),
            ("GET", "Observation?code=8867-4", null, null)))).Is(HttpStatusCode.OK);

        var entries = reply.Json["entry"]!.AsArray();
        Assert.Equal(["201 Created", "201 Created", "201 Created", "201 Created", "200 OK"], entries.Select(e => (string)e!["response"]!["status"]!));
        string[] targets = [.. entries.Take(4).Select(e => ((string)e!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0])];
        Assert.Equal(["Observation", "Encounter", "Patient", "Organization"], targets.Select(t => t.Split('/')[0]));
        var stored = (await _clinic.GetAsync(targets[0])).Is(HttpStatusCode.OK).Json;
        Assert.Equal([targets[2], targets[1], targets[3]],
            [(string)stored["subject"]!["reference"]!, (string)stored["encounter"]!["reference"]!, (string)stored["performer"]![0]!["reference"]!]);
        // The transaction's own read sees what it wrote.
        Assert.Equal(1, (int)entries[4]!["resource"]!["total"]!);
        Assert.Equal(5, reply.Manifest!.Items.Count);
        (await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Revontuli), null, "GET", "/fhir/" + targets[3])).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_bundle_that_fails_at_its_last_entry_stores_nothing()
    {
        await _clinic.StoreAsync(Some.Patient());
        var version = (long)(await _clinic.PolicyAsync()).Json["version"]!;
        var broken = Some.Observation(_clinic.PatientId, encounterId: Guid.NewGuid().ToString());
        var reply = await _clinic.TransactAsync(Some.Transaction(
            ("POST", "Encounter", Some.Encounter(_clinic.PatientId), null),
            ("POST", "Organization", Some.Organization(), null),
            ("POST", "Observation", Some.Observation(_clinic.PatientId), null),
            ("POST", "Observation", broken, null)));
        Assert.Equal("Bundle.entry[3].resource.encounter", reply.Is(HttpStatusCode.UnprocessableEntity).Expression);
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Encounter")).Json["total"]!);
        Assert.Equal(version, (long)(await _clinic.PolicyAsync()).Json["version"]!);
        var directory = await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Aurora), null, "GET", "/fhir/Organization");
        Assert.Equal(0, (int)directory.Json["total"]!);
    }

    [Fact]
    public async Task Changes_and_deletions_go_together_in_one_commit()
    {
        await _clinic.StoreAsync(Some.Patient());
        var changed = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var deleted = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var amended = changed.Json.AsObject();
        amended["status"] = "amended";
        var bundle = Some.Transaction(
            ("PUT", "Observation/" + (string)amended["id"]!, amended, null),
            ("DELETE", "Observation/" + deleted, null, null),
            ("GET", "Observation/" + deleted, null, null));
        bundle["entry"]![0]!["request"]!["ifMatch"] = changed.ETag;
        var entries = (await _clinic.TransactAsync(bundle)).Is(HttpStatusCode.OK).Json["entry"]!.AsArray();
        Assert.Equal(["200 OK", "204 No Content", "410"], entries.Select(e => (string)e!["response"]!["status"]!));
        Assert.Equal("amended", (string)(await _clinic.GetAsync("Observation/" + (string)amended["id"]!)).Json["status"]!);
        // The same again fails at its If-Match, and changes nothing.
        var again = await _clinic.TransactAsync(bundle);
        Assert.Equal("Bundle.entry[0].request.ifMatch", again.Is(HttpStatusCode.PreconditionFailed).Expression);
    }

    [Fact]
    public async Task A_companion_takes_the_service_event_of_what_refers_to_it()
    {
        await _clinic.StoreAsync(Some.Patient());
        var encounter = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.5"));
        var request = new JsonObject
        {
            ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order",
            ["medicationReference"] = Some.To("urn:uuid:00000000-0000-4000-8000-00000000000a"),
            ["subject"] = Some.To("Patient/" + _clinic.PatientId), ["encounter"] = Some.To("Encounter/" + encounter),
        };
        var medication = new JsonObject { ["resourceType"] = "Medication", ["status"] = "active" };
        (await _clinic.TransactAsync(Some.Transaction(
            ("POST", "Medication", medication, "urn:uuid:00000000-0000-4000-8000-00000000000a"),
            ("POST", "MedicationRequest", request, null)))).Is(HttpStatusCode.OK);
        var reader = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed);
        Assert.Single((await reader.SearchAsync("Medication")).Ids);
        var denied = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed, "1.2.246.10.11111111.14.5");
        Assert.Empty((await denied.SearchAsync("Medication")).Ids);
        Assert.Empty((await denied.SearchAsync("MedicationRequest")).Ids);
    }

    [Fact]
    public async Task What_accompanies_a_resource_is_denied_with_it()
    {
        await _clinic.StoreAsync(Some.Patient());
        var encounter = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.6"));
        var observation = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, encounterId: encounter));
        var provenance = new JsonObject
        {
            ["resourceType"] = "Provenance",
            ["target"] = new JsonArray(Some.To("Patient/" + _clinic.PatientId), Some.To("Observation/" + observation)),
            ["recorded"] = "2026-01-05T08:10:00+02:00",
            ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["display"] = "Klinikka Aurora" } }),
        };
        var id = await _clinic.StoreAsync(provenance);
        var note = new JsonObject { ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Observation/" + observation), ["data"] = "VGVzdGk=" };
        var binary = await _clinic.StoreAsync(note);
        var reader = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed);
        var denied = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed, "1.2.246.10.11111111.14.6");
        foreach (var target in new[] { "Provenance/" + id, "Binary/" + binary })
        {
            (await reader.GetAsync(target)).Is(HttpStatusCode.OK);
            (await denied.GetAsync(target)).Is(HttpStatusCode.NotFound);
        }
    }

    [Fact]
    public async Task A_conditional_reference_finds_its_directory_entry()
    {
        await _clinic.StoreAsync(Some.Patient());
        var organization = await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Aurora), null, "POST", "/fhir/Organization", Some.Organization().ToJsonString());
        var observation = Some.Observation(_clinic.PatientId);
        observation["performer"] = new JsonArray(Some.To("Organization?identifier=urn:oid:1.2.246.10.11111111"));
        var reply = (await _clinic.TransactAsync(Some.Transaction(("POST", "Observation", observation, null)))).Is(HttpStatusCode.OK);
        var location = ((string)reply.Json["entry"]![0]!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0];
        Assert.Equal("Organization/" + (string)organization.Json["id"]!, (string)(await _clinic.GetAsync(location)).Json["performer"]![0]!["reference"]!);
        observation["performer"] = new JsonArray(Some.To("Organization?identifier=unknown"));
        Assert.Equal("Bundle.entry[0].resource.performer[0]",
            (await _clinic.TransactAsync(Some.Transaction(("POST", "Observation", observation.DeepClone().AsObject(), null)))).Is(HttpStatusCode.UnprocessableEntity).Expression);
    }

    [Fact]
    public async Task The_manifest_tells_what_was_written_from_what_was_only_shown()
    {
        await _clinic.StoreAsync(Some.Patient());
        var there = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.5"));
        var criteria = "identifier=urn:ietf:rfc:3986|urn:oid:1.2.246.10.11111111.14.5";
        var bundle = Some.Transaction(
            ("POST", "Observation", Some.Observation(_clinic.PatientId), null),
            ("POST", "Encounter", Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.5"), null),
            ("GET", "Encounter/" + there, null, null));
        bundle["entry"]![1]!["request"]!["ifNoneExist"] = criteria;
        Assert.Equal([("Observation", true), ("Encounter", false), ("Encounter", false)],
            (await _clinic.TransactAsync(bundle)).Is(HttpStatusCode.OK).Manifest!.Items.Select(i => (i.Type, i.Written)));

        var found = await _clinic.CreateAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.5"), ("If-None-Exist", criteria));
        Assert.False(Assert.Single(found.Is(HttpStatusCode.OK).Manifest!.Items).Written);
        Assert.False(Assert.Single((await _clinic.GetAsync("Encounter/" + there)).Manifest!.Items).Written);
        Assert.True(Assert.Single((await _clinic.DeleteAsync("Encounter/" + there)).Is(HttpStatusCode.NoContent).Manifest!.Items).Written);
        // Deleted already: nothing is written the second time.
        Assert.False(Assert.Single((await _clinic.DeleteAsync("Encounter/" + there)).Is(HttpStatusCode.NoContent).Manifest!.Items).Written);
    }

    [Fact]
    public async Task A_batch_is_refused() =>
        (await _clinic.TransactAsync(new JsonObject { ["resourceType"] = "Bundle", ["type"] = "batch" })).Is(HttpStatusCode.BadRequest);

    [Fact]
    public async Task Directory_entries_belong_to_the_organisation_that_wrote_them()
    {
        var created = await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Aurora), null, "POST", "/fhir/Organization", Some.Organization().ToJsonString());
        var target = "/fhir/Organization/" + (string)created.Is(HttpStatusCode.Created).Json["id"]!;
        (await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Revontuli), null, "PUT", target, created.Text, null, ("If-Match", created.ETag))).Is(HttpStatusCode.Forbidden);
        (await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Aurora), null, "PUT", target, created.Text, null, ("If-Match", created.ETag))).Is(HttpStatusCode.OK);
        // Nor through a patient's transaction whose directory grant only reads.
        var reader = _clinic with { Directory = _world.DirectoryGrant(RepositoryWorld.Aurora, KantaGateway.Fhir.Grants.GrantUse.Read) };
        (await reader.TransactAsync(Some.Transaction(("POST", "Organization", Some.Organization(), null)))).Is(HttpStatusCode.Forbidden);
    }
}

public sealed class TransactionOnSqliteTests : TransactionTests
{
    private protected override Task<Storage.PostgresDatabase?> DatabaseAsync() => Task.FromResult<Storage.PostgresDatabase?>(null);
}

public sealed class TransactionOnPostgresTests : TransactionTests
{
    private protected override async Task<Storage.PostgresDatabase?> DatabaseAsync() => await Storage.PostgresServer.NewDatabaseAsync();
}
