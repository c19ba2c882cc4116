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
/// <remarks>Act 703/2023 §9 (own register), §54 (permission), §59 (denials). Immutable, compared by value of its parts.</remarks>
public sealed record DisclosureScope
{
    public static readonly DisclosureScope Nothing = new() { Breadth = Breadth.None };

    [JsonPropertyName("b")]
    public required Breadth Breadth { get; init; }

    /// <summary>OID of the requesting data controller; its entries are the own register, its writes go there.</summary>
    [JsonPropertyName("c")]
    public string Controller { get; init; } = "";

    /// <summary>OIDs of service events under a denial; matched against other controllers' entries only.</summary>
    [JsonPropertyName("d")]
    public IReadOnlyList<string> DeniedServiceEvents { get; init; } = [];

    /// <summary>
    /// Resource types that the token reaches, ordinal and each once; null means every served type. Of a write it bounds the
    /// searches in it: what it may write and read by id was checked type by type, see <see cref="OfAnyType"/>.
    /// </summary>
    [JsonPropertyName("t")]
    public IReadOnlyList<string>? Types { get; init; }

    /// <summary>The same scope over every type: for resources whose type the gateway has already found in the token.</summary>
    [JsonIgnore]
    public DisclosureScope OfAnyType => Types is null ? this : this with { Types = null };

    /// <summary>
    /// Whether an entry may be seen. Total: every combination has an answer, and an unknown one is false.
    /// </summary>
    /// <param name="type">FHIR resource type.</param>
    /// <param name="controller">OID of the entry's data controller.</param>
    /// <param name="serviceEvent">OID of the entry's service event, null when it names none.</param>
    /// <param name="related">OIDs of the service events of what the entry refers to: one that shows a hidden entry is hidden with it.</param>
    /// <remarks>
    /// Consents are the person's declarations of will: nobody else reads them, for a denial's existence may not be
    /// visible to providers (EHDS Art. 8). AuditEvents are the use log of the controller that wrote them (§70): no disclosure
    /// permission reaches them, and since they name employees, the person is told from the access log in the portal, by
    /// organisation.
    /// </remarks>
    public bool Admits(string type, string controller, string? serviceEvent, params ReadOnlySpan<string> related) =>
        Admits(type, controller, IsDenied(serviceEvent) || IsAnyDenied(related));

    /// <inheritdoc cref="Admits(string, string, string?, ReadOnlySpan{string})"/>
    /// <param name="showsDenied">Whether it belongs to one of <see cref="DeniedServiceEvents"/> or shows what does.</param>
    public bool Admits(string type, string controller, bool showsDenied) => Breadth switch
    {
        _ when type == "AuditEvent" => Breadth is Breadth.OwnRegister or Breadth.Disclosed && controller == Controller && Reaches(type),
        Breadth.WholePerson or Breadth.Directory => Reaches(type),
        _ when type == "Consent" => false,
        Breadth.OwnRegister => controller == Controller && Reaches(type),
        Breadth.Disclosed => Reaches(type)
            && (controller == Controller || !showsDenied),
        _ => false,
    };

    private bool IsDenied(string? serviceEvent) => serviceEvent is not null && DeniedServiceEvents.Contains(serviceEvent);

    private bool IsAnyDenied(ReadOnlySpan<string> serviceEvents)
    {
        foreach (var serviceEvent in serviceEvents)
            if (IsDenied(serviceEvent))
                return true;
        return false;
    }

    private bool Reaches(string type) => Types is null || Types.Contains(type);
}
