using System.Globalization;
using System.Net;
using System.Text.Json;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// <c>$everything</c> of a Patient or an Encounter (hl7.org/fhir/R4/patient-operation-everything.html): what the scope admits of
/// the compartment, in the order of creation, and with each page the directory entries that its resources refer to.
/// </summary>
/// <remarks>
/// Of an Encounter: itself, the Patient, and what refers to it. Pages show the moment of the first, through today's scope. A
/// page is bounded like that of a search; of the directory it brings at most <see cref="MaxIncluded"/> entries, the others
/// are read by the references to them.
/// </remarks>
sealed class Everything(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names, PageSeal pages)
{
    /// <summary>Most entries on a page, not counting those of the directory. More than of a search: one look at a record of thousands is a few requests, each with its grant and its entry in the log.</summary>
    public const int MaxCount = 1000;

    /// <summary>Most entries of the directory on a page.</summary>
    public const int MaxIncluded = 500;

    private static readonly Include AnyReference = new(IsReverse: true, Iterates: false, "*", null, "Encounter");

    /// <param name="type">Patient or Encounter.</param>
    /// <param name="form">Form-encoded parameters (<c>_since</c>, <c>_type</c>, <c>_count</c>; of a Patient <c>start</c> and <c>end</c>), or a page link.</param>
    /// <exception cref="FaultException">
    /// There is no such resource, or none that this request may see. The person herself, or who acts for her, is given what is hers though no register has a Patient of it.
    /// </exception>
    public async Task<Answer> OfAsync(RepositoryRequest request, string type, string id, string form, CancellationToken cancel)
    {
        var target = $"{type}/{id}/$everything";
        var from = Paging.StateIn(request, pages, target, form);
        var asked = Asked.Read(from?.Query ?? form, isOfPatient: type == "Patient");
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, IndexDepth.Entries, cancel).ConfigureAwait(false);
        using var directory = request.Directory is { } held
            ? await compartments.OpenAsync(held.Grant.Compartment, held.Token, IndexDepth.Entries, cancel).ConfigureAwait(false) : null;
        if (directory is not null)
            await directory.RefreshAsync(cancel).ConfigureAwait(false);
        var now = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        request.RequirePolicy(now);

        var own = SearchSide.Of(now, from?.Head, request.Scope);
        var space = new SearchSpace(own, directory is null ? null : SearchSide.Of(directory.View, from?.DirectoryHead, request.Directory!.Grant.Scope), names, identifiers);
        var about = space.Find(type, id);
        if (about is null && !(type == "Patient" && request.Scope.Breadth == Breadth.WholePerson && id == identifiers.PatientId(request.Compartment)))
            throw new FaultException(Fault.Absent);
        // What refers to an Encounter is found as a search would find it.
        var run = SearchQuery.Parse(type, "", identifiers, request.Compartment, DateTimeOffset.UnixEpoch).Query!.Over(space);
        var found = Select(space, type == "Patient" ? null : about, asked, run);

        // One more than the sequence: the Patient has 0, and a page may end behind it.
        var (shown, more) = Paging.Take(found.Where(r => r.Resource + 1 > (from?.After ?? 0)), asked.Count);
        var bodies = await lease.ReadAsync(shown, request.Scope, cancel).ConfigureAwait(false);
        var included = space.Directory is null ? [] : DirectoryEntries(space, bodies);
        var ofDirectory = included.Count == 0 ? [] : await directory!.ReadAsync(included, request.Directory!.Grant.Scope, cancel).ConfigureAwait(false);

