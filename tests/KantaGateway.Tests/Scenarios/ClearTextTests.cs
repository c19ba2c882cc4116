using System.Text;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Law 6: nothing personal in the clear, not in any file and not in anything the host says.</summary>
public sealed class ClearTextTests
{
    /// <summary>
    /// The fictional directory that the development host writes for its callers (architecture section 11): it holds
    /// codes and names because it is the contract's list of whom one may play.
    /// </summary>
    private static readonly string[] ContractFiles = ["citizens.json", "professionals.json", "demo.http"];

    private static bool IsContractFile(string relative) =>
        ContractFiles.Contains(relative) || relative.StartsWith($"clinics{Path.DirectorySeparatorChar}", StringComparison.Ordinal);

    [Fact]
    public async Task After_the_scenario_no_file_and_no_log_holds_an_identity_code_a_name_a_note_or_a_token()
    {
        using var folder = new TemporaryFolder();
        var data = folder.File("data");
        IReadOnlyList<string> secrets;
        await using (var host = await RunningHost.StartAsync(data, folder.File("logs/host.log"), environment: EverythingLogged))
        {
            using var scenario = new VisitScenario(host.Folder, host.Target);
            var steps = new Steps();
            await scenario.RunAsync(steps);
            using var checks = new FurtherChecks(host.Folder, host.Target);
            await checks.RunAsync(steps);
            Assert.Equal([], steps.Results.Where(r => r.Outcome == StepOutcome.Failed).Select(r => $"{r.Title}: {r.Problem}"));
            secrets = [.. scenario.Secrets, .. checks.Secrets];
            // Once while it runs, for what it would remove at its end ...
            Assert.Equal([], ClearText.Find(folder.Path, secrets, InData(IsContractFile)));
            await host.StopAsync();
        }
        // ... and once when all is written.
        Assert.Equal([], ClearText.Find(folder.Path, secrets, InData(IsContractFile)));
        Assert.True(new FileInfo(folder.File("logs/host.log")).Length > 1000, "the host logged next to nothing: is logging off?");

        // The search is worth something only if it finds what is there: each secret, among all the other files.
        for (var i = 0; i < secrets.Count; i++)
            await File.WriteAllTextAsync(Path.Combine(data, $"planted-{i}.txt"), $"before {secrets[i]} after");
        var planted = ClearText.Find(folder.Path, secrets, InData(IsContractFile));
        for (var i = 0; i < secrets.Count; i++)
            Assert.Contains(planted, f => f.StartsWith(Path.Combine("data", $"planted-{i}.txt"), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("010170-900X")]
    [InlineData("Väinämöinen")]
    [InlineData("Potilas pelkää muistiinpanojen vuotavan.")]
    public void A_planted_text_is_found_in_every_form(string text)
    {
        using var folder = new TemporaryFolder();
        foreach (var (_, bytes) in ClearText.Forms(text))
        {
            File.WriteAllBytes(folder.File("planted.bin"), [0, 1, 2, .. bytes, 3]);
            Assert.NotEmpty(ClearText.Find(folder.Path, [text]));
        }
        for (var before = 0; before < 3; before++)
        {
            File.WriteAllText(folder.File("planted.bin"), Convert.ToBase64String(Encoding.UTF8.GetBytes($"{new string('.', before)}{text}{new string('.', 7)}")));
            Assert.NotEmpty(ClearText.Find(folder.Path, [text]));
        }
        File.WriteAllText(folder.File("planted.bin"), "nothing to see");
        Assert.Empty(ClearText.Find(folder.Path, [text]));
    }

    private static Func<string, bool> InData(Func<string, bool> rule) =>
        relative => relative.StartsWith($"data{Path.DirectorySeparatorChar}", StringComparison.Ordinal) && rule(relative[5..]);

    /// <summary>Everything the frameworks can say: what they log at their loudest must be clean too.</summary>
    private static IReadOnlyDictionary<string, string> EverythingLogged { get; } = new Dictionary<string, string>
    {
        ["Logging__LogLevel__Default"] = "Debug",
        ["Logging__LogLevel__Microsoft.AspNetCore"] = "Debug",
    };
}
