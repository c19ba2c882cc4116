using KantaGateway.Fhir.Transport;

namespace KantaGateway.Repository;

/// <summary>Everything the repository must be told.</summary>
public sealed record RepositoryOptions
{
    /// <summary><c>unix:/path</c> or <c>http://127.0.0.1:port</c>; a public address is refused.</summary>
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

    /// <summary>Opened compartments kept in memory at most; default 2,000.</summary>
    public int OpenCompartments { get; init; } = 2_000;

    /// <summary>Seconds an opened compartment may stay in memory after its grant was checked; at most 60.</summary>
    public int OpenSeconds { get; init; } = 60;

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
        foreach (var (name, file) in new[] { (nameof(IdentifierKeyFile), IdentifierKeyFile), (nameof(GatewayKeyFile), GatewayKeyFile) })
            if (!File.Exists(file))
                wrong.Add($"{name}: no such file");
        if (OpenCompartments < 1)
            wrong.Add($"{nameof(OpenCompartments)}: at least 1");
        if (OpenSeconds is < 1 or > 60)
            wrong.Add($"{nameof(OpenSeconds)}: 1 to 60");
        return wrong.Count == 0 ? listen! : throw new InvalidOperationException("Repository options: " + string.Join("; ", wrong) + ".");

        InternalEndpoint? Endpoint(string text, string name)
        {
            try
            {
                var endpoint = InternalEndpoint.Parse(text);
                if (endpoint.SocketPath is null && !endpoint.Address.IsLoopback)
                    wrong.Add($"{name}: only a Unix socket or loopback");
                return endpoint;
            }
            catch (FormatException e)
            {
                wrong.Add($"{name}: {e.Message}");
                return null;
            }
        }
    }
}
