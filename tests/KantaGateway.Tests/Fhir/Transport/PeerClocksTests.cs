using KantaGateway.Fhir.Transport;
using KantaGateway.Tests.Repository;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Fhir.Transport;

/// <summary>Parts whose clocks do not go together do not work together.</summary>
public sealed class PeerClocksTests
{
    private readonly FakeTimeProvider _time = new(new(2026, 11, 29, 12, 0, 0, TimeSpan.Zero));
    private bool _isStopped;

    [Theory]
    [InlineData(0, true)]
    [InlineData(1.9, true)]
    [InlineData(-1.9, true)]
    [InlineData(2.1, false)]
    [InlineData(-2.1, false)]
    [InlineData(3_600, false)]
    public async Task A_part_starts_beside_clocks_that_are_two_seconds_off_at_most(double seconds, bool holds)
    {
        using var clocks = Clocks(new("Keys", _ => Task.FromResult(_time.GetUtcNow())), new("Repository", _ => Task.FromResult(_time.GetUtcNow().AddSeconds(seconds))));
        var refusal = await Record.ExceptionAsync(() => clocks.StartAsync(CancellationToken.None));
        Assert.Equal(holds, refusal is null);
        if (refusal is not null)
            Assert.StartsWith("Gateway options: Repository: its clock goes ", Assert.IsType<InvalidOperationException>(refusal).Message);
    }

    [Fact]
    public async Task The_way_to_a_slow_part_is_no_difference_of_clocks()
    {
        using var clocks = Clocks(new PeerClock("Keys", _ =>
        {
            _time.Advance(TimeSpan.FromSeconds(4));
            var its = _time.GetUtcNow();
            _time.Advance(TimeSpan.FromSeconds(4));
            return Task.FromResult(its);
        }));
        await clocks.StartAsync(CancellationToken.None);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(60, true)]
    public async Task A_part_that_was_silent_is_asked_again_and_stops_this_one_where_it_is_off(double seconds, bool stops)
    {
        var asked = 0;
        using var clocks = Clocks(new PeerClock("Keys", _ => ++asked < 3 ? throw new HttpRequestException() : Task.FromResult(_time.GetUtcNow().AddSeconds(seconds))));
        await clocks.StartAsync(CancellationToken.None);
        while (!clocks.ExecuteTask!.IsCompleted)
        {
            _time.Advance(TimeSpan.FromSeconds(5));
            await Task.Yield();
        }
        await clocks.ExecuteTask;
        // Each comparison reads twice; off is who is so three times.
        Assert.Equal(stops ? 2 + 3 * 2 : 2 + 2, asked);
        Assert.Equal(stops, _isStopped);
    }

    [Fact]
    public async Task A_clock_that_is_being_set_stops_nobody()
    {
        var asked = 0;
        using var clocks = Clocks(new PeerClock("Keys", _ => ++asked < 2 ? throw new HttpRequestException() : Task.FromResult(_time.GetUtcNow().AddSeconds(asked < 6 ? 3 : 0))));
        await clocks.StartAsync(CancellationToken.None);
        while (!clocks.ExecuteTask!.IsCompleted)
        {
            _time.Advance(TimeSpan.FromSeconds(5));
            await Task.Yield();
        }
        await clocks.ExecuteTask;
        Assert.False(_isStopped);
    }

    [Fact]
    public async Task An_internal_part_says_what_time_it_is()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.ListenInternally(InternalEndpoint.Parse("process:clock"));
        await using var app = builder.Build();
        app.MapLive();
        await app.StartAsync();
        var before = DateTimeOffset.UtcNow.AddMilliseconds(-1);
        var its = await PeerClock.Of("Keys", "process:clock").ReadAsync(CancellationToken.None);
        Assert.InRange(its, before, DateTimeOffset.UtcNow);
    }

    [Fact]
    public async Task A_repository_does_not_start_beside_a_clock_that_is_off()
    {
        var off = new PeerClock("Postgres", static _ => Task.FromResult(DateTimeOffset.UtcNow.AddSeconds(3)));
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => RepositoryWorld.StartAsync(configure: builder => builder.Services.AddSingleton(off)));
        Assert.StartsWith("Repository options: Postgres: its clock goes ", refusal.Message);
    }

    [Fact]
    public async Task A_repository_asks_its_key_service_and_its_database()
    {
        PeerClock[] asked = [];
        await using var world = await RepositoryWorld.StartAsync(await PostgresServer.NewDatabaseAsync(), builder => asked = [.. builder.Services.Where(static one => one.ServiceType == typeof(PeerClock)).Select(static one => (PeerClock)one.ImplementationInstance!)]);
        Assert.Equal(["Keys", "Postgres"], asked.Select(static peer => peer.Setting).Order());
        foreach (var peer in asked)
            Assert.InRange(await peer.ReadAsync(default), DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
    }

    [Theory]
    [InlineData("*", true)]
    [InlineData("0.0.0.0", true)]
    [InlineData("::", true)]
    [InlineData("192.0.2.7", true)]
    [InlineData("2001:db8::7", true)]
    [InlineData("localhost", false)]
    [InlineData("127.0.0.1", false)]
    [InlineData("::1", false)]
    [InlineData("10.20.0.7", false)]
    [InlineData("172.31.0.7", false)]
    [InlineData("fd00::7", false)]
    public void A_listener_is_public_where_anybody_might_reach_it(string listener, bool isPublic) => Assert.Equal(isPublic, OptionsCheck.IsPublic(listener));

    private PeerClocks Clocks(params PeerClock[] peers) => new("Gateway", peers, _time, () => _isStopped = true, NullLogger<PeerClocks>.Instance);
}
