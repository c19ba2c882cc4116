using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Simulation;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Tests.Scenarios;

/// <summary>The harness is checked too: what a gateway does wrong is found, and named by the check that is there for it. That the clean one has nothing reported is the main scenario's test.</summary>
[Collection(SharedHostCollection.Name)]
public sealed class PlantedFaultTests(SharedHost host)
{
    public static TheoryData<string> Names => [.. PlantedFault.All.Select(static f => f.Name)];

    [Theory, MemberData(nameof(Names))]
    public async Task A_gateway_is_caught_that(string does)
    {
        var fault = PlantedFault.All.Single(f => f.Name == does);
        var known = new KnownTraffic();
        var folder = new DevFolder(host.Folder.Path) { Between = connections => new FaultyGateway(fault, known, connections) };
        var report = await VerificationRun.RunAsync(folder, host.Target, Selection.Of([fault.Found]), seed: 1);
        var found = report.Results.Where(static r => r.Outcome == StepOutcome.Failed).ToList();
        Assert.Equal([fault.Found], found.Select(static r => r.Check.Id).Distinct());
        Assert.All(found, static r => Assert.False(string.IsNullOrWhiteSpace(r.Problem)));

        // Whatever a gateway says, reports hold no code and no token.
        foreach (var text in new[] { Reports.JUnit(report), Reports.Json(report), Reports.Html(report) })
        {
            Assert.Contains(fault.Found, text, StringComparison.Ordinal);
            Assert.False(PersonalIdentityCode.Occurs(text), "an identity code in a report");
            foreach (var token in known.Tokens)
                Assert.DoesNotContain(token, text, StringComparison.Ordinal);
        }
    }

    /// <summary>What goes wrong below HTTP: at a server of its own, which answers everybody 200.</summary>
    [Theory]
    [InlineData("connection.tls", Misbehaviour.ExpiredCertificate, "NotTimeValid")]
    [InlineData("connection.plain", null, "no answer in the clear")]
    public async Task A_server_is_caught_whose_connections_do_not_hold(string id, Misbehaviour? how, string said)
    {
        using var folder = new TemporaryFolder();
        await using var standIn = await StandIn.StartAsync(folder.Path, RunningHost.FreePorts());
        using var plain = new PlainServer();
        var known = new DevFolder(folder.Path);
        foreach (var isAtFault in new[] { false, true })
        {
            if (isAtFault && how is { } misbehaves)
                standIn.Misbehave(misbehaves, -1);
            using var clinic = ClinicClient.Open(known, StandInFolder.Clinic, isAtFault && how is null ? plain.Address : standIn.Address);
            var steps = new Steps(selection: Selection.Of([id]));
            await ConnectionChecks.RunAsync(steps, clinic, "x", default);
            var result = Assert.Single(steps.Results);
            Assert.Equal((id, isAtFault ? StepOutcome.Failed : StepOutcome.Passed), (result.Check.Id, result.Outcome));
            if (isAtFault)
                Assert.Contains(said, result.Problem, StringComparison.Ordinal);
        }
    }

    /// <summary>Answers one caller in the clear.</summary>
    private sealed class PlainServer : IDisposable
    {
        private readonly System.Net.Sockets.TcpListener _listener = new(System.Net.IPAddress.Loopback, 0);

        public PlainServer()
        {
            _listener.Start();
            _ = AnswerAsync();
        }

        public Uri Address => new($"https://{_listener.LocalEndpoint}");

        public void Dispose() => _listener.Dispose();

        private async Task AnswerAsync()
        {
            using var caller = await _listener.AcceptTcpClientAsync();
            using var asked = new StreamReader(caller.GetStream(), leaveOpen: true);
            while (await asked.ReadLineAsync() is { Length: > 0 })
            {
            }
            await caller.GetStream().WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"u8.ToArray());
        }
    }

    [Fact]
    public void There_is_a_fault_for_every_suite_and_at_least_twenty_five()
    {
        Assert.Equal(Check.Suites.Order(), PlantedFault.All.Select(static f => Check.Of(f.Found).Suite).Distinct().Order());
        Assert.InRange(PlantedFault.All.Select(static f => f.Found).Distinct().Count(), 25, int.MaxValue);
    }
}
