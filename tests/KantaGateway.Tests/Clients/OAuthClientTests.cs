using System.Diagnostics;
using System.Net;
using System.Text.Json;
using KantaGateway.Dev;
using KantaGateway.Tests.Scenarios;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Clients;

/// <summary>
/// The npm packages <c>openid-client</c> and <c>oauth4webapi</c> as the vendor of a citizen's app uses them; the steps stand in
/// <c>oauth/app.mjs</c>, the citizen's browser is here.
/// </summary>
public sealed class OAuthClientTests(CitizenAppTests.World world, ITestOutputHelper output) : IClassFixture<CitizenAppTests.World>
{
    [Fact]
    public async Task Foreign_clients_go_the_whole_way_from_discovery_to_revocation()
    {
        var script = Path.Combine(Solution.Folder, "tests", "KantaGateway.Tests", "Clients", "oauth", "app.mjs");
        Assert.True(Directory.Exists(Path.Combine(Path.GetDirectoryName(script)!, "node_modules")), "Run npm ci in tests/KantaGateway.Tests/Clients/oauth first, as infra/test.sh does.");
        using var browser = world.NewBrowser();
        await world.SignInAsync(browser, "/signin");
        using var node = Process.Start(new ProcessStartInfo("node", [script]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        node.StandardInput.AutoFlush = true;
        var problems = node.StandardError.ReadToEndAsync();
        await node.StandardInput.WriteLineAsync(JsonSerializer.Serialize(new
        {
            issuer = world.Address + "/",
            fhir = world.Address + "/fhir",
            redirect = DevelopmentFolder.AppRedirect,
            ca = world.Folder.File("ca.pem"),
            apps = new
            {
                certificate = new { id = DevelopmentFolder.App.Name, jwk = world.Folder.File("apps/omakunto/private_key.jwk"), certificate = world.Folder.File("apps/omakunto/tls.pem"), key = world.Folder.File("apps/omakunto/tls.key") },
                key = new { id = DevelopmentFolder.KeyBoundApp.Name, jwk = world.Folder.File("apps/taskukunto/private_key.jwk"), certificate = (string?)null, key = (string?)null },
            },
            patient = world.Patient,
            condition = world.Condition,
        }));
        var (said, answer) = (new List<string>(), "allow");
        while (await node.StandardOutput.ReadLineAsync() is { } line)
            if (line == "deny")
                answer = line;
            else if (line.StartsWith("browse ", StringComparison.Ordinal))
            {
                await node.StandardInput.WriteLineAsync((await AnswerAsync(browser, line["browse ".Length..], answer)).AbsoluteUri);
                answer = "allow";
            }
            else
                said.Add(line);
        await node.WaitForExitAsync();
        output.WriteLine(string.Join('\n', said));
        Assert.True(node.ExitCode == 0, string.Join('\n', said.Append(await problems)));
        Assert.EndsWith("passed, 0 failed", said[^1], StringComparison.Ordinal);
    }

    /// <summary>The citizen at the address that the app sends her to.</summary>
    /// <returns>Where her browser is sent back to.</returns>
    private async Task<Uri> AnswerAsync(HttpClient browser, string address, string answer)
    {
        var page = await world.OpenAsync(browser, address);
        var form = page.Form("authorize-form") ?? throw new InvalidOperationException($"{page.Status}: {page.Text}");
        using var response = await browser.PostAsync(form.Action, new FormUrlEncodedContent(form.Fields.Append(new("answer", answer))));
        Assert.Equal(HttpStatusCode.SeeOther, response.StatusCode);
        return response.Headers.Location!;
    }
}
