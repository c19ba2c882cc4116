using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Protection;
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

    // One object for each row, so that it stays the same one however it is found.
    private readonly Dictionary<long, CompartmentRow> _withoutContacts = [];

    public Pseudonym Compartment => Now.Compartment;

    public IEnumerable<CompartmentRow> OfType(string type, SearchQuery? query)
    {
        if (!Scope.HidesContacts || !ContactDetails.AreSearchedIn(type))
            return Selection.OfType(Then, Now, Scope, type, query);
        // What is left out of the entry may not decide whether it can match.
        return Selection.OfType(Then, Now, Scope, type).Select(Shown);
    }

    /// <param name="resource">Sequence from an id; 0 is the Patient.</param>
    public CompartmentRow? Find(string type, long resource) => resource == 0
        ? type == "Patient" && Selection.Patient(Then, Now, Scope) is { } patient ? Shown(patient) : null
        : Then.Row(resource) is { } first && first.Resource == resource && first.Type == type && Selection.Standing(Then, Now, Scope, first) is { } standing ? Shown(standing) : null;

    /// <summary>A resource as it stood then, whatever has become of it.</summary>
    public CompartmentRow Standing(long resource) => Shown(Then.Newest(Then.Row(resource)!));

    /// <summary>A row as a search sees it: to whom addresses are not told, parameters find none (turvakielto).</summary>
    private CompartmentRow Shown(CompartmentRow row)
    {
        if (!ContactDetails.AreSearchedIn(row.Type) || !Now.HidesContacts(row, Scope))
            return row;
        if (!_withoutContacts.TryGetValue(row.Sequence, out var without))
            _withoutContacts[row.Sequence] = without = row.With(ContactDetails.WithoutThem(row.Entry));
        return without;
    }
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
