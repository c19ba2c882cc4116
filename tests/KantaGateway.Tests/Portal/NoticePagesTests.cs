using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations;
using KantaGateway.Gateway.Portal;
using KantaGateway.Simulators;
using KantaGateway.Tests.Breach;
using KantaGateway.Tests.Identification;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Portal;

/// <summary>From the notice in the inbox to what helps, and the page on which anybody checks a notice.</summary>
public sealed partial class NoticePagesTests : IAsyncLifetime
{
    private readonly BreachWorld _world = new();
    private PortalUnderTest _portal = null!;
    private BreachNotice _notice = null!;
    private string _condition = "";

    public async Task InitializeAsync()
    {
        _portal = await PortalUnderTest.StartAsync(breach: _world.Options.Breach, services: services => services.AddSingleton(_world.Notices).AddSingleton(_world.Cases).AddSingleton<ForgeryReports>());
        _condition = _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Keskivaikea masennustila"}}""");
        await _world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        _world.Clock.Advance(TimeSpan.FromDays(1));
        await _world.SendAsync(new AffectedPerson(PortalUnderTest.Self, [new("Condition", _condition), new("Observation", "5b0c8a34-0000-4000-8000-000000000002")]));
        _notice = _world.Notices.Of(PortalUnderTest.Self)[0].Notice;
    }

    public async Task DisposeAsync()
    {
        await _portal.DisposeAsync();
        await _world.DisposeAsync();
    }

    private string Page => "/notices/" + _notice.Id;

    [Fact]
    public async Task A_notice_stands_on_the_start_page_until_it_is_opened_and_that_is_kept()
    {
        Assert.Contains("data-breach-notices=\"1\"", (await _portal.GetAsync("/")).Html);
        Assert.Contains("data-read=\"no\"", (await _portal.GetAsync("/notices")).Html);
        Assert.Equal(0, _world.Notices.CountOf(1).Read);
        Assert.Equal(HttpStatusCode.OK, (await _portal.GetAsync(Page)).Status);
        Assert.Equal(1, _world.Notices.CountOf(1).Read);
        Assert.DoesNotContain("data-breach-notices", (await _portal.GetAsync("/")).Html);
        Assert.Contains("data-read=\"yes\"", (await _portal.GetAsync("/notices")).Html);
    }

    [Theory]
    [InlineData("fi", "Mitä sinulta on viety", "Palvelimelle murtauduttiin.", "Tee rikosilmoitus")]
    [InlineData("sv", "Vad som har tagits från dig", "Ett intrång gjordes i en server.", "Gör en brottsanmälan")]
    [InlineData("en", "What was taken from you", "A server was broken into.", "Report it to the police")]
    public async Task It_says_in_three_languages_what_was_taken_of_this_person_and_what_helps(string language, string title, string words, string action)
    {
        var (_, html, response) = await _portal.GetAsync(Page, language);
        Assert.Contains(title, html);
        Assert.Contains(words, html);
        Assert.Contains(action, html);
        Assert.Contains($"data-code=\"{_notice.Code}\"", html);
        Assert.Contains("data-taken=\"2\"", html);
        Assert.Contains($"data-entry=\"{_condition}\"", html);
        Assert.Contains("Keskivaikea masennustila", html);
        // What the portal does not show is named all the same.
        Assert.Contains("data-unshown", html);
        Assert.Contains("116 006", html);
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.DoesNotMatch(Inline(), html);
        Assert.DoesNotContain("masennustila", Title().Match(html).Value);
    }

    [Fact]
    public async Task What_she_has_done_is_kept_with_her_and_can_be_taken_back()
    {
        Assert.Contains("data-action=\"credit\" data-done=\"no\"", (await _portal.GetAsync(Page)).Html);
        var (status, _, response) = await _portal.PostAsync(Page, new() { ["what"] = "credit", ["done"] = "yes" });
        Assert.Equal((HttpStatusCode.SeeOther, Page), (status, response.Headers.Location?.OriginalString));
        var (_, html, _) = await _portal.GetAsync(Page);
        Assert.Contains("data-action=\"credit\" data-done=\"yes\"", html);
        Assert.Contains("data-action=\"police\" data-done=\"no\"", html);
        await _portal.PostAsync(Page, new() { ["what"] = "credit", ["done"] = "no" });
        Assert.Contains("data-action=\"credit\" data-done=\"no\"", (await _portal.GetAsync(Page)).Html);
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.PostAsync(Page, new() { ["what"] = "nothing-known", ["done"] = "yes" })).Status);
    }

    [Theory]
    [InlineData("police", true)]
    [InlineData("credit", false)]
    [InlineData("address", false)]
    [InlineData("register", false)]
    [InlineData("rights", true)]
    public async Task A_statement_is_filled_in_and_leaves_the_identity_code_to_the_pen(string what, bool tellsKinds)
    {
        foreach (var (language, kinds) in ((string, string)[])[("fi", "Viedyt tiedot lajeittain"), ("sv", "Uppgifter som tagits, enligt slag"), ("en", "Data that was taken, by kind")])
        {
            var (status, html, _) = await _portal.GetAsync($"{Page}/print/{what}", language);
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Contains($"data-statement=\"{what}\"", html);
            Assert.Contains(_notice.Code, html);
            Assert.DoesNotContain("masennustila", html);
            Assert.DoesNotContain("{0}", html);
            // When she was told stands before when it became known. Whoever keeps a register of credit or addresses does not learn that somebody has been treated.
            var (told, known) = NoticeLetters.Speaking(language, () => (Dates.Day(_notice.SentAt), Dates.Day(_notice.AwareAt)));
            Assert.Matches($"{Regex.Escape(told)}.*{Regex.Escape(known)}", html);
            Assert.Equal(tellsKinds, html.Contains(kinds, StringComparison.Ordinal));
        }
        Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync($"{Page}/print/quiet")).Status);
    }

    [Fact]
    public async Task What_the_organisation_owes_and_whether_it_has_stands_there()
    {
        Assert.Contains("data-duty=\"authority\" data-met=\"no\"", (await _portal.GetAsync(Page)).Html);
        await _world.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tero", "Tietosuojavaltuutettu", "TSV/1");
        var (_, html, _) = await _portal.GetAsync(Page);
        Assert.Contains("data-duty=\"authority\" data-met=\"yes\"", html);
        Assert.Contains("data-duty=\"contained\" data-met=\"no\"", html);
    }

    [Fact]
    public async Task A_notice_of_another_person_is_none()
    {
        await _world.SendAsync(new AffectedPerson(Pseudonym.Read("somebody-9"u8), []));
        var others = _world.Notices.Of(Pseudonym.Read("somebody-9"u8))[0].Notice;
        foreach (var path in (string[])[$"/notices/{others.Id}", $"/notices/{others.Id}/print/police", "/notices/..%2f..%2fcodes", "/notices/x"])
            Assert.Equal(HttpStatusCode.NotFound, (await _portal.GetAsync(path)).Status);
        Assert.Equal(HttpStatusCode.SeeOther, (await _portal.GetAsync(Page, cookies: null)).Status);
    }

    [Fact]
    public async Task Anybody_checks_a_code_without_signing_in_and_learns_nothing_of_anybody()
    {
        Assert.Equal(HttpStatusCode.OK, (await _portal.GetAsync("/notice-check", cookies: null)).Status);
        var real = await PostOpenAsync("/notice-check", new() { ["code"] = _notice.Code.ToLowerInvariant() });
        Assert.Contains("data-check=\"real\"", real.Html);
        Assert.DoesNotContain("masennustila", real.Html);
        Assert.Contains("data-check=\"none\"", (await PostOpenAsync("/notice-check", new() { ["code"] = NoticeCode.Create().Reveal() })).Html);
        var bad = await PostOpenAsync("/notice-check", new() { ["code"] = "<b>hello</b>" });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, bad.Status);
        Assert.DoesNotContain("<b>hello", bad.Html);
        Assert.Equal(0, _world.Notices.CountOf(1).Read);
    }

    [Fact]
    public async Task Who_tries_codes_is_held_back_before_anything_is_looked_up()
    {
        var authority = DevelopmentAuthority.Create();
        await using var portal = await PortalUnderTest.StartAsync(breach: _world.Options.Breach, services: services => services.AddSingleton(_world.Notices).AddSingleton(_world.Cases).AddSingleton<ForgeryReports>()
            .AddSingleton<ISharedState>(new MemoryState(TimeProvider.System)).AddSingleton<IIdentificationObserver>(new SeenRefusals()).AddSingleton<IdentificationMetrics>().AddMetrics().AddSingleton<AttemptLimits>()
            .AddSingleton(new OrganisationCertificates(authority.CertificatePem, [new() { Authority = authority.Fingerprint, Unchecked = true }], new HttpClient(), TimeProvider.System, NullLogger<OrganisationCertificates>.Instance)));
        Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> TryAsync(string code) => portal.PostAsync("/notice-check", new() { ["code"] = code }, cookies: "none=1");
        // Who checks a real one may do so as often as she likes.
        for (var i = 0; i < 3; i++)
            Assert.Contains("data-check=\"real\"", (await TryAsync(_notice.Code)).Html);
        var tries = 0;
        while ((await TryAsync(NoticeCode.Create().Reveal())).Status == HttpStatusCode.OK)
            Assert.InRange(++tries, 1, PortalUnderTest.Options(false).Identification.FailuresPerMinute);
        var held = await TryAsync(_notice.Code);
        Assert.Equal(HttpStatusCode.TooManyRequests, held.Status);
        Assert.NotNull(held.Response.Headers.RetryAfter);
        Assert.DoesNotContain("data-check", held.Html);
    }

    [Fact]
    public async Task A_forged_notice_is_reported_by_ticks_alone()
    {
        var (status, _, response) = await PostOpenAsync("/notice-check?handler=Report", new() { ["way"] = "email", ["money"] = "yes", ["free"] = "my name is" });
        Assert.Equal((HttpStatusCode.SeeOther, "/notice-check"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains(_world.Cases.StepsOf(1), step => step.Kind == BreachStepKind.ForgeriesReported);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostOpenAsync("/notice-check?handler=Report", new() { ["way"] = "pigeon" })).Status);
    }

    private Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> PostOpenAsync(string path, Dictionary<string, string> fields) => _portal.PostAsync(path, fields, cookies: "none=1");

    [GeneratedRegex("""<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:""", RegexOptions.IgnoreCase)]
    private static partial Regex Inline();

    [GeneratedRegex("<title>.*</title>")]
    private static partial Regex Title();
}
