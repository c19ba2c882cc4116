using System.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace KantaGateway.Gateway.Operations;

/// <summary>OpenTelemetry, with everything that could name a person taken out of spans (law 6).</summary>
public static class Telemetry
{
    public static void AddTelemetry(this WebApplicationBuilder builder, GatewayOptions options)
    {
        var telemetry = builder.Services.AddOpenTelemetry().ConfigureResource(r => r.AddService("kanta-gateway"));
        // Spans are made only where somebody collects them: each costs as much as a signature's look-up, and the framework
        // makes one for every part of the process as soon as anybody listens.
        if (options.Otlp is { } collector)
            telemetry.WithTracing(t => t.AddAspNetCoreInstrumentation().AddHttpClientInstrumentation().AddProcessor(new PathRedaction())
                .AddOtlpExporter(o => o.Endpoint = new Uri(collector)));
        telemetry.WithMetrics(m =>
        {
            m.AddMeter("Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Net.Http", "KantaGateway.*").AddRuntimeInstrumentation();
            // Gauges that every request would move up and down; the durations' counts and the connections tell as much.
            foreach (var name in (string[])["http.server.active_requests", "http.client.active_requests", "http.client.request.time_in_queue"])
                m.AddView(name, MetricStreamConfiguration.Drop);
            if (options.MetricsListen is not null)
                m.AddPrometheusExporter();
            if (options.Otlp is { } otlp)
                m.AddOtlpExporter(o => o.Endpoint = new Uri(otlp));
        });
    }

    /// <summary>Metrics answer only on their own listener.</summary>
    public static void MapMetrics(this WebApplication app, GatewayOptions options)
    {
        if (options.MetricsListen is not { } listen)
            return;
        var port = new Uri(listen).Port;
        app.UseOpenTelemetryPrometheusScrapingEndpoint(c => c.Request.Path == "/metrics" && c.Connection.LocalPort == port);
        app.Use((context, next) =>
        {
            if (context.Connection.LocalPort != port)
                return next(context);
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        });
    }

    /// <summary>Spans carry url.path and url.full, and those carry ids: the route is enough.</summary>
    private sealed class PathRedaction : BaseProcessor<Activity>
    {
        private static readonly string[] Personal = ["url.path", "url.query", "url.full", "http.target", "http.url", "user_agent.original", "client.address"];

        public override void OnEnd(Activity data)
        {
            foreach (var name in Personal)
                if (data.GetTagItem(name) is not null)
                    data.SetTag(name, null);
            if (data.Kind == ActivityKind.Server && data.GetTagItem("http.route") is null)
                data.DisplayName = data.GetTagItem("http.request.method") as string ?? "HTTP";
        }
    }
}
