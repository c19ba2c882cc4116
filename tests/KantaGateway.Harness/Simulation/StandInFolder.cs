using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Client;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Simulation;

/// <summary>What the stand-in writes for its caller: an authority, and one clinic with its registration, signing key and certificate. Keys are made anew at every start and worth nothing elsewhere.</summary>
sealed class StandInFolder : IDisposable
{
    /// <summary>The one clinic.</summary>
    public const string Clinic = "vendor";

    private readonly ECDsa _authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _authority;

    private StandInFolder(string path)
    {
        Path = path;
        var request = new CertificateRequest("CN=Stand-in authority", _authorityKey, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, critical: true));
        _authority = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-400), DateTimeOffset.UtcNow.AddYears(1));
        Server = Issue("CN=localhost", "1.3.6.1.5.5.7.3.1", DateTimeOffset.UtcNow.AddDays(90));
        Expired = Issue("CN=localhost", "1.3.6.1.5.5.7.3.1", DateTimeOffset.UtcNow.AddDays(-1));
    }

    public string Path { get; }

    public X509Certificate2 Server { get; }

    public X509Certificate2 Expired { get; }

    /// <summary>By which client assertions are verified.</summary>
    public JsonWebKey ClientKey { get; private set; } = null!;

    public ClientRegistration Registration { get; private set; } = null!;

    /// <summary>Writes everything for a gateway at this address.</summary>
    public static StandInFolder Write(string path, Uri address)
    {
        var folder = new StandInFolder(path);
        var clinic = Directory.CreateDirectory(System.IO.Path.Combine(path, "clinics", Clinic)).FullName;
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        var jwk = JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(key) { KeyId = "stand-in" });
        folder.ClientKey = JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(ECDsa.Create(key.ExportParameters(false))) { KeyId = "stand-in" });
        folder.Registration = new("vendor", "1.2.246.10.99000099", "private", new(address, "/connect/token"), new(address, "/fhir"), ["system/*.cruds", "user/*.cruds"], "stand-in", "ES384");
        using var certificate = folder.Issue("CN=vendor", "1.3.6.1.5.5.7.3.2", DateTimeOffset.UtcNow.AddDays(90));
        File.WriteAllText(System.IO.Path.Combine(path, "ca.pem"), folder._authority.ExportCertificatePem());
        File.WriteAllText(System.IO.Path.Combine(clinic, "client.json"), JsonSerializer.Serialize(folder.Registration));
        OwnerOnly.WriteWhole(System.IO.Path.Combine(clinic, "private_key.jwk"), Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new { kty = jwk.Kty, crv = jwk.Crv, x = jwk.X, y = jwk.Y, d = jwk.D, kid = jwk.KeyId })), overwrite: true);
        File.WriteAllText(System.IO.Path.Combine(clinic, "tls.pem"), certificate.ExportCertificatePem());
        using var tls = certificate.GetECDsaPrivateKey()!;
        OwnerOnly.WriteWhole(System.IO.Path.Combine(clinic, "tls.key"), Encoding.UTF8.GetBytes(tls.ExportPkcs8PrivateKeyPem()), overwrite: true);
        return folder;
    }

    public void Dispose()
    {
        Server.Dispose();
        Expired.Dispose();
        _authority.Dispose();
        _authorityKey.Dispose();
    }

    private X509Certificate2 Issue(string name, string usage, DateTimeOffset until)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new(usage)], critical: false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var issued = request.Create(_authority, DateTimeOffset.UtcNow.AddDays(-300), until, RandomNumberGenerator.GetBytes(16));
        using var whole = issued.CopyWithPrivateKey(key);
        // TLS wants a key that lies in a store of its own.
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null, X509KeyStorageFlags.Exportable);
    }
}
