using System.Diagnostics;
using Npgsql;

namespace KantaGateway.Dev;

/// <summary>
/// A PostgreSQL server of one's own in a temporary folder, on a Unix socket there: for tests and measurements. It is gone with who started it, however that
/// ends.
/// </summary>
public sealed class LocalPostgres : IDisposable
{
    private readonly Process _keeper;

    private readonly string[] _restart;

    private LocalPostgres(string folder, Process keeper, string[] restart) => (Folder, _keeper, _restart) = (folder, keeper, restart);

    /// <summary>Where its socket, its data (<c>data</c>) and its log (<c>log</c>) are.</summary>
    public string Folder { get; }

    /// <summary>Connection string of its superuser.</summary>
    public string Superuser => new NpgsqlConnectionStringBuilder { Host = Folder, Username = "postgres", Database = "postgres" }.ToString();

    /// <summary>Starts one and returns when it answers.</summary>
    /// <param name="prepare">Given the folder before the server starts; what it puts there becomes the server's.</param>
    /// <param name="settings">Of the server, <c>name=value</c>, without spaces.</param>
    /// <exception cref="InvalidOperationException">There is none on this machine, or it did not start.</exception>
    public static Task<LocalPostgres> StartAsync(Action<string>? prepare = null, params string[] settings) =>
        StartAsync(prepare, static (bin, data) => [$"{bin}/initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"], settings);

    /// <summary>Starts another that follows this one, streaming, and returns when it answers reads.</summary>
    /// <param name="settings">As of <see cref="StartAsync(Action{string}?, string[])"/>.</param>
    /// <exception cref="InvalidOperationException">It did not start.</exception>
    public Task<LocalPostgres> StartStandbyAsync(params string[] settings) =>
        StartAsync(null, (bin, data) => [$"{bin}/pg_basebackup", "-h", Folder, "-U", "postgres", "-D", data, "-R", "-c", "fast", "--no-sync"], settings);

    private static async Task<LocalPostgres> StartAsync(Action<string>? prepare, Func<string, string, string[]> make, string[] settings)
    {
        var bin = !Directory.Exists("/usr/lib/postgresql") ? null
            : Directory.EnumerateDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin")).Where(Directory.Exists).Max();
        if (bin is null)
            throw new InvalidOperationException("No PostgreSQL: apt-get install postgresql.");
        var folder = Directory.CreateTempSubdirectory("kanta-pg-").FullName;
        // PostgreSQL refuses to run as root.
        var isRoot = Environment.UserName == "root";
        prepare?.Invoke(folder);
        if (isRoot)
            await RunAsync(["chown", "-R", "postgres", folder]);
        await RunAsync(AsUser(make(bin, $"{folder}/data")));
        // Waits until it answers, and no longer.
        await RunAsync(AsUser($"{bin}/pg_ctl", "-D", $"{folder}/data", "-l", $"{folder}/log", "-w",
            "-o", string.Join(' ', ((string[])[$"unix_socket_directories={folder}", "listen_addresses=", "max_connections=200", .. settings]).Select(setting => $"-c {setting}")), "start"));
        // A shell that waits for our end of the pipe to close, and then clears up.
        var keeper = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/tmp", RedirectStandardInput = true };
        foreach (var argument in (string[])["-c", "cat >/dev/null; folder=$1; shift; \"$@\" >/dev/null 2>&1; rm -rf \"$folder\"", "sh", folder,
            .. AsUser($"{bin}/pg_ctl", "-D", $"{folder}/data", "-m", "immediate", "stop")])
            keeper.ArgumentList.Add(argument);
        return new(folder, Process.Start(keeper)!, AsUser($"{bin}/pg_ctl", "-D", $"{folder}/data", "-l", $"{folder}/log", "-w", "restart", "-m"));

        string[] AsUser(params string[] command) => isRoot ? ["runuser", "-u", "postgres", "--", .. command] : command;
    }

    /// <summary>Stops it and starts it again, as it was started; returns when it answers.</summary>
    /// <param name="mode">How it stops: <c>fast</c>, or <c>immediate</c>, which writes nothing more, as a crash.</param>
    public Task RestartAsync(string mode) => RunAsync([.. _restart, mode]);

    /// <summary>Stops the server and removes the folder; returns when that is done.</summary>
    public void Dispose()
    {
        _keeper.StandardInput.Close();
        _keeper.WaitForExit();
        _keeper.Dispose();
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
