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

    private static (IReadOnlyList<FaultIssue> Issues, Fault? Fault) Judge(string body) =>
        ValidateOperation.Answer(Encoding.UTF8.GetBytes(body), "Observation", UnknownProfiles.Refuse);
}
