using System.Net.Http.Json;
using System.Text.Json;

namespace KantaGateway.Tests.Identification;

/// <summary>Clients find the endpoints and what they must support by discovery.</summary>
[Collection(SignInCollection.Name)]
public sealed class DiscoveryTests(IdentificationWorld world)
{
    [Theory]
    [InlineData("/.well-known/smart-configuration")]
    [InlineData("/fhir/.well-known/smart-configuration")]
    public async Task Smart_configuration_names_token_endpoint_algorithms_and_capabilities(string path)
    {
        using var http = world.Connect();
        using var response = await http.GetAsync(path);
        Assert.Equal("application/json", response.Content.Headers.ContentType?.MediaType);
        var document = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(world.TokenUrl, document.GetProperty("token_endpoint").GetString());
        Assert.Equal(["ES256", "PS256", "ES384", "RS384"], document.GetProperty("token_endpoint_auth_signing_alg_values_supported").EnumerateArray().Select(a => a.GetString()));
        Assert.Contains("client-confidential-asymmetric", document.GetProperty("capabilities").EnumerateArray().Select(a => a.GetString()));
        Assert.Contains("permission-v2", document.GetProperty("capabilities").EnumerateArray().Select(a => a.GetString()));
        Assert.True(document.GetProperty("tls_client_certificate_bound_access_tokens").GetBoolean());
    }

    [Fact]
    public async Task Openid_configuration_agrees_with_smart_configuration()
    {
        using var http = world.Connect();
        var smart = await http.GetFromJsonAsync<JsonElement>("/.well-known/smart-configuration");
        var openid = await http.GetFromJsonAsync<JsonElement>("/.well-known/openid-configuration");
        foreach (var name in new[] { "issuer", "jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint" })
            Assert.Equal(smart.GetProperty(name).GetString(), openid.GetProperty(name).GetString());
        foreach (var endpoint in new[] { "token", "introspection", "revocation" })
            Assert.Equal(["private_key_jwt", "tls_client_auth"], openid.GetProperty(endpoint + "_endpoint_auth_methods_supported").EnumerateArray().Select(a => a.GetString()));
    }

    [Fact]
    public async Task The_published_key_verifies_tokens_and_is_public()
    {
        using var http = world.Connect();
        var keys = await http.GetFromJsonAsync<JsonElement>("/.well-known/jwks");
        var key = Assert.Single(keys.GetProperty("keys").EnumerateArray());
        Assert.Equal("P-256", key.GetProperty("crv").GetString());
        Assert.False(key.TryGetProperty("d", out _));
        var token = new Microsoft.IdentityModel.JsonWebTokens.JsonWebToken(await world.TokenAsync(world.Aurora));
        Assert.Equal(key.GetProperty("kid").GetString(), token.Kid);
    }
}
