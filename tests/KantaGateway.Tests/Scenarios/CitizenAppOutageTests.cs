using System.Net;
using KantaGateway.Dev;
using KantaGateway.Tests.Identification;

namespace KantaGateway.Tests.Scenarios;

/// <summary>What citizens and their apps are told while the shared store is away, and where too much comes from one place.</summary>
public sealed class CitizenAppOutageTests : IAsyncLifetime
{
    private readonly CitizenAppTests.World _world = new();
    private TestRedis? _redis;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await _world.DisposeAsync();
        if (_redis is not null)
            await _redis.DisposeAsync();
    }

    [Fact]
    public async Task While_the_shared_store_is_away_everybody_is_told_to_come_again_and_nothing_is_said_to_be_over()
    {
        _redis = await TestRedis.StartAsync();
        await _world.StartAsync(_redis.Connection + ",connectTimeout=200,connectRetry=0,syncTimeout=500,asyncTimeout=500");
        using var app = new CitizenAppTests.App(_world);
        using var browser = _world.NewBrowser();
        await _world.SignInAsync(browser, "/signin");
        var code = await app.CodeAsync();
        var request = await app.PushAsync();
        var question = await _world.OpenAsync(browser, app.AuthorizeUrl(request));
        var home = await _world.OpenAsync(browser, "/");
        Assert.Equal((200, 200), (question.Status, home.Status));
        await _redis.StopAsync();

        // The app: what it pushes, and its code.
        using var push = await app.PostAsync("/connect/par", app.Request());
        await IsOutageAsync(push, "temporarily_unavailable");
        using var redeem = await app.PostAsync("/connect/token", app.Redemption(code));
        await IsOutageAsync(redeem, "temporarily_unavailable");

        // The citizen: plain words on every page that her session opens, and her cookie stays.
        foreach (var path in new[] { "/", "/records", "/access-log", app.AuthorizeUrl(request) })
        {
            using var page = await browser.GetAsync(path);
            await IsOutageAsync(page, "<h1>The service is not available just now</h1>");
            Assert.DoesNotContain("Set-Cookie", page.Headers.Select(header => header.Key));
        }
        using var answer = await browser.PostAsync("/connect/authorize", new FormUrlEncodedContent(question.Form("authorize-form")!.Fields.Append(new("answer", "allow"))));
        await IsOutageAsync(answer, "<h1>The service is not available just now</h1>");
        // A stranger can read what needs nobody.
        using var stranger = _world.NewBrowser();
        Assert.Equal(200, (await _world.OpenAsync(stranger, "/")).Status);
        Assert.Equal(503, (await _world.OpenAsync(stranger, app.AuthorizeUrl(request))).Status);

        // Signing out is not said to be done.
        foreach (var path in new[] { "/signout", "/signout/everywhere" })
        {
            using var left = await browser.PostAsync(path, new FormUrlEncodedContent(home.Form("sign-out")!.Fields));
            Assert.Equal((HttpStatusCode.SeeOther, "/?signout=failed"), (left.StatusCode, left.Headers.Location!.OriginalString));
            using var told = await browser.GetAsync("/?signout=failed");
            Assert.Equal(HttpStatusCode.SeeOther, told.StatusCode);
            using var start = await browser.GetAsync("/");
            await IsOutageAsync(start, "data-notice=\"sign-out-failed\"");
            Assert.Contains("Your session may still be open.", await start.Content.ReadAsStringAsync());
        }
    }

    [Theory]
    [InlineData("fi", "Uloskirjautuminen ei onnistunut", "Istuntosi voi olla vielä auki.")]
    [InlineData("sv", "Utloggningen misslyckades", "Din session kan ännu vara öppen.")]
    [InlineData("en", "Signing out did not succeed", "Your session may still be open.")]
    public async Task That_signing_out_failed_is_told_once(string language, string title, string text)
    {
        await using var portal = await Portal.PortalUnderTest.StartAsync();
        var (status, _, response) = await portal.GetAsync("/?signout=failed", language);
        Assert.Equal(HttpStatusCode.SeeOther, status);
        var notice = response.Headers.GetValues("Set-Cookie").Single(cookie => cookie.StartsWith("__Host-kanta-notice=sign-out-failed;", StringComparison.Ordinal)).Split(';')[0];
        var (_, html, told) = await portal.GetAsync("/", language, notice);
        Assert.Contains(title, html);
        Assert.Contains(text, html);
        Assert.Contains(told.Headers.GetValues("Set-Cookie"), cookie => cookie.StartsWith("__Host-kanta-notice=;", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Who_opens_too_many_requests_that_are_none_waits_and_answers_are_counted()
    {
        await _world.StartAsync();
        using var seen = new SeenMetrics();
        seen.Listen(_world.Services);
        using var app = new CitizenAppTests.App(_world);
        using var browser = _world.NewBrowser();
        await _world.SignInAsync(browser, "/signin");
        await _world.AnswerAsync(browser, await _world.OpenAsync(browser, app.AuthorizeUrl(await app.PushAsync())), "allow");
        await _world.AnswerAsync(browser, await _world.OpenAsync(browser, app.AuthorizeUrl(await app.PushAsync())), "deny");
        Assert.Equal((1, 1), (seen.Count("kanta.identification.accepted", "answer"), seen.Count("kanta.identification.refused", "answer", "denied")));

        var request = await app.PushAsync();
        using var stranger = _world.NewBrowser();
        for (var i = 0; i < DevHostOptions.FailuresPerMinute; i++)
            Assert.Equal(HttpStatusCode.BadRequest, (await stranger.GetAsync(app.AuthorizeUrl("urn:x"))).StatusCode);
        using var held = await stranger.GetAsync(app.AuthorizeUrl(request));
        Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
        Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Contains("<h1>Too many attempts</h1>", await held.Content.ReadAsStringAsync());
        Assert.Equal((DevHostOptions.FailuresPerMinute, 1), (seen.Count("kanta.identification.refused", "answer", "none"), seen.Count("kanta.identification.limited", "requests")));
        // Nothing else waits for it: sign-ins, pushes, pages.
        Assert.Equal(HttpStatusCode.Redirect, (await stranger.GetAsync("/signin")).StatusCode);
        _ = await app.PushAsync();
        Assert.Equal(200, (await _world.OpenAsync(browser, "/records")).Status);
    }

    private static async Task IsOutageAsync(HttpResponseMessage response, string says)
    {
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.InRange(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Contains(says, await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }
}
