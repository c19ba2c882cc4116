using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Operations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>One operator stops an organisation, a certificate, a professional or a citizen at once; the end takes two.</summary>
public sealed class ContainmentTests(IdentificationWorld world) : IClassFixture<IdentificationWorld>, IAsyncLifetime
{
    private readonly List<WebApplication> _gateways = [];
    private Uri _first = null!, _second = null!;

    public async Task InitializeAsync() => (_first, _second) = (await StartAsync(), await StartAsync());

    public async Task DisposeAsync()
    {
        foreach (var gateway in _gateways)
            await gateway.DisposeAsync();
    }

    [Fact]
    public async Task A_contained_organisation_is_out_on_every_gateway_by_one_persons_word_and_after_a_restart_and_back_by_two()
    {
        var organisation = "organisation/" + world.Aurora.Organisation;
        var (here, there) = (await TokenAsync(_first, world.Aurora), await TokenAsync(_second, world.Aurora));
        using var olga = await SignedInAsync(Olga);
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(olga, organisation));

        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(_first, here, world.Aurora));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(_first, world.Aurora));
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(_second, there, world.Aurora));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(_second, world.Aurora));
        var restarted = await StartAsync();
        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(restarted, here, world.Aurora));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(restarted, world.Aurora));
        // Nobody else is.
        Assert.Equal(HttpStatusCode.OK, await UseAsync(_first, await TokenAsync(_first, world.Revontuli), world.Revontuli));

        await EndAsync(organisation);
        Assert.Equal(HttpStatusCode.OK, await UseAsync(_first, await TokenAsync(_first, world.Aurora), world.Aurora));
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        Assert.Equal(HttpStatusCode.OK, await UseAsync(_second, await TokenAsync(_second, world.Aurora), world.Aurora));
    }

    [Fact]
    public async Task A_contained_certificate_is_no_good_and_another_of_the_same_organisation_is()
    {
        var other = world.Issue(world.Aurora.Organisation);
        var token = await TokenAsync(_first, world.Aurora);
        using var tiina = await SignedInAsync(Tiina);
        using var certificate = world.Aurora.Certificate.Open();
        var fingerprint = string.Join(':', certificate.GetCertHash(System.Security.Cryptography.HashAlgorithmName.SHA256).Select(b => b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture)));
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(tiina, "certificate/" + fingerprint));

        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(_first, token, world.Aurora));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(_first, world.Aurora));
        using var http = world.Connect(other);
        using (var told = await http.PostAsync(new Uri(_first, "/connect/introspect"), new FormUrlEncodedContent(new Dictionary<string, string>(world.ClientCredentials(world.Aurora)) { ["token"] = token })))
            Assert.False((await told.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("active").GetBoolean());
        using var answer = await http.PostAsync(new Uri(_first, "/connect/token"), new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var subject = Assert.Single(await ListAsync(tiina), static one => one.StartsWith("certificate/", StringComparison.Ordinal));
        await EndAsync(subject);
        Assert.Equal(HttpStatusCode.OK, await AskAsync(_first, world.Aurora));
    }

    [Fact]
    public async Task A_contained_professional_acts_through_nobody_and_the_system_and_others_go_on()
    {
        var exchange = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
        var (_, body) = await PostAsync(_first, exchange, world.Aurora);
        var token = body.GetProperty("access_token").GetString()!;
        var system = await TokenAsync(_first, world.Aurora);
        Assert.Equal(HttpStatusCode.OK, await UseAsync(_first, token, world.Aurora));

        using var keeper = await SignedInAsync(KeyKeeper);
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(keeper, "professional/90001"));
        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(_first, token, world.Aurora));
        Assert.Equal(HttpStatusCode.OK, await UseAsync(_first, system, world.Aurora));
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        var (status, refusal) = await PostAsync(_second, world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora);
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_request"), (status, refusal.GetProperty("error").GetString()));
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(_second, world.TokenExchange(world.Revontuli, await world.SubjectTokenAsync("revontuli", "90002")), world.Revontuli)).Status);
        // The token of before is one that was told at once, and one that the decisions are about for as long as it lives.
        world.Clock.Ahead += Approvals.Lease * 2 + TimeSpan.FromSeconds(1);
        Assert.Equal(HttpStatusCode.Unauthorized, await UseAsync(_first, token, world.Aurora));
        await EndAsync("professional/90001");
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(_first, world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora)).Status);
    }

    [Fact]
    public async Task A_contained_citizen_is_signed_out_and_is_not_signed_in()
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0, gateway: _first);
        using var http = world.Connect(cookies: cookies);
        using var before = await http.GetAsync(new Uri(_first, "/whoami"));
        var self = (await before.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("self").GetString();
        Assert.True(Pseudonym.TryDecode(self, out var person));
        var citizen = "citizen/Patient/" + _gateways[0].Services.GetRequiredService<IdentifierCipher>().PatientId(person);
        using var olga = await SignedInAsync(Olga);
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(olga, citizen));

        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(new Uri(_first, "/whoami"))).StatusCode);
        Assert.Equal("/?signin=refused", (await world.SignInAsync(new CookieContainer(), 0, gateway: _first)).PathAndQuery);
        await EndAsync(citizen);
        Assert.Equal("/", (await world.SignInAsync(new CookieContainer(), 0, gateway: _first)).PathAndQuery);
    }

    /// <summary>Whatever comes over it: a token that is bound to a key does too, and knows nothing of the certificate.</summary>
    [Fact]
    public async Task A_certificate_is_out_by_what_is_told_at_once()
    {
        var services = _gateways[1].Services;
        var certificates = services.GetRequiredService<OrganisationCertificates>();
        using var certificate = world.Revontuli.Certificate.Open();
        await certificates.RenewAsync(certificate, CancellationToken.None);
        Assert.Null(certificates.Examine(certificate).Problem);
        await services.GetRequiredService<Revocations>().RevokeAsync(RevokedName.Contained(ContainedSubject.Certificate(OrganisationCertificates.ThumbprintOf(certificate))), world.Clock.GetUtcNow().AddMinutes(1));
        Assert.Contains("contained", certificates.Examine(certificate).Problem);
        world.Clock.Ahead += TimeSpan.FromMinutes(2);
    }

    [Fact]
    public async Task A_page_of_a_contained_citizen_that_goes_on_is_broken_off()
    {
        var services = _gateways[0].Services;
        var self = Pseudonym.Read([9, 8, 7, 6, 5, 4, 3, 2, 1, 1]);
        var (here, there) = (Breakable(), Breakable());
        (here.RequestServices, there.RequestServices) = (services, services);
        OpenRequests.EnterSession(here, self);
        OpenRequests.EnterSession(there, Pseudonym.Read([9, 8, 7, 6, 5, 4, 3, 2, 1, 2]));
        await services.GetRequiredService<Revocations>().RevokeAsync(RevokedName.Contained(ContainedSubject.Citizen(services.GetRequiredService<IdentifierCipher>().PatientId(self))), world.Clock.GetUtcNow().AddMinutes(1));
        Assert.Equal((true, false), (here.RequestAborted.IsCancellationRequested, there.RequestAborted.IsCancellationRequested));
        world.Clock.Ahead += TimeSpan.FromMinutes(2);
    }

    /// <summary>What was looked at is not looked at again; what is revoked between is found all the same, and so is what comes later.</summary>
    [Fact]
    public async Task A_request_whose_names_were_revoked_while_it_came_in_is_broken_off()
    {
        var revocations = new Revocations(null, TimeProvider.System);
        using var open = new OpenRequests(revocations);
        var name = RevokedName.Client("a");
        var (before, early, late) = (revocations.Epoch, Breakable(), Breakable());
        open.Enter(early, [name], before);
        Assert.False(early.RequestAborted.IsCancellationRequested);
        await revocations.RevokeAsync(name, DateTimeOffset.UtcNow.AddMinutes(1));
        Assert.True(early.RequestAborted.IsCancellationRequested);
        open.Enter(late, [name], before);
        Assert.True(late.RequestAborted.IsCancellationRequested);
    }

    [Fact]
    public async Task A_client_that_is_contained_is_suspended()
    {
        using var tiina = await SignedInAsync(Tiina);
        Assert.Equal(HttpStatusCode.NotFound, await ContainAsync(tiina, "client/nobody"));
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(tiina, "client/" + world.Revontuli.ClientId));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(_first, world.Revontuli));
        Assert.DoesNotContain("client/" + world.Revontuli.ClientId, await ListAsync(tiina));
        var approvals = _gateways[0].Services.GetRequiredService<Approvals>();
        var registration = _gateways[0].Services.GetRequiredService<ClientRegistry>().Current.Find(world.Revontuli.ClientId)!.Registration with { Status = ClientStatus.Active };
        Operator one(string id) => new(IdentificationWorld.OperatorTenantId, id, id, new HashSet<OperatorRole> { OperatorRole.Onboarding }, world.Clock.GetUtcNow(), "session");
        var (back, _) = await approvals.ProposeAsync(new DefaultHttpContext(), one("one"), ApprovalKind.ScopeWidening, world.Revontuli.ClientId, null, ClientDirectory.WriteOne(registration));
        Assert.Null(await approvals.ApproveAsync(new DefaultHttpContext(), one("other"), back!.Id, back.Digest));
    }

    [Fact]
    public async Task An_answer_that_goes_on_is_broken_off()
    {
        var token = await TokenAsync(_first, world.Aurora);
        using var http = world.Connect(world.Aurora.Certificate);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await http.GetAsync(new Uri(_first, "/fhir/endless"), HttpCompletionOption.ResponseHeadersRead);
        await using var content = await answer.Content.ReadAsStreamAsync();
        Assert.Equal(1, await content.ReadAsync(new byte[1]));
        using var olga = await SignedInAsync(Olga);
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(olga, "organisation/" + world.Aurora.Organisation));
        // Instead of waiting for ever where it is not.
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        var broken = await Record.ExceptionAsync(async () =>
        {
            while (await content.ReadAsync(new byte[1], patience.Token) == 1) { }
        });
        Assert.True(broken is IOException or HttpRequestException, broken?.ToString() ?? "It ended as if it were whole.");
        await EndAsync("organisation/" + world.Aurora.Organisation);
    }

    [Fact]
    public async Task What_was_contained_after_its_end_was_proposed_stays_so()
    {
        const string Professional = "professional/90077";
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        await ContainAsync(tiina, Professional);
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        var end = await ProposedAsync(tiina, Professional);
        // Whoever proposes does not approve.
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, end, "approve"));
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        await ContainAsync(tero, Professional);
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, end, "approve"));
        Assert.Contains(Professional, await ListAsync(tiina));
        await EndAsync(Professional);
        Assert.DoesNotContain(Professional, await ListAsync(tiina));
        using var again = await tiina.PostAsJsonAsync(new Uri(_first, "/operator/acts"), new { kind = "containment-end", subject = Professional, content = "Once more." });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, again.StatusCode);
    }

    [Fact]
    public async Task An_organisation_is_contained_however_its_number_is_written_and_its_units_with_it()
    {
        const string Above = "1.2.246.10.90000031";
        using var olga = await SignedInAsync(Olga);
        Assert.Equal(HttpStatusCode.NoContent, await ContainAsync(olga, "organisation/urn:oid:" + Above));
        Assert.Contains("organisation/" + Above, await ListAsync(olga));
        foreach (var (organisation, isOut) in new[] { (Above, true), ("urn:oid:" + Above, true), (Above + ".10.5", true), (Above + "1", false), (Above + ".14.5", false) })
            await world.WithClientsAsync(client => client.ClientId == world.Revontuli.ClientId ? client with { OrganisationOid = organisation } : client, () =>
            {
                Assert.Equal(!isOut, _gateways[0].Services.GetRequiredService<ClientRegistry>().Current.Find(world.Revontuli.ClientId)!.IsActive);
                return Task.CompletedTask;
            });
        await EndAsync("organisation/" + Above);
    }

    [Fact]
    public async Task A_citizen_is_out_by_what_is_told_at_once_too()
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0, gateway: _second);
        using var http = world.Connect(cookies: cookies);
        var self = (await http.GetFromJsonAsync<JsonElement>(new Uri(_second, "/whoami"))).GetProperty("self").GetString();
        Assert.True(Pseudonym.TryDecode(self, out var person));
        var citizen = ContainedSubject.Citizen(_gateways[1].Services.GetRequiredService<IdentifierCipher>().PatientId(person));
        await _gateways[1].Services.GetRequiredService<Revocations>().RevokeAsync(RevokedName.Contained(citizen), world.Clock.GetUtcNow().AddMinutes(1));
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(new Uri(_second, "/whoami"))).StatusCode);
        world.Clock.Ahead += TimeSpan.FromMinutes(2);
    }

    [Theory]
    [InlineData("organisation/none")]
    [InlineData("organisation/")]
    [InlineData("certificate/ABCD")]
    [InlineData("professional/1.2.246.10.1/90001")]
    [InlineData("professional/90 01")]
    [InlineData("citizen/010190-900A")]
    [InlineData("Patient/0b0a55d2-799a-45f5-a161-6a4a5faad1f8")]
    [InlineData("everybody")]
    public async Task What_names_nobody_contains_nobody(string subject)
    {
        using var olga = await SignedInAsync(Olga);
        using var answer = await olga.PostAsJsonAsync(new Uri(_first, "/operator/containments"), new { subject, reason = "A test." });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
        Assert.Contains("organisation/[OID]", await answer.Content.ReadAsStringAsync());
        Assert.DoesNotContain(subject, await ListAsync(olga));
    }

    [Fact]
    public async Task Nobody_is_contained_where_it_cannot_be_recorded_and_by_nobody_but_operators()
    {
        using var nobody = world.Connect();
        Assert.Equal(HttpStatusCode.Unauthorized, await ContainAsync(nobody, "professional/90001"));
        Assert.Equal(HttpStatusCode.Unauthorized, (await nobody.GetAsync(new Uri(_first, "/operator/containments"))).StatusCode);
        using var olga = await SignedInAsync(Olga);
        world.Acts.IsAway = true;
        try
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await ContainAsync(olga, "professional/90001"));
        }
        finally
        {
            world.Acts.IsAway = false;
        }
        Assert.DoesNotContain("professional/90001", await ListAsync(olga));
    }

    private static DefaultHttpContext Breakable()
    {
        var context = new DefaultHttpContext();
        context.Features.Set<IHttpRequestLifetimeFeature>(new Lifetime());
        return context;
    }

    private sealed class Lifetime : IHttpRequestLifetimeFeature
    {
        private readonly CancellationTokenSource _end = new();

        public Lifetime() => RequestAborted = _end.Token;

        public CancellationToken RequestAborted { get; set; }

        public void Abort() => _end.Cancel();
    }

    private async Task<Uri> StartAsync()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null };
        var gateway = world.BuildGateway(options, map: app =>
        {
            app.MapGet("/", () => "start");
            app.MapOperatorActs(options);
            app.MapOperatorContainments(options);
            // As the pipeline does with a content.
            app.MapGet("/fhir/endless", async (HttpContext context, IIdentification identification, OpenRequests open) =>
            {
                var (requester, _) = await identification.IdentifyAsync(context);
                open.Enter(context, requester!.Bears);
                await context.Response.Body.WriteAsync(new byte[1]);
                await context.Response.Body.FlushAsync();
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
            });
        });
        await gateway.StartAsync();
        _gateways.Add(gateway);
        return new Uri($"https://localhost:{options.Port}");
    }

    /// <summary>By two persons, and on until what was told at once has ended too.</summary>
    private async Task EndAsync(string subject)
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, await ProposedAsync(tiina, subject), "approve"));
        world.Clock.Ahead += Approvals.Lease * 2 + TimeSpan.FromSeconds(1);
    }

    private async Task<HttpClient> SignedInAsync(int who)
    {
        var cookies = new CookieContainer();
        Assert.Equal("/operator", (await world.SignInOperatorAsync(cookies, who, gateway: _first)).PathAndQuery);
        return world.Connect(cookies: cookies);
    }

    private async Task<HttpStatusCode> ContainAsync(HttpClient http, string subject)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(_first, "/operator/containments"), new { subject, reason = "It reads too much." });
        return answer.StatusCode;
    }

    private async Task<IReadOnlyList<string>> ListAsync(HttpClient http) =>
        [.. (await http.GetFromJsonAsync<JsonElement>(new Uri(_first, "/operator/containments"))).GetProperty("containments").EnumerateArray().Select(static one => one.GetProperty("subject").GetString()!)];

    private async Task<JsonElement> ProposedAsync(HttpClient http, string subject)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(_first, "/operator/acts"), new { kind = "containment-end", subject, content = "A false alarm." });
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    private async Task<HttpStatusCode> DecideAsync(HttpClient http, JsonElement act, string how)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(_first, $"/operator/acts/{act.GetProperty("id")}/{how}"), new { digest = act.GetProperty("digest").GetString() });
        return answer.StatusCode;
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(Uri gateway, Dictionary<string, string> form, SomeClinic clinic)
    {
        using var http = world.Connect(clinic.Certificate);
        using var answer = await http.PostAsync(new Uri(gateway, "/connect/token"), new FormUrlEncodedContent(form));
        return (answer.StatusCode, await answer.Content.ReadFromJsonAsync<JsonElement>());
    }

    private async Task<HttpStatusCode> AskAsync(Uri gateway, SomeClinic clinic) => (await PostAsync(gateway, world.ClientCredentials(clinic), clinic)).Status;

    private async Task<string> TokenAsync(Uri gateway, SomeClinic clinic) =>
        (await PostAsync(gateway, world.ClientCredentials(clinic), clinic)).Body.GetProperty("access_token").GetString()!;

    private async Task<HttpStatusCode> UseAsync(Uri gateway, string token, SomeClinic clinic)
    {
        using var http = world.Connect(clinic.Certificate);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await http.GetAsync(new Uri(gateway, "/fhir/whoami"));
        return answer.StatusCode;
    }
}
