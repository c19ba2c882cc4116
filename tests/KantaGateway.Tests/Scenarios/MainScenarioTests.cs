using KantaGateway.Harness.Drills;
using KantaGateway.Harness.Verification;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Scenarios;

/// <summary>What the vendors' harness verifies holds against a host as it is delivered.</summary>
[Collection(SharedHostCollection.Name)]
public sealed class MainScenarioTests(SharedHost host, ITestOutputHelper output)
{
    [Fact]
    public async Task A_visit_is_hidden_permitted_read_denied_and_hidden_again_and_the_citizen_sees_who_read_it()
    {
        using var scenario = new VisitScenario(host.Folder, host.Target);
        var steps = new Steps();
        await scenario.RunAsync(steps);
        AllPassed(steps);
        Assert.Equal([], ClearText.Find(Path.GetDirectoryName(host.Host.LogFile)!, scenario.Secrets));
    }

    [Fact]
    public async Task The_scenario_holds_a_second_time_for_somebody_with_a_history()
    {
        for (var i = 0; i < 2; i++)
        {
            using var scenario = new VisitScenario(host.Folder, host.Target, citizen: host.Folder.Citizens.Count - 1);
            var steps = new Steps();
            await scenario.RunAsync(steps);
            AllPassed(steps);
        }
    }

    [Fact]
    public async Task Identification_formats_bad_input_and_interactions_hold()
    {
        using var checks = new FurtherChecks(host.Folder, host.Target);
        var steps = new Steps();
        await checks.RunAsync(steps);
        AllPassed(steps);
    }

    private void AllPassed(Steps steps)
    {
        foreach (var step in steps.Results)
            output.WriteLine($"{step.Outcome,-10} {step.Duration.TotalMilliseconds,7:0} ms  {step.Part}: {step.Title}");
        var problems = steps.Results.Where(r => r.Outcome == StepOutcome.Failed).Select(r => $"{r.Title}: {r.Problem}").ToList();
        Assert.True(problems.Count == 0, string.Join('\n', problems));
        Assert.DoesNotContain(steps.Results, r => r.Outcome == StepOutcome.NotReached);
    }
}
