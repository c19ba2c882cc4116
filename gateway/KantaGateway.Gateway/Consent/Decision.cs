using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Consent;

/// <summary>On what the law lets data be given; recorded with every disclosure (Act 703/2023 §10).</summary>
public enum LegalBasis
{
    /// <summary>The controller's own register (§9, §13): no permission is needed.</summary>
    OwnRegister,

    /// <summary>Disclosure permission (luovutuslupa, §54) within the denials (§59).</summary>
    DisclosurePermission,

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

    /// <summary>Declarations of will are made by the person (§58); nobody else writes them here.</summary>
    DeclarationByAnother,

    /// <summary>A permission or denial must rest on the informing now in force (§58, §68).</summary>
    NotInformed,

    /// <summary>The Consent is not a declaration that the Act knows (§54, §59).</summary>
    UnknownDeclaration,
}

/// <summary>A rule that took part in a decision, for the audit, operators and the person's own preview.</summary>
public enum Rule
{
    Directory, OwnRegister, Archive, SelfRead, SelfDeclares, Represents,
    NotInformed, NoPermission, Permission, DenialOfAll, DenialOfServiceEvents, NoCareRelationship, CareRelationship, TaskTooNarrow,
}

/// <summary>What the gateway may do with one request. There is no third case.</summary>
public abstract record Decision
{
    private Decision() { }

    /// <param name="Scope">The filter that the repository applies before limits and totals.</param>
    /// <param name="Rules">Which rules fired, in order. Never told to the requester: it could tell what is hidden.</param>
    /// <param name="RestsOnPolicy">Whether the person's declarations or service events took part, so that the policy version must still hold when the data is read.</param>
    public sealed record Permit(LegalBasis Basis, DisclosureScope Scope, IReadOnlyList<Rule> Rules, bool RestsOnPolicy) : Decision;

    public sealed record Deny(DenyReason Reason) : Decision;
}
