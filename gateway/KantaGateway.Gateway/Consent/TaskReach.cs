using System.Collections.Frozen;
using System.Runtime.CompilerServices;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Consent;

/// <summary>What a task gives access to at most, as resource types (decree 457/2024 §3-9). Lists are ordinal; null: every type.</summary>
/// <remarks>
/// The decree speaks of contents, FHIR of types; which types stand for which content is this gateway's reading. Companions (Provenance,
/// Binary, Medication) go with what refers to them.
/// </remarks>
static class TaskReach
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

    /// <summary>
    /// What is necessary in an emergency (§54.2): what endangers, what is taken, what was done and measured. No notes, no documents, no bookings.
    /// </summary>
    public static readonly string[] Emergency =
    [
        "AllergyIntolerance", "Condition", "Device", "DiagnosticReport", "Encounter", "Flag", "Immunization", "Medication", "MedicationAdministration",
        "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Patient", "Procedure", "Provenance", "RiskAssessment",
    ];

    private static readonly OthersReach All = new(null, Emergency), OfSummary = Within(Summary), OfMedicines = Within(Medicines), Nothing = new([], []);

    /// <summary>§6: with the summary the documents of the own speciality, by profession.</summary>
    private static readonly FrozenDictionary<string, OthersReach> OfSpeciality = Specialities.Settings.ToFrozenDictionary(static its => its.Key,
        static its => Within([.. Summary, "Binary", "DocumentReference"]) with { Filters = [new("DocumentReference", [.. its.Value.Select(static code => "setting=" + Uri.EscapeDataString(code))], reads: true)] },
        StringComparer.Ordinal);

    private static OthersReach Within(string[] types)
    {
        types = [.. types.Order(StringComparer.Ordinal)];
        return new(types, [.. Emergency.Intersect(types)]);
    }

    /// <summary>Types of the own register.</summary>
    /// <param name="tasks">Null: no role register is configured, and the provider answers for whom it lets in (§9).</param>
    public static string[]? Own(TaskClass? tasks) => tasks switch
    {
        TaskClass.Support => Orders,
        TaskClass.Medication => Summary,
        _ => null,
    };

    /// <summary>Whether the task reaches every type that is needed in the own register; the directory is everybody's.</summary>
    /// <inheritdoc cref="Own"/>
    public static bool Covers(TaskClass? tasks, IReadOnlyList<(string Type, char Letter)> needs)
    {
        if (Own(tasks) is not { } own)
            return true;
        for (var i = 0; i < needs.Count; i++)
            if (!own.Contains(needs[i].Type) && ResourceTypes.PlaceOf(needs[i].Type) != ResourcePlace.Directory)
                return false;
        return true;
    }

    /// <summary>What is reached of other registers.</summary>
    /// <param name="tasks">Null: no role register is configured, and the provider answers for whom it lets in (§9).</param>
    /// <param name="profession">As the role register writes it; null: not known, so of no speciality.</param>
    public static OthersReach Others(TaskClass? tasks, string? profession) => tasks switch
    {
        null or TaskClass.BroadCare => All,
        TaskClass.LimitedCare => profession is not null && OfSpeciality.TryGetValue(profession, out var its) ? its : OfSummary,
        TaskClass.Medication => OfMedicines,
        _ => Nothing,
    };
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
        var own = TaskReach.Own(requester.Kind == RequesterKind.Professional ? requester.Tasks : null);
        return LevelOf(requester).Types(letter, own);
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
