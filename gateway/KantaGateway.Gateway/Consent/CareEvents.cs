using System.Collections.Concurrent;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Gateway.Consent;

/// <summary>What proves treatment: an Encounter, or an Appointment near its time.</summary>
public enum CareEventKind { Encounter, Appointment }

/// <summary>An unfinished service event (palvelutapahtuma) or booking as the repository holds it.</summary>
/// <param name="Oid">OID of the service event; null when it carries none.</param>
/// <param name="Controller">OID of the organisation whose register it is in.</param>
/// <param name="Status">FHIR Encounter.status or Appointment.status.</param>
/// <param name="Start">Inclusive; null: not stated.</param>
/// <param name="End">Exclusive; null: open-ended. What is stated but unreadable must come as the earliest time, so that it is over.</param>
public sealed record ServiceEvent(string? Oid, string Controller, string Status, DateTimeOffset? Start, DateTimeOffset? End)
{
    /// <summary>How long before its start and after its end a booking proves treatment, hours 24: to prepare the visit and to write it up.</summary>
    public static readonly TimeSpan AppointmentMargin = TimeSpan.FromHours(24);

    /// <summary>How long an Encounter proves treatment after its last version was stored, and a booking after its start, days 30, whatever end they state: who goes on treating writes it again.</summary>
    public static readonly TimeSpan Lasts = TimeSpan.FromDays(30);

    public CareEventKind Kind { get; init; }

    /// <summary>When its last version was stored, by the repository's clock; null: not known, then an Encounter counts from its start.</summary>
    public DateTimeOffset? StoredAt { get; init; }

    /// <summary>The controller's register that it is in, as <see cref="Fhir.Grants.Register"/> names it.</summary>
    public string Register { get; init; } = Fhir.Grants.Register.Patient;

    /// <summary>The specially protected services that it is an event of.</summary>
    public ProtectedService Services { get; init; }

    /// <summary>OID of the unit of the organisation to which it is (Encounter.serviceProvider); null: it names none.</summary>
    public string? Unit { get; init; }

    /// <summary>The event as a unit takes part in it: of a protected service to the unit that it names and to no other (§26.2); where it names none, to all of the organisation.</summary>
    internal ServiceEvent SeenFrom(string? unit) => Unit is null || Unit == unit || Services == ProtectedService.None ? this : this with { Services = ProtectedService.None };

    /// <summary>Whether it says of no visit that it is another: a booking without an OID and without a protected service may be that of the visit itself.</summary>
    internal bool IsOfNoVisit => Kind == CareEventKind.Appointment && Oid is null && Services == ProtectedService.None;

    /// <summary>Whether its status can prove treatment at all.</summary>
    public bool CanProve => Kind == CareEventKind.Encounter
        ? Status is "arrived" or "triaged" or "in-progress" or "onleave"
        : Status is "booked" or "arrived" or "checked-in" && Start is not null;

    /// <summary>From when it proves treatment.</summary>
    internal DateTimeOffset Opens => Start is not { } start ? DateTimeOffset.MinValue
        : Kind == CareEventKind.Appointment && start > DateTimeOffset.MinValue + AppointmentMargin ? start - AppointmentMargin : start;

    /// <summary>
    /// Until when: exclusive. A booking that says no end lasts to the end of its margin. What states no end, or one that is far off, is closed in time all the same (§57): nobody
    /// is treated for good by what was once begun. Of what time an Encounter is that has neither been stored nor begun nobody knows, so it proves nothing.
    /// </summary>
    internal DateTimeOffset Closes => Kind == CareEventKind.Encounter ? Earlier(End, (StoredAt ?? Start) is { } since ? After(since, Lasts) : DateTimeOffset.MinValue)
        : Start is not { } start || End == DateTimeOffset.MinValue ? DateTimeOffset.MinValue
        : After(Earlier(End ?? start, After(start, Lasts)), AppointmentMargin);

    private static DateTimeOffset Earlier(DateTimeOffset? one, DateTimeOffset other) => one < other ? one.Value : other;

    private static DateTimeOffset After(DateTimeOffset at, TimeSpan by) => at < DateTimeOffset.MaxValue - by ? at + by : DateTimeOffset.MaxValue;

    /// <summary>Whether it proves a care relationship at this time (Act 703/2023 §9, §57).</summary>
    public bool IsOpenAt(DateTimeOffset at) => CanProve && Opens <= at && at < Closes;

