using System.Globalization;
using System.IO.Compression;
using System.Text;
using CsvHelper;
using CsvHelper.Configuration;
using DocumentFormat.OpenXml;
using DocumentFormat.OpenXml.Packaging;
using DocumentFormat.OpenXml.Spreadsheet;

namespace KantaGateway.Fhir.Tables;

/// <summary>A table as text: the titles of its first row, and the rows under them.</summary>
/// <param name="Rows">Each with as many cells as there are titles, or fewer; its number is that of the file, from 2 on.</param>
public sealed record TableFile(IReadOnlyList<string> Titles, IReadOnlyList<(int Number, IReadOnlyList<string> Cells)> Rows)
{
    public const int MaxRows = 20_000, MaxColumns = 200, MaxCell = 100_000;

    /// <summary>Most bytes that a workbook may unfold to.</summary>
    public const long MaxUnfolded = 50 * 1024 * 1024;

    /// <summary>Reads CSV, or XLSX where the bytes begin as a ZIP archive.</summary>
    /// <returns>Or what is wrong with the file as a whole: then no row of it is good.</returns>
    public static (TableFile? Table, string? Problem) Read(ReadOnlyMemory<byte> bytes, TableMapping mapping) =>
        bytes.Span.StartsWith("PK"u8) ? ReadWorkbook(bytes, mapping) : ReadText(bytes, mapping);

    private static (TableFile?, string?) ReadText(ReadOnlyMemory<byte> bytes, TableMapping mapping)
    {
        string text;
        try
        {
            Encoding encoding = mapping.Encoding == "utf-8" ? new UTF8Encoding(false, throwOnInvalidBytes: true) : Encoding.Latin1;
            text = encoding.GetString(bytes.Span).TrimStart('\uFEFF');
        }
        catch (DecoderFallbackException wrong)
        {
            return (null, string.Create(CultureInfo.InvariantCulture, $"The file is not {mapping.Encoding}, as the mapping says: row {bytes.Span[..wrong.Index].Count((byte)'\n') + 1}."));
        }
        if (text.AsSpan().IndexOfAnyInRange('\u0080', '\u009F') >= 0 || text.Contains('\0'))
            return (null, "The file has control characters, as there are where Windows-1252 is taken for ISO 8859-1. Save it as UTF-8.");
        using var csv = new CsvParser(new StringReader(text), new CsvConfiguration(CultureInfo.InvariantCulture) { Delimiter = mapping.Delimiter, MaxFieldSize = MaxCell, Mode = CsvMode.RFC4180, IgnoreBlankLines = true });
        var rows = new List<(int, IReadOnlyList<string>)>();
        try
        {
            while (csv.Read())
            {
                if (rows.Count > MaxRows || csv.Count > MaxColumns)
                    return (null, TooLarge);
                // Where the row begins: a cell may have lines of its own.
                rows.Add((csv.RawRow - csv.RawRecord.AsSpan().Trim("\r\n").Count('\n'), [.. csv.Record!]));
            }
        }
        catch (CsvHelperException)
        {
            return (null, string.Create(CultureInfo.InvariantCulture, $"Row {csv.RawRow} is no CSV (RFC 4180): a quote is not closed or stands inside a cell, or a cell has more than {MaxCell} characters."));
        }
        return Of(rows);
    }

    private static string TooLarge => string.Create(CultureInfo.InvariantCulture, $"A table has at most {MaxRows} rows and {MaxColumns} columns; split it.");

    private static (TableFile?, string?) Of(List<(int Number, IReadOnlyList<string> Cells)> rows)
    {
        if (rows is not [var titles, .. var below])
            return (null, "The table is empty: its first row has the titles of the columns.");
        IReadOnlyList<string> names = [.. titles.Cells.Select(static t => t.Trim())];
        if (names.Any(static n => n.Length == 0) || names.Distinct().Count() != names.Count)
            return (null, "Every column has a title in the first row, another one each.");
        return (new(names, [.. below.Where(static row => row.Cells.Any(static c => !string.IsNullOrWhiteSpace(c)))]), null);
    }

