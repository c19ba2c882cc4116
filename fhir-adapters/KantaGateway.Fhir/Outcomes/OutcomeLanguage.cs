using System.Globalization;

namespace KantaGateway.Fhir.Outcomes;

/// <summary>A language in which an issue's text is told to whoever asked.</summary>
public enum OutcomeLanguage { Finnish = 0, Swedish = 1, English = 2 }

/// <summary>Which language a caller reads.</summary>
public static class OutcomeLanguages
{
    /// <summary>The caller's best language of those there are (RFC 9110, 12.5.4).</summary>
    /// <param name="acceptLanguage">Value of the header; null, empty or unreadable means that any will do.</param>
    /// <returns>Finnish where any will do, English where something is asked for that there is not.</returns>
    public static OutcomeLanguage Of(string? acceptLanguage)
    {
        if (string.IsNullOrWhiteSpace(acceptLanguage))
            return OutcomeLanguage.Finnish;
        var (best, weight) = (OutcomeLanguage.English, 0.0);
        foreach (var part in acceptLanguage.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var semicolon = part.IndexOf(';');
            var range = semicolon < 0 ? part : part[..semicolon].TrimEnd();
            var its = 1.0;
            if (semicolon >= 0 && part[(semicolon + 1)..].Trim() is ['q' or 'Q', '=', .. var q]
                && !double.TryParse(q, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out its))
                continue;
            // The first of several that weigh the same.
            if (its > weight && LanguageOf(range) is { } language)
                (best, weight) = (language, its);
        }
        return best;
    }

    /// <summary>BCP 47 tag: fi, sv or en.</summary>
    public static string Tag(this OutcomeLanguage language) => language switch
    {
        OutcomeLanguage.Swedish => "sv",
        OutcomeLanguage.English => "en",
        _ => "fi",
    };

    private static OutcomeLanguage? LanguageOf(string range)
    {
        var dash = range.IndexOf('-');
        return (dash < 0 ? range : range[..dash]).ToLowerInvariant() switch
        {
            "fi" or "*" => OutcomeLanguage.Finnish,
            "sv" => OutcomeLanguage.Swedish,
            "en" => OutcomeLanguage.English,
            _ => null,
        };
    }
}