    /// <summary>Whether it is a visit that goes on by what it says itself, and proves nothing only because nobody has written it for so long.</summary>
    internal bool IsStaleAt(DateTimeOffset at) => Kind == CareEventKind.Encounter && CanProve && Opens <= at && Closes <= at && !(End <= at);
}

/// <summary>Proof of treatment: an open service event of the organisation, as the repository holds it (§9, §57).</summary>
/// <param name="Organisation">OID of the organisation that treats.</param>
/// <param name="ServiceEvent">OID of the event; null when it carries none.</param>
public sealed record CareRelationship(string Organisation, string? ServiceEvent)
{
    /// <summary>The register in which it is treated; null: in those of several employers, and none of them is named (§18).</summary>
    public string? Register { get; init; } = Fhir.Grants.Register.Patient;

    /// <summary>The specially protected services in which the organisation treats the person now: of the event that is named, else of every open one (§26.2).</summary>
    public ProtectedService Services { get; init; }
}

/// <summary>For which employer occupational care treats the person now (§18).</summary>
enum Treatment
{
    /// <summary>For none.</summary>
    None,

    /// <summary>An open event is in the register that is asked about.</summary>
    Here,

    /// <summary>Open events are in those of others only.</summary>
    ForAnother,
}

/// <summary>
/// The events of one person by organisation and time, so that finding an open one costs the logarithm of their number. Immutable.
/// </summary>
sealed class CareEvents
{
    private static readonly ProtectedService[] Services = [.. Enum.GetValues<ProtectedService>().Where(s => s != ProtectedService.None)];

    private readonly IReadOnlyList<ServiceEvent> _events;

    /// <summary>Those without an event are kept too; who asks beyond this number is looked up each time.</summary>
    private const int MaxOrganisations = 64;

    /// <summary>Made when the organisation first asks, or a unit that some event names: of most that treat a person only one does.</summary>
    private readonly ConcurrentDictionary<(string Organisation, string? Unit), OfOrganisation> _byOrganisation = new();

    private readonly HashSet<string>? _units;

    public CareEvents(IReadOnlyList<ServiceEvent> events)
    {
        _events = events;
        for (var i = 0; i < events.Count; i++)
            if (events[i].Unit is { } unit)
                (_units ??= new(StringComparer.Ordinal)).Add(unit);
    }

    /// <inheritdoc cref="PolicySnapshot.RelationshipOf"/>
    public CareRelationship? RelationshipOf(string organisation, string? oid, DateTimeOffset at, string? unit) => Of(organisation, unit).RelationshipAt(oid, at);

    /// <inheritdoc cref="PolicySnapshot.IsStale"/>
    public bool IsStale(string organisation, string oid, DateTimeOffset at) => Of(organisation, null).IsStale(oid, at);

    /// <inheritdoc cref="PolicySnapshot.TreatmentIn"/>
    public Treatment TreatmentIn(string organisation, string register, DateTimeOffset at) => Of(organisation, null).TreatmentIn(register, at);

    private OfOrganisation Of(string organisation, string? unit)
    {
        var key = (organisation, unit is not null && _units?.Contains(unit) == true ? unit : null);
        if (!_byOrganisation.TryGetValue(key, out var of))
        {
            of = new(organisation, key.Item2, _events);
            if (_byOrganisation.Count < MaxOrganisations)
                of = _byOrganisation.GetOrAdd(key, of);
        }
        return of;
    }

    private sealed class OfOrganisation
    {
        /// <summary>Of each service that some event is of: those, and those that are of another visit than of it.</summary>
        private readonly List<(ProtectedService Service, Timeline Of, Timeline Others)> _protected = [];

        /// <summary>The events of each employer's register (§18).</summary>
        private readonly List<(string Register, Timeline Of)> _occupational = [];
        private readonly Timeline _all;
        private readonly List<ServiceEvent> _events = [];
        private Dictionary<string, ServiceEvent[]>? _byOid;

        /// <summary>The last one given, for the next request mostly asks for the same.</summary>
        private CareRelationship? _given;

        public OfOrganisation(string organisation, string? unit, IReadOnlyList<ServiceEvent> events)
        {
            Organisation = organisation;
            var present = ProtectedService.None;
            List<ServiceEvent> visits = [];
            for (var i = 0; i < events.Count; i++)
                if (events[i] is { CanProve: true } e && e.Controller == organisation)
                {
                    var seen = e.SeenFrom(unit);
                    _events.Add(seen);
                    if (!e.IsOfNoVisit)
                        visits.Add(seen);
                    present |= seen.Services;
                }
            _all = new(_events);
            foreach (var register in _events.Select(static e => e.Register).Where(Register.IsOccupational).Distinct(StringComparer.Ordinal))
                _occupational.Add((register, new(_events.FindAll(e => e.Register == register))));
            foreach (var service in Services)
                if ((present & service) != 0)
                    _protected.Add((service, new(_events.FindAll(e => (e.Services & service) != 0)), new(visits.FindAll(e => (e.Services & service) == 0))));
        }

