using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using System.Threading.Channels;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Repository.Storage;

/// <summary>
/// The embedded engine: one SQLite file in WAL mode with <c>synchronous=FULL</c>. One writer thread commits whatever
/// has queued up while the previous commit was being synced (group commit); readers have connections of their own and
/// wait for nobody.
/// </summary>
sealed class SqliteStore : ICompartmentStore
{
    private const int MaxGroup = 512;

    /// <summary>Bits of a row's id that are its sequence; those above are the number of its compartment.</summary>
    internal const int SequenceBits = 31;

    private readonly string _file;
    private readonly ConcurrentBag<SqliteReader> _readers = [];
    private readonly Channel<Pending> _queue = Channel.CreateUnbounded<Pending>(new() { SingleReader = true });
    private readonly Thread _writer;
    private readonly SqliteConnection _connection;
    private volatile bool _disposed;

    /// <param name="Other">Runs on the writer's connection inside the group's transaction; null: only the appends.</param>
    private sealed record Pending(IReadOnlyList<CompartmentAppend> Appends, TaskCompletionSource<bool> Done, Action<SqliteConnection>? Other = null);

    /// <exception cref="StoreException">The file is missing, is not ours, has another schema or cannot be opened.</exception>
    public SqliteStore(string file)
    {
        _file = file;
        if (!File.Exists(file))
            throw new StoreException($"The database file does not exist: \"KantaGateway.Repository {MigrateStore.Name}\" makes it. The service never makes its own store.");
        _connection = Open(file, SqliteOpenMode.ReadWrite);
        try
        {
            StoreSchema.Require(StoreSchema.VersionOf(_connection));
            using (var copying = _connection.CreateCommand())
            {
                copying.CommandText = "SELECT source FROM copying";
                StoreSchema.RequireWhole(copying.ExecuteScalar() as string);
            }
            SqliteStatement.Execute(_connection, "PRAGMA journal_mode = WAL");
            SqliteStatement.Execute(_connection, "PRAGMA synchronous = FULL");
            // What is deleted is overwritten: of all that is, the key and rows of a record that is destroyed.
            SqliteStatement.Execute(_connection, "PRAGMA secure_delete = ON");
            // 32 MiB: the inner pages, and the outer ones of the records that are written to.
            SqliteStatement.Execute(_connection, "PRAGMA cache_size = -32768");
            // Fails here and not at the first request when the tables are not there.
            using var probe = new SqliteReader(_file);
        }
        catch (Exception e) when (e is SqliteException or StoreException)
        {
            _connection.Dispose();
            throw e is StoreException ? e : new StoreException("The database file cannot be used.", e);
        }
        _writer = new Thread(WriteLoop) { IsBackground = true, Name = "sqlite writer" };
        _writer.Start();
    }

    public ValueTask<StoredIndex?> ReadIndexAsync(Pseudonym compartment, long after, CancellationToken cancel) =>
        ValueTask.FromResult(Read(r => r.Index(compartment, after)));

    public ValueTask<StoredBody> ReadBodyAsync(Pseudonym compartment, long sequence, CancellationToken cancel)
    {
        // Not through Read: the hot path makes no closure.
        var reader = Rent();
        try
        {
            var body = reader.Body(compartment, sequence);
            Return(reader);
            return ValueTask.FromResult(body);
        }
        catch (SqliteException e)
        {
            reader.Dispose();
            throw Failed(e);
        }
    }

    public ValueTask<StoredBodies> ReadBodiesAsync(Pseudonym compartment, IReadOnlyList<long> sequences, CancellationToken cancel) =>
        ValueTask.FromResult(Read(r => r.Bodies(compartment, sequences)));

