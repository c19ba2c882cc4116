using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Forwarding.Adapters;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Operations;
using KantaGateway.Gateway.Operations.Witnesses;
using KantaGateway.Gateway.Portal;
using KantaGateway.Telemetry;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace KantaGateway.Gateway;

/// <summary>Puts the gateway together; one line a feature.</summary>
public static class GatewayHost
{
    /// <summary>Builds the host. It needs the key service at start, for the audit reader's public key.</summary>
    /// <param name="options">Checked first, all at once.</param>
    /// <param name="configure">Logging and what a test observes.</param>
    /// <exception cref="InvalidOperationException">Options are wrong; the message names every one.</exception>
    public static WebApplication Build(GatewayOptions options, Action<WebApplicationBuilder>? configure = null)
    {
        options.Validate();
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions
        {
            ApplicationName = typeof(GatewayHost).Assembly.GetName().Name,
            ContentRootPath = AppContext.BaseDirectory,
        });
        // Request logging of the framework writes paths, and those carry ids.
        builder.Logging.SetMinimumLevel(LogLevel.Information).AddFilter("Microsoft", LogLevel.Warning).AddFilter("Yarp", LogLevel.Error)
            .AddFilter("System", LogLevel.Warning).AddFilter("OpenIddict", LogLevel.Warning)
            // It warns at every form that it makes no-store what is no-store already.
            .AddFilter("Microsoft.AspNetCore.Antiforgery", LogLevel.Error);
        configure?.Invoke(builder);
        var services = builder.Services;
        services.AddSingleton(options);
        services.TryAddSingleton<TimeProvider>(ForwardClock.OfThisMachine);

        var identifierKey = Convert.FromBase64String(File.ReadAllText(options.IdentifierKeyFile).Trim());
        services.AddSingleton(new IdentifierCipher(identifierKey));
        services.AddSingleton(new PageSeal(identifierKey));
        services.AddSingleton(new IdentifierKey(identifierKey));
        services.AddSingleton<DisputeAnswers>();
        var grantKey = ECDsa.Create();
        grantKey.ImportFromPem(File.ReadAllText(options.GrantKeyFile));
        services.AddSingleton(s => new GrantSigner(grantKey, s.GetRequiredService<TimeProvider>()));

