using System.Buffers.Text;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Client;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Clients;

/// <summary>
/// The server of a citizen's app (SMART App Launch, standalone): it pushes what it asks for, sends her browser to the gateway, and turns
/// the code that comes back into a token. One attempt at a time.
/// </summary>
public sealed class AppClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly JsonElement _client;
    private readonly JsonWebKey _key;
    private string _verifier = "";

    /// <param name="folder">The gateway's data folder.</param>
    /// <param name="target">The gateway's public address.</param>
    /// <param name="app">Name of the app's folder.</param>
    public AppClient(DevFolder folder, Uri target, string app = "omakunto")
    {
        string At(string name) => folder.File($"apps/{app}/{name}");
        _client = JsonDocument.Parse(File.ReadAllText(At("client.json"))).RootElement;
        _key = new(File.ReadAllText(At("private_key.jwk")));
        _http = new(Transport.Handler(folder.Authority, Transport.Identity(At("tls.pem"), At("tls.key")))) { BaseAddress = target };
    }

    /// <summary>Where the browser was sent last; absolute.</summary>
    public string Asked { get; private set; } = "";

    /// <summary>Pushes a request.</summary>
    /// <returns>Where the browser goes.</returns>
    /// <exception cref="HttpRequestException">The gateway refused.</exception>
    public async Task<string> AskAsync(string scope, CancellationToken cancel = default)
    {
        _verifier = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var pushed = await PostAsync("pushed_authorization_url", new()
        {
            ["response_type"] = "code", ["redirect_uri"] = Text("redirect_uri"), ["scope"] = scope, ["state"] = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16)),
            ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(_verifier))), ["code_challenge_method"] = "S256",
        }, cancel).ConfigureAwait(false);
        return Asked = $"{Text("authorization_url")}?client_id={Text("client_id")}&request_uri={Uri.EscapeDataString(pushed.GetProperty("request_uri").GetString()!)}";
    }

    /// <summary>Redeems a code and reads the Observations that the citizen allowed.</summary>
    /// <exception cref="HttpRequestException">The gateway refused.</exception>
    public async Task<JsonElement> ReadAsync(string code, string patient, CancellationToken cancel = default)
    {
        var token = await PostAsync("token_url", new()
        {
            ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = Text("redirect_uri"), ["code_verifier"] = _verifier,
        }, cancel).ConfigureAwait(false);
        using var request = new HttpRequestMessage(HttpMethod.Post, Text("fhir_url") + "/Observation/_search") { Content = new FormUrlEncodedContent([new("patient", "Patient/" + patient)]) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token.GetProperty("access_token").GetString());
        using var response = await _http.SendAsync(request, cancel).ConfigureAwait(false);
        return await response.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonElement>(cancel).ConfigureAwait(false);
    }

    public void Dispose() => _http.Dispose();

    private async Task<JsonElement> PostAsync(string endpoint, Dictionary<string, string> form, CancellationToken cancel)
    {
        form["client_id"] = Text("client_id");
        form["client_assertion_type"] = ClientAssertion.Type;
        form["client_assertion"] = ClientAssertion.Create(Text("client_id"), Text("token_url"), _key, Text("alg"), TimeProvider.System);
        using var content = new FormUrlEncodedContent(form);
        using var response = await _http.PostAsync(Text(endpoint), content, cancel).ConfigureAwait(false);
        return await response.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonElement>(cancel).ConfigureAwait(false);
    }

    private string Text(string member) => _client.GetProperty(member).GetString()!;
}
