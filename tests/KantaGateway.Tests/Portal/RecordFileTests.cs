using System.Net;
using System.Text;

namespace KantaGateway.Tests.Portal;

/// <summary>Files of an entry are given to be saved, and run nowhere.</summary>
public sealed class RecordFileTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Theory]
    [InlineData("application/pdf", "application/pdf", "1.pdf")]
    [InlineData("image/png; name=\"Helmi Koe.png\"", "image/png", "1.png")]
    [InlineData("text/html", "application/octet-stream", "1.txt")]
    [InlineData("image/svg+xml", "application/octet-stream", "1.bin")]
    [InlineData("application/javascript", "application/octet-stream", "1.bin")]
    [InlineData("text/plain\r\nX-Evil: 1", "application/octet-stream", "1.bin")]
    [InlineData("", "application/octet-stream", "1.bin")]
    public async Task A_file_is_saved_under_a_name_that_tells_nothing_and_runs_nowhere(string stated, string given, string name)
    {
        var bytes = Encoding.UTF8.GetBytes("<script>alert(1)</script>");
        var attachment = new System.Text.Json.Nodes.JsonObject { ["contentType"] = stated, ["title"] = "Masennuksen hoito", ["data"] = Convert.ToBase64String(bytes) };
        var id = _portal.Record.Add($$"""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{{attachment.ToJsonString()}}}]}""");
        var (_, html, _) = await _portal.GetAsync("/records/entry/DocumentReference/" + id);
        Assert.Contains($"href=\"/records/entry/DocumentReference/{id}/file/1\"", html);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/records/entry/DocumentReference/{id}/file/1") { Headers = { { "Cookie", PortalUnderTest.SessionCookie } } };
        using var response = await _portal.Browser.SendAsync(request);
        Assert.Equal(bytes, await response.Content.ReadAsByteArrayAsync());
        Assert.Equal((given, "attachment", name), (response.Content.Headers.ContentType?.MediaType, response.Content.Headers.ContentDisposition?.DispositionType, response.Content.Headers.ContentDisposition?.FileName));
        Assert.Equal("sandbox; default-src 'none'", response.Headers.GetValues("Content-Security-Policy").Single());
        Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.False(response.Headers.Contains("X-Evil"));
    }

    [Fact]
    public async Task A_file_that_lies_apart_is_fetched_and_its_text_is_shown()
    {
        var text = _portal.Record.Add($$"""{"resourceType":"Binary","contentType":"text/plain","data":"{{Convert.ToBase64String("Kuume laski."u8)}}"}""");
        var picture = _portal.Record.Add("""{"resourceType":"Binary","contentType":"image/png","data":"iVBORw0KGgo="}""");
        var empty = _portal.Record.Add("""{"resourceType":"Binary","contentType":"text/plain"}""");
        var id = _portal.Record.Add($$$"""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"text/plain","url":"Binary/{{{text}}}"}},{"attachment":{"contentType":"image/png","url":"https://localhost:8443/fhir/Binary/{{{picture}}}"}},{"attachment":{"contentType":"text/plain","url":"Binary/{{{empty}}}"}}]}""");
        var (status, html, _) = await _portal.GetAsync("/records/entry/DocumentReference/" + id);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("Kuume laski.", html);
        Assert.DoesNotContain($"GET Binary/{picture}", _portal.Record.Asked);
        var (_, _, response) = await _portal.GetAsync($"/records/entry/DocumentReference/{id}/file/2");
        Assert.Equal("image/png", response.Content.Headers.ContentType?.MediaType);
        Assert.Contains($"GET Binary/{picture}", _portal.Record.Asked);
        Assert.Equal(HttpStatusCode.OK, (await _portal.GetAsync($"/records/entry/DocumentReference/{id}/file/3")).Status);
    }

    [Fact]
    public async Task A_note_of_ten_megabytes_breaks_no_page_and_can_be_saved()
    {
        var note = _portal.Record.Add($$"""{"resourceType":"Binary","contentType":"text/plain","data":"{{Convert.ToBase64String(Encoding.UTF8.GetBytes(new string('x', 10 << 20)))}}"}""");
        var id = _portal.Record.Add($$$"""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"text/plain","url":"Binary/{{{note}}}"}}]}""");
        var (status, html, _) = await _portal.GetAsync("/records/entry/DocumentReference/" + id);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.True(html.Length < 100_000);
        Assert.Equal(10 << 20, (await _portal.GetAsync($"/records/entry/DocumentReference/{id}/file/1")).Html.Length);
    }

    /// <summary>Corrupt, gone, elsewhere, or too large to be held: said as such, with what to do.</summary>
    [Theory]
    [InlineData("""{"contentType":"application/pdf","data":"not base64!"}""")]
    [InlineData("""{"contentType":"application/pdf","url":"Binary/4f6c0b3e-1111-4000-8000-0000000000e1"}""")]
    [InlineData("""{"contentType":"application/pdf","url":"https://elsewhere.example/a.pdf"}""")]
    [InlineData("large")]
    public async Task A_file_that_cannot_be_given_is_told_and_breaks_nothing(string attachment)
    {
        if (attachment == "large")
        {
            var large = _portal.Record.Add($$"""{"resourceType":"Binary","contentType":"application/pdf","data":"{{Convert.ToBase64String(new byte[(20 << 20) + 1])}}"}""");
            attachment = $$"""{"contentType":"application/pdf","url":"Binary/{{large}}"}""";
        }
        var id = _portal.Record.Add($$"""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{{attachment}}}]}""");
        Assert.Equal(HttpStatusCode.OK, (await _portal.GetAsync("/records/entry/DocumentReference/" + id)).Status);
        var (status, _, response) = await _portal.GetAsync($"/records/entry/DocumentReference/{id}/file/1");
        Assert.Equal((HttpStatusCode.SeeOther, $"/records/entry/DocumentReference/{id}"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains("__Host-kanta-notice=file-unavailable", string.Join(' ', response.Headers.GetValues("Set-Cookie")));
    }

    [Theory]
    [InlineData("/records/entry/DocumentReference/4f6c0b3e-1111-4000-8000-0000000000e1/file/1", HttpStatusCode.NotFound)]
    [InlineData("/records/entry/Consent/4f6c0b3e-1111-4000-8000-0000000000e1/file/1", HttpStatusCode.NotFound)]
    [InlineData("/records/entry/Binary/4f6c0b3e-1111-4000-8000-0000000000e1/file/1", HttpStatusCode.NotFound)]
    public async Task There_is_no_file_of_what_is_not_there(string path, HttpStatusCode expected) => Assert.Equal(expected, (await _portal.GetAsync(path)).Status);

    [Theory]
    [InlineData("0")]
    [InlineData("2")]
    [InlineData("-1")]
    public async Task A_number_that_no_file_has_gives_none(string number)
    {
        var id = _portal.Record.Add("""{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"application/pdf","data":"JVBERg=="}}]}""");
        Assert.Equal(HttpStatusCode.SeeOther, (await _portal.GetAsync($"/records/entry/DocumentReference/{id}/file/{number}")).Status);
        Assert.Equal(HttpStatusCode.SeeOther, (await _portal.GetAsync($"/records/entry/DocumentReference/{id}/file/1", cookies: null)).Status);
    }
}
