using System.Collections.Concurrent;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Consent;

/// <summary>
/// What of a policy is in force during one stretch of time, in the form in which decisions need it.
/// </summary>
/// <remarks>
/// Of declarations about the same thing the one stored last decides (§58: until further notice, revocable), whatever it is dated; where that is not
/// known, the one dated last, and of two of the same moment the one that gives less.
/// </remarks>
sealed class PolicyState
{
    private long _from = long.MinValue, _until = long.MaxValue;

    public PolicyState(IReadOnlyList<Declaration> declarations, bool unreadable, PersonFacts person, DateTimeOffset now)
    {
        Informing? informed = null;
        DisclosurePermit? permit = null, ofMinor = null;
        Dictionary<DenialTarget, DisclosureDenial>? denied = null;
        List<DisclosureDenial>? denials = null;
        List<AccessRecord>? records = null;
        foreach (var declaration in declarations)
        {
            Bound(declaration.At - Declaration.Skew);
            Bound(declaration.From);
            Bound(declaration.Until);
            if (!declaration.HasBegun(now))
                continue;
            switch (declaration)
            {
                case Informing told when informed is null || told.CompareOrder(informed) > 0 || (told.CompareOrder(informed) == 0 && !told.IsCurrent):
                    informed = told;
                    break;
                case DisclosurePermit given:
                    permit = LaterOf(given, permit);
                    if (given.IsOfMinor(person))
                        ofMinor = LaterOf(given, ofMinor);
                    break;
                case DisclosureDenial denial:
                    (denials ??= []).Add(denial);
                    if (!(denied ??= []).TryGetValue(denial.Target, out var latest) || latest.CompareOrder(denial) < 0)
                        denied[denial.Target] = denial;
                    break;
                case AccessRecord { IsActive: true } record:
                    (records ??= []).Add(record);
                    break;
            }
        }
        IsInformed = informed is { IsCurrent: true } && !informed.IsOver(now);
        // What a minor able to decide has withdrawn no custodian gives anew (§51); nor is one told of it, so the declaration is taken.
        var isUndone = permit is { ByCustodian: true } && ofMinor is { IsActive: false };
        Permission = permit is { IsActive: true } && !isUndone && !permit.IsOver(now) ? permit : null;
        Records = records ?? [];
        // Of two denials of the same moment both hold.
        denials?.RemoveAll(d => !d.IsActive || d.IsOver(now) || d.CompareOrder(denied![d.Target]) < 0);
        denials?.Sort(static (one, other) => other.CompareOrder(one));
        Denials = denials ?? [];
        // A declaration nobody can read might be a denial of everything, so it is one, and one without an exception.
        Denied = new(Denials, unreadable, inEmergency: false);
        DeniedInEmergency = new(Denials, unreadable, inEmergency: true);

        void Bound(DateTimeOffset? edge)
        {
            if (edge is not { } at)
                return;
            if (at <= now)
                _from = Math.Max(_from, at.UtcTicks);
            else
                _until = Math.Min(_until, at.UtcTicks);
        }
    }

    /// <summary>Whether nothing begins or ends between then and when this was found.</summary>
    public bool HoldsAt(DateTimeOffset now) => _from <= now.UtcTicks && now.UtcTicks < _until;

    /// <summary>Informed with the text in force (§58, §68).</summary>
    public bool IsInformed { get; }

    /// <summary>The permission in force (§54); null: none.</summary>
    public DisclosurePermit? Permission { get; }

    /// <summary>The denials in force, newest first.</summary>
    public IReadOnlyList<DisclosureDenial> Denials { get; }

    /// <summary>The denials in force (§59.2).</summary>
    public DenialsInForce Denied { get; }

    /// <summary>Those of them that hold in an emergency too: the person chose so, or did not choose otherwise.</summary>
    public DenialsInForce DeniedInEmergency { get; }

    /// <summary>Confirmations, emergencies and reviews that have begun, over or not.</summary>
    public IReadOnlyList<AccessRecord> Records { get; }

    /// <summary>The permits already made of this state.</summary>
    public PermitMemo Permits { get; } = new();

    /// <summary>The specially protected services that a professional has confirmed the need of (§26.2).</summary>
    public ProtectedService ConfirmedBy(string? professional, string organisation, string purpose, DateTimeOffset now)
    {
        var services = ProtectedService.None;
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is ProtectedConfirmation confirmed && confirmed.IsOf(professional, organisation)
                && confirmed.Purpose == purpose && !confirmed.IsOver(now))
                services |= confirmed.Services;
        return services;
    }

    /// <summary>The emergency that a professional has recorded and that is not over; null: none.</summary>
    public EmergencyAccess? EmergencyOf(string? professional, string organisation, DateTimeOffset now)
    {
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyAccess emergency && emergency.IsOf(professional, organisation) && !emergency.IsOver(now))
                return emergency;
        return null;
    }

    /// <summary>Whether an emergency of the professional has waited too long for its review: the right to emergencies rests, whoever they are of.</summary>
    public bool HasOverdue(string? professional, string? organisation, DateTimeOffset now)
    {
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyAccess emergency && emergency.Professional == professional && (organisation is null || emergency.Organisation == organisation)
                && emergency.At + EmergencyAccess.ReviewedWithin <= now && ReviewOf(emergency.Id) is null)
                return true;
        return false;
    }

    /// <summary>Whether an emergency of the professional was found to be none: of this person there is no other.</summary>
    public bool WasMisused(string? professional, string organisation)
    {
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyAccess emergency && emergency.IsOf(professional, organisation) && ReviewOf(emergency.Id) is { IsJustified: false })
                return true;
        return false;
    }

    /// <summary>The emergency of that id; null: there is none.</summary>
    public EmergencyAccess? Emergency(string id)
    {
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyAccess emergency && emergency.Id == id)
                return emergency;
        return null;
    }

    /// <summary>How an emergency was settled; null: not yet. The first review stands.</summary>
    public EmergencyReview? ReviewOf(string emergency)
    {
        EmergencyReview? first = null;
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyReview review && review.Emergency == emergency && (first is null || review.CompareOrder(first) < 0))
                first = review;
        return first;
    }

    private static DisclosurePermit LaterOf(DisclosurePermit given, DisclosurePermit? known) =>
        known is null || given.CompareOrder(known) > 0 || (given.CompareOrder(known) == 0 && GivesLess(given, known)) ? given : known;

    private static bool GivesLess(DisclosurePermit given, DisclosurePermit known) =>
        known.IsActive && (!given.IsActive || (given.Until ?? DateTimeOffset.MaxValue) < (known.Until ?? DateTimeOffset.MaxValue));
}

