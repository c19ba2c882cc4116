using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Gateway.Operations;
using KantaGateway.Simulators;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Tests.Identification;

/// <summary>A clock that tests can move.</summary>
public sealed class ShiftedClock : TimeProvider
{
    public TimeSpan Ahead { get; set; }
    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead;
}

/// <summary>A clinic system as its vendor would write it.</summary>
public sealed class SomeClinic(string name, string organisation, AsymmetricSecurityKey key, string algorithm, IssuedCertificate certificate)
{
    public string Name { get; } = name;
    public string ClientId => Name + "-system";
    public string Organisation { get; } = organisation;
    public AsymmetricSecurityKey Key { get; } = key;
    public string Algorithm { get; } = algorithm;
    public IssuedCertificate Certificate { get; } = certificate;

    public string PublicJwk
    {
        get
        {
            var jwk = Key switch
            {
                ECDsaSecurityKey ec => JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(ECDsa.Create(ec.ECDsa.ExportParameters(false))) { KeyId = ec.KeyId }),
                RsaSecurityKey rsa => JsonWebKeyConverter.ConvertFromRSASecurityKey(new RsaSecurityKey(rsa.Rsa.ExportParameters(false)) { KeyId = rsa.KeyId }),
                _ => throw new InvalidOperationException(),
            };
            return jwk.Kty == "EC"
                ? $$"""{"kty":"EC","crv":"{{jwk.Crv}}","x":"{{jwk.X}}","y":"{{jwk.Y}}","kid":"{{jwk.Kid}}"}"""
                : $$"""{"kty":"RSA","n":"{{jwk.N}}","e":"{{jwk.E}}","kid":"{{jwk.Kid}}"}""";
        }
    }
}

/// <summary>
/// The gateway's identification alone behind real TLS, with the simulated outside world: <c>/fhir/whoami</c> and
/// <c>/whoami</c> answer what it has found out.
/// </summary>
public sealed class IdentificationWorld : IAsyncLifetime
{
    /// <summary>Entra ID tenants, both of Aurora.</summary>
    public static readonly string[] Tenants = ["5f8a1c52-0000-4000-8000-000000000001", "5f8a1c52-0000-4000-8000-000000000002"];

    public const string Acr = "http://ftn.ficora.fi/2017/loatest2";
    public const string OperatorTenantId = "00000000-0000-0000-0000-00000000000a";
    public const string HigherAcr = "http://ftn.ficora.fi/2017/loatest3";

    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-identification").FullName;
    private WebApplication _gateway = null!;
    private WebApplication _simulators = null!;

    internal DevelopmentAuthority Authority { get; } = DevelopmentAuthority.Create();
    internal RevocationResponder Revocation { get; private set; } = null!;
    internal SimulatedRoleRegister Register { get; private set; } = null!;
    internal OperatorTenant Entra { get; private set; } = null!;
    internal SimulatedAuthorizations Authorizations { get; private set; } = null!;
    internal SomePseudonyms Pseudonyms { get; } = new();
    internal SeenActs Acts { get; } = new();
    internal GatewayOptions Options { get; private set; } = null!;
    internal SimulatorOptions Outside { get; private set; } = null!;
    public ShiftedClock Clock { get; } = new();
    internal SeenRefusals Refusals { get; } = new();
    internal SeenLogs Logs { get; } = new();
    /// <summary>What a clinic publishes at <see cref="ClinicKeysUrl"/>.</summary>
    internal string ClinicKeys { get; set; } = "{}";
    internal string ClinicKeysUrl => Outside.PublicAddress + "/clinic/jwks";
    public SomeClinic Aurora { get; private set; } = null!;
    public SomeClinic Revontuli { get; private set; } = null!;
    internal IServiceProvider Services => _gateway.Services;
    public string TokenUrl => Options.PublicAddress + "/connect/token";

