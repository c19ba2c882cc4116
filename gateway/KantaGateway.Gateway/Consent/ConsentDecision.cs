using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Consent;

/// <summary>The rules of the Act as one pure function.</summary>
public static class ConsentDecision
{
    private static readonly Decision.Permit DirectoryRead =
        new(LegalBasis.Directory, new DisclosureScope { Breadth = Breadth.Directory }, [Rule.Directory], RestsOnPolicy: false);

    private static readonly int ServedTypes = ResourceTypes.Served.Count;

    private static readonly Decision.Permit Self =
        new(LegalBasis.OwnData, new DisclosureScope { Breadth = Breadth.WholePerson }, [Rule.SelfRead], RestsOnPolicy: false);

    private static readonly Decision.Permit Represented =
        new(LegalBasis.OnBehalf, new DisclosureScope { Breadth = Breadth.WholePerson }, [Rule.Represents], RestsOnPolicy: false);

    /// <summary>Whether a decision about this interaction needs the person's policy at all.</summary>
    /// <remarks>Systems stay in their own register, the directory is nobody's data: neither asks.</remarks>
    public static bool NeedsPolicy(Requester requester, Interaction interaction) =>
        !interaction.Compartment.IsDirectory
        && (requester.Kind == RequesterKind.Professional
            || (requester.Kind == RequesterKind.Citizen && requester.Person == interaction.Compartment && interaction.IsWrite));

    /// <summary>Decides whether the requester may do this, and which part of the record it reaches.</summary>
    /// <param name="requester">Identified in step 1.</param>
    /// <param name="interaction">Read in step 2.</param>
    /// <param name="policy">The person's policy; <see cref="PolicySnapshot.Empty"/> where <see cref="NeedsPolicy"/> is false.</param>
    /// <param name="relationship">Proof of a care relationship from that policy; null: none.</param>
    /// <param name="now">Time of the request, UTC; the caller holds the clock.</param>
    /// <returns>Always a decision. No matching rule gives Deny(NoLegalBasis).</returns>
    /// <remarks>Act 703/2023 §9, §13, §54, §57, §58, §59, §68; decree 457/2024 §5-9. Pure, total, does not throw.</remarks>
    public static Decision Decide(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship, DateTimeOffset now)
    {
        if (now >= requester.Expires)
            return new Decision.Deny(DenyReason.NoLegalBasis);
        var decision = requester.Kind switch
        {
            RequesterKind.Citizen => DecideForCitizen(requester, interaction, policy),
            RequesterKind.System => DecideForClinic(requester, interaction) ?? OwnRegister(requester, interaction),
            RequesterKind.Professional => DecideForClinic(requester, interaction)
                ?? DecideForProfessional(requester, interaction, policy, relationship),
            _ => new Decision.Deny(DenyReason.NoLegalBasis),
        };
        return decision is Decision.Permit permit && TypesOf(requester, interaction.ReadsBy) is { } types
            ? permit with { Scope = permit.Scope with { Types = types } }
            : decision;
    }

    /// <summary>The directory as this interaction may see it beside a patient's record: to check references, to chain, to include.</summary>
    public static DisclosureScope DirectoryBeside(Requester requester, Interaction interaction) =>
        (interaction.IsWrite ? DirectoryWrite(requester) : DirectoryRead.Scope) with { Types = TypesOf(requester, interaction.ReadsBy) };

    /// <summary>The served types that the token permits a letter for, ordinal; null: all of them.</summary>
    /// <remarks>A search shows resources of many types; each must be one that the token could have asked for alone.</remarks>
    private static IReadOnlyList<string>? TypesOf(Requester requester, char letter)
    {
        var level = LevelOf(requester);
        SortedSet<string>? types = null;
        foreach (var scope in requester.Scopes)
        {
            if (!scope.Permits(level, scope.Type, letter))
                continue;
            if (scope.Type == "*")
                return null;
            if (ResourceTypes.IsServed(scope.Type))
                (types ??= new(StringComparer.Ordinal)).Add(scope.Type);
        }
        return types?.Count == ServedTypes ? null : [.. types ?? []];
    }

    private static string LevelOf(Requester requester) => requester.Kind switch
    {
        RequesterKind.System => "system",
        RequesterKind.Citizen => SmartScope.Patient,
        _ => "user",
    };

    /// <summary>Whether the token reaches everything that the interaction needs: for an app of the citizen as for a clinic.</summary>
    private static bool IsInScope(Requester requester, Interaction interaction)
    {
        var level = LevelOf(requester);
        return interaction.Needs.All(need => requester.Scopes.Any(s => s.Permits(level, need.Type, need.Letter)));
    }

    /// <summary>What clinics have in common: token scopes, the directory, and that they make no declarations. Null: go on.</summary>
    private static Decision? DecideForClinic(Requester requester, Interaction interaction)
    {
        if (!IsInScope(requester, interaction))
            return new Decision.Deny(DenyReason.ScopeTooNarrow);
        if (interaction.Needs.Any(static need => need.Type == "Consent" && need.Letter is 'c' or 'u' or 'd'))
            return new Decision.Deny(DenyReason.DeclarationByAnother);
        if (!interaction.Compartment.IsDirectory)
            return null;
        return interaction.IsWrite
            ? new Decision.Permit(LegalBasis.Directory, DirectoryWrite(requester), [Rule.Directory], RestsOnPolicy: false)
            : DirectoryRead;
    }

