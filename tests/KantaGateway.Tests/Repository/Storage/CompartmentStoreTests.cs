using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>The storage contract; each engine runs it.</summary>
public abstract class CompartmentStoreTests : IAsyncLifetime
{
    private protected ICompartmentStore Store { get; set; } = null!;

    private protected abstract Task<ICompartmentStore> OpenAsync();

    public async Task InitializeAsync() => Store = await OpenAsync();

    public virtual async Task DisposeAsync() => await Store.DisposeAsync();

    [Fact]
    public async Task Rows_read_back_as_they_were_appended()
    {
        var person = RepositoryWorld.SomeNumber();
        var rows = Rows(1, 3);
        Assert.True(await Store.AppendAsync([new(person, 0, [7, 7], rows)], default));

        var index = (await Store.ReadIndexAsync(person, 0, default))!;
        Assert.Equal([7, 7], index.WrappedKey);
        Assert.Equal(3, index.Head);
        Assert.Equal([1L, 2L, 3L], index.Index.Select(e => e.Sequence));
        Assert.Equal(rows.Select(r => r.Index), index.Index.Select(e => e.Sealed));
        Assert.Equal([3L], (await Store.ReadIndexAsync(person, 2, default))!.Index.Select(e => e.Sequence));
        Assert.Empty((await Store.ReadIndexAsync(person, 3, default))!.Index);

        var body = await Store.ReadBodyAsync(person, 2, default);
        Assert.Equal(3, body.Head);
        Assert.Equal(rows[1].Body, body.Sealed);
        var bodies = await Store.ReadBodiesAsync(person, [3, 1, 9], default);
        Assert.Equal(3, bodies.Head);
        Assert.Equal([rows[2].Body, rows[0].Body, null], bodies.Sealed);
        Assert.Equal(3, (await Store.ReadBodiesAsync(person, [], default)).Head);
    }

    [Fact]
    public async Task What_was_never_written_is_not_there()
    {
        var person = RepositoryWorld.SomeNumber();
        Assert.Null(await Store.ReadIndexAsync(person, 0, default));
        Assert.Equal(default, await Store.ReadBodyAsync(person, 1, default));
        var none = await Store.ReadBodiesAsync(person, [1], default);
        Assert.Equal(0, none.Head);
        Assert.Equal([null], none.Sealed);
        Assert.True(await Store.AppendAsync([new(person, 0, [1], Rows(1, 1))], default));
        Assert.Equal(new StoredBody(1, null), await Store.ReadBodyAsync(person, 2, default));
    }

    [Fact]
    public async Task Keys_that_are_wrapped_with_another_version_are_found_and_replaced_where_nobody_has_changed_them()
    {
        static byte[] Wrapped(uint version, byte rest) => [.. WrappedKey.HeaderOf(version), .. Enumerable.Repeat(rest, 60)];
        var people = Enumerable.Range(0, 5).Select(_ => RepositoryWorld.SomeNumber()).OrderBy(person => Convert.ToHexString(person.ToArray()), StringComparer.Ordinal).ToList();
        for (byte i = 0; i < 5; i++)
            Assert.True(await Store.AppendAsync([new(people[i], 0, Wrapped(i == 2 ? 8u : 7u, i), Rows(1, 1))], default));

        Assert.True((await Store.CountKeysAsync(8, default)) is { All: >= 5, Others: >= 4 });
        var found = new List<StoredKey>();
        for (Pseudonym? after = null; await Store.ReadKeysAsync(8, after, 2, default) is { Count: > 0 } page; after = page[^1].Compartment)
            found.AddRange(page);
        Assert.Equal([people[0], people[1], people[3], people[4]], found.Select(key => key.Compartment).Where(people.Contains));
        Assert.Equal(Wrapped(7, 1), found.Single(key => key.Compartment == people[1]).Wrapped);

        Assert.Equal(1, await Store.ReplaceKeysAsync([new(people[0], Wrapped(7, 0), Wrapped(8, 9)), new(people[1], Wrapped(7, 99), Wrapped(8, 9)), new(RepositoryWorld.SomeNumber(), Wrapped(7, 0), Wrapped(8, 9))], default));
        Assert.Equal(Wrapped(8, 9), (await Store.ReadIndexAsync(people[0], 1, default))!.WrappedKey);
        Assert.Equal(Wrapped(7, 1), (await Store.ReadIndexAsync(people[1], 1, default))!.WrappedKey);
        Assert.Equal(0, await Store.ReplaceKeysAsync([], default));
    }

