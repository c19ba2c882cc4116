using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Runtime.CompilerServices;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Consent;

/// <summary>What a task gives access to at most in the services that the organisation gives (decree 457/2024 §3-9). Lists are ordinal; null: every type.</summary>
/// <remarks>
/// The decree speaks of contents, FHIR of types; which types stand for which content is this gateway's reading. Companions (Provenance,
/// Binary, Medication) go with what refers to them.
/// <list type="table">
/// <listheader><term>task (§3)</term><description>in the services of §4, by their points</description></listheader>
/// <item><term>broad care (§5)</term><description>1-12: all that is necessary</description></item>
/// <item><term>limited care (§6)</term><description>1-13: what concerns the own profession, speciality or service, and the summary</description></item>
/// <item><term>support (§7)</term><description>any: bookings, requests, referrals and orders</description></item>
/// <item><term>medication (§8)</term><description>1, 2, 5-7, 14: assessing and advising, the summary. Dispensing, in 14, is given the medication, which is within it</description></item>
/// <item><term>administration (§9)</term><description>any: the provider's own data</description></item>
/// </list>
/// In a service in which the decree gives a task nothing it reaches who the patient is and, but for medication, which has none anywhere, the own bookings. Of an organisation with several services a task reaches
/// what any of them gives: in which one somebody works today no token says.
/// </remarks>
sealed class TaskReach
{
    /// <summary>What a summary shows of the whole record (L §65 data-management service): §6 and §8 give it to tasks that are limited.</summary>
    private static readonly string[] Summary =
    [
        "AllergyIntolerance", "CarePlan", "Condition", "Device", "DiagnosticReport", "Encounter", "Flag", "Immunization", "Medication", "MedicationAdministration",
        "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Patient", "Procedure", "Provenance", "RiskAssessment",
    ];

    /// <summary>§8: assessing, dispensing and advising on medicines.</summary>
    private static readonly string[] Medicines =
    [
        "AllergyIntolerance", "Condition", "Flag", "Immunization", "Medication", "MedicationAdministration", "MedicationDispense", "MedicationRequest",
        "MedicationStatement", "Patient", "Provenance", "RiskAssessment",
    ];

    /// <summary>§7: bookings, requests, referrals and orders.</summary>
    private static readonly string[] Orders =
    [
        "Appointment", "AppointmentResponse", "CommunicationRequest", "DeviceRequest", "Encounter", "NutritionOrder", "Patient", "Provenance", "ServiceRequest",
        "Specimen", "VisionPrescription",
    ];

    /// <summary>Where the decree gives a task nothing: who the patient is (L §27, D §2 point 2), and the own bookings.</summary>
    private static readonly string[] Basics = ["Appointment", "AppointmentResponse", "Patient", "Provenance"];

    /// <summary>
    /// What is necessary in an emergency (§54.2): what endangers, what is taken, what was done and measured. No notes, no documents, no bookings.
    /// </summary>
    public static readonly string[] Emergency =
    [
        "AllergyIntolerance", "Condition", "Device", "DiagnosticReport", "Encounter", "Flag", "Immunization", "Medication", "MedicationAdministration",
        "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Patient", "Procedure", "Provenance", "RiskAssessment",
    ];

    /// <summary>The services in which the decree gives something to broad care (§5), limited care (§6) and medication (§8).</summary>
    private const HealthServices OfBroadCare = HealthServices.Reception | HealthServices.Hospital | HealthServices.Occupational | HealthServices.Oral | HealthServices.HomeNursing
        | HealthServices.MentalHealthAndAddiction | HealthServices.EmergencyCare | HealthServices.MaternityAndChild | HealthServices.Student | HealthServices.Rehabilitation
        | HealthServices.WithinSocialCare | HealthServices.ExaminationsAndProcedures,
        OfLimitedCare = OfBroadCare | HealthServices.ScreeningAndVaccination,
        OfMedication = HealthServices.Reception | HealthServices.Hospital | HealthServices.HomeNursing | HealthServices.MentalHealthAndAddiction | HealthServices.EmergencyCare
            | HealthServices.HospitalPharmacy;

    private static readonly OthersReach AllOfOthers = new(null, Emergency), SummaryOfOthers = Within(Summary), MedicinesOfOthers = Within(Medicines), NothingOfOthers = new([], []);

    private static readonly TaskReach Everything = new(null, AllOfOthers), OrdersAlone = new(Orders, NothingOfOthers), BasicsAlone = new(Basics, NothingOfOthers), PatientAlone = new([.. Basics.Intersect(Summary)], NothingOfOthers),
        OwnAlone = new(null, NothingOfOthers), Pharmacy = new(Summary, MedicinesOfOthers);

