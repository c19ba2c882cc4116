using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>"Who would see what if I save this" and "why is this seen", as JSON through the real edge.</summary>
public class WhoSeesWhatTests
{
    private const string Preview = "/consent/v1/preview", Explain = "/consent/v1/explain", Aurora = "1.2.246.10.99000011", Revontuli = "1.2.246.10.99000022";

    [Fact]
    public async Task A_preview_is_the_page_in_another_form_and_declares_nothing()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        using var citizen = await SignedInAsync(house, 0);
        await citizen.BeInformedAsync();
        await citizen.PermitAsync();

        var page = await citizen.GetAsync("/consent");
        using var now = Read(await citizen.AskAsync(Preview, "{}"));
        var rows = now.RootElement.GetProperty("registers").EnumerateArray().ToList();
        Assert.NotEmpty(rows);
        Assert.Equal(page.With("data-controller").Select(r => r["data-controller"]), rows.Select(r => r.GetProperty("controller").GetProperty("oid").GetString()));
        Assert.Equal(page.With("data-now").Select(c => c["data-now"]), rows.SelectMany(r => new[] { "treating", "inEmergency" }.Select(v => r.GetProperty("now").GetProperty(v).GetRawText())));
        Assert.All(rows, r => Assert.Equal(JsonValueKind.Null, r.GetProperty("then").ValueKind));

