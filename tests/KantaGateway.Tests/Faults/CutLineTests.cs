using System.Net;
using KantaGateway.Fhir.Transport;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Repository;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Some = KantaGateway.Tests.Repository.Some;

namespace KantaGateway.Tests.Faults;

/// <summary>
/// The network between two parts is cut in the middle of a request, before the other has heard of it or after it has done it: the caller is told no untruth, and who asks
/// again under a condition finds or makes it once.
/// </summary>
public sealed class CutLineTests
{
    private const string Oid = "1.2.246.10.11111111.14.77", Criteria = "identifier=urn:ietf:rfc:3986|urn:oid:" + Oid;

    [Theory]
    [InlineData(nameof(Cut.Questions))]
    [InlineData(nameof(Cut.Answers))]
    public async Task Between_repository_and_key_service_nothing_is_stored_and_a_key_that_did_not_arrive_is_in_nobodys_way(string where)
    {
        await using var records = await RepositoryWorld.StartAsync();
        var path = Path.Combine(records.Folder, "line.sock");
        await using var line = new Line(path, Path.Combine(records.Folder, "keys.sock"));
        records.Change = options => options with { Keys = "unix:" + path };
        await records.StartRepositoryAsync();
        var known = records.As(await records.NewPersonAsync(), RepositoryWorld.Aurora);
        var another = records.As(await records.NewPersonAsync(), RepositoryWorld.Aurora);
        await known.StoreAsync(Some.Patient());
        (known, another) = (known with { Node = 1 }, another with { Node = 1 });

        line.Cut = Enum.Parse<Cut>(where);
        foreach (var cut in (Reply[])[await known.GetAsync("Patient/" + known.PatientId), await another.CreateAsync(Some.Patient()), await known.CreateAsync(Some.Observation(known.PatientId))])
            Assert.Contains("Nothing was read or stored", cut.Is(HttpStatusCode.ServiceUnavailable).Text);
        Assert.True(line.Broken > 0);
        line.Cut = Cut.Nowhere;
        (await another.GetAsync("Patient/" + another.PatientId)).Is(HttpStatusCode.NotFound);
        (await another.CreateAsync(Some.Patient())).Is(HttpStatusCode.Created);
        (await known.GetAsync("Patient/" + known.PatientId)).Is(HttpStatusCode.OK);
        Assert.Equal(0, (int)(await known.SearchAsync("Observation")).Json["total"]!);
    }

