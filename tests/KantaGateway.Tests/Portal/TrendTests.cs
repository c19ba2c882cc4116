using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Tests.Portal;

/// <summary>How a result has changed, drawn by the server and told in a table.</summary>
public sealed class TrendTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task Results_of_one_code_and_unit_are_one_line_and_one_table()
    {
        string[] ids = [Glucose("2024-01-01", "5.1"), Glucose("2025-01-01", "6.4"), Glucose("2026-01-01", "5.8")];
        var milligrams = Glucose("2023-01-01", "92", "mg/dL");
        _portal.Record.Add("""{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"718-7"}]},"effectiveDateTime":"2025-06-01","valueQuantity":{"value":140,"unit":"g/l"}}""");
        var (status, html, _) = await _portal.GetAsync("/records/trend/" + ids[0]);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(["mmol/L", "mg/dL"], html.Split("data-trend=\"")[1..].Select(part => part.Split('"')[0]));
        Assert.Equal([ids[2], ids[1], ids[0], milligrams], html.Split("data-point=\"")[1..].Select(part => part.Split('"')[0]));
        // Of one alone there is no line.
        Assert.Equal(1, Regex.Count(html, "<polyline "));
        Assert.Contains("There is only one result", html);
        double[] heights = [.. Regex.Matches(html, "<circle [^>]*cy=\"([0-9.]+)\"").Select(m => double.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))];
        Assert.True(heights[1] < heights[2] && heights[2] < heights[0]);
        double[] places = [.. Regex.Matches(html, "<circle [^>]*cx=\"([0-9.]+)\"").Select(m => double.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))];
        Assert.Equal(places.Order(), places);
        // Its range is the same each time.
        Assert.Contains("class=\"trend-band\"", html);
        Assert.DoesNotMatch("<script(?![^>]*src=)| style=", html);
        Assert.Contains("4 – 6.1", html);
    }

    [Fact]
    public async Task Both_pressures_are_drawn_together()
    {
        var id = "";
        for (var i = 1; i <= 3; i++)
            id = _portal.Record.Add($$$"""
                {"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},"effectiveDateTime":"2026-01-0{{{i}}}","component":[
                {"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":{{{130 + i}}},"unit":"mmHg"}},{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":{{{80 + i}}},"unit":"mmHg"}}]}
                """);
        var (_, html, _) = await _portal.GetAsync("/records/trend/" + id);
        Assert.Equal(1, Regex.Count(html, "data-trend="));
        Assert.Equal(6, Regex.Count(html, "data-point="));
        Assert.Equal(2, Regex.Count(html, "<polyline class=\"trend-line trend-[01]\" points=\"[0-9]+(\\.[0-9])?,[0-9.]+ [^\"]* [^\"]*\""));
        Assert.Contains("Upper blood pressure, Lower blood pressure", html);
    }

    [Theory]
    [InlineData("""{"resourceType":"Observation","code":{"text":"x"},"effectiveDateTime":"2026-01-01","valueString":"ei"}""")]
    [InlineData("""{"resourceType":"Observation","code":{"text":"x"},"valueQuantity":{"value":1}}""")]
    [InlineData("""{"resourceType":"Observation","status":"entered-in-error","code":{"text":"x"},"effectiveDateTime":"2026-01-01","valueQuantity":{"value":1}}""")]
    [InlineData("""{"resourceType":"Observation","code":{"text":"x"},"effectiveDateTime":"2026-01-01","valueQuantity":{"value":1e300}}""")]
    [InlineData("""{"resourceType":"Condition","code":{"text":"x"},"recordedDate":"2026-01-01"}""")]
    public async Task What_is_no_dated_number_has_no_trend(string json)
    {
        var id = _portal.Record.Add(json);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync("/records/trend/" + id)).Status);
        var type = System.Text.Json.JsonElement.Parse(json).GetProperty("resourceType").GetString();
        Assert.DoesNotContain("/records/trend/", (await _portal.GetAsync($"/records/entry/{type}/{id}")).Html);
    }

    [Fact]
    public async Task A_result_leads_to_its_trend_and_its_kind_lists_those_of_several()
    {
        var (first, second) = (Glucose("2025-01-01", "5.1"), Glucose("2026-01-01", "5.3"));
        var alone = _portal.Record.Add("""{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"718-7"}]},"effectiveDateTime":"2025-06-01","valueQuantity":{"value":140,"unit":"g/l"}}""");
        Assert.Contains($"href=\"/records/trend/{first}\"", (await _portal.GetAsync("/records/entry/Observation/" + first)).Html);
        var (_, html, _) = await _portal.GetAsync("/records/kind/measurements");
        Assert.Contains($"data-trend-of=\"{second}\"", html);
        Assert.DoesNotContain($"data-trend-of=\"{alone}\"", html);
    }

    /// <summary>Numbers of any size, equal ones, bounds and a long series.</summary>
    [Fact]
    public async Task Odd_numbers_break_no_chart()
    {
        foreach (var values in (string[][])[["0", "0"], ["5", "5"], ["-3.2", "0.0001"], ["999999999999", "1"], ["1e-20", "2e-20"]])
        {
            var code = string.Join('-', values);
            var id = "";
            for (var i = 0; i < values.Length; i++)
                id = _portal.Record.Add($$$"""{"resourceType":"Observation","code":{"text":"{{{code}}}"},"effectiveDateTime":"2026-01-01","valueQuantity":{"value":{{{values[i]}}},"comparator":"<"}}""");
            var (status, html, _) = await _portal.GetAsync("/records/trend/" + id);
            Assert.Equal((HttpStatusCode.OK, false, false), (status, html.Contains("NaN", StringComparison.Ordinal), html.Contains('∞')));
            Assert.Contains("trend-open", html);
        }
        for (var i = 0; i < 230; i++)
            _portal.Record.Add($$$"""{"resourceType":"Observation","code":{"text":"pitkä"},"effectiveDateTime":"2020-01-01","valueQuantity":{"value":{{{i}}}}}""");
        var newest = _portal.Record.Add("""{"resourceType":"Observation","code":{"text":"Pitkä "},"effectiveDateTime":"2026-01-01","valueQuantity":{"value":1}}""");
        var (_, page, _) = await _portal.GetAsync("/records/trend/" + newest);
        Assert.Equal(Trend.Most, Regex.Count(page, "data-point="));
        Assert.Contains("31 are older", page);
        Assert.True(page.Length < 150_000);
    }

    private string Glucose(string day, string value, string unit = "mmol/L") => _portal.Record.Add($$$"""
        {"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"15074-8"}]},"effectiveDateTime":"{{{day}}}",
        "valueQuantity":{"value":{{{value}}},"unit":"{{{unit}}}"},"referenceRange":[{"low":{"value":4,"unit":"mmol/L"},"high":{"value":6.1,"unit":"mmol/L"}}]}
        """);
}