    public async Task InitializeAsync()
    {
        Aurora = new("aurora", "1.2.246.10.90000001", new ECDsaSecurityKey(ECDsa.Create(ECCurve.NamedCurves.nistP384)) { KeyId = "aurora-1" }, "ES384",
            Authority.IssueOrganisation(Oid.Parse("1.2.246.10.90000001"), "Aurora Oy"));
        Revontuli = new("revontuli", "1.2.246.10.90000002", new RsaSecurityKey(RsaKeys.Of("revontuli")) { KeyId = "revontuli-1" }, "RS384",
            Authority.IssueOrganisation(Oid.Parse("1.2.246.10.90000002"), "Revontuli Oy"));

        var (port, outsidePort, terminator) = (FreePort(), FreePort(), FreePort());
        var server = Authority.IssueServer("localhost", "127.0.0.1");
        string Write(string name, string text)
        {
            var path = Path.Combine(_folder, name);
            File.WriteAllText(path, text);
            return path;
        }
        string NewRsa(string name)
        {
            using var rsa = RsaKeys.Of(name);
            return Write(name, rsa.ExportPkcs8PrivateKeyPem());
        }
        using var logKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var entra = OperatorTenant.NewApplicationCertificate();
        var atClinics = OperatorTenant.NewApplicationCertificate();
        var signIn = new ProfessionalSignIn("kanta-app", Write("clinics.pem", atClinics.CertificatePem), Write("clinics.key", atClinics.KeyPem));
        using var tokenKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var ca = Write("ca.pem", Authority.CertificatePem);
        var tls = Write("tls.pem", server.ChainPem);
        var tlsKey = Write("tls.key", server.KeyPem);
        var outside = $"https://localhost:{outsidePort}";
        var address = $"https://localhost:{port}";
        Revocation = new(Authority, Clock);
        var own = Authority.IssueOrganisation(Oid.Parse("1.2.246.10.90000009"), "KantaGateway");
        Register = new(own.Thumbprint);

        Options = new GatewayOptions
        {
            PublicAddress = address, Port = port, TlsCertificateFile = tls, TlsKeyFile = tlsKey, ClientAuthorityFile = ca,
            TerminatorListen = $"http://127.0.0.1:{terminator}",
            Repository = "unix:/nowhere", Keys = "unix:/nowhere", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "test",
            JointControllers = [Aurora.Organisation, "1.2.246.10.90000008"],
            Identification = new IdentificationOptions
            {
                ClientsFile = Path.Combine(_folder, "clients.json"),
                TokenKeyFile = Write("token.key", tokenKey.ExportPkcs8PrivateKeyPem()),
                UpstreamAuthorityFile = ca,
                TestIdentityCodes = true,
                FailuresPerMinute = 1_000_000,
                RevocationSources = [new RevocationSource { Authority = Authority.Fingerprint, CrlAddress = outside + Revocation.ListPath, OcspAddress = outside + Revocation.ResponderPath }],
                TokenRequestsPerMinute = 1_000_000,
                SignInsPerMinute = 1_000_000,
                RoleRegister = new() { Address = outside + SimulatedRoleRegister.Path, CertificateFile = Write("register.pem", own.ChainPem), KeyFile = Write("register.key", own.KeyPem), TimeoutSeconds = 1 },
                ProfessionalIssuers =
                [
                    .. new[] { Aurora, Revontuli }.Select(c => new ProfessionalIssuer($"{outside}/idp/{c.Name}", "kanta", c.Organisation) { SignIn = signIn }),
                    .. Tenants.Select(tenant => new ProfessionalIssuer($"{outside}/entra/{tenant}/v2.0", "kanta", Aurora.Organisation) { Tenant = tenant, Roles = ["Kanta.Professional"], SignIn = signIn }),
                ],
                Citizens = new CitizenIdentification
                {
                    Authority = outside + "/ftn", ClientId = "kanta-portal", Acr = Acr, FurtherAcrs = [HigherAcr], ServiceName = "Kanta test",
                    SigningKeyFile = NewRsa("ftn-signing.key"), EncryptionKeyFile = NewRsa("ftn-encryption.key"),
                },
                Mandates = new() { Address = outside, ClientId = "kanta001", ApiKeyFile = Write("mandates-api.key", ApiKey), OAuthPasswordFile = Write("mandates-password.key", "a-password"), TimeoutSeconds = 1 },
                Operators = new()
                {
                    Authority = $"{outside}{OperatorTenant.Path}/{OperatorTenantId}/v2.0", Tenant = OperatorTenantId, ClientId = "kanta-operators", Acrs = OperatorTenant.PhishingResistant, Amr = ["fido", "x509"],
                    CertificateFile = Write("entra.pem", entra.CertificatePem), KeyFile = Write("entra.key", entra.KeyPem),
                    LogFolder = Directory.CreateDirectory(Path.Combine(_folder, "operators")).FullName, LogKeyFile = Write("operators.key", logKey.ExportPkcs8PrivateKeyPem()),
                },
            },
        };
        WriteClients();

        Outside = new SimulatorOptions
        {
            Tenants = [.. Tenants.Select(tenant => new SimulatedTenant(tenant, "aurora"))],
            Revocation = Revocation,
            Register = Register,
            Authorizations = Authorizations = new("kanta001", ApiKey, "a-password", address + "/on-behalf/back")
            {
                Time = Clock,
                Relations =
                [
                    new(TestCode, CodeOf("150315A902"), IsCustodian: true), new(TestCode, CodeOf("160316A903"), IsCustodian: true, HasNonDisclosureOrder: true),
                    new(TestCode, CodeOf("300341-904"), IsCustodian: false), new(CodeOf("020280-901"), CodeOf("300341-904"), IsCustodian: false),
                    new(TestCode, CodeOf("170317A905"), IsCustodian: true),
                ],
            },
            ProfessionalClient = new(signIn.ClientId, signIn.CertificateFile, issuer => address + ProfessionalSignIn.RedirectPathOf(issuer)),
            OperatorTenant = Entra = new(OperatorTenantId, "kanta-operators", Options.Identification.Operators!.CertificateFile, address + "/signin-operator")
            {
                Time = Clock,
                Operators =
                [
                    new("00000000-0000-0000-0000-0000000000a1", "Olga Operaattori", "Kanta.Onboarding"), new("00000000-0000-0000-0000-0000000000a2", "Heikki Hyväksyjä", "Kanta.Onboarding"),
                    new("00000000-0000-0000-0000-0000000000a3", "Aatu Avaintenhoitaja", "Kanta.Keys"), new("00000000-0000-0000-0000-0000000000a4", "Ville Vieras"),
                    new("00000000-0000-0000-0000-0000000000a5", "Tiina Tietosuoja", "Kanta.DataProtection"), new("00000000-0000-0000-0000-0000000000a6", "Tero Tietosuoja", "Kanta.DataProtection"),
                    new("00000000-0000-0000-0000-0000000000a7", "Aino Avaintenhoitaja", "Kanta.Keys"),
                ],
            },
            Port = outsidePort, PublicAddress = outside, TlsCertificateFile = tls, TlsKeyFile = tlsKey, Acr = Acr, ProfessionalAudience = "kanta",
            Client = BrokerClient.FromKeyFiles("kanta-portal", address + "/signin-ftn", Options.Identification.Citizens.SigningKeyFile, Options.Identification.Citizens.EncryptionKeyFile),
            Citizens =
            [
                new(TestCode, "Aino Esimerkki", "adult"),
                new("", "Jane Foreign", "without a Finnish identity code"),
                new("131052-308T", "Ossi Oikea", "with a code outside the test series"),
                new("020280-901" + PersonalIdentityCode.CheckCharacterOf("020280", "901"), "Veikko Verrokki", "another adult"),
                new("010190-900?", "Kaisa Kirjoitusvirhe", "with a code that is none"),
                new(CodeOf("150315A902"), "Onni Koe", "minor"),
                new(CodeOf("160316A903"), "Oona Koe", "minor with a non-disclosure order"),
                new(CodeOf("300341-904"), "Toivo Vanhus", "mandate giver"),
            ],
            Professionals = [new("90001", "Lasse Lääkäri", "laakari", "aurora"), new("90002", "Helmi Hoitaja", "sairaanhoitaja", "revontuli")],
        };
        _simulators = SimulatorHost.Build(Outside, builder => builder.Logging.ClearProviders());
        _simulators.MapGet("/clinic/jwks", () => Results.Content(ClinicKeys, "application/jwk-set+json"));
        _gateway = BuildGateway(Options);
        await Task.WhenAll(_simulators.StartAsync(), _gateway.StartAsync());
    }

