using System.Net;
using System.Text;
using System.Text.RegularExpressions;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Text out of markup that somebody else wrote: nothing of the markup itself reaches the page.</summary>
internal static class PlainText
{
    /// <summary>Reads the text of a narrative or an HTML attachment; block ends become line breaks.</summary>
    /// <remarks>The result is still encoded by the page, so a mistake here costs looks, not safety.</remarks>
    public static string OfMarkup(string markup)
    {
        var text = Hidden.Replace(markup, " ");
        text = Whitespace.Replace(text, " ");
        text = Breaks.Replace(text, "\n");
        text = WebUtility.HtmlDecode(Tags.Replace(text, ""));
        var lines = new StringBuilder(text.Length);
        foreach (var line in text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            lines.Append(lines.Length == 0 ? "" : "\n").Append(line);
        return lines.ToString();
    }

    // Each in time that grows with the text alone: a clinic's note of a million "<" may not hold a core.
    private static readonly Regex
        Hidden = Linear(@"<script\b[^>]*>.*?</script\s*>|<style\b[^>]*>.*?</style\s*>|<!--.*?-->"),
        Breaks = Linear(@"<br\s*/?>|</(p|div|li|tr|h[1-6]|table|ul|ol|dd|dt)\s*>"),
        Tags = Linear("<[^>]*>"),
        Whitespace = Linear(@"\s+");

    private static Regex Linear(string pattern) => new(pattern, RegexOptions.NonBacktracking | RegexOptions.IgnoreCase | RegexOptions.Singleline | RegexOptions.CultureInvariant);
}
