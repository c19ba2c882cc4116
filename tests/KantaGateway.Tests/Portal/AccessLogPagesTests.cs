using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Tests.Portal;

/// <summary>"Who has read my data" (Act 703/2023 §11, §74; EHDS Art. 9): nothing is left out, and nothing is claimed that was not looked at.</summary>
public sealed class AccessLogPagesTests : IAsyncLifetime
{
    // Noon in winter: the same day in Finland and in UTC.
    private static readonly DateTimeOffset Noon = new(2026, 1, 12, 10, 0, 0, TimeSpan.Zero);

    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task Nobody_else_is_said_only_where_all_was_looked_at()
    {
        _portal.Record.Log.Refuse(2_001);
        Given(Noon, bySelf: true);
        var (_, html, _) = await _portal.GetAsync("/access-log");
        Assert.Contains("data-none=\"so-far\"", html);
        Assert.DoesNotContain("Nobody else has looked", html);
        var older = html.Split("rel=\"next\" href=\"")[1].Split('"')[0];
        var (_, rest, _) = await _portal.GetAsync(WebUtility.HtmlDecode(older));
        Assert.Contains("data-none=\"all\"", rest);
        Assert.Contains("Nobody else has looked", rest);
    }

    [Fact]
    public async Task An_event_is_told_whole_though_its_entries_lie_in_two_stretches_of_the_log()
    {
        for (var i = 0; i < 40; i++)
            Given(Noon.AddDays(-1).AddMinutes(2 * i), "Lääkäriasema Aurora");
        for (var i = 0; i < 30; i++)
            Given(Noon.AddSeconds(i), "Keskussairaala");
        // 200 entries are opened at a time: of the event only the newest entry is among them.
        for (var i = 0; i < 199; i++)
            Given(Noon.AddHours(1).AddMinutes(2 * i), $"Hoitola {i % 2}");
        var (_, html, _) = await _portal.GetAsync("/access-log");
        Assert.Equal(1, html.Split("data-organisation=\"Keskussairaala\"").Length - 1);
        Assert.Equal((200, 229), (html.Split("data-access=").Length - 1, html.Split("data-log-entry=").Length - 1));
        Assert.DoesNotContain("data-organisation=\"L", html);
        var (_, rest, _) = await _portal.GetAsync(WebUtility.HtmlDecode(html.Split("rel=\"next\" href=\"")[1].Split('"')[0]));
        Assert.Equal((40, 40), (rest.Split("data-access=").Length - 1, rest.Split("data-log-entry=").Length - 1));
        Assert.DoesNotContain("Keskussairaala", rest);
    }

    [Fact]
    public async Task Unit_and_profession_are_told_and_the_employee_is_not()
    {
        Given(Noon, "Keskussairaala", unit: "1.2.246.10.99000033.10.1", profession: "laakari");
        var (_, html, _) = await _portal.GetAsync("/access-log");
        Assert.Contains("<dd>unit 1.2.246.10.99000033.10.1, physician</dd>", html);
    }

    [Fact]
    public async Task What_is_looked_for_is_found_and_is_in_no_address()
    {
        Given(Noon.AddDays(-2), "Keskussairaala");
        Given(Noon.AddDays(-1), "Keskussairaala");
        Given(Noon, "Lääkäriasema Aurora");
        Given(Noon.AddMinutes(5), bySelf: true);
        Assert.Equal(["Keskussairaala", "Keskussairaala"], await FindAsync(new() { ["who"] = "SAIRAALA" }));
        Assert.Equal(["Keskussairaala"], await FindAsync(new() { ["who"] = "sairaala", ["from"] = "2026-01-11" }));
        Assert.Equal(["Keskussairaala"], await FindAsync(new() { ["to"] = "10.1.2026" }));
        Assert.Equal(2, (await FindAsync(new() { ["from"] = "2026-01-12", ["to"] = "2026-01-12", ["own"] = "yes" })).Length);
        Assert.Empty(await FindAsync(new() { ["who"] = "nowhere" }));
    }

