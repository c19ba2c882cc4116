using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Scopes with search parameters over the public contract: an app of a citizen and a clinic's system.</summary>
public sealed class FilteredScopeScenarioTests(CitizenAppTests.World world) : IClassFixture<CitizenAppTests.World>
{
    [Fact]
    public async Task An_app_is_given_some_of_the_citizens_entries_and_reaches_no_others()
    {
        var amended = await StoreAsync("amended");
        using var app = new CitizenAppTests.App(world);
        using var browser = world.NewBrowser();
        const string scope = "patient/Observation.rs?status=final";
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(app.AuthorizeUrl(await app.PushAsync(scope))));
        Assert.Contains("Measurement or test result, some of them: status=final", page.Text);
        var (status, token) = await app.RedeemAsync((await world.AnswerAsync(browser, page, "allow"))["code"]!);
        Assert.Equal((HttpStatusCode.OK, scope), (status, token.GetProperty("scope").GetString()));
        var bearer = token.GetProperty("access_token").GetString()!;

        using var found = await app.SearchAsync(bearer, "Observation");
        Assert.Equal(1, (await found.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("total").GetInt32());
        Assert.Equal(HttpStatusCode.OK, (await app.SendAsync(bearer, HttpMethod.Get, "/fhir/Observation/" + world.Observation)).StatusCode);
        foreach (var path in new[] { $"/fhir/Observation/{amended}", $"/fhir/Observation/{amended}/_history" })
            Assert.Equal(HttpStatusCode.NotFound, (await app.SendAsync(bearer, HttpMethod.Get, path)).StatusCode);
        // Entry by entry of a batch too.
        using var batch = await app.SendAsync(bearer, HttpMethod.Post, "/fhir",
            $$$"""{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation/{{{world.Observation}}}"}},{"request":{"method":"GET","url":"Observation/{{{amended}}}"}}]}""");
        Assert.Equal(["200", "404"], (await batch.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("response").GetProperty("status").GetString()![..3]));
    }

    [Fact]
    public async Task A_clinics_system_writes_what_its_token_describes()
    {
        using var system = new CitizenAppTests.App(world, "clinics/aurora", "clinics/aurora");
        var (status, token) = await system.RedeemAsync("", form =>
        {
            form["grant_type"] = "client_credentials";
            form["scope"] = "system/Observation.cruds?status=final";
            form["redirect_uri"] = form["code_verifier"] = "";
        });
        Assert.True(status == HttpStatusCode.OK, token.ToString());
        var bearer = token.GetProperty("access_token").GetString()!;
        foreach (var (of, expected) in new[] { ("final", HttpStatusCode.Created), ("amended", HttpStatusCode.Forbidden) })
            Assert.Equal(expected, (await system.SendAsync(bearer, HttpMethod.Post, "/fhir/Observation",
                $$$"""{"resourceType":"Observation","status":"{{{of}}}","code":{"text":"Paino"},"subject":{"reference":"Patient/{{{world.AnotherPatient}}}"}}""")).StatusCode);
        using var found = await system.SearchAsync(bearer, "Observation", patient: world.AnotherPatient);
        Assert.Equal(1, (await found.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("total").GetInt32());
    }

    [Theory]
    [InlineData("patient/Observation.rs?status=final&code=1", true)]
    [InlineData("patient/*.rs?status=final", false)]
    [InlineData("patient/Observation.rs?_id=1", false)]
    [InlineData("patient/Observation.rs?patient.name=x", false)]
    [InlineData("patient/Observation.rs?", false)]
    public async Task What_cannot_narrow_a_scope_is_refused_where_it_is_asked_for(string scope, bool isTaken)
    {
        using var app = new CitizenAppTests.App(world);
        using var response = await app.PostAsync("/connect/par", app.Request(form => form["scope"] = scope));
        Assert.Equal(isTaken ? HttpStatusCode.Created : HttpStatusCode.BadRequest, response.StatusCode);
        if (!isTaken)
            Assert.Equal("invalid_scope", (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString());
    }

    private async Task<string> StoreAsync(string status)
    {
        using var clinic = ClinicClient.Open(world.Folder, "aurora", new(world.Address));
        var reply = await clinic.System.CreateAsync("Observation", Encoding.UTF8.GetBytes(
            $$$"""{"resourceType":"Observation","status":"{{{status}}}","code":{"text":"Paino"},"subject":{"reference":"Patient/{{{world.Patient}}}"}}"""));
        Assert.Equal(201, reply.Status);
        return reply.Json.GetProperty("id").GetString()!;
    }
}
