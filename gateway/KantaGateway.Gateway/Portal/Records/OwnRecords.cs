using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Reads the citizen's own record by FHIR, through the same steps as every other request.</summary>
/// <exception cref="RefusedException">An answer was not a success; what had been read is dropped, so half a record is never shown as the whole.</exception>
internal sealed class OwnRecords(IInnerRequests requests, RecordPages pages)
{
    /// <summary>Pages that a look at the record reads, however much there is; the citizen is told when there is more.</summary>
    private const int MostPages = 10;

    /// <summary>Files of one entry that are fetched to be shown; each is a request.</summary>
    private const int MostFetched = 10;

    /// <summary>Bytes of a text that a page shows; a longer one is given as a file.</summary>
    private const int LongestShown = 1 << 18;

    /// <summary>Bytes of a file that is given: it is held whole in memory.</summary>
    public const int LongestFile = 20 << 20;

    /// <summary>All entries of these kinds, newest first.</summary>
    public async Task<EntryList> ReadAsync(Requester citizen, IReadOnlyList<EntryKind> kinds, CancellationToken cancel)
    {
        // Visits always: a service event is the Encounter's, and other entries only point to it.
        var types = kinds.SelectMany(k => k.Types).Append("Encounter").ToHashSet(StringComparer.Ordinal);
        var read = await GatherAsync(pages.OfPersonAsync(citizen, types, cancel), types)
            ?? throw new RefusedException(StatusCodes.Status404NotFound);
        return read with { Entries = [.. read.Entries.Where(e => kinds.Any(k => k.Holds(e)))] };
    }

    /// <summary>One entry and what belongs with it; null when there is none of that type and id in the citizen's record.</summary>
    public async Task<EntryInContext?> FindAsync(Requester citizen, string type, string id, CancellationToken cancel)
    {
        if (type == "Encounter")
        {
            // A visit and what refers to it, at once.
            var read = await GatherAsync(pages.OfVisitAsync(citizen, id, EntryKind.Shown, cancel), EntryKind.Shown.ToHashSet(StringComparer.Ordinal));
            return read?.Entries.FirstOrDefault(e => e.Id == id) is { } visit ? new(visit, null, read with { Entries = [.. read.Entries.Where(e => e != visit)] }) : null;
        }
        if (await ReadOneAsync(citizen, type, id, cancel) is not { } entry)
            return null;
        var ofVisit = entry.Visit is { } its ? await ReadOneAsync(citizen, "Encounter", its, cancel) : null;
        return new(entry with { ServiceEvent = ofVisit?.ServiceEvent }, ofVisit, new([], false));
    }

    /// <summary>A resource of the citizen's record alone, with the service event only if it is a visit; null when there is none of that type and id.</summary>
    public async Task<Entry?> ReadOneAsync(Requester citizen, string type, string id, CancellationToken cancel)
    {
        var answer = await requests.SendAsync(citizen, "GET", $"{type}/{id}", cancel: cancel);
        if (answer.Status is StatusCodes.Status404NotFound or StatusCodes.Status410Gone)
            return null;
        var resource = FhirAnswers.Success(answer);
        var serviceEvent = type == "Encounter" ? FhirText.ServiceEvent(resource) : null;
        return answer.Manifest?.Items is [var item, ..] ? new(type, id, item.Controller, serviceEvent, resource) { Register = item.Register } : new(type, id, "", serviceEvent, resource);
    }

    /// <summary>The files of an entry, with the text of those that a page can show.</summary>
    public async Task<IReadOnlyList<Attachment>> AttachmentsAsync(Requester citizen, Entry entry, CancellationToken cancel)
    {
        var (attachments, fetched) = (new List<Attachment>(), 0);
        foreach (var attachment in Attachment.Of(entry))
            attachments.Add(attachment.IsText && (attachment.Data is not null || fetched++ < MostFetched) && await ContentAsync(citizen, attachment, LongestShown, cancel) is { IsWhole: true } content
                ? attachment with { Text = attachment.Read(content.Bytes) } : attachment);
        return attachments;
    }

    /// <summary>One file of an entry; null when there is none of that number, it cannot be read, or it is longer than <see cref="LongestFile"/>.</summary>
    /// <param name="number">From 1.</param>
    public async Task<(Attachment Attachment, byte[] Bytes)?> FileAsync(Requester citizen, Entry entry, int number, CancellationToken cancel) =>
        Attachment.Of(entry).FirstOrDefault(its => its.Number == number) is { } attachment && await ContentAsync(citizen, attachment, LongestFile, cancel) is { IsWhole: true } content
            ? (attachment, content.Bytes) : null;

    /// <summary>Bytes of an attachment; not whole where there are more than <paramref name="most"/>. Null when it is not to be had here.</summary>
    private async Task<(byte[] Bytes, bool IsWhole)?> ContentAsync(Requester citizen, Attachment attachment, int most, CancellationToken cancel)
    {
        if (attachment.Data is { } data)
            return Attachment.BytesOf(data) is { } bytes ? (bytes, bytes.Length <= most) : null;
        if (attachment.Binary is not { } id)
            return null;
        // As what it is, and no more of it than is wanted: a content may have hundreds of megabytes.
        var answer = await requests.SendAsync(citizen, "GET", $"Binary/{id}", headers: new HeaderDictionary { [HeaderNames.Accept] = "*/*", [HeaderNames.Range] = $"bytes=0-{most - 1}" }, cancel: cancel);
        if (answer.Status is StatusCodes.Status404NotFound or StatusCodes.Status410Gone)
            return null;
        // There is nothing behind the first byte: it is empty.
        if (answer.Status == StatusCodes.Status416RangeNotSatisfiable)
            return ([], true);
        FhirAnswers.RequireSuccess(answer);
        return (answer.Body, ContentRangeHeaderValue.TryParse(answer.Headers.ContentRange.ToString(), out var range) ? range.Length == answer.Body.Length : answer.Body.Length <= most);
    }

    /// <summary>What of these types is on the pages, newest first; null when there is no page.</summary>
    private static async Task<EntryList?> GatherAsync(IAsyncEnumerable<RecordPage> pages, IReadOnlySet<string> types)
    {
        var (entries, read, isWhole) = (new List<Entry>(), 0, false);
        await foreach (var page in pages)
        {
            // What of the directory they refer to is shown with them.
            entries.AddRange(page.Entries.Where(e => types.Contains(e.Type) && !e.IsRequest));
            isWhole = page.IsLast;
            if (++read == MostPages)
                break;
        }
        if (read == 0)
            return null;
        var visits = entries.Where(e => e.Type == "Encounter").ToDictionary(v => v.Id, v => FhirText.ServiceEvent(v.Resource));
        // They come in the order of storing: of what happened at the same time the last comes first.
        entries.Reverse();
        return new([.. entries.Select(e => e with { ServiceEvent = e.Visit is { } visit ? visits.GetValueOrDefault(visit) : null }).OrderByDescending(e => e.When?.Sort ?? DateTimeOffset.MinValue)], !isWhole);
    }
}
