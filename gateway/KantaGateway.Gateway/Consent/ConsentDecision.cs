using System.Globalization;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Consent;

/// <summary>The rules of the Act as one pure function.</summary>
public static partial class ConsentDecision
{
    private static readonly Decision.Permit DirectoryRead =
        new(LegalBasis.Directory, new DisclosureScope { Breadth = Breadth.Directory }, [Rule.Directory], RestsOnPolicy: false);

    /// <summary>The scope of what is kept no longer: nothing, as if it had never been (§24).</summary>
    private static readonly Decision.Permit Expired = new(LegalBasis.OwnRegister, DisclosureScope.Nothing, [Rule.RetentionOver], RestsOnPolicy: true);

    /// <summary>The scope of whoever's access the person disputes: nothing, as if there were nothing (GDPR Art. 18).</summary>
    private static readonly Decision.Permit Restricted = new(LegalBasis.OwnRegister, DisclosureScope.Nothing, [Rule.Restricted], RestsOnPolicy: true);

    private static readonly string[] Letters = ["Communication"];

    private static readonly ScopeFilter[] HerLetters = [new(Letters[0], [RectificationRequests.Criteria], reads: true)];

    /// <summary>Whether a decision about this interaction needs the person's policy at all.</summary>
    /// <remarks>
    /// Systems that declare nothing stay in their own register, the directory is nobody's data: neither asks. Where the person has ever disputed an access the repository asks for the policy all the same.
    /// </remarks>
    public static bool NeedsPolicy(Requester requester, Interaction interaction) =>
        !interaction.Compartment.IsDirectory
        && (requester.Kind == RequesterKind.Professional
            || (requester.Kind == RequesterKind.System && IsDeclaring(interaction))
            || (requester.Kind == RequesterKind.Citizen && requester.Person == interaction.Compartment && (interaction.IsWrite || requester.OnBehalfOf is not null)));

    /// <summary>Decides whether the requester may do this, and which part of the record it reaches.</summary>
    /// <param name="requester">Identified in step 1.</param>
    /// <param name="interaction">Read in step 2.</param>
    /// <param name="policy">The person's policy; <see cref="PolicySnapshot.Empty"/> where <see cref="NeedsPolicy"/> is false.</param>
    /// <param name="relationship">Proof of a care relationship from that policy; null: none.</param>
    /// <param name="now">Time of the request, UTC; the caller holds the clock.</param>
    /// <returns>Always a decision. No matching rule gives Deny(NoLegalBasis).</returns>
    /// <remarks>Act 703/2023 §9, §13, §18, §24, §26, §50-51, §54, §57, §58, §59, §68; decree 457/2024 §3-9, §26; GDPR Art. 18. Pure, total, does not throw.</remarks>
    public static Decision Decide(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now)
    {
        var reach = TokenReach.Of(requester);
        var decision = DecideBreadth(requester, interaction, policy, relationship, reach, now);
        if (decision is not Decision.Permit permit)
            return decision;
        // Of whatever is permitted, what the token's scopes describe by search parameters.
        if (reach.Filters(requester, interaction) is { } filters)
            permit = permit with { Scope = permit.Scope with { Filters = filters } };
        // Where there ever was one the repository takes no grant of the own register that rests on no policy, not for a write either.
        if (!permit.RestsOnPolicy && permit.Scope.Breadth == Breadth.OwnRegister && policy.HasRestrictions)
            permit = permit with { RestsOnPolicy = true };
        // Purchased services are archived in the register of who bought them (§13).
        return requester.ProducesFor.Count > 0 && interaction.IsWrite && permit.Scope is { MayDeclare: false, Breadth: Breadth.OwnRegister or Breadth.Disclosed }
            ? permit with { Scope = permit.Scope with { MayWriteFor = requester.ProducesFor }, Rules = [.. permit.Rules, Rule.PurchasedServices] } : permit;
    }

