using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Repository.Search;

/// <summary>One compartment as it stood at a head, through a scope of today.</summary>
/// <param name="Then">View at the head of the first page.</param>
/// <param name="Now">The newest view, which the decision is checked against: what is deleted or hidden there is gone.</param>
sealed record SearchSide(CompartmentView Then, CompartmentView Now, DisclosureScope Scope)
{
    /// <param name="head">Of the page link that is followed; null on the first page.</param>
    /// <exception cref="FaultException">The link knows rows that are not there.</exception>
    public static SearchSide Of(CompartmentView now, long? head, DisclosureScope scope) => head > now.Head
        ? throw new FaultException(new Fault(FaultKind.Invalid, "The page link is of another database. Search again from the beginning."))
        : new(head is { } then ? now.At((int)then) : now, now, scope);

    public Pseudonym Compartment => Now.Compartment;

    public IEnumerable<CompartmentRow> OfType(string type, SearchQuery? query) => Selection.OfType(Then, Now, Scope, type, query);

    /// <param name="resource">Sequence from an id; 0 is the Patient.</param>
    public CompartmentRow? Find(string type, long resource) => resource == 0
        ? type == "Patient" ? Selection.Patient(Then, Now, Scope) : null
        : Then.Row(resource) is { } first && first.Resource == resource && first.Type == type ? Selection.Standing(Then, Now, Scope, first) : null;
}

/// <summary>The patient's compartment, or the directory, and beside a patient's the directory.</summary>
/// <param name="directory">Null where the search may not or need not look there.</param>
sealed class SearchSpace(SearchSide own, SearchSide? directory, RowNames names, IdentifierCipher identifiers) : ISearchSpace
{
    public SearchSide Own => own;

    public SearchSide? Directory => directory;

    public IEnumerable<string> Types => directory is null ? own.Then.Types() : own.Then.Types().Concat(directory.Then.Types());

    IEnumerable<SearchRecord> ISearchSpace.OfType(string type, SearchQuery? query) => OfType(type, query);

    SearchRecord? ISearchSpace.Find(string type, string id) => Find(type, id);

    public string IdOf(SearchRecord record) => IdOf((CompartmentRow)record);

    public string IdOf(CompartmentRow row) => names.IdOf(SideOf(row.Type)!.Compartment, row);

    public ManifestItem ItemOf(CompartmentRow row) => names.ItemOf(SideOf(row.Type)!.Compartment, row);

    public bool IsInDirectory(CompartmentRow row) => SideOf(row.Type) == directory;

    public IEnumerable<CompartmentRow> OfType(string type, SearchQuery? query = null) => SideOf(type)?.OfType(type, query) ?? [];

    public CompartmentRow? Find(string type, string id) => SideOf(type) is { } side
        && identifiers.TryReadResourceId(id, out var compartment, out var resource) && compartment == side.Compartment ? side.Find(type, resource) : null;

    /// <summary>Where resources of a type lie; null: where this search does not look.</summary>
    private SearchSide? SideOf(string type) => own.Compartment.IsDirectory || ResourceTypes.PlaceOf(type) != ResourcePlace.Directory ? own : directory;
}
