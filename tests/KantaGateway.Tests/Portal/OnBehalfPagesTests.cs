using System.Net;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Tests.Breach;
using KantaGateway.Tests.Identification;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Portal;

/// <summary>What the pages say of for whom the citizen acts, above all when nobody knows it.</summary>
public sealed class OnBehalfPagesTests : IAsyncLifetime
{
    private readonly string _secret = Path.GetTempFileName();
    private readonly ShiftedClock _clock = new();
    private readonly Service _service = new();
    private readonly BreachWorld _breach = new();
    private PortalUnderTest _portal = null!;
    private Representations _representations = null!;

    public async Task InitializeAsync()
    {
        await File.WriteAllTextAsync(_secret, "secret");
        var options = PortalUnderTest.Options(hasMandates: true);
        var mandates = options.Identification.Mandates! with { ApiKeyFile = _secret, OAuthPasswordFile = _secret };
        _portal = await PortalUnderTest.StartAsync(mandates: services =>
        {
            services.AddMetrics();
            _representations = new Representations(
                new EAuthorizations(mandates, options.PublicAddress, new HttpClient(_service), _clock, NullLogger<EAuthorizations>.Instance), new Pseudonyms(), new MemoryState(_clock),
                new EphemeralDataProtectionProvider(), new NoIdentificationObserver(), new IdentificationMetrics(services.BuildServiceProvider().GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>()), options, _clock);
            services.AddSingleton(_representations);
        }, breach: _breach.Options.Breach, services: services => services.AddSingleton(_breach.Notices).AddSingleton(_breach.Cases).AddSingleton<ForgeryReports>());
    }

    public async Task DisposeAsync()
    {
        await _portal.DisposeAsync();
        await _breach.DisposeAsync();
        File.Delete(_secret);
    }

    [Theory]
    [InlineData("fi", "Asioit henkilön Onni Koe puolesta.")]
    [InlineData("sv", "Du uträttar ärenden för Onni Koe.")]
    [InlineData("en", "You are acting for Onni Koe.")]
    public async Task Every_page_says_for_whom_the_citizen_acts_and_leads_back(string language, string said)
    {
        await ActAsync();
        foreach (var path in (string[])["/", "/records", "/records/timeline", "/records/kind/results", "/consent", "/consent/inform", "/about", "/no-such-page", "/on-behalf"])
        {
            var (_, html, _) = await _portal.GetAsync(path, language);
            Assert.True(html.Contains("data-acting-for=\"Onni Koe\" data-acting-as=\"custodian\"", StringComparison.Ordinal), path);
            Assert.Contains(said, html);
            Assert.Contains("<form id=\"to-oneself\" method=\"post\" action=\"/on-behalf/self\">", html);
        }
    }

    [Fact]
    public async Task Nothing_is_said_where_nobody_is_acted_for()
    {
        foreach (var path in (string[])["/", "/records", "/on-behalf"])
            Assert.DoesNotContain("data-acting-for", (await _portal.GetAsync(path)).Html);
        Assert.Contains("action=\"/on-behalf/choose\"", (await _portal.GetAsync("/on-behalf")).Html);
    }

    [Fact]
    public async Task The_page_of_the_choice_lets_its_form_end_at_the_service_alone()
    {
        var (_, _, response) = await _portal.GetAsync("/on-behalf");
        Assert.EndsWith("form-action 'self' https://valtuudet.example", response.Headers.GetValues("Content-Security-Policy").Single());
    }

