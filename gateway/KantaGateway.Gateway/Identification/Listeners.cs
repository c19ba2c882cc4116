using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace KantaGateway.Gateway.Identification;

/// <summary>The listeners through which callers come in, and how each carries a client certificate.</summary>
internal static class Listeners
{
    /// <summary>Header of a trusted TLS terminator: the client certificate as base64 DER.</summary>
    public const string CertificateHeader = "X-Client-Cert";

    /// <summary>The same by RFC 9440 §2.2: the base64 DER between colons. The chain beside it (§2.3) is not used: intermediates stand in the authority file.</summary>
    public const string StandardHeader = "Client-Cert", StandardChainHeader = "Client-Cert-Chain";

    /// <summary>Header of a trusted TLS terminator: the addresses that a request came by, the one that the terminator saw last.</summary>
    public const string AddressHeader = "X-Forwarded-For";

    public static void Configure(KestrelServerOptions kestrel, GatewayOptions options)
    {
        var (certificate, chain) = ReadServerCertificate(options);
        void Public(ListenOptions listen)
        {
            listen.Protocols = HttpProtocols.Http1AndHttp2;
            // Citizens have none.
            UseTls(listen, certificate, chain, ClientCertificateMode.AllowCertificate);
        }

        var address = IPAddress.Parse(options.ListenAddress);
        if (address.Equals(IPAddress.Loopback) && options.Port != 0)
            kestrel.ListenLocalhost(options.Port, Public);
        else
            kestrel.Listen(address, options.Port, Public);

        if (options.Identification.Operators?.Port is { } operators)
            kestrel.Listen(address, operators, listen =>
            {
                listen.Protocols = HttpProtocols.Http1AndHttp2;
                UseTls(listen, certificate, chain, ClientCertificateMode.NoCertificate);
            });

        if (TerminatorOf(options) is not { } terminator)
            return;
        if (!IsElsewhere(options))
        {
            kestrel.Listen(terminator, listen => listen.Protocols = HttpProtocols.Http1);
            return;
        }
        var places = options.TerminatorAddresses.Select(NetworkOf).ToArray();
        var known = options.TerminatorCertificates.Select(Plain).ToHashSet(StringComparer.Ordinal);
        kestrel.Listen(terminator, listen =>
        {
            listen.Protocols = HttpProtocols.Http1AndHttp2;
            // Before TLS: a stranger learns nothing, not even whose certificate is shown here.
            listen.Use(next => connection => IsAt(connection.RemoteEndPoint, places) ? next(connection) : Task.CompletedTask);
            listen.UseHttps(https =>
            {
                https.ServerCertificate = certificate;
                https.ServerCertificateChain = chain;
                https.SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13;
                https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
                // Named one by one, so no authority has to vouch for it.
                https.ClientCertificateValidation = (shown, _, _) => known.Contains(shown.GetCertHashString(HashAlgorithmName.SHA256))
                    && DateTime.UtcNow >= shown.NotBefore.ToUniversalTime() && DateTime.UtcNow <= shown.NotAfter.ToUniversalTime();
            });
        });
    }

