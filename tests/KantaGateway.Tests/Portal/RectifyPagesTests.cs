using System.Net;

namespace KantaGateway.Tests.Portal;

/// <summary>A request to have an entry corrected (GDPR Art. 16): ready for paper, and nowhere but on the page.</summary>
public sealed class RectifyPagesTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;
    private string _entry = "";

    public async Task InitializeAsync()
    {
        _portal = await PortalUnderTest.StartAsync();
        var id = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Kohonnut verenpaine"},"onsetDateTime":"2026-03-12"}""", PortalUnderTest.Hospital);
        _entry = $"/records/entry/Condition/{id}";
    }

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Theory]
    [InlineData("fi", "Pyyntö potilastietojen oikaisemiseksi", "Perustelut")]
    [InlineData("sv", "Begäran om rättelse av patientuppgifter", "Motivering")]
    [InlineData("en", "Request for rectification of patient data", "Grounds")]
    public async Task What_was_written_stands_in_a_request_to_the_controller_with_the_entry_that_it_is_about(string language, string title, string grounds)
    {
        var (status, html, response) = await PostAsync(new() { ["wrong"] = "Arvo <b>on</b> toisen.\nMinulla ei ole sitä.", ["right"] = "Poistakaa se.", ["why"] = "" }, language);
        Assert.Equal((HttpStatusCode.OK, true), (status, response.Headers.CacheControl?.NoStore));
        var request = html[html.IndexOf("data-rectification", StringComparison.Ordinal)..];
        foreach (var said in (string[])[title, "Keskussairaala", "Kohonnut verenpaine", _entry.Split('/')[^1], "Arvo &lt;b&gt;on&lt;/b&gt; toisen.", "Poistakaa se.", "2016/679"])
            Assert.Contains(said, request);
        // On paper too there is a heading of the whole.
        Assert.Contains($"<h1>{title}</h1>", request);
        // Grounds that were not given have no heading.
        Assert.DoesNotContain($"<dt>{grounds}</dt>", request);
    }

    [Fact]
    public async Task It_is_said_before_and_after_that_nothing_is_sent_or_stored_and_nothing_is()
    {
        Assert.Contains("neither sends nor stores", (await _portal.GetAsync(_entry + "/rectify")).Html);
        var (_, html, response) = await PostAsync(new() { ["wrong"] = "tämä salainen teksti", ["right"] = "tuo", ["why"] = "siksi" });
        Assert.Contains("neither sent nor stored", html);
        Assert.DoesNotContain("salainen", response.RequestMessage!.RequestUri!.ToString());
        Assert.DoesNotContain("salainen", html.Split("</title>")[0]);
        Assert.DoesNotContain(_portal.Record.Asked, asked => asked.StartsWith("PUT", StringComparison.Ordinal) || asked == "POST Consent");
        Assert.DoesNotContain("salainen", (await _portal.GetAsync(_entry + "/rectify")).Html);
    }

    [Theory]
    [InlineData("wrong", " ", "#wrong")]
    [InlineData("right", "", "#right")]
    [InlineData("wrong", null, "#wrong")]
    [InlineData("why", null, "#why")]
    public async Task A_field_that_lacks_or_is_too_long_is_named_and_nothing_that_was_written_is_lost(string field, string? typed, string link)
    {
        var fields = new Dictionary<string, string> { ["wrong"] = "väärä arvo", ["right"] = "oikea arvo", ["why"] = "peruste", [field] = typed ?? new string('ä', 3_001) };
        var (status, html, _) = await PostAsync(fields);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains($"href=\"{link}\"", html);
        Assert.Contains($"id=\"{field}-error\"", html);
        Assert.DoesNotContain("data-rectification", html);
        foreach (var (name, value) in fields)
            Assert.Contains($">{value.Trim()}</textarea>", html);
    }

    [Fact]
    public async Task As_many_letters_as_the_field_takes_are_taken_line_breaks_counted_as_one()
    {
        var (status, _, _) = await PostAsync(new() { ["wrong"] = string.Join("\r\n", Enumerable.Repeat("", 1_501)) + new string('x', 1_500), ["right"] = "y" });
        Assert.Equal(HttpStatusCode.OK, status);
    }

    [Fact]
    public async Task What_was_written_can_be_changed_again()
    {
        var (status, html, _) = await PostAsync(new() { ["wrong"] = "rivi\nrivi", ["right"] = "\"oikea\"", ["why"] = "peruste", ["edit"] = "yes" });
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains(">&quot;oikea&quot;</textarea>", html);
        Assert.DoesNotContain("data-rectification", html);
    }

    [Fact]
    public async Task Of_an_entry_that_is_not_there_nothing_can_be_asked()
    {
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync("/records/entry/Condition/00000000-0000-4000-8000-000000000000/rectify")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync(_entry.Replace("Condition", "Consent", StringComparison.Ordinal) + "/rectify")).Status);
        Assert.Contains($"href=\"{_entry}/rectify\"", (await _portal.GetAsync(_entry)).Html);
    }

    private Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> PostAsync(Dictionary<string, string> fields, string language = "en") => _portal.PostAsync(_entry + "/rectify", fields, language: language);
}
