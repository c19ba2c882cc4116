using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Consent;

/// <summary>Why an entry is seen, or is not.</summary>
public enum Why
{
    /// <summary>Seen: it is of the organisation's own register (§9, §13).</summary>
    OwnRegister,

    /// <summary>Seen: by the disclosure permission, while the organisation treats the person (§54, §57).</summary>
    Permission,

    /// <summary>Seen: the public controllers of one area need no permission among each other (§54.1).</summary>
    JointRegister,

    /// <summary>Seen: in an emergency (§54.2).</summary>
    Emergency,

    /// <summary>Not seen: the person has not been informed with the text in force (§58, §68).</summary>
    NotInformed,

    /// <summary>Not seen: there is no disclosure permission (§54.1).</summary>
    NoPermission,

    /// <summary>Not seen: no open service event or booking of the organisation proves that it treats the person (§57).</summary>
    NoCareRelationship,

    /// <summary>Not seen: the professional's task does not reach it (decree §3-9).</summary>
    Task,

    /// <summary>Not seen: it is not necessary in an emergency (§54.2).</summary>
    NotNecessary,

    /// <summary>Not seen: the person disputes an access of who asks (GDPR Art. 18).</summary>
    Restricted,

    /// <summary>Not seen: all is denied (§59.2).</summary>
    DenialOfAll,

    /// <summary>Not seen: its service event is denied, or it refers to what is of a denied one.</summary>
    DenialOfServiceEvent,

    /// <summary>Not seen: its register is denied, or it refers to what is of a denied one.</summary>
    DenialOfRegister,

    /// <summary>Not seen: the prescription is denied, or it refers to a denied one.</summary>
    DenialOfPrescription,

    /// <summary>Not seen without a confirmation of the professional: specially protected (§26.2).</summary>
    SpeciallyProtected,

    /// <summary>Not seen: nobody but the person sees declarations, and no disclosure reaches a use log (EHDS Art. 8, §70).</summary>
    NeverDisclosed,

    /// <summary>Not seen: kept no longer (§24).</summary>
    RetentionOver,

    /// <summary>Not seen: the request itself is refused.</summary>
    Refused,
}

/// <summary>Where an entry is.</summary>
/// <param name="Type">FHIR resource type.</param>
/// <param name="Id">Logical id.</param>
/// <param name="Controller">OID of the data controller.</param>
/// <param name="Register">As <see cref="Fhir.Grants.Register"/> names it.</param>
/// <param name="ServiceEvent">OID; null: of none.</param>
public sealed record EntryPlace(string Type, string Id, string Controller, string Register, string? ServiceEvent);

/// <summary>A reason, and the declarations on which it rests.</summary>
/// <param name="Declarations">Ids of Consents. Of a denial empty where the entry only refers to what is denied, or where nobody can read what was declared.</param>
public sealed record Because(Why Why, IReadOnlyList<string> Declarations);

/// <summary>
/// Why a professional sees an entry or does not. It decides nothing by itself: the repository is asked with the scope of the decision and with parts of that scope, and
/// the part that hides the entry is the reason.
/// </summary>
/// <remarks>Pure. For the person alone: it tells what is hidden.</remarks>
public static class EntryExplanation
{
    /// <summary>The scopes to ask the repository with: the decision's own, the same withholding nothing, and withholding one thing each.</summary>
    public static IReadOnlyList<DisclosureScope> PartsOf(DisclosureScope scope) =>
    [
        scope,
        scope with { Withheld = Withheld.Nothing },
        scope with { Withheld = new() { ServiceEvents = scope.Withheld.ServiceEvents } },
        scope with { Withheld = new() { Registers = scope.Withheld.Registers } },
        scope with { Withheld = new() { Prescriptions = scope.Withheld.Prescriptions } },
        scope with { Withheld = new() { SpeciallyProtected = scope.Withheld.SpeciallyProtected, SeenServices = scope.Withheld.SeenServices, SeenServicesOfOwn = scope.Withheld.SeenServicesOfOwn } },
    ];

