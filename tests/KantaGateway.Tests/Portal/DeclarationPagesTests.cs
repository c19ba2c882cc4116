using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Portal;

/// <summary>How informing, permission and denials are declared (Act 703/2023 §54, §58, §59, §68).</summary>
public sealed class DeclarationPagesTests : IAsyncLifetime
{
    private const string ServiceEvent = "1.2.246.10.1234567.14.42";

    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task Permission_and_denial_wait_for_the_informing()
    {
        foreach (var path in (string[])["/consent/permit", "/consent/deny"])
        {
            var (opened, _, get) = await _portal.GetAsync(path);
            Assert.Equal((HttpStatusCode.SeeOther, "/consent/inform"), (opened, get.Headers.Location?.OriginalString));
            // A form from before the text changed leads there too.
            var (posted, _, post) = await _portal.PostAsync(path, new() { ["permit"] = "yes", ["target"] = "all" }, page: "/consent/inform");
            Assert.Equal((HttpStatusCode.SeeOther, "/consent/inform"), (posted, post.Headers.Location?.OriginalString));
        }
        Assert.Empty(_portal.Record.Of("Consent"));
    }

    [Theory]
    [InlineData("2026-2", null)]
    [InlineData("2025-1", "yes")]
    [InlineData("2026-2", "no")]
    public async Task Being_informed_takes_the_confirmation_of_the_text_now_in_force(string version, string? informed)
    {
        var fields = new Dictionary<string, string> { ["version"] = version };
        if (informed is not null)
            fields["informed"] = informed;
        var (status, html, _) = await _portal.PostAsync("/consent/inform", fields);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("data-error", html);
        Assert.Contains("<title>Error: ", html);
        Assert.Empty(_portal.Record.Of("Consent"));
    }

    [Fact]
    public async Task What_is_declared_shows_and_what_is_withdrawn_does_not()
    {
        await InformAsync();
        var (status, _, response) = await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        Assert.Equal((HttpStatusCode.SeeOther, "/consent"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains("__Host-kanta-notice=permitted", string.Join(' ', response.Headers.GetValues("Set-Cookie")));

        var permit = (string)_portal.Record.Of("Consent").Last()["id"]!;
        Assert.Contains($"data-informed=\"2026-2\" data-permission=\"{permit}\" data-denials=\"0\"", await ConsentAsync());
        Assert.Contains("Those who treat you may also see", await ConsentAsync());

        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = permit }, page: $"/consent/withdraw?id={permit}");
        Assert.Contains("data-permission=\"\"", await ConsentAsync());
        Assert.Equal("inactive", (string?)_portal.Record.Of("Consent").Last()["status"]);
    }

    [Fact]
    public async Task A_preview_shows_who_would_see_what_and_declares_nothing()
    {
        await InformAsync();
        Assert.Contains("data-now=\"0\"", await ConsentAsync());
        var (status, html, _) = await _portal.PostAsync("/consent/deny", new() { ["target"] = "all", ["emergency"] = "yes", ["preview"] = "yes" });
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("Who would see what if you save this", html);
        Assert.Contains("data-now=\"0\" data-then=\"1\"", html);
        // What was chosen stays chosen.
        Assert.Matches("id=\"target-all\"[^>]*checked", html);
        Assert.Matches("id=\"emergency\"[^>]*checked", html);
        Assert.Single(_portal.Record.Of("Consent"));
    }

