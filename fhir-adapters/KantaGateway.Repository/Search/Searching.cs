using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>
/// Search of one type in one compartment. Parameters are held against the decrypted index of what the scope admits, so
/// totals, pages and order come out as if nothing else were there.
/// </summary>
sealed class Searching(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names, PageSeal pages, TimeProvider time)
{
    /// <param name="form">Form-encoded parameters, or those of a page link.</param>
    public async Task<Answer> SearchAsync(RepositoryRequest request, string type, string form, CancellationToken cancel)
    {
        var after = 0L;
        var parameters = form;
        if (Paging.LinkIn(form) is { } page)
        {
            var state = pages.Open(page, request.Grant.Caller);
            if (state is null || state.Target != type || state.Compartment != request.Compartment.Encode())
                throw new FaultException(Paging.ForeignLink());
            (parameters, after) = (state.Query, state.After);
        }
        var (query, fault) = SearchQuery.Parse(type, parameters, identifiers, request.Compartment, time.GetUtcNow(), request.Base);
        if (query is null)
            throw new FaultException(fault!);

        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        request.RequirePolicy(view);
        var total = 0;
        var shown = new List<CompartmentRow>();
        var more = false;
        var bytes = 0L;
        foreach (var row in Selection.OfType(view, request.Scope, type))
        {
            if (!query.Matches(row.Entry))
                continue;
            total++;
            if (query.IsCountOnly || row.Resource < after || (row.Resource == after && after > 0))
                continue;
            if (!more && shown.Count < query.Count && (shown.Count == 0 || bytes + row.BodySize <= Answer.MaxPage))
            {
                shown.Add(row);
                bytes += row.BodySize;
            }
            else
                more = true;
        }
        var bodies = await lease.ReadAsync(shown, cancel).ConfigureAwait(false);
        var self = Paging.WithoutIdentityCodes(parameters);
        var next = more ? Paging.Link(request, type, pages, new PageState(request.Compartment.Encode(), type, parameters, shown[^1].Resource)) : null;
        return Write(request, type, self, next, total, shown, bodies);
    }

    private Answer Write(RepositoryRequest request, string type, string self, string? next, int total, List<CompartmentRow> shown, ReadOnlyMemory<byte>[] bodies)
    {
        using var bundle = new BundleAnswer("searchset", bodies.Sum(b => b.Length) + 200 * shown.Count + 1024);
        bundle.Total(total);
        bundle.Links([("self", self.Length == 0 ? $"{request.Base}/{type}" : $"{request.Base}/{type}?{self}"), ("next", next)]);
        var items = new ManifestItem[shown.Count];
        // FHIR JSON has no empty arrays.
        if (items.Length > 0)
        {
            var json = bundle.Json;
            json.WriteStartArray("entry"u8);
            for (var i = 0; i < items.Length; i++)
            {
                var item = items[i] = names.ItemOf(request.Compartment, shown[i]);
                json.WriteStartObject();
                json.WriteString("fullUrl"u8, $"{request.Base}/{item.Type}/{item.Id}");
                bundle.Resource(bodies[i].Span);
                json.WriteStartObject("search"u8);
                json.WriteString("mode"u8, "match"u8);
                json.WriteEndObject();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return new Answer(200, bundle.Complete(), items);
    }
}
