using System.Net;
using System.Text.Json;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Breach;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Portal;

/// <summary>The citizen sees which apps may read her record, and ends one. What it does to tokens is in CitizenAppTests and RevokedTokenTests.</summary>
public sealed class AppsPagesTests : IAsyncLifetime
{
    private readonly BreachWorld _world = new();
    private readonly IdentifierCipher _ids = new(new byte[32]);
    private readonly AppGrants _grants;
    private readonly AppsOfPerson _apps;
    private PortalUnderTest _portal = null!;

    public AppsPagesTests()
    {
        var (shared, seals, revocations, time) = (new MemoryState(TimeProvider.System), new EphemeralDataProtectionProvider(), new Revocations(null, TimeProvider.System), TimeProvider.System);
        _grants = new(shared, seals, revocations, time);
        _apps = new(shared, seals, _grants, revocations, new(shared, new(revocations, time), seals, time), _ids, PortalUnderTest.Options(false), time);
    }

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync(services: services => services.AddSingleton(_grants).AddSingleton(_apps)
        .AddSingleton(new DisclosureAudit(_world.Audit, _ids, PortalUnderTest.Options(false), TimeProvider.System)));

    public async Task DisposeAsync()
    {
        await _portal.DisposeAsync();
        await _world.DisposeAsync();
    }

    [Theory]
    [InlineData("fi", "Omakunto Sovellukset Oy", "Mittaus tai tutkimustulos", "asti, myös silloin kun et käytä sovellusta", "Ei ole lukenut mitään")]
    [InlineData("sv", "Omakunto Sovellukset Oy", "Mätning eller undersökningsresultat", "också när du inte använder appen", "Har inte läst något")]
    [InlineData("en", "Omakunto Sovellukset Oy", "Measurement or test result", "also while you are not using the app", "It has read nothing since you allowed it")]
    public async Task An_app_stands_there_with_what_it_may_read_and_until_when(string language, params string[] said)
    {
        await LetAsync("omakunto");
        var (status, html, _) = await _portal.GetAsync("/apps", language);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("data-app=\"omakunto\"", html);
        Assert.All(said, text => Assert.Contains(text, html));
    }

    [Fact]
    public async Task The_page_needs_a_session()
    {
        var (status, _, response) = await _portal.GetAsync("/apps", cookies: null);
        Assert.Equal((HttpStatusCode.SeeOther, "/"), (status, response.Headers.Location?.OriginalString));
    }

    [Fact]
    public async Task Where_no_app_may_read_that_is_said()
    {
        var (_, html, _) = await _portal.GetAsync("/apps");
        Assert.Contains("<p data-none>No app may read your records now.</p>", html);
        Assert.DoesNotContain("data-end-app", html);
    }

    [Fact]
    public async Task What_one_app_was_let_at_twice_stands_there_once_and_an_app_that_is_not_registered_by_its_id()
    {
        await LetAsync("omakunto");
        await LetAsync("omakunto", "patient/Condition.rs", access: null);
        await LetAsync("gone");
        var (_, html, _) = await _portal.GetAsync("/apps");
        Assert.Equal(2, html.Split("data-app=").Length - 1);
        Assert.Contains("<li>Diagnosis or health problem</li>", html);
        Assert.Contains("<h2>gone</h2>", html);
        Assert.Contains("no longer registered", html);
    }

    [Fact]
    public async Task One_app_is_ended_and_recorded_and_the_other_stands()
    {
        await LetAsync("omakunto");
        await LetAsync("taskukunto");
        var entries = _world.Audit.Commits;
        var (status, _, response) = await _portal.PostAsync("/apps", new() { ["client"] = "omakunto" });
        Assert.Equal((HttpStatusCode.SeeOther, "/apps"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=app-ended;", StringComparison.Ordinal));
        Assert.Equal(entries + 1, _world.Audit.Commits);
        Assert.True(await _grants.HasEndedAsync(PortalUnderTest.Self, "omakunto", DateTimeOffset.UtcNow));
        var (_, html, _) = await _portal.GetAsync("/apps");
        Assert.DoesNotContain("data-app=\"omakunto\"", html);
        Assert.Contains("data-app=\"taskukunto\"", html);
    }

    [Theory]
    [InlineData("taskukunto")]
    [InlineData("portal")]
    [InlineData("")]
    public async Task What_is_no_app_of_hers_is_not_ended_and_nothing_is_recorded(string client)
    {
        await LetAsync("omakunto");
        var entries = _world.Audit.Commits;
        var (_, _, response) = await _portal.PostAsync("/apps", new() { ["client"] = client });
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=nothing-changed;", StringComparison.Ordinal));
        Assert.Equal(entries, _world.Audit.Commits);
        Assert.Contains("data-app=\"omakunto\"", (await _portal.GetAsync("/apps")).Html);
    }

    [Fact]
    public async Task While_it_cannot_be_recorded_nothing_is_ended_and_that_is_said()
    {
        await LetAsync("omakunto");
        _world.IsAuditAway = true;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await _portal.PostAsync("/apps", new() { ["client"] = "omakunto" })).Status);
        Assert.False(await _grants.HasEndedAsync(PortalUnderTest.Self, "omakunto", DateTimeOffset.UtcNow.AddDays(-1)));
        Assert.Contains("data-app=\"omakunto\"", (await _portal.GetAsync("/apps")).Html);
    }

    [Fact]
    public async Task A_form_without_its_token_ends_nothing()
    {
        await LetAsync("omakunto");
        using var request = new HttpRequestMessage(HttpMethod.Post, "/apps") { Content = new FormUrlEncodedContent([new("client", "omakunto")]) };
        Assert.Equal(HttpStatusCode.BadRequest, (await _portal.SendAsync(request, "en", PortalUnderTest.SessionCookie)).Status);
        Assert.Contains("data-app=\"omakunto\"", (await _portal.GetAsync("/apps")).Html);
    }

