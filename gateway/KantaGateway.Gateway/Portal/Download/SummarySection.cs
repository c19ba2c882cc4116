using System.Text.Json;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Download;

/// <summary>A section of an International Patient Summary and which entries belong in it (HL7 IPS 2.0.0, Composition-uv-ips).</summary>
/// <param name="Loinc">Its code.</param>
/// <param name="Name">Key under <c>download.summary.</c> of the texts.</param>
/// <param name="Most">The newest of them.</param>
/// <param name="IsAlways">Whether it is there without entries, too, and says so.</param>
/// <param name="Holds">Of these types.</param>
internal sealed record SummarySection(string Loinc, string Name, int Most, bool IsAlways, Func<JsonElement, bool> Holds, params IReadOnlyList<string> Types)
{
    /// <summary>In the order of the document: first those that every summary has.</summary>
    public static readonly IReadOnlyList<SummarySection> All =
    [
        new("11450-4", "problems", 200, true, static r => IsAsserted(r) && !IsPast(r), "Condition"),
        new("48765-2", "allergies", 200, true, IsAsserted, "AllergyIntolerance"),
        new("10160-0", "medications", 200, true, static r => r.String("status") is not ("completed" or "stopped" or "cancelled" or "not-taken" or "draft" or "entered-in-error"), "MedicationRequest", "MedicationStatement"),
        new("11369-6", "immunizations", 200, true, static r => r.String("status") == "completed", "Immunization"),
        new("30954-2", "results", 100, true, static r => IsReported(r) && (r.String("resourceType") != "Observation" || CategoriesOf(r) is [] or [.., "laboratory" or "imaging"]), "DiagnosticReport", "Observation"),
        new("47519-4", "procedures", 200, true, static r => r.String("status") is "completed" or "in-progress" or "unknown", "Procedure"),
        new("46264-8", "devices", 200, true, static r => r.String("status") is "active" or "on-hold" or "intended", "DeviceUseStatement"),
        new("8716-3", "vitals", 100, false, static r => IsReported(r) && CategoriesOf(r) is ["vital-signs", ..], "Observation"),
        new("11348-0", "past", 200, false, static r => IsAsserted(r) && IsPast(r), "Condition"),
    ];

    private static bool IsAsserted(JsonElement r) => CodesOf(r.At("verificationStatus")) is not ["refuted" or "entered-in-error", ..];

    private static bool IsPast(JsonElement r) => CodesOf(r.At("clinicalStatus")) is ["inactive" or "remission" or "resolved", ..];

    private static bool IsReported(JsonElement r) => r.String("status") is not ("registered" or "cancelled" or "entered-in-error");

    private static string[] CategoriesOf(JsonElement r) => [.. r.Each("category").SelectMany(c => CodesOf(c)).Where(code => code is "laboratory" or "imaging" or "vital-signs" or "social-history" or "survey" or "exam" or "therapy" or "activity" or "procedure")];

    private static string[] CodesOf(JsonElement? concept) => [.. (concept is { } value ? value.Each("coding") : []).Select(c => c.String("code")).OfType<string>()];
}

/// <summary>What of a record goes into its summary: gathered entry by entry, with no more kept than is shown.</summary>
internal sealed class SummaryContent
{
    /// <summary>What entries refer to and a reader of the summary needs to understand them.</summary>
    private static readonly string[] ReferredTypes = ["Medication", "Device", "Organization", "Practitioner", "PractitionerRole", "Location"];

    private readonly Dictionary<SummarySection, List<Entry>> _chosen = SummarySection.All.ToDictionary(section => section, _ => new List<Entry>());
    private readonly Dictionary<string, Entry> _referred = [];

    /// <summary>FHIR types that a summary is made of.</summary>
    public static readonly IReadOnlyList<string> Types = [.. SummarySection.All.SelectMany(section => section.Types).Append("Patient").Append("Medication").Append("Device").Distinct()];

    /// <summary>Null where no place of care has registered the person.</summary>
    public Entry? Patient { get; private set; }

    public void Add(Entry entry)
    {
        // The page that it came in is let go.
        Entry Kept() => entry with { Resource = entry.Resource.Clone() };
        if (entry.Type == "Patient")
            Patient = Kept();
        else if (ReferredTypes.Contains(entry.Type))
            _referred[$"{entry.Type}/{entry.Id}"] = Kept();
        else
            foreach (var section in SummarySection.All)
                if (section.Types.Contains(entry.Type) && section.Holds(entry.Resource))
                {
                    var entries = _chosen[section];
                    entries.Add(Kept());
                    // One more than is shown tells that there are more.
                    if (entries.Count > 2 * section.Most)
                        _chosen[section] = Newest(entries, section.Most + 1);
                    break;
                }
    }

    /// <summary>Newest first, undated last, and whether there are older ones.</summary>
    public (IReadOnlyList<Entry> Entries, bool HasMore) Of(SummarySection section)
    {
        var entries = Newest(_chosen[section], section.Most + 1);
        return entries.Count > section.Most ? (entries[..section.Most], true) : (entries, false);
    }

    /// <summary>What these refer to, and what that refers to.</summary>
    public IReadOnlyList<Entry> ReferredBy(IEnumerable<Entry> entries)
    {
        var (found, open) = (new Dictionary<string, Entry>(), new Queue<JsonElement>(entries.Select(e => e.Resource)));
        while (open.TryDequeue(out var resource))
            foreach (var reference in ReferencesIn(resource))
                if (_referred.TryGetValue(reference, out var entry) && found.TryAdd(reference, entry))
                    open.Enqueue(entry.Resource);
        return [.. found.Values];
    }

    private static List<Entry> Newest(List<Entry> entries, int most) => [.. entries.OrderByDescending(e => e.When?.Sort ?? DateTimeOffset.MinValue).Take(most)];

    private static IEnumerable<string> ReferencesIn(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Array => element.EnumerateArray().SelectMany(ReferencesIn),
        JsonValueKind.Object => element.EnumerateObject().SelectMany(member => member is { Name: "reference", Value.ValueKind: JsonValueKind.String } ? [member.Value.GetString()!] : ReferencesIn(member.Value)),
        _ => [],
    };
}
