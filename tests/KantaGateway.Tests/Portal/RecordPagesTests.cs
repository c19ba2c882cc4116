using System.Globalization;
using System.Net;
using KantaGateway.Gateway.Portal;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Tests.Portal;

/// <summary>Own records in plain words.</summary>
public sealed class RecordPagesTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Theory]
    [InlineData("/records")]
    [InlineData("/records/timeline")]
    [InlineData("/records/kind/diagnoses")]
    public async Task A_page_of_records_says_that_they_may_be_incomplete_with_and_without_records(string path)
    {
        Assert.Contains("Records may be incomplete", (await _portal.GetAsync(path)).Html);
        _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Flunssa"}}""");
        Assert.Contains("Records may be incomplete", (await _portal.GetAsync(path)).Html);
    }

    [Fact]
    public async Task An_entry_carries_its_source_its_date_and_its_service_event()
    {
        var visit = _portal.Record.Add("""{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"identifier":[{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.1234567.14.7"}],"period":{"start":"2026-03-12T08:00:00Z"}}""");
        var id = _portal.Record.Add($$$"""{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"effectiveDateTime":"2026-03-12T22:30:00Z","valueQuantity":{"value":72,"unit":"/min"},"encounter":{"reference":"Encounter/{{{visit}}}"}}""");
        var (_, html, _) = await _portal.GetAsync("/records/kind/results", "fi");
        Assert.Contains($"data-entry=\"{id}\" data-entry-type=\"Observation\" data-organisation=\"1.2.246.10.1234567\" data-service-event=\"1.2.246.10.1234567.14.7\"", html);
        Assert.Contains("Syke", html);
        Assert.Contains("72 /min", html);
        // Finnish time: past midnight there.
        Assert.Contains("13.3.2026 klo 0.30", html);
    }

    [Fact]
    public async Task Everything_of_a_long_record_is_on_some_page()
    {
        for (var i = 0; i < 120; i++)
            _portal.Record.Add($$"""{"resourceType":"Observation","code":{"text":"n"},"effectiveDateTime":"20{{i % 26:00}}-01-01"}""");
        var seen = new HashSet<string>();
        for (var page = 1; page <= 3; page++)
            foreach (var part in (await _portal.GetAsync($"/records/timeline?page={page}")).Html.Split("data-entry=\"")[1..])
                seen.Add(part.Split('"')[0]);
        Assert.Equal(120, seen.Count);
    }

    [Theory]
    [InlineData("/records/kind/secrets")]
    [InlineData("/records/entry/Consent/00000000-0000-4000-8000-000000000000")]
    [InlineData("/records/entry/Condition/00000000-0000-4000-8000-000000000000")]
    [InlineData("/records/entry/Condition/not-an-id")]
    public async Task What_is_not_there_is_a_page_that_says_so(string path)
    {
        var (status, html, _) = await _portal.GetAsync(path);
        Assert.Equal(HttpStatusCode.NotFound, status);
        Assert.Contains("<h1>Page not found</h1>", html);
    }

    [Fact]
    public async Task A_notes_text_is_shown_as_text_whatever_it_came_as()
    {
        var html = Convert.ToBase64String("<p>Rivi yksi</p><script>x()</script><p>Rivi kaksi &amp; loppu</p>"u8);
        var id = _portal.Record.Add($$$"""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"text/html; charset=utf-8","data":"{{{html}}}"}},{"attachment":{"contentType":"application/pdf","data":"JVBERg=="}}]}""");
        var (_, page, _) = await _portal.GetAsync($"/records/entry/DocumentReference/{id}");
        Assert.Contains("Rivi yksi&#xA;Rivi kaksi &amp; loppu", page);
        Assert.DoesNotContain("x()", page);
        Assert.Contains("application/pdf", page);
    }

    [Fact]
    public async Task No_page_of_records_names_the_patient()
    {
        var id = _portal.Record.Add($$$"""{"resourceType":"Condition","code":{"text":"Flunssa"},"subject":{"reference":"Patient/{{{_portal.Record.PatientId}}}"}}""");
        foreach (var path in (string[])["/records", "/records/timeline", "/records/kind/diagnoses", "/records/entry/Condition/" + id])
            Assert.DoesNotContain(_portal.Record.PatientId, (await _portal.GetAsync(path)).Html);
    }

    [Fact]
    public void Every_type_that_is_shown_is_in_a_group() =>
        Assert.Equal(EntryKind.Shown.Order(StringComparer.Ordinal), EntryKind.All.SelectMany(kind => kind.Types).Distinct().Order(StringComparer.Ordinal));

    [Theory]
    [InlineData("laboratory", """{"resourceType":"Observation","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}]}""")]
    [InlineData("laboratory", """{"resourceType":"Observation","code":{"coding":[{"system":"urn:oid:1.2.246.537.6.3.2006","code":"1552"}]}}""")]
    [InlineData("measurements", """{"resourceType":"Observation","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}]}""")]
    [InlineData("measurements", """{"resourceType":"Observation","code":{"coding":[{"system":"urn:oid:1.2.246.537.6.32","code":"1552"}]}}""")]
    [InlineData("laboratory", """{"resourceType":"DiagnosticReport","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0074","code":"HM"}]}]}""")]
    [InlineData("laboratory", """{"resourceType":"DiagnosticReport"}""")]
    [InlineData("imaging", """{"resourceType":"DiagnosticReport","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0074","code":"RAD"}]}]}""")]
    [InlineData("imaging", """{"resourceType":"DiagnosticReport","imagingStudy":[{"reference":"ImagingStudy/1"}]}""")]
    [InlineData("imaging", """{"resourceType":"ImagingStudy"}""")]
    [InlineData("referrals", """{"resourceType":"ServiceRequest"}""")]
    [InlineData("notes", """{"resourceType":"DocumentReference"}""")]
    public async Task An_entry_is_in_one_group(string kind, string json)
    {
        var id = _portal.Record.Add(json);
        var html = (await _portal.GetAsync("/records")).Html;
        Assert.Contains($"data-kind=\"{kind}\"", html);
        Assert.Equal(2, html.Split($"data-entry=\"{id}\"").Length);
        Assert.Contains(id, (await _portal.GetAsync("/records/kind/" + kind)).Html);
        if (kind is "laboratory" or "measurements" or "imaging")
            Assert.Contains(id, (await _portal.GetAsync("/records/kind/results")).Html);
        var entry = new Entry(System.Text.Json.JsonElement.Parse(json).GetProperty("resourceType").GetString()!, id, "", null, System.Text.Json.JsonElement.Parse(json));
        Assert.Single(EntryKind.All, its => its.Holds(entry));
    }

    [Fact]
    public async Task The_professionals_word_stands_beside_the_plain_one()
    {
        var id = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Verenpainetauti","coding":[{"system":"urn:oid:1.2.246.537.6.1","code":"I10","display":"Essentiaalinen verenpainetauti"}]}}""");
        var pulse = _portal.Record.Add("""{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]}}""");
        var own = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Flunssa","coding":[{"system":"urn:x","code":"1","display":"flunssa"}]}}""");
        var (_, html, _) = await _portal.GetAsync("/records/timeline", "fi");
        Assert.Matches("(?s)Verenpainetauti</span></a>\\s*<span class=\"term\">Essentiaalinen verenpainetauti, ICD-10 I10</span>", html);
        Assert.Matches("(?s)Syke</span></a>\\s*<span class=\"term\">Heart rate, LOINC 8867-4</span>", html);
        Assert.Equal(3, html.Split("class=\"term\"").Length);
        Assert.Contains("<p class=\"term\">Essentiaalinen verenpainetauti, ICD-10 I10</p>", (await _portal.GetAsync("/records/entry/Condition/" + id)).Html);
        Assert.DoesNotContain("class=\"term\"", (await _portal.GetAsync("/records/entry/Condition/" + own)).Html);
        Assert.NotEmpty(pulse);
    }

    /// <summary>Act 703/2023 §26.2.</summary>
    [Fact]
    public async Task What_is_specially_protected_says_so_and_what_is_not_does_not()
    {
        var psychiatric = _portal.Record.Add("""{"resourceType":"Condition","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]},"subject":{"reference":"Patient/1"},"code":{"text":"Masennus"}}""");
        var other = _portal.Record.Add("""{"resourceType":"Condition","subject":{"reference":"Patient/1"},"code":{"text":"Flunssa"}}""");
        var (_, html, _) = await _portal.GetAsync("/records/timeline");
        Assert.Equal(1, html.Split("data-protected").Length - 1);
        Assert.Contains("especially sensitive", (await _portal.GetAsync("/records/entry/Condition/" + psychiatric)).Html);
        Assert.DoesNotContain("data-protected", (await _portal.GetAsync("/records/entry/Condition/" + other)).Html);
    }

    [Fact]
    public async Task What_is_written_in_another_language_says_so_and_nothing_else_does()
    {
        var english = _portal.Record.Add("""{"resourceType":"Condition","language":"en-GB","code":{"text":"Flu"},"note":[{"text":"Rest."}]}""");
        var odd = _portal.Record.Add("""{"resourceType":"Condition","language":"en\" onclick=\"x","code":{"text":"Flu"},"note":[{"text":"Rest."}]}""");
        Assert.Contains("<dd class=\"text\" lang=\"en-GB\">Rest.</dd>", (await _portal.GetAsync("/records/entry/Condition/" + english, "fi")).Html);
        Assert.Contains("<dd class=\"text\">Rest.</dd>", (await _portal.GetAsync("/records/entry/Condition/" + english, "en")).Html);
        Assert.Contains("<dd class=\"text\">Rest.</dd>", (await _portal.GetAsync("/records/entry/Condition/" + odd, "fi")).Html);
    }

    /// <summary>The same notice for everybody, so that it tells nothing.</summary>
    [Fact]
    public async Task A_page_of_records_says_that_some_may_come_later() =>
        Assert.Contains("may appear later", (await _portal.GetAsync("/records")).Html);

    /// <summary>What the portal has no words for is in the record all the same.</summary>
    [Theory]
    [InlineData("DeviceUseStatement", "Use of a device")]
    [InlineData("Coverage", "Insurance")]
    [InlineData("EnrollmentRequest", "Other entry")]
    [InlineData("Device", "Device or aid")]
    public async Task A_type_without_a_group_of_its_own_is_among_the_others(string type, string name)
    {
        var id = _portal.Record.Add($$"""{"resourceType":"{{type}}"}""");
        foreach (var path in (string[])["/records", "/records/timeline", "/records/kind/other"])
            Assert.Contains($"data-entry=\"{id}\" data-entry-type=\"{type}\"", (await _portal.GetAsync(path)).Html);
        var (status, html, _) = await _portal.GetAsync($"/records/entry/{type}/{id}");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains($"<h1>{name}</h1>", html);
    }

    [Theory]
    [InlineData("Patient")]
    [InlineData("Consent")]
    [InlineData("AuditEvent")]
    [InlineData("Provenance")]
    [InlineData("Binary")]
    public async Task What_has_a_page_of_its_own_or_tells_only_of_others_is_no_entry(string type)
    {
        var id = _portal.Record.Add($$"""{"resourceType":"{{type}}"}""");
        Assert.DoesNotContain("data-entry=", (await _portal.GetAsync("/records/timeline")).Html);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync($"/records/entry/{type}/{id}")).Status);
    }

    [Fact]
    public async Task A_record_of_several_pages_is_read_whole_and_one_of_too_many_says_so()
    {
        _portal.Record.MostOfEverything = 3;
        for (var i = 1; i <= 28; i++)
            _portal.Record.Add($$"""{"resourceType":"Condition","code":{"text":"n"},"recordedDate":"2026-02-{{i:00}}"}""");
        var (_, html, _) = await _portal.GetAsync("/records/kind/diagnoses");
        Assert.Contains("<p>28 entries</p>", html);
        Assert.DoesNotContain("There are more records", html);
        Assert.True(html.IndexOf("28 February", StringComparison.Ordinal) < html.IndexOf("27 February", StringComparison.Ordinal));
        for (var i = 0; i < 3; i++)
            _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"n"},"recordedDate":"2026-03-01"}""");
        foreach (var path in (string[])["/records", "/records/timeline", "/records/kind/diagnoses"])
            Assert.Contains("There are more records", (await _portal.GetAsync(path)).Html);
    }

    [Fact]
    public async Task A_long_visit_has_pages()
    {
        var visit = _portal.Record.Add("""{"resourceType":"Encounter","status":"finished","class":{"code":"IMP"}}""");
        for (var i = 0; i < 60; i++)
            _portal.Record.Add($$$"""{"resourceType":"Observation","code":{"text":"n"},"encounter":{"reference":"Encounter/{{{visit}}}"}}""");
        _portal.Record.Add("""{"resourceType":"Observation","code":{"text":"of no visit"}}""");
        var seen = new HashSet<string>();
        foreach (var (page, count) in ((string, int)[])[("", 50), ("?page=2", 10)])
        {
            var parts = (await _portal.GetAsync($"/records/entry/Encounter/{visit}{page}")).Html.Split("data-entry=\"")[2..];
            Assert.Equal(count, parts.Length);
            seen.UnionWith(parts.Select(part => part.Split('"')[0]));
        }
        Assert.Equal(60, seen.Count);
    }

    [Fact]
    public async Task A_text_of_megabytes_is_a_file()
    {
        var text = Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(new string('x', 1 << 20)));
        var id = _portal.Record.Add($$$"""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"text/plain","data":"{{{text}}}"}}]}""");
        var (_, html, _) = await _portal.GetAsync($"/records/entry/DocumentReference/{id}");
        Assert.True(html.Length < 100_000);
        Assert.Contains("data-file=\"1\"", html);
    }

    [Theory]
    [InlineData("2026", "2026")]
    [InlineData("2026-03", "3/2026")]
    [InlineData("2026-03-12", "12.3.2026")]
    [InlineData("2026-03-12T22:30:00Z", "13.3.2026 klo 0.30")]
    [InlineData("2026-07-12T09:05:00+03:00", "12.7.2026 klo 9.05")]
    public void A_time_is_as_precise_as_it_was_stated(string stated, string shown)
    {
        CultureInfo.CurrentCulture = CultureInfo.CurrentUICulture = new("fi");
        Assert.Equal(shown, Dates.Of(StatedTime.Read(stated)!.Value));
    }

    [Theory]
    [InlineData("")]
    [InlineData("yesterday")]
    [InlineData("2026-13")]
    [InlineData("26")]
    [InlineData(null)]
    public void Rejects_what_is_no_time(string? stated) => Assert.Null(StatedTime.Read(stated));

    [Fact]
    public async Task An_entry_with_many_files_costs_a_bounded_number_of_requests()
    {
        var files = string.Join(',', Enumerable.Range(0, 50).Select(i => $$"""{ "attachment": { "contentType": "{{(i % 2 == 0 ? "text/plain" : "image/png")}}", "url": "Binary/{{Guid.NewGuid():D}}" } }"""));
        var id = _portal.Record.Add($$"""{"resourceType":"DocumentReference","status":"current","content":[{{files}}]}""");
        var (status, html, _) = await _portal.GetAsync("/records/entry/DocumentReference/" + id);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(10, _portal.Record.Asked.Count(asked => asked.Contains("Binary/")));
        // Those that are not shown are named.
        Assert.True(html.Split("image/png").Length - 1 == 25 && html.Split("text/plain").Length - 1 == 25);
    }

    [Theory]
    [InlineData("0001")]
    [InlineData("0001-01-01")]
    [InlineData("9999-12-31")]
    [InlineData("9999-12-31T23:59:59Z")]
    public void Tells_the_first_day_of_all_and_the_last(string stated) => Assert.NotEmpty(Dates.Of(StatedTime.Read(stated)!.Value));

    /// <summary>Each of these took the square of its length, half a minute for the first.</summary>
    [Theory]
    [InlineData("<!--", 250_000)]
    [InlineData("<", 1_000_000)]
    [InlineData("<script ", 125_000)]
    [InlineData("</p ", 250_000)]
    public async Task A_clinics_megabyte_of_broken_markup_holds_no_core(string piece, int times)
    {
        var markup = string.Concat(Enumerable.Repeat(piece, times));
        Assert.NotNull(await Task.Run(() => PlainText.OfMarkup(markup)).WaitAsync(TimeSpan.FromMinutes(1)));
    }

    [Theory]
    [InlineData("<div>A<br/>B</div>", "A\nB")]
    [InlineData("<ul><li>A</li><li>B  C</li></ul>", "A\nB C")]
    [InlineData("a &lt;b&gt; c", "a <b> c")]
    [InlineData("<style>p{}</style>x<!-- y -->", "x")]
    public void Markup_becomes_its_text(string markup, string text) => Assert.Equal(text, PlainText.OfMarkup(markup));
}
