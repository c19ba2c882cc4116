using System.Diagnostics;
using System.Text.Json;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Clients;

/// <summary>The npm package <c>fhir-kit-client</c> as a vendor uses it; the steps stand in <c>fhir-kit/surface.mjs</c>.</summary>
public sealed class FhirKitClientTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Fhir_kit_client_finds_the_whole_surface()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var script = Path.Combine(Solution.Folder, "tests", "KantaGateway.Tests", "Clients", "fhir-kit", "surface.mjs");
        Assert.True(Directory.Exists(Path.Combine(Path.GetDirectoryName(script)!, "node_modules")), "Run npm ci in tests/KantaGateway.Tests/Clients/fhir-kit first, as infra/test.sh does.");
        using var node = Process.Start(new ProcessStartInfo("node", [script]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        // By standard input: a token does not belong into arguments or the environment.
        await node.StandardInput.WriteAsync(JsonSerializer.Serialize(new
        {
            @base = new Uri(house.Target, "/fhir").ToString(),
            ca = house.Folder.File("ca.pem"),
            certificate = house.Folder.File("clinics/aurora/tls.pem"),
            key = house.Folder.File("clinics/aurora/tls.key"),
            token = await house.Aurora.TokenAsync(),
            patient = house.PatientId,
        }));
        node.StandardInput.Close();
        var said = await Task.WhenAll(node.StandardOutput.ReadToEndAsync(), node.StandardError.ReadToEndAsync());
        await node.WaitForExitAsync();
        output.WriteLine(said[0]);
        Assert.True(node.ExitCode == 0, string.Join('\n', said));
        Assert.Contains("passed", said[0], StringComparison.Ordinal);
    }
}
