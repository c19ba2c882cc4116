using System.Diagnostics;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using Yarp.ReverseProxy;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.Health;
using Yarp.ReverseProxy.Model;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// The repositories over the one database, as destinations of a YARP cluster, which asks each of several whether it is ready. Any of them answers for any person; one person's
/// requests go to the same one while it is there, so that a record is opened once and not in each. Thread-safe.
/// </summary>
/// <remarks>
/// Which one that is follows from person and endpoint (rendezvous hashing), so all gateways agree without a word between them, and where one is gone only its own people move. Nothing but cost rests on it.
/// A request goes on to the next one only where none of it has been sent. Where no repository is ready, for they have lost their database perhaps, all are tried.
/// </remarks>
public sealed class RepositoryNodes : IForwarderHttpClientFactory, IDisposable
{
    /// <summary>For any answer; a content waits for the repository's word as long.</summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    private const string Cluster = "repository";

    /// <summary>How long one is left alone that could not be reached; the cluster's own look finds it before, or does not.</summary>
    private static readonly TimeSpan LeftAlone = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(2);

    private static readonly HttpRequestOptionsKey<Pseudonym> About = new("compartment");

    private readonly Node[] _nodes;
    private readonly Router _router;
    private readonly HttpMessageInvoker _looks;
    private Func<(ClusterState Cluster, IDestinationHealthUpdater Health)?> _cluster = static () => null;

    public RepositoryNodes(GatewayOptions options)
    {
        var isTraced = options.Otlp is not null;
        _nodes = [.. options.Repositories.Select((endpoint, i) => new Node(endpoint, InternalEndpoint.Parse(endpoint), i, isTraced))];
        _router = new(this);
        Invoker = new(_router, disposeHandler: false);
        _looks = new(new Addressed(_nodes));
    }

    /// <summary>What a request is sent to; which node that becomes is chosen for each.</summary>
    public Uri Address => _nodes[0].Address;

    /// <summary>Says whom a request is about; one that says nothing goes to any that is ready.</summary>
    public static void SayWhom(HttpRequestMessage request, Pseudonym compartment) => request.Options.Set(About, compartment);

    /// <summary>A client of whichever repository is chosen for each request; keep one for the life of the process.</summary>
    /// <param name="timeout">Per request.</param>
    public HttpClient CreateClient(TimeSpan timeout) => new(_router, disposeHandler: false) { BaseAddress = Address, Timeout = timeout };

    /// <summary>The same for YARP.</summary>
    public HttpMessageInvoker Invoker { get; }

    /// <summary>A repository has answered that what is stored is not as it was written (<see cref="InternalHeaders.StoreChanged"/>). Told on the request's own thread: do not wait in it.</summary>
    public event Action? StoreChanged;

    /// <summary>The cluster that YARP keeps. One repository is asked nothing: there is no other to turn to.</summary>
    public ClusterConfig Configuration => new()
    {
        ClusterId = Cluster,
        Destinations = _nodes.ToDictionary(static node => node.Id, static node => new DestinationConfig { Address = node.Address.AbsoluteUri }),
        HealthCheck = _nodes.Length == 1 ? null : new()
        {
            AvailableDestinationsPolicy = HealthCheckConstants.AvailableDestinations.HealthyOrPanic,
            Active = new() { Enabled = true, Interval = LookInterval, Timeout = LookInterval, Policy = HealthCheckConstants.ActivePolicy.ConsecutiveFailures, Path = "/health/ready" },
        },
    };

    /// <summary>From when on it knows which of them are ready.</summary>
    public void Follow(IProxyStateLookup state, IDestinationHealthUpdater health) =>
        _cluster = () => state.TryGetCluster(Cluster, out var cluster) ? (cluster, health) : null;

    /// <summary>The client by which YARP asks whether a node is ready: each by its own address.</summary>
    HttpMessageInvoker IForwarderHttpClientFactory.CreateClient(ForwarderHttpClientContext context) => _looks;

    public void Dispose()
    {
        Invoker.Dispose();
        _router.Dispose();
        _looks.Dispose();
        foreach (var node in _nodes)
            node.Invoker.Dispose();
    }

    /// <summary>The nodes in the order in which one person's requests try them: those that are ready, then the others.</summary>
    private IEnumerable<Node> InOrder(Pseudonym? compartment)
    {
        var ready = _cluster()?.Cluster.DestinationsState.AvailableDestinations;
        return _nodes.OrderByDescending(node => ready is null || ready.Any(one => one.DestinationId == node.Id)).ThenBy(node => compartment is { } about ? node.DistanceOf(about) : 0UL);
    }