    public const string ApiKey = "key-of-the-web-api";

    /// <summary>A code with its check character.</summary>
    internal static string CodeOf(string start) => start + PersonalIdentityCode.CheckCharacterOf(start.AsSpan(0, 6), start.AsSpan(7));

    /// <summary>A valid code of the 900 series.</summary>
    public static string TestCode { get; } = "010190-900" + PersonalIdentityCode.CheckCharacterOf("010190", "900");

    internal WebApplication BuildGateway(GatewayOptions options, Action<WebApplicationBuilder>? configure = null, Action<WebApplication>? map = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().AddProvider(Logs).SetMinimumLevel(LogLevel.Trace);
        builder.Services.AddSingleton<TimeProvider>(Clock);
        builder.Services.AddSingleton<IPseudonyms>(Pseudonyms);
        builder.Services.AddSingleton(new IdentifierCipher(new byte[IdentifierCipher.KeySize]));
        builder.Services.AddSingleton<IIdentificationObserver>(Refusals);
        builder.Services.AddSingleton<IOperatorObserver>(Acts);
        builder.AddIdentification(options);
        configure?.Invoke(builder);
        var app = builder.Build();
        app.UseFaults();
        app.MapIdentification();
        app.MapOperatorClients(options);
        app.MapGet("/fhir/whoami", async (HttpContext context, IIdentification identification) =>
        {
            var (requester, fault) = await identification.IdentifyAsync(context);
            // What the pipeline does not record by itself.
            if (AttemptLimits.IsCounted(context))
                context.Response.Headers["X-Counted"] = "1";
            return fault is null ? Results.Json(Describe(requester!))
                : Results.Bytes(FaultTable.ToOperationOutcome(fault, "test", OutcomeLanguage.English), "application/fhir+json").WithStatus(FaultTable.Of(fault.Kind).Status);
        });
        app.MapGet("/whoami", (HttpContext context, IIdentification identification) =>
            identification.PortalRequester(context) is { } requester ? Results.Json(Describe(requester)) : Results.StatusCode(401));
        // As the portal's filter does before every page with a record.
        app.MapGet("/whose", async (HttpContext context, IIdentification identification) =>
            identification.PortalRequester(context) is not { } requester ? Results.StatusCode(401)
            : await context.RequestServices.GetRequiredService<Representations>().OfAsync(context, requester) switch
            {
                Standing.For(var person) => Results.Json(new { standing = "for", compartment = person.Compartment.Encode(), kind = person.Kind.ToString(), name = person.Name }),
                Standing.Unknown(var person) => Results.Json(new { standing = "unknown", name = person.Name }),
                Standing.Ended(var isRefused) => Results.Json(new { standing = isRefused ? "refused" : "expired" }),
                _ => Results.Json(new { standing = "oneself" }),
            });
        app.MapGet("/operator-whoami", async (HttpContext context) => await OperatorSessions.OfAsync(context) is { } who
            ? Results.Json(new { who.Tenant, who.Id, who.Name, roles = who.Roles.Order().Select(r => r.ToString()) }) : Results.StatusCode(401));
        if (map is not null)
            map(app);
        else
            app.MapGet("/", () => "start");
        // As the portal's page does for an app of a clinic.
        app.MapGet(PushedAuthorization.AuthorizePath, async (HttpContext context, AppAuthorizations apps, ClientRegistry registry, ClinicSignIn clinics) =>
        {
            var (client, request) = (context.Request.Query["client_id"].ToString(), context.Request.Query["request_uri"].ToString());
            if (await apps.ArriveAsync(request, client) is { } asked && registry.AppOf(asked) is { } found)
                await clinics.BeginAsync(context, found, asked, request);
            else
                context.Response.StatusCode = 400;
        });
        app.MapGet("/address", (HttpContext context) => context.Connection.RemoteIpAddress?.ToString());
        return app;
    }

