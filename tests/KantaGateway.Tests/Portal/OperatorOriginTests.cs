using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Dev;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Portal;

/// <summary>The citizens' origin serves no page of operators, and the operators' origin nothing else.</summary>
public sealed partial class OperatorOriginTests
{
    /// <summary>Answered by handlers of sign-ins, which are no endpoints of the routing.</summary>
    private static readonly (string Method, string Path)[] BesideTheRouting =
        [("GET", "/signin-ftn"), ("GET", "/signout-ftn"), ("GET", "/signin-operator"), ("POST", "/connect/token"), ("POST", "/connect/introspect"), ("GET", "/nothing/of/the/kind"), ("GET", "/operator/nothing"), ("GET", "/Operator/Cases")];

    [Fact]
    public async Task Each_address_of_the_gateway_is_answered_at_one_origin_alone()
    {
        using var folder = new TemporaryFolder();
        await using var host = await DevHost.StartAsync(new DevHostOptions { DataFolder = folder.File("data"), Port = RunningHost.FreePorts(), OperatorsPort = RunningHost.FreePorts() });
        using var nobody = Connect();
        var (citizens, operators) = (new Uri(host.Address), new Uri(host.OperatorsAddress));
        Assert.NotEqual(citizens.Host, operators.Host);
        var (noneOfCitizens, noneOfOperators) = (await nobody.GetAsync(new Uri(citizens, "/not-found")), await nobody.GetAsync(new Uri(operators, "/not-found")));
        var (absentHere, absentThere) = (await noneOfCitizens.Content.ReadAsStringAsync(), await noneOfOperators.Content.ReadAsStringAsync());
        // Each in its own look, which leads nowhere else.
        Assert.Contains("href=\"/operator\"", absentThere);
        Assert.DoesNotContain("/operator", absentHere);
        Assert.DoesNotContain("/signin", absentThere);

        var routes = host.Gateway.Services.GetServices<EndpointDataSource>().SelectMany(static s => s.Endpoints).Concat(((IEndpointRouteBuilder)host.Gateway).DataSources.SelectMany(static s => s.Endpoints)).OfType<RouteEndpoint>()
            .Where(static e => e.RoutePattern.RawText is not (null or "metrics") && !e.RoutePattern.RawText.Contains(":nonfile", StringComparison.Ordinal)).ToList();
        Assert.All(routes.Where(static e => e.Metadata.GetMetadata<ForOperatorsAttribute>() is not null), static e => Assert.StartsWith("operator", e.RoutePattern.RawText!.TrimStart('/')));
        var asked = routes.Select(static e => (Method: e.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods.FirstOrDefault() ?? "GET", Path: Parameter().Replace("/" + e.RoutePattern.RawText!.TrimStart('/'), "1")))
            .Concat(BesideTheRouting).Distinct().ToList();
        Assert.True(asked.Count > 60, $"{asked.Count} addresses");
        foreach (var (method, path) in asked)
        {
            var isTheirs = path.StartsWith("/operator", StringComparison.OrdinalIgnoreCase) || path == "/signin-operator";
            var isOfBoth = path.StartsWith("/assets/", StringComparison.Ordinal) || path.StartsWith("/language/", StringComparison.Ordinal);
            if (isOfBoth || path == "/")
                continue;
            using var request = new HttpRequestMessage(new(method), new Uri(isTheirs ? citizens : operators, path));
            using var answer = await nobody.SendAsync(request);
            Assert.True(answer.StatusCode == HttpStatusCode.NotFound, $"{method} {path}: {answer.StatusCode}");
            // As what was never there.
            Assert.True(await answer.Content.ReadAsStringAsync() == (isTheirs ? absentHere : absentThere), $"{method} {path} says something else.");
        }

        using var root = await nobody.GetAsync(new Uri(operators, "/"));
        Assert.Equal("/operator", root.Headers.Location?.OriginalString);
        Assert.Equal(HttpStatusCode.OK, (await nobody.GetAsync(new Uri(operators, "/operator/start"))).StatusCode);
        // Under another name their listener has nothing at all, and under theirs no other listener has.
        foreach (var (at, named) in new[] { (operators, citizens.Authority), (operators, "operators.example"), (citizens, operators.Authority) })
            foreach (var path in (string[])["/operator/start", "/about", "/fhir/metadata", "/"])
            {
                using var disguised = new HttpRequestMessage(HttpMethod.Get, new Uri(at, path)) { Headers = { Host = named } };
                Assert.Equal(HttpStatusCode.NotFound, (await nobody.SendAsync(disguised)).StatusCode);
            }

        // The sign-in leads there and back, and its session is nothing to the other side.
        using var olga = await OperatorTests.SignInAsync(host.OperatorsAddress, 0);
        Assert.Equal(HttpStatusCode.OK, (await olga.GetAsync(new Uri("/operator/clients", UriKind.Relative))).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await olga.GetAsync(new Uri(citizens, "/operator/clients"))).StatusCode);
    }

    [Theory]
    [InlineData(null, "operators.example", 1, "/operator/cases", true)]
    [InlineData(null, "OPERATORS.example:443", 1, "/operator", true)]
    [InlineData(null, "operators.example", 1, "/signin-operator", true)]
    [InlineData(null, "operators.example", 1, "/assets/portal.css", true)]
    [InlineData(null, "operators.example", 1, "/language/sv", true)]
    [InlineData(null, "operators.example", 1, "/records", false)]
    [InlineData(null, "operators.example", 1, "/fhir/Patient", false)]
    [InlineData(null, "operators.example", 1, "/operators", false)]
    [InlineData(null, "operators.example", 1, "/signin", false)]
    [InlineData(null, "operators.example:8443", 1, "/records", true)]
    [InlineData(null, "kanta.example", 1, "/records", true)]
    [InlineData(null, "kanta.example", 1, "/OPERATOR/cases", false)]
    [InlineData(null, "kanta.example", 1, "/signin-operator", false)]
    [InlineData(null, "other.example", 1, "/operator", false)]
    [InlineData(9000, "operators.example", 9000, "/operator", true)]
    [InlineData(9000, "operators.example", 1, "/operator", false)]
    [InlineData(9000, "operators.example", 1, "/records", false)]
    [InlineData(9000, "kanta.example", 9000, "/records", false)]
    [InlineData(9000, "kanta.example", 9000, "/operator", false)]
    [InlineData(9000, "kanta.example", 1, "/fhir/Patient", true)]
    public async Task An_address_is_there_by_host_and_listener(int? port, string host, int listener, string path, bool isThere)
    {
        var options = new GatewayOptions
        {
            PublicAddress = "https://kanta.example", Port = 1, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "",
            Identification = new()
            {
                ClientsFile = "", TokenKeyFile = "", ProfessionalIssuers = [], Citizens = null!,
                Operators = new() { Address = "https://operators.example", Port = port, Authority = "", Tenant = "", ClientId = "", CertificateFile = "", KeyFile = "", LogFolder = "", LogKeyFile = "" },
            },
        };
        var app = new ApplicationBuilder(new ServiceCollection().BuildServiceProvider());
        PathString routed = default;
        new OperatorOriginFilter(options).Configure(its => its.Run(context =>
        {
            routed = context.Request.Path;
            return Task.CompletedTask;
        }))(app);
        var request = new DefaultHttpContext();
        (request.Request.Host, request.Request.Path, request.Request.Method, request.Connection.LocalPort) = (new(host), path, "POST", listener);
        request.Request.QueryString = new("?client=one");
        await app.Build()(request);
        Assert.Equal(isThere ? path : OperatorOrigin.Nowhere, routed.Value);
        Assert.Equal(isThere ? ("POST", "?client=one") : ("GET", ""), (request.Request.Method, request.Request.QueryString.Value));
    }

    private static HttpClient Connect() => new(new HttpClientHandler { AllowAutoRedirect = false, UseCookies = false, ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator });

    [GeneratedRegex(@"\{[^}]+\}")]
    private static partial Regex Parameter();
}
