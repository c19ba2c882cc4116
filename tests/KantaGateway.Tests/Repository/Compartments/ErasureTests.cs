using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Repository.Compartments;

/// <summary>A person's record that two have had destroyed opens nowhere any more: not here, not on another node, not out of a backup (Act 703/2023 §24).</summary>
public abstract class ErasureTests : IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);

    private protected RepositoryWorld World { get; private set; } = null!;

    private protected abstract Task<string?> PostgresAsync();

    public async Task InitializeAsync() => World = await RepositoryWorld.StartAsync(await PostgresAsync(), time: _time);

    public async Task DisposeAsync() => await World.DisposeAsync();

    [Fact]
    public async Task It_is_as_if_it_had_never_been_and_is_not_begun_again()
    {
        var (person, id) = await WithRecordAsync();
        var (other, othersId) = await WithRecordAsync();
        await World.EraseAsync(person.Grant.Compartment);
        var never = World.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
        foreach (var about in new[] { "Observation/" + id, $"Observation/{id}/_history", "Observation?status=final", "Patient/" + person.PatientId })
        {
            var (gone, absent) = (await person.GetAsync(about), await never.GetAsync(about));
            Assert.Equal((absent.Status, (int?)(absent.Status == HttpStatusCode.OK ? absent.Json["total"] : null)), (gone.Status, (int?)(gone.Status == HttpStatusCode.OK ? gone.Json["total"] : null)));
        }
        Assert.Equal(0, (int)(await person.SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
        Assert.Equal("""{"version":0,"consents":[],"order":[],"serviceEvents":[],"people":[]}""", (await person.PolicyAsync()).Is(HttpStatusCode.OK).Text);
        (await person.CreateAsync(Some.Patient())).Is(HttpStatusCode.Gone);
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
    public async Task A_node_that_the_store_tells_nothing_gives_it_to_nobody_new_and_a_minute_later_to_nobody()
    {
        var (person, id) = await WithRecordAsync();
        (await person.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK);
        await World.EraseAsync(person.Grant.Compartment, isStoreTold: false);
        _time.Advance(TimeSpan.FromSeconds(61));
        var anew = World.As(person.Grant.Compartment, RepositoryWorld.Aurora);
        (await anew.GetAsync("Observation/" + id)).Is(HttpStatusCode.Gone);
        (await anew.CreateAsync(Some.Observation(person.PatientId))).Is(HttpStatusCode.Gone);
        // Said again it is brought to its end.
        await World.EraseAsync(person.Grant.Compartment);
        (await anew.GetAsync("Observation/" + id)).Is(HttpStatusCode.NotFound);
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

    private protected async Task<(Caller Person, string Id)> WithRecordAsync()
    {
        var person = World.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
        await person.StoreAsync(Some.Patient());
        await person.StoreAsync(Some.Observation(person.PatientId));
        return (person, await person.StoreAsync(Some.Observation(person.PatientId)));
    }
}

public sealed class SqliteErasureTests : ErasureTests
{
    private protected override Task<string?> PostgresAsync() => Task.FromResult<string?>(null);

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
        foreach (var asked in new[] { await person.GetAsync("Observation/" + id), await person.SearchAsync("Observation"), await person.PolicyAsync(), await person.CreateAsync(Some.Observation(person.PatientId)) })
            asked.Is(HttpStatusCode.Gone);
        // And the key service's keeping of it lasts.
        await World.StopKeysAsync();
        await World.StartKeysAsync();
        (await person.GetAsync("Observation/" + id)).Is(HttpStatusCode.Gone);
        (await other.GetAsync("Observation/" + othersId)).Is(HttpStatusCode.NotFound);
        await other.StoreAsync(Some.Patient());
    }
}

public sealed class PostgresErasureTests : ErasureTests
{
    private protected override async Task<string?> PostgresAsync() => await PostgresServer.NewDatabaseAsync();
}
