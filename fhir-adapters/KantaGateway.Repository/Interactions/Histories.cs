using System.Globalization;
using System.Net;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Histories of one resource, of a type and of everything in one compartment (hl7.org/fhir/R4/http.html#history), newest
/// version first.
/// </summary>
/// <remarks>
/// A history holds the versions that the scope admits, of resources whose newest version it admits today. Its pages show
/// the moment of the first; total, order and methods come out as if the other versions had never been written.
/// </remarks>
sealed class Histories(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names, PageSeal pages)
{
    /// <param name="form">Form-encoded parameters (<c>_count</c>, <c>_since</c>, <c>_at</c>), or a page link.</param>
    /// <exception cref="FaultException">There is no such resource, or none that this request may see.</exception>
    public Task<Answer> OfInstanceAsync(RepositoryRequest request, string type, string id, string form, CancellationToken cancel)
    {
        var resource = identifiers.TryReadResourceId(id, out var compartment, out var sequence) && compartment == request.Compartment ? sequence : -1;
        return AnswerAsync(request, $"{type}/{id}/_history", form, isOfOne: true, view => Selection.History(view, request.Scope, type, resource), cancel);
    }

    /// <param name="type">Null: every type that the scope reaches.</param>
    /// <param name="form">As for one resource; <c>patient</c>, which has chosen the compartment, may be among the parameters.</param>
    public Task<Answer> OfCompartmentAsync(RepositoryRequest request, string? type, string form, CancellationToken cancel) =>
        AnswerAsync(request, type is null ? "_history" : $"{type}/_history", form, isOfOne: false, view => Selection.Versions(view, request.Scope, type), cancel);

    private async Task<Answer> AnswerAsync(RepositoryRequest request, string target, string form, bool isOfOne,
        Func<CompartmentView, IEnumerable<CompartmentRow>> select, CancellationToken cancel)
    {
        var from = Paging.StateIn(request, pages, target, form);
        var period = Period.Read(from?.Query ?? form, isOfOne);
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, request.LeastDepth, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        request.RequirePolicy(view);
        var versions = Select(select(view), view, from?.Head ?? view.Head, period);
        if (isOfOne && !select(view).Any())
            throw new FaultException(Fault.Absent);
        var (shown, more) = Paging.Take(versions.Where(v => from is null || v.Sequence < from.After), period.Count);
        var bodies = await lease.ReadAsync([.. shown.Where(v => !v.Deleted)], request.Scope, cancel).ConfigureAwait(false);
        var next = more ? Paging.Link(request, pages, new PageState(request.Compartment.Encode(), target, period.Form, shown[^1].Sequence, from?.Head ?? view.Head)) : null;
        return Write(request, view, $"{request.Base}/{target}?{period.Form}", next, versions.Count, shown, bodies);
    }

    /// <summary>The versions up to a head that fall into the period.</summary>
    /// <param name="versions">Newest first.</param>
    private static List<CompartmentRow> Select(IEnumerable<CompartmentRow> versions, CompartmentView view, long head, Period period)
    {
        var selected = new List<CompartmentRow>();
        // By the first version of a resource: when the version after the one that is looked at began.
        var replaced = new Dictionary<CompartmentRow, long>();
        foreach (var version in versions)
        {
            if (version.Sequence > head)
                continue;
            var began = version.LastUpdated.UtcTicks;
            var ended = replaced.GetValueOrDefault(version.First, long.MaxValue);
            replaced[version.First] = began;
            if (began >= period.Since && began < period.At.End && ended > period.At.Start)
                selected.Add(version);
        }
        return selected;
    }

    private Answer Write(RepositoryRequest request, CompartmentView view, string self, string? next, int total, List<CompartmentRow> shown, ReadOnlyMemory<byte>[] bodies)
    {
        using var bundle = new BundleAnswer("history", bodies.Sum(b => b.Length) + 400 * shown.Count);
        bundle.Total(total);
        bundle.Links([("self", self), ("next", next)]);
        var items = new ManifestItem[shown.Count];
        // FHIR JSON has no empty arrays.
        if (items.Length == 0)
            return new Answer(200, bundle.Complete(), items);
        var json = bundle.Json;
        json.WriteStartArray("entry"u8);
        var body = 0;
        for (var i = 0; i < items.Length; i++)
        {
            var row = shown[i];
            var item = items[i] = names.ItemOf(request.Compartment, row);
            json.WriteStartObject();
            json.WriteString("fullUrl"u8, $"{request.Base}/{item.Type}/{item.Id}");
            if (!row.Deleted)
                bundle.Resource(bodies[body++].Span);
            var (method, url, status) = row switch
            {
                { Deleted: true } => ("DELETE", $"{item.Type}/{item.Id}", "204 No Content"),
                _ when Selection.IsFirst(view, request.Scope, row) => ("POST", item.Type, "201 Created"),
                _ => ("PUT", $"{item.Type}/{item.Id}", "200 OK"),
            };
            json.WriteStartObject("request"u8);
            json.WriteString("method"u8, method);
            json.WriteString("url"u8, url);
            json.WriteEndObject();
            json.WriteStartObject("response"u8);
            json.WriteString("status"u8, status);
            json.WriteString("etag"u8, Answer.ETagOf(item.VersionId));
            json.WriteString("lastModified"u8, row.LastUpdated.ToString(CompartmentRow.InstantFormat, CultureInfo.InvariantCulture));
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        return new Answer(200, bundle.Complete(), items);
    }

    /// <summary>Which versions a history is asked for.</summary>
    /// <param name="Since">UTC ticks: versions from then on.</param>
    /// <param name="At">Versions that were the newest at some time of it.</param>
    /// <param name="Form">The parameters as understood, for links.</param>
    private sealed record Period(int Count, long Since, TimeRange At, string Form)
    {
        /// <exception cref="FaultException">There is another parameter: it would narrow the history, so it is refused and not ignored.</exception>
        public static Period Read(string form, bool isOfOne)
        {
            var (count, since, at) = (SearchQuery.DefaultCount, long.MinValue, new TimeRange(long.MinValue, long.MaxValue));
            var kept = new List<string>();
            foreach (var pair in form.Split('&', StringSplitOptions.RemoveEmptyEntries))
            {
                var (name, value) = pair.Split('=', 2) is [var n, var v] ? (WebUtility.UrlDecode(n), WebUtility.UrlDecode(v)) : (pair, "");
                switch (name)
                {
                    case "_count" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out count):
                        count = Math.Clamp(count, 1, SearchQuery.MaxCount);
                        continue;
                    case "_since" when TimeRange.TryParse(value, out var instant):
                        since = instant.Start;
                        break;
                    case "_at" when TimeRange.TryParse(value, out at):
                    case "patient" or "subject" when !isOfOne:
                    case "_format" or "_pretty" or "_summary" or "_elements":
                        break;
                    case "_count" or "_since" or "_at":
                        throw new FaultException(new Fault(FaultKind.Invalid, name == "_count" ? "Parameter _count is a number from 1." : $"Parameter {name} is a time, such as 2026-01-31T08:00:00Z.", $"http.{name}"));
                    default:
                        throw new FaultException(new Fault(FaultKind.Invalid, "A history takes the parameters _count, _since and _at and, of a type or a whole patient, patient; no other."));
                }
                kept.Add(pair);
            }
            return new(count, since, at, string.Join('&', [$"_count={count}", .. kept]));
        }
    }
}
