using System.Security.Cryptography.X509Certificates;

namespace KantaGateway.Simulators;

/// <summary>
/// The outside world on one TLS port: the Finnish Trust Network broker at <c>/ftn</c>, the clinics' identity providers at
/// <c>/idp/clinic</c>, their Entra ID tenants and the operators' at <c>/entra/id</c>, the client authority's revocation list and responder at <c>/pki</c>, the
/// role register at <c>/register</c>, who is told of breaches at <c>/breach-desk</c>, the audit log's witnesses at <c>/witness</c>, e-Authorizations at <c>/service/hpa</c> and <c>/oauth</c>. Keys are made at start and live in memory.
/// </summary>
public static class SimulatorHost
{
    /// <param name="configure">Runs before the host is built: logging and the like.</param>
    public static WebApplication Build(SimulatorOptions options, Action<WebApplicationBuilder>? configure = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.ListenLocalhost(options.Port, listen =>
        {
            using var pem = X509Certificate2.CreateFromPemFile(options.TlsCertificateFile, options.TlsKeyFile);
            var certificate = X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null);
            listen.UseHttps(https =>
            {
                https.ServerCertificate = certificate;
                // For the role register, which looks at it itself.
                https.ClientCertificateMode = Microsoft.AspNetCore.Server.Kestrel.Https.ClientCertificateMode.AllowCertificate;
                https.AllowAnyClientCertificate();
            });
        }));
        configure?.Invoke(builder);
        var app = builder.Build();
        var broker = options.Broker = new FtnBroker(options);
        broker.Map(app);
        foreach (var clinic in options.Professionals.Select(professional => professional.Clinic).Distinct())
            (options.Providers[clinic] = new ClinicIdentityProvider(options, clinic)).Map(app);
        foreach (var tenant in options.Tenants)
            new EntraTenant(options, tenant).Map(app);
        options.Revocation?.Map(app);
        options.Register?.Map(app, options);
        options.Authorizations?.Map(app, options);
        options.OperatorTenant?.Map(app, options);
        options.BreachDesk.Map(app);
        foreach (var witness in options.Witnesses)
            witness.Map(app);
        return app;
    }
}
