using System.Globalization;
using System.Reflection;
using DbUp;
using DbUp.Builder;
using DbUp.Engine;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace KantaGateway.Repository.Storage;

/// <summary>
/// The tables of a store: how a database comes by them, and whether it has those that this program needs. They are made by the numbered scripts under
/// <c>Migrations</c>, of one numbering for both engines; the last number is the version. There is no way back: a database of a version that this program
/// does not know is refused, by whoever migrates and whoever serves.
/// </summary>
static class StoreSchema
{
    /// <summary>Table that the scripts which ran are written down in.</summary>
    public const string Journal = "schema_version";

    /// <summary>Tells our lock from those of others in the same database.</summary>
    public const long Lock = 7260114;

    /// <summary>Version that this program needs.</summary>
    public static int Version { get; } = VersionOf(ScriptsOf("Postgres").Max(script => script.Name));

    /// <summary>Asks for the last script that ran.</summary>
    public const string Newest = $"SELECT max(scriptname) FROM {Journal}";

    /// <param name="script">Name of the last script that ran; null: none did.</param>
    public static int VersionOf(string? script) => script is null ? 0
        : int.TryParse(script.Split('_')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number
        : throw new StoreException("The database's list of migrations is not ours.");

    /// <exception cref="StoreException">The database is of another version; the message says what to run.</exception>
    public static void Require(int found)
    {
        RequireKnown(found);
        if (found < Version)
            throw new StoreException($"The database has schema version {found}, and this program needs {Version}: run \"KantaGateway.Repository {MigrateStore.Name}\" first.");
    }

    /// <param name="copiedFrom">What the table <c>copying</c> has; null: nothing.</param>
    /// <exception cref="StoreException">It is the target of a copy that is not done; who is not in it yet would be taken for nobody.</exception>
    public static void RequireWhole(string? copiedFrom)
    {
        if (copiedFrom is not null)
            throw new StoreException($"The database is the target of an unfinished copy from {copiedFrom}: run \"KantaGateway.Repository {CopyStore.Name}\" again.");
    }

    /// <summary>Brings a PostgreSQL database to <see cref="Version"/> and gives the service's role what it needs, no more. Any number may do so at once.</summary>
    /// <param name="owner">Connection string of the role that owns the database.</param>
    /// <param name="service">The service's role; it is there.</param>
    /// <returns>Scripts that ran.</returns>
    /// <exception cref="StoreException">The database is of a newer version, or failed; it is as it was.</exception>
    public static async Task<IReadOnlyList<string>> MigrateAsync(string owner, string service, CancellationToken cancel)
    {
        var given = new NpgsqlConnectionStringBuilder(owner) { ApplicationName = "kanta-migration", SearchPath = "public", Pooling = false, GssEncryptionMode = GssEncryptionMode.Disable, TargetSessionAttributes = null };
        try
        {
            await using var servers = new NpgsqlDataSourceBuilder(given.ToString()).BuildMultiHost();
            await using var connection = await PostgresStore.Primary(servers).OpenConnectionAsync(cancel).ConfigureAwait(false);
            // Held by this connection, so that it is gone with it: whoever comes at the same time waits here and finds everything done.
            await using (var wait = new NpgsqlCommand($"SELECT pg_advisory_lock({Lock})", connection) { CommandTimeout = 0 })
                await wait.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
            RequireKnown(await VersionAsync(connection, cancel).ConfigureAwait(false));
            // Of several servers the same, which need not be the first.
            (given.Host, given.Port) = (connection.Host, connection.Port);
            var ran = Run(DeployChanges.To.PostgresqlDatabase(given.ToString()).JournalToPostgresqlTable("public", Journal), "Postgres");
            var names = new NpgsqlCommandBuilder();
            var (role, database) = (names.QuoteIdentifier(service), names.QuoteIdentifier(connection.Database));
            // Partitions have no rights of their own: they are reached through their table only.
            await using var grants = new NpgsqlCommand($"""
                REVOKE ALL ON DATABASE {database} FROM PUBLIC;
                GRANT CONNECT ON DATABASE {database} TO {role};
                REVOKE ALL ON SCHEMA public FROM PUBLIC;
                GRANT USAGE ON SCHEMA public TO {role};
                REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {role};
                GRANT SELECT, INSERT, UPDATE ON compartment TO {role};
                GRANT SELECT, INSERT, DELETE ON entry, body, content, part TO {role};
                GRANT SELECT, INSERT, DELETE ON copying TO {role};
                GRANT SELECT ON {Journal} TO {role};
                """, connection);
            await grants.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
            return ran;
        }
        catch (NpgsqlException e)
        {
            throw new StoreException("The PostgreSQL database cannot be migrated.", e);
        }
    }

    /// <summary>Makes a missing SQLite file (mode 0600), and brings it to <see cref="Version"/>.</summary>
    /// <returns>Scripts that ran.</returns>
    /// <exception cref="StoreException">The file is of a newer version, or not a database, or cannot be written; it is as it was.</exception>
    public static IReadOnlyList<string> Migrate(string file)
    {
        try
        {
            if (!File.Exists(file))
                Make(file);
            using (var connection = SqliteStore.Open(file, SqliteOpenMode.ReadWrite))
            {
                RequireKnown(VersionOf(connection));
                // Both are of the file, and no transaction can set them.
                SqliteStatement.Execute(connection, "PRAGMA page_size = 8192");
                SqliteStatement.Execute(connection, "PRAGMA journal_mode = WAL");
            }
            return Run(DeployChanges.To.SqliteDatabase(new SqliteConnectionStringBuilder { DataSource = file, Mode = SqliteOpenMode.ReadWrite, Pooling = false }.ToString()).JournalToSqliteTable(Journal), "Sqlite");
        }
        catch (Exception e) when (e is SqliteException or IOException or UnauthorizedAccessException)
        {
            throw new StoreException("The database file cannot be migrated.", e);
        }
    }

    /// <summary>Version of the database; 0 where it has none that this role could see.</summary>
    public static async Task<int> VersionAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        try
        {
            await using var newest = new NpgsqlCommand(Newest, connection);
            return VersionOf(await newest.ExecuteScalarAsync(cancel).ConfigureAwait(false) as string);
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InsufficientPrivilege)
        {
            return 0;
        }
    }

