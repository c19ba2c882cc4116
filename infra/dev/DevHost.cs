using KantaGateway.Audit;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Keys;
using KantaGateway.Repository;
using KantaGateway.Simulators;

namespace KantaGateway.Dev;

/// <summary>How the development host is started.</summary>
public sealed record DevHostOptions
{
    /// <summary>A vendor's tests fail on purpose, and all of them come from here.</summary>
    public const int FailuresPerMinute = 600;

    /// <summary>TLS port of the gateway; simulators listen on the next one, metrics on the one after.</summary>
    public int Port { get; init; } = 8443;

    /// <summary>Where all state goes; deleting it starts afresh.</summary>
    public required string DataFolder { get; init; }

    /// <summary>PostgreSQL connection string; null: SQLite.</summary>
    public string? Postgres { get; init; }

    /// <summary>Redis connection string; null: in memory.</summary>
    public string? Redis { get; init; }

    /// <summary>Plain HTTP port for a trusted TLS terminator on this machine; null: none.</summary>
    public int? TerminatorPort { get; init; }

    /// <summary>OTLP collector of spans and metrics; null: none.</summary>
    public string? Otlp { get; init; }

    /// <summary>Largest content of a Binary, bytes, in gateway and repository.</summary>
    public long MaxBinary { get; init; } = RawContent.DefaultMax;

    /// <summary>Applied to every part's builder: logging, and what a test observes.</summary>
    public Action<WebApplicationBuilder>? Configure { get; init; }
}

/// <summary>
/// Gateway, repository, key service and the simulated outside world in one process. They meet only over the contracts
/// that they use when apart: HTTP inside, over memory of the process; TLS outside.
/// </summary>
public sealed class DevHost : IAsyncDisposable
{
    private readonly List<WebApplication> _parts = [];
    private DevelopmentFolder? _folder;

    private DevHost(string address) => Address = address;

    /// <summary>The gateway's public address, no trailing slash.</summary>
    public string Address { get; }

    /// <summary>The running gateway, for tests that look inside.</summary>
    public WebApplication Gateway => _parts[^1];

    /// <summary>The simulated e-Authorizations, for tests that have it misbehave.</summary>
    public SimulatedAuthorizations Authorizations { get; private set; } = null!;

    /// <summary>Starts everything and returns when it answers.</summary>
    /// <param name="options">How.</param>
    /// <param name="say">Told what is being done, while it is done.</param>
    public static async Task<DevHost> StartAsync(DevHostOptions options, Action<string>? say = null)
    {
        say ??= _ => { };
        var address = $"https://localhost:{options.Port}";
        var host = new DevHost(address);
        try
        {
            await host.StartPartsAsync(options, address, say);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var part in Enumerable.Reverse(_parts))
            await part.DisposeAsync();
        _folder?.Dispose();
    }

