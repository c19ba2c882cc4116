using System.Text;
using System.Text.Json;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>A file that belongs to an entry.</summary>
/// <param name="Number">From 1, in the order of the entry.</param>
/// <param name="Type">Media type as whoever stored it says, lower case, without parameters; empty: nothing is said.</param>
/// <param name="Title">Null: it has none.</param>
/// <param name="Data">Its content within the entry, base64; null: it lies apart.</param>
/// <param name="Binary">FHIR id of the Binary with its content; null: it is here or elsewhere.</param>
internal sealed record Attachment(int Number, string Type, string? Title, string? Data, string? Binary)
{
    /// <summary>What browsers and people know how to open; anything else is given as bytes.</summary>
    private static readonly Dictionary<string, string> Endings = new(StringComparer.Ordinal)
    {
        ["application/pdf"] = "pdf", ["image/jpeg"] = "jpg", ["image/png"] = "png", ["image/gif"] = "gif", ["image/tiff"] = "tiff", ["image/webp"] = "webp", ["application/dicom"] = "dcm",
        ["text/plain"] = "txt", ["text/markdown"] = "md", ["text/csv"] = "csv", ["application/rtf"] = "rtf", ["text/rtf"] = "rtf", ["audio/mpeg"] = "mp3", ["video/mp4"] = "mp4",
    };

    /// <summary>What it says, where a page can show it.</summary>
    public string? Text { get; init; }

    public bool IsText => Type is "text/plain" or "text/markdown" || IsMarkup;

    private bool IsMarkup => Type is "text/html" or "application/xhtml+xml";

    /// <summary>Under which type it is given: never one that a browser would run.</summary>
    public string GivenType => Endings.ContainsKey(Type) ? Type : "application/octet-stream";

    /// <summary>What it is called when it is saved: of its own title nothing, for what is downloaded may be seen by whoever uses the device; markup as text, for a page that was saved may run.</summary>
    public string FileName => $"{Number}.{Endings.GetValueOrDefault(Type, IsMarkup ? "txt" : "bin")}";

    /// <summary>Those of a note, a report, a picture or a message.</summary>
    public static IReadOnlyList<Attachment> Of(Entry entry) =>
    [
        .. entry.Resource.Each("content").Select(c => c.At("attachment") ?? c).Concat(entry.Resource.Each("presentedForm"))
            .Concat(entry.Resource.Each("payload").Select(p => p.At("contentAttachment")).OfType<JsonElement>())
            .Where(a => a.String("data") is not null || a.String("url") is not null)
            .Select((a, i) => new Attachment(i + 1, (a.String("contentType") ?? "").Split(';')[0].Trim().ToLowerInvariant(), a.String("title"), a.String("data"),
                a.String("url")?.Split('/') is [.., "Binary", var id] && Guid.TryParseExact(id, "D", out _) ? id : null)),
    ];

    /// <summary>Null of what is no base64.</summary>
    public static byte[]? BytesOf(string base64)
    {
        var bytes = new byte[base64.Length];
        return Convert.TryFromBase64String(base64, bytes, out var length) ? bytes[..length] : null;
    }

    /// <summary>A content in base64 as people read it; null where there is none to read.</summary>
    public string? Read(string? base64) => base64 is not null && BytesOf(base64) is { } bytes ? Read(bytes) : null;

    /// <summary>A content as people read it; null where it is no text, or in another encoding than text has here.</summary>
    public string? Read(byte[] content)
    {
        try
        {
            var text = IsText ? new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(content) : null;
            return text is not null && IsMarkup ? PlainText.OfMarkup(text) : text;
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }
}
