using KantaGateway.Harness.Drills;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Tests.Scenarios;

/// <summary>The drill of what happened at Vastaamo, against a host of its own: what the thief gets, and what shows it.</summary>
public sealed class VastaamoDrillTests
{
    [Fact]
    public async Task Of_everything_that_was_done_at_Vastaamo_the_thief_has_no_record_and_all_of_it_surfaces()
    {
        using var folder = new TemporaryFolder();
        await using var host = await RunningHost.StartAsync(folder.File("data"), folder.File("logs/host.log"), further: ["--breadth"]);
        // A host that counts as in production serves a vendor's verification, again and again.
        var steps = new Steps();
        for (var i = 0; i < 2; i++)
        {
            using var scenario = new VisitScenario(host.Folder, host.Target);
            await scenario.RunAsync(steps);
            using var checks = new FurtherChecks(host.Folder, host.Target);
            await checks.RunAsync(steps);
        }
        Assert.Equal([], steps.Results.Where(static step => step.Outcome != StepOutcome.Passed).Select(static step => $"{step.Part}: {step.Title}: {step.Problem}"));
        var drill = new Drill();
        using (var staged = new VastaamoDrill(host.Folder, host.Target))
            await staged.RunAsync(drill);
        Assert.Equal([], drill.Lines.Where(static line => !line.IsHeld).Select(static line => $"{line.Attack}: {line.Outcome.Got}; {line.Outcome.Problem}"));
        Assert.NotEmpty(drill.Lines);
    }
}
