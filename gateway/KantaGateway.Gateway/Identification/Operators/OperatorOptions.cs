namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>The operators' Entra ID tenant, how they have to sign in there, and where their decisions are kept.</summary>
public sealed record OperatorOptions
{
    /// <summary>Exact issuer of ID tokens: <c>https://login.microsoftonline.com/{tenant}/v2.0</c>.</summary>
    public required string Authority { get; init; }

    /// <summary>The tenant's id, exact <c>tid</c>.</summary>
    public required string Tenant { get; init; }

    /// <summary>
    /// Origin of the operators' pages, no trailing slash: <c>https://operators.example</c>. Its host is not that of <see cref="GatewayOptions.PublicAddress"/>, since ports part no cookies. Null: that of the citizens,
    /// for a development host alone.
    /// </summary>
    public string? Address { get; init; }

    /// <summary>
    /// Port of a TLS listener for that origin alone, 1-65535, on <see cref="GatewayOptions.ListenAddress"/>, to be reached from the operators' network only. Null (default): the citizens' listener, where the host name tells them apart.
    /// </summary>
    public int? Port { get; init; }

    /// <summary>Application (client) id of the gateway there.</summary>
    public required string ClientId { get; init; }

    /// <summary>
    /// PEM certificate that is registered there, and its RSA private key (PKCS#8 PEM, 2048 bits or more): they sign client assertions (PS256).
    /// </summary>
    public required string CertificateFile { get; init; }
    public required string KeyFile { get; init; }

    /// <summary>
    /// Authentication context that asks for phishing-resistant means, such as <c>c1</c>: asked for, and one of the values of <c>acrs</c> must equal it.
    /// This or <see cref="Amr"/> is needed; with both, both are demanded.
    /// </summary>
    public string? Acrs { get; init; }

    /// <summary>Phishing-resistant means, such as <c>fido</c>: one of the values of <c>amr</c> must equal one of them.</summary>
    public IReadOnlyList<string> Amr { get; init; } = [];

    /// <summary>App roles (values of <c>roles</c>) that may onboard clients, hold key ceremonies, and see to exports and breach cases.</summary>
    public string OnboardingRole { get; init; } = "Kanta.Onboarding";
    public string KeysRole { get; init; } = "Kanta.Keys";
    public string DataProtectionRole { get; init; } = "Kanta.DataProtection";

    /// <summary>
    /// Days, 1 to 90, between the approval of an erasure and the destruction of the record, in which one person is enough to stop it. An approval keeps the wait that it was given.
    /// </summary>
    public int ErasureWaitDays { get; init; } = 7;

    /// <summary>Folder of the log of decisions, shared by all gateways of a deployment; its file system must keep locks (local, NFS 4).</summary>
    public required string LogFolder { get; init; }

    /// <summary>P-256 private key (PKCS#8 PEM) that signs the log, shared by all gateways; not the token key, which is replaced more often.</summary>
    public required string LogKeyFile { get; init; }
}