    private static (TableFile?, string?) ReadWorkbook(ReadOnlyMemory<byte> bytes, TableMapping mapping)
    {
        using var stream = new MemoryStream(bytes.ToArray(), writable: false);
        try
        {
            // What is said of sizes is checked while it is read: the archive's reader stops at what is said.
            using (var archive = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true))
                if (archive.Entries.Count > 1_000 || archive.Entries.Sum(static e => e.Length) > MaxUnfolded)
                    return (null, "The workbook unfolds to more than 50 MiB; save the sheet alone.");
            stream.Position = 0;
            using var workbook = SpreadsheetDocument.Open(stream, false, new OpenSettings { MaxCharactersInPart = MaxUnfolded });
            var book = workbook.WorkbookPart;
            var sheet = book?.Workbook?.Sheets?.Elements<Sheet>().FirstOrDefault(s => mapping.Sheet is null || s.Name?.Value == mapping.Sheet);
            if (book is null || sheet?.Id?.Value is not { } id || book.GetPartById(id) is not WorksheetPart part)
                return (null, mapping.Sheet is null ? "The workbook has no sheet." : "The workbook has no sheet of the name that the mapping says.");
            var texts = book.SharedStringTablePart?.SharedStringTable?.Elements<SharedStringItem>().Select(static s => s.InnerText).ToArray() ?? [];
            return ReadSheet(part, texts, DateStyles(book));
        }
        catch (Exception broken) when (broken is OpenXmlPackageException or InvalidDataException or System.Xml.XmlException or FileFormatException or IOException or FormatException or ArgumentException or KeyNotFoundException or NullReferenceException or InvalidOperationException)
        {
            // So the library says, in one place or another, that the bytes are no workbook.
            return (null, "The file is no XLSX workbook, or a damaged one; open it and save it anew.");
        }
    }

    private static (TableFile?, string?) ReadSheet(WorksheetPart part, string[] texts, HashSet<uint> dates)
    {
        var rows = new List<(int, IReadOnlyList<string>)>();
        var width = 0;
        using var reader = OpenXmlReader.Create(part);
        while (reader.Read())
        {
            if (reader.ElementType != typeof(Row) || !reader.IsStartElement || reader.LoadCurrentElement() is not Row row)
                continue;
            var cells = new List<string>();
            foreach (var cell in row.Elements<Cell>())
            {
                var column = cell.CellReference?.Value is { } reference ? ColumnOf(reference) : cells.Count;
                if (column is < 0 or >= MaxColumns || rows.Count > MaxRows)
                    return (null, TooLarge);
                while (cells.Count <= column)
                    cells.Add("");
                cells[column] = TextOf(cell, texts, dates);
            }
            if (rows.Count == 0)
                width = cells.FindLastIndex(static c => c.Length > 0) + 1;
            rows.Add(((int)(row.RowIndex?.Value ?? (uint)rows.Count + 1), [.. cells.Take(Math.Max(width, cells.FindLastIndex(static c => c.Length > 0) + 1))]));
        }
        return Of(rows);
    }

    private static string TextOf(Cell cell, string[] texts, HashSet<uint> dates)
    {
        var raw = cell.CellValue?.Text ?? "";
        if (cell.DataType?.Value is { } type)
            return type == CellValues.SharedString ? int.TryParse(raw, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index < texts.Length ? texts[index] : ""
                : type == CellValues.InlineString ? cell.InlineString?.InnerText ?? "" : raw;
        // A date is a number of days whose style says so.
        return cell.StyleIndex?.Value is { } style && dates.Contains(style) && double.TryParse(raw, NumberStyles.Float, CultureInfo.InvariantCulture, out var days) && days is > 0 and < 2_958_466
            ? DateTime.FromOADate(days).ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) : raw;
    }

    private static HashSet<uint> DateStyles(WorkbookPart book)
    {
        var formats = book.WorkbookStylesPart?.Stylesheet;
        var own = formats?.NumberingFormats?.Elements<NumberingFormat>().Where(static f => f.NumberFormatId is not null && f.FormatCode?.Value is { } code && code.Contains('y', StringComparison.OrdinalIgnoreCase)).Select(static f => f.NumberFormatId!.Value).ToHashSet() ?? [];
        return formats?.CellFormats?.Elements<CellFormat>().Index().Where(f => f.Item.NumberFormatId?.Value is { } number && (number is >= 14 and <= 17 or 22 || own.Contains(number))).Select(static f => (uint)f.Index).ToHashSet() ?? [];
    }

    private static int ColumnOf(string reference)
    {
        var column = 0;
        foreach (var c in reference.TakeWhile(char.IsAsciiLetter))
            column = column * 26 + (char.ToUpperInvariant(c) - 'A' + 1);
        return column > 0 ? column - 1 : -1;
    }
}
