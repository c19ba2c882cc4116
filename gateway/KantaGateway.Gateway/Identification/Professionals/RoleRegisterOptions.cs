namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>The role and attribute register (rooli- ja attribuuttipalvelu, Act 703/2023 §65), which knows who may practise.</summary>
public sealed record RoleRegisterOptions
{
    /// <summary>https address without trailing slash; questions go to <c>/rights</c> under it.</summary>
    public required string Address { get; init; }

    /// <summary>PEM chain and PKCS#8 key of the certificate that this gateway shows there (mTLS).</summary>
    public required string CertificateFile { get; init; }
    public required string KeyFile { get; init; }

    /// <summary>Seconds, 1 to 10, after which a question is given up.</summary>
    public int TimeoutSeconds { get; init; } = 5;
}
