using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>Connections and certificates, below HTTP where that is where things go wrong.</summary>
static class ConnectionChecks
{
    /// <summary>Whoever lets it get nearer has nobody who renews it.</summary>
    private static readonly TimeSpan NearItsEnd = TimeSpan.FromHours(24);

    public static async Task RunAsync(Steps steps, ClinicClient clinic, string patient, CancellationToken cancel)
    {
        await steps.AlsoAsync("connection.tls", "serves TLS 1.2 or 1.3 with a certificate that holds", () => TlsAsync(clinic, cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("connection.plain", "answers nothing to who speaks no TLS", () => PlainAsync(clinic.Target, cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("connection.stranger-certificate", "refuses a certificate that nobody issued", () => StrangerAsync(clinic, patient, cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("connection.kept", "keeps the connection when it refuses", () => KeptAsync(clinic, patient, cancel)).ConfigureAwait(false);
    }

    private static async Task TlsAsync(ClinicClient clinic, CancellationToken cancel)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(clinic.Target.Host, clinic.Target.Port, cancel).ConfigureAwait(false);
        var problems = SslPolicyErrors.None;
        X509ChainStatusFlags chain = default;
        // Everything is looked at before anything is judged: the reason is what a vendor needs to know.
        using var tls = new SslStream(socket.GetStream(), leaveInnerStreamOpen: false);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        policy.CustomTrustStore.AddRange(clinic.Folder.Authority);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = clinic.Target.Host,
            CertificateChainPolicy = policy,
            RemoteCertificateValidationCallback = (_, _, built, errors) =>
            {
                (problems, chain) = (errors, (built?.ChainStatus ?? []).Aggregate(default(X509ChainStatusFlags), static (all, one) => all | one.Status));
                return true;
            },
        }, cancel).ConfigureAwait(false);
        Expect.That(tls.SslProtocol is SslProtocols.Tls12 or SslProtocols.Tls13, "TLS 1.2 or 1.3", $"{tls.SslProtocol}");
        Expect.That(problems == SslPolicyErrors.None, "a certificate in date, for this host name, from the authority of the folder", chain == default ? $"{problems}" : $"{problems}: {chain}");
        using var certificate = X509CertificateLoader.LoadCertificate(tls.RemoteCertificate!.Export(X509ContentType.Cert));
        Expect.That(certificate.NotAfter.ToUniversalTime() - DateTime.UtcNow > NearItsEnd, "a certificate that holds for a day at least", string.Create(CultureInfo.InvariantCulture, $"one that ends {certificate.NotAfter.ToUniversalTime():u}"));
    }

    private static async Task PlainAsync(Uri target, CancellationToken cancel)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(target.Host, target.Port, cancel).ConfigureAwait(false);
        var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET /fhir/metadata HTTP/1.1\r\nHost: {target.Authority}\r\nConnection: close\r\n\r\n"), cancel).ConfigureAwait(false);
        var read = 0;
        var buffer = new byte[4096];
        try
        {
            read = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // Hung up on, which is an answer too.
        }
        Expect.That(!Encoding.ASCII.GetString(buffer, 0, read).StartsWith("HTTP/1.1 2", StringComparison.Ordinal), "no answer in the clear", "one");
    }

    private static async Task StrangerAsync(ClinicClient clinic, string patient, CancellationToken cancel)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={clinic.Client.ClientId}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new("1.3.6.1.5.5.7.3.2")], critical: false));
        using var made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1));
        var token = await clinic.TokenAsync(cancel).ConfigureAwait(false);
        using var http = new HttpClient(clinic.Folder.Through(Transport.Handler(clinic.Folder.Authority, SslStreamCertificateContext.Create(made, null, offline: true))));
        using var asked = new HttpRequestMessage(HttpMethod.Get, new Uri(clinic.Target, $"/fhir/Patient/{patient}"));
        asked.Headers.Authorization = new("Bearer", token);
        try
        {
            using var answer = await http.SendAsync(asked, cancel).ConfigureAwait(false);
            Expect.That((int)answer.StatusCode == 401, "401 for a certificate that nobody issued", $"{(int)answer.StatusCode}");
        }
        catch (HttpRequestException e) when (e.InnerException is AuthenticationException or IOException)
        {
            // Refused while shaking hands: as good.
        }
    }

    private static async Task KeptAsync(ClinicClient clinic, string patient, CancellationToken cancel)
    {
        using var one = ClinicClient.Open(clinic.Folder, clinic.Name, clinic.Target, maxConnections: 1);
        Expect.Status(await one.System.ReadAsync("Patient", patient, cancel).ConfigureAwait(false), "a read", 200);
        var before = one.Connections;
        Expect.Status(await one.With(null).ReadAsync("Patient", patient, cancel).ConfigureAwait(false), "a read without a token", 401);
        Expect.Refusal(await one.System.CreateAsync("Observation", "{"u8.ToArray(), cancel: cancel).ConfigureAwait(false), "malformed JSON", [400]);
        Expect.Status(await one.System.ReadAsync("Patient", patient, cancel).ConfigureAwait(false), "a read afterwards", 200);
        Expect.That(one.Connections == before, "the same connection after refusals", "a new one");
    }
}
