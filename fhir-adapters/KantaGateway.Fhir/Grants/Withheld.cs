using System.Text.Json.Serialization;

namespace KantaGateway.Fhir.Grants;

/// <summary>Names of the registers that a data controller keeps.</summary>
/// <remarks>
/// THL 1.2.246.537.5.40150 (register of a patient document) tells them apart: 2 the patient register, 4 that of occupational care, which is
/// kept for each employer (Act 703/2023 §18). A denial of a register names controller and register (§59.2).
/// </remarks>
public static class Register
{
    /// <summary>The controller's patient register.</summary>
    public const string Patient = "2";

    private const string OccupationalPrefix = "4:";

    /// <summary>The register that occupational care keeps for one employer.</summary>
    /// <param name="employer">OID (1.2.246.10.n) or business id (0204819-8) of the employer, not empty; both name the same register.</param>
    public static string Occupational(string employer) => OccupationalPrefix + OidOf(employer);

    /// <summary>The OID that a business id makes: without hyphen and leading zeros (JHS 159); anything else as it is.</summary>
    private static string OidOf(string employer) =>
        employer is [.. { Length: 6 or 7 } number, '-', >= '0' and <= '9' and var check] && number.All(char.IsAsciiDigit)
            ? "1.2.246.10." + (number.TrimStart('0') + check) : employer;

    /// <summary>The employer for whom an occupational register is kept; null of any other.</summary>
    public static string? EmployerOf(string register) => IsOccupational(register) ? register[OccupationalPrefix.Length..] : null;

    public static bool IsOccupational(string register) => register.StartsWith(OccupationalPrefix, StringComparison.Ordinal);

    /// <summary>One register of one controller, as <see cref="Withheld.Registers"/> lists it.</summary>
    public static string Of(string controller, string register) => $"{controller} {register}";
}

/// <summary>What <see cref="Withheld"/> does to one entry.</summary>
[Flags]
public enum Hidden : byte
{
    None = 0,

    /// <summary>A denial covers it, or it shows what one covers: hidden from every register but its own.</summary>
    FromOthers = 1,

    /// <summary>Specially protected, not for custodians or not yet released, or it shows what is: hidden from its own register too.</summary>
    FromAll = 2,

    /// <summary>It is the signed form of a Consent or a request for rectification or its answer, or tells of one: for its own register and for whom Consents are shown to.</summary>
    AsForm = 4,
}

/// <summary>
/// What of a record stays hidden although a permit's breadth reaches it. Whatever refers to a hidden entry is hidden with it: hidden
/// looks like absent (law 4).
/// </summary>
/// <remarks>Lists are ordinal, each name once. Compared by what is in them.</remarks>
public sealed record Withheld
{
    public static readonly Withheld Nothing = new();

    // :: Denials (Act 703/2023 §59.2): from every register but the entry's own.

    /// <summary>OIDs of service events.</summary>
    [JsonPropertyName("e")]
    public IReadOnlyList<string> ServiceEvents { get; init; } = [];

    /// <summary>Registers, each as <see cref="Register.Of"/> writes it.</summary>
    [JsonPropertyName("r")]
    public IReadOnlyList<string> Registers { get; init; } = [];

    /// <summary>Logical ids of MedicationRequests: a prescription may be denied alone, with what dispenses it.</summary>
    [JsonPropertyName("p")]
    public IReadOnlyList<string> Prescriptions { get; init; } = [];

    // :: From every register.

    /// <summary>Entries of specially protected services (Act 703/2023 §26.2, decree 457/2024 §26); medication and risks exempt.</summary>
    [JsonPropertyName("s")]
    public bool SpeciallyProtected { get; init; }

    /// <summary>
    /// Protected services that are seen nevertheless: the requester treats in them, or has confirmed (§26.2). An entry of several is seen by
    /// any of them.
    /// </summary>
    [JsonPropertyName("v")]
    public ProtectedService SeenServices { get; init; }

    /// <summary>Protected services that are seen besides in the own register: all that its controller records is of them (§26.2).</summary>
    [JsonPropertyName("o")]
    public ProtectedService SeenServicesOfOwn { get; init; }

    /// <summary>Entries that a minor's custodians may not see: denied them by a minor able to decide, or not known (§51; THL 1.2.246.537.5.40202 3 and 4).</summary>
    [JsonPropertyName("c")]
    public bool FromCustodians { get; init; }

    /// <summary>
    /// An entry first written before this without a code is as one of a minor not able to decide (§34: a child under twelve), so custodians
    /// see it; null: an entry without a code is never seen by them.
    /// </summary>
    [JsonPropertyName("k")]
    public DateTimeOffset? UnknownShownBefore { get; init; }

    /// <summary>Time of the request, UTC: entries whose release to the person lies later are hidden; null: release delays do not matter.</summary>
    [JsonPropertyName("u")]
    public DateTimeOffset? UnreleasedAt { get; init; }

    /// <summary>Whether anything can be hidden by it.</summary>
    [JsonIgnore]
    public bool IsNothing => !SpeciallyProtected && !FromCustodians && UnreleasedAt is null && ServiceEvents.Count == 0 && Registers.Count == 0 && Prescriptions.Count == 0;

    public bool Equals(Withheld? other) => ReferenceEquals(this, other) || (other is not null
        && SpeciallyProtected == other.SpeciallyProtected && FromCustodians == other.FromCustodians
        && UnknownShownBefore == other.UnknownShownBefore && UnreleasedAt == other.UnreleasedAt
        && NameLists.Same(ServiceEvents, other.ServiceEvents) && NameLists.Same(Registers, other.Registers)
        && SeenServices == other.SeenServices && SeenServicesOfOwn == other.SeenServicesOfOwn && NameLists.Same(Prescriptions, other.Prescriptions));

    public override int GetHashCode() => HashCode.Combine(SpeciallyProtected, (SeenServices, SeenServicesOfOwn), FromCustodians, UnknownShownBefore, UnreleasedAt,
        NameLists.Hash(ServiceEvents), NameLists.Hash(Registers), NameLists.Hash(Prescriptions));
}
