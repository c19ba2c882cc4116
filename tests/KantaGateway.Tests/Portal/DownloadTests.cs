using System.Net;
using System.Text;
using System.Text.Json;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Portal.Download;
using UglyToad.PdfPig;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Tests.Portal;

/// <summary>The own record to take along (EHDS Art. 3, 7): whole, of nobody else, and saying what it lacks.</summary>
public sealed class DownloadTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task The_file_for_machines_has_every_entry_as_it_is_stored()
    {
        _portal.Record.MostOfEverything = 200;
        var ids = Enumerable.Range(0, 450).Select(i => Given($$$"""{"resourceType":"Observation","status":"final","code":{"text":"Ärsyke {{{i}}}"},"valueQuantity":{"value":{{{i}}}.10,"unit":"/min"}}""")).ToList();
        // Of a type that no page lists.
        ids.Add(Given("""{"resourceType":"Medication","code":{"text":"Amoksisilliini"}}"""));
        var (bytes, name, type) = await FileAsync("fhir");
        Assert.Equal(("application/fhir+json", true), (type, name.EndsWith(".json", StringComparison.Ordinal)));
        var bundle = JsonElement.Parse(bytes);
        var resources = bundle.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("resource")).ToList();
        Assert.Equal(ids.Prepend(_portal.Record.PatientId), resources.Where(r => Text(r, "resourceType") != "OperationOutcome").Select(r => Text(r, "id")));
        // Numbers keep the places with which they were measured.
        Assert.Contains("\"value\":449.10,", Encoding.UTF8.GetString(bytes));
        Assert.Equal(3, _portal.Record.Asked.Count(asked => asked.Contains("Patient", StringComparison.Ordinal)));
        Assert.Empty(FaultsOf(bytes));
    }

    [Theory]
    [InlineData("fi", "Tiedot voivat olla puutteellisia")]
    [InlineData("sv", "Uppgifterna kan vara ofullständiga")]
    [InlineData("en", "Records may be incomplete")]
    public async Task Every_file_says_that_records_may_be_incomplete(string language, string said)
    {
        Given("""{"resourceType":"Condition","code":{"text":"Flunssa"}}""");
        foreach (var format in (string[])["fhir", "summary"])
            Assert.Contains(Strings(JsonElement.Parse((await FileAsync(format, language)).Bytes)), text => text.Contains(said, StringComparison.Ordinal));
        Assert.Contains(said, Words((await FileAsync("pdf", language)).Bytes));
        Assert.Contains(said, (await _portal.GetAsync("/download", language)).Html);
    }

    [Fact]
    public async Task A_content_that_pages_leave_out_is_asked_for_and_one_that_is_too_large_is_counted()
    {
        var stored = Given("""{"resourceType":"Binary","contentType":"image/png","data":"aGVp"}""");
        var apart = Given("""{"resourceType":"Binary","contentType":"image/png","data":"bW9p"}""");
        var large = Given("""{"resourceType":"Binary","contentType":"image/png"}""");
        _portal.Record.LeavesOut(apart);
        _portal.Record.LeavesOut(large, status: 406);
        var resources = JsonElement.Parse((await FileAsync("fhir")).Bytes).GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("resource")).ToList();
        Assert.Equal(["aGVp", "bW9p", null], ((string[])[stored, apart, large]).Select(id => resources.Single(r => Text(r, "id") == id) is var r && r.TryGetProperty("data", out var data) ? data.GetString() : null));
        Assert.Equal("1 attached file is too large for this file. Ask the place of care for it.", resources[^1].GetProperty("issue")[0].GetProperty("details").GetProperty("text").GetString());
        Assert.DoesNotContain(_portal.Record.Asked, asked => asked == $"GET Binary/{stored}");
    }

    [Fact]
    public async Task A_file_that_cannot_be_finished_does_not_end_as_if_it_were_whole()
    {
        _portal.Record.MostOfEverything = 200;
        for (var i = 0; i < 300; i++)
            Given("""{"resourceType":"Condition","code":{"text":"Flunssa"}}""");
        _portal.Record.BreaksOnPage = 503;
        var failure = await Assert.ThrowsAnyAsync<HttpRequestException>(() => FileAsync("fhir"));
        Assert.IsAssignableFrom<IOException>(failure.InnerException);
    }

    [Theory]
    [InlineData("pdf")]
    [InlineData("summary")]
    [InlineData("fhir")]
    public async Task What_is_refused_is_a_page_and_no_file(string format)
    {
        _portal.Record.Broken = 503;
        var (status, html, response) = await _portal.PostAsync("/download", new() { ["format"] = format });
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "text/html", null), (status, response.Content.Headers.ContentType?.MediaType, response.Content.Headers.ContentDisposition));
        Assert.Contains("<h1>", html);
    }

    [Fact]
    public async Task A_file_comes_of_a_form_alone_and_the_page_asks_for_nothing()
    {
        var (status, html, _) = await _portal.GetAsync("/download?format=fhir");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("<title>Download your data – ", html);
        Assert.Empty(_portal.Record.Asked);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/download") { Content = new FormUrlEncodedContent([new("format", "fhir")]) };
        Assert.Equal(HttpStatusCode.BadRequest, (await _portal.SendAsync(request, "en", PortalUnderTest.SessionCookie)).Status);
        (status, html, _) = await _portal.PostAsync("/download", new() { ["format"] = "exe" });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("data-error", html);
        Assert.Empty(_portal.Record.Asked);
    }

    [Theory]
    [InlineData("fi")]
    [InlineData("sv")]
    [InlineData("en")]
    public async Task The_summary_is_a_valid_FHIR_document(string language)
    {
        var patient = "Patient/" + _portal.Record.PatientId;
        var current = Given($$$"""{"resourceType":"Condition","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"text":"Astma <script>&\uFFFE"},"subject":{"reference":"{{{patient}}}"},"onsetDateTime":"2020"}""");
        var past = Given($$$"""{"resourceType":"Condition","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"resolved"}]},"code":{"text":"Murtuma"},"subject":{"reference":"{{{patient}}}"}}""");
        var refuted = Given($$$"""{"resourceType":"Condition","verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"refuted"}]},"code":{"text":"Keuhkokuume"},"subject":{"reference":"{{{patient}}}"}}""");
        var medicine = Given("""{"resourceType":"Medication","code":{"text":"Amoksisilliini"}}""");
        var other = Given("""{"resourceType":"Medication","code":{"text":"Ibuprofeeni"}}""");
        var prescription = Given($$$"""{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationReference":{"reference":"Medication/{{{medicine}}}"},"subject":{"reference":"{{{patient}}}"}}""");
        var stopped = Given($$$"""{"resourceType":"MedicationRequest","status":"stopped","intent":"order","medicationReference":{"reference":"Medication/{{{other}}}"},"subject":{"reference":"{{{patient}}}"}}""");
        var (bytes, _, _) = await FileAsync("summary", language);
        Assert.Empty(FaultsOf(bytes));
        var bundle = JsonElement.Parse(bytes);
        var resources = bundle.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("resource")).ToList();
        Assert.Equal(("document", "Composition", "Patient"), (Text(bundle, "type"), Text(resources[0], "resourceType"), Text(resources[1], "resourceType")));
        var sections = resources[0].GetProperty("section").EnumerateArray().ToDictionary(s => Text(s.GetProperty("code").GetProperty("coding")[0], "code")!);
        // What every summary has, and what there is besides.
        Assert.Equal(["11450-4", "48765-2", "10160-0", "11369-6", "30954-2", "47519-4", "46264-8", "11348-0"], sections.Keys);
        string[] In(string section) => [.. sections[section].TryGetProperty("entry", out var entries) ? entries.EnumerateArray().Select(e => Text(e, "reference")!.Split('/')[^1]) : []];
        Assert.Equal([current], In("11450-4"));
        Assert.Equal([past], In("11348-0"));
        Assert.Equal([prescription], In("10160-0"));
        // Nothing is not said to be none: it may be somewhere else.
        Assert.Equal("unavailable", Text(sections["48765-2"].GetProperty("emptyReason").GetProperty("coding")[0], "code"));
        Assert.All(sections.Values, section => Assert.NotEqual(section.TryGetProperty("entry", out _), section.TryGetProperty("emptyReason", out _)));
        var inIt = resources.Select(r => Text(r, "id")).ToList();
        Assert.Contains(medicine, inIt);
        Assert.DoesNotContain(inIt, id => id == refuted || id == stopped || id == other);
        // Each reference of the Composition leads to an entry.
        var addresses = bundle.GetProperty("entry").EnumerateArray().Select(e => Text(e, "fullUrl")).ToHashSet();
        Assert.All(resources[0].GetRawText().Split("\"reference\":\"").Skip(1).Select(part => part.Split('"')[0]), reference => Assert.Contains(reference, addresses));
    }

    [Fact]
    public async Task The_summary_has_the_newest_results_and_says_that_there_are_older()
    {
        // Stored in an order that is not that of time.
        var ids = Enumerable.Range(0, 320).Select(i => (Day: i * 7 % 320, Id: "")).Select(o => (o.Day, Id: Given($$"""{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"text":"Hb"},"effectiveDateTime":"{{new DateTime(2025, 1, 1).AddDays(o.Day):yyyy-MM-dd}}"}"""))).ToList();
        Given("""{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"survey"}]}],"code":{"text":"AUDIT"},"effectiveDateTime":"2026-01-01"}""");
        var composition = JsonElement.Parse((await FileAsync("summary")).Bytes).GetProperty("entry")[0].GetProperty("resource");
        var results = composition.GetProperty("section").EnumerateArray().Single(s => Text(s.GetProperty("code").GetProperty("coding")[0], "code") == "30954-2");
        Assert.Equal(ids.OrderByDescending(o => o.Day).Take(100).Select(o => o.Id), results.GetProperty("entry").EnumerateArray().Select(e => Text(e, "reference")!.Split('/')[^1]));
        Assert.Contains("there are older ones", Text(results.GetProperty("text"), "div"));
    }

    [Fact]
    public async Task A_person_whom_nobody_has_registered_gets_files_that_say_so()
    {
        _portal.Record.ForgetsPatient();
        Assert.Equal(["OperationOutcome"], JsonElement.Parse((await FileAsync("fhir")).Bytes).GetProperty("entry").EnumerateArray().Select(e => Text(e.GetProperty("resource"), "resourceType")));
        var (summary, _, _) = await FileAsync("summary");
        Assert.Empty(FaultsOf(summary));
        // As Bundle, Composition and Patient of IPS 2.0.0 ask: identified, dated, by somebody, of a person with a name and a birth date or that it is not known, and each section that every summary has with its code, a title, words, and entries or why there are none.
        var bundle = JsonElement.Parse(summary);
        var (composition, patient) = (bundle.GetProperty("entry")[0].GetProperty("resource"), bundle.GetProperty("entry")[1]);
        Assert.All((string[])["identifier", "timestamp"], name => Assert.True(bundle.TryGetProperty(name, out _), name));
        Assert.All((string[])["text", "status", "subject", "date", "author", "title"], name => Assert.True(composition.TryGetProperty(name, out _), name));
        Assert.Equal(("60591-5", Text(patient, "fullUrl")), (Text(composition.GetProperty("type").GetProperty("coding")[0], "code"), Text(composition.GetProperty("subject"), "reference")));
        Assert.Equal("unknown", Text(patient.GetProperty("resource").GetProperty("_birthDate").GetProperty("extension")[0], "valueCode"));
        foreach (var code in (string[])["11450-4", "48765-2", "10160-0"])
        {
            var section = composition.GetProperty("section").EnumerateArray().Single(section => Text(section.GetProperty("code").GetProperty("coding")[0], "code") == code);
            Assert.Equal(("http://loinc.org", "unavailable"), (Text(section.GetProperty("code").GetProperty("coding")[0], "system"), Text(section.GetProperty("emptyReason").GetProperty("coding")[0], "code")));
            Assert.NotEmpty(Text(section, "title")!);
            Assert.NotEmpty(Text(section.GetProperty("text"), "div")!);
        }
        Assert.Contains("There are no records about you in the service yet", Words((await FileAsync("pdf")).Bytes));
    }

    [Fact]
    public async Task What_pages_show_is_printed_by_kind_and_what_is_not_there_is_named()
    {
        var note = Given($$"""{"resourceType":"Binary","contentType":"text/plain","data":"{{Convert.ToBase64String("Nukahtaminen on helpottunut."u8)}}"}""");
        Given($$$"""{"resourceType":"DocumentReference","status":"current","description":"Käyntiteksti","content":[{"attachment":{"contentType":"text/plain","url":"Binary/{{{note}}}"}},{"attachment":{"contentType":"image/png","url":"Binary/{{{note}}}"}}]}""");
        Given("""{"resourceType":"Condition","code":{"text":"Keskivaikea masennustila 🌧 حزن"},"onsetDateTime":"2026-03-12","note":[{"text":"Ensimmäinen jakso"}]}""");
        Given("""{"resourceType":"Flag","status":"active","code":{"text":"Putoamisvaara"}}""");
        var (bytes, name, type) = await FileAsync("pdf", "fi");
        Assert.Equal(("application/pdf", true), (type, name.EndsWith(".pdf", StringComparison.Ordinal)));
        var words = Words(bytes);
        foreach (var said in (string[])["Nukahtaminen on helpottunut.", "Käyntiteksti", "Ensimmäinen jakso", "12.3.2026", "(image/png)", "Putoamisvaara", "Keskivaikea masennustila □ □□□", "□ on sellaisen merkin paikalla"])
            Assert.Contains(said, words);
        Assert.True(words.IndexOf("Keskivaikea", StringComparison.Ordinal) < words.IndexOf("Käyntiteksti", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Of_a_long_record_the_newest_entries_are_printed_and_the_rest_is_named()
    {
        for (var i = 0; i < PrintedContent.MostEntries + 1; i++)
            Given($$"""{"resourceType":"Condition","code":{"text":"Vaiva{{i}}"},"onsetDateTime":"{{new DateTime(2020, 1, 1).AddDays(i):yyyy-MM-dd}}"}""");
        Given($$$"""{"resourceType":"Composition","status":"final","title":"Pitkä","date":"2026-01-01","section":[{"title":"Teksti","text":{"status":"generated","div":"<div>{{{string.Concat(Enumerable.Repeat("sana ", 10_000))}}}loppu</div>"}}]}""");
        var words = Words((await FileAsync("pdf")).Bytes);
        Assert.Contains("Vaiva2000 ", words + " ");
        Assert.DoesNotContain("Vaiva0 ", words);
        Assert.Contains("here are the newest 2000", words);
        Assert.Contains("Parts of long texts", words);
        Assert.DoesNotContain("loppu", words);
    }

    [Theory]
    [InlineData("fi", "Oikaisupyyntö · ", "Hoitopaikka ei oikaise merkintää", "Olet perunut pyynnön", "Hoitopaikan vastaus: Merkintä vastaa tutkimusta.")]
    [InlineData("sv", "Begäran om rättelse · ", "Vårdenheten rättar inte anteckningen", "Du har återtagit begäran", "Vårdenhetens svar: Merkintä vastaa tutkimusta.")]
    [InlineData("en", "Request for correction · ", "The place of care does not correct the entry", "You have taken the request back", "Answer of the place of care: Merkintä vastaa tutkimusta.")]
    public async Task A_request_for_rectification_is_printed_with_what_has_come_of_it_kept_as_it_is_and_in_no_summary(string language, params string[] said)
    {
        var entry = Given("""{"resourceType":"Condition","code":{"text":"Kohonnut verenpaine"}}""");
        var asked = new RectificationRequest { PatientId = _portal.Record.PatientId, Entry = "Condition/" + entry, Asked = new(PortalUnderTest.Hospital, "2"), Wrong = "väärä <vaiva>", Right = "poistakaa", At = DateTimeOffset.UtcNow };
        var refused = Given(Encoding.UTF8.GetString(asked.Write(0)));
        Given($$"""
            {"resourceType":"Communication","status":"completed","category":[{"coding":[{"system":"{{RectificationRequests.System}}","code":"rectification-answer"}]}],"inResponseTo":[{"reference":"Communication/{{refused}}"}],
             "topic":{"coding":[{"system":"{{RectificationRequests.AnswerSystem}}","code":"refused"}]},"payload":[{"contentString":"Merkintä vastaa tutkimusta."}]}
            """);
        var taken = Given(Encoding.UTF8.GetString((asked with { Wrong = "toinen vaiva" }).Write(0)));
        Given(Encoding.UTF8.GetString((asked with { Id = taken }).WriteWithdrawal(DateTimeOffset.UtcNow)));
        var words = Words((await FileAsync("pdf", language)).Bytes);
        Assert.All(said.Append("väärä <vaiva>").Append("Keskussairaala"), text => Assert.Contains(text, words));
        Assert.Equal(2, words.Split(said[0]).Length - 1);
        Assert.DoesNotContain("Communication", words);
        Assert.True(words.IndexOf("Kohonnut", StringComparison.Ordinal) < words.IndexOf("väärä <vaiva>", StringComparison.Ordinal));
        Assert.Equal(4, JsonElement.Parse((await FileAsync("fhir", language)).Bytes).GetProperty("entry").EnumerateArray().Count(static e => Text(e.GetProperty("resource"), "resourceType") == "Communication"));
        Assert.DoesNotContain("vaiva>", Encoding.UTF8.GetString((await FileAsync("summary", language)).Bytes));
    }

    private string Given(string json) => _portal.Record.Add(json);

    private async System.Threading.Tasks.Task<(byte[] Bytes, string Name, string? Type)> FileAsync(string format, string language = "en")
    {
        var (status, _, response) = await _portal.PostAsync("/download", new() { ["format"] = format }, language: language);
        Assert.Equal((HttpStatusCode.OK, true), (status, response.Headers.CacheControl?.NoStore));
        var disposition = response.Content.Headers.ContentDisposition!;
        Assert.Equal("attachment", disposition.DispositionType);
        return (await response.Content.ReadAsByteArrayAsync(), disposition.FileName!.Trim('"'), response.Content.Headers.ContentType?.MediaType);
    }

    /// <summary>Errors that Firely's validator finds in a Bundle and its entries, by R4.</summary>
    private static IEnumerable<string> FaultsOf(byte[] json) =>
        KnownProfiles.Check(new FhirJsonDeserializer().Deserialize<Bundle>(Encoding.UTF8.GetString(json))).Where(issue => issue.Severity == KantaGateway.Fhir.Outcomes.FaultSeverity.Error).Select(issue => $"{issue.Expression}: {issue.Diagnostics}");

    private static string Words(byte[] pdf)
    {
        using var document = PdfDocument.Open(pdf);
        return string.Join(' ', document.GetPages().SelectMany(page => page.GetWords()).Select(word => word.Text));
    }

    private static string? Text(JsonElement holder, string name) => holder.TryGetProperty(name, out var value) ? value.GetString() : null;

    private static IEnumerable<string> Strings(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Strings),
        JsonValueKind.Object => element.EnumerateObject().SelectMany(member => Strings(member.Value)),
        JsonValueKind.String => [element.GetString()!],
        _ => [],
    };
}
