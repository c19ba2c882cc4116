using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Repository;
using KantaGateway.Simulators;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Dev;

/// <summary>A fictional clinic that the development host onboards.</summary>
/// <param name="Name">Folder name under <c>clinics/</c>.</param>
/// <param name="Algorithm">Of its client assertions: ES384 or RS384.</param>
public sealed record DevelopmentClinic(string Name, string Title, string Oid, ControllerKind Kind, string Algorithm)
{
    /// <summary>Points of the decree 457/2024 §4.</summary>
    public IReadOnlyList<int> HealthServices { get; init; } = [1];
}

/// <summary>
/// The files that outside tools rely on (README, "What the development host writes"): made once, kept across starts, except
/// that addresses follow the port.
/// </summary>
public sealed class DevelopmentFolder : IDisposable
{
    /// <summary>Audience of subject tokens: the gateway, as the clinics' identity providers know it.</summary>
    public const string ProfessionalAudience = "kanta-gateway";

    public const string BrokerClientId = "kanta-portal";

    public static IReadOnlyList<DevelopmentClinic> Clinics { get; } =
    [
        new("aurora", "Lääkäriasema Aurora Oy", "1.2.246.10.99000011", ControllerKind.Private, "ES384"),
        new("revontuli", "Revontuli Terveys Oy", "1.2.246.10.99000022", ControllerKind.Private, "RS384"),
        new("keskussairaala", "Pohjolan keskussairaala", "1.2.246.10.99000033", ControllerKind.Public, "ES384") { HealthServices = [1, 2, 7, 12, 14] },
        new("terapia", "Psykoterapeutti Saari", "1.2.246.10.99000044", ControllerKind.Independent, "ES384") { HealthServices = [6] },
        new("tuisku", "Työterveys Tuisku Oy", "1.2.246.10.99000099", ControllerKind.Occupational, "ES384") { HealthServices = [3] },
    ];

    /// <summary>A fictional app that citizens let at their own records; its files are in <c>apps/omakunto/</c>.</summary>
    public static DevelopmentClinic App { get; } = new("omakunto", "Omakunto Sovellukset Oy", "1.2.246.10.99000055", ControllerKind.Private, "ES384");

    /// <summary>Another, which has no TLS certificate: its tokens are bound to a key (FAPI 2.0, DPoP). In <c>apps/taskukunto/</c>.</summary>
    public static DevelopmentClinic KeyBoundApp { get; } = new("taskukunto", "Taskukunto Oy", "1.2.246.10.99000066", ControllerKind.Private, "ES256");

    /// <summary>An app of the clinic aurora, in which its professionals sign in at the clinic's identity provider. In <c>apps/vastaanotto/</c>.</summary>
    public static DevelopmentClinic ClinicApp { get; } = Clinics[0] with { Name = "vastaanotto", Algorithm = "ES256" };

    /// <summary>The gateway as the clinics' identity providers know it.</summary>
    public const string ProfessionalClientId = "kanta-apps";

    /// <summary>Two clinics that exist for the live probes alone and look like any; their files are in <c>probes/</c>.</summary>
    public static DevelopmentClinic ProbeArchivist { get; } = new("kuusikko", "Lääkärikeskus Kuusikko Oy", "1.2.246.10.99000077", ControllerKind.Private, "ES384");
    public static DevelopmentClinic ProbeReader { get; } = new("koivisto", "Koiviston Terveyspalvelut Oy", "1.2.246.10.99000088", ControllerKind.Private, "ES384");

    public static SimulatedProfessional ProbeProfessional { get; } = new("koivisto-laakari", "Tuomas Koivistolääkäri", "laakari", "koivisto");

    /// <summary>Identity codes of the probes' synthetic people.</summary>
    public static IReadOnlyList<string> ProbeCodes { get; } = [Person("060679", '-', "981", "", "").IdentityCode, Person("191288", '-', "982", "", "").IdentityCode];

    /// <summary>Nobody listens there: a test reads the answer off the redirect.</summary>
    public const string AppRedirect = "https://omakunto.example/paluu", ClinicAppRedirect = "https://vastaanotto.example/paluu";

    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly JsonSerializerOptions WithoutNulls = new(Readable) { DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull };

    private readonly string _root;
    private readonly DevelopmentAuthority _authority;

    private readonly FileStream? _lock;

