using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Client;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Clients;

/// <summary>
/// The server of a citizen's app (SMART App Launch, standalone): it pushes what it asks for, sends her browser to the gateway, turns the code that comes back into a token, reads, and gives the token up.
/// One attempt at a time.
/// </summary>
public sealed class AppClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly JsonElement _client;
    private readonly JsonWebKey _key;
    private string _verifier = "", _state = "";

    /// <param name="folder">The gateway's data folder.</param>
    /// <param name="target">The gateway's public address.</param>
    /// <param name="app">Name of the app's folder.</param>
    public AppClient(DevFolder folder, Uri target, string app = "omakunto")
    {
        string At(string name) => folder.File($"apps/{app}/{name}");
        _client = JsonDocument.Parse(File.ReadAllText(At("client.json"))).RootElement;
        _key = new(File.ReadAllText(At("private_key.jwk")));
        _http = new(folder.Through(Transport.Handler(folder.Authority, Transport.Identity(At("tls.pem"), At("tls.key"))))) { BaseAddress = target };
    }

    public string ClientId => Text("client_id");

    /// <summary>Where it waits for the browser; in development nobody is there.</summary>
    public Uri Redirect => new(Text("redirect_uri"));

    /// <summary>Where the browser was sent last; absolute.</summary>
    public string Asked { get; private set; } = "";

    /// <summary>Pushes a request.</summary>
    /// <returns>Where the browser goes.</returns>
    /// <exception cref="TokenRefusedException">The gateway refused.</exception>
    public async Task<string> AskAsync(string scope, CancellationToken cancel = default)
    {
        _verifier = NewVerifier();
        _state = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));
        var pushed = await PostAsync(Text("pushed_authorization_url"), new()
        {
            ["response_type"] = "code", ["redirect_uri"] = Text("redirect_uri"), ["scope"] = scope, ["state"] = _state,
            ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(_verifier))), ["code_challenge_method"] = "S256",
        }, cancel).ConfigureAwait(false);
        return Asked = $"{Text("authorization_url")}?client_id={ClientId}&request_uri={Uri.EscapeDataString(pushed.Json.GetProperty("request_uri").GetString()!)}";
    }

    /// <summary>The code of the address by which the browser came back; null where it has none, or is the answer to something else.</summary>
    public string? CodeIn(Uri returned)
    {
        var answer = returned.Query.TrimStart('?').Split('&').Select(static p => p.Split('=', 2)).Where(static p => p.Length == 2).ToDictionary(static p => p[0], static p => WebUtility.UrlDecode(p[1]));
        return answer.GetValueOrDefault("state") == _state ? answer.GetValueOrDefault("code") : null;
    }

    /// <summary>Turns a code into a token.</summary>
    /// <param name="verifier">Another than the attempt's own, to show that it is refused.</param>
    /// <returns>The answer: <c>access_token</c>, <c>scope</c>, <c>patient</c>.</returns>
    /// <exception cref="TokenRefusedException">The gateway refused.</exception>
    public async Task<JsonElement> RedeemAsync(string code, string? verifier = null, CancellationToken cancel = default) => (await PostAsync(Text("token_url"), new()
    {
        ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Text("redirect_uri"), ["code_verifier"] = verifier ?? _verifier,
    }, cancel).ConfigureAwait(false)).Json;

    /// <summary>Searches for all that there is of a type about a person.</summary>
    public async Task<FhirReply> SearchAsync(string token, string type, string patient, CancellationToken cancel = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{Text("fhir_url")}/{type}/_search") { Content = new FormUrlEncodedContent([new("patient", "Patient/" + patient)]) };
        request.Headers.Authorization = new("Bearer", token);
        using var response = await _http.SendAsync(request, cancel).ConfigureAwait(false);
        return await FhirReply.ReadAsync(response, cancel).ConfigureAwait(false);
    }

    /// <summary>Redeems a code and reads the Observations that the citizen allowed.</summary>
    /// <exception cref="HttpRequestException">The gateway refused.</exception>
    public async Task<JsonElement> ReadAsync(string code, string patient, CancellationToken cancel = default)
    {
        var token = await RedeemAsync(code, cancel: cancel).ConfigureAwait(false);
        var found = await SearchAsync(token.GetProperty("access_token").GetString()!, "Observation", patient, cancel).ConfigureAwait(false);
        return found.IsSuccess ? found.Json : throw new HttpRequestException($"The search was answered {found}");
    }

    /// <summary>Gives a token up (RFC 7009), where the gateway says that this is done.</summary>
    /// <exception cref="TokenRefusedException">The gateway refused.</exception>
    public async Task RevokeAsync(string token, CancellationToken cancel = default)
    {
        using var published = await _http.GetAsync($"{Text("fhir_url")}/.well-known/smart-configuration", cancel).ConfigureAwait(false);
        var configuration = (await FhirReply.ReadAsync(published, cancel).ConfigureAwait(false)).Json;
        await PostAsync(configuration.GetProperty("revocation_endpoint").GetString()!, new() { ["token"] = token, ["token_type_hint"] = "access_token" }, cancel).ConfigureAwait(false);
    }

    public static string NewVerifier() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    public void Dispose() => _http.Dispose();

    private async Task<FhirReply> PostAsync(string endpoint, Dictionary<string, string> form, CancellationToken cancel)
    {
        form["client_id"] = ClientId;
        form["client_assertion_type"] = ClientAssertion.Type;
        form["client_assertion"] = ClientAssertion.Create(ClientId, Text("token_url"), _key, Text("alg"), TimeProvider.System);
        using var content = new FormUrlEncodedContent(form);
        using var response = await _http.PostAsync(endpoint, content, cancel).ConfigureAwait(false);
        var reply = await FhirReply.ReadAsync(response, cancel).ConfigureAwait(false);
        if (reply.IsSuccess)
            return reply;
        string? Said(string member) => reply.Json.TryGetProperty(member, out var text) ? text.GetString() : null;
        throw new TokenRefusedException(reply.Status, Said("error") ?? "", Said("error_description"));
    }

    private string Text(string member) => _client.GetProperty(member).GetString()!;
}