        using var then = Read(await citizen.AskAsync(Preview, Asking(Declarations.Denial(house.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow))));
        foreach (var row in then.RootElement.GetProperty("registers").EnumerateArray())
        {
            Assert.NotEqual(0, row.GetProperty("now").GetProperty("treating").GetInt32());
            Assert.Equal((0, 0), (row.GetProperty("then").GetProperty("treating").GetInt32(), row.GetProperty("then").GetProperty("inEmergency").GetInt32()));
        }
        Assert.Empty((await citizen.ConsentAsync()).Denials);
    }

    [Fact]
    public async Task What_could_not_be_saved_is_not_previewed()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        using var citizen = await SignedInAsync(house, 0);
        var now = DateTimeOffset.UtcNow;
        var permit = Declarations.Permit(house.PatientId, now);
        Assert.Equal(403, (await citizen.AskAsync(Preview, Asking(permit))).Status);
        await citizen.BeInformedAsync();
        Assert.Equal(200, (await citizen.AskAsync(Preview, Asking(permit))).Status);
        foreach (var (consent, status) in new (byte[], int)[]
        {
            (Declarations.Permit(house.PatientId, now.AddDays(1)), 422),
            (Declarations.Denial(house.PatientId, new DenialTarget.OfRegister(Aurora, Register.Patient), now), 422),
            (Changed(permit, c => c["provision"]!["purpose"] = JsonNode.Parse("""[{"code":"TREAT"}]""")), 422),
            (Changed(permit, c => c.Remove("scope")), 422),
            (Changed(permit, c => c["patient"]!["reference"] = "Patient/4f6c0b3e-1111-4000-8000-0000000000e1"), 404),
            (Declarations.Emergency(house.PatientId, new EmergencyAccess { At = now, Until = now.AddMinutes(5), Professional = "p", Organisation = Revontuli, Reason = EmergencyReason.CannotBeAsked }, "Syy."), 403),
        })
        {
            var page = await citizen.AskAsync(Preview, Asking(consent));
            Assert.True(page.Status == status, $"{page.Status} {page.Html}");
        }
    }

    [Fact]
    public async Task An_explanation_says_what_really_happens_and_why()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        using var citizen = await SignedInAsync(house, 0);
        Assert.Equal((false, "not-informed"), await WhyAsync(citizen, note, Revontuli));
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
        await citizen.BeInformedAsync();
        Assert.Equal((false, "no-permission"), await WhyAsync(citizen, note, Revontuli));
        await citizen.PermitAsync();
        Assert.Equal((true, "permission"), await WhyAsync(citizen, note, Revontuli));
        Assert.Equal(200, (await house.Reader.ReadAsync("Observation", note)).Status);
        Assert.Equal((true, "own-register"), await WhyAsync(citizen, note, Aurora));
        // Of one that does not treat the person, and of one that is assumed to.
        Assert.Equal((false, "no-care-relationship"), await WhyAsync(citizen, note, "1.2.246.10.99000044"));
        Assert.Equal((true, "permission"), await WhyAsync(citizen, note, "1.2.246.10.99000044", ",\"treating\":true"));
        Assert.Equal((false, "task"), await WhyAsync(citizen, note, Revontuli, ",\"profession\":\"farmaseutti\""));
        Assert.Equal((true, "emergency"), await WhyAsync(citizen, note, Revontuli, ",\"purpose\":\"ETREAT\""));

        await citizen.DenyEventAsync("1.2.246.10.99000011.14.2026.1");
        var denial = (await citizen.ConsentAsync()).Denials.Single().Id;
        using var answer = Read(await citizen.AskAsync(Explain, Asking("Observation", note, Revontuli)));
        var because = Assert.Single(answer.RootElement.GetProperty("because").EnumerateArray().ToList());
        Assert.Equal(("denial-of-service-event", $"Consent/{denial}"), (because.GetProperty("code").GetString(), Assert.Single(because.GetProperty("declarations").EnumerateArray().ToList()).GetString()));
        Assert.NotEmpty(because.GetProperty("text").GetString()!);
        Assert.Equal(Aurora, answer.RootElement.GetProperty("entry").GetProperty("controller").GetProperty("oid").GetString());
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
    }

    /// <summary>EHDS Art. 8: whoever has a permission sees an ordinary document, and never the form in which something was denied.</summary>
    [Fact]
    public async Task The_signed_form_of_a_declaration_is_explained_as_what_nobody_else_is_shown()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var document = JsonNode.Parse($$$"""{"resourceType":"DocumentReference","status":"current","subject":{"reference":"Patient/{{{house.PatientId}}}"},"type":{"coding":[{"system":"http://loinc.org","code":"64292-6"}]},"content":[{"attachment":{"title":"Kieltolomake"}}]}""")!;
        var form = (await house.Aurora.System.CreateAsync("DocumentReference", HouseInMemory.Json(document))).Stored!.Value.Id;
        using var citizen = await SignedInAsync(house, 0);
        await citizen.BeInformedAsync();
        await citizen.PermitAsync();
        Assert.Equal((true, "permission"), await OfFormAsync(Revontuli));
        var consent = JsonNode.Parse(Declarations.Denial(house.PatientId, new DenialTarget.OfServiceEvent("1.2.246.10.99000011.14.2026.7"), DateTimeOffset.UtcNow))!;
        consent["organization"] = JsonNode.Parse($$$"""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:{{{Aurora}}}"}}]""");
        consent["sourceReference"] = JsonNode.Parse($$$"""{"reference":"DocumentReference/{{{form}}}"}""");
        Assert.Equal(201, (await house.Aurora.System.CreateAsync("Consent", HouseInMemory.Json(consent))).Status);
        Assert.Equal((false, "never-disclosed"), await OfFormAsync(Revontuli));
        Assert.Equal((true, "own-register"), await OfFormAsync(Aurora));
        Assert.Equal(404, (await house.Reader.ReadAsync("DocumentReference", form)).Status);

        async Task<(bool, string)> OfFormAsync(string organisation)
        {
            using var answer = Read(await citizen.AskAsync(Explain, Asking("DocumentReference", form, organisation)));
            return (answer.RootElement.GetProperty("sees").GetBoolean(), answer.RootElement.GetProperty("because")[0].GetProperty("code").GetString()!);
        }
    }

    /// <summary>Of prescriptions a single one can be denied (kanta.fi, sharing of prescription data), from the form to the edge; and an emergency opens it where the person chose so.</summary>
    [Fact]
    public async Task A_prescription_that_is_denied_in_the_portal_is_hidden_from_the_next_request_on()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var prescription = JsonNode.Parse($$$"""{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"Sertraliini 50 mg"},"authoredOn":"2026-03-12","subject":{"reference":"Patient/{{{house.PatientId}}}"}}""")!;
        var id = (await house.Aurora.System.CreateAsync("MedicationRequest", HouseInMemory.Json(prescription))).Stored!.Value.Id;
        using var citizen = await SignedInAsync(house, 0);
        await citizen.BeInformedAsync();
        await citizen.PermitAsync();
        Assert.Equal(200, (await house.Reader.ReadAsync("MedicationRequest", id)).Status);

        var page = await citizen.GetAsync($"/consent/deny?prescription={id}");
        await citizen.SubmitAsync(page.Form("deny-form")!, new() { ["target"] = "prescription", ["prescription"] = id, ["emergency"] = "yes" });
        Assert.Equal("prescription", Assert.Single((await citizen.ConsentAsync()).Denials).Target);
        Assert.Equal(404, (await house.Reader.ReadAsync("MedicationRequest", id)).Status);
        using var answer = Read(await citizen.AskAsync(Explain, Asking("MedicationRequest", id, Revontuli)));
        Assert.Equal("denial-of-prescription", answer.RootElement.GetProperty("because")[0].GetProperty("code").GetString());

        var professional = house.Folder.ProfessionalOf("revontuli").Id;
        var rescuer = house.Revontuli.Professional(professional, "ETREAT");
        var now = DateTimeOffset.UtcNow;
        Assert.Equal(201, (await rescuer.CreateAsync("Consent", Declarations.Emergency(house.PatientId, new EmergencyAccess
        { At = now, Until = now.AddMinutes(20), Professional = professional, Organisation = Revontuli, Unit = Revontuli + ".10.1", Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana."))).Status);
        Assert.Equal(200, (await rescuer.ReadAsync("MedicationRequest", id)).Status);
    }

    [Fact]
    public async Task Whoever_is_not_the_person_is_told_nothing()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        using var nobody = new CitizenClient(house.Folder, house.Target, 0);
        foreach (var path in (string[])[Preview, Explain])
            Assert.Equal(401, (await nobody.AskAsync(path, "{}")).Status);
        // Another person: the entry looks as one that is not there.
        using var another = await SignedInAsync(house, 1);
        var theirs = await another.AskAsync(Explain, Asking("Observation", note));
        var none = await another.AskAsync(Explain, Asking("Observation", Guid.NewGuid().ToString()));
        Assert.Equal((404, Untraced(none)), (theirs.Status, Untraced(theirs)));
        using var content = new StringContent("{}", Encoding.UTF8, "application/json");
        Assert.Equal(403, (await house.Revontuli.SendAsync(HttpMethod.Post, Preview, await house.Revontuli.TokenAsync(), content)).Status);
    }

    /// <summary>Law 1.</summary>
    [Fact]
    public async Task What_is_told_is_on_record_before_it_leaves()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        using var citizen = await SignedInAsync(house, 0);
        await citizen.BeInformedAsync();
        Assert.Equal(200, (await citizen.AskAsync(Explain, Asking("Observation", note))).Status);
        var lines = (await house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(house.Citizen)).Lines;
        Assert.Contains(lines, l => l is { Interaction: "operation", LegalBasis: "own-data", BySelf: true } && l.Items.Any(i => i.Type == "Consent"));
        // However long entries are, none is passed over.
        var (one, byOne, at) = (new AccessLog(house.Gateway.GetRequiredService<AuditLog>(), house.Gateway.GetRequiredService<KeyServiceClient>(), house.Gateway.GetRequiredService<GrantIssuer>(), mostBytes: 1), new List<long>(), (long?)long.MaxValue);
        while (at is { } before)
        {
            var stretch = await one.ForPersonAsync(house.Citizen, beforeIndex: before);
            Assert.InRange(stretch.Lines.Count, 0, 1);
            byOne.AddRange(stretch.Lines.Select(static line => line.Index));
            at = stretch.Before;
        }
        Assert.Equal(lines.Select(static line => line.Index), byOne);
        // Of the own visits none is opened for who asks what others did.
        var others = (await house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(house.Citizen, withOwn: false)).Lines;
        Assert.Equal(lines.Where(static line => !line.BySelf).Select(static line => line.Index), others.Select(static line => line.Index));
        Assert.DoesNotContain(await house.Gateway.GetRequiredService<AuditLog>().ForSubjectAsync(house.Citizen.Self!.Value.ToArray(), 1_000, withOwn: false), entry => lines.Any(line => line.BySelf && line.Index == entry.Index));
        var (rows, elsewhere) = (Path.Combine(house.Folder.File("audit"), "rows"), house.Folder.File("elsewhere"));
        Directory.Move(rows, elsewhere);
        foreach (var (path, body) in new[] { (Preview, "{}"), (Explain, Asking("Observation", note)) })
        {
            var page = await citizen.AskAsync(path, body);
            Assert.Equal(503, page.Status);
            Assert.DoesNotContain("registers", page.Html, StringComparison.Ordinal);
            Assert.DoesNotContain("because", page.Html, StringComparison.Ordinal);
        }
        Directory.Move(elsewhere, rows);
        Assert.Equal(200, (await citizen.AskAsync(Preview, "{}")).Status);
    }

    [Fact]
    public async Task Bad_input_is_refused_with_what_is_wrong()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync(open: false);
        using var citizen = await SignedInAsync(house, 0);
        foreach (var (path, body) in Bad)
        {
            var page = await citizen.AskAsync(path, body);
            Assert.True(page.Status is 400 or 422, $"{path} {body}: {page.Status} {page.Html}");
            using var problem = JsonDocument.Parse(page.Html);
            Assert.NotEmpty(problem.RootElement.GetProperty("detail").GetString()!);
            Assert.NotEmpty(problem.RootElement.GetProperty("correlationId").GetString()!);
        }
        Assert.Equal(413, (await citizen.AskAsync(Preview, $$"""{"consent":"{{new string('x', 70_000)}}"}""")).Status);
        Assert.Equal(415, (await citizen.AskAsync(Preview, "{}", "text/plain")).Status);
    }

    private static readonly (string Path, string Body)[] Bad =
    [
        (Preview, ""),
        (Preview, "null"),
        (Preview, "[]"),
        (Preview, """{"consent":{}}"""),
        (Preview, """{"declare":"everything"}"""),
        (Explain, "{}"),
        (Explain, """{"entry":{"type":"Observation"}}"""),
        (Explain, """{"entry":{"type":"Patient","id":"x"}}"""),
        (Explain, """{"entry":{"type":"Organization","id":"x"}}"""),
        (Explain, """{"entry":{"type":"Observation","id":"x"},"viewer":{"organisation":"1.2.3"}}"""),
        (Explain, """{"entry":{"type":"Observation","id":"x"},"viewer":{"profession":"kuningas"}}"""),
        (Explain, """{"entry":{"type":"Observation","id":"x"},"viewer":{"profession":"farmaseutti","task":"broad-care"}}"""),
        (Explain, """{"entry":{"type":"Observation","id":"x"},"viewer":{"purpose":"HMARKT"}}"""),
        (Explain, """{"entry":{"type":"Observation","id":"x"},"viewer":{"colour":"red"}}"""),
        (Explain, """{"entry":{"type":"Observation","id":"x","id":"y"}}"""),
    ];

    private static async Task<CitizenClient> SignedInAsync(HouseInMemory house, int index)
    {
        var citizen = new CitizenClient(house.Folder, house.Target, index);
        await citizen.SignInAsync();
        return citizen;
    }

    private static async Task<(bool Sees, string Why)> WhyAsync(CitizenClient citizen, string id, string organisation, string more = "")
    {
        using var answer = Read(await citizen.AskAsync(Explain, Asking("Observation", id, organisation, more)));
        return (answer.RootElement.GetProperty("sees").GetBoolean(), answer.RootElement.GetProperty("because")[0].GetProperty("code").GetString()!);
    }

    private static string Asking(byte[] consent) => $$"""{"consent":{{Encoding.UTF8.GetString(consent)}}}""";

    private static string Asking(string type, string id, string? organisation = null, string more = "") =>
        organisation is null ? $$$"""{"entry":{"type":"{{{type}}}","id":"{{{id}}}"}}""" : $$$"""{"entry":{"type":"{{{type}}}","id":"{{{id}}}"},"viewer":{"organisation":"{{{organisation}}}"{{{more}}}}}""";

    private static byte[] Changed(byte[] consent, Action<JsonObject> change)
    {
        var changed = JsonNode.Parse(consent)!.AsObject();
        change(changed);
        return HouseInMemory.Json(changed);
    }

    private static JsonDocument Read(Page page)
    {
        Assert.True(page.Status == 200, $"{page.Status} {page.Html}");
        return JsonDocument.Parse(page.Html);
    }

    /// <summary>A refusal without its correlation id.</summary>
    private static string Untraced(Page page)
    {
        var problem = JsonNode.Parse(page.Html)!.AsObject();
        problem.Remove("correlationId");
        problem.Remove("traceId");
        return problem.ToJsonString();
    }
}
