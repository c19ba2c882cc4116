using System.Diagnostics;
using KantaGateway.Harness.Loading;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Clients;

/// <summary>The sample of the vendors' client, as a program of its own.</summary>
[Collection(SharedHostCollection.Name)]
public sealed class ClientSampleTests(SharedHost host)
{
    [Fact]
    public async Task A_vendor_connects_writes_finds_is_refused_with_a_reason_and_verifies_every_receipt()
    {
        var code = FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal();
        using var sample = Process.Start(new ProcessStartInfo("dotnet", [Solution.Output("tests/KantaGateway.ClientSample", "KantaGateway.ClientSample.dll"), host.Folder.Path, host.Target.ToString(), code])
        {
            RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        var problems = sample.StandardError.ReadToEndAsync();
        var said = await sample.StandardOutput.ReadToEndAsync();
        await sample.WaitForExitAsync();
        Assert.Equal("", await problems);
        var lines = said.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["found 1", "refused Observation.status with correlation id"], lines[..2]);
        Assert.Matches(@"^verified ([1-9]\d*) of \1 receipts, 0 answers without$", lines[2]);
        Assert.Equal(0, sample.ExitCode);
        Assert.InRange(File.ReadAllLines(Path.Combine(Solution.Folder, "tests/KantaGateway.ClientSample/Program.cs")).Count(static line => line.Trim() is { Length: > 1 } code && !code.StartsWith("//", StringComparison.Ordinal)), 1, 25);
    }
}
