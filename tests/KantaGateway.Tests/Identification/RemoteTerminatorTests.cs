using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Gateway;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Tests.Identification;

/// <summary>A TLS terminator on another machine: 127.0.0.2 here, while 127.0.0.3 is a stranger's.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class RemoteTerminatorTests : IAsyncLifetime
{
    private const string Terminator = "127.0.0.2", Stranger = "127.0.0.3";

    private readonly IdentificationWorld world;
    private readonly IssuedCertificate _own;
    private readonly X509Certificate2 _caller;
    private readonly GatewayOptions _options;
    private readonly Uri _listener;
    private WebApplication _gateway = null!;

    public RemoteTerminatorTests(IdentificationWorld world)
    {
        this.world = world;
        // Of an organisation that is a client too: the terminator must not pass for it.
        _own = world.Issue(world.Aurora.Organisation);
        _caller = world.Aurora.Certificate.Open();
        _listener = new($"https://127.0.0.1:{IdentificationWorld.FreePort()}");
        _options = world.Options with
        {
            Port = IdentificationWorld.FreePort(), TerminatorListen = _listener.GetLeftPart(UriPartial.Authority), TerminatorHeader = "Client-Cert",
            TerminatorAddresses = [Terminator], TerminatorCertificates = [FingerprintOf(_own)],
            Identification = world.Options.Identification with { Operators = null },
        };
    }

    public async Task InitializeAsync() => await StartAsync(_options);

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        _caller.Dispose();
    }

    [Fact]
    public async Task What_the_configured_terminator_passes_on_is_believed()
    {
        var token = await world.TokenAsync(world.Aurora);
        using var http = Connect();
        Assert.Equal(HttpStatusCode.OK, await AskAsync(http, token, ("Client-Cert", Standard)));
        using var seen = new HttpRequestMessage(HttpMethod.Get, new Uri(_listener, "/address")) { Headers = { { "X-Forwarded-For", "192.0.2.1, 198.51.100.7" } } };
        using var address = await http.SendAsync(seen);
        Assert.Equal("198.51.100.7", await address.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_token_can_be_had_through_it()
    {
        using var http = Connect();
        http.DefaultRequestHeaders.Add("Client-Cert", Standard);
        using var response = await http.PostAsync(new Uri(_listener, "/connect/token"), new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        http.DefaultRequestHeaders.Clear();
        using var without = await http.PostAsync(new Uri(_listener, "/connect/token"), new FormUrlEncodedContent(world.ClientCredentials(world.Aurora)));
        Assert.Equal(HttpStatusCode.Unauthorized, without.StatusCode);
        Assert.Contains("no TLS client certificate", await without.Content.ReadAsStringAsync());
    }

    /// <summary>One connection carries many callers.</summary>
    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task Neither_the_callers_before_nor_the_terminator_itself_lend_anybody_a_certificate(string version)
    {
        var token = await world.TokenAsync(world.Aurora);
        var connections = 0;
        using var http = Connect(connected: () => connections++);
        (http.DefaultRequestVersion, http.DefaultVersionPolicy) = (Version.Parse(version), HttpVersionPolicy.RequestVersionExact);
        Assert.Equal(HttpStatusCode.OK, await AskAsync(http, token, ("Client-Cert", Standard)));
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(http, token));
        Assert.Equal(HttpStatusCode.OK, await AskAsync(http, token, ("Client-Cert", Standard)));
        Assert.Equal(1, connections);
    }

    [Theory]
    [InlineData("X-Client-Cert", "{0}")]
    [InlineData("X-Client-Cert", ":{0}:")]
    [InlineData("Client-Cert", "{0}")]
    [InlineData("Client-Cert", ":{0}")]
    [InlineData("Client-Cert", "{0}:")]
    [InlineData("Client-Cert", ":{0}:, :{0}:")]
    [InlineData("Client-Cert", ":{0}:;a=1")]
    [InlineData("Client-Cert", "::")]
    [InlineData("Client-Cert", ":")]
    [InlineData("Client-Cert-Chain", ":{0}:")]
    public async Task Another_header_or_another_form_names_nobody(string header, string form)
    {
        var token = await world.TokenAsync(world.Aurora);
        using var http = Connect();
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(http, token, (header, form.Replace("{0}", Der, StringComparison.Ordinal))));
    }

    [Fact]
    public async Task A_header_that_came_twice_names_nobody()
    {
        var token = await world.TokenAsync(world.Aurora);
        using var own = _own.Open();
        // Written twice, as it stands: HttpClient would send one line.
        foreach (var (times, status) in new[] { (1, 200), (2, 401) })
            Assert.Equal(status, (await world.SendAsync(_listener, "GET /fhir/whoami", [("Authorization", "Bearer " + token), .. Enumerable.Repeat(("Client-Cert", Standard), times)], certificate: own, from: Terminator)).Status);
    }

    /// <summary>A terminator replaces the header that it writes; what a caller puts into the other one comes through.</summary>
    [Fact]
    public async Task The_header_that_the_terminator_does_not_write_is_not_believed_beside_it()
    {
        var token = await world.TokenAsync(world.Aurora);
        using var other = world.Revontuli.Certificate.Open();
        using var http = Connect();
        Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(http, token, ("Client-Cert", $":{Convert.ToBase64String(other.RawData)}:"), ("X-Client-Cert", Der)));
    }

    [Theory]
    [InlineData("127.0.0.2", true)]
    [InlineData("127.0.0.2/31", true)]
    [InlineData("192.0.2.1", false)]
    public async Task Only_configured_addresses_are_let_in(string configured, bool strangerToo)
    {
        await _gateway.DisposeAsync();
        await StartAsync(_options with { TerminatorAddresses = [configured] });
        var token = await world.TokenAsync(world.Aurora);
        using var stranger = Connect(from: Stranger);
        if (configured.Contains('/'))
            Assert.Equal(HttpStatusCode.OK, await AskAsync(stranger, token, ("Client-Cert", Standard)));
        else
            await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(stranger, token, ("Client-Cert", Standard)));
        using var http = Connect();
        if (strangerToo)
            Assert.Equal(HttpStatusCode.OK, await AskAsync(http, token, ("Client-Cert", Standard)));
        else
            await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(http, token, ("Client-Cert", Standard)));
    }

    [Fact]
    public async Task Only_configured_certificates_are_let_in()
    {
        var token = await world.TokenAsync(world.Aurora);
        using (var another = Connect(world.Issue(world.Aurora.Organisation)))
            await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(another, token, ("Client-Cert", Standard)));
        using (var none = Connect(NoCertificate))
            await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(none, token, ("Client-Cert", Standard)));
        using var plain = new HttpClient();
        await Assert.ThrowsAsync<HttpRequestException>(() => plain.GetAsync(new Uri(_listener.AbsoluteUri.Replace("https:", "http:", StringComparison.Ordinal))));

        var expired = world.Authority.IssueOrganisation(Oid.Parse(world.Aurora.Organisation), "Expired", DateTimeOffset.UtcNow.AddDays(-2), DateTimeOffset.UtcNow.AddDays(-1));
        await _gateway.DisposeAsync();
        await StartAsync(_options with { TerminatorCertificates = [FingerprintOf(_own), FingerprintOf(expired)] });
        using (var old = Connect(expired))
            await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(old, token, ("Client-Cert", Standard)));
        using var own = Connect();
        Assert.Equal(HttpStatusCode.OK, await AskAsync(own, token, ("Client-Cert", Standard)));
    }

    [Theory]
    [InlineData("Client-Cert", true)]
    [InlineData("X-Client-Cert", false)]
    public async Task Who_sends_the_header_to_the_public_listener_gains_nothing(string header, bool isStandard)
    {
        var token = await world.TokenAsync(world.Aurora);
        var gateway = new Uri($"https://localhost:{_options.Port}");
        foreach (var certificate in new[] { null, _own })
        {
            using var http = world.Connect(certificate);
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
            http.DefaultRequestHeaders.Add(header, isStandard ? Standard : Der);
            using var response = await http.GetAsync(new Uri(gateway, "/fhir/whoami"));
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            using var headers = await http.GetAsync(new Uri(gateway, "/headers"));
            Assert.DoesNotContain("client-cert", await headers.Content.ReadAsStringAsync(), StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>Null: the terminator's own.</summary>
    private HttpClient Connect(IssuedCertificate? certificate = null, string from = Terminator, Action? connected = null)
    {
        var roots = new X509Certificate2Collection();
        roots.ImportFromPem(world.Authority.CertificatePem);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(roots);
        var handler = new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy },
            ConnectCallback = async (context, cancel) =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(new IPEndPoint(IPAddress.Parse(from), 0));
                await socket.ConnectAsync(IPAddress.Loopback, context.DnsEndPoint.Port, cancel);
                connected?.Invoke();
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        if (certificate != NoCertificate)
            handler.SslOptions.ClientCertificates = [(certificate ?? _own).Open()];
        return new HttpClient(handler);
    }

    private static readonly IssuedCertificate NoCertificate = new("", "", "");

    private async Task<HttpStatusCode> AskAsync(HttpClient http, string token, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(_listener, "/fhir/whoami"))
        {
            Version = http.DefaultRequestVersion, VersionPolicy = http.DefaultVersionPolicy, Headers = { Authorization = new("Bearer", token) },
        };
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await http.SendAsync(request);
        return response.StatusCode;
    }

    private string Der => Convert.ToBase64String(_caller.RawData);

    private string Standard => $":{Der}:";

    private static string FingerprintOf(IssuedCertificate certificate)
    {
        using var opened = certificate.Open();
        return opened.GetCertHashString(HashAlgorithmName.SHA256);
    }

    private async Task StartAsync(GatewayOptions options)
    {
        _gateway = world.BuildGateway(options);
        _gateway.MapGet("/headers", static (Microsoft.AspNetCore.Http.HttpContext context) => string.Join('\n', context.Request.Headers.Keys));
        await _gateway.StartAsync();
    }
}
