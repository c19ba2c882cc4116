using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using KantaGateway.Simulators;
using StackExchange.Redis;

namespace KantaGateway.Tests.Identification;

/// <summary>A real Redis on a Unix socket: no port to collide on, nothing that listens on the network.</summary>
internal sealed class TestRedis : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-redis").FullName;
    private Process? _server;

    private TestRedis() { }

    public string Connection { get; private set; } = "";

    /// <summary>PEM file with the authority of its certificate; null: it has none.</summary>
    public string? AuthorityFile { get; private set; }

    /// <summary>The one of the test run when there is one; its other users write there too.</summary>
    public static async Task<TestRedis> FindAsync()
    {
        if (Environment.GetEnvironmentVariable("KANTA_TEST_REDIS") is not { Length: > 0 } connection)
            return await StartAsync();
        var redis = new TestRedis { Connection = connection };
        await redis.AgeAsync();
        return redis;
    }

    /// <summary>One for the caller alone, which remembers for long.</summary>
    public static async Task<TestRedis> StartAsync()
    {
        var redis = new TestRedis();
        var socket = Path.Combine(redis._folder, "redis.sock");
        redis.Connection = "!" + socket;
        await redis.RunAsync("--port", "0", "--unixsocket", socket);
        await redis.AgeAsync();
        return redis;
    }

    /// <summary>One for the caller alone, over TLS on loopback, for a user with no more rights than the product asks for.</summary>
    /// <param name="user">A line of Redis' ACL, without name and password.</param>
    public static async Task<TestRedis> StartSecuredAsync(string user)
    {
        var redis = new TestRedis();
        string At(string name) => Path.Combine(redis._folder, name);
        using var authority = DevelopmentAuthority.Create();
        var server = authority.IssueServer("localhost", "127.0.0.1");
        File.WriteAllText(redis.AuthorityFile = At("ca.pem"), authority.CertificatePem);
        File.WriteAllText(At("tls.pem"), server.ChainPem);
        File.WriteAllText(At("tls.key"), server.KeyPem);
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        var port = ((IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        var secret = Guid.NewGuid().ToString("N");
        File.WriteAllText(At("redis.conf"), $"user default off\nuser gateway on >{secret} {user}\nuser administrator on >{secret} ~* &* +@all\n");
        redis.Connection = $"localhost:{port},ssl=true,abortConnect=true,connectTimeout=5000,user=gateway,password={secret}";
        await redis.RunAsync(At("redis.conf"), "--bind", "127.0.0.1", "--port", "0", "--tls-port", $"{port}", "--tls-auth-clients", "no", "--tls-cert-file", At("tls.pem"), "--tls-key-file", At("tls.key"), "--tls-ca-cert-file", At("ca.pem"));
        return redis;
    }

    /// <summary>As if it had been asked for the first time long ago.</summary>
    public async Task AgeAsync()
    {
        await using var redis = await ConnectionMultiplexer.ConnectAsync(Connection);
        await redis.GetDatabase().ScriptEvaluateAsync("redis.call('HSET', KEYS[1], 'store', string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. '/0', 'since', 0)", ["kanta:{identification}:since"]);
    }

    private async Task RunAsync(params string[] arguments)
    {
        _server = Process.Start(new ProcessStartInfo("redis-server", [.. arguments, "--save", "", "--appendonly", "no", "--dir", _folder]) { RedirectStandardOutput = true })!;
        while (await _server.StandardOutput.ReadLineAsync() is { } line && !line.Contains("ready to accept connections", StringComparison.OrdinalIgnoreCase) && !line.Contains("connections at", StringComparison.OrdinalIgnoreCase))
        {
        }
    }

    /// <summary>It has forgotten everything, by the hand of an administrator.</summary>
    public async Task EmptyAsync()
    {
        await using var redis = await ConnectionMultiplexer.ConnectAsync(Connection + ",allowAdmin=true");
        await redis.GetServers()[0].FlushAllDatabasesAsync();
    }

    /// <summary>It was short of memory for a while, and has forgotten something.</summary>
    public async Task EvictAsync()
    {
        await using var redis = await ConnectionMultiplexer.ConnectAsync(Connection + ",allowAdmin=true");
        var (database, server) = (redis.GetDatabase(), redis.GetServers()[0]);
        await server.ConfigSetAsync("maxmemory-policy", "allkeys-random");
        await server.ConfigSetAsync("maxmemory", "8mb");
        while ((await server.InfoRawAsync("stats"))!.Contains("evicted_keys:0\r", StringComparison.Ordinal))
            await database.StringSetAsync(Guid.NewGuid().ToString(), new byte[100_000]);
        await server.ConfigSetAsync("maxmemory", "0");
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
