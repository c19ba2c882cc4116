using System.Text;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Validation;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Forwarding;

/// <summary><c>$validate</c> tells what would be said of a resource, and keeps nothing of it.</summary>
public sealed class ValidateOperationTests
{
    private const string Observation = """{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/x"}}""";
    private const string Broken = """{"resourceType":"Observation","status":"final","code":{"text":"x"},"dataAbsentReason":{"text":"x"},"valueString":"x"}""";

    [Fact]
    public void A_right_resource_has_no_errors() => Assert.DoesNotContain(Judge(Observation).Issues, i => i.Severity == FaultSeverity.Error);

    [Fact]
    public void Where_there_is_nothing_to_say_the_answer_says_so_in_the_callers_language()
    {
        var issue = Assert.Single(Judge("""{"resourceType":"Observation","text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/x"},"effectiveDateTime":"2026-01-01","performer":[{"reference":"Practitioner/x"}]}""").Issues);
        Assert.Equal((FaultSeverity.Information, "Uppgiften har inga fel."), (issue.Severity, OutcomeTexts.Of(FaultKind.Invalid, issue, OutcomeLanguage.Swedish)));
    }

    [Fact]
    public void Wrong_structure_and_broken_constraints_are_told_at_their_places()
    {
        Assert.Contains(Judge("""{"resourceType":"Observation","code":{"text":"x"}}""").Issues, i => i is { Severity: FaultSeverity.Error, Expression: "Observation.status" });
        Assert.Contains(Judge(InParameters(Broken, "mode\",\"valueCode\":\"create")).Issues, i => i is { Severity: FaultSeverity.Error, Code: "invariant", Expression: "Observation" });
    }

    [Fact]
    public void A_profile_that_is_asked_for_is_enforced_and_one_that_is_not_known_is_refused()
    {
        const string Fi = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/fi-base-encounter";
        Assert.Contains(Judge(InParameters(Observation, "profile\",\"valueUri\":\"" + Fi)).Issues, i => i.Severity == FaultSeverity.Error);
        Assert.NotNull(Judge(InParameters(Observation, "profile\",\"valueUri\":\"http://example.org/unknown")).Fault);
    }

    [Theory]
    [InlineData("""{"resourceType":"Patient","active":true}""")]
    [InlineData("""{"resourceType":"Parameters","parameter":[{"name":"mode","valueCode":"create"}]}""")]
    [InlineData("{")]
    public void What_cannot_be_judged_is_refused(string body) => Assert.NotNull(Judge(body).Fault);

    [Theory]
    [InlineData("mode=create", null, true)]
    [InlineData("mode=update", null, false)]
    [InlineData("mode=profile", null, false)]
    [InlineData("mode=delete", null, false)]
    [InlineData("mode=nonsense", null, false)]
    [InlineData("profile=http://example.org/unknown", null, false)]
    [InlineData("", "x", true)]
    [InlineData("mode=update", "x", true)]
    [InlineData("mode=create", "x", false)]
    [InlineData("mode=profile", "x", false)]
    public void A_mode_goes_with_what_is_sent(string query, string? id, bool judged)
    {
        var (_, fault) = Judge(Observation, query, id);
        Assert.Equal(judged, fault is null);
    }

    [Fact]
    public void A_new_version_has_the_id_of_the_address()
    {
        Assert.Contains(Judge(Observation, id: "x").Issues, i => i is { Severity: FaultSeverity.Error, Expression: "Observation.id" });
        Assert.DoesNotContain(Judge(Observation.Replace("{\"resourceType\"", "{\"id\":\"x\",\"resourceType\"", StringComparison.Ordinal), id: "x").Issues, i => i.Severity == FaultSeverity.Error);
    }

    /// <summary>Simplified Publish (IHE MHD ITI-105) is a profile that a creation takes, from clients that may claim no unknown one too.</summary>
    [Theory]
    [InlineData("""{"contentType":"text/plain","data":"SGVp"}""", null)]
    [InlineData("""{"contentType":"text/plain","url":"http://elsewhere.example/1"}""", "DocumentReference.content[0].attachment.data")]
    public void A_document_that_is_to_be_published_is_judged_as_its_creation_would_be(string attachment, string? expression)
    {
        var body = $$"""{"resourceType":"DocumentReference","meta":{"profile":["{{KantaGateway.Fhir.Interactions.SimplifiedPublish.Profile}}"]},"status":"current","content":[{"attachment":{{attachment}}}]}""";
        var question = ValidateOperation.Read("", Encoding.UTF8.GetBytes(body), "DocumentReference", isStored: false).Question!;
        var errors = ValidateOperation.Answer(question, "DocumentReference", null, UnknownProfiles.Refuse).Issues.Where(i => i.Severity == FaultSeverity.Error).ToList();
        Assert.Equal(expression is not null, errors.Exists(e => e.Expression == expression));
        Assert.True(expression is not null || errors.Count == 0, string.Join("; ", errors));
    }