    /// <param name="permit">The decision.</param>
    /// <param name="entry">What is asked about.</param>
    /// <param name="shown">For each of <see cref="PartsOf"/>, whether it shows the entry.</param>
    /// <param name="policy">On which it was decided.</param>
    /// <param name="isEmergency">Whether it was about an emergency.</param>
    /// <param name="now">UTC.</param>
    /// <returns>At least one reason.</returns>
    public static IReadOnlyList<Because> Of(Decision.Permit permit, EntryPlace entry, IReadOnlyList<bool> shown, PolicySnapshot policy, bool isEmergency, DateTimeOffset now)
    {
        var (permission, inForce) = policy.InForceAt(now);
        var denials = inForce.Where(d => !isEmergency || !d.AllowsEmergency).ToList();
        var isOwn = permit.Scope.IsOwn(entry.Controller, entry.Register);
        if (shown[0])
            return [isOwn ? Bare(Why.OwnRegister) : permit.Basis == LegalBasis.Emergency ? Bare(Why.Emergency) : permit.Basis == LegalBasis.JointRegister ? Bare(Why.JointRegister) : new(Why.Permission, permission is null ? [] : [permission.Id])];
        if (!shown[1])
            return [Unreached(permit, entry, isOwn, denials, policy.At(now).IsInformed)];
        return
        [
            .. ((ReadOnlySpan<(int, Why)>)[(2, Why.DenialOfServiceEvent), (3, Why.DenialOfRegister), (4, Why.DenialOfPrescription), (5, Why.SpeciallyProtected)]).ToArray()
                .Where(part => !shown[part.Item1]).Select(part => new Because(part.Item2, [.. denials.Where(d => Covers(d.Target, part.Item2, entry)).Select(d => d.Id)])),
        ];
    }

    /// <summary>Why the scope does not reach the entry, whatever is withheld of it.</summary>
    private static Because Unreached(Decision.Permit permit, EntryPlace entry, bool isOwn, List<DisclosureDenial> denials, bool isInformed)
    {
        if (permit.Rules.Contains(Rule.RetentionOver))
            return Bare(Why.RetentionOver);
        if (permit.Rules.Contains(Rule.Restricted))
            return Bare(Why.Restricted);
        if (entry.Type is "Consent" or "AuditEvent")
            return Bare(Why.NeverDisclosed);
        if (isOwn)
            return Bare(Why.Task);
        foreach (var rule in permit.Rules)
            switch (rule)
            {
                case Rule.NotInformed:
                    return Bare(Why.NotInformed);
                case Rule.NoPermission:
                    return Bare(Why.NoPermission);
                case Rule.NoCareRelationship:
                    return Bare(Why.NoCareRelationship);
                case Rule.TaskTooNarrow:
                    return Bare(Why.Task);
                case Rule.DenialOfAll:
                    return new(Why.DenialOfAll, [.. denials.Where(d => d.Target is DenialTarget.All).Select(d => d.Id)]);
            }
        // Of a register outside those that need no permission among each other.
        if (permit.Scope.OnlyOf is { } joint && !joint.Contains(entry.Controller))
            return Bare(isInformed ? Why.NoPermission : Why.NotInformed);
        return Bare(permit.Basis == LegalBasis.Emergency && !TaskReach.Emergency.Contains(entry.Type) ? Why.NotNecessary : Why.Task);
    }

    private static bool Covers(DenialTarget target, Why why, EntryPlace entry) => (why, target) switch
    {
        (Why.DenialOfServiceEvent, DenialTarget.OfServiceEvent(var oid)) => oid == entry.ServiceEvent,
        (Why.DenialOfRegister, DenialTarget.OfRegister(var controller, var register)) => (controller, register) == (entry.Controller, entry.Register),
        (Why.DenialOfPrescription, DenialTarget.OfPrescription(var id)) => id == entry.Id,
        _ => false,
    };

    private static Because Bare(Why why) => new(why, []);
}