        services.AddSingleton(s => new KeyServiceClient(options.Keys, s.GetRequiredService<GrantSigner>()));
        services.AddSingleton<WrappingRotation>();
        services.AddSingleton<BreachScope>();
        services.AddSingleton<RecordErasure>();
        services.AddSingleton<RecordRotation>();
        services.AddSingleton<RecordRetention>();
        services.AddSingleton<AuditRetention>();
        services.AddSingleton<IPseudonyms>(s => s.GetRequiredService<KeyServiceClient>());
        services.AddSingleton(s => AuditLog.Open(new AuditLogOptions
        {
            Folder = options.AuditFolder,
            Engine = options.AuditPostgres is { } database ? new PostgresAudit(database) : null,
            Origin = options.AuditOrigin,
            LogKey = LogKeyFile.Open(options.AuditFolder, options.CreateStores),
            ReaderPublicKey = s.GetRequiredService<KeyServiceClient>().AuditReaderKeyAsync(CancellationToken.None).GetAwaiter().GetResult(),
            Create = options.CreateStores,
        }, s.GetRequiredService<TimeProvider>(), s.GetRequiredService<ILoggerFactory>().CreateLogger("KantaGateway.Audit")));
        services.AddSingleton<GrantAccounts>();
        services.AddSingleton<DisclosureAudit>();
        services.AddSingleton<DecisionMetrics>().AddSingleton<DisclosureMetrics>();
        services.AddSingleton<IIdentificationObserver>(s => s.GetRequiredService<DisclosureAudit>());
        services.AddSingleton<IOperatorObserver, OperatorAudit>();
        services.AddSingleton<GrantIssuer>();
        services.AddSingleton<RepositoryNodes>();
        services.AddSingleton<PolicyRequests>();
        services.AddSingleton<PolicyLookup>();
        services.AddSingleton<PolicyPreview>();
        services.TryAddSingleton(s => new EmergencyTrail(options, identifierKey, s.GetRequiredService<PolicyLookup>(), s.GetRequiredService<DisclosureAudit>(), s.GetRequiredService<TimeProvider>()));
        services.AddSingleton(static s => new AccessLog(s.GetRequiredService<AuditLog>(), s.GetRequiredService<KeyServiceClient>(), s.GetRequiredService<GrantIssuer>()));
        services.AddSingleton<IAccessLog>(static s => s.GetRequiredService<AccessLog>());
        services.AddSingleton<InteractionReader>();
        services.AddRepositoryCluster();
        services.AddDraining(options.DrainSeconds);
        services.AddHttpContextAccessor();
        services.AddSingleton<RepositoryForwarder>();
        services.AddSingleton<BatchSplitter>();
        services.AddSingleton<GatewayPipeline>();
        services.AddSingleton<IInnerRequests, InnerRequestSender>();
        services.AddAdapters();
        services.AddSingleton<IPractitioners, Practitioners>();
        services.AddCompression();
        foreach (var repository in options.Repositories)
            services.AddSingleton(PeerClock.Of(nameof(options.Repository), repository));
        services.AddSingleton(PeerClock.Of(nameof(options.Keys), options.Keys));
        services.AddPeerClocks("Gateway");
        services.AddHostedService<WarmUp>();
        services.AddSingleton<HeadsWatch>().AddHostedService(static s => s.GetRequiredService<HeadsWatch>());
        services.AddSingleton<KeyReconciliation>().AddHostedService(static s => s.GetRequiredService<KeyReconciliation>());
        if (options.Witnesses is not null)
            services.AddSingleton<Witnessing>().AddHostedService(static s => s.GetRequiredService<Witnessing>())
                .AddSingleton(static s => new LogWitnesses([.. s.GetRequiredService<Witnessing>().Policy.Witnesses.Select(static one => one.Key.ToString())]));
        services.AddSingleton<ILogStanding, AuditLogStanding>();
        services.AddSingleton<Readiness>().AddSingleton<IReadiness>(static s => s.GetRequiredService<Readiness>());
        if (options.Identification.Operators is not null)
            services.AddSingleton<IOperatorActs, ActsOfOperators>();
        services.AddSingleton<ISyntheticCitizen, SyntheticCitizen>();
        builder.AddBreach(options, identifierKey);
        builder.AddTelemetry(options);
        builder.AddIdentification(options);
        builder.AddPortal(options);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = InteractionReader.MaxDrained;
            if (options.MllpPort is { } mllp)
                Listeners.ListenBeside(kestrel, options, mllp, static listen => listen.UseConnectionHandler<MllpConnections>());
        });

        services.ServeWhereReceived();

        var app = builder.Build();
        RestoreMark.Record(app.Services.GetRequiredService<AuditLog>(), options, app.Services.GetRequiredService<TimeProvider>());
        // Cases that are not whole are no start.
        _ = app.Services.GetService<BreachCases>();
        _ = app.Services.GetService<WatchedPeople>();
        app.UseFaults();
        app.UseDraining();
        app.MapMetrics(options.MetricsListen);
        app.UseFhirCompression();
        app.UseRouting();
        app.MapIdentification();
        app.MapMethods("/fhir/metadata", ["GET", "HEAD"], Capabilities.Endpoint(options));
        app.Map("/fhir/{**path}", app.Services.GetRequiredService<GatewayPipeline>().InvokeAsync).WithMetadata(PassesDecision.Instance)
            // What stands behind the routing is for the portal and the sign-in; a FHIR request need not walk through it.
            .ShortCircuit();
        app.MapAdapters();
        app.MapAuditLog();
        app.MapReceipts();
        app.MapOperatorClients(options);
        app.MapOperatorBreachCases(options);
        app.MapOperatorNotices(options);
        app.MapAuthorityForms(options);
        app.MapOperatorActs(options);
        app.MapOperatorScopes(options);
        app.MapOperatorContainments(options);
        app.MapOperatorWatchedPeople(options);
        app.MapOperatorUnusualAccess(options);
        app.MapHealth();
        app.MapRepositoryCluster();
        if (app.Services.GetService<StoreWatch>() is { } watch)
            app.Services.GetRequiredService<RepositoryNodes>().StoreChanged += watch.WasChanged;
        app.MapPortal();
        return app;
    }
}
