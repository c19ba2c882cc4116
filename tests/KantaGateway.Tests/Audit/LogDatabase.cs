using System.Collections.Concurrent;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using KantaGateway.Audit.Sealing;
using KantaGateway.Tests.Repository.Storage;
using Npgsql;

namespace KantaGateway.Tests.Audit;

/// <summary>A database of its own for a log under test, which any number of logs may share.</summary>
sealed class LogDatabase : LogPlace
{
    // To make one takes longer than a test.
    private static readonly ConcurrentBag<PostgresDatabase> Used = [];

    private bool _isUsable;

    private LogDatabase(PostgresDatabase database, byte[] logKey, AuditOpener reader, bool isUsable) : base(logKey, reader) => (Database, _isUsable) = (database, isUsable);

    public PostgresDatabase Database { get; }

    /// <summary>How logs reach it; the gateways' role by default.</summary>
    public string? Connection { get; set; }

    /// <param name="server">Connection string of the superuser of a server; null: the tests' own.</param>
    public static async Task<LogDatabase> NewAsync(string? server = null)
    {
        var isUsed = Used.TryTake(out var database) && server is null;
        if (!isUsed)
            database = server is null ? await PostgresServer.NewDatabaseAsync() : await PostgresServer.NewDatabaseAsync(server);
        var place = new LogDatabase(database!, RandomNumberGenerator.GetBytes(32), new(AuditOpener.GeneratePrivateKey()), server is null);
        if (isUsed)
            await place.AsOwnerAsync("TRUNCATE entry, tile, log, checkpoint, cosigned, pruned");
        return await place.MigratedAsync();
    }

    /// <summary>One that somebody else writes, under keys that are theirs.</summary>
    public static LogDatabase Of(PostgresDatabase database) => new(database, new byte[32], new(AuditOpener.GeneratePrivateKey()), isUsable: false);

    /// <summary>An empty one for the log of a folder, without tables.</summary>
    public static async Task<LogDatabase> ForAsync(LogFolder folder) => new(await PostgresServer.NewDatabaseAsync(), folder.LogKey, folder.Reader, isUsable: false);

    /// <summary>The same on another server.</summary>
    /// <param name="folder">Of its socket.</param>
    public LogDatabase On(string folder)
    {
        string To(string connection) => new NpgsqlConnectionStringBuilder(connection) { Host = folder }.ToString();
        return new(new(To(Database.Administrator), To(Database.Owner), To(Database.Service)), LogKey, Reader, isUsable: false);
    }

    public async Task<LogDatabase> MigratedAsync()
    {
        await PostgresAudit.MigrateAsync(Database.Owner, Database.ServiceRole, Origin, LogKey);
        return this;
    }

    /// <summary>What somebody does who owns the database.</summary>
    public Task<object?> AsOwnerAsync(string sql) => PostgresDatabase.AskAsync(Database.Owner, sql);

    /// <summary>Ends every connection to it.</summary>
    public Task DisconnectAsync() =>
        PostgresDatabase.AskAsync(Database.Administrator, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");

    /// <summary>Nobody gets in, or everybody again.</summary>
    public async Task AllowAsync(bool connections)
    {
        var elsewhere = new NpgsqlConnectionStringBuilder(Database.Administrator) { Database = "postgres" }.ToString();
        var name = new NpgsqlConnectionStringBuilder(Database.Administrator).Database;
        await PostgresDatabase.AskAsync(elsewhere, $"ALTER DATABASE {name} ALLOW_CONNECTIONS {connections}");
        if (!connections)
            await PostgresDatabase.AskAsync(elsewhere, $"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
    }

    protected override AuditLogOptions Here(AuditLogOptions options) => options with { Engine = new PostgresAudit(Connection ?? Database.Service) };

    public override AuditVerification Verify(string? earlier = null) => PostgresAudit.Verify(Database.Service, Verifier, earlier);

    public override async Task RewriteAsync(Func<List<(long Index, SealedRow Row)>, IEnumerable<(long Index, SealedRow Row)>> change)
    {
        // Its keys are in the way of some changes, and who owns it can take them away.
        _isUsable = false;
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(Database.Owner) { Pooling = false });
        var rows = new List<(long, SealedRow)>();
        await using (var command = source.CreateCommand("SELECT index, leaf, envelope FROM entry ORDER BY index"))
        await using (var reader = await command.ExecuteReaderAsync())
            while (await reader.ReadAsync())
                rows.Add((reader.GetInt64(0), PostgresLogStore.RowIn(reader, 1)));
        await using (var clear = source.CreateCommand("ALTER TABLE entry DROP CONSTRAINT IF EXISTS entry_pkey; TRUNCATE entry"))
            await clear.ExecuteNonQueryAsync();
        var changed = change(rows).ToList();
        await using var insert = source.CreateCommand("INSERT INTO entry (index, tag, leaf, envelope) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])");
        insert.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = [.. changed.Select(one => one.Index)] });
        insert.Parameters.Add(new NpgsqlParameter<byte[]?[]> { TypedValue = [.. changed.Select(one => one.Row.Tag)] });
        insert.Parameters.Add(new NpgsqlParameter<byte[][]> { TypedValue = [.. changed.Select(one => one.Row.Leaf)] });
        insert.Parameters.Add(new NpgsqlParameter<byte[][]> { TypedValue = [.. changed.Select(one => one.Row.Envelope())] });
        await insert.ExecuteNonQueryAsync();
    }

    public override Task RewriteCheckpointAsync(string note) => AsOwnerAsync($"UPDATE checkpoint SET note = '{note}'");

    public override async Task<LogPlace> CopyAtRestAsync()
    {
        await DisconnectAsync();
        var (from, owner) = (new NpgsqlConnectionStringBuilder(Database.Administrator).Database, new NpgsqlConnectionStringBuilder(Database.Owner).Username);
        var name = "kanta_" + Guid.NewGuid().ToString("N");
        await PostgresDatabase.AskAsync(new NpgsqlConnectionStringBuilder(Database.Administrator) { Database = "postgres" }.ToString(), $"CREATE DATABASE {name} OWNER {owner} TEMPLATE {from}");
        string To(string connection) => new NpgsqlConnectionStringBuilder(connection) { Database = name }.ToString();
        // What its roles may do there is of the database, and not copied with it.
        return await new LogDatabase(new(To(Database.Administrator), To(Database.Owner), To(Database.Service)), LogKey, Reader, isUsable: false).MigratedAsync();
    }

    public override void Dispose()
    {
        if (_isUsable)
            Used.Add(Database);
    }
}
