using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Consent;

/// <summary>What a denial covers: exactly what the Act knows (703/2023 §59.2). A single document is no scope in health care (§59.1).</summary>
public abstract record DenialTarget
{
    private DenialTarget() { }

    /// <summary>All patient data.</summary>
    public sealed record All : DenialTarget;

    /// <summary>One service event (palvelutapahtuma).</summary>
    public sealed record OfServiceEvent(string Oid) : DenialTarget;

    /// <summary>A public controller and its patient register, or the register that occupational care keeps for one employer.</summary>
    /// <param name="Controller">OID of the controller, dotted.</param>
    /// <param name="Register">As <see cref="Fhir.Grants.Register"/> names it.</param>
    /// <remarks>A private provider cannot be denied as a whole (§59.2).</remarks>
    public sealed record OfRegister(string Controller, string Register) : DenialTarget;

    /// <summary>One prescription (domain of prescriptions: kanta.fi, sharing of prescription data).</summary>
    /// <param name="Id">Logical id of the MedicationRequest.</param>
    public sealed record OfPrescription(string Id) : DenialTarget;
}

/// <summary>What one person has declared, or what was recorded about access to their data, as its Consent resource holds it.</summary>
public abstract record Declaration
{
    /// <summary>Logical id of the Consent; empty for one not yet stored.</summary>
    public string Id { get; init; } = "";

    /// <summary>Its version; empty for one not yet stored.</summary>
    public string VersionId { get; init; } = "";

    /// <summary>
    /// Place among the person's declarations in the order in which the repository stored their versions; of one not yet stored it is the last. Of two about
    /// the same thing the later decides where it closes, whatever a clock says (law 3); where it opens, if it is not the older will (<see cref="SaidAt"/>).
    /// </summary>
    public long Order { get; init; } = long.MaxValue;

    /// <summary>When its version was stored, UTC, by the repository's clock; null: it is not, or that is not known.</summary>
    public DateTimeOffset? StoredAt { get; init; }

    /// <summary>When it was declared, UTC (Consent.dateTime): what the person is shown.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Consent.dateTime names a day, a month or a year and no time of it: <see cref="At"/> is its beginning.</summary>
    public bool IsOfDay { get; init; }

    /// <summary>Consent.status is active; otherwise it withdraws what it names.</summary>
    public bool IsActive { get; init; } = true;

    /// <summary>Inclusive start and exclusive end of Consent.provision.period; null: from <see cref="At"/>, until further notice (§58).</summary>
    public DateTimeOffset? From { get; init; }

    /// <inheritdoc cref="From"/>
    public DateTimeOffset? Until { get; init; }

    /// <summary>OID of the organisation at whose desk it was recorded; null: the person declared it in the portal (§58).</summary>
    public string? RecordedBy { get; init; }

    /// <summary>Of one that withdraws what another Consent declared, that one's logical id; null: it is its own next version, or names none.</summary>
    public string? Withdraws { get; init; }

    /// <summary>
    /// A related person declared it, or alone signed it (Consent.performer, Consent.verification), or where it may open something somebody of whom it does not say that it is the person: of a child the custodian (§50); of who is of age somebody with a mandate, whose word is the
    /// person's, so that it is false of one in a <see cref="PolicySnapshot"/>.
    /// </summary>
    public bool ByCustodian { get; init; }

    /// <summary>It names somebody who declared or signed it and does not say who that is: neither the person, literally, nor a related person, nor who works in care.</summary>
    public bool IsSpeakerUnclear { get; init; }

    /// <summary>A signed form stands behind it: Consent.source, or Consent.verification of the person.</summary>
    public bool IsSigned { get; init; }

    /// <summary>How far the clocks of who declares and who decides may be apart, minutes 5.</summary>
    public static readonly TimeSpan Skew = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Whether somebody may be shown more after it. A denial too: a withdrawn one, and one with an exception or an end, which takes the place of a stricter one.
    /// </summary>
    internal bool MayOpen => this switch
    {
        DisclosurePermit => IsActive,
        DisclosureDenial denial => !IsActive || denial.AllowsEmergency || Until is not null || From is not null,
        AccessRestriction => !IsActive,
        _ => true,
    };

    /// <summary>Whether it has begun. What is dated later gives nothing yet; a denial waits for no clock, only for a period that says so (law 3).</summary>
    public bool HasBegun(DateTimeOffset now) => (From is null || From <= now) && (At - Skew <= now || this is DisclosureDenial or AccessRestriction);

    /// <summary>Whether it was stored after another; of two that nothing is known of in that, the one that is dated later.</summary>
    public int CompareOrder(Declaration other) => Order == other.Order ? At.CompareTo(other.At) : Order.CompareTo(other.Order);

    /// <summary>Whether the person declared it at an age at which they count as able to decide, twelve where nothing else is recorded (§34): to close, by any birth date that somebody states.</summary>
    internal bool IsOfMinor(PersonFacts person) => !ByCustodian && ((MayOpen ? person.TwelfthBirthday : person.EarliestTwelfthBirthday) is not { } able || SaidAt >= able);

    /// <summary>When it was said: by the person herself as it is stored; on a form when that is dated, which is no later, whatever the clock of the desk says.</summary>
    internal DateTimeOffset SaidAt => StoredAt is { } stored && (RecordedBy is null || stored < At) ? stored : At;

    /// <summary>Whether its time is over.</summary>
    public bool IsOver(DateTimeOffset now) => Until is { } until && until <= now;
}

