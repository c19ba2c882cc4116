using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Text;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Clients;

/// <summary>The gateway's token endpoint refused.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="error">OAuth <c>error</c>.</param>
public sealed class TokenRefusedException(int status, string error, string? description)
    : Exception($"The token endpoint answered {status} {error}: {description}")
{
    public int Status { get; } = status;
    public string Error { get; } = error;
}

/// <summary>An access token of one caller.</summary>
/// <param name="ExpiresIn">Life as told by the endpoint.</param>
public sealed record IssuedToken(string Value, TimeSpan ExpiresIn, DateTimeOffset Until);

/// <summary>
/// A clinic's patient-record system: mutual TLS with the organisation certificate, SMART Backend Services tokens with
/// <c>private_key_jwt</c>, token exchange for its professionals (RFC 8693). Thread-safe.
/// </summary>
public sealed class ClinicClient : IDisposable
{
    private const string AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    private const string TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange";

    private static readonly TimeSpan RefreshAhead = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, IssuedToken> _tokens = new();
    private readonly SemaphoreSlim _asking = new(1);
    private readonly JsonWebTokenHandler _handler = new() { SetDefaultTimesOnTokenCreation = false };
    private readonly JsonWebKey _key;
    private readonly HttpClient _http;
    private readonly TimeProvider _time = TimeProvider.System;
    private int _connections;

    private ClinicClient(DevFolder folder, string clinic, Uri target, SslStreamCertificateContext? identity, Version version, int? maxConnections)
    {
        Folder = folder;
        Name = clinic;
        Target = new(target.GetLeftPart(UriPartial.Authority));
        Client = folder.Client(clinic);
        _key = new(File.ReadAllText(folder.File($"clinics/{clinic}/private_key.jwk"))) { KeyId = Client.Kid };
        var handler = Transport.Handler(folder.Authority, identity, () => Interlocked.Increment(ref _connections));
        if (maxConnections is { } max)
            handler.MaxConnectionsPerServer = max;
        _http = new(handler)
        {
            Timeout = TimeSpan.FromSeconds(100),
            DefaultRequestVersion = version,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
        };
        System = new(this, () => TokenAsync());
    }

    public DevFolder Folder { get; }

    /// <summary>Name of the clinic's folder, such as <c>aurora</c>.</summary>
    public string Name { get; }

    public ClientEntry Client { get; }

    /// <summary>Scheme, host and port of the gateway.</summary>
    public Uri Target { get; }

    /// <summary>Requests under the system's own token: archive and own register.</summary>
    public FhirSession System { get; }

    /// <summary>TCP connections opened so far; a gateway that drops connections on bad input makes it grow.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Every access token received, so that a search for leaked ones knows what to look for.</summary>
    public ConcurrentBag<string> TokensSeen { get; } = [];

    /// <summary>Every answer to a FHIR request, with the receipts that came with it.</summary>
    public ConcurrentBag<ReceivedAnswer> Received { get; } = [];

    /// <param name="certificateOf">Clinic whose TLS certificate is presented, the own one by default; empty for none.</param>
    /// <param name="version">HTTP version to ask for; 1.1 by default.</param>
    /// <param name="maxConnections">Bound of the connection pool; null for none.</param>
    public static ClinicClient Open(DevFolder folder, string clinic, Uri target, string? certificateOf = null, Version? version = null, int? maxConnections = null)
    {
        var owner = certificateOf ?? clinic;
        var identity = owner.Length == 0 ? null : Transport.Identity(folder.File($"clinics/{owner}/tls.pem"), folder.File($"clinics/{owner}/tls.key"));
        return new(folder, clinic, target, identity, version ?? HttpVersion.Version11, maxConnections);
    }

    /// <summary>Requests of one of the clinic's professionals, under a token from the exchange.</summary>
    /// <param name="id">Id in <c>professionals.json</c>.</param>
    /// <param name="purpose">v3-ActReason code.</param>
    public FhirSession Professional(string id, string purpose = "TREAT") => new(this, () => ProfessionalTokenAsync(id, purpose));

