using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Consent;

/// <summary>On what the law lets data be given; recorded with every disclosure (Act 703/2023 §10).</summary>
public enum LegalBasis
{
    /// <summary>The controller's own register (§9, §13): no permission is needed.</summary>
    OwnRegister,

    /// <summary>Disclosure permission (luovutuslupa, §54) within the denials (§59).</summary>
    DisclosurePermission,

    /// <summary>The registers that the public controllers of Uusimaa reach without permission, within the denials (§54.1, §59).</summary>
    JointRegister,

    /// <summary>Emergency without permission, or over a denial that allows it (§54.2; EHDS Art. 11(5)).</summary>
    Emergency,

    /// <summary>The person's own data and declarations (§58, §74; GDPR Art. 15).</summary>
    OwnData,

    /// <summary>The data and declarations of a person whom the requester represents (§50, §51).</summary>
    OnBehalf,

    /// <summary>Directory of organisations and professionals: not patient data.</summary>
    Directory,
}

/// <summary>Why nothing is given. None of them depends on data that the requester may not see.</summary>
public enum DenyReason
{
    /// <summary>No rule matched: the default.</summary>
    NoLegalBasis,

    /// <summary>The access token's SMART scopes do not reach the type or the interaction.</summary>
    ScopeTooNarrow,

    /// <summary>The purpose of use is not one that this gateway serves.</summary>
    PurposeNotServed,

    /// <summary>
    /// The named service event is not one of the requester's organisation for this person that goes on, or none is open where treatment has to be proven (§57).
    /// </summary>
    NoOpenServiceEvent,

    /// <summary>Somebody else's record.</summary>
    NotOwnData,

    /// <summary>A change by id in a record of which nothing is there for who asks: it is answered as one of an id that there never was (law 4).</summary>
    AsIfAbsent,

    /// <summary>A declaration of will that this requester may not make for the person: not signed at its own desk, or another's to make (§58).</summary>
    DeclarationByAnother,

    /// <summary>A declaration recorded at a desk with no signed form behind it (§58: stored as given, printable).</summary>
    UnsignedDeclaration,

    /// <summary>A permission or denial must rest on the informing now in force (§58, §68).</summary>
    NotInformed,

    /// <summary>The Consent is not a declaration that the Act knows (§54, §59).</summary>
    UnknownDeclaration,

    /// <summary>A desk's declaration comes with criteria: If-None-Exist, or a conditional reference, which would show what they find.</summary>
    DeclarationByCriteria,

    /// <summary>Consent.patient does not name, by a literal reference, the person whose record it would be stored in.</summary>
    PatientNotNamed,

    /// <summary>A permission covers all patient data and is narrowed by denials only (§54.1).</summary>
    PermissionIsForAll,

    /// <summary>A single document is a scope of denial in social care only (§59.1).</summary>
    DocumentIsNoScope,

    /// <summary>A private provider cannot be denied as a whole (§59.2).</summary>
    PrivateProviderIsNoScope,

    /// <summary>The denied register is of no controller that has joined.</summary>
    UnknownRegister,

    /// <summary>A declaration dated later than now, or over before it began; an access that is not recorded as it is had.</summary>
    WrongTime,

    /// <summary>A form that may open the record is dated by day: whether it is older than what was said that day cannot be known (§58).</summary>
    TimeOfDayMissing,

    /// <summary>The next version of a declaration, or its withdrawal, is about something else than it was (§58: what was declared is kept).</summary>
    SubjectChanged,

    /// <summary>Another denial of the same target is in force in the place of the one to be withdrawn: the person would withdraw with it what they have not seen (§58).</summary>
    DeclaredSince,

    /// <summary>Who declares or has signed it is named in a way that says of nobody who it is: whether it is a child's own word depends on that (§51).</summary>
    SpeakerUnclear,

    /// <summary>A custodian may not set the child's denials, and nobody declares anything for who has died (§50; kanta.fi, acting on behalf of a minor).</summary>
    NotForCustodians,

    /// <summary>The access record holds longer than it may, or names another purpose than the token.</summary>
    RecordTooWide,

    /// <summary>Purpose ETREAT, and the professional has recorded no emergency that is still open (§54.2).</summary>
    NoEmergency,

    /// <summary>An emergency is of a unit, so that another may review it, and the access token names none.</summary>
    UnitMissing,

    /// <summary>An emergency of the professional has not been reviewed in time, or was found to be none.</summary>
    EmergenciesRest,

    /// <summary>The emergency is not there, is settled, is the reviewer's own or of the reviewer's own unit, or the task is none that reviews.</summary>
    NoReview,

    /// <summary>The professional's task does not reach, in the services of the organisation, a type that is written, or read within a transaction (decree 457/2024 §4-9).</summary>
    TaskTooNarrow,

    /// <summary>Occupational care keeps a register for each employer (§18) and has to say for which one it writes, where it does not treat the person for just one.</summary>
    EmployerMissing,
}

