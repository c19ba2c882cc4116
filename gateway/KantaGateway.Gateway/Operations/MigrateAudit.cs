using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using Npgsql;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// The command <c>migrate-audit</c>: makes the tables of the audit log that gateways share, or brings them to the version that this program needs. A running gateway never does: it has not the right to.
/// </summary>
public static class MigrateAudit
{
    public const string Name = "migrate-audit";

    /// <returns>Exit code: 0 the log is of the version that this program needs, 2 it was left as it was.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<int> RunAsync(GatewayOptions options, TextWriter console, CancellationToken cancel = default)
    {
        try
        {
            foreach (var script in await ApplyAsync(options, cancel))
                await console.WriteLineAsync($"{script} has run.");
            await console.WriteLineAsync($"The audit log has schema version {PostgresAudit.Version}.");
            return 0;
        }
        catch (AuditStoreException e)
        {
            await console.WriteLineAsync($"Not migrated: {e.Message}");
            return 2;
        }
    }

    /// <summary>The same for a host that embeds the gateway.</summary>
    /// <returns>Scripts that ran.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<IReadOnlyList<string>> ApplyAsync(GatewayOptions options, CancellationToken cancel = default)
    {
        options.ValidateForMigration();
        return await PostgresAudit.MigrateAsync(options.AuditPostgresOwner!, new NpgsqlConnectionStringBuilder(options.AuditPostgres).Username!, options.AuditOrigin, LogKeyFile.Open(options.AuditFolder, options.CreateStores), cancel);
    }
}
