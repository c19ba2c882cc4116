using KantaGateway.Dev;
using KantaGateway.Repository.Storage;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>A database as three see it; each a connection string.</summary>
/// <param name="Administrator">May do everything on the server.</param>
/// <param name="Owner">Whom the migration signs in as.</param>
/// <param name="Service">Whom the repository signs in as.</param>
sealed record PostgresDatabase(string Administrator, string Owner, string Service)
{
    /// <summary>Makes the tables.</summary>
    public async Task<PostgresDatabase> MigratedAsync()
    {
        await StoreSchema.MigrateAsync(Owner, ServiceRole, default);
        return this;
    }

    /// <summary>Opens it as the repository does.</summary>
    public Task<PostgresStore> OpenAsync() => PostgresStore.OpenAsync(Service, default);

    public string ServiceRole => new NpgsqlConnectionStringBuilder(Service).Username!;

    /// <summary>Runs statements.</summary>
    /// <param name="connection">One of the three.</param>
    /// <returns>The first value of the first row; null for NULL and for none.</returns>
    public static async Task<object?> AskAsync(string connection, string sql)
    {
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connection) { Pooling = false });
        await using var command = source.CreateCommand(sql);
        return await command.ExecuteScalarAsync() is { } value and not DBNull ? value : null;
    }
}

/// <summary>
/// A PostgreSQL of the tests' own, started once, stopped with the test process.
/// <c>KANTA_TEST_POSTGRES</c>, a connection string to a server where databases may be created, is used instead when set.
/// </summary>
sealed class PostgresServer
{
    private static readonly Lazy<Task<string>> Server = new(StartAsync);

    // Held, for it ends when it is collected.
    private static LocalPostgres? _own;

    /// <summary>A new, empty database, with an owner who is nothing else on the server.</summary>
    public static async Task<PostgresDatabase> NewDatabaseAsync() => await NewDatabaseAsync(await Server.Value);

    /// <summary>The same on another server.</summary>
    /// <param name="server">Connection string of its superuser.</param>
    public static async Task<PostgresDatabase> NewDatabaseAsync(string server)
    {
        var (name, password) = ("kanta_" + Guid.NewGuid().ToString("N"), Guid.NewGuid().ToString("N"));
        await using (var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(server) { Pooling = false }))
            foreach (var statement in (string[])[$"CREATE ROLE {name} LOGIN PASSWORD '{password}'", $"CREATE DATABASE {name} OWNER {name}"])
            {
                await using var command = source.CreateCommand(statement);
                await command.ExecuteNonQueryAsync();
            }
        var administrator = new NpgsqlConnectionStringBuilder(server) { Database = name, MaxPoolSize = 20 };
        var service = await DevelopmentDatabase.MakeServiceRoleAsync(administrator.ToString(), Guid.NewGuid().ToString("N"));
        return new(administrator.ToString(), new NpgsqlConnectionStringBuilder(administrator.ToString()) { Username = name, Password = password }.ToString(), service);
    }

    private static async Task<string> StartAsync()
    {
        if (Environment.GetEnvironmentVariable("KANTA_TEST_POSTGRES") is { Length: > 0 } given)
            return given;
        // Without fsync: the tests do not pull its plug.
        _own = await LocalPostgres.StartAsync(null, "fsync=off");
        return _own.Superuser;
    }
}
