using System.Diagnostics.Metrics;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What operators see of decisions: how many of each kind, and which rules fired. No measurement names anybody.</summary>
/// <remarks>
/// <c>kanta.consent.decisions</c> by <c>decision</c> (<c>permit</c>, <c>deny</c>) and <c>reason</c>: the legal basis, or why not.
/// <c>kanta.consent.rules</c> by <c>rule</c>, for permits; names as <see cref="Explanation"/> writes them.
/// </remarks>
public sealed class DecisionMetrics
{
    public const string Meter = "KantaGateway.Consent";

    private readonly Counter<long> _decisions, _rules;

    public DecisionMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(Meter);
        _decisions = meter.CreateCounter<long>("kanta.consent.decisions", "{decision}", "Decisions, by outcome and legal basis or reason.");
        _rules = meter.CreateCounter<long>("kanta.consent.rules", "{firing}", "Rules that took part in permits.");
    }

    public void Count(Decision decision)
    {
        if (decision is Decision.Permit permit)
        {
            _decisions.Add(1, new KeyValuePair<string, object?>("decision", "permit"), new KeyValuePair<string, object?>("reason", Explanation.NameOf(permit.Basis)));
            if (_rules.Enabled)
                for (var i = 0; i < permit.Rules.Count; i++)
                    _rules.Add(1, new KeyValuePair<string, object?>("rule", Explanation.NameOf(permit.Rules[i])));
        }
        else if (decision is Decision.Deny deny)
            _decisions.Add(1, new KeyValuePair<string, object?>("decision", "deny"), new KeyValuePair<string, object?>("reason", Explanation.NameOf(deny.Reason)));
    }
}
