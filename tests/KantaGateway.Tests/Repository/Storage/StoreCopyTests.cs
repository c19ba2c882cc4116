using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>What is copied from engine to engine is all of it, or nobody's store.</summary>
public sealed class StoreCopyTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly StringWriter _console = new();
    private PostgresDatabase _database = null!;

    public async Task InitializeAsync() => _database = await (await PostgresServer.NewDatabaseAsync()).MigratedAsync();

    public Task DisposeAsync()
    {
        _folder.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Everything_is_copied_from_engine_to_engine_and_back()
    {
        var people = await FillAsync(OfFile("first.db"), 7, 3, 500);
        var (erased, content) = (people[^1], Guid.CreateVersion7());
        await using (var store = new SqliteStore(_folder.File("first.db")))
        {
            for (var number = 0; number < 3; number++)
                await store.StorePartAsync(people[0], content, number, RandomNumberGenerator.GetBytes(1000), default);
            // Of an upload that came to nothing.
            await store.StorePartAsync(people[0], Guid.CreateVersion7(), 0, new byte[] { 1 }, default);
            Assert.True(await store.AppendAsync([new(people[0], 3, null, [new(4, [1], [2], content), new(5, [3], [])])], default));
            await store.EraseAsync(erased, default);
        }
        Assert.True(await CopyAsync(OfFile("first.db"), OfPostgres) == 0, _console.ToString());
        Assert.True(await CopyAsync(OfPostgres, OfFile("second.db")) == 0, _console.ToString());
        Assert.Contains("100 %", _console.ToString());
        Assert.Single(_console.ToString().Split('\n').Where(line => line.Contains("SHA-256")).Distinct());

        await using var first = new SqliteStore(_folder.File("first.db"));
        foreach (var store in new ICompartmentStore[] { await _database.OpenAsync(), new SqliteStore(_folder.File("second.db")) })
            await using (store)
            {
                foreach (var person in people)
                {
                    var (was, isNow) = ((await first.ReadIndexAsync(person, 0, default))!, (await store.ReadIndexAsync(person, 0, default))!);
                    Assert.Equal((was.Head, Convert.ToHexString(was.WrappedKey)), (isNow.Head, Convert.ToHexString(isNow.WrappedKey)));
                    Assert.Equal(was.Index.Select(entry => (entry.Sequence, Convert.ToHexString(entry.Sealed))), isNow.Index.Select(entry => (entry.Sequence, Convert.ToHexString(entry.Sealed))));
                    var all = Enumerable.Range(1, (int)was.Head).Select(n => (long)n).ToList();
                    Assert.Equal((await first.ReadBodiesAsync(person, all, default)).Sealed, (await store.ReadBodiesAsync(person, all, default)).Sealed);
                }
                for (var number = 0; number < 4; number++)
                {
                    var (was, isNow) = (new byte[2000], new byte[2000]);
                    Assert.Equal(await first.ReadPartAsync(people[0], content, number, was, default), await store.ReadPartAsync(people[0], content, number, isNow, default));
                    Assert.Equal(was, isNow);
                }
                // It is a store like any other.
                Assert.True(await store.AppendAsync([new(people[0], 5, null, [new(6, [1], [2])])], default));
                Assert.True(await store.AppendAsync([new(RepositoryWorld.SomeNumber(), 0, [1], [new(1, [1], [2])])], default));
            }
    }

    [Fact]
    public async Task A_copy_that_was_killed_goes_on_and_until_then_the_target_is_nobodys_store()
    {
        await FillAsync(OfFile("source.db"), 400, 10, 10_000);
        await FillAsync(OfFile("another.db"), 1, 1, 10);
        var (from, to) = (WriteOptions("from.json", OfFile("source.db")), WriteOptions("to.json", OfPostgres));
        using (var process = Start(CopyStore.Name, "--from", from, "--to", to))
        {
            // Said when the first rows are committed, with four fifths of the way to go.
            while (await process.StandardOutput.ReadLineAsync() is { } line && !line.StartsWith("copied", StringComparison.Ordinal))
            {
            }
            process.Kill();
            await process.WaitForExitAsync();
        }
        Assert.InRange((long)(await PostgresDatabase.AskAsync(_database.Administrator, "SELECT count(*) FROM compartment"))!, 1, 399);
        Assert.Contains("unfinished copy", (await Assert.ThrowsAsync<StoreException>(_database.OpenAsync)).Message);
        Assert.Equal(2, await CopyAsync(OfFile("another.db"), OfPostgres));
        Assert.Contains("The target has a part of", _console.ToString());

        using (var process = Start(CopyStore.Name, "--from", from, "--to", to))
        {
            var said = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            Assert.True(process.ExitCode == 0, said);
            Assert.Contains("going on where a copy was broken off", said);
        }
        await using var store = await _database.OpenAsync();
        Assert.Equal(400, (await store.CountKeysAsync(1, default)).All);
    }

    [Fact]
    public async Task A_flipped_byte_in_the_target_is_found_wherever_it_is()
    {
        var people = await FillAsync(OfFile("first.db"), 3, 3, 100);
        var content = Guid.CreateVersion7();
        await using (var store = new SqliteStore(_folder.File("first.db")))
        {
            await store.StorePartAsync(people[1], content, 0, new byte[] { 1, 2, 3 }, default);
            Assert.True(await store.AppendAsync([new(people[1], 3, null, [new(4, [1], [2], content)])], default));
        }
        Assert.Equal(0, await CopyAsync(OfFile("first.db"), OfPostgres));
        Assert.Equal(0, await CopyAsync(OfPostgres, OfFile("second.db")));
        foreach (var (administrator, options) in new[] { (HostileAdministrator.Of("", _database), OfPostgres), (HostileAdministrator.Of(_folder.File("second.db"), null), OfFile("second.db")) })
        {
            foreach (var (flip, named) in (IEnumerable<(Func<byte, Task>, string)>)
            [
                (async bit => await administrator.PutAsync("body", people[1], 2, Flipped(await administrator.ReadAsync("body", people[1], 2), bit)), "compartment 2, body 2"),
                (async bit => await administrator.PutAsync("entry", people[2], 3, Flipped(await administrator.ReadAsync("entry", people[2], 3), bit)), "compartment 3, entry 3"),
                (async bit => await administrator.SetKeyAsync(people[0], Flipped(await administrator.KeyAsync(people[0]), bit)), "compartment 1, compartment 3"),
                (async bit => await administrator.PutPartAsync(people[1], content, 0, Flipped(await administrator.PartAsync(people[1], content, 0), bit)), "compartment 2, part 0"),
            ])
            {
                await flip(1);
                Assert.Equal(1, await CompareAsync(OfFile("first.db"), options));
                Assert.Contains($"{named}: it is another one in the target", _console.ToString());
                await flip(1);
                Assert.True(await CompareAsync(OfFile("first.db"), options) == 0, _console.ToString());
                _console.GetStringBuilder().Clear();
            }
            await administrator.RemoveAsync("body", people[2], 3);
            Assert.Equal(1, await CompareAsync(OfFile("first.db"), options));
            Assert.Equal(1, await CompareAsync(options, OfFile("first.db")));
        }
    }

    [Fact]
    public async Task What_changes_in_the_target_while_it_is_copied_is_found_and_the_target_stays_nobodys_store()
    {
        var people = await FillAsync(OfFile("source.db"), 3, 3, 100);
        await using (var source = new SqliteCopy(_folder.File("source.db")))
        await using (var target = await PostgresCopy.OpenAsync(_database.Service, default))
        {
            await source.HoldAsync(default);
            Assert.Null(await target.BeginAsync(source.Name, default));
            await foreach (var row in source.ReadAsync(null, default))
                await target.WriteAsync(row, default);
            await target.CommitAsync(default);
        }
        var administrator = HostileAdministrator.Of("", _database);
        await administrator.PutAsync("body", people[1], 2, Flipped(await administrator.ReadAsync("body", people[1], 2), 1));
        Assert.Equal(1, await CopyAsync(OfFile("source.db"), OfPostgres));
        Assert.Contains("They differ: compartment 2, body 2", _console.ToString());
        await Assert.ThrowsAsync<StoreException>(_database.OpenAsync);
        // An unfinished copy is no source either.
        Assert.Equal(2, await CopyAsync(OfPostgres, OfFile("second.db")));
    }

    [Fact]
    public async Task A_target_that_has_something_of_its_own_is_left_alone()
    {
        await FillAsync(OfFile("source.db"), 1, 1, 10);
        await FillAsync(OfPostgres, 1, 1, 10);
        await FillAsync(OfFile("other.db"), 1, 1, 10);
        foreach (var target in new[] { OfPostgres, OfFile("other.db") })
        {
            Assert.Equal(2, await CopyAsync(OfFile("source.db"), target));
            Assert.Contains("The target is not empty.", _console.ToString());
            _console.GetStringBuilder().Clear();
        }
        await (await _database.OpenAsync()).DisposeAsync();
    }

    [Fact]
    public async Task A_target_that_a_repository_is_at_is_left_alone_and_what_became_of_it_is_the_exit_code()
    {
        await FillAsync(OfFile("source.db"), 1, 1, 10);
        StoreSchema.Migrate(_folder.File("target.db"));
        foreach (var target in new[] { OfPostgres, OfFile("target.db") })
        {
            await using (var repository = await RepositoryHost.OpenStoreAsync(target, default))
            {
                await repository.PingAsync(default);
                Assert.Equal(2, await CopyAsync(OfFile("source.db"), target));
                Assert.Contains("Somebody is at the target", _console.ToString());
                _console.GetStringBuilder().Clear();
                // It is as it was.
                Assert.True(await repository.AppendAsync([new(RepositoryWorld.SomeNumber(), 0, [1], [new(1, [1], [2])])], default));
            }
            await (await RepositoryHost.OpenStoreAsync(target, default)).DisposeAsync();
        }
        var (from, to) = (WriteOptions("from.json", OfFile("source.db")), WriteOptions("to.json", OfFile("target.db")));
        foreach (var (command, exitCode) in new[] { (CopyStore.Name, 2), (CopyStore.CompareName, 1) })
        {
            using var process = Start(command, "--from", from, "--to", to);
            var said = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            Assert.True(process.ExitCode == exitCode, said);
        }
    }

    [Fact]
    public async Task Nobody_writes_to_a_source_while_it_is_copied()
    {
        await FillAsync(OfPostgres, 1, 1, 10);
        await using var source = await PostgresCopy.OpenAsync(_database.Service, default);
        await source.HoldAsync(default);
        var impatient = new NpgsqlConnectionStringBuilder(_database.Service) { Options = "-c lock_timeout=50" }.ToString();
        foreach (var write in (string[])
        [
            "UPDATE compartment SET head = 9", "INSERT INTO body (compartment, sequence, sealed) VALUES ('a', 1, '')", "DELETE FROM entry", "INSERT INTO part (compartment, content, number, sealed) VALUES ('a', gen_random_uuid(), 1, '')",
        ])
            Assert.Equal(PostgresErrorCodes.LockNotAvailable, (await Assert.ThrowsAsync<PostgresException>(() => PostgresDatabase.AskAsync(impatient, write))).SqlState);
        Assert.Equal(1L, await PostgresDatabase.AskAsync(impatient, "SELECT count(*) FROM body"));
        await source.DisposeAsync();
        await PostgresDatabase.AskAsync(impatient, "UPDATE compartment SET head = 9");
    }

    /// <returns>The people, in the order of the store.</returns>
    private static async Task<Pseudonym[]> FillAsync(RepositoryOptions options, int people, int rows, int bytes)
    {
        if (options.Postgres is null)
            StoreSchema.Migrate(options.DatabaseFile);
        await using var store = await RepositoryHost.OpenStoreAsync(options, default);
        var all = Enumerable.Range(0, people).Select(_ => RepositoryWorld.SomeNumber()).OrderBy(person => Convert.ToHexString(person.ToArray()), StringComparer.Ordinal).ToArray();
        await Task.WhenAll(all.Select(async person => Assert.True(await store.AppendAsync(
            [new(person, 0, [.. WrappedKey.HeaderOf(7), 5], [.. Enumerable.Range(1, rows).Select(s => new SealedRow(s, RandomNumberGenerator.GetBytes(30), RandomNumberGenerator.GetBytes(bytes)))])], default))));
        return all;
    }

    private RepositoryOptions OfFile(string name) => new() { Listen = "", Keys = "", DatabaseFile = _folder.File(name), IdentifierKeyFile = "", GatewayKeyFile = "" };

    private RepositoryOptions OfPostgres => OfFile("") with { Postgres = _database.Service };

    private async Task<int> CopyAsync(RepositoryOptions from, RepositoryOptions to)
    {
        if (to.Postgres is null)
            StoreSchema.Migrate(to.DatabaseFile);
        return await CopyStore.RunAsync(from, to, isCopied: true, _console);
    }

    private Task<int> CompareAsync(RepositoryOptions from, RepositoryOptions to) => CopyStore.RunAsync(from, to, isCopied: false, _console);

    private string WriteOptions(string name, RepositoryOptions options)
    {
        // It has a password.
        OwnerOnly.WriteWhole(_folder.File(name), JsonSerializer.SerializeToUtf8Bytes(new { options.DatabaseFile, options.Postgres }), overwrite: true);
        return _folder.File(name);
    }

    private static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, ArgumentList = { Solution.Output("fhir-adapters/KantaGateway.Repository", "KantaGateway.Repository.dll") } };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    private static byte[] Flipped(byte[] value, byte bit)
    {
        value[value.Length / 2] ^= bit;
        return value;
    }
}
