using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>
/// Search of one type in one compartment (hl7.org/fhir/R4/search.html). Parameters are held against the decrypted index of
/// what the scope admits.
/// </summary>
/// <remarks>
/// 1. read the parameters, or those of the page link; 2. open the compartment, and the directory where the search looks
/// beyond its type, or names value sets that may be there; 3. select the page; 4. read the bodies, and in the same snapshot whether the view is still the newest:
/// only then is the policy version that the decision rests on known to hold; 5. write the Bundle.
/// </remarks>
sealed class Searching(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names, PageSeal pages, TimeProvider time)
{
    /// <param name="form">Form-encoded parameters, or a page link.</param>
    /// <param name="lenient">Leave out what is not understood and say so; else it is refused.</param>
    public async Task<Answer> SearchAsync(RepositoryRequest request, string type, string form, bool lenient, CancellationToken cancel)
    {
        // 1.
        var from = Paging.StateIn(request, pages, type, form);
        if (from is not null)
            (form, lenient) = (from.Query, from.IsLenient);
        var (terms, now) = (new StoredTerms(), time.GetUtcNow());
        SearchQuery Parse()
        {
            var (read, fault) = SearchQuery.Parse(type, form, identifiers, request.Compartment, now, request.Base, lenient, terms);
            return read ?? throw new FaultException(fault!);
        }
        var query = Parse();

        // 2.
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, IndexDepth.Entries, cancel).ConfigureAwait(false);
        using var directory = (query.LooksBeyondItsType || terms.Wanted.Count > 0) && request.Directory is { } held && !request.Compartment.IsDirectory
            ? await compartments.OpenAsync(held.Grant.Compartment, held.Token, IndexDepth.Entries, cancel).ConfigureAwait(false) : null;
        if (directory is not null)
            await directory.RefreshAsync(cancel).ConfigureAwait(false);
        var isFresh = from?.Head > lease.View.Head || (terms.Wanted.Count > 0 && request.Compartment.IsDirectory);
        if (isFresh)
            await lease.RefreshAsync(cancel).ConfigureAwait(false);
        while (terms.Wanted.Count > 0)
        {
            var side = request.Compartment.IsDirectory ? SearchSide.Of(lease.View, from?.Head, request.Scope)
                : directory is null ? null : SearchSide.Of(directory.View, from?.DirectoryHead, request.Directory!.Grant.Scope);
            await DirectoryTerms.FindAsync(terms, side, request.Compartment.IsDirectory ? lease : directory, identifiers, cancel).ConfigureAwait(false);
            query = Parse();
        }

        while (true)
        {
            // 3.
            var space = new SearchSpace(
                SearchSide.Of(lease.View, from?.Head, request.Scope),
                directory is null ? null : SearchSide.Of(directory.View, from?.DirectoryHead, request.Directory!.Grant.Scope),
                names, identifiers);
            var page = SearchPage.Select(query, space, from);
            IReadOnlyList<CompartmentRow> rows = page.Included.Count == 0 ? page.Matches : [.. page.Matches, .. page.Included.Where(r => !space.IsInDirectory(r))];

            // 4. A view that was loaded during this request is a snapshot of it, even if others have written meanwhile.
            var read = isFresh ? await lease.ReadAsync(rows, request.Scope, cancel).ConfigureAwait(false) : await lease.TryReadAsync(rows, request.Scope, cancel).ConfigureAwait(false);
            if (read is not { } bodies)
            {
                await lease.RefreshAsync(cancel).ConfigureAwait(false);
                isFresh = true;
                continue;
            }
            request.RequirePolicy(lease.View);
            if (page.Fault is { } impossible)
                throw new FaultException(impossible);
            List<CompartmentRow> others = [.. page.Included.Where(space.IsInDirectory)];
            if (others.Count > 0)
                (rows, bodies) = ([.. rows, .. others], [.. bodies, .. await directory!.ReadAsync(others, request.Directory!.Grant.Scope, cancel).ConfigureAwait(false)]);

            // 5.
            return Write(request, query, space, page, from, lenient, form, rows, bodies);
        }
    }

    private Answer Write(RepositoryRequest request, SearchQuery query, SearchSpace space, SearchPage page, PageState? from, bool lenient, string form,
        IReadOnlyList<CompartmentRow> rows, ReadOnlyMemory<byte>[] bodies)
    {
        using var bundle = new BundleAnswer("searchset", bodies.Sum(b => b.Length) + 250 * rows.Count + 1024);
        if (page.Total is { } total)
            bundle.Total(total);
        var self = Paging.WithoutIdentityCodes(query.Understood);
        var first = from ?? new PageState(request.Compartment.Encode(), query.Type, form, 0, space.Own.Then.Head, space.Directory?.Then.Head ?? 0, IsLenient: lenient);
        bundle.Links([
            ("self", self.Length == 0 ? $"{request.Base}/{query.Type}" : $"{request.Base}/{query.Type}?{self}"),
            ("first", from is null ? null : Paging.Link(request, pages, first with { After = 0, IsBefore = false })),
            ("previous", page.HasPrevious ? Paging.Link(request, pages, first with { After = page.Matches[0].Resource, IsBefore = true }) : null),
            ("last", page is { Total: not null, HasNext: true } or { Total: not null, HasPrevious: true } ? Paging.Link(request, pages, first with { After = 0, IsBefore = true }) : null),
            ("next", page.HasNext ? Paging.Link(request, pages, first with { After = page.Matches[^1].Resource, IsBefore = false }) : null),
        ]);
        var items = new ManifestItem[rows.Count];
        // FHIR JSON has no empty arrays.
        if (items.Length > 0 || query.Ignored.Count > 0)
        {
            var json = bundle.Json;
            json.WriteStartArray("entry"u8);
            for (var i = 0; i < items.Length; i++)
            {
                items[i] = space.ItemOf(rows[i]);
                bundle.Found(request.Base, items[i], bodies[i].Span, i < page.Matches.Count ? "match"u8 : "include"u8);
            }
            if (query.Ignored.Count > 0)
            {
                json.WriteStartObject();
                json.WritePropertyName("resource"u8);
                FaultTable.Write(json, new Fault(FaultKind.NotSupported, [.. query.Ignored.Select(i => i with { Severity = FaultSeverity.Warning })]), null, request.Language);
                bundle.Mode("outcome"u8);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return new Answer(200, bundle.Complete(), items);
    }
}
