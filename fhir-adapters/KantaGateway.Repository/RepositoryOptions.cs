using KantaGateway.Fhir.Transport;
using KantaGateway.Postgres;

namespace KantaGateway.Repository;

/// <summary>Everything the repository must be told.</summary>
public sealed record RepositoryOptions
{
    /// <summary><c>unix:/path</c>, <c>http://127.0.0.1:port</c> or <c>process:name</c>; a public address is refused.</summary>
    public required string Listen { get; init; }

    /// <summary>Internal endpoint of the key service.</summary>
    public required string Keys { get; init; }

    /// <summary>SQLite file, used when <see cref="Postgres"/> is null.</summary>
    public required string DatabaseFile { get; init; }

    /// <summary>
    /// PostgreSQL connection string of the service's role, which may read and write rows and no more; null: SQLite. Over TCP with <c>SSL Mode=VerifyFull</c> and
    /// <c>Root Certificate</c>.
    /// </summary>
    public string? Postgres { get; init; }

    /// <summary>The same of the role that owns the database: for <see cref="MigrateStore"/>. The service must not be told it.</summary>
    public string? PostgresOwner { get; init; }

    /// <summary>32 bytes, base64: the deployment's identifier key, shared with the gateway.</summary>
    public required string IdentifierKeyFile { get; init; }

    /// <summary>P-256 public key (SPKI PEM) of the gateway that signs grants.</summary>
    public required string GatewayKeyFile { get; init; }

    /// <summary>Opened compartments kept in memory at most; default 20,000.</summary>
    public int OpenCompartments { get; init; } = 20_000;

    /// <summary>
    /// Decrypted index kept in memory at most, MiB, 16 to 65,536; null (default): a quarter of what the process may use, at least
    /// 256. A row takes about 60 bytes where it is read by id, a kilobyte more where its compartment is searched or changed by criteria.
    /// </summary>
    public int? OpenMebibytes { get; init; }

    /// <summary>The same in bytes.</summary>
    internal long OpenBytes => OpenMebibytes is { } given ? (long)given << 20 : Math.Max(256L << 20, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4);

    /// <summary>Seconds an opened compartment may stay in memory after its grant was checked; at most 60.</summary>
    public int OpenSeconds { get; init; } = 60;

    /// <summary>Largest content of a Binary, bytes, at least 1; default 200 MiB.</summary>
    public long MaxBinary { get; init; } = Fhir.Formats.RawContent.DefaultMax;

    /// <summary>
    /// Rules by which entries are told to be of a specially protected service, in the form of <c>protected-services.json</c>; null (default): those that
    /// come with the product. What is stored keeps the labels it was written with.
    /// </summary>
    public string? ProtectedServicesFile { get; init; }

    /// <summary>
    /// Rules beside those, in the same form; null (default): none. For the practices that do nothing but one protected service (<c>where</c>
    /// <c>controller</c>), which come with onboarding: so that no copy of the product's table has to be kept for them.
    /// </summary>
    public string? ProtectedPracticesFile { get; init; }

    /// <summary>Prometheus listener, <c>http://127.0.0.1:port</c>; null (default): none.</summary>
    public string? MetricsListen { get; init; }

    /// <summary>OTLP endpoint of traces, metrics and logs, https or on a loopback address; null (default): none.</summary>
    public string? Otlp { get; init; }

    /// <summary>
    /// Seconds, 0 to 120, in which it goes on serving after it was told to stop, while <c>/health/ready</c> says so: longer than gateways take to notice. Default 0; what kills it has to wait for 30 s more.
    /// </summary>
    public int DrainSeconds { get; init; }

    /// <summary>Checks everything at once.</summary>
    /// <returns>Where to listen.</returns>
    /// <exception cref="InvalidOperationException">Names every option that is wrong.</exception>
    internal InternalEndpoint Validate()
    {
        var check = new OptionsCheck();
        var listen = check.Listener(nameof(Listen), Listen);
        check.Peer(nameof(Keys), Keys);
        CheckStore(check);
        if (PostgresOwner is not null)
            check.Add(nameof(PostgresOwner), $"for the command {MigrateStore.Name} alone");
        check.Secret(nameof(IdentifierKeyFile), IdentifierKeyFile);
        check.Exists(nameof(GatewayKeyFile), GatewayKeyFile);
        foreach (var (name, file) in new[] { (nameof(ProtectedServicesFile), ProtectedServicesFile), (nameof(ProtectedPracticesFile), ProtectedPracticesFile) })
            if (file is not null)
                check.Exists(name, file);
        if (OpenCompartments < 1)
            check.Add(nameof(OpenCompartments), "at least 1");
        if (OpenMebibytes is < 16 or > 65_536)
            check.Add(nameof(OpenMebibytes), "16 to 65536");
        if (OpenSeconds is < 1 or > 60)
            check.Add(nameof(OpenSeconds), "1 to 60");
        if (MaxBinary < 1)
            check.Add(nameof(MaxBinary), "at least 1");
        check.Draining(nameof(DrainSeconds), DrainSeconds);
        check.Telemetry(nameof(MetricsListen), MetricsListen, nameof(Otlp), Otlp);
        check.ThrowIfWrong("Repository");
        return listen!;
    }

    /// <summary>Checks what <see cref="MigrateStore"/> needs.</summary>
    /// <exception cref="InvalidOperationException">Names every option that is wrong.</exception>
    internal void ValidateForMigration()
    {
        var check = new OptionsCheck();
        if (Postgres is null)
            CheckStore(check);
        else
            PostgresOptions.CheckOwner(check, (nameof(Postgres), Postgres), (nameof(PostgresOwner), PostgresOwner));
        check.ThrowIfWrong("Repository");
    }

    /// <summary>Checks what <see cref="CopyStore"/> needs.</summary>
    /// <exception cref="InvalidOperationException">Names every option that is wrong.</exception>
    internal void ValidateStore()
    {
        var check = new OptionsCheck();
        CheckStore(check);
        check.ThrowIfWrong("Repository");
    }

    private void CheckStore(OptionsCheck check)
    {
        if (Postgres is not null)
            PostgresOptions.Check(check, nameof(Postgres), Postgres);
        else if (string.IsNullOrWhiteSpace(DatabaseFile))
            check.Add(nameof(DatabaseFile), $"needed without {nameof(Postgres)}");
    }
}
