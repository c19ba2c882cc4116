using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;

namespace KantaGateway.Tests.Identification;

/// <summary>A revoked certificate ends its client's access, tokens in use included, and an authority that is silent ends everybody's for as long.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class RevokedClientTests(IdentificationWorld world) : IAsyncLifetime
{
    private const int MaxAge = 60, Failures = 5;

    private readonly TimeSpan _ahead = world.Clock.Ahead;
    private WebApplication _gateway = null!;
    private Uri _address = null!;

    public async Task InitializeAsync()
    {
        _address = new($"https://localhost:{IdentificationWorld.FreePort()}");
        var identification = world.Options.Identification;
        _gateway = world.BuildGateway(world.Options with
        {
            Port = _address.Port, TerminatorListen = null,
            Identification = identification with { FailuresPerMinute = Failures, RevocationSources = [identification.RevocationSources[0] with { MaxAgeSeconds = MaxAge }] },
        });
        await _gateway.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        world.Clock.Ahead = _ahead;
        world.Revocation.ListMisbehaviour = world.Revocation.ResponderMisbehaviour = RevocationMisbehaviour.None;
    }

    private HttpClient Connect(IssuedCertificate certificate)
    {
        var http = world.Connect(certificate);
        http.BaseAddress = _address;
        return http;
    }

    private async Task<(HttpResponseMessage Response, JsonElement Body)> PostAsync(HttpClient http)
    {
        var response = await http.PostAsync("/connect/token", new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        return (response, await response.Content.ReadFromJsonAsync<JsonElement>());
    }

    [Fact]
    public async Task A_revocation_ends_a_token_that_is_in_use_and_gives_no_new_one()
    {
        var certificate = world.Issue(world.Aurora.Organisation);
        using var http = Connect(certificate);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (await PostAsync(http)).Body.GetProperty("access_token").GetString());
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/fhir/whoami")).StatusCode);

        world.Revocation.Revoke(certificate);
        world.Clock.Ahead += TimeSpan.FromSeconds(MaxAge + 1);
        // The same connection, the same token, far from its end.
        var refused = await http.GetAsync("/fhir/whoami");
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Contains("has been revoked", await refused.Content.ReadAsStringAsync());
        Assert.Contains("invalid_token", refused.Headers.WwwAuthenticate.ToString());
        var (response, body) = await PostAsync(http);
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal("invalid_client", body.GetProperty("error").GetString());
        Assert.Contains("has been revoked", body.GetProperty("error_description").GetString());
        // Another certificate of the same organisation goes on.
        using var other = Connect(world.Issue(world.Aurora.Organisation));
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(other)).Response.StatusCode);
    }

    [Fact]
    public async Task A_silent_authority_is_an_outage_and_nobodys_failure()
    {
        using var http = Connect(world.Issue(world.Aurora.Organisation));
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (await PostAsync(http)).Body.GetProperty("access_token").GetString());
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/fhir/whoami")).StatusCode);

        world.Revocation.ListMisbehaviour = world.Revocation.ResponderMisbehaviour = RevocationMisbehaviour.ServerError;
        world.Clock.Ahead += TimeSpan.FromSeconds(MaxAge + 1);
        for (var i = 0; i < 2 * Failures; i++)
        {
            var unknown = await http.GetAsync("/fhir/whoami");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, unknown.StatusCode);
            Assert.Empty(unknown.Headers.WwwAuthenticate);
            var issue = Assert.Single((await unknown.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("issue").EnumerateArray());
            Assert.Equal("transient", issue.GetProperty("code").GetString());
            var (response, body) = await PostAsync(http);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.NotNull(response.Headers.RetryAfter);
            Assert.Equal("temporarily_unavailable", body.GetProperty("error").GetString());
        }

        world.Revocation.ListMisbehaviour = world.Revocation.ResponderMisbehaviour = RevocationMisbehaviour.None;
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/fhir/whoami")).StatusCode);
    }
}
