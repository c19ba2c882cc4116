using System.Net;

namespace KantaGateway.Tests.Portal;

/// <summary>Own records are found by words, kind, year and organisation, and what is looked for stays with the citizen.</summary>
public sealed class RecordFilterTests : IAsyncLifetime
{
    private const string Timeline = "/records/timeline";

    private PortalUnderTest _portal = null!;
    private string _flu = "", _asthma = "", _pulse = "", _undated = "";

    public async Task InitializeAsync()
    {
        _portal = await PortalUnderTest.StartAsync();
        _flu = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Flunssa"},"recordedDate":"2024-01-01","note":[{"text":"Lepoa ja NESTETTÄ."}]}""", PortalUnderTest.Hospital);
        _asthma = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Astma","coding":[{"system":"urn:oid:1.2.246.537.6.1","code":"J45.9"}]},"recordedDate":"2025-12-31T23:30:00Z"}""", PortalUnderTest.Clinic);
        _pulse = _portal.Record.Add("""{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"effectiveDateTime":"2024-05-01","valueQuantity":{"value":72,"unit":"/min"}}""", PortalUnderTest.Hospital);
        _undated = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Vanha flunssa"}}""", PortalUnderTest.Clinic);
    }

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task Each_choice_narrows_and_nothing_is_lost_for_want_of_a_date()
    {
        Assert.Equal([_asthma, _pulse, _flu, _undated], await FoundAsync([]));
        Assert.Equal([_flu, _undated], await FoundAsync(new() { ["words"] = " FLUNSSA " }));
        Assert.Equal([_flu], await FoundAsync(new() { ["words"] = "nestettä lepo" }));
        Assert.Empty(await FoundAsync(new() { ["words"] = "nestetta" }));
        Assert.Equal([_asthma], await FoundAsync(new() { ["words"] = "j45" }));
        Assert.Equal([_pulse], await FoundAsync(new() { ["words"] = "heart rate" }));
        Assert.Equal([_asthma, _undated], await FoundAsync(new() { ["words"] = "aurora" }));
        Assert.Equal([_asthma, _undated], await FoundAsync(new() { ["organisation"] = PortalUnderTest.Clinic }));
        Assert.Equal([_pulse, _flu], await FoundAsync(new() { ["year"] = "2024" }));
        // The last hour of a year elsewhere is the first day of the next in Finland.
        Assert.Equal([_asthma], await FoundAsync(new() { ["year"] = "2026" }));
        Assert.Equal([_undated], await FoundAsync(new() { ["year"] = "0" }));
        Assert.Equal([_pulse], await FoundAsync(new() { ["kind"] = "measurements" }));
        Assert.Equal([_flu], await FoundAsync(new() { ["kind"] = "diagnoses", ["year"] = "2024", ["organisation"] = PortalUnderTest.Hospital, ["words"] = "flunssa" }));
        Assert.Equal([_flu, _undated], await FoundAsync(new() { ["words"] = "flunssa" }, "/records/kind/diagnoses"));
        Assert.Empty(await FoundAsync(new() { ["words"] = "syke" }, "/records/kind/diagnoses"));
    }

    [Fact]
    public async Task Where_nothing_is_found_the_page_says_what_to_do()
    {
        var (status, html, _) = await _portal.PostAsync(Timeline, new() { ["words"] = "<script>alert(1)</script>" });
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("data-found=\"0\"", html);
        Assert.Contains("Try fewer or shorter words", html);
        Assert.DoesNotContain("<script>alert", html);
        Assert.Contains("value=\"&lt;script&gt;alert(1)&lt;/script&gt;\"", html);
    }

    [Fact]
    public async Task What_is_looked_for_stands_in_no_address_and_no_title()
    {
        for (var i = 0; i < 60; i++)
            _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Salasana"}}""");
        var (_, html, response) = await _portal.PostAsync(Timeline, new() { ["words"] = "salasana", ["organisation"] = "1.2.246.10.1234567" });
        Assert.Equal(Timeline, response.RequestMessage!.RequestUri!.PathAndQuery);
        foreach (var attribute in (string[])["href", "action", "formaction", "src"])
            foreach (var part in html.Split($"{attribute}=\"")[1..])
                Assert.DoesNotContain("salasana", part.Split('"')[0], StringComparison.OrdinalIgnoreCase);
        Assert.Contains("<title>My health records – My health records</title>", html);
        Assert.DoesNotContain(_portal.Record.Asked, asked => asked.Contains("salasana", StringComparison.OrdinalIgnoreCase));
        // The further page is asked for by a form.
        Assert.Contains("<input type=\"hidden\" name=\"words\" value=\"salasana\">", html);
        Assert.Equal(10, (await FoundAsync(new() { ["words"] = "salasana", ["organisation"] = "1.2.246.10.1234567", ["page"] = "2" })).Length);
    }

    [Fact]
    public async Task Too_many_words_are_asked_again_and_what_no_choice_has_is_nowhere()
    {
        var (status, html, _) = await _portal.PostAsync(Timeline, new() { ["words"] = new string('a', 101) });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("data-error", html);
        Assert.Contains("<title>Error: ", html);
        foreach (var field in (string[])["kind", "year", "organisation"])
            Assert.Empty(await FoundAsync(new() { [field] = "nonsense" }));
        using var forged = new HttpRequestMessage(HttpMethod.Post, Timeline) { Content = new FormUrlEncodedContent([new("words", "x")]) };
        Assert.Equal(HttpStatusCode.BadRequest, (await _portal.SendAsync(forged, "en", PortalUnderTest.SessionCookie)).Status);
    }

    private async Task<string[]> FoundAsync(Dictionary<string, string> fields, string path = Timeline)
    {
        var (status, html, _) = await _portal.PostAsync(path, fields, language: "en");
        Assert.Equal(HttpStatusCode.OK, status);
        return [.. html.Split("data-entry=\"")[1..].Select(part => part.Split('"')[0])];
    }
}
