using System.Runtime.CompilerServices;
using KantaGateway.Fhir.Identifiers;
using Npgsql;
using NpgsqlTypes;

namespace KantaGateway.Repository.Storage;

/// <summary>A PostgreSQL database as source or target of a copy, through the service's role.</summary>
sealed class PostgresCopy : ICopiedStore
{
    /// <summary>What is kept here before it goes to the server.</summary>
    private const int BytesKept = 4 << 20;

    private const int CompartmentsOfPage = 200;

    private const int MostWaits = 20;

    private static readonly TimeSpan Wait = TimeSpan.FromMilliseconds(100);

    private readonly NpgsqlMultiHostDataSource _database;
    private readonly NpgsqlConnection _connection;
    private readonly List<CopiedRow> _kept = [];
    private NpgsqlTransaction? _transaction;
    private long _bytes;

    private PostgresCopy(NpgsqlMultiHostDataSource database, NpgsqlConnection connection) => (_database, _connection) = (database, connection);

    /// <exception cref="StoreException">It cannot be reached, has another schema, or gives the role more than it should have.</exception>
    public static Task<PostgresCopy> OpenAsync(string connectionString, CancellationToken cancel) => Guard(async () =>
    {
        var database = PostgresStore.SourceOf(connectionString);
        try
        {
            var connection = await PostgresStore.Primary(database).OpenConnectionAsync(cancel).ConfigureAwait(false);
            await PostgresStore.RequireOursAsync(connection, cancel).ConfigureAwait(false);
            return new PostgresCopy(database, connection);
        }
        catch
        {
            await database.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    });

    public string Name => $"{_connection.Host}:{_connection.Port}/{_connection.Database}";

    public Task HoldAsync(CancellationToken cancel) => Guard(async () =>
    {
        // One snapshot, which begins after the lock.
        _transaction = await _connection.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead, cancel).ConfigureAwait(false);
        try
        {
            return await DoAsync("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '10s'; LOCK TABLE compartment, entry, body, content, part IN SHARE MODE; SET LOCAL lock_timeout = 0", cancel).ConfigureAwait(false);
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.LockNotAvailable)
        {
            throw new StoreException("Somebody writes to the source: stop the repositories first.", e);
        }
    });

    public Task<long> CountAsync(CancellationToken cancel) => Guard(async () =>
        (long)(await AskAsync("SELECT (SELECT coalesce(sum(head), 0)::bigint FROM compartment) + (SELECT count(*) FROM part)", cancel).ConfigureAwait(false))!);

    public async IAsyncEnumerable<CopiedRow> ReadAsync(Pseudonym? after, [EnumeratorCancellation] CancellationToken cancel)
    {
        var from = after?.ToArray() ?? [];
        while (true)
        {
            var page = await PageAsync(from, cancel).ConfigureAwait(false);
            foreach (var compartment in page)
            {
                yield return compartment;
                await using var batch = new NpgsqlBatch(_connection);
                foreach (var select in (string[])
                [
                    "SELECT sequence, sealed FROM entry WHERE compartment = $1 ORDER BY sequence",
                    "SELECT sequence, sealed FROM body WHERE compartment = $1 ORDER BY sequence",
                    "SELECT content, sequence FROM content WHERE compartment = $1 ORDER BY content",
                    "SELECT p.content, p.number, p.sealed FROM content c JOIN part p ON p.compartment = c.compartment AND p.content = c.content WHERE c.compartment = $1 ORDER BY p.content, p.number",
                ])
                    batch.BatchCommands.Add(new NpgsqlBatchCommand(select) { Parameters = { Bytes(compartment.Compartment.ToArray()) } });
                await using var reader = await Guard(() => batch.ExecuteReaderAsync(cancel)).ConfigureAwait(false);
                for (var kind = CopiedKind.Entry; kind <= CopiedKind.Part; kind++)
                {
                    while (await Guard(() => reader.ReadAsync(cancel)).ConfigureAwait(false))
                        yield return kind switch
                        {
                            CopiedKind.Content => new(kind, compartment.Compartment, reader.GetInt64(1), reader.GetGuid(0), []),
                            CopiedKind.Part => new(kind, compartment.Compartment, reader.GetInt32(1), reader.GetGuid(0), reader.GetFieldValue<byte[]>(2)),
                            _ => new(kind, compartment.Compartment, reader.GetInt64(0), default, reader.GetFieldValue<byte[]>(1)),
                        };
                    await Guard(() => reader.NextResultAsync(cancel)).ConfigureAwait(false);
                }
            }
            if (page.Count < CompartmentsOfPage)
                yield break;
            from = page[^1].Compartment.ToArray();
        }
    }

