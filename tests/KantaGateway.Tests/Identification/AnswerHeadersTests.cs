using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Portal;
using Microsoft.AspNetCore.Http;

namespace KantaGateway.Tests.Identification;

/// <summary>Sign-ins and the authorization server answer browsers as guardedly as the pages do.</summary>
[Collection(SignInCollection.Name)]
public sealed class AnswerHeadersTests(IdentificationWorld world)
{
    [Theory]
    [InlineData("GET", "/signin")]
    [InlineData("GET", "/signin?level=none-such")]
    [InlineData("GET", "/signin-ftn")]
    [InlineData("POST", "/signout")]
    [InlineData("POST", "/signout/everywhere")]
    [InlineData("POST", "/signout-ftn")]
    [InlineData("POST", "/connect/token")]
    [InlineData("POST", "/connect/par")]
    [InlineData("POST", "/connect/introspect")]
    [InlineData("POST", "/connect/revoke")]
    [InlineData("GET", "/operator/signin")]
    [InlineData("POST", "/operator/signout")]
    public async Task Nothing_of_an_answer_is_kept_framed_or_run_whichever_middleware_gives_it(string method, string path)
    {
        using var http = world.Connect();
        using var request = new HttpRequestMessage(new(method), path);
        if (method == "POST")
            request.Content = new FormUrlEncodedContent([]);
        using var response = await http.SendAsync(request);
        Assert.True(response.Headers.CacheControl?.NoStore, $"{response.StatusCode}");
        Assert.Equal("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", response.Headers.GetValues("Content-Security-Policy").Single());
        foreach (var (name, value) in new[] { ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "same-origin"), ("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Resource-Policy", "same-origin") })
            Assert.Equal(value, response.Headers.GetValues(name).Single());
    }

    [Theory]
    [InlineData("https://localhost:8443", "")]
    [InlineData("https://portal.example", "max-age=63072000; includeSubDomains")]
    public void Browsers_are_told_to_come_encrypted_always_where_the_name_is_not_a_developers(string address, string expected)
    {
        var headers = new HeaderDictionary();
        AnswerHeaders.Set(headers, AnswerHeaders.IsLocal(PortalUnderTest.Options(false) with { PublicAddress = address }));
        Assert.Equal(expected, headers["Strict-Transport-Security"].ToString());
    }
}
