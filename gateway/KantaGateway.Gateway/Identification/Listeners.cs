using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace KantaGateway.Gateway.Identification;

/// <summary>The listeners through which callers come in, and how each carries a client certificate.</summary>
internal static class Listeners
{
    /// <summary>Header of a trusted TLS terminator: the client certificate as base64 DER.</summary>
    public const string CertificateHeader = "X-Client-Cert";

    /// <summary>Header of a trusted TLS terminator: the addresses that a request came by, the one that the terminator saw last.</summary>
    public const string AddressHeader = "X-Forwarded-For";

    public static void Configure(KestrelServerOptions kestrel, GatewayOptions options)
    {
        var (certificate, chain) = ReadServerCertificate(options);
        void Public(ListenOptions listen)
        {
            listen.Protocols = HttpProtocols.Http1AndHttp2;
            listen.UseHttps(https =>
            {
                https.ServerCertificate = certificate;
                https.ServerCertificateChain = chain;
                https.SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13;
                // Any certificate or none gets through TLS: citizens have none, and a bad one is answered, not hung up on.
                // OrganisationCertificates judges it before anything relies on it.
                https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                https.ClientCertificateValidation = static (_, _, _) => true;
            });
        }

        var address = IPAddress.Parse(options.ListenAddress);
        if (address.Equals(IPAddress.Loopback) && options.Port != 0)
            kestrel.ListenLocalhost(options.Port, Public);
        else
            kestrel.Listen(address, options.Port, Public);

        if (TerminatorOf(options) is { } terminator)
            kestrel.Listen(terminator, listen => listen.Protocols = HttpProtocols.Http1);
    }

    /// <summary>Null when there is none.</summary>
    /// <exception cref="InvalidDataException">It is not plain HTTP on a loopback address.</exception>
    public static IPEndPoint? TerminatorOf(GatewayOptions options)
    {
        if (options.TerminatorListen is not { } text)
            return null;
        return Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttp
            && IPAddress.TryParse(uri.Host, out var address) && IPAddress.IsLoopback(address)
            ? new IPEndPoint(address, uri.Port)
            : throw new InvalidDataException("TerminatorListen must be http://127.0.0.1:port: what it passes on is believed.");
    }

    private static (X509Certificate2, X509Certificate2Collection) ReadServerCertificate(GatewayOptions options)
    {
        using var pem = X509Certificate2.CreateFromPemFile(options.TlsCertificateFile, options.TlsKeyFile);
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(options.TlsCertificateFile);
        return (X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null), chain);
    }
}

/// <summary>
/// Runs before everything: takes certificate and address from the terminator's listener and removes their headers everywhere, so
/// that nobody else can speak for a terminator.
/// </summary>
internal sealed class TerminatorFilter(GatewayOptions options) : IStartupFilter
{
    // At most 16 kB each.
    private readonly RecentCache<string, X509Certificate2> _read = new(500);

    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next)
    {
        var terminator = Listeners.TerminatorOf(options);
        return app =>
        {
            app.Use(async (context, proceed) =>
            {
                var headers = context.Request.Headers;
                headers.Remove(Listeners.CertificateHeader, out var certificate);
                headers.Remove(Listeners.AddressHeader, out var address);
                if (IsTerminator(context))
                {
                    if (certificate is [{ Length: > 0 and < 16_384 } encoded])
                        context.Connection.ClientCertificate = Read(encoded);
                    // What stands before the last one anybody can have written.
                    if (IPAddress.TryParse(address.ToString().Split(',')[^1].Trim(), out var seen))
                        context.Connection.RemoteIpAddress = seen;
                    context.Request.Scheme = Uri.UriSchemeHttps;
                }
                await proceed(context).ConfigureAwait(false);
            });
            next(app);
        };

        bool IsTerminator(HttpContext context) =>
            terminator is not null && context.Connection.LocalPort == terminator.Port && terminator.Address.Equals(context.Connection.LocalIpAddress);
    }

    /// <summary>Null for what is no certificate: the caller then has none, and is told so where one is needed.</summary>
    /// <remarks>Kept as it was sent: a clinic sends the same one with every request, and to decode it costs more than a read.</remarks>
    private X509Certificate2? Read(string encoded)
    {
        if (!_read.TryGet(encoded, out var certificate) && (certificate = Decode(encoded)) is not null)
            _read.Set(encoded, certificate);
        return certificate;
    }

    private static X509Certificate2? Decode(string encoded)
    {
        try
        {
            return X509CertificateLoader.LoadCertificate(Convert.FromBase64String(encoded));
        }
        catch (Exception malformed) when (malformed is FormatException or System.Security.Cryptography.CryptographicException)
        {
            return null;
        }
    }
}
