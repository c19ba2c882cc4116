using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;
using KantaGateway.Dev;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Operations;
using KantaGateway.Tests.Faults;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Npgsql;

namespace KantaGateway.Tests.Audit;

/// <summary>Several gateways over one database have one log, and none can stop the others, or make it another.</summary>
public sealed class SharedAuditLogTests
{
    /// <summary>Whoever owns the database hides nothing from a search: neither by an innocent row in the place of another, nor with the hashes of the tree put right for it.</summary>
    [Fact]
    public async Task A_search_says_that_a_copied_row_is_unreadable_also_where_the_tree_was_made_to_fit()
    {
        using var place = await LogDatabase.NewAsync();
        var now = DateTimeOffset.UtcNow;
        byte[] leaf = [];
        await using (var log = place.Open())
        {
            await log.AppendAsync([.. Enumerable.Range(0, 700).Select(i => LogPlace.Entry(i))]);
            Assert.Equal([3L, 600L], (await SearchAsync(log)).Found.Select(static one => one.Entry.Index));
            await place.RewriteAsync(rows => rows.Select(row => row.Index is not (3 or 600) ? row : (row.Index, rows[(int)row.Index + 1].Row)).Select(row =>
            {
                leaf = row.Index == 3 ? row.Row.Leaf : leaf;
                return row;
            }));
            var copied = await SearchAsync(log);
            Assert.Equal([3L, 600L], copied.Unreadable);
            Assert.Empty(copied.Found);
        }
        await place.AsOwnerAsync($"UPDATE tile SET hashes = overlay(hashes placing '\\x{Convert.ToHexStringLower(Merkle.HashLeaf(leaf))}'::bytea from {3 * Merkle.HashLength + 1}) WHERE level = 0 AND number = 0");
        await using (var log = place.Open())
        {
            var fitted = await SearchAsync(log);
            Assert.Equal([.. Enumerable.Range(0, 256).Select(static i => (long)i), 600L], fitted.Unreadable);
            Assert.Equal(257, fitted.UnreadableCount);
        }

        Task<AuditFindings> SearchAsync(AuditLog log) => log.SearchAsync(new(now.AddMinutes(-5), now.AddMinutes(5), (encs, _) => Task.FromResult<IReadOnlyList<byte[]?>>([.. encs.Select(enc => place.Reader.KeyOf(enc))]),
            static (record, _) => record.EndsWith("\"id\":\"3\"}"u8) || record.EndsWith("\"id\":\"600\"}"u8)));
    }

