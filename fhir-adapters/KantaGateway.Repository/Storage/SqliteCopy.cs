using KantaGateway.Fhir.Identifiers;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Repository.Storage;

/// <summary>A SQLite file as source or target of a copy.</summary>
sealed class SqliteCopy : ICopiedStore
{
    private const int Bits = SqliteStore.SequenceBits;

    private readonly SqliteConnection _connection;
    private readonly SqliteStatement _compartment, _entry, _body, _content, _part;
    private long _number = -1;

    /// <exception cref="StoreException">The file is missing, is not ours or has another schema.</exception>
    public SqliteCopy(string file)
    {
        Name = Path.GetFullPath(file);
        if (!File.Exists(file))
            throw new StoreException($"{file} does not exist: \"KantaGateway.Repository {MigrateStore.Name}\" makes it.");
        _connection = SqliteStore.Open(file, SqliteOpenMode.ReadWrite);
        try
        {
            StoreSchema.Require(StoreSchema.VersionOf(_connection));
            SqliteStatement.Execute(_connection, "PRAGMA synchronous = FULL");
            SqliteStatement.Execute(_connection, "PRAGMA cache_size = -32768");
            _compartment = new(_connection, "INSERT INTO compartment (compartment, number, wrapped, head) VALUES (?1, ?2, ?3, ?4)");
            _entry = new(_connection, "INSERT INTO entry (id, sealed) VALUES (?1, ?2)");
            _body = new(_connection, "INSERT INTO body (id, sealed) VALUES (?1, ?2)");
            _content = new(_connection, "INSERT INTO content (compartment, content, sequence) VALUES (?1, ?2, ?3)");
            _part = new(_connection, "INSERT INTO part (compartment, content, number, sealed) VALUES (?1, ?2, ?3, ?4)");
        }
        catch (Exception e) when (e is SqliteException or StoreException)
        {
            _connection.Dispose();
            throw e is StoreException ? e : Failed(e);
        }
    }

    public string Name { get; }

    public Task HoldAsync(CancellationToken cancel) => Do(() =>
    {
        try
        {
            SqliteStatement.Execute(_connection, "BEGIN IMMEDIATE");
        }
        catch (SqliteException e) when (e.SqliteErrorCode == SQLitePCL.raw.SQLITE_BUSY)
        {
            throw new StoreException("Somebody writes to the source: stop the repositories first.", e);
        }
    });