    private static Decision DecideBreadth(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, TokenReach reach, DateTimeOffset now)
    {
        if (now >= requester.Expires || requester.Kind is not (RequesterKind.System or RequesterKind.Professional or RequesterKind.Citizen))
            return Decision.Deny.Of(DenyReason.NoLegalBasis);
        if (!reach.Covers(requester, interaction))
            return Decision.Deny.Of(DenyReason.ScopeTooNarrow);
        if (interaction.Compartment.IsDirectory)
            return DecideForDirectory(requester, interaction, reach);
        // Nor does a transaction, a patch or a conditional write find any of it. A write that reads nothing may still be made.
        if (policy.Person.KeptUntil is { } end && end <= now && interaction.Reads)
            return interaction.IsWrite ? Unseen(interaction) : Expired;
        if (requester.Kind != RequesterKind.Citizen && interaction.Reads && policy.At(now).IsRestricted(requester, now))
            return interaction.IsWrite ? Unseen(interaction) : DecideRestricted(requester, interaction, policy, relationship, now);
        return requester.Kind switch
        {
            RequesterKind.Citizen => DecideForCitizen(requester, interaction, policy, reach, now),
            RequesterKind.System when IsDeclaring(interaction) => DecideDeclaration(requester, interaction, policy, relationship, now),
            RequesterKind.System => DecideForSystem(requester, interaction, reach),
            RequesterKind.Professional when IsDeclaring(interaction) => DecideDeclaration(requester, interaction, policy, relationship, now),
            RequesterKind.Professional => DecideForProfessional(requester, interaction, policy, relationship, reach, now),
            _ => Decision.Deny.Of(DenyReason.NoLegalBasis),
        };
    }

    /// <summary>
    /// What is left to whoever's access the person disputes: the requests for rectification that she has sent to that register herself, which it has to answer in a month whatever is disputed
    /// (GDPR Art. 12(3), 18(2): with her consent).
    /// </summary>
    private static Decision.Permit DecideRestricted(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now)
    {
        if (interaction.Type != Letters[0] || interaction.Needs.Any(static need => need.Type != Letters[0]) || !TaskReach.Of(requester).Covers(interaction.Needs))
            return Restricted;
        var register = RegisterOf(requester, interaction, relationship) ?? Register.Patient;
        return new(LegalBasis.OwnRegister, new DisclosureScope
        {
            Breadth = Breadth.OwnRegister,
            Controller = requester.Organisation.ToString(),
            Register = register,
            Withheld = requester.Kind == RequesterKind.Professional ? SightOf(requester, register, relationship, policy.At(now), now).WithheldFromOwn : Withheld.Nothing,
            Types = Letters,
            FiltersOfOwn = HerLetters,
        }, [Rule.OwnRegister, Rule.Restricted], RestsOnPolicy: true);
    }

    /// <summary>A write that would look at what is not there for who asks: by id it is one of an absent resource, and whatever looks for something finds no legal basis.</summary>
    private static Decision.Deny Unseen(Interaction interaction) => Decision.Deny.Of(interaction.IsById ? DenyReason.AsIfAbsent : DenyReason.NoLegalBasis);

    /// <summary>The directory as this interaction may see it beside a patient's record: to check references, to chain, to include.</summary>
    public static DisclosureScope DirectoryBeside(Requester requester, Interaction interaction)
    {
        var reach = TokenReach.Of(requester);
        return (interaction.IsWrite ? DirectoryWrite(requester) : DirectoryRead.Scope) with { Types = reach.Types(requester, interaction.ReadsBy), Filters = reach.Filters(requester, interaction) };
    }

    private static bool IsDeclaring(Interaction interaction)
    {
        for (var i = 0; i < interaction.Needs.Count; i++)
            if (interaction.Needs[i] is { Type: "Consent", Letter: 'c' or 'u' or 'd' })
                return true;
        return false;
    }

    // :: The directory: nobody's data

