using System.Diagnostics.CodeAnalysis;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// A SMART App Launch 2.2 resource scope, <c>level/Type.cruds</c>: level is <c>system</c>, <c>user</c> or <c>patient</c>,
/// Type a resource type or <c>*</c>, then some of the letters <c>cruds</c> in that order, and perhaps <c>?</c> and search parameters that say which
/// resources of the type (<see cref="ScopeFilter"/>).
/// </summary>
public readonly record struct SmartScope
{
    /// <summary>Level of what a citizen's session or app reaches: the one person's own record.</summary>
    public const string Patient = "patient";

    /// <summary>Level of what a professional reaches.</summary>
    public const string User = "user";

    private const string Letters = "cruds";

    private SmartScope(string level, string type, string permissions, string? query) => (Level, Type, Permissions, Query) = (level, type, permissions, query);

    public string Level { get; }
    public string Type { get; }

    /// <summary>A subsequence of <c>cruds</c>: create, read, update, delete, search.</summary>
    public string Permissions { get; }

    /// <summary>Search parameters, form-encoded: only resources that match them; null: all of the type.</summary>
    public string? Query { get; }

    public static bool TryParse([NotNullWhen(true)] string? text, out SmartScope scope) => TryParse(text, out scope, out _);

    /// <param name="problem">What is wrong with its search parameters, as a sentence for who wrote them; null when they are not what is wrong.</param>
    public static bool TryParse([NotNullWhen(true)] string? text, out SmartScope scope, out string? problem)
    {
        scope = default;
        problem = null;
        string? query = null;
        if (text?.IndexOf('?') is { } question and >= 0)
            (text, query) = (text[..question], text[(question + 1)..]);
        if (text is null || text.IndexOf('/') is var slash && slash < 0 || text.IndexOf('.', slash) is var dot && dot < 0)
            return false;
        var (level, type, permissions) = (text[..slash], text[(slash + 1)..dot], text[(dot + 1)..]);
        if (level is not ("system" or User or Patient) || !IsType(type) || permissions.Length == 0)
            return false;
        var at = -1;
        foreach (var letter in permissions)
        {
            var next = Letters.IndexOf(letter);
            if (next <= at)
                return false;
            at = next;
        }
        // RFC 6749 §3.3: the characters of a scope.
        if (query is not null && (problem = query.All(static c => c is > ' ' and <= '~' and not '"' and not '\\') ? ScopeFilter.Explain(type, query) : "A scope has no such characters.") is not null)
            return false;
        scope = new(level, type, permissions, query);
        return true;
    }

    /// <summary>Whether whoever holds this scope holds the other one too.</summary>
    public bool Covers(SmartScope other) =>
        Level == other.Level && (Type == "*" || Type == other.Type) && other.Permissions.All(Permissions.Contains)
        // More parameters narrow further: all of them have to match.
        && (Query is null || (other.Query is not null && ScopeFilter.ParametersOf(Query).IsSubsetOf(ScopeFilter.ParametersOf(other.Query))));

    /// <summary>Whether this scope permits an interaction, with those resources at least that its search parameters describe.</summary>
    /// <param name="level"><c>system</c>, <c>user</c> or <c>patient</c>: the kind of requester.</param>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="interaction">One of <c>c r u d s</c>.</param>
    public bool Permits(string level, string type, char interaction) =>
        Level == level && (Type == "*" || Type == type) && Permissions.Contains(interaction);

    /// <summary>The scopes of a token; what is not a SMART scope is left out, since it permits nothing.</summary>
    public static IReadOnlyList<SmartScope> ParseAll(IEnumerable<string> texts)
    {
        var scopes = new List<SmartScope>();
        foreach (var text in texts)
            if (TryParse(text, out var scope))
                scopes.Add(scope);
        return scopes;
    }

    public override string ToString() => Query is null ? $"{Level}/{Type}.{Permissions}" : $"{Level}/{Type}.{Permissions}?{Query}";

    private static bool IsType(string type) =>
        type == "*" || (type is { Length: > 1 and <= 64 } && char.IsAsciiLetterUpper(type[0]) && type.All(char.IsAsciiLetter));
}
