using System.Collections.Concurrent;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Consent;

/// <summary>
/// What of a policy is in force during one stretch of time, in the form in which decisions need it.
/// </summary>
/// <remarks>
/// Declarations about the same thing are heard in the order in which they were stored, and the last one heard decides (§58: until further notice, revocable). An older
/// form that is typed in later is heard only where it gives less than what holds: it undoes nothing newer.
/// </remarks>
sealed class PolicyState
{
    private long _from = long.MinValue, _until = long.MaxValue;

    public PolicyState(IReadOnlyList<Declaration> declarations, bool unreadable, PersonFacts person, DateTimeOffset now)
    {
        List<Declaration>? wills = null;
        List<AccessRecord>? records = null;
        List<AccessRestriction>? restrictions = null;
        foreach (var declaration in declarations)
        {
            Bound(declaration.At - Declaration.Skew);
            Bound(declaration.From);
            Bound(declaration.Until);
            if (!declaration.HasBegun(now))
                continue;
            if (declaration is AccessRestriction restriction)
            {
                if (restriction.IsActive && !restriction.IsOver(now))
                    (restrictions ??= []).Add(restriction);
            }
            else if (declaration is not AccessRecord record)
                (wills ??= []).Add(declaration);
            else if (record.IsActive)
                (records ??= []).Add(record);
        }
        var informed = new Heard<Informing>();
        var (permit, ofMinor) = (new Heard<DisclosurePermit>(), new Heard<DisclosurePermit>());
        Dictionary<DenialTarget, Heard<DisclosureDenial>>? denied = null;
        if (wills is not null)
        {
            // Of one moment the one that gives less is heard last.
            wills.Sort((one, other) => one.CompareOrder(other) is var order and not 0 ? order : Gives(other, now).CompareTo(Gives(one, now)));
            foreach (var declaration in wills)
                switch (declaration)
                {
                    case Informing told:
                        informed.Hear(told, now);
                        break;
                    case DisclosurePermit given:
                        // What a minor able to decide has given no custodian takes back (§51), nor shortens. Of whom not everybody says that she was one what closes is heard.
                        if (given.ByCustodian && person.IsMinorByAllAt(given.SaidAt) && ofMinor.Last is { IsActive: true } own && !own.IsOver(now) && Gives(given, now) < Gives(own, now))
                            break;
                        permit.Hear(given, now);
                        if (given.IsOfMinor(person))
                            ofMinor.Hear(given, now);
                        break;
                    case DisclosureDenial denial:
                        if (!(denied ??= []).TryGetValue(denial.Target, out var ofTarget))
                            denied.Add(denial.Target, ofTarget = new());
                        // A child's denial is the child's (§51, §58): of a custodian's word about it only what closes is heard (law 3).
                        ofTarget.Hear(denial, now, mayOpen: !denial.ByCustodian);
                        break;
                }
        }
        IsInformed = informed.Last is { IsCurrent: true } && !informed.Last.IsOver(now);
        // What a minor able to decide has withdrawn no custodian gives anew (§51); nor is one told of it, so the declaration is taken.
        var isUndone = ofMinor.Last is { IsActive: false };
        Permission = permit.Last is { IsActive: true } && !isUndone && !permit.Last.IsOver(now) ? permit.Last : null;
        Records = records ?? [];
        Restrictions = restrictions ?? [];
        Denials = denied is null ? [] : [.. denied.Values.Select(static its => its.Last!).Where(d => d.IsActive && !d.IsOver(now)).OrderDescending(Comparer<DisclosureDenial>.Create(static (one, other) => one.CompareOrder(other)))];
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

    /// <summary>The accesses that the person disputes.</summary>
    public IReadOnlyList<AccessRestriction> Restrictions { get; }

    /// <summary>Whether who asks is shown nothing meanwhile (GDPR Art. 18).</summary>
    public bool IsRestricted(Requester requester, DateTimeOffset now)
    {
        for (var i = 0; i < Restrictions.Count; i++)
            if (Restrictions[i].IsOf(requester.Organisation.ToString(), requester.Unit) && !requester.EndedRestrictions.Contains(Restrictions[i].Id))
                return !(requester.PurposeOfUse == "ETREAT" && EmergencyOf(requester.ProfessionalId, requester.Organisation.ToString(), now) is not null);
        return false;
    }

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
    /// <param name="professional">Unique id.</param>
    /// <param name="organisation">For which it was recorded; null: for any.</param>
    /// <param name="ended">What was recorded before is settled by operators; null: nothing is.</param>
    /// <param name="now">UTC.</param>
    public bool HasOverdue(string? professional, string? organisation, DateTimeOffset? ended, DateTimeOffset now)
    {
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyAccess emergency && emergency.Professional == professional && (organisation is null || emergency.Organisation == organisation)
                && !(emergency.At < ended) && emergency.At + EmergencyAccess.ReviewedWithin <= now && ReviewOf(emergency.Id) is null)
                return true;
        return false;
    }

