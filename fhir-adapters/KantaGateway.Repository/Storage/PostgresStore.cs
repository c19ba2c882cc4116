using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace KantaGateway.Repository.Storage;

/// <summary>
/// PostgreSQL 15 or newer: tables hash-partitioned by compartment, every key beginning with it. An append is one statement. What has queued up while the
/// last groups were being committed goes to the server in one round trip and becomes durable in one commit (group commit); one that has lost a race appends
/// nothing and is no error, so it takes nobody with it. Groups are of one size where many write: a small one waits for its sync as long as a large one.
/// </summary>
sealed class PostgresStore : ICompartmentStore
{
    /// <summary>Groups under way at once: while one waits for its sync the next one is worked on.</summary>
    private const int Lanes = 2;

    private const int MaxGroup = 128, MaxGroupBytes = 4 << 20;

    // :: What is asked for in a request, each of one compartment and so of one partition

    internal const string IndexSql = """
        SELECT c.head, c.wrapped, e.sequence, e.sealed, c.generation FROM compartment c
        LEFT JOIN entry e ON e.compartment = c.compartment AND e.sequence > $2
        WHERE c.compartment = $1 ORDER BY e.sequence
        """;

    internal const string BodySql = """
        SELECT c.head, b.sealed, c.generation FROM compartment c
        LEFT JOIN body b ON b.compartment = c.compartment AND b.sequence = $2
        WHERE c.compartment = $1
        """;

    internal const string BodiesSql = """
        SELECT c.head, b.sequence, b.sealed, c.generation FROM compartment c
        LEFT JOIN body b ON b.compartment = c.compartment AND b.sequence = ANY ($2)
        WHERE c.compartment = $1
        """;

    internal const string DropPartsSql = """
        DELETE FROM part p WHERE p.compartment = $1 AND p.content = $2
        AND NOT EXISTS (SELECT 1 FROM content c WHERE c.compartment = p.compartment AND c.content = p.content)
        """;

    internal const string StorePartSql = "INSERT INTO part (compartment, content, number, sealed) VALUES ($1, $2, $3, $4)";

    internal const string ReadPartSql = "SELECT length(sealed), sealed FROM part WHERE compartment = $1 AND content = $2 AND number = $3";

    internal const string ReplaceKeySql = "UPDATE compartment SET wrapped = $3 WHERE compartment = $1 AND wrapped = $2";

    // The compartment's row first: it is the lock.
    internal static readonly string[] EraseSql =
    [
        "INSERT INTO compartment AS c (compartment, wrapped, head) VALUES ($1, '', 1) ON CONFLICT (compartment) DO UPDATE SET wrapped = '', head = c.head + 1 WHERE length(c.wrapped) > 0",
        "DELETE FROM entry WHERE compartment = $1", "DELETE FROM body WHERE compartment = $1", "DELETE FROM content WHERE compartment = $1", "DELETE FROM part WHERE compartment = $1",
    ];

    // Rows are taken out and put in again, page by page, while others read them as they were and append behind them: nobody waits but who appends during the last page.
    internal const string TakeEntriesSql = "DELETE FROM entry WHERE compartment = $1 AND sequence > $2 AND sequence <= $3 RETURNING sequence, sealed";

    internal const string TakeBodiesSql = "DELETE FROM body WHERE compartment = $1 AND sequence > $2 AND sequence <= $3 RETURNING sequence, sealed";

    internal const string PutRowsSql = """
        WITH rows AS (SELECT $1::bytea AS compartment, r.* FROM unnest($2::bigint[], $3::bytea[], $4::bytea[]) AS r (sequence, index, body)),
             entries AS (INSERT INTO entry (compartment, sequence, sealed) SELECT compartment, sequence, index FROM rows)
        INSERT INTO body (compartment, sequence, sealed) SELECT compartment, sequence, body FROM rows
        """;

    internal const string HeadSql = "SELECT head FROM compartment WHERE compartment = $1 AND wrapped = $2";