    private static object Describe(Requester r) => new
    {
        kind = r.Kind.ToString(), r.ClientId, organisation = r.Organisation.ToString(), r.OrganisationName, subscriber = r.Subscriber?.Organisation.ToString(), r.Caller, controllerKind = r.ControllerKind.ToString(), services = r.Services.ToString(), r.ProducesFor, r.JointWith,
        r.ProfessionalId, r.ProfessionalName, r.Profession, tasks = r.Tasks?.ToString(), r.Unit, self = r.Self?.Encode(), r.CitizenName, r.PurposeOfUse, r.Acr, r.TokenId, r.Scopes,
    };

    /// <param name="change">Changes a registration before it is written.</param>
    internal void WriteClients(Func<ClientRegistration, ClientRegistration>? change = null)
    {
        ClientRegistration Register(SomeClinic clinic) => new()
        {
            ClientId = clinic.ClientId, OrganisationOid = clinic.Organisation, OrganisationName = clinic.Name + " Oy", ControllerKind = ControllerKind.Private,
            Jwks = new RegisteredKeys { Keys = [JsonDocument.Parse(clinic.PublicJwk).RootElement] },
            TokenEndpointAuthSigningAlg = [clinic.Algorithm],
            Scopes = ["system/*.cruds", "user/*.cruds"],
        };
        change ??= static it => it;
        File.WriteAllBytes(Options.Identification.ClientsFile, ClientDirectory.Write([change(Register(Aurora)), change(Register(Revontuli))]));
    }

