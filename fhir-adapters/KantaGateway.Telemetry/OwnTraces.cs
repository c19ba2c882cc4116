using System.Diagnostics;

namespace KantaGateway.Telemetry;

/// <summary>
/// How a trace goes from part to part: by <c>traceparent</c> alone (W3C Trace Context). What a caller adds, <c>tracestate</c> and <c>baggage</c>, is free text and may name a person, so it is neither
/// read nor passed on; at the edge every trace begins anew, for whoever could name one could join the traces of others.
/// </summary>
public sealed class OwnTraces(bool isEdge) : DistributedContextPropagator
{
    private const string Parent = "traceparent";

    private static readonly DistributedContextPropagator Standard = CreateW3CPropagator();

    public override IReadOnlyCollection<string> Fields { get; } = [Parent];

    public override void Inject(Activity? activity, object? carrier, PropagatorSetterCallback? setter) => Standard.Inject(activity, carrier, (to, name, value) =>
    {
        if (name == Parent)
            setter?.Invoke(to, name, value);
    });

    public override void ExtractTraceIdAndState(object? carrier, PropagatorGetterCallback? getter, out string? traceId, out string? traceState)
    {
        traceId = traceState = null;
        if (!isEdge)
            Standard.ExtractTraceIdAndState(carrier, getter, out traceId, out _);
    }

    public override IEnumerable<KeyValuePair<string, string?>>? ExtractBaggage(object? carrier, PropagatorGetterCallback? getter) => null;
}
