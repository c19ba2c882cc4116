using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using KantaGateway.Dev;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Trace;
using static KantaGateway.Harness.Verification.Some;

namespace KantaGateway.Tests.Operations.Telemetry;

/// <summary>One host over PostgreSQL and Redis that a collector watches, a walk through it with texts that must not be seen, and all that was seen when it had ended.</summary>
public sealed class ObservedWalk : IAsyncLifetime
{
    private const string Query = "kysely-91734", State = "tila-51888", Baggage = "matkalla-60213", Agent = "selain-77120", Note = "Potilas pelkää muistiinpanoja 48261", Name = "Sentineeli";

    private readonly List<Activity> _spans = [];
    private readonly ConcurrentQueue<string> _logs = [];
    private readonly ConcurrentDictionary<string, (string Meter, string? Unit, bool IsCounter)> _instruments = new();

    public IReadOnlyList<Activity> Spans => _spans;

    public IReadOnlyCollection<string> Logs => _logs;

    /// <summary>What Prometheus is given.</summary>
    public string Metrics { get; private set; } = "";

    /// <summary>Instruments of this process, by name.</summary>
    public IReadOnlyDictionary<string, (string Meter, string? Unit, bool IsCounter)> Instruments => _instruments;

    /// <summary>Patterns of the gateway's endpoints.</summary>
    public IReadOnlyList<string> Endpoints { get; private set; } = [];

    /// <summary>What names somebody, or was asked for.</summary>
    public IReadOnlyList<string> Secrets { get; private set; } = [];

    public async Task InitializeAsync()
    {
        using var meters = new MeterListener
        {
            InstrumentPublished = (instrument, _) => _instruments[instrument.Name] = (instrument.Meter.Name, instrument.Unit, instrument.GetType().Name.StartsWith("Counter", StringComparison.Ordinal) || instrument.GetType().Name.StartsWith("ObservableCounter", StringComparison.Ordinal)),
        };
        meters.Start();
        using var folder = new TemporaryFolder();
        await using var redis = await TestRedis.FindAsync();
        var database = await PostgresServer.NewDatabaseAsync();
        await using var host = await DevHost.StartAsync(new DevHostOptions
        {
            DataFolder = folder.File("data"),
            Port = RunningHost.FreePorts(),
            Postgres = database.Administrator,
            Redis = redis.Connection,
            Witnesses = true,
            Breadth = new(),
            // Spans are made only for a collector; nobody has to be there.
            Otlp = "http://127.0.0.1:9",
            Configure = builder =>
            {
                builder.Logging.ClearProviders().AddProvider(new Kept(_logs));
                builder.Services.ConfigureOpenTelemetryTracerProvider(t => t.AddProcessor(new SimpleActivityExportProcessor(new InMemoryExporter<Activity>(_spans))));
            },
        });
        var contract = new DevFolder(folder.File("data"));
        var code = contract.Citizens[0].IdentityCode;
        using var clinic = ClinicClient.Open(contract, "aurora", new Uri(host.Address));
        var patient = await StoredAsync(clinic.System.CreateAsync("Patient", Patient(code, $"{Name} Tuntematon")));
        var visit = await StoredAsync(clinic.System.CreateAsync("Encounter", Bytes(Encounter("Patient/" + patient, ServiceEvent(clinic)))));
        var note = await StoredAsync(clinic.System.CreateAsync("Condition", Bytes(Condition("Patient/" + patient, "Encounter/" + visit, Note))));
        var token = await clinic.TokenAsync();
        (string, string)[] told =
        [
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", $"kanta={State}"), ("baggage", $"person={Baggage}"), ("User-Agent", Agent),
        ];
        foreach (var target in (string[])[$"Condition/{note}", $"Condition?patient={patient}&code={Query}", $"Patient/{patient}/$everything", $"Patient?identifier={code}", $"Observation/{Query}"])
            await clinic.SendAsync(HttpMethod.Get, "/fhir/" + target, token, headers: told);
        using (var http = new HttpClient())
            Metrics = await http.GetStringAsync(new Uri($"http://127.0.0.1:{new Uri(host.Address).Port + 2}/metrics"));
        Secrets = [code, patient, visit, note, Query, State, Baggage, Agent, "48261", Name];
        Endpoints = [.. host.Gateway.Services.GetServices<EndpointDataSource>().SelectMany(s => s.Endpoints).OfType<RouteEndpoint>().Select(e => "/" + e.RoutePattern.RawText?.TrimStart('/'))];
        // Spans of Redis are made when the host ends.
    }

    public Task DisposeAsync() => Task.CompletedTask;

    private static async Task<string> StoredAsync(Task<FhirReply> sent)
    {
        var reply = await sent;
        Assert.True(reply.Status == 201, reply.Text);
        return FhirReply.ParseLocation(reply.Headers["Location"])!.Value.Id;
    }

    private sealed class Kept(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue($"{formatter(state, exception)} {(state is IEnumerable<KeyValuePair<string, object?>> pairs ? string.Join(' ', pairs) : "")} {exception}");

        public void Dispose() { }
    }
}
