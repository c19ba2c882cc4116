using KantaGateway.Audit;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>What keeps this gateway from serving, asked anew each time: for load balancers, and for operators.</summary>
internal sealed class Readiness(GatewayOptions options, RepositoryNodes nodes, AuditLog log, BreachWatch? watch = null) : IReadiness
{
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(2);

    // The repository is ready when its database is; the key service has nothing behind it.
    private readonly (string Name, HttpClient Client, Uri Path)[] _parts =
    [
        (IReadiness.Repository, nodes.CreateClient(Wait), new("/health/ready", UriKind.Relative)),
        (IReadiness.Keys, InternalEndpoint.Parse(options.Keys).CreateClient(Wait), new("/health/live", UriKind.Relative)),
    ];

    public async Task<IReadOnlyList<string>> DownAsync(CancellationToken cancel)
    {
        var down = new List<string>();
        if (watch is { MayServe: false })
            down.Add(IReadiness.Probes);
        if (!log.IsTaking)
            down.Add(IReadiness.Audit);
        foreach (var (name, client, path) in _parts)
            try
            {
                using var answer = await client.GetAsync(path, cancel);
                if (!answer.IsSuccessStatusCode)
                    down.Add(name);
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancel.IsCancellationRequested)
            {
                down.Add(name);
            }
        return down;
    }
}