    private DevelopmentFolder(string root, DevelopmentAuthority authority, FileStream? @lock) => (_root, _authority, _lock) = (root, authority, @lock);

    /// <summary>The development certificate authority.</summary>
    public DevelopmentAuthority Authority => _authority;

    public string CaFile => At("ca.pem");
    public string ServerCertificateFile => At("server/tls.pem");
    public string ServerKeyFile => At("server/tls.key");
    public string GrantKeyFile => At("keys/grant.key");
    public string GrantPublicKeyFile => At("keys/grant.pem");
    public string TokenKeyFile => At("keys/token.key");
    public string IdentifierKeyFile => At("keys/identifier.key");
    public string BrokerSigningKeyFile => At("keys/broker-signing.key");
    public string BrokerEncryptionKeyFile => At("keys/broker-encryption.key");
    public string RegisterCertificateFile => At("keys/register-client.pem");
    public string RegisterKeyFile => At("keys/register-client.key");
    /// <summary>SHA-256, base64url, of the certificate that the gateway shows to the role register.</summary>
    public string RegisterClientThumbprint
    {
        get
        {
            using var certificate = System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPem(File.ReadAllText(RegisterCertificateFile));
            return System.Buffers.Text.Base64Url.EncodeToString(SHA256.HashData(certificate.RawData));
        }
    }

    public string MandatesApiKeyFile => At("keys/mandates-api.key");
    public string MandatesPasswordFile => At("keys/mandates-password.key");
    public string ProfessionalCertificateFile => At("keys/professionals.pem");
    public string ProfessionalKeyFile => At("keys/professionals.key");
    public string OperatorCertificateFile => At("keys/operators.pem");
    public string OperatorKeyFile => At("keys/operators.key");
    public string DecisionLogFolder => At("operators");
    public string DecisionLogKeyFile => At("keys/decisions.key");
    public string WrappingKeyFile => At("keys/wrapping-keys.json");
    public string CustodyFolder => At("keys/custody");
    public string ClientsFile => At("keys/clients.json");
    public string AuditFolder => At("audit");

    /// <summary>Key of the log that gateways share in a database.</summary>
    public string SharedAuditFolder => At("audit-shared");
    public string CaseFolder => At("breach");
    public string NoticeFolder => At("breach-notices");
    public string LetterFolder => At("breach-letters");
    public string LetterKeyFile => At("keys/letters.key");

    /// <summary>The public half, to which letters are sealed. Who prints keeps the private one away from here; nobody prints here.</summary>
    public string LetterKey => Convert.ToBase64String(SealedBox.PublicKeyOf(Convert.FromBase64String(File.ReadAllText(LetterKeyFile))));

    public string PeopleFile => At("watched/people");
    public string EmergencyFolder => At("emergencies");
    public string AuditVerifierFile => At("audit.vkey");

    /// <summary>Who the witnesses of the audit log are, and how many of them are enough (C2SP tlog-policy).</summary>
    public string WitnessPolicyFile => At("witness-policy");

    /// <summary>The simulated witnesses.</summary>
    public static IReadOnlyList<string> WitnessNames => ["w1", "w2", "w3"];

    /// <summary>Opens the witnesses, which keep what they have cosigned, and says who they are in <see cref="WitnessPolicyFile"/>. They know the logs whose keys stand in this folder.</summary>
    /// <param name="outside">Address of the simulators.</param>
    public IReadOnlyList<SimulatedWitness> OpenWitnesses(string outside)
    {
        SimulatedWitness[] witnesses = [.. WitnessNames.Select(name => new SimulatedWitness(name, At($"witnesses/{name}"), LogOf))];
        File.WriteAllText(WitnessPolicyFile, string.Concat(witnesses.Select(w => $"witness {w.Name} {w.Verifier} {outside}{w.Address}\n")) + $"group two-of-three 2 {string.Join(' ', WitnessNames)}\nquorum two-of-three\n");
        return witnesses;

        NoteVerifier? LogOf(string origin) => Directory.EnumerateFiles(_root, "audit*.vkey")
            .Select(file => NoteVerifier.TryParse(File.ReadAllText(file).Trim(), out var log) ? log : null).FirstOrDefault(log => log?.Name == origin);
    }

