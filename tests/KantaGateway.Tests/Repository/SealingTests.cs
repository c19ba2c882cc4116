using System.Buffers.Binary;
using System.Net;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Tests.Repository;

/// <summary>What is stored is ciphertext, opens with the key service alone and lasts.</summary>
public sealed class SealingTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!, _neighbour = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        _neighbour = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

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
    public async Task The_manifest_of_a_write_says_where_it_has_left_record_and_directory()
    {
        var person = _clinic.Grant.Compartment;
        var created = await _clinic.CreateAsync(Some.Patient());
        Assert.Equal([new WrittenHead(false, await HeadAsync(person, 1))], created.Is(HttpStatusCode.Created).Manifest!.Heads);
        var both = await _clinic.WithDirectory().TransactAsync(Some.Transaction(("POST", "Observation", Some.Observation(_clinic.PatientId), null), ("POST", "Organization", Some.Organization(), null),
            ("POST", "Observation", Some.Observation(_clinic.PatientId), null)));
        Assert.Equal([new WrittenHead(false, await HeadAsync(person, 3)), new WrittenHead(true, await HeadAsync(Pseudonym.Directory, 1))], both.Is(HttpStatusCode.OK).Manifest!.Heads);
        Assert.Empty((await _clinic.SearchAsync("Observation")).Is(HttpStatusCode.OK).Manifest!.Heads);

        async Task<CompartmentHead> HeadAsync(Pseudonym of, long sequence)
        {
            var administrator = HostileAdministrator.Of(_world.DatabaseFile, null);
            return CompartmentHead.Of(of, sequence, BinaryPrimitives.ReadUInt128BigEndian((await administrator.ReadAsync("entry", of, sequence)).AsSpan()[^16..]));
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
        command.ExecuteNonQuery();
    }
}
