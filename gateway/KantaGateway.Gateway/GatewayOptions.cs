using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway;

/// <summary>Everything the gateway must be told. Validated at start, all errors at once; unknown keys refuse to start.</summary>
public sealed record GatewayOptions
{
    /// <summary>Public address, no trailing slash: <c>https://localhost:8443</c>. Issuer, FHIR base and portal derive from it.</summary>
    public required string PublicAddress { get; init; }

    /// <summary>Port of the TLS listener, 1-65535; bound on <see cref="ListenAddress"/>.</summary>
    public required int Port { get; init; }

    /// <summary>IP address to bind; default loopback.</summary>
    public string ListenAddress { get; init; } = "127.0.0.1";

    /// <summary>
    /// Port on <see cref="ListenAddress"/> for HL7 v2 over MLLP, TLS with client certificates, 1-65535; of systems alone that are registered for it. Null (default): none.
    /// </summary>
    public int? MllpPort { get; init; }

    /// <summary>PEM chain and PKCS#8 key of the public listener.</summary>
    public required string TlsCertificateFile { get; init; }
    public required string TlsKeyFile { get; init; }

    /// <summary>PEM file with the certificate authorities that issue organisation (client) certificates.</summary>
    public required string ClientAuthorityFile { get; init; }

    /// <summary>
    /// Listener for a trusted TLS terminator: <c>http://127.0.0.1:port</c> for one on this machine, <c>https://address:port</c> (an IP address,
    /// <c>0.0.0.0</c> too) for one on another. The terminator passes the client certificate in <see cref="TerminatorHeader"/> and the caller's address last
    /// in <c>X-Forwarded-For</c>. Null (default): none.
    /// </summary>
    public string? TerminatorListen { get; init; }

    /// <summary>
    /// Header in which the terminator passes the client certificate, replacing what the caller sent under the same name: <c>X-Client-Cert</c> (default, base64
    /// DER) or <c>Client-Cert</c> (RFC 9440). The other one is never believed.
    /// </summary>
    public string TerminatorHeader { get; init; } = KantaGateway.Gateway.Identification.Listeners.CertificateHeader;

    /// <summary>Where the terminator of an https listener connects from: IP addresses or networks such as <c>192.0.2.0/28</c>. Others are hung up on.</summary>
    public IReadOnlyList<string> TerminatorAddresses { get; init; } = [];

    /// <summary>
    /// The client certificates of the terminator of an https listener, each by SHA-256 of its DER in hexadecimal, colons or not; two overlap while one
    /// is replaced. Nobody else gets through TLS there.
    /// </summary>
    public IReadOnlyList<string> TerminatorCertificates { get; init; } = [];

    /// <summary>Internal Prometheus listener, <c>http://127.0.0.1:port</c>. Null: none.</summary>
    public string? MetricsListen { get; init; }

    /// <summary>
    /// Internal endpoint of the repository: <c>unix:/path</c>, <c>https://host:port</c>, or <c>http://</c> on a loopback address. Of several over one database all, parted by semicolons, the same at every gateway.
    /// </summary>
    public required string Repository { get; init; }

    /// <summary>Each of <see cref="Repository"/>.</summary>
    internal IReadOnlyList<string> Repositories => (Repository ?? "").Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Internal endpoint of the key service, likewise.</summary>
    public required string Keys { get; init; }

    /// <summary>P-256 private key (PKCS#8 PEM) that signs grants.</summary>
    public required string GrantKeyFile { get; init; }

    /// <summary>32 bytes, base64: the deployment's identifier key, shared with the repository.</summary>
    public required string IdentifierKeyFile { get; init; }

    /// <summary>
    /// Folder of the audit store and Ed25519 log key file (seed, base64); created only with <see cref="CreateStores"/>. With <see cref="AuditPostgres"/> of the key alone, which is the same at every gateway.
    /// </summary>
    public required string AuditFolder { get; init; }

    /// <summary>
    /// PostgreSQL connection string of the gateways' role in the database of the audit log, which all gateways share: it may read and add entries and no more; null: a log of this gateway's own, in files. Over TCP with
    /// <c>SSL Mode=VerifyFull</c> and <c>Root Certificate</c>.
    /// </summary>
    public string? AuditPostgres { get; init; }

    /// <summary>The same of the role that owns that database: for <see cref="Operations.MigrateAudit"/> and <see cref="Operations.MoveAudit"/>. The gateway must not be told it.</summary>
    public string? AuditPostgresOwner { get; init; }

    /// <summary>Origin line of the log's checkpoints, such as <c>localhost/kanta-audit</c>; of a log that gateways share the same at each.</summary>
    public required string AuditOrigin { get; init; }

