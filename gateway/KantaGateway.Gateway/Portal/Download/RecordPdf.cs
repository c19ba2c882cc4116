using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Download;

/// <summary>The record as people read it, to be printed or shown to who treats them.</summary>
internal sealed class RecordPdf(EntryLines lines, OrganisationNames names, Texts texts)
{
    /// <summary>Letters of one text, and of all together, about 400 pages: behind them entries stand with their titles alone.</summary>
    internal const int LongestText = 20_000, MostLetters = 1_000_000;

    /// <param name="person">Whose record it is; null: not known.</param>
    /// <param name="representative">Who takes it for the person; null: the person.</param>
    public byte[] Write(PrintedContent content, string? person, string? representative, DateTimeOffset now)
    {
        var (chosen, hasMore) = content.Chosen();
        var (entries, letters, isShortened) = (new List<(string Label, string Value)>(), 0, false);
        foreach (var entry in chosen)
        {
            var line = lines.Of(entry, withKind: true);
            var value = line.Gist is null ? line.Title : $"{line.Title}: {line.Gist}";
            if (letters > MostLetters)
                isShortened = true;
            else
            {
                var (text, isCut) = TextOf(content, entry, line.Title);
                (value, letters, isShortened) = (text, letters + text.Length, isShortened || isCut);
            }
            entries.Add((string.Join(" · ", new[] { line.Kind, entry.When is { } when ? Dates.Of(when) : texts["records.noyear"], line.Source }.OfType<string>()), value));
        }
        foreach (var request in content.Asked())
        {
            var value = texts[$"rectifications.{Rectifications.StateOf(request, now)}", Dates.Day(request.AnswerBy)];
            if (letters > MostLetters)
                isShortened = true;
            else
                (value, letters) = ($"{value}\n{WordsOf(request)}", letters + WordsOf(request).Length);
            entries.Add(($"{texts["rectify.title"]} · {Dates.Minute(request.At)} · {names.Of(request.Asked.Controller)}", value));
        }

        var fields = new List<(string Label, string Value)> { (texts["print.person"], person ?? "–") };
        if (StatedTime.Read(content.Patient?.Resource.String("birthDate")) is { } born)
            fields.Add((texts["print.born"], Dates.Of(born)));
        if (representative is not null)
            fields.Add((texts["print.representative"], representative));
        fields.Add((texts["download.made"], Dates.Minute(now)));
        fields.Add((texts["incomplete.title"], $"{texts["incomplete.text"]} {texts["incomplete.later"]}"));
        if (hasMore)
            fields.Add((texts["download.notall"], texts["download.pdf.older", PrintedContent.MostEntries]));
        if (isShortened)
            fields.Add((texts["download.notall"], texts["download.pdf.shortened"]));
        if (entries.Count == 0)
            fields.Add((texts["records.title"], texts["records.none"]));
        return PrintedForm.Write(texts["records.title"], fields.Concat(entries), texts["download.pdf.lacking"]);
    }

    private string WordsOf(RectificationRequest request) => string.Join('\n', new (string Label, string? Words)[]
    {
        ("rectify.about", lines.Reader.TypeName(request.Entry.Split('/')[0])), ("rectify.wrong", request.Wrong), ("rectify.right", request.Right), ("rectify.print.why", request.Why), ("rectifications.answer", request.Answer),
    }.Where(static part => part.Words is not null).Select(part => $"{texts[part.Label]}: {part.Words}"));

    private (string Text, bool IsCut) TextOf(PrintedContent content, Entry entry, string title)
    {
        var attached = Attachment.Of(entry).Select(its => (its.Type, Text: its.Read(its.Data ?? (its is { IsText: true, Binary: { } id } ? content.ContentOf(id) : null)))).ToList();
        var (said, isCut) = (new List<string> { title }, false);
        foreach (var field in lines.Reader.Fields(entry, [.. attached.Select(its => its.Text).OfType<string>()]))
        {
            var value = field.Value;
            if (value.Length > LongestText)
                (value, isCut) = (string.Concat(value.AsSpan(0, LongestText), "…"), true);
            said.Add($"{field.Name ?? texts[$"entry.{field.Label}"]}: {value}");
        }
        said.AddRange(attached.Where(its => its.Text is null).Select(its => texts["entry.file", its.Type.Length == 0 ? "?" : its.Type]));
        return (string.Join('\n', said), isCut);
    }
}
