using System.Text.Json;
using System.Xml.Linq;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Tests.Loading;

/// <summary>What a verification writes, and which checks are chosen; without any gateway.</summary>
public sealed class VerificationReportTests
{
    private const string Token = "eyJhbGciOiJFUzM4NCJ9.eyJzdWIiOiJhIn0" + ".c2lnbmF0dXJl";

    private static readonly string Code = FictionalIdentityCode.Of("report").Reveal();

    [Fact]
    public async Task Every_file_says_what_was_sent_expected_came_and_is_to_be_changed_and_nothing_personal()
    {
        var steps = new Steps();
        await steps.AlsoAsync("smart.replay", "well", () => Task.CompletedTask);
        await steps.AlsoAsync("fhir.life", "<b>bad</b>", () => throw new ExpectationException("412", $"200 about {Code} with {Token}\u0001"));
        await steps.AlsoAsync("fhir.batch", "odd", () => throw new InvalidOperationException("no JSON"));
        var report = new VerificationReport(new("https://localhost:8443"), "archiver", 7, DateTimeOffset.UnixEpoch, TimeSpan.FromSeconds(1), steps.Results);
        Assert.Equal(2, report.Failed);

        var junit = XDocument.Parse(Reports.JUnit(report)).Root!;
        Assert.Equal(("3", "2"), (junit.Attribute("tests")!.Value, junit.Attribute("failures")!.Value));
        Assert.Contains("expected 412", junit.Descendants("failure").Single(f => f.Parent!.Attribute("classname")!.Value == "fhir.life").Attribute("message")!.Value, StringComparison.Ordinal);
        var json = JsonDocument.Parse(Reports.Json(report)).RootElement.GetProperty("results");
        var bad = json.EnumerateArray().Single(r => r.GetProperty("id").GetString() == "fhir.life");
        foreach (var member in new[] { "suite", "source", "sent", "expected", "came", "toChange" })
            Assert.NotEqual(JsonValueKind.Null, bad.GetProperty(member).ValueKind);
        var html = Reports.Html(report);
        Assert.Contains("<svg", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<b>", html, StringComparison.Ordinal);
        foreach (var outside in new[] { "src=", "href=", "<script", "@import", "url(" })
            Assert.DoesNotContain(outside, html, StringComparison.Ordinal);
        foreach (var text in new[] { Reports.JUnit(report), Reports.Json(report), html })
        {
            Assert.DoesNotContain(Code, text, StringComparison.Ordinal);
            Assert.DoesNotContain(Token, text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("/fhir/Observation/0b2f1d1e-0000-4000-8000-000000000000/_history/1", "/fhir/Observation/{id}/_history/{id}")]
    [InlineData("/fhir/Patient?identifier=x&_count=1", "/fhir/Patient?identifier&_count")]
    [InlineData("/consent/v1/preview", "/consent/v1/preview")]
    [InlineData("/fhir/$hl7v2", "/fhir/$hl7v2")]
    public void An_address_is_told_without_ids_and_values(string address, string told) => Assert.Equal(told, Redaction.OfAddress(new Uri(new("https://localhost"), address)));

    [Fact]
    public void Checks_are_chosen_by_id_by_suite_and_by_profile()
    {
        Assert.All(Check.All.Where(Selection.Of(["smart"]).Has), c => Assert.Equal("smart", c.Suite));
        Assert.Equal(["fhir.life", "smart.replay"], Check.All.Where(Selection.Of(["smart.replay,fhir.life"]).Has).Select(c => c.Id).Order());
        Assert.Contains("fhir.input-malformed-json", Check.All.Where(Selection.Of(["fhir.input"]).Has).Select(c => c.Id));
        Assert.DoesNotContain(Check.All.Where(Selection.Of([], "citizen-app").Has), c => c.Suite == "adapters");
        Assert.Equal(["smart.app-launch", "smart.discovery"], Check.All.Where(Selection.Of(["smart"], "citizen-app").Has).Select(c => c.Id).Order());
        Assert.Throws<InvalidDataException>(() => Selection.Of(["smart.nothing"]));
        // A step of the story reaches those that come before it, and no later one.
        var denied = Selection.Of(["consent.denied"]);
        Assert.True(denied.Reaches(Check.Of("consent.permit")));
        Assert.False(denied.Reaches(Check.Of("consent.withdraw")));
        Assert.False(denied.Has(Check.Of("consent.permit")));
    }

    [Fact]
    public void Every_check_has_a_suite_a_source_and_an_advice()
    {
        Assert.All(Check.All, c => Assert.Contains(c.Suite, Check.Suites));
        Assert.All(Check.All, c => Assert.False(string.IsNullOrWhiteSpace(c.Source) || string.IsNullOrWhiteSpace(c.Advice)));
        Assert.Equal(Check.All.Count, Check.All.Select(c => c.Id).Distinct().Count());
        foreach (var word in Selection.Profiles.Values.SelectMany(w => w))
            Selection.Of([word]);
    }
}
