using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using KantaGateway.Telemetry;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Operations.Telemetry;

/// <summary>Operators see what goes on, and never of whom (law 6).</summary>
public sealed partial class TelemetryTests(ObservedWalk walk) : IClassFixture<ObservedWalk>
{
    [Fact]
    public void One_trace_follows_a_request_through_gateway_repository_keys_database_and_Redis()
    {
        var traces = walk.Spans.GroupBy(static span => span.TraceId).Select(static trace => trace.Select(Place).Distinct().Order().ToArray()).ToArray();
        Assert.True(traces.Any(static places => new[] { "gateway", "keys", "postgresql", "redis", "repository" }.All(places.Contains)), string.Join('\n', traces.Select(static places => string.Join(' ', places)).Distinct()) + '\n'
            + string.Join('\n', walk.Spans.Select(static span => $"{span.Kind} {span.Source.Name} {span.DisplayName} {span.GetTagItem("http.route")}").Distinct()));
        // Each begins here: who asks cannot join the trace of another.
        Assert.DoesNotContain(walk.Spans, static span => span.TraceId.ToHexString() == "0af7651916cd43dd8448eb211c80319c");
    }

    [Fact]
    public void No_span_no_metric_and_no_log_line_holds_an_id_a_code_a_query_or_what_a_caller_adds()
    {
        Assert.True(walk.Spans.Count > 50, $"only {walk.Spans.Count} spans: is tracing off?");
        foreach (var secret in walk.Secrets)
        {
            Assert.DoesNotContain(walk.Spans.Select(Text), text => text.Contains(secret, StringComparison.OrdinalIgnoreCase));
            Assert.DoesNotContain(secret, walk.Metrics, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain(walk.Logs, line => line.Contains(secret, StringComparison.OrdinalIgnoreCase));
        }
    }

    [Fact]
    public void What_a_span_says_beyond_the_known_is_left_out_and_so_is_what_an_exception_says()
    {
        using var source = new ActivitySource("KantaGateway.Tests.Redaction");
        using var redaction = new SpanRedaction();
        using var listener = new ActivityListener { ShouldListenTo = one => one == source, Sample = static (ref _) => ActivitySamplingResult.AllDataAndRecorded };
        ActivitySource.AddActivityListener(listener);
        using var span = source.StartActivity("GET /fhir/Patient/7", ActivityKind.Server)!;
        span.SetTag("url.path", "/fhir/Patient/7").SetTag("http.route", "/fhir/{**path}").SetTag("http.request.method", "GET").SetTag("anything", "new").SetStatus(ActivityStatusCode.Error, "Patient 7");
        span.TraceStateString = "person=7";
        span.AddException(new InvalidOperationException("Patient 7"));
        span.Stop();
        redaction.OnEnd(span);
        Assert.Equal("GET /fhir/{**path}", span.DisplayName);
        Assert.DoesNotContain('7', Text(span)[span.DisplayName.Length..]);
        Assert.Equal(["http.request.method", "http.route"], span.TagObjects.Select(static tag => tag.Key).Order());
    }

    [Fact]
    public void A_log_line_is_an_object_with_the_ids_of_its_trace()
    {
        using var activity = new Activity("request").SetIdFormat(ActivityIdFormat.W3C).Start();
        using var written = new StringWriter();
        var entry = new LogEntry<string>(LogLevel.Warning, "KantaGateway.Audit", new EventId(7), "two\nlines", null, static (state, _) => state);
        new LineFormatter().Write(entry, new LoggerExternalScopeProvider(), written);
        var line = Assert.Single(written.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
        using var json = JsonDocument.Parse(line);
        Assert.Equal(activity.TraceId.ToHexString(), json.RootElement.GetProperty("trace_id").GetString());
        Assert.Equal(activity.SpanId.ToHexString(), json.RootElement.GetProperty("span_id").GetString());
        Assert.Equal("two\nlines", json.RootElement.GetProperty("message").GetString());
    }

    [Theory]
    [InlineData("kanta_consent_decisions_total", "reason")]
    [InlineData("kanta_disclosure_resources_total", "basis")]
    [InlineData("kanta_keys_budget_use", "window")]
    [InlineData("kanta_audit_lag_seconds", null)]
    [InlineData("kanta_audit_checkpoint_age_seconds", null)]
    [InlineData("kanta_keys_served_total", "operation=\"create\"")]
    [InlineData("http_server_request_duration_seconds_count", "http_route")]
    [InlineData("db_client_operation_duration_seconds_count", null)]
    [InlineData("dotnet_thread_pool_queue_length_total", null)]
    public void Prometheus_is_given_the_metrics_of_the_conventions_and_the_domains_own(string name, string? label) =>
        Assert.Contains(walk.Metrics.Split('\n'), line => line.StartsWith(name, StringComparison.Ordinal) && line[name.Length] is '{' or ' ' && (label is null || line.Contains(label, StringComparison.Ordinal)));

    [Fact]
    public void Every_metric_of_a_rule_or_a_panel_is_exported()
    {
        // The names as they are exported; where the walk has moved an instrument, its name stands there, so these are the exporter's own.
        var known = walk.Instruments.Select(static one => ExportedName(one.Key, one.Value.Unit, one.Value.IsCounter)).ToHashSet();
        var exported = Family().Matches(walk.Metrics).Select(static match => match.Groups[1].Value).Where(static name => name.StartsWith("kanta_", StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(exported);
        Assert.Equal([], exported.Except(known));
        known.UnionWith(Family().Matches(walk.Metrics).Select(static match => match.Groups[1].Value));
        var used = ObservabilityFiles.Expressions().SelectMany(ObservabilityFiles.MetricsOf).Distinct().ToArray();
        Assert.True(used.Length > 20);
        Assert.Equal([], used.Where(name => name != "up" && !known.Contains(Suffix().Replace(name, ""))));
    }

    [Fact]
    public void Every_path_that_a_runbook_names_is_an_endpoint()
    {
        var missing = ObservabilityFiles.Runbooks().SelectMany(book => GatewayPath().Matches(File.ReadAllText(book)).Select(path => path.Value).Where(path => !walk.Endpoints.Any(one => IsOf(one, path))).Select(path => $"{Path.GetFileName(book)}: {path}"));
        Assert.Equal([], missing);
    }

    private static bool IsOf(string pattern, string path) => Regex.IsMatch(path, $"^{Regex.Replace(pattern, @"\{[^}]+\}", static part => part.Value[1] == '*' ? ".+" : "[^/]+")}$");

    private static string ExportedName(string name, string? unit, bool isCounter)
    {
        var exported = name.Replace('.', '_');
        var suffix = unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
        return exported + (exported.EndsWith(suffix, StringComparison.Ordinal) ? "" : suffix) + (isCounter ? "_total" : "");
    }

    private static string Place(Activity span) => (span.Kind, span.Source.Name, span.GetTagItem("http.route") as string) switch
    {
        (_, "Npgsql", _) => "postgresql",
        (_, var source, _) when source.Contains("Redis", StringComparison.Ordinal) => "redis",
        (ActivityKind.Server, _, var route) when route?.StartsWith("/v1/", StringComparison.Ordinal) is true => "keys",
        (ActivityKind.Server, _, var route) when route?.Contains("fhir/{**path}", StringComparison.Ordinal) is true => "gateway",
        (ActivityKind.Server, _, _) => "repository",
        _ => "client",
    };

    /// <summary>A span with everything that an exporter would send of it.</summary>
    private static string Text(Activity span) =>
        $"{span.DisplayName} {span.StatusDescription} {span.TraceStateString} {string.Join(' ', span.TagObjects.Concat(span.Events.SelectMany(static e => e.Tags)).Select(static t => $"{t.Key}={t.Value}"))} {string.Join(' ', span.Baggage)}";

    [GeneratedRegex(@"^# TYPE (\S+) ", RegexOptions.Multiline)]
    private static partial Regex Family();

    [GeneratedRegex("_(bucket|count|sum)$")]
    private static partial Regex Suffix();

    [GeneratedRegex(@"(?<=[`""/ t]|8443)/(operator|health|audit)/[A-Za-z0-9/_-]+")]
    private static partial Regex GatewayPath();
}
