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
[Collection(IdentificationCollection.Name)]
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
        Assert.Equal(HttpStatusCode.SeeOther, (await PostAsync(olga, "/operator/propose", new() { ["registration"] = Registration(id) })).Status);
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
        var wrong = Registration("page-wrong").Replace("1.2.246.10", "no-oid", StringComparison.Ordinal).Replace("system/*.cruds", "everything", StringComparison.Ordinal);
        var (status, html) = await PostAsync(olga, "/operator/propose", new() { ["registration"] = wrong });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("organisation_oid is not an OID", html);
        Assert.Contains("not a SMART v2 scope", html);
        Assert.Contains("page-wrong", html[html.IndexOf("<textarea", StringComparison.Ordinal)..]);
    }

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
        Assert.Equal(HttpStatusCode.Forbidden, (await keeper.GetAsync(new Uri(_address, path))).StatusCode);
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
        using var answer = await olga.PostAsync(new Uri(_address, path), new FormUrlEncodedContent([new("client", world.Aurora.ClientId), new("registration", "{}"), new("digest", "d"), new("answer", "approve")]));
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

    private string Registration(string id) =>
        $$"""{"client_id":"{{id}}","organisation_oid":"1.2.246.10.90000031","organisation_name":"Sivu Oy","controller_kind":"private","jwks":{"keys":[{{world.Aurora.PublicJwk}}]},"token_endpoint_auth_signing_alg":["ES384"],"scopes":["system/*.cruds"]}""";

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