/// <summary>Informing (informointi, §68): the person was told, in the version named.</summary>
public sealed record Informing : Declaration
{
    /// <summary>The informing text now in force. When it changes, permissions and denials need a new informing (§58).</summary>
    public const string CurrentTextVersion = "2026-2";

    /// <summary>Version of the informing text, such as <c>2026-2</c>.</summary>
    public required string TextVersion { get; init; }

    public bool IsCurrent => IsActive && TextVersion == CurrentTextVersion;
}

/// <summary>
/// Disclosure permission (luovutuslupa, §54): one for all data, until further notice. The latest one decides; a custodian's gives nothing after a minor able to
/// decide has withdrawn it (§50, §51).
/// </summary>
public sealed record DisclosurePermit : Declaration;

/// <summary>Denial (kielto, §58-59): covers existing and future entries, never the owning register. Of one target the latest decides.</summary>
public sealed record DisclosureDenial : Declaration
{
    public required DenialTarget Target { get; init; }

    /// <summary>The person lets the data be used in an emergency (kanta.fi, denial of consent): a nested permit of purpose ETREAT.</summary>
    public bool AllowsEmergency { get; init; }
}

/// <summary>
/// The person has read the notice of an emergency (EHDS Art. 9, 11(5)), of what a desk has recorded for them (§58), or the answer to a request for rectification. What is stored is itself the notice, an emergency's written in one
/// commit with what it opens and seen by the person as new until this is there: none can go unnoticed.
/// </summary>
public sealed record Acknowledgement : Declaration
{
    /// <summary>Logical id of the Consent, or of an answer of the Communication, that was read of.</summary>
    public required string Notice { get; init; }
}

/// <summary>
/// The person disputes an access ("I was not there"). Until two operators have settled it, or the person takes it back, whoever had it is shown nothing of the record, the own register included: processing is
/// restricted while it is verified whether it was lawful (GDPR Art. 18(1)(d) with 21(1)). What is recorded goes on being stored (Art. 18(2)), and an emergency that a professional has recorded opens what it always does (§54.2).
/// </summary>
public sealed record AccessRestriction : Declaration
{
    /// <summary>OID of the organisation that had the access, dotted.</summary>
    public required string Organisation { get; init; }

    /// <summary>OID of its unit; null: none was named, so all of the organisation.</summary>
    public string? Unit { get; init; }

    /// <summary>Index of the disputed entry in the audit log.</summary>
    public required long Entry { get; init; }

    /// <summary>Whether it is about who asks. Who names no unit may be of any.</summary>
    public bool IsOf(string organisation, string? unit) =>
        (organisation == Organisation || (organisation.StartsWith(Organisation, StringComparison.Ordinal) && organisation.AsSpan(Organisation.Length).StartsWith(".10.")))
        && (Unit is null || unit is null || unit == Unit);
}

/// <summary>What a professional records about the own access to a person's data.</summary>
public abstract record AccessRecord : Declaration
{
    /// <summary>Unique id of the professional, as tokens carry it.</summary>
    public required string Professional { get; init; }

    /// <summary>OID of the professional's organisation, dotted.</summary>
    public required string Organisation { get; init; }

    /// <summary>OID of the professional's unit; null: none named.</summary>
    public string? Unit { get; init; }

    /// <summary>Whether it is this professional's, acting for this organisation.</summary>
    public bool IsOf(string? professional, string organisation) => Professional == professional && Organisation == organisation;
}

/// <summary>The separate confirmation without which specially protected entries stay hidden (§26.2): of one professional, one purpose, some hours.</summary>
public sealed record ProtectedConfirmation : AccessRecord
{
    /// <summary>Longest time that a confirmation holds, hours 8: a shift.</summary>
    public static readonly TimeSpan MaxLength = TimeSpan.FromHours(8);

    /// <summary>v3-ActReason code.</summary>
    public required string Purpose { get; init; }

    /// <summary>Services whose entries it opens.</summary>
    public required ProtectedService Services { get; init; }
}

/// <summary>An emergency (§54.2): the person cannot give permission, or cannot assess what it means. Minutes long, with a reason, and reviewed afterwards.</summary>
public sealed record EmergencyAccess : AccessRecord
{
    /// <summary>Longest time that it holds, minutes 30; who needs longer records it anew.</summary>
    public static readonly TimeSpan MaxLength = TimeSpan.FromMinutes(30);

    /// <summary>How long it may stay without a review before the professional's right to emergencies rests, days 3.</summary>
    public static readonly TimeSpan ReviewedWithin = TimeSpan.FromDays(3);

    /// <summary>Why permission could not be had.</summary>
    public required EmergencyReason Reason { get; init; }
}

/// <summary>The two cases of §54.2.</summary>
public enum EmergencyReason
{
    /// <summary>Permission cannot be obtained: unconscious, or a comparable cause.</summary>
    CannotBeAsked,

    /// <summary>The person cannot assess what the permission means and has no representative.</summary>
    CannotAssess,
}

/// <summary>A reviewer of another unit has settled an emergency (EHDS Art. 11(5): logged clearly and accessible to the person).</summary>
public sealed record EmergencyReview : AccessRecord
{
    /// <summary>Logical id of the emergency's Consent.</summary>
    public required string Emergency { get; init; }

    /// <summary>It was one: Consent.provision.type is permit.</summary>
    public required bool IsJustified { get; init; }
}
