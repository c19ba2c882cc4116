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
        var person = RepositoryWorld.SomeNumber();
        Assert.True(await AppendAsync(store, person, 0));
        await SetStandbyAsync("nobody");
        var unknown = await Record.ExceptionAsync(async () =>
        {
            // The server takes the setting up a moment later.
            for (var head = 1; head < 20; head++)
                Assert.True(await AppendAsync(store, person, head));
        });
        Assert.IsType<StoreException>(unknown);
    }

    /// <summary>An administrator, or a tool, may ask it all the same.</summary>
    [Theory]
    [InlineData("one"), InlineData("two together"), InlineData("a part"), InlineData("a key"), InlineData("an erasure")]
    public async Task A_write_that_is_told_to_wait_for_its_standby_no_longer_is_not_acknowledged(string what)
    {
        await using var store = await PostgresStore.OpenAsync(new NpgsqlConnectionStringBuilder(_database.Service) { CommandTimeout = 60 }.ToString(), default);
        var (person, other) = (RepositoryWorld.SomeNumber(), RepositoryWorld.SomeNumber());
        Assert.True(await AppendAsync(store, person, 0) && await AppendAsync(store, other, 0));
        await SetStandbyAsync("nobody");
        long? waiting = null;
        for (var turn = 1; waiting is not > 0; turn++)
        {
            var writing = Record.ExceptionAsync(() => what switch
            {
                "one" => AppendAsync(store, person, turn),
                "two together" => store.AppendAsync([.. new[] { person, other }.Select(one => new CompartmentAppend(one, turn, null, [new(turn + 1, [1], [2])]))], default).AsTask(),
                "a part" => store.StorePartAsync(person, Guid.NewGuid(), 0, new byte[] { 1 }, default).AsTask(),
                "a key" => store.ReplaceKeysAsync([new(person, [(byte)turn], [(byte)(turn + 1)])], default).AsTask(),
                _ => store.EraseAsync(RepositoryWorld.SomeNumber(), default).AsTask(),
            });
            // The server takes the setting up a moment later.
            while (!writing.IsCompleted && waiting is not > 0)
                waiting = await PostgresDatabase.AskAsync(_server.Superuser, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") as long?;
            var failure = await writing;
            if (waiting is > 0)
                Assert.IsType<StoreException>(failure);
            else
                Assert.Null(failure);
        }
        await SetStandbyAsync("");
    }

    [Fact]
    public async Task Who_waits_for_a_row_that_somebody_holds_is_told_so_and_takes_nobody_along()
    {
        await using var store = await PostgresStore.OpenAsync(_database.Service, default);
        var people = Enumerable.Range(0, 20).Select(_ => RepositoryWorld.SomeNumber()).ToArray();
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
        Assert.True(await AppendAsync(store, RepositoryWorld.SomeNumber(), 0));
    }

    private async Task SetStandbyAsync(string name)
    {
        foreach (var statement in (string[])[$"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "SELECT pg_reload_conf()"])
            await PostgresDatabase.AskAsync(_server.Superuser, statement);
    }

    private static Task<bool> AppendAsync(PostgresStore store, Pseudonym person, long head) =>
        store.AppendAsync([new(person, head, head == 0 ? [1] : null, [new(head + 1, [1], [2])])], default).AsTask();
}
