using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Something that a gateway could do wrong, done to the requests and answers of one that does not.</summary>
/// <param name="Name">As the end of "a gateway that ...".</param>
/// <param name="Found">Check that must name it.</param>
/// <param name="Answer">Given the request, what is known, and a way to ask the gateway: the answer that a client gets.</param>
sealed partial record PlantedFault(string Name, string Found, Func<Asked, Task<HttpResponseMessage>> Answer)
{
    private const string Token = "/connect/token", Empty = """{"resourceType":"Bundle","type":"searchset","total":0}""", Person = """{"resourceType":"Patient","id":"x"}""";

    public override string ToString() => Name;

    public static IReadOnlyList<PlantedFault> All { get; } =
    [
        // :: Connection
        new("takes a token with whatever certificate", "connection.other-certificate", a => a.ForgiveAsync(a.IsFhir && a.Bearer is { } token && a.Known.IssuedTo(token) is { } owner && owner != a.Line, 401, 200, Person)),
        new("takes a token without a certificate", "connection.no-certificate", a => a.ForgiveAsync(a.IsFhir && a.Bearer is { } token && a.Known.IssuedTo(token) is { } owner && owner != a.Line, 401, 200, Person)),
        new("takes a certificate that nobody issued", "connection.stranger-certificate", a => a.ForgiveAsync(a.IsFhir, 401, 200, Person)),
        new("gives tokens to who shows no certificate", "connection.token-without-certificate", a => a.ForgiveTokenAsync(_ => true)),

        // :: SMART and FAPI
        new("offers shared secrets", "smart.discovery", a => a.EditAsync(a.Path.EndsWith("smart-configuration", StringComparison.Ordinal), j => j["token_endpoint_auth_methods_supported"]!.AsArray().Add("client_secret_basic"))),
        new("lets tokens live for an hour", "smart.token-life", a => a.EditAsync(a.Path == Token, j => j["expires_in"] = 3600)),
        new("answers who has no token", "smart.no-token", a => a.ForgiveAsync(a.IsFhir && a.Bearer is null, 401, 200, Person)),
        new("does not say how to identify", "smart.no-token", a => a.ChangeAsync(a.IsFhir, r => r.Headers.WwwAuthenticate.Clear())),
        new("does not verify signatures of tokens", "smart.altered-token", a => a.ForgiveAsync(a.IsFhir && a.Bearer is { } token && a.Known.IsAltered(token), 401, 200, Person)),
        new("takes tokens of any issuer", "smart.foreign-token", a => a.ForgiveAsync(a.IsFhir && a.Bearer is { } token && a.Known.IssuedTo(token) is null, 401, 200, Person)),
        new("takes tokens for others", "smart.subject-token", a => a.ForgiveAsync(a.IsFhir && a.Bearer is { } token && a.Known.IssuedTo(token) is null, 401, 200, Person)),
        new("exchanges tokens of other clinics' professionals", "smart.foreign-professional", a => a.ForgiveTokenAsync(form => form.ContainsKey("subject_token"))),
        new("takes an assertion twice", "smart.replay", a => a.ForgiveTokenAsync(form => a.Known.Assertions.Contains(form["client_assertion"]))),
        new("takes assertions that live for hours", "smart.assertion-life", a => a.ForgiveTokenAsync(form => new JsonWebToken(form["client_assertion"]) is var jwt && jwt.ValidTo - jwt.ValidFrom > TimeSpan.FromMinutes(5))),
        new("takes assertions for other servers", "smart.assertion-audience", a => a.ForgiveTokenAsync(form => new JsonWebToken(form["client_assertion"]).Audiences.Single().Contains("elsewhere", StringComparison.Ordinal))),
        new("takes assertions under any key", "smart.unregistered-key", a => a.ForgiveTokenAsync(form => !a.Known.Assertions.Contains(form["client_assertion"]))),
        new("goes on with an app that has ended", "smart.app-launch", a => a.ForgiveAsync(a.IsFhir && a.Bearer is { } token && a.Known.IssuedTo(token) == a.Line, 401, 200, Empty)),
        new("gives an app more than was allowed", "smart.app-launch", a => a.ForgiveAsync(a.IsFhir, 403, 200, Empty)),
        new("redeems an app's code for whoever has it", "smart.app-launch", a => a.ForgiveTokenAsync(form => form.ContainsKey("code_verifier"))),
        new("forgets what scope a token has", "smart.scope", a => a.ForgiveAsync(a.IsFhir, 403, 201, Person)),

        // :: FHIR
        new("says that it speaks another FHIR", "fhir.metadata", a => a.EditAsync(a.Path == "/fhir/metadata", j => j["fhirVersion"] = "5.0.0")),
        new("repeats the identity code that it refuses", "fhir.identity-code-in-url", a => a.RewriteAsync(a.IsFhir, 400, text => text.Replace("\"diagnostics\":\"", $"\"diagnostics\":\"{Uri.UnescapeDataString(a.Request.RequestUri!.PathAndQuery).Replace("\"", "", StringComparison.Ordinal)} ", StringComparison.Ordinal))),
        new("searches by an identity code in a URL", "fhir.identity-code-in-url", a => a.ForgiveAsync(a.IsFhir, 400, 200, Empty)),
        new("answers JSON to a reader of XML", "fhir.xml", a => a.ChangeAsync(a.IsFhir, r => r.Content.Headers.ContentType = new("application/fhir+json"))),
        new("answers a reader of HTML", "fhir.html", a => a.ForgiveAsync(a.IsFhir, 406, 200, Person)),
        new("takes text for FHIR", "fhir.text", a => a.ForgiveAsync(a.IsFhir, 415, 201, Person)),
        new("gives no correlation ids", "fhir.correlation", a => a.ChangeAsync(a.IsFhir, r => r.Headers.Remove("X-Correlation-Id"))),
        new("lets paths leave the FHIR base", "fhir.path", a => a.ForgiveAsync(a.IsFhir, 400, 200, "{}")),
        new("does not say where a resource is wrong", "fhir.input-a-missing-mandatory-element", a => a.EditAsync(a.IsFhir, j => { foreach (var issue in Items(j["issue"])) issue.AsObject().Remove("expression"); })),
        new("refuses without a word", "fhir.input-malformed-json", a => a.RewriteAsync(a.IsFhir, 400, _ => "")),
        new("takes codes outside a required value set", "fhir.input-a-code-outside-a-required-value-set", a => a.ForgiveAsync(a.IsFhir, 422, 201, Person)),
        new("breaks on a deep document", "fhir.input-json-nested-a-hundred-thousand-levels-deep", a => a.ForgiveAsync(a.IsFhir, 400, 500, "")),
        new("takes an update without a version", "fhir.life", a => a.ForgiveAsync(a.IsFhir, 428, 200, Person)),
        new("lets the second update win over the first", "fhir.life", a => a.ForgiveAsync(a.IsFhir, 412, 200, Person)),
        new("shows what was deleted", "fhir.life", a => a.ForgiveAsync(a.IsFhir, 410, 200, Person)),
        new("does not say why an entry of a batch was refused", "fhir.batch", a => a.EditAsync(a.Path.TrimEnd('/') == "/fhir", j => { foreach (var entry in Items(j["entry"])) entry["response"]!.AsObject().Remove("outcome"); })),
        new("leaves references of a transaction as they came", "fhir.transaction", a => a.RewriteAsync(a.IsFhir && a.Request.Method == HttpMethod.Get, 200, text => EncounterReference().Replace(text, "\"urn:uuid:9f0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c01\""))),
        new("lets a refused change tell that there is something", "fhir.foreign-write", a => a.ChangeAsync(a.Request.Method == HttpMethod.Delete && a.Known.Stored.Contains(a.Path.Split('/')[^1]), r => r.Headers.Add("X-Exists", "yes"))),
        new("hides directory entries from others", "fhir.directory", a => a.ForgiveAsync(a.Path.StartsWith("/fhir/Organization/", StringComparison.Ordinal) && a.Request.Method == HttpMethod.Get, 200, 404, "")),

        // :: Search
        new("does not find a person by identity code", "search.identity-code", a => a.RewriteAsync(a.Path.EndsWith("/_search", StringComparison.Ordinal), 200, _ => Empty)),
        new("finds less by GET than by POST", "search.parameters", a => a.RewriteAsync(a.Request.Method == HttpMethod.Get && a.Request.RequestUri!.Query.Length > 0, 200, _ => Empty)),
        new("ignores a date in a search", "search.parameters", a => a.WithoutParameterAsync("date")),
        new("counts one more than there is", "search.paging", a => a.EditAsync(a.IsFhir, j => { if (j["total"] is { } total) j["total"] = total.GetValue<int>() + 1; })),
        new("loses an entry between two pages", "search.paging", a => a.EditAsync(a.Request.Method == HttpMethod.Get, j => { if (j["entry"] is JsonArray { Count: > 1 } entries) entries.RemoveAt(0); })),
        new("ignores a parameter that it does not know", "search.unknown-parameter", a => a.ForgiveAsync(a.IsFhir, 400, 200, Empty)),

        // :: Adapters and load
        new("takes a message that comes again for another", "adapters.hl7v2", a => a.RewriteAsync(a.Path == "/fhir/$hl7v2", 200, text => a.Known.Times("hl7") > 1 ? text.Replace("MSA|AA", "MSA|AR", StringComparison.Ordinal) : text)),
        new("acknowledges a message that it did not store", "adapters.hl7v2-bad", a => a.RewriteAsync(a.Path == "/fhir/$hl7v2", 422, text => text.Replace("MSA|AE", "MSA|AA", StringComparison.Ordinal).Replace("MSA|AR", "MSA|AA", StringComparison.Ordinal))),
        new("takes entities in CDA", "adapters.cda-hostile", a => a.ForgiveAsync(a.Path == "/fhir/$cda", 400, 200, """{"resourceType":"Parameters"}""")),
        new("says nothing of a row", "adapters.table", a => a.EditAsync(a.Path == "/fhir/$table", j => { var rows = j["parameter"]!.AsArray(); rows.Remove(rows.Last(p => (string?)p!["name"] == "row")); })),
        new("takes messages of nobody", "adapters.unidentified", a => a.ForgiveAsync(a.IsFhir, 401, 200, "MSA|AA\r")),
        new("answers many at once with what it answered another", "load.burst", a => a.ChangeAsync(a.IsFhir && a.Known.Times("read") > 40, r => { r.Headers.Remove("Kanta-Receipt"); r.Headers.Add("Kanta-Receipt", "1;entry=\"812cab5e8619523a9d8ee6d62b903381\""); })),
        new("breaks down under many at once", "load.burst", a => a.ForgiveAsync(a.IsFhir && a.Known.Times("read") > 40, 200, 503, "")),

        // :: Consent
        new("lets what is hidden look another way than what is not there", "consent.hidden", a => a.ChangeAsync(a.Request.Method == HttpMethod.Get && a.Known.Stored.Contains(a.Path.Split('/').ElementAtOrDefault(3) ?? ""), r => { if (r.StatusCode == HttpStatusCode.NotFound) r.Headers.Add("X-Hidden", "yes"); })),
        new("answers from a cache that a denial does not reach", "consent.denied", a => a.CachedAsync(a.Request.Method == HttpMethod.Get && a.Known.Stored.Contains(a.Path.Split('/')[^1]))),
        new("answers page links from a cache", "consent.old-link", a => a.CachedAsync(a.IsFhir && a.Request.Method == HttpMethod.Get && a.Request.RequestUri!.Query.Length > 0)),

        // :: Portal and audit
        new("leaves some who read out of the access log", "audit.access-log", a => a.RewriteAsync(a.Path == "/access-log", 200, text => AccessOfOthers().Replace(text, ""))),
        new("shows no visits to the citizen", "portal.own-records", a => a.RewriteAsync(a.Path.StartsWith("/records", StringComparison.Ordinal), 200, text => text.Replace("data-entry=", "data-nothing=", StringComparison.Ordinal))),
        new("lets its pages be framed and scripted", "portal.headers", a => a.ChangeAsync(true, r => r.Headers.Remove("Content-Security-Policy"))),
        new("shows pages to who has not signed in", "portal.session", a => a.ForgiveAsync(a.Path == "/access-log", 303, 200, "<html></html>")),
        new("answers the portal's JSON without a session", "portal.api-session", a => a.ForgiveAsync(a.Path == "/apps/v1/apps", 401, 200, "{}")),
        new("describes less than it has", "portal.openapi", a => a.EditAsync(a.Path == "/openapi/v1.json", j => j["paths"]!.AsObject().Remove("/apps/v1/apps"))),
        new("gives something without a receipt", "audit.receipt-carried", a => a.ChangeAsync(a.IsFhir && a.Path.EndsWith("/_search", StringComparison.Ordinal), r => r.Headers.Remove("Kanta-Receipt"))),
        new("proves a receipt by another entry", "audit.receipt-proof", a => a.RewriteAsync(a.Path.StartsWith("/audit/receipts/", StringComparison.Ordinal), 200, text => Leaf().Replace(text, m => "extra " + Convert.ToBase64String(new byte[64]) + m.Groups[1].Value))),
        new("tells of somebody else's receipt that it exists", "audit.receipt-foreign", a => a.ForgiveAsync(a.Path.StartsWith("/audit/receipts/", StringComparison.Ordinal) && a.Path.Length < 24, 404, 403, "")),
        new("publishes a checkpoint that its log has not signed", "audit.checkpoint", a => a.RewriteAsync(a.Path == "/audit/log/checkpoint", 200, text => CheckpointSize().Replace(text, "${1}9$2", 1))),
    ];

    public static IEnumerable<JsonNode> Items(JsonNode? list) => list is JsonArray items ? items.OfType<JsonNode>() : [];

    [GeneratedRegex("\"Encounter/[^\"]+\"")]
    private static partial Regex EncounterReference();

    [GeneratedRegex("data-access=\"[0-9]+\"")]
    private static partial Regex AccessOfOthers();

    [GeneratedRegex("extra [A-Za-z0-9+/=]+(\n)")]
    private static partial Regex Leaf();

    [GeneratedRegex("(\n)([0-9]+\n)")]
    private static partial Regex CheckpointSize();
}

/// <summary>What has gone over all lines of one verification.</summary>
sealed class KnownTraffic
{
    private readonly ConcurrentDictionary<string, int> _times = [];
    private readonly ConcurrentDictionary<string, object> _tokens = [];