    [Fact]
    public async Task Of_a_compartment_that_was_destroyed_nothing_is_left_and_nothing_is_appended_to_it()
    {
        static byte[] Wrapped(byte rest) => [.. WrappedKey.HeaderOf(7), .. Enumerable.Repeat(rest, 60)];
        var (erased, neighbour, never) = (RepositoryWorld.SomeNumber(), RepositoryWorld.SomeNumber(), RepositoryWorld.SomeNumber());
        var content = Guid.CreateVersion7();
        await Store.StorePartAsync(erased, content, 0, new byte[] { 1 }, default);
        await Store.StorePartAsync(neighbour, content, 0, new byte[] { 1 }, default);
        foreach (var person in new[] { erased, neighbour })
            Assert.True(await Store.AppendAsync([new(person, 0, Wrapped(1), [new(1, [5], [6], content), new(2, [5], [6])])], default));
        var before = await Store.CountKeysAsync(8, default);

        foreach (var _ in new[] { 1, 2 })
        {
            await Store.EraseAsync(erased, default);
            await Store.EraseAsync(never, default);
        }
        foreach (var (person, head) in new[] { (erased, 3L), (never, 1L) })
        {
            var index = (await Store.ReadIndexAsync(person, 0, default))!;
            Assert.True(index is { IsErased: true, Index: [] } && index.Head == head);
            Assert.Equal(new StoredBody(head, null), await Store.ReadBodyAsync(person, 1, default));
            Assert.Equal([null, null], (await Store.ReadBodiesAsync(person, [1, 2], default)).Sealed);
            Assert.Equal(-1, await Store.ReadPartAsync(person, content, 0, new byte[10], default));
            foreach (var expected in new[] { 0L, 2 })
                Assert.False(await Store.AppendAsync([new(person, expected, expected == 0 ? Wrapped(2) : null, Rows(expected + 1, 1))], default));
        }
        // Of everybody else everything is.
        Assert.Equal(2, (await Store.ReadIndexAsync(neighbour, 0, default))!.Index.Count);
        Assert.NotNull((await Store.ReadBodyAsync(neighbour, 2, default)).Sealed);
        Assert.Equal(1, await Store.ReadPartAsync(neighbour, content, 0, new byte[10], default));
        // No rotation waits for it.
        Assert.Equal(new StoredKeyCount(before.All - 1, before.Others - 1), await Store.CountKeysAsync(8, default));
        Assert.DoesNotContain(await Store.ReadKeysAsync(8, null, 10_000, default), key => key.Compartment == erased || key.Compartment == never);
    }

