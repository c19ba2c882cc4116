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
}