    /// <summary>§6: with the summary the documents of the own speciality, by profession.</summary>
    private static readonly FrozenDictionary<string, OthersReach> OfSpeciality = Specialities.Settings.ToFrozenDictionary(static its => its.Key,
        static its => Within([.. Summary, "Binary", "DocumentReference"]) with { Filters = [new("DocumentReference", [.. its.Value.Select(SettingOf)], reads: true)] },
        StringComparer.Ordinal);

    /// <summary>Limited care by profession, null for one without a speciality, and services: as many as registrations combine.</summary>
    private static readonly ConcurrentDictionary<(string? Profession, HealthServices Services), TaskReach> LimitedCare = new();

    private TaskReach(string[]? own, OthersReach others) => (Own, Others) = (own, others);

    /// <summary>Types of the own register.</summary>
    public string[]? Own { get; }

    /// <summary>What of some of those types alone; null: all of them. What is added is not bounded by it.</summary>
    public IReadOnlyList<ScopeFilter>? FiltersOfOwn { get; private init; }

    /// <summary>What is reached of other registers.</summary>
    public OthersReach Others { get; }

    /// <summary>What a requester's task reaches. A system and a citizen have none: nothing is bounded by it. Nor where no role register is configured: the provider answers for whom it lets in (§9).</summary>
    public static TaskReach Of(Requester requester) => requester.Kind != RequesterKind.Professional ? Everything : requester.Tasks switch
    {
        null => Everything,
        TaskClass.BroadCare when (requester.Services & OfBroadCare) != 0 => Everything,
        TaskClass.LimitedCare when (requester.Services & OfLimitedCare) != 0 =>
            LimitedCare.GetOrAdd((requester.Profession is { } profession && Specialities.Settings.ContainsKey(profession) ? profession : null, requester.Services), Limited),
        TaskClass.Support => OrdersAlone,
        TaskClass.Medication => (requester.Services & OfMedication) != 0 ? Pharmacy : PatientAlone,
        TaskClass.Administration => OwnAlone,
        _ => BasicsAlone,
    };

    /// <summary>Whether the task reaches every type that is needed in the own register; the directory is everybody's, and everybody's use is logged (L §10).</summary>
    public bool Covers(IReadOnlyList<(string Type, char Letter)> needs)
    {
        if (Own is not { } own)
            return true;
        for (var i = 0; i < needs.Count; i++)
            if (!own.Contains(needs[i].Type) && ResourceTypes.PlaceOf(needs[i].Type) != ResourcePlace.Directory && needs[i] is not { Type: "AuditEvent", Letter: 'c' })
                return false;
        return true;
    }

    /// <summary>
    /// §6: of the own register what concerns the own profession, speciality or service. Left out is a document that names a speciality and none of one's own: gynaecology
    /// is not a physiotherapist's. One that names none, or names its setting by a code that is no speciality (an occupation, a list of the house), is the clinic's own: what somebody has archived there is not lost to them by how it was coded. Who has no speciality of one's own carries out what the service is of: where one of
    /// the services is of no single speciality, no document is of another.
    /// </summary>
    private static TaskReach Limited((string? Profession, HealthServices Services) of)
    {
        var ofServices = Specialities.OfServices(of.Services);
        string[]? settings = of.Profession is { } profession ? [.. Specialities.Settings[profession], .. ofServices ?? []] : ofServices;
        return new(null, of.Profession is null ? SummaryOfOthers : OfSpeciality[of.Profession])
        {
            FiltersOfOwn = settings is null ? null : [new("DocumentReference", [Specialities.OfNone, .. settings.Distinct().Select(SettingOf)], reads: true)],
        };
    }

    private static string SettingOf(string token) => "setting=" + Uri.EscapeDataString(token);

    private static OthersReach Within(string[] types)
    {
        types = [.. types.Order(StringComparer.Ordinal)];
        return new(types, [.. Emergency.Intersect(types)]);
    }
}

/// <summary>What a task reaches of other registers.</summary>
/// <param name="Types">Resource types; null: every one, empty: none.</param>
/// <param name="InEmergency">What of it is necessary in an emergency (§54.2).</param>
sealed record OthersReach(string[]? Types, string[] InEmergency)
{
    /// <summary>What of some of those types alone, outside emergencies; null: all of them.</summary>
    public IReadOnlyList<ScopeFilter>? Filters { get; init; }

    public bool IsNothing => Types is { Length: 0 };
}

/// <summary>What the scopes of one token reach, found once for each token: the lists are the same objects for the same token.</summary>
sealed class TokenReach
{
    private static readonly ConditionalWeakTable<IReadOnlyList<SmartScope>, TokenReach> Known = [];

