using System.Diagnostics;

namespace KantaGateway.Tests.Identification;

/// <summary>A real Redis on a Unix socket: no port to collide on, nothing that listens on the network.</summary>
internal sealed class TestRedis : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-redis").FullName;
    private Process? _server;

    private TestRedis() { }

    public string Connection { get; private set; } = "";

    /// <summary>The one of the test run when there is one; its other users write there too.</summary>
    public static async Task<TestRedis> FindAsync() =>
        Environment.GetEnvironmentVariable("KANTA_TEST_REDIS") is { Length: > 0 } connection ? new() { Connection = connection } : await StartAsync();

    /// <summary>One for the caller alone.</summary>
    public static async Task<TestRedis> StartAsync()
    {
        var redis = new TestRedis();
        var socket = Path.Combine(redis._folder, "redis.sock");
        redis.Connection = "!" + socket;
        redis._server = Process.Start(new ProcessStartInfo("redis-server",
            ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", redis._folder])
        { RedirectStandardOutput = true })!;
        while (await redis._server.StandardOutput.ReadLineAsync() is { } line && !line.Contains("connections at", StringComparison.OrdinalIgnoreCase))
        {
        }
        return redis;
    }

    /// <summary>From here on it is away.</summary>
    public async Task StopAsync()
    {
        if (_server is null)
            return;
        _server.Kill();
        await _server.WaitForExitAsync();
        _server.Dispose();
        _server = null;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_folder, true);
    }
}