        public string Organisation { get; }

        public CareRelationship? RelationshipAt(string? oid, DateTimeOffset at)
        {
            ServiceEvent? proof;
            var services = ProtectedService.None;
            string? register = Register.Patient;
            if (oid is not null)
                (proof, register, services) = Named(oid, at);
            else
            {
                proof = _all.OpenAt(at);
                foreach (var (its, of) in _occupational)
                    if (of.OpenAt(at) is not null)
                        register = Among(register, its);
                // Which event it is treated in is not said: only a service of all that are open is surely its own (§26.2).
                foreach (var (service, of, others) in _protected)
                    if (of.OpenAt(at) is not null && others.OpenAt(at) is null)
                        services |= service;
            }
            if (proof is null)
                return null;
            var given = _given;
            if (given is not null && given.ServiceEvent == proof.Oid && given.Register == register && given.Services == services)
                return given;
            return _given = new(Organisation, proof.Oid) { Register = register, Services = services };
        }

        public Treatment TreatmentIn(string register, DateTimeOffset at)
        {
            var treatment = Treatment.None;
            foreach (var (its, of) in _occupational)
                if (of.OpenAt(at) is not null)
                {
                    if (its == register)
                        return Treatment.Here;
                    treatment = Treatment.ForAnother;
                }
            return treatment;
        }

        /// <summary>An Encounter and its booking may bear one OID: each that is open counts.</summary>
        private (ServiceEvent?, string?, ProtectedService) Named(string oid, DateTimeOffset at)
        {
            var (proof, register, services) = ((ServiceEvent?)null, (string?)Register.Patient, ProtectedService.None);
            foreach (var e in Bearing(oid))
                if (e.IsOpenAt(at))
                    (proof, register, services) = (proof ?? e, Among(register, e.Register), services | e.Services);
            return (proof, register, services);
        }

        public bool IsStale(string oid, DateTimeOffset at)
        {
            var stale = false;
            foreach (var e in Bearing(oid))
                if (e.IsOpenAt(at))
                    return false;
                else
                    stale |= e.IsStaleAt(at);
            return stale;
        }

        private ServiceEvent[] Bearing(string oid)
        {
            var byOid = _byOid ??= _events.Where(e => e.Oid is not null).GroupBy(e => e.Oid!).ToDictionary(g => g.Key, g => g.ToArray());
            return byOid.TryGetValue(oid, out var named) ? named : [];
        }

        /// <summary>The one employer's register among those of open events; null once there are two.</summary>
        private static string? Among(string? found, string register) =>
            !Register.IsOccupational(register) || found == register ? found : found == Register.Patient ? register : null;
    }

    /// <summary>Events sorted by their opening; with each, which of those up to it closes last.</summary>
    private sealed class Timeline
    {
        private readonly ServiceEvent[] _events;
        private readonly long[] _opens;
        private readonly int[] _lasts;

        public Timeline(List<ServiceEvent> events)
        {
            _events = [.. events];
            _opens = new long[_events.Length];
            var sorted = true;
            for (var i = 0; i < _events.Length; i++)
            {
                _opens[i] = _events[i].Opens.UtcTicks;
                sorted &= i == 0 || _opens[i - 1] <= _opens[i];
            }
            if (!sorted)
                Array.Sort(_opens, _events);
            _lasts = new int[_events.Length];
            for (var (i, latest) = (0, DateTimeOffset.MinValue); i < _events.Length; i++)
            {
                var closes = _events[i].Closes;
                var isLater = i == 0 || closes > latest;
                _lasts[i] = isLater ? i : _lasts[i - 1];
                latest = isLater ? closes : latest;
            }
        }

        public ServiceEvent? OpenAt(DateTimeOffset at)
        {
            var found = Array.BinarySearch(_opens, at.UtcTicks);
            var opened = found < 0 ? ~found : found + 1;
            while (found >= 0 && opened < _opens.Length && _opens[opened] == at.UtcTicks)
                opened++;
            if (opened == 0)
                return null;
            var last = _events[_lasts[opened - 1]];
            return at < last.Closes ? last : null;
        }
    }
}