    private static Decision DecideForDirectory(Requester requester, Interaction interaction, TokenReach reach)
    {
        if (requester.Kind == RequesterKind.Citizen && interaction.IsWrite)
            return Decision.Deny.Of(DenyReason.NoLegalBasis);
        if (IsDeclaring(interaction))
            return Decision.Deny.Of(DenyReason.DeclarationByAnother);
        var types = reach.Types(requester, interaction.ReadsBy);
        return interaction.IsWrite
            ? new Decision.Permit(LegalBasis.Directory, DirectoryWrite(requester) with { Types = types }, DirectoryRead.Rules, RestsOnPolicy: false)
            : types is null ? DirectoryRead : DirectoryRead with { Scope = DirectoryRead.Scope with { Types = types } };
    }

    /// <summary>The directory as its writer sees it: all of it to read, the organisation's own entries to change.</summary>
    private static DisclosureScope DirectoryWrite(Requester requester) =>
        new() { Breadth = Breadth.Directory, Controller = requester.Organisation.ToString() };

    // :: Professionals

    /// <summary>Other controllers' data for a professional: §54 permission or emergency, §59 denials, §57 care relationship, §26 protected entries.</summary>
    private static Decision DecideForProfessional(
        Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, TokenReach reach, DateTimeOffset now)
    {
        var isEmergency = requester.PurposeOfUse == "ETREAT";
        if (!isEmergency && requester.PurposeOfUse != "TREAT")
            return Decision.Deny.Of(DenyReason.PurposeNotServed);

        if (NamesNoVisit(requester, interaction, policy, relationship, now))
            return Decision.Deny.Of(DenyReason.NoOpenServiceEvent);
        var register = RegisterOf(requester, interaction, relationship);
        if (register is null && interaction.IsWrite)
            return Decision.Deny.Of(DenyReason.EmployerMissing);
        // The register of one employer is not own to who treats for another (§18). Before and after the visit it is own as any: somebody registers, finishes the note, tells a result.
        if (register is not null && Register.IsOccupational(register) && policy.TreatmentIn(requester.Organisation.ToString(), register, now) == Treatment.ForAnother)
            return Decision.Deny.Of(DenyReason.NoOpenServiceEvent);
        // A search leaves out what the task does not reach in the services of the organisation; a write names its types itself.
        var task = TaskReach.Of(requester);
        if (interaction.IsWrite && !task.Covers(interaction.Needs))
            return Decision.Deny.Of(DenyReason.TaskTooNarrow);

        // What protected entries are seen (§26.2): in events of the same service, or after a confirmation.
        var state = policy.At(now);
        var organisation = requester.Organisation.ToString();
        var sight = SightOf(requester, register, relationship, state, now);

        // Own register (§9): no permission needed. Whatever is missing below leaves exactly this.
        var others = task.Others;
        if (others.IsNothing)
            return Own(Rule.TaskTooNarrow);
        if (isEmergency)
            return DecideInEmergency();
        var isPermitted = state.IsInformed && state.Permission is not null;
        if (!isPermitted && requester.JointWith.Count == 0)
            return Own(state.IsInformed ? Rule.NoPermission : Rule.NotInformed);
        if (state.Denied.DeniesAll)
            return Own(Rule.DenialOfAll);
        if (relationship is null)
            return Own(Rule.NoCareRelationship);

        // Permission in force (§54), or the controllers among whom none is needed (§54.1), minus the denials (§59.2).
        return isPermitted ? Disclosed(LegalBasis.DisclosurePermission, Rule.Permission, state.Denied, others.Types, others.Filters, null)
            : Disclosed(LegalBasis.JointRegister, Rule.JointRegister, state.Denied, others.Types, others.Filters, requester.JointWith);

        // §54.2: without permission what is necessary, for some minutes; §57 still asks for the care relationship, and a denial for its exception.
        Decision DecideInEmergency()
        {
            if (EmergenciesRest(requester, state, now))
                return Decision.Deny.Of(DenyReason.EmergenciesRest);
            if (state.EmergencyOf(requester.ProfessionalId, organisation, now) is null)
                return Decision.Deny.Of(DenyReason.NoEmergency);
            if (relationship is null)
                return Own(Rule.NoCareRelationship);
            if (state.DeniedInEmergency.DeniesAll)
                return Own(Rule.DenialOfAll);
            return Disclosed(LegalBasis.Emergency, Rule.Emergency, state.DeniedInEmergency, others.InEmergency, null, null);
        }

        Decision.Permit Own(Rule missing) => OwnRegister(requester, interaction, sight.Register, state.Permits, reach, missing, sight);

        Decision.Permit Disclosed(LegalBasis basis, Rule path, DenialsInForce denials, IReadOnlyList<string>? typesOfOthers, IReadOnlyList<ScopeFilter>? filtersOfOthers,
            IReadOnlyList<string>? onlyOf)
        {
            var types = reach.Types(requester, interaction.ReadsBy);
            var key = new PermitKey(path, interaction.IsWrite, organisation, sight.Register, types, typesOfOthers, sight.OfService, sight.Confirmed, sight.OfOwn, onlyOf, task.FiltersOfOwn);
            if (state.Permits.Find(key) is { } known)
                return known;
            var rules = new List<Rule> { interaction.IsWrite ? Rule.Archive : Rule.OwnRegister, path, Rule.CareRelationship };
            if (path == Rule.Emergency)
            {
                rules.Add(Rule.EmergencyTypes);
                if (state.Denied.HidesMoreThan(denials))
                    rules.Add(Rule.EmergencyOverDenial);
            }
            if (denials.ServiceEvents.Count > 0)
                rules.Add(Rule.DenialOfServiceEvents);
            if (denials.Registers.Count > 0)
                rules.Add(Rule.DenialOfRegisters);
            if (denials.Prescriptions.Count > 0)
                rules.Add(Rule.DenialOfPrescriptions);
            if (others.Types is not null)
                rules.Add(Rule.TaskBound);
            sight.AddTo(rules);
            rules.Add(Rule.NonDisclosure);
            return state.Permits.Keep(key, new(basis, new DisclosureScope
            {
                Breadth = Breadth.Disclosed,
                Controller = organisation,
                Register = sight.Register,
                Withheld = denials.WithheldFrom(sight.Seen, sight.OfOwn),
                Types = types,
                TypesOfOthers = typesOfOthers,
                FiltersOfOthers = filtersOfOthers,
                FiltersOfOwn = task.FiltersOfOwn,
                OnlyOf = onlyOf,
                HidesContacts = true,
            }, rules, RestsOnPolicy: true));
        }
    }

