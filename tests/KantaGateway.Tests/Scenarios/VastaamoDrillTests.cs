using KantaGateway.Harness.Drills;

namespace KantaGateway.Tests.Scenarios;

/// <summary>The drill of what happened at Vastaamo, against a host of its own: what the thief gets, and what shows it.</summary>
public sealed class VastaamoDrillTests
{
    [Fact]
    public async Task Of_everything_that_was_done_at_Vastaamo_the_thief_has_no_record_and_all_of_it_surfaces()
    {
        using var folder = new TemporaryFolder();
        await using var host = await RunningHost.StartAsync(folder.File("data"), folder.File("logs/host.log"), further: ["--breadth"]);
        var drill = new Drill();
        using (var staged = new VastaamoDrill(host.Folder, host.Target))
            await staged.RunAsync(drill);
        Assert.Equal([], drill.Lines.Where(static line => !line.IsHeld).Select(static line => $"{line.Attack}: {line.Outcome.Got}; {line.Outcome.Problem}"));
        Assert.NotEmpty(drill.Lines);
    }
}