    public Task<Pseudonym?> BeginAsync(string source, CancellationToken cancel) => Guard(async () =>
    {
        // Against another copy; it is gone with the connection.
        if (await AskAsync($"SELECT pg_try_advisory_lock({StoreSchema.Lock})", cancel).ConfigureAwait(false) is not true)
            throw new StoreException("Another copy or migration is at the target.");
        var from = await AskAsync("SELECT source FROM copying", cancel).ConfigureAwait(false) as string;
        if (from is not null && from != source)
            throw new StoreException($"The target has a part of {from}: make a new one.");
        if (from is null)
        {
            foreach (var table in (string[])["compartment", "entry", "body", "content", "part"])
                if (await AskAsync($"SELECT 1 FROM {table} LIMIT 1", cancel).ConfigureAwait(false) is not null)
                    throw new StoreException("The target is not empty.");
            await using var mark = new NpgsqlCommand("INSERT INTO copying (source) VALUES ($1)", _connection) { Parameters = { new() { Value = source } } };
            await mark.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
        }
        // From the mark on no repository starts on it; one that had started before would go on with what it finds of everybody who is brought there.
        for (var waited = 0; await AskAsync("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()", cancel).ConfigureAwait(false) is > 0L; waited++)
        {
            // Who has just hung up is a moment on its way out.
            if (waited < MostWaits)
            {
                await Task.Delay(Wait, cancel).ConfigureAwait(false);
                continue;
            }
            if (from is null)
                await DoAsync("DELETE FROM copying", cancel).ConfigureAwait(false);
            throw new StoreException("Somebody is at the target: stop the repositories first.");
        }
        return await AskAsync("SELECT compartment FROM compartment ORDER BY compartment DESC LIMIT 1", cancel).ConfigureAwait(false) is byte[] last ? Pseudonym.Read(last) : (Pseudonym?)null;
    });

    public async Task WriteAsync(CopiedRow row, CancellationToken cancel)
    {
        _kept.Add(row);
        _bytes += row.Value.Length + 100;
        if (_bytes >= BytesKept)
            await SendAsync(cancel).ConfigureAwait(false);
    }

    public async Task CommitAsync(CancellationToken cancel)
    {
        await SendAsync(cancel).ConfigureAwait(false);
        if (_transaction is null)
            return;
        await Guard(async () =>
        {
            await _transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
            await _transaction.DisposeAsync().ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
        _transaction = null;
    }

    public Task FinishAsync(CancellationToken cancel) => Guard(() => DoAsync("DELETE FROM copying", cancel));

    public async ValueTask DisposeAsync()
    {
        // Takes back what is not committed, and the locks.
        await _connection.DisposeAsync().ConfigureAwait(false);
        await _database.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Rows go to the server table by table, which is many times faster than one by one.</summary>
    private Task<bool> SendAsync(CancellationToken cancel) => Guard(async () =>
    {
        if (_kept.Count == 0)
            return true;
        _transaction ??= await _connection.BeginTransactionAsync(cancel).ConfigureAwait(false);
        foreach (var rows in _kept.GroupBy(row => row.Kind))
        {
            var columns = rows.Key switch
            {
                CopiedKind.Compartment => "compartment (compartment, wrapped, head)",
                CopiedKind.Content => "content (compartment, content, sequence)",
                CopiedKind.Part => "part (compartment, content, number, sealed)",
                CopiedKind.Entry => "entry (compartment, sequence, sealed)",
                _ => "body (compartment, sequence, sealed)",
            };
            await using var import = await _connection.BeginBinaryImportAsync($"COPY {columns} FROM STDIN (FORMAT BINARY)", cancel).ConfigureAwait(false);
            foreach (var row in rows)
            {
                await import.StartRowAsync(cancel).ConfigureAwait(false);
                await import.WriteAsync(row.Compartment.ToArray(), NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
                if (row.Kind is CopiedKind.Content or CopiedKind.Part)
                    await import.WriteAsync(row.Content, NpgsqlDbType.Uuid, cancel).ConfigureAwait(false);
                if (row.Kind == CopiedKind.Compartment)
                    await import.WriteAsync(row.Value, NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
                if (row.Kind == CopiedKind.Part)
                    await import.WriteAsync((int)row.Number, NpgsqlDbType.Integer, cancel).ConfigureAwait(false);
                else
                    await import.WriteAsync(row.Number, NpgsqlDbType.Bigint, cancel).ConfigureAwait(false);
                if (row.Kind is not (CopiedKind.Compartment or CopiedKind.Content))
                    await import.WriteAsync(row.Value, NpgsqlDbType.Bytea, cancel).ConfigureAwait(false);
            }
            await import.CompleteAsync(cancel).ConfigureAwait(false);
        }
        _kept.Clear();
        _bytes = 0;
        return true;
    });

    private Task<List<CopiedRow>> PageAsync(byte[] from, CancellationToken cancel) => Guard(async () =>
    {
        await using var command = new NpgsqlCommand("SELECT compartment, wrapped, head FROM compartment WHERE compartment > $1 ORDER BY compartment LIMIT $2", _connection)
        {
            Parameters = { Bytes(from), new NpgsqlParameter<int> { TypedValue = CompartmentsOfPage } },
        };
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        var page = new List<CopiedRow>(CompartmentsOfPage);
        while (await reader.ReadAsync(cancel).ConfigureAwait(false))
            page.Add(new(CopiedKind.Compartment, Pseudonym.Read(reader.GetFieldValue<byte[]>(0)), reader.GetInt64(2), default, reader.GetFieldValue<byte[]>(1)));
        return page;
    });

    private async Task<object?> AskAsync(string sql, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(sql, _connection) { CommandTimeout = 0 };
        return await command.ExecuteScalarAsync(cancel).ConfigureAwait(false);
    }

    private async Task<int> DoAsync(string sql, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(sql, _connection);
        return await command.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
    }

    private static NpgsqlParameter<byte[]> Bytes(byte[] value) => PostgresStore.Bytes(value);

    private static Task<T> Guard<T>(Func<Task<T>> work) => PostgresStore.Guard(work).AsTask();
}
