using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Identifiers;
using Microsoft.AspNetCore.WebUtilities;

namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>e-Authorizations does not answer, or not as agreed: nobody acts for anybody on its silence.</summary>
internal sealed class EAuthorizationsException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A session at the Web API, in which its user chooses for whom to act.</summary>
/// <param name="Id">In the addresses of what is asked in it.</param>
/// <param name="User">In the address to which the browser is led.</param>
internal sealed record WebApiSession(string Id, string User);

/// <summary>What lets the gateway ask in a session after its user has chosen.</summary>
/// <param name="Renewal">Refresh token; null: none was given.</param>
internal sealed record WebApiToken(string Access, string? Renewal, DateTimeOffset Ends);

/// <summary>Whom the user has chosen.</summary>
internal sealed record ChosenPerson(PersonalIdentityCode Code, string Name);

/// <summary>Client of the Suomi.fi e-Authorizations Web API, acting on behalf of another person (<c>hpa</c>).</summary>
/// <remarks>
/// kehittajille.suomi.fi, technical documentation of e-Authorizations; field names as in the published clients vrk-kpa/roles-auths-client and
/// roles-auths-web-api-node-client. Its addresses hold identity codes, so the client given must neither log nor trace, and nothing here
/// puts an address or an answer into a message. Throws <see cref="EAuthorizationsException"/> when there is no answer that can be used.
/// </remarks>
internal sealed partial class EAuthorizations
{
    /// <summary>Where the browser comes back to after the choice.</summary>
    public const string CallbackPath = "/on-behalf/back";

    /// <summary>The role of a custodian, by the population information system, in place of a mandate theme.</summary>
    private const string EveryMatter = "ALL";

    private const int LongestAnswer = 64 * 1024;
    private const int LongestName = 256;
    private const int LongestToken = 4 * 1024;

    /// <summary>A token is not used in its last seconds: it would end on the way.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(10);

    private static readonly JsonSerializerOptions Format = ServiceAnswers.Format(maxDepth: 8);

    private readonly MandateOptions _options;
    private readonly HttpClient _http;
    private readonly string _apiKey, _password, _callback;
    private readonly TimeProvider _time;
    private readonly ILogger<EAuthorizations> _logger;

    private sealed record Registered(string SessionId, string UserId);

    private sealed record Issued([property: JsonPropertyName("access_token")] string AccessToken, [property: JsonPropertyName("token_type")] string TokenType,
        [property: JsonPropertyName("expires_in")] int ExpiresIn, [property: JsonPropertyName("refresh_token")] string? RefreshToken = null);

    private sealed record Principal(string PersonId, string Name);

    private sealed record AuthorizationList(IReadOnlyList<string> Roles);

    private sealed record Authorization(string Result);

    /// <param name="publicAddress">Of the gateway, without trailing slash.</param>
    /// <param name="http">Neither logs nor traces, follows no redirects.</param>
    /// <exception cref="InvalidDataException">A file with a secret is empty.</exception>
    public EAuthorizations(MandateOptions options, string publicAddress, HttpClient http, TimeProvider time, ILogger<EAuthorizations> logger)
    {
        (_options, _http, _time, _logger) = (options, http, time, logger);
        (_apiKey, _password) = (ReadSecret(options.ApiKeyFile), ReadSecret(options.OAuthPasswordFile));
        _callback = publicAddress + CallbackPath;
        http.Timeout = TimeSpan.FromSeconds(options.TimeoutSeconds);
        http.MaxResponseContentBufferSize = LongestAnswer;
    }

    /// <summary>Origin to which the browser is led.</summary>
    public string Origin => _options.Address;

    /// <summary>Begins a session for a person who wants to act for another.</summary>
    public async Task<WebApiSession> RegisterAsync(PersonalIdentityCode person, CancellationToken cancel)
    {
        var answer = await AskAsync<Registered>($"/service/hpa/user/register/{_options.ClientId}/{person.Reveal()}", null, cancel).ConfigureAwait(false);
        // No token yet that could have ended: then it does not know us.
        return answer is { } registered && IsName(registered.SessionId) && IsName(registered.UserId) ? new(registered.SessionId, registered.UserId) : throw Unusable("it begins no session");
    }

    /// <summary>Where the person chooses for whom to act.</summary>
    /// <param name="language">fi, sv or en.</param>
    public string ChoiceAddress(WebApiSession session, string state, string language) => QueryHelpers.AddQueryString(_options.Address + "/oauth/authorize", new Dictionary<string, string?>
    {
        ["client_id"] = _options.ClientId, ["response_type"] = "code", ["redirect_uri"] = _callback, ["user"] = session.User, ["state"] = state, ["lang"] = language,
    });

    /// <summary>Turns the code of a choice into a token.</summary>
    /// <returns>Null when the code is none, or no longer.</returns>
    public Task<WebApiToken?> RedeemAsync(string code, CancellationToken cancel) =>
        TokenAsync(new() { ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = _callback }, cancel);

    /// <summary>The token itself while it is good, else a new one (RFC 6749 §6).</summary>
    /// <returns>Null when there is none to be had: the person has to choose again.</returns>
    public async Task<WebApiToken?> RenewAsync(WebApiToken token, CancellationToken cancel)
    {
        if (token.Ends - Margin > _time.GetUtcNow())
            return token;
        if (token.Renewal is not { } renewal)
            return null;
        var renewed = await TokenAsync(new() { ["grant_type"] = "refresh_token", ["refresh_token"] = renewal }, cancel).ConfigureAwait(false);
        return renewed is { Renewal: null } ? renewed with { Renewal = renewal } : renewed;
    }

