using System.Diagnostics;
using System.Globalization;
using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Laws.Hammer;

/// <summary>
/// Law 3 with several gateways and repositories over one database, bad lines and parts that die: no request that begins after the answer to a denial
/// receives what it denies, and a permission works on the next request.
/// </summary>
/// <remarks>
/// <c>KANTA_HAMMER_ROUNDS</c>, <c>KANTA_HAMMER_KILLS</c> and <c>KANTA_HAMMER_SEED</c> make it a campaign, see <c>infra/hammer.sh</c>; <c>KANTA_HAMMER_POSTGRES</c>, a superuser's connection string, and
/// <c>KANTA_HAMMER_REDIS</c> have it use those, see <c>infra/scale.sh</c>.
/// </remarks>
public sealed class DenialHammerTests(ITestOutputHelper output)
{
    private static readonly int Seed = Setting("KANTA_HAMMER_SEED") ?? 20261128;

    [Fact]
    public async Task Denials_and_permissions_bind_at_once_on_two_gateways_over_bad_lines_while_one_is_stopped_and_started()
    {
        var rounds = Setting("KANTA_HAMMER_ROUNDS") ?? 30;
        var stores = await StoresAsync();
        await using var house = await HouseInMemory.OpenAsync(repositories: 2, stores: stores is { } given ? (given.Postgres, given.Redis) : null, audit: stores?.Audit);
        string[] lines = [$"process:{house.Folder.Path}/line-1", $"process:{house.Folder.Path}/line-2"];
        // Each gateway has a repository of its own, so that both serve this one person.
        await using var first = await Middleman.StartAsync(lines[0], house.Repositories[0], Seed);
        await using var second = await Middleman.StartAsync(lines[1], house.Repositories[1], Seed + 1);
        int[] ports = [RunningHost.FreePorts(), RunningHost.FreePorts()];
        WebApplication?[] running = [await house.StartFurtherGatewayAsync(ports[0], lines[0]), await house.StartFurtherGatewayAsync(ports[1], lines[1])];
        try
        {
            var record = await HammeredRecord.WriteAsync(house.Aurora, house.Revontuli, house.Folder.Citizens[1].IdentityCode);
            var gateways = ports.Select((port, i) => Gateway($"gateway {i + 1}", house.Folder, port)).ToArray();
            // The person's own road goes through the gateway with the good line too.
            var road = new FhirRoad(() => [house.Gateway, .. running.OfType<WebApplication>().Select(g => g.Services)], () => Task.WhenAll(first.SettledAsync(), second.SettledAsync()), house.CitizenOf(record.Patient), HouseInMemory.DeskOfRevontuli, record.Patient, Seed);
            await road.InformAsync();
            var anvil = new Anvil(record, gateways, Seed);
            var (restart, restarts) = (Task.CompletedTask, 0);
            await anvil.StrikeAsync(road, rounds, async round =>
            {
                if (round % 10 != 5)
                    return;
                await restart;
                restart = RestartAsync(restarts++ % 2);
            });
            await restart;
            foreach (var gateway in gateways)
                gateway.Client.Dispose();
            Judge(anvil, [$"seed {Seed}: {first.Broken + second.Broken} connections to the repository broken, {first.Delayed + second.Delayed} delayed, {restarts} gateways stopped and started, {road.Repeated} declarations sent again, {road.AtDesk} recorded at a desk"]);
            Assert.True(road.AtDesk > 0, "No desk has recorded anything.");
            Assert.True(first.Broken > 0 && second.Delayed > 0 && restarts > 0, "Nothing went wrong, so the test showed little.");
            Assert.Equal([], running.SelectMany(g => g!.Services.GetRequiredService<AuditLog>().Verify().Faults));

            async Task RestartAsync(int which)
            {
                gateways[which].IsDown();
                // Without grace: what is under way is cut off.
                var stopped = running[which]!;
                await stopped.StopAsync(new CancellationToken(canceled: true));
                await stopped.DisposeAsync();
                // Where the next one does not start, that is the fault, and not that this one is gone already.
                running[which] = null;
                await IsBackAsync(gateways[which], async () => running[which] = await house.StartFurtherGatewayAsync(ports[which], lines[which]));
            }
        }
        finally
        {
            foreach (var gateway in running)
                if (gateway is not null)
                    await gateway.DisposeAsync();
        }
    }

