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
        builder.Services.AddOpenTelemetry()
            .ConfigureResource(r => r.AddService("kanta-gateway"))
            .WithTracing(t =>
            {
                t.AddAspNetCoreInstrumentation().AddHttpClientInstrumentation().AddProcessor(new PathRedaction());
                if (options.Otlp is { } otlp)
                    t.AddOtlpExporter(o => o.Endpoint = new Uri(otlp));
            })
            .WithMetrics(m =>
            {
                m.AddAspNetCoreInstrumentation().AddHttpClientInstrumentation().AddRuntimeInstrumentation().AddMeter("KantaGateway.*");
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
