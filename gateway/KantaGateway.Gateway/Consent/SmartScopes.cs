using System.Collections.Concurrent;

namespace KantaGateway.Gateway.Consent;

/// <summary>What a set of SMART scopes reaches (HL7 SMART App Launch 2.2, scopes-and-launch-context: <c>level/Type.cruds</c>).</summary>
/// <remarks>Scopes with search parameters (<c>?category=...</c>) narrow to something that is not enforced, so they reach nothing.</remarks>
public static class SmartScopes
{
    private static readonly ConcurrentDictionary<string, (string Level, string Type, string Letters)?> Parsed = new();

    /// <param name="scopes">As granted; they come from the client's registration, so their number is bounded.</param>
    /// <param name="level"><c>system</c>, <c>user</c> or <c>patient</c>: the requester's kind.</param>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="letter">One of <c>c r u d s</c>.</param>
    public static bool Reach(IReadOnlyList<string> scopes, string level, string type, char letter)
    {
        foreach (var scope in scopes)
            if (Parsed.GetOrAdd(scope, Parse) is { } s && s.Level == level && (s.Type == "*" || s.Type == type) && s.Letters.Contains(letter))
                return true;
        return false;
    }

    private static (string, string, string)? Parse(string scope)
    {
        var slash = scope.IndexOf('/');
        var dot = scope.LastIndexOf('.');
        if (slash < 0 || dot < slash || scope.Contains('?'))
            return null;
        var letters = scope[(dot + 1)..] switch { "read" => "rs", "write" => "cud", "*" => "cruds", var l => l };
        // Letters stand in the order c r u d s, each at most once; anything else is not a scope.
        var position = -1;
        foreach (var l in letters)
        {
            var next = "cruds".IndexOf(l);
            if (next <= position)
                return null;
            position = next;
        }
        return letters.Length == 0 ? null : (scope[..slash], scope[(slash + 1)..dot], letters);
    }
}
