using System.Collections.Concurrent;
using System.Globalization;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Dev;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Operations;
using KantaGateway.Tests.Faults;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.Logging.Testing;
using Npgsql;

namespace KantaGateway.Tests.Audit;

/// <summary>Several gateways over one database have one log, and none can stop the others, or make it another.</summary>
public sealed class SharedAuditLogTests
{
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
            Assert.Equal(false, await PostgresDatabase.AskAsync(place.Database.Service, string.Create(CultureInfo.InvariantCulture, $"SELECT publish({from}, {to}, 'note', '', '{{}}', '{{}}', '{{}}')")));
        Assert.Empty(place.Verify().Faults);
    }

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