    /// <summary>Whether missing stores and keys are made at start: the embedded development host only.</summary>
    public bool CreateStores { get; init; }

    /// <summary>
    /// Redis connection string for what gateways share; null: in memory of this process. A server that is neither on a Unix
    /// socket (<c>!/path</c>) nor on a loopback address takes <c>ssl=true</c> and a password.
    /// </summary>
    public string? Redis { get; init; }

    /// <summary>PEM file with the authorities of the TLS certificate of Redis, and no others count; null (default): those of the system.</summary>
    public string? RedisAuthorityFile { get; init; }

    /// <summary>OTLP endpoint, https or on a loopback address; null: none.</summary>
    public string? Otlp { get; init; }

    /// <summary>
    /// Seconds, 0 to 120, in which it goes on serving after it was told to stop, while <c>/health/ready</c> says so: longer than whoever spreads requests takes to notice. Default 0; what kills it has to wait for 30 s more.
    /// </summary>
    public int DrainSeconds { get; init; }

    /// <summary>Largest content of a Binary, bytes, at least 1; default 200 MiB. The repository has its own bound.</summary>
    public long MaxBinary { get; init; } = Fhir.Formats.RawContent.DefaultMax;

    public required Identification.IdentificationOptions Identification { get; init; }

    /// <summary>Cases of breaches, and the live probes; null: neither.</summary>
    public Breach.BreachOptions? Breach { get; init; }

    /// <summary>Who vouches for the audit log outside; null: nobody.</summary>
    public Operations.Witnesses.WitnessOptions? Witnesses { get; init; }

    /// <summary>
    /// Folder that all gateways share, which says of whom each professional has recorded emergencies; null: none can be recorded, so nobody
    /// discloses by one (Act 703/2023 §54.2). Also of whom each register has requests for rectification to answer; null: no controller is told (GDPR Art. 12(3)).
    /// </summary>
    public string? EmergencyFolder { get; init; }

    /// <summary>
    /// The rules of specially protected services, of the form of <c>protected-services.json</c>: the same file as the repository's. Null (default): those that come
    /// with the product.
    /// </summary>
    public string? ProtectedServicesFile { get; init; }

    /// <summary>Rules beside those, of the practices that do nothing but one protected service: the same file as the repository's. Null (default): none.</summary>
    public string? ProtectedPracticesFile { get; init; }

    /// <summary>OID of the national declaration register, the controller of what citizens declare in the portal.</summary>
    public string NationalOrganisation { get; init; } = "1.2.246.10.99999990";

    /// <summary>
    /// OIDs of the public controllers that reach each other's patient registers without a disclosure permission, though not over a denial: those
    /// of Uusimaa (Act 703/2023 §54.1, from 1.1.2026). Empty: none.
    /// </summary>
    public IReadOnlyList<string> JointControllers { get; init; } = [];

    /// <summary>E-mail address or https address to which citizens report what is not accessible (Act 306/2019 §9); null (default): the accessibility statement says that there is none.</summary>
    public string? AccessibilityFeedback { get; init; }

    /// <summary>The controllers among whom an organisation needs no permission; empty: it is of none. A private one never is, whatever the list says.</summary>
    /// <param name="organisation">OID, dotted; null: not one in particular.</param>
    internal IReadOnlyList<string> JointWith(string? organisation, ControllerKind kind) =>
        kind == ControllerKind.Public && organisation is not null && JointControllers.Contains(organisation) ? JointControllers : [];

    /// <summary>Whether a connection string of Redis holds a password; one that is none is refused for that.</summary>
    internal static bool HasPassword(string redis)
    {
        try
        {
            return !string.IsNullOrEmpty(StackExchange.Redis.ConfigurationOptions.Parse(redis).Password);
        }
        catch (Exception malformed) when (malformed is ArgumentException or FormatException)
        {
            return true;
        }
    }

    /// <summary>Checks everything at once, the files included, before anything is opened.</summary>
    /// <exception cref="InvalidOperationException">Names every setting that is wrong and what it has to be, never its value.</exception>
    internal void Validate() => new GatewayOptionsCheck(this).ThrowIfWrong("Gateway");

    /// <summary>Checks what <see cref="Operations.MigrateAudit"/> needs, or <see cref="Operations.MoveAudit"/>.</summary>
    /// <exception cref="InvalidOperationException">As above.</exception>
    internal void ValidateForMigration(bool isMove = false) => GatewayOptionsCheck.ForMigration(this, isMove).ThrowIfWrong("Gateway");
}
