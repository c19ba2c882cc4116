using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using KantaGateway.Postgres;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using NpgsqlTypes;

namespace KantaGateway.Audit.Postgres;

/// <summary>
/// Brings a log from files into a database: the same entries, tree and checkpoint under the same key, so whoever has kept a checkpoint or a receipt of it goes on with the new one. It is there whole, read and found to be right,
/// or not at all; and from then on the files are no log, for one key that signs two has signed a fork.
/// </summary>
static class LogMove
{
    /// <summary>What the identity file of a log is called that has been moved.</summary>
    public const string MovedFile = "log.moved";

    /// <summary>A kill leaves the log in the files, or in both; then it is done again and finds the second.</summary>
    /// <param name="folder">Of the files, which no gateway has open.</param>
    /// <param name="owner">Connection string of the role that owns the database, which has been migrated.</param>
    /// <param name="signer">The log's key.</param>
    /// <param name="logKey">The same.</param>
    /// <param name="cancel">Stops the call; the log stays where it was.</param>
    /// <returns>Entries.</returns>
    /// <exception cref="AuditStoreException">The files are in use, are no log or not whole; or the database has entries of its own.</exception>
    public static async Task<long> RunAsync(string folder, string owner, NoteSigner signer, byte[] logKey, CancellationToken cancel)
    {
        // :: Step 1: for as long as it is open here, no gateway writes to it
        using var files = LogStore.Open(new AuditLogOptions { Folder = folder, Origin = signer.Verifier.Name, LogKey = logKey, ReaderPublicKey = [] }, signer, NullLogger.Instance);
        files.Publish();
        RequireIntact("The log in files", files.Verify(null), files.Size);

        // :: Step 2: all of it in one transaction, read again before it is committed
        await using var servers = PostgresServers.SourceOf(owner, "kanta-audit-move", static builder => builder.CommandTimeout = 0);
        await using var connection = await PostgresServers.Primary(servers).OpenConnectionAsync(cancel).ConfigureAwait(false);
        using var watch = new CommitWatch(connection);
        await using (var transaction = await connection.BeginTransactionAsync(cancel).ConfigureAwait(false))
        {
            await using (var hold = new NpgsqlCommand("SET LOCAL idle_in_transaction_session_timeout = 0", connection, transaction))
                await hold.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
            var isThere = await IsThereAsync(connection, files, cancel).ConfigureAwait(false);
            if (!isThere)
                await CopyAsync(connection, folder, files, cancel).ConfigureAwait(false);
            RequireIntact("What came into the database", AuditVerification.Of(signer.Verifier, files.Note, files.Note, () => PostgresAudit.PrunedNote(connection), (published, earlier, pruned, fault) => new PostgresReading(connection, published, earlier, pruned, fault)), files.Size);
            await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
        }
        watch.RequireConfirmed();

        // :: Step 3: the files are no log any more
        File.Move(Path.Combine(folder, LogStore.IdentityFile), Path.Combine(folder, MovedFile), overwrite: true);
        Disk.FlushFolder(folder);
        return files.Size;
    }

    private static void RequireIntact(string what, AuditVerification found, long size)
    {
        if (!found.IsIntact || found.Entries != size)
            throw new AuditStoreException($"{what} is not whole: {(found.IsIntact ? $"{found.Entries} entries of {size}" : string.Join("; ", found.Faults))}.");
    }

    /// <summary>Holds the head. True: an earlier call has brought it all.</summary>
    private static async Task<bool> IsThereAsync(NpgsqlConnection connection, LogStore files, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand("SELECT l.size, c.size, c.note FROM log l, checkpoint c FOR UPDATE", connection);
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        await reader.ReadAsync(cancel).ConfigureAwait(false);
        var (rows, published, note) = (reader.GetInt64(0), reader.GetInt64(1), reader.GetString(2));
        if (rows == files.Size && note == files.Note)
            return true;
        return rows == 0 && published == 0 ? false : throw new AuditStoreException("The log of the database has been begun: entries of two logs cannot be put into one.");
    }

    private static async Task CopyAsync(NpgsqlConnection connection, string folder, LogStore files, CancellationToken cancel)
    {
        await using (var entries = await connection.BeginBinaryImportAsync("COPY entry (index, tag, leaf, envelope) FROM STDIN (FORMAT BINARY)", cancel).ConfigureAwait(false))
        {
            foreach (var (index, row) in Segments.Rows(folder))
            {
                await entries.StartRowAsync(cancel).ConfigureAwait(false);
                await entries.WriteAsync(index, NpgsqlDbType.Bigint, cancel).ConfigureAwait(false);
                if (row.Tag is { } tag)
                    await entries.WriteAsync(tag, NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
                else
                    await entries.WriteNullAsync(cancel).ConfigureAwait(false);
                await entries.WriteAsync(row.Leaf, NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
                await entries.WriteAsync(row.Envelope(), NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
            }
            await entries.CompleteAsync(cancel).ConfigureAwait(false);
        }
        await using (var tiles = await connection.BeginBinaryImportAsync("COPY tile (level, number, hashes) FROM STDIN (FORMAT BINARY)", cancel).ConfigureAwait(false))
        {
            // Bundles are read from the entries there.
            foreach (var tile in TileFiles.List(folder).Select(static file => file.Tile).OfType<TilePath>().Where(static tile => tile.Level != TilePath.Entries))
            {
                await tiles.StartRowAsync(cancel).ConfigureAwait(false);
                await tiles.WriteAsync(tile.Level, NpgsqlDbType.Integer, cancel).ConfigureAwait(false);
                await tiles.WriteAsync(tile.Index, NpgsqlDbType.Bigint, cancel).ConfigureAwait(false);
                await tiles.WriteAsync(TileFiles.Read(folder, tile)!, NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
            }
            await tiles.CompleteAsync(cancel).ConfigureAwait(false);
        }
        var edge = new List<byte>();
        for (var level = 0; level < 8 && files.Size >> 8 * level is var count and > 0; level++)
            if (count % TilePath.FullWidth is var width and > 0)
                edge.AddRange((await files.Published.ReadAsync(new(level, count / TilePath.FullWidth, (int)width)).ConfigureAwait(false))!);
        await using var head = new NpgsqlCommand("WITH counted AS (UPDATE log SET size = $1) UPDATE checkpoint SET size = $1, note = $2, edge = $3", connection)
        {
            Parameters = { PostgresLogStore.Number(files.Size), PostgresAudit.Text(files.Note), PostgresLogStore.Bytes([.. edge]) },
        };
        await head.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
        if (await files.PrunedAsync().ConfigureAwait(false) is not { } pruning)
            return;
        await using var pruned = new NpgsqlCommand("INSERT INTO pruned (before, note) VALUES ($1, $2)", connection) { Parameters = { PostgresLogStore.Number(pruning.Before), PostgresAudit.Text(pruning.Note) } };
        await pruned.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
    }
}
