using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;
using Xunit.Sdk;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Whoever opens more people than its budget allows is stopped at the key service, and is told so at the edge (law 5).</summary>
public sealed class KeyBudgetTests : IAsyncLifetime
{
    private const int Most = 3;

    private readonly string _data = Directory.CreateTempSubdirectory("kanta-budget-").FullName;
    private RunningHost _host = null!;

    public async Task InitializeAsync() => _host = await StartAsync();

    public async Task DisposeAsync()
    {
        await _host.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    private Task<RunningHost> StartAsync() => RunningHost.StartAsync(_data, Path.Combine(_data, "host.log"), further: ["--people", $"{Most}"]);

    [Fact]
    public async Task A_client_opens_nobody_new_past_its_budget_and_goes_on_with_those_it_has_opened_after_a_restart_too()
    {
        var window = Window();
        try
        {
            await SpendAsync(0);
        }
        catch (XunitException) when (Window() != window)
        {
            // The window ended on the way, and with it what was spent.
            await SpendAsync(Most + 2);
        }
    }

    private static long Window() => DateTimeOffset.UtcNow.ToUnixTimeSeconds() / 3_600;

    private async Task SpendAsync(int first)
    {
        using (var clinic = ClinicClient.Open(_host.Folder, "aurora", _host.Target))
        {
            var known = new List<string>();
            for (var i = 0; i < Most; i++)
                known.Add(await ArchivedVisit.RegisterAsync(clinic.System, Code(first + i), "Testi Henkilö"));
            await AssertWaitsAsync(clinic.System, Code(first + Most));
            foreach (var patient in known)
                Assert.Equal(200, (await clinic.System.SearchAsync("Observation", $"patient={patient}")).Status);
        }
        // Another client has a budget of its own.
        using (var other = ClinicClient.Open(_host.Folder, "revontuli", _host.Target))
            await ArchivedVisit.RegisterAsync(other.System, Code(first + Most), "Testi Henkilö");

        await _host.KillAsync();
        await _host.DisposeAsync();
        _host = await StartAsync();
        using var again = ClinicClient.Open(_host.Folder, "aurora", _host.Target);
        await AssertWaitsAsync(again.System, Code(first + Most + 1));
        await ArchivedVisit.RegisterAsync(again.System, Code(first), "Testi Henkilö");
    }

    private static string Code(int person) => FictionalIdentityCode.Of($"budget/{person}").Reveal();

    private static async Task AssertWaitsAsync(FhirSession system, string code)
    {
        var reply = await system.CreateAsync("Patient", Some.Patient(code, "Testi Henkilö"));
        Assert.Equal(429, reply.Status);
        Assert.Contains("\"throttled\"", reply.Text, StringComparison.Ordinal);
        Assert.Contains("Retry-After", reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(code, reply.Text, StringComparison.Ordinal);
        Assert.InRange(int.Parse(reply.Headers["Retry-After"], System.Globalization.CultureInfo.InvariantCulture), 1, 3_600);
    }
}
