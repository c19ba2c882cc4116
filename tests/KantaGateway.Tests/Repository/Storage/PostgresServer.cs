using System.Diagnostics;
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
    /// <returns>The first value of the first row.</returns>
    public static async Task<object?> AskAsync(string connection, string sql)
    {
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connection) { Pooling = false });
        await using var command = source.CreateCommand(sql);
        return await command.ExecuteScalarAsync();
    }
}

/// <summary>
/// A PostgreSQL of the tests' own, in a temporary folder on a Unix socket: started once, stopped with the test process.
/// <c>KANTA_TEST_POSTGRES</c>, a connection string to a server where databases may be created, is used instead when set.
/// </summary>
sealed class PostgresServer
{
    private static readonly Lazy<Task<string>> Server = new(StartAsync);

    // Held, for a collected Process closes its pipe.
    private static Process? _keeper;

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
        var folder = Directory.CreateTempSubdirectory("kanta-pg-").FullName;
        var bin = Directory.EnumerateDirectories("/usr/lib/postgresql").Select(v => Path.Combine(v, "bin")).Where(Directory.Exists).Max()
            ?? throw new InvalidOperationException("No PostgreSQL: apt-get install postgresql, or set KANTA_TEST_POSTGRES.");
        // PostgreSQL refuses to run as root.
        var isRoot = Environment.UserName == "root";
        if (isRoot)
            await RunAsync(["chown", "postgres", folder]);
        await RunAsUserAsync($"{bin}/initdb", "-D", $"{folder}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync");
        // Waits until it answers, and no longer. Without fsync: the tests do not pull its plug.
        await RunAsUserAsync($"{bin}/pg_ctl", "-D", $"{folder}/data", "-l", $"{folder}/log", "-w",
            "-o", $"-k {folder} -c listen_addresses= -c max_connections=200 -c fsync=off", "start");
        // A shell that waits for our end of the pipe to close, however this process ends, and then clears up.
        var keeper = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/tmp", RedirectStandardInput = true };
        foreach (var argument in (string[])["-c", "cat >/dev/null; folder=$1; shift; \"$@\" >/dev/null 2>&1; rm -rf \"$folder\"", "sh", folder,
            .. AsUser($"{bin}/pg_ctl", "-D", $"{folder}/data", "-m", "immediate", "stop")])
            keeper.ArgumentList.Add(argument);
        _keeper = Process.Start(keeper);
        return new NpgsqlConnectionStringBuilder { Host = folder, Username = "postgres", Database = "postgres" }.ToString();

        string[] AsUser(string program, params string[] arguments) =>
            isRoot ? ["runuser", "-u", "postgres", "--", program, .. arguments] : [program, .. arguments];

        Task RunAsUserAsync(string program, params string[] arguments) => RunAsync(AsUser(program, arguments));
    }

    private static async Task RunAsync(string[] command)
    {
        // Output goes nowhere: the server that pg_ctl starts would keep a pipe open and us waiting.
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/tmp" };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("exec \"$@\" >/dev/null 2>&1 </dev/null");
        start.ArgumentList.Add("sh");
        foreach (var part in command)
            start.ArgumentList.Add(part);
        using var process = Process.Start(start)!;
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{string.Join(' ', command)} ended with {process.ExitCode}.");
    }
}
