using System.Diagnostics;
using System.Net;
using System.Text.Json;
using KantaGateway.Dev;
using KantaGateway.Tests.Scenarios;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Clients;

/// <summary>
/// A sample app on the npm package <c>fhirclient</c>, as vendors of citizens' apps write it; its steps stand in <c>fhirclient/app.mjs</c>, the citizen's browser is here.
/// </summary>
public sealed class FhirclientTests(CitizenAppTests.World world, ITestOutputHelper output) : IClassFixture<CitizenAppTests.World>
{
    [Fact]
    public async Task A_sample_app_launches_reads_within_its_scopes_and_is_revoked()
    {
        var script = Path.Combine(Solution.Folder, "tests", "KantaGateway.Tests", "Clients", "fhirclient", "app.mjs");
        Assert.True(Directory.Exists(Path.Combine(Path.GetDirectoryName(script)!, "node_modules")), "Run npm ci in tests/KantaGateway.Tests/Clients/fhirclient first, as infra/test.sh does.");
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        using var node = Process.Start(new ProcessStartInfo("node", [script]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        node.StandardInput.AutoFlush = true;
        var problems = node.StandardError.ReadToEndAsync();
        string At(string name) => world.Folder.File($"apps/{DevelopmentFolder.App.Name}/{name}");
        await node.StandardInput.WriteLineAsync(JsonSerializer.Serialize(new
        {
            fhir = world.Address + "/fhir", par = world.Address + "/connect/par", token = world.Address + "/connect/token", redirect = DevelopmentFolder.AppRedirect,
            ca = world.Folder.File("ca.pem"), client = DevelopmentFolder.App.Name, jwk = At("private_key.jwk"), certificate = At("tls.pem"), key = At("tls.key"), patient = world.Patient, condition = world.Condition,
        }));
        var said = new List<string>();
        while (await node.StandardOutput.ReadLineAsync() is { } line)
            if (line.StartsWith("browse ", StringComparison.Ordinal))
                await node.StandardInput.WriteLineAsync((await AllowAsync(browser, line["browse ".Length..])).AbsoluteUri);
            else if (line == "revoke")
            {
                using var json = new StringContent($$"""{"client":"{{DevelopmentFolder.App.Name}}"}""", System.Text.Encoding.UTF8, "application/json");
                using var ended = await browser.PostAsync(new Uri(world.Address + "/apps/v1/end"), json);
                await node.StandardInput.WriteLineAsync(ended.StatusCode.ToString());
            }
            else
                said.Add(line);
        await node.WaitForExitAsync();
        output.WriteLine(string.Join('\n', said));
        Assert.True(node.ExitCode == 0, string.Join('\n', said.Append(await problems)));
        Assert.Equal("6 passed, 0 failed", said[^1]);
    }

    /// <summary>The citizen allows what the app asks for.</summary>
    /// <returns>Where her browser is sent back to.</returns>
    private async Task<Uri> AllowAsync(HttpClient browser, string address)
    {
        var page = await world.OpenAsync(browser, address);
        var form = page.Form("authorize-form") ?? throw new InvalidOperationException($"{page.Status}: {page.Text}");
        using var response = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields.Append(new("answer", "allow"))));
        Assert.Equal(HttpStatusCode.SeeOther, response.StatusCode);
        return response.Headers.Location!;
    }
}
