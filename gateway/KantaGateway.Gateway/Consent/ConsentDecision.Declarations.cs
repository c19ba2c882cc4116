using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Consent;

// Who may declare what, and who may record what about the own access.
public static partial class ConsentDecision
{
    /// <summary>The person, an app of theirs, or who represents them (§50, §58).</summary>
    private static Decision DecideDeclarationOfPerson(Requester requester, Interaction interaction, PolicySnapshot policy, DateTimeOffset now)
    {
        // How it was made the portal knows; what a clinic adds to one of its desk no person does.
        if (interaction.Type != "Consent" || interaction.Kind is not (InteractionKind.Create or InteractionKind.Update) || interaction.Needs.Any(static need => need.Type == "Provenance"))
            return Decision.Deny.Of(DenyReason.NoLegalBasis);
        if (interaction.Declares is not { } declaration)
            return Decision.Deny.Of(interaction.Objection);
        if (declaration.IsSpeakerUnclear)
            return Decision.Deny.Of(DenyReason.SpeakerUnclear);
        var isCustodian = requester.OnBehalfOf is { Kind: RepresentationKind.Custodian };
        // Which access it was the portal has looked up among the person's own.
        if (declaration is AccessRestriction && requester.ClientId != PortalSessions.ClientId)
            return Decision.Deny.Of(DenyReason.DeclarationByAnother);
        // What names a place of care reads as recorded at its desk, which the person is not.
        if (declaration is AccessRecord || IsOfAccess(interaction, policy, declaration.Id) || declaration.ByCustodian != isCustodian || declaration.RecordedBy is not null)
            return Decision.Deny.Of(DenyReason.DeclarationByAnother);
        if (isCustodian && !IsACustodians(declaration, interaction, policy))
            return Decision.Deny.Of(DenyReason.NotForCustodians);
        if (Objection(declaration, interaction, policy, now) is { } objection)
            return Decision.Deny.Of(objection);
        if ((interaction.Kind == InteractionKind.Update && !IsOfTheSame(declaration, Known(declaration.Id, policy))) || !IsOfTheSame(declaration, Known(declaration.Withdraws, policy)))
            return Decision.Deny.Of(DenyReason.SubjectChanged);
        if (IsBehind(declaration, policy, now))
            return Decision.Deny.Of(DenyReason.DeclaredSince);
        return new Decision.Permit(requester.OnBehalfOf is null ? LegalBasis.OwnData : LegalBasis.OnBehalf,
            new DisclosureScope { Breadth = Breadth.WholePerson, Controller = requester.Organisation.ToString() },
            requester.OnBehalfOf is null ? [Rule.SelfDeclares] : [Rule.Represents, Rule.SelfDeclares], RestsOnPolicy: true);
    }

    /// <summary>
    /// The person asks a controller to rectify an entry (GDPR Art. 16), or takes that back: it is written into that controller's register, which answers it (Art. 12). Whose the entry is the portal has looked up, so the
    /// portal alone may send it. A custodian asks on paper: what a minor able to decide has asked would be shown to, or made by, somebody else (§51).
    /// </summary>
    private static Decision DecideRequestOfPerson(Requester requester, Interaction interaction)
    {
        if (interaction is not { Kind: InteractionKind.Create, Asks: { } asked } || interaction.Needs.Any(static need => need.Type != "Communication") || requester.ClientId != PortalSessions.ClientId)
            return Decision.Deny.Of(DenyReason.NoLegalBasis);
        if (requester.OnBehalfOf is { Kind: RepresentationKind.Custodian })
            return Decision.Deny.Of(DenyReason.NotForCustodians);
        return new Decision.Permit(requester.OnBehalfOf is null ? LegalBasis.OwnData : LegalBasis.OnBehalf,
            new DisclosureScope { Breadth = Breadth.WholePerson, Controller = asked.Controller, Register = asked.Register },
            requester.OnBehalfOf is null ? [Rule.SelfAsks] : [Rule.Represents, Rule.SelfAsks], RestsOnPolicy: true);
    }

