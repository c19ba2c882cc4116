using Npgsql;

namespace KantaGateway.Dev;

/// <summary>What a database administrator does once for a repository in PostgreSQL.</summary>
public static class DevelopmentDatabase
{
    /// <summary>Makes the role of the service, which has nothing until the migration gives it what it needs; one that is there gets the password.</summary>
    /// <param name="administrator">Connection string of a role that may make roles.</param>
    /// <param name="password">Letters and digits.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <returns>Connection string of the service.</returns>
    public static async Task<string> MakeServiceRoleAsync(string administrator, string password, CancellationToken cancel = default)
    {
        if (!password.All(char.IsAsciiLetterOrDigit))
            throw new ArgumentException("Letters and digits only.", nameof(password));
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(administrator) { Pooling = false });
        await using var connection = await source.OpenConnectionAsync(cancel);
        // Roles are of the server, not of the database.
        var role = connection.Database + "_service";
        await using (var find = new NpgsqlCommand("SELECT 1 FROM pg_roles WHERE rolname = $1", connection) { Parameters = { new() { Value = role } } })
        await using (var make = new NpgsqlCommand($"{(await find.ExecuteScalarAsync(cancel) is null ? "CREATE" : "ALTER")} ROLE {new NpgsqlCommandBuilder().QuoteIdentifier(role)} LOGIN PASSWORD '{password}'", connection))
            await make.ExecuteNonQueryAsync(cancel);
        return new NpgsqlConnectionStringBuilder(administrator) { Database = connection.Database, Username = role, Password = password }.ToString();
    }
}