    /// <summary>The directory as its writer sees it: all of it to read, the organisation's own entries to change.</summary>
    private static DisclosureScope DirectoryWrite(Requester requester) =>
        new() { Breadth = Breadth.Directory, Controller = requester.Organisation.ToString() };

    /// <summary>Other controllers' data for a professional: §54 permission, §59 denials, §57 care relationship.</summary>
    private static Decision DecideForProfessional(Requester requester, Interaction interaction, PolicySnapshot policy, CareRelationship? relationship)
    {
        if (requester.PurposeOfUse != "TREAT")
            return new Decision.Deny(DenyReason.PurposeNotServed);

        // The named service event must be one that proves treatment (§57). The answer depends on the requester's own events alone.
        if (interaction.ServiceEvent is not null && relationship is null)
            return new Decision.Deny(DenyReason.NoOpenServiceEvent);

        // Own register (§9): no permission needed. Whatever is missing below leaves exactly this.
        if (requester.Tasks is { } tasks && !TaskClasses.ReachesOthers(tasks))
            return OwnRegister(requester, interaction, Rule.TaskTooNarrow);
        if (policy.Informed is not { IsCurrent: true })
            return OwnRegister(requester, interaction, Rule.NotInformed);
        if (policy.Permission is null)
            return OwnRegister(requester, interaction, Rule.NoPermission);
        if (policy.DeniesAll)
            return OwnRegister(requester, interaction, Rule.DenialOfAll);
        if (relationship is null)
            return OwnRegister(requester, interaction, Rule.NoCareRelationship);

        // Permission in force (§54), minus the denied service events (§59.2).
        var scope = new DisclosureScope
        {
            Breadth = Breadth.Disclosed,
            Controller = requester.Organisation.ToString(),
            Withheld = policy.DeniedServiceEvents.Count == 0 ? Withheld.Nothing : new() { ServiceEvents = policy.DeniedServiceEvents },
        };
        return new Decision.Permit(LegalBasis.DisclosurePermission, scope, policy.DeniedServiceEvents.Count == 0
            ? [Rule.OwnRegister, Rule.Permission, Rule.CareRelationship]
            : [Rule.OwnRegister, Rule.Permission, Rule.CareRelationship, Rule.DenialOfServiceEvents], RestsOnPolicy: true);
    }

    private static Decision.Permit OwnRegister(Requester requester, Interaction interaction, Rule? missing = null)
    {
        var scope = new DisclosureScope { Breadth = Breadth.OwnRegister, Controller = requester.Organisation.ToString() };
        var own = interaction.IsWrite ? Rule.Archive : Rule.OwnRegister;
        // A read that the policy kept inside the own register must widen with the next permission, so it rests on the policy;
        // a write discloses nothing of others either way.
        return new(LegalBasis.OwnRegister, scope, missing is { } m ? [own, m] : [own], RestsOnPolicy: missing is not null && !interaction.IsWrite);
    }

    /// <summary>The person themselves, who represents them, or an app within the scopes that they allowed it: the whole record; of writes only declarations, and those after informing (§58).</summary>
    private static Decision DecideForCitizen(Requester requester, Interaction interaction, PolicySnapshot policy)
    {
        if (!IsInScope(requester, interaction))
            return new Decision.Deny(DenyReason.ScopeTooNarrow);
        if (interaction.Compartment.IsDirectory)
            return interaction.IsWrite ? new Decision.Deny(DenyReason.NoLegalBasis) : DirectoryRead;
        // One person at a time: who acts for another does not reach her own record meanwhile.
        if (requester.Person is not { } person || person != interaction.Compartment)
            return new Decision.Deny(DenyReason.NotOwnData);
        if (!interaction.IsWrite)
            return requester.OnBehalfOf is null ? Self : Represented;
        if (interaction.Type != "Consent" || interaction.Kind is not (InteractionKind.Create or InteractionKind.Update))
            return new Decision.Deny(DenyReason.NoLegalBasis);
        if (interaction.Declares is not { } declaration || declaration is Informing { IsCurrent: false })
            return new Decision.Deny(DenyReason.UnknownDeclaration);
        if (requester.OnBehalfOf is { Kind: RepresentationKind.Custodian } && !IsACustodians(declaration, interaction, policy))
            return new Decision.Deny(DenyReason.DeclarationByAnother);
        // Withdrawing needs no new informing: nobody is held to a permission by a changed text.
        if (declaration is not Informing && declaration.InForce && policy.Informed is not { IsCurrent: true })
            return new Decision.Deny(DenyReason.NotInformed);
        return new Decision.Permit(requester.OnBehalfOf is null ? LegalBasis.OwnData : LegalBasis.OnBehalf,
            new DisclosureScope { Breadth = Breadth.WholePerson, Controller = requester.Organisation.ToString() },
            requester.OnBehalfOf is null ? [Rule.SelfDeclares] : [Rule.Represents, Rule.SelfDeclares], RestsOnPolicy: true);
    }

    /// <summary>A child's denials are the child's (§51, §58): no custodian sets, changes or withdraws one, nor writes something else in its place.</summary>
    private static bool IsACustodians(Declaration declaration, Interaction interaction, PolicySnapshot policy) =>
        declaration is not DisclosureDenial
        && (interaction.Kind == InteractionKind.Create || policy.Declarations.Any(known => known is not DisclosureDenial && known.Id == declaration.Id));
}