    [Fact]
    public async Task Rows_are_replaced_all_or_none_with_the_key_and_whoever_has_sealed_under_the_old_one_appends_nothing()
    {
        var (person, neighbour) = (RepositoryWorld.SomeNumber(), RepositoryWorld.SomeNumber());
        var (kept, copy) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        // More than are sealed anew at a time.
        foreach (var one in new[] { person, neighbour })
        {
            await Store.StorePartAsync(one, kept, 0, new byte[] { 1 }, default);
            Assert.True(await Store.AppendAsync([new(one, 0, [1], [.. Rows(1, 600), new(601, [5], [6], kept)])], default));
        }
        await Store.StorePartAsync(person, copy, 0, new byte[] { 2 }, default);
        var before = (await Store.ReadIndexAsync(person, 0, default))!;

        // It is taken back as a whole, whatever throws, and nothing is done where the key is another one.
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await Store.ResealAsync(new(person, [1], [2]), row => row.Sequence == 500 ? throw new InvalidOperationException() : Anew(row), _ => Task.CompletedTask, default));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await Store.ResealAsync(new(person, [1], [2]), Anew, _ => throw new InvalidOperationException(), default));
        Assert.False(await Store.ResealAsync(new(person, [9], [2]), Anew, _ => Task.CompletedTask, default));
        Assert.False(await Store.ResealAsync(new(RepositoryWorld.SomeNumber(), [1], [2]), Anew, _ => Task.CompletedTask, default));
        var after = (await Store.ReadIndexAsync(person, 0, default))!;
        Assert.Equal((0L, 0L), (before.Generation, after.Generation));
        Assert.Equal(before.WrappedKey, after.WrappedKey);
        Assert.Equal(before.Index.Select(e => e.Sealed), after.Index.Select(e => e.Sealed));
        Assert.NotEqual(8, (await Store.ReadBodyAsync(person, 601, default)).Sealed![0]);

        var heads = new List<long>();
        var seen = new List<long>();
        Assert.True(await Store.ResealAsync(new(person, [1], [2]), row =>
        {
            seen.Add(row.Sequence);
            return Anew(row);
        }, async head =>
        {
            heads.Add(head);
            // Nobody sees anything of it yet.
            Assert.Equal(before.WrappedKey, (await Store.ReadIndexAsync(person, long.MaxValue, default))!.WrappedKey);
        }, default));
        Assert.Equal(Enumerable.Range(1, 601).Select(i => (long)i), seen);
        Assert.Equal([601L], heads);
        after = (await Store.ReadIndexAsync(person, 0, default))!;
        Assert.Equal((1L, 601L), (after.Generation, after.Head));
        Assert.Equal([2], after.WrappedKey);
        Assert.All(after.Index, entry => Assert.Equal([9], entry.Sealed[..1]));
        Assert.Equal((1L, 601L), ((await Store.ReadBodyAsync(person, 600, default)) is { Generation: var g, Sealed: [8, ..], Head: var h } ? (g, h) : default));
        Assert.True(await Store.ReadBodiesAsync(person, [1], default) is { Generation: 1, Sealed: [[8, ..]] });
        // Of the old generation nothing is appended, nor of one to come; alone and together with others.
        foreach (var generation in new[] { 0L, 2 })
        {
            Assert.False(await Store.AppendAsync([new(person, 601, null, Rows(602, 1), generation)], default));
            Assert.False(await Store.AppendAsync([new(person, 601, null, [.. Rows(602, 1), new(603, [5], [6], Guid.CreateVersion7())], generation)], default));
            Assert.False(await Store.AppendAsync([new(person, 601, null, Rows(602, 1), generation), new(neighbour, 601, null, Rows(602, 1))], default));
        }
        Assert.True(await Store.AppendAsync([new(person, 601, null, Rows(602, 1), 1), new(neighbour, 601, null, Rows(602, 1))], default));
        Assert.Equal((0L, 602), ((await Store.ReadIndexAsync(neighbour, 0, default))! is { Generation: var of, Index.Count: var count } ? (of, count) : default));
        // Contents that no row has any more are those that the sweep takes.
        await Store.SweepPartsAsync(Guid.CreateVersion7(DateTimeOffset.UtcNow.AddHours(1)), default);
        var buffer = new byte[10];
        Assert.Equal((-1, 1, 1), (await Store.ReadPartAsync(person, kept, 0, buffer, default), await Store.ReadPartAsync(person, copy, 0, buffer, default), await Store.ReadPartAsync(neighbour, kept, 0, buffer, default)));

        SealedRow Anew(StoredRow row) => new(row.Sequence, [9, .. row.Index], [8, .. row.Body], row.Sequence == 601 ? copy : null);
    }

    [Fact]
    public async Task Rows_that_are_appended_while_all_are_replaced_are_replaced_too_or_refused()
    {
        var person = RepositoryWorld.SomeNumber();
        Assert.True(await Store.AppendAsync([new(person, 0, [1], Rows(1, 1_000))], default));
        using var stop = new CancellationTokenSource();
        var head = 1_000L;
        var appending = Task.Run(async () =>
        {
            while (await Store.AppendAsync([new(person, head, null, Rows(head + 1, 1))], default))
                head++;
        });
        Assert.True(await Store.ResealAsync(new(person, [1], [2]), row => new(row.Sequence, [9, .. row.Index], [8, .. row.Body]), _ => Task.CompletedTask, default));
        await appending;
        var after = (await Store.ReadIndexAsync(person, 0, default))!;
        Assert.Equal((head, (int)head), (after.Head, after.Index.Count));
        Assert.All(after.Index, static entry => Assert.Equal([9], entry.Sealed[..1]));
    }

    [Fact]
    public async Task Parts_of_a_content_last_once_a_row_has_it()
    {
        var person = RepositoryWorld.SomeNumber();
        var (kept, dropped) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        foreach (var content in new[] { kept, dropped })
            for (var number = 0; number < 2; number++)
                await Store.StorePartAsync(person, content, number, new byte[] { 1, 2, (byte)number }, default);
        Assert.True(await Store.AppendAsync([new(person, 0, [1], [new(1, [5], [6]), new(2, [5], [6], kept), new(3, [5], [6])])], default));

        var buffer = new byte[10];
        Assert.Equal(3, await Store.ReadPartAsync(person, dropped, 1, buffer, default));
        Assert.Equal([1, 2, 1], buffer[..3]);
        Assert.Equal(-1, await Store.ReadPartAsync(person, kept, 2, buffer, default));
        Assert.Equal(-1, await Store.ReadPartAsync(RepositoryWorld.SomeNumber(), kept, 0, buffer, default));
        await Assert.ThrowsAsync<StoreException>(async () => await Store.ReadPartAsync(person, kept, 0, new byte[2], default));

        await Store.SweepPartsAsync(Guid.CreateVersion7(DateTimeOffset.UtcNow.AddHours(-1)), default);
        Assert.Equal(3, await Store.ReadPartAsync(person, dropped, 0, buffer, default));
        await Store.SweepPartsAsync(Guid.CreateVersion7(DateTimeOffset.UtcNow.AddHours(1)), default);
        Assert.Equal(-1, await Store.ReadPartAsync(person, dropped, 0, buffer, default));
        Assert.Equal(3, await Store.ReadPartAsync(person, kept, 0, buffer, default));
        Assert.Equal([1L, 2L, 3L], (await Store.ReadIndexAsync(person, 0, default))!.Index.Select(e => e.Sequence));
    }

    [Fact]
    public async Task Parts_of_an_upload_are_dropped_unless_a_row_has_them()
    {
        var person = RepositoryWorld.SomeNumber();
        var (kept, dropped, other) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7());
        foreach (var content in new[] { kept, dropped, other })
            await Store.StorePartAsync(person, content, 0, new byte[] { 1 }, default);
        Assert.True(await Store.AppendAsync([new(person, 0, [1], [new(1, [5], [6], kept)])], default));
        await Store.DropPartsAsync(person, dropped, default);
        await Store.DropPartsAsync(person, kept, default);
        await Store.DropPartsAsync(RepositoryWorld.SomeNumber(), other, default);
        var buffer = new byte[10];
        Assert.Equal(-1, await Store.ReadPartAsync(person, dropped, 0, buffer, default));
        Assert.Equal(1, await Store.ReadPartAsync(person, kept, 0, buffer, default));
        Assert.Equal(1, await Store.ReadPartAsync(person, other, 0, buffer, default));
    }

    [Fact]
    public async Task An_empty_body_is_stored_as_one()
    {
        var person = RepositoryWorld.SomeNumber();
        Assert.True(await Store.AppendAsync([new(person, 0, [1], [new(1, [5], [])])], default));
        var body = await Store.ReadBodyAsync(person, 1, default);
        Assert.NotNull(body.Sealed);
        Assert.Empty(body.Sealed);
    }

    [Fact]
    public async Task An_append_to_another_head_than_expected_stores_nothing()
    {
        var person = RepositoryWorld.SomeNumber();
        Assert.True(await Store.AppendAsync([new(person, 0, [1], Rows(1, 2))], default));
        Assert.False(await Store.AppendAsync([new(person, 0, [2], Rows(1, 1))], default));
        Assert.False(await Store.AppendAsync([new(person, 1, null, Rows(2, 1))], default));
        Assert.False(await Store.AppendAsync([new(person, 5, null, Rows(6, 1))], default));
        var index = (await Store.ReadIndexAsync(person, 0, default))!;
        Assert.Equal((2L, 2, (byte)1), (index.Head, index.Index.Count, index.WrappedKey[0]));
        Assert.True(await Store.AppendAsync([new(person, 2, null, Rows(3, 1))], default));
    }

    [Fact]
    public async Task An_append_to_a_compartment_that_is_not_there_stores_nothing_and_makes_none()
    {
        var (there, absent) = (RepositoryWorld.SomeNumber(), RepositoryWorld.SomeNumber());
        Assert.True(await Store.AppendAsync([new(there, 0, [1], Rows(1, 1))], default));
        Assert.False(await Store.AppendAsync([new(absent, 1, null, Rows(2, 1))], default));
        Assert.False(await Store.AppendAsync([new(there, 1, null, Rows(2, 1)), new(absent, 1, null, Rows(2, 2))], default));
        // Beside others, which an engine may commit with it.
        var people = Enumerable.Range(0, 100).Select(_ => RepositoryWorld.SomeNumber()).ToArray();
        var outcomes = await Task.WhenAll(people.Append(absent).Select(async person => await Store.AppendAsync([person == absent ? new(person, 1, null, Rows(2, 1)) : new(person, 0, [1], Rows(1, 1))], default)));
        Assert.Equal([.. people.Select(_ => true), false], outcomes);
        Assert.Null(await Store.ReadIndexAsync(absent, 0, default));
        Assert.Equal(1, (await Store.ReadIndexAsync(there, 0, default))!.Head);
    }

    [Fact]
    public async Task An_append_to_two_compartments_is_all_or_nothing()
    {
        var (first, second) = (RepositoryWorld.SomeNumber(), RepositoryWorld.SomeNumber());
        Assert.True(await Store.AppendAsync([new(second, 0, [1], Rows(1, 1))], default));
        Assert.False(await Store.AppendAsync([new(first, 0, [1], Rows(1, 1)), new(second, 0, [1], Rows(1, 1))], default));
        Assert.Null(await Store.ReadIndexAsync(first, 0, default));
        Assert.True(await Store.AppendAsync([new(first, 0, [1], Rows(1, 1)), new(second, 1, null, Rows(2, 2))], default));
        Assert.Equal((1L, 3L), ((await Store.ReadIndexAsync(first, 0, default))!.Head, (await Store.ReadIndexAsync(second, 0, default))!.Head));
    }

    [Fact]
    public async Task Of_concurrent_appends_to_one_head_exactly_one_wins()
    {
        var person = RepositoryWorld.SomeNumber();
        var won = await Task.WhenAll(Enumerable.Range(0, 20).Select(async n =>
            await Store.AppendAsync([new(person, 0, [(byte)n], [new(1, [(byte)n], [(byte)n])])], default)));
        var winner = (byte)Array.IndexOf(won, true);
        Assert.Single(won, true);
        var index = (await Store.ReadIndexAsync(person, 0, default))!;
        Assert.Equal((1L, winner, winner), (index.Head, index.WrappedKey[0], Assert.Single(index.Index).Sealed[0]));
    }

    [Fact]
    public async Task Concurrent_appends_to_different_compartments_all_land()
    {
        var people = Enumerable.Range(0, 200).Select(_ => RepositoryWorld.SomeNumber()).ToArray();
        var stored = await Task.WhenAll(people.Select(async p => await Store.AppendAsync([new(p, 0, [1], Rows(1, 3))], default)));
        Assert.DoesNotContain(false, stored);
        foreach (var person in people)
            Assert.Equal(3, (await Store.ReadIndexAsync(person, 0, default))!.Index.Count);
    }

    [Fact]
    public async Task The_head_never_shows_rows_that_are_not_there()
    {
        var person = RepositoryWorld.SomeNumber();
        using var done = new CancellationTokenSource();
        var reading = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
                if (await Store.ReadIndexAsync(person, 0, default) is { } index)
                    Assert.Equal(index.Head, index.Index.Count);
        });
        for (var head = 0; head < 100; head += 2)
            Assert.True(await Store.AppendAsync([new(person, head, head == 0 ? [1] : null, Rows(head + 1, 2))], default));
        await done.CancelAsync();
        await reading;
    }

    private protected static SealedRow[] Rows(long first, int count) =>
        [.. Enumerable.Range(0, count).Select(i => new SealedRow(first + i, RandomNumberGenerator.GetBytes(100), RandomNumberGenerator.GetBytes(3000)))];
}

