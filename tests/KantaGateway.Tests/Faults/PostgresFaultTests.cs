using System.Collections.Concurrent;
using System.Net;
using KantaGateway.Dev;
using KantaGateway.Tests.Repository;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Npgsql;

namespace KantaGateway.Tests.Faults;

/// <summary>A PostgreSQL that goes down under load, gives no more connections, or is slow: nothing acknowledged is lost, who cannot be served is told so, and the repository goes on by itself.</summary>
public sealed class PostgresFaultTests(PostgresFaultTests.OwnServer server) : IClassFixture<PostgresFaultTests.OwnServer>
{
    /// <summary>One that nobody else uses.</summary>
    public sealed class OwnServer : IAsyncLifetime
    {
        internal LocalPostgres Postgres { get; private set; } = null!;

        // Without fsync: the machine stays up, and what the server has written is the machine's.
        public async Task InitializeAsync() => Postgres = await LocalPostgres.StartAsync(null, "fsync=off");

        public Task DisposeAsync()
        {
            Postgres.Dispose();
            return Task.CompletedTask;
        }
    }

    [Theory]
    [InlineData("fast")]
    [InlineData("immediate")]
    public async Task One_that_is_started_again_under_load_has_everything_that_was_acknowledged(string mode)
    {
        await using var world = await RepositoryWorld.StartAsync(await PostgresServer.NewDatabaseAsync(server.Postgres.Superuser));
        var clinics = await ClinicsAsync(world, 6);
        var (acknowledged, attempted, refused) = (new ConcurrentBag<(Caller Clinic, string Id, string Tag)>(), 0, 0);
        var (isBusy, isBack) = (new TaskCompletionSource(), false);
        var working = clinics.Select(async clinic =>
        {
            // Until some have been stored after it came back.
            for (var after = 0; after < 3;)
            {
                var wasBack = Volatile.Read(ref isBack);
                Interlocked.Increment(ref attempted);
                var written = await clinic.CreateAsync(Some.Observation(clinic.PatientId));
                var read = await clinic.GetAsync("Patient/" + clinic.PatientId);
                if (written.Status == HttpStatusCode.Created)
                    acknowledged.Add((clinic, (string)written.Json["id"]!, written.ETag));
                foreach (var reply in (Reply[])[written, read])
                    if (reply.Status is not (HttpStatusCode.Created or HttpStatusCode.OK))
                    {
                        reply.Is(HttpStatusCode.ServiceUnavailable);
                        Interlocked.Increment(ref refused);
                    }
                if (acknowledged.Count >= 30)
                    isBusy.TrySetResult();
                if (wasBack && written.Status == HttpStatusCode.Created)
                    after++;
            }
        }).ToArray();
        await isBusy.Task;
        await server.Postgres.RestartAsync(mode);
        Volatile.Write(ref isBack, true);
        await Task.WhenAll(working);

        Assert.True(refused > 0, "It was started again in nobody's request.");
        await HasAllAsync(acknowledged);
        var stored = 0;
        foreach (var clinic in clinics)
            stored += (int)(await clinic.SearchAsync("Observation", "_summary=count")).Json["total"]!;
        Assert.InRange(stored, acknowledged.Count, attempted);
    }

    [Fact]
    public async Task More_requests_than_it_gives_connections_are_answered_or_told_to_come_again()
    {
        var database = await PostgresServer.NewDatabaseAsync(server.Postgres.Superuser);
        await using var world = await RepositoryWorld.StartAsync(database);
        var clinics = await ClinicsAsync(world, 60);
        await world.StartRepositoryAsync();
        clinics = [.. clinics.Select(clinic => clinic with { Node = 1 })];
        await LimitAsync(2);
        var acknowledged = new ConcurrentBag<(Caller Clinic, string Id, string Tag)>();
        var statuses = await StormAsync();
        Assert.Empty(statuses.Except([HttpStatusCode.Created, HttpStatusCode.ServiceUnavailable]));
        Assert.Contains(HttpStatusCode.ServiceUnavailable, statuses);
        await LimitAsync(-1);
        // Asked again a moment later, and then each is served.
        while ((await clinics[0].GetAsync("Patient/" + clinics[0].PatientId)).Status == HttpStatusCode.ServiceUnavailable)
            await Task.Yield();
        Assert.All(await StormAsync(), status => Assert.Equal(HttpStatusCode.Created, status));
        await HasAllAsync(acknowledged);

        Task LimitAsync(int connections) => PostgresDatabase.AskAsync(database.Administrator, $"ALTER ROLE {database.ServiceRole} CONNECTION LIMIT {connections}");

        Task<HttpStatusCode[]> StormAsync() => Task.WhenAll(clinics.Select(async clinic =>
        {
            var reply = await clinic.CreateAsync(Some.Observation(clinic.PatientId));
            if (reply.Status == HttpStatusCode.Created)
                acknowledged.Add((clinic, (string)reply.Json["id"]!, reply.ETag));
            return reply.Status;
        }));
    }