/// <summary>A rule that took part in a decision, for the audit, operators and the person's own preview.</summary>
/// <remarks>Each fires in a case of <c>Vectors/consent-decisions.json</c>, which cites the section too.</remarks>
public enum Rule
{
    /// <summary>The directory is nobody's data (Act 703/2023 §65).</summary>
    Directory,

    /// <summary>The requester's own register, read (§9, §13).</summary>
    OwnRegister,

    /// <summary>The requester's own register, written (§13, §69).</summary>
    Archive,

    /// <summary>The person's own record (§74; GDPR Art. 15).</summary>
    SelfRead,

    /// <summary>The person's own declaration (§58).</summary>
    SelfDeclares,

    /// <summary>The person asks a controller to rectify an entry (GDPR Art. 16).</summary>
    SelfAsks,

    /// <summary>In the person's name, by custody or mandate (§50).</summary>
    Represents,

    /// <summary>Not informed with the text in force, so no permission counts (§58, §68).</summary>
    NotInformed,

    /// <summary>No disclosure permission in force (§54.1).</summary>
    NoPermission,

    /// <summary>The disclosure permission (§54.1, §58).</summary>
    Permission,

    /// <summary>All is denied (§59.2), or something declared cannot be read.</summary>
    DenialOfAll,

    /// <summary>Service events are denied (§59.2).</summary>
    DenialOfServiceEvents,

    /// <summary>No open service event proves treatment (§57).</summary>
    NoCareRelationship,

    /// <summary>One does (§9, §57).</summary>
    CareRelationship,

    /// <summary>The task stays in the own register (decree 457/2024 §7, §9).</summary>
    TaskTooNarrow,

    /// <summary>Public or occupational registers are denied (§59.2, §18).</summary>
    DenialOfRegisters,

    /// <summary>Prescriptions are denied (§59.2; kanta.fi, sharing of prescription data).</summary>
    DenialOfPrescriptions,

    /// <summary>The task reaches some types of others only (decree §6, §8), or of the own register no documents of another speciality (§6).</summary>
    TaskBound,

    /// <summary>Specially protected entries are withheld (§26.2, decree §26).</summary>
    SpeciallyProtected,

    /// <summary>But those of the service in which the person is treated (§26.2).</summary>
    OwnService,

    /// <summary>But those that the professional has confirmed the need of (§26.2).</summary>
    Confirmation,

    /// <summary>An emergency that the professional has recorded (§54.2).</summary>
    Emergency,

    /// <summary>It reaches over denials that allow it (§54.2; kanta.fi, denial of consent).</summary>
    EmergencyOverDenial,

    /// <summary>It reaches what is necessary (§54.2).</summary>
    EmergencyTypes,

    /// <summary>Addresses are hidden under a non-disclosure order (turvakielto, Finnish base profiles).</summary>
    NonDisclosure,

    /// <summary>What is not yet released is hidden from the person (§74).</summary>
    ReleaseDelay,

    /// <summary>What a minor has denied or nobody knows is hidden from custodians (§34, §51).</summary>
    MinorsOwn,

    /// <summary>Kept no longer (§24, Annex).</summary>
    RetentionOver,

    /// <summary>The person disputes an access of who asks, so nothing is shown until it is settled (GDPR Art. 18(1)(d), 21(1)).</summary>
    Restricted,

    /// <summary>A declaration of the person, recorded at a desk (§58).</summary>
    DeskDeclares,

    /// <summary>A confirmation or an emergency, recorded by the professional whose it is (§26.2, §54.2).</summary>
    RecordsAccess,

    /// <summary>The review of an emergency by another unit (EHDS Art. 11(5)).</summary>
    ReviewsEmergency,

    /// <summary>A producer may write for who buys its services (§13).</summary>
    PurchasedServices,

    /// <summary>Public controllers of Uusimaa, who need no permission among each other (§54.1).</summary>
    JointRegister,
}

/// <summary>What the gateway may do with one request. There is no third case.</summary>
public abstract record Decision
{
    private Decision() { }

    /// <param name="Scope">The filter that the repository applies before limits and totals.</param>
    /// <param name="Rules">Which rules fired, in order. Never told to the requester: it could tell what is hidden.</param>
    /// <param name="RestsOnPolicy">Whether the person's declarations or service events took part, so that the policy version must still hold when the data is read.</param>
    public sealed record Permit(LegalBasis Basis, DisclosureScope Scope, IReadOnlyList<Rule> Rules, bool RestsOnPolicy) : Decision;

    public sealed record Deny : Decision
    {
        private static readonly Deny[] All = [.. Enum.GetValues<DenyReason>().Select(reason => new Deny(reason))];

        private Deny(DenyReason reason) => Reason = reason;

        public DenyReason Reason { get; }

        /// <summary>The denial for a reason; always the same one.</summary>
        public static Deny Of(DenyReason reason) => All[(int)reason];
    }
}