    /// <summary>What a further gateway is told, which the product's program runs with this as its <c>appsettings.json</c>; a third takes its own port, folders and name from the environment.</summary>
    public string GatewayOptionsFile => At("gateway.json");

    /// <summary>Port of that gateway, counted from the host's.</summary>
    public const int FurtherPort = 10;

    /// <summary>Writes it; it holds passwords.</summary>
    public void Publish(GatewayOptions options) => WriteSecret(GatewayOptionsFile, JsonSerializer.Serialize(new { Gateway = options }, WithoutNulls));

    /// <summary>Of a gateway that has joined, which has a log of its own where there is no shared one.</summary>
    public string AuditVerifierFileOf(int port) => At($"audit-{port}.vkey");

    /// <summary>Of the service's role where the store is in PostgreSQL.</summary>
    public string DatabasePasswordFile => At("keys/database-password.key");

    public string DatabaseFile => At("repository/repository.db");

    /// <summary>What a further repository is told, that another process runs.</summary>
    /// <param name="number">From 2.</param>
    public string RepositoryOptionsFile(int number) => At($"repository/repository-{number}.json");

    public string ProtectedPracticesFile => At("repository/protected-practices.json");

    public static IReadOnlyList<SimulatedProfessional> Professionals { get; } =
    [
        Professional("aurora-laakari", "Ilona Testilääkäri", "laakari", "aurora", 1),
        Professional("aurora-hoitaja", "Eero Testihoitaja", "sairaanhoitaja", "aurora", 2),
        Professional("revontuli-laakari", "Kaisa Mallilääkäri", "laakari", "revontuli", 1),
        Professional("keskussairaala-laakari", "Olavi Sairaalalääkäri", "laakari", "keskussairaala", 1),
        Professional("terapia-terapeutti", "Marjatta Saari", "psykoterapeutti", "terapia", 1),
        Professional("tuisku-laakari", "Aarne Työlääkäri", "laakari", "tuisku", 1),
    ];

    /// <param name="unit">Of the clinic's service units, counted from 1.</param>
    private static SimulatedProfessional Professional(string id, string name, string profession, string clinic, int unit) =>
        new(id, name, profession, clinic) { Unit = $"{Clinics.First(c => c.Name == clinic).Oid}.10.{unit}" };

    private static string OidOf(string clinic) => Clinics.Single(c => c.Name == clinic).Oid;

    /// <summary>Fictional people; every code has an individual number of 900-999, which no register has.</summary>
    public static IReadOnlyList<SimulatedCitizen> Citizens { get; } =
    [
        Person("140585", '-', "901", "Aino Esimerkki", "adult"),
        Person("231272", '-', "902", "Väinö Malli", "adult"),
        Person("050390", '-', "903", "Helmi Koe", "guardian"),
        Person("170614", 'A', "904", "Onni Koe", "minor"),
        Person("011168", '-', "905", "Sisko Suojattu", "turvakielto"),
        Person("300341", '-', "906", "Toivo Vanhus", "mandate-giver"),
        Person("090975", '-', "907", "Raija Valtuutettu", "mandate-holder"),
        Person("020316", 'A', "908", "Oona Koe", "minor-turvakielto"),
    ];

    /// <summary>Who may act for whom: the guardian for her children, though not for the one with a non-disclosure order, and the holder of the mandate.</summary>
    public static IReadOnlyList<SimulatedRelation> Relations { get; } =
    [
        new(CodeOf("guardian"), CodeOf("minor"), IsCustodian: true),
        new(CodeOf("guardian"), CodeOf("minor-turvakielto"), IsCustodian: true, HasNonDisclosureOrder: true),
        new(CodeOf("mandate-holder"), CodeOf("mandate-giver"), IsCustodian: false),
    ];

    public const string MandatesClientId = "kanta001";

    /// <summary>Fictional operators of the tenant <see cref="OperatorTenantId"/>; of each role two, since one neither onboards, changes keys nor ends a containment alone.</summary>
    public static IReadOnlyList<SimulatedOperator> Operators { get; } =
    [
        new("00000000-0000-0000-0000-0000000000a1", "Olga Operaattori", "Kanta.Onboarding", "Kanta.Keys"),
        new("00000000-0000-0000-0000-0000000000a2", "Heikki Hyväksyjä", "Kanta.Onboarding", "Kanta.Keys", "Kanta.DataProtection"),
        new("00000000-0000-0000-0000-0000000000a3", "Tarja Tietosuoja", "Kanta.Onboarding", "Kanta.DataProtection"),
    ];

