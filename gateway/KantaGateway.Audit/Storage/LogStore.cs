using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace KantaGateway.Audit.Storage;

/// <summary>
/// The log's SQLite file, written through one connection by one thread. A transaction that returns from
/// <see cref="Commit"/> is on disk (WAL, synchronous=FULL).
/// </summary>
sealed class LogStore : IDisposable
{
    public const string FileName = "audit.db";

    // "KAud": tells this file from any other SQLite file.
    private const int ApplicationId = 0x4B417564;
    private const int SchemaVersion = 3;

    /// <summary>The version before: its entries have no receiver.</summary>
    private const int WithoutReceivers = 2;

    private const string Schema = """
        CREATE TABLE log (id INTEGER PRIMARY KEY CHECK (id = 1), origin TEXT NOT NULL, key BLOB NOT NULL, checkpoint TEXT NOT NULL) STRICT;
        CREATE TABLE entries (idx INTEGER PRIMARY KEY, time INTEGER NOT NULL, tag BLOB, leaf BLOB NOT NULL, enc BLOB NOT NULL, sealed BLOB NOT NULL, receiver BLOB) STRICT;
        CREATE INDEX entries_by_subject ON entries (tag) WHERE tag IS NOT NULL;
        CREATE TABLE tiles (level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) STRICT;
        """;

    private readonly SqliteConnection _connection;
    private readonly sqlite3_stmt _begin, _commit, _rollback, _insert, _putTile, _putCheckpoint;

    private LogStore(SqliteConnection connection)
    {
        _connection = connection;
        _begin = Prepare("BEGIN IMMEDIATE");
        _commit = Prepare("COMMIT");
        _rollback = Prepare("ROLLBACK");
        _insert = Prepare("INSERT INTO entries (idx, time, tag, leaf, enc, sealed, receiver) VALUES (?, ?, ?, ?, ?, ?, ?)");
        _putTile = Prepare("INSERT OR REPLACE INTO tiles (level, idx, hashes) VALUES (?, ?, ?)");
        _putCheckpoint = Prepare("UPDATE log SET checkpoint = ? WHERE id = 1");
    }