    /// <summary>What is recorded at a desk for the person (§58: given to a joined provider), and what a professional records about the own access.</summary>
    private static Decision DecideDeclaration(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now)
    {
        if (interaction.Type != "Consent" || interaction.Kind != InteractionKind.Create)
            return Decision.Deny.Of(DenyReason.DeclarationByAnother);
        if (interaction.Declares is not { } declaration)
            return Decision.Deny.Of(interaction.Objection);
        // What is looked for on the way would be shown by whether it is found.
        if (interaction.Needs.Any(static need => need.Letter != 'c'))
            return Decision.Deny.Of(DenyReason.DeclarationByCriteria);
        if (declaration is not AccessRecord && declaration.IsSpeakerUnclear)
            return Decision.Deny.Of(DenyReason.SpeakerUnclear);
        if (NamesNoVisit(requester, interaction, policy, relationship, now))
            return Decision.Deny.Of(DenyReason.NoOpenServiceEvent);
        var organisation = requester.Organisation.ToString();
        var (rule, reason) = declaration is AccessRecord record
            ? DecideRecord(requester, record, organisation, policy, relationship, now)
            : (Rule.DeskDeclares, ObjectionAtDesk(declaration, interaction, organisation, policy, relationship, now));
        if ((reason ?? Objection(declaration, interaction, policy, now)) is { } objection)
            return Decision.Deny.Of(objection);
        var register = RegisterOf(requester, interaction, relationship) ?? Register.Patient;
        return new Decision.Permit(LegalBasis.OwnRegister, new DisclosureScope
        {
            Breadth = Breadth.OwnRegister,
            Controller = organisation,
            Register = register,
            // The form may be a protected entry itself, as all that a practice of psychotherapy stores.
            Withheld = requester.Kind == RequesterKind.Professional ? SightOf(requester, register, relationship, policy.At(now), now).WithheldFromOwn : Withheld.Nothing,
            MayDeclare = true,
        }, [rule], RestsOnPolicy: true);
    }

    /// <summary>
    /// At the desk: recorded by the organisation that asks, signed by the person or who may declare it for them, and where it may open the record of a person who is
    /// treated there, at a time that can be held against what was said before.
    /// </summary>
    /// <remarks>
    /// Where a day alone is named nobody knows whether a form is the older will, and it would be kept and never hold. That is asked of each that may open, and of none for
    /// what else was declared: an answer that depends on it would tell the desk.
    /// </remarks>
    private static DenyReason? ObjectionAtDesk(
        Declaration declaration, Interaction interaction, string organisation, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now) =>
        declaration.RecordedBy != organisation || declaration is Acknowledgement or AccessRestriction ? DenyReason.DeclarationByAnother
        : !declaration.IsSigned && declaration is not Informing ? DenyReason.UnsignedDeclaration
        : relationship is null && (declaration.MayOpen || declaration.ByCustodian) ? DenyReason.NoOpenServiceEvent
        : declaration.IsOfDay && declaration.MayOpen ? DenyReason.TimeOfDayMissing
        // Last, and of who is treated alone, for it rests on what other registers say of the person. Of who was of age when it was signed a related person holds a mandate, and
        // declares what the person may (§50); what a custodian signed before that stays a custodian's.
        : declaration.ByCustodian && (policy.Person.Deceased <= now || (policy.Person.MayBeMinorAt(declaration.SaidAt) && !IsACustodians(declaration, interaction, policy))) ? DenyReason.NotForCustodians
        : null;

    private static (Rule, DenyReason?) DecideRecord(
        Requester requester, AccessRecord record, string organisation, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now)
    {
        // Another unit reviews it, so it is of one.
        if (requester.Kind == RequesterKind.Professional && record is EmergencyAccess && requester.Unit is null)
            return (Rule.RecordsAccess, DenyReason.UnitMissing);
        if (requester.Kind != RequesterKind.Professional || requester.ProfessionalId is null || !record.IsOf(requester.ProfessionalId, organisation) || record.Unit != requester.Unit || !record.IsActive)
            return (Rule.RecordsAccess, DenyReason.DeclarationByAnother);
        // The person is told when it was; whoever reads or reviews it orders by that.
        if (record is not EmergencyReview && record.At < now - Declaration.Skew)
            return (Rule.RecordsAccess, DenyReason.WrongTime);
        var state = policy.At(now);
        switch (record)
        {
            case ProtectedConfirmation confirmation:
                // Between visits it opens the own register: for a statement, a correction. §26.2 asks for the separate step; of others' registers §57 asks for more.
                return (Rule.RecordsAccess, confirmation.Purpose != requester.PurposeOfUse || IsTooLong(record, ProtectedConfirmation.MaxLength, now) ? DenyReason.RecordTooWide : null);
            case EmergencyAccess:
                return (Rule.RecordsAccess,
                    requester.PurposeOfUse != "ETREAT" || IsTooLong(record, EmergencyAccess.MaxLength, now) ? DenyReason.RecordTooWide
                    : TaskReach.Of(requester).Others.IsNothing ? DenyReason.NoLegalBasis
                    : relationship is null ? DenyReason.NoOpenServiceEvent
                    : EmergenciesRest(requester, state, now) ? DenyReason.EmergenciesRest
                    : null);
            case EmergencyReview review:
                var emergency = state.Emergency(review.Emergency);
                return (Rule.ReviewsEmergency, emergency is not null && MayReview(requester, emergency) && state.ReviewOf(review.Emergency) is null ? null : DenyReason.NoReview);
            default:
                return (Rule.RecordsAccess, DenyReason.UnknownDeclaration);
        }
    }

