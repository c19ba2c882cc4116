using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Web;
using KantaGateway.Client;
using KantaGateway.Dev;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Identification.Dpop;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Scenarios;

/// <summary>
/// An app of a citizen over the public contract (SMART App Launch 2.2, standalone): pushed request, her answer, code, token with
/// <c>patient</c>, and no more of her record than she allowed.
/// </summary>
/// <remarks>Names in comments are those of the OpenID Foundation's FAPI 2.0 modules, without their prefix FAPI2SPFinal.</remarks>
public sealed class CitizenAppTests(CitizenAppTests.World world) : IClassFixture<CitizenAppTests.World>
{
    private const string AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    private const string Redirect = DevelopmentFolder.AppRedirect;

    /// <summary>HappyFlow.</summary>
    [Fact]
    public async Task A_citizen_lets_an_app_at_her_record_and_it_reads_what_she_allowed()
    {
        var app = new App(world);
        var request = await app.PushAsync();
        using var browser = world.NewBrowser();

        // Not signed in: by the broker, and back to the question.
        using var first = await browser.GetAsync(app.AuthorizeUrl(request));
        Assert.Equal(HttpStatusCode.SeeOther, first.StatusCode);
        Assert.StartsWith("/signin?back=%2Fconnect%2Fauthorize", first.Headers.Location!.OriginalString);
        var page = await world.SignInAsync(browser, first.Headers.Location.OriginalString);
        Assert.Equal("/connect/authorize", page.Address.AbsolutePath);
        Assert.Contains("Omakunto", page.Text);
        Assert.Contains("Omakunto Sovellukset Oy", page.Text);
        Assert.Contains("Measurement or test result", page.Text);

        var answer = await world.AnswerAsync(browser, page, "allow");
        Assert.Equal("s-1", answer["state"]);
        Assert.Equal(world.Address + "/", answer["iss"]);
        Assert.Equal(43, answer["code"]!.Length);
        var (status, token) = await app.RedeemAsync(answer["code"]!);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("patient/Observation.rs patient/Patient.r", token.GetProperty("scope").GetString());
        Assert.Equal(world.Patient, token.GetProperty("patient").GetString());
        Assert.False(token.TryGetProperty("refresh_token", out _));

        var bearer = token.GetProperty("access_token").GetString()!;
        Assert.Equal(HttpStatusCode.OK, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
        using var found = await app.SearchAsync(bearer, "Observation");
        Assert.Equal(HttpStatusCode.OK, found.StatusCode);
        Assert.Equal(1, (await found.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("total").GetInt32());
    }

    /// <summary>The answers rest on her declarations, so an app asks by leave to read those, and is told of the types that it may read.</summary>
    [Fact]
    public async Task An_app_that_may_read_her_declarations_asks_who_sees_what_of_what_it_may_read()
    {
        var app = new App(world);
        using var refused = await app.SendAsync(await app.TokenAsync("patient/Observation.rs"), HttpMethod.Post, "/consent/v1/preview", "{}", "application/json");
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        var token = await app.TokenAsync("patient/Observation.rs patient/Consent.r");
        async Task<JsonElement> AskAsync(string path, string body, HttpStatusCode expected = HttpStatusCode.OK)
        {
            using var response = await app.SendAsync(token, HttpMethod.Post, path, body, "application/json");
            Assert.Equal(expected, response.StatusCode);
            return await response.Content.ReadFromJsonAsync<JsonElement>();
        }
        var row = Assert.Single((await AskAsync("/consent/v1/preview", "{}")).GetProperty("registers").EnumerateArray().ToList());
        Assert.Equal(1, row.GetProperty("entries").GetInt32());
        Assert.False((await AskAsync("/consent/v1/explain", $$$"""{"entry":{"type":"Observation","id":"{{{world.Observation}}}"}}""")).GetProperty("sees").GetBoolean());
        await AskAsync("/consent/v1/explain", $$$"""{"entry":{"type":"Condition","id":"{{{world.Condition}}}"}}""", HttpStatusCode.Forbidden);
    }

    /// <summary>UserRejectsAuthentication.</summary>
    [Fact]
    public async Task What_she_does_not_allow_gives_no_code_and_is_not_asked_again()
    {
        var app = new App(world);
        var request = await app.PushAsync();
        using var browser = world.NewBrowser();
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(app.AuthorizeUrl(request)));
        var answer = await world.AnswerAsync(browser, page, "deny");
        Assert.Equal(("access_denied", "s-1", world.Address + "/", null), (answer["error"], answer["state"], answer["iss"], answer["code"]));
        Assert.Equal(HttpStatusCode.BadRequest, (await browser.GetAsync(app.AuthorizeUrl(request))).StatusCode);
    }

    [Theory]
    [InlineData("allow", "0", "The citizen allowed patient/Observation.rs patient/Patient.r.")]
    [InlineData("deny", "4", "The citizen did not allow patient/Observation.rs patient/Patient.r.")]
    public async Task Her_answer_stands_in_the_log_before_the_app_has_it(string answer, string outcome, string said)
    {
        var app = new App(world);
        using var browser = world.NewBrowser();
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(app.AuthorizeUrl(await app.PushAsync())));
        var id = Guid.NewGuid().ToString();
        browser.DefaultRequestHeaders.Add("X-Request-Id", id);
        await world.AnswerAsync(browser, page, answer);

        using var audit = new AuditOnDisk(world.Data);
        audit.Refresh();
        var entry = Assert.Single(audit.All, one => one.GetRawText().Contains(id, StringComparison.Ordinal));
        Assert.Equal((outcome, said), (entry.GetProperty("outcome").GetString(), entry.GetProperty("outcomeDesc").GetString()));
        foreach (var part in new[] { "Patient/" + world.Patient, "\"omakunto\"", "Omakunto Sovellukset Oy" })
            Assert.Contains(part, entry.GetRawText());
    }

