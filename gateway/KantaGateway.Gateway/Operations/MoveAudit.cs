using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using Npgsql;

namespace KantaGateway.Gateway.Operations;

/// <summary>The command <c>move-audit</c>: brings the audit log of a gateway from its files into a database that several share. Entries, receipts, checkpoints and key stay what they were.</summary>
public static class MoveAudit
{
    public const string Name = "move-audit";

    /// <param name="options">As of <see cref="MigrateAudit"/>, where <see cref="GatewayOptions.AuditFolder"/> has the log and its key.</param>
    /// <param name="console">Told what happened.</param>
    /// <param name="cancel">Stops the call; the log stays where it was.</param>
    /// <returns>Exit code: 0 the log is in the database, and the files are none any more; 2 it was left as it was.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<int> RunAsync(GatewayOptions options, TextWriter console, CancellationToken cancel = default)
    {
        options.ValidateForMigration(isMove: true);
        try
        {
            var entries = await PostgresAudit.MoveAsync(options.AuditFolder, options.AuditPostgresOwner!, new NpgsqlConnectionStringBuilder(options.AuditPostgres).Username!, options.AuditOrigin,
                LogKeyFile.Open(options.AuditFolder, create: false), cancel);
            await console.WriteLineAsync($"{entries} entries are in the database, and were read there. Start the gateways with {PostgresAudit.Setting}; what is left in {nameof(options.AuditFolder)} beside {LogKeyFile.Name} is read by nobody.");
            return 0;
        }
        catch (AuditStoreException e)
        {
            await console.WriteLineAsync($"Not moved: {e.Message}");
            return 2;
        }
    }
}
