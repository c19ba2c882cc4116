using KantaGateway.Dev;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Portal;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using NetArchTest.Rules;

namespace KantaGateway.Tests.Conventions;

/// <summary>No road to data goes around the decision stage.</summary>
public sealed class EndpointTests
{
    /// <summary>Endpoints that disclose nobody's data. A new one needs a line here, and a reason.</summary>
    private static readonly string[] WithoutDecision =
    [
        "/fhir/metadata", // what the server can do
        "/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks", // how to ask for a token
        "/connect/token", // gives tokens, which are decided about when they are used
        "/connect/par", // keeps what an app asks for
        "/connect/introspect", "/connect/revoke", // a token's own client asks about it, or ends it
        "/signin", "/signin-ftn", "/signout", "/signout/everywhere", "/signout-ftn", // a citizen's session
        "/on-behalf/choose", "/on-behalf/back", "/on-behalf/self", // for whom a citizen's session is
        "/operator/signin", "/operator/signout", // an operator's session
        "/operator/clients", "/operator/clients/proposals", "/operator/clients/proposals/{id}/approve", "/operator/clients/proposals/{id}/reject", "/operator/clients/suspend", // who may ask, never what they find
        "/operator/acts", "/operator/acts/{id}/approve", "/operator/acts/{id}/reject", "/operator/acts/{id}/carry-out", // what two persons decide, without personal data
        "/operator/acts/{id}/scope", // whom a breach has reached, out of the audit log: ids, for a case that is open and two persons
        "/operator/keys", // how far a rotation is
        "/operator/containments", // who is let in nowhere
        "/operator/breach-cases", "/operator/breach-cases/{number:long}/steps", // what the machine or somebody saw and what was done about it, without personal data
        "/operator/breach-cases/{number:long}/notices", "/operator/breach-cases/{number:long}/notices/drafts", "/operator/breach-cases/{number:long}/letters", // puts into inboxes, and tells of nobody
        "/operator/breach-cases/{number:long}/authority/{form}", // what authorities are told, without personal data
        "/operator/watched-people", // how many are watched
        "/operator/unusual-access", // who asks unusually, and never for whom
        "/audit/log/checkpoint", "/audit/log/tile/{**path}", "/audit/log/pruned", // salted commitments
        "/audit/receipts/{index}", // the proof of what the caller received: hashes
        "/health/live", "/health/ready",
    ];

    [Fact]
    public async Task Every_endpoint_passes_the_decision_or_is_in_the_list()
    {
        using var folder = new TemporaryFolder();
        await using var host = await DevHost.StartAsync(new DevHostOptions { DataFolder = folder.File("data"), Port = RunningHost.FreePorts() });
        var endpoints = host.Gateway.Services.GetServices<EndpointDataSource>().SelectMany(s => s.Endpoints)
            .Concat(((IEndpointRouteBuilder)host.Gateway).DataSources.SelectMany(s => s.Endpoints)).Distinct().ToList();

        Assert.Contains(endpoints, e => e.Metadata.GetMetadata<PassesDecision>() is not null);
        Assert.Contains(endpoints, e => e.Metadata.GetMetadata<PortalEndpoint>() is not null);
        Assert.Equal([], Violations(endpoints));
    }

    [Fact]
    public void A_planted_endpoint_is_found()
    {
        using var app = (IDisposable)WebApplication.CreateSlimBuilder().Build();
        var routes = (IEndpointRouteBuilder)app;
        routes.MapGet("/health/live", () => "live");
        routes.MapGet("/fhir/everything", () => "everything");
        Assert.Equal(["/fhir/everything"], Violations(routes.DataSources.SelectMany(s => s.Endpoints)));
    }

    /// <summary>Portal pages stand before the decision: they may reach data only by asking for it inside, as the citizen.</summary>
    [Fact]
    public void The_portal_has_no_road_of_its_own_to_data()
    {
        var result = Types.InAssembly(typeof(PortalEndpoint).Assembly).That().ResideInNamespace("KantaGateway.Gateway.Portal")
            .ShouldNot().HaveDependencyOnAny(Roads).GetResult();
        Assert.Equal([], result.FailingTypeNames ?? []);
    }

    [Fact]
    public void A_planted_road_is_found()
    {
        var result = Types.InAssembly(typeof(EndpointTests).Assembly).That().HaveName(nameof(Detour)).ShouldNot().HaveDependencyOnAny(Roads).GetResult();
        Assert.False(result.IsSuccessful);
    }

    private static readonly string[] Roads =
    [
        "System.Net.Http", "System.Net.Sockets", "Microsoft.Data.Sqlite", "Npgsql", "Yarp", "KantaGateway.Audit.AuditLog", "KantaGateway.Audit.AuditOpener", "KantaGateway.Audit.Storage",
        "KantaGateway.Fhir.Grants.GrantSigner", "KantaGateway.Gateway.Forwarding.RepositoryForwarder", "KantaGateway.Gateway.Disclosure.GrantIssuer",
    ];

    private static IEnumerable<string> Violations(IEnumerable<Endpoint> endpoints) =>
        from endpoint in endpoints.OfType<RouteEndpoint>()
        where endpoint.Metadata.GetMetadata<PassesDecision>() is null && endpoint.Metadata.GetMetadata<PortalEndpoint>() is null
        let path = "/" + endpoint.RoutePattern.RawText?.TrimStart('/')
        where !WithoutDecision.Contains(path)
        select path;

    private static class Detour
    {
        public static object Peek() => new System.Net.Http.HttpClient();
    }
}