    public const string OperatorTenantId = "00000000-0000-0000-0000-00000000000a";
    public const string OperatorClientId = "kanta-operators";

    /// <summary>Identified by means of another country, last on the broker's page; not in citizens.json, since no record can be hers.</summary>
    public static SimulatedCitizen Foreigner { get; } = new("", "Jane Foreign", "without a Finnish identity code");

    /// <summary>Opens the folder, making what is missing. Private keys are readable by their owner alone.</summary>
    /// <exception cref="IOException">Another host has it open.</exception>
    public static DevelopmentFolder Open(string root)
    {
        OwnerOnly.CreateFolder(root);
        foreach (var sub in new[] { "keys", "server", "clinics", "repository", "audit", "operators" })
            OwnerOnly.CreateFolder(Path.Combine(root, sub));
        var @lock = Lock(Path.Combine(root, "host.lock"));
        var certificate = Path.Combine(root, "ca.pem");
        var key = Path.Combine(root, "keys", "ca.key");
        DevelopmentAuthority authority;
        if (File.Exists(certificate) && File.Exists(key))
            authority = DevelopmentAuthority.Load(File.ReadAllText(certificate), File.ReadAllText(key));
        else
        {
            authority = DevelopmentAuthority.Create();
            WriteSecret(key, authority.KeyPem);
            File.WriteAllText(certificate, authority.CertificatePem);
        }
        var folder = new DevelopmentFolder(root, authority, @lock);
        folder.MakeKeys();
        return folder;
    }

    /// <summary>Opens the folder of a host that runs: nothing is made, nothing is written.</summary>
    public static DevelopmentFolder Join(string root) =>
        new(root, DevelopmentAuthority.Load(File.ReadAllText(Path.Combine(root, "ca.pem")), File.ReadAllText(Path.Combine(root, "keys", "ca.key"))), null);

    /// <summary>Writes what depends on the addresses, and onboards the clinics.</summary>
    /// <param name="probes">Whether the clinics of the live probes are among them.</param>
    /// <param name="mllp">Whether the first clinic's system may send by MLLP.</param>
    public void Publish(string publicAddress, SimulatorOptions simulators, bool probes, bool mllp)
    {
        var registrations = new List<object>();
        foreach (var clinic in Clinics)
            registrations.Add(Onboard(clinic, publicAddress, mllp: mllp && clinic == Clinics[0]));
        if (probes)
        {
            OwnerOnly.CreateFolder(At("probes"));
            registrations.Add(Onboard(ProbeArchivist, publicAddress, "probes"));
            registrations.Add(Onboard(ProbeReader, publicAddress, "probes"));
        }
        OwnerOnly.CreateFolder(At("apps"));
        registrations.Add(OnboardApp(App, "app", "Omakunto", ["patient/*.rs", "openid", "fhirUser", "offline_access", "online_access"], AppRedirect, publicAddress));
        registrations.Add(OnboardApp(KeyBoundApp, "app", "Taskukunto", ["patient/*.rs", "openid", "fhirUser", "offline_access", "online_access"], AppRedirect, publicAddress));
        registrations.Add(OnboardApp(ClinicApp, "clinic_app", "Vastaanotto", ["user/*.cruds", "openid", "fhirUser", "online_access"], ClinicAppRedirect, publicAddress));
        File.WriteAllText(ClientsFile, JsonSerializer.Serialize(registrations, Readable));
        File.WriteAllText(ProtectedPracticesFile, JsonSerializer.Serialize(new
        {
            rules = new[] { new { service = "Psychotherapy", where = "controller", system = "urn:ietf:rfc:3986", codes = new[] { OidOf("terapia") }, source = "onboarding: a psychotherapist's practice" } },
            neutral = Array.Empty<object>(),
        }, Readable));
        File.WriteAllText(At("professionals.json"), JsonSerializer.Serialize(Professionals.Select(p => new
        {
            id = p.Id,
            name = p.Name,
            profession = p.Profession,
            clinic = p.Clinic,
            unit = p.Unit,
            subject_token_url = simulators.SubjectTokenUrl(p.Clinic),
        }), Readable));
        File.WriteAllText(At("citizens.json"), JsonSerializer.Serialize(Citizens.Select(c => new { identity_code = c.IdentityCode, name = c.Name, role = c.Role }), Readable));
        File.WriteAllText(At("demo.http"), DemoRequests(publicAddress, simulators));
    }

