using System.Security.Cryptography;
using System.Text;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>A Binary's content on its way through both parts.</summary>
public sealed class ContentTests : IAsyncLifetime
{
    private HouseInMemory _house = null!;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Fact]
    public async Task A_content_larger_than_any_body_that_is_buffered_goes_in_and_out_and_is_recorded()
    {
        var sent = RandomNumberGenerator.GetBytes(InteractionReader.MaxBody + 3_000_000);
        var created = await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", sent, [("X-Security-Context", "Patient/" + _house.PatientId)], "image/tiff");
        Assert.True(created.Status == 201, created.ToString());
        var id = created.Stored!.Value.Id;

        var read = await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "image/tiff")]);
        Assert.True(read.Status == 200, read.ToString());
        Assert.Equal(SHA256.HashData(sent), SHA256.HashData(read.Body));
        var lines = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines;
        Assert.Equal(["create", "read"], lines.Where(l => l.Items.Any(i => i.Id == id)).Select(l => l.Interaction).Order(StringComparer.Ordinal));

        var asResource = await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "application/fhir+json")]);
        Assert.Equal(406, asResource.Status);
        Assert.Contains("*/*", Encoding.UTF8.GetString(asResource.Body), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_content_says_whose_it_is_in_a_header()
    {
        Assert.Equal(422, (await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", new byte[] { 1 }, contentType: "image/png")).Status);
        Assert.Equal(422, (await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", new byte[] { 1 }, [("X-Security-Context", "Patient/nobody")], "image/png")).Status);
        Assert.Equal(404, (await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + Guid.NewGuid(), headers: [("Accept", "*/*")])).Status);
    }
}
