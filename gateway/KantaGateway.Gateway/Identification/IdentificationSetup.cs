using System.Security.Cryptography.X509Certificates;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace KantaGateway.Gateway.Identification;

/// <summary>Puts step 1 and the authorization server into the host.</summary>
public static class IdentificationSetup
{
    /// <summary>
    /// Registers <see cref="IIdentification"/>, the token endpoint and the citizens' sign-in, and configures the public
    /// TLS listener and the terminator's listener (no other listener of the host). <see cref="IPseudonyms"/> must be
    /// registered beside it; <see cref="IIdentificationObserver"/> may be.
    /// </summary>
    /// <exception cref="InvalidDataException">A key, certificate or clients file is not what it has to be.</exception>
    public static void AddIdentification(this WebApplicationBuilder builder, GatewayOptions options)
    {
        var services = builder.Services;
        var identification = options.Identification;
        if (identification.AccessTokenSeconds is < 1 or > 300)
            throw new InvalidDataException("AccessTokenSeconds must be 1 to 300.");

        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => Listeners.Configure(kestrel, options));
        services.Insert(0, ServiceDescriptor.Singleton<IStartupFilter>(new TerminatorFilter(options)));
        services.Insert(1, ServiceDescriptor.Singleton<IStartupFilter>(new OperatorOriginFilter(options)));