    /// <summary>Version of the file; 0 where it has none.</summary>
    /// <exception cref="SqliteException">It is not a database.</exception>
    public static int VersionOf(SqliteConnection connection)
    {
        using (var there = new SqliteStatement(connection, $"SELECT 1 FROM sqlite_schema WHERE name = '{Journal}'"))
            if (!there.Step())
                return 0;
        using var newest = new SqliteStatement(connection, Newest);
        newest.Step();
        return VersionOf(newest.IsNull(0) ? null : System.Text.Encoding.UTF8.GetString(newest.Blob(0)));
    }

    private static void RequireKnown(int found)
    {
        if (found > Version)
            throw new StoreException($"The database has schema version {found}, and this program knows none after {Version}: run a program that does. There is no way back.");
    }

    /// <summary>All in one transaction.</summary>
    private static IReadOnlyList<string> Run(UpgradeEngineBuilder to, string engine)
    {
        var result = to.WithScripts(ScriptsOf(engine)).WithTransaction().WithVariablesDisabled().LogTo(NullLoggerFactory.Instance).Build().PerformUpgrade();
        return result.Successful ? [.. result.Scripts.Select(script => script.Name)]
            : throw new StoreException($"The migration {result.ErrorScript?.Name} failed; nothing was changed.", result.Error);
    }

    private static List<SqlScript> ScriptsOf(string engine)
    {
        var (assembly, folder) = (Assembly.GetExecutingAssembly(), $"{typeof(StoreSchema).Namespace}.Migrations.{engine}.");
        return [.. assembly.GetManifestResourceNames().Where(name => name.StartsWith(folder, StringComparison.Ordinal)).Order(StringComparer.Ordinal)
            .Select(name => SqlScript.FromStream(name[folder.Length..], assembly.GetManifestResourceStream(name)!))];
    }

    private static void Make(string file)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, Share = FileShare.ReadWrite };
        // SQLite gives its WAL and shared-memory files the mode of the database file.
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        new FileStream(file, options).Dispose();
    }
}