    /// <summary>Requests under a given bearer token, or without one when it is null.</summary>
    public FhirSession With(string? token) => new(this, () => Task.FromResult<string?>(token));

    /// <summary>The system's access token, kept until half a minute before it ends.</summary>
    public async Task<string?> TokenAsync(CancellationToken cancel = default) =>
        await CachedAsync("system", () => RequestSystemTokenAsync(cancel: cancel), cancel).ConfigureAwait(false);

    /// <summary>A professional's access token, kept likewise.</summary>
    public async Task<string?> ProfessionalTokenAsync(string id, string purpose = "TREAT", CancellationToken cancel = default) =>
        await CachedAsync($"{id}|{purpose}", async () => await ExchangeAsync(await SubjectTokenAsync(id, cancel).ConfigureAwait(false), purpose, cancel).ConfigureAwait(false), cancel)
            .ConfigureAwait(false);

    /// <summary>Asks for a system token now (SMART Backend Services).</summary>
    /// <param name="assertion">Client assertion to use instead of a fresh one.</param>
    /// <exception cref="TokenRefusedException">The endpoint refused.</exception>
    public Task<IssuedToken> RequestSystemTokenAsync(string? assertion = null, string? scope = null, CancellationToken cancel = default) =>
        RequestAsync(new()
        {
            ["grant_type"] = "client_credentials",
            ["scope"] = scope ?? Scopes("system/"),
            ["client_assertion_type"] = AssertionType,
            ["client_assertion"] = assertion ?? Assertion(),
        }, cancel);

    /// <summary>Exchanges a subject token for an access token in which the system acts for the professional.</summary>
    /// <exception cref="TokenRefusedException">The endpoint refused.</exception>
    public Task<IssuedToken> ExchangeAsync((string Token, string Type) subject, string purpose = "TREAT", CancellationToken cancel = default) =>
        RequestAsync(new()
        {
            ["grant_type"] = TokenExchange,
            ["client_id"] = Client.ClientId,
            ["subject_token"] = subject.Token,
            ["subject_token_type"] = subject.Type,
            ["purpose_of_use"] = purpose,
            ["scope"] = Scopes("user/"),
            ["client_assertion_type"] = AssertionType,
            ["client_assertion"] = Assertion(),
        }, cancel);