    [Theory]
    [InlineData("from", "31.2.2026", "#from")]
    [InlineData("to", "yesterday", "#to")]
    [InlineData("to", "2026-01-01", "#to")]
    public async Task A_day_that_is_none_is_refused_with_what_to_write(string field, string typed, string link)
    {
        var fields = new Dictionary<string, string> { ["from"] = "2026-01-02", ["to"] = "", ["who"] = "" };
        fields[field] = typed;
        var (status, html, _) = await _portal.PostAsync("/access-log", fields);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains($"data-error", html);
        Assert.Contains($"href=\"{link}\"", html);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _portal.PostAsync("/access-log?handler=File", new(fields) { ["format"] = "csv" }, "/access-log")).Status);
    }

    [Theory]
    [InlineData("fi", ';')]
    [InlineData("sv", ';')]
    [InlineData("en", ',')]
    public async Task The_table_has_every_entry_and_no_formula(string language, char separator)
    {
        Given(Noon, "=HYPERLINK(\"https://evil.example\")");
        Given(Noon.AddMinutes(2), "Aurora; \"Oy\", Ab");
        Given(Noon.AddMinutes(4), bySelf: true);
        var (type, name, bytes) = await FileAsync("csv", language);
        Assert.Equal(("text/csv", "csv"), (type, name.Split('.')[^1]));
        Assert.Equal([0xEF, 0xBB, 0xBF], bytes[..3]);
        using var reader = new CsvHelper.CsvReader(new StringReader(Encoding.UTF8.GetString(bytes[3..])), new CsvHelper.Configuration.CsvConfiguration(CultureInfo.InvariantCulture) { Delimiter = separator.ToString() });
        var rows = new List<string[]>();
        while (await reader.ReadAsync())
            rows.Add(reader.Parser.Record!);
        Assert.Equal(3, rows.Count);
        Assert.Equal(["Aurora; \"Oy\", Ab", "'=HYPERLINK(\"https://evil.example\")"], rows.Skip(1).Select(row => row[1]));
        Assert.All(rows, row => Assert.Equal(8, row.Length));
    }

    [Fact]
    public async Task The_file_for_machines_says_what_the_log_says()
    {
        Given(Noon, "Keskussairaala", unit: "1.2.246.10.99000033.10.1", profession: "laakari");
        var (type, _, bytes) = await FileAsync("json", "fi");
        var file = JsonElement.Parse(bytes);
        Assert.Equal(("application/json", true), (type, file.GetProperty("isComplete").GetBoolean()));
        var entry = file.GetProperty("entries").EnumerateArray().Single();
        Assert.Equal(("Keskussairaala", "1.2.246.10.99000033.10.1", "laakari", "TREAT", 1), (entry.GetProperty("organisation").GetProperty("name").GetString(),
            entry.GetProperty("organisation").GetProperty("unit").GetString(), entry.GetProperty("profession").GetString(), entry.GetProperty("purposeOfUse").GetString(), entry.GetProperty("entry").GetInt64()));
        Assert.Equal("Observation", entry.GetProperty("items")[0].GetProperty("type").GetString());
    }

    [Fact]
    public async Task A_file_that_lacks_older_entries_says_so()
    {
        for (var i = 0; i < 20_001; i++)
            Given(Noon.AddMinutes(i), $"Hoitola {i % 2}");
        var file = JsonElement.Parse((await FileAsync("json", "en")).Bytes);
        Assert.Equal((false, 20_000), (file.GetProperty("isComplete").GetBoolean(), file.GetProperty("entries").GetArrayLength()));
        Assert.Contains("Older events are not in this file", Encoding.UTF8.GetString((await FileAsync("csv", "en")).Bytes));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task The_printed_file_is_a_pdf(int events)
    {
        for (var i = 0; i < events; i++)
            Given(Noon.AddHours(i), "Keskussairaala 🏥");
        var (type, _, bytes) = await FileAsync("pdf", "sv");
        Assert.Equal(("application/pdf", "%PDF-"), (type, Encoding.ASCII.GetString(bytes, 0, 5)));
    }

    [Fact]
    public async Task A_file_of_no_known_kind_is_refused() =>
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _portal.PostAsync("/access-log?handler=File", new() { ["format"] = "exe" }, "/access-log")).Status);

    private async Task<string[]> FindAsync(Dictionary<string, string> fields)
    {
        var (status, html, response) = await _portal.PostAsync("/access-log", fields);
        Assert.Equal((HttpStatusCode.OK, "/access-log"), (status, response.RequestMessage!.RequestUri!.PathAndQuery));
        return [.. html.Split("data-organisation=\"").Skip(1).Select(part => WebUtility.HtmlDecode(part.Split('"')[0]))];
    }

    private async Task<(string? Type, string Name, byte[] Bytes)> FileAsync(string format, string language)
    {
        var (status, _, response) = await _portal.PostAsync("/access-log?handler=File", new() { ["format"] = format }, "/access-log", language);
        Assert.Equal((HttpStatusCode.OK, true), (status, response.Headers.CacheControl?.NoStore));
        var disposition = response.Content.Headers.ContentDisposition!;
        Assert.Equal("attachment", disposition.DispositionType);
        return (response.Content.Headers.ContentType?.MediaType, disposition.FileName!.Trim('"'), await response.Content.ReadAsByteArrayAsync());
    }

    private void Given(DateTimeOffset when, string organisation = "Portal", bool bySelf = false, string? unit = null, string? profession = null)
    {
        var index = _portal.Record.Log.Lines.Count + 1;
        _portal.Record.Log.Lines.Add(new(index, when, organisation, "1.2.246.10." + (uint)organisation.GetHashCode(StringComparison.Ordinal), "read", bySelf ? "PATRQT" : "TREAT", bySelf ? "own-data" : "disclosure-permission",
            [new AuditItem("Observation", Guid.NewGuid().ToString("D"), "1", "1.2.246.10.1")], bySelf, null, Profession: profession, Unit: unit));
    }
}
