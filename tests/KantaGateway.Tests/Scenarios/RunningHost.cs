using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Tests.Scenarios;

/// <summary>
/// The embedded development host as a process of its own, as a vendor starts it: everything is reached over its
/// public address, everything it says is kept in a file.
/// </summary>
sealed class RunningHost : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);

    private readonly Process _process;
    private readonly StreamWriter _log;
    private readonly Lock _writing = new();
    private ulong _unlimited;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private RunningHost(Process process, string data, string logFile, int port)
    {
        (_process, Data, LogFile, Port) = (process, data, logFile, port);
        _log = new(new FileStream(logFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
        Target = new($"https://localhost:{port}");
    }

    /// <summary>The folder with everything it keeps, and what it tells its callers.</summary>
    public string Data { get; }

    /// <summary>Its standard output and error.</summary>
    public string LogFile { get; }

    public int Port { get; }

    public Uri Target { get; }

    public DevFolder Folder => new(Data);

    /// <summary>Memory of the process that is resident now, bytes.</summary>
    public long WorkingSet
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>Starts a host and waits until it says <c>ready</c>.</summary>
    /// <param name="data">Its data folder, made when missing.</param>
    /// <param name="logFile">Where its output is appended.</param>
    /// <param name="port">First of three free ports; null looks for some.</param>
    /// <param name="environment">Extra settings.</param>
    /// <param name="further">Further arguments.</param>
    /// <param name="witnesses">Whether witnesses cosign its audit log: what it shows of it is some seconds old then.</param>
    /// <exception cref="InvalidOperationException">It ended or did not become ready.</exception>
    public static async Task<RunningHost> StartAsync(string data, string logFile, int? port = null, IReadOnlyDictionary<string, string>? environment = null, string[]? further = null, bool witnesses = false)
    {
        Directory.CreateDirectory(data);
        Directory.CreateDirectory(Path.GetDirectoryName(logFile)!);
        var chosen = port ?? FreePorts();
        var start = new ProcessStartInfo("/bin/sh")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Solution.Folder,
            // A write that a limit stops is an error to it and not its end: see FillDisk.
            ArgumentList = { "-c", "trap '' XFSZ; exec dotnet \"$@\"", "sh", Solution.Output("infra/dev", "KantaGateway.Dev.dll"), "--port", chosen.ToString(CultureInfo.InvariantCulture), "--data", data, "--probes", "0", "--witnesses", witnesses ? "true" : "false" },
        };
        foreach (var argument in further ?? [])
            start.ArgumentList.Add(argument);
        // Tests look at many people; those of the budget say that they want it.
        if (further?.Contains("--breadth") is not true)
        {
            start.ArgumentList.Add("--breadth");
            start.ArgumentList.Add("false");
        }
        // What the tests were given must not steer the host.
        foreach (var name in (string[])["KANTA_DATA", "KANTA_POSTGRES", "KANTA_AUDIT_POSTGRES", "KANTA_REDIS"])
            start.Environment.Remove(name);
        // As in the tests' own process: what the product gains by measuring itself comes after minutes.
        start.Environment["DOTNET_TieredPGO"] = "0";
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        var process = new Process { StartInfo = start };
        var host = new RunningHost(process, data, logFile, chosen);
        process.OutputDataReceived += (_, line) => host.Heard(line.Data);
        process.ErrorDataReceived += (_, line) => host.Heard(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var ended = process.WaitForExitAsync();
        if (await Task.WhenAny(host._ready.Task, ended, Task.Delay(StartLimit)) != host._ready.Task)
        {
            await host.DisposeAsync();
            throw new InvalidOperationException($"The host did not become ready:\n{string.Join('\n', File.ReadLines(logFile).TakeLast(30))}");
        }
        return host;
    }

    private static readonly HashSet<int> Given = [];

    /// <summary>
    /// A free port whose two successors are free too: broker and metrics listen there. Below those that the system gives to connections that go out, and
    /// each is given once.
    /// </summary>
    public static int FreePorts()
    {
        for (var attempt = 0; attempt < 200; attempt++)
        {
            var port = RandomNumberGenerator.GetInt32(20_000, 32_000);
            lock (Given)
                if (!Enumerable.Range(port - 2, 5).Any(Given.Contains) && Enumerable.Range(port, 3).All(IsFree))
                {
                    Given.Add(port);
                    return port;
                }
        }
        throw new InvalidOperationException("No three free ports in a row.");
    }

    /// <summary>From now on no write of this process to any file finds room, until <see cref="FreeDisk"/>.</summary>
    public void FillDisk() => LimitFiles(0);

    /// <summary>There is room again.</summary>
    public void FreeDisk() => LimitFiles(_unlimited);

    private void LimitFiles(ulong bytes)
    {
        const int FileSize = 1;
        // How much it may be set to again.
        if (Limit(_process.Id, FileSize, IntPtr.Zero, out var before) != 0)
            throw new InvalidOperationException("Its limits cannot be read.");
        _unlimited = bytes == 0 ? before.Soft : _unlimited;
        if (Limit(_process.Id, FileSize, new ResourceLimit { Soft = bytes, Hard = before.Hard }, IntPtr.Zero) != 0)
            throw new InvalidOperationException("Its limits cannot be set.");
    }

    private struct ResourceLimit
    {
        public ulong Soft, Hard;
    }

    [DllImport("libc", EntryPoint = "prlimit", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Limit(int process, int resource, IntPtr to, out ResourceLimit before);

    [DllImport("libc", EntryPoint = "prlimit", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Limit(int process, int resource, in ResourceLimit to, IntPtr before);

    /// <summary>Kills it at once: no handler runs, nothing is flushed.</summary>
    public async Task KillAsync()
    {
        _process.Kill(); // SIGKILL
        await _process.WaitForExitAsync();
    }

    /// <summary>Asks it to end and waits until it has.</summary>
    public async Task StopAsync()
    {
        const int Terminate = 15;
        if (!_process.HasExited)
            _ = SendSignal(_process.Id, Terminate);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(40));
        await _process.WaitForExitAsync(limit.Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            await KillAsync();
        _process.Dispose();
        lock (_writing)
            _log.Dispose();
    }

    private void Heard(string? line)
    {
        if (line is null)
            return;
        lock (_writing)
            if (_log.BaseStream is { CanWrite: true })
                _log.WriteLine(line);
        if (line.Trim() == "ready")
            _ready.TrySetResult();
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false; // taken, which is the answer
        }
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SendSignal(int process, int signal);
}

/// <summary>Where the solution lies, found from where the tests run.</summary>
static class Solution
{
    public static string Folder { get; } = Find();

    /// <summary>A file of another project's output in the same configuration.</summary>
    public static string Output(string project, string file)
    {
        // .../tests/KantaGateway.Tests/bin/<configuration>/<framework>/
        var own = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        return Path.Combine(Folder, project, "bin", own.Parent!.Name, own.Name, file);
    }

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "KantaGateway.sln")))
                return folder.FullName;
        throw new DirectoryNotFoundException("KantaGateway.sln is not above the test output.");
    }
}

/// <summary>A folder for one test, removed afterwards.</summary>
sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("kanta-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>One host that the tests share which leave it as usable as they found it.</summary>
public sealed class SharedHost : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();

    internal RunningHost Host { get; private set; } = null!;

    public DevFolder Folder => Host.Folder;

    public Uri Target => Host.Target;

    public async Task InitializeAsync() => Host = await RunningHost.StartAsync(_folder.File("data"), _folder.File("logs/host.log"), witnesses: true);

    public async Task DisposeAsync()
    {
        await Host.DisposeAsync();
        _folder.Dispose();
    }
}

[CollectionDefinition(Name)]
public sealed class SharedHostCollection : ICollectionFixture<SharedHost>
{
    public const string Name = "one running host";
}