    /// <summary>Whether a professional may settle an emergency: one that somebody else of another unit of the own organisation recorded (EHDS Art. 11(5)).</summary>
    /// <remarks>Not in a task of support, which is for bookings and orders (decree 457/2024 §7). Who may settle it may find it too.</remarks>
    public static bool MayReview(Requester requester, EmergencyAccess emergency) =>
        requester is { Kind: RequesterKind.Professional, ProfessionalId: { } self, Unit: { } unit, Tasks: not TaskClass.Support }
        && emergency.Organisation == requester.Organisation.ToString() && emergency.Professional != self && emergency.Unit != unit;

    private static bool IsTooLong(AccessRecord record, TimeSpan most, DateTimeOffset now) =>
        record.Until is not { } until || until - (record.From ?? record.At) > most || until > now + most + Declaration.Skew;

    /// <summary>What is against a declaration whoever makes it; null: nothing.</summary>
    private static DenyReason? Objection(Declaration declaration, Interaction interaction, PolicySnapshot policy, DateTimeOffset now)
    {
        // One that is over already would give nothing, and end what holds.
        if (declaration.At > now + Declaration.Skew || declaration.Until <= (declaration.From ?? declaration.At)
            || (declaration is DisclosurePermit or DisclosureDenial && declaration.IsActive && declaration.IsOver(now)))
            return DenyReason.WrongTime;
        if (declaration is Informing { IsCurrent: false, IsActive: true })
            return DenyReason.UnknownDeclaration;
        // What was denied may be given free whatever has become of its controller since.
        if (declaration is DisclosureDenial { IsActive: true, Target: DenialTarget.OfRegister target })
        {
            if (interaction.KindsOfDenied is { Count: 0 })
                return DenyReason.UnknownRegister;
            // Private and public providers keep registers of occupational care too (§18): what is denied is the register and not its keeper.
            if (!Register.IsOccupational(target.Register) && !interaction.KindsOfDenied.Contains(ControllerKind.Public))
                return DenyReason.PrivateProviderIsNoScope;
        }
        // Withdrawing needs no new informing: nobody is held to a permission by a changed text.
        return declaration is DisclosurePermit or DisclosureDenial && declaration.IsActive && !policy.At(now).IsInformed ? DenyReason.NotInformed : null;
    }

    /// <summary>
    /// Whether a denial is withdrawn in whose place another is in force, declared in another window or at a desk. Only the person is told so: to a desk it
    /// would tell that there is a denial. A permission may be withdrawn whatever came between: that closes.
    /// </summary>
    private static bool IsBehind(Declaration declaration, PolicySnapshot policy, DateTimeOffset now) =>
        declaration is DisclosureDenial { IsActive: false } denial
        && Known(denial.Withdraws ?? denial.Id, policy) is DisclosureDenial withdrawn
        && policy.At(now).Denials.Any(holds => holds.Target == withdrawn.Target && holds.Id != withdrawn.Id);

    /// <summary>The stored declaration with that id; null: none.</summary>
    private static Declaration? Known(string? id, PolicySnapshot policy) => id is null ? null : policy.Declarations.FirstOrDefault(known => known.Id == id);

    /// <summary>Whether a declaration is about what the one was in whose place it comes, or which it withdraws: else it would undo, unseen, what was declared of either.</summary>
    private static bool IsOfTheSame(Declaration declaration, Declaration? before) =>
        before is null || (before.GetType() == declaration.GetType() && (before as DisclosureDenial)?.Target == (declaration as DisclosureDenial)?.Target
            && (before is not AccessRestriction was || declaration is not AccessRestriction its || (was.Organisation, was.Unit, was.Entry) == (its.Organisation, its.Unit, its.Entry)));

    /// <summary>
    /// A child's denials are the child's (§51, §58): no custodian sets, changes or withdraws one, nor writes something else in its place, or in that of a permission that a
    /// minor able to decide has given or withdrawn. Nor does one read the child's notices for the child, or take back that the child was informed.
    /// </summary>
    private static bool IsACustodians(Declaration declaration, Interaction interaction, PolicySnapshot policy) =>
        declaration is not (DisclosureDenial or Acknowledgement or AccessRestriction or Informing { IsActive: false })
        && (interaction.Kind == InteractionKind.Create || policy.Declarations.Any(known => known is not DisclosureDenial && known.Id == declaration.Id && !known.IsOfMinor(policy.Person)));

    /// <summary>Whether an update would replace what a professional has recorded.</summary>
    private static bool IsOfAccess(Interaction interaction, PolicySnapshot policy, string id) =>
        interaction.Kind == InteractionKind.Update && policy.Declarations.Any(known => known is AccessRecord && known.Id == id);
}
