using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Dev;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>Over TCP the service speaks to the database that it was told of, or to none.</summary>
public sealed class StoreTlsTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private LocalPostgres _server = null!;
    private string _service = null!;

    public async Task InitializeAsync()
    {
        var (authority, another) = (NewAuthority("Authority"), NewAuthority("Another authority"));
        await File.WriteAllTextAsync(Root, authority.ExportCertificatePem());
        await File.WriteAllTextAsync(_folder.File("another.pem"), another.ExportCertificatePem());
        var port = FreePort();
        _server = await LocalPostgres.StartAsync(folder =>
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            // Its name is localhost; 127.0.0.1 leads to it too and is not in it.
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName("localhost");
            var request = new CertificateRequest("CN=database", key, HashAlgorithmName.SHA256) { CertificateExtensions = { names.Build() } };
            using var certificate = request.Create(authority, DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddHours(1), [1, 2, 3]);
            File.WriteAllText(Path.Combine(folder, "tls.pem"), certificate.ExportCertificatePem());
            OwnerOnly.WriteWhole(Path.Combine(folder, "tls.key"), Encoding.UTF8.GetBytes(key.ExportPkcs8PrivateKeyPem()), overwrite: true);
        }, "fsync=off", "listen_addresses=127.0.0.1", string.Create(CultureInfo.InvariantCulture, $"port={port}"), "ssl=on", "ssl_cert_file=../tls.pem", "ssl_key_file=../tls.key");
        var near = new NpgsqlConnectionStringBuilder(_server.Superuser) { Port = port };
        var database = await (await PostgresServer.NewDatabaseAsync(near.ToString())).MigratedAsync();
        _service = new NpgsqlConnectionStringBuilder(database.Service) { Host = "localhost", SslMode = SslMode.VerifyFull, RootCertificate = Root }.ToString();
    }

    public Task DisposeAsync()
    {
        _server.Dispose();
        _folder.Dispose();
        return Task.CompletedTask;
    }

    private string Root => _folder.File("authority.pem");

    [Fact]
    public async Task The_server_with_the_right_name_and_authority_is_used_and_no_other()
    {
        await using (var store = await PostgresStore.OpenAsync(_service, default))
            await store.PingAsync(default);
        // Everything was encrypted.
        Assert.Equal("TLSv1.3", await PostgresDatabase.AskAsync(_service, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));

        var misnamed = await Assert.ThrowsAsync<StoreException>(() => PostgresStore.OpenAsync(new NpgsqlConnectionStringBuilder(_service) { Host = "127.0.0.1" }.ToString(), default));
        Assert.IsType<AuthenticationException>(misnamed.InnerException!.InnerException);
        var unknown = await Assert.ThrowsAsync<StoreException>(() => PostgresStore.OpenAsync(new NpgsqlConnectionStringBuilder(_service) { RootCertificate = _folder.File("another.pem") }.ToString(), default));
        Assert.IsType<AuthenticationException>(unknown.InnerException!.InnerException);
    }

    [Fact]
    public async Task A_server_that_listens_on_every_address_is_not_used()
    {
        var port = FreePort();
        using var server = await LocalPostgres.StartAsync(null, "fsync=off", "listen_addresses=0.0.0.0", string.Create(CultureInfo.InvariantCulture, $"port={port}"));
        var connection = new NpgsqlConnectionStringBuilder(server.Superuser) { Port = port };
        var database = await (await PostgresServer.NewDatabaseAsync(connection.ToString())).MigratedAsync();
        Assert.Contains("listen_addresses", (await Assert.ThrowsAsync<StoreException>(() => PostgresStore.OpenAsync(database.Service, default))).Message);
    }

    private static int FreePort()
    {
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        return ((IPEndPoint)free.LocalEndpoint).Port;
    }

    private static X509Certificate2 NewAuthority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddMinutes(-10), DateTimeOffset.UtcNow.AddHours(2));
    }
}
