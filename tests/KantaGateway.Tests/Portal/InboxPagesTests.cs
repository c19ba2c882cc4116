using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Tests.Breach;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Portal;

/// <summary>One list of everything that the citizen is told, and a start page that says what is new and who has looked: whatever is away hides nothing else.</summary>
public sealed class InboxPagesTests : IAsyncLifetime
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UtcNow;

    private readonly BreachWorld _world = new(Now.AddDays(-9));
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("kanta-inbox-");
    private readonly DisputeAnswers _answers = new(new(new byte[32]));
    private Approvals _approvals = null!;
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync()
    {
        var key = Path.Combine(_folder.FullName, "key.pem");
        using (var signing = ECDsa.Create(ECCurve.NamedCurves.nistP256))
            await File.WriteAllTextAsync(key, signing.ExportPkcs8PrivateKeyPem());
        _approvals = new(new DecisionLog(_folder.CreateSubdirectory("decisions").FullName, key), new NoOperatorObserver(), TimeProvider.System, NullLogger<Approvals>.Instance);
        _portal = await PortalUnderTest.StartAsync(breach: _world.Options.Breach, services: services => services.AddSingleton(_world.Notices).AddSingleton(_world.Cases).AddSingleton<ForgeryReports>()
            .AddSingleton(_approvals).AddSingleton(_answers));
    }

    public async Task DisposeAsync()
    {
        await _portal.DisposeAsync();
        await _world.DisposeAsync();
        _folder.Delete(true);
    }

    [Theory]
    [InlineData("fi", "Tietomurto", "Hätätilanne: Keskussairaala", "se oli hätätilanne", "Puolestasi on tallennettu: Luovutuslupa", "Vastaus katseluun", "Vastaus oikaisupyyntöösi: Keskussairaala", "kestää pidempään: Keskussairaala")]
    [InlineData("sv", "Dataintrång", "Nödsituation: Keskussairaala", "det var en nödsituation", "Har antecknats för dig: Utlämningstillstånd", "Svar på åtkomsten", "Svar på din begäran om rättelse: Keskussairaala", "tar längre tid: Keskussairaala")]
    [InlineData("en", "Data breach", "Emergency: Keskussairaala", "it was one", "Recorded for you: Disclosure permission", "Answer to an access that you disputed", "Answer to your request for correction: Keskussairaala", "takes longer: Keskussairaala")]
    public async Task Everything_that_she_is_told_is_in_one_list_newest_first(string language, params string[] said)
    {
        await NoticeAsync();
        var emergency = Emergency(Now.AddDays(-5));
        Review(emergency, isJustified: true);
        AtDesk(Declarations.Permit(_portal.Record.PatientId, Now.AddDays(-4)));
        await AnswerAsync(Dispute(Now.AddDays(-3)));
        Dispute(Now.AddDays(-2));
        // Of three requests two are answered.
        Rectification("corrected");
        Rectification("delayed");
        Rectification(null);
        var (status, html, _) = await _portal.GetAsync("/inbox", language);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.All(said, text => Assert.Contains(text, html));
        // A dispute that is not answered is no news. What a desk recorded stands by when it was stored, which the record in memory says was in March.
        Assert.Equal(["dispute", "review", "emergency", "breach", "recorded", "rectification", "rectification"], KindsIn(html));
    }

    [Fact]
    public async Task Where_there_is_nothing_that_is_said_and_how_she_is_told()
    {
        var (_, html, _) = await _portal.GetAsync("/inbox");
        Assert.Contains("<p data-none>There are no messages for you.</p>", html);
        Assert.Contains("data-letter=\"3\"", html);
        Assert.DoesNotContain("data-relay", html);
        Assert.Contains("keeps no e-mail address and no telephone number of yours", html);
    }

    [Fact]
    public async Task Each_kind_is_new_until_she_has_said_to_have_read_it_and_once()
    {
        var emergency = Emergency(Now.AddDays(-5));
        var review = Review(emergency, isJustified: false);
        var permit = AtDesk(Declarations.Permit(_portal.Record.PatientId, Now.AddDays(-4)));
        var dispute = Dispute(Now.AddDays(-3));
        await AnswerAsync(dispute);
        var rectification = Rectification("refused")!;
        foreach (var id in (string[])[emergency, review, permit, dispute, rectification])
        {
            Assert.Contains($"data-message=\"{id}\" data-message-kind=\"{KindOf()}\" data-new=\"yes\"", (await _portal.GetAsync("/inbox")).Html);
            var (status, _, response) = await _portal.PostAsync("/inbox", new() { ["id"] = id });
            Assert.Equal((HttpStatusCode.SeeOther, "/inbox"), (status, response.Headers.Location?.OriginalString));
            Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=message-read;", StringComparison.Ordinal));
            Assert.Contains($"data-message=\"{id}\" data-message-kind=\"{KindOf()}\" data-new=\"no\"", (await _portal.GetAsync("/inbox")).Html);

            string KindOf() => id == emergency ? "emergency" : id == review ? "review" : id == permit ? "recorded" : id == rectification ? "rectification" : "dispute";
        }
        var stored = _portal.Record.Of("Consent").Count();
        var open = Dispute(Now.AddDays(-1));
        foreach (var id in (string[])[emergency, open, Guid.NewGuid().ToString("D"), "nonsense"])
            Assert.Contains((await _portal.PostAsync("/inbox", new() { ["id"] = id })).Response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=nothing-changed;", StringComparison.Ordinal));
        Assert.Equal(stored + 1, _portal.Record.Of("Consent").Count());
        var (_, home, _) = await _portal.GetAsync("/");
        Assert.Contains("data-inbox=\"0\"", home);
        Assert.DoesNotContain("data-emergencies", home);
        Assert.DoesNotContain("data-recorded", home);
    }

    [Fact]
    public async Task The_same_is_told_as_json_and_said_to_be_read()
    {
        await NoticeAsync();
        var emergency = Emergency(Now.AddDays(-5));
        var (status, json) = await _portal.AskAsync("/inbox/v1/messages");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal([("emergency", true), ("breach", true)], MessagesIn(json));
        Assert.Equal(HttpStatusCode.NoContent, (await _portal.AskAsync("/inbox/v1/read", $$"""{"message":"{{emergency}}"}""", "same-origin")).Status);
        Assert.Equal([("emergency", false), ("breach", true)], MessagesIn((await _portal.AskAsync("/inbox/v1/messages")).Json));
        Assert.DoesNotContain("data-emergencies", (await _portal.GetAsync("/")).Html);
        _portal.Record.Broken = 503;
        var away = JsonElement.Parse((await _portal.AskAsync("/inbox/v1/messages")).Json);
        Assert.Equal(("record", 1), (away.GetProperty("away")[0].GetString(), away.GetProperty("messages").GetArrayLength()));

        static (string?, bool)[] MessagesIn(string json) =>
            [.. JsonElement.Parse(json).GetProperty("messages").EnumerateArray().Select(one => (one.GetProperty("kind").GetString(), one.GetProperty("isNew").GetBoolean()))];
    }

    [Fact]
    public async Task The_start_page_counts_what_is_new_and_names_what_stands_nowhere_else_on_it()
    {
        await NoticeAsync();
        var emergency = Emergency(Now.AddDays(-5));
        Review(emergency, isJustified: true);
        await AnswerAsync(Dispute(Now.AddDays(-3)));
        Rectification("granted");
        var (status, html, _) = await _portal.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("data-inbox=\"5\"", html);
        Assert.Contains("data-news=\"3\"", html);
        Assert.Contains("data-breach-notices=\"1\"", html);
        Assert.Contains("data-emergencies=\"1\"", html);
    }

    [Fact]
    public async Task The_start_page_names_the_last_three_others_who_looked_and_not_herself()
    {
        for (var i = 0; i < 5; i++)
            Given($"Hoitola {i}", Now.AddDays(-5 + i));
        for (var i = 0; i < 100; i++)
            Given("Portal", Now, bySelf: true);
        var (_, html, _) = await _portal.GetAsync("/");
        Assert.Contains("data-lately=\"3\"", html);
        Assert.Equal((3, 0), (html.Split("data-lately-when=").Length - 1, html.Split("Hoitola 1").Length - 1));
        Assert.True(html.IndexOf("Hoitola 4", StringComparison.Ordinal) < html.IndexOf("Hoitola 2", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0, 0, 20)]
    [InlineData(300, 0, 20)]
    [InlineData(0, 30, 80)]
    [InlineData(300, 300, 200)]
    public async Task The_start_page_opens_no_more_of_the_log_than_answers(int own, int refused, int most)
    {
        for (var i = 0; i < 300; i++)
            Given($"Hoitola {i}", Now.AddDays(-400 + i));
        for (var i = 0; i < own; i++)
            Given("Portal", Now, bySelf: true);
        _portal.Record.Log.Refuse(refused);
        Assert.Contains(refused < 200 ? "data-lately=\"3\"" : "data-lately=\"0\"", (await _portal.GetAsync("/")).Html);
        Assert.InRange(_portal.Record.Log.Opened, 1, most);
    }

    [Theory]
    [InlineData(199, "Nobody else has looked at your records.")]
    [InlineData(201, "There is nobody but you among the newest entries.")]
    public async Task That_nobody_else_has_looked_is_said_only_where_all_was_looked_at(int refused, string said)
    {
        _portal.Record.Log.Refuse(refused);
        Given("Portal", Now, bySelf: true);
        var (_, html, _) = await _portal.GetAsync("/");
        Assert.Contains("data-lately=\"0\"", html);
        Assert.Contains(said, html);
    }

    [Fact]
    public async Task While_the_log_is_away_all_the_rest_is_told()
    {
        await NoticeAsync();
        Emergency(Now.AddDays(-5));
        _portal.Record.Log.IsAway = true;
        var (status, html, _) = await _portal.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, status);
        foreach (var told in (string[])["data-lately=\"unknown\"", "data-inbox=\"2\"", "data-emergencies=\"1\"", "data-breach-notices=\"1\""])
            Assert.Contains(told, html);
        Assert.Equal(["emergency", "breach"], KindsIn((await _portal.GetAsync("/inbox")).Html));
    }

    [Fact]
    public async Task While_the_record_is_away_notices_of_breaches_and_who_has_looked_are_told()
    {
        await NoticeAsync();
        Given("Hoitola", Now);
        _portal.Record.Broken = 503;
        var (status, html, _) = await _portal.GetAsync("/");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        foreach (var told in (string[])["data-away", "data-lately=\"1\"", "data-breach-notices=\"1\""])
            Assert.Contains(told, html);
        (status, html, _) = await _portal.GetAsync("/inbox");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Contains("data-away=\"record\"", html);
        Assert.Equal(["breach"], KindsIn(html));
    }

    [Fact]
    public async Task While_notices_of_breaches_are_away_the_rest_is_told_and_nobody_is_told_that_there_are_none()
    {
        Emergency(Now.AddDays(-5));
        await NoticeAsync();
        foreach (var file in Directory.EnumerateFiles(Path.Combine(_world.Options.Breach!.Notices!.Folder, "people"), "*", SearchOption.AllDirectories))
            await File.WriteAllTextAsync(file, "torn");
        var (status, html, _) = await _portal.GetAsync("/inbox");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("data-away=\"notices\"", html);
        Assert.Equal(["emergency"], KindsIn(html));
        Assert.DoesNotContain("data-none", html);
        Assert.Contains("data-breach-notices=\"unknown\"", (await _portal.GetAsync("/")).Html);
    }

    [Fact]
    public async Task The_page_needs_a_session()
    {
        var (status, _, response) = await _portal.GetAsync("/inbox", cookies: null);
        Assert.Equal((HttpStatusCode.SeeOther, "/"), (status, response.Headers.Location?.OriginalString));
    }

    private static string[] KindsIn(string html) => [.. html.Split("data-message-kind=\"").Skip(1).Select(part => part.Split('"')[0])];

    /// <returns>Id of its Consent.</returns>
    private string Emergency(DateTimeOffset at) => _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Emergency(_portal.Record.PatientId, new EmergencyAccess
    {
        At = at, Until = at.AddMinutes(20), Professional = "laakari-1", Organisation = PortalUnderTest.Hospital, Reason = EmergencyReason.CannotBeAsked,
    }, "Löytynyt tajuttomana.")));

    /// <inheritdoc cref="Emergency"/>
    private string Review(string emergency, bool isJustified) => _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Review(_portal.Record.PatientId, new EmergencyReview
    {
        At = Now.AddDays(-1), Professional = "laakari-2", Organisation = PortalUnderTest.Hospital, Unit = PortalUnderTest.Hospital + ".10.2", Emergency = emergency, IsJustified = isJustified,
    })));

    /// <inheritdoc cref="Emergency"/>
    private string Dispute(DateTimeOffset at) => _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Restriction(_portal.Record.PatientId, new AccessRestriction { At = at, Organisation = PortalUnderTest.Clinic, Entry = 7 })));

    /// <summary>She has asked for a rectification.</summary>
    /// <param name="topic">What the controller answered; null: nothing yet.</param>
    /// <returns>Id of the answer.</returns>
    private string? Rectification(string? topic)
    {
        var request = _portal.Record.Add(Encoding.UTF8.GetString(new RectificationRequest
        {
            PatientId = _portal.Record.PatientId, Entry = "Observation/" + Guid.NewGuid().ToString("D"), Asked = new(PortalUnderTest.Hospital, "2"), Wrong = "väärin", Right = "oikein", At = Now.AddDays(-20),
        }.Write(0)), PortalUnderTest.Hospital);
        return topic is null ? null : _portal.Record.Add($$"""
            {"resourceType":"Communication","status":"completed","category":[{"coding":[{"system":"{{RectificationRequests.System}}","code":"rectification-answer"}]}],
             "inResponseTo":[{"reference":"Communication/{{request}}"}],"topic":{"coding":[{"system":"{{RectificationRequests.AnswerSystem}}","code":"{{topic}}"}]},"payload":[{"contentString":"Näin."}]}
            """, PortalUnderTest.Hospital);
    }

    /// <inheritdoc cref="Emergency"/>
    private string AtDesk(byte[] declaration)
    {
        var consent = JsonNode.Parse(declaration)!.AsObject();
        consent["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000033"}}]""");
        return _portal.Record.Add(consent.ToJsonString());
    }

    private async Task NoticeAsync()
    {
        await _world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await _world.SendAsync(new AffectedPerson(PortalUnderTest.Self, []));
    }

    /// <summary>Two operators have settled a dispute.</summary>
    private async Task AnswerAsync(string dispute)
    {
        static Operator Person(string id) => new("tenant", id, id, new HashSet<OperatorRole> { OperatorRole.DataProtection }, DateTimeOffset.UtcNow, "session");
        var (proposal, refusal) = await _approvals.ProposeAsync(new DefaultHttpContext(), Person("tiina"), ApprovalKind.DisputeEnd, dispute, null, _answers.Seal("Näin se oli."));
        Assert.Null(refusal);
        Assert.Null(await _approvals.ApproveAsync(new DefaultHttpContext(), Person("tero"), proposal!.Id, proposal.Digest));
    }

    private void Given(string organisation, DateTimeOffset when, bool bySelf = false) => _portal.Record.Log.Lines.Add(new(_portal.Record.Log.Lines.Count + 1, when, organisation, "1.2.246.10.1", "read", bySelf ? "PATRQT" : "TREAT",
        bySelf ? "own-data" : "disclosure-permission", [new AuditItem("Observation", Guid.NewGuid().ToString("D"), "1", "1.2.246.10.1")], bySelf, null));
}
