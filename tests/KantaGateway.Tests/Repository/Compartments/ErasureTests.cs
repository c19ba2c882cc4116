using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using KantaGateway.Dev;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Time.Testing;
using Npgsql;

namespace KantaGateway.Tests.Repository.Compartments;

/// <summary>A person's record that two have had destroyed opens nowhere any more: not here, not on another node, not out of a backup (Act 703/2023 §24).</summary>
public abstract class ErasureTests : IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private StubbornStore _store = null!;

    private protected RepositoryWorld World { get; private set; } = null!;

    private protected abstract Task<PostgresDatabase?> PostgresAsync();

    public async Task InitializeAsync() => World = await RepositoryWorld.StartAsync(await PostgresAsync(), builder => StoreInFront.Put(builder, real => _store = new(real)), _time);

    public async Task DisposeAsync() => await World.DisposeAsync();

    [Fact]
    public async Task It_is_as_if_it_had_never_been_and_is_not_begun_again()
    {
        var (person, id) = await WithRecordAsync();
        var (other, othersId) = await WithRecordAsync();
        await World.EraseAsync(person.Grant.Compartment);
        await IsAsNeverAsync(person, id);
        (await other.GetAsync("Observation/" + othersId)).Is(HttpStatusCode.OK);
        await other.StoreAsync(Some.Observation(other.PatientId));
    }

    [Fact]
    public async Task Another_node_that_has_it_open_shows_nothing_of_it_any_more()
    {
        var (person, id) = await WithRecordAsync();
        await World.StartRepositoryAsync();
        var elsewhere = person with { Node = 1 };
        foreach (var first in new Func<Task<Reply>>[] { () => elsewhere.GetAsync("Observation/" + id), () => elsewhere.SearchAsync("Observation"), () => elsewhere.GetAsync($"Observation/{id}/_history") })
            (await first()).Is(HttpStatusCode.OK);
        var open = await elsewhere.GetAsync("Observation?_count=1&status=final");
        await World.EraseAsync(person.Grant.Compartment);
        // What was under way is told to ask again; what begins then finds nothing.
        (await elsewhere.GetAsync(open.Link("next")!)).Is(HttpStatusCode.ServiceUnavailable);
        (await elsewhere.GetAsync("Observation/" + id)).Is(HttpStatusCode.NotFound);
        Assert.Equal(0, (int)(await elsewhere.SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
        (await elsewhere.CreateAsync(Some.Observation(person.PatientId))).Is(HttpStatusCode.Gone);
    }

    [Fact]
    public async Task A_node_that_the_store_tells_nothing_shows_it_to_nobody_when_it_asks_again_and_removes_it_by_itself()
    {
        // The first in the last quarter of its minute, when a grant is checked anew, the other when it has been closed.
        foreach (var seconds in new[] { 50, 61 })
        {
            var (person, id) = await WithRecordAsync();
            (await person.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK);
            await World.EraseAsync(person.Grant.Compartment, isStoreTold: false);
            Assert.False(await IsRemovedAsync(person));
            _time.Advance(TimeSpan.FromSeconds(seconds));
            var anew = World.As(person.Grant.Compartment, RepositoryWorld.Aurora);
            (await anew.GetAsync("Observation/" + id)).Is(HttpStatusCode.NotFound);
            Assert.True(await IsRemovedAsync(person));
            await IsAsNeverAsync(anew, id);
            // Said again it changes nothing.
            await World.EraseAsync(person.Grant.Compartment);
            await IsAsNeverAsync(anew, id);
        }
    }

    [Fact]
    public async Task One_whose_rows_cannot_be_removed_is_as_one_that_never_was_all_the_same()
    {
        var (person, id) = await WithRecordAsync();
        await World.EraseAsync(person.Grant.Compartment, isStoreTold: false);
        _time.Advance(TimeSpan.FromSeconds(61));
        var anew = World.As(person.Grant.Compartment, RepositoryWorld.Aurora);
        _store.CannotErase = true;
        await IsAsNeverAsync(anew, id);
        Assert.False(await IsRemovedAsync(person));
        _store.CannotErase = false;
        await IsAsNeverAsync(anew, id);
        Assert.True(await IsRemovedAsync(person));
    }

    [Fact]
    public async Task Nothing_is_removed_without_the_gateways_word_that_two_persons_want_it()
    {
        var (person, id) = await WithRecordAsync();
        var erasure = new KeyErasure("act", person.Grant.Compartment, "proposer", "approver");
        using var another = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        foreach (var word in (string?[])[null, "x", World.Signer.SignServiceToken(), World.Signer.Sign(person.Grant), new GrantSigner(another, _time).Sign(erasure),
            World.Signer.Sign(erasure with { ApprovedBy = "proposer" }), World.Signer.Sign(erasure with { Compartment = Pseudonym.Directory })])
            (await World.AskAsync(HttpMethod.Post, "/erasures", word)).Is(HttpStatusCode.Unauthorized);
        (await person.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK);
    }

    /// <summary>Asked about, the person is as one that never was; a record is not begun again.</summary>
    private protected async Task IsAsNeverAsync(Caller person, string id)
    {
        var never = World.As(await World.NewPersonAsync(), RepositoryWorld.Aurora);
        foreach (var about in new[] { "Observation/" + id, $"Observation/{id}/_history", "Observation?status=final", "Patient/" + person.PatientId })
        {
            var (gone, absent) = (await person.GetAsync(about), await never.GetAsync(about));
            Assert.Equal((absent.Status, (int?)(absent.Status == HttpStatusCode.OK ? absent.Json["total"] : null)), (gone.Status, (int?)(gone.Status == HttpStatusCode.OK ? gone.Json["total"] : null)));
        }
        Assert.Equal(0, (int)(await person.SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
        Assert.Equal("""{"version":0,"consents":[],"order":[],"serviceEvents":[],"people":[]}""", (await person.PolicyAsync()).Is(HttpStatusCode.OK).Text);
        (await person.CreateAsync(Some.Patient())).Is(HttpStatusCode.Gone);
    }

    /// <summary>Whether nothing is stored of the person but a place.</summary>
    private protected async Task<bool> IsRemovedAsync(Caller person) => await _store.ReadIndexAsync(person.Grant.Compartment, 0, default) is { IsErased: true, Index.Count: 0 };

    private protected async Task<(Caller Person, string Id)> WithRecordAsync()
    {
        var person = World.As(await World.NewPersonAsync(), RepositoryWorld.Aurora);
        await person.StoreAsync(Some.Patient());
        await person.StoreAsync(Some.Observation(person.PatientId));
        return (person, await person.StoreAsync(Some.Observation(person.PatientId)));
    }

    /// <summary>Erases nothing while it is told so.</summary>
    private sealed class StubbornStore(ICompartmentStore real) : StoreInFront(real)
    {
        public bool CannotErase { get; set; }

        public override ValueTask EraseAsync(Pseudonym compartment, CancellationToken cancel) => CannotErase ? throw new StoreException("It fails on purpose.") : base.EraseAsync(compartment, cancel);
    }
}

public sealed class SqliteErasureTests : ErasureTests
{
    private protected override Task<PostgresDatabase?> PostgresAsync() => Task.FromResult<PostgresDatabase?>(null);

    [Fact]
    public async Task A_backup_from_before_it_is_unreadable_when_it_is_restored()
    {
        var (person, id) = await WithRecordAsync();
        var backup = World.DatabaseFile + ".backup";
        await using (var from = new SqliteConnection($"Data Source={World.DatabaseFile};Pooling=False"))
        await using (var to = new SqliteConnection($"Data Source={backup};Pooling=False"))
        {
            await from.OpenAsync();
            await to.OpenAsync();
            from.BackupDatabase(to);
        }
        var (other, othersId) = await WithRecordAsync();
        await World.EraseAsync(person.Grant.Compartment);
        await World.StopRepositoryAsync();
        foreach (var file in Directory.GetFiles(World.Folder, "repository.db*").Where(file => file != backup))
            File.Delete(file);
        File.Move(backup, World.DatabaseFile);
        await World.StartRepositoryAsync();
        Assert.False(await IsRemovedAsync(person));
        (await other.GetAsync("Observation/" + othersId)).Is(HttpStatusCode.InternalServerError);
        // That the store is an older one is accepted; the key service's keeping of who is destroyed lasts.
        await World.ForgetHeadsAsync();
        await IsAsNeverAsync(person, id);
        Assert.True(await IsRemovedAsync(person));
        (await other.GetAsync("Observation/" + othersId)).Is(HttpStatusCode.NotFound);
        await other.StoreAsync(Some.Patient());
    }
}

public sealed class PostgresErasureTests : ErasureTests
{
    private protected override async Task<PostgresDatabase?> PostgresAsync() => await PostgresServer.NewDatabaseAsync();
}

/// <summary>A copy of the database that follows it, and may take its place.</summary>
public sealed class ReplicaErasureTests
{
    [Fact]
    public async Task Nothing_of_it_is_on_a_standby_nor_opens_there_when_one_from_before_it_is_promoted()
    {
        using var primary = await LocalPostgres.StartAsync(null, "fsync=off");
        var database = await PostgresServer.NewDatabaseAsync(primary.Superuser);
        using var standby = await primary.StartStandbyAsync("fsync=off");
        // The one that takes writes is asked, whichever is named first.
        await using var world = await RepositoryWorld.StartAsync(database with { Service = new NpgsqlConnectionStringBuilder(database.Service) { Host = $"{standby.Folder},{primary.Folder}" }.ToString() });
        var onStandby = At(database.Administrator, standby);
        var (erased, late, other) = (await WithRecordAsync(), await WithRecordAsync(), await WithRecordAsync());
        await FollowedAsync();
        Assert.Equal((2, 2), (await RowsAsync(erased), await RowsAsync(late)));
        var wrapped = await HostileAdministrator.Of("", database).KeyAsync(late.Grant.Compartment);

        // :: On the standby as it follows
        await world.EraseAsync(erased.Grant.Compartment);
        await FollowedAsync();
        Assert.Equal((0, true), (await RowsAsync(erased), await IsKeylessAsync(erased)));

        // :: On one that has not heard of it: the key is refused, so what is there opens nowhere
        foreach (var statement in (string[])["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"])
            await PostgresDatabase.AskAsync(standby.Superuser, statement);
        while (await PostgresDatabase.AskAsync(standby.Superuser, "SELECT count(*) FROM pg_stat_wal_receiver") is > 0L)
            await Task.Yield();
        await world.EraseAsync(late.Grant.Compartment);
        Assert.Equal((2, false), (await RowsAsync(late), await IsKeylessAsync(late)));
        Assert.Equal(true, await PostgresDatabase.AskAsync(standby.Superuser, "SELECT pg_promote()"));
        world.Change = options => options with { Postgres = At(database.Service, standby) };
        await world.StartRepositoryAsync();
        foreach (var person in new[] { erased, late })
        {
            var there = person with { Node = 1 };
            (await there.GetAsync("Patient/" + person.PatientId)).Is(HttpStatusCode.NotFound);
            Assert.Equal(0, (int)(await there.SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
            (await there.CreateAsync(Some.Patient())).Is(HttpStatusCode.Gone);
            // And is removed by who is told so.
            Assert.Equal((0, true), (await RowsAsync(person), await IsKeylessAsync(person)));
        }
        using (var refused = await world.KeyService.PostAsJsonAsync("/v1/keys/unwrap", new { keys = new[] { new { grant = world.Signer.Sign(late.Grant with { Id = "once more" }), wrapped } } }))
            Assert.Contains("\"status\":410", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(1, (int)(await (other with { Node = 1 }).SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);

        async Task<Caller> WithRecordAsync()
        {
            var person = world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora);
            await person.StoreAsync(Some.Patient());
            await person.StoreAsync(Some.Observation(person.PatientId));
            return person;
        }

        async Task FollowedAsync()
        {
            var end = await PostgresDatabase.AskAsync(primary.Superuser, "SELECT pg_current_wal_flush_lsn()::text");
            while (await PostgresDatabase.AskAsync(standby.Superuser, $"SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn") is not true)
                await Task.Yield();
        }

        async Task<long?> RowsAsync(Caller person) => (long?)await PostgresDatabase.AskAsync(onStandby,
            $"SELECT greatest((SELECT count(*) FROM entry WHERE compartment = {Of(person)}), (SELECT count(*) FROM body WHERE compartment = {Of(person)}))");

        async Task<bool?> IsKeylessAsync(Caller person) => (bool?)await PostgresDatabase.AskAsync(onStandby, $"SELECT length(wrapped) = 0 FROM compartment WHERE compartment = {Of(person)}");

        static string Of(Caller person) => $"'\\x{Convert.ToHexString(person.Grant.Compartment.ToArray())}'";

        static string At(string connection, LocalPostgres server) => new NpgsqlConnectionStringBuilder(connection) { Host = server.Folder }.ToString();
    }
}
