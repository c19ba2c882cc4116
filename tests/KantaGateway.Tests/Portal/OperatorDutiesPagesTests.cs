using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Operations;
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
    private readonly Parts _parts = new();
    private KeyProgress? _progress = new(new(2, 200, 50, 75, 12.5, 4), new(1, 300, 0, 100, 0, 0));
    private EmergencyTrail _trail = null!;
    private WebApplication _gateway = null!;
    private Uri _address = null!;

    public async Task InitializeAsync()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null, Breach = _breach.Options.Breach, EmergencyFolder = _emergencies.FullName };
        _trail = new(options, new byte[32], null!, null!, _breach.Clock);
        _gateway = world.BuildGateway(options, builder =>
        {
            builder.Services.AddSingleton<IInnerRequests, NoRecords>().AddSingleton(_breach.Cases).AddSingleton(_breach.Notices).AddSingleton<ILogStanding>(_log).AddSingleton(_trail).AddSingleton<IReadiness>(_parts)
                .AddSingleton(s => new CaseWork(_breach.Cases, s.GetRequiredService<IOperatorObserver>(), _breach.Clock))
                .AddSingleton<ActsOfOperators>().AddSingleton<IOperatorActs>(s => new Acts(s.GetRequiredService<ActsOfOperators>(), () => _progress));
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
    [InlineData(Olga, "/operator", "/operator/contained,/operator/report,/operator/standing,/operator/log", "/operator/cases,/operator/cases/1,/operator/emergencies,/operator/ceremonies")]
    [InlineData(KeyKeeper, "/operator/ceremonies", "/operator/contained,/operator/report,/operator/standing,/operator/log", "/operator/propose,/operator/cases,/operator/cases/1,/operator/emergencies")]
    [InlineData(Tiina, "/operator/cases", "/operator/cases/1,/operator/emergencies,/operator/ceremonies,/operator/contained,/operator/report,/operator/standing,/operator/log", "/operator/propose,/operator/proposal/some")]
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
    [InlineData("/operator/ceremonies")]
    [InlineData("/operator/report")]
    [InlineData("/operator/standing")]
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

        // What became known earlier goes before, whatever its number, and what has ended goes last.
        await _breach.Cases.OpenAsync(BreachKind.Reported, "A window stood open.", new("Olga", _breach.Now.AddDays(-9)));
        Assert.True(await _breach.Cases.EndAsync(1, "An answer was written twice.", "Tiina and Tero"));
        Assert.Equal(["3", "2", "1"], Case().Matches(await tiina.GetStringAsync(new Uri(_address, "/operator/cases"))).Select(static one => one.Groups[1].Value));
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

    [Fact]
    public async Task A_form_without_its_token_decides_nothing()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var tiina = await SignedInAsync(Tiina);
        var before = _gateway.Services.GetRequiredService<Approvals>().Current.Number;
        foreach (var form in (string[])["contained", "contained?handler=End", "contained?handler=Answer", "cases/1", "cases/1?handler=Act", "cases/1?handler=Answer", "cases/1/notices", "cases/1/notices?handler=Propose", "cases/1/notices?handler=Send", "ceremonies", "ceremonies?handler=Answer", "report"])
        {
            using var answer = await tiina.PostAsync(new Uri(_address, "/operator/" + form), new FormUrlEncodedContent(
                [new("subject", "organisation/1.2.246.10.90000073"), new("reason", "why"), new("kind", "Note"), new("note", "why"), new("what", "end"), new("content", "why"), new("key", "wrapping-key"), new("version", "2"), new("step", "begin")]));
            Assert.True(answer.StatusCode == HttpStatusCode.BadRequest, $"{form}: {answer.StatusCode}");
        }
        Assert.Equal(before, _gateway.Services.GetRequiredService<Approvals>().Current.Number);
        Assert.Single(_breach.Cases.All);
        Assert.Empty(_breach.Cases.StepsOf(1));
    }

    [Fact]
    public async Task The_journal_of_a_case_is_written_on_its_page_and_what_is_not_fit_is_said()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var tiina = await SignedInAsync(Tiina);
        foreach (var (form, field) in new[]
        {
            ("kind=AuthorityNotified&reference=TSV/1/2026", "to"), ("kind=AuthorityNotified&to=Tietosuojavaltuutettu&reference= ", "to"), ("kind=Note&note=", "note"), ("kind=Note&note=010190-900P opened it", "note"),
            ("kind=NoticesDelivered&note=why", "kind"), ("kind=7&note=why", "kind"), ("kind=&note=why", "kind"),
        })
        {
            var (refused, html) = await PostToAsync(tiina, "/operator/cases/1", "", Fields(form));
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused);
            Assert.Contains($"<a href=\"#{field}\">", html);
        }
        Assert.Empty(_breach.Cases.StepsOf(1));
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(tiina, "/operator/cases/1", "", Fields("kind=AuthorityNotified&to=Tietosuojavaltuutettu&reference=TSV/1/2026&note="))).Status);
        var step = Assert.Single(_breach.Cases.StepsOf(1));
        Assert.Equal((BreachStepKind.AuthorityNotified, "Tietosuojavaltuutettu", "TSV/1/2026", null), (step.Kind, step.To, step.Reference, step.Note));
        Assert.StartsWith("Tiina", step.By);
        var page = await tiina.GetStringAsync(new Uri(_address, "/operator/cases/1"));
        Assert.Contains("data-clock=\"DataProtectionAuthority\" data-state=\"Done\"", page);
        Assert.Contains("/operator/breach-cases/1/authority/data-protection.pdf", page);
        Assert.Contains(world.Acts.All, act => act.Act == "Adds authority-notified to breach case 1." && act.Refused is null);
        Assert.Equal(HttpStatusCode.NotFound, (await PostToAsync(tiina, "/operator/cases/1", "", Fields("kind=Note&note=why"), "/operator/cases/9")).Status);
    }

    [Fact]
    public async Task Two_have_letters_written_and_end_a_case_on_its_page()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await _breach.Cases.OpenAsync(BreachKind.Reported, "A door stood open.");
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        foreach (var (what, content, status) in new[] { ("end", "", HttpStatusCode.UnprocessableEntity), ("end", "010190-900P was found.", HttpStatusCode.UnprocessableEntity), ("erasure", "why", HttpStatusCode.BadRequest) })
            Assert.Equal(status, (await PostToAsync(tiina, "/operator/cases/1", "?handler=Act", new() { ["what"] = what, ["content"] = content })).Status);
        foreach (var what in (string[])["letters", "end"])
        {
            Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(tiina, "/operator/cases/1", "?handler=Act", new() { ["what"] = what, ["content"] = $"<b>{what}</b> is due." })).Status);
            var page = await tiina.GetStringAsync(new Uri(_address, "/operator/cases/1"));
            Assert.Contains($"&lt;b&gt;{what}", page);
            var act = Act("1/[0-9a-f]+").Match(page);
            var step = new Dictionary<string, string> { ["id"] = act.Groups[1].Value, ["digest"] = act.Groups[2].Value, ["answer"] = "carry-out" };
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostToAsync(tero, "/operator/cases/1", "?handler=Answer", step)).Status);
            step["answer"] = "approve";
            // Of another case it is not there, and its proposer does not approve.
            Assert.Equal(HttpStatusCode.NotFound, (await PostToAsync(tero, "/operator/cases/2", "?handler=Answer", step)).Status);
            var (own, html) = await PostToAsync(tiina, "/operator/cases/1", "?handler=Answer", step);
            Assert.Equal(HttpStatusCode.UnprocessableEntity, own);
            Assert.Contains("data-error=\"SamePerson\"", html);
            Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(tero, "/operator/cases/1", "?handler=Answer", step)).Status);
            step["answer"] = "perhaps";
            Assert.Equal(HttpStatusCode.BadRequest, (await PostToAsync(tero, "/operator/cases/1", "?handler=Answer", step)).Status);
            step["answer"] = "carry-out";
            Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(tiina, "/operator/cases/1", "?handler=Answer", step)).Status);
        }
        Assert.Contains(world.Acts.All, static act => act.Act == "Has letters of breach case 1 written.");
        Assert.Equal("<b>end</b> is due.", _breach.Cases.EndOf(1)?.Finding);
        Assert.True(_breach.Cases.IsOpen(2));
        Assert.DoesNotContain("act-form", await tiina.GetStringAsync(new Uri(_address, "/operator/cases/1")));
    }

    [Fact]
    public async Task Notices_go_out_when_two_have_decided_about_just_that_list()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        var person = Pseudonym.Read("a-person-told"u8);
        var words = new { what = "<b>Ett</b> intrång.", consequences = "Uppgifter.", measures = "Stängd." };
        var list = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(new { words = new { fi = words, sv = words, en = words, contact = "Toivo Koe" }, persons = new[] { new { patient = "Patient/" + _gateway.Services.GetRequiredService<IdentifierCipher>().PatientId(person) } } });
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var (status, html) = await SendAsync(tiina, "", list);
        Assert.Equal(HttpStatusCode.OK, status);
        var digest = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(list));
        Assert.Contains($"data-persons=\"1\" data-digest=\"{digest}\"", html);
        Assert.Contains("&lt;b&gt;Ett&lt;/b&gt;", html);
        foreach (var (handler, wrong) in new[] { ("", "{"u8.ToArray()), ("", Array.Empty<byte>()), ("?handler=Send", new byte[DraftedNotices.LongestList + 1]) })
        {
            var (refused, said) = await SendAsync(tiina, handler, wrong);
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused);
            Assert.Contains("<a href=\"#list\">", said);
        }
        Assert.Contains("data-error=\"NotApproved\"", (await SendAsync(tiina, "?handler=Send", list)).Html);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostToAsync(tiina, "/operator/cases/1/notices", "?handler=Propose", new() { ["digest"] = "all of them" })).Status);
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(tiina, "/operator/cases/1/notices", "?handler=Propose", new() { ["digest"] = digest })).Status);
        Assert.Contains("data-error=\"NotApproved\"", (await SendAsync(tiina, "?handler=Send", list)).Html);
        var act = Act("1/[0-9a-f]+").Match(await tero.GetStringAsync(new Uri(_address, "/operator/cases/1")));
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(tero, "/operator/cases/1", "?handler=Answer", new() { ["id"] = act.Groups[1].Value, ["digest"] = act.Groups[2].Value, ["answer"] = "approve" })).Status);
        // A list that is another by one byte is another list.
        Assert.Contains("data-error=\"NotApproved\"", (await SendAsync(tiina, "?handler=Send", [.. list, (byte)' '])).Html);
        Assert.Equal(0, _breach.Notices.CountOf(1).Sent);
        Assert.Equal(HttpStatusCode.SeeOther, (await SendAsync(tiina, "?handler=Send", list)).Status);
        Assert.Single(_breach.Notices.Of(person));
        Assert.Contains("data-sent=\"1\" data-read=\"0\"", await tiina.GetStringAsync(new Uri(_address, "/operator/cases/1")));
        using var none = await tiina.GetAsync(new Uri(_address, "/operator/cases/9/notices"));
        Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
        // It names people, so none of it may be put on a disk on its way.
        Assert.True(typeof(Gateway.Portal.Pages.OperatorNoticesModel).GetCustomAttributes(false).OfType<Microsoft.AspNetCore.Mvc.RequestFormLimitsAttribute>().Single() is { MemoryBufferThreshold: var kept, MultipartBodyLengthLimit: var longest } && kept >= longest);

        async Task<(HttpStatusCode Status, string Html)> SendAsync(HttpClient http, string handler, byte[] file)
        {
            using var form = new MultipartFormDataContent
            {
                { new StringContent(Token().Match(await http.GetStringAsync(new Uri(_address, "/operator/cases/1/notices"))).Groups[1].Value), "__RequestVerificationToken" }, { new ByteArrayContent(file), "list", "list.json" },
            };
            using var answer = await http.PostAsync(new Uri(_address, "/operator/cases/1/notices" + handler), form);
            return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public async Task Whoever_sees_a_breach_opens_a_case_on_a_page()
    {
        using var olga = await SignedInAsync(Olga);
        foreach (var (form, field) in new[] { ("what=", "what"), ("what=The record of 010190-900P.", "what"), ("what=A door.&hours=x", "hours"), ("what=A door.&hours=87601", "hours") })
        {
            var (refused, html) = await PostToAsync(olga, "/operator/report", "", Fields(form));
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused);
            Assert.Contains($"<a href=\"#{field}\">", html);
        }
        Assert.Empty(_breach.Cases.All);
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(olga, "/operator/report", "", Fields("what=A backup disk is missing.&hours="))).Status);
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(olga, "/operator/report", "", Fields("what=A door stood open.&hours=200"))).Status);
        Assert.Equal(["A backup disk is missing.", "A door stood open."], _breach.Cases.All.Select(static one => one.What));
        Assert.All(_breach.Cases.All, static one => Assert.StartsWith("Olga", one.OpenedBy));
        Assert.Equal(_breach.Now, _breach.Cases.All[0].AwareAt);
        Assert.True(_breach.Cases.All[1].AwareAt < _breach.Now.AddHours(-100));
    }

    [Fact]
    public async Task Key_keepers_follow_a_rotation_and_two_of_them_hold_a_ceremony()
    {
        using var keeper = await SignedInAsync(KeyKeeper);
        using var other = await SignedInAsync(OtherKeyKeeper);
        using var tiina = await SignedInAsync(Tiina);
        var html = await tiina.GetStringAsync(new Uri(_address, "/operator/ceremonies"));
        Assert.Contains("data-progress=\"data-keys\" data-version=\"2\" data-left=\"50\" data-percent=\"75\"", html);
        Assert.Contains("data-progress=\"people\" data-version=\"1\" data-left=\"0\" data-percent=\"100\"", html);
        // She follows it, and holds none.
        Assert.DoesNotContain("ceremony-form", html);
        var begin = new Dictionary<string, string> { ["key"] = "wrapping-key", ["version"] = "77", ["step"] = "begin" };
        Assert.Contains("data-error=\"NoRole\"", (await PostToAsync(tiina, "/operator/ceremonies", "", begin, token: "/operator/contained")).Html);
        foreach (var (field, value) in new[] { ("version", "x"), ("version", "1"), ("version", "-7"), ("key", "token-key"), ("step", "renew") })
        {
            var (refused, said) = await PostToAsync(keeper, "/operator/ceremonies", "", new(begin) { [field] = value });
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused);
            Assert.Contains($"<a href=\"#{field}\">", said);
        }
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(keeper, "/operator/ceremonies", "", begin)).Status);
        var act = Act("wrapping-key/77").Match(await other.GetStringAsync(new Uri(_address, "/operator/ceremonies")));
        var step = new Dictionary<string, string> { ["id"] = act.Groups[1].Value, ["digest"] = act.Groups[2].Value, ["answer"] = "approve" };
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await PostToAsync(keeper, "/operator/ceremonies", "?handler=Answer", step)).Status);
        Assert.Equal(HttpStatusCode.SeeOther, (await PostToAsync(other, "/operator/ceremonies", "?handler=Answer", step)).Status);
        var approved = Assert.Single(_gateway.Services.GetRequiredService<Approvals>().Current.Proposals.Values, one => one.Id == step["id"]);
        Assert.Equal((ApprovalKind.KeyCeremony, "wrapping-key/77", "begin", ProposalStatus.Approved), (approved.Kind, approved.Subject, approved.Content, approved.Status));
        Assert.Contains($"data-act=\"{step["id"]}\" data-kind=\"KeyCeremony\" data-subject=\"wrapping-key/77\" data-status=\"Approved\"", await keeper.GetStringAsync(new Uri(_address, "/operator/ceremonies")));
        _progress = null;
        Assert.Contains("data-progress=\"unknown\"", await keeper.GetStringAsync(new Uri(_address, "/operator/ceremonies")));
        // What is no ceremony is decided elsewhere.
        await _breach.Cases.OpenAsync(BreachKind.Reported, "A door stood open.");
        await PostToAsync(tiina, "/operator/cases/1", "?handler=Act", new() { ["what"] = "end", ["content"] = "It was shut." });
        var end = _gateway.Services.GetRequiredService<Approvals>().Current.Proposals.Values.Single(static one => one is { Kind: ApprovalKind.BreachCaseEnd, Content: "It was shut.", Status: ProposalStatus.Open });
        Assert.Equal(HttpStatusCode.NotFound, (await PostToAsync(tiina, "/operator/ceremonies", "?handler=Answer", new() { ["id"] = end.Id, ["digest"] = end.Digest, ["answer"] = "reject" }, token: "/operator/contained")).Status);
    }

    [Fact]
    public async Task How_the_gateway_stands_is_told_in_figures_and_of_nobody()
    {
        await _breach.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        _log.State = new("localhost/log", 4711, true, 4700, DateTimeOffset.UtcNow, []);
        using var olga = await SignedInAsync(Olga);
        Assert.Equal(HttpStatusCode.SeeOther, await PostAsync(olga, "", new() { ["subject"] = "organisation/1.2.246.10.90000074", ["reason"] = "Its key was stolen." }));
        var html = await olga.GetStringAsync(new Uri(_address, "/operator/standing"));
        // Its clocks began four days ago.
        foreach (var said in (string[])["data-part=\"keys\" data-down=\"no\"", "data-figure=\"cases\" data-of=\"1\"", "data-figure=\"emergencies\" data-of=\"0\"", "data-figure=\"entries\">4711<"])
            Assert.Contains(said, html);
        Assert.Matches($"data-figure=\"contained\">{_gateway.Services.GetRequiredService<Approvals>().Current.Contained.Count}<", html);
        var clients = _gateway.Services.GetRequiredService<Onboarding>().List().Clients.ToLookup(static one => one.IsActive);
        Assert.Matches($"data-figure=\"clients\">[^<]*\\b{clients[true].Count()}\\b[^<]*\\b{clients[false].Count()}\\b", html);
        Assert.DoesNotContain("data-serving", html);
        Assert.DoesNotContain("An answer stands", html);
        (_parts.Down, _log.State) = (["keys"], null);
        html = await olga.GetStringAsync(new Uri(_address, "/operator/standing"));
        Assert.Contains("data-serving=\"no\"", html);
        Assert.Contains("data-part=\"keys\" data-down=\"yes\"", html);
        Assert.Contains("data-part=\"audit\" data-down=\"no\"", html);
        Assert.DoesNotContain("data-figure=\"entries\"", html);
    }

    [Fact]
    public void Every_refusal_that_a_page_can_meet_is_said_in_every_language()
    {
        var texts = new Texts();
        foreach (var (language, _) in Texts.Languages)
        {
            System.Globalization.CultureInfo.CurrentUICulture = new(language);
            // These are of acts that no page decides: erasures and the pruning of the log.
            Assert.All(Enum.GetValues<DecisionRefusal>().Except([DecisionRefusal.StillKept, DecisionRefusal.Waiting, DecisionRefusal.EntriesKept, DecisionRefusal.EntriesNeeded, DecisionRefusal.OtherLog]), refusal => Assert.NotNull(texts.Find($"operator.refused.{refusal}")));
            Assert.All(CaseWork.Steps, step => Assert.NotNull(texts.Find($"operator.step.{step}")));
            Assert.All(IReadiness.All, part => Assert.NotNull(texts.Find($"operator.standing.part.{part}")));
            Assert.All(OperatorSections.All, section => Assert.NotNull(texts.Find(section.Text)));
        }
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
        Assert.DoesNotContain("data-proven", html);
        _log.State = _log.State with { IsProven = true, Lag = TimeSpan.FromSeconds(2.5) };
        html = await olga.GetStringAsync(new Uri(_address, "/operator/log"));
        Assert.Contains("data-proven=\"yes\"", html);
        Assert.Contains("2,5 s", html);
        _log.State = _log.State with { IsProven = false };
        Assert.Contains("<p class=\"notice bad\" data-proven=\"no\">", await olga.GetStringAsync(new Uri(_address, "/operator/log")));
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

    private static Dictionary<string, string> Fields(string form) => form.Split('&').Select(static part => part.Split('=', 2)).ToDictionary(static part => part[0], static part => part[1]);

    /// <param name="to">Where the form goes; null: to the page that it stands on.</param>
    /// <param name="token">Page of whose form the token is; null: of <paramref name="page"/>.</param>
    private async Task<(HttpStatusCode Status, string Html)> PostToAsync(HttpClient http, string page, string handler, Dictionary<string, string> fields, string? to = null, string? token = null)
    {
        var form = new Dictionary<string, string>(fields) { ["__RequestVerificationToken"] = Token().Match(await http.GetStringAsync(new Uri(_address, token ?? page))).Groups[1].Value };
        using var answer = await http.PostAsync(new Uri(_address, (to ?? page) + handler), new FormUrlEncodedContent(form));
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private sealed class Parts : IReadiness
    {
        public IReadOnlyList<string> Down { get; set; } = [];

        public Task<IReadOnlyList<string>> DownAsync(CancellationToken cancel) => Task.FromResult(Down);
    }

    /// <summary>The acts as they are, over a repository and a key service that say how far they are.</summary>
    private sealed class Acts(IOperatorActs real, Func<KeyProgress?> progress) : IOperatorActs
    {
        public Task<(bool IsUnderstood, DecisionRefusal? Refusal)> ProposeAsync(HttpContext context, Operator who, ApprovalKind kind, string subject, string content) => real.ProposeAsync(context, who, kind, subject, content);
        public Task<DecisionRefusal?> ApproveAsync(HttpContext context, Operator who, string id, string digest) => real.ApproveAsync(context, who, id, digest);
        public Task<DecisionRefusal?> RejectAsync(HttpContext context, Operator who, string id, string digest) => real.RejectAsync(context, who, id, digest);
        public Task<DecisionRefusal?> CarryOutAsync(HttpContext context, Operator who, string id, string digest) => real.CarryOutAsync(context, who, id, digest);
        public DraftedNotices? DraftNotices(byte[] list) => real.DraftNotices(list);
        public Task<SentNotices> SendNoticesAsync(HttpContext context, Operator who, long number, byte[] list) => real.SendNoticesAsync(context, who, number, list);
        public Task<KeyProgress?> ProgressAsync(CancellationToken cancel) => Task.FromResult(progress());
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

    /// <summary>Id and digest of an act that waits for a second person.</summary>
    /// <param name="subject">A pattern; of a case its number is enough.</param>
    private static Regex Act(string subject) => new($"<li data-act=\"([^\"]+)\" data-kind=\"[A-Za-z]+\" data-subject=\"{subject}\" data-status=\"Open\"[\\s\\S]*?name=\"digest\" value=\"([^\"]+)\"");

    [GeneratedRegex("<li data-case=\"([0-9]+)\"")]
    private static partial Regex Case();

    [GeneratedRegex("name=\"__RequestVerificationToken\" type=\"hidden\" value=\"([^\"]+)\"")]
    private static partial Regex Token();
}
