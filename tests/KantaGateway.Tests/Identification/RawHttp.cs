using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace KantaGateway.Tests.Identification;

/// <summary>Requests as they are written, header lines as often as they are: HttpClient would join those of one name.</summary>
internal static class RawHttp
{
    /// <param name="place">Of the listener, an address on loopback; https means TLS.</param>
    /// <param name="certificate">The caller's; null: none.</param>
    /// <param name="from">Address on loopback that it comes from.</param>
    public static async Task<(int Status, string Text)> SendAsync(this IdentificationWorld world, Uri place, string request, IReadOnlyList<(string Name, string Value)> headers, string body = "", X509Certificate2? certificate = null, string from = "127.0.0.1")
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(from), 0));
        await socket.ConnectAsync(IPAddress.Loopback, place.Port);
        Stream stream = new NetworkStream(socket);
        if (place.Scheme == Uri.UriSchemeHttps)
        {
            var roots = new X509Certificate2Collection();
            roots.ImportFromPem(world.Authority.CertificatePem);
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.AddRange(roots);
            var tls = new SslStream(stream);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = policy, ClientCertificates = certificate is null ? [] : [certificate] });
            stream = tls;
        }
        await using (stream)
        {
            var text = new StringBuilder().Append(request).Append(" HTTP/1.1\r\nHost: ").Append(place.Authority).Append("\r\nConnection: close\r\nContent-Length: ").Append(body.Length.ToString(CultureInfo.InvariantCulture)).Append("\r\n");
            foreach (var (name, value) in headers)
                text.Append(name).Append(": ").Append(value).Append("\r\n");
            await stream.WriteAsync(Encoding.ASCII.GetBytes(text.Append("\r\n").Append(body).ToString()));
            using var reader = new StreamReader(stream);
            var answer = await reader.ReadToEndAsync();
            return (int.Parse(answer.AsSpan(9, 3), CultureInfo.InvariantCulture), answer);
        }
    }
}
