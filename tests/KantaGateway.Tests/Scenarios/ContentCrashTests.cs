using System.IO.Pipelines;
using KantaGateway.Harness.Clients;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Laws;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Law 7 for contents: an upload that a kill -9 cuts off has never been, and does not stand in the way of the next.</summary>
public sealed class ContentCrashTests
{
    /// <summary>More than all buffers on the way hold: when it is gone, parts of it are on disk.</summary>
    private const int Half = 20_000_000;

    [Fact]
    public async Task An_upload_in_the_middle_of_which_everything_is_killed_leaves_nothing_to_be_seen()
    {
        using var folder = new TemporaryFolder();
        var (data, log) = (folder.File("data"), folder.File("logs/host.log"));
        var port = RunningHost.FreePorts();
        string patient, before;
        await using (var host = await RunningHost.StartAsync(data, log, port))
        {
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
            patient = (await clinic.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(host.Folder.Citizens[0].IdentityCode)))).Stored!.Value.Id;
            before = await HistoryAsync(clinic, patient);
            var line = new Pipe();
            using var content = new StreamContent(line.Reader.AsStream());
            content.Headers.ContentType = new("image/tiff");
            var sending = clinic.SendAsync(HttpMethod.Post, "Binary", await clinic.TokenAsync(), content, [("X-Security-Context", "Patient/" + patient)]);
            await line.Writer.WriteAsync(new byte[Half]);
            await host.KillAsync();
            await line.Writer.WriteAsync(new byte[Half]);
            await line.Writer.CompleteAsync();
            await Assert.ThrowsAnyAsync<HttpRequestException>(() => sending);
        }
        Assert.True(Parts(data) > 0, "The kill came before anything was stored.");

        await using (var host = await RunningHost.StartAsync(data, log, port))
        {
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
            Assert.Equal(before, await HistoryAsync(clinic, patient));
            var created = await clinic.System.SendAsync(HttpMethod.Post, "Binary", new byte[1_000_000], [("X-Security-Context", "Patient/" + patient)], "image/tiff");
            Assert.True(created.Status == 201, created.ToString());
            Assert.Equal(1_000_000, (await clinic.System.SendAsync(HttpMethod.Get, "Binary/" + created.Stored!.Value.Id, headers: [("Accept", "*/*")])).Body.Length);
            await host.StopAsync();
        }
        await using var store = new SqliteStore(Database(data));
        await store.SweepPartsAsync(Guid.CreateVersion7(DateTimeOffset.UtcNow.AddMinutes(1)), default);
        Assert.Equal(4, Parts(data));
    }

    private static async Task<string> HistoryAsync(ClinicClient clinic, string patient)
    {
        var history = (await clinic.System.SendAsync(HttpMethod.Get, $"_history?patient={patient}")).Json;
        return $"{history.GetProperty("total")}: {string.Join(' ', history.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("fullUrl")))}";
    }

    private static long Parts(string data)
    {
        using var database = new SqliteConnection($"Data Source={Database(data)};Pooling=False");
        database.Open();
        using var command = database.CreateCommand();
        command.CommandText = "SELECT count(*) FROM part";
        return (long)command.ExecuteScalar()!;
    }

    private static string Database(string data) => Path.Combine(data, "repository", "repository.db");
}
