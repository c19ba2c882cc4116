using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Hosting.Systemd;

namespace KantaGateway.Fhir.Transport;

/// <summary>
/// A part that is told to stop (SIGTERM) first says that it is not ready and goes on serving, so that whoever spreads requests turns to another part before the listener closes; then what is under way is finished. Thread-safe.
/// </summary>
/// <remarks>
/// 1. It says <see cref="IsDraining"/>: <c>/health/ready</c> answers 503. 2. Every answer ends its connection (HTTP/1.1 <c>Connection: close</c>, HTTP/2 GOAWAY), so that connections that are kept move too. 3. After the time of the options the listener closes.
/// A part that stops because something is wrong with it (<see cref="Skip"/>) does none of that.
/// </remarks>
public sealed class Draining(TimeSpan time, TimeProvider clock) : IHostedLifecycleService
{
    private volatile bool _isDraining, _isSkipped;

    /// <summary>Whether it has been told to stop.</summary>
    public bool IsDraining => _isDraining;

    /// <summary>When it is told to stop, it stops at once: what it would answer is not to be trusted.</summary>
    public void Skip() => _isSkipped = true;

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        _isDraining = true;
        // Who stops a host in its own process may have no time for this; it is no failure.
        if (!_isSkipped && time > TimeSpan.Zero)
            await Task.Delay(time, clock, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>How a part starts and stops under whoever keeps it running.</summary>
public static class DrainingSetup
{
    /// <summary>Longest time to go on serving, seconds: orchestrators that are not told otherwise kill after 30.</summary>
    public const int Longest = 120;

    /// <summary>What is under way when the listener closes has as long as the longest answer may take.</summary>
    private static readonly TimeSpan LongestAnswer = TimeSpan.FromSeconds(30);

    /// <summary>Has a part drain before it stops, and tell systemd when it serves and when it stops (<c>Type=notify</c>).</summary>
    /// <param name="seconds">How long it goes on serving, 0 to <see cref="Longest"/>.</param>
    public static IServiceCollection AddDraining(this IServiceCollection services, int seconds)
    {
        var time = TimeSpan.FromSeconds(seconds);
        if (Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is { Length: > 0 })
            services.AddSingleton<ISystemdNotifier>(new SystemdNotifier()).AddSingleton<IHostLifetime, SystemdLifetime>();
        return services.Configure<HostOptions>(host => host.ShutdownTimeout = time + LongestAnswer)
            .AddSingleton(its => new Draining(time, its.GetRequiredService<TimeProvider>())).AddHostedService(static its => its.GetRequiredService<Draining>());
    }

    /// <summary>Ends each connection with the answer that is given on it while the part drains. To be among the first that see a request.</summary>
    public static void UseDraining(this WebApplication app)
    {
        var draining = app.Services.GetRequiredService<Draining>();
        app.Use((context, next) =>
        {
            if (draining.IsDraining)
                context.Response.OnStarting(static context =>
                {
                    ((HttpContext)context).Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
                    return Task.CompletedTask;
                }, context);
            return next(context);
        });
    }
}
