using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.Tokens;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>Clinics are onboarded by two operators, over HTTP.</summary>
[Collection(OperatorsCollection.Name)]
public sealed class OnboardingTests(IdentificationWorld world) : IAsyncLifetime
{
    private WebApplication _second = null!;
    private Uri _secondAddress = null!;

    public async Task InitializeAsync()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null };
        _second = world.BuildGateway(options);
        await _second.StartAsync();
        _secondAddress = new Uri($"https://localhost:{options.Port}");
    }

    public async Task DisposeAsync() => await _second.DisposeAsync();

    [Fact]
    public async Task An_approved_clinic_gets_its_token_on_every_gateway_within_a_second_and_after_a_restart()
    {
        var clinic = SomeNewClinic();
        using var olga = await SignedInAsync(Olga);
        var proposal = await ProposeAsync(olga, Registration(clinic));
        Assert.Equal("onboarding", proposal.GetProperty("kind").GetString());
        Assert.Equal(HttpStatusCode.Unauthorized, await TokenAtAsync(new Uri(world.Options.PublicAddress), clinic));

        // Approved at the other gateway, by somebody else.
        using var heikki = await SignedInAsync(Heikki, _secondAddress);
        Assert.Equal(HttpStatusCode.NoContent, (await DecideAsync(heikki, proposal, "approve", _secondAddress)).Status);
        Assert.Equal(HttpStatusCode.OK, await TokenAtAsync(_secondAddress, clinic));
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        Assert.Equal(HttpStatusCode.OK, await TokenAtAsync(new Uri(world.Options.PublicAddress), clinic));
        // What the file says is in force beside it.
        Assert.Equal(HttpStatusCode.OK, await TokenAtAsync(_secondAddress, world.Aurora));

        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null };
        await using var restarted = world.BuildGateway(options);
        await restarted.StartAsync();
        Assert.Equal(HttpStatusCode.OK, await TokenAtAsync(new Uri($"https://localhost:{options.Port}"), clinic));
    }

    [Fact]
    public async Task The_one_who_proposed_does_not_approve_even_in_another_session()
    {
        using var olga = await SignedInAsync(Olga);
        var proposal = await ProposeAsync(olga, Registration(SomeNewClinic()));
        using var again = await SignedInAsync(Olga, _secondAddress);
        var (status, body) = await DecideAsync(again, proposal, "approve", _secondAddress);
        Assert.Equal((HttpStatusCode.Forbidden, "SamePerson"), (status, body.GetProperty("title").GetString()));
    }

    [Fact]
    public async Task A_suspended_client_is_out_at_once_with_one_persons_word_and_back_with_two()
    {
        var clinic = SomeNewClinic();
        await OnboardAsync(clinic);
        var token = await world.TokenAsync(clinic);
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, clinic.Certificate)).Status);

        using var olga = await SignedInAsync(Olga);
        using var suspended = await olga.PostAsJsonAsync("/operator/clients/suspend", new { client_id = clinic.ClientId });
        Assert.Equal(HttpStatusCode.NoContent, suspended.StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, clinic.Certificate)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, await TokenAtAsync(new Uri(world.Options.PublicAddress), clinic));
        world.Clock.Ahead += TimeSpan.FromSeconds(1);
        Assert.Equal(HttpStatusCode.Unauthorized, await TokenAtAsync(_secondAddress, clinic));

        var proposal = await ProposeAsync(olga, Registration(clinic));
        Assert.Equal("scope-widening", proposal.GetProperty("kind").GetString());
        using var heikki = await SignedInAsync(Heikki);
        Assert.Equal(HttpStatusCode.NoContent, (await DecideAsync(heikki, proposal, "approve")).Status);
        Assert.Equal(HttpStatusCode.OK, await TokenAtAsync(new Uri(world.Options.PublicAddress), clinic));
    }

    /// <summary>Which a gateway heeds that cannot see the folder of decisions.</summary>
    [Fact]
    public async Task What_a_suspended_client_was_given_is_revoked()
    {
        var clinic = SomeNewClinic();
        await OnboardAsync(clinic);
        using var olga = await SignedInAsync(Olga, _secondAddress);
        using var suspended = await olga.PostAsJsonAsync(new Uri(_secondAddress, "/operator/clients/suspend"), new { client_id = clinic.ClientId });
        Assert.Equal(HttpStatusCode.NoContent, suspended.StatusCode);
        Assert.True(_second.Services.GetRequiredService<Revocations>().IsRevoked(RevokedName.Client(clinic.ClientId)));
    }

    [Fact]
    public async Task A_wider_registration_is_not_in_force_before_it_is_approved()
    {
        var clinic = SomeNewClinic();
        await OnboardAsync(clinic, "system/Observation.rs");
        using var olga = await SignedInAsync(Olga);
        var proposal = await ProposeAsync(olga, Registration(clinic, "system/*.cruds"));
        Assert.Null(await GrantedAsync(clinic));
        using var heikki = await SignedInAsync(Heikki);
        Assert.Equal(HttpStatusCode.NoContent, (await DecideAsync(heikki, proposal, "approve")).Status);
        Assert.Equal("system/*.cruds", await GrantedAsync(clinic));
    }

    [Fact]
    public async Task A_change_is_not_approved_once_something_else_is_in_force()
    {
        var clinic = SomeNewClinic();
        await OnboardAsync(clinic);
        using var olga = await SignedInAsync(Olga);
        var (wider, stale) = (await ProposeAsync(olga, Registration(clinic, "system/Observation.rs")), await ProposeAsync(olga, Registration(clinic, "system/Condition.rs")));
        using var heikki = await SignedInAsync(Heikki);
        Assert.Equal(HttpStatusCode.NoContent, (await DecideAsync(heikki, wider, "approve")).Status);
        var (status, body) = await DecideAsync(heikki, stale, "approve");
        Assert.Equal((HttpStatusCode.Conflict, "ChangedMeanwhile"), (status, body.GetProperty("title").GetString()));

        // A suspension between makes the proposal void too.
        var third = await ProposeAsync(olga, Registration(clinic, "system/Condition.rs"));
        await olga.PostAsJsonAsync("/operator/clients/suspend", new { client_id = clinic.ClientId });
        Assert.Equal(HttpStatusCode.Conflict, (await DecideAsync(heikki, third, "approve")).Status);
    }

    [Fact]
    public async Task A_rejected_proposal_and_another_digest_change_nothing()
    {
        var clinic = SomeNewClinic();
        using var olga = await SignedInAsync(Olga);
        using var heikki = await SignedInAsync(Heikki);
        var proposal = await ProposeAsync(olga, Registration(clinic));
        using var other = await heikki.PostAsJsonAsync($"/operator/clients/proposals/{proposal.GetProperty("id")}/approve", new { digest = "another" });
        Assert.Equal(HttpStatusCode.Conflict, other.StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await DecideAsync(heikki, proposal, "reject")).Status);
        Assert.Equal(HttpStatusCode.Conflict, (await DecideAsync(heikki, proposal, "approve")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, await TokenAtAsync(new Uri(world.Options.PublicAddress), clinic));
        using var none = await heikki.PostAsJsonAsync("/operator/clients/proposals/none/approve", new { digest = "another" });
        Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
    }

    [Fact]
    public async Task What_is_no_registration_is_not_decided_about_here()
    {
        using var olga = await SignedInAsync(Olga);
        var approvals = _second.Services.GetRequiredService<Approvals>();
        var keeper = new Operator(IdentificationWorld.OperatorTenantId, "keeper", "Keeper", new HashSet<OperatorRole> { OperatorRole.Keys }, world.Clock.GetUtcNow(), "session");
        var (ceremony, _) = await approvals.ProposeAsync(new DefaultHttpContext(), keeper, ApprovalKind.KeyCeremony, "wrapping key", null, "rotate");
        foreach (var how in (string[])["approve", "reject"])
            Assert.Equal(HttpStatusCode.NotFound, (await olga.PostAsJsonAsync($"/operator/clients/proposals/{ceremony!.Id}/{how}", new { digest = ceremony.Digest })).StatusCode);
    }

    [Fact]
    public async Task Everything_that_is_wrong_with_a_registration_is_said_at_once()
    {
        using var olga = await SignedInAsync(Olga);
        var registration = Registration(SomeNewClinic(), "everything").Replace("1.2.246.10", "no-oid", StringComparison.Ordinal).Replace("ES384", "HS256", StringComparison.Ordinal);
        using var answer = await olga.PostAsync("/operator/clients/proposals", Json(registration));
        Assert.Equal((HttpStatusCode)422, answer.StatusCode);
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType!.MediaType);
        var errors = string.Join('\n', (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors").EnumerateArray().Select(e => e.GetString()));
        foreach (var named in (string[])["organisation_oid", "token_endpoint_auth_signing_alg", "scope"])
            Assert.Contains(named, errors);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("""{"client_id":"a","unknown":1}""")]
    [InlineData("suspended")]
    public async Task Rejects_what_is_no_registration(string text)
    {
        using var olga = await SignedInAsync(Olga);
        var body = text == "suspended" ? Registration(SomeNewClinic()).Replace("{\"client_id\"", "{\"status\":\"suspended\",\"client_id\"", StringComparison.Ordinal) : text;
        using var answer = await olga.PostAsync("/operator/clients/proposals", Json(body));
        Assert.Equal((HttpStatusCode)422, answer.StatusCode);
    }

    [Fact]
    public async Task A_registration_that_is_too_long_is_not_read()
    {
        using var olga = await SignedInAsync(Olga);
        using var answer = await olga.PostAsync("/operator/clients/proposals", Json(new string(' ', 64 * 1024 + 1)));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, answer.StatusCode);
    }

    [Fact]
    public async Task Who_signed_in_too_long_ago_signs_in_again_before_proposing_and_approving()
    {
        using var olga = await SignedInAsync(Olga);
        using var heikki = await SignedInAsync(Heikki);
        var proposal = await ProposeAsync(olga, Registration(SomeNewClinic()));
        var began = world.Clock.Ahead;
        try
        {
            world.Clock.Ahead = began + TimeSpan.FromMinutes(10);
            Assert.Equal(HttpStatusCode.OK, (await heikki.GetAsync("/operator/clients")).StatusCode);
            Assert.Equal(HttpStatusCode.OK, (await olga.GetAsync("/operator/clients")).StatusCode);
            world.Clock.Ahead = began + TimeSpan.FromMinutes(16);
            var (status, body) = await DecideAsync(heikki, proposal, "approve");
            Assert.Equal((HttpStatusCode.Forbidden, "SignInAgain"), (status, body.GetProperty("title").GetString()));
            using var late = await olga.PostAsync("/operator/clients/proposals", Json(Registration(SomeNewClinic())));
            Assert.Equal(HttpStatusCode.Forbidden, late.StatusCode);
        }
        finally
        {
            world.Clock.Ahead = began;
        }
    }

    public static TheoryData<string, string> Addresses => new()
    {
        { "GET", "/operator/clients" }, { "POST", "/operator/clients/proposals" }, { "POST", "/operator/clients/proposals/some/approve" },
        { "POST", "/operator/clients/proposals/some/reject" }, { "POST", "/operator/clients/suspend" },
    };

    [Theory]
    [MemberData(nameof(Addresses))]
    public async Task Nobody_but_operators_for_onboarding_gets_anything(string method, string path)
    {
        async Task<HttpStatusCode> SendAsync(HttpClient http)
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = method == "POST" ? Json("{}") : null };
            return (await http.SendAsync(request)).StatusCode;
        }
        using var nobody = world.Connect();
        Assert.Equal(HttpStatusCode.Unauthorized, await SendAsync(nobody));
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0);
        using var citizen = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.Unauthorized, await SendAsync(citizen));
        using var keeper = await SignedInAsync(KeyKeeper);
        Assert.Equal(HttpStatusCode.Forbidden, await SendAsync(keeper));
    }

    [Theory]
    [MemberData(nameof(Addresses))]
    public async Task A_page_of_another_site_decides_nothing(string method, string path)
    {
        if (method == "GET")
            return;
        using var olga = await SignedInAsync(Olga);
        using var form = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent("{}", Encoding.UTF8, "text/plain") };
        Assert.Equal(HttpStatusCode.Forbidden, (await olga.SendAsync(form)).StatusCode);
        using var script = new HttpRequestMessage(HttpMethod.Post, path) { Content = Json("{}"), Headers = { { "Sec-Fetch-Site", "same-site" } } };
        Assert.Equal(HttpStatusCode.Forbidden, (await olga.SendAsync(script)).StatusCode);
    }

    [Fact]
    public async Task The_list_shows_clients_of_file_and_decisions_and_what_waits()
    {
        var (waiting, onboarded) = (SomeNewClinic(), SomeNewClinic());
        await OnboardAsync(onboarded);
        using var olga = await SignedInAsync(Olga);
        var proposal = await ProposeAsync(olga, Registration(waiting));
        var list = await olga.GetFromJsonAsync<JsonElement>("/operator/clients");
        var clients = list.GetProperty("clients").EnumerateArray().Select(c => c.GetProperty("client_id").GetString()).ToList();
        Assert.Contains(onboarded.ClientId, clients);
        Assert.Contains(world.Aurora.ClientId, clients);
        Assert.DoesNotContain(waiting.ClientId, clients);
        Assert.Contains(list.GetProperty("proposals").EnumerateArray(), p => p.GetProperty("id").GetString() == proposal.GetProperty("id").GetString() && p.GetProperty("digest").GetString() == proposal.GetProperty("digest").GetString());
    }

    [Fact]
    public async Task An_unknown_client_is_not_suspended()
    {
        using var olga = await SignedInAsync(Olga);
        using var answer = await olga.PostAsJsonAsync("/operator/clients/suspend", new { client_id = "nobody" });
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
    }

    [Fact]
    public async Task Nothing_is_onboarded_that_cannot_be_recorded()
    {
        var clinic = SomeNewClinic();
        using var olga = await SignedInAsync(Olga);
        using var heikki = await SignedInAsync(Heikki);
        var proposal = await ProposeAsync(olga, Registration(clinic));
        world.Acts.IsAway = true;
        try
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await DecideAsync(heikki, proposal, "approve")).Status);
        }
        finally
        {
            world.Acts.IsAway = false;
        }
        Assert.Equal(HttpStatusCode.Unauthorized, await TokenAtAsync(new Uri(world.Options.PublicAddress), clinic));
    }

    private SomeClinic SomeNewClinic()
    {
        var number = RandomNumberGenerator.GetInt32(1_000_000, 9_999_999);
        var organisation = $"1.2.246.10.9{number}";
        return new($"clinic-{number}", organisation, new ECDsaSecurityKey(ECDsa.Create(ECCurve.NamedCurves.nistP384)) { KeyId = "1" }, "ES384", world.Authority.IssueOrganisation(Oid.Parse(organisation), "Uusi Oy"));
    }

    private static string Registration(SomeClinic clinic, string scope = "system/*.cruds") =>
        $$"""{"client_id":"{{clinic.ClientId}}","organisation_oid":"{{clinic.Organisation}}","organisation_name":"Uusi Oy","controller_kind":"private","jwks":{"keys":[{{clinic.PublicJwk}}]},"token_endpoint_auth_signing_alg":["ES384"],"scopes":["{{scope}}"]}""";

    private static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

    private async Task<HttpClient> SignedInAsync(int who, Uri? gateway = null)
    {
        var cookies = new CookieContainer();
        Assert.Equal("/operator", (await world.SignInOperatorAsync(cookies, who, gateway: gateway)).PathAndQuery);
        // The second gateway of a deployment without Redis knows its own sessions only.
        return world.Connect(cookies: cookies);
    }

    private static async Task<JsonElement> ProposeAsync(HttpClient http, string registration)
    {
        using var answer = await http.PostAsync("/operator/clients/proposals", Json(registration));
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    private static async Task<(HttpStatusCode Status, JsonElement Body)> DecideAsync(HttpClient http, JsonElement proposal, string how, Uri? gateway = null)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(gateway ?? http.BaseAddress!, $"/operator/clients/proposals/{proposal.GetProperty("id")}/{how}"), new { digest = proposal.GetProperty("digest").GetString() });
        return (answer.StatusCode, answer.StatusCode == HttpStatusCode.NoContent ? default : await answer.Content.ReadFromJsonAsync<JsonElement>());
    }

    private async Task OnboardAsync(SomeClinic clinic, string scope = "system/*.cruds")
    {
        using var olga = await SignedInAsync(Olga);
        using var heikki = await SignedInAsync(Heikki);
        Assert.Equal(HttpStatusCode.NoContent, (await DecideAsync(heikki, await ProposeAsync(olga, Registration(clinic, scope)), "approve")).Status);
    }

    private async Task<HttpStatusCode> TokenAtAsync(Uri gateway, SomeClinic clinic)
    {
        using var http = world.Connect(clinic.Certificate);
        using var answer = await http.PostAsync(new Uri(gateway, "/connect/token"), new FormUrlEncodedContent(world.ClientCredentials(clinic)));
        return answer.StatusCode;
    }

    private async Task<string?> GrantedAsync(SomeClinic clinic) =>
        (await world.PostTokenAsync(world.ClientCredentials(clinic), clinic.Certificate)).Body.TryGetProperty("scope", out var scope) ? scope.GetString() : null;
}