    /// <summary>A listener that speaks something else than HTTP to clinics' systems, under the certificate of the public one.</summary>
    public static void ListenBeside(KestrelServerOptions kestrel, GatewayOptions options, int port, Action<ListenOptions> speak)
    {
        var (certificate, chain) = ReadServerCertificate(options);
        kestrel.Listen(IPAddress.Parse(options.ListenAddress), port, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            UseTls(listen, certificate, chain, ClientCertificateMode.RequireCertificate);
            speak(listen);
        });
    }

    private static void UseTls(ListenOptions listen, X509Certificate2 certificate, X509Certificate2Collection chain, ClientCertificateMode mode) => listen.UseHttps(https =>
    {
        https.ServerCertificate = certificate;
        https.ServerCertificateChain = chain;
        https.SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13;
        // Any certificate gets through TLS: a bad one is answered, not hung up on. OrganisationCertificates judges it before anything relies on it.
        https.ClientCertificateMode = mode;
        https.ClientCertificateValidation = static (_, _, _) => true;
    });

    /// <summary>Null when there is none.</summary>
    /// <exception cref="InvalidDataException">Anybody could speak for a terminator there.</exception>
    public static IPEndPoint? TerminatorOf(GatewayOptions options)
    {
        if (options.TerminatorListen is not { } text)
            return null;
        return Explain(options) is [] && Uri.TryCreate(text, UriKind.Absolute, out var uri)
            ? new IPEndPoint(IPAddress.Parse(uri.DnsSafeHost), uri.Port)
            : throw new InvalidDataException("TerminatorListen: what comes in there is believed; see the options beside it.");
    }

    /// <summary>What is wrong with the terminator's listener and what stands beside it, each as setting and what it has to be.</summary>
    public static List<(string Setting, string Rule)> Explain(GatewayOptions options)
    {
        var wrong = new List<(string, string)>();
        var (addresses, certificates) = (options.TerminatorAddresses ?? [], options.TerminatorCertificates ?? []);
        if (options.TerminatorListen is { } text && !(Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.PathAndQuery == "/" && uri.UserInfo.Length == 0 && uri.Port > 0
            && IPAddress.TryParse(uri.DnsSafeHost, out var address)
            && (uri.Scheme == Uri.UriSchemeHttps || (uri.Scheme == Uri.UriSchemeHttp && IPAddress.IsLoopback(address)))))
            wrong.Add((nameof(options.TerminatorListen), "http://127.0.0.1:port, or https://address:port with an IP address"));
        if (options.TerminatorHeader is not (CertificateHeader or StandardHeader))
            wrong.Add((nameof(options.TerminatorHeader), $"{CertificateHeader} or {StandardHeader}"));
        if (IsElsewhere(options) ? addresses.Count == 0 || !addresses.All(IsNetwork) : addresses.Count > 0)
            wrong.Add((nameof(options.TerminatorAddresses), "IP addresses or networks from which the terminator connects, and only beside an https listener"));
        if (IsElsewhere(options) ? certificates.Count == 0 || !certificates.All(static one => one is not null && Plain(one) is { Length: 64 } hex && hex.All(char.IsAsciiHexDigit)) : certificates.Count > 0)
            wrong.Add((nameof(options.TerminatorCertificates), "SHA-256 fingerprints of the terminator's certificates, and only beside an https listener"));
        return wrong;
    }

    private static bool IsElsewhere(GatewayOptions options) => options.TerminatorListen?.StartsWith("https://", StringComparison.OrdinalIgnoreCase) is true;

    private static string Plain(string fingerprint) => fingerprint.Replace(":", "", StringComparison.Ordinal).ToUpperInvariant();

    /// <summary>Everywhere is no place.</summary>
    private static bool IsNetwork(string? text) => IPAddress.TryParse(text, out _) || (IPNetwork.TryParse(text, out var network) && network.PrefixLength > 0);

    private static IPNetwork NetworkOf(string text) => IPAddress.TryParse(text, out var one) ? new(one, one.GetAddressBytes().Length * 8) : IPNetwork.Parse(text);

    private static bool IsAt(EndPoint? remote, IPNetwork[] places) =>
        remote is IPEndPoint { Address: var address } && Array.Exists(places, place => place.Contains(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address));

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
        var usesStandard = options.TerminatorHeader == Listeners.StandardHeader;
        return app =>
        {
            app.Use(async (context, proceed) =>
            {
                var headers = context.Request.Headers;
                headers.Remove(Listeners.CertificateHeader, out var certificate);
                headers.Remove(Listeners.StandardHeader, out var standard);
                headers.Remove(Listeners.StandardChainHeader);
                headers.Remove(Listeners.AddressHeader, out var address);
                if (IsTerminator(context))
                {
                    var stated = usesStandard ? standard : certificate;
                    // For this request alone, and always: the connection carries many callers, and its own certificate is the terminator's and none of theirs.
                    context.Features.Set<ITlsConnectionFeature>(new ForwardedCertificate(stated is [{ Length: > 0 and < 16_384 } encoded] ? Read(encoded) : null));
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
            terminator is not null && context.Connection.LocalPort == terminator.Port
            && (terminator.Address.Equals(context.Connection.LocalIpAddress) || terminator.Address.Equals(IPAddress.Any) || terminator.Address.Equals(IPAddress.IPv6Any));
    }

    /// <summary>Null for what is no certificate: the caller then has none, and is told so where one is needed.</summary>
    /// <remarks>Kept as it was sent: a clinic sends the same one with every request, and to decode it costs more than a read.</remarks>
    private X509Certificate2? Read(string encoded)
    {
        if (!_read.TryGet(encoded, out var certificate) && (certificate = Decode(encoded)) is not null)
            _read.Set(encoded, certificate);
        return certificate;
    }

    private X509Certificate2? Decode(string encoded)
    {
        try
        {
            if (options.TerminatorHeader == Listeners.StandardHeader)
                // RFC 8941 §3.3.5
                encoded = encoded is [':', .. var inner, ':'] ? inner : "";
            return X509CertificateLoader.LoadCertificate(Convert.FromBase64String(encoded));
        }
        catch (Exception malformed) when (malformed is FormatException or System.Security.Cryptography.CryptographicException)
        {
            return null;
        }
    }

    /// <summary>What the terminator says of its caller, in the place of what TLS says of the terminator.</summary>
    private sealed class ForwardedCertificate(X509Certificate2? certificate) : ITlsConnectionFeature
    {
        public X509Certificate2? ClientCertificate { get; set; } = certificate;

        public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) => Task.FromResult(ClientCertificate);
    }
}
