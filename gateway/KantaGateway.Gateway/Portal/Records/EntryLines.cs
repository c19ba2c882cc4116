namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Makes list lines of entries: titles, gists and names of organisations.</summary>
internal sealed class EntryLines(Texts texts, OrganisationNames names, ProtectedEntries isProtected)
{
    public EntryReader Reader { get; } = new(texts);

    /// <param name="withKind">Whether the line names its type.</param>
    public EntryLine Of(Entry entry, bool withKind)
    {
        var title = Reader.Title(entry);
        return new(entry, title, EntryReader.Term(entry, title), Short(Reader.Gist(entry)), names.Of(entry.Organisation), withKind ? Reader.TypeName(entry.Type) : null, isProtected.Has(entry));
    }

    /// <summary>Everything that can be read of an entry, for who looks for words in it; its files are not opened.</summary>
    public IEnumerable<string> WordsOf(Entry entry)
    {
        var title = Reader.Title(entry);
        return new[] { title, EntryReader.Term(entry, title), Reader.TypeName(entry.Type), names.Of(entry.Organisation) }.OfType<string>()
            .Concat(Reader.Fields(entry, []).SelectMany(static field => field.Name is { } name ? [name, field.Value] : (string[])[field.Value])).Concat(EntryReader.Codes(entry));
    }

    public IReadOnlyList<EntryLine> Of(IEnumerable<Entry> entries, bool withKind) => [.. entries.Select(e => Of(e, withKind))];

    /// <summary>Under the kind's own heading only the rarer types need a name.</summary>
    public IReadOnlyList<EntryLine> OfKind(EntryKind kind, IEnumerable<Entry> entries) => [.. entries.Select(e => Of(e, withKind: e.Type != kind.Types[0]))];

    /// <summary>Kinds of entries in words, with how many there are of each: <c>Diagnosis or health problem, Measurement or test result (3)</c>.</summary>
    /// <param name="types">FHIR type of each.</param>
    public string Kinds(IEnumerable<string> types) =>
        string.Join(", ", types.GroupBy(Reader.TypeName).Select(t => t.Count() == 1 ? t.Key : $"{t.Key} ({t.Count()})"));

    /// <summary>A list is to be looked through: the whole text is on the entry's own page.</summary>
    private static string? Short(string? gist) => gist is { Length: > 200 } ? string.Concat(gist.AsSpan(0, 199), "…") : gist;
}
