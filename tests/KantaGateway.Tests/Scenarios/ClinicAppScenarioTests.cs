using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Web;
using KantaGateway.Dev;
using KantaGateway.Harness.Clients;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Tests.Scenarios;

/// <summary>An app of a clinic over the public contract: from the portal's address to the clinic's sign-in, and to the clinic's own register.</summary>
public sealed class ClinicAppScenarioTests(CitizenAppTests.World world) : IClassFixture<CitizenAppTests.World>
{
    private const string Client = "apps/vastaanotto";

    [Fact]
    public async Task A_professional_signs_in_and_the_app_reads_what_it_may()
    {
        using var app = new CitizenAppTests.App(world, Client, Client);
        using var browser = world.NewBrowser();
        var back = await SignInAsync(browser, app.AuthorizeUrl(await app.PushAsync("user/Observation.rs")), "aurora-laakari");
        Assert.Equal(world.Address + "/", back["iss"]);
        var (status, token) = await app.RedeemAsync(back["code"]!);
        Assert.True(status == HttpStatusCode.OK, token.ToString());
        var bearer = token.GetProperty("access_token").GetString()!;
        using var found = await app.SearchAsync(bearer, "Observation");
        Assert.Equal(HttpStatusCode.OK, found.StatusCode);
        Assert.Equal(1, (await found.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("total").GetInt32());
        Assert.Equal(HttpStatusCode.Forbidden, (await app.SearchAsync(bearer, "Condition")).StatusCode);
    }

    /// <summary>SMART App Launch 2.2: <c>fhirUser</c> is a resource, and where there is none it is not granted.</summary>
    [Fact]
    public async Task The_app_learns_who_has_signed_in_and_which_Practitioner_it_is_where_the_clinic_has_entered_one()
    {
        using var app = new CitizenAppTests.App(world, Client, Client);
        async Task<(string Scope, JsonWebToken Id)> WhoAsync()
        {
            using var browser = world.NewBrowser();
            var back = await SignInAsync(browser, app.AuthorizeUrl(await app.PushAsync("openid fhirUser user/Observation.rs")), "aurora-laakari");
            var (status, token) = await app.RedeemAsync(back["code"]!);
            Assert.True(status == HttpStatusCode.OK, token.ToString());
            return (token.GetProperty("scope").GetString()!, new(token.GetProperty("id_token").GetString()));
        }
        async Task<string> EnterAsync(string clinic)
        {
            using var its = ClinicClient.Open(world.Folder, clinic, new(world.Address));
            var reply = await its.System.CreateAsync("Practitioner", Encoding.UTF8.GetBytes("""{"resourceType":"Practitioner","identifier":[{"system":"urn:oid:1.2.246.537.26","value":"aurora-laakari"}],"name":[{"family":"Testilääkäri"}]}"""));
            Assert.Equal(201, reply.Status);
            return reply.Json.GetProperty("id").GetString()!;
        }

        var (scope, id) = await WhoAsync();
        Assert.Equal(("openid user/Observation.rs", "aurora-laakari"), (scope, id.Subject));
        Assert.False(id.TryGetClaim("fhirUser", out _));
        // Whom another organisation calls so is nobody here.
        await EnterAsync("revontuli");
        Assert.False((await WhoAsync()).Id.TryGetClaim("fhirUser", out _));
        var practitioner = await EnterAsync("aurora");
        (scope, id) = await WhoAsync();
        Assert.Equal("openid fhirUser user/Observation.rs", scope);
        Assert.Equal($"{world.Address}/fhir/Practitioner/{practitioner}", id.GetClaim("fhirUser").Value);
        // Two of them are none.
        await EnterAsync("aurora");
        Assert.False((await WhoAsync()).Id.TryGetClaim("fhirUser", out _));
    }

    [Fact]
    public async Task A_citizen_answers_in_the_place_of_no_professional()
    {
        using var app = new CitizenAppTests.App(world, Client, Client);
        using var own = new CitizenAppTests.App(world);
        using var browser = world.NewBrowser();
        var page = await world.SignInAsync(browser, "/signin?back=" + Uri.EscapeDataString(own.AuthorizeUrl(await own.PushAsync())));
        var request = await app.PushAsync("user/Observation.rs");
        // Her form with the clinic's request in it.
        var form = page.Form("authorize-form")!;
        using var answered = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields
            .Where(field => field.Key is not ("client_id" or "request_uri")).Concat([new("client_id", "vastaanotto"), new("request_uri", request), new("answer", "allow")])));
        Assert.Equal(HttpStatusCode.BadRequest, answered.StatusCode);
        // And it waits for the professional.
        Assert.NotNull((await SignInAsync(browser, app.AuthorizeUrl(request), "aurora-hoitaja"))["code"]);
    }

    private static async Task<System.Collections.Specialized.NameValueCollection> SignInAsync(HttpClient browser, string address, string professional)
    {
        using var sent = await browser.GetAsync(address);
        Assert.Equal(HttpStatusCode.Redirect, sent.StatusCode);
        var at = sent.Headers.Location!;
        var choice = new Page(at, 200, await browser.GetStringAsync(at)).Forms.Single();
        using var chosen = await browser.PostAsync(new Uri(at, choice.Action), new FormUrlEncodedContent(choice.Fields.Append(new("professional", professional))));
        using var back = await browser.GetAsync(chosen.Headers.Location);
        Assert.StartsWith(DevelopmentFolder.ClinicAppRedirect + "?", back.Headers.Location!.AbsoluteUri);
        return HttpUtility.ParseQueryString(back.Headers.Location.Query);
    }
}
