using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Transport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Fhir.Transport;

/// <summary>Parts of one process meet over HTTP as they do over a socket.</summary>
public sealed class InProcessConnectionsTests : IAsyncLifetime
{
    private readonly InternalEndpoint _endpoint = InternalEndpoint.Parse("process:" + Guid.NewGuid());
    private readonly TaskCompletionSource _aborted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private WebApplication _part = null!;
    private HttpClient _client = null!;

    public async Task InitializeAsync()
    {
        _part = Part(_endpoint);
        _part.MapGet("/name", (HttpContext context) => context.Connection.RemoteIpAddress is null ? "here" : "elsewhere");
        _part.MapPost("/echo", async (HttpContext context) => await context.Request.Body.CopyToAsync(context.Response.Body));
        _part.MapGet("/bytes/{size}", (HttpContext context, int size) => context.Response.Body.WriteAsync(new byte[size]).AsTask());
        _part.MapPost("/digest", async (HttpContext context) => await context.Response.WriteAsync(Convert.ToHexString(await SHA256.HashDataAsync(context.Request.Body))));
        _part.MapGet("/broken", async (HttpContext context) =>
        {
            context.Response.ContentLength = 1000;
            await context.Response.Body.WriteAsync(new byte[10]);
            await context.Response.Body.FlushAsync();
            context.Abort();
        });
        _part.MapGet("/slow", async (HttpContext context) =>
        {
            context.RequestAborted.Register(() => _aborted.TrySetResult());
            await context.Response.Body.WriteAsync(new byte[10]);
            await context.Response.Body.FlushAsync();
            await _aborted.Task;
        });
        await _part.StartAsync();
        _client = _endpoint.CreateClient(TimeSpan.FromSeconds(20));
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _part.DisposeAsync();
    }

    [Fact]
    public async Task A_request_is_answered() => Assert.Equal("here", await _client.GetStringAsync("/name"));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5_000)]
    [InlineData(5_000_000)]
    public async Task A_body_goes_in_and_comes_back(int size)
    {
        var sent = RandomNumberGenerator.GetBytes(size);
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(Convert.ToHexString(SHA256.HashData(sent)), await (await _client.PostAsync("/digest", new ByteArrayContent(sent))).Content.ReadAsStringAsync());
            Assert.Equal(Convert.ToHexString(SHA256.HashData(sent)), await (await _client.PostAsync("/digest", new InPieces(sent))).Content.ReadAsStringAsync());
            var answer = await (await _client.GetAsync("/bytes/" + size)).Content.ReadAsByteArrayAsync();
            Assert.Equal(size, answer.Length);
        }
    }

    /// <summary>Headers first, then halves, each flushed.</summary>
    private sealed class InPieces(byte[] bytes) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.FlushAsync();
            foreach (var piece in new[] { new Range(0, bytes.Length / 2), new Range(bytes.Length / 2, bytes.Length) })
            {
                await stream.WriteAsync(bytes.AsMemory()[piece]);
                await stream.FlushAsync();
            }
        }

        protected override bool TryComputeLength(out long length) => (length = bytes.Length) >= 0;
    }

    [Fact]
    public async Task Many_at_once_get_their_own_answers() => await Parallel.ForAsync(0, 400, async (i, cancel) =>
        Assert.Equal(i.ToString(), await (await _client.PostAsync("/echo", new StringContent(i.ToString()), cancel)).Content.ReadAsStringAsync(cancel)));

    [Fact]
    public async Task An_answer_that_is_broken_off_is_no_answer() => await Assert.ThrowsAnyAsync<HttpRequestException>(() => _client.GetByteArrayAsync("/broken"));

    [Fact]
    public async Task A_client_that_leaves_is_noticed()
    {
        var response = await _client.GetAsync("/slow", HttpCompletionOption.ResponseHeadersRead);
        response.Dispose();
        await _aborted.Task.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task Nobody_answers_under_a_name_that_is_free_and_nobody_takes_one_that_is_not()
    {
        using var lost = InternalEndpoint.Parse("process:nobody").CreateClient(TimeSpan.FromSeconds(20));
        Assert.Equal(HttpRequestError.ConnectionError, (await Assert.ThrowsAsync<HttpRequestException>(() => lost.GetAsync("/"))).HttpRequestError);
        await using var second = Part(_endpoint);
        await Assert.ThrowsAsync<IOException>(() => second.StartAsync());
        await _part.StopAsync();
        await using var third = Part(_endpoint);
        await third.StartAsync();
    }

    private static WebApplication Part(InternalEndpoint endpoint)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        // As operators have it: Kestrel then says of each connection where it came to.
        builder.Services.AddMetrics();
        builder.ListenInternally(endpoint);
        return builder.Build();
    }
}
