using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Portal;

/// <summary>The person is told of every emergency and every confirmation (Act 703/2023 §26.2, §54.2; EHDS Art. 9, 11(5)).</summary>
public sealed class SpecialAccessPagesTests : IAsyncLifetime
{
    private const string Unit = "1.2.246.10.99000033.10.1", OtherUnit = "1.2.246.10.99000033.10.2";

    private static readonly DateTimeOffset Now = DateTimeOffset.UtcNow;

    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task An_emergency_is_new_on_the_start_page_until_it_is_acknowledged()
    {
        Assert.DoesNotContain("data-emergencies", (await _portal.GetAsync("/")).Html);
        var (first, second) = (Emergency(Now.AddHours(-1)), Emergency(Now.AddHours(-2)));
        Given(first, "Observation", "Observation", "MedicationRequest");
        for (var look = 0; look < 2; look++)
        {
            var (_, html, _) = await _portal.GetAsync("/");
            Assert.Contains("data-emergencies=\"2\"", html);
            // Who, when, why, what, and what to do.
            Assert.Contains($"{"Keskussairaala"}, unit {Unit}, physician", html);
            Assert.Contains($"<time datetime=\"{Now.AddHours(-1):yyyy-MM-dd'T'HH:mm:ss'Z'}\"", html);
            Assert.Contains("An emergency: you could not be asked", html);
            Assert.Contains("Löytynyt &lt;tajuttomana&gt;.", html);
            Assert.Contains("Measurement or test result (2), Prescription", html);
            Assert.Contains("report it to the Data Protection Ombudsman", html);
        }

        var (status, _, response) = await _portal.PostAsync("/access-log/special", new() { ["id"] = first });
        Assert.Equal((HttpStatusCode.SeeOther, "/access-log/special"), (status, response.Headers.Location?.OriginalString));
        var (_, left, _) = await _portal.GetAsync("/");
        Assert.Contains("data-emergencies=\"1\"", left);
        Assert.DoesNotContain(first, left);
        Assert.Contains(second, left);
        var (_, all, _) = await _portal.GetAsync("/access-log/special");
        Assert.Contains($"data-special-access=\"{first}\" data-kind=\"emergency\" data-new=\"no\"", all);
        Assert.Contains($"data-special-access=\"{second}\" data-kind=\"emergency\" data-new=\"yes\"", all);
    }

    [Theory]
    [InlineData("fi", "Uutta: tietojasi on haettu hätätilanteessa", "lääkäri")]
    [InlineData("sv", "Nytt: dina uppgifter har hämtats i en nödsituation", "läkare")]
    [InlineData("en", "New: your records were fetched in an emergency", "physician")]
    public async Task The_notice_is_in_the_language_of_the_citizen(string language, string title, string profession)
    {
        Given(Emergency(Now.AddMinutes(-5)), "Observation");
        var (_, html, _) = await _portal.GetAsync("/", language);
        Assert.Contains(title, html);
        Assert.Contains(profession, html);
    }

    [Fact]
    public async Task An_outage_of_the_log_hides_no_emergency()
    {
        Emergency(Now.AddMinutes(-5));
        Assert.Contains("None of your records were looked at.", (await _portal.GetAsync("/")).Html);
        _portal.Record.Log.IsAway = true;
        var (status, html, _) = await _portal.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("data-emergencies=\"1\"", html);
        Assert.Contains("Löytynyt", html);
        Assert.Contains("What was seen cannot be shown right now.", html);
    }