    [Fact]
    public async Task Appends_of_several_are_there_once_each_without_gaps_and_what_any_publishes_is_one_history()
    {
        const int Logs = 3, Callers = 4, Rounds = 25;
        using var place = await LogDatabase.NewAsync();
        var logs = Enumerable.Range(0, Logs).Select(_ => AuditLog.Open(place.Options() with { CheckpointInterval = TimeSpan.FromMilliseconds(5) }, TimeProvider.System)).ToArray();
        var (acknowledged, notes) = (new ConcurrentDictionary<long, string>(), new ConcurrentBag<string>());
        using var done = new CancellationTokenSource();
        // A reader who is sent now to one and now to another.
        var watching = Task.Run(async () =>
        {
            for (var (turn, last) = (0, 0L); !done.IsCancellationRequested; turn++)
            {
                var note = await logs[turn % Logs].ReadNewestCheckpointAsync();
                var size = SizeOf(note);
                Assert.True(size >= last, $"{size} after {last}");
                if (size > last)
                    notes.Add(note);
                last = size;
            }
        });
        await Task.WhenAll(Enumerable.Range(0, Logs * Callers).Select(async caller =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                var entries = Enumerable.Range(0, 1 + (caller + round) % 4).Select(i => LogPlace.Entry(caller * 1000 + round * 4 + i)).ToArray();
                foreach (var (i, receipt) in (await logs[caller % Logs].AppendAsync(entries)).Index())
                    Assert.True(acknowledged.TryAdd(receipt.Index, $"{caller * 1000 + round * 4 + i}"), $"{receipt.Index} twice");
                if (round != Rounds / 2)
                    continue;
                await logs[caller % Logs].PublishAsync();
                notes.Add(await logs[(caller + 1) % Logs].ReadNewestCheckpointAsync());
            }
        }));
        await logs[1].PublishAsync();
        await done.CancelAsync();
        await watching;
        Assert.Equal(Enumerable.Range(0, acknowledged.Count).Select(i => (long)i), acknowledged.Keys.Order());
        foreach (var log in logs)
            Assert.Equal(acknowledged.OrderBy(one => one.Key).Select(one => one.Value), place.Stored(log));
        var verification = place.Verify();
        Assert.Empty(verification.Faults);
        Assert.Equal((acknowledged.Count, acknowledged.Count), (verification.Entries, verification.Published!.Size));
        // Each continues every one before it.
        var tree = new TiledTree(verification.Published.Size, tile => LogPlace.Tile(logs[2], tile));
        Assert.Contains(notes, note => SizeOf(note) < tree.Size);
        foreach (var note in notes)
        {
            Assert.True(Checkpoint.TryOpen(note, place.Verifier, out var earlier));
            Assert.True(TiledTree.IsConsistent(earlier.Size, earlier.Root, tree.Size, verification.Published.Root, tree.ProveConsistency(earlier.Size)));
        }
        Assert.Empty(place.Verify(notes.MinBy(SizeOf)).Faults);
        foreach (var log in logs)
            await log.DisposeAsync();
    }

    [Fact]
    public async Task What_one_recorded_the_other_shows_and_proves()
    {
        using var place = await LogDatabase.NewAsync();
        await using var one = place.Open();
        await using var other = place.Open();
        var receipts = await one.AppendAsync([.. Enumerable.Range(0, 700).Select(i => LogPlace.Entry(i, (byte)(i % 2)))]);
        Assert.Equal(Enumerable.Range(0, 350).Select(i => $"{2 * i + 1}"), place.Stored(other, 1));
        foreach (var index in (int[])[0, 255, 256, 513, 699])
        {
            var proof = (await other.ProveAsync(index, LogPlace.ReceiverOf((byte)(index % 2))))!;
            Assert.True(proof.IsOf(place.Verifier));
            Assert.Equal(receipts[index].EntryId, proof.EntryId);
            Assert.Null(await other.ProveAsync(index, LogPlace.ReceiverOf((byte)(1 - index % 2))));
        }
        // Of a tree that the one has not published and the other has: tiles are of what is published by now.
        Assert.NotNull(await one.ReadTileAsync(new(TilePath.Entries, 2, 188)));
        Assert.Equal(other.ReadCheckpoint(), await one.ReadNewestCheckpointAsync());
    }

    [Fact]
    public async Task What_one_recorded_before_it_was_gone_is_published_by_another_within_a_second()
    {
        using var place = await LogDatabase.NewAsync();
        await using var other = place.Open();
        // It dies between the commit and its checkpoint.
        var dead = place.Open(step =>
        {
            if (step == DurableStep.BeforeCheckpoint)
                throw new IOException("Killed.");
        });
        await dead.AppendAsync(LogPlace.Entry(1));
        while (SizeOf(other.ReadCheckpoint()) < 1)
            await Task.Yield();
        await dead.DisposeAsync();
        Assert.Empty(place.Verify().Faults);
    }

    public static TheoryData<string> Steps => [.. new[] { DurableStep.BeforeInsert, DurableStep.BeforeCommit, DurableStep.AfterCommit, DurableStep.BeforeCheckpoint, DurableStep.AfterCheckpoint }.Select(step => $"{step}")];

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_connection_that_is_ended_at_any_step_loses_nothing_that_was_acknowledged_and_stores_nothing_twice(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var place = await LogDatabase.NewAsync();
        var armed = false;
        var ended = 0;
        List<string> acknowledged = [], unknown = [];
        await using var other = place.Open();
        await using (var log = place.Open(now =>
        {
            if (!armed || now != at)
                return;
            armed = false;
            ended++;
            place.DisconnectAsync().GetAwaiter().GetResult();
        }))
        {
            for (var i = 0; i < 40; i++)
            {
                armed = i % 10 == 5;
                try
                {
                    await log.AppendAsync(LogPlace.Entry(i));
                    acknowledged.Add($"{i}");
                }
                catch (AuditUnavailableException)
                {
                    unknown.Add($"{i}");
                }
                try
                {
                    if (i % 5 == 0)
                        await log.PublishAsync();
                }
                catch (AuditUnavailableException)
                {
                    // It is published with the next.
                }
            }
        }
        Assert.True(ended > 0);
        await PublishedAsync(other);
        var stored = await place.StoredAsync();
        Assert.Equal(stored.Distinct(), stored);
        Assert.Equal(acknowledged, stored.Except(unknown));
        Assert.Empty(place.Verify().Faults);
    }

    [Fact]
    public async Task Who_waits_for_an_answer_holds_up_nobody_else()
    {
        using var place = await LogDatabase.NewAsync();
        using var folder = new TemporaryFolder();
        var service = new NpgsqlConnectionStringBuilder(place.Database.Service);
        await using var line = new Line(folder.File(".s.PGSQL.5432"), Path.Combine(service.Host!, ".s.PGSQL.5432"));
        place.Connection = new NpgsqlConnectionStringBuilder(service.ToString()) { Host = folder.Path, CommandTimeout = 60 }.ToString();
        var isHeld = false;
        await using var hung = place.Open(step =>
        {
            if (isHeld && step == DurableStep.BeforeInsert)
                line.Hold();
        });
        place.Connection = null;
        await using var other = place.Open();
        await hung.AppendAsync(LogPlace.Entry(1));
        isHeld = true;
        // It comes to the server, and its answer does not come back.
        var waiting = hung.AppendAsync(LogPlace.Entry(2)).AsTask();
        try
        {
            while (line.Held == 0)
                await Task.Yield();
            for (var i = 3; i < 10; i++)
                await other.AppendAsync(LogPlace.Entry(i));
            await other.PublishAsync();
            Assert.False(waiting.IsCompleted);
        }
        finally
        {
            isHeld = false;
            line.GoOn();
        }
        await waiting;
        Assert.Empty(place.Verify().Faults);
    }

    [Fact]
    public async Task An_append_whose_answer_is_lost_is_not_acknowledged_and_not_made_again()
    {
        using var place = await LogDatabase.NewAsync();
        using var folder = new TemporaryFolder();
        var service = new NpgsqlConnectionStringBuilder(place.Database.Service);
        await using var line = new Line(folder.File(".s.PGSQL.5432"), Path.Combine(service.Host!, ".s.PGSQL.5432"));
        place.Connection = new NpgsqlConnectionStringBuilder(service.ToString()) { Host = folder.Path }.ToString();
        var isCut = false;
        await using var log = place.Open(step =>
        {
            // From here on: it comes to the server and is committed.
            if (isCut && step == DurableStep.BeforeCommit)
                (isCut, line.Cut) = (false, Cut.Answers);
        });
        await log.AppendAsync(LogPlace.Entry(1));
        isCut = true;
        var lost = log.AppendAsync(LogPlace.Entry(2)).AsTask();
        while (line.Broken == 0)
            await Task.Yield();
        line.Cut = Cut.Nowhere;
        await Assert.ThrowsAsync<AuditUnavailableException>(() => lost);
        place.Connection = null;
        await AppendedAsync(log, 3);
        Assert.Equal(["1", "2", "3"], await place.StoredAsync());
        Assert.Empty(place.Verify().Faults);
    }

    [Fact]
    public async Task While_somebody_holds_the_head_appends_are_refused_and_stored_nowhere_and_go_on_when_it_is_free()
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync(LogPlace.Entry(1));
        await using (var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(place.Database.Owner) { Pooling = false }))
        {
            await using var holder = await source.OpenConnectionAsync();
            await using var transaction = await holder.BeginTransactionAsync();
            await using (var hold = new NpgsqlCommand("SELECT 1 FROM log FOR UPDATE", holder, transaction))
                await hold.ExecuteNonQueryAsync();
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(2)));
            Assert.False(log.IsTaking);
            // What is committed is published all the same.
            await transaction.RollbackAsync();
        }
        Assert.Equal(1, (await log.AppendAsync(LogPlace.Entry(3))).Index);
        Assert.True(log.IsTaking);
        Assert.Equal(["1", "3"], place.Stored(log));
    }

    [Fact]
    public async Task A_database_that_is_gone_takes_no_entries_and_is_written_again_when_it_is_back()
    {
        using var server = await LocalPostgres.StartAsync(null, "fsync=off");
        using var place = await LogDatabase.NewAsync(server.Superuser);
        await using var log = place.Open();
        await log.AppendAsync(LogPlace.Entry(1));
        await place.AllowAsync(connections: false);
        for (var i = 0; i < 3; i++)
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(2)));
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.ForSubjectAsync(LogPlace.Subject(1), 1));
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.ReadNewestCheckpointAsync());
        await place.AllowAsync(connections: true);
        // A crash of the server in between changes nothing.
        await server.RestartAsync("immediate");
        await AppendedAsync(log, 3);
        await PublishedAsync(log);
        Assert.Equal(["1", "3"], await place.StoredAsync());
        Assert.Empty(place.Verify().Faults);
    }

    [Theory]
    [InlineData("DELETE FROM entry WHERE index = 4; UPDATE log SET size = 4")]
    [InlineData("UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE index = 1) WHERE index = 4")]
    public async Task A_database_that_comes_back_without_what_was_acknowledged_is_not_continued(string loss)
    {
        using var place = await LogDatabase.NewAsync();
        var said = new FakeLogger();
        await using var log = AuditLog.Open(place.Options() with { OnStep = step => { if (step == DurableStep.BeforeCheckpoint) throw new IOException("Nothing is published."); } }, TimeProvider.System, said);
        for (var i = 0; i < 5; i++)
            await AppendedAsync(log, i);
        await place.AsOwnerAsync(loss);
        var stored = await place.AsOwnerAsync("SELECT count(*) FROM entry");
        await place.DisconnectAsync();
        // Until it has looked, for it finds the server only a second later, and then again.
        while (said.Collector.GetSnapshot().Count(message => message.Message.Contains(nameof(AuditStoreException), StringComparison.Ordinal)) < 2)
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(9)));
        Assert.Equal(stored, await place.AsOwnerAsync("SELECT count(*) FROM entry"));
    }

    [Theory]
    [InlineData("UPDATE checkpoint SET size = 200, note = (SELECT note FROM older), edge = (SELECT edge FROM older)", true, false)]
    [InlineData("UPDATE checkpoint SET note = replace(note, 'localhost', 'elsewhere')", true, true)]
    [InlineData("UPDATE checkpoint SET size = 299", true, true)]
    [InlineData("UPDATE checkpoint SET edge = set_byte(edge, 5, get_byte(edge, 5) # 1)", false, true)]
    [InlineData("UPDATE checkpoint SET edge = substring(edge FROM 2)", false, true)]
    [InlineData("UPDATE log SET size = 299", true, true)]
    public async Task A_log_that_contradicts_what_was_published_is_neither_gone_on_with_nor_opened(string change, bool isSeenByWhoHasItOpen, bool isSeenAtTheStart)
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 200).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        await place.AsOwnerAsync("CREATE TABLE IF NOT EXISTS older (note text, edge bytea); TRUNCATE older; INSERT INTO older SELECT note, edge FROM checkpoint");
        await log.AppendAsync([.. Enumerable.Range(0, 100).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        await place.AsOwnerAsync(change);
        if (isSeenByWhoHasItOpen)
        {
            await Assert.ThrowsAsync<AuditUnavailableException>(log.PublishAsync);
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogPlace.Entry(1)));
        }
        if (isSeenAtTheStart)
            Assert.Throws<AuditStoreException>(() => place.Open());
    }

    [Theory]
    [InlineData("UPDATE entry SET tag = NULL WHERE index = 7", "entry 7: it is not found under the person")]
    [InlineData("UPDATE entry SET tag = decode('00112233445566778899aabbccddeeff', 'hex') WHERE index = 7", "entry 7: it is not found under the person")]
    [InlineData("UPDATE tile SET hashes = set_byte(hashes, 20, get_byte(hashes, 20) # 1)", "tile 0/0: it does not follow")]
    [InlineData("DELETE FROM tile", "tile 0/0 is missing or cut off")]
    [InlineData("INSERT INTO tile SELECT 5, 0, hashes FROM tile", "tile 5/0: it does not follow")]
    [InlineData("UPDATE log SET size = size + 1", "the log says that it has 301 entries, and has 300")]
    [InlineData("UPDATE log SET size = size - 1", "the log says that it has 299 entries, and has 300")]
    [InlineData("UPDATE entry SET envelope = '\\x00' WHERE index = 7", "entry 7: its row is malformed")]
    [InlineData("INSERT INTO entry SELECT -5, tag, leaf, envelope FROM entry WHERE index = 7", "there is a row of index -5")]
    [InlineData("INSERT INTO entry SELECT 1000000000000, tag, leaf, envelope FROM entry WHERE index = 7", "entries 300 to 999999999999 are missing")]
    public async Task Whatever_is_done_beside_the_rows_is_found(string change, string fault)
    {
        using var place = await LogDatabase.NewAsync();
        await using (var log = place.Open())
            await log.AppendAsync([.. Enumerable.Range(0, 300).Select(i => LogPlace.Entry(i))]);
        Assert.Empty(place.Verify().Faults);
        await place.AsOwnerAsync(change);
        Assert.Contains(place.Verify().Faults, found => found.StartsWith(fault, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_subject_index_that_hides_an_entry_is_found_though_the_table_has_it()
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 20).Select(i => LogPlace.Entry(i))]);
        // What a superuser can do: for as long as it is not ready, rows are not entered.
        const string Ready = "UPDATE pg_index SET indisready = {0} WHERE indexrelid = 'entry_of_subject'::regclass";
        await PostgresDatabase.AskAsync(place.Database.Administrator, string.Format(CultureInfo.InvariantCulture, Ready, false));
        await place.DisconnectAsync();
        await AppendedAsync(log, 20);
        await PostgresDatabase.AskAsync(place.Database.Administrator, string.Format(CultureInfo.InvariantCulture, Ready, true));
        await place.DisconnectAsync();
        Assert.Equal(["the subject index from 0 to 20 is not what the entries say"], place.Verify().Faults);
        await place.AsOwnerAsync("REINDEX TABLE entry");
        Assert.Empty(place.Verify().Faults);
    }

    [Fact]
    public async Task Who_is_not_the_logs_owner_reads_and_adds_and_no_more()
    {
        using var place = await LogDatabase.NewAsync();
        await using (var log = place.Open())
            await log.AppendAsync([.. Enumerable.Range(0, 300).Select(i => LogPlace.Entry(i))]);
        foreach (var statement in (string[])
        [
            "UPDATE entry SET envelope = ''", "DELETE FROM entry", "TRUNCATE entry", "INSERT INTO entry SELECT 1000, tag, leaf, envelope FROM entry WHERE index = 7", "UPDATE log SET size = 0", "DELETE FROM log",
            "UPDATE checkpoint SET note = ''", "DELETE FROM tile", "INSERT INTO tile SELECT 5, 0, hashes FROM tile", "CREATE TABLE mine (a int)", "CREATE TEMPORARY TABLE mine (a int)", "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP INDEX entry_of_subject", "ALTER TABLE entry ADD COLUMN mine int", "ALTER FUNCTION append OWNER TO CURRENT_USER", "INSERT INTO schema_version (scriptname, applied) VALUES ('9000_x.sql', now())",
        ])
        {
            var refused = await Assert.ThrowsAsync<PostgresException>(() => PostgresDatabase.AskAsync(place.Database.Service, statement));
            Assert.True(refused.SqlState == PostgresErrorCodes.InsufficientPrivilege, $"{statement}: {refused.SqlState}");
        }
        // A checkpoint goes forward, and only over what is there.
        foreach (var (from, to) in (IEnumerable<(int, int)>)[(300, 300), (300, 200), (300, 301), (200, 300)])
            Assert.Equal(false, await PostgresDatabase.AskAsync(place.Database.Service, string.Create(CultureInfo.InvariantCulture, $"SELECT publish('{WordOf(place.LogKey)}', {from}, {to}, 'note', '', '{{}}', '{{}}', '{{}}')")));
        Assert.Empty(place.Verify().Faults);
    }

    [Fact]
    public async Task Who_has_the_role_s_password_and_not_the_log_s_key_adds_nothing_publishes_nothing_and_holds_nobody_up()
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 10).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        foreach (var word in (string[])["NULL", $"'{WordOf(new byte[32])}'", "(SELECT word FROM log)"])
        {
            await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(place.Database.Service) { Pooling = false });
            await using var thief = await source.OpenConnectionAsync();
            await using var transaction = await thief.BeginTransactionAsync();
            foreach (var statement in (string[])
            [
                $"SELECT append({word}, array_agg(tag), array_agg(leaf), array_agg(envelope)) FROM entry WHERE index = 3",
                // It would be refused by every gateway, and so stop them all.
                $"SELECT publish({word}, 10, 11, 'junk', '', '{{}}', '{{}}', '{{}}')",
            ])
            {
                await transaction.SaveAsync("before");
                await using var command = new NpgsqlCommand(statement, thief, transaction);
                Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, (await Assert.ThrowsAsync<PostgresException>(() => command.ExecuteNonQueryAsync())).SqlState);
                await transaction.RollbackAsync("before");
            }
            // The transaction is still open, and nobody waits for it.
            await log.AppendAsync(LogPlace.Entry(10));
            await log.PublishAsync();
        }
        Assert.Equal(13, SizeOf(await log.ReadNewestCheckpointAsync()));
        Assert.Empty(place.Verify().Faults);
        // A log that was begun before there was a word has none until it is migrated, and is nobody's to add to meanwhile.
        await place.AsOwnerAsync("UPDATE log SET word = NULL");
        await Assert.ThrowsAsync<PostgresException>(() => PostgresDatabase.AskAsync(place.Database.Service, "SELECT append(NULL, array_agg(tag), array_agg(leaf), array_agg(envelope)) FROM entry WHERE index = 3"));
        await place.MigratedAsync();
        await AppendedAsync(log, 13);
    }

    [Theory]
    [InlineData("another's tag"), InlineData("no tag"), InlineData("another envelope"), InlineData("cut off"), InlineData("short leaf")]
    public async Task A_row_that_is_found_under_another_than_its_envelope_says_or_is_no_row_is_not_taken_from_whoever_it_comes(string change)
    {
        using var place = await LogDatabase.NewAsync();
        using var sealer = new EntrySealer(place.Reader.PublicKey, place.LogKey, TimeProvider.System);
        var (row, other) = (sealer.Seal(LogPlace.Entry(1)), sealer.Seal(LogPlace.Entry(2, who: 2)));
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(place.Database.Service) { Pooling = false });
        Assert.Equal(0L, await AppendAsync(row.Tag, row.Leaf, row.Envelope()));
        var refused = await Assert.ThrowsAsync<PostgresException>(() => change switch
        {
            "another's tag" => AppendAsync(other.Tag, row.Leaf, row.Envelope()),
            "no tag" => AppendAsync(null, row.Leaf, row.Envelope()),
            "another envelope" => AppendAsync(row.Tag, row.Leaf, (other with { Tag = row.Tag }).Envelope()),
            "cut off" => AppendAsync(row.Tag, [.. row.Leaf[..32], .. SHA256.HashData(row.Envelope()[..40])], row.Envelope()[..40]),
            _ => AppendAsync(row.Tag, row.Leaf[..63], row.Envelope()),
        });
        Assert.Equal(PostgresErrorCodes.CheckViolation, refused.SqlState);
        var untagged = row with { Tag = null };
        Assert.Equal(1L, await AppendAsync(null, [.. row.Leaf[..32], .. SHA256.HashData(untagged.Envelope())], untagged.Envelope()));

        async Task<object?> AppendAsync(byte[]? tag, byte[] leaf, byte[] envelope)
        {
            await using var command = source.CreateCommand("SELECT append($1, $2, $3, $4)");
            command.Parameters.Add(PostgresLogStore.Bytes(LogWord.Of(place.LogKey)));
            foreach (var value in (byte[]?[])[tag, leaf, envelope])
                command.Parameters.Add(new NpgsqlParameter<byte[]?[]> { TypedValue = [value], NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.Bytea });
            return await command.ExecuteScalarAsync();
        }
    }

    [Theory]
    [InlineData("UPDATE entry SET tag = (SELECT tag FROM entry WHERE index = 0) WHERE index IN (15, 17, 19)")]
    [InlineData("UPDATE entry SET envelope = '\\x00' WHERE index IN (14, 16, 18)")]
    public async Task What_stands_under_a_person_and_is_not_hers_is_passed_over_and_said(string change)
    {
        using var place = await LogDatabase.NewAsync();
        var said = new FakeLogger();
        await using var log = AuditLog.Open(place.Options(), TimeProvider.System, said);
        await log.AppendAsync([.. Enumerable.Range(0, 20).Select(i => LogPlace.Entry(i, (byte)(1 + i % 2)))]);
        await place.AsOwnerAsync(change);
        var hers = Enumerable.Range(0, 10).Select(i => 18L - 2 * i).Where(i => !change.Contains("envelope", StringComparison.Ordinal) || i is not (14 or 16 or 18)).ToArray();
        // As many as are asked for: whoever gets fewer takes it for the end.
        Assert.Equal(hers[..3], LogPlace.Entries(log, 1, 3).Select(entry => entry.Index));
        Assert.Equal(hers, LogPlace.Entries(log, 1).Select(entry => entry.Index));
        Assert.Contains(said.Collector.GetSnapshot(), message => message.Level == LogLevel.Critical && message.Message.StartsWith("ALARM", StringComparison.Ordinal) && message.Message.Contains("is found under a person", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Who_takes_the_head_and_does_not_end_the_transaction_is_ended_whatever_was_set()
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync(LogPlace.Entry(1));
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(place.Database.Service) { Pooling = false });
        await using var holder = await source.OpenConnectionAsync();
        await DoAsync("SET idle_in_transaction_session_timeout = 0");
        await DoAsync("BEGIN");
        await DoAsync($"SELECT append('{WordOf(place.LogKey)}', array_agg(tag), array_agg(leaf), array_agg(envelope)) FROM entry");
        await AppendedAsync(log, 2).WaitAsync(TimeSpan.FromMinutes(1));
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => DoAsync("COMMIT"));
        Assert.Equal(["1", "2"], place.Stored(log));

        async Task DoAsync(string sql)
        {
            await using var command = new NpgsqlCommand(sql, holder);
            await command.ExecuteNonQueryAsync();
        }
    }

    [Fact]
    public async Task A_commit_that_is_told_to_wait_for_its_standby_no_longer_is_not_acknowledged()
    {
        using var server = await LocalPostgres.StartAsync(null, "fsync=off");
        using var place = await LogDatabase.NewAsync(server.Superuser);
        // Nothing ends the waiting but who cancels it.
        place.Connection = new NpgsqlConnectionStringBuilder(place.Database.Service) { CommandTimeout = 60 }.ToString();
        await using var log = place.Open();
        await log.AppendAsync(LogPlace.Entry(1));
        await SetStandbyAsync("nobody");
        var (append, cancelled, acknowledged) = (log.AppendAsync(LogPlace.Entry(2)).AsTask(), 0L, 1);
        while (true)
        {
            // The server takes the setting up a moment later; and a checkpoint may be what waits.
            cancelled += (long)(await PostgresDatabase.AskAsync(server.Superuser, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))!;
            if (!append.IsCompleted)
                continue;
            if (cancelled > 0)
                break;
            await append;
            (append, acknowledged) = (log.AppendAsync(LogPlace.Entry(2)).AsTask(), acknowledged + 1);
        }
        var outcome = await Record.ExceptionAsync(() => append);
        await SetStandbyAsync("");
        Assert.IsType<AuditUnavailableException>(outcome);
        await PostgresDatabase.AskAsync(server.Superuser, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        await AppendedAsync(log, 3);
        await PublishedAsync(log);
        // What was not acknowledged is there all the same, once.
        Assert.Equal(acknowledged + 2, place.Stored(log).Count);
        Assert.Empty(place.Verify().Faults);

        async Task SetStandbyAsync(string name)
        {
            foreach (var statement in (string[])[$"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "SELECT pg_reload_conf()"])
                await PostgresDatabase.AskAsync(server.Superuser, statement);
        }
    }

    [Fact]
    public async Task However_many_ask_for_checkpoints_a_citizen_sees_who_has_looked_at_her_records()
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync(LogPlace.Entry(1));
        await log.PublishAsync();
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(place.Database.Owner) { Pooling = false });
        await using var holder = await source.OpenConnectionAsync();
        await using var transaction = await holder.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("LOCK TABLE checkpoint IN ACCESS EXCLUSIVE MODE", holder, transaction))
            await hold.ExecuteNonQueryAsync();
        var asked = Enumerable.Range(0, 40).Select(_ => Record.ExceptionAsync(async () => await log.ReadNewestCheckpointAsync())).ToArray();
        while (await PostgresDatabase.AskAsync(place.Database.Administrator, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE 'kanta-audit-%'") is < 4L)
            await Task.Yield();
        var seen = Task.WhenAll(Enumerable.Range(0, 16).Select(async _ => Assert.Single(await log.ForSubjectAsync(LogPlace.Subject(1), 10))));
        Assert.Same(seen, await Task.WhenAny([seen, .. asked]));
        await seen;
        await transaction.RollbackAsync();
        // Each is answered, or told that it was not: none is forgotten.
        Assert.All(await Task.WhenAll(asked), failure => Assert.True(failure is null or AuditUnavailableException));
        Assert.Equal(1, SizeOf(await log.ReadNewestCheckpointAsync()));
    }

    [Fact]
    public async Task Full_tiles_are_asked_for_once()
    {
        using var place = await LogDatabase.NewAsync();
        await using var log = place.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 300).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        foreach (var level in (int[])[0, TilePath.Entries])
        {
            var whole = LogPlace.Tile(log, new(level, 0, 256));
            var length = whole.Length / 256;
            await place.AsOwnerAsync("DELETE FROM tile; ALTER TABLE entry RENAME TO elsewhere");
            Assert.Equal(whole, LogPlace.Tile(log, new(level, 0, 256)));
            Assert.Equal(whole[..(7 * length)], LogPlace.Tile(log, new(level, 0, 7)));
            await place.AsOwnerAsync("ALTER TABLE elsewhere RENAME TO entry");
        }
    }

    [Theory]
    [InlineData("UPDATE checkpoint SET note = replace(note, 'localhost', 'elsewhere')", "not signed by this log")]
    [InlineData("DELETE FROM tile", "lacks the hashes of tile/0/000")]
    [InlineData("UPDATE entry SET envelope = '\\x00'", "malformed")]
    public async Task Whoever_asks_a_log_that_contradicts_itself_is_told_that_it_cannot_be_asked_and_the_operators_why(string change, string why)
    {
        using var place = await LogDatabase.NewAsync();
        var said = new FakeLogger();
        await using var log = AuditLog.Open(place.Options(), TimeProvider.System, said);
        await log.AppendAsync([.. Enumerable.Range(0, 300).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        await place.AsOwnerAsync(change);
        if (change.Contains("checkpoint", StringComparison.Ordinal))
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.ReadNewestCheckpointAsync());
        else
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.ProveAsync(5, LogPlace.ReceiverOf(1)));
        Assert.Contains(said.Collector.GetSnapshot(), message => message.Level == LogLevel.Critical && message.Message.StartsWith("ALARM", StringComparison.Ordinal) && message.Message.Contains(why, StringComparison.Ordinal));
    }

    private static string WordOf(byte[] logKey) => "\\x" + Convert.ToHexStringLower(LogWord.Of(logKey));

    [Fact]
    public async Task A_role_that_may_do_more_a_schema_of_another_version_and_another_key_are_refused_at_the_start()
    {
        using var place = await LogDatabase.NewAsync();
        var (service, owner) = (place.Database.ServiceRole, new NpgsqlConnectionStringBuilder(place.Database.Owner).Username);
        foreach (var (given, taken, why) in (IEnumerable<(string, string, string)>)
        [
            ($"ALTER ROLE {service} SUPERUSER", $"ALTER ROLE {service} NOSUPERUSER", "superuser"),
            ($"GRANT {owner} TO {service}", $"REVOKE {owner} FROM {service}", "is a member of"),
            ($"GRANT UPDATE ON entry TO {service}", $"REVOKE UPDATE ON entry FROM {service}", "rewrite entry"),
            ($"GRANT UPDATE (note) ON checkpoint TO {service}", $"REVOKE UPDATE (note) ON checkpoint FROM {service}", "rewrite checkpoint"),
            ($"GRANT DELETE ON entry TO {service}", $"REVOKE DELETE ON entry FROM {service}", "may add to or delete from entry"),
            ($"GRANT INSERT ON tile TO {service}", $"REVOKE INSERT ON tile FROM {service}", "may add to or delete from tile"),
            ($"GRANT TRUNCATE ON log TO {service}", $"REVOKE TRUNCATE ON log FROM {service}", "rewrite log"),
            ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "may make tables"),
            ($"ALTER FUNCTION append OWNER TO {service}", $"ALTER FUNCTION append OWNER TO {owner}", "owns the function append"),
            ("INSERT INTO schema_version (scriptname, applied) VALUES ('9042_later.sql', '2030-01-01')", "DELETE FROM schema_version WHERE scriptname LIKE '9042%'", "schema version 9042, and this program knows none after"),
            ("ALTER TABLE schema_version RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO schema_version", "run \"KantaGateway.Gateway migrate-audit\" first"),
        ])
        {
            await PostgresDatabase.AskAsync(place.Database.Administrator, given);
            var refused = Assert.Throws<AuditStoreException>(() => place.Open());
            await PostgresDatabase.AskAsync(place.Database.Administrator, taken);
            Assert.Contains(why, refused.Message);
            if (why.Contains("may", StringComparison.Ordinal) || why.Contains("rewrite", StringComparison.Ordinal))
                Assert.StartsWith("AuditPostgres: its role", refused.Message);
        }
        Assert.Contains("another origin or log key", Assert.Throws<AuditStoreException>(() => AuditLog.Open(place.Options() with { LogKey = new byte[32] }, TimeProvider.System)).Message);
        Assert.Contains("another origin or log key", Assert.Throws<AuditStoreException>(() => AuditLog.Open(place.Options() with { Origin = "localhost/another" }, TimeProvider.System)).Message);
        Assert.Throws<AuditStoreException>(() => KantaGateway.Audit.Postgres.PostgresAudit.Verify(place.Database.Service, new NoteSigner("localhost/log", new byte[32]).Verifier));
        // Migrating again gives the role its own, and nothing else.
        await (await place.MigratedAsync()).Open().DisposeAsync();
    }

    [Fact]
    public async Task A_database_without_a_log_is_refused_and_says_what_to_run()
    {
        var database = await PostgresServer.NewDatabaseAsync();
        await PostgresDatabase.AskAsync(database.Owner, $"REVOKE ALL ON DATABASE {new NpgsqlConnectionStringBuilder(database.Owner).Database} FROM PUBLIC; GRANT CONNECT ON DATABASE {new NpgsqlConnectionStringBuilder(database.Owner).Database} TO {database.ServiceRole}");
        using var keys = new LogFolder();
        var refused = Assert.Throws<AuditStoreException>(() => AuditLog.Open(keys.Options() with { Engine = new KantaGateway.Audit.Postgres.PostgresAudit(database.Service) }, TimeProvider.System));
        Assert.Contains("schema version 0, and this program needs", refused.Message);
        Assert.Contains("KantaGateway.Gateway migrate-audit", refused.Message);
    }

    [Fact]
    public async Task The_command_makes_the_log_and_says_what_it_did_and_what_it_would_not()
    {
        using var folder = new TemporaryFolder();
        var database = await PostgresServer.NewDatabaseAsync();
        var options = new GatewayOptions
        {
            PublicAddress = "", Port = 0, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", Identification = null!,
            AuditFolder = folder.File("audit"), AuditOrigin = "localhost/log", AuditPostgres = database.Service, AuditPostgresOwner = database.Owner, CreateStores = true,
        };
        using var console = new StringWriter();
        Assert.Equal(0, await MigrateAudit.RunAsync(options, console));
        Assert.Contains("0001_log.sql has run", console.ToString());
        Assert.Equal(0, await MigrateAudit.RunAsync(options, console));
        // Another's key, as of a gateway that was given none of the shared one.
        Assert.Equal(2, await MigrateAudit.RunAsync(options with { AuditFolder = folder.File("another") }, console));
        Assert.Contains("Not migrated: The audit log of the configured database was begun under another origin or log key.", console.ToString());
        using var keys = new LogFolder();
        await using var log = AuditLog.Open(keys.Options() with { LogKey = LogKeyFile.Open(folder.File("audit"), create: false), Engine = new KantaGateway.Audit.Postgres.PostgresAudit(database.Service) }, TimeProvider.System);
        Assert.Equal(0, (await log.AppendAsync(LogPlace.Entry(1))).Index);
    }

    private static async Task AppendedAsync(AuditLog log, int number)
    {
        // A round that another failure has taken along.
        while (true)
            try
            {
                await log.AppendAsync(LogPlace.Entry(number));
                return;
            }
            catch (AuditUnavailableException)
            {
            }
    }

    private static async Task PublishedAsync(AuditLog log)
    {
        while (true)
            try
            {
                await log.PublishAsync();
                return;
            }
            catch (AuditUnavailableException)
            {
            }
    }

    private static long SizeOf(string note) => long.Parse(note.Split('\n')[1], CultureInfo.InvariantCulture);
}
