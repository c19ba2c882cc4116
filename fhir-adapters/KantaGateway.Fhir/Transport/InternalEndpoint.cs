using System.Net.Sockets;

namespace KantaGateway.Fhir.Transport;

/// <summary>
/// Where an internal part listens: <c>unix:/absolute/path.sock</c>, <c>http(s)://host:port</c>, or <c>process:name</c>. Parts of one
/// machine meet on Unix sockets, which only the owner of the folder can open; parts of one process over memory that nobody else
/// has. The contract is the same HTTP.
/// </summary>
/// <param name="Address">Base address for an HTTP client.</param>
/// <param name="SocketPath">Set for a Unix socket.</param>
/// <param name="ProcessName">Set for a part of this process.</param>
public sealed record InternalEndpoint(Uri Address, string? SocketPath = null, string? ProcessName = null)
{
    private static readonly Uri Local = new("http://localhost");

    /// <summary>No other machine can reach it, and no other user of this one.</summary>
    public bool IsPrivate => SocketPath is not null || ProcessName is not null;

    /// <exception cref="FormatException">None of the forms.</exception>
    public static InternalEndpoint Parse(string text)
    {
        if (text.StartsWith("unix:/", StringComparison.Ordinal))
            return new(Local, SocketPath: text["unix:".Length..]);
        if (text.StartsWith("process:", StringComparison.Ordinal) && text.Length > "process:".Length)
            return new(Local, ProcessName: text["process:".Length..]);
        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https")
            return new(uri);
        throw new FormatException("An internal endpoint is unix:/absolute/path, http(s)://host:port or process:name.");
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
        if (ProcessName is { } name)
            handler.ConnectCallback = (_, cancel) => InProcessConnections.ConnectAsync(name, cancel);
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
