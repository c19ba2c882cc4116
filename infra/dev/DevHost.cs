using System.Security.Cryptography.X509Certificates;
using KantaGateway.Audit;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Operations;
using KantaGateway.Gateway.Operations.Witnesses;
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

    /// <summary>PostgreSQL connection string of a role that owns the database and may make roles; null: SQLite.</summary>
    public string? Postgres { get; init; }

    /// <summary>The same for a database of its own, of the audit log that all gateways share; null: each gateway has its own, in files.</summary>
    public string? AuditPostgres { get; init; }

    /// <summary>Redis connection string; null: in memory.</summary>
    public string? Redis { get; init; }

    /// <summary>Plain HTTP port for a trusted TLS terminator on this machine; null: none.</summary>
    public int? TerminatorPort { get; init; }

    /// <summary>TLS port for HL7 v2 over MLLP, of the first clinic's system alone; null: none.</summary>
    public int? MllpPort { get; init; }

    /// <summary>TLS port of the operators' own origin, as they have one in production; null: their pages stand under the gateway's address.</summary>
    public int? OperatorsPort { get; init; }

    /// <summary>OTLP collector of spans and metrics; null: none.</summary>
    public string? Otlp { get; init; }

    /// <summary>Seconds between two rounds of the live probes, 1 to 30; null: none ask.</summary>
    public int? ProbeInterval { get; init; }

    /// <summary>Whether three simulated witnesses are asked to cosign the audit log's checkpoints, two of which are a quorum. One file of the data folder, <c>witness-policy</c>, says who they are.</summary>
    public bool Witnesses { get; init; }

    /// <summary>People whom one client, or person, may open within an hour, 1 or more; null: as many as the key service allows by itself.</summary>
    public int? PeopleAnHour { get; init; }

    /// <summary>How many patients may be opened without an open service event; null: any number, for a vendor's tests open as many as they like.</summary>
    public BreadthOptions? Breadth { get; init; }

    /// <summary>Repository and key service listen on Unix sockets in the data folder, where other processes of the same user reach them.</summary>
    public bool Sockets { get; init; }

    /// <summary>
    /// Repositories over the one database, 1 or more. With <see cref="Sockets"/> those after the first are processes of their own, which the product's program runs on the files that the host writes for them
    /// (<see cref="DevelopmentFolder.RepositoryOptionsFile"/>).
    /// </summary>
    public int Repositories { get; init; } = 1;

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
    private GatewayOptions? _gateway;
    private Action<WebApplicationBuilder>? _configure;

    private DevHost(string address) => Address = address;

    /// <summary>The gateway's public address, no trailing slash.</summary>
    public string Address { get; }

    /// <summary>Where operators' pages are, no trailing slash.</summary>
    public string OperatorsAddress => _gateway?.Identification.Operators?.Address ?? Address;

    /// <summary>The running gateway, for tests that look inside.</summary>
    public WebApplication Gateway => _parts[^1];

    /// <summary>The running repository, the first where there are several, for tests that look inside.</summary>
    public WebApplication Records => AllRecords[0];

    /// <summary>The running repositories of this process.</summary>
    public IReadOnlyList<WebApplication> AllRecords { get; private set; } = null!;

    /// <summary>The simulated e-Authorizations, for tests that have it misbehave.</summary>
    public SimulatedAuthorizations Authorizations { get; private set; } = null!;

    /// <summary>The simulated recipients of breach cases.</summary>
    public SimulatedBreachDesk BreachDesk { get; private set; } = null!;
    /// <summary>The simulated witnesses, for tests that have them misbehave.</summary>
    public IReadOnlyList<SimulatedWitness> Witnesses { get; private set; } = [];

    /// <summary>Internal endpoint of the repository; of several all, as a gateway is told them.</summary>
    public string Repository => _gateway?.Repository ?? throw new InvalidOperationException("Not started.");

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

    /// <summary>
    /// Starts a gateway alone, over repository and key service of a host that runs on the same folder with <see cref="DevHostOptions.Sockets"/>.
    /// </summary>
    /// <param name="options">With a port of its own; its metrics are two after it.</param>
    /// <param name="first">The host's port: both are known under its address, as behind a load balancer.</param>
    public static async Task<DevHost> JoinAsync(DevHostOptions options, int first)
    {
        var address = $"https://localhost:{first}";
        var host = new DevHost(address);
        try
        {
            var root = Path.GetFullPath(options.DataFolder);
            var folder = host._folder = DevelopmentFolder.Join(root);
            var outside = $"https://localhost:{first + 1}";
            var revocation = new RevocationResponder(folder.Authority);
            host._gateway = await WithAuditAsync(OptionsOf(options, folder, Outside(folder, address, OperatorsAt(options), outside, first + 1, revocation), address, outside, revocation), options, folder) with
            {
                // The first host's, where it has any.
                Witnesses = File.Exists(folder.WitnessPolicyFile) ? WitnessesOf(folder) : null,
            };
            var gateway = await host.StartFurtherGatewayAsync(options.Port);
            host._parts.Add(gateway);
            await host.RemembersAsync(options.Port, folder.CaFile);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts another gateway over the same repository and key service, with a listener, caches and, where there is no shared one, an audit log of its own; the caller ends it.</summary>
    /// <param name="port">Of its TLS listener; metrics two after it.</param>
    /// <param name="repository">Internal endpoint through which it reaches the repository; null: the repository's own.</param>
    /// <param name="configure">As <see cref="DevHostOptions.Configure"/>, for this one; null: the host's.</param>
    /// <param name="keys">Internal endpoint through which it reaches the key service; null: the key service's own.</param>
    public async Task<WebApplication> StartFurtherGatewayAsync(int port, string? repository = null, Action<WebApplicationBuilder>? configure = null, string? keys = null)
    {
        var gateway = GatewayHost.Build(await FurtherAsync(_gateway ?? throw new InvalidOperationException("Not started."), port, repository, keys), configure ?? _configure);
        // Before it asks the witnesses, which know the logs whose keys stand there.
        if (_folder is { } folder)
            await File.WriteAllTextAsync(folder.AuditVerifierFileOf(port), gateway.Services.GetRequiredService<AuditLog>().Verifier + "\n");
        await gateway.StartAsync();
        return gateway;
    }

    /// <summary>What another gateway is told, with what it needs in its place.</summary>
    private static async Task<GatewayOptions> FurtherAsync(GatewayOptions first, int port, string? repository, string? keys)
    {
        var audit = $"{first.AuditFolder}-{port}";
        if (first.AuditPostgres is not null)
        {
            // One key for the log that all share; what else is in the folder is each gateway's own.
            OwnerOnly.CreateFolder(audit);
            OwnerOnly.WriteWhole(Path.Combine(audit, LogKeyFile.Name), await File.ReadAllBytesAsync(Path.Combine(first.AuditFolder, LogKeyFile.Name)), overwrite: true);
        }
        return first with
        {
            Port = port,
            TerminatorListen = null,
            MllpPort = null,
            Identification = first.Identification with { Operators = first.Identification.Operators! with { Port = null } },
            MetricsListen = $"http://127.0.0.1:{port + 2}",
            Repository = repository ?? first.Repository,
            Keys = keys ?? first.Keys,
            AuditFolder = audit,
            AuditOrigin = first.AuditPostgres is null ? $"{first.AuditOrigin}-{port}" : first.AuditOrigin,
            Breach = first.Breach is { } breach ? breach with { CaseFolder = $"{breach.CaseFolder}-{port}", Gateway = $"{breach.Gateway}-{port}" } : null,
        };
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var part in Enumerable.Reverse(_parts))
            await part.DisposeAsync();
        foreach (var witness in Witnesses)
            witness.Dispose();
        _folder?.Dispose();
    }

    private async Task StartPartsAsync(DevHostOptions options, string address, Action<string> say)
    {
        var root = Path.GetFullPath(options.DataFolder);
        say($"state in {root}");
        var folder = _folder = DevelopmentFolder.Open(root);
        _configure = options.Configure;
        var outside = $"https://localhost:{options.Port + 1}";
        // The longest work of the start, for which repository and gateway wait: it is done beside the rest.
        _ = KnownProfiles.PrepareAsync();

        var revocation = new RevocationResponder(folder.Authority);
        var simulators = Outside(folder, address, OperatorsAt(options), outside, options.Port + 1, revocation);
        Authorizations = simulators.Authorizations!;
        BreachDesk = simulators.BreachDesk;
        if (options.Witnesses)
        {
            say("witnesses of the audit log: " + string.Join(", ", DevelopmentFolder.WitnessNames));
            simulators = simulators with { Witnesses = Witnesses = folder.OpenWitnesses(outside) };
        }
        else
            File.Delete(folder.WitnessPolicyFile);
        _gateway = await WithAuditAsync(OptionsOf(options, folder, simulators, address, outside, revocation), options, folder);
        if (options.AuditPostgres is { } owner)
        {
            say("audit log: PostgreSQL");
            await MigrateAudit.ApplyAsync(_gateway with { AuditPostgresOwner = owner });
        }
        if (options.Sockets)
            folder.Publish(await FurtherAsync(_gateway, options.Port + DevelopmentFolder.FurtherPort, repository: null, keys: null));
        var (keys, repositories) = (_gateway.Keys, _gateway.Repository.Split(';'));
        say("clinics: " + string.Join(", ", DevelopmentFolder.Clinics.Select(c => c.Name)));
        folder.Publish(address, simulators, options.ProbeInterval is not null, options.MllpPort is not null);

        say("key service: wrapping key in a file of its owner");
        await RunAsync(KeysHost.Build(new KeysOptions
        {
            Listen = keys,
            KeyFile = folder.WrappingKeyFile,
            CustodyFolder = folder.CustodyFolder,
            GatewayKeyFile = folder.GrantPublicKeyFile,
            CreateStores = true,
            Budgets = options.PeopleAnHour is { } most ? [new() { Seconds = 3_600, PerRequester = most, Total = int.MaxValue }] : KeysOptions.DefaultBudgets,
        }, options.Configure));
        say(options.Postgres is null ? "repository: SQLite" : "repository: PostgreSQL");
        var records = new RepositoryOptions
        {
            Listen = repositories[0],
            Keys = keys,
            DatabaseFile = folder.DatabaseFile,
            Postgres = options.Postgres is null ? null : await DevelopmentDatabase.MakeServiceRoleAsync(options.Postgres, await File.ReadAllTextAsync(folder.DatabasePasswordFile)),
            IdentifierKeyFile = folder.IdentifierKeyFile,
            GatewayKeyFile = folder.GrantPublicKeyFile,
            MaxBinary = options.MaxBinary,
            ProtectedPracticesFile = folder.ProtectedPracticesFile,
        };
        await MigrateStore.ApplyAsync(records with { PostgresOwner = options.Postgres });
        if (options.Sockets)
            foreach (var (i, listen) in repositories.Index().Skip(1))
                folder.Publish(i + 1, records with { Listen = listen });
        AllRecords = [.. repositories.Take(options.Sockets ? 1 : repositories.Length).Select(listen => RepositoryHost.Build(records with { Listen = listen }, options.Configure))];
        say("simulators: trust network broker, clinics' identity providers, revocation responder, role register, e-Authorizations, operators' tenant");
        var simulatorHost = SimulatorHost.Build(simulators, options.Configure);
        var behind = Task.WhenAll([.. AllRecords.Select(RunAsync), RunAsync(simulatorHost)]);
        say(options.Redis is null ? "gateway: shared state in memory" : "gateway: shared state in Redis");
        var gatewayHost = GatewayHost.Build(_gateway, options.Configure);
        await File.WriteAllTextAsync(folder.AuditVerifierFile, gatewayHost.Services.GetRequiredService<AuditLog>().Verifier + "\n");
        await behind;
        await RunAsync(gatewayHost);
        await RemembersAsync(options.Port, folder.CaFile);
    }

    /// <summary>Redis that is new has a gateway refuse tokens for some seconds; nobody who starts this wants to meet that.</summary>
    private async Task RemembersAsync(int port, string authority)
    {
        if (_gateway?.Redis is null)
            return;
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        policy.CustomTrustStore.ImportFromPemFile(authority);
        using var http = new HttpClient(new SocketsHttpHandler { SslOptions = { CertificateChainPolicy = policy } });
        for (var ready = new Uri($"https://localhost:{port}/health/ready"); (await http.GetAsync(ready)) is { IsSuccessStatusCode: false } answer && (await answer.Content.ReadAsStringAsync()).Contains("redis", StringComparison.Ordinal);)
            await Task.Delay(TimeSpan.FromMilliseconds(250));
    }

    /// <summary>By another name of this machine, since ports part no cookies; null: where citizens are.</summary>
    private static string? OperatorsAt(DevHostOptions options) => options.OperatorsPort is { } port ? $"https://127.0.0.1:{port}" : null;

    private static WitnessOptions WitnessesOf(DevelopmentFolder folder) => new() { PolicyFile = folder.WitnessPolicyFile, AuthorityFile = folder.CaFile };

    private static async Task<GatewayOptions> WithAuditAsync(GatewayOptions gateway, DevHostOptions options, DevelopmentFolder folder) => options.AuditPostgres is not { } owner ? gateway : gateway with
    {
        AuditFolder = folder.SharedAuditFolder,
        AuditPostgres = await DevelopmentDatabase.MakeServiceRoleAsync(owner, await File.ReadAllTextAsync(folder.DatabasePasswordFile)),
    };

    private static SimulatorOptions Outside(DevelopmentFolder folder, string address, string? operators, string outside, int port, RevocationResponder revocation) => new()
    {
        Port = port,
        PublicAddress = outside,
        TlsCertificateFile = folder.ServerCertificateFile,
        TlsKeyFile = folder.ServerKeyFile,
        Revocation = revocation,
        Register = new(folder.RegisterClientThumbprint),
        Authorizations = new(DevelopmentFolder.MandatesClientId, File.ReadAllText(folder.MandatesApiKeyFile), File.ReadAllText(folder.MandatesPasswordFile), address + "/on-behalf/back") { Relations = DevelopmentFolder.Relations },
        OperatorTenant = new(DevelopmentFolder.OperatorTenantId, DevelopmentFolder.OperatorClientId, folder.OperatorCertificateFile, (operators ?? address) + "/signin-operator") { Operators = DevelopmentFolder.Operators },
        Citizens = [.. DevelopmentFolder.Citizens, DevelopmentFolder.Foreigner],
        Professionals = [.. DevelopmentFolder.Professionals, DevelopmentFolder.ProbeProfessional],
        Client = BrokerClient.FromKeyFiles(DevelopmentFolder.BrokerClientId, address + "/signin-ftn", folder.BrokerSigningKeyFile, folder.BrokerEncryptionKeyFile),
        ProfessionalAudience = DevelopmentFolder.ProfessionalAudience,
        ProfessionalClient = new(DevelopmentFolder.ProfessionalClientId, folder.ProfessionalCertificateFile, issuer => address + ProfessionalSignIn.RedirectPathOf(issuer)),
    };

    private static GatewayOptions OptionsOf(DevHostOptions options, DevelopmentFolder folder, SimulatorOptions simulators, string address, string outside, RevocationResponder revocation)
    {
        string Inside(string part) => options.Sockets ? $"unix:{Path.GetFullPath(options.DataFolder)}/{part}.sock" : $"process:{Path.GetFullPath(options.DataFolder)}/{part}";
        return new()
        {
            PublicAddress = address,
            Port = options.Port,
            TlsCertificateFile = folder.ServerCertificateFile,
            TlsKeyFile = folder.ServerKeyFile,
            ClientAuthorityFile = folder.CaFile,
            MllpPort = options.MllpPort,
            TerminatorListen = options.TerminatorPort is { } port ? $"http://127.0.0.1:{port}" : null,
            MetricsListen = $"http://127.0.0.1:{options.Port + 2}",
            Otlp = options.Otlp,
            Repository = string.Join(';', Enumerable.Range(1, options.Repositories).Select(i => Inside(i == 1 ? "repository" : $"repository-{i}"))),
            Keys = Inside("keys"),
            GrantKeyFile = folder.GrantKeyFile,
            IdentifierKeyFile = folder.IdentifierKeyFile,
            AuditFolder = folder.AuditFolder,
            AuditOrigin = "localhost/kanta-audit",
            CreateStores = true,
            Redis = options.Redis,
            MaxBinary = options.MaxBinary,
            EmergencyFolder = folder.EmergencyFolder,
            Witnesses = options.Witnesses ? WitnessesOf(folder) : null,
            ProtectedPracticesFile = folder.ProtectedPracticesFile,
            Breach = new()
            {
                CaseFolder = folder.CaseFolder,
                // Two names of this machine, as two organisations have two.
                Escalation = new()
                {
                    Recipients = [new() { Name = "supervisor", Address = outside + SimulatedBreachDesk.PathOf("supervisor") }, new() { Name = "ombudsman", Address = outside.Replace("localhost", "127.0.0.1", StringComparison.Ordinal) + SimulatedBreachDesk.PathOf("ombudsman") }],
                    AuthorityFile = folder.CaFile,
                },
                Notices = new() { Folder = folder.NoticeFolder, LetterFolder = folder.LetterFolder, LetterKey = folder.LetterKey },
                PeopleFile = folder.PeopleFile,
                Breadth = options.Breadth,
                Canaries = new() { Archivist = folder.ProbeSystemOf(DevelopmentFolder.Clinics[0], "clinics"), AuthorityFile = folder.CaFile },
                Probes = options.ProbeInterval is not { } interval ? null : new()
                {
                    IntervalSeconds = interval,
                    IdentityCodes = DevelopmentFolder.ProbeCodes,
                    Archivist = folder.ProbeSystemOf(DevelopmentFolder.ProbeArchivist),
                    Reader = folder.ProbeSystemOf(DevelopmentFolder.ProbeReader),
                    Professional = DevelopmentFolder.ProbeProfessional.Id,
                    SubjectTokenAddress = simulators.SubjectTokenUrl(DevelopmentFolder.ProbeReader.Name),
                    AuthorityFile = folder.CaFile,
                },
            },
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
                ProfessionalIssuers = [.. DevelopmentFolder.Clinics.Append(DevelopmentFolder.ProbeReader).Select(c => new ProfessionalIssuer(simulators.ClinicIssuer(c.Name), DevelopmentFolder.ProfessionalAudience, c.Oid)
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
                    Authority = simulators.OperatorTenant!.IssuerUnder(outside),
                    Address = OperatorsAt(options),
                    Port = options.OperatorsPort,
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
        };
    }

    private async Task RunAsync(WebApplication part)
    {
        _parts.Add(part);
        await part.StartAsync();
    }
}
