using System.Text.Json.Nodes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>One house with a listener for MLLP that the tests of adapters share; each has people of its own.</summary>
public sealed class AdapterHouse : IAsyncLifetime
{
    internal HouseInMemory House { get; private set; } = null!;

    internal int Mllp { get; } = RunningHost.FreePorts();

    public async Task InitializeAsync()
    {
        House = await HouseInMemory.OpenAsync(mllp: Mllp);
        // The certificate is known for tokens, and gives nobody leave to send by it alone.
        var (file, certificate) = (House.Folder.File("keys/clients.json"), House.Folder.File("clinics/revontuli/tls.pem"));
        var clients = JsonNode.Parse(await File.ReadAllBytesAsync(file))!.AsArray();
        using var shown = System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(certificate));
        clients.Single(static one => (string?)one!["client_id"] == "revontuli")!["tls_client_certificates"] = new JsonArray(System.Buffers.Text.Base64Url.EncodeToString(System.Security.Cryptography.SHA256.HashData(shown.RawData)));
        await File.WriteAllTextAsync(file, clients.ToJsonString());
        // The file is looked at about once a second.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (House.Gateway.GetRequiredService<ClientRegistry>().Current.Find("revontuli")!.Registration.TlsClientCertificates.Count == 0)
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    public async Task DisposeAsync() => await House.DisposeAsync();
}

[CollectionDefinition(Name)]
public sealed class AdapterHouseCollection : ICollectionFixture<AdapterHouse>
{
    public const string Name = "one house with adapters";
}
