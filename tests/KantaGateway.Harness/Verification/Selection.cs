namespace KantaGateway.Harness.Verification;

/// <summary>Which checks are wanted. A word is an id, or what ids begin with up to a dot: <c>smart</c> is the whole suite.</summary>
public sealed class Selection
{
    private readonly IReadOnlyList<string>? _words;

    private Selection(IReadOnlyList<string>? words) => _words = words;

    public static Selection All { get; } = new(null);

    /// <summary>Kinds of vendors, each with what a system of that kind needs.</summary>
    public static IReadOnlyDictionary<string, string[]> Profiles { get; } = new Dictionary<string, string[]>
    {
        ["archiver"] = ["connection", "smart", "fhir", "adapters", "audit.receipt", "load"],
        ["reader"] = ["connection", "smart", "search", "consent", "audit", "load"],
        ["citizen-app"] = ["connection.tls", "connection.plain", "smart.discovery", "smart.app-launch", "portal", "consent", "audit.access-log", "audit.receipt"],
    };

    /// <summary>The two words of the time before checks had ids.</summary>
    private static readonly Dictionary<string, string[]> Words = new()
    {
        ["scenario"] = [.. Check.All.Where(static c => c.IsStory).Select(static c => c.Id), "audit.receipt"],
        ["checks"] = [.. Check.All.Where(static c => !c.IsStory).Select(static c => c.Id)],
    };

    /// <param name="only">Ids and beginnings of ids; empty for all.</param>
    /// <param name="profile">Of <see cref="Profiles"/>, to which they are bounded; null: none.</param>
    /// <exception cref="InvalidDataException">A word is no check's; the message names those that are near.</exception>
    public static Selection Of(IReadOnlyList<string> only, string? profile = null)
    {
        string[] words = [.. only.SelectMany(static o => o.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)).SelectMany(static w => Words.GetValueOrDefault(w, [w]))];
        foreach (var word in words)
            if (!Check.All.Any(c => Covers(word, c.Id)))
                throw new InvalidDataException($"No check is called {word}. The suites are {string.Join(", ", Check.Suites)}; --list names all checks.");
        if (profile is null)
            return words.Length == 0 ? All : new(words);
        var bounds = Profiles[profile];
        return new([.. Check.All.Where(c => bounds.Any(b => Covers(b, c.Id)) && (words.Length == 0 || words.Any(w => Covers(w, c.Id)))).Select(static c => c.Id)]);
    }

    public bool Has(Check check) => _words is null || _words.Any(w => Covers(w, check.Id));

    public bool HasAnyOf(string suite) => _words is null || Check.All.Any(c => Covers(suite, c.Id) && Has(c));

    /// <summary>Whether a step of the story is wanted, or one that comes after it.</summary>
    public bool Reaches(Check check) => _words is null || Check.All.SkipWhile(c => c != check).Any(c => c.IsStory && Has(c));

    private static bool Covers(string word, string id) => id == word || id.StartsWith(word + ".", StringComparison.Ordinal) || word.Contains('.', StringComparison.Ordinal) && id.StartsWith(word + "-", StringComparison.Ordinal);
}