    private static readonly string[] Served = [.. ResourceTypes.Served.Order(StringComparer.Ordinal)];

    private readonly IReadOnlyList<SmartScope> _scopes;
    private readonly ByLevel?[] _byLevel = new ByLevel?[3];

    /// <summary>Whether any of the scopes has search parameters.</summary>
    private readonly bool _isNarrowed;

    private TokenReach(IReadOnlyList<SmartScope> scopes) => (_scopes, _isNarrowed) = (scopes, scopes.Any(static scope => scope.Query is not null));

    /// <summary>The permits that rest on no policy.</summary>
    public PermitMemo Permits { get; } = new();

    public static TokenReach Of(Requester requester) => Known.GetValue(requester.Scopes, static scopes => new(scopes));

    /// <summary>The served types that the token permits a letter for and the task reaches in the own register; null: all of them.</summary>
    /// <remarks>A search shows resources of many types; each must be one that the token could have asked for alone.</remarks>
    public IReadOnlyList<string>? Types(Requester requester, char letter)
    {
        return LevelOf(requester).Types(letter, TaskReach.Of(requester).Own);
    }

    /// <summary>Whether the token reaches everything that the interaction needs: for an app of the citizen as for a clinic.</summary>
    public bool Covers(Requester requester, Interaction interaction)
    {
        var level = LevelOf(requester).Name;
        for (var i = 0; i < interaction.Needs.Count; i++)
        {
            var (type, letter) = interaction.Needs[i];
            var covered = false;
            for (var j = 0; j < _scopes.Count && !covered; j++)
                covered = _scopes[j].Permits(level, type, letter);
            if (!covered)
                return false;
        }
        return true;
    }

    /// <summary>What the token narrows of the types that the interaction may meet; null: nothing.</summary>
    /// <remarks>
    /// For each permission letter that the interaction needs of a type, and for that of what it meets besides, the resources that a scope with
    /// the letter describes. A transaction's entries are bounded together: what any of its letters narrows is narrowed for all of them.
    /// </remarks>
    public IReadOnlyList<ScopeFilter>? Filters(Requester requester, Interaction interaction) =>
        _isNarrowed ? FindFilters(requester, interaction) : null;

    // By itself: what its lambdas capture would be made for every token otherwise.
    private List<ScopeFilter>? FindFilters(Requester requester, Interaction interaction)
    {
        List<ScopeFilter>? filters = null;
        var level = LevelOf(requester).Name;
        foreach (var type in _scopes.Where(scope => scope.Query is not null && scope.Level == level).Select(static scope => scope.Type).Distinct())
            foreach (var letter in interaction.Needs.Where(need => need.Type == type).Select(static need => need.Letter).Append(interaction.ReadsBy).Distinct())
            {
                var permitting = _scopes.Where(scope => scope.Permits(level, type, letter)).ToArray();
                if (permitting.Length > 0 && permitting.All(static scope => scope.Query is not null))
                    (filters ??= []).Add(new(type, [.. permitting.Select(static scope => scope.Query!).Distinct().Order(StringComparer.Ordinal)], reads: letter is 'r' or 's'));
            }
        return filters;
    }

    private ByLevel LevelOf(Requester requester)
    {
        var at = (int)requester.Kind;
        return _byLevel[at] ??= new(_scopes, requester.Kind switch
        {
            RequesterKind.System => "system",
            RequesterKind.Citizen => SmartScope.Patient,
            _ => "user",
        });
    }

    private sealed class ByLevel(IReadOnlyList<SmartScope> scopes, string level)
    {
        // A token asks with few letters: looking through them costs less than a hash, and makes nothing.
        private volatile Found[] _found = [];

        private sealed record Found(char Letter, string[]? Bound, string[]? Types);

        public string Name => level;

        public IReadOnlyList<string>? Types(char letter, string[]? bound)
        {
            foreach (var known in _found)
                if (known.Letter == letter && ReferenceEquals(known.Bound, bound))
                    return known.Types;
            lock (scopes)
            {
                foreach (var known in _found)
                    if (known.Letter == letter && ReferenceEquals(known.Bound, bound))
                        return known.Types;
                var found = new Found(letter, bound, Find(letter, bound));
                _found = [.. _found, found];
                return found.Types;
            }
        }

        private string[]? Find(char letter, string[]? bound)
        {
            string[] reached = [.. Served.Where(type => scopes.Any(s => s.Permits(level, type, letter)))];
            if (bound is not null)
                return [.. reached.Intersect(bound, StringComparer.Ordinal)];
            return reached.Length == Served.Length ? null : reached;
        }
    }
}
