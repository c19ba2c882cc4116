using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Breach;

/// <summary>Why a text may not leave.</summary>
public enum OutboundRefusal { IdentityCode, OtherWords }

/// <summary>
/// What leaves the gateway for somebody who has not signed in: e-mail, SMS, and word of a case. There is no other way to make one than from a fixed text or from numbers, times and
/// known names, and it is looked at once more before it can be had: a template that is changed, or a value that somebody fills in one day, stops here.
/// </summary>
/// <remarks>Nothing clinical has to be recognised as such: whatever is not a known text is refused.</remarks>
public sealed class OutboundMessage
{
    /// <summary>Only where to sign in. Whoever reads over a shoulder, or another's mail, learns that there is a message and not of what.</summary>
    private static readonly Dictionary<string, string> SignInTexts = new(StringComparer.Ordinal)
    {
        ["fi"] = "Sinulle on viesti. Kirjaudu sisään osoitteessa {0}. Emme pyydä viestillä mitään tietoja emmekä rahaa.",
        ["sv"] = "Du har ett meddelande. Logga in på {0}. Vi ber inte om uppgifter eller pengar i meddelanden.",
        ["en"] = "You have a message. Sign in at {0}. We never ask for information or money in messages.",
    };

    /// <summary>Members of a word of a case, and what they may hold.</summary>
    private static readonly HashSet<string> MembersOfCase = new(StringComparer.Ordinal) { "case", "kind", "aware_at", "times", "see", "clocks", "clock", "due", "state" };

    private static readonly HashSet<string> Words = [.. Enum.GetNames<BreachKind>().Concat(Enum.GetNames<BreachClockKind>()).Concat(Enum.GetNames<BreachClockState>()).Select(NameOf)];

    private OutboundMessage(string text) => Text = text;

    /// <summary>All of it.</summary>
    public string Text { get; }

    /// <summary>To a person: sign in.</summary>
    /// <param name="language">fi, sv or en.</param>
    /// <param name="address">Of the portal.</param>
    public static OutboundMessage ToSignIn(string language, string address) => Passed(string.Format(CultureInfo.InvariantCulture, SignInTexts[language], address), address);

    /// <summary>To who answers for cases: that there is one and how its clocks stand, as JSON. What it is about is read after signing in.</summary>
    /// <param name="times">The how manieth word this is to that recipient.</param>
    /// <param name="address">Of the operators' pages.</param>
    public static OutboundMessage OfCase(BreachCase about, IReadOnlyList<BreachClock> clocks, int times, string address) => Passed(new JsonObject
    {
        ["case"] = about.Number,
        ["kind"] = NameOf(about.Kind.ToString()),
        ["aware_at"] = TimeOf(about.AwareAt),
        ["times"] = times,
        ["see"] = address + "/operator/breach-cases",
        ["clocks"] = new JsonArray([.. clocks.Select(static clock => new JsonObject { ["clock"] = NameOf(clock.Kind.ToString()), ["due"] = TimeOf(clock.Due), ["state"] = NameOf(clock.State.ToString()) })]),
    }.ToJsonString(), address);

    /// <summary>Why a text may not leave; null: it may.</summary>
    /// <param name="text">All of what would be sent.</param>
    /// <param name="address">Of the portal or the operators' pages, the one address that a message may name.</param>
    public static OutboundRefusal? Check(string text, string address)
    {
        if (HoldsIdentityCode(text))
            return OutboundRefusal.IdentityCode;
        return SignInTexts.Values.Any(known => string.Format(CultureInfo.InvariantCulture, known, address) == text) || IsOfCase(text, address) ? null : OutboundRefusal.OtherWords;
    }

    /// <summary>Whether a text holds what looks like an identity code, however it is spaced out or written.</summary>
    public static bool HoldsIdentityCode(string text)
    {
        // Full-width digits, letters of other scripts' shapes and the like as what they stand for.
        var plain = text.Normalize(NormalizationForm.FormKC);
        if (PersonalIdentityCode.Occurs(plain))
            return true;
        // Then without what can be put between the characters; a sign of the century that is a hyphen goes too, so each place is tried.
        var bare = new StringBuilder(plain.Length);
        foreach (var c in plain)
            if (char.IsAsciiLetterOrDigit(c) || c is '-' or '+' or '\u2010' or '\u2011' or '\u2012' or '\u2013' or '\u2212')
                bare.Append(char.IsAsciiLetterOrDigit(c) || c == '+' ? c : '-');
        var packed = bare.ToString();
        for (var i = 0; i + 11 <= packed.Length; i++)
            if (PersonalIdentityCode.TryParse(packed.Substring(i, 11).ToUpperInvariant(), out _))
                return true;
        return false;
    }

    private static OutboundMessage Passed(string text, string address) => Check(text, address) is { } refusal ? throw new InvalidOperationException($"A message may not leave: {refusal}.") : new(text);

    private static bool IsOfCase(string text, string address)
    {
        try
        {
            using var json = JsonDocument.Parse(text);
            return json.RootElement.ValueKind == JsonValueKind.Object && IsKnown(json.RootElement, address);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool IsKnown(JsonElement value, string address) => value.ValueKind switch
    {
        JsonValueKind.Object => value.EnumerateObject().All(member => MembersOfCase.Contains(member.Name) && IsKnown(member.Value, address)),
        JsonValueKind.Array => value.EnumerateArray().All(one => IsKnown(one, address)),
        JsonValueKind.Number => value.TryGetInt32(out _),
        JsonValueKind.String => Words.Contains(value.GetString()!) || value.GetString() == address + "/operator/breach-cases"
            || DateTimeOffset.TryParseExact(value.GetString(), "yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out _),
        _ => false,
    };

    private static string NameOf(string name) => JsonNamingPolicy.KebabCaseLower.ConvertName(name);

    private static string TimeOf(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
