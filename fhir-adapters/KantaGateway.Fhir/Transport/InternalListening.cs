using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Fhir.Transport;

/// <summary>How an internal part listens, never publicly, and what every part asks of its sockets.</summary>
public static class InternalListening
{
    /// <summary>Has Kestrel listen where an endpoint says, HTTP/1.1 only.</summary>
    /// <exception cref="InvalidOperationException">It is another machine's, or a public address.</exception>
    public static void ListenInternally(this WebApplicationBuilder builder, InternalEndpoint endpoint)
    {
        builder.Services.ServeWhereReceived();
        if (endpoint.ProcessName is not null)
            builder.Services.AddSingleton<IConnectionListenerFactory, InProcessListenerFactory>();
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, endpoint));
    }

    /// <summary>A request goes on where its bytes were received, on a thread of the pool: each hop to another costs as much as a read.</summary>
    public static void ServeWhereReceived(this IServiceCollection services) =>
        services.Configure<SocketTransportOptions>(sockets => (sockets.UnsafePreferInlineScheduling, sockets.WaitForDataBeforeAllocatingBuffer) = (true, false));

    /// <summary>Leaves a socket to its owner alone, once it is there.</summary>
    public static void RestrictSocket(this WebApplication app, InternalEndpoint endpoint)
    {
        if (endpoint.SocketPath is { } path)
            app.Lifetime.ApplicationStarted.Register(() =>
            {
                if (!OperatingSystem.IsWindows())
                    File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            });
    }

    private static void Listen(KestrelServerOptions kestrel, InternalEndpoint endpoint)
    {
        // A grant names every denied service event.
        kestrel.Limits.MaxRequestHeadersTotalSize = 256 << 10;
        if (endpoint.ProcessName is { } name)
            kestrel.Listen(new InProcessEndPoint(name), Http1);
        else if (endpoint.SocketPath is { } path)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            // Left by a process that was killed; a living one holds its database or key file, not its socket.
            File.Delete(path);
            kestrel.ListenUnixSocket(path, Http1);
        }
        else if (endpoint.Address is { Scheme: "http", Host: "localhost" })
            kestrel.ListenLocalhost(endpoint.Address.Port, Http1);
        else if (endpoint.Address.Scheme == "http" && IPAddress.TryParse(endpoint.Address.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip))
            kestrel.Listen(ip, endpoint.Address.Port, Http1);
        else
            throw new InvalidOperationException("An internal part listens in its process, on a Unix socket or on http://<loopback address>:port, never publicly.");
    }

    private static void Http1(ListenOptions listen) => listen.Protocols = HttpProtocols.Http1;
}
