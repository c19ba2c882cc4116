using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Portal;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Identification.Operators;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;

namespace KantaGateway.Tests.Portal;

/// <summary>Operators onboard a clinic in the browser.</summary>
[Collection(OperatorsCollection.Name)]
public sealed partial class OperatorPagesTests(IdentificationWorld world) : IAsyncLifetime
{
    private WebApplication _gateway = null!;
    private Uri _address = null!;

    public async Task InitializeAsync()
    {
        var options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null };
        _gateway = world.BuildGateway(options, builder =>
        {
            builder.Services.AddSingleton<IInnerRequests, NoRecords>();
            builder.AddPortal(options);
        }, static app => app.MapPortal());
        await _gateway.StartAsync();
        _address = new Uri($"https://localhost:{options.Port}");
    }

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    [Fact]
    public async Task A_clinic_is_proposed_by_one_approved_by_another_and_suspended()
    {
        var id = $"page-{Guid.NewGuid():N}";
        using var olga = await SignedInAsync(Olga);
        Assert.Equal(HttpStatusCode.SeeOther, (await PostAsync(olga, "/operator/propose", Registration(id))).Status);
        var list = await olga.GetStringAsync(new Uri(_address, "/operator"));
        Assert.Contains("data-notice=\"operator-proposed\"", list);
        var proposal = ProposalOf(id).Match(list).Groups[1].Value;
        var path = "/operator/proposal/" + proposal;

        var page = await olga.GetStringAsync(new Uri(_address, path));
        Assert.Contains("system/*.cruds", page);
        var form = new Dictionary<string, string> { ["digest"] = Digest().Match(page).Groups[1].Value, ["answer"] = "approve" };
        var (own, html) = await PostAsync(olga, path, form);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, own);
        Assert.Contains("data-error=\"SamePerson\"", html);

        using var heikki = await SignedInAsync(Heikki);
        Assert.Contains("data-error=\"OtherContent\"", (await PostAsync(heikki, path, new() { ["digest"] = "another", ["answer"] = "approve" })).Html);
        Assert.Equal(HttpStatusCode.BadRequest, (await PostAsync(heikki, path, new() { ["digest"] = form["digest"], ["answer"] = "perhaps" })).Status);
        Assert.Equal(HttpStatusCode.SeeOther, (await PostAsync(heikki, path, form)).Status);
        Assert.Contains("data-error=\"AlreadyDecided\"", (await PostAsync(heikki, path, form)).Html);
        list = await heikki.GetStringAsync(new Uri(_address, "/operator"));
        Assert.Contains($"data-client=\"{id}\" data-status=\"active\"", list);

        Assert.Equal(HttpStatusCode.SeeOther, (await PostAsync(heikki, "/operator", new() { ["client"] = id })).Status);
        Assert.Contains($"data-client=\"{id}\" data-status=\"suspended\"", await heikki.GetStringAsync(new Uri(_address, "/operator")));
        Assert.Contains("data-error=\"NoSuchClient\"", (await PostAsync(heikki, "/operator", new() { ["client"] = "nobody" })).Html);
    }

    [Fact]
    public async Task Everything_that_is_wrong_stands_beside_what_was_written()
    {
        using var olga = await SignedInAsync(Olga);
        var wrong = new Dictionary<string, string>(Registration("page-wrong"))
        {
            ["organisation_oid"] = "no-oid", ["scopes"] = "everything", ["jwks"] = "{", ["service_requesters"] = "1.2.3 Aurora", ["redirect_uris"] = "http://x",
        };
        var (status, html) = await PostAsync(olga, "/operator/propose", wrong);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        foreach (var (member, rule) in new[] { ("organisation_oid", "Organisation"), ("scopes", "Scope"), ("jwks", "Json"), ("service_requesters", "RequesterLine"), ("redirect_uris", "SystemRedirects") })
        {
            Assert.Contains($"<a href=\"#{member}\" data-fault=\"{rule}\">", html);
            var field = html[html.IndexOf($"data-field=\"{member}\"", StringComparison.Ordinal)..];
            var (error, next) = (field.IndexOf("class=\"field-error\"", StringComparison.Ordinal), field.IndexOf("data-field", 20, StringComparison.Ordinal));
            Assert.True(error > 0 && error < next, member);
            Assert.Contains($"{member}-error\"", field[..next]);
        }
        Assert.Contains("value=\"page-wrong\"", html);
        Assert.Contains("everything</textarea>", html);
        // What is right has no error beside it.
        Assert.DoesNotContain("id=\"client_id-error\"", html);
    }

    [Fact]
    public async Task Everything_of_a_registration_can_be_filled_in_and_comes_back_to_be_changed()
    {
        var id = $"page-{Guid.NewGuid():N}";
        using var olga = await SignedInAsync(Olga);
        using var heikki = await SignedInAsync(Heikki);
        var thumbprint = world.Aurora.Certificate.Thumbprint;
        var filled = new Dictionary<string, string>(Registration(id))
        {
            ["service_requesters"] = "1.2.246.10.90000032 | occupational | Työ Oy | 3, 12\r\n1.2.246.10.90000033 | public | Julkinen | suspended",
            ["system_name"] = "Ääni", ["system_version"] = "2.1", ["certification_class"] = "A2", ["tls_client_certificates"] = $"{thumbprint}\n{thumbprint[..^1]}A", ["certificate_subjects"] = "CN=a,O=b",
            ["unknown_profiles"] = "accept", ["scopes"] = "system/*.rs\n\n user/Patient.r ", ["dpop_bound_access_tokens"] = "yes",
        };
        Assert.Equal(HttpStatusCode.SeeOther, (await PostAsync(olga, "/operator/propose", filled)).Status);
        var path = "/operator/proposal/" + ProposalOf(id).Match(await olga.GetStringAsync(new Uri(_address, "/operator"))).Groups[1].Value;
        var page = await heikki.GetStringAsync(new Uri(_address, path));
        Assert.Equal(HttpStatusCode.SeeOther, (await PostAsync(heikki, path, new() { ["digest"] = Digest().Match(page).Groups[1].Value, ["answer"] = "approve" })).Status);

        var registered = _gateway.Services.GetRequiredService<Gateway.Identification.ClientRegistry>().Current.Find(id)!.Registration;
        Assert.Equal(("Ääni", "2.1", Gateway.Identification.CertificationClass.A2, true), (registered.SystemName, registered.SystemVersion, registered.CertificationClass, registered.DpopBoundAccessTokens));
        Assert.Equal(["system/*.rs", "user/Patient.r"], registered.Scopes);
        Assert.Equal(["ES384"], registered.TokenEndpointAuthSigningAlg);
        Assert.Equal(2, registered.TlsClientCertificates.Count);
        Assert.Equal([("1.2.246.10.90000032", Gateway.Identification.ClientStatus.Active), ("1.2.246.10.90000033", Gateway.Identification.ClientStatus.Suspended)], registered.ServiceRequesters!.Select(one => (one.OrganisationOid, one.Status)));
        Assert.Equal([[3, 12], []], registered.ServiceRequesters!.Select(one => one.HealthServices));
        // Sent again as it stands on the page it is the same registration.
        var again = Portal(await olga.GetStringAsync(new Uri(_address, "/operator/propose?client=" + id)));
        Assert.Contains("1.2.246.10.90000032 | occupational | Työ Oy | 3, 12\n1.2.246.10.90000033 | public | Julkinen | suspended", again);
        Assert.Contains("system/*.rs\nuser/Patient.r</textarea>", again);
        Assert.Equal(Gateway.Identification.ClientDirectory.WriteOne(registered),
            Gateway.Identification.ClientDirectory.WriteOne(Gateway.Identification.ClientDirectory.ReadOne(System.Text.Encoding.UTF8.GetBytes(RegistrationForm.Of(registered).Write().Json), true).Registration!));
    }

    [Fact]
    public void The_services_that_are_ticked_come_back_ticked()
    {
        var members = System.Text.Json.Nodes.JsonNode.Parse(Gateway.Identification.ClientDirectory.WriteOne(_gateway.Services.GetRequiredService<Gateway.Identification.ClientRegistry>().Current.Find(world.Aurora.ClientId)!.Registration))!.AsObject();
        members["health_services"] = new System.Text.Json.Nodes.JsonArray(1, 14);
        var registered = Gateway.Identification.ClientDirectory.ReadOne(System.Text.Encoding.UTF8.GetBytes(members.ToJsonString()), true).Registration!;
        var form = RegistrationForm.Of(registered);
        Assert.Equal((true, true, false), (form.Has("health_services", "1"), form.Has("health_services", "14"), form.Has("health_services", "4")));
        Assert.Equal([1, 14], Gateway.Identification.ClientDirectory.ReadOne(System.Text.Encoding.UTF8.GetBytes(form.Write().Json), true).Registration!.HealthServices);
        // What no box has is told and not thrown.
        var made = RegistrationForm.Read(new FormCollection(new() { ["client_id"] = "x", ["health_services"] = new(["1", "all"]), ["service_requesters"] = "1.2.3 | public | A | 1, x" })).Write();
        Assert.Contains("\"health_services\":[1,\"all\"]", made.Json);
        Assert.Equal(Gateway.Identification.RegistrationRule.RequesterLine, Assert.Single(made.Faults).Rule);
    }

    [Fact]
    public void Every_rule_is_said_in_every_language_and_every_member_has_its_field()
    {
        var texts = new Texts();
        foreach (var (language, _) in Texts.Languages)
        {
            System.Globalization.CultureInfo.CurrentUICulture = new(language);
            Assert.All(Enum.GetValues<Gateway.Identification.RegistrationRule>(), rule => Assert.NotNull(texts.Find($"operator.wrong.{rule}")));
            Assert.All(RegistrationForm.Groups.SelectMany(group => group.Fields), field => Assert.NotNull(texts.Find($"operator.field.{field.Member}")));
            Assert.All(Gateway.Identification.HealthServicePoints.All, point => Assert.NotNull(texts.Find($"operator.choice.{point}")));
        }
        var members = System.Text.Json.Nodes.JsonNode.Parse(Gateway.Identification.ClientDirectory.WriteOne(_gateway.Services.GetRequiredService<Gateway.Identification.ClientRegistry>().Current.Find(world.Aurora.ClientId)!.Registration))!.AsObject();
        Assert.Equal(members.Select(member => member.Key).Except(["status"]).Order(), RegistrationForm.Groups.SelectMany(group => group.Fields).Select(field => field.Member).Order());
    }

    private static string Portal(string html) => WebUtility.HtmlDecode(html).ReplaceLineEndings("\n");

    [Fact]
    public async Task A_known_client_is_changed_from_what_it_has()
    {
        using var olga = await SignedInAsync(Olga);
        Assert.Contains(world.Aurora.Organisation, await olga.GetStringAsync(new Uri(_address, "/operator/propose?client=" + world.Aurora.ClientId)));
        using var none = await olga.GetAsync(new Uri(_address, "/operator/proposal/none"));
        Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
    }

    [Theory]
    [InlineData("/operator")]
    [InlineData("/operator/propose")]
    [InlineData("/operator/proposal/some")]
    public async Task A_page_of_operators_needs_their_session_and_the_role(string path)
    {
        using var nobody = world.Connect();
        using var away = await nobody.GetAsync(new Uri(_address, path));
        Assert.Equal((HttpStatusCode.SeeOther, "/operator/start"), (away.StatusCode, away.Headers.Location!.ToString()));
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0, gateway: _address);
        using var citizen = world.Connect(cookies: cookies);
        Assert.Equal(HttpStatusCode.SeeOther, (await citizen.GetAsync(new Uri(_address, path))).StatusCode);
        using var keeper = await SignedInAsync(KeyKeeper);
        // At the first page of all, who does not onboard goes on to one of her own.
        Assert.Equal(path == "/operator" ? HttpStatusCode.SeeOther : HttpStatusCode.Forbidden, (await keeper.GetAsync(new Uri(_address, path))).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await keeper.PostAsync(new Uri(_address, path), new FormUrlEncodedContent([]))).StatusCode);
    }

    [Theory]
    [InlineData("/operator")]
    [InlineData("/operator/propose")]
    [InlineData("/operator/proposal/some")]
    public async Task A_form_without_its_token_decides_nothing(string path)
    {
        using var olga = await SignedInAsync(Olga);
        var decided = world.Acts.All.Count;
        using var answer = await olga.PostAsync(new Uri(_address, path), new FormUrlEncodedContent([new("client", world.Aurora.ClientId), new("client_id", "a"), new("digest", "d"), new("answer", "approve")]));
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal(decided, world.Acts.All.Count);
    }

    [Fact]
    public async Task The_start_page_tells_how_a_sign_in_ended()
    {
        using var http = world.Connect(cookies: new CookieContainer());
        using var told = await http.GetAsync(new Uri(_address, "/operator/start?signin=refused"));
        Assert.Equal((HttpStatusCode.SeeOther, "/operator/start"), (told.StatusCode, told.Headers.Location!.ToString()));
        using var start = await http.GetAsync(new Uri(_address, "/operator/start"));
        var page = await start.Content.ReadAsStringAsync();
        Assert.Contains("data-notice=\"operator-sign-in-failed\"", page);
        Assert.Contains("href=\"/operator/signin\"", page);
        Assert.Contains("default-src 'self'", start.Headers.GetValues("Content-Security-Policy").Single());
        Assert.Equal("no-store", start.Headers.CacheControl!.ToString());
    }

    [Theory]
    [InlineData("/operator")]
    [InlineData("/operator/start")]
    [InlineData("/operator/propose")]
    [InlineData("/operator/proposal/some")]
    [InlineData("/operator/clients")]
    public async Task Without_operators_none_of_their_pages_is_there(string path)
    {
        await using var portal = await PortalUnderTest.StartAsync();
        Assert.Equal(HttpStatusCode.NotFound, (await portal.GetAsync(path)).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await portal.GetAsync(path, cookies: null)).Status);
    }

    private Dictionary<string, string> Registration(string id) => new()
    {
        ["client_id"] = id, ["kind"] = "system", ["organisation_oid"] = "1.2.246.10.90000031", ["organisation_name"] = "Sivu Oy", ["controller_kind"] = "private", ["profile"] = "smart",
        ["token_endpoint_auth_method"] = "private_key_jwt", ["token_endpoint_auth_signing_alg"] = "ES384", ["jwks"] = $$"""{"keys":[{{world.Aurora.PublicJwk}}]}""", ["scopes"] = "system/*.cruds",
    };

    private async Task<HttpClient> SignedInAsync(int who)
    {
        var cookies = new CookieContainer();
        Assert.Equal("/operator", (await world.SignInOperatorAsync(cookies, who, gateway: _address)).PathAndQuery);
        return world.Connect(cookies: cookies);
    }

    private async Task<(HttpStatusCode Status, string Html)> PostAsync(HttpClient http, string path, Dictionary<string, string> fields)
    {
        var page = await http.GetStringAsync(new Uri(_address, path));
        fields["__RequestVerificationToken"] = Token().Match(page).Groups[1].Value;
        using var answer = await http.PostAsync(new Uri(_address, path), new FormUrlEncodedContent(fields));
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private sealed class NoRecords : IInnerRequests
    {
        public Task<FhirAnswer> SendAsync(Gateway.Identification.Requester requester, string method, string target, ReadOnlyMemory<byte> body = default, string? contentType = null, IHeaderDictionary? headers = null, CancellationToken cancel = default) =>
            throw new NotSupportedException();
    }

    private static Regex ProposalOf(string id) => new($"href=\"/operator/proposal/([^\"]+)\">{id}<");

    [GeneratedRegex("name=\"digest\" value=\"([^\"]+)\"")]
    private static partial Regex Digest();

    [GeneratedRegex("name=\"__RequestVerificationToken\" type=\"hidden\" value=\"([^\"]+)\"")]
    private static partial Regex Token();
}