    /// <summary>Changes the clients file for a while; the clock moves on so that the change is looked at.</summary>
    internal async Task WithClientsAsync(Func<ClientRegistration, ClientRegistration> change, Func<Task> act)
    {
        WriteClients(change);
        Clock.Ahead += TimeSpan.FromSeconds(2);
        try
        {
            await act();
        }
        finally
        {
            WriteClients();
            Clock.Ahead += TimeSpan.FromSeconds(2);
        }
    }

    /// <summary>Issues a certificate with a short name in the tests.</summary>
    internal IssuedCertificate Issue(string organisation, DateTimeOffset? from = null, DateTimeOffset? to = null) =>
        Authority.IssueOrganisation(Oid.Parse(organisation), "Another certificate", from, to);

    public HttpClient Connect(IssuedCertificate? certificate = null, CookieContainer? cookies = null)
    {
        var handler = new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = cookies is not null };
        if (cookies is not null)
            handler.CookieContainer = cookies;
        var roots = new X509Certificate2Collection();
        roots.ImportFromPem(Authority.CertificatePem);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(roots);
        handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        if (certificate is not null)
            handler.SslOptions.ClientCertificates = [certificate.Open()];
        return new HttpClient(handler) { BaseAddress = new Uri(Options.PublicAddress) };
    }

    /// <param name="change">Changes claims; a null value removes one.</param>
    internal string Assertion(SomeClinic clinic, Action<Dictionary<string, object?>>? change = null, string type = "JWT", SigningCredentials? signing = null, Dictionary<string, object>? header = null)
    {
        var now = DateTimeOffset.UtcNow + Clock.Ahead;
        var claims = new Dictionary<string, object?>
        {
            ["iss"] = clinic.ClientId, ["sub"] = clinic.ClientId, ["aud"] = TokenUrl, ["jti"] = Guid.NewGuid().ToString(),
            ["iat"] = now.ToUnixTimeSeconds(), ["exp"] = now.AddMinutes(4).ToUnixTimeSeconds(),
        };
        change?.Invoke(claims);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Claims = claims.Where(c => c.Value is not null).ToDictionary(c => c.Key, c => c.Value!),
            SigningCredentials = signing ?? new SigningCredentials(clinic.Key, clinic.Algorithm),
            TokenType = type,
            AdditionalHeaderClaims = header,
        });
    }

    internal Dictionary<string, string> ClientCredentials(SomeClinic clinic, string? assertion = null) => new()
    {
        ["grant_type"] = "client_credentials", ["scope"] = "system/*.cruds",
        ["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", ["client_assertion"] = assertion ?? Assertion(clinic),
    };

    internal async Task<(HttpStatusCode Status, JsonElement Body)> PostTokenAsync(Dictionary<string, string> form, IssuedCertificate? certificate)
    {
        using var http = Connect(certificate);
        using var response = await http.PostAsync("/connect/token", new FormUrlEncodedContent(form));
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>());
    }

    internal async Task<string> TokenAsync(SomeClinic clinic)
    {
        var (status, body) = await PostTokenAsync(ClientCredentials(clinic), clinic.Certificate);
        Assert.Equal(HttpStatusCode.OK, status);
        return body.GetProperty("access_token").GetString()!;
    }

    internal async Task<string> SubjectTokenAsync(string clinic, string professional)
    {
        using var http = Connect();
        using var response = await http.PostAsJsonAsync(Outside.SubjectTokenUrl(clinic), new { professional });
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("subject_token").GetString()!;
    }

    internal Dictionary<string, string> TokenExchange(SomeClinic clinic, string subjectToken) => new(ClientCredentials(clinic))
    {
        ["grant_type"] = "urn:ietf:params:oauth:grant-type:token-exchange", ["scope"] = "user/*.cruds",
        ["subject_token"] = subjectToken, ["subject_token_type"] = "urn:ietf:params:oauth:token-type:access_token",
    };

    /// <summary>What <c>/fhir/whoami</c> answers; a fault's body is its OperationOutcome.</summary>
    internal async Task<(HttpStatusCode Status, JsonElement Body, string Challenge)> WhoAmIAsync(string? token, IssuedCertificate? certificate)
    {
        using var http = Connect(certificate);
        if (token is not null)
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var response = await http.GetAsync("/fhir/whoami");
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>(), response.Headers.WwwAuthenticate.ToString());
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _simulators.DisposeAsync();
        Authority.Dispose();
        Directory.Delete(_folder, true);
    }

    internal static int FreePort() => RunningHost.FreePorts();

    internal sealed class SomePseudonyms : IPseudonyms
    {
        private readonly ConcurrentDictionary<PersonalIdentityCode, bool> _given = new();
        private int _asked, _looked;

        public int Asked => Volatile.Read(ref _asked);

        /// <summary>How often somebody was looked for who is given no number by it.</summary>
        public int Looked => Volatile.Read(ref _looked);

        public ValueTask<Pseudonym?> FindAsync(PersonalIdentityCode code, CancellationToken cancel)
        {
            Interlocked.Increment(ref _looked);
            return new(_given.ContainsKey(code) ? Of(code) : null);
        }

        public ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel)
        {
            Interlocked.Increment(ref _asked);
            _given[code] = true;
            return new(Of(code));
        }

        private static Pseudonym Of(PersonalIdentityCode code) => Pseudonym.Read(SHA256.HashData(Encoding.ASCII.GetBytes(code.Reveal())));
    }
}

