using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace KantaGateway.Fhir.Tables;

/// <summary>
/// What the columns of a practice's table are: a JSON file that the practice, or who helps it, writes once. Every column of the table stands in it, so that nothing is passed over unseen.
/// </summary>
public sealed record TableMapping
{
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true, MaxDepth = 8, AllowDuplicateProperties = false,
    };

    /// <summary>What a column may be.</summary>
    public static IReadOnlyList<string> Meanings { get; } =
    [
        "patient.identityCode", "patient.localId", "patient.family", "patient.given", "patient.birthDate", "patient.street", "patient.postalCode", "patient.city", "patient.phone", "patient.email",
        "visit.id", "visit.date", "visit.professional", "diagnosis.code", "diagnosis.text", "note.title", "note.text",
    ];

    /// <summary>From a column's title, as it stands in the first row, to what it is, one of <see cref="Meanings"/>.</summary>
    public required IReadOnlyDictionary<string, string> Columns { get; init; }

    /// <summary>Titles of columns that are not health records, such as invoicing: they are left behind, not even kept with the original.</summary>
    public IReadOnlyList<string> Ignore { get; init; } = [];

    /// <summary>Of CSV: what parts the cells, one character.</summary>
    public string Delimiter { get; init; } = ";";

    /// <summary>Of CSV: <c>utf-8</c> or <c>iso-8859-1</c>.</summary>
    public string Encoding { get; init; } = "utf-8";

    /// <summary>Of dates that are text: a .NET format without time, of digits, such as <c>d.M.yyyy</c>.</summary>
    public string DateFormat { get; init; } = "d.M.yyyy";

    /// <summary>Of XLSX: the sheet's name; null: the first.</summary>
    public string? Sheet { get; init; }

    /// <summary>Code system of <c>diagnosis.code</c>, a URI: ICD-10 of the Finnish code service by default.</summary>
    public string DiagnosisSystem { get; init; } = "urn:oid:1.2.246.537.6.1";

    /// <summary>Reads a mapping.</summary>
    /// <returns>Or what is wrong with it, each a plain sentence.</returns>
    public static (TableMapping? Mapping, IReadOnlyList<string> Problems) Read(ReadOnlySpan<byte> json)
    {
        TableMapping? mapping;
        try
        {
            mapping = JsonSerializer.Deserialize<TableMapping>(json, Format);
        }
        catch (JsonException wrong)
        {
            return (null, [string.Create(CultureInfo.InvariantCulture, $"The mapping is no JSON of the known members (line {wrong.LineNumber + 1}, {wrong.Path}).")]);
        }
        if (mapping is null)
            return (null, ["The mapping is null."]);
        var problems = new List<string>();
        foreach (var unknown in mapping.Columns.Values.Where(static m => !Meanings.Contains(m)).Distinct())
            problems.Add($"columns: \"{unknown}\" is nothing that a column may be. It may be {string.Join(", ", Meanings)}.");
        foreach (var twice in mapping.Columns.GroupBy(static c => c.Value).Where(static g => g.Count() > 1))
            problems.Add($"columns: {twice.Key} is several columns; one says it.");
        if (!mapping.Columns.Values.Contains("patient.identityCode"))
            problems.Add("columns: one must be patient.identityCode. Nobody is kept here without one.");
        if (mapping.Columns.Keys.Intersect(mapping.Ignore).Any())
            problems.Add("ignore: a column is mapped too.");
        if (mapping.Delimiter is not [var sign] || char.IsLetterOrDigit(sign) || sign is '"' or '\r' or '\n')
            problems.Add("delimiter: one character that is no letter, digit or quote.");
        if (mapping.Encoding is not ("utf-8" or "iso-8859-1"))
            problems.Add("encoding: utf-8 or iso-8859-1.");
        if (!mapping.DateFormat.All(static c => c is 'd' or 'M' or 'y' or '.' or '-' or '/'))
            problems.Add("dateFormat: of d, M, y and . - /, such as d.M.yyyy.");
        if (!Uri.TryCreate(mapping.DiagnosisSystem, UriKind.Absolute, out _))
            problems.Add("diagnosisSystem: a URI.");
        return problems.Count > 0 ? (null, problems) : (mapping, []);
    }
}