public sealed class SqliteStoreTests : CompartmentStoreTests
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-").FullName;

    private string DatabaseFile => Path.Combine(_folder, "sub", "store.db");

    private protected override Task<ICompartmentStore> OpenAsync()
    {
        StoreSchema.Migrate(DatabaseFile);
        return Task.FromResult<ICompartmentStore>(new SqliteStore(DatabaseFile));
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Another_process_sees_what_was_acknowledged()
    {
        var person = RepositoryWorld.SomeNumber();
        Assert.True(await Store.AppendAsync([new(person, 0, [1], Rows(1, 1))], default));
        await using var other = new SqliteStore(DatabaseFile);
        Assert.Equal(1, (await other.ReadIndexAsync(person, 0, default))!.Head);
        Assert.True(await other.AppendAsync([new(person, 1, null, Rows(2, 1))], default));
        Assert.Equal(2, (await Store.ReadIndexAsync(person, 0, default))!.Head);
    }

    [Fact]
    public void Files_are_the_owners_alone()
    {
        if (!OperatingSystem.IsWindows())
            foreach (var file in Directory.GetFiles(Path.GetDirectoryName(DatabaseFile)!))
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
    }

    [Fact]
    public void A_missing_store_is_never_made_silently()
    {
        var missing = Path.Combine(_folder, "other.db");
        Assert.Throws<StoreException>(() => new SqliteStore(missing));
        Assert.False(File.Exists(missing));
        File.WriteAllBytes(missing, []);
        Assert.Throws<StoreException>(() => new SqliteStore(missing));
    }

    [Fact]
    public async Task A_failing_write_is_not_acknowledged_and_the_next_one_works()
    {
        var person = RepositoryWorld.SomeNumber();
        // Another process holds the write lock for longer than the store waits.
        await using (var blocker = SqliteStore.Open(DatabaseFile, Microsoft.Data.Sqlite.SqliteOpenMode.ReadWrite))
        {
            SqliteStatement.Execute(blocker, "BEGIN IMMEDIATE");
            await Assert.ThrowsAsync<StoreException>(async () => await Store.AppendAsync([new(person, 0, [1], Rows(1, 1))], default));
            SqliteStatement.Execute(blocker, "ROLLBACK");
        }
        Assert.Null(await Store.ReadIndexAsync(person, 0, default));
        Assert.True(await Store.AppendAsync([new(person, 0, [1], Rows(1, 1))], default));
    }
}

