using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;
using KantaGateway.Tests.Breach;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Identification.Operators;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;

namespace KantaGateway.Tests.Portal;

/// <summary>What operators see to besides onboarding: cases and their clocks, who is let in nowhere, the review of emergencies, the log. Nothing of it is about a patient.</summary>
[Collection(OperatorsCollection.Name)]
public sealed partial class OperatorDutiesPagesTests(IdentificationWorld world) : IAsyncLifetime
{
    private readonly BreachWorld _breach = new(DateTimeOffset.UtcNow.AddDays(-4));
    private readonly DirectoryInfo _emergencies = Directory.CreateTempSubdirectory("kanta-emergencies-");
    private readonly Standing _log = new();
    private EmergencyTrail _trail = null!;
    private WebApplication _gateway = null!;
    private Uri _address = null!;

    public async Task InitializeAsync()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null, Breach = _breach.Options.Breach, EmergencyFolder = _emergencies.FullName };
        _trail = new(options, new byte[32], null!, null!, _breach.Clock);
        _gateway = world.BuildGateway(options, builder =>
        {
            builder.Services.AddSingleton<IInnerRequests, NoRecords>().AddSingleton(_breach.Cases).AddSingleton<ILogStanding>(_log).AddSingleton(_trail);
            builder.AddPortal(options);
            // It asks a repository and a key service, which there are none of here.
            foreach (var recovery in builder.Services.Where(service => service.ImplementationType == typeof(DisputeRecovery)).ToList())
                builder.Services.Remove(recovery);
        }, static app => app.MapPortal());
        await _gateway.StartAsync();
        _address = new Uri($"https://localhost:{options.Port}");
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _breach.DisposeAsync();
        _emergencies.Delete(true);
    }

    [Theory]
    [InlineData(Olga, "/operator", "/operator/contained,/operator/log", "/operator/cases,/operator/cases/1,/operator/emergencies")]
    [InlineData(KeyKeeper, "/operator/contained", "/operator/log", "/operator/propose,/operator/cases,/operator/cases/1,/operator/emergencies")]
    [InlineData(Tiina, "/operator/cases", "/operator/cases/1,/operator/emergencies,/operator/contained,/operator/log", "/operator/propose,/operator/proposal/some")]
    public async Task Each_role_begins_at_a_page_of_its_own_and_opens_what_is_its_own(int who, string first, string open, string shut)
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var http = await SignedInAsync(who);
        using var home = await http.GetAsync(new Uri(_address, "/operator"));
        Assert.Equal(first, home.Headers.Location?.OriginalString ?? "/operator");
        foreach (var path in open.Split(',').Prepend(first))
        {
            using var page = await http.GetAsync(new Uri(_address, path));
            Assert.True(page.StatusCode == HttpStatusCode.OK, $"{path}: {page.StatusCode}");
            var html = await page.Content.ReadAsStringAsync();
            // The navigation leads where she may go and nowhere else.
            Assert.All(shut.Split(','), other => Assert.DoesNotContain($"<li><a href=\"{other}\"", html));
        }
        foreach (var path in shut.Split(','))
        {
            using var page = await http.GetAsync(new Uri(_address, path));
            Assert.True(page.StatusCode == HttpStatusCode.Forbidden, $"{path}: {page.StatusCode}");
        }
    }

    [Theory]
    [InlineData("/operator/cases")]
    [InlineData("/operator/cases/1")]
    [InlineData("/operator/contained")]
    [InlineData("/operator/emergencies")]
    [InlineData("/operator/log")]
    public async Task A_page_needs_an_operators_session_and_a_citizens_is_none(string path)
    {
        using var nobody = world.Connect();
        using var away = await nobody.GetAsync(new Uri(_address, path));
        Assert.Equal((HttpStatusCode.SeeOther, "/operator/start"), (away.StatusCode, away.Headers.Location!.ToString()));
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0, gateway: _address);
        using var citizen = world.Connect(cookies: cookies);
        using var refused = await citizen.GetAsync(new Uri(_address, path));
        Assert.Equal((HttpStatusCode.SeeOther, "/operator/start"), (refused.StatusCode, refused.Headers.Location!.ToString()));
    }

    [Fact]
    public async Task Cases_stand_by_the_clock_that_has_to_be_stopped_soonest_and_a_page_shows_all_clocks_and_the_journal()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await _breach.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tiina", "Tietosuojavaltuutettu", "TSV/1/2026");
        _breach.Clock.Advance(TimeSpan.FromDays(3.9));
        await _breach.Cases.OpenAsync(BreachKind.Reported, "<b>Somebody</b> left a door open.", new("Olga", null));
        await _breach.Cases.AddStepAsync(2, BreachStepKind.Note, "Olga", note: "<script>alert(1)</script>");
        using var tiina = await SignedInAsync(Tiina);
        var list = await tiina.GetStringAsync(new Uri(_address, "/operator/cases"));
        Assert.Equal(["1", "2"], Case().Matches(list).Select(static one => one.Groups[1].Value));
        Assert.Contains("data-case=\"1\" data-kind=\"Unrecorded\" data-state=\"Overdue\"", list);
        Assert.Contains("data-case=\"2\" data-kind=\"Reported\" data-state=\"Running\"", list);

        var first = await tiina.GetStringAsync(new Uri(_address, "/operator/cases/1"));
        foreach (var (clock, state) in new[] { ("EarlyWarning", "Overdue"), ("DataProtectionAuthority", "Done"), ("IncidentNotification", "Overdue"), ("FinalReport", "Running") })
            Assert.Contains($"data-clock=\"{clock}\" data-state=\"{state}\"", first);
        Assert.Contains("TSV/1/2026", first);
        var second = await tiina.GetStringAsync(new Uri(_address, "/operator/cases/2"));
        Assert.Contains("&lt;b&gt;Somebody", second);
        Assert.DoesNotContain("<script>alert", second);
        using var none = await tiina.GetAsync(new Uri(_address, "/operator/cases/3"));
        Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
    }

    [Fact]
    public async Task One_contains_at_once_and_two_of_data_protection_end_it()
    {
        const string Subject = "organisation/1.2.246.10.90000071";
        using var keeper = await SignedInAsync(KeyKeeper);
        Assert.Equal(HttpStatusCode.SeeOther, await PostAsync(keeper, "", new() { ["subject"] = Subject, ["reason"] = "Its key was stolen." }));
        Assert.True(_gateway.Services.GetRequiredService<Approvals>().Current.Contained.ContainsKey(Subject));
        Assert.True(_gateway.Services.GetRequiredService<Revocations>().IsRevoked(RevokedName.Contained(ContainedSubject.Organisation("1.2.246.10.90000071"))));
        // Who may not end it is offered no end, and gets none.
        Assert.DoesNotContain("data-end-form", await keeper.GetStringAsync(new Uri(_address, "/operator/contained")));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await PostAsync(keeper, "?handler=End", new() { ["subject"] = Subject, ["reason"] = "It is over." }));

        using var tiina = await SignedInAsync(Tiina);
        Assert.Equal(HttpStatusCode.SeeOther, await PostAsync(tiina, "?handler=End", new() { ["subject"] = Subject, ["reason"] = "The key was replaced." }));
        var page = await tiina.GetStringAsync(new Uri(_address, "/operator/contained"));
        var end = End(Subject).Match(page);
        var answer = new Dictionary<string, string> { ["id"] = end.Groups[1].Value, ["digest"] = end.Groups[2].Value, ["answer"] = "approve" };
        Assert.Contains("The key was replaced.", page);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await PostAsync(tiina, "?handler=Answer", answer));
        Assert.True(_gateway.Services.GetRequiredService<Approvals>().Current.Contained.ContainsKey(Subject));
        using var tero = await SignedInAsync(Tero);
        Assert.Equal(HttpStatusCode.SeeOther, await PostAsync(tero, "?handler=Answer", answer));
        Assert.False(_gateway.Services.GetRequiredService<Approvals>().Current.Contained.ContainsKey(Subject));
        Assert.DoesNotContain(Subject, await tero.GetStringAsync(new Uri(_address, "/operator/contained")));
    }

    [Theory]
    [InlineData("", "subject=nobody&reason=why", HttpStatusCode.UnprocessableEntity)]
    [InlineData("", "subject=organisation/1.2.246.10.90000072&reason=", HttpStatusCode.UnprocessableEntity)]
    [InlineData("", "subject=organisation/1.2.246.10.90000072&reason=010190-900P opened it", HttpStatusCode.UnprocessableEntity)]
    [InlineData("", "subject=client/none&reason=why", HttpStatusCode.UnprocessableEntity)]
    [InlineData("?handler=End", "subject=organisation/1.2.246.10.90000072&reason=why", HttpStatusCode.SeeOther)]
    [InlineData("?handler=Answer", "id=none&digest=none&answer=approve", HttpStatusCode.UnprocessableEntity)]
    [InlineData("?handler=Answer", "id=none&digest=none&answer=perhaps", HttpStatusCode.BadRequest)]
    public async Task What_cannot_be_done_is_said_and_nothing_is_decided(string handler, string form, HttpStatusCode expected)
    {
        using var tiina = await SignedInAsync(Tiina);
        var before = _gateway.Services.GetRequiredService<Approvals>().Current.Number;
        Assert.Equal(expected, await PostAsync(tiina, handler, form.Split('&').Select(static part => part.Split('=', 2)).ToDictionary(static part => part[0], static part => part[1])));
        Assert.Equal(before, _gateway.Services.GetRequiredService<Approvals>().Current.Number);
    }

    [Theory]
    [InlineData("")]
    [InlineData("?handler=End")]
    [InlineData("?handler=Answer")]
    public async Task A_form_without_its_token_decides_nothing(string handler)
    {
        using var tiina = await SignedInAsync(Tiina);
        var before = _gateway.Services.GetRequiredService<Approvals>().Current.Number;
        using var answer = await tiina.PostAsync(new Uri(_address, "/operator/contained" + handler), new FormUrlEncodedContent([new("subject", "organisation/1.2.246.10.90000073"), new("reason", "why")]));
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal(before, _gateway.Services.GetRequiredService<Approvals>().Current.Number);
    }

    [Fact]
    public async Task How_many_emergencies_may_wait_is_told_and_of_whom_is_not()
    {
        using var tiina = await SignedInAsync(Tiina);
        Assert.Contains("data-waiting=\"0\"", await tiina.GetStringAsync(new Uri(_address, "/operator/emergencies")));
        var professional = PortalUnderTest.Citizen with { Kind = RequesterKind.Professional, Self = null, ProfessionalId = "90001", Unit = "1.2.246.10.1.10.1" };
        _trail.Mark(professional, Pseudonym.Read("one-person"u8));
        _breach.Clock.Advance(TimeSpan.FromDays(4));
        _trail.Mark(professional, Pseudonym.Read("two-person"u8));
        var html = await tiina.GetStringAsync(new Uri(_address, "/operator/emergencies"));
        Assert.Contains("data-waiting=\"2\"", html);
        Assert.Contains("data-overdue=\"1\"", html);
        Assert.DoesNotContain("90001", html);
    }

    [Fact]
    public async Task The_log_stands_there_with_who_vouches_for_it_and_that_it_cannot_be_told()
    {
        using var olga = await SignedInAsync(Olga);
        _log.State = new("localhost/log", 12, true, 10, DateTimeOffset.UtcNow, [new("witness.example", null), new("other.example", "it is silent")]);
        var html = await olga.GetStringAsync(new Uri(_address, "/operator/log"));
        foreach (var said in (string[])["data-log=\"12\" data-cosigned=\"10\"", "data-witness=\"witness.example\" data-trouble=\"no\"", "data-witness=\"other.example\" data-trouble=\"yes\"", "it is silent"])
            Assert.Contains(said, html);
        Assert.DoesNotContain("data-unwitnessed", html);
        _log.State = new("localhost/log", 12, false, null, null, []);
        html = await olga.GetStringAsync(new Uri(_address, "/operator/log"));
        Assert.Contains("data-unwitnessed", html);
        Assert.Contains("data-not-taking", html);
        _log.State = null;
        using var unknown = await olga.GetAsync(new Uri(_address, "/operator/log"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unknown.StatusCode);
        Assert.Contains("data-log=\"unknown\"", await unknown.Content.ReadAsStringAsync());
    }

    private async Task<HttpClient> SignedInAsync(int who)
    {
        var cookies = new CookieContainer();
        await world.SignInOperatorAsync(cookies, who, gateway: _address);
        return world.Connect(cookies: cookies);
    }

    private async Task<HttpStatusCode> PostAsync(HttpClient http, string handler, Dictionary<string, string> fields)
    {
        fields["__RequestVerificationToken"] = Token().Match(await http.GetStringAsync(new Uri(_address, "/operator/contained"))).Groups[1].Value;
        using var answer = await http.PostAsync(new Uri(_address, "/operator/contained" + handler), new FormUrlEncodedContent(fields));
        return answer.StatusCode;
    }

    private sealed class Standing : ILogStanding
    {
        public LogState? State { get; set; } = new("localhost/log", 1, true, null, null, []);

        public Task<LogState?> OfAsync() => Task.FromResult(State);
    }

    private sealed class NoRecords : IInnerRequests
    {
        public Task<FhirAnswer> SendAsync(Requester requester, string method, string target, ReadOnlyMemory<byte> body = default, string? contentType = null, IHeaderDictionary? headers = null, CancellationToken cancel = default) =>
            throw new NotSupportedException();
    }

    private static Regex End(string subject) => new($"data-end=\"([^\"]+)\" data-subject=\"{Regex.Escape(subject)}\"[\\s\\S]*?name=\"digest\" value=\"([^\"]+)\"");

    [GeneratedRegex("<li data-case=\"([0-9]+)\"")]
    private static partial Regex Case();

    [GeneratedRegex("name=\"__RequestVerificationToken\" type=\"hidden\" value=\"([^\"]+)\"")]
    private static partial Regex Token();
}