    [Fact]
    public async Task She_is_not_asked_for_what_the_registration_no_longer_covers()
    {
        var app = new App(world);
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        var address = app.AuthorizeUrl(await app.PushAsync());
        var page = await world.OpenAsync(browser, address);
        Assert.Equal(200, page.Status);
        var clients = world.Folder.File("keys/clients.json");
        var before = await File.ReadAllBytesAsync(clients);
        var changed = JsonNode.Parse(before)!.AsArray();
        changed.Single(one => (string?)one!["client_id"] == "omakunto")!["scopes"] = new JsonArray("patient/Patient.r");
        try
        {
            await File.WriteAllTextAsync(clients, changed.ToJsonString());
            await UntilAsync(covers: false);
            Assert.Equal(400, (await world.OpenAsync(browser, address)).Status);
            var form = page.Form("authorize-form")!;
            using var answered = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields.Append(new("answer", "allow"))));
            Assert.Equal(HttpStatusCode.BadRequest, answered.StatusCode);
        }
        finally
        {
            await File.WriteAllBytesAsync(clients, before);
            await UntilAsync(covers: true);
        }
        Assert.Equal(200, (await world.OpenAsync(browser, address)).Status);

        // The file is looked at about once a second.
        async Task UntilAsync(bool covers)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            while (world.Services.GetRequiredService<ClientRegistry>().Current.Find("omakunto")!.Covers(["patient/Observation.rs"]) != covers)
            {
                patience.Token.ThrowIfCancellationRequested();
                await Task.Yield();
            }
        }
    }

    [Fact]
    public async Task An_app_reaches_nothing_beyond_its_scopes_on_any_road()
    {
        var app = new App(world);
        var bearer = await app.TokenAsync(scope: "patient/Observation.rs");
        using var allowed = await app.SearchAsync(bearer, "Observation", "&_include=Observation:encounter&_include=Observation:subject");
        Assert.Equal(HttpStatusCode.OK, allowed.StatusCode);
        var entries = (await allowed.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("entry").EnumerateArray();
        Assert.All(entries, entry => Assert.Equal("Observation", entry.GetProperty("resource").GetProperty("resourceType").GetString()));

        foreach (var (method, path, body) in new[]
        {
            (HttpMethod.Get, "/fhir/Patient/" + world.Patient, null),
            (HttpMethod.Get, "/fhir/Patient/" + world.Patient + "/$everything", null),
            (HttpMethod.Get, "/fhir/Condition/" + world.Condition, null),
            (HttpMethod.Get, "/fhir/Condition/" + world.Condition + "/_history", null),
            (HttpMethod.Post, "/fhir/Condition", "{\"resourceType\":\"Condition\",\"subject\":{\"reference\":\"Patient/" + world.Patient + "\"}}"),
            (HttpMethod.Post, "/fhir/Observation", "{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"},\"subject\":{\"reference\":\"Patient/" + world.Patient + "\"}}"),
            (HttpMethod.Delete, "/fhir/Observation/" + world.Observation, null),
            (HttpMethod.Post, "/fhir/Consent", "{\"resourceType\":\"Consent\",\"status\":\"active\",\"patient\":{\"reference\":\"Patient/" + world.Patient + "\"}}"),
        })
        {
            using var response = await app.SendAsync(bearer, method, path, body);
            Assert.True(response.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity, $"{method} {path}: {response.StatusCode}");
            Assert.DoesNotContain("\"searchset\"", await response.Content.ReadAsStringAsync());
        }
        Assert.Equal(HttpStatusCode.Forbidden, (await app.SearchAsync(bearer, "Condition")).StatusCode);
        using var batch = await app.SendAsync(bearer, HttpMethod.Post, "/fhir",
            "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"request\":{\"method\":\"GET\",\"url\":\"Condition/" + world.Condition + "\"}}]}");
        Assert.DoesNotContain("Masennus", await batch.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("fi", "Sovellus Omakunto", "Sai tietoonsa: ", "Mittaus tai tutkimustulos", "Lupa, jonka annoit sovellukselle")]
    [InlineData("sv", "Appen Omakunto", "Fick ta del av: ", "Mätning eller undersökningsresultat", "Tillståndet som du gav appen")]
    [InlineData("en", "The app Omakunto", "Received: ", "Measurement or test result", "The permission that you gave the app")]
    public async Task What_an_app_has_read_stands_in_her_access_log_unasked(string language, params string[] said)
    {
        var app = new App(world);
        Assert.Equal(HttpStatusCode.OK, (await app.SearchAsync(await app.TokenAsync(), "Observation")).StatusCode);
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        Assert.Equal(200, (await world.OpenAsync(browser, "/records")).Status);
        using var switched = await browser.GetAsync("/language/" + language);

        var log = await world.OpenAsync(browser, "/access-log");
        var read = log.With("data-access").First(line => line["data-app"] == "Omakunto");
        Assert.Equal(("Omakunto Sovellukset Oy", "own-data", "PATRQT"), (read["data-organisation"], read["data-legal-basis"], read["data-purpose"]));
        Assert.All(said.Append("Omakunto Sovellukset Oy"), text => Assert.Contains(text, log.Text, StringComparison.Ordinal));
        Assert.Contains("/records/entry/Observation/" + world.Observation, log.Html, StringComparison.Ordinal);
        // Her own look at her records is what has to be asked for.
        Assert.DoesNotContain(log.With("data-access"), IsOwnVisit);
        Assert.Contains((await world.OpenAsync(browser, "/access-log?own=yes")).With("data-access"), IsOwnVisit);

        static bool IsOwnVisit(PageTag line) => line["data-legal-basis"] == "own-data" && line["data-app"].Length == 0;
    }

    [Fact]
    public async Task An_app_reaches_nobody_elses_record()
    {
        var app = new App(world);
        var bearer = await app.TokenAsync();
        using var response = await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.AnotherPatient);
        Assert.True(response.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.NotFound, response.StatusCode.ToString());
    }

    /// <summary>EnsureHolderOfKeyRequired.</summary>
    [Fact]
    public async Task The_token_works_with_the_apps_certificate_only()
    {
        var app = new App(world);
        var bearer = await app.TokenAsync();
        using var without = new App(world, certificate: null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await without.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
        using var clinic = new App(world, certificate: "clinics/aurora");
        Assert.Equal(HttpStatusCode.Unauthorized, (await clinic.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
    }

    /// <summary>AttemptReuseAuthorizationCodeAfterOneSecond; RFC 9700 §2.1.1: what came of the code goes too.</summary>
    [Fact]
    public async Task A_code_serves_once_and_its_second_use_ends_the_token()
    {
        var app = new App(world);
        var code = await app.CodeAsync();
        var (_, token) = await app.RedeemAsync(code);
        var bearer = token.GetProperty("access_token").GetString()!;
        Assert.Equal(HttpStatusCode.OK, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);

        var (status, body) = await app.RedeemAsync(code);
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_grant"), (status, body.GetProperty("error").GetString()));
        Assert.Equal(HttpStatusCode.Unauthorized, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
    }

    /// <summary>PAREnsurePKCECodeVerifierRequired, PARIncorrectPKCECodeVerifierRejected.</summary>
    [Theory]
    [InlineData("another verifier")]
    [InlineData("no verifier")]
    [InlineData("another redirect_uri")]
    [InlineData("no redirect_uri")]
    [InlineData("another code")]
    public async Task A_code_is_not_redeemed_with(string what)
    {
        var app = new App(world);
        var code = await app.CodeAsync();
        var (status, body) = await app.RedeemAsync(what == "another code" ? new string('A', 43) : code, form =>
        {
            if (what.EndsWith("verifier", StringComparison.Ordinal))
                form["code_verifier"] = what[0] == 'a' ? new string('v', 43) : "";
            if (what.EndsWith("redirect_uri", StringComparison.Ordinal))
                form["redirect_uri"] = what[0] == 'a' ? Redirect + "/" : "";
        });
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_grant", body.GetProperty("error").GetString());
        // And it was not used up by whoever tried.
        if (what != "another code")
            Assert.Equal(HttpStatusCode.OK, (await app.RedeemAsync(code)).Status);
    }

    /// <summary>EnsureAuthorizationCodeIsBoundToClient.</summary>
    [Fact]
    public async Task A_code_is_not_redeemed_by_another_client()
    {
        var app = new App(world);
        var code = await app.CodeAsync();
        using var clinic = new App(world, "clinics/aurora", "clinics/aurora");
        var (status, body) = await clinic.RedeemAsync(code, form => form["code_verifier"] = app.Verifier);
        Assert.Equal((HttpStatusCode.BadRequest, "invalid_grant"), (status, body.GetProperty("error").GetString()));
    }

    /// <summary>PARAttemptReuseRequestUri, PAREnsureServerAcceptsReusedRequestUriBeforeAuthenticationCompletion, PAREnsureRequestUriIsBoundToClient.</summary>
    [Fact]
    public async Task A_request_is_looked_at_until_it_is_answered_and_by_its_own_client_only()
    {
        var app = new App(world);
        var request = await app.PushAsync();
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        Page page = null!;
        for (var i = 0; i < 2; i++)
            Assert.Equal(200, (page = await world.OpenAsync(browser, app.AuthorizeUrl(request))).Status);
        Assert.Equal(400, (await world.OpenAsync(browser, app.AuthorizeUrl(request).Replace("client_id=omakunto", "client_id=aurora"))).Status);
        Assert.Equal(400, (await world.OpenAsync(browser, app.AuthorizeUrl(request[..^1] + (request[^1] == 'A' ? "B" : "A")))).Status);
        // EnsureUnsignedAuthorizationRequestWithoutUsingParFails
        Assert.Equal(400, (await world.OpenAsync(browser, $"/connect/authorize?client_id=omakunto&response_type=code&redirect_uri={Uri.EscapeDataString(Redirect)}&scope=patient/*.rs")).Status);

        var form = page.Form("authorize-form")!;
        Assert.NotNull((await world.AnswerAsync(browser, page, "allow"))["code"]);
        using var again = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields.Append(new("answer", "allow"))));
        Assert.Equal(HttpStatusCode.BadRequest, again.StatusCode);
        Assert.Equal(400, (await world.OpenAsync(browser, app.AuthorizeUrl(request))).Status);
    }

    [Fact]
    public async Task The_answer_leads_the_browser_to_the_app_and_to_no_other_site()
    {
        var app = new App(world);
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        using var response = await browser.GetAsync(app.AuthorizeUrl(await app.PushAsync()));
        Assert.EndsWith(" https://omakunto.example", response.Headers.GetValues("Content-Security-Policy").Single());
        Assert.True(response.Headers.CacheControl!.NoStore);
    }

    [Fact]
    public async Task A_form_of_another_site_allows_nothing()
    {
        var app = new App(world);
        var request = await app.PushAsync();
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        using var forged = await browser.PostAsync("/connect/authorize", new FormUrlEncodedContent([new("client_id", "omakunto"), new("request_uri", request), new("answer", "allow")]));
        Assert.Equal(HttpStatusCode.BadRequest, forged.StatusCode);
        Assert.Equal(200, (await world.OpenAsync(browser, app.AuthorizeUrl(request))).Status);
    }

    /// <summary>
    /// PAREnsurePKCERequired, PAREnsurePlainPKCERejected, EnsureRegisteredRedirectUri, EnsureRedirectUriInAuthorizationRequest, EnsureResponseTypeCodeIdTokenFails, EnsureResponseTypeTokenFails,
    /// PARRejectRequestUriInParAuthorizationFormParams, ParWithoutDuplicateParameters.
    /// </summary>
    [Theory]
    [InlineData("response_type", "token", "unsupported_response_type")]
    [InlineData("response_type", "code id_token", "unsupported_response_type")]
    [InlineData("response_type", "", "unsupported_response_type")]
    [InlineData("response_mode", "fragment", "invalid_request")]
    [InlineData("redirect_uri", Redirect + "/", "invalid_request")]
    [InlineData("redirect_uri", Redirect + "?x=1", "invalid_request")]
    [InlineData("redirect_uri", "https://elsewhere.example/", "invalid_request")]
    [InlineData("redirect_uri", "", "invalid_request")]
    [InlineData("code_challenge", "", "invalid_request")]
    [InlineData("code_challenge", "short", "invalid_request")]
    [InlineData("code_challenge_method", "plain", "invalid_request")]
    [InlineData("code_challenge_method", "", "invalid_request")]
    [InlineData("request", "a.b.c", "request_not_supported")]
    [InlineData("request_uri", "urn:x", "invalid_request")]
    [InlineData("aud", "https://elsewhere.example/fhir", "invalid_request")]
    [InlineData("scope", "", "invalid_scope")]
    [InlineData("scope", "launch/patient", "invalid_scope")]
    [InlineData("scope", "system/*.rs", "invalid_scope")]
    [InlineData("scope", "user/Observation.rs", "invalid_scope")]
    [InlineData("scope", "patient/Observation.rs patient/Consent.c", "invalid_scope")]
    [InlineData("scope", "patient/Observation.rs?code", "invalid_scope")]
    [InlineData("client_id", "aurora", "invalid_client")]
    [InlineData("client_assertion", "a.b.c", "invalid_client")]
    public async Task A_request_is_not_kept_with(string parameter, string value, string error)
    {
        using var app = new App(world);
        using var response = await app.PostAsync("/connect/par", app.Request(form => form[parameter] = value));
        Assert.Equal(error == "invalid_client" ? HttpStatusCode.Unauthorized : HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(error, (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_parameter_stands_once_and_a_clinics_system_is_no_app()
    {
        using var app = new App(world);
        using var twice = await app.PostAsync("/connect/par", app.Request().Append(new("state", "again")));
        Assert.Equal("invalid_request", (await twice.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString());
        using var clinic = new App(world, "clinics/aurora", "clinics/aurora");
        using var system = await clinic.PostAsync("/connect/par", clinic.Request());
        Assert.Equal("unauthorized_client", (await system.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString());
        // PARRejectInvalidHttpVerb
        using var get = await app.SendAsync(null, HttpMethod.Get, "/connect/par");
        Assert.NotEqual(HttpStatusCode.Created, get.StatusCode);
    }

    [Theory]
    [InlineData("client_credentials", "invalid_scope")]
    [InlineData("refresh_token", "invalid_request")]
    [InlineData("password", "unsupported_grant_type")]
    public async Task An_app_gets_a_token_from_its_citizen_only(string grant, string error)
    {
        using var app = new App(world);
        var (status, body) = await app.RedeemAsync("x", form => form["grant_type"] = grant);
        Assert.Equal((HttpStatusCode.BadRequest, error), (status, body.GetProperty("error").GetString()));
    }

    [Theory]
    [InlineData("offline_access", "fi", "30 päivää", "kirjaudu ulos kaikkialta")]
    [InlineData("offline_access", "sv", "30 dagar", "logga ut överallt")]
    [InlineData("offline_access", "en", "30 days", "sign out everywhere")]
    [InlineData("online_access", "fi", "niin kauan kuin olet kirjautuneena", "neljä tuntia")]
    [InlineData("online_access", "sv", "så länge du är inloggad", "fyra timmar")]
    [InlineData("online_access", "en", "as long as you are signed in", "four hours")]
    [InlineData("launch/patient", "fi", "viisi minuuttia", "joka kerta uudelleen")]
    [InlineData("launch/patient", "sv", "fem minuter", "på nytt varje gång")]
    [InlineData("launch/patient", "en", "five minutes", "each time")]
    public async Task She_is_told_how_long_the_app_may_go_on(string access, string language, params string[] said)
    {
        var app = new App(world);
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        using var switched = await browser.GetAsync("/language/" + language);
        var page = await world.OpenAsync(browser, app.AuthorizeUrl(await app.PushAsync(access + " patient/Observation.rs")));
        Assert.All(said, text => Assert.Contains(text, page.Text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Online_an_app_goes_on_as_long_as_she_is_signed_in()
    {
        var app = new App(world);
        using var browser = world.NewBrowser();
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(app.AuthorizeUrl(await app.PushAsync("online_access patient/Patient.r"))));
        var (_, token) = await app.RedeemAsync((await world.AnswerAsync(browser, page, "allow"))["code"]!);
        var refresh = token.GetProperty("refresh_token").GetString()!;
        var (status, refreshed) = await app.RefreshAsync(refresh);
        Assert.True(status == HttpStatusCode.OK, refreshed.ToString());
        Assert.Equal(HttpStatusCode.OK, (await app.SendAsync(refreshed.GetProperty("access_token").GetString(), HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
        // Another session of hers is not the one that she answered in.
        using var other = world.NewBrowser();
        await world.SignInAsync(other, "/signin");
        using var left = await browser.PostAsync("/signout", null);
        Assert.Equal("invalid_grant", (await app.RefreshAsync(refresh)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task Offline_an_app_goes_on_without_her_and_each_time_stands_in_her_log()
    {
        var app = new App(world);
        using var browser = world.NewBrowser();
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(app.AuthorizeUrl(await app.PushAsync("offline_access patient/Patient.r patient/Observation.rs"))));
        var (_, token) = await app.RedeemAsync((await world.AnswerAsync(browser, page, "allow"))["code"]!);
        using var left = await browser.PostAsync("/signout", null);
        var (status, refreshed) = await app.RefreshAsync(token.GetProperty("refresh_token").GetString()!, "patient/Patient.r");
        Assert.True(status == HttpStatusCode.OK, refreshed.ToString());
        var bearer = refreshed.GetProperty("access_token").GetString()!;
        Assert.Equal(HttpStatusCode.OK, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await app.SearchAsync(bearer, "Observation")).StatusCode);

        using var audit = new AuditOnDisk(world.Data);
        audit.Refresh();
        var jti = new JsonWebToken(bearer).Id;
        var entry = Assert.Single(audit.All, one => one.TryGetProperty("outcomeDesc", out var said) && said.GetString() == "The app goes on with patient/Patient.r." && one.GetRawText().Contains(jti, StringComparison.Ordinal));
        foreach (var part in new[] { "Patient/" + world.Patient, "\"omakunto\"", "Omakunto Sovellukset Oy" })
            Assert.Contains(part, entry.GetRawText());
        Assert.Contains(audit.All, one => one.TryGetProperty("outcomeDesc", out var said) && said.GetString() == "The citizen allowed patient/Patient.r patient/Observation.rs offline_access.");
    }

    [Fact]
    public async Task Signing_out_everywhere_ends_what_apps_were_given()
    {
        var app = new App(world, citizen: 1);
        var (_, granted) = await app.RedeemAsync(await app.CodeAsync("offline_access launch/patient patient/Observation.rs"));
        var bearer = granted.GetProperty("access_token").GetString()!;
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin", 1);
        Assert.Equal(HttpStatusCode.OK, (await app.SearchAsync(bearer, "Observation", patient: world.AnotherPatient)).StatusCode);
        using var left = await browser.PostAsync("/signout/everywhere", null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await app.SearchAsync(bearer, "Observation", patient: world.AnotherPatient)).StatusCode);
        Assert.Equal("invalid_grant", (await app.RefreshAsync(granted.GetProperty("refresh_token").GetString()!)).Body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task She_ends_one_app_and_its_tokens_are_dead_at_once_and_that_is_recorded_and_another_app_reads_on()
    {
        using var clinic = ClinicClient.Open(world.Folder, "aurora", new(world.Address));
        var patient = await ArchivedVisit.RegisterAsync(clinic.System, world.Folder.Citizens[2].IdentityCode, world.Folder.Citizens[2].Name);
        using var key = new DpopKey();
        using var app = new App(world, citizen: 2);
        using var other = new App(world, "apps/taskukunto", null, citizen: 2) { Proving = key };
        // The nonce.
        using (await other.PostAsync("/connect/par", other.Request()))
        {
        }
        var (_, given) = await app.RedeemAsync(await app.CodeAsync("offline_access patient/Patient.r"));
        var (_, token) = await other.RedeemAsync(await other.CodeAsync("patient/Patient.r"));
        var (bearer, bound) = (given.GetProperty("access_token").GetString()!, token.GetProperty("access_token").GetString()!);
        Assert.Equal(HttpStatusCode.OK, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + patient)).StatusCode);

        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin", 2);
        var page = await world.OpenAsync(browser, "/apps");
        Assert.Equal(["Omakunto", "Taskukunto"], page.With("data-app").Select(one => one["data-app"] == "omakunto" ? "Omakunto" : "Taskukunto"));
        Assert.NotEqual("never", page.With("data-app").First()["data-read"]);
        Assert.Equal("never", page.With("data-app").Last()["data-read"]);
        var form = page.Forms.Single(form => form.Fields.GetValueOrDefault("client") == "omakunto");
        var id = Guid.NewGuid().ToString();
        using (var request = new HttpRequestMessage(HttpMethod.Post, form.Action) { Content = new FormUrlEncodedContent(form.Fields), Headers = { { "X-Request-Id", id } } })
        using (var ended = await browser.SendAsync(request))
            Assert.Equal((HttpStatusCode.SeeOther, "/apps"), (ended.StatusCode, ended.Headers.Location!.OriginalString));

        Assert.Equal(HttpStatusCode.Unauthorized, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Patient/" + patient)).StatusCode);
        Assert.Equal("invalid_grant", (await app.RefreshAsync(given.GetProperty("refresh_token").GetString()!)).Body.GetProperty("error").GetString());
        Assert.Equal(HttpStatusCode.OK, (await other.ReadAsync(bound, key, "/fhir/Patient/" + patient)).StatusCode);
        Assert.Equal(["taskukunto"], (await world.OpenAsync(browser, "/apps")).With("data-app").Select(one => one["data-app"]));
        using (var audit = new AuditOnDisk(world.Data))
        {
            audit.Refresh();
            var entry = Assert.Single(audit.All, one => one.GetRawText().Contains(id, StringComparison.Ordinal));
            Assert.Equal("The citizen ends what the app was given.", entry.GetProperty("outcomeDesc").GetString());
            foreach (var part in new[] { "Patient/" + patient, "\"omakunto\"", "Omakunto Sovellukset Oy" })
                Assert.Contains(part, entry.GetRawText());
        }

        // What she would allow now would end with it, so she is told when; the other app's question she answers.
        var question = await world.OpenAsync(browser, app.AuthorizeUrl(await app.PushAsync()));
        Assert.Single(question.With("data-not-before"));
        var answer = question.Form("authorize-form")!;
        using var tooEarly = await browser.PostAsync(answer.Action, new FormUrlEncodedContent(answer.Fields.Append(new("answer", "allow"))));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, tooEarly.StatusCode);
        Assert.Empty((await world.OpenAsync(browser, other.AuthorizeUrl(await other.PushAsync()))).With("data-not-before"));
        Assert.Equal("access_denied", (await world.AnswerAsync(browser, question, "deny"))["error"]);
    }

    [Theory]
    [InlineData("/.well-known/openid-configuration")]
    [InlineData("/.well-known/smart-configuration")]
    public async Task The_way_is_described(string document)
    {
        using var browser = world.NewBrowser();
        var described = await browser.GetFromJsonAsync<JsonElement>(document);
        Assert.Equal(world.Address + "/connect/authorize", described.GetProperty("authorization_endpoint").GetString());
        Assert.Equal(world.Address + "/connect/par", described.GetProperty("pushed_authorization_request_endpoint").GetString());
        Assert.True(described.GetProperty("require_pushed_authorization_requests").GetBoolean());
        Assert.True(described.GetProperty("authorization_response_iss_parameter_supported").GetBoolean());
        Assert.Equal(["S256"], described.GetProperty("code_challenge_methods_supported").EnumerateArray().Select(m => m.GetString()));
        Assert.Equal(["code"], described.GetProperty("response_types_supported").EnumerateArray().Select(m => m.GetString()));
        Assert.Contains("authorization_code", described.GetProperty("grant_types_supported").EnumerateArray().Select(m => m.GetString()));
    }

    /// <summary>EnsureDpopProofAtParEndpointBindingSuccess, EnsureTokenEndpointFailsWithMismatchedDpopProofJkt.</summary>
    [Fact]
    public async Task A_request_pushed_with_a_proof_is_fetched_with_the_same_key_and_no_other()
    {
        using var key = new DpopKey();
        using var other = new DpopKey();
        using var app = new App(world) { Proving = key };
        using (var first = await app.PostAsync("/connect/par", app.Request()))
            Assert.Equal((HttpStatusCode.BadRequest, "use_dpop_nonce"), (first.StatusCode, (await first.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString()));
        var code = await app.CodeAsync();
        foreach (var stranger in new[] { other, null })
        {
            app.Proving = stranger;
            var (status, refused) = await app.RedeemAsync(code);
            Assert.Equal((HttpStatusCode.BadRequest, "invalid_grant"), (status, refused.GetProperty("error").GetString()));
        }
        app.Proving = key;
        var (_, token) = await app.RedeemAsync(code);
        Assert.Equal("DPoP", token.GetProperty("token_type").GetString());
        var access = token.GetProperty("access_token").GetString()!;
        Assert.Equal(HttpStatusCode.OK, (await app.ReadAsync(access, key, "/fhir/Patient/" + world.Patient)).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await app.ReadAsync(access, other, "/fhir/Patient/" + world.Patient)).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await app.SendAsync(access, HttpMethod.Get, "/fhir/Patient/" + world.Patient)).StatusCode);
    }

    /// <summary>EnsureDpopAuthCodeBindingSuccess, EnsureMismatchedDpopJktFails, EnsureTokenEndpointFailsWithMismatchedDpopJkt.</summary>
    [Fact]
    public async Task A_request_names_the_key_that_will_fetch_the_token()
    {
        using var key = new DpopKey();
        using var other = new DpopKey();
        using var app = new App(world);
        async Task<string?> PushAsync(string thumbprint)
        {
            using var response = await app.PostAsync("/connect/par", app.Request(form => form["dpop_jkt"] = thumbprint));
            var body = await response.Content.ReadFromJsonAsync<JsonElement>();
            return body.TryGetProperty("request_uri", out var address) ? address.GetString() : body.GetProperty("error").GetString();
        }
        Assert.Equal("invalid_request", await PushAsync("short"));
        Assert.Equal("invalid_request", await PushAsync(new string('+', 43)));
        using var browser = world.NewBrowser();
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(app.AuthorizeUrl((await PushAsync(key.Thumbprint))!)));
        var code = (await world.AnswerAsync(browser, page, "allow"))["code"]!;
        app.Proving = other;
        Assert.Equal("use_dpop_nonce", (await app.RedeemAsync(code)).Body.GetProperty("error").GetString());
        Assert.Equal("invalid_grant", (await app.RedeemAsync(code)).Body.GetProperty("error").GetString());
        // A proof of another key than the one that is named.
        Assert.Equal("invalid_dpop_proof", await PushAsync(key.Thumbprint));
        app.Proving = key;
        Assert.Equal(HttpStatusCode.OK, (await app.RedeemAsync(code)).Status);
    }

    /// <summary>The app's own server: its key, its certificate, one attempt's verifier.</summary>
    internal sealed class App : IDisposable
    {
        private readonly World _world;
        private readonly HttpClient _http;
        private readonly JsonElement _client;
        private readonly JsonWebKey _key;
        private readonly int _citizen;

        public App(World world, string client = "apps/omakunto", string? certificate = "apps/omakunto", int citizen = 0)
        {
            (_world, _citizen) = (world, citizen);
            var folder = world.Folder;
            _client = JsonDocument.Parse(File.ReadAllText(folder.File(client + "/client.json"))).RootElement;
            _key = new(File.ReadAllText(folder.File(client + "/private_key.jwk")));
            _http = new(Transport.Handler(folder.Authority, certificate is null ? null : Transport.Identity(folder.File(certificate + "/tls.pem"), folder.File(certificate + "/tls.key")))) { BaseAddress = new(world.Address) };
        }

        public string Verifier { get; } = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

        public string AuthorizeUrl(string request) => $"/connect/authorize?client_id={_client.GetProperty("client_id")}&request_uri={Uri.EscapeDataString(request)}";

        private string Redirect => _client.TryGetProperty("redirect_uri", out var own) ? own.GetString()! : DevelopmentFolder.AppRedirect;

        public Dictionary<string, string> Request(Action<Dictionary<string, string>>? change = null)
        {
            var form = new Dictionary<string, string>
            {
                ["client_id"] = _client.GetProperty("client_id").GetString()!, ["response_type"] = "code", ["redirect_uri"] = Redirect, ["state"] = "s-1",
                ["scope"] = "launch/patient patient/Observation.rs patient/Patient.r", ["aud"] = _world.Address + "/fhir",
                ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))), ["code_challenge_method"] = "S256",
                ["client_assertion_type"] = AssertionType, ["client_assertion"] = Assertion(),
            };
            change?.Invoke(form);
            return form;
        }

        public async Task<string> PushAsync(string? scope = null)
        {
            using var response = await PostAsync("/connect/par", Request(form => form["scope"] = scope ?? form["scope"]));
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
            Assert.True(response.Headers.CacheControl!.NoStore);
            var body = await response.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal(60, body.GetProperty("expires_in").GetInt32());
            return body.GetProperty("request_uri").GetString()!;
        }

        public async Task<string> CodeAsync(string? scope = null)
        {
            using var browser = _world.NewBrowser();
            var page = await _world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(AuthorizeUrl(await PushAsync(scope))), _citizen);
            return (await _world.AnswerAsync(browser, page, "allow"))["code"]!;
        }

        public async Task<string> TokenAsync(string? scope = null) => (await RedeemAsync(await CodeAsync(scope))).Body.GetProperty("access_token").GetString()!;

        public Dictionary<string, string> Redemption(string code) => new()
        {
            ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Redirect, ["code_verifier"] = Verifier,
            ["client_assertion_type"] = AssertionType, ["client_assertion"] = Assertion(),
        };

        public async Task<(HttpStatusCode Status, JsonElement Body)> RedeemAsync(string code, Action<Dictionary<string, string>>? change = null)
        {
            var form = Redemption(code);
            change?.Invoke(form);
            using var response = await PostAsync("/connect/token", form.Where(p => p.Value.Length > 0));
            return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>());
        }

        public async Task<(HttpStatusCode Status, JsonElement Body)> RefreshAsync(string token, string? scope = null)
        {
            var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token, ["client_assertion_type"] = AssertionType, ["client_assertion"] = Assertion() };
            if (scope is not null)
                form["scope"] = scope;
            using var response = await PostAsync("/connect/token", form);
            return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>());
        }

        /// <summary>Set: requests to the authorization server carry a proof with it, and the nonce of the last answer.</summary>
        public DpopKey? Proving { get; set; }

        private string? _nonce;

        public async Task<HttpResponseMessage> PostAsync(string path, IEnumerable<KeyValuePair<string, string>> form)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new FormUrlEncodedContent(form) };
            if (Proving is not null)
                request.Headers.Add("DPoP", Proving.Proof("POST", _world.Address + path, DateTimeOffset.UtcNow, _nonce));
            var response = await _http.SendAsync(request);
            if (response.Headers.TryGetValues("DPoP-Nonce", out var nonces))
                _nonce = nonces.Single();
            return response;
        }

        /// <summary>A read with a proof of a key.</summary>
        public Task<HttpResponseMessage> ReadAsync(string token, DpopKey key, string path)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.Authorization = new AuthenticationHeaderValue("DPoP", token);
            request.Headers.Add("DPoP", key.Proof("GET", _world.Address + path, DateTimeOffset.UtcNow, _nonce, token));
            return _http.SendAsync(request);
        }

        public Task<HttpResponseMessage> SearchAsync(string bearer, string type, string more = "", string? patient = null)
        {
            var request = new HttpRequestMessage(HttpMethod.Post, $"/fhir/{type}/_search") { Content = new StringContent($"patient=Patient/{patient ?? _world.Patient}{more}", new MediaTypeHeaderValue("application/x-www-form-urlencoded")) };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
            return _http.SendAsync(request);
        }

        public Task<HttpResponseMessage> SendAsync(string? bearer, HttpMethod method, string path, string? body = null, string contentType = "application/fhir+json")
        {
            var request = new HttpRequestMessage(method, path);
            if (body is not null)
                request.Content = new StringContent(body, Encoding.UTF8, contentType);
            if (bearer is not null)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
            return _http.SendAsync(request);
        }

        public void Dispose() => _http.Dispose();

        private string Assertion()
        {
            var client = _client.GetProperty("client_id").GetString();
            return new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
            {
                Issuer = client, Audience = _world.Address + "/", Expires = DateTime.UtcNow.AddMinutes(1),
                Claims = new Dictionary<string, object> { ["sub"] = client!, ["jti"] = Guid.NewGuid().ToString() },
                SigningCredentials = new SigningCredentials(_key, _client.GetProperty("alg").GetString()),
            });
        }
    }

    /// <summary>The development host with two people's records.</summary>
    public sealed class World : IAsyncLifetime
    {
        private readonly string _data = Directory.CreateTempSubdirectory("kanta-app").FullName;
        private DevHost? _host;

        public string Address => _host!.Address;
        internal string Data => _data;
        internal DevFolder Folder { get; private set; } = null!;
        public string Patient { get; private set; } = "";
        public string AnotherPatient { get; private set; } = "";
        public string Observation { get; private set; } = "";
        public string Condition { get; private set; } = "";

        public IServiceProvider Services => _host!.Gateway.Services;

        public Task InitializeAsync() => StartAsync();

        /// <param name="redis">Connection string; null: in memory.</param>
        public async Task StartAsync(string? redis = null)
        {
            _host = await DevHost.StartAsync(new DevHostOptions { DataFolder = _data, Port = RunningHost.FreePorts(), Redis = redis });
            Folder = new(_data);
            using var clinic = ClinicClient.Open(Folder, "aurora", new(Address));
            Patient = await ArchivedVisit.RegisterAsync(clinic.System, Folder.Citizens[0].IdentityCode, Folder.Citizens[0].Name);
            AnotherPatient = await ArchivedVisit.RegisterAsync(clinic.System, Folder.Citizens[1].IdentityCode, Folder.Citizens[1].Name);
            Observation = await StoreAsync(clinic, """{"resourceType":"Observation","status":"final","code":{"text":"Verenpaine"},"subject":{}}""");
            Condition = await StoreAsync(clinic, """{"resourceType":"Condition","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"text":"Masennus"},"subject":{}}""");
        }

        public async Task DisposeAsync()
        {
            if (_host is not null)
                await _host.DisposeAsync();
            Directory.Delete(_data, true);
        }

        public HttpClient NewBrowser()
        {
            var handler = Transport.Handler(Folder.Authority);
            handler.UseCookies = true;
            handler.CookieContainer = new();
            return new(handler) { BaseAddress = new(Address), DefaultRequestHeaders = { { "Accept-Language", "en" } } };
        }

        internal async Task<Page> OpenAsync(HttpClient browser, string address)
        {
            using var response = await browser.GetAsync(new Uri(browser.BaseAddress!, address));
            return new(response.RequestMessage!.RequestUri!, (int)response.StatusCode, await response.Content.ReadAsStringAsync());
        }

        /// <summary>Through the broker, to where the way ends.</summary>
        internal async Task<Page> SignInAsync(HttpClient browser, string start, int citizen = 0)
        {
            using var challenge = await browser.GetAsync(new Uri(browser.BaseAddress!, start));
            var choice = await OpenAsync(browser, challenge.Headers.Location!.AbsoluteUri);
            var form = choice.Forms.Single();
            using var chosen = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields.Append(new("citizen", citizen.ToString(System.Globalization.CultureInfo.InvariantCulture)))));
            using var back = await browser.GetAsync(chosen.Headers.Location);
            return await OpenAsync(browser, back.Headers.Location!.OriginalString);
        }

        /// <returns>What the app is told.</returns>
        internal async Task<System.Collections.Specialized.NameValueCollection> AnswerAsync(HttpClient browser, Page page, string answer)
        {
            var form = page.Form("authorize-form")!;
            using var response = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields.Append(new("answer", answer))));
            Assert.Equal(HttpStatusCode.SeeOther, response.StatusCode);
            Assert.StartsWith(Redirect + "?", response.Headers.Location!.AbsoluteUri);
            return HttpUtility.ParseQueryString(response.Headers.Location.Query);
        }

        private async Task<string> StoreAsync(ClinicClient clinic, string json)
        {
            var resource = JsonNode.Parse(json)!.AsObject();
            resource["subject"] = new JsonObject { ["reference"] = $"Patient/{Patient}" };
            var reply = await clinic.System.CreateAsync((string)resource["resourceType"]!, Some.Bytes(resource));
            Assert.Equal(201, reply.Status);
            return reply.Json.GetProperty("id").GetString()!;
        }
    }
}