    internal const string TakeContentsSql = "DELETE FROM content WHERE compartment = $1";

    internal const string PutContentsSql = "INSERT INTO content (compartment, content, sequence) SELECT $1, r.* FROM unnest($2::uuid[], $3::bigint[]) AS r (content, sequence)";

    internal const string RenewSql = "UPDATE compartment SET wrapped = $3, generation = generation + 1 WHERE compartment = $1 AND wrapped = $2 RETURNING head";

    /// <summary>What an append to a compartment that is not there comes to.</summary>
    private const string NotThere = PostgresErrorCodes.NotNullViolation;

    private const int ResealedAtOnce = 256;

    private readonly NpgsqlMultiHostDataSource _servers;
    private readonly NpgsqlDataSource _database;
    private readonly Lock _gate = new();
    private readonly Queue<Pending> _queue = new();
    private readonly TaskCompletionSource _isDone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Groups, and appends in them.</summary>
    private int _groupsUnderWay, _underWay;

    private bool _isNextDue, _isClosed;

    private PostgresStore(NpgsqlMultiHostDataSource servers) => (_servers, _database) = (servers, Primary(servers));

    private sealed record Pending(CompartmentAppend Append, TaskCompletionSource<bool> Done)
    {
        public int Bytes { get; } = Append.Rows.Sum(row => row.Index.Length + row.Body.Length);
    }

    /// <exception cref="StoreException">The server cannot be reached, has not our tables or others, or gives the role more than it should have.</exception>
    public static async Task<PostgresStore> OpenAsync(string connectionString, CancellationToken cancel)
    {
        var servers = SourceOf(connectionString);
        PostgresStore? store = null;
        try
        {
            await using (var connection = await Primary(servers).OpenConnectionAsync(cancel).ConfigureAwait(false))
            {
                await RequireOursAsync(connection, cancel).ConfigureAwait(false);
                await using var copying = new NpgsqlCommand("SELECT source FROM copying", connection);
                StoreSchema.RequireWhole(await copying.ExecuteScalarAsync(cancel).ConfigureAwait(false) as string);
            }
            store = new PostgresStore(servers);
            await store.ReadIndexAsync(Pseudonym.Directory, long.MaxValue, cancel).ConfigureAwait(false);
            return store;
        }
        catch (Exception e) when (e is NpgsqlException or StoreException)
        {
            await ((IAsyncDisposable?)store ?? servers).DisposeAsync().ConfigureAwait(false);
            // Of several servers each has its own.
            throw e is StoreException ? e : new StoreException("The PostgreSQL database cannot be used.", e.InnerException is AggregateException { InnerExceptions: [var first, ..] } ? first : e);
        }
    }

    internal static NpgsqlDataSource Primary(NpgsqlMultiHostDataSource servers) => PostgresServers.Primary(servers);

    // At least one connection, so that who copies into it sees that somebody is at it.
    internal static NpgsqlMultiHostDataSource SourceOf(string connectionString) => PostgresServers.SourceOf(connectionString, "kanta-repository", static builder => builder.MinPoolSize = 1);

