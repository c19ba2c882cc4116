using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;
using KantaGateway.Client;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Clients;

/// <summary>
/// A clinic's patient-record system at the seams of the vendors' client (<see cref="KantaClient"/>): connections, tokens and receipts are its; requests go out as a verification wants them, wrong ones too, each once, and answers
/// come back as they are. Thread-safe.
/// </summary>
public sealed class ClinicClient : IDisposable
{
    private readonly KantaClientOptions _options;
    private readonly KantaClient _kanta;
    private readonly HttpClient _http;
    private int _connections;

    private ClinicClient(DevFolder folder, string clinic, Uri target, string certificateOf, Version version, int? maxConnections)
    {
        (Folder, Name, Client) = (folder, clinic, folder.Client(clinic));
        _options = new()
        {
            Registration = Client,
            SigningKey = new(File.ReadAllText(folder.File($"clinics/{clinic}/private_key.jwk"))) { KeyId = Client.Kid },
            Certificate = certificateOf.Length == 0 ? null : Transport.Identity(folder.File($"clinics/{certificateOf}/tls.pem"), folder.File($"clinics/{certificateOf}/tls.key")),
            TrustedRoots = folder.Authority,
            Address = target,
            HttpVersion = version,
            MaxConnections = maxConnections,
            Connected = () => Interlocked.Increment(ref _connections),
            KeptAnswers = 0,
            Between = folder.Through,
            Repeats = RepeatOptions.None,
        };
        _kanta = KantaClient.Open(_options);
        _http = new(new AsItIs(_kanta))
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

    public ClientRegistration Client { get; }

    /// <summary>Scheme, host and port of the gateway.</summary>
    public Uri Target => _kanta.Address;

    /// <summary>Requests under the system's own token: archive and own register.</summary>
    public FhirSession System { get; }

    /// <summary>TCP connections opened so far; a gateway that drops connections on bad input makes it grow.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Every access token received, so that a search for leaked ones knows what to look for.</summary>
    public ConcurrentBag<string> TokensSeen { get; } = [];

    /// <summary>Every answer to a FHIR request, with the receipts that came with it.</summary>
    public IReadOnlyCollection<ReceivedAnswer> Received => _kanta.Receipts.Answers;

    /// <param name="certificateOf">Clinic whose TLS certificate is presented, the own one by default; empty for none.</param>
    /// <param name="version">HTTP version to ask for; 1.1 by default.</param>
    /// <param name="maxConnections">Bound of the connection pool; null for none.</param>
    public static ClinicClient Open(DevFolder folder, string clinic, Uri target, string? certificateOf = null, Version? version = null, int? maxConnections = null) =>
        new(folder, clinic, target, certificateOf ?? clinic, version ?? HttpVersion.Version11, maxConnections);

    /// <summary>Requests of one of the clinic's professionals, under a token from the exchange.</summary>
    /// <param name="id">Id in <c>professionals.json</c>.</param>
    /// <param name="purpose">v3-ActReason code.</param>
    public FhirSession Professional(string id, string purpose = "TREAT") => new(this, () => ProfessionalTokenAsync(id, purpose));

    /// <summary>Requests under a given bearer token, or without one when it is null.</summary>
    public FhirSession With(string? token) => new(this, () => Task.FromResult<string?>(token));

    /// <summary>The system's access token, kept until shortly before it ends.</summary>
    public async Task<string?> TokenAsync(CancellationToken cancel = default) =>
        await _kanta.Tokens.GetAsync("system", inner => RequestSystemTokenAsync(cancel: inner), cancel).ConfigureAwait(false);

    /// <summary>A professional's access token, kept likewise.</summary>
    public async Task<string?> ProfessionalTokenAsync(string id, string purpose = "TREAT", CancellationToken cancel = default) =>
        await _kanta.Tokens.GetAsync($"{id}|{purpose}", async inner => await ExchangeAsync(await SubjectTokenAsync(id, inner).ConfigureAwait(false), purpose, inner).ConfigureAwait(false), cancel)
            .ConfigureAwait(false);

    /// <summary>Asks for a system token now (SMART Backend Services).</summary>
    /// <param name="assertion">Client assertion to use instead of a fresh one.</param>
    /// <exception cref="TokenRefusedException">The endpoint refused.</exception>
    public async Task<IssuedToken> RequestSystemTokenAsync(string? assertion = null, string? scope = null, CancellationToken cancel = default) =>
        Seen(await _kanta.TokenEndpoint.RequestSystemTokenAsync(assertion, scope, cancel).ConfigureAwait(false));

    /// <summary>Exchanges a subject token for an access token in which the system acts for the professional.</summary>
    /// <exception cref="TokenRefusedException">The endpoint refused.</exception>
    public async Task<IssuedToken> ExchangeAsync((string Token, string Type) subject, string purpose = "TREAT", CancellationToken cancel = default) =>
        Seen(await _kanta.TokenEndpoint.ExchangeAsync(new(subject.Token, subject.Type), purpose, cancel).ConfigureAwait(false));

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
    public string Assertion(string? jti = null, string? audience = null, JsonWebKey? key = null, TimeSpan? lifetime = null) =>
        ClientAssertion.Create(Client.ClientId, audience ?? Client.TokenUrl.ToString(), key ?? _options.SigningKey, Client.Alg, TimeProvider.System, jti, lifetime);

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
        return await FhirReply.ReadAsync(response, cancel).ConfigureAwait(false);
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
        _kanta.Dispose();
    }

    private IssuedToken Seen(IssuedToken token)
    {
        TokensSeen.Add(token.Value);
        return token;
    }

    private Uri Resolve(string target) =>
        target.StartsWith('/') ? new(Target, target)
        : Uri.TryCreate(target, UriKind.Absolute, out var absolute) ? new(Target, absolute.PathAndQuery)
        : new(Target, $"/fhir/{target}");

    private static ReadOnlyMemoryContent Json(ReadOnlyMemory<byte> body, string contentType)
    {
        var content = new ReadOnlyMemoryContent(body);
        content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        return content;
    }

    /// <summary>Requests go out once, and answers come back as they are.</summary>
    private sealed class AsItIs(KantaClient kanta) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => kanta.SendAsync(request, cancellationToken);
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
