using System.Diagnostics.Metrics;

namespace KantaGateway.Gateway.Identification;

/// <summary>Why a FHIR request was not identified: the <c>reason</c> of the metric, in snake_case.</summary>
internal enum RefusalReason { NoToken, Malformed, Expired, Signature, NotForHere, Client, Unbound, Certificate, Revoked, Right, Proof, Nonce, Unavailable }

/// <summary>What operators see of identification. No measurement names a caller.</summary>
/// <remarks>
/// <c>kanta.identification.accepted</c> and <c>kanta.identification.refused</c> by <c>road</c>: <c>fhir</c>, <c>token</c>
/// (tokens, their status and their end), <c>push</c> (requests of citizens' apps), <c>answer</c> (of the citizen to such a request),
/// <c>sign-in</c>, <c>representation</c> (of another person by a citizen). <c>reason</c> of a refusal: on <c>fhir</c> a <see cref="RefusalReason"/>, on <c>token</c> and <c>push</c> the OAuth error
/// code, on <c>answer</c> <c>denied</c> or <c>none</c>, on <c>sign-in</c> and <c>representation</c> what the address bar says.
/// <c>kanta.identification.limited</c> by <c>limit</c>: <c>failures</c>, <c>tokens</c>, <c>requests</c>, <c>sign-ins</c>.
/// </remarks>
internal sealed class IdentificationMetrics
{
    public const string Meter = "KantaGateway.Identification";

    private static readonly string[] Reasons = ["no_token", "malformed", "expired", "signature", "not_for_here", "client", "unbound", "certificate", "revoked", "right", "proof", "nonce", "unavailable"];

    private readonly Counter<long> _accepted, _refused, _limited;

    public IdentificationMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(Meter);
        _accepted = meter.CreateCounter<long>("kanta.identification.accepted", "{attempt}", "Callers identified, by road.");
        _refused = meter.CreateCounter<long>("kanta.identification.refused", "{attempt}", "Attempts to identify that were examined and refused, by road and reason.");
        _limited = meter.CreateCounter<long>("kanta.identification.limited", "{attempt}", "Attempts to identify that were refused unexamined because there were too many, by limit.");
    }

    public void AcceptedFhir() => _accepted.Add(1, new KeyValuePair<string, object?>("road", "fhir"));

    public void RefusedFhir(RefusalReason reason) =>
        _refused.Add(1, new KeyValuePair<string, object?>("road", "fhir"), new KeyValuePair<string, object?>("reason", Reasons[(int)reason]));

    public void AcceptedToken() => _accepted.Add(1, new KeyValuePair<string, object?>("road", "token"));

    /// <param name="error">OAuth error code.</param>
    public void RefusedToken(string error) =>
        _refused.Add(1, new KeyValuePair<string, object?>("road", "token"), new KeyValuePair<string, object?>("reason", error));

    public void AcceptedPush() => _accepted.Add(1, new KeyValuePair<string, object?>("road", "push"));

    /// <param name="error">OAuth error code.</param>
    public void RefusedPush(string error) =>
        _refused.Add(1, new KeyValuePair<string, object?>("road", "push"), new KeyValuePair<string, object?>("reason", error));

    /// <summary>The citizen has allowed what an app asked for.</summary>
    public void AcceptedAnswer() => _accepted.Add(1, new KeyValuePair<string, object?>("road", "answer"));

    /// <param name="reason"><c>denied</c> by the citizen, or <c>none</c>: there was nothing to answer.</param>
    public void RefusedAnswer(string reason) =>
        _refused.Add(1, new KeyValuePair<string, object?>("road", "answer"), new KeyValuePair<string, object?>("reason", reason));

    public void AcceptedSignIn() => _accepted.Add(1, new KeyValuePair<string, object?>("road", "sign-in"));

    /// <param name="reason"><c>refused</c>, <c>cancelled</c>, <c>unavailable</c> or <c>no-code</c>.</param>
    public void RefusedSignIn(string reason) =>
        _refused.Add(1, new KeyValuePair<string, object?>("road", "sign-in"), new KeyValuePair<string, object?>("reason", reason));

    /// <summary>A citizen acts for another from now on.</summary>
    public void AcceptedRepresentation() => _accepted.Add(1, new KeyValuePair<string, object?>("road", "representation"));

    /// <param name="reason"><c>refused</c>, <c>expired</c>, <c>cancelled</c> or <c>unavailable</c>.</param>
    public void RefusedRepresentation(string reason) =>
        _refused.Add(1, new KeyValuePair<string, object?>("road", "representation"), new KeyValuePair<string, object?>("reason", reason));

    public void Limited(string limit) => _limited.Add(1, new KeyValuePair<string, object?>("limit", limit));
}
