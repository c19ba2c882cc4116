using System.Net;

namespace KantaGateway.Tests.Portal;

/// <summary>A page asks for the record a few times, whatever is in it, and not once for each entry.</summary>
public sealed class RequestBudgetTests
{
    private const string Visit = "1.2.246.10.1234567.14.1";

    /// <summary>Requests of a page that stands in no line below.</summary>
    private const int Most = 3;

    /// <summary>A page is for a cheap phone's line: with style sheets, scripts and font it stays under 150 KB.</summary>
    private const int LongestPage = 100_000;

    private static readonly Dictionary<string, int> MostOf = new(StringComparer.Ordinal)
    {
        // What is declared, and visits to name what is denied, in two pages of a thousand.
        ["/consent"] = 3, ["/consent/deny"] = 3,
        // And who the person is.
        ["/consent/print"] = 4,
        // Its files that are shown.
        ["document"] = 11,
    };

    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    [InlineData(2000)]
    public async Task A_page_costs_no_more_requests_for_a_long_record_than_for_none(int entries)
    {
        await using var portal = await PortalUnderTest.StartAsync();
        await portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        var pages = ((IEnumerable<object[]>)PageSafetyTests.Pages).Select(row => (string)row[0]).Append("/").Select(path => (Name: path, Path: path)).ToList();
        if (entries > 0)
        {
            var visit = portal.Record.Add($$$"""{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"identifier":[{"use":"official","system":"urn:ietf:rfc:3986","value":"urn:oid:{{{Visit}}}"}],"period":{"start":"2020-01-01"}}""");
            var files = string.Join(',', Enumerable.Range(0, 50).Select(_ => $$"""{ "attachment": { "contentType": "text/plain", "url": "Binary/{{Guid.NewGuid():D}}" } }"""));
            var document = portal.Record.Add($$"""{"resourceType":"DocumentReference","status":"current","content":[{{files}}]}""");
            var entry = "";
            for (var i = 2; i < entries; i++)
                entry = portal.Record.Add((i % 5) switch
                {
                    0 => $$$"""{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"identifier":[{"use":"official","system":"urn:ietf:rfc:3986","value":"urn:oid:{{{Visit}}}{{{i}}}"}],"period":{"start":"2026-03-12T08:00:00Z"}}""",
                    1 => """{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"Sertraliini 50 mg"},"authoredOn":"2026-03-12"}""",
                    _ => $$$"""{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"effectiveDateTime":"2026-03-12","valueQuantity":{"value":72,"unit":"/min"},"encounter":{"reference":"Encounter/{{{visit}}}"}}""",
                });
            pages.AddRange([("visit", "/records/entry/Encounter/" + visit), ("document", "/records/entry/DocumentReference/" + document), ("entry", "/records/entry/Observation/" + entry)]);
            await portal.PostAsync("/consent/deny", new() { ["target"] = "event", ["event"] = Visit }, page: "/consent/deny?visit=" + visit);
            Assert.Contains("data-target=\"event\"", (await portal.GetAsync("/consent")).Html);
        }
        foreach (var (name, path) in pages)
        {
            portal.Record.Asked.Clear();
            var (status, html, _) = await portal.GetAsync(path);
            Assert.True(status == HttpStatusCode.OK, $"{name}: {status}");
            Assert.True(portal.Record.Asked.Count <= MostOf.GetValueOrDefault(name, Most), $"{name}: {string.Join(", ", portal.Record.Asked.Take(20))}");
            Assert.True(html.Length <= LongestPage, $"{name}: {html.Length}");
        }
    }
}