/// <summary>What operators did, as the audit would be told of it.</summary>
internal sealed class SeenActs : IOperatorObserver
{
    private readonly List<(string Who, string Act, string? Refused, byte[]? Digest)> _seen = [];

    public IReadOnlyList<(string Who, string Act, string? Refused, byte[]? Digest)> All { get { lock (_seen) return [.. _seen]; } }

    /// <summary>Set: the audit cannot be written.</summary>
    public bool IsAway { get; set; }

    public ValueTask ActedAsync(HttpContext context, Operator who, string act, string? refused, byte[]? digest)
    {
        if (IsAway)
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "away"));
        lock (_seen)
            _seen.Add((who.Name, act, refused, digest));
        return default;
    }

    public ValueTask MachineActedAsync(string act, string? refused, byte[]? digest)
    {
        if (IsAway)
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "away"));
        lock (_seen)
            _seen.Add(("machine", act, refused, digest));
        return default;
    }
}

/// <summary>Refusals as the audit would be told of them.</summary>
internal sealed class SeenRefusals : IIdentificationObserver
{
    private readonly List<(string Client, string Reason)> _seen = [];

    public IReadOnlyList<(string Client, string Reason)> All { get { lock (_seen) return [.. _seen]; } }

    public ValueTask RefusedAsync(HttpContext context, string clientIdOrEmpty, string reason, CancellationToken cancel)
    {
        lock (_seen)
            _seen.Add((clientIdOrEmpty, reason));
        return default;
    }

