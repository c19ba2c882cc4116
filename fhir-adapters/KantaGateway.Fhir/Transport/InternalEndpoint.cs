using System.Net.Sockets;

namespace KantaGateway.Fhir.Transport;

/// <summary>
/// Where an internal part listens: <c>unix:/absolute/path.sock</c> or <c>http(s)://host:port</c>. Parts of one machine
/// meet on Unix sockets, which only the owner of the folder can open.
/// </summary>
/// <param name="Address">Base address for an HTTP client.</param>
/// <param name="SocketPath">Set for a Unix socket.</param>
public sealed record InternalEndpoint(Uri Address, string? SocketPath)
{
    /// <exception cref="FormatException">Neither form.</exception>
    public static InternalEndpoint Parse(string text)
    {
        if (text.StartsWith("unix:/", StringComparison.Ordinal))
            return new(new Uri("http://localhost"), text["unix:".Length..]);
        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https")
            return new(uri, null);
        throw new FormatException("An internal endpoint is unix:/absolute/path or http(s)://host:port.");
    }

    /// <summary>Makes a connection handler dial this endpoint whatever host the request names.</summary>
    /// <remarks>No proxy, cookies, redirects or decompression: bytes pass as they are.</remarks>
    public void Configure(SocketsHttpHandler handler)
    {
        handler.UseProxy = false;
        handler.UseCookies = false;
        handler.AllowAutoRedirect = false;
        handler.AutomaticDecompression = System.Net.DecompressionMethods.None;
        handler.MaxResponseHeadersLength = 1024; // KiB: a manifest names every resource of a page or transaction
        if (SocketPath is { } path)
            handler.ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel).ConfigureAwait(false);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
    }

    /// <summary>A client of this endpoint with its own connection pool; keep one for the life of the process.</summary>
    /// <param name="timeout">Per request.</param>
    public HttpClient CreateClient(TimeSpan timeout)
    {
        var handler = new SocketsHttpHandler();
        Configure(handler);
        return new HttpClient(handler) { BaseAddress = Address, Timeout = timeout };
    }
}
