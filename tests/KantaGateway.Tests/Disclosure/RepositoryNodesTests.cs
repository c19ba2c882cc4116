using System.Collections.Concurrent;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Repository;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Disclosure;

/// <summary>Which of several repositories is asked: one for each person, another where that one is not there, and none twice.</summary>
public sealed class RepositoryNodesTests : IAsyncLifetime
{
    private const int Count = 3;
    private readonly TemporaryFolder _folder = new();
    private readonly WebApplication?[] _repositories = new WebApplication?[Count];
    private readonly ConcurrentQueue<int> _asked = [];
    private readonly List<(WebApplication Gateway, RepositoryNodes Nodes)> _gateways = [];
    private volatile Func<int, HttpContext, Task>? _answers;
    private volatile int _unready = -1;

    private string[] Endpoints => [.. Enumerable.Range(0, Count).Select(i => "unix:" + _folder.File($"{i}.sock"))];

    public async Task InitializeAsync()
    {
        for (var i = 0; i < Count; i++)
            await StartAsync(i);
    }

    public async Task DisposeAsync()
    {
        foreach (var (gateway, _) in _gateways)
            await gateway.DisposeAsync();
        foreach (var repository in _repositories)
            if (repository is not null)
                await repository.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task One_persons_requests_go_to_one_repository_the_same_at_every_gateway_and_all_of_them_have_people()
    {
        // In whichever order a gateway is told them.
        var (first, second) = (await GatewayAsync(Endpoints), await GatewayAsync([.. Endpoints.Reverse()]));
        var people = People(60);
        var chosen = await ChosenAsync(first, people);
        Assert.Equal(chosen, await ChosenAsync(first, people));
        Assert.Equal(chosen, await ChosenAsync(second, people));
        Assert.Equal(Count, chosen.Distinct().Count());
    }

    [Fact]
    public async Task Where_one_is_gone_its_people_are_answered_by_the_others_and_nobody_else_moves()
    {
        var nodes = await GatewayAsync(Endpoints);
        var people = People(60);
        var before = await ChosenAsync(nodes, people);
        await StopAsync(1);
        var meanwhile = await ChosenAsync(nodes, people);
        for (var i = 0; i < people.Length; i++)
            Assert.True(before[i] == 1 ? meanwhile[i] != 1 : meanwhile[i] == before[i]);
        Assert.Equal(2, meanwhile.Where((_, i) => before[i] == 1).Distinct().Count());
        // Its own again, once it is seen to be there.
        await StartAsync(1);
        await UntilAsync(async () => (await ChosenAsync(nodes, people)).SequenceEqual(before));
    }

    [Fact]
    public async Task One_that_is_not_ready_is_asked_no_more_and_where_none_is_all_are_tried()
    {
        var nodes = await GatewayAsync(Endpoints);
        var people = People(60);
        _unready = 2;
        await UntilAsync(async () => !(await ChosenAsync(nodes, people)).Contains(2));
        _unready = Count; // all
        await UntilAsync(async () => (await ChosenAsync(nodes, people)).Contains(2));
    }

    [Fact]
    public async Task What_has_been_sent_to_one_is_not_sent_to_another()
    {
        var nodes = await GatewayAsync(Endpoints);
        _answers = (_, context) =>
        {
            context.Abort();
            return Task.CompletedTask;
        };
        await Assert.ThrowsAsync<HttpRequestException>(() => ChosenAsync(nodes, People(1)));
        Assert.Single(_asked);
    }

    [Fact]
    public async Task Where_none_is_there_the_request_fails_as_unreachable()
    {
        var nodes = await GatewayAsync(Endpoints);
        for (var i = 0; i < Count; i++)
            await StopAsync(i);
        Assert.Equal(HttpRequestError.ConnectionError, (await Assert.ThrowsAsync<HttpRequestException>(() => ChosenAsync(nodes, People(1)))).HttpRequestError);
    }

    /// <summary>A caller names the target, and no target names another host.</summary>
    [Theory]
    [InlineData("//elsewhere.example/fhir")]
    [InlineData("/fhir/Observation?a=//b@c&d=%2F")]
    public async Task A_target_stays_the_target(string target)
    {
        var nodes = await GatewayAsync(Endpoints);
        string? seen = null;
        _answers = (_, context) =>
        {
            seen = context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpRequestFeature>()!.RawTarget;
            return Task.CompletedTask;
        };
        using var request = new HttpRequestMessage(HttpMethod.Get, nodes.Address.ToString().TrimEnd('/') + target);
        using var answer = await nodes.Invoker.SendAsync(request, default);
        Assert.Equal(target, seen);
    }

    private static Pseudonym[] People(int count) => [.. Enumerable.Range(0, count).Select(_ => RepositoryWorld.SomeNumber())];

    private async Task<int[]> ChosenAsync(RepositoryNodes nodes, Pseudonym[] people)
    {
        using var client = nodes.CreateClient(TimeSpan.FromSeconds(30));
        var chosen = new List<int>();
        foreach (var person in people)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/policy") { Content = new StringContent("question") };
            RepositoryNodes.SayWhom(request, person);
            using var answer = await client.SendAsync(request);
            chosen.Add(int.Parse(await answer.Content.ReadAsStringAsync(), System.Globalization.CultureInfo.InvariantCulture));
        }
        return [.. chosen];
    }

    /// <summary>The cluster alone of a gateway.</summary>
    private async Task<RepositoryNodes> GatewayAsync(string[] endpoints)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.ListenInternally(InternalEndpoint.Parse("unix:" + _folder.File($"gateway-{_gateways.Count}.sock")));
        builder.Services.AddSingleton(new GatewayOptions
        {
            PublicAddress = "https://gateway.example", Port = 8443, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "",
            Repository = string.Join("; ", endpoints), Keys = "unix:/nowhere",
            Identification = new IdentificationOptions { ClientsFile = "", TokenKeyFile = "", UpstreamAuthorityFile = "", ProfessionalIssuers = [], Citizens = null! },
        });
        builder.Services.AddSingleton<RepositoryNodes>().AddRepositoryCluster();
        var gateway = builder.Build();
        gateway.MapRepositoryCluster();
        await gateway.StartAsync();
        var nodes = gateway.Services.GetRequiredService<RepositoryNodes>();
        _gateways.Add((gateway, nodes));
        return nodes;
    }

    private async Task StartAsync(int number)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.ListenInternally(InternalEndpoint.Parse(Endpoints[number]));
        var repository = builder.Build();
        repository.Run(async context =>
        {
            if (context.Request.Path == "/health/ready")
            {
                context.Response.StatusCode = _unready == number || _unready == Count ? 503 : 200;
                return;
            }
            _asked.Enqueue(number);
            if (_answers is { } answers)
                await answers(number, context);
            else
                await context.Response.WriteAsync(number.ToString(System.Globalization.CultureInfo.InvariantCulture));
        });
        await repository.StartAsync();
        _repositories[number] = repository;
    }

    private async Task StopAsync(int number)
    {
        await _repositories[number]!.StopAsync(new CancellationToken(canceled: true));
        await _repositories[number]!.DisposeAsync();
        _repositories[number] = null;
    }

    /// <summary>The cluster looks every two seconds.</summary>
    private static async Task UntilAsync(Func<Task<bool>> reached)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await reached())
            await Task.Delay(50, limit.Token);
    }
}
