namespace KantaGateway.Benchmarks;

/// <summary>Loopback ports of the servers, counted from one base.</summary>
/// <param name="Base">Its nine followers are used too.</param>
readonly record struct Ports(int Base)
{
    /// <summary>The gateway, TLS; simulators and metrics take the next two.</summary>
    public int Gateway => Base;

    /// <summary>The gateway behind a TLS terminator: plain HTTP.</summary>
    public int Terminator => Base + 3;

    public int BareYarpTls => Base + 4;
    public int BareYarp => Base + 5;
    public int BareKestrelTls => Base + 6;
    public int BareKestrel => Base + 7;

    /// <summary>As <see cref="BareKestrelTls"/>, and nobody is asked for a certificate.</summary>
    public int KestrelWithoutCertificates => Base + 8;

    /// <summary>Those of another gateway beside this one.</summary>
    public Ports Others => new(Base + 10);
}
