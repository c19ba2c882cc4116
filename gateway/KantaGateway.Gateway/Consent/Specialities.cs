using System.Collections.Frozen;
using System.Text.Json;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Consent;

/// <summary>
/// Practice settings whose documents concern a limited profession's own speciality (decree 457/2024 §6), from <c>specialities.json</c>. Which setting
/// belongs to which profession is this gateway's reading; the codes name their sources there.
/// </summary>
static class Specialities
{
    private static readonly Row[] Rows = Read();

    /// <summary>By profession, as the role register writes it: tokens <c>system|code</c> of DocumentReference.context.practiceSetting.</summary>
    public static FrozenDictionary<string, string[]> Settings { get; } = ByProfession(Rows);

    /// <summary>
    /// The search that finds what names no speciality at all: neither one of the practice settings of R4, nor any of the national list.
    /// </summary>
    /// <remarks>hl7.org/fhir/R4/valueset-c80-practice-codes.html; Hilmo, Terveydenhuollon erikoisalat (THL code service 1.2.246.537.6.24), by itself and in its edition.</remarks>
    public static string OfNone { get; } = $"setting:not-in={Uri.EscapeDataString("http://hl7.org/fhir/ValueSet/c80-practice-codes")}&setting:not="
        + string.Join(',', Rows.SelectMany(static row => row.Systems).Distinct().Where(static system => system.StartsWith("urn:oid:", StringComparison.Ordinal)).Select(static system => Uri.EscapeDataString(system + "|")));

    /// <summary>By service of the decree 457/2024 §4 that is of one speciality: the same.</summary>
    private static readonly FrozenDictionary<HealthServices, string[]> ByService = ByServiceIn(Rows);

    /// <summary>The practice settings that services are of; null where one of them is of no single speciality.</summary>
    public static string[]? OfServices(HealthServices services)
    {
        List<string> settings = [];
        for (var point = 1; point <= HealthServicePoints.All.Count; point++)
            if (((HealthServices)(1 << point) & services) is var its and not HealthServices.None)
            {
                if (!ByService.TryGetValue(its, out var of))
                    return null;
                settings.AddRange(of);
            }
        return [.. settings];
    }

    private sealed record Row(string[] Professions, string System, string[] Codes, string Source)
    {
        /// <summary>Points of the decree 457/2024 §4.</summary>
        public int[] Services { get; init; } = [];

        /// <summary>Editions of the code system, each by an OID under it.</summary>
        public string[] Editions { get; init; } = [];

        public IEnumerable<string> Systems => Editions.Select(edition => $"{System}.{edition}").Prepend(System);

        public IEnumerable<string> Tokens => Systems.SelectMany(system => Codes.Select(code => $"{system}|{code}"));
    }

    private static Row[] Read()
    {
        using var file = typeof(Specialities).Assembly.GetManifestResourceStream("specialities.json") ?? throw new InvalidOperationException("specialities.json is not embedded.");
        return JsonSerializer.Deserialize<Row[]>(file, JsonSerializerOptions.Web) ?? [];
    }

    private static FrozenDictionary<string, string[]> ByProfession(Row[] rows) =>
        rows.SelectMany(static row => row.Professions.SelectMany(profession => row.Tokens.Select(token => (profession, token))))
            .GroupBy(static pair => pair.profession, static pair => pair.token).ToFrozenDictionary(static its => its.Key, static its => its.ToArray(), StringComparer.Ordinal);

    private static FrozenDictionary<HealthServices, string[]> ByServiceIn(Row[] rows) =>
        rows.SelectMany(static row => row.Services.SelectMany(point => row.Tokens.Select(token => (Service: (HealthServices)(1 << point), token))))
            .GroupBy(static pair => pair.Service, static pair => pair.token).ToFrozenDictionary(static its => its.Key, static its => its.ToArray());
}
