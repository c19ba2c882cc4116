using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Faults;

/// <summary>
/// A disk on which nothing more can be written, as a full one or one that was mounted read-only: under a host, where audit log, store, custody log and heads are, and under the store and the keys of
/// a gateway whose audit log has room. Nothing is acknowledged, nothing leaves unrecorded, and when there is room again all goes on by itself.
/// </summary>
public sealed class FullDiskTests
{
    private const int Patients = 4, Requests = 40;

    private readonly List<string> _patients = [];
    private readonly ConcurrentDictionary<string, string> _acknowledged = new();

    [Fact]
    public async Task While_nothing_can_be_written_nothing_is_acknowledged_or_disclosed_unrecorded_and_afterwards_everything_is_there()
    {
        using var folder = new TemporaryFolder();
        var (data, joinedPort) = (folder.File("data"), RunningHost.FreePorts());
        var (atHost, atJoined) = (new ConcurrentDictionary<string, byte[]>(), new ConcurrentDictionary<string, byte[]>());
        await using (var host = await RunningHost.StartAsync(data, folder.File("logs/host.log"), further: ["--sockets"]))
        await using (var joined = await RunningHost.StartAsync(data, folder.File("logs/joined.log"), joinedPort, further: ["--join", host.Port.ToString(CultureInfo.InvariantCulture)]))
        {
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
            using var another = ClinicClient.Open(host.Folder, "aurora", joined.Target);
            for (var i = 0; i < Patients; i++)
                _patients.Add(await ArchivedVisit.RegisterAsync(clinic.System, FictionalIdentityCode.Of($"full {Guid.NewGuid()}").Reveal(), "Levy"));
            Assert.Equal([201], await WriteAsync(clinic));
            Assert.Equal([201], await WriteAsync(another));
            for (var round = 0; round < 2; round++)
            {
                host.FillDisk();
                Assert.Equal([503], await WriteAsync(clinic));
                Assert.Equal([503], await ReadAsync(clinic, atHost));
                Assert.Equal([503], await WriteAsync(another));
                // What is open already can be read, and that can be recorded there; else it is opened by nobody.
                Assert.Empty((await ReadAsync(another, atJoined)).Except([200, 503]));
                host.FreeDisk();
                Assert.Equal([201], await WriteAsync(clinic));
                Assert.Equal([200], await ReadAsync(clinic, atHost));
                Assert.Equal([201], await WriteAsync(another));
                Assert.Equal([200], await ReadAsync(another, atJoined));
            }
            // Each is there, once, and nothing else is.
            var found = new List<string>();
            foreach (var patient in _patients)
            {
                var page = await clinic.System.SearchAsync("Observation", $"patient={patient}&_count=200");
                Assert.Null(Appearance.Next(page));
                found.AddRange(page.Json.GetProperty("entry").EnumerateArray().Select(entry => entry.GetProperty("resource").GetProperty("identifier")[0].GetProperty("value").GetString()!));
            }
            Assert.Equal(_acknowledged.Keys.Order(), found.Order());
            await joined.StopAsync();
            await host.StopAsync();
        }
        Recorded(new AuditOnDisk(data), atHost);
        Recorded(new AuditOnDisk(data, joinedPort), atJoined);
    }

    /// <returns>The statuses of many writes at once, each once.</returns>
    private async Task<IEnumerable<int>> WriteAsync(ClinicClient clinic) => (await Task.WhenAll(Enumerable.Range(0, Requests).Select(async i =>
    {
        var identifier = $"urn:uuid:{Guid.NewGuid()}";
        var reply = await clinic.System.CreateAsync("Observation", Some.Bytes(Some.Observation($"Patient/{_patients[i % Patients]}", identifier: identifier)));
        if (reply.Status == 201)
            _acknowledged[identifier] = reply.Stored!.Value.Id;
        return reply.Status;
    }))).Distinct();

    /// <inheritdoc cref="WriteAsync"/>
    private async Task<IEnumerable<int>> ReadAsync(ClinicClient clinic, ConcurrentDictionary<string, byte[]> disclosed)
    {
        var known = _acknowledged.Values.ToArray();
        return (await Task.WhenAll(Enumerable.Range(0, Requests).Select(async i =>
        {
            var request = Guid.NewGuid().ToString();
            var reply = await clinic.System.SendAsync(HttpMethod.Get, "Observation/" + known[i % known.Length], headers: [("X-Request-Id", request)]);
            if (reply.Status == 200)
                disclosed[request] = SHA256.HashData(reply.Body);
            else
                Assert.DoesNotContain("valueQuantity", reply.Text, StringComparison.Ordinal);
            return reply.Status;
        }))).Distinct();
    }

    private static void Recorded(AuditOnDisk log, ConcurrentDictionary<string, byte[]> disclosed)
    {
        using var its = log;
        Assert.Equal([], its.Verify(null).Faults);
        its.Refresh();
        Assert.NotEmpty(disclosed);
        Assert.All(disclosed, one => Assert.True(its.Discloses(one.Key, one.Value)));
    }
}