    private HttpResponseMessage Looked(HttpResponseMessage answer)
    {
        if (answer.StatusCode == System.Net.HttpStatusCode.InternalServerError && answer.Headers.NonValidated.Contains(InternalHeaders.StoreChanged))
            StoreChanged?.Invoke();
        return answer;
    }

    private void Unreachable(Node node)
    {
        if (_cluster() is { } known && known.Cluster.Destinations.TryGetValue(node.Id, out var destination))
            known.Health.SetPassive(known.Cluster, destination, DestinationHealth.Unhealthy, LeftAlone);
    }

    private sealed class Node
    {
        private readonly byte[] _name;

        public Node(string endpoint, InternalEndpoint parsed, int number, bool isTraced)
        {
            _name = System.Text.Encoding.UTF8.GetBytes(endpoint);
            Id = string.Create(System.Globalization.CultureInfo.InvariantCulture, $"repository-{number + 1}");
            // A socket has no name of its own, and the cluster's own requests are told apart by theirs.
            Address = parsed.IsPrivate ? new($"http://{Id}") : new(parsed.Address.GetLeftPart(UriPartial.Authority));
            var handler = new SocketsHttpHandler
            {
                // Who makes no spans has nothing to pass on, and goes a shorter way.
                ActivityHeadersPropagator = isTraced ? DistributedContextPropagator.Current : null,
                MaxConnectionsPerServer = 512, PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2), Expect100ContinueTimeout = LongestWait,
            };
            parsed.Configure(handler);
            Invoker = new(handler);
        }

        public string Id { get; }
        public Uri Address { get; }
        public HttpMessageInvoker Invoker { get; }

        /// <summary>The same at every gateway: nobody agrees on it, all compute it.</summary>
        public ulong DistanceOf(Pseudonym compartment)
        {
            Span<byte> hashed = stackalloc byte[SHA256.HashSizeInBytes], text = stackalloc byte[Pseudonym.Size + _name.Length];
            compartment.Write(text);
            _name.CopyTo(text[Pseudonym.Size..]);
            SHA256.HashData(text, hashed);
            return System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(hashed);
        }
    }

    private sealed class Router(RepositoryNodes nodes) : HttpMessageHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            // Of one there is nothing to choose.
            if (nodes._nodes is [var only])
                return nodes.Looked(await only.Invoker.SendAsync(request, cancellationToken));
            var target = request.RequestUri!.PathAndQuery;
            HttpRequestException? unreachable = null;
            foreach (var node in nodes.InOrder(request.Options.TryGetValue(About, out var compartment) ? compartment : null))
            {
                // Joined as text: a target is not resolved against the address, where two slashes at its beginning would make it another one.
                request.RequestUri = new(node.Address.GetLeftPart(UriPartial.Authority) + target);
                try
                {
                    return nodes.Looked(await node.Invoker.SendAsync(request, cancellationToken));
                }
                catch (HttpRequestException e) when (e.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError)
                {
                    // Nothing was sent: another may have it.
                    nodes.Unreachable(node);
                    unreachable = e;
                }
            }
            throw unreachable!;
        }
    }
    private sealed class Addressed(Node[] nodes) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            nodes.First(node => node.Address.Authority == request.RequestUri!.Authority).Invoker.SendAsync(request, cancellationToken);
    }
}

/// <summary>How YARP comes to keep the cluster of repositories.</summary>
public static class RepositoryCluster
{
    /// <summary>Forwarder and cluster; routes there are none, for what is forwarded has passed the steps before.</summary>
    public static void AddRepositoryCluster(this IServiceCollection services)
    {
        services.AddSingleton<IForwarderHttpClientFactory>(static its => its.GetRequiredService<RepositoryNodes>());
        services.AddReverseProxy();
        services.AddSingleton<IProxyConfigProvider>(static its => new InMemoryConfigProvider([], [its.GetRequiredService<RepositoryNodes>().Configuration]));
    }

    /// <summary>Begins to look whether they are ready.</summary>
    public static void MapRepositoryCluster(this WebApplication app)
    {
        app.MapReverseProxy();
        app.Services.GetRequiredService<RepositoryNodes>().Follow(app.Services.GetRequiredService<IProxyStateLookup>(), app.Services.GetRequiredService<IDestinationHealthUpdater>());
    }
}
