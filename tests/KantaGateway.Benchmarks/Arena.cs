using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Benchmarks;

/// <summary>Somebody asking some server.</summary>
/// <param name="Who">Null: nobody in particular, of a reference server.</param>
sealed record Contestant(string Name, Caller? Who, ServerProcess Server, int Port, int TlsPort);

/// <summary>Both servers running, the record archived, the permission given, and every contestant seen to answer the same bytes.</summary>
sealed class Arena : IAsyncDisposable
{
    public const string BareYarp = "bare YARP", BareKestrel = "bare Kestrel";

    private readonly string _folder;
    private readonly ServerProcess _product;
    private readonly ClinicClient _client;
    private ServerProcess? _reference;
    private Scene? _scene;

    private Arena(string folder, Ports ports, ServerProcess product)
    {
        (_folder, Ports, _product) = (folder, ports, product);
        Folder = new(folder);
        _client = ClinicClient.Open(Folder, "aurora", new($"https://localhost:{ports.Gateway}"));
        PlainTool = LoadTool.Wrk(folder);
        TlsTool = LoadTool.ApacheBench(folder);
    }

    public Ports Ports { get; }
    public DevFolder Folder { get; }
    public LoadTool PlainTool { get; }
    public LoadTool TlsTool { get; }
    public IReadOnlyList<Contestant> Contestants { get; private set; } = [];

    /// <summary>Bytes of the answer's body.</summary>
    public int BodyLength { get; private set; }

    /// <param name="folder">Emptied first, and on disposal.</param>
    public static async Task<Arena> OpenAsync(string folder, Ports ports, Action<string> say, CancellationToken cancel)
    {
        // Before anything is started: a missing tool should not cost a minute.
        LoadTool.Wrk(folder);
        LoadTool.ApacheBench(folder);
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(folder);
        say("starting gateway, repository, key service and simulators in one process");
        var product = await ServerProcess.StartAsync(ServeCommand.Product, folder, ports, cancel);
        var arena = new Arena(folder, ports, product);
        try
        {
            await arena.PrepareAsync(say, cancel);
            return arena;
        }
        catch (Exception e) when (e is ExpectationException or PortalException or TokenRefusedException or HttpRequestException)
        {
            await arena.DisposeAsync();
            throw new BenchmarkException($"The gateway did not do what is to be measured: {e.Message}");
        }
        catch
        {
            await arena.DisposeAsync();
            throw;
        }
    }

    /// <summary>What to send so that a contestant answers.</summary>
    /// <param name="tls">Through TLS with the clinic's certificate, else plain.</param>
    public async Task<Load> LoadOfAsync(Contestant contestant, bool tls, int connections, int seconds, CancellationToken cancel)
    {
        // The same headers for the reference, so that it parses and passes on as much.
        var who = contestant.Who ?? _scene!.System;
        return new(new($"{(tls ? "https" : "http")}://127.0.0.1:{(tls ? contestant.TlsPort : contestant.Port)}{_scene!.Target}"),
            await who.HeadersAsync(terminated: !tls, cancel), tls ? IdentityOf(who.Clinic) : null, connections, seconds);
    }

    /// <summary>Number of entries in the audit log's published tree, at most a second old.</summary>
    public async Task<long> AuditEntriesAsync(CancellationToken cancel)
    {
        var note = await _client.SendAsync(HttpMethod.Get, "/audit/log/checkpoint", cancel: cancel);
        return long.Parse(note.Text.Split('\n')[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        _scene?.Dispose();
        _client.Dispose();
        if (_reference is not null)
            await _reference.DisposeAsync();
        await _product.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task PrepareAsync(Action<string> say, CancellationToken cancel)
    {
        say($"archiving a record of {Scene.Others + 6} resources; the citizen is informed and permits disclosure");
        var scene = _scene = await Scene.PrepareAsync(Folder, _client.Target, cancel);
        var answer = Expect.Status(await _client.SendAsync(HttpMethod.Get, scene.Target, await _client.TokenAsync(cancel), cancel: cancel), "reading the observation", 200);
        BodyLength = answer.Body.Length;
        new CannedAnswer(answer.Headers.Where(h => h.Key is not ("Date" or "Content-Length" or "Connection")).ToDictionary(), answer.Body).Save(Path.Combine(_folder, "answer.json"));
        say("starting bare YARP and bare Kestrel, which answer the same bytes");
        var reference = _reference = await ServerProcess.StartAsync(ServeCommand.Reference, _folder, Ports, cancel);
        Contestants =
        [
            new(scene.System.Name, scene.System, _product, Ports.Terminator, Ports.Gateway),
            new(scene.Professional.Name, scene.Professional, _product, Ports.Terminator, Ports.Gateway),
            new(BareYarp, null, reference, Ports.BareYarp, Ports.BareYarpTls),
            new(BareKestrel, null, reference, Ports.BareKestrel, Ports.BareKestrelTls),
        ];
        foreach (var contestant in Contestants)
            foreach (var tls in (bool[])[false, true])
                await RequireSameBytesAsync(contestant, tls, answer.Body, cancel);
    }

    private async Task RequireSameBytesAsync(Contestant contestant, bool tls, byte[] expected, CancellationToken cancel)
    {
        var load = await LoadOfAsync(contestant, tls, 1, 1, cancel);
        var clinic = (contestant.Who ?? _scene!.System).Clinic;
        using var handler = Harness.Clients.Transport.Handler(Folder.Authority,
            tls ? Harness.Clients.Transport.Identity(Folder.File($"clinics/{clinic.Name}/tls.pem"), Folder.File($"clinics/{clinic.Name}/tls.key")) : null);
        using var http = new HttpClient(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, load.Address);
        foreach (var (name, value) in load.Headers)
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await http.SendAsync(request, cancel);
        var body = await response.Content.ReadAsByteArrayAsync(cancel);
        if (!response.IsSuccessStatusCode || !body.AsSpan().SequenceEqual(expected))
            throw new BenchmarkException($"{contestant.Name} {(tls ? "with" : "without")} TLS answered {(int)response.StatusCode} with {body.Length} bytes, and not the observation's {expected.Length}. Nothing was measured.");
    }

    // Certificate chain and key in one file, as ab wants them.
    private string IdentityOf(ClinicClient clinic)
    {
        var path = Path.Combine(_folder, "clinics", clinic.Name, "identity.pem");
        return File.Exists(path) ? path
            : PrivateFile.Write(path, [.. File.ReadAllBytes(Folder.File($"clinics/{clinic.Name}/tls.pem")), .. File.ReadAllBytes(Folder.File($"clinics/{clinic.Name}/tls.key"))]);
    }
}