    public ConcurrentBag<string> Assertions { get; } = [];
    public ConcurrentBag<string> Stored { get; } = [];
    public ConcurrentDictionary<string, (int Status, byte[] Body, (string, string[])[] Headers)> Answers { get; } = [];

    public IEnumerable<string> Tokens => _tokens.Keys;

    public int Times(string what) => _times.AddOrUpdate(what, 1, static (_, n) => n + 1);

    public void Issued(string token, object line) => _tokens[token] = line;

    /// <summary>The line over which it was issued; null: by somebody else.</summary>
    public object? IssuedTo(string token) => _tokens.GetValueOrDefault(token);

    public bool IsAltered(string token) => IssuedTo(token) is null && _tokens.Keys.Any(known => known.Split('.')[..^1].SequenceEqual(token.Split('.')[..^1]));
}

/// <summary>Stands between one client and its connections, and does the fault.</summary>
sealed class FaultyGateway(PlantedFault fault, KnownTraffic known, HttpMessageHandler connections) : DelegatingHandler(connections)
{
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        fault.Answer(new(request, known, this, async () =>
        {
            var answer = await base.SendAsync(request, cancellationToken);
            // What the fault needs to know, as a gateway would.
            if (request.RequestUri!.AbsolutePath == "/connect/token" && answer.IsSuccessStatusCode)
            {
                var form = await request.Content!.ReadAsStringAsync(cancellationToken);
                known.Assertions.Add(WebUtility.UrlDecode(form.Split('&').Single(static p => p.StartsWith("client_assertion=", StringComparison.Ordinal))["client_assertion=".Length..]));
                known.Issued((string)JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancellationToken))!["access_token"]!, this);
            }
            if (answer.Headers.Location is { } location && answer.StatusCode == HttpStatusCode.Created)
                known.Stored.Add(location.OriginalString.Split("/_history", StringSplitOptions.None)[0].Split('/')[^1]);
            if (request.RequestUri.AbsolutePath.TrimEnd('/') == "/fhir" && answer.IsSuccessStatusCode)
                foreach (var entry in PlantedFault.Items(JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancellationToken))?["entry"]))
                    if ((string?)entry["response"]?["location"] is { } stored)
                        known.Stored.Add(stored.Split("/_history", StringSplitOptions.None)[0].Split('/')[^1]);
            return answer;
        }));
}