    /// <summary>
    /// Whether a service event is named that is no visit of the organisation's that goes on (§57). The answer depends on the requester's own events alone. One that is only
    /// stale is no reason to refuse what stays in the own register (§9), the next version of its Encounter above all: it proves no care relationship, and opens nothing.
    /// </summary>
    private static bool NamesNoVisit(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now) =>
        interaction.ServiceEvent is { } named && relationship is null && !policy.IsStale(requester.Organisation.ToString(), named, now);

    /// <summary>Whether the professional has lost the right to emergencies: for all until every overdue review is made, for one who was misused for good.</summary>
    private static bool EmergenciesRest(Requester requester, PolicyState state, DateTimeOffset now)
    {
        var (organisation, ended) = (requester.Organisation.ToString(), requester.EmergencyBarEnded);
        return requester.EmergencyIsOverdue || state.HasOverdue(requester.ProfessionalId, organisation, ended, now) || state.WasMisused(requester.ProfessionalId, organisation, ended);
    }

    private static Sight SightOf(Requester requester, string? register, CareRelationship? relationship, PolicyState state, DateTimeOffset now) =>
        new(register ?? Register.Patient, relationship?.Services ?? ProtectedService.None, state.ConfirmedBy(requester.ProfessionalId, requester.Organisation.ToString(), requester.PurposeOfUse, now), requester.OwnServices);

