using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using KantaGateway.Dev;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Drills;
using KantaGateway.Harness.Verification;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Trace;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Law 6: nothing personal in the clear, not in any file and not in anything the host says.</summary>
public sealed class ClearTextTests
{
    /// <summary>
    /// The fictional directory that the development host writes for its callers (architecture section 11): it holds
    /// codes and names because it is the contract's list of whom one may play.
    /// </summary>
    private static readonly string[] ContractFiles = ["citizens.json", "professionals.json", "demo.http"];

    private static bool IsContractFile(string relative) =>
        ContractFiles.Contains(relative) || relative.StartsWith($"clinics{Path.DirectorySeparatorChar}", StringComparison.Ordinal);

    [Fact]
    public async Task After_the_scenario_no_file_no_log_and_no_trace_holds_an_identity_code_a_name_a_note_or_a_token()
    {
        using var folder = new TemporaryFolder();
        var data = folder.File("data");
        Directory.CreateDirectory(folder.File("logs"));
        var (log, spans) = (new KeptLog(), new List<Activity>());
        IReadOnlyList<string> secrets;
        await using (var host = await DevHost.StartAsync(new DevHostOptions
        {
            DataFolder = data,
            Port = RunningHost.FreePorts(),
            // Spans are made only for a collector; nobody has to be there.
            Otlp = "http://127.0.0.1:9",
            Configure = builder =>
            {
                builder.Logging.AddProvider(log);
                builder.Services.ConfigureOpenTelemetryTracerProvider(t => t.AddProcessor(new SimpleActivityExportProcessor(new InMemoryExporter<Activity>(spans))));
            },
        }))
        {
            var contract = new DevFolder(data);
            using var scenario = new VisitScenario(contract, new(host.Address));
            var steps = new Steps();
            await scenario.RunAsync(steps);
            using var checks = new FurtherChecks(contract, new(host.Address));
            await checks.RunAsync(steps);
            Assert.Equal([], steps.Results.Where(r => r.Outcome == StepOutcome.Failed).Select(r => $"{r.Title}: {r.Problem}"));
            secrets = [.. scenario.Secrets, .. checks.Secrets];
            // Once while it runs, for what it would remove at its end ...
            Assert.Equal([], ClearText.Find(folder.Path, secrets, InData(IsContractFile)));
        }
        await File.WriteAllLinesAsync(folder.File("logs/log.txt"), log.Lines);
        await File.WriteAllLinesAsync(folder.File("logs/traces.txt"), spans.Select(Text));
        // ... and once when all is written.
        Assert.Equal([], ClearText.Find(folder.Path, secrets, InData(IsContractFile)));
        Assert.NotEmpty(log.Lines);
        Assert.True(spans.Count > 100, $"only {spans.Count} spans: is tracing off?");

        // The search is worth something only if it finds what is there: each secret, among all the other files.
        for (var i = 0; i < secrets.Count; i++)
            await File.WriteAllTextAsync(Path.Combine(data, $"planted-{i}.txt"), $"before {secrets[i]} after");
        var planted = ClearText.Find(folder.Path, secrets, InData(IsContractFile));
        for (var i = 0; i < secrets.Count; i++)
            Assert.Contains(planted, f => f.StartsWith(Path.Combine("data", $"planted-{i}.txt"), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("010170-900X")]
    [InlineData("Väinämöinen")]
    [InlineData("Potilas pelkää muistiinpanojen vuotavan.")]
    public void A_planted_text_is_found_in_every_form(string text)
    {
        using var folder = new TemporaryFolder();
        foreach (var (_, bytes) in ClearText.Forms(text))
        {
            File.WriteAllBytes(folder.File("planted.bin"), [0, 1, 2, .. bytes, 3]);
            Assert.NotEmpty(ClearText.Find(folder.Path, [text]));
        }
        for (var before = 0; before < 3; before++)
        {
            File.WriteAllText(folder.File("planted.bin"), Convert.ToBase64String(Encoding.UTF8.GetBytes($"{new string('.', before)}{text}{new string('.', 7)}")));
            Assert.NotEmpty(ClearText.Find(folder.Path, [text]));
        }
        File.WriteAllText(folder.File("planted.bin"), "nothing to see");
        Assert.Empty(ClearText.Find(folder.Path, [text]));
    }

    private static Func<string, bool> InData(Func<string, bool> rule) =>
        relative => relative.StartsWith($"data{Path.DirectorySeparatorChar}", StringComparison.Ordinal) && rule(relative[5..]);

    /// <summary>A span with everything that an exporter would send of it.</summary>
    private static string Text(Activity span) =>
        $"{span.DisplayName} {span.Source.Name} {span.StatusDescription} {string.Join(' ', span.TagObjects.Concat(span.Events.SelectMany(e => e.Tags)).Concat(span.Links.SelectMany(l => l.Tags ?? [])).Select(t => $"{t.Key}={t.Value}"))} {string.Join(' ', span.Baggage)}";

    /// <summary>Keeps what the host logs as it is configured to log, with scopes, state and exceptions.</summary>
    private sealed class KeptLog : ILoggerProvider, ISupportExternalScope, ILogger
    {
        private IExternalScopeProvider? _scopes;

        public ConcurrentQueue<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var values = state is IEnumerable<KeyValuePair<string, object?>> pairs ? string.Join(' ', pairs) : "";
            var scopes = new List<string>();
            _scopes?.ForEachScope((scope, kept) => kept.Add(scope is IEnumerable<KeyValuePair<string, object?>> pairs ? string.Join(' ', pairs) : $"{scope}"), scopes);
            Lines.Enqueue($"{logLevel} {eventId} {formatter(state, exception)} {values} {string.Join(' ', scopes)} {exception}");
        }

        public void Dispose() { }
    }
}
