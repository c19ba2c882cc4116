#pragma warning disable CA5394 // The same seed gives the same faults; nothing here is a secret.
using System.Collections.Concurrent;
using KantaGateway.Fhir.Transport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Yarp.ReverseProxy.Forwarder;

namespace KantaGateway.Tests.Laws.Hammer;

/// <summary>
/// A bad line between a gateway and the repository: some requests take their time on the way there, some answers on the way back, and some
/// connections break, before the repository has heard anything or after it has done it.
/// </summary>
sealed class Middleman : IAsyncDisposable
{
    private readonly WebApplication _line;
    private readonly HttpMessageInvoker _invoker;
    private readonly ConcurrentDictionary<Task, string> _declarations = [];
    private int _broken, _delayed;

    private Middleman(WebApplication line, HttpMessageInvoker invoker) => (_line, _invoker) = (line, invoker);

    public int Broken => _broken;

    public int Delayed => _delayed;

    /// <param name="listen">Internal endpoint that the gateway is told.</param>
    /// <param name="repository">Internal endpoint of the repository.</param>
    /// <param name="seed">Of the faults.</param>
    public static async Task<Middleman> StartAsync(string listen, string repository, int seed)
    {
        var upstream = InternalEndpoint.Parse(repository);
        var handler = new SocketsHttpHandler { ActivityHeadersPropagator = null };
        upstream.Configure(handler);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.ListenInternally(InternalEndpoint.Parse(listen));
        builder.Services.AddHttpForwarder();
        var line = builder.Build();
        var middleman = new Middleman(line, new HttpMessageInvoker(handler));
        var forwarder = line.Services.GetRequiredService<IHttpForwarder>();
        var request = 0;
        line.Run(async context =>
        {
            var random = new Random(HashCode.Combine(seed, Interlocked.Increment(ref request)));
            using var declaration = middleman.Follow(context);
            await middleman.DelayAsync(random, context.RequestAborted);
            if (random.Next(60) == 0)
            {
                middleman.Break(context);
                return;
            }
            await forwarder.SendAsync(context, upstream.Address.ToString(), middleman._invoker, ForwarderRequestConfig.Empty, new Back(middleman, random), context.RequestAborted);
        });
        await line.StartAsync();
        return middleman;
    }

    /// <summary>Over when every declaration that is on this line now has come to its end, whatever that is.</summary>
    public Task SettledAsync() => Task.WhenAll(_declarations.Keys);

    public async ValueTask DisposeAsync()
    {
        await _line.DisposeAsync();
        _invoker.Dispose();
    }

    /// <summary>A declaration goes on to its end though the gateway hangs up: until then nobody knows what becomes of it.</summary>
    private End? Follow(HttpContext context)
    {
        if (HttpMethods.IsGet(context.Request.Method) || !context.Request.Path.Value!.Contains("/Consent", StringComparison.Ordinal))
            return null;
        context.RequestAborted = CancellationToken.None;
        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _declarations.TryAdd(over.Task, "");
        return new(() =>
        {
            _declarations.TryRemove(over.Task, out _);
            over.SetResult();
        });
    }

    private sealed class End(Action end) : IDisposable
    {
        public void Dispose() => end();
    }

    private async Task DelayAsync(Random random, CancellationToken cancel)
    {
        if (random.Next(4) != 0)
            return;
        Interlocked.Increment(ref _delayed);
        await Task.Delay(random.Next(1, 25), cancel);
    }

    private void Break(HttpContext context)
    {
        Interlocked.Increment(ref _broken);
        context.Abort();
    }

    private sealed class Back(Middleman line, Random random) : HttpTransformer
    {
        public override async ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
        {
            await line.DelayAsync(random, cancellationToken);
            if (proxyResponse is not null && random.Next(60) == 0)
            {
                line.Break(httpContext);
                return false;
            }
            return await base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);
        }
    }
}