    public Task<long> CountAsync(CancellationToken cancel)
    {
        var count = 0L;
        return Do(() => count = Long("SELECT (SELECT coalesce(sum(head), 0) FROM compartment) + (SELECT count(*) FROM part)")).ContinueWith(_ => count, cancel, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
    }

    public IAsyncEnumerable<CopiedRow> ReadAsync(Pseudonym? after, CancellationToken cancel) => Read(after).ToAsyncEnumerable();

    public Task<Pseudonym?> BeginAsync(string source, CancellationToken cancel)
    {
        try
        {
            HoldAlone();
            using (var own = _connection.CreateCommand())
            {
                own.CommandText = "SELECT source FROM copying";
                var from = own.ExecuteScalar() as string;
                if (from is not null && from != source)
                    throw new StoreException($"The target has a part of {from}: make a new one.");
                if (from is null && Long("SELECT (SELECT count(*) FROM compartment) + (SELECT count(*) FROM entry) + (SELECT count(*) FROM body) + (SELECT count(*) FROM content) + (SELECT count(*) FROM part)") > 0)
                    throw new StoreException("The target is not empty.");
                if (from is null)
                {
                    own.CommandText = "INSERT INTO copying (source) VALUES ($source)";
                    own.Parameters.AddWithValue("$source", source);
                    own.ExecuteNonQuery();
                    SqliteStatement.Execute(_connection, "COMMIT");
                    SqliteStatement.Execute(_connection, "BEGIN IMMEDIATE");
                }
            }
            _number = Long("SELECT coalesce(max(number), 0) FROM compartment");
            using var last = new SqliteStatement(_connection, "SELECT max(compartment) FROM compartment");
            last.Step();
            return Task.FromResult<Pseudonym?>(last.IsNull(0) ? null : Pseudonym.Read(last.Blob(0)));
        }
        catch (SqliteException e)
        {
            throw Failed(e);
        }
    }

    /// <summary>Nobody else has the file open until this is disposed: a repository would go on with what it finds of everybody who is brought there.</summary>
    private void HoldAlone()
    {
        SqliteStatement.Execute(_connection, "PRAGMA locking_mode = EXCLUSIVE");
        try
        {
            SqliteStatement.Execute(_connection, "BEGIN IMMEDIATE");
        }
        catch (SqliteException e) when (e.SqliteErrorCode == SQLitePCL.raw.SQLITE_BUSY)
        {
            throw new StoreException("Somebody is at the target: stop the repositories first.", e);
        }
    }

    public Task WriteAsync(CopiedRow row, CancellationToken cancel) => Do(() =>
    {
        switch (row.Kind)
        {
            case CopiedKind.Compartment:
                _compartment.Bind(1, row.Compartment).Bind(2, ++_number).Bind(3, row.Value).Bind(4, row.Number).Run();
                break;
            case CopiedKind.Entry:
                _entry.Bind(1, (_number << Bits) | row.Number).Bind(2, row.Value).Run();
                break;
            case CopiedKind.Body:
                _body.Bind(1, (_number << Bits) | row.Number).Bind(2, row.Value).Run();
                break;
            case CopiedKind.Content:
                _content.Bind(1, row.Compartment).Bind(2, row.Content.ToByteArray(bigEndian: true)).Bind(3, row.Number).Run();
                break;
            case CopiedKind.Part:
                _part.Bind(1, row.Compartment).Bind(2, row.Content.ToByteArray(bigEndian: true)).Bind(3, row.Number).Bind(4, row.Value).Run();
                break;
        }
    });

    public Task CommitAsync(CancellationToken cancel) => Do(() =>
    {
        SqliteStatement.Execute(_connection, "COMMIT");
        SqliteStatement.Execute(_connection, "BEGIN IMMEDIATE");
    });

    public Task FinishAsync(CancellationToken cancel) => Do(() =>
    {
        SqliteStatement.Execute(_connection, "DELETE FROM copying");
        SqliteStatement.Execute(_connection, "COMMIT");
    });

    public ValueTask DisposeAsync()
    {
        foreach (var statement in new[] { _compartment, _entry, _body, _content, _part })
            statement.Dispose();
        // Takes back what is not committed.
        _connection.Dispose();
        return ValueTask.CompletedTask;
    }

    private IEnumerable<CopiedRow> Read(Pseudonym? after)
    {
        using var compartments = Prepare("SELECT compartment, number, wrapped, head FROM compartment WHERE compartment > ?1 ORDER BY compartment");
        using var entries = Prepare($"SELECT id - ?1, sealed FROM entry WHERE id > ?1 AND id < ?1 + (1 << {Bits}) ORDER BY id");
        using var bodies = Prepare($"SELECT id - ?1, sealed FROM body WHERE id > ?1 AND id < ?1 + (1 << {Bits}) ORDER BY id");
        using var contents = Prepare("SELECT content, sequence FROM content WHERE compartment = ?1 ORDER BY content");
        using var parts = Prepare("SELECT p.content, p.number, p.sealed FROM content c JOIN part p ON p.compartment = c.compartment AND p.content = c.content WHERE c.compartment = ?1 ORDER BY p.content, p.number");
        compartments.Bind(1, after?.ToArray() ?? []);
        while (Step(compartments))
        {
            var (compartment, number) = (Pseudonym.Read(compartments.Blob(0)), compartments.Long(1) << Bits);
            yield return new(CopiedKind.Compartment, compartment, compartments.Long(3), default, compartments.Blob(2).ToArray());
            foreach (var (rows, kind) in new[] { (entries, CopiedKind.Entry), (bodies, CopiedKind.Body) })
            {
                for (rows.Bind(1, number); Step(rows);)
                    yield return new(kind, compartment, rows.Long(0), default, rows.Blob(1).ToArray());
                rows.Reset();
            }
            for (contents.Bind(1, compartment); Step(contents);)
                yield return new(CopiedKind.Content, compartment, contents.Long(1), new(contents.Blob(0), bigEndian: true), []);
            contents.Reset();
            for (parts.Bind(1, compartment); Step(parts);)
                yield return new(CopiedKind.Part, compartment, parts.Long(1), new(parts.Blob(0), bigEndian: true), parts.Blob(2).ToArray());
            parts.Reset();
        }
    }

    private SqliteStatement Prepare(string sql) => new(_connection, sql);

    private static bool Step(SqliteStatement statement)
    {
        try
        {
            return statement.Step();
        }
        catch (SqliteException e)
        {
            throw Failed(e);
        }
    }

    private long Long(string sql)
    {
        using var statement = new SqliteStatement(_connection, sql);
        statement.Step();
        return statement.Long(0);
    }

    private static Task Do(Action work)
    {
        try
        {
            work();
            return Task.CompletedTask;
        }
        catch (SqliteException e)
        {
            throw Failed(e);
        }
    }

    private static StoreException Failed(Exception e) => new("SQLite failed.", e);
}