    /// <summary>A subject token from the clinic's (simulated) identity provider.</summary>
    public async Task<(string Token, string Type)> SubjectTokenAsync(string id, CancellationToken cancel = default)
    {
        var entry = Folder.Professionals.FirstOrDefault(p => p.Id == id)
            ?? throw new InvalidDataException($"professionals.json has no {id}.");
        using var content = Json(JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string> { ["professional"] = id }), "application/json");
        using var response = await _http.PostAsync(entry.SubjectTokenUrl, content, cancel).ConfigureAwait(false);
        var reply = await FhirReply.ReadAsync(response, cancel).ConfigureAwait(false);
        if (!reply.IsSuccess)
            throw new TokenRefusedException(reply.Status, "subject_token", "the identity provider gave no subject token");
        var json = reply.Json;
        return (json.GetProperty("subject_token").GetString()!, json.GetProperty("subject_token_type").GetString()!);
    }

    /// <summary>A signed client assertion (RFC 7523): issuer and subject the client, audience the token endpoint.</summary>
    /// <param name="jti">Unique id; random by default.</param>
    /// <param name="audience">The token URL of <c>client.json</c> by default.</param>
    /// <param name="key">Another key than the client's, to show that it is refused.</param>
    /// <param name="lifetime">One minute by default.</param>
    public string Assertion(string? jti = null, string? audience = null, JsonWebKey? key = null, TimeSpan? lifetime = null)
    {
        var now = _time.GetUtcNow();
        return _handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = Client.ClientId,
            Audience = audience ?? Client.TokenUrl.ToString(),
            TokenType = "JWT",
            IssuedAt = now.UtcDateTime,
            NotBefore = now.UtcDateTime,
            Expires = (now + (lifetime ?? TimeSpan.FromMinutes(1))).UtcDateTime,
            Claims = new Dictionary<string, object> { ["sub"] = Client.ClientId, ["jti"] = jti ?? Guid.NewGuid().ToString("N") },
            SigningCredentials = new(key ?? _key, Client.Alg),
        });
    }

    /// <summary>Any request to the gateway. A relative target is resolved against the FHIR base.</summary>
    public Task<FhirReply> SendAsync(HttpMethod method, string target, string? token = null, ReadOnlyMemory<byte>? body = null,
        string contentType = "application/fhir+json", IEnumerable<(string Name, string Value)>? headers = null, CancellationToken cancel = default) =>
        SendAsync(method, target, token, body is { } bytes ? Json(bytes, contentType) : null, headers, cancel);

    /// <summary>Likewise with a body that may be longer than memory, or of unknown length.</summary>
    public async Task<FhirReply> SendAsync(HttpMethod method, string target, string? token, HttpContent? content, IEnumerable<(string Name, string Value)>? headers = null, CancellationToken cancel = default)
    {
        using var request = new HttpRequestMessage(method, Resolve(target)) { Content = content };
        if (token is not null)
            request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        foreach (var (name, value) in headers ?? [])
            if (!request.Headers.TryAddWithoutValidation(name, value))
                request.Content?.Headers.TryAddWithoutValidation(name, value);
        // HttpRequestMessage does not inherit the client's version.
        request.Version = _http.DefaultRequestVersion;
        request.VersionPolicy = _http.DefaultVersionPolicy;
        using var response = await _http.SendAsync(request, cancel).ConfigureAwait(false);
        var reply = await FhirReply.ReadAsync(response, cancel).ConfigureAwait(false);
        if (ReceivedAnswer.Of(request, reply) is { } received)
            Received.Add(received);
        return reply;
    }

    /// <summary>Reads the first bytes of an answer and hangs up, as a caller does whose line breaks.</summary>
    /// <param name="most">Bytes to read.</param>
    /// <returns>Status, and how many bytes had come.</returns>
    public async Task<(int Status, int Bytes)> ReadBeginningAsync(string target, string? token, int most, IEnumerable<(string Name, string Value)>? headers = null, CancellationToken cancel = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, Resolve(target)) { Version = _http.DefaultRequestVersion, VersionPolicy = _http.DefaultVersionPolicy };
        request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        foreach (var (name, value) in headers ?? [])
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        await using var body = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        return ((int)response.StatusCode, await body.ReadAtLeastAsync(new byte[most], most, throwOnEndOfStream: false, cancel).ConfigureAwait(false));
    }

    public void Dispose()
    {
        _http.Dispose();
        _asking.Dispose();
    }

    private Uri Resolve(string target) =>
        target.StartsWith('/') ? new(Target, target)
        : Uri.TryCreate(target, UriKind.Absolute, out var absolute) ? new(Target, absolute.PathAndQuery)
        : new(Target, $"/fhir/{target}");

    private string Scopes(string prefix) => string.Join(' ', Client.Scopes.Where(s => s.StartsWith(prefix, StringComparison.Ordinal)));

    private async Task<string> CachedAsync(string name, Func<Task<IssuedToken>> ask, CancellationToken cancel)
    {
        if (_tokens.TryGetValue(name, out var known) && known.Until - RefreshAhead > _time.GetUtcNow())
            return known.Value;
        // One asks, the others wait: a burst of requests must not become a burst of assertions.
        await _asking.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (_tokens.TryGetValue(name, out known) && known.Until - RefreshAhead > _time.GetUtcNow())
                return known.Value;
            return (_tokens[name] = await ask().ConfigureAwait(false)).Value;
        }
        finally
        {
            _asking.Release();
        }
    }

    private async Task<IssuedToken> RequestAsync(Dictionary<string, string> form, CancellationToken cancel)
    {
        using var content = new FormUrlEncodedContent(form);
        var bytes = await content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
        var reply = await SendAsync(HttpMethod.Post, "/connect/token", null, bytes, "application/x-www-form-urlencoded", [("Accept", "application/json")], cancel).ConfigureAwait(false);
        var json = reply.Body.Length > 0 && reply.Headers.GetValueOrDefault("Content-Type", "").Contains("json", StringComparison.Ordinal) ? reply.Json : default;
        if (!reply.IsSuccess)
            throw new TokenRefusedException(reply.Status, Text("error") ?? "no error code", Text("error_description"));
        var life = TimeSpan.FromSeconds(json.GetProperty("expires_in").GetInt32());
        var token = new IssuedToken(json.GetProperty("access_token").GetString()!, life, _time.GetUtcNow() + life);
        TokensSeen.Add(token.Value);
        return token;

        string? Text(string name) => json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) ? value.GetString() : null;
    }

    private static ReadOnlyMemoryContent Json(ReadOnlyMemory<byte> body, string contentType)
    {
        var content = new ReadOnlyMemoryContent(body);
        content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        return content;
    }
}

