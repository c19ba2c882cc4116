using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Ceremonies;
using KantaGateway.Keys.Custody;
using KantaGateway.Telemetry;

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
        var endpoint = options.Validate();
        var keys = KeyFile.Open(options.KeyFile, options.CreateStores, isBackend: options is { Pkcs11: null, Transit: null });
        var gateway = ECDsa.Create();
        gateway.ImportFromPem(File.ReadAllText(options.GatewayKeyFile));

        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = MaxBody;
        });
        builder.ListenInternally(endpoint);
        builder.AddTelemetry(new PartTelemetry("kanta-keys", options.MetricsListen, options.Otlp, IsEdge: false));
        builder.Services.AddSingleton<TimeProvider>(ForwardClock.OfThisMachine).AddClockWatch().AddDraining(seconds: 0);
        builder.Services.AddSingleton(services => new GrantVerifier([gateway], services.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<KeyMetrics>();
        builder.Services.AddSingleton(_ => BackendOf(options, keys));
        builder.Services.AddSingleton<WrappingVersions>().AddSingleton<PseudonymVersions>();
        builder.Services.AddSingleton<DataKeys>();
        builder.Services.AddSingleton(_ => new CustodyLog(options.CustodyFolder, options.CreateStores));
        builder.Services.AddSingleton(services => new ErasedPeople(options.CustodyFolder, options.ErasedCopyFile, DerivedKey(services, "kanta erasures v1"), services.GetRequiredService<KeyCeremonies>()));
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<RotatedKeys>(services, options, DerivedKey(services, "kanta rotated keys v1")));
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<KnownHeads>(services, options.CustodyFolder, DerivedKey(services, "kanta known heads v1")));
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<HeadWitnesses>(services, DerivedKey(services, "kanta head witnesses v1")));
        builder.Services.AddSingleton(new PatientBudgets(options.Budgets));
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<KeyCustody>(services, DerivedKey(services, "kanta custody digests v1")));
        builder.Services.AddSingleton(services => ActivatorUtilities.CreateInstance<KeyCeremonies>(services, options.CustodyFolder, DerivedKey(services, "kanta key ceremonies v1")));
        builder.Services.AddSingleton<ToldRecords>();
        builder.Services.AddSingleton(services =>
        {
            var own = new PeopleKeys(DerivedKey(services, "kanta people v1"), DerivedKey(services, "kanta numbers of people v1"));
            return ActivatorUtilities.CreateInstance<KnownPeople>(services, options.CustodyFolder, new PeopleFiles(options.CustodyFolder, options.PeopleCopyFolder, own.MacKey), new PersonRecords(own));
        });
        builder.Services.AddSingleton<PeopleWalk>().AddHostedService(static services => services.GetRequiredService<PeopleWalk>());
        builder.Services.AddSingleton(_ => new AuditOpener(keys.AuditReaderKey));
        configure?.Invoke(builder);

        var app = builder.Build();
        try
        {
            // The lock of the custody log comes first: no other key service is at work in the folder.
            var custody = app.Services.GetRequiredService<KeyCustody>();
            var ceremonies = app.Services.GetRequiredService<KeyCeremonies>();
            ceremonies.Read();
            custody.Restore(options.CustodyFolder);
            ceremonies.OpenAsync(CancellationToken.None).GetAwaiter().GetResult();
            app.Services.GetRequiredService<ErasedPeople>().KeepEndAsync().GetAwaiter().GetResult();
            app.Services.GetRequiredService<RotatedKeys>().KeepEndAsync().GetAwaiter().GetResult();
            var people = app.Services.GetRequiredService<KnownPeople>();
            people.Open(hasHistory: CustodyLog.ReadSince(options.CustodyFolder, DateTimeOffset.MinValue).Any());
            people.KeepEndAsync().GetAwaiter().GetResult();
        }
        catch
        {
            ((IDisposable)app).Dispose();
            throw;
        }
        app.Services.GetRequiredService<KeyMetrics>().Watch(app.Services.GetRequiredService<PatientBudgets>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapMetrics(options.MetricsListen);
        KeyEndpoints.Map(app);
        app.RestrictSocket(endpoint);
        return app;
    }

    private static IKeyBackend BackendOf(KeysOptions options, KeyFile keys) =>
        options.Pkcs11 is { } hsm ? new Pkcs11Backend(hsm)
        : options.Transit is { } transit ? new TransitBackend(transit, ClientOf(transit))
        : new FileBackend(options.KeyFile, keys);

    /// <summary>A key made by the custody key, which every backend has and none gives out.</summary>
    private static byte[] DerivedKey(IServiceProvider services, string label) =>
        services.GetRequiredService<IKeyBackend>().DeriveAsync(label, CancellationToken.None).AsTask().GetAwaiter().GetResult();

    private static HttpClient ClientOf(TransitOptions options)
    {
        var handler = new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        if (options.AuthorityFile is { } file)
        {
            var roots = new X509Certificate2Collection();
            roots.ImportFromPemFile(file);
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.AddRange(roots);
            handler.SslOptions.CertificateChainPolicy = policy;
        }
        return new HttpClient(handler);
    }
}