    [Fact]
    public async Task A_denial_says_whether_it_holds_in_an_emergency()
    {
        await InformAsync();
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "all" });
        Assert.Null(_portal.Record.Of("Consent").Last()["provision"]!["provision"]);
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "all", ["emergency"] = "yes" });
        Assert.Equal("ETREAT", (string?)_portal.Record.Of("Consent").Last()["provision"]!["provision"]![0]!["purpose"]![0]!["code"]);
        var (status, html, _) = await _portal.PostAsync("/consent/deny", new() { ["target"] = "register", ["register"] = "1.2.3" });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("data-error", html);
    }

    [Fact]
    public async Task A_denial_names_its_visit_and_can_be_withdrawn()
    {
        await InformAsync();
        _portal.Record.Add($$$"""{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"identifier":[{"use":"official","system":"urn:ietf:rfc:3986","value":"urn:oid:{{{ServiceEvent}}}"}],"period":{"start":"2026-03-12T08:00:00Z"}}""");
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "event", ["event"] = ServiceEvent });
        var html = await ConsentAsync();
        Assert.Contains($"data-target=\"event\" data-service-event=\"{ServiceEvent}\"", html);
        Assert.Contains("One visit: 12 March 2026, Appointment at a clinic", html);
        Assert.Contains("except what you have denied", html);

        // Saying it twice is one denial.
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "event", ["event"] = ServiceEvent });
        Assert.Equal(3, _portal.Record.Of("Consent").Count());

        var denial = (string)_portal.Record.Of("Consent").Last()["id"]!;
        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = denial }, page: $"/consent/withdraw?id={denial}");
        Assert.Contains("data-denials=\"0\"", await ConsentAsync());
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("event", "")]
    [InlineData("event", "not an oid")]
    [InlineData("everything", "1.2.3")]
    [InlineData("event", "1.2.246.10.1234567.14.99")]
    [InlineData("register", "1.2.246.10.99000044")]
    [InlineData("occupational", "1.2.246.10.1 4:1.2.246.10.2048198")]
    [InlineData("occupational", "1.2.246.10.99000044 4:1.2.3")]
    [InlineData("prescription", "4f6c0b3e-1111-4000-8000-0000000000e1")]
    public async Task A_denial_of_nothing_in_particular_is_asked_again(string? target, string? named)
    {
        await InformAsync();
        var fields = new Dictionary<string, string>();
        if (target is not null)
            fields["target"] = target;
        if (named is not null)
            fields[target is null or "everything" ? "event" : target] = named;
        var (status, html, _) = await _portal.PostAsync("/consent/deny", fields);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("data-error", html);
        Assert.Single(_portal.Record.Of("Consent"));
    }

    [Theory]
    [InlineData("""{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3.1"},{"use":"official","value":"1.2.3.2"}""", "1.2.3.2")]
    [InlineData("""{"system":"urn:oid:1.2.3","value":"1.2.3.1"},{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3.2"}""", "1.2.3.2")]
    [InlineData("""{"use":"official","value":"17"},{"use":"usual","system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3.2"}""", "1.2.3.2")]
    [InlineData("""{"system":"urn:oid:1.2.3","value":"1.2.3.1"},{"use":"usual","value":"urn:oid:1.2.3.2"}""", null)]
    public async Task A_visit_is_denied_by_the_service_event_that_binds_it(string identifiers, string? expected)
    {
        await InformAsync();
        _portal.Record.Add($$$"""{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"identifier":[{{{identifiers}}}],"period":{"start":"2026-03-12T08:00:00Z"}}""");
        var (_, html, _) = await _portal.GetAsync("/consent/deny");
        foreach (var oid in (string[])["1.2.3.1", "1.2.3.2"])
        {
            Assert.Equal(oid == expected, html.Contains($"<option value=\"{oid}\"", StringComparison.Ordinal));
            var (status, _, _) = await _portal.PostAsync("/consent/deny", new() { ["target"] = "event", ["event"] = oid });
            Assert.Equal(oid == expected ? HttpStatusCode.SeeOther : HttpStatusCode.UnprocessableEntity, status);
        }
    }

    /// <summary>Act 703/2023 §59.2: a private provider is no scope, so it is not offered.</summary>
    [Fact]
    public async Task Registers_that_the_law_names_can_be_denied_and_no_others()
    {
        await InformAsync();
        var (_, html, _) = await _portal.GetAsync("/consent/deny");
        Assert.Contains($"<option value=\"{PortalUnderTest.Hospital}\"", html);
        Assert.Contains($"<option value=\"{PortalUnderTest.OccupationalCare} 4:1.2.246.10.2048198\"", html);
        Assert.Contains("Työterveys Tuisku, occupational health care (employer 0204819-8)", html);
        // By the register alone: a public or private provider keeps such registers too.
        Assert.Contains($"<option value=\"{PortalUnderTest.Hospital} 4:1.2.246.10.2048198\"", html);
        Assert.Contains($"<option value=\"{PortalUnderTest.Clinic} 4:1.2.246.10.15728600\"", html);
        Assert.Equal(4, html.Split("<option value=\"1.").Length - 1);

        await DenyAsync("register", PortalUnderTest.Hospital);
        var denial = _portal.Record.Of("Consent").Last()["provision"]!;
        Assert.Equal("authoredby", (string?)denial["data"]![0]!["meaning"]);
        await DenyAsync("occupational", $"{PortalUnderTest.OccupationalCare} 4:1.2.246.10.2048198");
        denial = _portal.Record.Of("Consent").Last()["provision"]!;
        Assert.Equal("4", (string?)denial["class"]![0]!["code"]);
        Assert.Equal("urn:oid:1.2.246.10.2048198", (string?)denial["data"]![1]!["reference"]!["identifier"]!["value"]);
        foreach (var keeper in (string[])[PortalUnderTest.Hospital + " 4:1.2.246.10.2048198", PortalUnderTest.Clinic + " 4:1.2.246.10.15728600"])
            await DenyAsync("occupational", keeper);
        html = await ConsentAsync();
        Assert.Contains("data-target=\"register\"", html);
        Assert.Contains("data-target=\"occupational\"", html);
        Assert.Contains("<h3>The records of Keskussairaala</h3>", html);
    }

    [Fact]
    public async Task A_prescription_of_ones_own_can_be_denied_from_its_entry()
    {
        await InformAsync();
        var id = _portal.Record.Add("""{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"Sertraliini 50 mg"},"authoredOn":"2026-03-12"}""");
        Assert.Contains($"href=\"/consent/deny?prescription={id}\"", (await _portal.GetAsync($"/records/entry/MedicationRequest/{id}")).Html);
        var (_, html, _) = await _portal.GetAsync($"/consent/deny?prescription={id}");
        Assert.Matches("id=\"target-prescription\"[^>]*checked", html);
        Assert.Matches($"<option value=\"{id}\" selected", html);
        await DenyAsync("prescription", id);
        Assert.Equal($"MedicationRequest/{id}", (string?)_portal.Record.Of("Consent").Last()["provision"]!["data"]![0]!["reference"]!["reference"]);
        html = await ConsentAsync();
        Assert.Contains("data-target=\"prescription\"", html);
        Assert.Contains("One prescription: 12 March 2026, Sertraliini 50 mg", html);
        var denial = (string)_portal.Record.Of("Consent").Last()["id"]!;
        (_, html, _) = await _portal.GetAsync($"/consent/withdraw?id={denial}");
        Assert.Contains("One prescription: 12 March 2026, Sertraliini 50 mg", html);
        Assert.Contains("Who would see what afterwards", html);
        Assert.Contains("data-then=\"1\"", html);
        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = denial }, page: $"/consent/withdraw?id={denial}");
        Assert.Contains("data-denials=\"0\"", await ConsentAsync());
    }

    [Fact]
    public async Task Of_many_visits_the_newest_hundred_can_be_chosen_and_an_older_one_from_its_own_page()
    {
        await InformAsync();
        string[] visits = [.. Enumerable.Range(0, 120).Select(i => _portal.Record.Add($$$"""{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"identifier":[{"use":"official","system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3.{{{i}}}"}],"period":{"start":"{{{2000 + i / 12}}}-{{{i % 12 + 1:00}}}"}}"""))];
        var (_, html, _) = await _portal.GetAsync("/consent/deny");
        Assert.Equal(100, html.Split("<option value=\"1.2.3.").Length - 1);
        Assert.Contains("<option value=\"1.2.3.20\"", html);
        Assert.DoesNotContain("<option value=\"1.2.3.19\"", html);
        Assert.Contains("The list has the 100 newest visits", html);
        (_, html, _) = await _portal.GetAsync("/consent/deny?visit=" + visits[0]);
        Assert.Matches("<option value=\"1.2.3.0\" selected", html);
        await DenyAsync("event", "1.2.3.0");
        Assert.Contains("data-target=\"event\" data-service-event=\"1.2.3.0\"", await ConsentAsync());
    }

    /// <summary>Act 703/2023 §58: what is declared can be printed, by whatever system has the Consent.</summary>
    [Theory]
    [InlineData("fi", "Luovutuslupa", "Peruttu")]
    [InlineData("sv", "Utlämningstillstånd", "Återkallat")]
    [InlineData("en", "Disclosure permission", "Withdrawn")]
    public async Task Every_declaration_carries_its_printable_form(string language, string title, string withdrawn)
    {
        await InformAsync();
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" }, language: language);
        var permit = _portal.Record.Of("Consent").Last();
        var div = (string)permit["text"]!["div"]!;
        Assert.Contains($"<h1>{title}</h1>", div);
        Assert.Contains("<td>2026-2</td>", div);
        Assert.Contains($"lang=\"{language}\"", div);
        Assert.DoesNotContain(withdrawn, div);
        Assert.All(_portal.Record.Of("Consent"), consent => Assert.Null(ResourceParser.Parse(Encoding.UTF8.GetBytes(consent.ToJsonString())).Fault));

        var id = (string)permit["id"]!;
        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = id }, page: $"/consent/withdraw?id={id}", language: language);
        Assert.Contains($"<td>{withdrawn}</td>", (string)_portal.Record.Of("Consent").Last()["text"]!["div"]!);
    }

    [Fact]
    public async Task The_printed_page_says_what_was_declared_when_on_which_text_and_how_to_revoke_it()
    {
        await InformAsync();
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        await DenyAsync("register", PortalUnderTest.Hospital);
        string[] ids = [.. _portal.Record.Of("Consent").Select(c => (string)c["id"]!)];
        var (_, html, _) = await _portal.GetAsync("/consent/print");
        Assert.Equal(ids, html.Split("data-printed=\"")[1..].Select(part => part.Split('"')[0]));
        foreach (var said in (string[])["The records of Keskussairaala", "In the citizen&#x27;s service, after strong identification", "<dd>2026-2</dd>", "<dd>In force</dd>", "This can be withdrawn at any time",
            "The informing text", "How you can watch over the use of your records", "In force in an emergency too."])
            Assert.Contains(said, html);

        // One alone, withdrawn or not; and nothing that is not there.
        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = ids[2] }, page: $"/consent/withdraw?id={ids[2]}");
        (_, html, _) = await _portal.GetAsync($"/consent/print?id={ids[2]}");
        Assert.Equal([ids[2]], html.Split("data-printed=\"")[1..].Select(part => part.Split('"')[0]));
        Assert.Contains("<dd>Withdrawn</dd>", html);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync("/consent/print?id=4f6c0b3e-1111-4000-8000-0000000000e1")).Status);
    }

    [Fact]
    public async Task A_permission_says_beforehand_who_would_see_what()
    {
        await InformAsync();
        Assert.Contains("data-then=\"1\"", (await _portal.GetAsync("/consent/permit")).Html);
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        Assert.DoesNotContain("data-preview", (await _portal.GetAsync("/consent/permit")).Html);
    }

    [Fact]
    public async Task What_decisions_rest_on_is_what_the_page_says_whatever_the_consents_are_dated()
    {
        await InformAsync();
        var stored = DateTimeOffset.UtcNow;
        // The one stored last is dated before the one that it withdraws.
        _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Denial(_portal.Record.PatientId, new DenialTarget.All(), stored)));
        Assert.Contains("data-denials=\"1\"", await ConsentAsync());
        using var earlier = JsonDocument.Parse(Declarations.Denial(_portal.Record.PatientId, new DenialTarget.All(), stored.AddDays(-1)));
        _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Withdrawn(earlier.RootElement)));
        Assert.Contains("data-denials=\"0\"", await ConsentAsync());
    }

    /// <summary>Act 703/2023 §58: printable as it was, so a withdrawal in the portal is the person's and no desk's.</summary>
    [Fact]
    public async Task What_a_desk_recorded_is_withdrawn_and_printed_as_the_person_s_own()
    {
        await InformAsync();
        var consent = JsonNode.Parse(Declarations.Denial(_portal.Record.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow))!.AsObject();
        consent["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000033"}}]""");
        consent["sourceAttachment"] = JsonNode.Parse("""{"contentType":"application/pdf","data":"QQ=="}""");
        consent["provision"]!["period"] = JsonNode.Parse("""{"end":"2036-01-01"}""");
        var desk = _portal.Record.Add(consent.ToJsonString());
        Assert.Contains("Keskussairaala", (await _portal.GetAsync("/consent/print?id=" + desk)).Html);

        var (status, _, _) = await _portal.PostAsync("/consent/withdraw", new() { ["id"] = desk }, page: $"/consent/withdraw?id={desk}");
        Assert.Equal(HttpStatusCode.SeeOther, status);
        var withdrawal = _portal.Record.Of("Consent").Last();
        Assert.Equal(("inactive", "Consent/" + desk), ((string?)withdrawal["status"], (string?)withdrawal["sourceReference"]!["reference"]));
        var printed = (string)withdrawal["text"]!["div"]!;
        foreach (var untrue in (string[])["Keskussairaala", "signed", desk, "2036"])
            Assert.DoesNotContain(untrue, printed, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("service, after strong identification", printed, StringComparison.Ordinal);
        Assert.DoesNotContain("Keskussairaala", (await _portal.GetAsync("/consent/print?id=" + (string)withdrawal["id"]!)).Html);
    }

    /// <summary>§58: an older form that a desk types in late is told as what it is, and takes from the person no way to withdraw.</summary>
    [Fact]
    public async Task A_denial_in_force_is_withdrawn_though_a_desk_has_stored_an_older_form_after_it()
    {
        await InformAsync();
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "all" });
        var id = (string)_portal.Record.Of("Consent").Last()["id"]!;
        using var given = JsonDocument.Parse(Declarations.Denial(_portal.Record.PatientId, new DenialTarget.All(), new(2026, 3, 12, 8, 0, 0, TimeSpan.Zero)));
        var late = JsonNode.Parse(Declarations.Withdrawn(given.RootElement))!.AsObject();
        late["organization"] = JsonNode.Parse("[{\"type\":\"Organization\",\"identifier\":{\"system\":\"urn:ietf:rfc:3986\",\"value\":\"urn:oid:1.2.246.10.99000033\"}}]");
        var form = _portal.Record.Add(late.ToJsonString());
        Assert.Contains("data-denials=\"1\"", await ConsentAsync());
        Assert.Contains("not in force: something else", (await _portal.GetAsync("/")).Html);
        Assert.Contains("not in force: something else", (await _portal.GetAsync("/consent/print?id=" + form)).Html);

        Assert.Equal(HttpStatusCode.OK, (await _portal.GetAsync($"/consent/withdraw?id={id}")).Status);
        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = id }, page: $"/consent/withdraw?id={id}");
        Assert.Contains("data-denials=\"0\"", await ConsentAsync());
        Assert.DoesNotContain("not in force: something else", (await _portal.GetAsync("/consent/print?id=" + form)).Html);
    }

    /// <summary>Act 703/2023 §58: until further notice is what the person declares here. A desk's that ends by itself says so, and is not taken for the same.</summary>
    [Theory]
    [InlineData("fi", "2.1.2036 klo 0.00")]
    [InlineData("sv", "2.1.2036 kl. 0.00")]
    [InlineData("en", "2 January 2036 at 0:00")]
    public async Task What_a_desk_recorded_with_an_end_shows_it_and_can_be_declared_without(string language, string end)
    {
        await InformAsync();
        foreach (var (consent, path, fields) in ((byte[], string, Dictionary<string, string>)[])[
            (Declarations.Permit(_portal.Record.PatientId, DateTimeOffset.UtcNow), "/consent/permit", new() { ["permit"] = "yes" }),
            (Declarations.Denial(_portal.Record.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow), "/consent/deny", new() { ["target"] = "all" })])
        {
            var recorded = JsonNode.Parse(consent)!.AsObject();
            recorded["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000033"}}]""");
            recorded["sourceAttachment"] = JsonNode.Parse("""{"contentType":"application/pdf","data":"QQ=="}""");
            recorded["provision"]!["period"] = JsonNode.Parse("""{"end":"2036-01-01"}""");
            var desk = _portal.Record.Add(recorded.ToJsonString());
            var (_, html, _) = await _portal.GetAsync("/consent", language: language);
            Assert.Contains(end, WebUtility.HtmlDecode(html.Split("data-until=\"2036-01-01T22:00:00Z\">")[1].Split("</p>")[0]), StringComparison.Ordinal);
            if (path == "/consent/permit")
                Assert.Contains(end, WebUtility.HtmlDecode((await _portal.GetAsync(path, language: language)).Html.Split("data-until=\"2036-01-01T22:00:00Z\">")[1].Split("</p>")[0]), StringComparison.Ordinal);

            var (_, _, saved) = await _portal.PostAsync(path, fields, language: language);
            Assert.DoesNotContain("nothing-changed", string.Join(' ', saved.Headers.GetValues("Set-Cookie")), StringComparison.Ordinal);
            var declared = _portal.Record.Of("Consent").Last();
            Assert.NotEqual(desk, (string?)declared["id"]);
            Assert.Null(declared["provision"]!["period"]);
            Assert.DoesNotContain("data-until", (await _portal.GetAsync("/consent")).Html, StringComparison.Ordinal);

            // Saying it twice is one.
            (_, _, saved) = await _portal.PostAsync(path, fields, language: language);
            Assert.Contains("nothing-changed", string.Join(' ', saved.Headers.GetValues("Set-Cookie")), StringComparison.Ordinal);
            Assert.Equal((string?)declared["id"], (string?)_portal.Record.Of("Consent").Last()["id"]);
        }
    }

    /// <summary>Act 703/2023 §54.1: no page says that only the own register sees what public providers see of each other.</summary>
    [Fact]
    public async Task Where_public_providers_share_records_every_page_that_says_who_sees_says_so()
    {
        await InformAsync();
        foreach (var page in (string[])["/", "/consent", "/consent/print", "/consent/permit"])
            Assert.DoesNotContain("share their records by law", (await _portal.GetAsync(page)).Html);
        await using var portal = await PortalUnderTest.StartAsync(joint: [PortalUnderTest.Hospital, "1.2.246.10.99000099"]);
        await portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        foreach (var page in (string[])["/", "/consent", "/consent/print", "/consent/permit"])
            Assert.Contains("share their records by law", (await portal.GetAsync(page)).Html);
        await portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        var permit = (string)portal.Record.Of("Consent").Last()["id"]!;
        Assert.Contains("share their records by law", (await portal.GetAsync("/consent/withdraw?id=" + permit)).Html);
        Assert.DoesNotContain("share their records by law", (await portal.GetAsync("/consent")).Html);
    }

    [Fact]
    public async Task A_withdrawal_that_something_newer_has_overtaken_withdraws_nothing_and_says_so()
    {
        await InformAsync();
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "all" });
        var id = (string)_portal.Record.Of("Consent").Last()["id"]!;
        _portal.Record.RefusesChanges = 412;
        var (status, _, response) = await _portal.PostAsync("/consent/withdraw", new() { ["id"] = id }, page: $"/consent/withdraw?id={id}");
        Assert.Equal((HttpStatusCode.SeeOther, "/consent"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains("__Host-kanta-notice=declared-since", string.Join(' ', response.Headers.GetValues("Set-Cookie")));
        Assert.Contains("data-denials=\"1\"", await ConsentAsync());
    }

    [Fact]
    public async Task A_declaration_that_nobody_can_read_shows_as_a_denial_of_everything()
    {
        await InformAsync();
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        var id = _portal.Record.Add($$"""{"resourceType":"Consent","status":"active","scope":{},"category":[{}],"patient":{"reference":"Patient/{{_portal.Record.PatientId}}"} }""");
        var html = await ConsentAsync();
        Assert.Contains($"data-denial=\"{id}\" data-target=\"other\"", html);
        Assert.Contains("You have denied the disclosure of all your records", html);
    }

    /// <summary>EHDS Art. 8: whatever closes the record is told, also what no search by the person finds.</summary>
    [Fact]
    public async Task What_names_nobody_shows_as_a_denial_of_everything_too()
    {
        await InformAsync();
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        Assert.DoesNotContain("data-target=\"other\"", await ConsentAsync());
        var consent = JsonNode.Parse(Declarations.Permit(_portal.Record.PatientId, DateTimeOffset.UnixEpoch))!.AsObject();
        consent.Remove("patient");
        _portal.Record.Add(consent.ToJsonString());
        var html = await ConsentAsync();
        Assert.Contains("data-denial=\"\" data-target=\"other\"", html);
        Assert.Contains("You have denied the disclosure of all your records", html);
    }

    [Fact]
    public async Task The_informing_cannot_be_withdrawn_as_if_it_were_a_choice()
    {
        await InformAsync();
        var id = (string)_portal.Record.Of("Consent").Single()["id"]!;
        var (status, _, _) = await _portal.PostAsync("/consent/withdraw", new() { ["id"] = id }, page: "/consent/inform");
        Assert.Equal(HttpStatusCode.SeeOther, status);
        Assert.Equal("active", (string?)_portal.Record.Of("Consent").Single()["status"]);
    }

    private async Task InformAsync()
    {
        var (status, _, _) = await _portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        Assert.Equal(HttpStatusCode.SeeOther, status);
    }

    private async Task DenyAsync(string target, string named)
    {
        var (status, _, response) = await _portal.PostAsync("/consent/deny", new() { ["target"] = target, [target] = named });
        Assert.Equal((HttpStatusCode.SeeOther, "/consent"), (status, response.Headers.Location?.OriginalString));
    }

    private async Task<string> ConsentAsync() => (await _portal.GetAsync("/consent")).Html;
}
