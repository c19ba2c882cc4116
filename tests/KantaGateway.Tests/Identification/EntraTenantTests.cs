using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using KantaGateway.Simulators;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Professionals of a clinic with two Entra ID tenants.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class EntraTenantTests(IdentificationWorld world) : IDisposable
{
    public void Dispose() => world.Outside.FurtherClaims.Clear();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Each_tenant_vouches_for_the_organisations_professionals(int tenant)
    {
        var (status, body) = await ExchangeAsync(tenant);
        Assert.Equal(HttpStatusCode.OK, status);
        var (_, who, _) = await world.WhoAmIAsync(body.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal("90001", who.GetProperty("professionalId").GetString());
        Assert.Equal("laakari", who.GetProperty("profession").GetString());
        Assert.Equal(world.Aurora.Organisation, who.GetProperty("organisation").GetString());
    }

    [Fact]
    public async Task A_tenant_vouches_for_no_other_organisation()
    {
        var (status, body) = await ExchangeAsync(0, world.Revontuli);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Contains("another organisation", body.GetProperty("error_description").GetString());
    }

    public static TheoryData<string, object?, string> BadClaims() => new()
    {
        { "tid", IdentificationWorld.Tenants[1], "tid is not the tenant" },
        { "tid", null, "tid is not the tenant" },
        { "ver", "1.0", "ver must be 2.0" },
        { "ver", null, "ver must be 2.0" },
        { "roles", null, "none of the app roles" },
        { "roles", new[] { "Kanta.Administrator" }, "none of the app roles" },
        { "roles", "Kanta.Professional.Not", "none of the app roles" },
        { "oid", null, "must be a user's" },
        { "idtyp", "app", "must be a user's" },
        // The key of one tenant under the name of the other.
        { "iss", "other", "signature does not verify" },
        { "iss", "https://login.microsoftonline.com/common/v2.0", "not an identity provider that this gateway knows" },
        { "professional_id", null, "must name the professional" },
        { "aud", "another", "another audience" },
        { "exp", 1_000_000, "has expired" },
    };

    [Theory, MemberData(nameof(BadClaims))]
    public async Task Rejects_a_token_whose(string claim, object? value, string reason)
    {
        world.Outside.FurtherClaims[claim] = value is "other" ? world.Outside.TenantIssuer(IdentificationWorld.Tenants[1]) : value;
        var (status, body) = await ExchangeAsync(0);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_request", body.GetProperty("error").GetString());
        Assert.Contains(reason, body.GetProperty("error_description").GetString());
    }

    [Fact]
    public async Task A_tenant_that_does_not_answer_is_an_outage_and_not_the_clinics_mistake()
    {
        var issuer = "https://localhost:1/entra/5f8a1c52-0000-4000-8000-000000000009/v2.0";
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with
        {
            Port = port, TerminatorListen = null,
            Identification = world.Options.Identification with { ProfessionalIssuers = [new ProfessionalIssuer(issuer, "kanta", world.Aurora.Organisation)] },
        });
        await gateway.StartAsync();
        using var key = RsaKeys.Of("of nobody");
        var token = new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
        {
            Issuer = issuer, Audience = "kanta", Expires = DateTime.UtcNow.AddHours(1), SigningCredentials = new(new RsaSecurityKey(key.ExportParameters(true)) { KeyId = "1" }, "RS256"),
        });
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.PostAsync($"https://localhost:{port}/connect/token", new FormUrlEncodedContent(world.TokenExchange(world.Aurora, token)));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.NotNull(response.Headers.RetryAfter);
        Assert.Contains("temporarily_unavailable", await response.Content.ReadAsStringAsync());
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> ExchangeAsync(int tenant, SomeClinic? clinic = null)
    {
        clinic ??= world.Aurora;
        using var http = world.Connect();
        using var response = await http.PostAsJsonAsync($"{world.Outside.PublicAddress}/entra/{IdentificationWorld.Tenants[tenant]}/subject-token", new { professional = "90001" });
        var subject = (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("subject_token").GetString()!;
        return await world.PostTokenAsync(world.TokenExchange(clinic, subject), clinic.Certificate);
    }
}
