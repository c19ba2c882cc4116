using System.Diagnostics.CodeAnalysis;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// A SMART App Launch 2.2 resource scope, <c>level/Type.cruds</c>: level is <c>system</c>, <c>user</c> or <c>patient</c>,
/// Type a resource type or <c>*</c>, then some of the letters <c>cruds</c> in that order.
/// </summary>
/// <remarks>Scopes narrowed by a search query are refused: granting one as if it had none would widen it.</remarks>
public readonly record struct SmartScope
{
    /// <summary>Level of what a citizen's session or app reaches: the one person's own record.</summary>
    public const string Patient = "patient";

    /// <summary>Level of what a professional reaches.</summary>
    public const string User = "user";

    private const string Letters = "cruds";

    private SmartScope(string level, string type, string permissions) => (Level, Type, Permissions) = (level, type, permissions);

    public string Level { get; }
    public string Type { get; }

    /// <summary>A subsequence of <c>cruds</c>: create, read, update, delete, search.</summary>
    public string Permissions { get; }

    public static bool TryParse([NotNullWhen(true)] string? text, out SmartScope scope)
    {
        scope = default;
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
        scope = new(level, type, permissions);
        return true;
    }

    /// <summary>Whether whoever holds this scope holds the other one too.</summary>
    public bool Covers(SmartScope other) =>
        Level == other.Level && (Type == "*" || Type == other.Type) && other.Permissions.All(Permissions.Contains);

    /// <summary>Whether this scope permits an interaction.</summary>
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

    public override string ToString() => $"{Level}/{Type}.{Permissions}";

    private static bool IsType(string type) =>
        type == "*" || (type is { Length: > 1 and <= 64 } && char.IsAsciiLetterUpper(type[0]) && type.All(char.IsAsciiLetter));
}
