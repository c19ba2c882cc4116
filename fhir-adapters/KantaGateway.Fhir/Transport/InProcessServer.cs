using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Fhir.Transport;

/// <summary>
/// Serves the other parts of its process: the requests and answers that would go over a socket, without being written out in
/// between. A request is served on the thread that makes it, as far as it gets without waiting.
/// </summary>
/// <param name="name">The part's name in this process.</param>
/// <param name="maxBody">Most bytes of a request's body, unless it is raised for the request; null: no bound.</param>
sealed partial class InProcessServer(string name, long? maxBody, ILogger<InProcessServer> log) : IServer
{
    private static readonly ConcurrentDictionary<string, InProcessServer> Named = new(StringComparer.Ordinal);

    private readonly ConcurrentDictionary<InProcessExchange, byte> _open = new();
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Func<InProcessExchange, Task> _serve = null!;
    private volatile bool _isStopping;

    public IFeatureCollection Features { get; } = WithAddresses();

    /// <exception cref="IOException">Another part of the process has this name.</exception>
    public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken) where TContext : notnull
    {
        _serve = exchange => ServeAsync(application, exchange);
        return Named.TryAdd(name, this) ? Task.CompletedTask
            : Task.FromException(new IOException($"A part of this process is called {name} already."));
    }

    /// <summary>Takes no more requests and waits for those that are being served; when it is cancelled they are broken off.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Named.TryRemove(new(name, this));
        _isStopping = true;
        if (_open.IsEmpty)
            _idle.TrySetResult();
        try
        {
            await _idle.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            foreach (var exchange in _open.Keys)
                exchange.Abort();
        }
    }

    public void Dispose() => StopAsync(new(canceled: true)).GetAwaiter().GetResult();

    /// <summary>Serves a request of another part.</summary>
    /// <exception cref="HttpRequestException">Nobody has the name, or the answer was broken off before it began.</exception>
    public static async Task<HttpResponseMessage> SendAsync(string name, HttpRequestMessage request, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        if (!Named.TryGetValue(name, out var server))
            throw NobodyThere();
        var exchange = new InProcessExchange(request, server.MaxBody);
        server._open.TryAdd(exchange, 0);
        if (server._isStopping)
        {
            server.End(exchange);
            throw NobodyThere();
        }
        await using var leaving = cancel.UnsafeRegister(static (exchange, cancel) => ((InProcessExchange)exchange!).Leave(new OperationCanceledException(cancel)), exchange).ConfigureAwait(false);
        exchange.SendBody(cancel);
        _ = server._serve(exchange);
        await exchange.Started.ConfigureAwait(false);
        return exchange.Answer();
    }

    private long? MaxBody => maxBody;

    private async Task ServeAsync<TContext>(IHttpApplication<TContext> application, InProcessExchange exchange) where TContext : notnull
    {
        // What the other part is doing stays with it, as it would on the other side of a socket.
        if (Activity.Current is not null)
            Activity.Current = null;
        Exception? failure = null;
        var context = application.CreateContext(exchange.Features);
        try
        {
            await application.ProcessRequestAsync(context).ConfigureAwait(false);
            await exchange.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failure = e;
            Failed(log, e);
            exchange.Fail();
        }
        finally
        {
            await exchange.RunCompletedAsync().ConfigureAwait(false);
            application.DisposeContext(context, failure);
            End(exchange);
        }
    }

    private void End(InProcessExchange exchange)
    {
        _open.TryRemove(exchange, out _);
        if (_isStopping && _open.IsEmpty)
            _idle.TrySetResult();
    }

    private static HttpRequestException NobodyThere() =>
        new(HttpRequestError.ConnectionError, "No part of this process has the name.", new SocketException((int)SocketError.ConnectionRefused));

    private static FeatureCollection WithAddresses()
    {
        var features = new FeatureCollection();
        features.Set<IServerAddressesFeature>(new ServerAddressesFeature());
        return features;
    }

    [LoggerMessage(1, LogLevel.Error, "A request to a part of this process failed unexpectedly.")]
    private static partial void Failed(ILogger log, Exception e);
}

/// <summary>Has requests served by the part of this process that has the name at that time.</summary>
sealed class InProcessHandler(string name) : HttpMessageHandler
{
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        InProcessServer.SendAsync(name, request, cancellationToken);
}
