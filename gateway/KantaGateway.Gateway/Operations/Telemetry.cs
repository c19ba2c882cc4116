using KantaGateway.Telemetry;
using Npgsql;
using OpenTelemetry.Instrumentation.StackExchangeRedis;
using OpenTelemetry.Trace;
using StackExchange.Redis;

namespace KantaGateway.Gateway.Operations;

/// <summary>OpenTelemetry of the gateway: what every part says of itself, the database of the audit log, and Redis.</summary>
public static class Telemetry
{
    public static void AddTelemetry(this WebApplicationBuilder builder, GatewayOptions options)
    {
        builder.AddTelemetry(new PartTelemetry("kanta-gateway", options.MetricsListen, options.Otlp, IsEdge: true),
            traces =>
            {
                traces.AddNpgsql();
                if (options.Redis is not null)
                    traces.AddRedisInstrumentation().ConfigureRedisInstrumentation(static (services, redis) => _ = ObserveAsync(redis, services.GetRequiredService<Lazy<Task<IConnectionMultiplexer>>>()));
            },
            static metrics => metrics.AddNpgsqlInstrumentation());
        builder.Services.AddSingleton<StandingMetrics>().AddHostedService(static s => s.GetRequiredService<StandingMetrics>());
    }

    // A server that is away is waited for by the connection itself, so this ends with one in any case.
    private static async Task ObserveAsync(StackExchangeRedisInstrumentation redis, Lazy<Task<IConnectionMultiplexer>> connection) =>
        redis.AddConnection(await connection.Value.ConfigureAwait(false));
}
