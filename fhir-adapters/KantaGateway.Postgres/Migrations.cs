using System.Globalization;
using System.Reflection;
using DbUp;
using DbUp.Builder;
using DbUp.Engine;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace KantaGateway.Postgres;

/// <summary>
/// The tables of a database: how it comes by them, and whether it has those that this program needs. They are made by numbered scripts in an assembly; the last number is the version. There is no way
/// back: a database of a version that this program does not know is refused, by whoever migrates and whoever serves.
/// </summary>
public sealed class Migrations
{
    /// <summary>Table that the scripts which ran are written down in.</summary>
    public const string Journal = "schema_version";

    /// <summary>Asks for the last script that ran.</summary>
    public const string Newest = $"SELECT max(scriptname) FROM {Journal}";

    private readonly List<SqlScript> _scripts;
    private readonly string _command;

    /// <param name="assembly">Has them as resources.</param>
    /// <param name="folder">Beginning of the resources' names, up to that of the script.</param>
    /// <param name="command">Migrates, as one types it.</param>
    public Migrations(Assembly assembly, string folder, string command)
    {
        _scripts = [.. assembly.GetManifestResourceNames().Where(name => name.StartsWith(folder, StringComparison.Ordinal)).Order(StringComparer.Ordinal)
            .Select(name => SqlScript.FromStream(name[folder.Length..], assembly.GetManifestResourceStream(name)!))];
        _command = command;
        Version = VersionOf(_scripts[^1].Name);
    }

    /// <summary>Version that this program needs.</summary>
    public int Version { get; }

    /// <param name="script">Name of the last script that ran; null: none did.</param>
    /// <exception cref="UnfitDatabaseException">Not one of ours.</exception>
    public static int VersionOf(string? script) => script is null ? 0
        : int.TryParse(script.Split('_')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number
        : throw new UnfitDatabaseException("The database's list of migrations is not ours.");

    /// <exception cref="UnfitDatabaseException">The database is of another version; the message says what to run.</exception>
    public void Require(int found)
    {
        RequireKnown(found);
        if (found < Version)
            throw new UnfitDatabaseException($"The database has schema version {found}, and this program needs {Version}: run \"{_command}\" first.");
    }

    /// <exception cref="UnfitDatabaseException">The database is of a newer version.</exception>
    public void RequireKnown(int found)
    {
        if (found > Version)
            throw new UnfitDatabaseException($"The database has schema version {found}, and this program knows none after {Version}: run a program that does. There is no way back.");
    }

    /// <summary>Brings a database to <see cref="Version"/> and gives the service's role what it needs, no more. Any number may do so at once.</summary>
    /// <param name="owner">Connection string of the role that owns the database.</param>
    /// <param name="service">The service's role; it is there.</param>
    /// <param name="turn">Of an advisory lock, which tells this kind of database from others.</param>
    /// <param name="grants">What the service's role, of this quoted name, is given beside connecting.</param>
    /// <param name="finish">What comes after the scripts, on the owner's connection; null: nothing.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <returns>Scripts that ran.</returns>
    /// <exception cref="UnfitDatabaseException">The database is of a newer version, or failed; it is as it was.</exception>
    public async Task<IReadOnlyList<string>> MigrateAsync(string owner, string service, long turn, Func<string, string> grants, Func<NpgsqlConnection, Task>? finish, CancellationToken cancel)
    {
        var given = new NpgsqlConnectionStringBuilder(owner) { ApplicationName = "kanta-migration", SearchPath = "public", Pooling = false, GssEncryptionMode = GssEncryptionMode.Disable, TargetSessionAttributes = null };
        try
        {
            await using var servers = new NpgsqlDataSourceBuilder(given.ToString()).BuildMultiHost();
            await using var connection = await PostgresServers.Primary(servers).OpenConnectionAsync(cancel).ConfigureAwait(false);
            // Held by this connection, so that it is gone with it: whoever comes at the same time waits here and finds everything done.
            await using (var wait = new NpgsqlCommand("SELECT pg_advisory_lock($1)", connection) { CommandTimeout = 0, Parameters = { new NpgsqlParameter<long> { TypedValue = turn } } })
                await wait.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
            RequireKnown(await VersionAsync(connection, cancel).ConfigureAwait(false));
            // Of several servers the same, which need not be the first.
            (given.Host, given.Port) = (connection.Host, connection.Port);
            var ran = Run(DeployChanges.To.PostgresqlDatabase(given.ToString()).JournalToPostgresqlTable("public", Journal));
            var names = new NpgsqlCommandBuilder();
            var (role, database) = (names.QuoteIdentifier(service), names.QuoteIdentifier(connection.Database));
            // Partitions have no rights of their own: they are reached through their table only.
            await using var give = new NpgsqlCommand($"""
                REVOKE ALL ON DATABASE {database} FROM PUBLIC;
                GRANT CONNECT ON DATABASE {database} TO {role};
                REVOKE ALL ON SCHEMA public FROM PUBLIC;
                GRANT USAGE ON SCHEMA public TO {role};
                REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {role};
                REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, {role};
                GRANT SELECT ON {Journal} TO {role};
                {grants(role)}
                """, connection);
            await give.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
            if (finish is not null)
                await finish(connection).ConfigureAwait(false);
            return ran;
        }
        catch (NpgsqlException e)
        {
            throw new UnfitDatabaseException("The PostgreSQL database cannot be migrated.", e);
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

    /// <summary>Runs the scripts that have not run, all in one transaction.</summary>
    /// <returns>Their names.</returns>
    /// <exception cref="UnfitDatabaseException">One failed; nothing was changed.</exception>
    public IReadOnlyList<string> Run(UpgradeEngineBuilder to)
    {
        var result = to.WithScripts(_scripts).WithTransaction().WithVariablesDisabled().LogTo(NullLoggerFactory.Instance).Build().PerformUpgrade();
        return result.Successful ? [.. result.Scripts.Select(script => script.Name)]
            : throw new UnfitDatabaseException($"The migration {result.ErrorScript?.Name} failed; nothing was changed.", result.Error);
    }
}
