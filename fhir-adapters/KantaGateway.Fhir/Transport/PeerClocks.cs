using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Fhir.Transport;

/// <summary>A part of the deployment whose clock has to go with this one's.</summary>
/// <param name="Setting">The setting that names it.</param>
/// <param name="ReadAsync">What its clock says; throws where it is silent.</param>
public sealed record PeerClock(string Setting, Func<CancellationToken, Task<DateTimeOffset>> ReadAsync)
{
    /// <summary>An internal part, by <c>GET /health/live</c>.</summary>
    /// <param name="setting">The setting that names it.</param>
    /// <param name="endpoint">Its value.</param>
    public static PeerClock Of(string setting, string endpoint)
    {
        var client = InternalEndpoint.Parse(endpoint).CreateClient(TimeSpan.FromSeconds(2));
        return new(setting, async cancel =>
        {
            using var answer = await client.GetAsync(new Uri("/health/live", UriKind.Relative), cancel).ConfigureAwait(false);
            return answer.Headers.TryGetValues(InternalHeaders.Time, out var values) && long.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds)
                ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds) : throw new HttpRequestException("It does not say what time it is.");
        });
    }
}

/// <summary>
/// Grants live for a minute, permissions begin and end at moments, and the order of what was disclosed and denied is by time: a part whose clock is more than two seconds off that of another
/// does not start. One that is silent meanwhile is asked again until it answers; where it is off three times running then, this part stops: whose clock was only being set meanwhile stops nobody.
/// </summary>
/// <param name="part">Whose start it is, as its options are called.</param>
/// <param name="peers">All that it has.</param>
/// <param name="time">The clock of this machine.</param>
/// <param name="stop">Stops this part, as one that has failed.</param>
public sealed partial class PeerClocks(string part, IReadOnlyList<PeerClock> peers, TimeProvider time, Action stop, ILogger<PeerClocks> log) : BackgroundService
{
    private const int MostOff = 3;

    /// <summary>The largest difference.</summary>
    public static readonly TimeSpan Most = TimeSpan.FromSeconds(2);

    private readonly List<PeerClock> _silent = [];

    /// <exception cref="InvalidOperationException">A clock is off; the message names the settings of those.</exception>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (await CompareAsync(peers, cancellationToken).ConfigureAwait(false) is { Count: > 0 } off)
            throw new InvalidOperationException($"{part} options: {string.Join("; ", off)}.");
        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(5), time);
        var timesOff = 0;
        for (var waiting = _silent.ToList(); waiting.Count > 0 && await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false);)
        {
            if (await CompareAsync(waiting, stoppingToken).ConfigureAwait(false) is not { Count: > 0 } off)
            {
                (timesOff, waiting) = (0, [.. _silent]);
                continue;
            }
            if (++timesOff < MostOff)
                continue;
            Off(log, string.Join("; ", off));
            stop();
            return;
        }
    }

    /// <returns>What is wrong with those whose clocks are off.</returns>
    private async Task<IReadOnlyList<string>> CompareAsync(IReadOnlyList<PeerClock> asked, CancellationToken cancel)
    {
        _silent.Clear();
        var off = new List<string>();
        foreach (var peer in asked)
            try
            {
                // Once for the connection, whose making is no part of the way.
                await peer.ReadAsync(cancel).ConfigureAwait(false);
                var before = time.GetUtcNow();
                var its = await peer.ReadAsync(cancel).ConfigureAwait(false);
                var after = time.GetUtcNow();
                // It was read at some moment between: how long the way there and back took is no difference.
                if (its - after > Most || before - its > Most)
                    off.Add($"{peer.Setting}: its clock goes {(its > after ? its - after : before - its).TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture)} s {(its > after ? "before" : "after")} that of this machine, and {Most.TotalSeconds} s are allowed; have both follow the same time servers (NTP)");
            }
            catch (Exception e) when (!cancel.IsCancellationRequested)
            {
                Silent(log, peer.Setting, e);
                _silent.Add(peer);
            }
        return off;
    }

    [LoggerMessage(1, LogLevel.Critical, "A clock is off, so this part stops. {Off}")]
    private static partial void Off(ILogger log, string off);

    [LoggerMessage(2, LogLevel.Debug, "{Setting} does not say what time it is there; it is asked again.")]
    private static partial void Silent(ILogger log, string setting, Exception e);
}

/// <summary>How a part says what time it is, and looks what time it is elsewhere.</summary>
public static class Clocks
{
    /// <summary>Has a part compare its clock with every <see cref="PeerClock"/> that is registered, before it listens, and look that its own is not set back.</summary>
    /// <param name="part">As its options are called.</param>
    public static IServiceCollection AddPeerClocks(this IServiceCollection services, string part) => services
        .AddHostedService(its => new PeerClocks(part, [.. its.GetServices<PeerClock>()], TimeProvider.System, () => Stop(its), its.GetRequiredService<ILogger<PeerClocks>>())).AddClockWatch();

    /// <summary>Has a part look that its clock is not set back.</summary>
    public static IServiceCollection AddClockWatch(this IServiceCollection services) =>
        services.AddHostedService(its => new ClockWatch(its.GetRequiredService<TimeProvider>(), () => Stop(its), its.GetRequiredService<ILogger<ClockWatch>>()));

    /// <summary>Whoever keeps it running starts it again.</summary>
    private static void Stop(IServiceProvider its)
    {
        Environment.ExitCode = 1;
        its.GetService<Draining>()?.Skip();
        its.GetRequiredService<IHostApplicationLifetime>().StopApplication();
    }

    /// <summary><c>GET /health/live</c>: the process answers, and says what time it is by its machine's clock (<see cref="InternalHeaders.Time"/>).</summary>
    public static void MapLive(this IEndpointRouteBuilder routes) => routes.MapGet("/health/live", static (HttpContext context) =>
    {
        context.Response.Headers[InternalHeaders.Time] = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture);
        return Results.Text("live");
    });
}
