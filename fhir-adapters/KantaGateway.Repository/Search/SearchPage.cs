using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>
/// Which resources one page of a search shows. Everything is found within a <see cref="SearchSpace"/>, so matches, total,
/// order, ends of pages and includes come out as if nothing else were there.
/// </summary>
/// <remarks>
/// A page begins behind the last match shown before, by the order of the search, and not at a number: so it is right
/// whatever has been deleted or hidden in between. A page holds as many matches as <c>_count</c> asks for and, with what they
/// include, as fit into <see cref="Answer.MaxPage"/> and <see cref="MaxIncluded"/>.
/// </remarks>
sealed class SearchPage
{
    /// <summary>Most resources that a page includes besides its matches.</summary>
    public const int MaxIncluded = 1_000;

    private readonly SearchQuery _query;
    private readonly SearchSpace _space;
    private readonly SearchRun _run;
    private readonly Dictionary<Include, Dictionary<(string Type, string Id), List<CompartmentRow>>> _referrers = [];
    private readonly List<CompartmentRow> _matches = [];
    private readonly List<CompartmentRow> _included = [];

    private SearchPage(SearchQuery query, SearchSpace space) => (_query, _space, _run) = (query, space, query.Over(space));

    /// <summary>In the order of the search.</summary>
    public IReadOnlyList<CompartmentRow> Matches => _matches;

    /// <summary>Each once, none of the matches among them.</summary>
    public IReadOnlyList<CompartmentRow> Included => _included;

    /// <summary>Matches on all pages; null where nobody asked.</summary>
    public int? Total { get; private set; }

    public bool HasPrevious { get; private set; }

    public bool HasNext { get; private set; }

    /// <summary>Why there can be no such page; to be told once it is certain that the decision holds.</summary>
    public Fault? Fault { get; private set; }

    /// <param name="from">The page link that was followed; null on the first page.</param>
    public static SearchPage Select(SearchQuery query, SearchSpace space, PageState? from)
    {
        var page = new SearchPage(query, space);
        page.Select(from);
        return page;
    }

    private void Select(PageState? from)
    {
        var isSorted = _query.Sort.Count > 0;
        var counts = _query.IsCountOnly || _query.Total != TotalMode.None;
        var (after, isBefore) = (from?.After ?? 0, from?.IsBefore ?? false);
        // With nothing to count and nothing to sort, only the page itself need be looked at.
        var seeks = !counts && !isSorted && !isBefore;
        var found = new List<CompartmentRow>();
        foreach (var row in _space.OfType(_query.Type, _query))
        {
            if ((seeks && after > 0 && row.Resource <= after) || !_run.Matches(row))
                continue;
            found.Add(row);
            if (seeks && found.Count > _query.Count)
                break;
        }
        Total = counts ? found.Count : null;
        if (_query.IsCountOnly)
            return;
        if (isSorted)
            found.Sort(_run.Compare);

        // The last one shown stands where it stood then, whatever has become of it.
        var anchor = after > 0 ? _space.Own.Standing(after) : null;
        var (start, end) = (0, found.Count);
        if (anchor is not null && !isBefore)
            while (start < end && _run.Compare(found[start], anchor) <= 0)
                start++;
        if (anchor is not null && isBefore)
            while (end > 0 && _run.Compare(found[end - 1], anchor) >= 0)
                end--;
        // From the anchor outwards, so that what no longer fits is left to the page after that, in either direction.
        var candidates = found[start..end];
        if (isBefore)
            candidates.Reverse();
        // The last page of all holds what going forward would leave for it.
        var count = isBefore && after == 0 && found.Count % _query.Count is > 0 and var rest ? rest : _query.Count;
        _matches.AddRange(Paging.Take(candidates, count).Shown);
        if (_query.Includes.Count > 0)
            Gather();
        var isCut = _matches.Count < candidates.Count;
        if (isBefore)
            _matches.Reverse();
        (HasPrevious, HasNext) = isBefore ? (isCut, end < found.Count) : (seeks ? after > 0 : start > 0, isCut);
    }

    /// <summary>Includes what belongs to the matches, and leaves matches to the next page until it fits.</summary>
    private void Gather()
    {
        while (FitsUpTo() is var fitting && fitting < _matches.Count)
        {
            if (fitting == 0)
            {
                _matches.RemoveRange(1, _matches.Count - 1);
                if (FitsUpTo() == 1)
                    return;
                Fault = new(FaultKind.Unprocessable, new FaultIssue(
                    $"One match includes more than {MaxIncluded} resources or {Answer.MaxPage >> 20} MB. Search for them by their own type, which has pages.", null, "too-costly"));
                return;
            }
            _matches.RemoveRange(fitting, _matches.Count - fitting);
        }
    }

    /// <summary>Follows the includes of one match after the other; how many have all of theirs within the bounds.</summary>
    private int FitsUpTo()
    {
        _included.Clear();
        var shown = new HashSet<CompartmentRow>(_matches);
        // A match may be larger than a page by itself; what it includes has its own room then.
        var bytes = _matches.Count == 1 ? 0L : _matches.Sum(m => (long)m.BodySize);
        for (var i = 0; i < _matches.Count; i++)
        {
            var from = _included.Count;
            if (!Follow(_matches[i], isMatch: true))
                return i;
            for (; from < _included.Count; from++)
                if (!Follow(_included[from], isMatch: false))
                    return i;
        }
        return _matches.Count;

        bool Follow(CompartmentRow row, bool isMatch)
        {
            foreach (var include in _query.Includes)
                if (isMatch || include.Iterates)
                    foreach (var other in include.IsReverse ? ReferrersOf(row, include) : TargetsOf(row, include))
                    {
                        if (!shown.Add(other))
                            continue;
                        bytes += other.BodySize;
                        if (_included.Count == MaxIncluded || bytes > Answer.MaxPage)
                            return false;
                        _included.Add(other);
                    }
            return true;
        }
    }

    private IEnumerable<CompartmentRow> TargetsOf(CompartmentRow row, Include include)
    {
        foreach (var (type, id) in _run.Targets(include, row))
            if (_space.Find(type, id) is { } target)
                yield return target;
    }

    private List<CompartmentRow> ReferrersOf(CompartmentRow row, Include include)
    {
        if (!_referrers.TryGetValue(include, out var byTarget))
        {
            _referrers[include] = byTarget = [];
            foreach (var type in include.Source == "*" ? _space.Types : [include.Source])
                foreach (var referrer in _space.OfType(type))
                    foreach (var target in _run.Targets(include, referrer))
                    {
                        if (!byTarget.TryGetValue(target, out var list))
                            byTarget[target] = list = [];
                        list.Add(referrer);
                    }
        }
        return byTarget.GetValueOrDefault((row.Type, _space.IdOf(row))) ?? [];
    }
}
