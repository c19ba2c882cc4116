using System.Net;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Tests.Identification.Dpop;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification.BadInput;

/// <summary>A header that says who somebody is and came twice says nothing: which of the two counts would be a matter of who reads them.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class DuplicatedHeaderTests(IdentificationWorld world)
{
    private Uri Public => new(world.Options.PublicAddress);

    [Theory]
    [InlineData("{0}", null, 200)]
    [InlineData("{0}", "{0}", 401)]
    [InlineData("{0}", "Bearer nonsense", 401)]
    [InlineData("Bearer nonsense", "{0}", 401)]
    [InlineData("{0}", "Basic YTph", 401)]
    [InlineData("{0}", "", 401)]
    public async Task Authorization(string first, string? second, int status)
    {
        var bearer = "Bearer " + await world.TokenAsync(world.Aurora);
        using var certificate = world.Aurora.Certificate.Open();
        var headers = new List<(string, string)> { ("Authorization", first.Replace("{0}", bearer, StringComparison.Ordinal)) };
        if (second is not null)
            headers.Add(("authorization", second.Replace("{0}", bearer, StringComparison.Ordinal)));
        var (found, text) = await world.SendAsync(Public, "GET /fhir/whoami", headers, certificate: certificate);
        Assert.Equal(status, found);
        Assert.Equal(status == 401, text.Contains("error=\"invalid_request\", error_description=\"The Authorization header must be one Bearer or DPoP token.\"", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1, 200)]
    [InlineData(2, 400)]
    public async Task Proof_at_the_token_endpoint(int times, int status)
    {
        using var key = new DpopKey();
        using var certificate = world.Aurora.Certificate.Open();
        var proof = key.Proof("POST", world.TokenUrl, DateTimeOffset.UtcNow + world.Clock.Ahead, world.Services.GetRequiredService<DpopNonces>().Current);
        using var form = new FormUrlEncodedContent(world.ClientCredentials(world.Aurora));
        var (found, text) = await world.SendAsync(Public, "POST /connect/token", [("Content-Type", "application/x-www-form-urlencoded"), .. Enumerable.Repeat(("DPoP", proof), times)], await form.ReadAsStringAsync(), certificate);
        Assert.Equal(status, found);
        Assert.Equal(times == 2, text.Contains("invalid_dpop_proof", StringComparison.Ordinal) && text.Contains("Send one DPoP header", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1, 200)]
    [InlineData(2, 401)]
    public async Task Certificate_of_a_terminators_caller(int times, int status)
    {
        using var certificate = world.Aurora.Certificate.Open();
        var header = ("X-Client-Cert", Convert.ToBase64String(certificate.RawData));
        var (found, _) = await world.SendAsync(new(world.Options.TerminatorListen!), "GET /fhir/whoami", [("Authorization", "Bearer " + await world.TokenAsync(world.Aurora)), .. Enumerable.Repeat(header, times)]);
        Assert.Equal(status, found);
    }

    [Theory]
    [InlineData(new[] { "{0}" }, 200)]
    [InlineData(new[] { "a=b; {0}", "c=d" }, 200)]
    [InlineData(new[] { "{0}; {0}" }, 401)]
    [InlineData(new[] { "{0}", "{0}" }, 401)]
    [InlineData(new[] { "__Host-kanta=x; {0}" }, 401)]
    [InlineData(new[] { "{0}", "__Host-kanta=" }, 401)]
    [InlineData(new[] { "{0};__Host-kanta = x" }, 401)]
    public async Task Cookie_of_a_session(string[] lines, int status)
    {
        var cookies = new CookieContainer();
        await world.SignInAsync(cookies, 0);
        var session = cookies.GetCookieHeader(Public).Split("; ").Single(cookie => cookie.StartsWith("__Host-kanta=", StringComparison.Ordinal));
        var (found, _) = await world.SendAsync(Public, "GET /whoami", [.. lines.Select(line => ("Cookie", line.Replace("{0}", session, StringComparison.Ordinal)))]);
        Assert.Equal(status, found);
    }
}