    [Fact]
    public async Task While_it_is_slow_and_every_connection_is_taken_others_are_told_to_come_again()
    {
        var database = await PostgresServer.NewDatabaseAsync(server.Postgres.Superuser);
        using var folder = new TemporaryFolder();
        await using var line = new Line(folder.File(".s.PGSQL.5432"), Path.Combine(server.Postgres.Folder, ".s.PGSQL.5432"));
        var service = new NpgsqlConnectionStringBuilder(database.Service) { Host = folder.Path, MaxPoolSize = 2, Timeout = 1 };
        await using var world = await RepositoryWorld.StartAsync(database with { Service = service.ToString() });
        var clinics = await ClinicsAsync(world, 12);
        line.Hold();
        var write = clinics[0].CreateAsync(Some.Observation(clinics[0].PatientId));
        var read = clinics[1].GetAsync("Patient/" + clinics[1].PatientId);
        while (line.Held < 2)
            await Task.Yield();
        foreach (var reply in await Task.WhenAll(clinics[2..].Select(clinic => clinic.GetAsync("Patient/" + clinic.PatientId))))
            reply.Is(HttpStatusCode.ServiceUnavailable);
        Assert.False(write.IsCompleted || read.IsCompleted);
        line.GoOn();
        (await write).Is(HttpStatusCode.Created);
        (await read).Is(HttpStatusCode.OK);
        foreach (var clinic in clinics)
            (await clinic.GetAsync("Patient/" + clinic.PatientId)).Is(HttpStatusCode.OK);
    }

    /// <summary>
    /// The product's program is killed on both sides of its one durable step: while its commit waits for somebody else's row, and while it is on the server's disk and waits for a standby.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_repository_process_that_is_killed_in_a_commit_leaves_all_of_it_or_nothing_and_what_is_sent_again_is_stored_once(bool isStored)
    {
        var database = await PostgresServer.NewDatabaseAsync(server.Postgres.Superuser);
        await using var world = await RepositoryWorld.StartAsync(database);
        var process = await world.StartProcessAsync();
        var clinic = world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora);
        var there = clinic with { Node = 1 };
        await there.StoreAsync(Some.Patient());
        await using var source = NpgsqlDataSource.Create(database.Administrator);
        await using var holder = await source.OpenConnectionAsync();
        await using var transaction = await holder.BeginTransactionAsync();
        var acknowledged = 0;
        try
        {
            if (isStored)
                await SetStandbyAsync("nobody");
            else
            {
                await using var hold = new NpgsqlCommand("SELECT 1 FROM compartment WHERE compartment = $1 FOR UPDATE", holder, transaction) { Parameters = { new() { Value = clinic.Grant.Compartment.ToArray() } } };
                await hold.ExecuteNonQueryAsync();
            }
            var asked = there.TransactAsync(Visit(acknowledged));
            while (!await IsWaitingAsync())
                if (asked.IsCompleted)
                {
                    // The server takes the setting up a moment later.
                    (await asked).Is(HttpStatusCode.OK);
                    asked = there.TransactAsync(Visit(++acknowledged));
                }
            process.Kill();
            await process.WaitForExitAsync();
            await Assert.ThrowsAnyAsync<Exception>(() => asked);
            if (isStored)
                await SetStandbyAsync("");
            // The server ends what it was asked in its own way: nobody need confirm it, or it may wait for the row no longer.
            while (await IsWaitingAsync())
                await Task.Yield();
        }
        finally
        {
            await SetStandbyAsync("");
        }
        await transaction.RollbackAsync();
        foreach (var type in new[] { "Encounter", "Observation" })
            Assert.Equal(acknowledged + (isStored ? 1 : 0), (int)(await clinic.SearchAsync(type)).Is(HttpStatusCode.OK).Json["total"]!);
        (await clinic.TransactAsync(Visit(acknowledged))).Is(HttpStatusCode.OK);
        Assert.Equal(acknowledged + 1, (int)(await clinic.SearchAsync("Encounter")).Json["total"]!);

        System.Text.Json.Nodes.JsonObject Visit(int number)
        {
            var oid = $"1.2.246.10.11111111.14.{number + 1}";
            var visit = Some.Transaction(("POST", "Encounter", Some.Encounter(clinic.PatientId, oid), null), ("POST", "Observation", Some.Observation(clinic.PatientId), null));
            visit["entry"]![0]!["request"]!["ifNoneExist"] = "identifier=urn:ietf:rfc:3986|urn:oid:" + oid;
            return visit;
        }

        async Task<bool> IsWaitingAsync()
        {
            await using var command = source.CreateCommand($"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = '{(isStored ? "SyncRep" : "transactionid")}'");
            return await command.ExecuteScalarAsync() is > 0L;
        }

        async Task SetStandbyAsync(string name)
        {
            foreach (var statement in (string[])[$"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "SELECT pg_reload_conf()"])
                await PostgresDatabase.AskAsync(server.Postgres.Superuser, statement);
        }
    }

    private static async Task<Caller[]> ClinicsAsync(RepositoryWorld world, int count)
    {
        var clinics = (await world.NewPeopleAsync(count)).Select(person => world.As(person, RepositoryWorld.Aurora)).ToArray();
        await Task.WhenAll(clinics.Select(clinic => clinic.StoreAsync(Some.Patient())));
        return clinics;
    }

    private static async Task HasAllAsync(IEnumerable<(Caller Clinic, string Id, string Tag)> acknowledged)
    {
        foreach (var (clinic, id, tag) in acknowledged)
            Assert.Equal(tag, (await clinic.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK).ETag);
    }
}
