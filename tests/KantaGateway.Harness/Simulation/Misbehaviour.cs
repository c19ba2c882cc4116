namespace KantaGateway.Harness.Simulation;

/// <summary>How a stand-in gateway misbehaves.</summary>
public enum Misbehaviour
{
    /// <summary>No answer comes until the caller gives up.</summary>
    Slow,

    /// <summary>429 with <c>Retry-After</c>.</summary>
    TooMany,

    /// <summary>503 with <c>Retry-After</c>; nothing was done.</summary>
    Unavailable,

    /// <summary>The request is carried out, and the connection breaks before the answer.</summary>
    Broken,

    /// <summary>The server's certificate has ended.</summary>
    ExpiredCertificate,

    /// <summary>The gateway signs with another key: no token issued before is taken any more.</summary>
    RotatedKeys,

    /// <summary>The client's registration is withdrawn: no token is taken and none is given.</summary>
    RevokedRight,

    /// <summary>Somebody else changes the resource just before an update arrives.</summary>
    VersionConflict,
}
