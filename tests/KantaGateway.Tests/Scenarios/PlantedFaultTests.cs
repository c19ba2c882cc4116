using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Clients;
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

    [Fact]
    public void There_is_a_fault_for_every_suite_and_at_least_twenty_five()
    {
        Assert.Equal(Check.Suites.Order(), PlantedFault.All.Select(static f => Check.Of(f.Found).Suite).Distinct().Order());
        Assert.InRange(PlantedFault.All.Select(static f => f.Found).Distinct().Count(), 25, int.MaxValue);
    }
}
