using System.Net;
using System.Net.Http.Headers;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Yarp.ReverseProxy.Forwarder;

namespace KantaGateway.Tests.Forwarding;

/// <summary>What identifies a caller ends at the gateway, and what is said inside stays inside.</summary>
public class HeadersTests
{
    [Theory]
    [InlineData("Authorization", "Bearer secret")]
    [InlineData("authorization", "not, a; scheme=\"")]
    [InlineData("Cookie", "__Host-kanta=secret")]
    [InlineData("X-Client-Cert", "secret")]
    [InlineData("Client-Cert", ":c2VjcmV0:")]
    [InlineData("X-Kanta-Grant", "secret")]
    [InlineData("x-kanta-directory-grant", "secret")]
    [InlineData("X-Kanta-Base", "https://elsewhere.example")]
    [InlineData("X-Forwarded-For", "192.0.2.1")]
    [InlineData("Forwarded", "for=192.0.2.1")]
    [InlineData("X-Service-Event", "1.2.3")]
    [InlineData("User-Agent", "secret")]
    [InlineData("Referer", "https://elsewhere.example")]
    public async Task The_repository_is_not_sent_what_identifies_the_caller_or_looks_internal(string name, string value)
    {
        await using var world = await ForwardingWorld.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/fhir/Observation/1");
        request.Headers.TryAddWithoutValidation(name, value);

        using var answer = await world.Client.SendAsync(request);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var received = world.Received!;
        Assert.Equal("the gateway's grant", received[InternalHeaders.Grant]);
        Assert.Equal("https://gateway.example/fhir", received[InternalHeaders.Base]);
        Assert.DoesNotContain(received, h => h.Value.ToString().Contains(value, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_repository_is_sent_what_a_FHIR_interaction_means()
    {
        await using var world = await ForwardingWorld.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/fhir/Observation/1");
        request.Headers.TryAddWithoutValidation("If-Match", "W/\"1\"");
        request.Headers.TryAddWithoutValidation("If-None-Exist", "identifier=1");
        request.Headers.TryAddWithoutValidation("Prefer", "return=minimal");
        request.Headers.TryAddWithoutValidation("X-Security-Context", "Encounter/1");
        request.Headers.Accept.Add(MediaTypeWithQualityHeaderValue.Parse("application/fhir+json"));

        using var answer = await world.Client.SendAsync(request);

        Assert.Equal("W/\"1\"", world.Received!.IfMatch);
        Assert.Equal("identifier=1", world.Received["If-None-Exist"]);
        Assert.Equal("return=minimal", world.Received["Prefer"]);
        Assert.Equal("Encounter/1", world.Received["X-Security-Context"]);
        Assert.Equal("application/fhir+json", world.Received.Accept);
    }

    [Fact]
    public async Task No_internal_header_of_the_answer_leaves()
    {
        await using var world = await ForwardingWorld.StartAsync();

        using var answer = await world.Client.GetAsync(new Uri("/fhir/Observation/1", UriKind.Relative));

        Assert.DoesNotContain(answer.Headers.NonValidated, h => h.Key.StartsWith(InternalHeaders.Prefix, StringComparison.OrdinalIgnoreCase));
        Assert.Equal("W/\"1\"", answer.Headers.ETag!.ToString());
        Assert.True(answer.Headers.CacheControl!.NoStore);
    }

    /// <summary>The forwarder between a caller and a stand-in for the repository, over loopback.</summary>
    internal sealed class ForwardingWorld : IAsyncDisposable
    {
        private readonly WebApplication _repository = Empty();
        private WebApplication _gateway = null!;

        public HttpClient Client { get; private set; } = null!;

        /// <summary>The headers of the last request that the repository got.</summary>
        public IHeaderDictionary? Received { get; private set; }

        /// <param name="answered">What the repository does instead of answering; true: it has.</param>
        /// <param name="forward">What the gateway does with a request; by default it forwards it once.</param>
        public static async Task<ForwardingWorld> StartAsync(Func<HttpContext, Task<bool>>? answered = null, Func<HttpContext, RepositoryForwarder, Task>? forward = null)
        {
            forward ??= (context, forwarder) => forwarder.ForwardAsync(context, Pseudonym.Nobody, "the gateway's grant", null, isWrite: false, null, (_, _) => Task.FromResult<string?>(null));
            var world = new ForwardingWorld();
            world._repository.Run(async context =>
            {
                world.Received = new HeaderDictionary(context.Request.Headers.ToDictionary(h => h.Key, h => h.Value, StringComparer.OrdinalIgnoreCase));
                if (answered is not null && await answered(context))
                    return;
                context.Response.Headers[InternalHeaders.Manifest] = DisclosureManifest.Of([], "{}"u8).Encode();
                context.Response.Headers["x-kanta-anything-else"] = "inside";
                context.Response.Headers.ETag = "W/\"1\"";
                await context.Response.WriteAsync("{}");
            });
            await world._repository.StartAsync();
            world._gateway = Empty(s => s.AddHttpForwarder());
            var options = Options(world._repository.Urls.Single());
            var forwarder = new RepositoryForwarder(world._gateway.Services.GetRequiredService<IHttpForwarder>(), new RepositoryNodes(options), options);
            world._gateway.Run(context => forward(context, forwarder));
            await world._gateway.StartAsync();
            world.Client = new HttpClient { BaseAddress = new(world._gateway.Urls.Single()) };
            return world;
        }

        public async ValueTask DisposeAsync()
        {
            Client.Dispose();
            await _gateway.DisposeAsync();
            await _repository.DisposeAsync();
        }

        private static WebApplication Empty(Action<IServiceCollection>? services = null)
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            services?.Invoke(builder.Services);
            return builder.Build();
        }

        private static GatewayOptions Options(string repository) => new()
        {
            PublicAddress = "https://gateway.example",
            Port = 8443,
            TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "",
            Repository = repository,
            Keys = repository,
            Identification = new IdentificationOptions { ClientsFile = "", TokenKeyFile = "", UpstreamAuthorityFile = "", ProfessionalIssuers = [], Citizens = null! },
        };
    }
}