    [Theory]
    [InlineData(nameof(Cut.Questions))]
    [InlineData(nameof(Cut.Answers))]
    public async Task Between_repository_and_PostgreSQL_nothing_is_stored_and_what_is_sent_again_is(string where)
    {
        var database = await PostgresServer.NewDatabaseAsync();
        var service = new NpgsqlConnectionStringBuilder(database.Service);
        using var folder = new TemporaryFolder();
        var socket = $".s.PGSQL.{service.Port}";
        await using var line = new Line(folder.File(socket), Path.Combine(service.Host!, socket));
        service.Host = folder.Path;
        await using var records = await RepositoryWorld.StartAsync(database with { Service = service.ToString() });
        var clinic = records.As(await records.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var visit = (await clinic.CreateAsync(Some.Encounter(clinic.PatientId, Oid + ".1"))).Is(HttpStatusCode.Created);
        var change = visit.Json.DeepClone();

        line.Cut = Enum.Parse<Cut>(where);
        foreach (var cut in (Reply[])[await clinic.CreateAsync(Some.Encounter(clinic.PatientId, Oid), ("If-None-Exist", Criteria)), await clinic.UpdateAsync(change, visit.ETag), await clinic.GetAsync("Encounter/" + (string)visit.Json["id"]!)])
            cut.Is(HttpStatusCode.ServiceUnavailable);
        line.Cut = Cut.Nowhere;
        Assert.True(line.Broken > 0);
        (await ServedAsync(() => clinic.CreateAsync(Some.Encounter(clinic.PatientId, Oid), ("If-None-Exist", Criteria)))).Is(HttpStatusCode.Created);
        (await clinic.UpdateAsync(change, visit.ETag)).Is(HttpStatusCode.OK);
        Assert.Equal(2, (int)(await clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    /// <summary>The line is whole until the store is asked for the commit: of that one nobody knows how it ended.</summary>
    [Theory]
    [InlineData(nameof(Cut.Questions), false)]
    [InlineData(nameof(Cut.Answers), true)]
    public async Task Between_repository_and_PostgreSQL_in_the_middle_of_a_commit_nobody_knows_and_what_is_sent_again_is_stored_once(string where, bool stored)
    {
        var database = await PostgresServer.NewDatabaseAsync();
        var service = new NpgsqlConnectionStringBuilder(database.Service);
        using var folder = new TemporaryFolder();
        var socket = $".s.PGSQL.{service.Port}";
        await using var line = new Line(folder.File(socket), Path.Combine(service.Host!, socket));
        service.Host = folder.Path;
        var cuts = false;
        await using var records = await RepositoryWorld.StartAsync(database with { Service = service.ToString() }, builder => StoreInFront.Put(builder, real => new BeforeCommit(real, () =>
        {
            if (cuts)
                line.Cut = Enum.Parse<Cut>(where);
        })));
        var clinic = records.As(await records.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        cuts = true;
        var unknown = (await clinic.CreateAsync(Some.Encounter(clinic.PatientId, Oid), ("If-None-Exist", Criteria))).Is(HttpStatusCode.ServiceUnavailable);
        Assert.Contains("not known", unknown.Text);
        cuts = false;
        line.Cut = Cut.Nowhere;
        (await ServedAsync(() => clinic.CreateAsync(Some.Encounter(clinic.PatientId, Oid), ("If-None-Exist", Criteria)))).Is(stored ? HttpStatusCode.OK : HttpStatusCode.Created);
        Assert.Equal(1, (int)(await clinic.SearchAsync("Encounter")).Json["total"]!);
    }

    /// <summary>Asked again until the database is asked again.</summary>
    private static async Task<Reply> ServedAsync(Func<Task<Reply>> ask)
    {
        while (true)
            if (await ask() is { Status: not HttpStatusCode.ServiceUnavailable } reply)
                return reply;
    }

    /// <summary>Says when a commit is about to be asked for.</summary>
    private sealed class BeforeCommit(KantaGateway.Repository.Storage.ICompartmentStore real, Action told) : StoreInFront(real)
    {
        public override ValueTask<bool> AppendAsync(IReadOnlyList<KantaGateway.Repository.Storage.CompartmentAppend> appends, CancellationToken cancel)
        {
            told();
            return base.AppendAsync(appends, cancel);
        }
    }
}

/// <inheritdoc cref="CutLineTests"/>
[Collection(OperatorsCollection.Name)]
public sealed class CutRedisLineTests(IdentificationWorld world)
{
    [Theory]
    [InlineData(nameof(Cut.Questions))]
    [InlineData(nameof(Cut.Answers))]
    public async Task Between_gateway_and_Redis_an_assertion_is_taken_once_at_most(string where)
    {
        await using var redis = await TestRedis.StartAsync();
        using var folder = new TemporaryFolder();
        await using var line = new Line(folder.File("line.sock"), redis.Connection.TrimStart('!'));
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with { Port = port, TerminatorListen = null, Redis = $"!{folder.File("line.sock")},connectTimeout=500,asyncTimeout=500,syncTimeout=500" });
        Assert.Single(gateway.Services.GetServices<PeerClock>(), static peer => peer.Setting == "Redis");
        await gateway.StartAsync();
        using var http = world.Connect(world.Aurora.Certificate);
        async Task<HttpStatusCode> AskAsync(string assertion)
        {
            using var response = await http.PostAsync($"https://localhost:{port}/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora, assertion)));
            return response.StatusCode;
        }
        Assert.Equal(HttpStatusCode.OK, await AskAsync(world.Assertion(world.Aurora)));
        line.Cut = Enum.Parse<Cut>(where);
        var cut = world.Assertion(world.Aurora);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(cut));
        line.Cut = Cut.Nowhere;
        // Asked until the connection is there again; each time with another, as a client does.
        for (var tries = 0; await AskAsync(world.Assertion(world.Aurora)) is var status && status != HttpStatusCode.OK; tries++)
            Assert.True(tries < 200 && status == HttpStatusCode.ServiceUnavailable, $"{status} at the {tries}th time");
        // The one that was cut off may have been taken, or not: it is taken once at most.
        Assert.Contains(await AskAsync(cut), (HttpStatusCode[])[HttpStatusCode.OK, HttpStatusCode.Unauthorized]);
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(cut));
    }
}