    public async ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        // Continuations must not run on the writer thread: the next group would wait for them.
        var pending = new Pending(appends, new(TaskCreationOptions.RunContinuationsAsynchronously));
        if (!_queue.Writer.TryWrite(pending))
            throw new StoreException("The store is closed.");
        // Not cancellable from here on: the outcome must be known before the caller may go on.
        return await pending.Done.Task.ConfigureAwait(false);
    }

    public ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel) =>
        WriteAsync(connection =>
        {
            using var part = new SqliteStatement(connection, "INSERT INTO part (compartment, content, number, sealed) VALUES (?1, ?2, ?3, ?4)");
            part.Bind(1, compartment).Bind(2, content.ToByteArray(bigEndian: true)).Bind(3, number).Bind(4, sealedPart.Span).Run();
        }, cancel);

    public ValueTask<int> ReadPartAsync(Pseudonym compartment, Guid content, int number, byte[] buffer, CancellationToken cancel) =>
        ValueTask.FromResult(Read(r => r.Part(compartment, content, number, buffer)));

    public ValueTask DropPartsAsync(Pseudonym compartment, Guid content, CancellationToken cancel) => WriteAsync(connection =>
    {
        using var drop = new SqliteStatement(connection, """
            DELETE FROM part WHERE compartment = ?1 AND content = ?2
            AND NOT EXISTS (SELECT 1 FROM content c WHERE c.compartment = part.compartment AND c.content = part.content)
            """);
        drop.Bind(1, compartment).Bind(2, content.ToByteArray(bigEndian: true)).Run();
    }, cancel);

    public async ValueTask SweepPartsAsync(Guid before, CancellationToken cancel)
    {
        // Looked for where nobody waits: the writer only removes what has been found.
        foreach (var (compartment, content) in Read(r => r.Unowned(before)))
            await DropPartsAsync(compartment, content, cancel).ConfigureAwait(false);
    }

    public ValueTask<IReadOnlyList<StoredKey>> ReadKeysAsync(uint version, Pseudonym? after, int most, CancellationToken cancel) =>
        ValueTask.FromResult<IReadOnlyList<StoredKey>>(Read(r => r.Keys(version, after, most)));

    public ValueTask<StoredKeyCount> CountKeysAsync(uint version, CancellationToken cancel) => ValueTask.FromResult(Read(r => r.CountKeys(version)));

    public ValueTask<IReadOnlyList<CountedRows>> CountRowsAsync(Pseudonym? after, int most, CancellationToken cancel) =>
        ValueTask.FromResult<IReadOnlyList<CountedRows>>(Read(r => r.CountRows(after, most)));

    public ValueTask<long> CountStraysAsync(CancellationToken cancel) => ValueTask.FromResult(Read(r => r.CountStrays()));

    public async ValueTask<int> ReplaceKeysAsync(IReadOnlyList<ReplacedKey> keys, CancellationToken cancel)
    {
        var replaced = 0;
        await WriteAsync(connection =>
        {
            using var replace = new SqliteStatement(connection, "UPDATE compartment SET wrapped = ?3 WHERE compartment = ?1 AND wrapped = ?2 RETURNING head");
            foreach (var key in keys)
            {
                replaced += replace.Bind(1, key.Compartment).Bind(2, key.Old).Bind(3, key.New).Step() ? 1 : 0;
                replace.Reset();
            }
        }, cancel).ConfigureAwait(false);
        return replaced;
    }

    public ValueTask EraseAsync(Pseudonym compartment, CancellationToken cancel) => WriteAsync(connection =>
    {
        using (var place = new SqliteStatement(connection, """
            INSERT INTO compartment (compartment, wrapped, head, number) SELECT ?1, x'', 1, coalesce(max(number), 0) + 1 FROM compartment WHERE true
            ON CONFLICT (compartment) DO UPDATE SET wrapped = x'', head = head + 1 WHERE length(wrapped) > 0
            """))
            place.Bind(1, compartment).Run();
        foreach (var table in (string[])["entry", "body"])
        {
            using var rows = new SqliteStatement(connection, $"""
                DELETE FROM {table} WHERE id BETWEEN (SELECT number << {SequenceBits} FROM compartment WHERE compartment = ?1)
                AND (SELECT ((number + 1) << {SequenceBits}) - 1 FROM compartment WHERE compartment = ?1)
                """);
            rows.Bind(1, compartment).Run();
        }
        foreach (var table in (string[])["content", "part"])
        {
            using var contents = new SqliteStatement(connection, $"DELETE FROM {table} WHERE compartment = ?1");
            contents.Bind(1, compartment).Run();
        }
    }, cancel);

    public async ValueTask<bool> ResealAsync(ReplacedKey key, Func<StoredRow, SealedRow> seal, Func<long, Task> settle, CancellationToken cancel)
    {
        var isDone = false;
        Exception? refused = null;
        await WriteAsync(connection =>
        {
            // What is refused here takes nobody else's commit back.
            SqliteStatement.Execute(connection, "SAVEPOINT reseal");
            try
            {
                isDone = Reseal(connection, key, seal, settle, cancel);
            }
            catch (Exception e) when (e is not SqliteException)
            {
                refused = e;
                SqliteStatement.Execute(connection, "ROLLBACK TO reseal");
            }
            SqliteStatement.Execute(connection, "RELEASE reseal");
        }, cancel).ConfigureAwait(false);
        if (refused is not null)
            ExceptionDispatchInfo.Throw(refused);
        return isDone;
    }

    private static bool Reseal(SqliteConnection connection, ReplacedKey key, Func<StoredRow, SealedRow> seal, Func<long, Task> settle, CancellationToken cancel)
    {
        long head, number;
        using (var replace = new SqliteStatement(connection, "UPDATE compartment SET wrapped = ?3, generation = generation + 1 WHERE compartment = ?1 AND wrapped = ?2 RETURNING head, number"))
        {
            if (!replace.Bind(1, key.Compartment).Bind(2, key.Old).Bind(3, key.New).Step())
                return false;
            (head, number) = (replace.Long(0), replace.Long(1) << SequenceBits);
        }
        using var page = new SqliteStatement(connection, "SELECT e.id, e.sealed, b.sealed FROM entry e LEFT JOIN body b ON b.id = e.id WHERE e.id > ?1 AND e.id <= ?2 ORDER BY e.id LIMIT ?3");
        using var entry = new SqliteStatement(connection, "UPDATE entry SET sealed = ?2 WHERE id = ?1");
        using var body = new SqliteStatement(connection, "UPDATE body SET sealed = ?2 WHERE id = ?1");
        using var owned = new SqliteStatement(connection, "INSERT INTO content (compartment, content, sequence) VALUES (?1, ?2, ?3)");
        using (var contents = new SqliteStatement(connection, "DELETE FROM content WHERE compartment = ?1"))
            contents.Bind(1, key.Compartment).Run();
        var rows = new List<StoredRow>(ResealedAtOnce);
        var last = 0L;
        do
        {
            rows.Clear();
            page.Bind(1, number | last).Bind(2, number | head).Bind(3, ResealedAtOnce);
            while (page.Step())
                rows.Add(new(page.Long(0) - number, page.Blob(1).ToArray(), page.Blob(2).ToArray()));
            page.Reset();
            foreach (var row in rows)
            {
                cancel.ThrowIfCancellationRequested();
                var anew = seal(row);
                last = anew.Sequence;
                entry.Bind(1, number | last).Bind(2, anew.Index).Run();
                body.Bind(1, number | last).Bind(2, anew.Body).Run();
                if (anew.Content is { } id)
                    owned.Bind(1, key.Compartment).Bind(2, id.ToByteArray(bigEndian: true)).Bind(3, last).Run();
            }
        }
        while (rows.Count > 0);
        // This is the writer's own thread, and there is no other writer.
        settle(head).GetAwaiter().GetResult();
        return true;
    }

    private const int ResealedAtOnce = 256;

    private async ValueTask WriteAsync(Action<SqliteConnection> work, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var pending = new Pending([], new(TaskCreationOptions.RunContinuationsAsynchronously), work);
        if (!_queue.Writer.TryWrite(pending))
            throw new StoreException("The store is closed.");
        await pending.Done.Task.ConfigureAwait(false);
    }

    public ValueTask PingAsync(CancellationToken cancel)
    {
        Read(r => r.Body(Pseudonym.Directory, 0));
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        if (_disposed)
            return ValueTask.CompletedTask;
        _disposed = true;
        _queue.Writer.TryComplete();
        _writer.Join();
        while (_readers.TryTake(out var reader))
            reader.Dispose();
        _connection.Dispose();
        return ValueTask.CompletedTask;
    }

    private void WriteLoop()
    {
        using var begin = new SqliteStatement(_connection, "BEGIN IMMEDIATE");
        using var commit = new SqliteStatement(_connection, "COMMIT");
        using var rollback = new SqliteStatement(_connection, "ROLLBACK");
        using var head = new SqliteStatement(_connection, "SELECT head, number, generation FROM compartment WHERE compartment = ?1");
        using var found = new SqliteStatement(_connection, "INSERT INTO compartment (compartment, wrapped, head, number) SELECT ?1, ?2, ?3, coalesce(max(number), 0) + 1 FROM compartment RETURNING number");
        using var move = new SqliteStatement(_connection, "UPDATE compartment SET head = ?2 WHERE compartment = ?1");
        using var entry = new SqliteStatement(_connection, "INSERT INTO entry (id, sealed) VALUES (?1, ?2)");
        using var body = new SqliteStatement(_connection, "INSERT INTO body (id, sealed) VALUES (?1, ?2)");
        using var content = new SqliteStatement(_connection, "INSERT INTO content (compartment, content, sequence) VALUES (?1, ?2, ?3)");
        var group = new List<(Pending Pending, bool Stored)>(MaxGroup);
        var numbers = new Dictionary<Pseudonym, long>();
        while (_queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            group.Clear();
            try
            {
                begin.Run();
                while (group.Count < MaxGroup && _queue.Reader.TryRead(out var pending))
                {
                    group.Add((pending, false));
                    numbers.Clear();
                    // Heads first, all of them: one that fails here has not written anything into the shared transaction.
                    if (pending.Appends.All(HeadIsAsExpected))
                    {
                        foreach (var append in pending.Appends)
                            Insert(append);
                        pending.Other?.Invoke(_connection);
                        group[^1] = (pending, true);
                    }
                }
                commit.Run();
                // The rows of the whole group are on disk now; only from here may anyone be told so.
                foreach (var (pending, stored) in group)
                    pending.Done.SetResult(stored);
            }
            catch (Exception e)
            {
                TryRollBack();
                var failure = Failed(e);
                foreach (var (pending, _) in group)
                    pending.Done.TrySetException(failure);
                // Failed before it took anything off the queue (the file is locked or gone): those who wait get the answer.
                if (group.Count == 0)
                    while (_queue.Reader.TryRead(out var pending))
                        pending.Done.TrySetException(failure);
            }
        }

        bool HeadIsAsExpected(CompartmentAppend append)
        {
            head.Bind(1, append.Compartment);
            var (current, generation) = (0L, 0L);
            if (head.Step())
                (current, numbers[append.Compartment], generation) = (head.Long(0), head.Long(1), head.Long(2));
            head.Reset();
            return current == append.ExpectedHead && (current == 0 || generation == append.Generation);
        }

        void Insert(CompartmentAppend append)
        {
            if (append.ExpectedHead == 0)
            {
                found.Bind(1, append.Compartment).Bind(2, append.WrappedKey ?? throw new ArgumentException("A new compartment needs a key.")).Bind(3, append.NewHead).Step();
                numbers[append.Compartment] = found.Long(0);
                found.Reset();
            }
            else
                move.Bind(1, append.Compartment).Bind(2, append.NewHead).Run();
            var number = numbers[append.Compartment] << SequenceBits;
            foreach (var row in append.Rows)
            {
                entry.Bind(1, number | row.Sequence).Bind(2, row.Index).Run();
                body.Bind(1, number | row.Sequence).Bind(2, row.Body).Run();
                if (row.Content is { } id)
                    content.Bind(1, append.Compartment).Bind(2, id.ToByteArray(bigEndian: true)).Bind(3, row.Sequence).Run();
            }
        }

        void TryRollBack()
        {
            foreach (var statement in new[] { head, found, move, entry, body, content, begin, commit })
                statement.Reset();
            if (!SqliteStatement.InTransaction(_connection))
                return;
            try
            {
                rollback.Run();
            }
            catch (SqliteException)
            {
                // SQLite has already rolled back by itself, as it does after SQLITE_FULL and SQLITE_IOERR.
            }
        }
    }

    private T Read<T>(Func<SqliteReader, T> read)
    {
        var reader = Rent();
        try
        {
            var result = read(reader);
            Return(reader);
            return result;
        }
        catch (SqliteException e)
        {
            reader.Dispose();
            throw Failed(e);
        }
    }

    private SqliteReader Rent()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_readers.TryTake(out var reader))
            return reader;
        try
        {
            return new(_file);
        }
        catch (SqliteException e)
        {
            throw Failed(e);
        }
    }

    private void Return(SqliteReader reader)
    {
        if (_disposed)
            reader.Dispose();
        else
            _readers.Add(reader);
    }

    private static StoreException Failed(Exception e) => new("SQLite failed.", e);

    internal static SqliteConnection Open(string file, SqliteOpenMode mode)
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder
        {
            DataSource = file,
            Mode = mode,
            Pooling = false,
            DefaultTimeout = 5,
        }.ToString());
        try
        {
            connection.Open();
            // Nothing decrypted ever reaches SQLite, but its temporary files need not exist either.
            SqliteStatement.Execute(connection, "PRAGMA busy_timeout = 5000");
            SqliteStatement.Execute(connection, "PRAGMA temp_store = MEMORY");
            return connection;
        }
        catch (SqliteException e)
        {
            connection.Dispose();
            throw new StoreException("The database file cannot be opened.", e);
        }
    }
}

