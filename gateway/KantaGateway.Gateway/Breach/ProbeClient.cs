using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Breach;

/// <summary>What the gateway answered a probe.</summary>
/// <param name="Receipt">The <c>Kanta-Receipt</c> header; empty: none.</param>
sealed record ProbeReply(int Status, string Body, string Receipt, string? Location)
{
    /// <summary>Id of what was stored; null: nothing was.</summary>
    public string? StoredId => Status == 201 && Location?.Split('/') is { } parts && Array.IndexOf(parts, "_history") is > 0 and var at ? parts[at - 1] : null;
}

/// <summary>
/// A clinic's system, from outside: TCP to this gateway's public listener, TLS with its organisation certificate, tokens by SMART Backend Services
/// and token exchange (RFC 8693). It knows nothing of the gateway that a clinic does not know.
/// </summary>
sealed class ProbeClient : IDisposable
{
    private const string AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    private const string TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange";

    private static readonly TimeSpan RefreshAhead = TimeSpan.FromSeconds(30);

    private readonly ProbeSystem _system;
    private readonly ProbeOptions? _reader;
    private readonly Uri _address;
    private readonly TimeProvider _time;
    private readonly JsonWebKey _key;
    private readonly HttpClient _gateway, _outside;
    private readonly JsonWebTokenHandler _handler = new() { SetDefaultTimesOnTokenCreation = false };
    private readonly Dictionary<string, (string Value, DateTimeOffset Until)> _tokens = [];

    /// <param name="authorityFile">PEM file with the roots that the public listener's certificate is checked by; null: the system's.</param>
    /// <param name="reader">Of a client that asks for a professional: whom, and where the subject token is given.</param>
    public ProbeClient(ProbeSystem system, GatewayOptions gateway, string? authorityFile, TimeProvider time, ProbeOptions? reader = null)
    {
        (_system, _reader, _address, _time) = (system, reader, new Uri(gateway.PublicAddress), time);
        _key = new(File.ReadAllText(system.KeyFile));
        var leaf = X509Certificate2.CreateFromPemFile(system.CertificateFile, system.CertificateKeyFile);
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(system.CertificateFile);
        // This gateway and no other: its log is the one that is looked at.
        var bound = IPAddress.Parse(gateway.ListenAddress);
        var listener = new IPEndPoint(bound.Equals(IPAddress.Any) || bound.Equals(IPAddress.IPv6Any) ? IPAddress.Loopback : bound, gateway.Port);
        var inside = Handler(authorityFile);
        inside.SslOptions.ClientCertificateContext = SslStreamCertificateContext.Create(leaf, chain, offline: true);
        inside.ConnectCallback = async (_, cancel) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(listener, cancel).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        };
        _gateway = new(inside) { BaseAddress = _address, Timeout = TimeSpan.FromSeconds(10) };
        _outside = new(Handler(authorityFile)) { Timeout = TimeSpan.FromSeconds(10) };
    }

    /// <summary>The system's own token.</summary>
    /// <exception cref="HttpRequestException">None was given.</exception>
    public Task<string> SystemTokenAsync(CancellationToken cancel) => TokenAsync("system", () => new()
    {
        ["grant_type"] = "client_credentials",
        ["scope"] = "system/*.cruds",
    }, cancel);

    /// <summary>A token for the professional, by exchange of a fresh subject token.</summary>
    /// <exception cref="HttpRequestException">None was given.</exception>
    public async Task<string> ProfessionalTokenAsync(CancellationToken cancel)
    {
        if (Known("professional") is { } known)
            return known;
        using var asked = await _outside.PostAsJsonAsync(_reader!.SubjectTokenAddress, new { professional = _reader.Professional }, cancel).ConfigureAwait(false);
        asked.EnsureSuccessStatusCode();
        var subject = await asked.Content.ReadFromJsonAsync<JsonElement>(cancel).ConfigureAwait(false);
        return await TokenAsync("professional", () => new()
        {
            ["grant_type"] = TokenExchange,
            ["client_id"] = _system.ClientId,
            ["scope"] = "user/*.cruds",
            ["purpose_of_use"] = "TREAT",
            ["subject_token"] = subject.GetProperty("subject_token").GetString()!,
            ["subject_token_type"] = subject.GetProperty("subject_token_type").GetString()!,
        }, cancel).ConfigureAwait(false);
    }

    /// <param name="target">Absolute path, with its query.</param>
    /// <param name="token">Null: the request carries none.</param>
    /// <param name="form">Whether the body is a search's form and not FHIR JSON.</param>
    public async Task<ProbeReply> SendAsync(HttpMethod method, string target, string? token, string? body, bool form, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(method, new Uri(target, UriKind.Relative));
        if (body is not null)
            request.Content = new StringContent(body, System.Text.Encoding.UTF8, form ? "application/x-www-form-urlencoded" : "application/fhir+json");
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var response = await _gateway.SendAsync(request, cancel).ConfigureAwait(false);
        return new((int)response.StatusCode, await response.Content.ReadAsStringAsync(cancel).ConfigureAwait(false),
            response.Headers.TryGetValues("Kanta-Receipt", out var receipt) ? string.Join(", ", receipt) : "", response.Headers.Location?.ToString());
    }

    public void Dispose()
    {
        _gateway.Dispose();
        _outside.Dispose();
    }

    private async Task<string> TokenAsync(string kind, Func<Dictionary<string, string>> form, CancellationToken cancel)
    {
        if (Known(kind) is { } known)
            return known;
        var fields = form();
        (fields["client_assertion_type"], fields["client_assertion"]) = (AssertionType, Assertion());
        using var content = new FormUrlEncodedContent(fields);
        using var response = await _gateway.PostAsync(new Uri("/connect/token", UriKind.Relative), content, cancel).ConfigureAwait(false);
        response.EnsureSuccessStatusCode();
        var answer = await response.Content.ReadFromJsonAsync<JsonElement>(cancel).ConfigureAwait(false);
        var token = answer.GetProperty("access_token").GetString()!;
        _tokens[kind] = (token, _time.GetUtcNow().AddSeconds(answer.GetProperty("expires_in").GetInt32()));
        return token;
    }

    private string? Known(string kind) => _tokens.TryGetValue(kind, out var token) && token.Until - RefreshAhead > _time.GetUtcNow() ? token.Value : null;

    private string Assertion()
    {
        var now = _time.GetUtcNow().UtcDateTime;
        return _handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = _system.ClientId,
            Audience = _address.GetLeftPart(UriPartial.Authority) + "/connect/token",
            TokenType = "JWT",
            IssuedAt = now,
            NotBefore = now,
            Expires = now.AddMinutes(1),
            Claims = new Dictionary<string, object> { ["sub"] = _system.ClientId, ["jti"] = Guid.NewGuid().ToString("N") },
            SigningCredentials = new(_key, _key.Alg),
        });
    }

    private static SocketsHttpHandler Handler(string? authorityFile)
    {
        var handler = new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        if (authorityFile is not { } file)
            return handler;
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(file);
        handler.SslOptions = new() { CertificateChainPolicy = policy };
        return handler;
    }
}
