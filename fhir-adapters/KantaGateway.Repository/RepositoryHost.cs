using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Interactions;
using KantaGateway.Repository.Search;
using KantaGateway.Repository.Storage;
using KantaGateway.Telemetry;
using Npgsql;

namespace KantaGateway.Repository;

/// <summary>Puts the repository together. It listens for its gateway only: on a Unix socket or on loopback.</summary>
public static class RepositoryHost
{
    /// <param name="configure">Lets an embedding host or a test add to the builder: logging, a clock.</param>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static WebApplication Build(RepositoryOptions options, Action<WebApplicationBuilder>? configure = null)
    {
        var listen = options.Validate();
        // Empty: no appsettings, no environment, no content root to watch; the options are all there is.
        var builder = WebApplication.CreateEmptyBuilder(new());
        builder.Services.AddRoutingCore();
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddLines()
            // It makes an activity and a log scope for every request as soon as it may log at all.
            .AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = RepositoryEndpoints.MaxBody;
        });
        builder.ListenInternally(listen);
        builder.Services.AddSingleton<TimeProvider>(ForwardClock.OfThisMachine).AddDraining(options.DrainSeconds);
        builder.Services.AddSingleton(_ => OpenStoreAsync(options, CancellationToken.None).GetAwaiter().GetResult());
        builder.Services.AddSingleton(_ => new KeyClient(InternalEndpoint.Parse(options.Keys)));
        builder.Services.AddSingleton(s => new GrantVerifier([ReadPublicKey(options.GatewayKeyFile)], s.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<VerifiedGrants>().AddSingleton<GrantGate>();
        builder.Services.AddSingleton(_ => new IdentifierCipher(ReadServerKey(options.IdentifierKeyFile)));
        builder.Services.AddSingleton(_ => new PageSeal(ReadServerKey(options.IdentifierKeyFile)));
        builder.Services.AddSingleton<UntoldHeads>();
        builder.Services.AddSingleton(s => new OpenedCompartments(s.GetRequiredService<ICompartmentStore>(), s.GetRequiredService<KeyClient>(), s.GetRequiredService<UntoldHeads>(),
            s.GetRequiredService<IdentifierCipher>(), s.GetRequiredService<ProtectionRules>(), s.GetRequiredService<TimeProvider>(), options.OpenCompartments, options.OpenBytes, TimeSpan.FromSeconds(options.OpenSeconds)));
        // Read at the start: a table that cannot be read stops it, and does not leave entries without protection.
        builder.Services.AddSingleton(ProtectionRules.Of(options.ProtectedServicesFile, options.ProtectedPracticesFile));
        builder.Services.AddSingleton<RowNames>().AddSingleton<Reading>().AddSingleton<Histories>().AddSingleton<Everything>().AddSingleton<Searching>().AddSingleton<Writing>()
            .AddSingleton<Changes>().AddSingleton<ArrivedContents>().AddSingleton<Contents>().AddSingleton(options).AddSingleton<PolicyReading>().AddSingleton<RepositoryEndpoints>()
            .AddHostedService<ContentSweep>()
            .AddSingleton<DataKeyRotations>().AddSingleton<KeyRotation>().AddHostedService(s => s.GetRequiredService<KeyRotation>())
            .AddSingleton(PeerClock.Of(nameof(options.Keys), options.Keys)).AddPeerClocks("Repository")
            // Before the listener: whoever is answered is answered by a repository that is warm.
            .AddHostedService<WarmUp>();
        builder.AddTelemetry(new PartTelemetry("kanta-repository", options.MetricsListen, options.Otlp, IsEdge: false), static traces => traces.AddNpgsql(), static metrics => metrics.AddNpgsqlInstrumentation());
        if (options.Postgres is { } postgres)
            builder.Services.AddSingleton(new PeerClock(nameof(options.Postgres), cancel => PostgresStore.ReadClockAsync(postgres, cancel)));
        configure?.Invoke(builder);

        var app = builder.Build();
        app.MapMetrics(options.MetricsListen);
        app.UseDraining();
        app.UseRouting();
        // The store is opened now, so that a wrong database stops the start and not the first request.
        app.Services.GetRequiredService<RepositoryEndpoints>().Map(app);
        app.RestrictSocket(listen);
        return app;
    }

    /// <exception cref="StoreException">It cannot be reached, is not ours, or has another schema than this program; or the role may do more than it should.</exception>
    internal static async Task<ICompartmentStore> OpenStoreAsync(RepositoryOptions options, CancellationToken cancel) => options.Postgres is { } connection
        ? await PostgresStore.OpenAsync(connection, cancel).ConfigureAwait(false)
        : new SqliteStore(options.DatabaseFile);

    private static byte[] ReadServerKey(string file) => Convert.FromBase64String(File.ReadAllText(file).Trim());

    private static ECDsa ReadPublicKey(string file)
    {
        var key = ECDsa.Create();
        key.ImportFromPem(File.ReadAllText(file));
        return key;
    }
}