        var keys = TokenKeys.Read(identification);
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(options);
        services.TryAddSingleton<IIdentificationObserver, NoIdentificationObserver>();
        services.AddSingleton(provider => new TokenKeys(keys, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new ClientRegistry(identification.ClientsFile, identification.TestIdentityCodes, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<ClientRegistry>>(), provider.GetService<Approvals>()));
        services.AddSingleton<IControllers>(provider => provider.GetRequiredService<ClientRegistry>());
        services.AddSingleton(provider => new Containments(identification.RoleRegister is not null, provider.GetService<Approvals>(), provider.GetRequiredService<Revocations>()));
        services.AddSingleton(provider => new OrganisationCertificates(File.ReadAllText(options.ClientAuthorityFile), identification.RevocationSources ?? [],
            new HttpClient(Upstream(identification)), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<OrganisationCertificates>>(), provider.GetRequiredService<Containments>()));
        if (options.Redis is { } redis)
        {
            var connection = RedisState.Connect(redis, options.RedisAuthorityFile);
            services.AddSingleton(connection);
            services.AddSingleton(provider => new RedisState(connection, time: provider.GetRequiredService<TimeProvider>()));
            services.AddSingleton<ISharedState>(provider => provider.GetRequiredService<RedisState>());
            services.AddSingleton(provider => new PeerClock(nameof(options.Redis), _ => provider.GetRequiredService<RedisState>().ReadClockAsync()));
            services.AddSingleton<IRevocationLog>(provider => new RedisRevocationLog(connection, provider.GetRequiredService<TimeProvider>()));
        }
        else
            services.AddSingleton<ISharedState>(provider => new MemoryState(provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new Revocations(provider.GetService<IRevocationLog>(), provider.GetRequiredService<TimeProvider>()));
        services.AddHostedService<RevocationLease>();
        services.AddSingleton<OpenRequests>();
        services.AddSingleton<CertificateCallers>();
        services.AddMetrics();
        services.AddSingleton<IdentificationMetrics>();
        services.AddSingleton<AttemptLimits>();
        services.AddSingleton<SignInFailures>();
        services.AddHostedService<HeldReports>();
        services.AddSingleton(provider => new ClientKeys(new HttpClient(Upstream(identification)), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<ClientKeys>>()));
        services.AddSingleton<ClientAuthentication>();
        services.AddSingleton<ConnectCallers>();
        services.AddSingleton<DpopNonces>();
        services.AddSingleton(provider => new DpopProofs(provider.GetRequiredService<DpopNonces>(), provider.GetRequiredService<ISharedState>(), options.PublicAddress,
            provider.GetRequiredService<TimeProvider>()));
        if (identification.RoleRegister is { } register)
            services.AddSingleton<IProfessionalRights>(provider => new RoleRegister(register, new HttpClient(Upstream(identification, register)),
                provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<RoleRegister>>()));
        if (identification.ProfessionalCards is { } cards)
        {
            services.AddSingleton(provider => new CardCertificates(cards, new HttpClient(Upstream(identification)),
                provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<CardCertificates>>()));
            services.AddSingleton<CardTokens>();
        }
        services.AddSingleton<SubjectTokens>();
        services.AddSingleton<ClinicSignIn>();
        services.AddSingleton(ProtectionRules.Of(options.ProtectedServicesFile, options.ProtectedPracticesFile));
        services.AddSingleton<IIdentification, CallerIdentification>();
        services.AddSingleton<BrokerKeys>();
        services.AddSingleton<CitizenSignIn>();
        services.AddSingleton<SessionEnds>();
        services.AddSingleton<AppAuthorizations>();
        services.AddSingleton<AppGrants>();
        services.AddSingleton<AppsOfPerson>();
        services.AddSingleton<AppStanding>();
        services.AddSingleton<LogoutTokens>();
        services.AddSingleton<PortalSessions>();
        if (identification.Mandates is { } mandates)
        {
            services.AddSingleton(provider => new EAuthorizations(mandates, options.PublicAddress, new HttpClient(Untraced(identification)),
                provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<EAuthorizations>>()));
            services.AddSingleton<Representations>();
        }
        SessionProtection.Add(services);
        TokenEndpoint.Add(services, options, keys);

        var authentication = services.AddAuthentication(PortalSessions.Scheme)
            .AddCookie(PortalSessions.Scheme, PortalSessions.Configure)
            .AddOpenIdConnect(CitizenSignIn.Scheme, static _ => { });
        services.AddOptions<CookieAuthenticationOptions>(PortalSessions.Scheme)
            .Configure<PortalSessions>(static (cookie, sessions) => cookie.SessionStore = sessions);
        services.AddOptions<OpenIdConnectOptions>(CitizenSignIn.Scheme)
            .Configure<CitizenSignIn>((oidc, citizens) => citizens.Configure(oidc, Upstream(identification)));
        SubjectTokens.AddSchemes(authentication, identification, () => Upstream(identification));
        ClinicSignIn.Add(authentication, identification, () => Upstream(identification));
        if (identification.Operators is { } operators)
        {
            services.AddSingleton(operators);
            services.TryAddSingleton<IOperatorObserver, NoOperatorObserver>();
            services.AddSingleton<OperatorSessions>();
            services.AddSingleton<OperatorSignIn>();
            services.AddSingleton(_ => new DecisionLog(operators.LogFolder, operators.LogKeyFile));
            services.AddSingleton<Approvals>();
            services.AddSingleton<Onboarding>();
            services.AddSingleton<ContainmentActs>();
            OperatorSignIn.Add(authentication, operators, () => Upstream(identification));
        }

        // These log addresses with codes in them, requests and claims at the levels below.
        // The host's own makes an activity and a log scope for every request as soon as it may log at all.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        foreach (var category in new[] { "OpenIddict", "Microsoft.IdentityModel", "Microsoft.Identity.Web", "Microsoft.AspNetCore.Authentication", "Microsoft.AspNetCore.DataProtection" })
            builder.Logging.AddFilter(category, LogLevel.Error);
    }

    /// <summary>
    /// Adds the middleware of identification and its endpoints: <c>/connect/*</c>, <c>/.well-known/*</c>, <c>/signin</c>,
    /// <c>/signout</c>, <c>/signout/everywhere</c>, <c>/signin-ftn</c>, <c>/signout-ftn</c>; where citizens may act for others <c>/on-behalf/choose</c>,
    /// <c>/on-behalf/back</c>, <c>/on-behalf/self</c>; where there are operators <c>/operator/signin</c>, <c>/operator/signout</c>, <c>/signin-operator</c>. Call it before everything that reads the requester.
    /// </summary>
    public static void MapIdentification(this WebApplication app)
    {
        var options = app.Services.GetRequiredService<GatewayOptions>();

        // What has just been announced counts from the start.
        _ = app.Services.GetRequiredService<TokenKeys>();
        // Files that are wrong stop the start, not the first request.
        _ = app.Services.GetRequiredService<ClientRegistry>();
        _ = app.Services.GetRequiredService<OrganisationCertificates>();
        _ = app.Services.GetService<CardCertificates>();
        _ = app.Services.GetRequiredService<BrokerKeys>();
        _ = app.Services.GetRequiredService<ClinicSignIn>();

        // FHIR requests are identified by IIdentification alone: no cookie is looked at, and the handlers of the token
        // endpoint and the sign-in do not run. The property keeps the host from adding the middleware for every path.
        ((IApplicationBuilder)app).Properties["__AuthenticationMiddlewareSet"] = true;
        // No endpoint asks the framework for authorization: the decision stands in the pipeline, the portal has CitizenOnly.
        ((IApplicationBuilder)app).Properties["__AuthorizationMiddlewareSet"] = true;
        AnswerHeaders.Use(app, options);
        ConnectForms.Use(app);
        app.UseWhen(static context => !context.Request.Path.StartsWithSegments("/fhir"), static branch => branch.UseAuthentication());

        SmartConfiguration.Map(app, options);
        CitizenSession.Map(app);
        PushedAuthorization.Map(app);
        if (options.Identification.Mandates is not null)
        {
            _ = app.Services.GetRequiredService<EAuthorizations>();
            OnBehalf.Map(app);
        }
        if (options.Identification.Operators is not null)
        {
            _ = app.Services.GetRequiredService<OperatorSignIn>();
            _ = app.Services.GetRequiredService<Approvals>();
            OperatorSession.Map(app);
        }
    }

    /// <summary>A handler for addresses with identity codes in them: no span and no diagnostic event is made of what it sends.</summary>
    private static SocketsHttpHandler Untraced(IdentificationOptions options)
    {
        var handler = Upstream(options);
        handler.ActivityHeadersPropagator = null;
        return handler;
    }

    /// <summary>A handler for the broker, the clinics' identity providers and key sets, the operators' tenant, and the authorities' lists and responders.</summary>
    /// <param name="register">Given for the role register, which is shown the gateway's own certificate.</param>
    private static SocketsHttpHandler Upstream(IdentificationOptions options, RoleRegisterOptions? register = null)
    {
        var handler = new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        if (options.UpstreamAuthorityFile is { } file)
        {
            var roots = new X509Certificate2Collection();
            roots.ImportFromPemFile(file);
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
            policy.CustomTrustStore.AddRange(roots);
            handler.SslOptions.CertificateChainPolicy = policy;
        }
        if (register is not null)
        {
            using var pem = X509Certificate2.CreateFromPemFile(register.CertificateFile, register.KeyFile);
            handler.SslOptions.ClientCertificates = [X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null)];
        }
        return handler;
    }
}
