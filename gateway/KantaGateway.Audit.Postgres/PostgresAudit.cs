using System.Reflection;
using System.Security.Cryptography;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using KantaGateway.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace KantaGateway.Audit.Postgres;

/// <summary>The store of one log that any number of gateways write, in a PostgreSQL database of its own.</summary>
/// <param name="connectionString">Of the gateways' role, which may read, and call the functions that add and prune; checked by <see cref="PostgresOptions"/>.</param>
public sealed class PostgresAudit(string connectionString) : AuditEngine
{
    /// <summary>Setting of the gateway that names the database, and that of its owner.</summary>
    public const string Setting = "AuditPostgres", OwnerSetting = "AuditPostgresOwner";

    /// <summary>Makes the tables, as one types it.</summary>
    public const string Command = "KantaGateway.Gateway migrate-audit";

    /// <summary>Tells our lock from those of others in the same database.</summary>
    private const long Turn = 7260115;

    private static readonly Migrations Schema = new(Assembly.GetExecutingAssembly(), $"{typeof(PostgresAudit).Namespace}.Migrations.", Command);

    private static readonly ServiceRole Role = new(Setting, Command) { Writes = false };

    /// <summary>Version of the tables that this program needs.</summary>
    public static int Version => Schema.Version;

    /// <summary>Makes the tables of a log, or brings them to <see cref="Version"/>; says whose log it is, once; and gives the gateways' role what it needs. Any number may do so at once.</summary>
    /// <param name="owner">Connection string of the role that owns the database.</param>
    /// <param name="service">The gateways' role; it is there.</param>
    /// <param name="origin">Of the log.</param>
    /// <param name="logKey">Of the log: it signs the checkpoint of the empty log, and what the gateways have to say follows from it.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <returns>Scripts that ran.</returns>
    /// <exception cref="AuditStoreException">The database is of a newer version, has another log, or failed; it is as it was.</exception>
    public static async Task<IReadOnlyList<string>> MigrateAsync(string owner, string service, string origin, byte[] logKey, CancellationToken cancel = default)
    {
        using var signer = new NoteSigner(origin, logKey);
        var word = SHA256.HashData(LogWord.Of(logKey));
        try
        {
            return await Schema.MigrateAsync(owner, service, Turn, role => $"""
                GRANT SELECT ON log, entry, tile, checkpoint, cosigned, pruned TO {role};
                GRANT EXECUTE ON FUNCTION append, publish, keep_cosigned, prune TO {role};
                """, async connection =>
                {
                    // Both or neither: with its row a log is one.
                    await using var begin = new NpgsqlCommand("""
                        WITH made AS (INSERT INTO log (vkey, size, word) VALUES ($1, 0, $3) ON CONFLICT DO NOTHING RETURNING size)
                        INSERT INTO checkpoint (size, note, edge) SELECT size, $2, '' FROM made
                        """, connection) { Parameters = { Text(signer.Verifier.ToString()), Text(new Checkpoint(signer.Verifier.Name, 0, Merkle.Empty).Sign(signer)), PostgresLogStore.Bytes(word) } };
                    await begin.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
                    RequireIdentity(connection, signer.Verifier);
                    // A log that was begun before there was one.
                    await using var say = new NpgsqlCommand("UPDATE log SET word = $1 WHERE word IS NULL", connection) { Parameters = { PostgresLogStore.Bytes(word) } };
                    await say.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
                }, cancel).ConfigureAwait(false);
        }
        catch (UnfitDatabaseException e)
        {
            throw new AuditStoreException(Explain(e), e.InnerException);
        }
    }

