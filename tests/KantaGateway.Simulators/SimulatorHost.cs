using System.Net;
using System.Security.Cryptography.X509Certificates;

namespace KantaGateway.Simulators;

/// <summary>The outside world on one TLS port: the Finnish Trust Network broker at <c>/ftn</c>, the clinics' identity providers at <c>/idp/clinic</c>.</summary>
public static class SimulatorHost
{
    /// <param name="configure">Runs before the host is built: logging, in-memory transport.</param>
    public static WebApplication Build(SimulatorOptions options, Action<WebApplicationBuilder>? configure = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, options.Port, listen =>
        {
            using var pem = X509Certificate2.CreateFromPemFile(options.TlsCertificateFile, options.TlsKeyFile);
            listen.UseHttps(X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null));
        }));
        configure?.Invoke(builder);
        var app = builder.Build();
        return app;
    }
}
