using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Routing;

namespace KantaGateway.Tests.Portal;

/// <summary>What other portals and apps ask is described as it is.</summary>
public sealed class ApiDescriptionTests
{
    [Fact]
    public async Task The_description_has_every_address_of_version_1_and_no_other()
    {
        await using var portal = await PortalUnderTest.StartAsync();
        var (status, json, _) = await portal.GetAsync("/openapi/v1.json", cookies: null);
        Assert.Equal(HttpStatusCode.OK, status);
        var paths = JsonElement.Parse(json).GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject().Select(operation => $"{operation.Name.ToUpperInvariant()} {path.Name}"));
        var mapped = portal.Endpoints.OfType<RouteEndpoint>().Where(endpoint => endpoint.RoutePattern.RawText?.Contains("/v1/", StringComparison.Ordinal) is true)
            .SelectMany(endpoint => endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods.Select(method => $"{method} {endpoint.RoutePattern.RawText}")).ToList();
        Assert.Equal(13, mapped.Count);
        Assert.Equal(mapped.Order(), paths.Order());
    }

    [Fact]
    public async Task Each_address_says_what_is_sent_and_what_comes()
    {
        await using var portal = await PortalUnderTest.StartAsync();
        var description = JsonElement.Parse((await portal.GetAsync("/openapi/v1.json", cookies: null)).Html);
        var names = new List<string>();
        foreach (var operation in description.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject()))
        {
            names.Add(operation.Value.GetProperty("operationId").GetString()!);
            Assert.NotEmpty(operation.Value.GetProperty("summary").GetString()!);
            Assert.Equal(operation.Name == "post", operation.Value.TryGetProperty("requestBody", out var body));
            if (operation.Name == "post")
                Assert.Equal(["application/json"], body.GetProperty("content").EnumerateObject().Select(static type => type.Name));
            Assert.Contains(operation.Value.GetProperty("responses").EnumerateObject(), answer => answer.Name[0] == '2');
            Assert.Contains(operation.Value.GetProperty("responses").EnumerateObject(), answer => answer.Name == "403");
        }
        Assert.Equal(names.Count, names.Distinct().Count());
        // Who may ask stands at each, and one of what is named is enough.
        Assert.Equal(
        [
            "apps: session", "ask-rectification: session", "dispute-access: session", "emergencies: token", "end-app: session", "explain: session or token", "messages: session or token", "preview: session or token", "print-form: token", "read-message: session or token", "rectifications: session", "waiting-rectifications: token", "withdraw-rectification: session",
        ], description.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject()).Select(static operation => $"{operation.Value.GetProperty("operationId").GetString()}: "
            + string.Join(" or ", operation.Value.GetProperty("security").EnumerateArray().Select(static one => one.EnumerateObject().Single().Name))).Order(StringComparer.Ordinal));
        Assert.Equal(["session", "token"], description.GetProperty("components").GetProperty("securitySchemes").EnumerateObject().Select(static scheme => scheme.Name).Order(StringComparer.Ordinal));
        var schemas = description.GetProperty("components").GetProperty("schemas");
        Assert.Equal(["messages", "asOf", "away"], ((string[])["messages", "asOf", "away"]).Where(member => schemas.GetProperty("InboxAnswer").GetProperty("properties").TryGetProperty(member, out _)));
    }
}
