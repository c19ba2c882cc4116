using System.Net;
using System.Text.Json;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Tests.Breach;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Portal;

/// <summary>A request to have an entry corrected (GDPR Art. 16): nowhere but on the page until it is sent, then followed to its answer.</summary>
public sealed class RectifyPagesTests : IAsyncLifetime
{
    private readonly BreachWorld _world = new(DateTimeOffset.UtcNow);
    private PortalUnderTest _portal = null!;
    private string _entry = "";

    public async Task InitializeAsync()
    {
        // What is refused is recorded.
        _portal = await PortalUnderTest.StartAsync(services: services => services.AddSingleton(new DisclosureAudit(_world.Audit, new(new byte[32]), PortalUnderTest.Options(false), TimeProvider.System)));
        var id = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Kohonnut verenpaine"},"onsetDateTime":"2026-03-12"}""", PortalUnderTest.Hospital);
        _entry = $"/records/entry/Condition/{id}";
    }

    public async Task DisposeAsync()
    {
        await _portal.DisposeAsync();
        await _world.DisposeAsync();
    }

    [Theory]
    [InlineData("fi", "Pyyntö potilastietojen oikaisemiseksi", "Perustelut")]
    [InlineData("sv", "Begäran om rättelse av patientuppgifter", "Motivering")]
    [InlineData("en", "Request for rectification of patient data", "Grounds")]
    public async Task What_was_written_stands_in_a_request_to_the_controller_with_the_entry_that_it_is_about(string language, string title, string grounds)
    {
        var (status, html, response) = await PostAsync(new() { ["wrong"] = "Arvo <b>on</b> toisen.\nMinulla ei ole sitä.", ["right"] = "Poistakaa se.", ["why"] = "" }, language);
        Assert.Equal((HttpStatusCode.OK, true), (status, response.Headers.CacheControl?.NoStore));
        var request = html[html.IndexOf("data-rectification", StringComparison.Ordinal)..];
        foreach (var said in (string[])[title, "Keskussairaala", "Kohonnut verenpaine", _entry.Split('/')[^1], "Arvo &lt;b&gt;on&lt;/b&gt; toisen.", "Poistakaa se.", "2016/679"])
            Assert.Contains(said, request);
        // On paper too there is a heading of the whole.
        Assert.Contains($"<h1>{title}</h1>", request);
        // Grounds that were not given have no heading.
        Assert.DoesNotContain($"<dt>{grounds}</dt>", request);
    }

    [Fact]
    public async Task It_is_said_that_nothing_is_sent_or_stored_before_it_is_sent_and_nothing_is()
    {
        Assert.Contains("Nothing is sent until", (await _portal.GetAsync(_entry + "/rectify")).Html);
        var (_, html, response) = await PostAsync(new() { ["wrong"] = "tämä salainen teksti", ["right"] = "tuo", ["why"] = "siksi" });
        Assert.Contains("neither sent nor stored yet", html);
        Assert.DoesNotContain("salainen", response.RequestMessage!.RequestUri!.ToString());
        Assert.DoesNotContain("salainen", html.Split("</title>")[0]);
        Assert.DoesNotContain(_portal.Record.Asked, asked => asked.StartsWith("PUT", StringComparison.Ordinal) || asked is "POST Consent" or "POST Communication");
        Assert.DoesNotContain("salainen", (await _portal.GetAsync(_entry + "/rectify")).Html);
    }

    [Theory]
    [InlineData("wrong", " ", "#wrong")]
    [InlineData("right", "", "#right")]
    [InlineData("wrong", null, "#wrong")]
    [InlineData("right", "\u0007\u0001", "#right")]
    [InlineData("why", null, "#why")]
    public async Task A_field_that_lacks_or_is_too_long_is_named_and_nothing_that_was_written_is_lost(string field, string? typed, string link)
    {
        var fields = new Dictionary<string, string> { ["wrong"] = "väärä arvo", ["right"] = "oikea arvo", ["why"] = "peruste", [field] = typed ?? new string('ä', 3_001) };
        var (status, html, _) = await PostAsync(fields);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains($"href=\"{link}\"", html);
        Assert.Contains($"id=\"{field}-error\"", html);
        Assert.DoesNotContain("data-rectification", html);
        foreach (var (name, value) in fields)
            Assert.Contains($">{value.Trim(' ', '\u0007', '\u0001')}</textarea>", html);
    }

    [Fact]
    public async Task As_many_letters_as_the_field_takes_are_taken_line_breaks_counted_as_one()
    {
        var (status, _, _) = await PostAsync(new() { ["wrong"] = string.Join("\r\n", Enumerable.Repeat("", 1_501)) + new string('x', 1_500), ["right"] = "y" });
        Assert.Equal(HttpStatusCode.OK, status);
        // What is not stored counts for nothing.
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(new() { ["wrong"] = new string('x', 3_000) + "\u0007 ", ["right"] = "y" })).Status);
    }

    [Fact]
    public async Task What_was_written_can_be_changed_again()
    {
        var (status, html, _) = await PostAsync(new() { ["wrong"] = "rivi\nrivi", ["right"] = "\"oikea\"", ["why"] = "peruste", ["edit"] = "yes" });
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains(">&quot;oikea&quot;</textarea>", html);
        Assert.DoesNotContain("data-rectification", html);
    }

    [Fact]
    public async Task What_is_sent_is_stored_once_and_stands_on_the_page_of_requests_until_its_answer()
    {
        var fields = new Dictionary<string, string> { ["wrong"] = " salainen\u0007 <script>alert(1)</script>\r\nrivi", ["right"] = "tuo", ["send"] = "yes" };
        Assert.Contains("data-none", (await _portal.GetAsync("/records/rectifications")).Html);
        for (var i = 0; i < 2; i++)
        {
            var (status, _, response) = await PostAsync(fields);
            Assert.Equal((HttpStatusCode.SeeOther, "/records/rectifications"), (status, response.Headers.Location!.ToString()));
        }
        var letter = Assert.Single(_portal.Record.Of("Communication"));
        Assert.Equal(("salainen <script>alert(1)</script>\nrivi", "urn:oid:" + PortalUnderTest.Hospital), ((string?)letter["payload"]![0]!["contentString"], (string?)letter["recipient"]![0]!["identifier"]!["value"]));
        // A form that this page did not give changes nothing.
        using (var forged = new HttpRequestMessage(HttpMethod.Post, _entry + "/rectify") { Content = new FormUrlEncodedContent(fields.Append(new("why", "toinen"))) })
            Assert.Equal(HttpStatusCode.BadRequest, (await _portal.SendAsync(forged, "en", PortalUnderTest.SessionCookie)).Status);
        Assert.Single(_portal.Record.Of("Communication"));

        var html = (await _portal.GetAsync("/records/rectifications")).Html;
        foreach (var said in (string[])["data-state=\"open\"", "Keskussairaala", $"href=\"{_entry}\"", "salainen &lt;script&gt;", "has to answer by"])
            Assert.Contains(said, html);
        Assert.DoesNotContain("salainen", html.Split("</title>")[0]);
        Assert.DoesNotContain("data-complain", html);
        // It is no entry of the record, and the log's link to it leads here.
        var (moved, _, link) = await _portal.GetAsync($"/records/entry/Communication/{letter["id"]}");
        Assert.Equal((HttpStatusCode.SeeOther, "/records/rectifications"), (moved, link.Headers.Location?.OriginalString));
        Assert.DoesNotContain((string)letter["id"]!, (await _portal.GetAsync("/records/timeline")).Html);

        _portal.Record.Add($$"""
            {"resourceType":"Communication","category":[{"coding":[{"system":"{{RectificationRequests.System}}","code":"rectification-answer"}]}],"inResponseTo":[{"reference":"Communication/{{letter["id"]}}"}],
             "topic":{"coding":[{"system":"{{RectificationRequests.AnswerSystem}}","code":"refused"}]},"payload":[{"contentString":"Merkintä vastaa <b>tutkimusta</b>."}]}
            """, PortalUnderTest.Hospital);
        foreach (var (language, complaint) in ((string, string)[])[("fi", "tietosuojavaltuutetulle"), ("sv", "dataombudsmannen"), ("en", "Data Protection Ombudsman")])
        {
            html = (await _portal.GetAsync("/records/rectifications", language)).Html;
            foreach (var said in (string[])["data-state=\"refused\"", "tutkimusta&lt;/b&gt;", complaint])
                Assert.Contains(said, html);
        }
        _portal.Record.Forget(_portal.Record.Of("Communication").Last());
        letter["sent"] = "2026-01-01T10:00:00Z";
        html = (await _portal.GetAsync("/records/rectifications")).Html;
        Assert.Contains("data-state=\"late\" data-answer-by=\"2026-02-01T10:00:00Z\"", html);
        Assert.Contains("data-complain", html);
    }

    [Fact]
    public async Task Another_portal_asks_the_same_as_JSON()
    {
        var id = _entry.Split('/')[^1];
        var body = Body(id, "tämä");
        var (created, asked) = await AskAsync(body);
        Assert.Equal((HttpStatusCode.Created, "open", PortalUnderTest.Hospital), (created, asked.GetProperty("state").GetString(), asked.GetProperty("controller").GetString()));
        Assert.Equal(asked.GetProperty("at").GetDateTimeOffset().AddMonths(1), asked.GetProperty("answerBy").GetDateTimeOffset());
        Assert.Equal(asked.GetProperty("request").GetString(), (await AskAsync(body)).Json.GetProperty("request").GetString());
        var listed = Assert.Single((await AskAsync(null)).Json.GetProperty("requests").EnumerateArray());
        Assert.Equal(("tämä", $"Condition/{id}", false), (listed.GetProperty("wrong").GetString(), listed.GetProperty("entry").GetString(), listed.TryGetProperty("answer", out _)));
        Assert.Single(_portal.Record.Of("Communication"));

        var request = asked.GetProperty("request").GetString()!;
        var withdraw = $$"""{"request":"{{request}}"}""";
        Assert.Equal((HttpStatusCode.NoContent, ""), await _portal.AskAsync("/records/v1/rectifications/withdraw", withdraw, "same-origin"));
        listed = Assert.Single((await AskAsync(null)).Json.GetProperty("requests").EnumerateArray());
        Assert.Equal(("withdrawn", true), (listed.GetProperty("state").GetString(), listed.TryGetProperty("withdrawnAt", out _)));
        var stored = _portal.Record.Of("Communication").Count();
        foreach (var nothing in (string[])[withdraw, $$"""{"request":"{{id}}"}"""])
            Assert.Equal(HttpStatusCode.NotFound, (await _portal.AskAsync("/records/v1/rectifications/withdraw", nothing, "same-origin")).Status);
        Assert.Equal(stored, _portal.Record.Of("Communication").Count());
    }

    [Fact]
    public async Task What_waits_for_its_answer_is_taken_back_and_may_be_asked_again()
    {
        var fields = new Dictionary<string, string> { ["wrong"] = "tämä", ["right"] = "tuo", ["send"] = "yes" };
        await PostAsync(fields);
        var id = (string)Assert.Single(_portal.Record.Of("Communication"))["id"]!;
        foreach (var (taken, language, said) in ((bool, string, string)[])[(false, "fi", "Peru pyyntö"), (false, "sv", "Återta begäran"), (false, "en", "Take the request back"), (true, "fi", "Olet perunut"), (true, "sv", "Du har återtagit"), (true, "en", "You have taken")])
        {
            if (taken && language == "fi")
            {
                var (status, _, response) = await _portal.PostAsync("/records/rectifications", new() { ["id"] = id });
                Assert.Equal((HttpStatusCode.SeeOther, "/records/rectifications"), (status, response.Headers.Location?.OriginalString));
                Assert.Contains(response.Headers.GetValues("Set-Cookie"), static cookie => cookie.StartsWith("__Host-kanta-notice=rectification-withdrawn;", StringComparison.Ordinal));
            }
            var (_, html, _) = await _portal.GetAsync("/records/rectifications", language);
            Assert.Contains(taken ? "data-state=\"withdrawn\"" : "data-state=\"open\"", html);
            Assert.Contains(said, html);
            Assert.Equal(!taken, html.Contains("data-take-back", StringComparison.Ordinal));
        }
        await PostAsync(fields);
        var letters = _portal.Record.Of("Communication").ToList();
        Assert.Equal(3, letters.Count);
        Assert.Equal((string?)letters[1]["inResponseTo"]![0]!["reference"], "Communication/" + id);
        Assert.NotEqual((string?)letters[0]["identifier"]![0]!["value"], (string?)letters[2]["identifier"]![0]!["value"]);
    }

    [Fact]
    public async Task What_cannot_be_asked_is_refused_as_JSON_and_nothing_is_stored()
    {
        var id = _entry.Split('/')[^1];
        foreach (var (body, status) in ((string, HttpStatusCode)[])
        [
            (Body("00000000-0000-4000-8000-000000000000", "tämä"), HttpStatusCode.NotFound), (Body(id, "tämä").Replace("Condition", "Consent", StringComparison.Ordinal), HttpStatusCode.NotFound),
            (Body(id, " \\u0007 "), HttpStatusCode.UnprocessableEntity), (Body(id, new string('x', 3_001)), HttpStatusCode.UnprocessableEntity), (Body(id, "tämä", new string('x', 3_001)), HttpStatusCode.UnprocessableEntity),
            ("""{"wrong":"tämä"}""", HttpStatusCode.BadRequest),
        ])
        {
            var (refused, problem) = await AskAsync(body);
            Assert.Equal(status, refused);
            Assert.Equal((int)status, problem.GetProperty("status").GetInt32());
        }
        Assert.Equal(HttpStatusCode.Forbidden, (await _portal.AskAsync("/records/v1/rectifications", Body(id, "tämä"), "cross-site")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _portal.AskAsync("/records/v1/rectifications", Body(id, "tämä"), cookies: null)).Status);
        Assert.Empty(_portal.Record.Of("Communication"));
    }

    [Fact]
    public async Task Fifty_requests_may_wait_at_a_time_and_no_more()
    {
        var id = _entry.Split('/')[^1];
        var asked = new RectificationRequest { PatientId = _portal.Record.PatientId, Entry = "Condition/" + id, Asked = new(PortalUnderTest.Hospital, "2"), Wrong = "", Right = "tuo", At = DateTimeOffset.UtcNow };
        for (var i = 1; i < 50; i++)
            _portal.Record.Add(System.Text.Encoding.UTF8.GetString((asked with { Wrong = $"numero {i}" }).Write(0)), PortalUnderTest.Hospital);
        Assert.Equal(HttpStatusCode.Created, (await AskAsync(Body(id, "viideskymmenes"))).Status);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await AskAsync(Body(id, "seuraava"))).Status);
        // The same again is no other.
        Assert.Equal(HttpStatusCode.Created, (await AskAsync(Body(id, "numero 7"))).Status);
        var (_, _, response) = await PostAsync(new() { ["wrong"] = "seuraava", ["right"] = "tuo", ["send"] = "yes" });
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), static cookie => cookie.StartsWith("__Host-kanta-notice=rectifications-too-many;", StringComparison.Ordinal));
        Assert.Equal(50, _portal.Record.Of("Communication").Count());
        // What is settled does not count.
        await _portal.PostAsync("/records/rectifications", new() { ["id"] = (string)_portal.Record.Of("Communication").First()["id"]! });
        Assert.Equal(HttpStatusCode.Created, (await AskAsync(Body(id, "seuraava"))).Status);
    }

    [Fact]
    public async Task Of_an_entry_that_is_not_there_nothing_can_be_asked()
    {
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync("/records/entry/Condition/00000000-0000-4000-8000-000000000000/rectify")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync(_entry.Replace("Condition", "Consent", StringComparison.Ordinal) + "/rectify")).Status);
        Assert.Contains($"href=\"{_entry}/rectify\"", (await _portal.GetAsync(_entry)).Html);
    }

    private static string Body(string id, string wrong, string? why = null) => $$"""{"entry":{"type":"Condition","id":"{{id}}"},"wrong":"{{wrong}}","right":"tuo"{{(why is null ? "" : $",\"why\":\"{why}\"")}}}""";

    /// <param name="body">Null: what was asked.</param>
    private async Task<(HttpStatusCode Status, JsonElement Json)> AskAsync(string? body)
    {
        var (status, json) = await _portal.AskAsync("/records/v1/rectifications", body, "same-origin");
        return (status, JsonElement.Parse(json));
    }

    private Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> PostAsync(Dictionary<string, string> fields, string language = "en") => _portal.PostAsync(_entry + "/rectify", fields, language: language);
}
