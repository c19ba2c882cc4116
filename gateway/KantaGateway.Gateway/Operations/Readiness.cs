using KantaGateway.Audit;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>What keeps this gateway from serving, asked anew each time: for load balancers, and for operators.</summary>
internal sealed class Readiness(GatewayOptions options, RepositoryNodes nodes, AuditLog log, BreachWatch? watch = null, RedisState? shared = null) : IReadiness
{
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(2);

    // The repository is ready when its database is; the key service has nothing behind it.
    private readonly (string Name, HttpClient Client, Uri Path)[] _parts =
    [
        (IReadiness.Repository, nodes.CreateClient(Wait), new("/health/ready", UriKind.Relative)),
        (IReadiness.Keys, InternalEndpoint.Parse(options.Keys).CreateClient(Wait), new("/health/live", UriKind.Relative)),
    ];

    private volatile bool _hasRemembered;

    public async Task<IReadOnlyList<string>> DownAsync(CancellationToken cancel)
    {
        // At once: together they take no longer than the slowest.
        var asked = new List<(string Name, Task<bool> Serves)>(_parts.Select(part => (part.Name, ServesAsync(part.Client, part.Path, cancel))));
        if (shared is not null)
            asked.Add((IReadiness.Redis, RemembersAsync(shared, cancel)));
        var down = new List<string>();
        if (watch is { MayServe: false })
            down.Add(IReadiness.Probes);
        if (!log.IsTaking)
            down.Add(IReadiness.Audit);
        foreach (var (name, serves) in asked)
            if (!await serves)
                down.Add(name);
        return down;
    }

    private static async Task<bool> ServesAsync(HttpClient client, Uri path, CancellationToken cancel)
    {
        try
        {
            using var answer = await client.GetAsync(path, cancel);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancel.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>
    /// A gateway whose store is new refuses what is used once, so it is not ready yet. Later it is enough that the store answers: one that has forgotten has all gateways refuse some requests for some seconds, and none
    /// would be left to send them to.
    /// </summary>
    private async Task<bool> RemembersAsync(RedisState store, CancellationToken cancel)
    {
        try
        {
            if (await store.IsRememberingAsync().WaitAsync(Wait, cancel))
                _hasRemembered = true;
            return _hasRemembered;
        }
        catch (Exception e) when (e is SharedStateException or TimeoutException)
        {
            return false;
        }
    }
}
