using KantaGateway.Dev;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>What PostgreSQL is said to have stored is where it has to be, and one person's trouble stays that person's.</summary>
public sealed class PostgresDurabilityTests : IAsyncLifetime
{
    private LocalPostgres _server = null!;
    private PostgresDatabase _database = null!;

    public async Task InitializeAsync()
    {
        _server = await LocalPostgres.StartAsync(null, "fsync=off");
        _database = await (await PostgresServer.NewDatabaseAsync(_server.Superuser)).MigratedAsync();
    }

    public Task DisposeAsync()
    {
        _server.Dispose();
        return Task.CompletedTask;
    }

    /// <summary>Asked to cancel a commit that waits for its standby, PostgreSQL answers with success (and a warning): nobody may ask it.</summary>
    [Fact]
    public async Task A_commit_that_the_standby_has_not_confirmed_is_not_acknowledged()
    {
        await using var store = await PostgresStore.OpenAsync(new NpgsqlConnectionStringBuilder(_database.Service) { CommandTimeout = 1 }.ToString(), default);
        var person = RepositoryWorld.NewPerson();
        Assert.True(await AppendAsync(store, person, 0));
        await PostgresDatabase.AskAsync(_server.Superuser, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        await PostgresDatabase.AskAsync(_server.Superuser, "SELECT pg_reload_conf()");
        var unknown = await Record.ExceptionAsync(async () =>
        {
            // The server takes the setting up a moment later.
            for (var head = 1; head < 20; head++)
                Assert.True(await AppendAsync(store, person, head));
        });
        Assert.IsType<StoreException>(unknown);
    }

    [Fact]
    public async Task Who_waits_for_a_row_that_somebody_holds_is_told_so_and_takes_nobody_along()
    {
        await using var store = await PostgresStore.OpenAsync(_database.Service, default);
        var people = Enumerable.Range(0, 20).Select(_ => RepositoryWorld.NewPerson()).ToArray();
        Assert.DoesNotContain(false, await Task.WhenAll(people.Select(person => AppendAsync(store, person, 0))));
        await using var source = NpgsqlDataSource.Create(_database.Administrator);
        await using var holder = await source.OpenConnectionAsync();
        await using var transaction = await holder.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("SELECT 1 FROM compartment WHERE compartment = $1 FOR UPDATE", holder, transaction) { Parameters = { new() { Value = people[7].ToArray() } } })
            await hold.ExecuteNonQueryAsync();
        var outcomes = await Task.WhenAll(people.Select(async person =>
        {
            try
            {
                return await AppendAsync(store, person, 1);
            }
            catch (StoreException)
            {
                return (bool?)null;
            }
        }));
        for (var i = 0; i < people.Length; i++)
            Assert.Equal(i == 7 ? null : true, outcomes[i]);
        await transaction.RollbackAsync();
        Assert.True(await AppendAsync(store, people[7], 1));
    }

    [Fact]
    public async Task Of_several_servers_the_one_that_takes_writes_is_used_whatever_is_asked_for()
    {
        var several = new NpgsqlConnectionStringBuilder(_database.Service) { TargetSessionAttributes = "standby" };
        several.Host = $"{several.Host}-that-is-not-there,{several.Host}";
        await using var store = await PostgresStore.OpenAsync(several.ToString(), default);
        Assert.True(await AppendAsync(store, RepositoryWorld.NewPerson(), 0));
    }

    private static Task<bool> AppendAsync(PostgresStore store, Pseudonym person, long head) =>
        store.AppendAsync([new(person, head, head == 0 ? [1] : null, [new(head + 1, [1], [2])])], default).AsTask();
}