    /// <summary>How a professional looks at protected entries, and in which register.</summary>
    /// <param name="Register">The own register of this request.</param>
    /// <param name="OfService">Services in which the organisation treats the person now.</param>
    /// <param name="Confirmed">Services that the professional has confirmed the need of.</param>
    /// <param name="OfOwn">
    /// Services that the controller is wholly of. What it has recorded is seen as in an event of them (§26.2): before and after the visit, and in one that names no unit of
    /// the professional's; what others have recorded is not.
    /// </param>
    private readonly record struct Sight(string Register, ProtectedService OfService, ProtectedService Confirmed, ProtectedService OfOwn)
    {
        public ProtectedService Seen => OfService | Confirmed;

        /// <summary>What is withheld of the own register where nothing else is reached.</summary>
        public Withheld WithheldFromOwn => new() { SpeciallyProtected = true, SeenServices = Seen | OfOwn };

        public void AddTo(List<Rule> rules)
        {
            rules.Add(Rule.SpeciallyProtected);
            if ((OfService | OfOwn) != ProtectedService.None)
                rules.Add(Rule.OwnService);
            if (Confirmed != ProtectedService.None)
                rules.Add(Rule.Confirmation);
        }
    }

    /// <summary>A system without a professional keeps its controller's register (§13), and shows nobody anything by itself.</summary>
    private static Decision DecideForSystem(Requester requester, Interaction interaction, TokenReach reach)
    {
        var register = RegisterOf(requester, interaction, null);
        return register is null && interaction.IsWrite ? Decision.Deny.Of(DenyReason.EmployerMissing)
            : OwnRegister(requester, interaction, register ?? Register.Patient, reach.Permits, reach, null, null);
    }

    /// <summary>The own register (§9, §13). A professional's sight of protected entries binds here too (§26.2).</summary>
    private static Decision.Permit OwnRegister(
        Requester requester, Interaction interaction, string register, PermitMemo permits, TokenReach reach, Rule? missing, Sight? sight)
    {
        var own = interaction.IsWrite ? Rule.Archive : Rule.OwnRegister;
        var (types, filters) = (reach.Types(requester, interaction.ReadsBy), TaskReach.Of(requester).FiltersOfOwn);
        var key = new PermitKey(missing ?? own, interaction.IsWrite, requester.Organisation.ToString(), register, types, null, sight?.OfService ?? ProtectedService.None, sight?.Confirmed ?? ProtectedService.None, sight?.OfOwn ?? ProtectedService.None, null, filters);
        if (permits.Find(key) is { } known)
            return known;
        var rules = new List<Rule> { own };
        if (missing is { } rule)
            rules.Add(rule);
        if (filters is not null)
            rules.Add(Rule.TaskBound);
        sight?.AddTo(rules);
        // A read that the policy kept inside the own register must widen with the next permission, so it rests on the policy;
        // a write discloses nothing of others either way.
        return permits.Keep(key, new(LegalBasis.OwnRegister, new DisclosureScope
        {
            Breadth = Breadth.OwnRegister,
            Controller = requester.Organisation.ToString(),
            Register = register,
            Withheld = sight?.WithheldFromOwn ?? Withheld.Nothing,
            Types = types,
            FiltersOfOwn = filters,
        }, rules, RestsOnPolicy: missing is not null && !interaction.IsWrite));
    }

    /// <summary>Which register of the requester's organisation is meant; null: occupational care that has not said for which employer, and does not treat for just one (§18).</summary>
    /// <remarks>A stale event names none, for it proves no treatment: the employer is named, as before and after any visit.</remarks>
    private static string? RegisterOf(Requester requester, Interaction interaction, CareRelationship? relationship) =>
        requester.ControllerKind != ControllerKind.Occupational ? Register.Patient
        : interaction.RegisterOfEmployer is { } register ? register
        : relationship?.Register is { } its && Register.IsOccupational(its) ? its
        : null;

