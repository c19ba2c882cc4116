using System.Net;
using KantaGateway.Fhir.Transport;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Operations;

/// <summary>A part that is told to stop loses nobody's request: it says so, goes on serving, and leaves each connection with an answer.</summary>
public sealed class DrainingTests
{
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Who_is_told_to_stop_serves_until_its_time_is_over_and_ends_each_connection_with_an_answer()
    {
        await using var part = await Part.StartAsync();
        using var before = await part.AskAsync();
        Assert.Equal(("serving", (bool?)null), (await before.Content.ReadAsStringAsync(), before.Headers.ConnectionClose));

        var stopping = part.App.StopAsync();
        using var during = await part.AskAsync();
        Assert.Equal(("stopping", (bool?)true), (await during.Content.ReadAsStringAsync(), during.Headers.ConnectionClose));
        using var again = await part.AskAsync();
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.False(stopping.IsCompleted);

        part.Clock.Advance(Time);
        await stopping;
        await Assert.ThrowsAsync<HttpRequestException>(part.AskAsync);
    }

    [Fact]
    public async Task A_request_that_is_under_way_when_the_time_is_over_is_answered()
    {
        await using var part = await Part.StartAsync();
        var slow = part.AskAsync("/slow");
        await part.Arrived.Task;
        // The host breaks off what takes longer.
        Assert.Equal(Time + TimeSpan.FromSeconds(30), part.App.Services.GetRequiredService<IOptions<HostOptions>>().Value.ShutdownTimeout);
        var stopping = part.App.StopAsync();
        part.Clock.Advance(Time);
        Assert.False(stopping.IsCompleted);
        part.Goes.SetResult();
        using var answer = await slow;
        Assert.Equal("slow", await answer.Content.ReadAsStringAsync());
        await stopping;
    }

    /// <summary>What it would answer is not to be trusted: a clock that is off, say.</summary>
    [Fact]
    public async Task Who_stops_because_something_is_wrong_stops_at_once()
    {
        await using var part = await Part.StartAsync();
        var draining = part.App.Services.GetRequiredService<Draining>();
        draining.Skip();
        // The clock stands still: whoever waits by it waits for ever.
        Assert.True(draining.StoppingAsync(CancellationToken.None).IsCompleted);
        await part.App.StopAsync();
        await Assert.ThrowsAsync<HttpRequestException>(part.AskAsync);
    }

    [Theory]
    [InlineData(-1, false)]
    [InlineData(0, true)]
    [InlineData(120, true)]
    [InlineData(121, false)]
    public void The_time_has_bounds(int seconds, bool holds)
    {
        var check = new OptionsCheck();
        check.Draining("DrainSeconds", seconds);
        Assert.Equal(holds ? [] : ["DrainSeconds: 0 to 120"], check.Wrong);
    }

    /// <summary>A web application as a part is one, on a socket.</summary>
    private sealed class Part : IAsyncDisposable
    {
        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("kanta-");
        private readonly HttpClient _client;

        private Part()
        {
            var endpoint = InternalEndpoint.Parse($"unix:{_folder.FullName}/part.sock");
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.ListenInternally(endpoint);
            builder.Services.AddSingleton<TimeProvider>(Clock).AddDraining((int)Time.TotalSeconds);
            App = builder.Build();
            App.UseDraining();
            var draining = App.Services.GetRequiredService<Draining>();
            App.MapGet("/", () => draining.IsDraining ? "stopping" : "serving");
            App.MapGet("/slow", async () =>
            {
                Arrived.SetResult();
                await Goes.Task;
                return "slow";
            });
            _client = endpoint.CreateClient(TimeSpan.FromSeconds(30));
        }

        public FakeTimeProvider Clock { get; } = new();
        public WebApplication App { get; }
        public TaskCompletionSource Arrived { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TaskCompletionSource Goes { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public static async Task<Part> StartAsync()
        {
            var part = new Part();
            await part.App.StartAsync();
            return part;
        }

        public Task<HttpResponseMessage> AskAsync() => AskAsync("/");

        public Task<HttpResponseMessage> AskAsync(string path) => _client.GetAsync(new Uri(path, UriKind.Relative));

        public async ValueTask DisposeAsync()
        {
            _client.Dispose();
            await App.DisposeAsync();
            _folder.Delete(recursive: true);
        }
    }
}
