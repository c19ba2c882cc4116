using System.Diagnostics;
using System.Globalization;

namespace KantaGateway.Harness.Verification;

/// <summary>A request of a check and its answer, without anything that is secret or personal.</summary>
/// <param name="Request">Method, path with ids left out, names of parameters.</param>
/// <param name="Answer">Status, type and length; or the kind of failure.</param>
/// <param name="CorrelationId">By which the operator of the gateway finds it; null: there was none.</param>
public sealed record Exchange(string Request, string Answer, string? CorrelationId, TimeSpan Duration)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Request}: {Answer}, {Duration.TotalMilliseconds:0} ms{(CorrelationId is null ? "" : $", correlation id {CorrelationId}")}");
}

/// <summary>Keeps the last requests of the check that runs.</summary>
public sealed class Exchanges : IDisposable
{
    private const int Most = 12;

    private static readonly AsyncLocal<Exchanges?> Current = new();

    private readonly Queue<Exchange> _last = [];

    /// <summary>From now on requests of this flow are kept.</summary>
    public static Exchanges Begin() => Current.Value = new();

    public IReadOnlyList<Exchange> Last()
    {
        lock (_last)
            return [.. _last];
    }

    public void Dispose() => Current.Value = null;

    private void Add(Exchange exchange)
    {
        lock (_last)
        {
            _last.Enqueue(exchange);
            while (_last.Count > Most)
                _last.Dequeue();
        }
    }

    /// <summary>Stands between a client and its connections.</summary>
    public sealed class Handler(HttpMessageHandler connections) : DelegatingHandler(connections)
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (Current.Value is not { } kept)
                return await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
            var watch = Stopwatch.StartNew();
            var asked = $"{request.Method} {Redaction.OfAddress(request.RequestUri!)}{await ParametersAsync(request.Content, cancellationToken).ConfigureAwait(false)}";
            try
            {
                var answer = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
                var length = answer.Content.Headers.ContentLength is { } bytes ? string.Create(CultureInfo.InvariantCulture, $", {bytes} bytes") : "";
                kept.Add(new(asked, $"{(int)answer.StatusCode} {answer.Content.Headers.ContentType?.MediaType}{length}".TrimEnd(),
                    answer.Headers.TryGetValues("X-Correlation-Id", out var ids) ? Redaction.Of(ids.First()) : null, watch.Elapsed));
                return answer;
            }
            catch (Exception e)
            {
                kept.Add(new(asked, e.GetType().Name, null, watch.Elapsed));
                throw;
            }
        }

        // Of a form the names of its fields: what is asked for stands in them, what it is about in their values.
        private static async Task<string> ParametersAsync(HttpContent? content, CancellationToken cancel)
        {
            if (content is null)
                return "";
            if (content.Headers.ContentType?.MediaType != "application/x-www-form-urlencoded")
                return content.Headers.ContentType is { } type ? $" ({type.MediaType})" : "";
            var names = (await content.ReadAsStringAsync(cancel).ConfigureAwait(false)).Split('&').Select(static field => field.Split('=')[0]);
            return $" ({string.Join(", ", names)})";
        }
    }
}
