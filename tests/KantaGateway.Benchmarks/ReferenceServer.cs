using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using KantaGateway.Fhir.Transport;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Yarp.ReverseProxy.Forwarder;

namespace KantaGateway.Benchmarks;

/// <summary>The answer that the gateway gave, to be given again by servers that do nothing for it.</summary>
/// <param name="Status">2xx.</param>
/// <param name="Headers">Those of the public answer, without what Kestrel sets by itself.</param>
sealed record CannedAnswer(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    public void Save(string file) => File.WriteAllText(file, JsonSerializer.Serialize(this));

    public static CannedAnswer Load(string file) => JsonSerializer.Deserialize<CannedAnswer>(File.ReadAllText(file))!;
}

/// <summary>
/// What the gateway is compared with, in one process as the gateway is: a bare YARP that forwards over a Unix socket, and
/// a Kestrel that answers the very same bytes, which can also be asked directly. TLS as the gateway's listener has it.
/// </summary>
static class ReferenceServer
{
    public static async Task<IAsyncDisposable> StartAsync(Ports ports, CannedAnswer answer, string certificateFile, string keyFile, string socket)
    {
        File.Delete(socket);
        var kestrel = BuildKestrel(ports, answer, certificateFile, keyFile, socket);
        await kestrel.StartAsync();
        var yarp = BuildYarp(ports, certificateFile, keyFile, socket);
        await yarp.StartAsync();
        return new Both(yarp, kestrel);
    }

    private static WebApplication BuildKestrel(Ports ports, CannedAnswer answer, string certificateFile, string keyFile, string socket)
    {
        var builder = Bare();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.ListenUnixSocket(socket);
            options.Listen(IPAddress.Loopback, ports.BareKestrel);
            options.Listen(IPAddress.Loopback, ports.BareKestrelTls, listen => Tls(listen, certificateFile, keyFile));
            options.Listen(IPAddress.Loopback, ports.KestrelWithoutCertificates, listen => Tls(listen, certificateFile, keyFile, ClientCertificateMode.NoCertificate));
        });
        var app = builder.Build();
        app.Run(async context =>
        {
            // To its end, as the repository has to.
            await context.Request.Body.CopyToAsync(Stream.Null, context.RequestAborted);
            context.Response.StatusCode = answer.Status;
            foreach (var (name, value) in answer.Headers)
                context.Response.Headers[name] = value;
            context.Response.ContentLength = answer.Body.Length;
            await context.Response.Body.WriteAsync(answer.Body, context.RequestAborted);
        });
        return app;
    }

    private static WebApplication BuildYarp(Ports ports, string certificateFile, string keyFile, string socket)
    {
        var builder = Bare();
        builder.Services.AddHttpForwarder();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.Listen(IPAddress.Loopback, ports.BareYarp);
            options.Listen(IPAddress.Loopback, ports.BareYarpTls, listen => Tls(listen, certificateFile, keyFile));
        });
        var app = builder.Build();
        var handler = new SocketsHttpHandler { ActivityHeadersPropagator = null, MaxConnectionsPerServer = 512 };
        InternalEndpoint.Parse("unix:" + socket).Configure(handler);
        var invoker = new HttpMessageInvoker(handler);
        var forwarder = app.Services.GetRequiredService<IHttpForwarder>();
        var config = new ForwarderRequestConfig { Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        app.Run(async context =>
        {
            if (await forwarder.SendAsync(context, "http://localhost", invoker, config) is not ForwarderError.None)
                context.Abort();
        });
        return app;
    }

    private static WebApplicationBuilder Bare()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(options => options.AddServerHeader = false);
        return builder;
    }

    // As Identification/Listeners has it: certificates asked for at TLS and judged later, which here nobody does.
    private static void Tls(ListenOptions listen, string certificateFile, string keyFile, ClientCertificateMode mode = ClientCertificateMode.AllowCertificate) => listen.UseHttps(https =>
    {
        using var pem = X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(certificateFile);
        https.ServerCertificate = X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null);
        https.ServerCertificateChain = chain;
        https.SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13;
        https.ClientCertificateMode = mode;
        https.ClientCertificateValidation = static (_, _, _) => true;
    });

    private sealed class Both(WebApplication yarp, WebApplication kestrel) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await yarp.DisposeAsync();
            await kestrel.DisposeAsync();
        }
    }
}