    [Fact]
    public async Task Denials_and_permissions_bind_at_once_while_processes_are_killed()
    {
        var kills = Setting("KANTA_HAMMER_KILLS") ?? 1;
        const int RoundsPerKill = 8;
        using var folder = new TemporaryFolder();
        var stores = await StoresAsync();
        int[] ports = [RunningHost.FreePorts(), RunningHost.FreePorts()];
        var running = new RunningHost?[2];
        // Where there is a database for two: a second repository, in a process of its own.
        using var further = stores is null ? null : new FurtherRepository(folder.File("data/repository/repository-2.json"), folder.File("logs/repository-2.log"));
        try
        {
            running[0] = await StartAsync(0);
            running[1] = await StartAsync(1);
            further?.Start();
            var dev = running[0]!.Folder;
            var gateways = ports.Select((port, i) => Gateway(i == 0 ? "the host" : "the other gateway", dev, port)).ToArray();
            using var archivist = ClinicClient.Open(dev, "aurora", running[0]!.Target);
            var record = await HammeredRecord.WriteAsync(archivist, gateways[0].Client, dev.Citizens[1].IdentityCode);
            var road = new PortalRoad(async () =>
            {
                await gateways[0].UpAsync(default);
                var browser = new CitizenClient(dev, new Uri($"https://localhost:{ports[0]}"), 1);
                await browser.SignInAsync();
                await browser.BeInformedAsync();
                return browser;
            });
            var anvil = new Anvil(record, gateways, Seed);
            var (kill, killed) = (Task.CompletedTask, new int[2]);
            await anvil.StrikeAsync(road, kills * RoundsPerKill, async round =>
            {
                if (round % RoundsPerKill != RoundsPerKill / 2)
                    return;
                await kill;
                // In turns, the second one first.
                kill = further is not null && further.Killed < killed.Min() ? further.KillAsync() : KillAsync(killed[1] <= killed[0] ? 1 : 0);
            });
            await kill;
            foreach (var gateway in gateways)
                gateway.Client.Dispose();
            var others = further is null ? "" : $"the other repository {further.Killed} times, ";
            Judge(anvil, [$"seed {Seed}: the host with the repository killed {killed[0]} times, the other gateway {killed[1]} times, {others}{road.Repeated} declarations sent again"]);
            if (stores is { } shared)
                Assert.Equal([], PostgresAudit.Verify(shared.Audit, dev.AuditLog).Faults);

            async Task KillAsync(int which)
            {
                killed[which]++;
                gateways[which].IsDown();
                await running[which]!.KillAsync();
                await running[which]!.DisposeAsync();
                running[which] = null;
                await IsBackAsync(gateways[which], async () => running[which] = await StartAsync(which));
            }
        }
        finally
        {
            foreach (var host in running.Reverse())
                if (host is not null)
                    await host.DisposeAsync();
        }

        Task<RunningHost> StartAsync(int which) => RunningHost.StartAsync(folder.File("data"), folder.File($"logs/{which}.log"), ports[which],
            stores is { } given ? new Dictionary<string, string> { ["KANTA_POSTGRES"] = given.Postgres, ["KANTA_AUDIT_POSTGRES"] = given.Audit, ["KANTA_REDIS"] = given.Redis } : null,
            [.. which == 0 ? (string[])["--sockets"] : ["--join", ports[0].ToString(CultureInfo.InvariantCulture)], "--repositories", stores is null ? "1" : "2"]);
    }

    private static async Task IsBackAsync(HammeredGateway gateway, Func<Task> start)
    {
        try
        {
            await start();
        }
        catch (Exception why)
        {
            gateway.IsLost(why);
            throw;
        }
        gateway.IsUp();
    }

    /// <summary>With one audit log of all gateways. Null: files, and memory.</summary>
    private static async Task<(string Postgres, string Redis, string Audit)?> StoresAsync() =>
        Environment.GetEnvironmentVariable("KANTA_HAMMER_POSTGRES") is { Length: > 0 } server && Environment.GetEnvironmentVariable("KANTA_HAMMER_REDIS") is { Length: > 0 } redis
            ? ((await PostgresServer.NewDatabaseAsync(server)).Administrator, redis, (await PostgresServer.NewDatabaseAsync(server)).Administrator) : null;

    /// <summary>The product's own program. A declaration that it was at when a gateway died comes to its end long before that gateway is back, and the person looks again then.</summary>
    private sealed class FurtherRepository(string options, string log) : IDisposable
    {
        private Process? _process;

        public int Killed { get; private set; }

        public void Start() => _process = Process.Start(new ProcessStartInfo("/bin/sh")
        {
            ArgumentList = { "-c", "exec dotnet \"$1\" \"$2\" >>\"$3\" 2>&1", "sh", Solution.Output("fhir-adapters/KantaGateway.Repository", "KantaGateway.Repository.dll"), options, log },
        });

        public async Task KillAsync()
        {
            Killed++;
            _process!.Kill();
            await _process.WaitForExitAsync();
            Start();
        }

        public void Dispose()
        {
            _process?.Kill();
            _process?.WaitForExit();
            _process?.Dispose();
        }
    }

    private void Judge(Anvil anvil, IEnumerable<string> faults)
    {
        string[] report = [.. faults, .. anvil.Report()];
        foreach (var line in report)
            output.WriteLine(line);
        if (Environment.GetEnvironmentVariable("KANTA_HAMMER_REPORT") is { Length: > 0 } file)
            File.AppendAllLines(file, report);
        Assert.Null(anvil.Explain());
        foreach (var (road, (shown, _, _)) in anvil.Roads)
            Assert.True(shown > 0, $"No {road} showed anything, so the test showed nothing of it.");
        foreach (var road in (string[])["read", "read of the second", "search", "everything", "history", "history of the type"])
            Assert.True(anvil.Roads[road].Hidden > 0, $"No {road} found anything hidden.");
        Assert.True(anvil.Roads["open page link"].Shown > 0);
        // What is slow cannot be judged by: the requests went on while the declarations were under way.
        Assert.Contains(anvil.Writes, w => anvil.Reads.Any(r => r.Invoked < w.Returned && w.Invoked < r.Returned));
    }

    private static HammeredGateway Gateway(string name, DevFolder folder, int port)
    {
        var client = ClinicClient.Open(folder, "revontuli", new Uri($"https://localhost:{port}"));
        return new(name, client, client.Professional(folder.ProfessionalOf("revontuli").Id));
    }

    private static int? Setting(string name) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;
}