    private async Task StartPartsAsync(DevHostOptions options, string address, Action<string> say)
    {
        var root = Path.GetFullPath(options.DataFolder);
        say($"state in {root}");
        var folder = _folder = DevelopmentFolder.Open(root);
        var (keys, repository) = ($"process:{root}/keys", $"process:{root}/repository");
        var outside = $"https://localhost:{options.Port + 1}";
        // The longest work of the start, for which repository and gateway wait: it is done beside the rest.
        _ = KnownProfiles.PrepareAsync();

        var revocation = new RevocationResponder(folder.Authority);
        var simulators = new SimulatorOptions
        {
            Port = options.Port + 1,
            PublicAddress = outside,
            TlsCertificateFile = folder.ServerCertificateFile,
            TlsKeyFile = folder.ServerKeyFile,
            Revocation = revocation,
            Register = new(folder.RegisterClientThumbprint),
            Authorizations = Authorizations = new(DevelopmentFolder.MandatesClientId, File.ReadAllText(folder.MandatesApiKeyFile), File.ReadAllText(folder.MandatesPasswordFile), address + "/on-behalf/back") { Relations = DevelopmentFolder.Relations },
            OperatorTenant = new(DevelopmentFolder.OperatorTenantId, DevelopmentFolder.OperatorClientId, folder.OperatorCertificateFile, address + "/signin-operator") { Operators = DevelopmentFolder.Operators },
            Citizens = [.. DevelopmentFolder.Citizens, DevelopmentFolder.Foreigner],
            Professionals = DevelopmentFolder.Professionals,
            Client = BrokerClient.FromKeyFiles(DevelopmentFolder.BrokerClientId, address + "/signin-ftn", folder.BrokerSigningKeyFile, folder.BrokerEncryptionKeyFile),
            ProfessionalAudience = DevelopmentFolder.ProfessionalAudience,
            ProfessionalClient = new(DevelopmentFolder.ProfessionalClientId, folder.ProfessionalCertificateFile, issuer => address + ProfessionalSignIn.RedirectPathOf(issuer)),
        };
        say("clinics: " + string.Join(", ", DevelopmentFolder.Clinics.Select(c => c.Name)));
        folder.Publish(address, simulators);

        say("key service: wrapping key in a file of its owner");
        await RunAsync(KeysHost.Build(new KeysOptions { Listen = keys, KeyFile = folder.WrappingKeyFile, GatewayKeyFile = folder.GrantPublicKeyFile, CreateStores = true }, options.Configure));
        say(options.Postgres is null ? "repository: SQLite" : "repository: PostgreSQL");
        var repositoryHost = RepositoryHost.Build(new RepositoryOptions
        {
            Listen = repository,
            Keys = keys,
            DatabaseFile = folder.DatabaseFile,
            Postgres = options.Postgres,
            IdentifierKeyFile = folder.IdentifierKeyFile,
            GatewayKeyFile = folder.GrantPublicKeyFile,
            CreateStores = true,
            MaxBinary = options.MaxBinary,
        }, options.Configure);
        say("simulators: trust network broker, clinics' identity providers, revocation responder, role register, e-Authorizations, operators' tenant");
        var simulatorHost = SimulatorHost.Build(simulators, options.Configure);
        var behind = Task.WhenAll(RunAsync(repositoryHost), RunAsync(simulatorHost));
        say(options.Redis is null ? "gateway: shared state in memory" : "gateway: shared state in Redis");
        var gatewayHost = GatewayHost.Build(new GatewayOptions
        {
            PublicAddress = address,
            Port = options.Port,
            TlsCertificateFile = folder.ServerCertificateFile,
            TlsKeyFile = folder.ServerKeyFile,
            ClientAuthorityFile = folder.CaFile,
            TerminatorListen = options.TerminatorPort is { } port ? $"http://127.0.0.1:{port}" : null,
            MetricsListen = $"http://127.0.0.1:{options.Port + 2}",
            Otlp = options.Otlp,
            Repository = repository,
            Keys = keys,
            GrantKeyFile = folder.GrantKeyFile,
            IdentifierKeyFile = folder.IdentifierKeyFile,
            AuditFolder = folder.AuditFolder,
            AuditOrigin = "localhost/kanta-audit",
            CreateStores = true,
            Redis = options.Redis,
            MaxBinary = options.MaxBinary,
            Identification = new IdentificationOptions
            {
                ClientsFile = folder.ClientsFile,
                TokenKeyFile = folder.TokenKeyFile,
                TestIdentityCodes = true,
                FailuresPerMinute = DevHostOptions.FailuresPerMinute,
                TokenRequestsPerMinute = 60_000,
                SignInsPerMinute = 600,
                UpstreamAuthorityFile = folder.CaFile,
                RevocationSources = [new RevocationSource { Authority = folder.Authority.Fingerprint, CrlAddress = outside + revocation.ListPath, OcspAddress = outside + revocation.ResponderPath }],
                RoleRegister = new() { Address = outside + SimulatedRoleRegister.Path, CertificateFile = folder.RegisterCertificateFile, KeyFile = folder.RegisterKeyFile },
                ProfessionalIssuers = [.. DevelopmentFolder.Clinics.Select(c => new ProfessionalIssuer(simulators.ClinicIssuer(c.Name), DevelopmentFolder.ProfessionalAudience, c.Oid)
                {
                    SignIn = new(DevelopmentFolder.ProfessionalClientId, folder.ProfessionalCertificateFile, folder.ProfessionalKeyFile),
                })],
                Mandates = new()
                {
                    Address = outside,
                    ClientId = DevelopmentFolder.MandatesClientId,
                    ApiKeyFile = folder.MandatesApiKeyFile,
                    OAuthPasswordFile = folder.MandatesPasswordFile,
                },
                Operators = new()
                {
                    Authority = simulators.OperatorTenant.IssuerUnder(outside),
                    Tenant = DevelopmentFolder.OperatorTenantId,
                    ClientId = DevelopmentFolder.OperatorClientId,
                    CertificateFile = folder.OperatorCertificateFile,
                    KeyFile = folder.OperatorKeyFile,
                    Acrs = OperatorTenant.PhishingResistant,
                    LogFolder = folder.DecisionLogFolder,
                    LogKeyFile = folder.DecisionLogKeyFile,
                },
                Citizens = new CitizenIdentification
                {
                    Authority = simulators.FtnIssuer,
                    ClientId = DevelopmentFolder.BrokerClientId,
                    SigningKeyFile = folder.BrokerSigningKeyFile,
                    EncryptionKeyFile = folder.BrokerEncryptionKeyFile,
                    Acr = simulators.Acr,
                    FurtherAcrs = simulators.FurtherAcrs,
                },
            },
        }, options.Configure);
        await File.WriteAllTextAsync(folder.AuditVerifierFile, gatewayHost.Services.GetRequiredService<AuditLog>().Verifier + "\n");
        await behind;
        await RunAsync(gatewayHost);
    }

    private async Task RunAsync(WebApplication part)
    {
        _parts.Add(part);
        await part.StartAsync();
    }
}
