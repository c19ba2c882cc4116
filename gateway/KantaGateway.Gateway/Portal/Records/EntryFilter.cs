using System.Globalization;
using System.Text;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>What a citizen looks for among her entries, as a form sends it; null or empty: anything.</summary>
/// <param name="Words">Each of them stands somewhere in the entry.</param>
/// <param name="Kind">Code of an <see cref="EntryKind"/>.</param>
/// <param name="Year">In Finland; <see cref="EntryFilter.NoYear"/>: of no known time.</param>
/// <param name="Organisation">OID of the controller.</param>
internal sealed record EntryForm(string? Words, string? Kind, string? Year, string? Organisation);

/// <summary>Finds entries. Words are looked for as they are read, whatever their case; what no choice of the form has is nowhere.</summary>
internal sealed class EntryFilter(EntryForm form, EntryLines lines)
{
    public const string NoYear = "0";

    private readonly string[] _words = (form.Words ?? "").Normalize(NormalizationForm.FormC).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    public bool Passes(Entry entry) =>
        (string.IsNullOrEmpty(form.Kind) || EntryKind.Of(entry).Code == form.Kind)
        && (string.IsNullOrEmpty(form.Year) || YearOf(entry) == form.Year)
        && (string.IsNullOrEmpty(form.Organisation) || entry.Organisation == form.Organisation)
        && (_words.Length == 0 || HasWords(entry));

    public static string YearOf(Entry entry) => entry.When is { } when ? Dates.Year(when.Sort).ToString(CultureInfo.InvariantCulture) : NoYear;

    private bool HasWords(Entry entry)
    {
        string[] said = [.. lines.WordsOf(entry).Select(static text => text.Normalize(NormalizationForm.FormC))];
        return Array.TrueForAll(_words, word => said.Any(text => text.Contains(word, StringComparison.OrdinalIgnoreCase)));
    }
}

/// <summary>What of a list can be chosen.</summary>
/// <param name="Kinds">In the order of the page.</param>
/// <param name="Years">Newest first, no known time last.</param>
/// <param name="Organisations">OID and name, by name.</param>
internal sealed record EntryChoices(IReadOnlyList<EntryKind> Kinds, IReadOnlyList<string> Years, IReadOnlyList<(string Oid, string Name)> Organisations)
{
    public static readonly EntryChoices None = new([], [], []);

    public static EntryChoices Of(IReadOnlyList<Entry> entries, OrganisationNames names) => new(
        [.. EntryKind.All.Where(entries.Select(EntryKind.Of).ToHashSet().Contains)],
        [.. entries.Select(EntryFilter.YearOf).Distinct().OrderByDescending(year => int.Parse(year, CultureInfo.InvariantCulture))],
        [.. entries.Select(entry => entry.Organisation).Distinct().Select(oid => (oid, names.Of(oid))).OrderBy(its => its.Item2, StringComparer.CurrentCulture)]);
}