/// <summary>Denials that hold for one kind of request.</summary>
sealed class DenialsInForce
{
    private static readonly string[] None = [];

    private Withheld[] _withheld = [];

    public DenialsInForce(IReadOnlyList<DisclosureDenial> denials, bool unreadable, bool inEmergency)
    {
        DeniesAll = unreadable;
        List<string>? events = null, registers = null, prescriptions = null;
        foreach (var denial in denials)
        {
            if (inEmergency && denial.AllowsEmergency)
                continue;
            switch (denial.Target)
            {
                case DenialTarget.OfServiceEvent target:
                    (events ??= []).Add(target.Oid);
                    break;
                case DenialTarget.OfRegister target:
                    (registers ??= []).Add(Register.Of(target.Controller, target.Register));
                    break;
                case DenialTarget.OfPrescription target:
                    (prescriptions ??= []).Add(target.Id);
                    break;
                default:
                    DeniesAll = true;
                    break;
            }
        }
        (ServiceEvents, Registers, Prescriptions) = (Sorted(events), Sorted(registers), Sorted(prescriptions));
    }

    /// <summary>All data is denied.</summary>
    public bool DeniesAll { get; }

    /// <summary>OIDs of denied service events, sorted.</summary>
    public IReadOnlyList<string> ServiceEvents { get; }

    /// <summary>Denied registers, sorted.</summary>
    public IReadOnlyList<string> Registers { get; }

    /// <summary>Ids of denied prescriptions, sorted.</summary>
    public IReadOnlyList<string> Prescriptions { get; }

    /// <summary>Whether this hides something that the other does not: what an emergency is shown over a denial.</summary>
    public bool HidesMoreThan(DenialsInForce other) => (DeniesAll && !other.DeniesAll)
        || ServiceEvents.Count > other.ServiceEvents.Count || Registers.Count > other.Registers.Count || Prescriptions.Count > other.Prescriptions.Count;

    /// <summary>What is withheld from a professional who sees these protected services.</summary>
    public Withheld WithheldFrom(ProtectedService seen)
    {
        var made = Volatile.Read(ref _withheld);
        foreach (var known in made)
            if (known.SeenServices == seen)
                return known;
        var withheld = new Withheld { ServiceEvents = ServiceEvents, Registers = Registers, Prescriptions = Prescriptions, SpeciallyProtected = true, SeenServices = seen };
        Volatile.Write(ref _withheld, [.. made, withheld]);
        return withheld;
    }

    private static string[] Sorted(List<string>? names)
    {
        if (names is null)
            return None;
        names.Sort(StringComparer.Ordinal);
        return [.. names.Distinct(StringComparer.Ordinal)];
    }
}

/// <summary>
/// Permits that were made before, so that deciding the same again makes nothing new. At most <see cref="Capacity"/>; what comes after them
/// is made each time. Thread-safe.
/// </summary>
sealed class PermitMemo
{
    private const int Capacity = 256;

    private readonly ConcurrentDictionary<PermitKey, Decision.Permit> _permits = new();

    public Decision.Permit? Find(in PermitKey key) => _permits.TryGetValue(key, out var known) ? known : null;

    public Decision.Permit Keep(in PermitKey key, Decision.Permit permit)
    {
        if (_permits.Count < Capacity)
            _permits.TryAdd(key, permit);
        return permit;
    }
}

/// <summary>Everything that one permit of a policy differs from another in.</summary>
/// <param name="Path">The rule by which it was reached.</param>
/// <param name="IsWrite">Of a write, which discloses nothing of others.</param>
/// <param name="Controller">OID of the requester's organisation.</param>
/// <param name="Register">Its register.</param>
/// <param name="Types">Types that the token and the task reach; the same list for the same token.</param>
/// <param name="TypesOfOthers">Types that the task reaches of others; one list for each task.</param>
/// <param name="OfService">Protected services that are seen since the organisation treats in them.</param>
/// <param name="Confirmed">Protected services that are seen by confirmation.</param>
/// <param name="OnlyOf">Other controllers that are reached; one list for each deployment.</param>
readonly record struct PermitKey(
    Rule Path, bool IsWrite, string Controller, string Register, IReadOnlyList<string>? Types, IReadOnlyList<string>? TypesOfOthers, ProtectedService OfService, ProtectedService Confirmed,
    IReadOnlyList<string>? OnlyOf = null);
