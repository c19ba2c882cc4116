using KantaGateway.Fhir.Identifiers;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace KantaGateway.Repository.Storage;

/// <summary>
/// A prepared statement on the native interface: binds spans and reads blobs where SQLite holds them, without the
/// parameter and reader objects of ADO.NET. Used by one thread at a time.
/// </summary>
sealed class SqliteStatement : IDisposable
{
    private readonly sqlite3 _database;
    private readonly sqlite3_stmt _statement;

    /// <exception cref="SqliteException">The statement does not fit the database.</exception>
    public SqliteStatement(SqliteConnection connection, string sql)
    {
        _database = connection.Handle!;
        Check(raw.sqlite3_prepare_v3(_database, sql, raw.SQLITE_PREPARE_PERSISTENT, out _statement));
    }

    public static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    public static bool InTransaction(SqliteConnection connection) => raw.sqlite3_get_autocommit(connection.Handle!) == 0;

    public SqliteStatement Bind(int position, Pseudonym compartment)
    {
        Span<byte> bytes = stackalloc byte[Pseudonym.Size];
        compartment.Write(bytes);
        return Bind(position, bytes);
    }

    public SqliteStatement Bind(int position, ReadOnlySpan<byte> value)
    {
        // A null pointer would bind NULL; a deletion has an empty body, not none.
        Check(value.IsEmpty ? raw.sqlite3_bind_zeroblob(_statement, position, 0) : raw.sqlite3_bind_blob(_statement, position, value));
        return this;
    }

    public SqliteStatement Bind(int position, long value)
    {
        Check(raw.sqlite3_bind_int64(_statement, position, value));
        return this;
    }

    /// <summary>True when there is a row. Reset before the next use.</summary>
    public bool Step()
    {
        var code = raw.sqlite3_step(_statement);
        if (code is raw.SQLITE_ROW or raw.SQLITE_DONE)
            return code == raw.SQLITE_ROW;
        var error = Error(code);
        raw.sqlite3_reset(_statement);
        throw error;
    }

    /// <summary>Runs a statement that gives no rows.</summary>
    public void Run()
    {
        Step();
        Reset();
    }

    public void Reset() => raw.sqlite3_reset(_statement);

    public long Long(int column) => raw.sqlite3_column_int64(_statement, column);

    public bool IsNull(int column) => raw.sqlite3_column_type(_statement, column) == raw.SQLITE_NULL;

    /// <summary>Valid until the next step.</summary>
    public ReadOnlySpan<byte> Blob(int column) => raw.sqlite3_column_blob(_statement, column);

    public void Dispose() => _statement.Dispose();

    private void Check(int code)
    {
        if (code != raw.SQLITE_OK)
            throw Error(code);
    }

    private SqliteException Error(int code) => new(raw.sqlite3_errmsg(_database).utf8_to_string(), code, raw.sqlite3_extended_errcode(_database));
}
