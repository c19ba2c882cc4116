using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Validation;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Scenarios;

/// <summary>A Binary's content passes through the gateway and the repository without being held by either.</summary>
public sealed class ContentMemoryTests
{
    private const int Size = 100_000_000, Allowed = 30_000_000;

    [Fact]
    public async Task A_hundred_megabytes_in_and_out_raise_the_working_set_by_less_than_thirty()
    {
        using var folder = new TemporaryFolder();
        await using var host = await RunningHost.StartAsync(folder.File("data"), folder.File("logs/host.log"));
        using var aurora = ClinicClient.Open(host.Folder, "aurora", host.Target);
        var patient = (await aurora.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(host.Folder.Citizens[0].IdentityCode)))).Stored!.Value.Id;
        // What a start costs is there before, the specification that is read in the background above all: a claimed profile waits for it.
        var claimed = HouseInMemory.Patient(host.Folder.Citizens[0].IdentityCode);
        claimed["meta"] = new JsonObject { ["profile"] = new JsonArray(KnownProfiles.All.Single(p => p.Type == "Patient").Url) };
        Assert.Equal(200, (await aurora.System.SendAsync(HttpMethod.Post, "Patient/$validate", HouseInMemory.Json(claimed))).Status);
        // And what the path itself costs: code that is compiled, connections, pooled buffers.
        for (var i = 0; i < 5; i++)
            await PassAsync(aurora, patient, 5_000_000);

        var before = host.WorkingSet;
        using var done = new CancellationTokenSource();
        var watching = PeakAsync(host, done.Token);
        await PassAsync(aurora, patient, Size);
        await done.CancelAsync();
        var raised = await watching - before;
        Assert.True(raised < Allowed, $"The working set rose by {raised / 1_000_000} MB, from {before / 1_000_000} MB.");
    }

    private static async Task PassAsync(ClinicClient aurora, string patient, int size)
    {
        var sent = RandomNumberGenerator.GetBytes(size);
        var created = await aurora.System.SendAsync(HttpMethod.Post, "Binary", sent, [("X-Security-Context", "Patient/" + patient)], "image/tiff");
        Assert.True(created.Status == 201, created.ToString());
        var read = await aurora.System.SendAsync(HttpMethod.Get, "Binary/" + created.Stored!.Value.Id, headers: [("Accept", "*/*")]);
        Assert.Equal(SHA256.HashData(sent), SHA256.HashData(read.Body));
    }

    private static async Task<long> PeakAsync(RunningHost host, CancellationToken done)
    {
        var peak = 0L;
        using var often = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        do
            peak = Math.Max(peak, host.WorkingSet);
        while (!done.IsCancellationRequested && await often.WaitForNextTickAsync(CancellationToken.None));
        return peak;
    }
}