    [Fact]
    public async Task A_stored_resource_is_judged_by_its_reader_and_recorded_as_read()
    {
        const string Fi = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/fi-base-encounter";
        // Reads the specification before somebody has to wait for it.
        Assert.DoesNotContain(Judge(Observation).Issues, i => i.Severity == FaultSeverity.Error);
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        foreach (var (method, target, body) in new (HttpMethod, string, string?)[]
        {
            (HttpMethod.Get, "", null), (HttpMethod.Get, "?mode=profile", null),
            (HttpMethod.Post, "", """{"resourceType":"Parameters","parameter":[{"name":"mode","valueCode":"profile"}]}"""),
        })
        {
            var told = await house.Aurora.System.SendAsync(method, $"Observation/{note}/$validate{target}", body is null ? null : Encoding.UTF8.GetBytes(body));
            Assert.Equal((200, "OperationOutcome"), (told.Status, told.Json.GetProperty("resourceType").GetString()));
            Assert.DoesNotContain(told.Json.GetProperty("issue").EnumerateArray(), i => i.GetProperty("severity").GetString() == "error");
            Assert.DoesNotContain(HouseInMemory.Secret, Encoding.UTF8.GetString(told.Body));
        }
        var held = await house.Aurora.System.SendAsync(HttpMethod.Get, $"Observation/{note}/$validate?profile={Uri.EscapeDataString(Fi)}");
        Assert.Contains(held.Json.GetProperty("issue").EnumerateArray(), i => i.GetProperty("severity").GetString() == "error");
        Assert.Equal(400, (await house.Aurora.System.SendAsync(HttpMethod.Get, $"Observation/{note}/$validate?mode=delete")).Status);
        Assert.Equal(400, (await house.Aurora.System.SendAsync(HttpMethod.Get, $"Observation/{note}/$validate?mode=update")).Status);

        // Who may not read it finds nothing: by the bytes of what was never there.
        var hidden = await house.Reader.SendAsync(HttpMethod.Get, $"Observation/{note}/$validate");
        var read = await house.Reader.SendAsync(HttpMethod.Get, $"Observation/{note}");
        Assert.Equal((404, 404), (hidden.Status, read.Status));
    }

    [Fact]
    public async Task It_answers_in_the_callers_language_as_a_refused_write_does()
    {
        const string Swedish = "Uppgifterna uppfyller inte en regel som gäller dem.";
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync(open: false);
        var broken = Encoding.UTF8.GetBytes(Broken.Replace("\"status\"", $"\"subject\":{{\"reference\":\"Patient/{house.PatientId}\"}},\"status\"", StringComparison.Ordinal));

        var told = await house.Aurora.System.SendAsync(HttpMethod.Post, "Observation/$validate", broken, [("Accept-Language", "sv")]);
        var refused = await house.Aurora.System.SendAsync(HttpMethod.Post, "Observation", broken, [("Accept-Language", "sv")]);

        Assert.Equal((200, 422), (told.Status, refused.Status));
        Assert.Contains(told.Json.GetProperty("issue").EnumerateArray(), i => i.GetProperty("details").GetProperty("text").GetString() == Swedish);
        Assert.Contains(refused.Json.GetProperty("issue").EnumerateArray(), i => i.GetProperty("details").GetProperty("text").GetString() == Swedish);
        Assert.Equal(401, (await house.Aurora.With(null).SendAsync(HttpMethod.Post, "Observation/$validate", broken)).Status);
    }

    private static string InParameters(string resource, string other) =>
        "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"" + other + "\"},{\"name\":\"resource\",\"resource\":" + resource + "}]}";

    private static (IReadOnlyList<FaultIssue> Issues, Fault? Fault) Judge(string body, string query = "", string? id = null) =>
        ValidateOperation.Read(query, Encoding.UTF8.GetBytes(body), "Observation", isStored: id is not null) is ({ } question, _) ? ValidateOperation.Answer(question, "Observation", id, UnknownProfiles.Refuse)
            : ([], ValidateOperation.Read(query, Encoding.UTF8.GetBytes(body), "Observation", isStored: id is not null).Fault);
}
