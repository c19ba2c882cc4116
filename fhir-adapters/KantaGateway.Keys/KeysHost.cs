using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;

namespace KantaGateway.Keys;

/// <summary>The key service as a web application.</summary>
public static class KeysHost
{
    /// <summary>Sealed entries of two hundred pages come here; records never do.</summary>
    private const int MaxBody = 64 * 1024 * 1024;

    /// <param name="configure">Runs last on the builder: logging, clocks and the like of whoever hosts it.</param>
    /// <exception cref="InvalidOperationException">Everything that is wrong with the options or the files that they name.</exception>
    public static WebApplication Build(KeysOptions options, Action<WebApplicationBuilder>? configure = null)
    {
        var endpoint = InternalEndpoint.Parse(options.Listen);
        var keys = KeyFile.Open(options.KeyFile, options.CreateStores);
        var gateway = ECDsa.Create();
        gateway.ImportFromPem(File.ReadAllText(options.GatewayKeyFile));

        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = MaxBody;
        });
        builder.ListenInternally(endpoint);
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddSingleton(services => new GrantVerifier([gateway], services.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<VerifiedGrants>();
        builder.Services.AddSingleton<KeyMetrics>();
        builder.Services.AddSingleton(new DataKeys(keys.WrappingKeys));
        builder.Services.AddSingleton(new Pseudonyms(keys.PseudonymKey));
        builder.Services.AddSingleton(_ => new AuditOpener(keys.AuditReaderKey));
        configure?.Invoke(builder);

        var app = builder.Build();
        KeyEndpoints.Map(app);
        app.RestrictSocket(endpoint);
        return app;
    }
}
