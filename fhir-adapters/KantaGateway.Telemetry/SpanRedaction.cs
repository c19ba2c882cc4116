using System.Collections.Frozen;
using System.Diagnostics;
using OpenTelemetry;

namespace KantaGateway.Telemetry;

/// <summary>
/// Lets through of a span what is known to name nobody, and nothing else: attributes of the semantic conventions that are closed sets or are the deployment's own, and <c>kanta.*</c>. Paths, queries,
/// addresses, statements, keys and messages are not among them; the route and the kind of failure are enough.
/// </summary>
public sealed class SpanRedaction : BaseProcessor<Activity>
{
    private static readonly FrozenSet<string> Known = FrozenSet.ToFrozenSet(
    [
        "http.request.method", "http.response.status_code", "http.route", "http.request.resend_count", "url.scheme", "network.protocol.name", "network.protocol.version", "network.transport",
        "server.address", "server.port", "error.type", "db.system", "db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "db.response.status_code", "db.redis.database_index",
        "db.npgsql.prepared", "db.npgsql.rows",
    ]);

    // An exception's message may quote what it could not read.
    private readonly ActivityListener _exceptions = new()
    {
        ShouldListenTo = static _ => true,
        ExceptionRecorder = static (_, _, ref tags) =>
        {
            tags.Add("exception.message", "");
            tags.Add("exception.stacktrace", "");
        },
    };

    public SpanRedaction() => ActivitySource.AddActivityListener(_exceptions);

    public override void OnEnd(Activity data)
    {
        List<string>? unknown = null;
        foreach (ref readonly var tag in data.EnumerateTagObjects())
            if (!Known.Contains(tag.Key) && !tag.Key.StartsWith("kanta.", StringComparison.Ordinal))
                (unknown ??= []).Add(tag.Key);
        if (unknown is not null)
            foreach (var name in unknown)
                data.SetTag(name, null);
        if (data.StatusDescription is not null)
            data.SetStatus(data.Status);
        data.TraceStateString = null;
        if (data.Kind == ActivityKind.Server)
            data.DisplayName = $"{data.GetTagItem("http.request.method") as string ?? "HTTP"} {data.GetTagItem("http.route") as string}".TrimEnd();
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _exceptions.Dispose();
        base.Dispose(disposing);
    }
}
