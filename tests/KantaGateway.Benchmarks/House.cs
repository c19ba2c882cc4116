using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Generating;

namespace KantaGateway.Benchmarks;

/// <summary>Gateway, repository, key service and simulators running in one process over a seeded folder.</summary>
sealed class House : IAsyncDisposable
{
    /// <summary>In whose register the seeded records lie, and who asks for them.</summary>
    private const string Controller = "aurora";

    private House(SeededFolder seeded, Ports ports, ServerProcess server)
    {
        (Seeded, Ports, Server) = (seeded, ports, server);
        Folder = new(seeded.Path);
        Clinic = ClinicClient.Open(Folder, Controller, new($"https://localhost:{ports.Gateway}"));
    }

    public SeededFolder Seeded { get; }
    public Ports Ports { get; }
    public ServerProcess Server { get; }
    public DevFolder Folder { get; }

    /// <summary>The clinic's system.</summary>
    public ClinicClient Clinic { get; }

    /// <summary>The clinic's system reads its own register.</summary>
    public Caller System => new(Clinic, c => Clinic.TokenAsync(c));

    /// <param name="what">See <see cref="ServeCommand"/>.</param>
    public static async Task<House> StartAsync(SeededFolder seeded, Ports ports, CancellationToken cancel, string what = ServeCommand.Product)
    {
        var server = await ServerProcess.StartAsync(what, seeded.Path, ports, cancel);
        try
        {
            return new(seeded, ports, server);
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Somebody asking here.</summary>
    /// <param name="who">The clinic's system by default.</param>
    public Contestant Contestant(string name, Workload workload, Caller? who = null) => new(name, workload, who ?? System, Server, Ports.Terminator, Ports.Gateway, this);

    /// <exception cref="BenchmarkException">It was not answered with success.</exception>
    public async Task<FhirReply> AskAsync(LoadRequest request, Caller? who, CancellationToken cancel)
    {
        var caller = who ?? System;
        (string, string)[] headers = request.Header?.Split(": ", 2) is [var name, var value] ? [(name, value)] : [];
        var reply = await caller.Clinic.SendAsync(new(request.Method), request.Target, await caller.TokenAsync(cancel), request.Body.Length > 0 ? request.Body : null,
            request.ContentType ?? "application/fhir+json", headers, cancel);
        return reply.IsSuccess ? reply : throw new BenchmarkException($"{request.Method} {request.Target} was answered {reply.Status}: {reply.Text}");
    }

    public async ValueTask DisposeAsync()
    {
        Clinic.Dispose();
        await Server.DisposeAsync();
    }
}

/// <summary>Somebody who asks.</summary>
/// <param name="Clinic">Whose certificate is presented.</param>
sealed record Caller(ClinicClient Clinic, Func<CancellationToken, Task<string?>> TokenAsync);

/// <summary>Somebody asking some server for something.</summary>
/// <param name="Port">Plain; behind a TLS terminator.</param>
/// <param name="House">Null for the servers that do nothing but pass on or answer.</param>
/// <param name="Connects">Whether each request goes over a connection of its own.</param>
/// <param name="ShowsCertificate">Whether the caller has a certificate in TLS.</param>
sealed record Contestant(string Name, Workload Workload, Caller Who, ServerProcess Server, int Port, int TlsPort, House? House, bool Connects = false, bool ShowsCertificate = true)
{
    public bool IsReference => House is null;
}
