using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Scenarios;

/// <summary>
/// Laws 1, 7 and 8 across a kill -9 of everything at once: what was acknowledged is there, once; what was disclosed is
/// in the log; the log is whole and continues what it signed before.
/// </summary>
public sealed class CrashTests(ITestOutputHelper output)
{
    private const int Rounds = 10;
    private const int Requests = 1000;
    private const int Patients = 8;

    // The kill comes when this many requests have been answered: in the middle, somewhere else each time.
    private const int EarliestKill = 150, LatestKill = 750;

    [Fact]
    public async Task Nothing_acknowledged_or_disclosed_is_lost_when_everything_is_killed_ten_times_in_the_middle_of_a_thousand_requests()
    {
        using var folder = new TemporaryFolder();
        var (data, log) = (folder.File("data"), folder.File("logs/host.log"));
        var port = RunningHost.FreePorts();
        var story = new Story();
        for (var round = 1; round <= Rounds; round++)
        {
            await using var host = await RunningHost.StartAsync(data, log, port);
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target, version: HttpVersion.Version20);
            if (round == 1)
                await RegisterAsync(clinic, story);
            await CheckAsync(clinic, data, story);

            var killAt = RandomNumberGenerator.GetInt32(EarliestKill, LatestKill);
            var before = (story.Writes.Count, story.Disclosures.Count);
            var failed = await StormAsync(clinic, host, story, killAt);
            output.WriteLine($"round {round}: killed after {killAt} answers; {story.Writes.Count - before.Item1} writes acknowledged, {story.Disclosures.Count - before.Item2} disclosures received, {failed} cut off");
            Assert.True(failed > 0, "the kill came after the last answer: nothing was in the middle");
        }
        await using (var host = await RunningHost.StartAsync(data, log, port))
        {
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target, version: HttpVersion.Version20);
            await CheckAsync(clinic, data, story);
            await OnceAsync(clinic, story);
            await host.StopAsync();
        }
        Audited(data, story);
    }

    private static async Task RegisterAsync(ClinicClient clinic, Story story)
    {
        for (var i = 0; i < Patients; i++)
            story.Patients.Add(await ArchivedVisit.RegisterAsync(clinic.System, FictionalIdentityCode.Of($"crash {Guid.NewGuid()}").Reveal(), "Kaatumis Koe"));
        // Something to disclose from the first round on.
        foreach (var patient in story.Patients)
            await WriteAsync(clinic, story, patient);
    }

    /// <summary>A thousand requests at once, until the host is killed under them. Returns how many were cut off.</summary>
    private static async Task<int> StormAsync(ClinicClient clinic, RunningHost host, Story story, int killAt)
    {
        var answered = 0;
        // By whoever gets that answer, at once: behind the continuations of the others it would come too late.
        Task? killed = null;
        var known = story.Writes.Values.ToArray();
        var requests = Enumerable.Range(0, Requests).Select(async i =>
        {
            try
            {
                if (i % 5 < 3)
                    await WriteAsync(clinic, story, story.Patients[i % Patients]);
                else
                    await DiscloseAsync(clinic, story, known[i % known.Length].Id);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
            {
                return 1; // cut off: neither acknowledged nor disclosed
            }
            if (Interlocked.Increment(ref answered) == killAt)
                killed = host.KillAsync();
            return 0;
        }).ToArray();
        var failed = (await Task.WhenAll(requests)).Sum();
        await (killed ?? host.KillAsync());
        return failed;
    }

    private static async Task WriteAsync(ClinicClient clinic, Story story, string patient)
    {
        var identifier = $"urn:uuid:{Guid.NewGuid()}";
        var request = Guid.NewGuid().ToString();
        story.Attempted.Add(identifier);
        var body = Some.Bytes(Some.Observation($"Patient/{patient}", identifier: identifier));
        var reply = await clinic.System.SendAsync(HttpMethod.Post, "Observation", body, [("X-Request-Id", request)]);
        Assert.Equal(201, reply.Status);
        story.Writes[identifier] = new(reply.Stored!.Value.Id, reply.ETag!, request, patient);
    }

    private static async Task DiscloseAsync(ClinicClient clinic, Story story, string id)
    {
        var request = Guid.NewGuid().ToString();
        var reply = await clinic.System.SendAsync(HttpMethod.Get, $"Observation/{id}", headers: [("X-Request-Id", request)]);
        Assert.Equal(200, reply.Status);
        story.Disclosures[request] = SHA256.HashData(reply.Body);
    }

    /// <summary>After a restart: the log first, as the crash left it; then every new acknowledgement through the front door.</summary>
    private static async Task CheckAsync(ClinicClient clinic, string data, Story story)
    {
        Audited(data, story);
        var unread = story.Writes.Where(w => story.ReadBack.TryAdd(w.Key, true)).ToList();
        await Parallel.ForEachAsync(unread, new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (write, _) =>
        {
            var (identifier, acknowledged) = write;
            var reply = await clinic.System.ReadAsync("Observation", acknowledged.Id, CancellationToken.None);
            Assert.Equal(200, reply.Status);
            Assert.Equal(acknowledged.ETag, reply.ETag);
            Assert.Equal(identifier, reply.Json.GetProperty("identifier")[0].GetProperty("value").GetString());
        });
        // From here on the log may not fall behind what it has signed.
        var checkpoint = await clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint");
        Assert.Equal(200, checkpoint.Status);
        story.Checkpoint = checkpoint.Text;
    }

    private static void Audited(string data, Story story)
    {
        using var audit = new AuditOnDisk(data);
        var verification = audit.Verify(story.Checkpoint);
        Assert.Equal([], verification.Faults);
        audit.Refresh();
        Assert.Equal([], story.Disclosures.Where(d => !audit.Discloses(d.Key, d.Value)).Select(d => $"a disclosure without its entry ({audit.Of(d.Key).Count} others)"));
        Assert.Equal([], story.Writes.Values.Where(w => audit.Of(w.Request).Count == 0).Select(_ => "a write without its entry"));
    }

    /// <summary>Every acknowledged write stands once in the record, and no attempted one twice.</summary>
    private static async Task OnceAsync(ClinicClient clinic, Story story)
    {
        var counts = new Dictionary<string, int>();
        var attempted = story.Attempted.ToHashSet();
        foreach (var patient in story.Patients)
        {
            var page = await clinic.System.SearchAsync("Observation", $"patient={patient}&_count=200");
            while (true)
            {
                Assert.Equal(200, page.Status);
                foreach (var entry in page.Json.TryGetProperty("entry", out var entries) ? entries.EnumerateArray().ToArray() : [])
                {
                    var identifier = entry.GetProperty("resource").GetProperty("identifier")[0].GetProperty("value").GetString()!;
                    counts[identifier] = counts.GetValueOrDefault(identifier) + 1;
                }
                if (Appearance.Next(page) is not { } next)
                    break;
                page = await clinic.System.SendAsync(HttpMethod.Get, next);
            }
        }
        Assert.Equal([], counts.Where(c => c.Value != 1).Select(c => $"stored {c.Value} times"));
        Assert.Equal([], story.Writes.Keys.Where(w => !counts.ContainsKey(w)).Select(_ => "acknowledged and not found"));
        Assert.Equal([], counts.Keys.Where(c => !attempted.Contains(c)).Select(_ => "found and never sent"));
    }

    private sealed record Acknowledged(string Id, string ETag, string Request, string Patient);

    private sealed class Story
    {
        public List<string> Patients { get; } = [];
        public ConcurrentBag<string> Attempted { get; } = [];
        public ConcurrentDictionary<string, Acknowledged> Writes { get; } = new();
        public ConcurrentDictionary<string, byte[]> Disclosures { get; } = new();
        public ConcurrentDictionary<string, bool> ReadBack { get; } = new();
        public string? Checkpoint { get; set; }
    }
}
