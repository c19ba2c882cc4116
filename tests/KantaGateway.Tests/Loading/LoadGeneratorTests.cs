using KantaGateway.Harness.Generating;
using KantaGateway.Harness.Simulation;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Loading;

/// <summary>The load generator sends what it was told to, as often as its seed says.</summary>
public sealed class LoadGeneratorTests
{
    [Fact]
    public async Task An_open_load_comes_by_its_seed_and_a_closed_one_by_its_number_and_every_answer_is_counted()
    {
        using var folder = new TemporaryFolder();
        var port = RunningHost.FreePorts();
        await using var standIn = await StandIn.StartAsync(folder.Path, port);
        var requests = LoadGenerator.Pack([new("GET", "/health/live", []), new("GET", "/nothing", [])]);
        Load Of(double rate, long most, int seed) => new("", 0, port, "Host: localhost\r\n", folder.File("clinics/vendor"), folder.File("ca.pem"), Connections: 4, Seconds: rate > 0 ? 0.4 : 30, MaxRequests: most, Rate: rate, Ramp: 0.1, Seed: seed);

        var closed = await LoadGenerator.RunAsync(Of(0, 40, 1), CancellationToken.None, requests);
        Assert.Equal((40L, 20L, 40L), (closed.Requests, closed.Failures, closed.Histogram!.TotalCount));
        Assert.StartsWith("GET /nothing was answered 404 (20). The first: ", closed.FirstFailure, StringComparison.Ordinal);
        Assert.InRange(closed.P50, 0.001, closed.P95);
        Assert.InRange(closed.P99, closed.P95, closed.Max);

        var open = await LoadGenerator.RunAsync(Of(200, 0, 1), CancellationToken.None, requests);
        Assert.Equal(open.Requests, (await LoadGenerator.RunAsync(Of(200, 0, 1), CancellationToken.None, requests)).Requests);
        // 200 a second for 0.4 s, of which the first 0.1 s grows to it: 70 are planned on average.
        Assert.InRange(open.Requests, 50, 90);

        // All come within 10 ms, to one connection: the last has waited for nearly all the others, and its time says so.
        var late = await LoadGenerator.RunAsync(Of(200_000, 0, 1) with { Connections = 1, Seconds = 0.01, Ramp = 0 }, CancellationToken.None, requests);
        Assert.True(late.Max > late.Seconds * 1000 / 2, $"{late.Max} ms of {late.Seconds} s");
    }

    [Fact]
    public void The_national_profile_has_the_nations_proportions()
    {
        Assert.Equal(1, NationalKind.All.Sum(k => k.Share), 9);
        Assert.InRange(NationalKind.All.Sum(k => k.PerSecond), 34, 36);
        Assert.Equal([23.1, 4.6, 4.2, 3.1], NationalKind.All.Select(k => Math.Round(k.PerSecond, 1)));
    }
}