/// <summary>A read-only connection with its prepared statements. Used by one thread at a time.</summary>
sealed class SqliteReader : IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly SqliteStatement _index, _body, _begin, _head, _oneOfMany, _end;

    public SqliteReader(string file)
    {
        _connection = SqliteStore.Open(file, SqliteOpenMode.ReadOnly);
        // 8 MiB: the inner pages of some million rows.
        SqliteStatement.Execute(_connection, "PRAGMA cache_size = -8192");
        _index = new(_connection, $"""
            SELECT c.head, c.wrapped, e.id - (c.number << {SqliteStore.SequenceBits}), e.sealed, c.generation FROM compartment c
            LEFT JOIN entry e ON e.id > (c.number << {SqliteStore.SequenceBits}) + ?2 AND e.id < (c.number + 1) << {SqliteStore.SequenceBits}
            WHERE c.compartment = ?1 ORDER BY e.id
            """);
        _body = new(_connection, $"""
            SELECT c.head, b.sealed, c.generation FROM compartment c
            LEFT JOIN body b ON b.id = (c.number << {SqliteStore.SequenceBits}) + ?2
            WHERE c.compartment = ?1
            """);
        _begin = new(_connection, "BEGIN");
        _head = new(_connection, "SELECT head, number, generation FROM compartment WHERE compartment = ?1");
        _oneOfMany = new(_connection, "SELECT sealed FROM body WHERE id = ?1");
        _end = new(_connection, "COMMIT");
    }

    public StoredIndex? Index(Pseudonym compartment, long after)
    {
        _index.Bind(1, compartment).Bind(2, after);
        if (!_index.Step())
        {
            _index.Reset();
            return null;
        }
        var head = _index.Long(0);
        var wrapped = _index.Blob(1).ToArray();
        var generation = _index.Long(4);
        var entries = new List<(long, byte[])>(head > after ? (int)(head - after) : 0);
        do
        {
            if (!_index.IsNull(2))
                entries.Add((_index.Long(2), _index.Blob(3).ToArray()));
        }
        while (_index.Step());
        _index.Reset();
        return new(wrapped, head, entries, generation);
    }

    /// <summary>Length of a part, put into the buffer; -1 when there is none.</summary>
    public int Part(Pseudonym compartment, Guid content, int number, byte[] buffer)
    {
        using var part = new SqliteStatement(_connection, "SELECT sealed FROM part WHERE compartment = ?1 AND content = ?2 AND number = ?3");
        part.Bind(1, compartment).Bind(2, content.ToByteArray(bigEndian: true)).Bind(3, number);
        if (!part.Step())
            return -1;
        var blob = part.Blob(0);
        return blob.TryCopyTo(buffer) ? blob.Length : throw new StoreException("A part is larger than any that was stored.");
    }

    /// <summary>Contents that began before another and that no row has.</summary>
    public List<(Pseudonym Compartment, Guid Content)> Unowned(Guid before)
    {
        using var unowned = new SqliteStatement(_connection, """
            SELECT DISTINCT compartment, content FROM part WHERE content < ?1
            AND NOT EXISTS (SELECT 1 FROM content c WHERE c.compartment = part.compartment AND c.content = part.content)
            """);
        unowned.Bind(1, before.ToByteArray(bigEndian: true));
        var found = new List<(Pseudonym, Guid)>();
        while (unowned.Step())
            found.Add((Pseudonym.Read(unowned.Blob(0)), new(unowned.Blob(1), bigEndian: true)));
        return found;
    }

    public List<StoredKey> Keys(uint version, Pseudonym? after, int most)
    {
        using var keys = new SqliteStatement(_connection, "SELECT compartment, wrapped FROM compartment WHERE compartment > ?1 AND substr(wrapped, 1, 5) <> ?2 AND length(wrapped) > 0 ORDER BY compartment LIMIT ?3");
        keys.Bind(1, after?.ToArray() ?? []).Bind(2, WrappedKey.HeaderOf(version)).Bind(3, most);
        var found = new List<StoredKey>();
        while (keys.Step())
            found.Add(new(Pseudonym.Read(keys.Blob(0)), keys.Blob(1).ToArray()));
        return found;
    }

    public List<CountedRows> CountRows(Pseudonym? after, int most)
    {
        static string Rows(string table) => string.Join(", ", new[] { "count(*)", "coalesce(min(id) - base, 0)", "coalesce(max(id) - base, 0)" }
            .Select(value => $"(SELECT {value} FROM {table} WHERE id > base AND id < base + (1 << {SqliteStore.SequenceBits}))"));
        using var counted = new SqliteStatement(_connection, $"""
            SELECT compartment, wrapped, head, {Rows("entry")}, {Rows("body")},
                (SELECT count(*) FROM content k WHERE k.compartment = c.compartment AND (k.sequence NOT BETWEEN 1 AND c.head
                    OR (SELECT count(*) = 0 OR count(*) <> max(p.number) + 1 FROM part p WHERE p.compartment = k.compartment AND p.content = k.content)))
            FROM (SELECT *, number << {SqliteStore.SequenceBits} AS base FROM compartment WHERE compartment > ?1 ORDER BY compartment LIMIT ?2) c
            """);
        counted.Bind(1, after?.ToArray() ?? []).Bind(2, most);
        var found = new List<CountedRows>();
        while (counted.Step())
            found.Add(new(Pseudonym.Read(counted.Blob(0)), counted.Blob(1).ToArray(), counted.Long(2),
                new(counted.Long(3), counted.Long(4), counted.Long(5)), new(counted.Long(6), counted.Long(7), counted.Long(8)), counted.Long(9)));
        return found;
    }

    public long CountStrays()
    {
        using var strays = new SqliteStatement(_connection, $"""
            SELECT (SELECT count(*) FROM entry WHERE id >> {SqliteStore.SequenceBits} NOT IN (SELECT number FROM compartment))
                + (SELECT count(*) FROM body WHERE id >> {SqliteStore.SequenceBits} NOT IN (SELECT number FROM compartment))
                + (SELECT count(*) FROM content WHERE compartment NOT IN (SELECT compartment FROM compartment))
            """);
        strays.Step();
        return strays.Long(0);
    }

    public StoredKeyCount CountKeys(uint version)
    {
        using var count = new SqliteStatement(_connection, "SELECT count(*), count(*) FILTER (WHERE substr(wrapped, 1, 5) <> ?1) FROM compartment WHERE length(wrapped) > 0");
        count.Bind(1, WrappedKey.HeaderOf(version)).Step();
        return new(count.Long(0), count.Long(1));
    }

    public StoredBody Body(Pseudonym compartment, long sequence)
    {
        _body.Bind(1, compartment).Bind(2, sequence);
        StoredBody body = default;
        if (_body.Step())
            body = new(_body.Long(0), _body.IsNull(1) ? null : _body.Blob(1).ToArray(), _body.Long(2));
        _body.Reset();
        return body;
    }

    /// <summary>A transaction for one snapshot; the primary key is looked up once for each, which no list in SQL does faster.</summary>
    public StoredBodies Bodies(Pseudonym compartment, IReadOnlyList<long> sequences)
    {
        var bodies = new byte[]?[sequences.Count];
        _begin.Run();
        _head.Bind(1, compartment);
        var (head, number, generation) = _head.Step() ? (_head.Long(0), _head.Long(1) << SqliteStore.SequenceBits, _head.Long(2)) : default;
        _head.Reset();
        for (var i = 0; i < bodies.Length; i++)
        {
            _oneOfMany.Bind(1, number | sequences[i]);
            bodies[i] = _oneOfMany.Step() ? _oneOfMany.Blob(0).ToArray() : null;
            _oneOfMany.Reset();
        }
        _end.Run();
        return new(head, bodies, generation);
    }

    public void Dispose()
    {
        foreach (var statement in new[] { _begin, _head, _oneOfMany, _end })
            statement.Dispose();
        _index.Dispose();
        _body.Dispose();
        _connection.Dispose();
    }
}
