using KantaGateway.Fhir.Transport;
using Npgsql;

namespace KantaGateway.Postgres;

/// <summary>How a part of the product reaches its database. PostgreSQL 15 or newer.</summary>
public static class PostgresServers
{
    /// <summary>The servers of a connection string; of them use <see cref="Primary"/>.</summary>
    /// <param name="connectionString">Checked by <see cref="PostgresOptions"/>.</param>
    /// <param name="application">Name under which the connections are listed by the server.</param>
    /// <param name="settle">Further settings.</param>
    public static NpgsqlMultiHostDataSource SourceOf(string connectionString, string application, Action<NpgsqlConnectionStringBuilder>? settle = null)
    {
        var given = new NpgsqlConnectionStringBuilder(connectionString);
        var builder = new NpgsqlConnectionStringBuilder(connectionString)
        {
            // A server that answers nobody and hangs up on nobody is asked first by each request that finds nothing newer known of it than a second ago.
            Timeout = given.ShouldSerialize("Timeout") ? given.Timeout : 5,
            ApplicationName = application,
            // Whatever else the database has.
            SearchPath = "public",
            // Encryption by Kerberos would take the place of TLS, and of the check of the server's name with it.
            GssEncryptionMode = GssEncryptionMode.Disable,
            // Statements are few and always the same.
            MaxAutoPrepare = 40,
            AutoPrepareMinUsages = 2,
            // No statement of ours leaves anything behind in its session: settings are of the connection or of one transaction, and locks end with it. To put each session back before its next statement costs the server half of what a read does.
            NoResetOnClose = true,
            // Never ciphertext or compartment numbers in an exception.
            IncludeErrorDetail = false,
            // What takes too long ends with the connection, and its outcome is not known. A server that is asked to cancel answers a commit that waits for
            // its standby with success, though the standby has nothing (CommitWatch).
            CancellationTimeout = -1,
            TargetSessionAttributes = null,
            // A standby that has taken over is seen to have within so many seconds.
            HostRecheckSeconds = 1,
        };
        // An acknowledged commit is on disk whatever the server's default is. Statements are short: to compile them takes longer than to run them, and so does
        // to plan them, which the server would do each time, for a plan over all partitions seems dearer to it than it is: so dear that it would have it carried out by helpers, too. Every one of them
        // goes by a key; while a table is small it seems cheaper to read it whole, and that plan would be kept. A node that is cut off in the middle
        // of a commit holds its people's rows for seconds, not until TCP gives up, and who waits for them is told so before its own time is over.
        builder.Options = string.Join(' ', new[] { builder.Options, "-c synchronous_commit=on -c jit=off -c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0 -c enable_seqscan=off -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s -c client_min_messages=warning",
            "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3" }.Where(o => !string.IsNullOrEmpty(o)));
        settle?.Invoke(builder);
        return new NpgsqlDataSourceBuilder(builder.ToString()).BuildMultiHost();
    }

    /// <summary>Of any number of servers the one that takes writes: another may be behind it, and what was acknowledged would not be there.</summary>
    public static NpgsqlDataSource Primary(NpgsqlMultiHostDataSource servers) => servers.WithTargetSession(TargetSessionAttributes.Primary);

    /// <summary>Vastaamo's database could be reached by anybody. This one listens on private addresses that are named, or on a socket alone.</summary>
    /// <param name="connection">To it.</param>
    /// <param name="setting">That names it.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="UnfitDatabaseException">It does not.</exception>
    public static async Task RequirePrivateListenerAsync(NpgsqlConnection connection, string setting, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand("SHOW listen_addresses", connection);
        if (await command.ExecuteScalarAsync(cancel).ConfigureAwait(false) is string addresses
            && addresses.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Any(OptionsCheck.IsPublic))
            throw new UnfitDatabaseException($"{setting}: its server listens on every address, or on a public one. Name the private ones in its setting listen_addresses.");
    }

    /// <summary>What time it is there.</summary>
    public static async Task<DateTimeOffset> ReadClockAsync(NpgsqlMultiHostDataSource servers, CancellationToken cancel)
    {
        await using var command = Primary(servers).CreateCommand("SELECT clock_timestamp()");
        return (DateTime)(await command.ExecuteScalarAsync(cancel).ConfigureAwait(false))!;
    }
}
