using System.Globalization;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Client;

namespace KantaGateway.Harness.Clients;

/// <summary>An operator of a development host, signed in at the simulated tenant as a browser is.</summary>
public sealed class OperatorClient : IDisposable
{
    private readonly HttpClient _http;

    private OperatorClient(HttpClient http) => _http = http;

    /// <param name="who">Which of the fictional operators, from 0.</param>
    /// <exception cref="PortalException">The sign-in did not end at the operators' page.</exception>
    public static async Task<OperatorClient> SignInAsync(DevFolder folder, Uri target, int who, CancellationToken cancel = default)
    {
        var handler = Transport.Handler(folder.Authority);
        (handler.AllowAutoRedirect, handler.UseCookies) = (true, true);
        var http = new HttpClient(handler) { BaseAddress = new(target.GetLeftPart(UriPartial.Authority)) };
        try
        {
            await SignInAsync(http, who, cancel).ConfigureAwait(false);
            return new(http);
        }
        catch
        {
            http.Dispose();
            throw;
        }
    }

    /// <summary>Signs a client in that keeps cookies, follows redirects and has the gateway for its base address.</summary>
    /// <param name="who">Which of the fictional operators, from 0.</param>
    /// <exception cref="PortalException">The sign-in did not end at the operators' page.</exception>
    public static async Task SignInAsync(HttpClient http, int who, CancellationToken cancel = default)
    {
        var choice = await PageAsync(await http.GetAsync("/operator/signin", cancel).ConfigureAwait(false), cancel).ConfigureAwait(false);
        var form = choice.Forms.FirstOrDefault(static f => f.Fields.ContainsKey("ticket")) ?? throw new PortalException("a choice of operators", choice);
        using var fields = new FormUrlEncodedContent([.. form.Fields, new("operator", who.ToString(CultureInfo.InvariantCulture))]);
        var home = await PageAsync(await http.PostAsync(form.Action, fields, cancel).ConfigureAwait(false), cancel).ConfigureAwait(false);
        if (home is not { Status: 200, Address.AbsolutePath: "/operator" })
            throw new PortalException("the operators' page", home);
    }

    /// <summary>Asks one of the operators' JSON addresses.</summary>
    /// <param name="path">Such as <c>/operator/breach-cases</c>.</param>
    /// <exception cref="HttpRequestException">It did not answer 2xx.</exception>
    public Task<JsonElement> GetAsync(string path, CancellationToken cancel = default) => _http.GetFromJsonAsync<JsonElement>(path, cancel);

    /// <summary>Sends JSON to one of them.</summary>
    public Task<(int Status, JsonElement? Body)> SendAsync(HttpMethod method, string path, object? body = null, CancellationToken cancel = default) =>
        SendAsync(_http, method, path, body is null ? null : JsonContent.Create(body), cancel);

    private static async Task<(int Status, JsonElement? Body)> SendAsync(HttpClient http, HttpMethod method, string path, HttpContent? content, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using var answer = await http.SendAsync(request, cancel).ConfigureAwait(false);
        var isJson = answer.Content.Headers.ContentType?.MediaType?.EndsWith("json", StringComparison.Ordinal) == true;
        return ((int)answer.StatusCode, isJson ? await answer.Content.ReadFromJsonAsync<JsonElement>(cancel).ConfigureAwait(false) : null);
    }

    /// <summary>Sends notices of a case, of which another approves.</summary>
    /// <param name="list"><c>words</c> and <c>persons</c>.</param>
    /// <returns>The answer to what was refused, or to the sending.</returns>
    public Task<(int Status, JsonElement? Body)> SendNoticesAsync(OperatorClient approver, long number, object list, CancellationToken cancel = default) => SendNoticesAsync(_http, approver._http, number, list, cancel);

    /// <summary>As the other, with clients that are signed in.</summary>
    public static async Task<(int Status, JsonElement? Body)> SendNoticesAsync(HttpClient officer, HttpClient approver, long number, object list, CancellationToken cancel = default)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(list, JsonSerializerOptions.Web);
        var (status, act) = await SendAsync(officer, HttpMethod.Post, "/operator/acts", JsonContent.Create(new { kind = "breach-notices", subject = number.ToString(CultureInfo.InvariantCulture), content = Convert.ToHexStringLower(SHA256.HashData(body)) }), cancel).ConfigureAwait(false);
        if (status != 201)
            return (status, act);
        var (id, digest) = (act!.Value.GetProperty("id").GetString(), act.Value.GetProperty("digest").GetString());
        var approved = await SendAsync(approver, HttpMethod.Post, $"/operator/acts/{id}/approve", JsonContent.Create(new { digest }), cancel).ConfigureAwait(false);
        return approved.Status != 204 ? approved
            : await SendAsync(officer, HttpMethod.Post, string.Create(CultureInfo.InvariantCulture, $"/operator/breach-cases/{number}/notices?act={id}&digest={digest}"), new ByteArrayContent(body) { Headers = { ContentType = new("application/json") } }, cancel).ConfigureAwait(false);
    }

    public void Dispose() => _http.Dispose();

    private static async Task<Page> PageAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        using var _ = answer;
        return new(answer.RequestMessage!.RequestUri!, (int)answer.StatusCode, await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false));
    }
}