public sealed class PostgresStoreTests : CompartmentStoreTests
{
    private PostgresDatabase _database = null!;

    private protected override async Task<ICompartmentStore> OpenAsync()
    {
        _database = await (await PostgresServer.NewDatabaseAsync()).MigratedAsync();
        return await _database.OpenAsync();
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_a_store_failure() =>
        await Assert.ThrowsAsync<StoreException>(() => PostgresStore.OpenAsync("Host=/nonexistent;Username=x;Database=x;Timeout=2", default));

    /// <summary>Appends of many are one commit, and yet each is its own.</summary>
    [Fact]
    public async Task An_append_that_fails_or_has_lost_takes_no_other_one_with_it()
    {
        var people = Enumerable.Range(0, 200).Select(_ => RepositoryWorld.SomeNumber()).ToArray();
        Assert.DoesNotContain(false, await Task.WhenAll(people.Select(async person => await Store.AppendAsync([new(person, 0, [1], Rows(1, 1))], default))));
        // A row where the next one of this person belongs: an error of the database at each attempt.
        await HostileAdministrator.Of("", _database).PutAsync("entry", people[100], 2, [1]);
        for (var round = 1; round <= 5; round++)
        {
            var outcomes = await Task.WhenAll(people.Select(async (person, i) =>
            {
                try
                {
                    // Every tenth expects a head that is not there.
                    var head = i == 100 ? 1 : i % 10 == 3 ? round + 5 : round;
                    return await Store.AppendAsync([new(person, head, null, Rows(head + 1, 1))], default);
                }
                catch (StoreException)
                {
                    return (bool?)null;
                }
            }));
            for (var i = 0; i < people.Length; i++)
                Assert.Equal(i == 100 ? null : i % 10 != 3, outcomes[i]);
        }
        Assert.Equal(6, (await Store.ReadIndexAsync(people[0], 0, default))!.Index.Count);
        Assert.Equal((1L, 1), ((await Store.ReadIndexAsync(people[3], 0, default))!.Head, (await Store.ReadIndexAsync(people[3], 0, default))!.Index.Count));
    }

    /// <summary>Rotation and writers take rows of many people in one transaction each.</summary>
    [Fact]
    public async Task Keys_are_replaced_while_everybody_writes_and_nobody_waits_for_ever()
    {
        var people = Enumerable.Range(0, 100).Select(_ => RepositoryWorld.SomeNumber()).ToArray();
        Assert.DoesNotContain(false, await Task.WhenAll(people.Select(async person => await Store.AppendAsync([new(person, 0, [1], Rows(1, 1))], default))));
        var writing = Task.WhenAll(people.Select(async person =>
        {
            for (var head = 1; head <= 10; head++)
                Assert.True(await Store.AppendAsync([new(person, head, null, Rows(head + 1, 1))], default));
        }));
        // In an order that is not the writers'.
        for (byte version = 1; version <= 20; version++)
            Assert.Equal(100, await Store.ReplaceKeysAsync([.. people.Reverse().Select(person => new ReplacedKey(person, [version], [(byte)(version + 1)]))], default));
        await writing;
    }
}
