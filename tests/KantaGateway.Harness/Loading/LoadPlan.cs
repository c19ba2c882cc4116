using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Harness.Loading;

/// <summary>What is sent in one request: a resource, or several that must be stored together.</summary>
/// <param name="Entries">At least one.</param>
/// <param name="Atomic">Sent as a transaction.</param>
public sealed record LoadUnit(IReadOnlyList<SourceEntry> Entries, bool Atomic);

/// <summary>
/// In which order and which company resources are sent, so that every reference that can be resolved is: Patients and
/// whatever else is referred to go before those who refer to it.
/// </summary>
public sealed class LoadPlan
{
    /// <summary>
    /// Types of no patient compartment and no directory: they go in one transaction with the resources that refer to
    /// them (architecture section 7).
    /// </summary>
    private static readonly HashSet<string> Companions =
        ["Binary", "Device", "Medication", "Substance", "Specimen", "MedicationKnowledge", "BiologicallyDerivedProduct", "DeviceDefinition"];

    private LoadPlan(IReadOnlyList<IReadOnlyList<LoadUnit>> levels, IReadOnlyList<UnreadableSource> unreadable) =>
        (Levels, Unreadable) = (levels, unreadable);

    /// <summary>Units of one level refer only to earlier levels and may be sent at the same time.</summary>
    public IReadOnlyList<IReadOnlyList<LoadUnit>> Levels { get; }

    public IReadOnlyList<UnreadableSource> Unreadable { get; }

    public int Count => Levels.Sum(l => l.Sum(u => u.Entries.Count));

    /// <param name="stubPatients">Make up a Patient for every <c>Patient/id</c> that is referred to and not among the sources.</param>
    public static LoadPlan Of(SourceContents contents, bool stubPatients = false)
    {
        var units = new List<LoadUnit>(contents.Transactions.Select(t => new LoadUnit(t, Atomic: true)));
        units.AddRange(contents.Singles.Select(s => new LoadUnit([s], Atomic: false)));
        if (stubPatients)
            units.AddRange(Stubs(units));
        GiveIdentityCodes(units.SelectMany(u => u.Entries));
        units = WithCompanions(units);
        return new(Order(units), contents.Unreadable);
    }

    private static IEnumerable<LoadUnit> Stubs(List<LoadUnit> units)
    {
        var known = units.SelectMany(u => u.Entries).SelectMany(e => e.Keys).ToHashSet();
        return
        [
            .. units.SelectMany(u => u.Entries).SelectMany(e => ReferenceText.In(e.Resource)).Distinct()
                .Where(k => k.StartsWith("Patient/", StringComparison.Ordinal) && !known.Contains(k))
                .Select(k => new LoadUnit([new("(made up)", k, new JsonObject { ["resourceType"] = "Patient", ["id"] = k["Patient/".Length..] })], Atomic: false)),
        ];
    }

    /// <summary>Adds a fictional code to every Patient that has none, by their source id; wrong codes are left for the gateway to refuse.</summary>
    private static void GiveIdentityCodes(IEnumerable<SourceEntry> entries)
    {
        var owners = new Dictionary<PersonalIdentityCode, string>();
        foreach (var patient in entries.Where(e => e.Type == "Patient" && !HasIdentityCode(e.Resource)))
        {
            var source = patient.Id ?? patient.FullUrl ?? $"{patient}";
            var attempt = 0;
            var code = FictionalIdentityCode.Of(source);
            while (owners.TryGetValue(code, out var owner) && owner != source)
                code = FictionalIdentityCode.Of(source, ++attempt);
            owners[code] = source;
            if (patient.Resource["identifier"] is not JsonArray identifiers)
                patient.Resource["identifier"] = identifiers = [];
            identifiers.Add(new JsonObject { ["use"] = "official", ["system"] = PersonalIdentityCode.System, ["value"] = code.Reveal() });
        }
    }

    private static bool HasIdentityCode(JsonObject patient) =>
        patient["identifier"] is JsonArray identifiers && identifiers.Any(i => i is JsonObject o && (string?)o["system"] == PersonalIdentityCode.System);

    /// <summary>
    /// Joins each companion with the units that refer to it. A companion that several patients' resources share is
    /// copied, since one transaction concerns one patient.
    /// </summary>
    private static List<LoadUnit> WithCompanions(List<LoadUnit> units)
    {
        foreach (var companion in units.Where(u => u is { Atomic: false, Entries: [{ } only] } && Companions.Contains(only.Type)).ToList())
        {
            var keys = companion.Entries[0].Keys.ToHashSet();
            var referrers = units.Where(u => u != companion && u.Entries.Any(e => ReferenceText.In(e.Resource).Any(keys.Contains))).ToList();
            foreach (var patient in referrers.GroupBy(PatientOf))
            {
                units.RemoveAll(patient.Contains);
                units.Add(new([companion.Entries[0], .. patient.SelectMany(u => u.Entries)], Atomic: true));
            }
            if (referrers.Count > 0)
                units.Remove(companion);
        }
        return units;
    }

    private static string? PatientOf(LoadUnit unit) =>
        unit.Entries.SelectMany(e => ReferenceText.In(e.Resource)).FirstOrDefault(k => k.StartsWith("Patient/", StringComparison.Ordinal))
        ?? unit.Entries.FirstOrDefault(e => e.Type == "Patient")?.Keys.FirstOrDefault();

    private static List<IReadOnlyList<LoadUnit>> Order(List<LoadUnit> units)
    {
        var levels = new List<IReadOnlyList<LoadUnit>>();
        var waiting = units;
        while (waiting.Count > 0)
        {
            var owner = new Dictionary<string, LoadUnit>();
            foreach (var unit in waiting)
                foreach (var key in unit.Entries.SelectMany(e => e.Keys))
                    owner.TryAdd(key, unit);
            var needs = waiting.ToDictionary(u => u, u => u.Entries.SelectMany(e => ReferenceText.In(e.Resource))
                .Select(k => owner.GetValueOrDefault(k)).OfType<LoadUnit>().Where(o => o != u).ToHashSet());
            var ready = waiting.Where(u => needs[u].Count == 0).OrderBy(u => u.Entries.Any(e => e.Type == "Patient") ? 0 : 1).ToList();
            if (ready.Count == 0)
            {
                // Everybody waits for somebody: a circle can only be stored at once.
                var circle = Circle(waiting[0], needs);
                waiting = [.. waiting.Except(circle), new([.. circle.SelectMany(u => u.Entries)], Atomic: true)];
                continue;
            }
            levels.Add(ready);
            waiting = [.. waiting.Except(ready)];
        }
        return levels;
    }

    private static List<LoadUnit> Circle(LoadUnit start, Dictionary<LoadUnit, HashSet<LoadUnit>> needs)
    {
        var path = new List<LoadUnit>();
        for (var unit = start; ; unit = needs[unit].First())
        {
            if (path.IndexOf(unit) is >= 0 and var first)
                return path[first..];
            path.Add(unit);
        }
    }
}