    public void Dispose()
    {
        _authority.Dispose();
        _lock?.Dispose();
    }

    /// <summary>A second host on the same folder would take the first one's sockets away. The kernel frees the lock of a killed one.</summary>
    private static FileStream Lock(string file)
    {
        try
        {
            return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new IOException($"Another host is running on this data folder ({file} is locked). Stop it, or give this one another folder with --data.", e);
        }
    }

    private string At(string path) => Path.Combine(_root, path);

    private void MakeKeys()
    {
        if (!File.Exists(ServerKeyFile))
        {
            var server = _authority.IssueServer("localhost", "127.0.0.1", "::1");
            WriteSecret(ServerKeyFile, server.KeyPem);
            File.WriteAllText(ServerCertificateFile, server.ChainPem);
        }
        if (!File.Exists(RegisterCertificateFile))
        {
            var own = _authority.IssueOrganisation(Fhir.Identifiers.Oid.Parse("1.2.246.10.99999990"), "KantaGateway");
            WriteSecret(RegisterKeyFile, own.KeyPem);
            File.WriteAllText(RegisterCertificateFile, own.ChainPem);
        }
        if (!File.Exists(GrantKeyFile))
        {
            using var grant = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            File.WriteAllText(GrantPublicKeyFile, grant.ExportSubjectPublicKeyInfoPem());
            WriteSecret(GrantKeyFile, grant.ExportPkcs8PrivateKeyPem());
        }
        if (!File.Exists(TokenKeyFile))
        {
            using var token = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            WriteSecret(TokenKeyFile, token.ExportPkcs8PrivateKeyPem());
        }
        if (!File.Exists(DecisionLogKeyFile))
        {
            using var decisions = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            WriteSecret(DecisionLogKeyFile, decisions.ExportPkcs8PrivateKeyPem());
        }
        foreach (var (certificateFile, keyFile) in new[] { (OperatorCertificateFile, OperatorKeyFile), (ProfessionalCertificateFile, ProfessionalKeyFile) })
            if (!File.Exists(certificateFile))
            {
                var (certificate, key) = OperatorTenant.NewApplicationCertificate();
                WriteSecret(keyFile, key);
                File.WriteAllText(certificateFile, certificate);
            }
        foreach (var file in new[] { MandatesApiKeyFile, MandatesPasswordFile, DatabasePasswordFile })
            if (!File.Exists(file))
                WriteSecret(file, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)));
        if (!File.Exists(IdentifierKeyFile))
            WriteSecret(IdentifierKeyFile, Convert.ToBase64String(RandomNumberGenerator.GetBytes(IdentifierCipher.KeySize)));
        if (!File.Exists(LetterKeyFile))
            WriteSecret(LetterKeyFile, Convert.ToBase64String(SealedBox.GeneratePrivateKey()));
        foreach (var file in new[] { BrokerSigningKeyFile, BrokerEncryptionKeyFile })
            if (!File.Exists(file))
            {
                using var rsa = RsaKeys.Of(Path.GetFileName(file));
                WriteSecret(file, rsa.ExportPkcs8PrivateKeyPem());
            }
    }

    /// <summary>What the gateway is told of a client of the probes, or of one that archives canaries.</summary>
    public ProbeSystem ProbeSystemOf(DevelopmentClinic clinic, string kind = "probes") => new()
    {
        ClientId = clinic.Name,
        Organisation = clinic.Oid,
        KeyFile = At($"{kind}/{clinic.Name}/private_key.jwk"),
        CertificateFile = At($"{kind}/{clinic.Name}/tls.pem"),
        CertificateKeyFile = At($"{kind}/{clinic.Name}/tls.key"),
    };

    private object Onboard(DevelopmentClinic clinic, string publicAddress, string kind = "clinics", bool mllp = false)
    {
        var (folder, key) = MakeKeys(kind, clinic);
        string[] scopes = ["system/*.cruds", "user/*.cruds"];
        File.WriteAllText(Path.Combine(folder, "client.json"), JsonSerializer.Serialize(new
        {
            client_id = clinic.Name,
            organisation_oid = clinic.Oid,
            controller_kind = clinic.Kind.ToString().ToLowerInvariant(),
            token_url = publicAddress + "/connect/token",
            fhir_url = publicAddress + "/fhir",
            scopes,
            kid = key.Kid,
            alg = clinic.Algorithm,
        }, Readable));
        return new
        {
            client_id = clinic.Name,
            organisation_oid = clinic.Oid,
            organisation_name = clinic.Title,
            controller_kind = clinic.Kind.ToString().ToLowerInvariant(),
            health_services = clinic.HealthServices,
            jwks = new { keys = new[] { PublicJwk(key, clinic.Algorithm) } },
            token_endpoint_auth_signing_alg = new[] { clinic.Algorithm },
            // Trial data comes from everywhere; a production client is registered with "refuse", the default.
            unknown_profiles = "accept",
            scopes,
            status = "active",
            mllp,
            tls_client_certificates = mllp ? [ThumbprintOf(Path.Combine(folder, "tls.pem"))] : Array.Empty<string>(),
        };
    }

    private static string ThumbprintOf(string certificateFile)
    {
        using var certificate = X509Certificate2.CreateFromPem(File.ReadAllText(certificateFile));
        return System.Buffers.Text.Base64Url.EncodeToString(SHA256.HashData(certificate.RawData));
    }

    /// <summary>Writes what a further repository is told; it holds a password.</summary>
    /// <param name="number">From 2.</param>
    public void Publish(int number, RepositoryOptions options) => WriteSecret(RepositoryOptionsFile(number), JsonSerializer.Serialize(options, WithoutNulls));

    private object OnboardApp(DevelopmentClinic app, string kind, string name, string[] scopes, string redirect, string publicAddress)
    {
        var isKeyBound = app == KeyBoundApp;
        var (folder, key) = MakeKeys("apps", app, withCertificate: !isKeyBound);
        File.WriteAllText(Path.Combine(folder, "client.json"), JsonSerializer.Serialize(new
        {
            client_id = app.Name,
            organisation_oid = app.Oid,
            pushed_authorization_url = publicAddress + "/connect/par",
            authorization_url = publicAddress + "/connect/authorize",
            token_url = publicAddress + "/connect/token",
            fhir_url = publicAddress + "/fhir",
            redirect_uri = redirect,
            scopes,
            kid = key.Kid,
            alg = app.Algorithm,
        }, Readable));
        return new
        {
            client_id = app.Name,
            kind,
            client_name = name,
            redirect_uris = new[] { redirect },
            organisation_oid = app.Oid,
            organisation_name = app.Title,
            controller_kind = app.Kind.ToString().ToLowerInvariant(),
            jwks = new { keys = new[] { PublicJwk(key, app.Algorithm) } },
            token_endpoint_auth_signing_alg = new[] { app.Algorithm },
            scopes,
            profile = app.Algorithm == "ES256" ? "fapi2" : "smart",
            dpop_bound_access_tokens = isKeyBound,
            status = "active",
        };
    }

    private (string Folder, JsonWebKey Key) MakeKeys(string kind, DevelopmentClinic clinic, bool withCertificate = true)
    {
        var folder = At($"{kind}/{clinic.Name}");
        OwnerOnly.CreateFolder(folder);
        var keyFile = Path.Combine(folder, "private_key.jwk");
        if (!File.Exists(keyFile))
            WriteSecret(keyFile, NewPrivateJwk(clinic.Name, clinic.Algorithm));
        var certificateFile = Path.Combine(folder, "tls.pem");
        if (withCertificate && !File.Exists(certificateFile))
        {
            var certificate = _authority.IssueOrganisation(Fhir.Identifiers.Oid.Parse(clinic.Oid), clinic.Title);
            WriteSecret(Path.Combine(folder, "tls.key"), certificate.KeyPem);
            File.WriteAllText(certificateFile, certificate.ChainPem);
        }
        return (folder, new JsonWebKey(File.ReadAllText(keyFile)));
    }

    private static object PublicJwk(JsonWebKey key, string algorithm) => key.Kty == "EC"
        ? new { kty = "EC", crv = key.Crv, x = key.X, y = key.Y, kid = key.Kid, alg = algorithm, use = "sig" }
        : new { kty = "RSA", n = key.N, e = key.E, kid = key.Kid, alg = algorithm, use = "sig" };

    private static string NewPrivateJwk(string name, string algorithm)
    {
        if (algorithm is "ES256" or "ES384")
        {
            using var ec = ECDsa.Create(algorithm == "ES256" ? ECCurve.NamedCurves.nistP256 : ECCurve.NamedCurves.nistP384);
            var p = ec.ExportParameters(true);
            return Jwk(JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(ec)), kid => new
            {
                kty = "EC", crv = algorithm == "ES256" ? "P-256" : "P-384", x = Base64UrlEncoder.Encode(p.Q.X), y = Base64UrlEncoder.Encode(p.Q.Y), d = Base64UrlEncoder.Encode(p.D), kid, alg = algorithm, use = "sig",
            });
        }
        using var rsa = RsaKeys.Of(name, 3072);
        var r = rsa.ExportParameters(true);
        return Jwk(JsonWebKeyConverter.ConvertFromRSASecurityKey(new RsaSecurityKey(r)), kid => new
        {
            kty = "RSA", n = Base64UrlEncoder.Encode(r.Modulus), e = Base64UrlEncoder.Encode(r.Exponent), d = Base64UrlEncoder.Encode(r.D),
            p = Base64UrlEncoder.Encode(r.P), q = Base64UrlEncoder.Encode(r.Q), dp = Base64UrlEncoder.Encode(r.DP), dq = Base64UrlEncoder.Encode(r.DQ), qi = Base64UrlEncoder.Encode(r.InverseQ),
            kid, alg = algorithm, use = "sig",
        });

        static string Jwk(JsonWebKey key, Func<string, object> write) => JsonSerializer.Serialize(write(Base64UrlEncoder.Encode(key.ComputeJwkThumbprint())), Readable);
    }

    private static string CodeOf(string role) => Citizens.Single(c => c.Role == role).IdentityCode;

    private static SimulatedCitizen Person(string ddmmyy, char century, string zzz, string name, string role) =>
        new($"{ddmmyy}{century}{zzz}{PersonalIdentityCode.CheckCharacterOf(ddmmyy, zzz)}", name, role);

    private static string DemoRequests(string publicAddress, SimulatorOptions simulators) => $$"""
        # Requests to try by hand. Each needs the clinic's TLS certificate (clinics/aurora/tls.pem, tls.key) and trust in ca.pem:
        #   curl --cacert ca.pem --cert clinics/aurora/tls.pem --key clinics/aurora/tls.key ...
        # @assertion is a client assertion signed with clinics/aurora/private_key.jwk: iss = sub = aurora, aud = {{publicAddress}}/connect/token,
        # a fresh jti, exp within 5 minutes. The harness makes one: dotnet run --project tests/KantaGateway.Harness -- --help
        @base = {{publicAddress}}
        @assertion = eyJ...
        @token = eyJ...

        ### What the gateway can do
        GET {{"{{base}}"}}/fhir/metadata

        ### A token for the clinic's system (SMART Backend Services)
        POST {{"{{base}}"}}/connect/token
        Content-Type: application/x-www-form-urlencoded

        grant_type=client_credentials&scope=system/*.cruds&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={{"{{assertion}}"}}

        ### A subject token for a professional, from the clinic's identity provider
        POST {{simulators.SubjectTokenUrl("aurora")}}
        Content-Type: application/json

        {"professional": "aurora-laakari"}

        ### Register a patient
        POST {{"{{base}}"}}/fhir/Patient
        Authorization: Bearer {{"{{token}}"}}
        Content-Type: application/fhir+json

        {"resourceType": "Patient", "identifier": [{"system": "{{PersonalIdentityCode.System}}", "value": "{{Citizens[0].IdentityCode}}"}], "name": [{"family": "Esimerkki", "given": ["Aino"]}]}

        ### Find the patient again: identity codes only in a body
        POST {{"{{base}}"}}/fhir/Patient/_search
        Authorization: Bearer {{"{{token}}"}}
        Content-Type: application/x-www-form-urlencoded

        identifier={{PersonalIdentityCode.System}}|{{Citizens[0].IdentityCode}}

        ### The audit log's checkpoint
        GET {{"{{base}}"}}/audit/log/checkpoint

        """;

    private static void WriteSecret(string path, string text) => OwnerOnly.WriteWhole(path, Encoding.UTF8.GetBytes(text), overwrite: true);
}
