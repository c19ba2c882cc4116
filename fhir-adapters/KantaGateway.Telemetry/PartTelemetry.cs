using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Context.Propagation;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace KantaGateway.Telemetry;

/// <summary>Where a part sends what it sees of itself.</summary>
/// <param name="Name">Of the part, as <c>service.name</c>: <c>kanta-gateway</c>.</param>
/// <param name="MetricsListen"><c>http://127.0.0.1:port</c> on which Prometheus reads <c>/metrics</c>; null: none.</param>
/// <param name="Otlp">OTLP collector of traces, metrics and logs (gRPC), https or on a loopback address; null: none.</param>
/// <param name="IsEdge">Whether callers from outside come here: what they say of traces is not believed.</param>
public sealed record PartTelemetry(string Name, string? MetricsListen, string? Otlp, bool IsEdge);

/// <summary>OpenTelemetry of gateway, repository and key service: the same for all, with everything that could name a person left out (law 6).</summary>
public static class PartTelemetrySetup
{
    /// <param name="part">Which part, and where to.</param>
    /// <param name="traces">Further sources of spans. They are made only where somebody collects them.</param>
    /// <param name="metrics">Further meters.</param>
    public static void AddTelemetry(this WebApplicationBuilder builder, PartTelemetry part, Action<TracerProviderBuilder>? traces = null, Action<MeterProviderBuilder>? metrics = null)
    {
        builder.Services.Replace(ServiceDescriptor.Singleton<DistributedContextPropagator>(new OwnTraces(part.IsEdge)));
        // Of the SDK's default, which also takes baggage from whoever calls, none is left: the framework's propagator above is the only one.
        Sdk.SetDefaultTextMapPropagator(new TraceContextPropagator());
        if (part is { MetricsListen: null, Otlp: null })
            return;
        var telemetry = builder.Services.AddOpenTelemetry().ConfigureResource(resource => resource.AddService(part.Name));
        if (part.Otlp is { } collector)
        {
            var endpoint = new Uri(collector);
            // Each span costs as much as a signature's look-up, and the framework makes one for every part of the process as soon as anybody listens.
            telemetry.WithTracing(tracing =>
            {
                tracing.AddAspNetCoreInstrumentation().AddHttpClientInstrumentation();
                traces?.Invoke(tracing);
                tracing.AddProcessor(new SpanRedaction()).AddOtlpExporter(o => o.Endpoint = endpoint);
            });
            builder.Logging.AddOpenTelemetry(logging =>
            {
                // A scope of the framework has the path, and paths carry ids.
                logging.IncludeScopes = false;
                logging.IncludeFormattedMessage = true;
                logging.AddOtlpExporter(o => o.Endpoint = endpoint);
            });
        }
        telemetry.WithMetrics(measuring =>
        {
            measuring.AddMeter("Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Net.Http", "KantaGateway.*").AddRuntimeInstrumentation();
            metrics?.Invoke(measuring);
            // Gauges that every request would move up and down; the durations' counts and the connections tell as much.
            foreach (var name in (string[])["http.server.active_requests", "http.client.active_requests", "http.client.request.time_in_queue"])
                measuring.AddView(name, MetricStreamConfiguration.Drop);
            if (part.MetricsListen is not null)
                measuring.AddPrometheusExporter();
            if (part.Otlp is { } otlp)
                measuring.AddOtlpExporter(o => o.Endpoint = new Uri(otlp));
        });
        if (part.MetricsListen is { } listen)
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, new Uri(listen).Port));
    }

    /// <summary>Metrics answer only on their own listener, and nothing else does there. To be the first that sees a request.</summary>
    public static void MapMetrics(this WebApplication app, string? metricsListen)
    {
        if (metricsListen is null)
            return;
        var port = new Uri(metricsListen).Port;
        app.UseOpenTelemetryPrometheusScrapingEndpoint(c => c.Request.Path == "/metrics" && c.Connection.LocalPort == port);
        app.Use((context, next) =>
        {
            if (context.Connection.LocalPort != port)
                return next(context);
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        });
    }
}
