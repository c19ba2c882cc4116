namespace KantaGateway.Gateway.Portal.Records;

/// <summary>What of an entry's attachments can be read as text.</summary>
internal static class Attachments
{
    /// <param name="longest">Characters; a longer text is a file.</param>
    /// <param name="contentOf">Content of a Binary by its id, base64; null where it is not to be had.</param>
    /// <param name="files">Gets the media type of each that is not such a text.</param>
    public static async Task<IReadOnlyList<string>> TextsAsync(Entry entry, int longest, Func<string, ValueTask<string?>> contentOf, ICollection<string> files)
    {
        var texts = new List<string>();
        foreach (var attachment in Attachment.Of(entry))
        {
            var data = attachment.Data ?? (attachment is { IsText: true, Binary: { } id } ? await contentOf(id) : null);
            if (data is not null && Attachment.BytesOf(data) is { } bytes && attachment.Read(bytes) is { } text && text.Length <= longest)
                texts.Add(text);
            else
                files.Add(attachment.Type.Length == 0 ? "?" : attachment.Type);
        }
        return texts;
    }
}
