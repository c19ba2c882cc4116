using System.Runtime.CompilerServices;
using System.Text.Json;

namespace KantaGateway.Gateway.Consent;

/// <summary>Decisions in words: for the audit log, for operators and for the person's own preview.</summary>
/// <remarks>Never for a requester: which rules fired could tell what is hidden (EHDS Art. 8).</remarks>
public static class Explanation
{
    private static readonly string[] Rules = [.. Enum.GetNames<Rule>().Select(JsonNamingPolicy.KebabCaseLower.ConvertName)];
    private static readonly string[] Reasons = [.. Enum.GetNames<DenyReason>().Select(JsonNamingPolicy.KebabCaseLower.ConvertName)];
    private static readonly string[] Bases = [.. Enum.GetNames<LegalBasis>().Select(JsonNamingPolicy.KebabCaseLower.ConvertName)];

    // Most permits are made once and serve many requests.
    private static readonly ConditionalWeakTable<IReadOnlyList<Rule>, string> Printed = [];

    /// <summary>The rules that fired, in order: <c>own-register permission care-relationship</c>.</summary>
    public static string Of(IReadOnlyList<Rule> rules) => Printed.GetValue(rules, static fired => string.Join(' ', fired.Select(NameOf)));

    /// <summary>A decision on one line: <c>permit disclosure-permission: own-register permission</c>, or <c>deny no-open-service-event</c>.</summary>
    public static string Of(Decision decision) => decision switch
    {
        Decision.Permit permit => $"permit {NameOf(permit.Basis)}: {Of(permit.Rules)}",
        Decision.Deny deny => $"deny {NameOf(deny.Reason)}",
        _ => "deny",
    };

    /// <summary>In kebab-case: <c>denial-of-service-events</c>.</summary>
    public static string NameOf(Rule rule) => Rules[(int)rule];

    /// <inheritdoc cref="NameOf(Rule)"/>
    public static string NameOf(DenyReason reason) => Reasons[(int)reason];

    /// <inheritdoc cref="NameOf(Rule)"/>
    public static string NameOf(LegalBasis basis) => Bases[(int)basis];
}
