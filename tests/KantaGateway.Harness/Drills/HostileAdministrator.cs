using KantaGateway.Harness.Clients;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Harness.Drills;

/// <summary>Somebody with all rights in a development host's SQLite database, and no key: puts a record back to what it was.</summary>
sealed class HostileAdministrator(DevFolder folder)
{
    /// <summary>What was taken away, to be put back.</summary>
    public sealed record Removed(long Number, long Head, IReadOnlyList<(string Table, long Id, byte[] Sealed)> Rows);

    private const int SequenceBits = 31;

    /// <summary>How many rows each record has, by its number.</summary>
    public async Task<IReadOnlyDictionary<long, long>> HeadsAsync()
    {
        await using var database = await OpenAsync().ConfigureAwait(false);
        await using var command = database.CreateCommand();
        command.CommandText = "SELECT number, head FROM compartment";
        await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        var heads = new Dictionary<long, long>();
        while (await reader.ReadAsync().ConfigureAwait(false))
            heads[reader.GetInt64(0)] = reader.GetInt64(1);
        return heads;
    }

    /// <summary>Puts a record back to an earlier head, as if nothing had been written since.</summary>
    public async Task<Removed> RollBackAsync(long number, long to)
    {
        await using var database = await OpenAsync().ConfigureAwait(false);
        await using var transaction = (SqliteTransaction)await database.BeginTransactionAsync().ConfigureAwait(false);
        var rows = new List<(string, long, byte[])>();
        foreach (var table in (string[])["entry", "body"])
        {
            var behind = $"FROM {table} WHERE id > $from AND id < $to";
            await using var read = Command(database, transaction, "SELECT id, sealed " + behind, ("$from", (number << SequenceBits) + to), ("$to", (number + 1) << SequenceBits));
            await using (var reader = await read.ExecuteReaderAsync().ConfigureAwait(false))
                while (await reader.ReadAsync().ConfigureAwait(false))
                    rows.Add((table, reader.GetInt64(0), (byte[])reader[1]));
            await using var remove = Command(database, transaction, "DELETE " + behind, ("$from", (number << SequenceBits) + to), ("$to", (number + 1) << SequenceBits));
            await remove.ExecuteNonQueryAsync().ConfigureAwait(false);
        }
        await using var ask = Command(database, transaction, "SELECT head FROM compartment WHERE number = $number", ("$number", number));
        var head = (long)(await ask.ExecuteScalarAsync().ConfigureAwait(false))!;
        await using var set = Command(database, transaction, "UPDATE compartment SET head = $head WHERE number = $number", ("$head", to), ("$number", number));
        await set.ExecuteNonQueryAsync().ConfigureAwait(false);
        await transaction.CommitAsync().ConfigureAwait(false);
        return new(number, head, rows);
    }

    /// <summary>Undoes it.</summary>
    public async Task PutBackAsync(Removed removed)
    {
        await using var database = await OpenAsync().ConfigureAwait(false);
        await using var transaction = (SqliteTransaction)await database.BeginTransactionAsync().ConfigureAwait(false);
        foreach (var (table, id, bytes) in removed.Rows)
        {
            await using var insert = Command(database, transaction, $"INSERT INTO {table} (id, sealed) VALUES ($id, $sealed)", ("$id", id), ("$sealed", bytes));
            await insert.ExecuteNonQueryAsync().ConfigureAwait(false);
        }
        await using var set = Command(database, transaction, "UPDATE compartment SET head = $head WHERE number = $number", ("$head", removed.Head), ("$number", removed.Number));
        await set.ExecuteNonQueryAsync().ConfigureAwait(false);
        await transaction.CommitAsync().ConfigureAwait(false);
    }

    private static SqliteCommand Command(SqliteConnection database, SqliteTransaction transaction, string sql, params ReadOnlySpan<(string Name, object Value)> values)
    {
        var command = database.CreateCommand();
        (command.CommandText, command.Transaction) = (sql, transaction);
        foreach (var (name, value) in values)
            command.Parameters.AddWithValue(name, value);
        return command;
    }

    private async Task<SqliteConnection> OpenAsync()
    {
        var database = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = folder.File("repository/repository.db"), Mode = SqliteOpenMode.ReadWrite, Pooling = false }.ToString());
        await database.OpenAsync().ConfigureAwait(false);
        return database;
    }
}