    [Fact]
    public async Task How_an_emergency_was_settled_is_told()
    {
        var (open, overdue, justified, none) = (Emergency(Now.AddDays(-2)), Emergency(Now.AddDays(-4)), Emergency(Now.AddDays(-5)), Emergency(Now.AddDays(-6)));
        Review(justified, isJustified: true);
        Review(none, isJustified: false);
        // The first review stands.
        Review(none, isJustified: true, after: TimeSpan.FromHours(2));
        var (_, html, _) = await _portal.GetAsync("/access-log/special");
        foreach (var (id, settled) in new[] { (open, "open"), (overdue, "overdue"), (justified, "justified"), (none, "unjustified") })
            Assert.Contains($"data-special-access=\"{id}\" data-kind=\"emergency\" data-new=\"yes\" data-review=\"{settled}\"", html);
        Assert.Contains($"it was an emergency. Reviewer: Keskussairaala, unit {OtherUnit}", html);
        Assert.Contains("it was not an emergency. The professional can no longer see your records", html);
        // Newest first.
        Assert.Equal([open, overdue, justified, none], new[] { open, overdue, justified, none }.OrderBy(id => html.IndexOf(id, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Every_confirmation_is_told_with_its_purpose_and_its_services()
    {
        var id = _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Confirmation(_portal.Record.PatientId, new ProtectedConfirmation
        {
            At = Now.AddHours(-1), Until = Now.AddHours(3), Professional = "laakari-1", Organisation = PortalUnderTest.Hospital, Purpose = "TREAT",
            Services = ProtectedService.Psychiatry | ProtectedService.Psychotherapy,
        })));
        _portal.Record.Log.Lines.Add(new(7, Now.AddHours(-1), "Keskussairaala", PortalUnderTest.Hospital, "create", "TREAT", "own-register", [new AuditItem("Consent", id, null, null)], false, null, Profession: "psykologi"));
        var (_, html, _) = await _portal.GetAsync("/access-log/special");
        Assert.Contains($"data-special-access=\"{id}\" data-kind=\"confirmation\" data-new=\"no\"", html);
        Assert.Contains("Keskussairaala, psychologist", html);
        Assert.Contains("Specially protected records: psychotherapy, psychiatry", html);
        Assert.DoesNotContain("data-emergencies", (await _portal.GetAsync("/")).Html);
    }

    [Fact]
    public async Task Only_what_is_new_is_acknowledged_and_once()
    {
        var id = Emergency(Now.AddMinutes(-5));
        await _portal.PostAsync("/access-log/special", new() { ["id"] = "4f6c0b3e-1111-4000-8000-0000000000e1" });
        Assert.Single(_portal.Record.Of("Consent"));
        await _portal.PostAsync("/access-log/special", new() { ["id"] = id });
        Assert.Equal($"Consent/{id}", (string?)_portal.Record.Of("Consent").Last()["sourceReference"]!["reference"]);
        var emergency = Emergency(Now.AddMinutes(-4));
        // The form of the page that is there no more.
        await _portal.PostAsync("/access-log/special", new() { ["id"] = id });
        Assert.Equal(3, _portal.Record.Of("Consent").Count());
        Assert.Contains(emergency, (await _portal.GetAsync("/")).Html);
    }

    /// <summary>§58: what a desk records for the person is told to the person, whether it gives or takes.</summary>
    [Theory]
    [InlineData("fi", "Uutta: hoitopaikka on kirjannut", "Kielto")]
    [InlineData("sv", "Nytt: en vårdplats har antecknat", "Förbud")]
    [InlineData("en", "New: a place of care has recorded", "Denial")]
    public async Task What_a_desk_recorded_is_new_on_the_start_page_until_it_is_acknowledged(string language, string title, string denial)
    {
        var patient = _portal.Record.PatientId;
        // What the person declared in the portal is no news.
        _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Informing(patient, Now.AddDays(-3))));
        _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Permit(patient, Now.AddDays(-2))));
        Assert.DoesNotContain("data-recorded", (await _portal.GetAsync("/", language)).Html);
        var permit = AtDesk(Declarations.Permit(patient, Now.AddDays(-1)));
        var withdrawn = AtDesk(Declarations.Denial(patient, new DenialTarget.All(), Now.AddHours(-1)), isActive: false);
        var (_, html, _) = await _portal.GetAsync("/", language);
        Assert.Contains("data-recorded=\"2\"", html);
        foreach (var said in (string[])[title, denial, $"data-recorded-declaration=\"{permit}\"", $"data-recorded-declaration=\"{withdrawn}\"", "Keskussairaala"])
            Assert.Contains(said, html);
        // Newest first.
        Assert.True(html.IndexOf(withdrawn, StringComparison.Ordinal) < html.IndexOf(permit, StringComparison.Ordinal));

        var (status, _, response) = await _portal.PostAsync("/consent", new() { ["id"] = withdrawn }, page: "/");
        Assert.Equal((HttpStatusCode.SeeOther, "/consent"), (status, response.Headers.Location?.OriginalString));
        var (_, left, _) = await _portal.GetAsync("/", language);
        Assert.Contains("data-recorded=\"1\"", left);
        Assert.DoesNotContain(withdrawn, left);
        // Once, and of nothing else.
        var declared = _portal.Record.Of("Consent").Count();
        foreach (var other in (string[])[withdrawn, Emergency(Now.AddMinutes(-5)), Guid.NewGuid().ToString("D")])
            await _portal.PostAsync("/consent", new() { ["id"] = other }, page: "/");
        Assert.Equal(declared + 1, _portal.Record.Of("Consent").Count());
    }

    /// <returns>Id of its Consent.</returns>
    private string AtDesk(byte[] declaration, bool isActive = true)
    {
        var consent = JsonNode.Parse(declaration)!.AsObject();
        consent["status"] = isActive ? "active" : "inactive";
        consent["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000033"}}]""");
        return _portal.Record.Add(consent.ToJsonString());
    }

    /// <returns>Id of its Consent.</returns>
    private string Emergency(DateTimeOffset at) => _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Emergency(_portal.Record.PatientId, new EmergencyAccess
    {
        At = at, Until = at.AddMinutes(20), Professional = "laakari-1", Organisation = PortalUnderTest.Hospital, Unit = Unit, Reason = EmergencyReason.CannotBeAsked,
    }, "Löytynyt <tajuttomana>.")));

    private void Review(string emergency, bool isJustified, TimeSpan after = default) => _portal.Record.Add(Encoding.UTF8.GetString(Declarations.Review(_portal.Record.PatientId, new EmergencyReview
    {
        At = Now.AddDays(-1) + after, Professional = "laakari-2", Organisation = PortalUnderTest.Hospital, Unit = OtherUnit, Emergency = emergency, IsJustified = isJustified,
    })));

    /// <summary>What the log says was given in an emergency.</summary>
    private void Given(string emergency, params string[] types) => _portal.Record.Log.Lines.Add(new(1, Now, "Keskussairaala", PortalUnderTest.Hospital, "search-type", "ETREAT", "emergency",
        [.. types.Select(type => new AuditItem(type, Guid.NewGuid().ToString("D"), null, null))], false, null, Profession: "laakari", ConsentId: emergency));
}