    /// <summary>Makes the store if there is none; a kill on the way leaves no store, and the next call makes it.</summary>
    /// <param name="checkpoint">Note of the empty tree.</param>
    public static void Create(string folder, NoteVerifier log, string checkpoint)
    {
        // SQLite gives the -wal and -shm files the mode of the database. Only a missing file is opened here: closing one
        // that SQLite has open would drop its locks.
        var file = Path.Combine(folder, FileName);
        if (!File.Exists(file))
            OwnerOnly.OpenFile(file, FileShare.ReadWrite).Dispose();
        using var connection = Connect(folder);
        if (Scalar(connection, "PRAGMA user_version") is not 0L)
            return;
        Execute(connection, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
        using var transaction = connection.BeginTransaction();
        Execute(connection, Schema);
        using (var command = connection.CreateCommand())
        {
            command.CommandText = "INSERT INTO log (id, origin, key, checkpoint) VALUES (1, $origin, $key, $checkpoint)";
            command.Parameters.AddWithValue("$origin", log.Name);
            command.Parameters.AddWithValue("$key", log.PublicKey);
            command.Parameters.AddWithValue("$checkpoint", checkpoint);
            command.ExecuteNonQuery();
        }
        Execute(connection, $"PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {SchemaVersion}");
        transaction.Commit();
    }

    /// <summary>Opens the store for its one writer.</summary>
    /// <exception cref="AuditStoreException">There is none, or it is another log's.</exception>
    /// <exception cref="SqliteException">It cannot be opened now.</exception>
    public static LogStore Open(string folder, NoteVerifier log)
    {
        var connection = Connect(folder);
        try
        {
            Upgrade(connection);
            CheckIdentity(connection, log);
            Execute(connection, "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000");
            return new LogStore(connection);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Opens a connection for reading; entries and full tiles that were once there never change.</summary>
    public static SqliteConnection OpenReader(string folder, NoteVerifier log)
    {
        var connection = Connect(folder, pooling: true);
        try
        {
            CheckIdentity(connection, log);
            Execute(connection, "PRAGMA temp_store = MEMORY");
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Closes the idle reading connections of a folder.</summary>
    public static void ReleaseReaders(string folder)
    {
        using var connection = new SqliteConnection(ConnectionString(folder, pooling: true));
        SqliteConnection.ClearPool(connection);
    }

    public void Begin() => Run(_begin);

    public void Insert(long index, SealedRow row)
    {
        Check(raw.sqlite3_bind_int64(_insert, 1, index));
        Check(raw.sqlite3_bind_int64(_insert, 2, row.Time));
        Check(row.Tag is null ? raw.sqlite3_bind_null(_insert, 3) : raw.sqlite3_bind_blob(_insert, 3, row.Tag));
        Check(raw.sqlite3_bind_blob(_insert, 4, row.Leaf));
        Check(raw.sqlite3_bind_blob(_insert, 5, row.Enc));
        Check(raw.sqlite3_bind_blob(_insert, 6, row.Sealed));
        Check(row.Receiver is null ? raw.sqlite3_bind_null(_insert, 7) : raw.sqlite3_bind_blob(_insert, 7, row.Receiver));
        Run(_insert);
    }

    public void PutTile(TileChange tile)
    {
        Check(raw.sqlite3_bind_int64(_putTile, 1, tile.Level));
        Check(raw.sqlite3_bind_int64(_putTile, 2, tile.Index));
        Check(raw.sqlite3_bind_blob(_putTile, 3, tile.Hashes));
        Run(_putTile);
    }

    public void PutCheckpoint(string note)
    {
        Check(raw.sqlite3_bind_text(_putCheckpoint, 1, note));
        Run(_putCheckpoint);
    }

    /// <summary>Now everything since <see cref="Begin"/> is on disk.</summary>
    /// <exception cref="SqliteException">Whether it is on disk is not known.</exception>
    public void Commit() => Run(_commit);

    /// <summary>Gives up the transaction, if one is open. What could not be rolled back goes with the connection.</summary>
    public void Rollback()
    {
        if (raw.sqlite3_get_autocommit(_connection.Handle) == 0)
            Run(_rollback);
    }

    /// <summary>The stored note.</summary>
    public string ReadCheckpoint() => StoreReads.Checkpoint(_connection);

    /// <summary>The edge of the tree as the last transaction left it.</summary>
    public TreeEdge LoadEdge() => TreeEdge.Restore(StoreReads.Size(_connection), ReadTile);

    public byte[] ReadTile(TilePath path) => StoreReads.Tile(_connection, path)
        ?? throw new AuditStoreException($"The store lacks the hashes of {path}.");

    public void Dispose()
    {
        foreach (var statement in new[] { _begin, _commit, _rollback, _insert, _putTile, _putCheckpoint })
            statement.Dispose();
        _connection.Dispose();
    }

    private static SqliteConnection Connect(string folder, bool pooling = false)
    {
        if (!File.Exists(Path.Combine(folder, FileName)))
            throw new AuditStoreException("There is no audit store in the configured folder.");
        var connection = new SqliteConnection(ConnectionString(folder, pooling));
        connection.Open();
        return connection;
    }

    private static string ConnectionString(string folder, bool pooling) => new SqliteConnectionStringBuilder
    {
        DataSource = Path.Combine(folder, FileName), Mode = SqliteOpenMode.ReadWrite, Pooling = pooling, DefaultTimeout = 5,
    }.ConnectionString;

    /// <summary>A store of the version before goes on as one of this: what it holds stays as it is, leaves and tree with it.</summary>
    private static void Upgrade(SqliteConnection connection)
    {
        if (Scalar(connection, "PRAGMA application_id") is not (long)ApplicationId || Scalar(connection, "PRAGMA user_version") is not (long)WithoutReceivers)
            return;
        Execute(connection, "PRAGMA synchronous = FULL");
        using var transaction = connection.BeginTransaction();
        Execute(connection, $"ALTER TABLE entries ADD COLUMN receiver BLOB; PRAGMA user_version = {SchemaVersion}");
        transaction.Commit();
    }

    private static void CheckIdentity(SqliteConnection connection, NoteVerifier log)
    {
        if (Scalar(connection, "PRAGMA application_id") is not (long)ApplicationId || Scalar(connection, "PRAGMA user_version") is not (long)SchemaVersion)
            throw new AuditStoreException("The configured folder holds no finished audit store of this version.");
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT origin, key FROM log";
        using var row = command.ExecuteReader();
        // Another key would sign a second history under the same name.
        if (!row.Read() || row.GetString(0) != log.Name || !row.GetFieldValue<byte[]>(1).AsSpan().SequenceEqual(log.PublicKey))
            throw new AuditStoreException("The audit store was written under another origin or log key.");
    }

    private static object? Scalar(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private sqlite3_stmt Prepare(string sql)
    {
        Check(raw.sqlite3_prepare_v2(_connection.Handle, sql, out var statement));
        return statement;
    }

    private void Run(sqlite3_stmt statement)
    {
        var result = raw.sqlite3_step(statement);
        var reset = raw.sqlite3_reset(statement);
        if (result is not (raw.SQLITE_DONE or raw.SQLITE_ROW))
            SqliteException.ThrowExceptionForRC(result, _connection.Handle);
        Check(reset);
    }

    private void Check(int result) => SqliteException.ThrowExceptionForRC(result, _connection.Handle);
}