    /// <summary>Whether an emergency of the professional was found to be none: of this person there is no other.</summary>
    /// <inheritdoc cref="HasOverdue"/>
    public bool WasMisused(string? professional, string organisation, DateTimeOffset? ended)
    {
        for (var i = 0; i < Records.Count; i++)
            if (Records[i] is EmergencyAccess emergency && emergency.IsOf(professional, organisation) && !(emergency.At < ended) && ReviewOf(emergency.Id) is { IsJustified: false })
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

    /// <summary>How much a declaration leaves open: comparable among those about one thing.</summary>
    private static long Gives(Declaration said, DateTimeOffset now) => said switch
    {
        Informing told => told.IsCurrent && !told.IsOver(now) ? 1 : 0,
        DisclosurePermit permit => !permit.IsActive ? 0 : permit.IsOver(now) ? 1 : (permit.Until ?? DateTimeOffset.MaxValue).UtcTicks,
        DisclosureDenial denial => !denial.IsActive || denial.IsOver(now) ? 2 : denial.AllowsEmergency ? 1 : 0,
        _ => 0,
    };

    /// <summary>What is declared about one thing, told in the order of storing.</summary>
    private sealed class Heard<T> where T : Declaration
    {
        private DateTimeOffset _newest = DateTimeOffset.MinValue;

        /// <summary>What holds; null: nothing was declared.</summary>
        public T? Last { get; private set; }

        /// <summary>
        /// What closes is heard whatever it is dated (law 3). What opens is the person's own word of now, or a form that is no older than anything that was said
        /// before: one typed in late undoes no newer will (§58).
        /// </summary>
        public void Hear(T said, DateTimeOffset now, bool mayOpen = true)
        {
            var isNew = Last is null || (mayOpen && said.CompareOrder(Last) != 0 && (said.RecordedBy is null || said.SaidAt >= _newest));
            if (isNew || Gives(said, now) < Gives(Last!, now))
                Last = said;
            if (said.SaidAt > _newest)
                _newest = said.SaidAt;
        }
    }
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
    /// <param name="seen">In every register.</param>
    /// <param name="ofOwn">In the own one besides.</param>
    public Withheld WithheldFrom(ProtectedService seen, ProtectedService ofOwn)
    {
        var made = Volatile.Read(ref _withheld);
        foreach (var known in made)
            if (known.SeenServices == seen && known.SeenServicesOfOwn == ofOwn)
                return known;
        var withheld = new Withheld { ServiceEvents = ServiceEvents, Registers = Registers, Prescriptions = Prescriptions, SpeciallyProtected = true, SeenServices = seen, SeenServicesOfOwn = ofOwn };
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
/// <param name="OfOwn">Protected services that are seen in the own register since the controller is wholly of them.</param>
/// <param name="OnlyOf">Other controllers that are reached; one list for each deployment.</param>
/// <param name="FiltersOfOwn">What the task narrows in the own register; one list for each task, profession and services.</param>
readonly record struct PermitKey(
    Rule Path, bool IsWrite, string Controller, string Register, IReadOnlyList<string>? Types, IReadOnlyList<string>? TypesOfOthers, ProtectedService OfService, ProtectedService Confirmed,
    ProtectedService OfOwn = ProtectedService.None, IReadOnlyList<string>? OnlyOf = null, IReadOnlyList<ScopeFilter>? FiltersOfOwn = null);
