using System.Text.Json.Serialization;

namespace KantaGateway.Fhir.Grants;

/// <summary>How far a permit reaches. Wider never includes what a denial in the scope removes.</summary>
public enum Breadth
{
    /// <summary>Nothing. What an unknown value must be read as.</summary>
    None = 0,

    /// <summary>The requester's own register.</summary>
    OwnRegister = 1,

    /// <summary>The own register and, under a disclosure permission, other controllers' entries outside the denials.</summary>
    Disclosed = 2,

    /// <summary>The whole record: the person themselves.</summary>
    WholePerson = 3,

    /// <summary>The shared directory.</summary>
    Directory = 4,
}

/// <summary>
/// The part of one compartment that a permit opens: a filter over entries which the repository applies inside its
/// search, before limits, totals, includes and history.
/// </summary>
/// <remarks>Act 703/2023 §9 (own register), §54 (permission), §59 (denials). Immutable, compared by what is in it: a kept grant serves exactly the scope it was made for.</remarks>
public sealed record DisclosureScope
{
    public static readonly DisclosureScope Nothing = new() { Breadth = Breadth.None };

    [JsonPropertyName("b")]
    public required Breadth Breadth { get; init; }

    /// <summary>OID of the requesting data controller; its entries are the own register, its writes go there.</summary>
    [JsonPropertyName("c")]
    public string Controller { get; init; } = "";

    /// <summary>Which of the controller's registers is the own one, as <see cref="Register"/> names it; writes go there.</summary>
    /// <remarks>Act 703/2023 §18: occupational care keeps a register for each employer.</remarks>
    [JsonPropertyName("g")]
    public string Register { get; init; } = Grants.Register.Patient;

    /// <summary>
    /// OIDs of other data controllers into whose registers a write may go, where an InformationCustodian Provenance says so: of a producer
    /// of purchased services, those that buy from it.
    /// </summary>
    [JsonPropertyName("f")]
    public IReadOnlyList<string> MayWriteFor { get; init; } = [];

    /// <summary>What of the record stays hidden although the breadth reaches it.</summary>
    [JsonPropertyName("w")]
    public Withheld Withheld { get; init; } = Withheld.Nothing;

    /// <summary>
    /// Resource types that the token reaches, ordinal and each once; null means every served type. Of a write it bounds the
    /// searches in it: what it may write and read by id the gateway has found in token and task type by type, see <see cref="OfAnyType"/>.
    /// </summary>
    [JsonPropertyName("t")]
    public IReadOnlyList<string>? Types { get; init; }

    /// <summary>Resource types that the requester's task or purpose reaches in registers other than the own one; null: no further bound.</summary>
    /// <remarks>Decree 457/2024 §3-9; of an emergency what is necessary (Act 703/2023 §54.2).</remarks>
    [JsonPropertyName("o")]
    public IReadOnlyList<string>? TypesOfOthers { get; init; }

    /// <summary>
    /// What of some of those types the task reaches in registers other than the own one; null: no further bound. A Binary there is reached by a
    /// document that is.
    /// </summary>
    /// <remarks>Decree 457/2024 §6: what concerns the own profession, speciality or service.</remarks>
    [JsonPropertyName("y")]
    public IReadOnlyList<ScopeFilter>? FiltersOfOthers { get; init; }

    /// <summary>
    /// What of some types the task reaches in the own register; null: no further bound. A Binary there is reached unless it is that of documents alone that are not. It
    /// bounds what is read, found and changed, and not what is added.
    /// </summary>
    /// <remarks>Decree 457/2024 §6, as <see cref="FiltersOfOthers"/>.</remarks>
    [JsonPropertyName("z")]
    public IReadOnlyList<ScopeFilter>? FiltersOfOwn { get; init; }

    /// <summary>OIDs of the other controllers whose patient registers it reaches, and no other register; null: every register of all.</summary>
    /// <remarks>Act 703/2023 §54.1: the public providers of Uusimaa reach each other's without a permission.</remarks>
    [JsonPropertyName("u")]
    public IReadOnlyList<string>? OnlyOf { get; init; }

    /// <summary>
    /// Whether addresses and ways to reach a person under a non-disclosure for personal safety (turvakielto) are left out of all
    /// but the own register's records.
    /// </summary>
    [JsonPropertyName("n")]
    public bool HidesContacts { get; init; }

    /// <summary>Whether a declaration of will or a record of access may be stored with it, by who is not the person (Act 703/2023 §58).</summary>
    [JsonPropertyName("l")]
    public bool MayDeclare { get; init; }

    /// <summary>
    /// What the token narrows of some types, each of which has to hold for an entry of its type; null: nothing. A type that the token
    /// reaches by one scope with search parameters and another without is not narrowed.
    /// </summary>
    [JsonPropertyName("q")]
    public IReadOnlyList<ScopeFilter>? Filters { get; init; }

    /// <summary>The same scope over every type: for resources whose type the gateway has already found in token and task.</summary>
    [JsonIgnore]
    public DisclosureScope OfAnyType => Types is null ? this : this with { Types = null };

    /// <summary>Likewise for what is written by id: bounded by what may be written, and not by what may be found.</summary>
    [JsonIgnore]
    public DisclosureScope OfWrites => Filters is null ? OfAnyType : this with { Types = null, Filters = Filters.Any(static filter => !filter.Reads) ? [.. Filters.Where(static filter => !filter.Reads)] : null };

    /// <summary>Whether the filters let a resource be seen, or be written.</summary>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="entry">Its index entry, not that of a deletion.</param>
    public bool Passes(string type, ReadOnlySpan<byte> entry) => Passes(Filters, type, entry);