/// <summary>FHIR requests of one caller: a system or a professional.</summary>
/// <param name="token">Gives the caller's bearer token for each request; null for none.</param>
public sealed class FhirSession(ClinicClient client, Func<Task<string?>> token)
{
    public ClinicClient Client { get; } = client;

    public Task<FhirReply> ReadAsync(string type, string id, CancellationToken cancel = default) => SendAsync(HttpMethod.Get, $"{type}/{id}", cancel: cancel);

    public Task<FhirReply> ReadVersionAsync(string type, string id, string version, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Get, $"{type}/{id}/_history/{version}", cancel: cancel);

    public Task<FhirReply> HistoryAsync(string type, string id, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Get, $"{type}/{id}/_history", cancel: cancel);

    public Task<FhirReply> CreateAsync(string type, ReadOnlyMemory<byte> body, string? ifNoneExist = null, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Post, type, body, ifNoneExist is null ? null : [("If-None-Exist", ifNoneExist)], cancel: cancel);

    public Task<FhirReply> UpdateAsync(string type, string id, ReadOnlyMemory<byte> body, string? ifMatch, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Put, $"{type}/{id}", body, ifMatch is null ? null : [("If-Match", ifMatch)], cancel: cancel);

    public Task<FhirReply> DeleteAsync(string type, string id, CancellationToken cancel = default) => SendAsync(HttpMethod.Delete, $"{type}/{id}", cancel: cancel);

    /// <summary>Posts a transaction or batch Bundle.</summary>
    public Task<FhirReply> BundleAsync(ReadOnlyMemory<byte> body, CancellationToken cancel = default) => SendAsync(HttpMethod.Post, "", body, cancel: cancel);

    /// <summary>Type search by POST _search, so that no parameter stands in a URL.</summary>
    /// <param name="parameters">Form-encoded, such as <c>patient=id&amp;code=x</c>.</param>
    public Task<FhirReply> SearchAsync(string type, string parameters, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Post, $"{type}/_search", Encoding.UTF8.GetBytes(parameters), contentType: "application/x-www-form-urlencoded", cancel: cancel);

    public async Task<FhirReply> SendAsync(HttpMethod method, string target, ReadOnlyMemory<byte>? body = null,
        IEnumerable<(string Name, string Value)>? headers = null, string contentType = "application/fhir+json", CancellationToken cancel = default)
    {
        // The token is asked for first: its refusal must surface as such.
        var bearer = await token().ConfigureAwait(false);
        return await Client.SendAsync(method, target, bearer, body, contentType, headers, cancel).ConfigureAwait(false);
    }
}
