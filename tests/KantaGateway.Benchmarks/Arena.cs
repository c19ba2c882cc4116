#pragma warning disable CA5394 // Where a load begins need not be unforeseeable.
using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Generating;

namespace KantaGateway.Benchmarks;

/// <summary>The load generator, and the servers that a gateway is compared with.</summary>
sealed class Arena : IAsyncDisposable
{
    public const string BareYarp = "bare YARP", BareKestrel = "bare Kestrel";

    private readonly List<string> _files = [];
    private readonly Ports _ports;
    private ServerProcess? _reference;

    private Arena(Ports ports, ServerProcess generator) => (_ports, Generator) = (ports, generator);

    public ServerProcess Generator { get; }

    public static async Task<Arena> OpenAsync(Ports ports, CancellationToken cancel) =>
        new(ports, await ServerProcess.StartAsync(ServeCommand.Generator, "", ports, cancel));

    /// <summary>Prepares requests to be sent in turn.</summary>
    public Workload Prepare(string name, IReadOnlyList<LoadRequest> requests)
    {
        // Nothing in it is secret: tokens come with each load. But ids are personal data elsewhere, and a habit is a habit.
        var file = PrivateFile.Write(Path.Combine(Path.GetTempPath(), $"kanta-load-{Environment.ProcessId}-{_files.Count}.bin"), []);
        _files.Add(file);
        LoadGenerator.Save(file, requests);
        return new(name, file, requests);
    }

    /// <summary>
    /// Starts the bare YARP and the bare Kestrel. They answer every request with the bytes that the gateway answers the
    /// contestant's first, which this asks for.
    /// </summary>
    public async Task<IReadOnlyList<Contestant>> ReferencesOfAsync(Contestant contestant, CancellationToken cancel)
    {
        var house = contestant.House!;
        var answer = await house.AskAsync(contestant.Workload.Requests[0], contestant.Who, cancel);
        new CannedAnswer(answer.Status, answer.Headers.Where(h => h.Key is not ("Date" or "Content-Length" or "Connection" or "Transfer-Encoding")).ToDictionary(), answer.Body)
            .Save(Path.Combine(house.Seeded.Path, "answer.json"));
        if (_reference is not null)
            await _reference.DisposeAsync();
        var reference = _reference = await ServerProcess.StartAsync(ServeCommand.Reference, house.Seeded.Path, _ports, cancel);
        foreach (var port in (int[])[_ports.BareYarpTls, _ports.BareKestrelTls])
        {
            using var client = ClinicClient.Open(house.Folder, house.Clinic.Name, new($"https://localhost:{port}"));
            var reply = await client.SendAsync(HttpMethod.Get, "/fhir/metadata", cancel: cancel);
            if (reply.Status != answer.Status || !reply.Body.AsSpan().SequenceEqual(answer.Body))
                throw new BenchmarkException($"The reference at port {port} answered {reply.Status} with {reply.Body.Length} bytes, not what the gateway answered. Nothing was measured.");
        }
        return
        [
            new(BareYarp, contestant.Workload, house.System, reference, _ports.BareYarp, _ports.BareYarpTls, null),
            new(BareKestrel, contestant.Workload, house.System, reference, _ports.BareKestrel, _ports.BareKestrelTls, null),
        ];
    }

    /// <summary>What to send so that a contestant answers. The same headers for the references, so that they parse and pass on as much.</summary>
    /// <param name="tls">Through TLS with the clinic's certificate, else plain with it in a header.</param>
    /// <param name="most">Requests after which it ends; 0: when the time is over.</param>
    public async Task<Load> LoadOfAsync(Contestant contestant, bool tls, int connections, double seconds, CancellationToken cancel, long most = 0)
    {
        var clinic = contestant.Who.Clinic;
        var identity = clinic.Folder.File($"clinics/{clinic.Name}");
        var headers = new StringBuilder();
        headers.Append(CultureInfo.InvariantCulture, $"Host: localhost:{(tls ? contestant.TlsPort : contestant.Port)}\r\nAuthorization: Bearer {await contestant.Who.TokenAsync(cancel)}\r\n");
        if (!tls)
        {
            using var certificate = X509CertificateLoader.LoadCertificateFromFile(Path.Combine(identity, "tls.pem"));
            headers.Append(CultureInfo.InvariantCulture, $"X-Client-Cert: {Convert.ToBase64String(certificate.RawData)}\r\n");
        }
        return new(contestant.Workload.File, Workload.Chance.NextInt64(contestant.Workload.Requests.Count), tls ? contestant.TlsPort : contestant.Port, headers.ToString(),
            tls ? identity : null, clinic.Folder.File("ca.pem"), connections, seconds, most, contestant.Connects, contestant.ShowsCertificate);
    }

    /// <summary>Until tiered compilation has come to its end.</summary>
    public async Task WarmUpAsync(IEnumerable<Contestant> contestants, double seconds, CancellationToken cancel, bool tls = true)
    {
        var all = contestants.ToList();
        for (var i = 0; i < 2; i++)
            foreach (var contestant in all)
                await Generator.AskAsync<LoadResult>(System.Text.Json.JsonSerializer.Serialize(await LoadOfAsync(contestant, tls, 32, seconds, cancel)), cancel);
    }

    /// <summary>The load that is about to be measured, until it is steady; of the references it needs a second.</summary>
    public async Task LeadInAsync(Contestant contestant, int connections, double seconds, CancellationToken cancel, bool tls)
    {
        if (seconds > 0)
            await Generator.AskAsync<LoadResult>(System.Text.Json.JsonSerializer.Serialize(
                await LoadOfAsync(contestant, tls, connections, contestant.IsReference ? Math.Min(1, seconds) : seconds, cancel)), cancel);
    }

    public async ValueTask DisposeAsync()
    {
        if (_reference is not null)
            await _reference.DisposeAsync();
        await Generator.DisposeAsync();
        foreach (var file in _files)
            File.Delete(file);
    }
}
