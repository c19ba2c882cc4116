using System.Net;
using KantaGateway.Fhir.Transport;
using Npgsql;

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

    /// <summary>PostgreSQL connection string; null: SQLite.</summary>
    public string? Postgres { get; init; }

    /// <summary>32 bytes, base64: the deployment's identifier key, shared with the gateway.</summary>
    public required string IdentifierKeyFile { get; init; }

    /// <summary>P-256 public key (SPKI PEM) of the gateway that signs grants.</summary>
    public required string GatewayKeyFile { get; init; }

    /// <summary>Whether a missing database is made at start: the embedded development host only.</summary>
    public bool CreateStores { get; init; }

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

    /// <summary>Checks everything at once.</summary>
    /// <returns>Where to listen.</returns>
    /// <exception cref="InvalidOperationException">Names every option that is wrong.</exception>
    internal InternalEndpoint Validate()
    {
        var wrong = new List<string>();
        var listen = Endpoint(Listen, nameof(Listen));
        Endpoint(Keys, nameof(Keys));
        if (Postgres is null && string.IsNullOrWhiteSpace(DatabaseFile))
            wrong.Add($"{nameof(DatabaseFile)}: needed without {nameof(Postgres)}");
        if (Postgres is not null)
            CheckPostgres(Postgres, wrong);
        foreach (var (name, file) in new[] { (nameof(IdentifierKeyFile), IdentifierKeyFile), (nameof(GatewayKeyFile), GatewayKeyFile) })
            if (!File.Exists(file))
                wrong.Add($"{name}: no such file");
        foreach (var (name, file) in new[] { (nameof(ProtectedServicesFile), ProtectedServicesFile), (nameof(ProtectedPracticesFile), ProtectedPracticesFile) })
            if (file is not null && !File.Exists(file))
                wrong.Add($"{name}: no such file");
        if (OpenCompartments < 1)
            wrong.Add($"{nameof(OpenCompartments)}: at least 1");
        if (OpenMebibytes is < 16 or > 65_536)
            wrong.Add($"{nameof(OpenMebibytes)}: 16 to 65536");
        if (OpenSeconds is < 1 or > 60)
            wrong.Add($"{nameof(OpenSeconds)}: 1 to 60");
        if (MaxBinary < 1)
            wrong.Add($"{nameof(MaxBinary)}: at least 1");
        return wrong.Count == 0 ? listen! : throw new InvalidOperationException("Repository options: " + string.Join("; ", wrong) + ".");

        InternalEndpoint? Endpoint(string text, string name)
        {
            try
            {
                var endpoint = InternalEndpoint.Parse(text);
                if (!endpoint.IsPrivate && !endpoint.Address.IsLoopback)
                    wrong.Add($"{name}: only this process, a Unix socket or loopback");
                return endpoint;
            }
            catch (FormatException e)
            {
                wrong.Add($"{name}: {e.Message}");
                return null;
            }
        }
    }

    // What installers, containers and tutorials leave behind.
    private static readonly string[] DefaultPasswords = ["postgres", "password", "passwd", "secret", "root", "admin", "changeme", "kanta", "test", "123456", "12345678"];

    /// <summary>A database elsewhere is reached over verified TLS only, and never with a password that anybody would try.</summary>
    private static void CheckPostgres(string connection, List<string> wrong)
    {
        NpgsqlConnectionStringBuilder given;
        try
        {
            given = new(connection);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
        {
            // The exception's message may repeat a value.
            wrong.Add($"{nameof(Postgres)}: not a connection string");
            return;
        }
        string[] hosts = [.. (given.Host ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];
        if (hosts.Length == 0)
            wrong.Add($"{nameof(Postgres)}: names no host");
        if (given.SslMode != SslMode.VerifyFull && !hosts.All(h => IsSocket(h) || IsLoopback(h)))
            wrong.Add($"{nameof(Postgres)}: a host that is neither a Unix socket nor loopback needs SslMode=VerifyFull");
        if (string.IsNullOrEmpty(given.Password))
        {
            // On a socket the server may ask the kernel who we are (peer); elsewhere something must prove it.
            if (!hosts.All(IsSocket) && string.IsNullOrEmpty(given.Passfile) && string.IsNullOrEmpty(given.SslCertificate))
                wrong.Add($"{nameof(Postgres)}: without a password only over a Unix socket");
        }
        else if (given.Password.Equals(given.Username, StringComparison.OrdinalIgnoreCase) || DefaultPasswords.Contains(given.Password, StringComparer.OrdinalIgnoreCase))
            wrong.Add($"{nameof(Postgres)}: a default password");

        static bool IsSocket(string host) => host.StartsWith('/') || host.StartsWith('@');

        static bool IsLoopback(string host)
        {
            // name, name:port, address, [address]:port
            var name = host.StartsWith('[') ? host[1..].Split(']')[0] : host.Count(c => c == ':') == 1 ? host.Split(':')[0] : host;
            return name.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(name, out var address) && IPAddress.IsLoopback(address));
        }
    }
}
