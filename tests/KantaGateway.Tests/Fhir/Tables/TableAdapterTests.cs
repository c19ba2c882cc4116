// What is not there ends the test, as it should.
#pragma warning disable CS8600, CS8602, CS8604
using System.IO.Compression;
using System.Text;
using CsCheck;
using DocumentFormat.OpenXml;
using DocumentFormat.OpenXml.Packaging;
using DocumentFormat.OpenXml.Spreadsheet;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Tables;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Fhir.Tables;

/// <summary>A practice's table becomes a transaction a row; what is wrong with a row is told by row and column, and stops no other.</summary>
public sealed class TableAdapterTests
{
    private const string Organisation = "1.2.246.10.99000044";

    private static readonly string Folder = Path.Combine(Solution.Folder, "fhir-adapters", "KantaGateway.Fhir", "Tables", "sample");
    private static readonly byte[] Csv = File.ReadAllBytes(Path.Combine(Folder, "vastaanotto.csv")), MappingFile = File.ReadAllBytes(Path.Combine(Folder, "vastaanotto.mapping.json"));

    private static TableMapping Mapping(string? right = null, string? wrong = null)
    {
        var (mapping, problems) = TableMapping.Read(right is null ? MappingFile : Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(MappingFile).Replace(right, wrong, StringComparison.Ordinal)));
        Assert.Empty(problems);
        return mapping!;
    }

    [Fact]
    public void The_sample_becomes_valid_transactions_and_leaves_out_what_is_no_record()
    {
        var rows = Rows(Csv);
        Assert.Equal([2, 3, 5, 6], rows.Select(r => r.Number));
        foreach (var row in rows)
        {
            Assert.Empty(row.Issues);
            var (parsed, fault) = ResourceParser.Parse(ResourceParser.Serialize(row.Bundle!));
            Assert.True(fault is null, fault?.Issues[0].ToString());
            Assert.Null(TransactionBundle.Read((Bundle)parsed!).Fault);
            Assert.DoesNotContain("1001-1", Encoding.UTF8.GetString(ResourceParser.Serialize(row.Bundle!)));
        }
        var second = rows[1].Bundle!.Entry.Select(e => e.Resource).ToList();
        Assert.Equal("Uni on parempaa; työasiat painavat.\nPalataan ensi kerralla siskoon.", Encoding.UTF8.GetString(second.OfType<Binary>().First(b => b.ContentType.StartsWith("text", StringComparison.Ordinal)).Data));
        Assert.Equal(("2018-09-17", "Leena Keksitty"), (second.OfType<Encounter>().Single().Period.Start, second.OfType<Encounter>().Single().Participant[0].Individual.Display));
        Assert.DoesNotContain(rows[2].Bundle!.Entry, e => e.Resource is Condition);
        Assert.All(rows, r => Assert.All(r.Report.Parts, p => Assert.Equal(SourceFate.Mapped, p.Fate)));
        Assert.Equal(rows.Select(r => r.Key), Rows(Csv).Select(r => r.Key));
    }

    [Fact]
    public void A_workbook_says_what_the_text_says()
    {
        var (table, problem) = TableFile.Read(Csv, Mapping());
        Assert.Null(problem);
        var rows = Rows(Workbook([table!.Titles, .. table.Rows.Select(r => r.Cells)]));
        Assert.Equal(Rows(Csv).Select(r => r.Code), rows.Select(r => r.Code));
        Assert.All(rows, r => Assert.Empty(r.Issues));
        Assert.Equal("2018-09-03", rows[0].Bundle!.Entry.Select(e => e.Resource).OfType<Encounter>().Single().Period.Start);
    }

    [Theory]
    [InlineData("290280-9011;Esimerkki;Meri Aino;Keksitty katu 1 A 2;00100;Helsinki;+358 40 000 0001;meri@esimerkki.example;Leena Keksitty;3.9.2018", "290280-9012;Esimerkki;Meri Aino;Keksitty katu 1 A 2;00100;Helsinki;+358 40 000 0001;meri@esimerkki.example;Leena Keksitty;3.9.2018", "row 2, \"Henkilötunnus\"")]
    [InlineData("3.9.2018", "31.9.2018", "row 2, \"Käyntipäivä\"")]
    [InlineData("kyllä;1001-1", "kyllä;1001-1;ylimääräinen", "row 2")]
    public void A_bad_row_is_named_by_row_and_column_and_stops_no_other(string right, string wrong, string place)
    {
        var text = Encoding.UTF8.GetString(Csv);
        Assert.Contains(right, text);
        var rows = Rows(Encoding.UTF8.GetBytes(text.Replace(right, wrong, StringComparison.Ordinal)));
        Assert.Contains(place, rows[0].Issues.Select(i => i.Expression));
        Assert.Null(rows[0].Bundle);
        Assert.All(rows.Skip(1), r => Assert.NotNull(r.Bundle));
    }

    [Theory]
    [InlineData("\"patient.family\"", "\"patient.surname\"", "patient.surname")]
    [InlineData("\"Henkilötunnus\": \"patient.identityCode\",", "", "patient.identityCode")]
    [InlineData("\"patient.family\"", "\"patient.given\"", "several columns")]
    [InlineData("\"delimiter\": \";\"", "\"delimiter\": \"ab\"", "delimiter")]
    [InlineData("\"encoding\": \"utf-8\"", "\"encoding\": \"utf-7\"", "encoding")]
    [InlineData("\"delimiter\"", "\"separator\"", "separator")]
    public void A_mapping_says_what_is_wrong_with_it(string right, string wrong, string problem)
    {
        var (mapping, problems) = TableMapping.Read(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(MappingFile).Replace(right, wrong, StringComparison.Ordinal)));
        Assert.Null(mapping);
        Assert.Contains(problem, string.Join(' ', problems));
    }

    [Fact]
    public void A_column_that_nobody_has_mapped_is_not_passed_over()
    {
        var mapping = Mapping("\"Laskutettu\", ", "");
        var (table, _) = TableFile.Read(Csv, mapping);
        Assert.Contains("Laskutettu", Assert.Single(TableAdapter.Explain(table!, mapping)));
        Assert.Empty(TableAdapter.Explain(table!, Mapping()));
    }

    public static TheoryData<string, byte[]> Bad => new()
    {
        { "empty", [] },
        { "title", Encoding.UTF8.GetBytes("a;a\n1;2\n") },
        { "utf-8", [.. Csv[..600], 0xE4, .. Csv[600..]] },
        { "CSV", Encoding.UTF8.GetBytes("a;b\n\"1;2\n") },
        { "workbook", [.. "PK"u8, 3, 4, 0, 0, 1, 2, 3] },
        { "unfolds", Bomb() },
    };

    [Theory, MemberData(nameof(Bad))]
    public void A_file_that_is_none_is_refused_as_a_whole(string problem, byte[] file)
    {
        var (table, said) = TableFile.Read(file, Mapping());
        Assert.Null(table);
        Assert.Contains(problem, said);
    }

    [Fact]
    public void Damaged_files_are_answered_and_never_crash()
    {
        var mapping = Mapping();
        byte[][] files = [Csv, Workbook([["Henkilötunnus"], ["290280-9011"]])];
        Gen.Select(Gen.Int[0, 1], Gen.Int[0, 100_000], Gen.Byte, Gen.Bool).Sample((which, where, put, cut) =>
        {
            var whole = files[which];
            var at = where % whole.Length;
            byte[] damaged = cut ? whole[..at] : [.. whole[..at], put, .. whole[(at + 1)..]];
            var (table, problem) = TableFile.Read(damaged, mapping);
            Assert.True(table is null != problem is null);
            foreach (var row in table?.Rows ?? [])
            {
                var adapted = TableAdapter.Adapt(table!, mapping, row, Organisation, DateTimeOffset.UnixEpoch);
                Assert.Equal(adapted.Issues.Count == 0, adapted.Bundle is not null);
            }
        }, iter: 500);
    }

    private static List<AdaptedRow> Rows(byte[] file)
    {
        var mapping = Mapping();
        var (table, problem) = TableFile.Read(file, mapping);
        Assert.Null(problem);
        return [.. table!.Rows.Select(row => TableAdapter.Adapt(table, mapping, row, Organisation, DateTimeOffset.UnixEpoch))];
    }

    private static byte[] Workbook(IReadOnlyList<IReadOnlyList<string>> rows)
    {
        using var stream = new MemoryStream();
        using (var document = SpreadsheetDocument.Create(stream, SpreadsheetDocumentType.Workbook))
        {
            var book = document.AddWorkbookPart();
            var sheet = book.AddNewPart<WorksheetPart>();
            sheet.Worksheet = new(new SheetData(rows.Select(static cells => new Row(cells.Select(static text => new Cell { DataType = CellValues.InlineString, InlineString = new(new Text(text)) })))));
            book.Workbook = new(new Sheets(new Sheet { Id = book.GetIdOfPart(sheet), SheetId = 1, Name = "Asiakkaat" }));
        }
        return stream.ToArray();
    }

    private static byte[] Bomb()
    {
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
            using (var entry = archive.CreateEntry("xl/workbook.xml").Open())
                for (var i = 0; i < 101; i++)
                    entry.Write(new byte[1 << 20]);
        return stream.ToArray();
    }
}
