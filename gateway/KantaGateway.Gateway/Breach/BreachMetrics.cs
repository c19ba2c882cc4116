using System.Diagnostics.Metrics;

namespace KantaGateway.Gateway.Breach;

/// <summary>What operators are alarmed by. No measurement names a caller or a patient.</summary>
/// <remarks>
/// <c>kanta.breach.contained</c>: what the machine has contained. <c>kanta.breach.stepped_down</c> by <c>of</c> (<c>professional</c>, <c>system</c>, <c>client</c>,
/// <c>organisation</c>) and <c>window</c> in seconds: whose breadth budget is used up. <c>kanta.breach.held_back</c>: requests that were refused for it.
/// <c>kanta.breach.signs</c> by <c>sign</c>: what is unusual of an access.
/// </remarks>
sealed class BreachMetrics
{
    public const string Meter = "KantaGateway.Breach";

    private readonly Counter<long> _contained, _steppedDown, _heldBack, _signs;

    public BreachMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(Meter);
        _contained = meter.CreateCounter<long>("kanta.breach.contained", "{containment}", "Contained by the machine.");
        _steppedDown = meter.CreateCounter<long>("kanta.breach.stepped_down", "{requester}", "Breadth budgets used up, by whose and window.");
        _heldBack = meter.CreateCounter<long>("kanta.breach.held_back", "{request}", "Requests refused because a breadth budget is used up.");
        _signs = meter.CreateCounter<long>("kanta.breach.signs", "{sign}", "Unusual accesses, by what is unusual.");
    }

    public void Contained() => _contained.Add(1);

    public void SteppedDown(string of, int window) => _steppedDown.Add(1, new KeyValuePair<string, object?>("of", of), new KeyValuePair<string, object?>("window", window));

    public void HeldBack() => _heldBack.Add(1);

    public void Sign(string sign) => _signs.Add(1, new KeyValuePair<string, object?>("sign", sign));
}
