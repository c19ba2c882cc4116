using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Portal;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Tests.Portal;

/// <summary>What every page must hold, whatever it shows.</summary>
public sealed partial class PageSafetyTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    public static TheoryData<string> Pages => ["/records", "/records/timeline", "/records/kind/results", "/records/rectifications", "/consent", "/consent/inform", "/consent/permit", "/consent/deny", "/consent/print", "/consent/history", "/access-log", "/access-log/special", "/inbox", "/download"];

    [Theory]
    [MemberData(nameof(Pages))]
    public async Task A_page_of_the_citizen_needs_a_session(string path)
    {
        var (status, html, response) = await _portal.GetAsync(path, cookies: null);
        Assert.Equal((HttpStatusCode.SeeOther, "/", ""), (status, response.Headers.Location?.ToString(), html));
        Assert.Empty(_portal.Record.Asked);
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=sign-in-first", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("done", "signed-out")]
    [InlineData("failed", "sign-out-failed")]
    [InlineData("sign-in-first", "sign-out-needs-sign-in")]
    public async Task How_signing_out_ended_is_told_once(string ended, string notice)
    {
        var (status, _, response) = await _portal.GetAsync("/?signout=" + ended, cookies: null);
        Assert.Equal((HttpStatusCode.SeeOther, "/"), (status, response.Headers.Location?.ToString()));
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith($"__Host-kanta-notice={notice};", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/?signout=done")]
    [InlineData("/?acting=begun")]
    public async Task A_link_from_anywhere_tells_nothing_that_is_not_so(string link)
    {
        var (status, _, response) = await _portal.GetAsync(link);
        Assert.Equal((HttpStatusCode.SeeOther, "/", false), (status, response.Headers.Location?.ToString(), response.Headers.Contains("Set-Cookie")));
    }

    [Fact]
    public async Task A_link_to_go_on_never_leads_to_another_host()
    {
        var (_, html, _) = await _portal.GetAsync($"{_portal.Address.GetLeftPart(UriPartial.Authority)}//evil.example/records");
        Assert.Contains("<a class=\"button\" href=\"/\">", html);
        Assert.DoesNotContain("href=\"//evil.example", html);
    }

    [Fact]
    public async Task A_session_is_prolonged_where_the_page_stands()
    {
        var (status, json, response) = await _portal.GetAsync("/session", "sv");
        Assert.Equal((HttpStatusCode.OK, true), (status, response.Headers.CacheControl?.NoStore));
        var told = System.Text.Json.JsonElement.Parse(json);
        Assert.InRange(told.GetProperty("ends").GetDateTimeOffset(), DateTimeOffset.UtcNow.AddMinutes(14), DateTimeOffset.UtcNow.AddMinutes(15));
        Assert.Contains("Din session", told.GetProperty("text").GetString());
        Assert.Equal(HttpStatusCode.Unauthorized, (await _portal.GetAsync("/session", cookies: null)).Status);
    }

    [Theory]
    [InlineData("/", "/")]
    [InlineData("/records/timeline", "/records")]
    [InlineData("/consent/inform", "/consent")]
    [InlineData("/access-log/special", "/access-log")]
    [InlineData("/recordsofall", null)]
    public async Task A_page_marks_the_section_that_it_belongs_to_and_no_other(string path, string? section)
    {
        var (_, html, _) = await _portal.GetAsync(path);
        var navigation = html.Split("class=\"site-nav\"")[1].Split("</nav>")[0];
        Assert.Equal(section is null ? [] : [$"<a href=\"{section}\" aria-current=\"page\">"], Regex.Matches(navigation, "<a [^>]*aria-current=\"page\"[^>]*>").Select(m => m.Value));
    }

    [Fact]
    public void Only_eight_pages_are_open_to_all()
    {
        var open = typeof(Texts).Assembly.GetTypes().Where(t => typeof(PageModel).IsAssignableFrom(t) && t.GetCustomAttributes(typeof(OpenToAllAttribute), true).Length > 0);
        Assert.Equal(["AboutModel", "AccessibilityModel", "AuthorizeModel", "HelpModel", "IndexModel", "NotFoundModel", "NoticeCheckModel", "WithoutIdentityCodeModel"], open.Select(t => t.Name).Order());
    }

    [Fact]
    public async Task A_session_that_ended_is_told_and_not_confused_with_a_bad_form()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/consent/permit") { Content = new FormUrlEncodedContent([new("permit", "yes")]) };
        var (status, _, response) = await _portal.SendAsync(request, "en", "__Host-kanta=over");
        Assert.Equal(HttpStatusCode.SeeOther, status);
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=session-ended", StringComparison.Ordinal));
        var (_, html, _) = await _portal.GetAsync("/", cookies: "__Host-kanta-notice=session-ended");
        Assert.Contains("data-notice=\"session-ended\"", html);
    }

    [Fact]
    public async Task The_start_page_tells_once_that_the_session_ended()
    {
        var (status, _, response) = await _portal.GetAsync("/", cookies: "__Host-kanta=over");
        var cookies = response.Headers.GetValues("Set-Cookie").ToArray();
        Assert.Equal(HttpStatusCode.SeeOther, status);
        Assert.Contains(cookies, c => c.StartsWith("__Host-kanta=;", StringComparison.Ordinal));
        Assert.Contains(cookies, c => c.StartsWith("__Host-kanta-notice=session-ended", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/consent/inform")]
    [InlineData("/consent/permit")]
    [InlineData("/consent/deny")]
    [InlineData("/consent/withdraw")]
    [InlineData("/access-log/special")]
    public async Task A_form_without_its_token_changes_nothing(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Content = new FormUrlEncodedContent([new("version", "2026-2"), new("informed", "yes"), new("permit", "yes"), new("target", "all")]),
        };
        var (status, html, _) = await _portal.SendAsync(request, "en", PortalUnderTest.SessionCookie);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Contains("<h1>The request could not be handled</h1>", html);
        Assert.Empty(_portal.Record.Of("Consent"));
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/about")]
    [InlineData("/help")]
    [InlineData("/accessibility")]
    [InlineData("/without-identity-code")]
    [InlineData("/records")]
    [InlineData("/no-such-page")]
    public async Task Nothing_foreign_runs_in_a_page_and_nothing_of_it_is_kept(string path)
    {
        var (_, html, response) = await _portal.GetAsync(path);
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.Equal("default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'; form-action 'self'", response.Headers.GetValues("Content-Security-Policy").Single());
        Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.Equal("same-origin", response.Headers.GetValues("Referrer-Policy").Single());
        Assert.DoesNotMatch(Inline(), html);
        Assert.DoesNotMatch(Elsewhere(), html);
    }

    [Fact]
    public async Task Every_cookie_is_bound_to_this_host_and_encrypted_connections()
    {
        await _portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        var (_, _, page) = await _portal.GetAsync("/consent/permit");
        var (_, _, language) = await _portal.GetAsync("/language/sv?back=/about");
        var (_, _, away) = await _portal.GetAsync("/records", cookies: null);
        var cookies = new[] { page, language, away }.SelectMany(r => r.Headers.GetValues("Set-Cookie")).ToArray();
        Assert.Equal(3, cookies.Length);
        Assert.All(cookies, cookie =>
        {
            Assert.StartsWith("__Host-", cookie);
            foreach (var attribute in (string[])["; path=/", "; secure", "; httponly", "; samesite="])
                Assert.Contains(attribute, cookie, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain("domain=", cookie, StringComparison.OrdinalIgnoreCase);
        });
    }

    [Theory]
    [InlineData("/records/timeline", "/records/timeline")]
    [InlineData("https://evil.example/", "/")]
    [InlineData("//evil.example/", "/")]
    [InlineData("/\\evil.example/", "/")]
    [InlineData("/\t/evil.example/", "/")]
    [InlineData("/\r\n/evil.example/", "/")]
    [InlineData("/records\\..//evil.example/", "/")]
    [InlineData("/ä", "/")]
    [InlineData("/records?page=2&kind=%C3%A4", "/records?page=2&kind=%C3%A4")]
    public async Task The_language_switch_leads_back_into_the_portal_only(string back, string expected)
    {
        var (status, _, response) = await _portal.GetAsync($"/language/sv?back={Uri.EscapeDataString(back)}");
        Assert.Equal((HttpStatusCode.SeeOther, expected), (status, response.Headers.Location?.OriginalString));
    }

    [Theory]
    [InlineData("sv-FI, fi;q=0.8", null, "sv")]
    [InlineData("en-GB", null, "en")]
    [InlineData("de", null, "fi")]
    [InlineData("en-GB", "sv", "sv")]
    public async Task The_language_is_the_chosen_one_else_the_browsers_else_Finnish(string accepted, string? chosen, string expected)
    {
        var (_, html, _) = await _portal.GetAsync("/", accepted, chosen is null ? null : $"__Host-kanta-language={chosen}");
        Assert.Contains($"<html lang=\"{expected}\">", html);
    }

    [Fact]
    public async Task What_a_record_says_is_shown_and_never_run()
    {
        var id = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"<script>alert(1)</script>"},"note":[{"text":"<img src=x onerror=alert(1)>"}]}""");
        foreach (var path in (string[])["/records", "/records/timeline", $"/records/entry/Condition/{id}"])
        {
            var (status, html, _) = await _portal.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.DoesNotContain("<script>alert", html);
            Assert.DoesNotContain("<img src=x", html);
            Assert.Contains("&lt;script&gt;alert", html);
        }
    }

    [Fact]
    public async Task A_title_says_what_kind_of_page_it_is_and_not_what_the_record_says()
    {
        var id = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Keskivaikea masennustila"}}""");
        var (_, html, _) = await _portal.GetAsync($"/records/entry/Condition/{id}");
        Assert.Contains("<title>Diagnosis or health problem – My health records</title>", html);
        Assert.Contains("<h1>Keskivaikea masennustila</h1>", html);
    }

    [Theory]
    [InlineData(404, 404)]
    [InlineData(403, 403)]
    [InlineData(503, 503)]
    [InlineData(502, 503)]
    [InlineData(500, 500)]
    public async Task A_refused_request_becomes_a_page_that_shows_nothing_of_the_record(int refused, int shown)
    {
        _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Keskivaikea masennustila"}}""");
        _portal.Record.Broken = refused;
        var (status, html, response) = await _portal.GetAsync("/records");
        Assert.Equal(shown, (int)status);
        Assert.Contains("<h1>", html);
        Assert.DoesNotContain("masennustila", html);
        Assert.True(response.Headers.CacheControl?.NoStore);
    }

    [GeneratedRegex("""<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:""", RegexOptions.IgnoreCase)]
    private static partial Regex Inline();

    /// <summary>Anything loaded from or sent to another site; a link to read is none.</summary>
    [GeneratedRegex("""(?:src|action)="(?:https?:)?//|<link[^>]*href="(?:https?:)?//""", RegexOptions.IgnoreCase)]
    private static partial Regex Elsewhere();
}