/// <summary>One request on its way.</summary>
/// <param name="Line">Connections of one client.</param>
sealed record Asked(HttpRequestMessage Request, KnownTraffic Known, object Line, Func<Task<HttpResponseMessage>> Gateway)
{
    public string Path => Request.RequestUri!.AbsolutePath;

    public bool IsFhir => Path.StartsWith("/fhir", StringComparison.Ordinal) && !Path.Contains(".well-known", StringComparison.Ordinal);

    public string? Bearer => Request.Headers.Authorization is { Scheme: "Bearer", Parameter: { } token } ? token : null;

    /// <summary>An answer of one status becomes one of another, with another body.</summary>
    public async Task<HttpResponseMessage> ForgiveAsync(bool when, int status, int instead, string body)
    {
        var answer = await Gateway();
        if (!when || (int)answer.StatusCode != status)
            return answer;
        answer.StatusCode = (HttpStatusCode)instead;
        answer.Headers.WwwAuthenticate.Clear();
        return Put(answer, body);
    }

    /// <summary>A token is given where none should be.</summary>
    public async Task<HttpResponseMessage> ForgiveTokenAsync(Func<Dictionary<string, string>, bool> when)
    {
        if (Path != "/connect/token")
            return await Gateway();
        var form = (await Request.Content!.ReadAsStringAsync()).Split('&').Select(static p => p.Split('=')).ToDictionary(static p => p[0], static p => WebUtility.UrlDecode(p[1]));
        var forgiven = when(form);
        var answer = await Gateway();
        if (!forgiven || answer.IsSuccessStatusCode)
            return answer;
        answer.StatusCode = HttpStatusCode.OK;
        return Put(answer, """{"access_token":"x","expires_in":300}""", "application/json");
    }

