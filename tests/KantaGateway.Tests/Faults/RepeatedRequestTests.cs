using System.Net;
using KantaGateway.Tests.Repository;
using KantaGateway.Tests.Repository.Storage;
using Some = KantaGateway.Tests.Repository.Some;

namespace KantaGateway.Tests.Faults;

/// <summary>A request that arrives twice, at two repositories or late: what it does under a condition it does once, and an old one changes nothing that came after it.</summary>
public abstract class RepeatedRequestTests : IAsyncLifetime
{
    private const string Oid = "1.2.246.10.11111111.14.88", Criteria = "identifier=urn:ietf:rfc:3986|urn:oid:" + Oid;
    private const int Times = 8;

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    private protected abstract Task<PostgresDatabase?> DatabaseAsync();

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync(await DatabaseAsync());
        await _world.StartRepositoryAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task The_same_transaction_under_a_condition_is_stored_once()
    {
        var bundle = Some.Transaction(("POST", "Encounter", Some.Encounter(_clinic.PatientId, Oid), "urn:uuid:00000000-0000-4000-8000-00000000000a"));
        bundle["entry"]![0]!["request"]!["ifNoneExist"] = Criteria;
        var first = await ManyAsync(clinic => clinic.TransactAsync(bundle));
        Assert.Equal(["200 OK", "201 Created"], first.Select(reply => (string)reply.Is(HttpStatusCode.OK).Json["entry"]![0]!["response"]!["status"]!).Distinct().Order());
        Assert.Single(first, reply => (string)reply.Json["entry"]![0]!["response"]!["status"]! == "201 Created");
        // One of which nobody knew any more that it was under way.
        Assert.Equal("200 OK", (string)(await _clinic.TransactAsync(bundle)).Is(HttpStatusCode.OK).Json["entry"]![0]!["response"]!["status"]!);
        Assert.Equal(1, (int)(await _clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    [Fact]
    public async Task A_change_of_one_version_is_made_once_and_never_after_a_later_one()
    {
        var first = (await _clinic.CreateAsync(Some.Encounter(_clinic.PatientId, Oid))).Is(HttpStatusCode.Created);
        var change = Some.Encounter(_clinic.PatientId, Oid, "finished");
        change["id"] = (string)first.Json["id"]!;
        var changed = await ManyAsync(clinic => clinic.UpdateAsync(change, first.ETag));
        var second = Assert.Single(changed, reply => reply.Status == HttpStatusCode.OK);
        Assert.All(changed, reply => Assert.True(reply == second || reply.Status == HttpStatusCode.PreconditionFailed, reply.Text));
        // The one that was sent first arrives last.
        var late = Some.Encounter(_clinic.PatientId, Oid, "cancelled");
        late["id"] = (string)first.Json["id"]!;
        (await _clinic.UpdateAsync(late, first.ETag)).Is(HttpStatusCode.PreconditionFailed);
        (await _clinic.DeleteAsync($"Encounter/{first.Json["id"]}", ("If-Match", first.ETag))).Is(HttpStatusCode.PreconditionFailed);
        Assert.Equal("finished", (string)(await _clinic.GetAsync($"Encounter/{first.Json["id"]}")).Json["status"]!);
        Assert.Equal(2, (int)(await _clinic.GetAsync($"Encounter/{first.Json["id"]}/_history")).Json["total"]!);
    }

    [Fact]
    public async Task A_deletion_that_comes_again_is_one_deletion()
    {
        var id = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        foreach (var reply in await ManyAsync(clinic => clinic.DeleteAsync("Observation/" + id)))
            Assert.Contains(reply.Status, (HttpStatusCode[])[HttpStatusCode.OK, HttpStatusCode.NoContent]);
        Assert.Equal(2, (int)(await _clinic.GetAsync($"Observation/{id}/_history")).Json["total"]!);
    }

    /// <summary>With the very grant of the first: it opens one key, and what was stored under it is stored once.</summary>
    [Fact]
    public async Task The_same_grant_and_all_that_came_with_it_make_one_record()
    {
        var somebody = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var grant = _world.Signer.Sign(somebody.Grant);
        var patient = Some.Patient().ToJsonString();
        var replies = await Task.WhenAll(Enumerable.Range(0, Times).Select(i => _world.SendSignedAsync(i % 2, grant, "POST", "/fhir/Patient", patient)));
        Assert.Contains(replies, reply => reply.Status == HttpStatusCode.Created);
        Assert.Empty(replies.Select(reply => reply.Status).Except([HttpStatusCode.Created, HttpStatusCode.OK, HttpStatusCode.PreconditionFailed]));
        Assert.Single(replies.Where(reply => reply.Status != HttpStatusCode.PreconditionFailed).Select(reply => (string)reply.Json["id"]!).Distinct());
    }

    private Task<Reply[]> ManyAsync(Func<Caller, Task<Reply>> send) => Task.WhenAll(Enumerable.Range(0, Times).Select(i => send(_clinic with { Node = i % 2 })));
}

public sealed class RepeatedRequestOnSqliteTests : RepeatedRequestTests
{
    private protected override Task<PostgresDatabase?> DatabaseAsync() => Task.FromResult<PostgresDatabase?>(null);
}

public sealed class RepeatedRequestOnPostgresTests : RepeatedRequestTests
{
    private protected override async Task<PostgresDatabase?> DatabaseAsync() => await PostgresServer.NewDatabaseAsync();
}