    /// <summary>Brings a log in files into a database, which it makes the tables of; see <see cref="LogMove"/>.</summary>
    /// <param name="folder">Of the files; no gateway has them open.</param>
    /// <param name="owner">As of <see cref="MigrateAsync"/>, as the next three.</param>
    /// <param name="service">The gateways' role.</param>
    /// <param name="origin">Of the log.</param>
    /// <param name="logKey">Of the log.</param>
    /// <param name="cancel">Stops the call; the log stays where it was.</param>
    /// <returns>Entries.</returns>
    /// <exception cref="AuditStoreException">The files are in use, are no log or not whole; or the database has another log, or failed.</exception>
    public static async Task<long> MoveAsync(string folder, string owner, string service, string origin, byte[] logKey, CancellationToken cancel = default)
    {
        if (!AuditLog.IsIn(folder))
            throw new AuditStoreException("There is no log in files in the configured folder.");
        await MigrateAsync(owner, service, origin, logKey, cancel).ConfigureAwait(false);
        try
        {
            using var signer = new NoteSigner(origin, logKey);
            return await LogMove.RunAsync(folder, owner, signer, logKey, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is NpgsqlException or IOException)
        {
            throw new AuditStoreException($"The log could not be moved. {Root(e).Message}", e);
        }
    }

    /// <summary>Reads everything and checks it; see <see cref="AuditVerification"/>. Any role that may read will do.</summary>
    /// <exception cref="AuditStoreException">There is no such log, or the database fails.</exception>
    public static AuditVerification Verify(string connectionString, NoteVerifier log, string? earlierCheckpoint = null)
    {
        try
        {
            using var servers = PostgresServers.SourceOf(connectionString, "kanta-audit-verification");
            using var connection = PostgresServers.Primary(servers).OpenConnection();
            RequireIdentity(connection, log);
            using var note = new NpgsqlCommand("SELECT note FROM checkpoint", connection);
            return AuditVerification.Of(log, note.ExecuteScalar() as string ?? "", earlierCheckpoint, () => PrunedNote(connection), (published, earlier, pruned, fault) => new PostgresReading(connection, published, earlier, pruned, fault));
        }
        catch (NpgsqlException e)
        {
            throw new AuditStoreException("The audit log's database failed.", e);
        }
    }

    internal override ILogStore Open(AuditLogOptions options, NoteSigner signer, ILogger logger)
    {
        PostgresLogStore? store = null;
        try
        {
            store = new PostgresLogStore(connectionString, options, signer, new(logger));
            store.Open(connection => RequireOursAsync(connection, signer.Verifier).GetAwaiter().GetResult());
            return store;
        }
        catch (Exception e) when (e is NpgsqlException or IOException or UnfitDatabaseException or AuditStoreException)
        {
            store?.Dispose();
            throw e switch
            {
                UnfitDatabaseException => new AuditStoreException(Explain(e), e.InnerException),
                AuditStoreException => e,
                // Of several servers each has its own.
                _ => new AuditStoreException($"{Setting}: the database cannot be used. {Root(e).Message}", e),
            };
        }
    }

    /// <summary>The stored note of what was pruned; null: none.</summary>
    internal static string? PrunedNote(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand("SELECT note FROM pruned", connection);
        return command.ExecuteScalar() as string;
    }

    internal static NpgsqlParameter<string> Text(string value) => new() { TypedValue = value };

    private static async Task RequireOursAsync(NpgsqlConnection connection, NoteVerifier log)
    {
        await PostgresServers.RequirePrivateListenerAsync(connection, Setting, default).ConfigureAwait(false);
        await Role.RequireNoMoreAsync(connection, default).ConfigureAwait(false);
        Schema.Require(await Migrations.VersionAsync(connection, default).ConfigureAwait(false));
        RequireIdentity(connection, log);
    }

    // Another key would sign a second history under the same name.
    private static void RequireIdentity(NpgsqlConnection connection, NoteVerifier log)
    {
        using var command = new NpgsqlCommand("SELECT vkey FROM log", connection);
        if (command.ExecuteScalar() as string is not { } vkey)
            throw new AuditStoreException("There is no audit log in the configured database.");
        if (vkey != log.ToString())
            throw new AuditStoreException("The audit log of the configured database was begun under another origin or log key.");
    }

    private static string Explain(Exception e) => $"{e.Message} {e.InnerException?.Message}".TrimEnd();

    private static Exception Root(Exception e) => e switch
    {
        AggregateException { InnerExceptions: [var first, ..] } => Root(first),
        { InnerException: { } inner } => Root(inner),
        _ => e,
    };
}