    /// <summary>Set: the audit cannot be written.</summary>
    public bool IsAway { get; set; }

    public ValueTask HeldAsync(IPAddress? address, string clientIdOrEmpty, string reason, CancellationToken cancel)
    {
        if (IsAway)
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "The audit cannot be written."));
        lock (_seen)
            _seen.Add((clientIdOrEmpty, $"{address}: {reason}"));
        return default;
    }

    private readonly List<(Pseudonym? Who, Pseudonym For, RepresentationKind? Kind, string? Refusal)> _represented = [];

    /// <summary>Who came to act for whom, or did not.</summary>
    public IReadOnlyList<(Pseudonym? Who, Pseudonym For, RepresentationKind? Kind, string? Refusal)> Represented { get { lock (_seen) return [.. _represented]; } }

    private readonly List<Requester> _refreshed = [];

    /// <summary>What apps went on with.</summary>
    public IReadOnlyList<Requester> Refreshed { get { lock (_seen) return [.. _refreshed]; } }

    public ValueTask RefreshedAsync(HttpContext context, Requester app, CancellationToken cancel)
    {
        if (IsAway)
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "The audit cannot be written."));
        lock (_seen)
            _refreshed.Add(app);
        return default;
    }

    public ValueTask RepresentationAsync(HttpContext context, Requester citizen, Pseudonym person, RepresentationKind? kind, string? refusal, CancellationToken cancel)
    {
        if (IsAway)
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "The audit cannot be written."));
        lock (_seen)
            _represented.Add((citizen.Self, person, kind, refusal));
        return default;
    }
}

internal sealed class SeenLogs : ILoggerProvider, ILogger
{
    private readonly StringBuilder _text = new();

    public override string ToString() { lock (_text) return _text.ToString(); }
    public int Length { get { lock (_text) return _text.Length; } }

    /// <summary>What has been logged since it had this length.</summary>
    public string Since(int length) { lock (_text) return _text.ToString(length, _text.Length - length); }
    public ILogger CreateLogger(string categoryName) => this;
    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
    public bool IsEnabled(LogLevel logLevel) => true;
    public void Dispose() { }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_text)
            _text.AppendLine(formatter(state, exception)).Append(exception);
    }
}

internal static class ResultExtensions
{
    public static IResult WithStatus(this IResult result, int status) => new StatusResult(result, status);

    private sealed class StatusResult(IResult inner, int status) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.StatusCode = status;
            return inner.ExecuteAsync(httpContext);
        }
    }
}

/// <summary>One world for many classes: starting one takes a second. Those of one collection run one after another, so there are three.</summary>
[CollectionDefinition(Name)]
public sealed class IdentificationCollection : ICollectionFixture<IdentificationWorld>
{
    public const string Name = "Identification";
}

/// <summary>A world for what citizens, apps and strangers do on the way in.</summary>
[CollectionDefinition(Name)]
public sealed class SignInCollection : ICollectionFixture<IdentificationWorld>
{
    public const string Name = "Sign-in";
}

/// <summary>A world for what operators do.</summary>
[CollectionDefinition(Name)]
public sealed class OperatorsCollection : ICollectionFixture<IdentificationWorld>
{
    public const string Name = "Operators";
}
