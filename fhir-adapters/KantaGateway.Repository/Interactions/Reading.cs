using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;

namespace KantaGateway.Repository.Interactions;

/// <summary>read, vread and instance history (hl7.org/fhir/R4/http.html).</summary>
sealed class Reading(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names, PageSeal pages)
{
    /// <param name="versionId">Null: the newest version.</param>
    public async Task<Answer> ReadAsync(RepositoryRequest request, string type, string id, string? versionId, CancellationToken cancel)
    {
        var (resource, version) = Locate(request, id, versionId);
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, cancel).ConfigureAwait(false);
        while (true)
        {
            var view = lease.View;
            var row = versionId is null
                ? Selection.Current(view, request.Scope, type, resource)
                : Selection.Version(view, request.Scope, type, resource, version);
            // One round trip for the body and the proof that the view is still the newest: the policy is checked in the
            // snapshot that is read.
            if (await lease.TryReadAsync(row is { Deleted: false } ? row : null, cancel).ConfigureAwait(false) is not { } body)
            {
                await lease.RefreshAsync(cancel).ConfigureAwait(false);
                continue;
            }
            request.RequirePolicy(view);
            if (row is null)
                throw new FaultException(Fault.Absent);
            if (row.Deleted)
                throw new FaultException(new Fault(FaultKind.Deleted, "The resource has been deleted; its earlier versions remain in its history."));
            var item = names.ItemOf(view.Compartment, row);
            return new Answer(200, body, [item]) { ETag = Answer.ETagOf(item.VersionId), LastModified = row.LastUpdated };
        }
    }

    /// <param name="form">Form-encoded parameters: <c>_count</c>, or a page link.</param>
    public async Task<Answer> HistoryAsync(RepositoryRequest request, string type, string id, string form, CancellationToken cancel)
    {
        var (resource, _) = Locate(request, id, null);
        var target = $"{type}/{id}/_history";
        var before = long.MaxValue;
        if (Paging.StateIn(request, pages, target, form) is { } state)
            (form, before) = (state.Query, state.After);
        var count = CountIn(form);
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        request.RequirePolicy(view);
        var versions = Selection.History(view, request.Scope, type, resource).ToList();
        if (versions.Count == 0)
            throw new FaultException(Fault.Absent);
        var shown = new List<CompartmentRow>();
        var next = false;
        var bytes = 0L;
        foreach (var version in versions.Where(v => v.Sequence < before))
        {
            next = shown.Count == count || (shown.Count > 0 && bytes + version.BodySize > Answer.MaxPage);
            if (next)
                break;
            shown.Add(version);
            bytes += version.BodySize;
        }
        var bodies = await lease.ReadAsync([.. shown.Where(v => !v.Deleted)], cancel).ConfigureAwait(false);
        var parameters = string.Join('&', new[] { $"_count={count}", PresentationParameters.Of(form) }.Where(p => p.Length > 0));
        return Write(request, target, versions.Count, versions[^1], shown, bodies, next, view.Compartment, parameters);
    }

    private Answer Write(RepositoryRequest request, string target, int total, CompartmentRow oldest, List<CompartmentRow> shown, ReadOnlyMemory<byte>[] bodies, bool next,
        Pseudonym compartment, string parameters)
    {
        using var bundle = new BundleAnswer("history", bodies.Sum(b => b.Length) + 400 * shown.Count);
        bundle.Total(total);
        bundle.Links([("self", $"{request.Base}/{target}?{parameters}"),
            ("next", next ? Paging.Link(request, pages, new PageState(compartment.Encode(), target, parameters, shown[^1].Sequence)) : null)]);
        var items = new ManifestItem[shown.Count];
        var json = bundle.Json;
        json.WriteStartArray("entry"u8);
        var body = 0;
        for (var i = 0; i < items.Length; i++)
        {
            var row = shown[i];
            var item = items[i] = names.ItemOf(compartment, row);
            json.WriteStartObject();
            json.WriteString("fullUrl"u8, $"{request.Base}/{item.Type}/{item.Id}");
            if (!row.Deleted)
                bundle.Resource(bodies[body++].Span);
            // The oldest in the scope, not the first ever: an earlier hidden version must not show.
            var (method, url, status) = row switch
            {
                { Deleted: true } => ("DELETE", $"{item.Type}/{item.Id}", "204 No Content"),
                _ when row == oldest => ("POST", item.Type, "201 Created"),
                _ => ("PUT", $"{item.Type}/{item.Id}", "200 OK"),
            };
            json.WriteStartObject("request"u8);
            json.WriteString("method"u8, method);
            json.WriteString("url"u8, url);
            json.WriteEndObject();
            json.WriteStartObject("response"u8);
            json.WriteString("status"u8, status);
            json.WriteString("etag"u8, Answer.ETagOf(item.VersionId));
            json.WriteString("lastModified"u8, row.LastUpdated.ToString(CompartmentRow.InstantFormat, System.Globalization.CultureInfo.InvariantCulture));
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        return new Answer(200, bundle.Complete(), items);
    }

    /// <summary>Only <c>_count</c> is supported; another parameter would narrow the history, so it is refused and not ignored.</summary>
    private static int CountIn(string form)
    {
        var count = SearchQuery.DefaultCount;
        foreach (var pair in form.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            if (PresentationParameters.Contains(pair.Split('=', 2)[0]))
                continue;
            if (!pair.StartsWith("_count=", StringComparison.Ordinal)
                || !int.TryParse(pair.AsSpan("_count=".Length), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out count))
                throw new FaultException(new Fault(FaultKind.Invalid, "A history takes the parameter _count, a number from 1, and no other."));
        }
        return Math.Clamp(count, 1, SearchQuery.MaxCount);
    }

    /// <summary>The sequence numbers in an id and a version id; -1 for one that is not of this compartment and so matches nothing.</summary>
    private (long Resource, long Version) Locate(RepositoryRequest request, string id, string? versionId)
    {
        var resource = identifiers.TryReadResourceId(id, out var compartment, out var sequence) && compartment == request.Compartment ? sequence : -1;
        var version = versionId is not null && identifiers.TryReadVersionId(versionId, out var of, out var row) && of == request.Compartment ? row : -1;
        return (resource, version);
    }
}
