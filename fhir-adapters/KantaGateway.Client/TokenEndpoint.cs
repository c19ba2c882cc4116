using System.Text.Json;

namespace KantaGateway.Client;

/// <summary>The gateway's token endpoint refused.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="error">OAuth <c>error</c>.</param>
public sealed class TokenRefusedException(int status, string error, string? description)
    : Exception($"The token endpoint answered {status} {error}: {description}")
{
    public int Status { get; } = status;
    public string Error { get; } = error;

    /// <summary>When it may be asked again, if it said so.</summary>
    public TimeSpan? RetryAfter { get; init; }
}

/// <summary>An access token of one caller.</summary>
/// <param name="ExpiresIn">Life as told by the endpoint.</param>
public sealed record IssuedToken(string Value, TimeSpan ExpiresIn, DateTimeOffset Until)
{
    /// <summary>Never the token.</summary>
    public override string ToString() => $"token until {Until:O}";
}

/// <summary>What a professional's identity provider says of them, to be exchanged for an access token.</summary>
/// <param name="Type">Token type URI, such as <c>urn:ietf:params:oauth:token-type:jwt</c>.</param>
public sealed record SubjectToken(string Token, string Type)
{
    /// <summary>Never the token.</summary>
    public override string ToString() => Type;
}

/// <summary>
/// Asks for tokens once, as it is told: SMART Backend Services with <c>private_key_jwt</c>, and token exchange (RFC 8693). Thread-safe.
/// </summary>
public sealed class TokenEndpoint
{
    private const string TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange";

    private readonly HttpMessageInvoker _wire;
    private readonly KantaClientOptions _options;
    private readonly Uri _address;

    /// <param name="wire">Connections on which the client's certificate is shown.</param>
    internal TokenEndpoint(HttpMessageInvoker wire, KantaClientOptions options, Uri address) =>
        (_wire, _options, _address) = (wire, options, new(address, options.Registration.TokenUrl.PathAndQuery));

    /// <summary>A token of the system.</summary>
    /// <param name="assertion">Client assertion to use instead of a fresh one.</param>
    /// <param name="scope">The registered ones of the system by default.</param>
    /// <exception cref="TokenRefusedException">The endpoint refused.</exception>
    public Task<IssuedToken> RequestSystemTokenAsync(string? assertion = null, string? scope = null, CancellationToken cancel = default) => RequestAsync(new()
    {
        ["grant_type"] = "client_credentials",
        ["scope"] = scope ?? _options.Registration.ScopesOf("system/"),
    }, assertion, cancel);

    /// <summary>A token in which the system acts for a professional.</summary>
    /// <param name="purpose">v3-ActReason code.</param>
    /// <exception cref="TokenRefusedException">The endpoint refused.</exception>
    public Task<IssuedToken> ExchangeAsync(SubjectToken subject, string purpose = "TREAT", CancellationToken cancel = default) => RequestAsync(new()
    {
        ["grant_type"] = TokenExchange,
        ["client_id"] = _options.Registration.ClientId,
        ["subject_token"] = subject.Token,
        ["subject_token_type"] = subject.Type,
        ["purpose_of_use"] = purpose,
        ["scope"] = _options.Registration.ScopesOf("user/"),
    }, null, cancel);

    /// <summary>A client assertion for this endpoint.</summary>
    public string Assertion() =>
        ClientAssertion.Create(_options.Registration.ClientId, _options.Registration.TokenUrl.ToString(), _options.SigningKey, _options.Registration.Alg, _options.Time);

    private async Task<IssuedToken> RequestAsync(Dictionary<string, string> form, string? assertion, CancellationToken cancel)
    {
        form["client_assertion_type"] = ClientAssertion.Type;
        form["client_assertion"] = assertion ?? Assertion();
        using var request = new HttpRequestMessage(HttpMethod.Post, _address) { Content = new FormUrlEncodedContent(form), Version = _options.HttpVersion, VersionPolicy = HttpVersionPolicy.RequestVersionOrLower };
        request.Headers.Accept.Add(new("application/json"));
        using var response = await _wire.SendAsync(request, cancel).ConfigureAwait(false);
        var status = (int)response.StatusCode;
        var isJson = response.Content.Headers.ContentType?.MediaType?.Contains("json", StringComparison.Ordinal) == true;
        using var answer = isJson ? JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false)) : null;
        if (!response.IsSuccessStatusCode || answer is null)
            throw new TokenRefusedException(status, Text("error") ?? "no error code", Text("error_description")) { RetryAfter = RetryAfter.Of(response, _options.Time) };
        if (Text("access_token") is not { } value || !answer.RootElement.TryGetProperty("expires_in", out var expires) || !expires.TryGetInt32(out var seconds))
            throw new TokenRefusedException(status, "no token", "The answer has no access_token with expires_in.");
        var life = TimeSpan.FromSeconds(seconds);
        return new(value, life, _options.Time.GetUtcNow() + life);

        string? Text(string name) => answer?.RootElement is { ValueKind: JsonValueKind.Object } json && json.TryGetProperty(name, out var member) ? member.GetString() : null;
    }
}
