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

    /// <summary>The named service event is not an open one of the requester's organisation for this person (§57).</summary>
    NoOpenServiceEvent,

    /// <summary>Somebody else's record.</summary>
    NotOwnData,

    /// <summary>A declaration of will that this requester may not make for the person: not signed at its own desk, or another's to make (§58).</summary>
    DeclarationByAnother,

    /// <summary>A declaration recorded at a desk with no signed form behind it (§58: stored as given, printable).</summary>
    UnsignedDeclaration,

    /// <summary>A permission or denial must rest on the informing now in force (§58, §68).</summary>
    NotInformed,

    /// <summary>The Consent is not a declaration that the Act knows (§54, §59).</summary>
    UnknownDeclaration,

    /// <summary>A permission covers all patient data and is narrowed by denials only (§54.1).</summary>
    PermissionIsForAll,

    /// <summary>A single document is a scope of denial in social care only (§59.1).</summary>
    DocumentIsNoScope,

    /// <summary>A private provider cannot be denied as a whole (§59.2).</summary>
    PrivateProviderIsNoScope,

    /// <summary>The denied register is of no controller that has joined.</summary>
    UnknownRegister,

    /// <summary>A declaration dated later than now, or over before it began.</summary>
    WrongTime,

    /// <summary>A custodian may not set the child's denials (kanta.fi, acting on behalf of a minor).</summary>
    NotForCustodians,

    /// <summary>The access record holds longer than it may, or names another purpose than the token.</summary>
    RecordTooWide,

    /// <summary>Purpose ETREAT, and the professional has recorded no emergency that is still open (§54.2).</summary>
    NoEmergency,

    /// <summary>An emergency of the professional has not been reviewed in time, or was found to be none.</summary>
    EmergenciesRest,

    /// <summary>The emergency is not there, is settled, or is the reviewer's own or of the reviewer's own unit.</summary>
    NoReview,

    /// <summary>The professional's task does not reach a type that is written, or read within a transaction (decree 457/2024 §7, §8).</summary>
    TaskTooNarrow,

    /// <summary>Occupational care keeps a register for each employer (§18) and has to say for which one it writes, where it does not treat the person for just one.</summary>
    EmployerMissing,
}

/// <summary>A rule that took part in a decision, for the audit, operators and the person's own preview.</summary>
public enum Rule
{
    Directory, OwnRegister, Archive, SelfRead, SelfDeclares, Represents,
    NotInformed, NoPermission, Permission, DenialOfAll, DenialOfServiceEvents, NoCareRelationship, CareRelationship, TaskTooNarrow,
    DenialOfRegisters, DenialOfPrescriptions, TaskBound, SpeciallyProtected, OwnService, Confirmation,
    Emergency, EmergencyOverDenial, EmergencyTypes, NonDisclosure, ReleaseDelay, MinorsOwn, RetentionOver,
    DeskDeclares, RecordsAccess, ReviewsEmergency, PurchasedServices, JointRegister,
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