    [Theory]
    [InlineData(0, "never")]
    [InlineData(1_001, "not-lately")]
    public async Task That_an_app_has_read_nothing_is_said_only_where_all_was_looked_at(int refused, string told)
    {
        await LetAsync("omakunto");
        Given("omakunto", DateTimeOffset.UtcNow.AddDays(-1));
        _portal.Record.Log.Refuse(refused);
        Assert.Contains($"data-read=\"{told}\"", (await _portal.GetAsync("/apps")).Html);
    }

    [Fact]
    public async Task When_an_app_has_read_last_is_told_and_not_what_another_has_read()
    {
        await LetAsync("omakunto");
        await LetAsync("taskukunto");
        var now = DateTimeOffset.UtcNow;
        Given("omakunto", now.AddMinutes(1));
        Given("omakunto", now.AddMinutes(2));
        var (_, html, _) = await _portal.GetAsync("/apps");
        Assert.Contains($"data-read=\"{now.AddMinutes(2):yyyy-MM-dd'T'HH:mm:ss'Z'}\"", html);
        Assert.Contains("data-read=\"never\"", html);
    }

    /// <summary>By as much as of an emergency and its entries, which are told of the same log.</summary>
    [Theory]
    [InlineData(4, false)]
    [InlineData(6, true)]
    public async Task Clocks_of_who_allows_and_who_logs_may_differ_by_minutes(int minutes, bool isNever)
    {
        await LetAsync("omakunto");
        Given("omakunto", DateTimeOffset.UtcNow.AddMinutes(-minutes));
        Assert.Equal(isNever, (await _portal.GetAsync("/apps")).Html.Contains("data-read=\"never\"", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_same_is_told_and_ended_as_json()
    {
        await LetAsync("omakunto");
        await LetAsync("taskukunto");
        var (status, json) = await _portal.AskAsync("/apps/v1/apps");
        Assert.Equal(HttpStatusCode.OK, status);
        var apps = JsonElement.Parse(json).GetProperty("apps").EnumerateArray().ToList();
        Assert.Equal([("omakunto", "Omakunto", "never"), ("taskukunto", "Taskukunto", "never")], apps.Select(app => (app.GetProperty("client").GetString(), app.GetProperty("name").GetString(), app.GetProperty("read").GetString())));
        Assert.Equal("Measurement or test result", apps[0].GetProperty("may")[0].GetString());
        var entries = _world.Audit.Commits;
        Assert.Equal(HttpStatusCode.NoContent, (await _portal.AskAsync("/apps/v1/end", """{"client":"omakunto"}""", "same-origin")).Status);
        Assert.Equal(entries + 1, _world.Audit.Commits);
        Assert.True(await _grants.HasEndedAsync(PortalUnderTest.Self, "omakunto", DateTimeOffset.UtcNow));
        Assert.DoesNotContain("data-app=\"omakunto\"", (await _portal.GetAsync("/apps")).Html);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.AskAsync("/apps/v1/end", """{"client":"omakunto"}""")).Status);
    }

    [Theory]
    [InlineData("cross-site", PortalUnderTest.SessionCookie, HttpStatusCode.Forbidden)]
    [InlineData("same-site", PortalUnderTest.SessionCookie, HttpStatusCode.Forbidden)]
    [InlineData("same-origin", null, HttpStatusCode.Unauthorized)]
    public async Task Neither_another_site_nor_a_stranger_lists_or_ends_any(string from, string? cookies, HttpStatusCode expected)
    {
        await LetAsync("omakunto");
        Assert.Equal(expected, (await _portal.AskAsync("/apps/v1/apps", null, from, cookies)).Status);
        Assert.Equal(expected, (await _portal.AskAsync("/apps/v1/end", """{"client":"omakunto"}""", from, cookies)).Status);
        Assert.Contains("data-app=\"omakunto\"", (await _portal.GetAsync("/apps")).Html);
    }

    [Fact]
    public async Task While_the_log_is_away_the_apps_stand_there_and_can_be_ended()
    {
        await LetAsync("omakunto");
        _portal.Record.Log.IsAway = true;
        var (status, html, _) = await _portal.GetAsync("/apps");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("data-read=\"unknown\"", html);
        Assert.Equal(HttpStatusCode.SeeOther, (await _portal.PostAsync("/apps", new() { ["client"] = "omakunto" })).Status);
        Assert.Contains("data-none", (await _portal.GetAsync("/apps")).Html);
    }

    private async Task LetAsync(string client, string scope = "patient/Observation.rs", string? access = AppGrants.OfflineAccess)
    {
        var (allowed, grant) = (new AllowedRequest(new(client, "https://app.example/", null, "", [scope]) { Access = access }, _ids.PatientId(PortalUnderTest.Self), null), AppGrants.IdOf(Guid.NewGuid().ToString()));
        await _apps.KeepAsync(allowed, grant);
        if (access is not null)
            await _grants.BeginAsync(allowed, grant, null, "certificate");
    }

    private void Given(string client, DateTimeOffset when) => _portal.Record.Log.Lines.Add(new(_portal.Record.Log.Lines.Count + 1, when, "Omakunto Sovellukset Oy", "1.2.246.10.99000077", "read", "PATRQT", "own-data",
        [new AuditItem("Observation", Guid.NewGuid().ToString("D"), "1", "1.2.246.10.1")], client == "portal", client == "portal" ? null : "Omakunto", ClientId: client));
}
