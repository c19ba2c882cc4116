using System.Collections.Frozen;
using System.Text.Json;

namespace KantaGateway.Gateway.Consent;

/// <summary>
/// Practice settings whose documents concern a limited profession's own speciality (decree 457/2024 §6), from <c>specialities.json</c>. Which setting
/// belongs to which profession is this gateway's reading; the codes name their sources there.
/// </summary>
static class Specialities
{
    /// <summary>By profession, as the role register writes it: tokens <c>system|code</c> of DocumentReference.context.practiceSetting.</summary>
    public static FrozenDictionary<string, string[]> Settings { get; } = Read();

    private sealed record Row(string[] Professions, string System, string[] Codes, string Source);

    private static FrozenDictionary<string, string[]> Read()
    {
        using var file = typeof(Specialities).Assembly.GetManifestResourceStream("specialities.json") ?? throw new InvalidOperationException("specialities.json is not embedded.");
        var rows = JsonSerializer.Deserialize<Row[]>(file, JsonSerializerOptions.Web) ?? [];
        return rows.SelectMany(static row => row.Professions.SelectMany(profession => row.Codes.Select(code => (profession, Token: $"{row.System}|{code}"))))
            .GroupBy(static pair => pair.profession, static pair => pair.Token).ToFrozenDictionary(static its => its.Key, static its => its.ToArray(), StringComparer.Ordinal);
    }
}
