using System.Collections.Frozen;
using System.Text.Json;

namespace KantaGateway.Fhir.Outcomes;

/// <summary>
/// The plain sentences that go into <c>OperationOutcome.issue.details.text</c>, from <c>outcome-texts.json</c>. They say
/// less than the diagnostics, in the reader's own language. Immutable; thread-safe.
/// </summary>
public static class OutcomeTexts
{
    private static readonly FrozenDictionary<string, string[]> Kinds = Load("kinds");
    private static readonly FrozenDictionary<string, string[]> Codes = Load("codes");
    private static readonly FrozenDictionary<string, string[]> Messages = Load("messages");

    /// <summary>The sentence of an issue: its own where it names one, else of its code, else of its fault's kind.</summary>
    public static string Of(FaultKind kind, FaultIssue issue, OutcomeLanguage language)
    {
        var texts = issue.Message is { } message ? Messages[message]
            : issue.Code is { } code && Codes.TryGetValue(code, out var ofCode) ? ofCode
            : Kinds.GetValueOrDefault(kind.ToString()) ?? Kinds[nameof(FaultKind.Unexpected)];
        return texts[(int)language];
    }

    /// <summary>Every sentence with its key, for tests: <c>kinds/Denied</c>, <c>codes/required</c>, <c>messages/valid</c>.</summary>
    internal static IEnumerable<(string Key, string[] Texts)> All =>
        Kinds.Select(t => ("kinds/" + t.Key, t.Value)).Concat(Codes.Select(t => ("codes/" + t.Key, t.Value))).Concat(Messages.Select(t => ("messages/" + t.Key, t.Value)));

    private static FrozenDictionary<string, string[]> Load(string group)
    {
        using var stream = typeof(OutcomeTexts).Assembly.GetManifestResourceStream("outcome-texts.json")
            ?? throw new InvalidOperationException("The texts of outcomes are not embedded.");
        using var document = JsonDocument.Parse(stream);
        return document.RootElement.GetProperty(group).EnumerateObject().ToFrozenDictionary(p => p.Name,
            p => Enum.GetValues<OutcomeLanguage>().Select(l => p.Value.GetProperty(l.Tag()).GetString()!).ToArray());
    }
}