    [Theory]
    [InlineData("refused", "acting-refused")]
    [InlineData("expired", "acting-expired")]
    [InlineData("cancelled", "acting-cancelled")]
    [InlineData("unavailable", "acting-unavailable")]
    [InlineData("sign-in-again", "acting-sign-in-again")]
    [InlineData("too-many", "acting-too-many")]
    [InlineData("anything", "acting-unavailable")]
    public async Task How_a_choice_ended_is_told_once(string ended, string notice)
    {
        var (status, _, response) = await _portal.GetAsync("/on-behalf?acting=" + ended);
        Assert.Equal((HttpStatusCode.SeeOther, "/on-behalf"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith($"__Host-kanta-notice={notice};", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("begun", "acting")]
    [InlineData("over", "acting-over")]
    [InlineData("sign-in-first", "sign-in-first")]
    public async Task The_start_page_tells_for_whom_it_is_now(string ended, string notice)
    {
        if (ended == "begun")
            await ActAsync();
        var (status, _, response) = await _portal.GetAsync("/?acting=" + ended);
        Assert.Equal((HttpStatusCode.SeeOther, "/"), (status, response.Headers.Location?.OriginalString));
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith($"__Host-kanta-notice={notice};", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/records")]
    [InlineData("/consent")]
    [InlineData("/consent/permit")]
    public async Task While_the_service_is_silent_a_clear_page_shows_nothing_of_anybody(string path)
    {
        await ActAsync();
        _clock.Ahead += Representations.Bound;
        _service.IsAway = true;
        _portal.Record.Add("""{"resourceType":"Condition","code":{"text":"Keskivaikea masennustila"}}""");
        var (status, html, response) = await _portal.GetAsync(path);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.NotEmpty(response.Headers.GetValues("Retry-After"));
        Assert.Contains("Suomi.fi e-Authorizations does not answer. So nothing of Onni Koe is shown or changed.", html);
        Assert.Contains("id=\"to-oneself\"", html);
        Assert.Empty(_portal.Record.Asked);
        // A form from before changes nothing either.
        using var request = new HttpRequestMessage(HttpMethod.Post, "/consent/permit") { Content = new FormUrlEncodedContent([new("permit", "yes")]) };
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await _portal.SendAsync(request, "en", PortalUnderTest.SessionCookie)).Status);
        Assert.Empty(_portal.Record.Asked);
    }

    [Fact]
    public async Task What_is_no_longer_allowed_is_told_and_shows_nothing()
    {
        await ActAsync();
        _clock.Ahead += Representations.Bound;
        _service.Result = "DISALLOWED";
        var (status, html, response) = await _portal.GetAsync("/records");
        Assert.Equal((HttpStatusCode.SeeOther, "/on-behalf", ""), (status, response.Headers.Location?.OriginalString, html));
        Assert.Contains(response.Headers.GetValues("Set-Cookie"), c => c.StartsWith("__Host-kanta-notice=acting-ended;", StringComparison.Ordinal));
        Assert.Empty(_portal.Record.Asked);
        Assert.DoesNotContain("data-acting-for", (await _portal.GetAsync("/records")).Html);
    }

    /// <summary>Two tabs: what stands open for oneself must not decide for the child, nor the other way round.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_form_for_one_person_decides_nothing_for_another(bool isActingFirst)
    {
        await TurnAsync(isActingFirst);
        var (_, html, page) = await _portal.GetAsync("/consent/inform");
        var token = html.Split("name=\"__RequestVerificationToken\" type=\"hidden\" value=\"")[1].Split('"')[0];
        var cookie = page.Headers.GetValues("Set-Cookie").First(c => c.StartsWith("__Host-kanta-form=", StringComparison.Ordinal)).Split(';')[0];
        HttpRequestMessage Post() => new(HttpMethod.Post, "/consent/inform")
        {
            Content = new FormUrlEncodedContent([new("version", "2026-2"), new("informed", "yes"), new("__RequestVerificationToken", token)]),
        };
        await TurnAsync(!isActingFirst);
        Assert.Equal(HttpStatusCode.BadRequest, (await _portal.SendAsync(Post(), "en", $"{PortalUnderTest.SessionCookie}; {cookie}")).Status);
        Assert.Empty(_portal.Record.Of("Consent"));
        await TurnAsync(isActingFirst);
        Assert.Equal(HttpStatusCode.SeeOther, (await _portal.SendAsync(Post(), "en", $"{PortalUnderTest.SessionCookie}; {cookie}")).Status);
        Assert.Single(_portal.Record.Of("Consent"));
    }

    [Fact]
    public async Task A_custodian_is_offered_neither_denials_nor_the_disclosure_list()
    {
        await ActAsync();
        await _portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        var (_, consent, _) = await _portal.GetAsync("/consent");
        Assert.DoesNotContain("/consent/deny", consent);
        Assert.DoesNotContain("/access-log", consent);
        Assert.Contains("A child&#x27;s denials are the child&#x27;s own.", consent);
        Assert.DoesNotContain("/access-log", (await _portal.GetAsync("/")).Html);
        var (status, _, response) = await _portal.GetAsync("/consent/deny");
        Assert.Equal((HttpStatusCode.SeeOther, "/consent"), (status, response.Headers.Location?.OriginalString));
    }

    /// <summary>Act 703/2023 §50, §51, §58: who may give the child's permission may take it back, and is shown nothing of what there is.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_custodian_takes_the_child_s_permission_back_without_being_shown_whether_there_is_one(bool isGiven)
    {
        await ActAsync();
        await _portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        if (isGiven)
            await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        var before = _portal.Record.Of("Consent").Count();
        var given = isGiven ? (string?)_portal.Record.Of("Consent").Last()["id"] : null;
        _portal.Record.Asked.Clear();

        Assert.Contains("href=\"/consent/withdraw\"", (await _portal.GetAsync("/consent")).Html);
        var (status, html, _) = await _portal.GetAsync("/consent/withdraw");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("If a disclosure permission has been given for the child", html);
        Assert.DoesNotContain("name=\"id\"", html);
        var (posted, _, answer) = await _portal.PostAsync("/consent/withdraw", []);
        Assert.Equal((HttpStatusCode.SeeOther, "/consent"), (posted, answer.Headers.Location?.OriginalString));
        Assert.Contains("__Host-kanta-notice=child-permit-withdrawn", string.Join(' ', answer.Headers.GetValues("Set-Cookie")));

        Assert.Equal(["POST Consent"], _portal.Record.Asked);
        Assert.Equal(before + 1, _portal.Record.Of("Consent").Count());
        var withdrawal = _portal.Record.Of("Consent").Last();
        Assert.Equal(("inactive", "permit", "RelatedPerson"), ((string?)withdrawal["status"], (string?)withdrawal["provision"]!["type"], (string?)withdrawal["performer"]![0]!["type"]));
        Assert.Null(_portal.Record.Policy.PermissionAt(DateTimeOffset.UtcNow));
        // By its id nothing is withdrawn: who is not shown it does not know it.
        (status, _, answer) = await _portal.GetAsync("/consent/withdraw?id=" + (given ?? Guid.NewGuid().ToString()));
        Assert.Equal(HttpStatusCode.SeeOther, status);
        Assert.Contains("__Host-kanta-notice=custodian-no-denials", string.Join(' ', answer.Headers.GetValues("Set-Cookie")));
    }

    /// <summary>Act 703/2023 §51: what was taken of a child may be what it does not show them, so they are told by letter.</summary>
    [Fact]
    public async Task A_custodian_is_shown_no_notice_of_a_breach_and_has_read_none()
    {
        Assert.True(PersonalIdentityCode.TryParse(IdentificationWorld.CodeOf("150315A902"), out var code));
        var child = await new Pseudonyms().OfAsync(code, default);
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await _breach.SendAsync(new AffectedPerson(child, []));
        var id = _breach.Notices.Of(child)[0].Notice.Id;
        await ActAsync();
        Assert.DoesNotContain("data-breach-notices", (await _portal.GetAsync("/")).Html);
        foreach (var path in (string[])["/notices", $"/notices/{id}", $"/notices/{id}/print/police"])
            Assert.Equal(HttpStatusCode.Forbidden, (await _portal.GetAsync(path)).Status);
        Assert.Equal(0, _breach.Notices.CountOf(1).Read);
    }

    [Fact]
    public async Task Where_there_is_no_such_service_nobody_is_offered_it()
    {
        await using var portal = await PortalUnderTest.StartAsync();
        Assert.DoesNotContain("/on-behalf", (await portal.GetAsync("/")).Html);
        Assert.Equal(HttpStatusCode.NotFound, (await portal.GetAsync("/on-behalf")).Status);
    }

    private Task TurnAsync(bool isActing) => isActing ? ActAsync() : _representations.EndAsync(PortalUnderTest.Citizen);

    private async Task ActAsync()
    {
        Assert.True(PersonalIdentityCode.TryParse(IdentificationWorld.TestCode, out var own));
        var choice = await _representations.BeginAsync(new DefaultHttpContext(), PortalUnderTest.Citizen, own, "fi");
        var state = System.Web.HttpUtility.ParseQueryString(new Uri(choice!).Query)["state"];
        Assert.Equal(ChoiceEnd.Begun, await _representations.CompleteAsync(new DefaultHttpContext(), PortalUnderTest.Citizen, "code", state));
    }

    /// <summary>e-Authorizations without a network.</summary>
    private sealed class Service : HttpMessageHandler
    {
        public bool IsAway { get; set; }

        public string Result { get; set; } = "ALLOWED";

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => IsAway
            ? throw new HttpRequestException("away")
            : Task.FromResult(new HttpResponseMessage(HttpStatusCode.OK)
            {
                Content = new StringContent(request.RequestUri!.AbsolutePath.Split('/') switch
                {
                    [_, "oauth", ..] => """{"access_token":"token","token_type":"bearer","expires_in":3600}""",
                    [_, _, _, "user", ..] => """{"sessionId":"session","userId":"user"}""",
                    [_, _, _, _, "delegate", ..] => $$"""[{"personId":"{{IdentificationWorld.CodeOf("150315A902")}}","name":"Onni Koe"}]""",
                    [_, _, _, _, "authorizationlist", ..] => """{"roles":["ALL"]}""",
                    _ => $$"""{"result":"{{Result}}","reasons":[]}""",
                }, Encoding.UTF8, "application/json"),
            });
    }

    private sealed class Pseudonyms : IPseudonyms
    {
        public ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel) => new(Pseudonym.Read(System.Security.Cryptography.SHA256.HashData(Encoding.ASCII.GetBytes(code.Reveal()))));
    }
}