    // :: The person

    /// <summary>
    /// The person themselves, who represents them, or an app within the scopes that they allowed it: the whole record but for what is
    /// not yet released; of writes only declarations, and what she asks of a controller.
    /// </summary>
    private static Decision DecideForCitizen(Requester requester, Interaction interaction, PolicySnapshot policy, TokenReach reach, DateTimeOffset now)
    {
        // One person at a time: who acts for another does not reach her own record meanwhile.
        if (requester.Person is not { } person || person != interaction.Compartment)
            return Decision.Deny.Of(DenyReason.NotOwnData);
        if (requester.OnBehalfOf is { } represented && !MayRepresent(represented.Kind, policy.Person, now))
            return Decision.Deny.Of(DenyReason.NotOwnData);
        if (interaction.IsWrite)
            return interaction.Type == "Communication" ? DecideRequestOfPerson(requester, interaction) : DecideDeclarationOfPerson(requester, interaction, policy, now);
        var hour = ReleaseHour.Of(now);
        var types = reach.Types(requester, interaction.ReadsBy);
        if (requester.OnBehalfOf is null)
        {
            var key = new PermitKey(Rule.SelfRead, IsWrite: false, hour.Name, Register.Patient, types, null, ProtectedService.None, ProtectedService.None);
            return reach.Permits.Find(key) ?? reach.Permits.Keep(key, new(LegalBasis.OwnData,
                new DisclosureScope { Breadth = Breadth.WholePerson, Withheld = hour.Withheld, Types = types }, [Rule.SelfRead, Rule.ReleaseDelay], RestsOnPolicy: false));
        }

        // §34, §51: what a minor able to decide has denied, or nobody knows, is not for custodians.
        var isCustodian = requester.OnBehalfOf.Kind == RepresentationKind.Custodian;
        var withheld = !isCustodian ? hour.Withheld : hour.Withheld with { FromCustodians = true, UnknownShownBefore = policy.Person.TwelfthBirthday };
        return new Decision.Permit(LegalBasis.OnBehalf,
            new DisclosureScope { Breadth = Breadth.WholePerson, Withheld = withheld, Types = types, HidesContacts = true },
            isCustodian ? [Rule.Represents, Rule.MinorsOwn, Rule.ReleaseDelay, Rule.NonDisclosure] : [Rule.Represents, Rule.ReleaseDelay, Rule.NonDisclosure], RestsOnPolicy: true);
    }

    /// <summary>A mandate and custody end with death, custody with majority (§50).</summary>
    private static bool MayRepresent(RepresentationKind kind, PersonFacts person, DateTimeOffset now) =>
        !(person.Deceased <= now) && (kind != RepresentationKind.Custodian || person.AgeAt(now) is null or < PersonFacts.Majority);

    /// <summary>
    /// Release days begin at midnight in Finland, which is a whole hour of UTC: the hour is as exact as the second, and permits of one hour
    /// are one.
    /// </summary>
    private sealed record ReleaseHour(long Ticks, string Name, Withheld Withheld)
    {
        private static ReleaseHour _last = Make(0);

        public static ReleaseHour Of(DateTimeOffset now)
        {
            var ticks = now.UtcTicks - now.UtcTicks % TimeSpan.TicksPerHour;
            var last = Volatile.Read(ref _last);
            if (last.Ticks == ticks)
                return last;
            last = Make(ticks);
            Volatile.Write(ref _last, last);
            return last;
        }

        private static ReleaseHour Make(long ticks) =>
            new(ticks, ticks.ToString(CultureInfo.InvariantCulture), new() { UnreleasedAt = new(ticks, TimeSpan.Zero) });
    }
}
