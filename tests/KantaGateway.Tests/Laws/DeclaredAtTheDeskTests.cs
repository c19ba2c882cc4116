using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml;
using System.Xml.Linq;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Harness.Clients;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>What clinics record for a person, and professionals of their own access, through the real edge (Act 703/2023 §54, §58).</summary>
public class DeclaredAtTheDeskTests
{
    private const string Revontuli = "1.2.246.10.99000022";

    [Fact]
    public async Task A_permission_signed_at_the_desk_works_on_the_next_request_and_its_withdrawal_too()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);

        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Informing(house.PatientId, DateTimeOffset.UtcNow), isSigned: false))).Status);
        var unsigned = await house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow), isSigned: false));
        Assert.Equal(403, unsigned.Status);
        Assert.Contains("Consent.source", unsigned.Text, StringComparison.Ordinal);
        var stored = await house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow)));
        Assert.Equal(201, stored.Status);
        Assert.Contains(HouseInMemory.Secret, (await house.Reader.ReadAsync("Observation", note)).Text, StringComparison.Ordinal);

        // Nobody but the person is shown what was declared, not even who recorded it.
        Assert.Equal(404, (await house.Revontuli.System.ReadAsync("Consent", stored.Stored!.Value.Id)).Status);
        Assert.Equal(403, (await house.Revontuli.System.UpdateAsync("Consent", stored.Stored!.Value.Id, AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow)), stored.ETag)).Status);

        var withdrawal = JsonNode.Parse(AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow)))!;
        withdrawal["status"] = "inactive";
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", HouseInMemory.Json(withdrawal))).Status);
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
    }

    /// <summary>§58: the form is the person's and its register's, by whichever address of this server the Consent names it.</summary>
    [Fact]
    public async Task A_form_that_is_stored_here_is_named_by_its_whole_address_too_and_shown_to_no_other_clinic()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        await house.PermitAsync();
        foreach (var (type, isAttachment) in new[] { ("DocumentReference", false), ("Binary", true) })
            await NameAsync(type, isAttachment);

        async Task NameAsync(string type, bool isAttachment)
        {
            var form = await house.Aurora.System.CreateAsync(type, HouseInMemory.Json(isAttachment
                ? new JsonObject { ["resourceType"] = type, ["contentType"] = "text/plain", ["securityContext"] = Reference("Patient/" + house.PatientId), ["data"] = "S2llbHRvbG9tYWtl" }
                : new JsonObject
                {
                    ["resourceType"] = type, ["status"] = "current", ["subject"] = Reference("Patient/" + house.PatientId),
                    ["type"] = JsonNode.Parse("""{"coding":[{"system":"http://loinc.org","code":"64292-6"}]}"""),
                    ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["title"] = "Kieltolomake" } }),
                }));
            Assert.True(form.Status == 201, form.Text);
            var id = form.Stored!.Value.Id;
            Assert.Equal(200, (await house.Reader.ReadAsync(type, id)).Status);

            var consent = JsonNode.Parse(Declarations.Denial(house.PatientId, new DenialTarget.OfServiceEvent("1.2.246.10.99000011.14.2026.7"), DateTimeOffset.UtcNow))!;
            consent["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000011"}}]""");
            var address = new Uri(house.Target, $"/fhir/{type}/{id}").ToString();
            consent[isAttachment ? "sourceAttachment" : "sourceReference"] = isAttachment ? new JsonObject { ["url"] = address } : Reference(address);
            // Of another server nobody here knows whether it is signed.
            var elsewhere = JsonNode.Parse(consent.ToJsonString().Replace(house.Target.Authority, "example.org", StringComparison.Ordinal))!;
            Assert.Equal(403, (await house.Aurora.System.CreateAsync("Consent", HouseInMemory.Json(elsewhere))).Status);
            var declared = await house.Aurora.System.CreateAsync("Consent", HouseInMemory.Json(consent));
            Assert.True(declared.Status == 201, declared.Text);
            Assert.Equal(404, (await house.Reader.ReadAsync(type, id)).Status);
            Assert.Equal(200, (await house.Aurora.System.ReadAsync(type, id)).Status);
        }

        static JsonObject Reference(string to) => new() { ["reference"] = to };
    }

    /// <summary>§58: what is withdrawn is what the person has seen to be in force.</summary>
    [Fact]
    public async Task A_withdrawal_takes_no_denial_along_that_was_declared_since()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        await house.DeclareAsync(Declarations.Informing(house.PatientId, DateTimeOffset.UtcNow));
        byte[] Denial() => Declarations.Denial(house.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow);
        var desk = await house.Revontuli.System.CreateAsync("Consent", AtDesk(Denial()));
        Assert.Equal(201, desk.Status);
        var first = desk.Stored!.Value.Id;
        var inner = house.Gateway.GetRequiredService<IInnerRequests>();
        var own = await house.DeclareAsync(Denial());
        Assert.Equal(412, await WithdrawAsync(first));
        // By its next version too.
        var last = await house.Revontuli.System.CreateAsync("Consent", AtDesk(Denial()));
        var read = await inner.SendAsync(house.Citizen, "GET", "Consent/" + own);
        using var stored = JsonDocument.Parse(read.Body);
        Assert.Equal(412, (await inner.SendAsync(house.Citizen, "PUT", "Consent/" + own, Declarations.Withdrawn(stored.RootElement),
            headers: new Microsoft.AspNetCore.Http.HeaderDictionary { ["If-Match"] = read.Headers.ETag })).Status);
        Assert.Equal(201, await WithdrawAsync(last.Stored!.Value.Id));

        async Task<int> WithdrawAsync(string id)
        {
            using var given = JsonDocument.Parse(Denial());
            return (await inner.SendAsync(house.Citizen, "POST", "Consent", Declarations.Withdrawn(given.RootElement, id))).Status;
        }
    }

    [Fact]
    public async Task An_emergency_is_recorded_before_it_opens_anything_and_opens_what_is_necessary()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var reader = house.Revontuli.Professional(professional, "ETREAT");
        var refused = await reader.ReadAsync("Observation", note);
        Assert.Equal(403, refused.Status);
        Assert.Contains("emergency-access", refused.Text, StringComparison.Ordinal);

        var now = DateTimeOffset.UtcNow;
        byte[] Record(string who) => Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = who, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana.");
        Assert.Equal(403, (await reader.CreateAsync("Consent", Record("another"))).Status);
        Assert.Equal(201, (await reader.CreateAsync("Consent", Record(professional))).Status);
        Assert.Contains(HouseInMemory.Secret, (await reader.ReadAsync("Observation", note)).Text, StringComparison.Ordinal);
        // For treatment without permission the record stays closed.
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
    }

    /// <summary>EHDS Art. 9 and 11(5): the person is told at once, and nobody else can take the notice away.</summary>
    [Fact]
    public async Task The_person_is_told_of_an_emergency_until_she_says_that_she_has_read_it()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        var professional = house.Folder.ProfessionalOf("revontuli");
        var reader = house.Revontuli.Professional(professional.Id, "ETREAT");
        var now = DateTimeOffset.UtcNow;
        var recorded = await reader.CreateAsync("Consent", Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = professional.Id, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana."));
        Assert.Equal(201, recorded.Status);
        var emergency = recorded.Stored!.Value.Id;
        Assert.Equal(200, (await reader.ReadAsync("Observation", note)).Status);
        var silenced = AtDesk(Declarations.Acknowledged(house.PatientId, emergency, now));
        Assert.Equal(403, (await house.Revontuli.System.CreateAsync("Consent", silenced)).Status);
        Assert.Equal(403, (await reader.CreateAsync("Consent", silenced)).Status);

        using var citizen = new CitizenClient(house.Folder, house.Target, 0);
        await citizen.SignInAsync();
        var page = await citizen.GetAsync("/");
        Assert.Equal("1", page.With("data-emergencies").Single()["data-emergencies"]);
        Assert.Equal(emergency, page.With("data-special-access").Single()["data-special-access"]);
        Assert.Contains("Löytynyt tajuttomana.", page.Text, StringComparison.Ordinal);
        // What was given, by the log: one measurement.
        Assert.Contains("Mittaus tai tutkimustulos", page.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(professional.Name, page.Text, StringComparison.Ordinal);

        page = await citizen.SubmitAsync(page.Forms.Single(f => f.Action.AbsolutePath == "/access-log/special"), []);
        Assert.Equal("acknowledged", page.With("data-notice").Single()["data-notice"]);
        Assert.Equal(emergency, page.With("data-special-access").Single()["data-special-access"]);
        Assert.Empty((await citizen.GetAsync("/")).With("data-emergencies"));
    }

    [Fact]
    public async Task An_emergency_that_nobody_reviewed_in_time_bars_its_professional_from_those_of_everybody_until_it_is_reviewed()
    {
        var clock = new ClockAhead();
        await using var house = await HouseInMemory.OpenAsync(reviews: clock);
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var reader = house.Revontuli.Professional(professional, "ETREAT");
        var now = DateTimeOffset.UtcNow;
        byte[] Record(DateTimeOffset at) => Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = at, Until = at.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana.");

        await house.AdmitAsync();
        // Nobody dates one back, so that it would be told as of then, or be overdue at once.
        Assert.Equal(422, (await reader.CreateAsync("Consent", Record(now - EmergencyAccess.ReviewedWithin - TimeSpan.FromHours(1)))).Status);
        var old = await reader.CreateAsync("Consent", Record(now));
        Assert.Equal(201, old.Status);
        var (first, itsPerson) = (old.Stored!.Value.Id, house.PatientId);
        clock.By = EmergencyAccess.ReviewedWithin + TimeSpan.FromHours(1);

        var note = await house.AdmitAsync(1);
        Assert.NotEqual(itsPerson, house.PatientId);
        var refused = await reader.CreateAsync("Consent", Record(now));
        Assert.Equal(403, refused.Status);
        Assert.Contains("reviewed in time", refused.Text, StringComparison.Ordinal);
        Assert.Equal(403, (await reader.ReadAsync("Observation", note)).Status);

        var review = Declarations.Review(itsPerson, new EmergencyReview
        { At = now, Professional = "reviewer", Organisation = Revontuli, Unit = OtherUnit, Emergency = first, IsJustified = true });
        var settled = await house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(Reviewer, "POST", "Consent", review);
        Assert.True(settled.Status == 201, Encoding.UTF8.GetString(settled.Body));
        Assert.Equal(201, (await reader.CreateAsync("Consent", Record(now))).Status);
        clock.By = TimeSpan.Zero;
        Assert.Contains(HouseInMemory.Secret, (await reader.ReadAsync("Observation", note)).Text, StringComparison.Ordinal);
    }

    /// <summary>In a practice of one unit nobody else reviews, and a number may be abused: two operators end the bar, for what they have looked at.</summary>
    [Fact]
    public async Task Two_operators_end_the_bar_that_an_emergency_leaves()
    {
        var clock = new ClockAhead();
        await using var house = await HouseInMemory.OpenAsync(reviews: clock);
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var reader = house.Revontuli.Professional(professional, "ETREAT");
        byte[] Record() => Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = DateTimeOffset.UtcNow, Until = DateTimeOffset.UtcNow.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana.");
        await house.AdmitAsync();
        Assert.Equal(201, (await reader.CreateAsync("Consent", Record())).Status);
        clock.By = EmergencyAccess.ReviewedWithin + TimeSpan.FromHours(1);
        var note = await house.AdmitAsync(1);
        Assert.Equal(403, (await reader.CreateAsync("Consent", Record())).Status);

        var approvals = house.Gateway.GetRequiredService<Approvals>();
        var context = new DefaultHttpContext();
        Operator officer(string id) => new("tenant", id, id, new HashSet<OperatorRole> { OperatorRole.DataProtection }, DateTimeOffset.UtcNow, "session");
        var (act, _) = await approvals.ProposeAsync(context, officer("tiina"), ApprovalKind.EmergencyBarEnd, professional, null, "A practice of one unit; looked at with the chief physician.");
        Assert.Equal(403, (await reader.CreateAsync("Consent", Record())).Status);
        Assert.Null(await approvals.ApproveAsync(context, officer("tero"), act!.Id, act.Digest));
        Assert.Equal(201, (await reader.CreateAsync("Consent", Record())).Status);
        // That one was recorded after it, and bars again once it is overdue.
        Assert.Equal(403, (await reader.ReadAsync("Observation", note)).Status);
        clock.By = TimeSpan.Zero;
        Assert.Contains(HouseInMemory.Secret, (await reader.ReadAsync("Observation", note)).Text, StringComparison.Ordinal);
    }

    private sealed class ClockAhead : TimeProvider
    {
        public TimeSpan By { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + By;
    }

    /// <summary>EHDS Art. 11(5): one of no unit any other would review, or none could.</summary>
    [Fact]
    public async Task Who_signed_in_without_a_unit_is_told_how_to_record_an_emergency()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var now = DateTimeOffset.UtcNow;
        var unitless = Reviewer with { ProfessionalId = "by-card", Unit = null, PurposeOfUse = "ETREAT" };
        var answer = await house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(unitless, "POST", "Consent", Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = "by-card", Organisation = Revontuli, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana."));
        Assert.Equal(403, answer.Status);
        Assert.Contains("identity provider", Encoding.UTF8.GetString(answer.Body), StringComparison.Ordinal);
    }

    /// <summary>EHDS Art. 11(5): who may settle an emergency finds it, and the person finds who did.</summary>
    [Fact]
    public async Task A_reviewer_of_another_unit_finds_the_emergencies_that_wait_until_they_are_settled()
    {
        var clock = new ClockAhead();
        await using var house = await HouseInMemory.OpenAsync(reviews: clock);
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var reader = house.Revontuli.Professional(professional, "ETREAT");
        var now = DateTimeOffset.UtcNow;
        var recorded = new List<(string Emergency, string Patient)>();
        foreach (var person in new[] { 0, 1 })
        {
            await house.AdmitAsync(person);
            var stored = await reader.CreateAsync("Consent", Declarations.Emergency(house.PatientId, new EmergencyAccess
            { At = now.AddMinutes(-person), Until = now.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotAssess }, "Löytynyt tajuttomana."));
            Assert.Equal(201, stored.Status);
            recorded.Add((stored.Stored!.Value.Id, house.PatientId));
        }
        var found = await ListAsync(house, Reviewer);
        // The one that was recorded first has to be settled first.
        Assert.Equal(new[] { recorded[1], recorded[0] }, found.Select(e => ((string)e["emergency"]!)["Consent/".Length..]).Zip(found.Select(e => ((string)e["patient"]!)["Patient/".Length..])));
        Assert.All(found, e => Assert.Equal((professional, "cannot-assess"), ((string?)e["professional"], (string?)e["reason"])));
        Assert.Equal(now.AddMinutes(-1).AddDays(3).ToUnixTimeSeconds(), DateTimeOffset.Parse((string)found[0]["settleBy"]!, System.Globalization.CultureInfo.InvariantCulture).ToUnixTimeSeconds());
        Assert.DoesNotContain("tajuttomana", string.Concat(found.Select(e => e.ToJsonString())), StringComparison.Ordinal);

        // Nobody else does: not the one whose they are, not another organisation, not who could settle none.
        Assert.Empty(await ListAsync(house, Reviewer with { ProfessionalId = professional }));
        Assert.Empty(await ListAsync(house, Reviewer with { Organisation = Oid.Parse("1.2.246.10.99000011") }));
        foreach (var other in (Requester[])[Reviewer with { Unit = null }, Reviewer with { Tasks = TaskClass.Support }, Reviewer with { Kind = RequesterKind.System, Scopes = SmartScope.ParseAll(["system/*.cruds"]) }, house.Citizen,
            Reviewer with { Scopes = SmartScope.ParseAll(["user/Observation.rs"]) }])
            Assert.Equal(403, (await SendListAsync(house, other)).Status);

        foreach (var (emergency, patient) in recorded)
            Assert.Contains((await house.Gateway.GetRequiredService<IAccessLog>().ForPersonAsync(house.CitizenOf(patient))).Lines,
                line => line is { Interaction: "search-type", LegalBasis: "own-register" } && line.OrganisationOid == Revontuli && line.Items.Single() is { Type: "Consent" } item && item.Id == emergency);

        var review = Declarations.Review(recorded[0].Patient, new EmergencyReview
        { At = now, Professional = "reviewer", Organisation = Revontuli, Unit = OtherUnit, Emergency = recorded[0].Emergency, IsJustified = true });
        Assert.Equal(201, (await house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(Reviewer, "POST", "Consent", review)).Status);
        Assert.Equal("Consent/" + recorded[1].Emergency, (string?)Assert.Single(await ListAsync(house, Reviewer))["emergency"]);

        // Marks of the organisation and of the professional go when nothing of the person waits, and it was long ago enough for what was marked to be stored.
        int Marks() => Directory.GetFiles(house.Gateway.GetRequiredService<GatewayOptions>().EmergencyFolder!, "*", SearchOption.AllDirectories).Length;
        Assert.Equal(4, Marks());
        clock.By = TimeSpan.FromHours(2);
        Assert.Single(await ListAsync(house, Reviewer));
        Assert.Equal(3, Marks());
        await reader.SearchAsync("Observation", $"patient={house.PatientId}");
        Assert.Equal(2, Marks());
        // Whose records were looked into stands in the log, though nothing of it left.
        using var audit = new Scenarios.AuditOnDisk(house.Folder.Path);
        audit.Refresh();
        foreach (var who in new[] { professional, "reviewer" })
            Assert.Contains(audit.All, e => e.GetRawText() is var text && text.Contains("Looked whether emergencies wait", StringComparison.Ordinal) && text.Contains($"\"{who}\"", StringComparison.Ordinal)
                && recorded.All(r => text.Contains("Patient/" + r.Patient, StringComparison.Ordinal)));
    }

    /// <summary>However many of the organisation's people are marked before them, of whom this reviewer may settle nothing.</summary>
    [Fact]
    public async Task An_emergency_that_waits_is_found_behind_a_listful_of_others()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var trail = house.Gateway.GetRequiredService<EmergencyTrail>();
        for (var i = 0; i < EmergencyTrail.MaxListed; i++)
            trail.Mark(Reviewer with { ProfessionalId = "another", Unit = Unit }, Pseudonym.Read(System.Security.Cryptography.RandomNumberGenerator.GetBytes(Pseudonym.Size)));
        await house.AdmitAsync();
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var now = DateTimeOffset.UtcNow;
        var stored = await house.Revontuli.Professional(professional, "ETREAT").CreateAsync("Consent", Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotAssess }, "Löytynyt tajuttomana."));
        Assert.Equal(201, stored.Status);
        Assert.Equal("Consent/" + stored.Stored!.Value.Id, (string?)Assert.Single(await ListAsync(house, Reviewer))["emergency"]);
    }

    /// <summary>Law 1 and 5: no record is opened to look for what the reviewer may not settle anyway: the own emergencies, and those of the own unit.</summary>
    [Fact]
    public async Task No_record_is_opened_for_a_review_that_the_reviewer_may_not_make()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var trail = house.Gateway.GetRequiredService<EmergencyTrail>();
        Requester[] recorders = [Reviewer, Reviewer with { ProfessionalId = "another" }, Reviewer with { Unit = Unit }, Reviewer with { ProfessionalId = "another", Unit = Unit }];
        var people = recorders.Select(_ => Pseudonym.Read(System.Security.Cryptography.RandomNumberGenerator.GetBytes(Pseudonym.Size))).ToArray();
        foreach (var (recorder, person) in recorders.Zip(people))
            trail.Mark(recorder, person);
        // Two of one person: the one that may be settled is not lost behind the other.
        trail.Mark(recorders[3], people[0]);
        trail.Mark(recorders[0], people[0]);
        Assert.Empty(await ListAsync(house, Reviewer));
        using var audit = new Scenarios.AuditOnDisk(house.Folder.Path);
        audit.Refresh();
        var opened = string.Concat(audit.All.Select(e => e.GetRawText()).Where(text => text.Contains("Looked whether emergencies wait", StringComparison.Ordinal)));
        Assert.Equal([true, false, false, true], people.Select(person => opened.Contains(house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(person), StringComparison.Ordinal)));
    }

    private static async Task<List<JsonObject>> ListAsync(HouseInMemory house, Requester reviewer)
    {
        var (status, body, receipt) = await SendListAsync(house, reviewer);
        Assert.True(status == 200, body);
        List<JsonObject> found = [.. JsonNode.Parse(body)!["emergencies"]!.AsArray().Select(e => e!.AsObject())];
        Assert.Equal(found.Count > 0, receipt.Length > 0);
        return found;
    }

    /// <summary>Asks the very endpoint as somebody whose token is known to be good.</summary>
    private static async Task<(int Status, string Body, string Receipt)> SendListAsync(HouseInMemory house, Requester reviewer)
    {
        await using var scope = house.Gateway.CreateAsyncScope();
        var endpoint = house.Gateway.GetServices<EndpointDataSource>().SelectMany(s => s.Endpoints).OfType<RouteEndpoint>().Single(e => e.RoutePattern.RawText == "/consent/v1/emergencies");
        using var body = new MemoryStream();
        var context = new DefaultHttpContext { RequestServices = new Identified(scope.ServiceProvider, reviewer), Request = { Method = "GET", Path = "/consent/v1/emergencies" }, Response = { Body = body } };
        await endpoint.RequestDelegate!(context);
        return (context.Response.StatusCode, Encoding.UTF8.GetString(body.ToArray()), context.Response.Headers["Kanta-Receipt"].ToString());
    }

    private sealed class Identified(IServiceProvider services, Requester requester) : IServiceProvider, IIdentification
    {
        public object? GetService(Type type) => type == typeof(IIdentification) ? this : services.GetService(type);

        public ValueTask<(Requester? Requester, Fault? Fault)> IdentifyAsync(HttpContext context) => new((requester, null));

        public Requester? PortalRequester(HttpContext context) => null;
    }

    [Fact]
    public async Task No_emergency_is_stored_that_could_not_be_marked_for_its_review()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var reader = house.Revontuli.Professional(professional, "ETREAT");
        var marks = house.Gateway.GetRequiredService<GatewayOptions>().EmergencyFolder!;
        Directory.Delete(marks, recursive: true);
        await File.WriteAllTextAsync(marks, "");
        var now = DateTimeOffset.UtcNow;
        var record = Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana.");
        Assert.Equal(503, (await reader.CreateAsync("Consent", record)).Status);
        Assert.Equal(403, (await reader.ReadAsync("Observation", note)).Status);

        File.Delete(marks);
        Directory.CreateDirectory(marks);
        Assert.Equal(201, (await reader.CreateAsync("Consent", record)).Status);
    }

    [Fact]
    public async Task A_permission_comes_with_the_provenance_of_its_making_in_one_transaction()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Informing(house.PatientId, DateTimeOffset.UtcNow), isSigned: false))).Status);
        var permit = AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow));

        Task<FhirReply> SendAsync(JsonObject bundle) => house.Revontuli.System.BundleAsync(HouseInMemory.Json(bundle));

        // What does not tell of the Consent alone, or brings anything else, is refused whole.
        var astray = Pair(permit, "urn:uuid:6f1c0b3e-0000-4000-8000-000000000009");
        Assert.Equal(422, (await SendAsync(astray)).Status);
        var more = Pair(permit, FullUrl);
        more["entry"]!.AsArray().Add(new JsonObject { ["resource"] = house.Observation("muuta"), ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Observation" } });
        Assert.Equal(405, (await SendAsync(more)).Status);
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
        // A declaration that may not be made may not be made in a bundle either.
        Assert.Equal(403, (await SendAsync(Pair(AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow), isSigned: false), FullUrl))).Status);

        var stored = await SendAsync(Pair(permit, FullUrl));
        Assert.True(stored.Status == 200, stored.Text);
        // That there is a declaration its Provenance would tell: to nobody, not to who wrote it.
        foreach (var other in (FhirSession[])[house.Reader, house.Revontuli.System, house.Aurora.System])
            Assert.DoesNotContain("\"Provenance\"", (await other.SearchAsync("Provenance", $"patient={house.PatientId}")).Text, StringComparison.Ordinal);
        Assert.Contains(HouseInMemory.Secret, (await house.Reader.ReadAsync("Observation", note)).Text, StringComparison.Ordinal);
    }

    /// <summary>EHDS Art. 9: what bound and did not name her she would never be shown.</summary>
    [Fact]
    public async Task What_does_not_name_the_person_whose_it_is_does_not_bind()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var now = DateTimeOffset.UtcNow;
        foreach (var nobody in (string?[])[null, """{"display":"potilas"}""", """{"type":"Patient","identifier":{"value":"x"}}""", $$"""{"reference":"Patient/{{house.PatientId}}/_history/1"}"""])
        {
            var consent = JsonNode.Parse(AtDesk(Declarations.Informing(house.PatientId, now), isSigned: false))!;
            consent["patient"] = nobody is null ? null : JsonNode.Parse(nobody);
            if (nobody is null)
                consent.AsObject().Remove("patient");
            var answer = await house.Revontuli.System.CreateAsync("Consent", HouseInMemory.Json(consent));
            Assert.Equal(422, answer.Status);
            Assert.Contains("Consent.patient.reference", answer.Text, StringComparison.Ordinal);
        }
        var absolute = JsonNode.Parse(AtDesk(Declarations.Informing(house.PatientId, now), isSigned: false))!;
        absolute["patient"] = new JsonObject { ["reference"] = $"{house.Gateway.GetRequiredService<GatewayOptions>().PublicAddress}/fhir/Patient/{house.PatientId}" };
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", HouseInMemory.Json(absolute))).Status);
    }

    /// <summary>Law 3: the person's word of now is not undone by a clock that goes ahead.</summary>
    [Fact]
    public async Task A_denial_binds_although_an_earlier_withdrawal_is_dated_after_it()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        var now = DateTimeOffset.UtcNow;
        foreach (var declared in (byte[][])[AtDesk(Declarations.Informing(house.PatientId, now), isSigned: false), AtDesk(Declarations.Permit(house.PatientId, now))])
            Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", declared)).Status);
        Assert.Equal(200, (await house.Reader.ReadAsync("Observation", note)).Status);
        var withdrawal = JsonNode.Parse(AtDesk(Declarations.Denial(house.PatientId, new DenialTarget.All(), now.AddMinutes(4))))!;
        withdrawal["status"] = "inactive";
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", HouseInMemory.Json(withdrawal))).Status);
        await house.DeclareAsync(Declarations.Denial(house.PatientId, new DenialTarget.All(), now));
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
    }

    [Fact]
    public async Task Nobody_delays_what_the_person_is_to_be_told_of()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var now = DateTimeOffset.UtcNow;
        var record = JsonNode.Parse(Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana."))!;
        record["meta"] = JsonNode.Parse("""{"security":[{"system":"https://hl7.fi/fhir/finnish-base-profiles/CodeSystem/fi-base-release-for-patient-viewing-cs","code":"1"}]}""");
        Assert.Equal(422, (await house.Revontuli.Professional(professional, "ETREAT").CreateAsync("Consent", HouseInMemory.Json(record))).Status);
    }

    [Fact]
    public async Task What_was_given_at_a_desk_is_withdrawn_in_the_portal()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        var now = DateTimeOffset.UtcNow;
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Informing(house.PatientId, now), isSigned: false))).Status);
        var permission = (await house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Permit(house.PatientId, now)))).Stored!.Value.Id;
        Assert.Equal(200, (await house.Reader.ReadAsync("Observation", note)).Status);
        using var citizen = new CitizenClient(house.Folder, house.Target, 0);
        await citizen.SignInAsync();
        var page = await citizen.GetAsync($"/consent/withdraw?id={permission}");
        page = await citizen.SubmitAsync(page.Forms.First(f => f.Action.AbsolutePath.StartsWith("/consent/withdraw", StringComparison.Ordinal)), []);
        Assert.Equal("permit-withdrawn", page.With("data-notice").Single()["data-notice"]);
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
    }

    /// <summary>§59.2: a prescription is denied at any desk; whether there is one of that id, and whose, the desk is not told.</summary>
    [Fact]
    public async Task A_desk_takes_the_denial_of_another_clinics_prescription_without_telling_whether_there_is_one()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var now = DateTimeOffset.UtcNow;
        var medicine = HouseInMemory.Json(new JsonObject
        {
            ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order", ["subject"] = new JsonObject { ["reference"] = "Patient/" + house.PatientId },
            ["medicationCodeableConcept"] = new JsonObject { ["text"] = "Testilääke" },
        });
        var prescription = (await house.Aurora.System.CreateAsync("MedicationRequest", medicine)).Stored!.Value.Id;
        foreach (var declared in (byte[][])[AtDesk(Declarations.Informing(house.PatientId, now), isSigned: false), AtDesk(Declarations.Permit(house.PatientId, now))])
            Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Consent", declared)).Status);
        Assert.Equal(200, (await house.Reader.ReadAsync("MedicationRequest", prescription)).Status);

        string[] named = [Guid.NewGuid().ToString("D"), prescription];
        var replies = await Task.WhenAll(named.Select(id => house.Revontuli.System.CreateAsync("Consent", AtDesk(Declarations.Denial(house.PatientId, new DenialTarget.OfPrescription(id), now)))));
        Assert.All(replies, reply => Assert.Equal(201, reply.Status));
        // But for what each was sent with, and for what every stored one is given.
        var said = replies.Select((reply, i) =>
        {
            var stored = JsonNode.Parse(reply.Text.Replace(named[i], "the prescription", StringComparison.Ordinal))!.AsObject();
            Assert.Equal(3, stored["meta"]!.AsObject().Count + (stored.Remove("id") ? 1 : 0));
            stored.Remove("meta");
            return stored.ToJsonString();
        }).ToList();
        Assert.Equal(said[0], said[1]);
        Assert.Equal(404, (await house.Reader.ReadAsync("MedicationRequest", prescription)).Status);
        // Elsewhere what is referred to has to be there.
        var astray = JsonNode.Parse(AtDesk(Declarations.Permit(house.PatientId, now)))!;
        astray["sourceReference"] = new JsonObject { ["reference"] = "DocumentReference/" + Guid.NewGuid().ToString("D") };
        astray.AsObject().Remove("sourceAttachment");
        Assert.Equal(422, (await house.Revontuli.System.CreateAsync("Consent", HouseInMemory.Json(astray))).Status);
    }

    private const string FullUrl = "urn:uuid:6f1c0b3e-0000-4000-8000-000000000001";

    private static JsonObject Pair(byte[] consent, string target) => new()
    {
        ["resourceType"] = "Bundle",
        ["type"] = "transaction",
        ["entry"] = new JsonArray(
            new JsonObject { ["fullUrl"] = FullUrl, ["resource"] = JsonNode.Parse(consent), ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Consent" } },
            new JsonObject
            {
                ["fullUrl"] = "urn:uuid:6f1c0b3e-0000-4000-8000-000000000002",
                ["resource"] = new JsonObject
                {
                    ["resourceType"] = "Provenance",
                    ["target"] = new JsonArray(new JsonObject { ["reference"] = target }),
                    ["recorded"] = "2026-11-25T10:00:00Z",
                    ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + Revontuli } } }),
                },
                ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Provenance" },
            }),
    };

    private const string Unit = "1.2.246.10.99000022.10.1", OtherUnit = "1.2.246.10.99000022.10.2";

    private static readonly Requester Reviewer = new()
    {
        Kind = RequesterKind.Professional, ClientId = "revontuli", Organisation = Oid.Parse(Revontuli), OrganisationName = "Revontuli", ControllerKind = ControllerKind.Private,
        ProfessionalId = "reviewer", Unit = OtherUnit, PurposeOfUse = "TREAT", TokenId = "review", Scopes = SmartScope.ParseAll(["user/*.cruds"]), Expires = DateTimeOffset.UtcNow.AddHours(1),
    };

    [Theory]
    [InlineData("fi", "Luovutuslupa", "Allekirjoitus ja nimenselvennys", "Miten voit valvoa tietojesi käyttöä")]
    [InlineData("sv", "Utlämningstillstånd", "Underskrift och namnförtydligande", "Hur du kan övervaka")]
    [InlineData("en", "Disclosure permission", "Signature and name in block letters", "How you can watch over the use of your records")]
    public async Task A_desk_prints_the_form_that_the_person_signs(string language, string title, string signature, string informing)
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var token = await house.Revontuli.TokenAsync();
        async Task<FhirReply> PrintAsync(byte[] consent)
        {
            using var body = new StringContent($$"""{"consent":{{Encoding.UTF8.GetString(consent)}}}""", Encoding.UTF8, "application/json");
            return await house.Revontuli.SendAsync(HttpMethod.Post, "/consent/v1/print", token, body, [("Accept-Language", language)]);
        }
        var form = await PrintAsync(AtDesk(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow), isSigned: false));
        Assert.Equal(200, form.Status);
        foreach (var said in (string[])[title, signature, informing, Informing.CurrentTextVersion, "Revontuli Terveys Oy"])
            Assert.Contains(said, form.Text, StringComparison.Ordinal);
        using (var reader = XmlReader.Create(new StringReader(form.Text), new() { DtdProcessing = DtdProcessing.Ignore }))
            Assert.Equal("html", XDocument.Load(reader).Root!.Name.LocalName);

        // What is signed by nobody has no form, and what is no declaration of the Act neither.
        Assert.Equal(422, (await PrintAsync(Declarations.Acknowledged(house.PatientId, Guid.NewGuid().ToString(), DateTimeOffset.UtcNow))).Status);
        Assert.Equal(422, (await PrintAsync(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow)).Replace("\"permit\"", "\"deny\"", StringComparison.Ordinal)))).Status);
        Assert.InRange((await PrintAsync("[]"u8.ToArray())).Status, 400, 422);
        using var citizen = new CitizenClient(house.Folder, house.Target, 0);
        await citizen.SignInAsync();
        Assert.Equal(401, (await citizen.AskAsync("/consent/v1/print", "{}")).Status);
        // It was a form, and nothing was declared by it.
        Assert.Null((await citizen.ConsentAsync()).Permission);
    }

    /// <summary>As a clinic's system records it: with its organisation and the signed form.</summary>
    internal static byte[] AtDesk(byte[] consent, bool isSigned = true)
    {
        var recorded = JsonNode.Parse(Encoding.UTF8.GetString(consent))!;
        recorded["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000022"}}]""");
        if (isSigned)
            recorded["sourceAttachment"] = JsonNode.Parse("""{"contentType":"application/pdf","data":"JVBERi0xLjQK","title":"Luovutuslupa, allekirjoitettu"}""");
        return HouseInMemory.Json(recorded);
    }
}
