using System.Data.Common;
using KantaGateway.Fhir.Identifiers;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>Someone with all rights in the database and no key: reads, puts and removes what they like.</summary>
abstract class HostileAdministrator
{
    /// <summary>Where a row of a compartment lies; <c>@c</c> and <c>@s</c> are the compartment and the sequence.</summary>
    protected abstract string Row { get; }

    /// <summary>Columns and the SELECT that make a row of <c>@v</c>.</summary>
    protected abstract string NewRow { get; }

    /// <summary>Drops the key of the compartments.</summary>
    protected abstract string WithoutKey { get; }

    protected abstract DbConnection Connect();

    protected abstract object Id(Guid content);

    public static HostileAdministrator Of(string databaseFile, PostgresDatabase? postgres) => postgres is null ? new OfSqlite(databaseFile) : new OfPostgres(postgres.Administrator);

    /// <param name="table">entry or body.</param>
    public async Task<byte[]> ReadAsync(string table, Pseudonym of, long sequence) => (byte[])(await AskAsync($"SELECT sealed FROM {table} WHERE {Row}", of, sequence))!;

    public async Task PutAsync(string table, Pseudonym of, long sequence, byte[] value)
    {
        await RemoveAsync(table, of, sequence);
        Assert.Equal(1, await DoAsync($"INSERT INTO {table} {NewRow}", of, sequence, value));
    }

    public async Task RemoveAsync(string table, Pseudonym of, long sequence) => await DoAsync($"DELETE FROM {table} WHERE {Row}", of, sequence);

    public async Task<long> HeadAsync(Pseudonym of) => (long)(await AskAsync("SELECT head FROM compartment WHERE compartment = @c", of))!;

    public Task SetHeadAsync(Pseudonym of, long head) => DoAsync("UPDATE compartment SET head = @s WHERE compartment = @c", of, head);

    public async Task<byte[]> KeyAsync(Pseudonym of) => (byte[])(await AskAsync("SELECT wrapped FROM compartment WHERE compartment = @c", of))!;

    public Task SetKeyAsync(Pseudonym of, byte[] wrapped) => DoAsync("UPDATE compartment SET wrapped = @v WHERE compartment = @c", of, 0, wrapped);

    /// <summary>Takes the rows behind a head away, and the head back to it.</summary>
    public async Task CutAsync(Pseudonym of, long head)
    {
        for (var sequence = await HeadAsync(of); sequence > head; sequence--)
            foreach (var table in (string[])["entry", "body"])
                await RemoveAsync(table, of, sequence);
        await SetHeadAsync(of, head);
    }

    /// <summary>Takes a compartment away as a whole.</summary>
    public async Task ForgetAsync(Pseudonym of, bool isRowsLeft = false)
    {
        if (!isRowsLeft)
            await CutAsync(of, 0);
        await DoAsync("DELETE FROM compartment WHERE compartment = @c", of);
    }

    /// <summary>Has a compartment there twice, without the key that would not let it.</summary>
    public Task DoubleAsync(Pseudonym of) => DoAsync($"{WithoutKey}; INSERT INTO compartment SELECT * FROM compartment WHERE compartment = @c", of);

    /// <summary>The content that a row has.</summary>
    public async Task<Guid> ContentAsync(Pseudonym of, long sequence) => await AskAsync("SELECT content FROM content WHERE compartment = @c AND sequence = @s", of, sequence) switch
    {
        Guid id => id,
        byte[] id => new(id, bigEndian: true),
        _ => throw new InvalidOperationException("The row has no content."),
    };

    public async Task<byte[]> PartAsync(Pseudonym of, Guid content, int number) =>
        (byte[])(await AskAsync("SELECT sealed FROM part WHERE compartment = @c AND content = @v AND number = @s", of, number, Id(content)))!;

    public async Task PutPartAsync(Pseudonym of, Guid content, int number, byte[] value)
    {
        await using var connection = Connect();
        await connection.OpenAsync();
        await using var command = Command(connection, "UPDATE part SET sealed = @p WHERE compartment = @c AND content = @v AND number = @s", of, number, Id(content));
        Add(command, "p", value);
        Assert.Equal(1, await command.ExecuteNonQueryAsync());
    }

    public Task RemovePartAsync(Pseudonym of, Guid content, int number) => DoAsync("DELETE FROM part WHERE compartment = @c AND content = @v AND number = @s", of, number, Id(content));

    private async Task<int> DoAsync(string sql, Pseudonym of, long sequence = 0, object? value = null)
    {
        await using var connection = Connect();
        await connection.OpenAsync();
        await using var command = Command(connection, sql, of, sequence, value);
        return await command.ExecuteNonQueryAsync();
    }

    private async Task<object?> AskAsync(string sql, Pseudonym of, long sequence = 0, object? value = null)
    {
        await using var connection = Connect();
        await connection.OpenAsync();
        await using var command = Command(connection, sql, of, sequence, value);
        return await command.ExecuteScalarAsync();
    }

    private static DbCommand Command(DbConnection connection, string sql, Pseudonym of, long sequence, object? value)
    {
        var command = connection.CreateCommand();
        command.CommandText = sql;
        Add(command, "c", of.ToArray());
        Add(command, "s", sequence);
        Add(command, "v", value ?? Array.Empty<byte>());
        return command;
    }

    private static void Add(DbCommand command, string name, object value)
    {
        var parameter = command.CreateParameter();
        (parameter.ParameterName, parameter.Value) = ("@" + name, value);
        command.Parameters.Add(parameter);
    }

    private sealed class OfSqlite(string file) : HostileAdministrator
    {
        protected override string Row => "id = (SELECT (number << 31) + @s FROM compartment WHERE compartment = @c)";
        protected override string NewRow => "(id, sealed) SELECT (number << 31) + @s, @v FROM compartment WHERE compartment = @c";
        protected override string WithoutKey => "CREATE TABLE keyless AS SELECT * FROM compartment; DROP TABLE compartment; ALTER TABLE keyless RENAME TO compartment";
        protected override DbConnection Connect() => new SqliteConnection($"Data Source={file};Pooling=false");
        protected override object Id(Guid content) => content.ToByteArray(bigEndian: true);
    }

    private sealed class OfPostgres(string connection) : HostileAdministrator
    {
        protected override string Row => "compartment = @c AND sequence = @s";
        protected override string NewRow => "(compartment, sequence, sealed) VALUES (@c, @s, @v)";
        protected override string WithoutKey => "ALTER TABLE compartment DROP CONSTRAINT compartment_pkey";
        protected override DbConnection Connect() => new NpgsqlConnection(connection + ";Pooling=false");
        protected override object Id(Guid content) => content;
    }
}
