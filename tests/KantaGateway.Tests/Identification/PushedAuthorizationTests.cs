using System.Buffers.Text;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Builder;

namespace KantaGateway.Tests.Identification;

/// <summary>An app that pushes too often or fails too often has to wait, and nobody else; operators see what became of pushes.</summary>
[Collection(SignInCollection.Name)]
public sealed class PushedAuthorizationTests(IdentificationWorld world) : IAsyncLifetime
{
    private const int Limit = 5;
    private const int TokenLimit = 2 * Limit;
    private const string Redirect = "https://app.example/back";

    private WebApplication _gateway = null!;
    private SeenMetrics _seen = null!;
    private Uri _address = null!;

    /// <summary>Both clinics' systems are apps here.</summary>
    public async Task InitializeAsync()
    {
        world.WriteClients(it => it with { Kind = ClientKind.App, RedirectUris = [Redirect], Scopes = ["patient/*.rs"] });
        _seen = new();
        _address = new($"https://localhost:{IdentificationWorld.FreePort()}");
        _gateway = world.BuildGateway(world.Options with
        {
            Port = _address.Port, TerminatorListen = null,
            Identification = world.Options.Identification with { FailuresPerMinute = Limit, TokenRequestsPerMinute = TokenLimit },
        });
        await _gateway.StartAsync();
        _seen.Listen(_gateway.Services);
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        _seen.Dispose();
        world.WriteClients();
        // So that the change is looked at.
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
    }

    [Fact]
    public async Task An_app_that_pushes_too_often_waits_before_anything_is_verified_and_another_goes_on()
    {
        using var aurora = At(world.Aurora);
        for (var i = 0; i < TokenLimit; i++)
            Assert.Equal(HttpStatusCode.Created, (await PushAsync(aurora, Request(world.Aurora))).StatusCode);
        var before = world.Refusals.All.Count;
        foreach (var assertion in new[] { null, "a.b.c" })
        {
            var held = await PushAsync(aurora, Request(world.Aurora, assertion));
            Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
            Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
            Assert.Equal("temporarily_unavailable", await ErrorAsync(held));
            Assert.Contains("asks for tokens too often", await held.Content.ReadAsStringAsync());
        }
        // Recorded once, under its name, and counted with tokens.
        Assert.Equal(world.Aurora.ClientId, Assert.Single(world.Refusals.All.Skip(before)).Client);
        using var token = await aurora.PostAsync("/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        Assert.Equal(HttpStatusCode.TooManyRequests, token.StatusCode);
        Assert.Equal(3, _seen.Count("kanta.identification.limited", "tokens"));

        using var revontuli = At(world.Revontuli);
        Assert.Equal(HttpStatusCode.Created, (await PushAsync(revontuli, Request(world.Revontuli))).StatusCode);
    }

    [Fact]
    public async Task An_app_that_fails_too_often_waits_and_whom_it_claimed_to_be_does_not()
    {
        using var aurora = At(world.Aurora);
        for (var i = 0; i < Limit; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await PushAsync(aurora, Request(world.Revontuli))).StatusCode);
        var held = await PushAsync(aurora, Request(world.Aurora));
        Assert.Equal(HttpStatusCode.TooManyRequests, held.StatusCode);
        Assert.InRange(held.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        using var revontuli = At(world.Revontuli);
        Assert.Equal(HttpStatusCode.Created, (await PushAsync(revontuli, Request(world.Revontuli))).StatusCode);
    }

    [Fact]
    public async Task A_wish_that_goes_too_far_is_no_failure_to_identify()
    {
        using var aurora = At(world.Aurora);
        for (var i = 0; i <= Limit; i++)
            Assert.Equal("invalid_scope", await ErrorAsync(await PushAsync(aurora, new(Request(world.Aurora)) { ["scope"] = "patient/*.cruds" })));
    }

    [Fact]
    public async Task Operators_see_what_became_of_pushes()
    {
        using var aurora = At(world.Aurora);
        _ = await PushAsync(aurora, Request(world.Aurora));
        _ = await PushAsync(aurora, new(Request(world.Aurora)) { ["scope"] = "patient/*.cruds" });
        _ = await PushAsync(aurora, Request(world.Aurora, "a.b.c"));
        Assert.Equal(1, _seen.Count("kanta.identification.accepted", "push"));
        Assert.Equal(1, _seen.Count("kanta.identification.refused", "push", "invalid_scope"));
        Assert.Equal(1, _seen.Count("kanta.identification.refused", "push", "invalid_client"));
    }

    [Fact]
    public async Task A_form_with_more_fields_than_a_form_has_is_refused()
    {
        using var aurora = At(world.Aurora);
        using var response = await aurora.PostAsync("/connect/par", new FormUrlEncodedContent(Request(world.Aurora).Concat(Enumerable.Range(0, 2000).Select(i => KeyValuePair.Create("x" + i, "")))));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("invalid_request", await ErrorAsync(response));
    }

    private HttpClient At(SomeClinic app)
    {
        var http = world.Connect(app.Certificate);
        http.BaseAddress = _address;
        return http;
    }

    private Dictionary<string, string> Request(SomeClinic app, string? assertion = null) => new()
    {
        ["client_id"] = app.ClientId, ["response_type"] = "code", ["redirect_uri"] = Redirect, ["scope"] = "patient/Observation.rs",
        ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(new string('v', 43)))), ["code_challenge_method"] = "S256",
        ["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ["client_assertion"] = assertion ?? world.Assertion(app),
    };

    private static Task<HttpResponseMessage> PushAsync(HttpClient http, Dictionary<string, string> form) => http.PostAsync("/connect/par", new FormUrlEncodedContent(form));

    private static async Task<string?> ErrorAsync(HttpResponseMessage response) => (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString();
}