    /// <summary>The one person who was chosen in the session.</summary>
    /// <returns>Null when the session has ended.</returns>
    public async Task<ChosenPerson?> ChosenAsync(WebApiSession session, WebApiToken token, CancellationToken cancel)
    {
        if (await AskAsync<IReadOnlyList<Principal>>($"/service/hpa/api/delegate/{session.Id}", token, cancel).ConfigureAwait(false) is not { } chosen)
            return null;
        return chosen is [{ Name.Length: > 0 and <= LongestName } one] && PersonalIdentityCode.TryParse(one.PersonId, out var code)
            ? new(code, one.Name) : throw Unusable("it names no one person");
    }

    /// <summary>By what right the session's user acts for the person who was chosen: both questions have to be answered so.</summary>
    /// <returns>No kind: by none, and the service says no more than that. <c>HasEnded</c>: nobody can tell, for the session has ended.</returns>
    public async Task<(RepresentationKind? Kind, bool HasEnded)> RightAsync(WebApiSession session, WebApiToken token, PersonalIdentityCode person, CancellationToken cancel)
    {
        if (await AskAsync<AuthorizationList>($"/service/hpa/api/authorizationlist/{session.Id}/{person.Reveal()}", token, cancel).ConfigureAwait(false) is not { } list)
            return (null, true);
        // A custodian who holds a mandate too is a custodian all the same: the child's rights against custodians are the child's.
        RepresentationKind? kind = list.Roles.Contains(EveryMatter, StringComparer.Ordinal) ? RepresentationKind.Custodian
            : list.Roles.Contains(_options.Theme, StringComparer.Ordinal) ? RepresentationKind.Mandate : null;
        if (kind is null)
            return (null, false);
        if (await AskAsync<Authorization>($"/service/hpa/api/authorization/{session.Id}/{person.Reveal()}", token, cancel, $"&issues={Uri.EscapeDataString(_options.Theme)}").ConfigureAwait(false) is not { } authorization)
            return (null, true);
        return authorization.Result switch
        {
            "ALLOWED" => (kind, false),
            "DISALLOWED" => (null, false),
            _ => throw Unusable("its result is none that is known"),
        };
    }

    private async Task<WebApiToken?> TokenAsync(Dictionary<string, string> form, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, _options.Address + "/oauth/token") { Content = new FormUrlEncodedContent(form) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{_options.ClientId}:{_password}")));
        var asked = _time.GetUtcNow();
        // RFC 6749 §5.2: a grant that is none is 400. 401 would be our own password.
        if (await SendAsync<Issued>(request, HttpStatusCode.BadRequest, cancel).ConfigureAwait(false) is not { } issued)
            return null;
        if (!issued.TokenType.Equals("bearer", StringComparison.OrdinalIgnoreCase) || !IsToken(issued.AccessToken) || issued.RefreshToken is { } renewal && !IsToken(renewal) || issued.ExpiresIn is < 1 or > 86_400)
            throw Unusable("its token is none that can be used");
        return new(issued.AccessToken, issued.RefreshToken, asked + TimeSpan.FromSeconds(issued.ExpiresIn));
    }

    /// <param name="token">Null before there is one.</param>
    /// <returns>Null when the session has ended.</returns>
    private async Task<T?> AskAsync<T>(string path, WebApiToken? token, CancellationToken cancel, string more = "") where T : class
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"{_options.Address}{path}?requestId={Guid.NewGuid().ToString("D", CultureInfo.InvariantCulture)}{more}"));
        request.Headers.Add(RequestSignature.Header, RequestSignature.Of(_options.ClientId, _apiKey, request.RequestUri!.PathAndQuery, _time.GetUtcNow()));
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token.Access);
        return await SendAsync<T>(request, HttpStatusCode.Unauthorized, cancel).ConfigureAwait(false);
    }

    /// <param name="ended">Status by which the service says that what the request rests on has ended.</param>
    private async Task<T?> SendAsync<T>(HttpRequestMessage request, HttpStatusCode ended, CancellationToken cancel) where T : class
    {
        try
        {
            using var response = await _http.SendAsync(request, cancel).ConfigureAwait(false);
            if (response.StatusCode == ended)
                return null;
            if (response.StatusCode != HttpStatusCode.OK)
                throw Unusable($"its status is {(int)response.StatusCode}");
            return JsonSerializer.Deserialize<T>(await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false), Format) ?? throw Unusable("it is empty");
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or JsonException or OperationCanceledException && !cancel.IsCancellationRequested)
        {
            // Messages of parsers quote what they could not read.
            throw Unusable(failure.GetType().Name);
        }
    }

    private EAuthorizationsException Unusable(string problem)
    {
        LogUnusable(problem);
        return new("e-Authorizations gave no answer that can be used.");
    }

    /// <summary>They come into an address.</summary>
    private static bool IsName(string text) => text.Length is > 0 and <= 128 && text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    /// <summary>Token characters of RFC 6750 §2.1, so that it can stand in a header.</summary>
    private static bool IsToken(string text) => text.Length is > 0 and <= LongestToken && text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_' or '~' or '+' or '/' or '=');

    private static string ReadSecret(string file) =>
        File.ReadAllText(file).Trim() is { Length: > 0 } secret ? secret : throw new InvalidDataException($"{file}: empty.");

    [LoggerMessage(1130, LogLevel.Error, "e-Authorizations gave no answer that can be used ({Problem}). Nobody acts for another without one.")]
    private partial void LogUnusable(string problem);
}
