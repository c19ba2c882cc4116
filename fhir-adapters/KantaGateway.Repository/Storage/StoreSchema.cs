using System.Reflection;
using DbUp;
using KantaGateway.Postgres;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Repository.Storage;

/// <summary>
/// The tables of a store: how a database comes by them, and whether it has those that this program needs. They are made by the numbered scripts under
/// <c>Migrations</c>, of one numbering for both engines; the last number is the version. There is no way back: a database of a version that this program
/// does not know is refused, by whoever migrates and whoever serves.
/// </summary>
static class StoreSchema
{
    /// <summary>Tells our lock from those of others in the same database.</summary>
    public const long Lock = 7260114;

    private static readonly Migrations Postgres = Of("Postgres"), Sqlite = Of("Sqlite");

    /// <summary>Version that this program needs.</summary>
    public static int Version => Postgres.Version;

    /// <exception cref="StoreException">The database is of another version; the message says what to run.</exception>
    public static void Require(int found) => Guard(() => Postgres.Require(found));

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
        try
        {
            return await Postgres.MigrateAsync(owner, service, Lock, role => $"""
                GRANT SELECT, INSERT, UPDATE ON compartment TO {role};
                GRANT SELECT, INSERT, DELETE ON entry, body, content, part TO {role};
                GRANT SELECT, INSERT, DELETE ON copying TO {role};
                """, finish: null, cancel).ConfigureAwait(false);
        }
        catch (UnfitDatabaseException e)
        {
            throw new StoreException(e.Message, e.InnerException);
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
                Guard(() => Sqlite.RequireKnown(VersionOf(connection)));
                // Both are of the file, and no transaction can set them.
                SqliteStatement.Execute(connection, "PRAGMA page_size = 8192");
                SqliteStatement.Execute(connection, "PRAGMA journal_mode = WAL");
            }
            IReadOnlyList<string> ran = [];
            Guard(() => ran = Sqlite.Run(DeployChanges.To.SqliteDatabase(new SqliteConnectionStringBuilder { DataSource = file, Mode = SqliteOpenMode.ReadWrite, Pooling = false }.ToString()).JournalToSqliteTable(Migrations.Journal)));
            return ran;
        }
        catch (Exception e) when (e is SqliteException or IOException or UnauthorizedAccessException)
        {
            throw new StoreException("The database file cannot be migrated.", e);
        }
    }

    /// <summary>Version of the file; 0 where it has none.</summary>
    /// <exception cref="SqliteException">It is not a database.</exception>
    public static int VersionOf(SqliteConnection connection)
    {
        using (var there = new SqliteStatement(connection, $"SELECT 1 FROM sqlite_schema WHERE name = '{Migrations.Journal}'"))
            if (!there.Step())
                return 0;
        using var newest = new SqliteStatement(connection, Migrations.Newest);
        newest.Step();
        var (script, version) = (newest.IsNull(0) ? null : System.Text.Encoding.UTF8.GetString(newest.Blob(0)), 0);
        Guard(() => version = Migrations.VersionOf(script));
        return version;
    }

    private static Migrations Of(string engine) =>
        new(Assembly.GetExecutingAssembly(), $"{typeof(StoreSchema).Namespace}.Migrations.{engine}.", $"KantaGateway.Repository {MigrateStore.Name}");

    private static void Guard(Action check)
    {
        try
        {
            check();
        }
        catch (UnfitDatabaseException e)
        {
            throw new StoreException(e.Message, e.InnerException);
        }
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
