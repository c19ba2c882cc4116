using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Reads the citizen's own record by FHIR, through the same steps as every other request.</summary>
/// <exception cref="RefusedException">An answer was not a success; what had been read is dropped, so half a record is never shown as the whole.</exception>
internal sealed class OwnRecords(IInnerRequests requests, IdentifierCipher ids)
{
    /// <summary>Most resources of one type that a look at the record reads; the page says when there are more.</summary>
    private const int MostOfType = 2000;

    private const int PageSize = 200;

    /// <summary>Files of one entry that are fetched to be shown; each is a request.</summary>
    private const int MostFetched = 10;

    /// <summary>Searches that run at once, so that one citizen's page does not fill the repository's queue.</summary>
    private const int AtOnce = 4;

    /// <summary>All entries of these kinds, newest first.</summary>
    public async Task<EntryList> ReadAsync(Requester citizen, IEnumerable<EntryKind> kinds, CancellationToken cancel)
    {
        // Visits always: a service event is the Encounter's, and other entries only point to it.
        var types = kinds.SelectMany(k => k.Types).Append("Encounter").Distinct().ToArray();
        using var slots = new SemaphoreSlim(AtOnce);
        var found = await Task.WhenAll(types.Select(async type =>
        {
            await slots.WaitAsync(cancel);
            try
            {
                return await SearchAsync(citizen, type, cancel);
            }
            finally
            {
                slots.Release();
            }
        }));
        var wanted = kinds.SelectMany(k => k.Types).ToHashSet();
        var visits = found.SelectMany(f => f.Resources).Where(r => r.Type == "Encounter").ToDictionary(v => v.Id, v => FhirText.ServiceEvent(v.Resource));
        var entries = found.SelectMany(f => f.Resources).Where(r => wanted.Contains(r.Type))
            .Select(e => e with { ServiceEvent = e.Visit is { } visit ? visits.GetValueOrDefault(visit) : null })
            .OrderByDescending(e => e.When?.Sort ?? DateTimeOffset.MinValue).ToArray();
        return new(entries, found.Any(f => f.Truncated));
    }

    /// <summary>One entry; null when there is none of that type and id in the citizen's record.</summary>
    public async Task<Entry?> FindAsync(Requester citizen, string type, string id, CancellationToken cancel)
    {
        var answer = await requests.SendAsync(citizen, "GET", $"{type}/{id}", cancel: cancel);
        if (answer.Status is StatusCodes.Status404NotFound or StatusCodes.Status410Gone)
            return null;
        var resource = FhirAnswers.Success(answer);
        var controller = answer.Manifest?.Items is [var item, ..] ? item.Controller : "";
        var entry = new Entry(type, id, controller, type == "Encounter" ? FhirText.ServiceEvent(resource) : null, resource);
        if (type != "Encounter" && entry.Visit is { } visit && await FindAsync(citizen, "Encounter", visit, cancel) is { } encounter)
            entry = entry with { ServiceEvent = encounter.ServiceEvent };
        return entry;
    }

    /// <summary>The readable text of an entry's attachments; a file that is not text is named by its media type in <paramref name="files"/>.</summary>
    public async Task<IReadOnlyList<string>> AttachmentsAsync(Requester citizen, Entry entry, ICollection<string> files, CancellationToken cancel)
    {
        var attachments = entry.Resource.Each("content").Select(c => c.At("attachment") ?? c)
            .Concat(entry.Resource.Each("presentedForm")).Where(a => a.String("data") is not null || a.String("url") is not null);
        var (texts, fetched) = (new List<string>(), 0);
        foreach (var attachment in attachments)
        {
            var type = (attachment.String("contentType") ?? "").Split(';')[0].Trim().ToLowerInvariant();
            var data = attachment.String("data") ?? (IsText(type) && fetched++ < MostFetched ? await BinaryAsync(citizen, attachment, cancel) : null);
            if (data is not null && IsText(type) && Decode(data) is { } text)
                texts.Add(type is "text/plain" or "text/markdown" ? text : PlainText.OfMarkup(text));
            else
                files.Add(type.Length == 0 ? "?" : type);
        }
        return texts;
    }

    private static bool IsText(string type) => type is "text/plain" or "text/html" or "application/xhtml+xml" or "text/markdown";

    private async Task<string?> BinaryAsync(Requester citizen, JsonElement attachment, CancellationToken cancel)
    {
        var parts = attachment.String("url")?.Split('/');
        if (parts is not [.., "Binary", var id] || !Guid.TryParseExact(id, "D", out _))
            return null;
        var answer = await requests.SendAsync(citizen, "GET", $"Binary/{id}", cancel: cancel);
        return answer.Status == StatusCodes.Status404NotFound ? null : FhirAnswers.Success(answer).String("data");
    }

    private async Task<(IReadOnlyList<Entry> Resources, bool Truncated)> SearchAsync(Requester citizen, string type, CancellationToken cancel)
    {
        var entries = new List<Entry>();
        var form = Encoding.ASCII.GetBytes($"patient={ids.PatientId(citizen.Person!.Value)}&_count={PageSize}");
        var answer = await requests.SendAsync(citizen, "POST", $"{type}/_search", form, "application/x-www-form-urlencoded", cancel: cancel);
        while (true)
        {
            var bundle = FhirAnswers.Success(answer);
            var controllers = (answer.Manifest?.Items ?? []).ToDictionary(i => (i.Type, i.Id), i => i.Controller);
            foreach (var resource in bundle.Each("entry").Select(e => e.At("resource")).OfType<JsonElement>())
                if (resource.String("resourceType") == type && resource.String("id") is { } id)
                    entries.Add(new(type, id, controllers.GetValueOrDefault((type, id), ""), null, resource));
            if (FhirAnswers.NextPage(bundle) is not { } next)
                return (entries, false);
            if (entries.Count >= MostOfType)
                return (entries, true);
            answer = await requests.SendAsync(citizen, "GET", next, cancel: cancel);
        }
    }

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