    public async Task<HttpResponseMessage> ChangeAsync(bool when, Action<HttpResponseMessage> change)
    {
        var answer = await Gateway();
        if (when)
            change(answer);
        return answer;
    }

    public async Task<HttpResponseMessage> RewriteAsync(bool when, int status, Func<string, string> rewrite)
    {
        var answer = await Gateway();
        return when && (int)answer.StatusCode == status ? Put(answer, rewrite(await answer.Content.ReadAsStringAsync())) : answer;
    }

    /// <summary>JSON is edited.</summary>
    public async Task<HttpResponseMessage> EditAsync(bool when, Action<JsonObject> edit)
    {
        var answer = await Gateway();
        if (!when || answer.Content.Headers.ContentType?.MediaType?.EndsWith("json", StringComparison.Ordinal) != true || JsonNode.Parse(await answer.Content.ReadAsStringAsync()) is not JsonObject json)
            return answer;
        edit(json);
        return Put(answer, json.ToJsonString());
    }

    /// <summary>The first answer that gave something is given again.</summary>
    public async Task<HttpResponseMessage> CachedAsync(bool when)
    {
        if (!when)
            return await Gateway();
        var key = $"{Bearer} {Request.RequestUri}";
        if (Known.Answers.TryGetValue(key, out var kept))
        {
            var again = new HttpResponseMessage((HttpStatusCode)kept.Status) { RequestMessage = Request, Content = new ByteArrayContent(kept.Body) };
            foreach (var (name, values) in kept.Headers)
                if (!again.Headers.TryAddWithoutValidation(name, values))
                    again.Content.Headers.TryAddWithoutValidation(name, values);
            return again;
        }
        var answer = await Gateway();
        if (answer.IsSuccessStatusCode)
            Known.Answers[key] = ((int)answer.StatusCode, await answer.Content.ReadAsByteArrayAsync(), [.. answer.Headers.Concat(answer.Content.Headers).Select(static h => (h.Key, h.Value.ToArray()))]);
        return answer;
    }

    /// <summary>The gateway is asked without one of the parameters.</summary>
    public async Task<HttpResponseMessage> WithoutParameterAsync(string name)
    {
        if (Path.EndsWith("/_search", StringComparison.Ordinal))
        {
            var form = await Request.Content!.ReadAsStringAsync();
            Request.Content = new StringContent(string.Join('&', form.Split('&').Where(p => !p.StartsWith(name + "=", StringComparison.Ordinal))), Encoding.UTF8, "application/x-www-form-urlencoded");
        }
        return await Gateway();
    }

    private static HttpResponseMessage Put(HttpResponseMessage answer, string body, string? type = null)
    {
        var content = new StringContent(body, Encoding.UTF8);
        content.Headers.ContentType = type is null ? answer.Content.Headers.ContentType : new(type);
        answer.Content = content;
        return answer;
    }
}
