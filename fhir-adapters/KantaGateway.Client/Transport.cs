using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace KantaGateway.Client;

/// <summary>Makes TLS connections: no proxy, no cookies, no automatic redirects, so that nothing is sent where nobody meant it to go.</summary>
public static class Transport
{
    /// <param name="roots">Trusted roots, and no others; null: the system's.</param>
    /// <param name="identity">Client certificate with its chain, null for none.</param>
    /// <param name="connected">Called for every new TCP connection.</param>
    public static SocketsHttpHandler Handler(X509Certificate2Collection? roots, SslStreamCertificateContext? identity = null, Action? connected = null)
    {
        X509ChainPolicy? policy = null;
        if (roots is not null)
        {
            policy = new() { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
            policy.CustomTrustStore.AddRange(roots);
        }
        return new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            MaxResponseHeadersLength = 1024,
            EnableMultipleHttp2Connections = true,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
            SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = policy,
                ClientCertificateContext = identity,
            },
            ConnectCallback = async (context, cancel) =>
            {
                var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                try
                {
                    await socket.ConnectAsync(context.DnsEndPoint, cancel).ConfigureAwait(false);
                    connected?.Invoke();
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        };
    }

    /// <summary>A certificate chain (PEM, leaf first) with the leaf's PKCS#8 key, ready to be presented.</summary>
    public static SslStreamCertificateContext Identity(string chainFile, string keyFile)
    {
        var leaf = X509Certificate2.CreateFromPemFile(chainFile, keyFile);
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(chainFile);
        return SslStreamCertificateContext.Create(leaf, chain, offline: true);
    }
}
