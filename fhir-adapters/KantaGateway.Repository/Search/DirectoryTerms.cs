using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>Looks in the directory for the value sets and code systems that a search names, as it stood when the search began.</summary>
static class DirectoryTerms
{
    /// <param name="side">The directory through what the search may see of it; null: it may not look there.</param>
    /// <param name="lease">Of the directory.</param>
    public static async Task FindAsync(StoredTerms terms, SearchSide? side, CompartmentLease? lease, IdentifierCipher identifiers, CancellationToken cancel)
    {
        var defined = new Dictionary<string, Canonicals>(StringComparer.Ordinal);
        foreach (var wanted in terms.Wanted)
        {
            var (row, why) = side is null ? default : Find(side, wanted.Type, wanted.Name, identifiers, defined);
            if (row?.BodySize > Answer.MaxPage - terms.Size)
                (row, why) = (null, TermAbsence.TooLarge);
            terms.Size += row?.BodySize ?? 0;
            terms.Answer(wanted, row is null ? null : ResourceParser.Parse((await lease!.ReadAsync([row], side!.Scope, cancel).ConfigureAwait(false))[0]).Resource, why);
        }
    }

    private static (CompartmentRow? Row, TermAbsence Why) Find(SearchSide side, string type, string name, IdentifierCipher identifiers, Dictionary<string, Canonicals> defined)
    {
        if (References.TryReadLocal(name, out var named, out var id))
            return (named == type && identifiers.TryReadResourceId(id!, out var compartment, out var resource) && compartment == side.Compartment ? side.Find(type, resource) : null, default);
        if (!defined.TryGetValue(type, out var canonicals))
            defined[type] = canonicals = new(type, side.OfType(type, null));
        // Whoever stores under somebody else's URL may not decide what others find.
        return canonicals.Named(name).Cast<CompartmentRow>().Select(r => r.Controller).Distinct().Skip(1).Any()
            ? (null, TermAbsence.Ambiguous)
            : (canonicals.Resolve(name).Cast<CompartmentRow>().LastOrDefault(), default);
    }
}
