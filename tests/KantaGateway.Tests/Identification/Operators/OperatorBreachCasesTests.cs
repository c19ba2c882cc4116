using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Operations;
using KantaGateway.Gateway.Portal;
using KantaGateway.Tests.Breach;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using UglyToad.PdfPig;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>A breach case over HTTP: opened by whoever sees it, worked on by the data protection officer, its notices sent and its forms exported.</summary>
[Collection(OperatorsCollection.Name)]
public sealed class OperatorBreachCasesTests(IdentificationWorld world) : IAsyncLifetime
{
    private static readonly object Words = new
    {
        fi = new { what = "Palvelimelle murtauduttiin.", consequences = "Tietojasi voidaan julkaista.", measures = "Palvelin on suljettu." },
        sv = new { what = "Ett intrång gjordes i en server.", consequences = "Dina uppgifter kan publiceras.", measures = "Servern är stängd." },
        en = new { what = "A server was broken into.", consequences = "Your data may be published.", measures = "The server is closed." },
        contact = "Tietosuojavastaava Toivo Koe <toivo.koe@example.fi>, 029 000 0000",
    };

    private readonly BreachWorld _breach = new(DateTimeOffset.UtcNow);
    private readonly IdentifierCipher _ids = new(new byte[32]);
    private WebApplication _gateway = null!;
    private Uri _address = null!;

