using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Transport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Fhir.Transport;

/// <summary>Parts of one process meet over HTTP as they do over a socket.</summary>
public sealed class InProcessServerTests : IAsyncLifetime
{
    private readonly InternalEndpoint _endpoint = InternalEndpoint.Parse("process:" + Guid.NewGuid());
    private readonly TaskCompletionSource
        _waiting = new(TaskCreationOptions.RunContinuationsAsynchronously),
        _aborted = new(TaskCreationOptions.RunContinuationsAsynchronously);
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
        _part.MapGet("/short", async (HttpContext context) =>
        {
            context.Response.ContentLength = 1000;
            await context.Response.Body.WriteAsync(new byte[10]);
        });
        _part.MapGet("/failing", string () => throw new InvalidOperationException());
        _part.MapGet("/nothing", () => Results.NoContent());
        _part.MapGet("/target/{**path}", (HttpContext context) => context.Request.Path.Value + context.Request.QueryString.Value);
        _part.MapGet("/activity", () => System.Diagnostics.Activity.Current?.OperationName ?? "none");
        _part.MapMethods("/some", ["HEAD"], async (HttpContext context) =>
        {
            context.Response.ContentLength = 10;
            await context.Response.Body.WriteAsync(new byte[10]);
        });
        _part.MapPost("/refused", () => Results.StatusCode(403));
        _part.MapGet("/waiting", async (HttpContext context) =>
        {
            context.RequestAborted.Register(() => _aborted.TrySetResult());
            _waiting.TrySetResult();
            await _aborted.Task;
        });
        _part.MapPost("/half", async (HttpContext context) =>
        {
            try
            {
                await context.Request.Body.CopyToAsync(Stream.Null);
            }
            catch (IOException) when (context.RequestAborted.IsCancellationRequested)
            {
                _aborted.TrySetResult();
            }
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

    /// <summary>What cannot be sent twice waits to be asked for (RFC 9110 10.1.1).</summary>
    [Theory]
    [InlineData("echo", true)]
    [InlineData("refused", false)]
    public async Task A_body_that_is_to_be_asked_for_is_sent_to_whoever_reads_it(string part, bool isSent)
    {
        using var body = new MemoryStream(RandomNumberGenerator.GetBytes(1_000_000));
        using var request = new HttpRequestMessage(HttpMethod.Post, part) { Content = new StreamContent(body) };
        request.Headers.ExpectContinue = true;
        using var answer = await _client.SendAsync(request);
        Assert.Equal(isSent ? body.ToArray() : [], await answer.Content.ReadAsByteArrayAsync());
        Assert.Equal(isSent ? body.Length : 0, body.Position);
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

    [Theory]
    [InlineData("/broken")]
    [InlineData("/short")]
    public async Task An_answer_shorter_than_it_says_is_no_answer(string path)
    {
        using var response = await _client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(1000, response.Content.Headers.ContentLength);
        await Assert.ThrowsAnyAsync<Exception>(() => response.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task What_fails_answers_500_with_nothing()
    {
        var response = await _client.GetAsync("/failing");
        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task An_answer_to_HEAD_has_the_length_and_no_body()
    {
        var response = await _client.SendAsync(new(HttpMethod.Head, "/some"));
        Assert.Equal(10, response.Content.Headers.ContentLength);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
        Assert.Equal(HttpStatusCode.NoContent, (await _client.GetAsync("/nothing")).StatusCode);
    }

    /// <summary>As Kestrel decodes a path: two segments are never made of one.</summary>
    [Theory]
    [InlineData("/target/a%2Fb/c%20d?e=f%2Fg", "/target/a%2Fb/c d?e=f%2Fg")]
    [InlineData("/target/a%2fb", "/target/a%2fb")]
    [InlineData("/target/%C3%A4", "/target/ä")]
    [InlineData("/target/a/%2E%2E/b", "/target/b")]
    [InlineData("/target/a?", "/target/a?")]
    public async Task The_path_and_query_arrive_as_over_a_socket(string sent, string seen)
    {
        Assert.Equal(seen, await _client.GetStringAsync(sent));
        await using var socketed = Part(InternalEndpoint.Parse("http://127.0.0.1:0"));
        socketed.MapGet("/target/{**path}", (HttpContext context) => context.Request.Path.Value + context.Request.QueryString.Value);
        await socketed.StartAsync();
        using var client = new HttpClient { BaseAddress = new(socketed.Urls.Single()) };
        Assert.Equal(seen, await client.GetStringAsync(sent));
    }

    [Fact]
    public async Task The_part_sees_nothing_of_what_the_other_is_doing()
    {
        using var activity = new System.Diagnostics.Activity("of the caller").Start();
        Assert.Equal("none", await _client.GetStringAsync("/activity"));
        Assert.Same(activity, System.Diagnostics.Activity.Current);
    }

    [Fact]
    public async Task A_body_over_the_bound_is_refused_while_it_is_read()
    {
        await using var part = Part(InternalEndpoint.Parse("process:bounded"), maxBody: 100);
        part.MapPost("/read", async (HttpContext context) =>
        {
            try
            {
                await context.Request.Body.CopyToAsync(Stream.Null);
            }
            catch (BadHttpRequestException e)
            {
                context.Response.StatusCode = e.StatusCode;
            }
        });
        await part.StartAsync();
        using var client = InternalEndpoint.Parse("process:bounded").CreateClient(TimeSpan.FromSeconds(20));
        Assert.Equal(HttpStatusCode.OK, (await client.PostAsync("/read", new ByteArrayContent(new byte[100]))).StatusCode);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await client.PostAsync("/read", new ByteArrayContent(new byte[101]))).StatusCode);
        // Without a length it is counted.
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await client.PostAsync("/read", new StreamContent(new Unsized(new byte[300_000])))).StatusCode);
    }

    private sealed class Unsized(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }

    [Fact]
    public async Task A_body_that_nobody_reads_is_taken_all_the_same() =>
        Assert.Equal(HttpStatusCode.Forbidden, (await _client.PostAsync("/refused", new ByteArrayContent(new byte[5_000_000]))).StatusCode);

    [Fact]
    public async Task A_client_that_leaves_before_the_answer_begins_is_noticed()
    {
        using var leaving = new CancellationTokenSource();
        var asking = _client.GetAsync("/waiting", leaving.Token);
        await _waiting.Task;
        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        await _aborted.Task.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task A_body_that_breaks_off_is_noticed_on_both_sides()
    {
        var failure = await Assert.ThrowsAsync<HttpRequestException>(() => _client.PostAsync("/half", new StreamContent(new Failing())));
        Assert.IsType<IOException>(failure.GetBaseException());
        await _aborted.Task.WaitAsync(TimeSpan.FromSeconds(20));
    }

    private sealed class Failing : MemoryStream
    {
        public override bool CanSeek => false;

        public override Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken) => CopyAsync(destination);

        private static async Task CopyAsync(Stream destination)
        {
            await destination.WriteAsync(new byte[100]);
            throw new IOException("hung up");
        }
    }

    [Fact]
    public async Task A_part_that_is_stopped_breaks_off_what_it_is_doing()
    {
        var asking = _client.GetAsync("/waiting");
        await _waiting.Task;
        await ((Microsoft.AspNetCore.Hosting.Server.IServer)_part.Services.GetRequiredService(typeof(Microsoft.AspNetCore.Hosting.Server.IServer))).StopAsync(new(canceled: true));
        await Assert.ThrowsAsync<HttpRequestException>(() => asking);
        await _aborted.Task.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(HttpRequestError.ConnectionError, (await Assert.ThrowsAsync<HttpRequestException>(() => _client.GetAsync("/name"))).HttpRequestError);
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

    private static WebApplication Part(InternalEndpoint endpoint, int maxBody = 10_000_000)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        // As operators have it: Kestrel then says of each connection where it came to.
        builder.Services.AddMetrics();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = maxBody);
        builder.ListenInternally(endpoint);
        return builder.Build();
    }
}