    /// <summary>Whether the filters of token and task let a resource be seen.</summary>
    /// <inheritdoc cref="Passes(string, ReadOnlySpan{byte})"/>
    /// <param name="isOwn">Of the own register.</param>
    public bool Passes(string type, ReadOnlySpan<byte> entry, bool isOwn) => Passes(Filters, type, entry) && Passes(OfTask(isOwn), type, entry);

    /// <summary>What the task narrows in the own register, or in others.</summary>
    public IReadOnlyList<ScopeFilter>? OfTask(bool isOwn) => isOwn ? FiltersOfOwn : FiltersOfOthers;

    private static bool Passes(IReadOnlyList<ScopeFilter>? filters, string type, ReadOnlySpan<byte> entry)
    {
        foreach (var filter in filters ?? [])
            if (filter.Type == type && !filter.Admits(entry))
                return false;
        return true;
    }

    /// <summary>Whether there is a filter for a type.</summary>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="isOwn">Of the own register.</param>
    public bool Narrows(string type, bool isOwn) => Narrows(Filters, type) || Narrows(OfTask(isOwn), type);

    private static bool Narrows(IReadOnlyList<ScopeFilter>? filters, string type)
    {
        foreach (var filter in filters ?? [])
            if (filter.Type == type)
                return true;
        return false;
    }

    /// <summary>Whether any entry has to be looked into before it can be seen.</summary>
    [JsonIgnore]
    public bool HasFilters => Filters is not null || FiltersOfOthers is not null || FiltersOfOwn is not null;

    /// <summary>Whether Consents are shown, and what tells that there is one: to the person alone, and who holds a mandate (EHDS Art. 8).</summary>
    [JsonIgnore]
    public bool ShowsConsents => Breadth == Breadth.WholePerson && !Withheld.FromCustodians;

    /// <summary>Whether an entry is of the own register: no denial reaches it (Act 703/2023 §59).</summary>
    /// <param name="controller">OID of the entry's data controller.</param>
    /// <param name="register">Its register, as <see cref="Grants.Register"/> names it.</param>
    public bool IsOwn(string controller, string register) => controller == Controller && register == Register;

    /// <summary>
    /// Whether an entry may be seen. Total: every combination has an answer, and an unknown one is false.
    /// </summary>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="controller">OID of the entry's data controller.</param>
    /// <param name="register">Its register, as <see cref="Grants.Register"/> names it.</param>
    /// <param name="hidden">What <see cref="Withheld"/> does to it.</param>
    /// <remarks>
    /// Consents are the person's declarations of will: nobody else reads them, for a denial's existence may not be
    /// visible to providers (EHDS Art. 8); the signed form that stands behind one, the register that keeps it and nobody else. AuditEvents are the use log of the controller that wrote them (§70): no disclosure
    /// permission reaches them, and since they name employees, the person is told from the access log in the portal, by
    /// organisation.
    /// </remarks>
    public bool Admits(string type, string controller, string register, Hidden hidden) => Breadth switch
    {
        _ when (hidden & Hidden.FromAll) != 0 => false,
        _ when (hidden & Hidden.AsForm) != 0 && !ShowsConsents && !(Breadth is Breadth.OwnRegister or Breadth.Disclosed && IsOwn(controller, register)) => false,
        _ when type == "AuditEvent" => Breadth is Breadth.OwnRegister or Breadth.Disclosed && IsOwn(controller, register) && Reaches(type),
        Breadth.WholePerson => Reaches(type) && (type != "Consent" || ShowsConsents),
        Breadth.Directory => Reaches(type),
        _ when type == "Consent" => false,
        Breadth.OwnRegister => IsOwn(controller, register) && Reaches(type),
        Breadth.Disclosed => Reaches(type)
            && (IsOwn(controller, register) || ((hidden & Hidden.FromOthers) == 0 && ReachesOfOthers(type) && (OnlyOf is null || (register == Grants.Register.Patient && OnlyOf.Contains(controller))))),
        _ => false,
    };

    public bool Equals(DisclosureScope? other) => ReferenceEquals(this, other) || (other is not null
        && Breadth == other.Breadth && Controller == other.Controller && Register == other.Register && HidesContacts == other.HidesContacts && MayDeclare == other.MayDeclare
        && Withheld == other.Withheld && NameLists.Same(MayWriteFor, other.MayWriteFor) && NameLists.Same(Types, other.Types) && NameLists.Same(TypesOfOthers, other.TypesOfOthers) && NameLists.Same(OnlyOf, other.OnlyOf)
        && SameFilters(Filters, other.Filters) && SameFilters(FiltersOfOthers, other.FiltersOfOthers) && SameFilters(FiltersOfOwn, other.FiltersOfOwn));

    public override int GetHashCode() => HashCode.Combine(
        HashCode.Combine(Breadth, Controller, Register, HidesContacts, MayDeclare, Withheld), NameLists.Hash(MayWriteFor), NameLists.Hash(Types), NameLists.Hash(TypesOfOthers), NameLists.Hash(OnlyOf), Filters?.Count);

    private static bool SameFilters(IReadOnlyList<ScopeFilter>? one, IReadOnlyList<ScopeFilter>? other) =>
        ReferenceEquals(one, other) || NameLists.Same(KeysOf(one), KeysOf(other));

    private static string[]? KeysOf(IReadOnlyList<ScopeFilter>? filters) => filters?.Select(static filter => filter.Key).ToArray();

    private bool Reaches(string type) => Types is null || Types.Contains(type);

    private bool ReachesOfOthers(string type) => TypesOfOthers is null || TypesOfOthers.Contains(type);
}
