using System.Net;
using System.Text.Json.Nodes;

namespace KantaGateway.Tests.Repository;

public abstract class ChangeTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!, _other = null!;

    /// <summary>Connection string of an empty PostgreSQL database; null: SQLite.</summary>
    private protected abstract Task<Storage.PostgresDatabase?> DatabaseAsync();

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(await DatabaseAsync());
        var person = await _world.NewPersonAsync();
        _clinic = _world.As(person, RepositoryWorld.Aurora);
        // Another clinic with a disclosure permission: it sees, and may still not touch.
        _other = _world.As(person, RepositoryWorld.Revontuli, KantaGateway.Fhir.Grants.Breadth.Disclosed);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task An_update_needs_the_version_that_was_read()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var resource = created.Json;
        resource["status"] = "amended";
        (await _clinic.UpdateAsync(resource, null)).Is(HttpStatusCode.PreconditionRequired);
        var updated = (await _clinic.UpdateAsync(resource, created.ETag)).Is(HttpStatusCode.OK);
        Assert.NotEqual(created.ETag, updated.ETag);
        (await _clinic.UpdateAsync(resource, created.ETag)).Is(HttpStatusCode.PreconditionFailed);
        var read = await _clinic.GetAsync("Observation/" + (string)resource["id"]!);
        Assert.Equal(updated.Body, read.Body);
        Assert.Equal("amended", (string)read.Json["status"]!);
    }

    [Fact]
    public async Task History_lists_every_version_newest_first_and_each_reads_back()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var resource = created.Json;
        var target = "Observation/" + (string)resource["id"]!;
        resource["status"] = "amended";
        var updated = await _clinic.UpdateAsync(resource, created.ETag);
        var deleted = (await _clinic.DeleteAsync(target)).Is(HttpStatusCode.NoContent);
        Assert.Equal("Observation", Assert.Single(deleted.Manifest!.Items).Type);

        (await _clinic.GetAsync(target)).Is(HttpStatusCode.Gone);
        (await _clinic.DeleteAsync(target)).Is(HttpStatusCode.NoContent);
        (await _clinic.UpdateAsync(resource, updated.ETag)).Is(HttpStatusCode.Gone);
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
        var history = (await _clinic.GetAsync(target + "/_history")).Is(HttpStatusCode.OK).Json;
        Assert.Equal(["DELETE", "PUT", "POST"], history["entry"]!.AsArray().Select(e => (string)e!["request"]!["method"]!));
        Assert.Null(history["entry"]![0]!["resource"]);
        var version = (string)created.Json["meta"]!["versionId"]!;
        Assert.Equal(created.Body, (await _clinic.GetAsync($"{target}/_history/{version}")).Is(HttpStatusCode.OK).Body);

        var first = (await _clinic.GetAsync(target + "/_history?_count=2"));
        Assert.Equal((3, 2), ((int)first.Json["total"]!, first.Json["entry"]!.AsArray().Count));
        Assert.Equal(version, (string)(await _clinic.GetAsync(first.Link("next")!)).Json["entry"]!.AsArray().Single()!["resource"]!["meta"]!["versionId"]!);
    }

    [Fact]
    public async Task A_deletion_holds_to_the_version_that_it_names()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var target = "Observation/" + (string)created.Json["id"]!;
        var resource = created.Json;
        resource["status"] = "amended";
        var updated = (await _clinic.UpdateAsync(resource, created.ETag)).Is(HttpStatusCode.OK);
        (await _clinic.DeleteAsync(target, ("If-Match", created.ETag))).Is(HttpStatusCode.PreconditionFailed);
        Assert.Equal(updated.Body, (await _clinic.GetAsync(target)).Is(HttpStatusCode.OK).Body);
        (await _clinic.DeleteAsync(target, ("If-Match", updated.ETag))).Is(HttpStatusCode.NoContent);
        (await _clinic.GetAsync(target)).Is(HttpStatusCode.Gone);
    }

    [Fact]
    public async Task Only_the_controller_changes_its_entries()
    {
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        var target = "Observation/" + (string)created.Json["id"]!;
        (await _other.GetAsync(target)).Is(HttpStatusCode.OK);
        (await _other.UpdateAsync(created.Json, created.ETag)).Is(HttpStatusCode.Forbidden);
        (await _other.DeleteAsync(target)).Is(HttpStatusCode.Forbidden);
        (await _clinic.GetAsync(target)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Each_controller_keeps_its_own_record_under_the_one_patient_id()
    {
        var registered = (await _other.CreateAsync(Some.Patient(family: "Koivu-Mänty"))).Is(HttpStatusCode.Created);
        Assert.Equal(_clinic.PatientId, (string)registered.Json["id"]!);
        Assert.Equal("Koivu-Mänty", (string)(await _other.GetAsync("Patient/" + _clinic.PatientId)).Json["name"]![0]!["family"]!);
        Assert.Equal("Koivu", (string)(await _clinic.GetAsync("Patient/" + _clinic.PatientId)).Json["name"]![0]!["family"]!);
        Assert.Single((await _clinic.SearchAsync("Patient")).Ids);

        // Registering again is a new version of the own record.
        (await _clinic.CreateAsync(Some.Patient(family: "Koivula"))).Is(HttpStatusCode.Created);
        Assert.Equal("Koivula", (string)(await _clinic.GetAsync("Patient/" + _clinic.PatientId)).Json["name"]![0]!["family"]!);
        Assert.Equal("Koivu-Mänty", (string)(await _other.GetAsync("Patient/" + _clinic.PatientId)).Json["name"]![0]!["family"]!);
        Assert.Equal(2, (int)(await _clinic.GetAsync($"Patient/{_clinic.PatientId}/_history")).Json["total"]!);
        // Who has none of its own sees the newest that it may.
        var third = _world.As(_clinic.Grant.Compartment, "1.2.246.10.33333333", KantaGateway.Fhir.Grants.Breadth.Disclosed);
        Assert.Equal("Koivula", (string)(await third.GetAsync("Patient/" + _clinic.PatientId)).Json["name"]![0]!["family"]!);
        (await third.UpdateAsync((await third.GetAsync("Patient/" + _clinic.PatientId)).Json, "W/\"x\"")).Is(HttpStatusCode.Forbidden);
    }

    [Fact]
    public async Task A_patient_has_exactly_one_identity_code_and_keeps_it()
    {
        var without = Some.Patient();
        without.Remove("identifier");
        Assert.Equal("Patient.identifier", (await _clinic.CreateAsync(without)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        var read = await _clinic.GetAsync("Patient/" + _clinic.PatientId);
        var changed = read.Json;
        changed["identifier"]![0]!["value"] = "010190-901R";
        Assert.Equal("Patient.identifier", (await _clinic.UpdateAsync(changed, read.ETag)).Is(HttpStatusCode.UnprocessableEntity).Expression);
    }

    [Theory]
    [InlineData("Observation.encounter", "Encounter/00000000-0000-4000-8000-000000000000")]
    [InlineData("Observation.encounter", "Encounter/abc")]
    [InlineData("Observation.subject", "Patient/00000000-0000-4000-8000-000000000000")]
    [InlineData("Observation.performer[0]", "Practitioner/00000000-0000-4000-8000-000000000000")]
    [InlineData("Observation.encounter", "urn:uuid:00000000-0000-4000-8000-000000000000")]
    [InlineData("Observation.encounter", "neither/this/nor/that")]
    public async Task A_reference_that_leads_nowhere_is_refused_with_its_place(string expression, string literal)
    {
        var observation = Some.Observation(_clinic.PatientId);
        var element = expression.Split('.')[1];
        if (element == "performer[0]")
            observation["performer"] = new JsonArray(Some.To(literal));
        else
            observation[element] = Some.To(literal);
        Assert.Equal(expression, (await _clinic.WithDirectory().CreateAsync(observation)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
    }

    [Fact]
    public async Task A_reference_to_another_persons_record_is_refused_as_one_that_leads_nowhere()
    {
        var stranger = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await stranger.StoreAsync(Some.Patient());
        var encounter = await stranger.StoreAsync(Some.Encounter(stranger.PatientId));
        var known = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId, encounterId: encounter));
        var unknown = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId, encounterId: Guid.NewGuid().ToString()));
        Assert.Equal(unknown.Is(HttpStatusCode.UnprocessableEntity).Body, known.Body);
        Assert.Equal("Observation.subject", (await _clinic.CreateAsync(Some.Observation(stranger.PatientId))).Is(HttpStatusCode.UnprocessableEntity).Expression);
    }

    [Fact]
    public async Task A_resource_that_names_no_patient_is_refused()
    {
        var observation = Some.Observation(_clinic.PatientId);
        observation.Remove("subject");
        Assert.Equal("Observation.subject", (await _clinic.CreateAsync(observation)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        var medication = new JsonObject { ["resourceType"] = "Medication", ["status"] = "active" };
        Assert.Equal("Medication", (await _clinic.CreateAsync(medication)).Is(HttpStatusCode.UnprocessableEntity).Expression);
    }

    [Fact]
    public async Task References_to_the_own_base_become_relative_and_foreign_ones_stay()
    {
        var observation = Some.Observation(_clinic.PatientId);
        observation["subject"] = Some.To($"{RepositoryWorld.Base}/Patient/{_clinic.PatientId}");
        observation["performer"] = new JsonArray(Some.To("https://elsewhere.example/fhir/Practitioner/1"));
        var stored = (await _clinic.CreateAsync(observation)).Is(HttpStatusCode.Created).Json;
        Assert.Equal("Patient/" + _clinic.PatientId, (string)stored["subject"]!["reference"]!);
        Assert.Equal("https://elsewhere.example/fhir/Practitioner/1", (string)stored["performer"]![0]!["reference"]!);
    }

    [Fact]
    public async Task If_None_Exist_creates_once()
    {
        var encounter = Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.7");
        var criteria = ("If-None-Exist", "identifier=urn:ietf:rfc:3986|urn:oid:1.2.246.10.11111111.14.7");
        var first = (await _clinic.CreateAsync(encounter, criteria)).Is(HttpStatusCode.Created);
        var second = (await _clinic.CreateAsync(encounter, criteria)).Is(HttpStatusCode.OK);
        Assert.Equal(first.Body, second.Body);
        Assert.Equal(first.Headers["Location"], second.Headers["Location"]);
        // Another controller cannot learn of it that way.
        (await _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli).CreateAsync(encounter, criteria)).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Minimal_answers_have_no_body()
    {
        var reply = (await _clinic.CreateAsync(Some.Observation(_clinic.PatientId), ("Prefer", "return=minimal"))).Is(HttpStatusCode.Created);
        Assert.Empty(reply.Body);
        Assert.Single(reply.Manifest!.Items);
        Assert.True(reply.Headers.ContainsKey("Location"));
    }

    [Fact]
    public async Task The_service_event_of_a_stored_encounter_cannot_be_changed()
    {
        var created = await _clinic.CreateAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.1"));
        var encounter = created.Json;
        encounter["identifier"]![0]!["value"] = "urn:oid:1.2.246.10.11111111.14.2";
        Assert.Equal("Encounter.identifier", (await _clinic.UpdateAsync(encounter, created.ETag)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        encounter["identifier"]![0]!["value"] = "urn:oid:1.2.246.10.11111111.14.1";
        encounter["status"] = "finished";
        (await _clinic.UpdateAsync(encounter, created.ETag)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_encounter_with_two_possible_service_events_is_refused()
    {
        var encounter = Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.1");
        var second = encounter["identifier"]![0]!.DeepClone();
        second["value"] = "urn:oid:1.2.246.10.11111111.14.2";
        encounter["identifier"]!.AsArray().Add(second);
        Assert.Equal("Encounter.identifier", (await _clinic.CreateAsync(encounter)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        second["use"] = "secondary";
        (await _clinic.CreateAsync(encounter)).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Nobody_but_the_person_writes_their_will()
    {
        var person = _world.AsPerson(_clinic.Grant.Compartment);
        foreach (var caller in new[] { _clinic, _other, _clinic with { Grant = _clinic.Grant with { Scope = _clinic.Grant.Scope with { Types = ["Consent"] } } } })
        {
            (await caller.CreateAsync(Some.Consent(_clinic.PatientId))).Is(HttpStatusCode.Forbidden);
            (await caller.TransactAsync(Some.Transaction(("POST", "Consent", Some.Consent(_clinic.PatientId), null)))).Is(HttpStatusCode.MethodNotAllowed);
        }
        Assert.Equal(0, (int)(await person.SearchAsync("Consent")).Json["total"]!);
        (await person.CreateAsync(Some.Consent(_clinic.PatientId))).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Writes_under_an_overtaken_policy_are_refused()
    {
        await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId));
        var version = (long)(await _clinic.PolicyAsync()).Json["version"]!;
        (await _clinic.WithPolicy(version - 1).CreateAsync(Some.Observation(_clinic.PatientId))).Is(HttpStatusCode.PreconditionFailed);
        Assert.Equal(0, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
        (await _clinic.WithPolicy(version).CreateAsync(Some.Observation(_clinic.PatientId))).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Many_writers_of_one_patient_lose_nothing()
    {
        var ids = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => _clinic.StoreAsync(Some.Observation(_clinic.PatientId))));
        Assert.Equal(100, ids.Distinct().Count());
        var found = await _clinic.SearchAsync("Observation", "_count=200");
        Assert.Equal(ids.Order(), found.Ids.Order());
    }
}

public sealed class ChangeOnSqliteTests : ChangeTests
{
    private protected override Task<Storage.PostgresDatabase?> DatabaseAsync() => Task.FromResult<Storage.PostgresDatabase?>(null);
}

public sealed class ChangeOnPostgresTests : ChangeTests
{
    private protected override async Task<Storage.PostgresDatabase?> DatabaseAsync() => await Storage.PostgresServer.NewDatabaseAsync();
}