    public async Task InitializeAsync()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null, Breach = _breach.Options.Breach };
        _gateway = world.BuildGateway(options, builder => builder.Services.AddSingleton(_breach.Cases).AddSingleton(_breach.Notices).AddSingleton<CaseWork>().AddSingleton<Texts>(), app =>
        {
            app.MapGet("/", () => "start");
            app.MapOperatorBreachCases(options);
            app.MapOperatorNotices(options);
            app.MapOperatorActs(options);
            app.MapAuthorityForms(options);
        });
        await _gateway.StartAsync();
        _address = new Uri($"https://localhost:{options.Port}");
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _breach.DisposeAsync();
    }

    [Fact]
    public async Task Any_operator_opens_a_case_may_say_it_was_known_earlier_and_never_later()
    {
        using var olga = await SignedInAsync(Olga);
        var earlier = _breach.Now.AddDays(-5);
        var (status, body) = await PostAsync(olga, "", new { what = "A backup disk is missing.", aware_at = earlier });
        Assert.Equal(HttpStatusCode.Created, status);
        Assert.Equal((1, "reported", earlier), (body.GetProperty("number").GetInt32(), body.GetProperty("kind").GetString(), body.GetProperty("aware_at").GetDateTimeOffset()));
        Assert.StartsWith("Olga Operaattori", body.GetProperty("opened_by").GetString());
        Assert.Equal("overdue", ClockIn(body, "data-protection-authority").GetProperty("state").GetString());
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostAsync(olga, "", new { what = "Not yet.", aware_at = DateTimeOffset.UtcNow.AddHours(1) })).Status);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostAsync(olga, "", new { what = $"The record of {IdentificationWorld.TestCode}." })).Status);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostAsync(olga, "", new { aware_at = earlier })).Status);
        Assert.Single(_breach.Cases.All);
        // To see what others do about it takes the role.
        using var seen = await olga.GetAsync(new Uri(_address, "/operator/breach-cases"));
        Assert.Equal(HttpStatusCode.Forbidden, seen.StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await PostAsync(olga, "/1/steps", new { kind = "note", note = "Nothing." })).Status);
    }

    [Fact]
    public async Task The_officer_works_through_the_clocks_and_nothing_of_it_can_be_undone()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var tiina = await SignedInAsync(Tiina);
        var (status, body) = await PostAsync(tiina, "/1/steps", new { kind = "authority-notified", to = "Tietosuojavaltuutettu", reference = "TSV/1/2026", at = "2020-01-01T00:00:00Z" });
        Assert.Equal(HttpStatusCode.Created, status);
        var clock = ClockIn(body, "data-protection-authority");
        Assert.Equal(("done", "TSV/1/2026", _breach.Now), (clock.GetProperty("state").GetString(), clock.GetProperty("reference").GetString(), clock.GetProperty("done_at").GetDateTimeOffset()));
        foreach (var wrong in (object[])[new { kind = "authority-notified", to = "Somebody" }, new { kind = "notices-delivered", note = "By me." }, new { kind = "note" }, new { kind = "undo", note = "x" }, new { kind = "note", note = IdentificationWorld.TestCode }])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostAsync(tiina, "/1/steps", wrong)).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await PostAsync(tiina, "/2/steps", new { kind = "note", note = "Of no case." })).Status);
        foreach (var method in (HttpMethod[])[HttpMethod.Delete, HttpMethod.Put, HttpMethod.Patch])
        {
            using var answer = await tiina.SendAsync(new(method, new Uri(_address, "/operator/breach-cases/1/steps")));
            Assert.Equal(HttpStatusCode.MethodNotAllowed, answer.StatusCode);
        }
        Assert.Single(_breach.Cases.StepsOf(1));
    }

    [Fact]
    public async Task Notices_are_drafted_in_three_languages_sent_to_inboxes_and_written_for_paper()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var tiina = await SignedInAsync(Tiina);
        var (_, drafts) = await PostAsync(tiina, "/1/notices/drafts", new { words = Words });
        Assert.Contains("Palvelimelle murtauduttiin.", drafts.GetProperty("fi").GetString());
        Assert.Contains("Ett intrång", drafts.GetProperty("sv").GetString());
        Assert.Contains("What happened", drafts.GetProperty("en").GetString());
        // What all are told names nobody.
        var slip = new { what = $"Palvelimelle murtauduttiin ({IdentificationWorld.TestCode}).", consequences = "Tietojasi voidaan julkaista.", measures = "Palvelin on suljettu." };
        foreach (var path in (string[])["/1/notices/drafts", "/1/notices"])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostAsync(tiina, path, new { words = new { fi = slip, sv = slip, en = slip, contact = "Toivo Koe" }, persons = new[] { new { identity_code = IdentificationWorld.TestCode } } })).Status);
        var known = Pseudonym.Read("somebody-1"u8);
        var list = JsonSerializer.SerializeToUtf8Bytes(new
        {
            words = Words,
            persons = new object[]
            {
                new { patient = "Patient/" + _ids.PatientId(known), items = new[] { new { type = "Observation", id = "5b0c8a34-0000-4000-8000-000000000002" } } },
                new { identity_code = IdentificationWorld.TestCode },
            },
        });
        // One officer alone sends nothing, nor another list than the one that was approved, nor of another case.
        using var tero = await SignedInAsync(Tero);
        Assert.Equal((HttpStatusCode.Conflict, 0), ((await SendAsync(tiina, 1, list)).Status, _breach.Notices.CountOf(1).Sent));
        var (_, draft) = await PostAsync(tiina, "/1/notices/drafts", list, isWhole: true);
        Assert.Equal(2, draft.GetProperty("persons").GetInt32());
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "breach-notices", "1", "All of them.")).Status);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "breach-notices", "2", draft.GetProperty("sha256").GetString()!)).Status);
        var (_, act) = await ProposeAsync(tiina, "breach-notices", "1", $"{draft.GetProperty("sha256").GetString()} {new string('0', 64)}");
        Assert.Equal(HttpStatusCode.Conflict, (await SendAsync(tiina, 1, list, act)).Status);
        Assert.Equal(HttpStatusCode.Forbidden, await ApproveAsync(tiina, act));
        Assert.Equal(HttpStatusCode.NoContent, await ApproveAsync(tero, act));
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "Another answer stands in no entry.");
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(tiina, 2, list, act)).Status);
        Assert.Equal(HttpStatusCode.Conflict, (await SendAsync(tiina, 1, [.. list, (byte)' '], act)).Status);
        Assert.Equal(0, _breach.Notices.CountOf(1).Sent + _breach.Notices.CountOf(2).Sent);
        var (status, sent) = await SendAsync(tiina, 1, list, act);
        Assert.Equal((HttpStatusCode.Created, 2), (status, sent.GetProperty("sent").GetInt32()));
        // A list that broke off is sent again by the same approval.
        var again = await SendAsync(tero, 1, list, act);
        Assert.Equal((HttpStatusCode.Created, 0), (again.Status, again.Body.GetProperty("sent").GetInt32()));
        Assert.Equal("Observation", Assert.Single(Assert.Single(_breach.Notices.Of(known)).Notice.Items).Type);
        foreach (var person in (object[])[new { patient = "Patient/nobody" }, new { identity_code = "010190-9000" }, new { patient = "Patient/" + _ids.PatientId(known), identity_code = IdentificationWorld.TestCode },
            new { patient = "Patient/" + _ids.PatientId(known), items = new[] { new { type = "Observation", id = "../x" } } }])
        {
            var refused = await PostAsync(tiina, "/1/notices", new { words = Words, persons = new[] { person } });
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.Status);
            Assert.DoesNotContain("010190", refused.Body.GetRawText());
        }
        _breach.Clock.Advance(TimeSpan.FromDays(3));
        await PostAsync(tiina, "/1/steps", new { kind = "contained", note = "The server is closed." });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostAsync(tiina, "/1/letters", new { })).Status);
        var (_, letters) = await ProposeAsync(tiina, "breach-letters", "1", "Two have not signed in.");
        object printing = new { act = letters.GetProperty("id").GetString(), digest = letters.GetProperty("digest").GetString() };
        Assert.Equal(HttpStatusCode.Conflict, (await PostAsync(tiina, "/1/letters", printing)).Status);
        Assert.Empty(Directory.GetFiles(_breach.PathOf("letters")));
        Assert.Equal(HttpStatusCode.NoContent, await ApproveAsync(tero, letters));
        // What was approved of is no approval of anything else.
        Assert.Equal(HttpStatusCode.NotFound, (await PostAsync(tiina, "/1/letters", new { act = act.GetProperty("id").GetString(), digest = act.GetProperty("digest").GetString() })).Status);
        Assert.Equal(2, (await PostAsync(tiina, "/1/letters", printing)).Body.GetProperty("written").GetInt32());
        var letter = Directory.GetFiles(_breach.PathOf("letters")).Select(static box => SealedLetter.Open(BreachWorld.LetterKey, File.ReadAllBytes(box))).Single(one => one.Name.Contains(_ids.PatientId(known), StringComparison.Ordinal)).Document;
        foreach (var part in (string[])["lang=\"fi\"", "lang=\"sv\"", "lang=\"en\"", "/notice-check", "116 006", "Toivo Koe &lt;toivo.koe@example.fi&gt;", "(1)"])
            Assert.Contains(part, letter);
        // In its name, and in each language.
        Assert.Equal(1 + 3, letter.Split(_breach.Notices.Of(known)[0].Notice.Code).Length - 1);
        Assert.DoesNotContain("<toivo", letter);
        using var count = JsonDocument.Parse(await tiina.GetStringAsync(new Uri(_address, "/operator/breach-cases/1/notices")));
        // What the persons are told of what is owed to them.
        var owed = count.RootElement.GetProperty("owed");
        Assert.Equal((JsonValueKind.Null, JsonValueKind.Null, _breach.Now), (owed.GetProperty("authority").ValueKind, owed.GetProperty("supervisor").ValueKind, owed.GetProperty("contained").GetDateTimeOffset()));
        Assert.Equal((2, 0, 2), (count.RootElement.GetProperty("sent").GetInt32(), count.RootElement.GetProperty("read").GetInt32(), count.RootElement.GetProperty("letters").GetInt32()));
    }

    [Theory]
    [InlineData("data-protection", 72, 0)]
    [InlineData("early-warning", 24, 0)]
    [InlineData("incident-notification", 72, 0)]
    [InlineData("final-report", 72, 1)]
    public async Task What_an_authority_is_told_is_exported_as_json_and_pdf(string form, int hours, int months)
    {
        var known = _breach.Now.AddDays(-40);
        var due = known.AddHours(hours).AddMonths(months);
        await _breach.Cases.OpenAsync(BreachKind.Reported, "An answer stands in no entry.", new("Tiina", known));
        await _breach.SendAsync(new AffectedPerson(Pseudonym.Read("somebody-1"u8), [new("Observation", "5b0c8a34-0000-4000-8000-000000000002"), new("Condition", "5b0c8a34-0000-4000-8000-000000000003")]));
        using var tiina = await SignedInAsync(Tiina);
        using var json = JsonDocument.Parse(await tiina.GetStringAsync(new Uri(_address, $"/operator/breach-cases/1/authority/{form}.json")));
        var root = json.RootElement;
        Assert.Equal((1, 2, "An answer stands in no entry."), (root.GetProperty("persons_approximately").GetInt32(), root.GetProperty("records_approximately").GetInt32(), root.GetProperty("nature").GetString()));
        Assert.Equal("Tietojasi voidaan julkaista.", root.GetProperty("consequences").GetString());
        Assert.Equal((known, due, true), (root.GetProperty("aware_at").GetDateTimeOffset(), root.GetProperty("due").GetDateTimeOffset(), root.GetProperty("late").GetBoolean()));
        foreach (var language in (string[])["fi", "sv", "en"])
        {
            using var answer = await tiina.GetAsync(new Uri(_address, $"/operator/breach-cases/1/authority/{form}.pdf?language={language}"));
            Assert.Equal("application/pdf", answer.Content.Headers.ContentType?.MediaType);
            var pdf = await answer.Content.ReadAsByteArrayAsync();
            Assert.Equal("%PDF-", Encoding.ASCII.GetString(pdf, 0, 5));
            Assert.InRange(pdf.Length, 5_000, 500_000);
            using var document = PdfDocument.Open(pdf);
            var printed = string.Join(' ', document.GetPages().SelectMany(static page => page.GetWords()).Select(static word => word.Text));
            var texts = _gateway.Services.GetRequiredService<Texts>();
            foreach (var part in NoticeLetters.Speaking(language, () => (string[])
            [
                $"{texts["form.due"]} {Dates.Minute(due)} ({texts["form.late"]})", $"{texts["form.nature"]} An answer stands in no entry.", $"{texts["form.persons"]} 1", $"{texts["form.records"]} 2",
                $"{texts["type.Observation"]} (1)", $"{texts["form.consequences"]} {BreachWorld.Words.In(language).Consequences}", "Toivo Koe",
            ]))
                Assert.Contains(part, printed);
        }
        await _breach.Cases.OpenAsync(BreachKind.Reported, "A disk is missing.", new("Tiina", _breach.Now));
        using var later = JsonDocument.Parse(await tiina.GetStringAsync(new Uri(_address, $"/operator/breach-cases/2/authority/{form}.json")));
        Assert.False(later.RootElement.GetProperty("late").GetBoolean());
        foreach (var wrong in (string[])["other.json", form, form + ".exe", form + ".pdf?language=de"])
        {
            using var answer = await tiina.GetAsync(new Uri(_address, "/operator/breach-cases/1/authority/" + wrong));
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }
    }

    private static JsonElement ClockIn(JsonElement one, string name) => one.GetProperty("clocks").EnumerateArray().Single(clock => clock.GetProperty("clock").GetString() == name);

    private async Task<HttpClient> SignedInAsync(int who)
    {
        var cookies = new CookieContainer();
        Assert.Equal("/operator", (await world.SignInOperatorAsync(cookies, who, gateway: _address)).PathAndQuery);
        return world.Connect(cookies: cookies);
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(HttpClient http, string path, object body, bool isWhole = false)
    {
        using HttpContent content = isWhole ? new ByteArrayContent((byte[])body) { Headers = { ContentType = new("application/json") } } : JsonContent.Create(body);
        using var answer = await http.PostAsync(new Uri(_address, path.StartsWith("/operator/", StringComparison.Ordinal) ? path : "/operator/breach-cases" + path), content);
        return (answer.StatusCode, answer.StatusCode == HttpStatusCode.NoContent ? default : await answer.Content.ReadFromJsonAsync<JsonElement>());
    }

    private Task<(HttpStatusCode Status, JsonElement Body)> ProposeAsync(HttpClient http, string kind, string subject, string content) => PostAsync(http, "/operator/acts", new { kind, subject, content });

    private async Task<HttpStatusCode> ApproveAsync(HttpClient http, JsonElement act) =>
        (await PostAsync(http, $"/operator/acts/{act.GetProperty("id").GetString()}/approve", new { digest = act.GetProperty("digest").GetString() })).Status;

    private Task<(HttpStatusCode Status, JsonElement Body)> SendAsync(HttpClient http, int number, byte[] list, JsonElement? act = null) =>
        PostAsync(http, $"/{number}/notices{(act is { } one ? $"?act={one.GetProperty("id").GetString()}&digest={one.GetProperty("digest").GetString()}" : "")}", list, isWhole: true);
}
