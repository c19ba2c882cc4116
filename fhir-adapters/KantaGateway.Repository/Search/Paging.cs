using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>Links between the pages of a search or history.</summary>
static class Paging
{
    /// <summary>Name of the parameter that carries a sealed <see cref="PageState"/>.</summary>
    public const string Parameter = "_page";

    public static string Link(RepositoryRequest request, string target, PageSeal pages, PageState state) =>
        $"{request.Base}/{target}?{Parameter}={pages.Seal(state, request.Grant.Caller)}";

    /// <summary>The page link among form-encoded parameters, or null; where there is one it holds all the others.</summary>
    public static string? LinkIn(string form)
    {
        foreach (var pair in form.Split('&'))
            if (pair.StartsWith(Parameter + "=", StringComparison.Ordinal))
                return pair[(Parameter.Length + 1)..];
        return null;
    }

    public static Fault ForeignLink() =>
        new(FaultKind.Invalid, "The page link is not one that was given to this caller for this search. Search again from the beginning.");

    /// <summary>
    /// Form-encoded parameters as the self link may repeat them: without what chose the compartment by identity code, for
    /// a link ends up in histories and logs.
    /// </summary>
    public static string WithoutIdentityCodes(string form) => string.Join('&', form.Split('&', StringSplitOptions.RemoveEmptyEntries)
        .Where(pair => !PersonalIdentityCode.Occurs(System.Net.WebUtility.UrlDecode(pair))));
}
