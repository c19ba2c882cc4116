namespace KantaGateway.Gateway.Operations.Witnesses;

/// <summary>Who is asked to vouch for the audit log's checkpoints, and whose word makes one count.</summary>
public sealed record WitnessOptions
{
    /// <summary>
    /// The witnesses with their keys and addresses, and the quorum (C2SP tlog-policy), such as two of three: the same file at every gateway, and for whoever checks the log. Addresses are https, or http on a loopback address.
    /// </summary>
    public required string PolicyFile { get; init; }

    /// <summary>Seconds between two rounds, 1 to 60; default 2. A round asks for the newest checkpoint, unless it is cosigned.</summary>
    public int IntervalSeconds { get; init; } = 2;

    /// <summary>Seconds that a witness may take to answer, 1 to 60; default 5.</summary>
    public int TimeoutSeconds { get; init; } = 5;

    /// <summary>Seconds without a quorum after which a case is opened, 10 to 86,400; default 300.</summary>
    public int AlarmSeconds { get; init; } = 300;

    /// <summary>PEM file with the roots that the witnesses' certificates are checked by; null (default): the system's.</summary>
    public string? AuthorityFile { get; init; }
}
