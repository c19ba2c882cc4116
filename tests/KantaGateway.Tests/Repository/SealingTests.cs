using System.Net;
using System.Text;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Tests.Repository;

/// <summary>What the database can be made to say, and what it cannot.</summary>
public sealed class SealingTests : IAsyncLifetime
{
    // Ids of a patient's rows: their sequences above this.
    private const string A = "((SELECT number FROM compartment WHERE compartment = $a) << 31)", B = "((SELECT number FROM compartment WHERE compartment = $b) << 31)";

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!, _neighbour = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
        _neighbour = _world.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Theory]
    [InlineData("bodies of two resources swapped", $"UPDATE body SET sealed = o.sealed FROM (SELECT id, sealed FROM body) o WHERE body.id IN ({A} + 2, {A} + 4) AND o.id = 2 * {A} + 6 - body.id")]
    [InlineData("an older version put back", $"UPDATE body SET sealed = (SELECT b.sealed FROM body b WHERE b.id = {A} + 3) WHERE id = {A} + 4")]
    [InlineData("older version and index put back", $"""
        UPDATE body SET sealed = (SELECT b.sealed FROM body b WHERE b.id = {A} + 3) WHERE id = {A} + 4;
        UPDATE entry SET sealed = (SELECT e.sealed FROM entry e WHERE e.id = {A} + 3) WHERE id = {A} + 4
        """)]
    [InlineData("another patient's row", $"""
        UPDATE body SET sealed = (SELECT b.sealed FROM body b WHERE b.id = {B} + 4) WHERE id = {A} + 4;
        UPDATE entry SET sealed = (SELECT e.sealed FROM entry e WHERE e.id = {B} + 4) WHERE id = {A} + 4
        """)]
    [InlineData("another patient's rows and key", $"""
        UPDATE compartment SET wrapped = (SELECT c.wrapped FROM compartment c WHERE c.compartment = $b) WHERE compartment = $a;
        UPDATE body SET sealed = (SELECT b.sealed FROM body b WHERE b.id = body.id - {A} + {B}) WHERE id > {A} AND id < {A} + 100;
        UPDATE entry SET sealed = (SELECT e.sealed FROM entry e WHERE e.id = entry.id - {A} + {B}) WHERE id > {A} AND id < {A} + 100
        """)]
    [InlineData("a bit flipped", $"UPDATE body SET sealed = substr(sealed, 1, length(sealed) - 1) || x'00' WHERE id = {A} + 4")]
    [InlineData("a body emptied", $"UPDATE body SET sealed = x'' WHERE id = {A} + 4")]
    [InlineData("an entry removed", $"DELETE FROM entry WHERE id = {A} + 2")]
    [InlineData("the last entry removed", $"DELETE FROM entry WHERE id = {A} + 4")]
    [InlineData("a body removed", $"DELETE FROM body WHERE id = {A} + 4")]
    public async Task A_row_that_is_not_what_was_written_is_never_answered(string what, string sql)
    {
        string id = "", first = "";
        foreach (var caller in new[] { _clinic, _neighbour })
        {
            await caller.StoreAsync(Some.Patient());
            await caller.StoreAsync(Some.Observation(caller.PatientId, note: "Ensimmäinen"));
            var created = await caller.CreateAsync(Some.Observation(caller.PatientId, note: "Toinen"));
            var resource = created.Json;
            resource["status"] = "amended";
            await caller.UpdateAsync(resource, created.ETag);
            if (caller == _clinic)
                (id, first) = ((string)resource["id"]!, created.Text);
        }
        (await _clinic.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK);
        await _world.StopRepositoryAsync();
        Execute(sql);
        await _world.StartRepositoryAsync();

        var reply = await _clinic.GetAsync("Observation/" + id);
        Assert.True((int)reply.Status >= 500, $"{what}: {(int)reply.Status}");
        foreach (var secret in new[] { "Toinen", "Ensimmäinen", "8867-4", id })
            Assert.DoesNotContain(secret, reply.Text);
        Assert.False(reply.Headers.ContainsKey("ETag") || reply.Headers.ContainsKey("X-Kanta-Manifest"));
        // The neighbour, whose rows are as written, is served as before.
        (await _neighbour.SearchAsync("Observation")).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_compartment_that_goes_backwards_while_open_is_an_alarm()
    {
        await _clinic.StoreAsync(Some.Patient());
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        Execute($"UPDATE compartment SET head = 1 WHERE compartment = $a; DELETE FROM entry WHERE id = {A} + 2; DELETE FROM body WHERE id = {A} + 2");
        Assert.Equal(HttpStatusCode.InternalServerError, (await _clinic.GetAsync("Observation/" + id)).Status);
    }

    [Fact]
    public async Task Nothing_personal_is_in_any_file_of_the_store()
    {
        await _clinic.StoreAsync(Some.Patient());
        var encounter = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.777"));
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, encounterId: encounter, note: "Salainen muistiinpano"));
        await _world.AsPerson(_clinic.Grant.Compartment).StoreAsync(Some.Consent(_clinic.PatientId));
        (await _clinic.SearchAsync("Observation", "code=8867-4")).Is(HttpStatusCode.OK);
        string[] secrets = [RepositoryWorld.Code, "Koivu", "Salainen", "muistiinpano", "8867-4", "14.777", RepositoryWorld.Aurora, "Observation", "Encounter", "Consent",
            "resourceType", id, encounter, _clinic.PatientId, _clinic.Grant.Compartment.Encode()];
        // Once with everything still in the WAL, once after a clean stop.
        AssertClear();
        await _world.StopRepositoryAsync();
        AssertClear();
        // The search finds what is there: the same with a planted name.
        Execute("CREATE TABLE planted (note TEXT); INSERT INTO planted VALUES ('Salainen')");
        Assert.Throws<Xunit.Sdk.FailException>(AssertClear);
        await _world.StartRepositoryAsync();

        void AssertClear()
        {
            foreach (var file in Directory.GetFiles(_world.Folder, "repository.db*"))
            {
                using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
                using var copy = new MemoryStream();
                stream.CopyTo(copy);
                var bytes = copy.GetBuffer().AsSpan(0, (int)copy.Length);
                foreach (var secret in secrets)
                    if (bytes.IndexOf(Encoding.UTF8.GetBytes(secret)) >= 0 || bytes.IndexOf(Encoding.Unicode.GetBytes(secret)) >= 0)
                        Assert.Fail($"{Path.GetFileName(file)} contains one of the secrets.");
            }
        }
    }

    [Fact]
    public async Task Without_the_key_service_nothing_is_opened_and_it_recovers_by_itself()
    {
        await _clinic.StoreAsync(Some.Patient());
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        await _world.StopKeysAsync();
        var read = (await _clinic.GetAsync("Patient/" + _clinic.PatientId)).Is(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("OperationOutcome", (string)read.Json["resourceType"]!);
        (await _neighbour.CreateAsync(Some.Patient())).Is(HttpStatusCode.ServiceUnavailable);
        await _world.StartKeysAsync();
        (await _clinic.GetAsync("Patient/" + _clinic.PatientId)).Is(HttpStatusCode.OK);
        (await _neighbour.GetAsync("Patient/" + _neighbour.PatientId)).Is(HttpStatusCode.NotFound);
        (await _neighbour.CreateAsync(Some.Patient())).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task What_was_acknowledged_is_there_after_a_restart()
    {
        await _clinic.StoreAsync(Some.Patient());
        var created = await _clinic.CreateAsync(Some.Observation(_clinic.PatientId));
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        Assert.Equal(created.Body, (await _clinic.GetAsync("Observation/" + (string)created.Json["id"]!)).Body);
    }

    private void Execute(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_world.DatabaseFile};Pooling=false");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Parameters.AddWithValue("$a", _clinic.Grant.Compartment.ToArray());
        command.Parameters.AddWithValue("$b", _neighbour.Grant.Compartment.ToArray());
        command.ExecuteNonQuery();
    }
}