        using var bundle = new BundleAnswer("searchset", bodies.Sum(b => b.Length) + ofDirectory.Sum(b => b.Length) + 250 * (shown.Count + included.Count) + 1024);
        bundle.Total(found.Count);
        bundle.Links([
            ("self", $"{request.Base}/{target}?{asked.Form}"),
            ("next", more ? Paging.Link(request, pages, new PageState(request.Compartment.Encode(), target, asked.Form, shown[^1].Resource + 1,
                own.Then.Head, space.Directory?.Then.Head ?? 0)) : null),
        ]);
        List<CompartmentRow> rows = [.. shown, .. included];
        ManifestItem[] items = [.. rows.Select(space.ItemOf)];
        if (items.Length > 0)
        {
            bundle.Json.WriteStartArray("entry"u8);
            for (var i = 0; i < items.Length; i++)
                bundle.Found(request.Base, items[i], (i < bodies.Length ? bodies[i] : ofDirectory[i - bodies.Length]).Span, i < shown.Count ? "match"u8 : "include"u8);
            bundle.Json.WriteEndArray();
        }
        return new Answer(200, bundle.Complete(), items);
    }

    /// <param name="visit">Null: everything of the patient.</param>
    private static List<CompartmentRow> Select(SearchSpace space, CompartmentRow? visit, Asked asked, SearchRun run)
    {
        var found = new List<CompartmentRow>();
        var id = visit is null ? null : space.IdOf(visit);
        foreach (var type in space.Own.Then.Types())
        {
            if (asked.Types is not null && !asked.Types.Contains(type))
                continue;
            var dates = asked.Care is null ? null : CareDates.Of(type);
            foreach (var row in space.Own.OfType(type, null))
                if (row.LastUpdated.UtcTicks >= asked.Since
                    && (dates is null || dates.Concern(row, asked.Care!.Value))
                    && (visit is null || row == visit || type == "Patient" || run.Targets(AnyReference, row).Contains(("Encounter", id!))))
                    found.Add(row);
        }
        found.Sort((a, b) => a.Resource.CompareTo(b.Resource));
        return found;
    }

    /// <summary>The entries of the directory that some bodies refer to, in the order of the references, each once.</summary>
    private static List<CompartmentRow> DirectoryEntries(SearchSpace space, ReadOnlyMemory<byte>[] bodies)
    {
        var entries = new List<CompartmentRow>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var bytes = 0L;
        foreach (var body in bodies)
        {
            var json = new Utf8JsonReader(body.Span);
            while (json.Read())
            {
                if (json.TokenType != JsonTokenType.PropertyName || !json.ValueTextEquals("reference"u8) || !json.Read() || json.TokenType != JsonTokenType.String)
                    continue;
                var literal = json.GetString()!;
                if (!References.TryReadLocal(literal, out var type, out var id) || ResourceTypes.PlaceOf(type) != ResourcePlace.Directory
                    || !seen.Add($"{type}/{id}") || space.Find(type!, id!) is not { } entry)
                    continue;
                if (entries.Count == MaxIncluded || bytes + entry.BodySize > Answer.MaxPage)
                    return entries;
                bytes += entry.BodySize;
                entries.Add(entry);
            }
        }
        return entries;
    }

    /// <summary>What of everything is asked for.</summary>
    /// <param name="Since">UTC ticks: what was changed from then on.</param>
    /// <param name="Types">Null: all.</param>
    /// <param name="Care">When the care was given, by <see cref="CareDates"/>; null: at any time.</param>
    /// <param name="Form">The parameters as understood, for links.</param>
    private sealed record Asked(int Count, long Since, HashSet<string>? Types, TimeRange? Care, string Form)
    {
        /// <exception cref="FaultException">A parameter is wrong, or would narrow the answer in a way that is not served.</exception>
        public static Asked Read(string form, bool isOfPatient)
        {
            var (count, since, types, care) = (SearchQuery.MaxCount, long.MinValue, (HashSet<string>?)null, (TimeRange?)null);
            foreach (var pair in form.Split('&', StringSplitOptions.RemoveEmptyEntries))
            {
                var (name, value) = pair.Split('=', 2) is [var n, var v] ? (WebUtility.UrlDecode(n), WebUtility.UrlDecode(v)) : (pair, "");
                switch (name)
                {
                    case "_count" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out count):
                        count = Math.Clamp(count, 1, MaxCount);
                        break;
                    case "_since" when TimeRange.TryParse(value, out var instant):
                        since = instant.Start;
                        break;
                    case "_type" when value.Split(',') is var named && named.All(ResourceTypes.IsServed):
                        (types ??= new(StringComparer.Ordinal)).UnionWith(named);
                        break;
                    case "start" or "end" when !isOfPatient:
                        throw Wrong("Dates of care are asked for with Patient/[id]/$everything; an Encounter is care of one time.");
                    case "start" when TimeRange.TryParse(value, out var first):
                        care = new(first.Start, care?.End ?? long.MaxValue);
                        break;
                    case "end" when TimeRange.TryParse(value, out var last):
                        care = new(care?.Start ?? long.MinValue, last.End);
                        break;
                    case "_format" or "_pretty" or "_summary" or "_elements":
                        break;
                    case "_count" or "_since" or "_type" or "start" or "end":
                        throw Wrong($"Parameter {name} is {name switch { "_count" => "a number from 1", "_since" => "a time, such as 2026-01-31T08:00:00Z", "start" or "end" => "a date, such as 2026-01-31", _ => "a list of types that are kept here" }}.");
                    default:
                        throw Wrong(isOfPatient ? "$everything takes the parameters start, end, _since, _type and _count, and no other." : "$everything takes the parameters _since, _type and _count, and no other.");
                }

                FaultException Wrong(string sentence) => new(new Fault(FaultKind.Invalid, sentence, $"http.{name}"));
            }
            return new(count, since, types, care, form);
        }
    }
}
