using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>Links between the pages of a search or history.</summary>
static class Paging
{
    /// <summary>Name of the parameter that carries a sealed <see cref="PageState"/>.</summary>
    public const string Parameter = "_page";

    /// <summary>What fits on a page: at most <paramref name="count"/> rows and <see cref="Answer.MaxPage"/> bytes, but one row, however large.</summary>
    /// <returns>The rows, and whether there are more.</returns>
    public static (List<CompartmentRow> Shown, bool More) Take(IEnumerable<CompartmentRow> rows, int count)
    {
        var shown = new List<CompartmentRow>();
        var bytes = 0L;
        foreach (var row in rows)
        {
            if (shown.Count == count || (shown.Count > 0 && bytes + row.BodySize > Answer.MaxPage))
                return (shown, true);
            shown.Add(row);
            bytes += row.BodySize;
        }
        return (shown, false);
    }

    /// <exception cref="FaultException">The parameters are too long for a link; the next page could not be asked for.</exception>
    public static string Link(RepositoryRequest request, PageSeal pages, PageState state) => pages.Seal(state, request.Grant.Caller) is { } page
        ? $"{request.Base}/{state.Target}?{Parameter}={page}"
        : throw new FaultException(new Fault(FaultKind.TooLarge,
            "There are further pages, and the parameters are too long for a link to them. Narrow the search, give fewer alternatives, or a larger _count."));

    /// <summary>Where a page link among the parameters stands; null when there is none.</summary>
    /// <exception cref="FaultException">It is not a link that this caller was given for this target and compartment.</exception>
    public static PageState? StateIn(RepositoryRequest request, PageSeal pages, string target, string form)
    {
        if (LinkIn(form) is not { } page)
            return null;
        var state = pages.Open(page, request.Grant.Caller);
        return state is not null && state.Target == target && state.Compartment == request.Compartment.Encode() ? state
            : throw new FaultException(new Fault(FaultKind.Invalid,
                "The page link is not one that was given to this caller for this search. Search again from the beginning."));
    }

    /// <summary>The page link among form-encoded parameters, or null; where there is one it holds all the others.</summary>
    private static string? LinkIn(string form)
    {
        foreach (var pair in form.Split('&'))
            if (pair.StartsWith(Parameter + "=", StringComparison.Ordinal))
                return pair[(Parameter.Length + 1)..];
        return null;
    }

    /// <summary>
    /// Form-encoded parameters as the self link may repeat them: without what chose the compartment by identity code, for
    /// a link ends up in histories and logs.
    /// </summary>
    public static string WithoutIdentityCodes(string form) => string.Join('&', form.Split('&', StringSplitOptions.RemoveEmptyEntries)
        .Where(pair => !PersonalIdentityCode.Occurs(System.Net.WebUtility.UrlDecode(pair))));
}
