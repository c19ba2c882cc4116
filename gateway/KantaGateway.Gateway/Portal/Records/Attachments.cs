using System.Text;
using System.Text.Json;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>What of an entry's attachments can be read as text.</summary>
internal static class Attachments
{
    /// <param name="longest">Characters; a longer text is a file.</param>
    /// <param name="contentOf">Content of a Binary by its id, base64; null where it is not to be had.</param>
    /// <param name="files">Gets the media type of each that is not such a text.</param>
    public static async Task<IReadOnlyList<string>> TextsAsync(Entry entry, int longest, Func<string, ValueTask<string?>> contentOf, ICollection<string> files)
    {
        var attachments = entry.Resource.Each("content").Select(c => c.At("attachment") ?? c)
            .Concat(entry.Resource.Each("presentedForm")).Where(a => a.String("data") is not null || a.String("url") is not null);
        var texts = new List<string>();
        foreach (var attachment in attachments)
        {
            var type = (attachment.String("contentType") ?? "").Split(';')[0].Trim().ToLowerInvariant();
            var data = attachment.String("data") ?? (IsText(type) && BinaryId(attachment) is { } id ? await contentOf(id) : null);
            if (data is not null && IsText(type) && Decode(data) is { } text && text.Length <= longest)
                texts.Add(type is "text/plain" or "text/markdown" ? text : PlainText.OfMarkup(text));
            else
                files.Add(type.Length == 0 ? "?" : type);
        }
        return texts;
    }

    private static bool IsText(string type) => type is "text/plain" or "text/html" or "application/xhtml+xml" or "text/markdown";

    private static string? BinaryId(JsonElement attachment) =>
        attachment.String("url")?.Split('/') is [.., "Binary", var id] && Guid.TryParseExact(id, "D", out _) ? id : null;

    private static string? Decode(string base64)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(Convert.FromBase64String(base64));
        }
        catch (Exception wrong) when (wrong is FormatException or DecoderFallbackException)
        {
            // Text in another encoding than it claims is shown as a file that cannot be shown.
            return null;
        }
    }
}
