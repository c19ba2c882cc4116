using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Identification.Mandates;

/// <summary>Law 6: addresses at e-Authorizations hold identity codes, and nothing that watches the process sees them.</summary>
public sealed class UnobservedTests(IdentificationWorld world) : IClassFixture<IdentificationWorld>
{
    [Fact]
    public async Task No_log_no_span_no_diagnostic_event_and_no_metric_holds_an_identity_code()
    {
        // Other tests run beside this one: what counts is what went to this world's simulators.
        var outside = new Uri(world.Outside.PublicAddress).Port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        var (seen, spans) = (new ConcurrentQueue<string>(), new ConcurrentQueue<Activity>());
        using var activities = new ActivityListener
        {
            ShouldListenTo = static _ => true,
            Sample = static (ref _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(activities);
        using var diagnostics = DiagnosticListener.AllListeners.Subscribe(new Each<DiagnosticListener>(listener =>
        {
            if (listener.Name == "HttpHandlerDiagnosticListener")
                listener.Subscribe(new Each<KeyValuePair<string, object?>>(e => seen.Enqueue($"{e.Key} {e.Value}")));
        }));
        using var meters = new MeterListener { InstrumentPublished = static (instrument, listener) => listener.EnableMeasurementEvents(instrument) };
        meters.SetMeasurementEventCallback<long>((instrument, _, tags, _) => seen.Enqueue(Text(instrument, tags)));
        meters.SetMeasurementEventCallback<double>((instrument, _, tags, _) => seen.Enqueue(Text(instrument, tags)));
        meters.Start();

        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0);
        Assert.Equal("/?acting=begun", await world.ActForAsync(cookies, 0));
        // Well, and badly: failures say the most.
        world.Clock.Ahead += Representations.Bound;
        foreach (var fault in new[] { AuthorizationsFault.Error, AuthorizationsFault.Malformed, AuthorizationsFault.Silent, AuthorizationsFault.Huge })
        {
            world.Authorizations.Misbehaves = (AuthorizationsStep.Authorization, fault);
            Assert.Equal("unknown", await world.StandingAsync(cookies));
            world.Authorizations.Misbehaves = (AuthorizationsStep.Register, fault);
            Assert.Equal("/on-behalf?acting=unavailable", await world.ActForAsync(cookies, 0));
        }
        world.Authorizations.Misbehaves = default;

        // Spans of the gateway's requests to others are there, so the watch is worth something; of those to e-Authorizations there is none.
        var sent = spans.Where(span => span.Kind == ActivityKind.Client).Select(Text).Where(span => span.Contains(outside, StringComparison.Ordinal)).ToArray();
        var told = seen.Where(text => text.Contains(outside, StringComparison.Ordinal)).ToArray();
        Assert.Contains(sent, static span => span.Contains("/ftn/token", StringComparison.Ordinal));
        Assert.Contains(told, static text => text.Contains("/ftn/token", StringComparison.Ordinal));
        Assert.Contains(told, static text => text.Contains("http.client.request.duration", StringComparison.Ordinal));
        foreach (var text in sent.Concat(told))
        {
            Assert.DoesNotContain("/service/hpa", text);
            Assert.False(PersonalIdentityCode.Occurs(text));
        }
        Assert.DoesNotContain(world.Logs.ToString().Split('\n'), static line => PersonalIdentityCode.Occurs(line));
    }

    private static string Text(Activity span) => $"{span.DisplayName} {span.OperationName} {string.Join(' ', span.TagObjects.Select(t => $"{t.Key}={t.Value}"))}";

    private static string Text(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags) => $"{instrument.Name} {string.Join(' ', tags.ToArray().Select(t => $"{t.Key}={t.Value}"))}";

    private sealed class Each<T>(Action<T> act) : IObserver<T>
    {
        public void OnCompleted() { }

        public void OnError(Exception error) { }

        public void OnNext(T value) => act(value);
    }
}
