namespace KantaGateway.Keys;

/// <summary>Everything the key service must be told.</summary>
public sealed record KeysOptions
{
    /// <summary><c>unix:/path</c>, <c>http://127.0.0.1:port</c> or <c>process:name</c>; a public address is refused.</summary>
    public required string Listen { get; init; }

    /// <summary>JSON key file, readable by its owner alone (0600); anything wider refuses to start.</summary>
    public required string KeyFile { get; init; }

    /// <summary>P-256 public key (SPKI PEM) of the gateway that signs grants and service tokens.</summary>
    public required string GatewayKeyFile { get; init; }

    /// <summary>Whether a missing key file is made at start: the embedded development host only.</summary>
    public bool CreateStores { get; init; }
}