    /// <summary>The schema is this program's, and the role the service's.</summary>
    /// <exception cref="StoreException">Not; the message says what to do.</exception>
    internal static async Task RequireOursAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        try
        {
            await PostgresServers.RequirePrivateListenerAsync(connection, nameof(RepositoryOptions.Postgres), cancel).ConfigureAwait(false);
            await Role.RequireNoMoreAsync(connection, cancel).ConfigureAwait(false);
            StoreSchema.Require(await Migrations.VersionAsync(connection, cancel).ConfigureAwait(false));
        }
        catch (UnfitDatabaseException e)
        {
            throw new StoreException(e.Message, e.InnerException);
        }
    }

    private static readonly ServiceRole Role = new(nameof(RepositoryOptions.Postgres), $"KantaGateway.Repository {MigrateStore.Name}") { Changed = "compartment" };

    /// <summary>What time it is there.</summary>
    public static async Task<DateTimeOffset> ReadClockAsync(string connectionString, CancellationToken cancel)
    {
        await using var servers = SourceOf(connectionString);
        return await PostgresServers.ReadClockAsync(servers, cancel).ConfigureAwait(false);
    }

    public ValueTask<StoredIndex?> ReadIndexAsync(Pseudonym compartment, long after, CancellationToken cancel) => Guard<StoredIndex?>(async () =>
    {
        await using var command = _database.CreateCommand(IndexSql);
        command.Parameters.Add(Bytes(compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = after });
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        if (!await reader.ReadAsync(cancel).ConfigureAwait(false))
            return null;
        var head = reader.GetInt64(0);
        var wrapped = reader.GetFieldValue<byte[]>(1);
        var generation = reader.GetInt64(4);
        var entries = new List<(long, byte[])>(head > after ? (int)(head - after) : 0);
        do
        {
            if (!reader.IsDBNull(2))
                entries.Add((reader.GetInt64(2), reader.GetFieldValue<byte[]>(3)));
        }
        while (await reader.ReadAsync(cancel).ConfigureAwait(false));
        return new(wrapped, head, entries, generation);
    });

    public ValueTask<StoredBody> ReadBodyAsync(Pseudonym compartment, long sequence, CancellationToken cancel) => Guard(async () =>
    {
        await using var command = _database.CreateCommand(BodySql);
        command.Parameters.Add(Bytes(compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = sequence });
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        return await reader.ReadAsync(cancel).ConfigureAwait(false)
            ? new StoredBody(reader.GetInt64(0), reader.IsDBNull(1) ? null : reader.GetFieldValue<byte[]>(1), reader.GetInt64(2))
            : default;
    });

    public ValueTask<StoredBodies> ReadBodiesAsync(Pseudonym compartment, IReadOnlyList<long> sequences, CancellationToken cancel) => Guard(async () =>
    {
        var bodies = new byte[]?[sequences.Count];
        var places = new Dictionary<long, int>(bodies.Length);
        for (var i = 0; i < bodies.Length; i++)
            places[sequences[i]] = i;
        await using var command = _database.CreateCommand(BodiesSql);
        command.Parameters.Add(Bytes(compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = [.. sequences] });
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        var (head, generation) = (0L, 0L);
        while (await reader.ReadAsync(cancel).ConfigureAwait(false))
        {
            (head, generation) = (reader.GetInt64(0), reader.GetInt64(3));
            if (!reader.IsDBNull(1))
                bodies[places[reader.GetInt64(1)]] = reader.GetFieldValue<byte[]>(2);
        }
        return new StoredBodies(head, bodies, generation);
    });

    public async ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        // All or nothing across compartments takes a transaction of its own.
        if (appends.Count > 1)
            return await AppendTogetherAsync(appends, cancel).ConfigureAwait(false);
        // Continuations must not run in the lane: the next group would wait for them.
        var pending = new Pending(appends[0], new(TaskCreationOptions.RunContinuationsAsynchronously));
        lock (_gate)
        {
            if (_isClosed)
                throw new StoreException("The store is closed.");
            _queue.Enqueue(pending);
            Next();
        }
        // Not cancellable from here on: the outcome must be known before the caller may go on.
        return await pending.Done.Task.ConfigureAwait(false);
    }

    public async ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel) => await WriteAsync(async connection =>
    {
        await using var command = new NpgsqlCommand(StorePartSql, connection);
        command.Parameters.Add(Bytes(compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = content });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = number });
        command.Parameters.Add(new NpgsqlParameter<ReadOnlyMemory<byte>> { TypedValue = sealedPart, NpgsqlDbType = NpgsqlDbType.Bytea });
        return await command.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
    }, cancel).ConfigureAwait(false);

    public ValueTask<int> ReadPartAsync(Pseudonym compartment, Guid content, int number, byte[] buffer, CancellationToken cancel) => Guard(async () =>
    {
        await using var command = _database.CreateCommand(ReadPartSql);
        command.Parameters.Add(Bytes(compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = content });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = number });
        await using var reader = await command.ExecuteReaderAsync(System.Data.CommandBehavior.SequentialAccess, cancel).ConfigureAwait(false);
        if (!await reader.ReadAsync(cancel).ConfigureAwait(false))
            return -1;
        var length = reader.GetInt32(0);
        if (length > buffer.Length)
            throw new StoreException("A part is larger than any that was stored.");
        await using var stream = await reader.GetStreamAsync(1, cancel).ConfigureAwait(false);
        await stream.ReadExactlyAsync(buffer.AsMemory(0, length), cancel).ConfigureAwait(false);
        return length;
    });

    public async ValueTask DropPartsAsync(Pseudonym compartment, Guid content, CancellationToken cancel) => await Guard(async () =>
    {
        await using var command = _database.CreateCommand(DropPartsSql);
        command.Parameters.Add(Bytes(compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = content });
        return await command.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
    }).ConfigureAwait(false);

    public async ValueTask SweepPartsAsync(Guid before, CancellationToken cancel) => await Guard(async () =>
    {
        await using var command = _database.CreateCommand("""
            DELETE FROM part p WHERE p.content < $1
            AND NOT EXISTS (SELECT 1 FROM content c WHERE c.compartment = p.compartment AND c.content = p.content)
            """);
        command.Parameters.Add(new NpgsqlParameter<Guid> { TypedValue = before });
        return await command.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
    }).ConfigureAwait(false);

    public ValueTask<IReadOnlyList<StoredKey>> ReadKeysAsync(uint version, Pseudonym? after, int most, CancellationToken cancel) => Guard<IReadOnlyList<StoredKey>>(async () =>
    {
        await using var command = _database.CreateCommand("SELECT compartment, wrapped FROM compartment WHERE compartment > $1 AND substring(wrapped FOR 5) <> $2 AND length(wrapped) > 0 ORDER BY compartment LIMIT $3");
        command.Parameters.Add(Bytes(after?.ToArray() ?? []));
        command.Parameters.Add(Bytes(WrappedKey.HeaderOf(version)));
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = most });
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        var found = new List<StoredKey>();
        while (await reader.ReadAsync(cancel).ConfigureAwait(false))
            found.Add(new(Pseudonym.Read(reader.GetFieldValue<byte[]>(0)), reader.GetFieldValue<byte[]>(1)));
        return found;
    });

    public ValueTask<StoredKeyCount> CountKeysAsync(uint version, CancellationToken cancel) => Guard(async () =>
    {
        await using var command = _database.CreateCommand("SELECT count(*), count(*) FILTER (WHERE substring(wrapped FOR 5) <> $1) FROM compartment WHERE length(wrapped) > 0");
        command.Parameters.Add(Bytes(WrappedKey.HeaderOf(version)));
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        await reader.ReadAsync(cancel).ConfigureAwait(false);
        return new StoredKeyCount(reader.GetInt64(0), reader.GetInt64(1));
    });

    public ValueTask<IReadOnlyList<CountedRows>> CountRowsAsync(Pseudonym? after, int most, CancellationToken cancel) => Guard<IReadOnlyList<CountedRows>>(async () =>
    {
        // Different sequences: whoever has all rights can drop the key that keeps them so.
        await using var command = _database.CreateCommand("""
            SELECT c.compartment, c.wrapped, c.head, e.rows, e.first, e.last, b.rows, b.first, b.last,
                (SELECT count(*) FROM content k WHERE k.compartment = c.compartment AND (k.sequence NOT BETWEEN 1 AND c.head
                    OR (SELECT count(*) = 0 OR count(*) <> max(p.number) + 1 FROM part p WHERE p.compartment = k.compartment AND p.content = k.content)))
            FROM (SELECT * FROM compartment WHERE compartment > $1 ORDER BY compartment LIMIT $2) c
            CROSS JOIN LATERAL (SELECT count(DISTINCT sequence) AS rows, coalesce(min(sequence), 0) AS first, coalesce(max(sequence), 0) AS last FROM entry WHERE compartment = c.compartment) e
            CROSS JOIN LATERAL (SELECT count(DISTINCT sequence) AS rows, coalesce(min(sequence), 0) AS first, coalesce(max(sequence), 0) AS last FROM body WHERE compartment = c.compartment) b
            ORDER BY c.compartment
            """);
        command.Parameters.Add(Bytes(after?.ToArray() ?? []));
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = most });
        await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
        var found = new List<CountedRows>();
        while (await reader.ReadAsync(cancel).ConfigureAwait(false))
            found.Add(new(Pseudonym.Read(reader.GetFieldValue<byte[]>(0)), reader.GetFieldValue<byte[]>(1), reader.GetInt64(2),
                new(reader.GetInt64(3), reader.GetInt64(4), reader.GetInt64(5)), new(reader.GetInt64(6), reader.GetInt64(7), reader.GetInt64(8)), reader.GetInt64(9)));
        return found;
    });

    public ValueTask<long> CountStraysAsync(CancellationToken cancel) => Guard(async () =>
    {
        await using var command = _database.CreateCommand("""
            SELECT (SELECT count(*) FROM entry r WHERE NOT EXISTS (SELECT 1 FROM compartment c WHERE c.compartment = r.compartment))
                + (SELECT count(*) FROM body r WHERE NOT EXISTS (SELECT 1 FROM compartment c WHERE c.compartment = r.compartment))
                + (SELECT count(*) FROM content r WHERE NOT EXISTS (SELECT 1 FROM compartment c WHERE c.compartment = r.compartment))
            """);
        return (long)(await command.ExecuteScalarAsync(cancel).ConfigureAwait(false))!;
    });

    public ValueTask<int> ReplaceKeysAsync(IReadOnlyList<ReplacedKey> keys, CancellationToken cancel) => keys.Count == 0 ? new(0) : WriteAsync(async connection =>
    {
        await using var batch = new NpgsqlBatch(connection);
        foreach (var key in InOrder(keys, key => key.Compartment))
            batch.BatchCommands.Add(new NpgsqlBatchCommand(ReplaceKeySql) { Parameters = { Bytes(key.Compartment.ToArray()), Bytes(key.Old), Bytes(key.New) } });
        return await batch.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
    }, cancel);

    public ValueTask<bool> ResealAsync(ReplacedKey key, Func<StoredRow, SealedRow> seal, Func<long, Task> settle, CancellationToken cancel) => WriteAsync(async connection =>
    {
        await using var transaction = await connection.BeginTransactionAsync(cancel).ConfigureAwait(false);
        var contents = new List<(Guid Content, long Sequence)>();
        var compartment = key.Compartment.ToArray();
        // :: Step 1: what is there; others may append behind it meanwhile
        if (await AskAsync(HeadSql, Bytes(compartment), Bytes(key.Old)).ConfigureAwait(false) is not long before)
            return false;
        await SealAsync(0, before).ConfigureAwait(false);
        // :: Step 2: from here on nobody appends; what has come meanwhile
        if (await AskAsync(RenewSql, Bytes(compartment), Bytes(key.Old), Bytes(key.New)).ConfigureAwait(false) is not long head)
            return false;
        await SealAsync(before, head).ConfigureAwait(false);
        await AskAsync(TakeContentsSql, Bytes(compartment)).ConfigureAwait(false);
        if (contents.Count > 0)
            await AskAsync(PutContentsSql, Bytes(compartment), new NpgsqlParameter<Guid[]> { TypedValue = [.. contents.Select(static one => one.Content)] },
                new NpgsqlParameter<long[]> { TypedValue = [.. contents.Select(static one => one.Sequence)] }).ConfigureAwait(false);
        await settle(head).ConfigureAwait(false);
        await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
        return true;

        async Task SealAsync(long after, long last)
        {
            for (; after < last; after += ResealedAtOnce)
            {
                var (entries, bodies) = (await TakeAsync(TakeEntriesSql).ConfigureAwait(false), await TakeAsync(TakeBodiesSql).ConfigureAwait(false));
                var rows = entries.OrderBy(static row => row.Key).Select(row => seal(new(row.Key, row.Value, bodies.GetValueOrDefault(row.Key) ?? []))).ToList();
                contents.AddRange(rows.Where(static row => row.Content is not null).Select(static row => (row.Content!.Value, row.Sequence)));
                await AskAsync(PutRowsSql, Bytes(compartment), new NpgsqlParameter<long[]> { TypedValue = [.. rows.Select(static row => row.Sequence)] },
                    Many(rows.Select(static row => row.Index)), Many(rows.Select(static row => row.Body))).ConfigureAwait(false);
            }

            async Task<Dictionary<long, byte[]>> TakeAsync(string sql)
            {
                var taken = new Dictionary<long, byte[]>();
                await using var command = new NpgsqlCommand(sql, connection, transaction)
                {
                    Parameters = { Bytes(compartment), new NpgsqlParameter<long> { TypedValue = after }, new NpgsqlParameter<long> { TypedValue = Math.Min(after + ResealedAtOnce, last) } },
                };
                await using var reader = await command.ExecuteReaderAsync(cancel).ConfigureAwait(false);
                while (await reader.ReadAsync(cancel).ConfigureAwait(false))
                    taken.Add(reader.GetInt64(0), reader.GetFieldValue<byte[]>(1));
                return taken;
            }
        }

        async Task<object?> AskAsync(string sql, params NpgsqlParameter[] parameters)
        {
            await using var command = new NpgsqlCommand(sql, connection, transaction);
            command.Parameters.AddRange(parameters);
            return await command.ExecuteScalarAsync(cancel).ConfigureAwait(false);
        }
    }, cancel);

    public async ValueTask EraseAsync(Pseudonym compartment, CancellationToken cancel) => await WriteAsync(async connection =>
    {
        await using var transaction = await connection.BeginTransactionAsync(cancel).ConfigureAwait(false);
        foreach (var statement in EraseSql)
        {
            await using var command = new NpgsqlCommand(statement, connection, transaction);
            command.Parameters.Add(Bytes(compartment.ToArray()));
            await command.ExecuteNonQueryAsync(cancel).ConfigureAwait(false);
        }
        await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
        return true;
    }, cancel).ConfigureAwait(false);

    public async ValueTask PingAsync(CancellationToken cancel) => await ReadBodyAsync(Pseudonym.Directory, 0, cancel).ConfigureAwait(false);

    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _isClosed = true;
            Next();
        }
        await _isDone.Task.ConfigureAwait(false);
        await _servers.DisposeAsync().ConfigureAwait(false);
    }

    private ValueTask<bool> AppendTogetherAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel) => WriteAsync(async connection =>
    {
        await using var transaction = await connection.BeginTransactionAsync(cancel).ConfigureAwait(false);
        foreach (var append in InOrder(appends, append => append.Compartment))
        {
            await using var batch = new NpgsqlBatch(connection, transaction) { BatchCommands = { Statement(append) } };
            try
            {
                if (await batch.ExecuteNonQueryAsync(CancellationToken.None).ConfigureAwait(false) != append.Rows.Count)
                    return false;
            }
            catch (PostgresException e) when (e.SqlState == NotThere)
            {
                return false;
            }
        }
        await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
        return true;
    }, cancel);

    /// <summary>Under the gate: a group begins once there are as many to go as are under way, and once what is ready to run has run, which is often somebody about to append.</summary>
    private void Next()
    {
        if (_isClosed && _queue.Count == 0 && _groupsUnderWay == 0)
            _isDone.TrySetResult();
        if (_isNextDue || !CanBegin)
            return;
        _isNextDue = true;
        ThreadPool.UnsafeQueueUserWorkItem(static store => _ = store.CommitGroupAsync(), this, preferLocal: false);
    }

    private bool CanBegin => _queue.Count > 0 && _groupsUnderWay < Lanes && _queue.Count >= _underWay;

    private async Task CommitGroupAsync()
    {
        var group = new List<Pending>();
        lock (_gate)
        {
            _isNextDue = false;
            if (!CanBegin)
                return;
            var (share, bytes) = (Math.Min(MaxGroup, (_queue.Count + _underWay + Lanes - 1) / Lanes), 0);
            while (group.Count < share && bytes < MaxGroupBytes && _queue.TryDequeue(out var pending))
            {
                group.Add(pending);
                bytes += pending.Bytes;
            }
            _groupsUnderWay++;
            _underWay += group.Count;
            Next();
        }
        try
        {
            await CommitAsync(group).ConfigureAwait(false);
        }
        // An error of one statement takes the whole transaction back, for certain; whose it was is found out one by one. What ends the connection tells
        // nothing of the commit, so nothing is done over.
        catch (PostgresException e) when (e.InvariantSeverity == "ERROR" && (group.Count > 1 || e.SqlState == NotThere))
        {
            await CommitSinglyAsync(group).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Fail(group, e);
        }
        finally
        {
            lock (_gate)
            {
                _groupsUnderWay--;
                _underWay -= group.Count;
                Next();
            }
        }
    }

    private async Task CommitSinglyAsync(List<Pending> group)
    {
        foreach (var pending in group)
            try
            {
                await CommitAsync([pending]).ConfigureAwait(false);
            }
            catch (PostgresException e) when (e.SqlState == NotThere)
            {
                pending.Done.TrySetResult(false);
            }
            catch (PostgresException e) when (e.InvariantSeverity == "ERROR")
            {
                Fail([pending], e);
            }
            catch (Exception e)
            {
                // The server is gone, and the others would each wait for it as long as this one did.
                Fail(group, e);
                return;
            }
    }

    private static void Fail(IEnumerable<Pending> group, Exception e)
    {
        foreach (var pending in group)
            pending.Done.TrySetException(Failed(e));
    }

    /// <summary>Commits appends together and tells each what became of it.</summary>
    private async Task CommitAsync(List<Pending> group)
    {
        await using var connection = await _database.OpenConnectionAsync().ConfigureAwait(false);
        using var watch = new CommitWatch(connection);
        // A batch without an explicit transaction is one implicit transaction and one round trip.
        await using var batch = new NpgsqlBatch(connection);
        var ordered = InOrder(group, pending => pending.Append.Compartment).ToList();
        foreach (var pending in ordered)
            batch.BatchCommands.Add(Statement(pending.Append));
        await batch.ExecuteNonQueryAsync(CancellationToken.None).ConfigureAwait(false);
        watch.RequireConfirmed();
        // The rows of the whole group are on disk now; only from here may anyone be told so.
        for (var i = 0; i < ordered.Count; i++)
            ordered[i].Done.SetResult(batch.BatchCommands[i].RecordsAffected == ordered[i].Append.Rows.Count);
    }

    /// <summary>Always in the same order, so that two transactions never wait for each other's rows.</summary>
    private static IOrderedEnumerable<T> InOrder<T>(IEnumerable<T> all, Func<T, Pseudonym> compartment) => all.OrderBy(one => compartment(one).Encode(), StringComparer.Ordinal);

    internal static NpgsqlBatchCommand Statement(CompartmentAppend append)
    {
        var hasContent = append.Rows.Any(row => row.Content is not null);
        // The compartment's row is the lock: a second writer waits here for the first one's commit, then finds another
        // head and appends nothing, since the rows depend on the moved head. It is moved as what stands in the way of a new row: an INSERT
        // opens the one partition that it goes to, where an UPDATE opens all of them, which costs more than the rest of the statement.
        // Where there is no row, the new one has no name to give to the entries, and the statement fails (NotThere).
        var move = append.ExpectedHead == 0
            ? "INSERT INTO compartment (compartment, wrapped, head) VALUES ($1, $3, $2) ON CONFLICT DO NOTHING RETURNING compartment"
            : $"""
              INSERT INTO compartment AS c (compartment, wrapped, head, generation) VALUES ($1, '', $2, -1)
              ON CONFLICT (compartment) DO UPDATE SET head = excluded.head WHERE c.head = $3 AND c.generation = ${(hasContent ? 9 : 7)} RETURNING CASE WHEN generation >= 0 THEN compartment END AS compartment
              """;
        var contents = !hasContent ? "" : "contents AS (INSERT INTO content (compartment, content, sequence) SELECT m.compartment, r.* FROM moved m, unnest($7::uuid[], $8::bigint[]) AS r (content, sequence)),";
        // Most changes are of one row, which costs less without arrays, and without a place to keep its bytes for both tables.
        var isOne = append.Rows.Count == 1;
        var command = new NpgsqlBatchCommand(isOne ? $"""
            WITH moved AS ({move}),
                 {contents}
                 entries AS (INSERT INTO entry (compartment, sequence, sealed) SELECT compartment, $4::bigint, $5::bytea FROM moved)
            INSERT INTO body (compartment, sequence, sealed) SELECT compartment, $4::bigint, $6::bytea FROM moved
            """ : $"""
            WITH moved AS ({move}),
                 rows AS (SELECT m.compartment, r.* FROM moved m, unnest($4::bigint[], $5::bytea[], $6::bytea[]) AS r (sequence, index, body)),
                 {contents}
                 entries AS (INSERT INTO entry (compartment, sequence, sealed) SELECT compartment, sequence, index FROM rows)
            INSERT INTO body (compartment, sequence, sealed) SELECT compartment, sequence, body FROM rows
            """);
        command.Parameters.Add(Bytes(append.Compartment.ToArray()));
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = append.NewHead });
        command.Parameters.Add(append.ExpectedHead == 0
            ? Bytes(append.WrappedKey ?? throw new ArgumentException("A new compartment needs a key."))
            : new NpgsqlParameter<long> { TypedValue = append.ExpectedHead });
        if (isOne)
        {
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = append.Rows[0].Sequence });
            command.Parameters.Add(Bytes(append.Rows[0].Index));
            command.Parameters.Add(Bytes(append.Rows[0].Body));
        }
        else
        {
            command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = [.. append.Rows.Select(row => row.Sequence)] });
            command.Parameters.Add(Many(append.Rows.Select(row => row.Index)));
            command.Parameters.Add(Many(append.Rows.Select(row => row.Body)));
        }
        if (hasContent)
        {
            command.Parameters.Add(new NpgsqlParameter<Guid[]> { TypedValue = [.. append.Rows.Select(row => row.Content).OfType<Guid>()] });
            command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = [.. append.Rows.Where(row => row.Content is not null).Select(row => row.Sequence)] });
        }
        if (append.ExpectedHead > 0)
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = append.Generation });
        return command;
    }

    private static NpgsqlParameter<byte[][]> Many(IEnumerable<byte[]> values) => new() { TypedValue = [.. values], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea };

    internal static NpgsqlParameter<byte[]> Bytes(byte[] value) => new() { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Bytea };

    /// <summary>Works on a connection of its own; what the standby has not confirmed is not acknowledged.</summary>
    private ValueTask<T> WriteAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancel) => Guard(async () =>
    {
        await using var connection = await _database.OpenConnectionAsync(cancel).ConfigureAwait(false);
        using var watch = new CommitWatch(connection);
        var done = await work(connection).ConfigureAwait(false);
        watch.RequireConfirmed();
        return done;
    });

    internal static async ValueTask<T> Guard<T>(Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (NpgsqlException e)
        {
            throw Failed(e);
        }
    }

    private static StoreException Failed(Exception e) => new("PostgreSQL failed.", e);
}
