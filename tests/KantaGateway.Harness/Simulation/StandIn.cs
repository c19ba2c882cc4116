using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Simulation;

/// <summary>
/// A stand-in for the gateway, with which a vendor tests its own client: tokens, and resources in memory, for one clinic; and it misbehaves when it is told to. It decides nothing and records nothing: what a gateway must be is
/// what <c>verify</c> checks. Loopback only.
/// </summary>
public sealed class StandIn : IAsyncDisposable
{
    private static readonly JsonWebTokenHandler Assertions = new();

    private readonly ConcurrentDictionary<string, JsonObject> _resources = [];
    private readonly ConcurrentDictionary<Misbehaviour, int> _misbehaviours = [];
    private readonly ConcurrentDictionary<string, bool> _tokens = [];
    private readonly StandInFolder _folder;
    private WebApplication _app = null!;

    private StandIn(StandInFolder folder, Uri address) => (_folder, Address) = (folder, address);

    public Uri Address { get; }

    /// <summary>Seconds that <c>Retry-After</c> says, from 0.</summary>
    public int RetryAfter { get; set; } = 1;

    /// <summary>Resources that are stored.</summary>
    public int Stored => _resources.Count;

    /// <summary>Requests to FHIR that arrived.</summary>
    public int Requests { get; private set; }

    /// <param name="path">Folder for what the client is given, as a development gateway writes it: <c>ca.pem</c> and <c>clinics/vendor/</c>.</param>
    /// <param name="port">Of the loopback interface.</param>
    public static async Task<StandIn> StartAsync(string path, int port)
    {
        var address = new Uri($"https://localhost:{port}");
        var standIn = new StandIn(StandInFolder.Write(path, address), address);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port, listen => listen.UseHttps(https =>
        {
            https.ServerCertificateSelector = (_, _) => standIn.Takes(Misbehaviour.ExpiredCertificate) ? standIn._folder.Expired : standIn._folder.Server;
            https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
            // It is there to break a client and not to keep anybody out.
            https.ClientCertificateValidation = static (_, _, _) => true;
        })));
        standIn._app = builder.Build();
        standIn._app.Run(standIn.AnswerAsync);
        await standIn._app.StartAsync().ConfigureAwait(false);
        return standIn;
    }

    /// <summary>Misbehaves for the next requests to which it applies.</summary>
    /// <param name="times">How many; -1 until told otherwise, 0 no longer.</param>
    public void Misbehave(Misbehaviour how, int times = 1)
    {
        _misbehaviours[how] = times;
        if (how == Misbehaviour.RotatedKeys && times != 0)
            _tokens.Clear();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync().ConfigureAwait(false);
        _folder.Dispose();
    }

    private bool Takes(Misbehaviour how)
    {
        while (_misbehaviours.TryGetValue(how, out var left) && left != 0)
            if (left < 0 || _misbehaviours.TryUpdate(how, left - 1, left))
                return true;
        return false;
    }

    private Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value ?? "";
        return path switch
        {
            "/simulate" => ToldAsync(context),
            "/connect/token" => TokenAsync(context),
            "/health/live" or "/health/ready" => Task.CompletedTask,
            "/.well-known/smart-configuration" or "/fhir/.well-known/smart-configuration" => WriteAsync(context, 200, new()
            {
                ["token_endpoint"] = _folder.Registration.TokenUrl.ToString(), ["grant_types_supported"] = new JsonArray("client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ["token_endpoint_auth_methods_supported"] = new JsonArray("private_key_jwt"), ["token_endpoint_auth_signing_alg_values_supported"] = new JsonArray("ES384"),
            }, "application/json"),
            _ when path.StartsWith("/fhir/", StringComparison.Ordinal) => FhirAsync(context, path["/fhir/".Length..].Split('/')),
            _ => RefuseAsync(context, 404, "not-found", "There is nothing at this address."),
        };
    }

    /// <summary><c>POST /simulate?how=TooMany&amp;times=2</c>.</summary>
    private Task ToldAsync(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method) || !Enum.TryParse<Misbehaviour>(context.Request.Query["how"], ignoreCase: true, out var how))
            return RefuseAsync(context, 400, "invalid", $"POST with how, one of {string.Join(", ", Enum.GetNames<Misbehaviour>())}, and times.");
        Misbehave(how, int.TryParse(context.Request.Query["times"], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var times) ? times : 1);
        context.Response.StatusCode = 204;
        return Task.CompletedTask;
    }

    private async Task TokenAsync(HttpContext context)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted).ConfigureAwait(false);
        var verdict = await Assertions.ValidateTokenAsync(form["client_assertion"], new TokenValidationParameters
        {
            ValidIssuer = _folder.Registration.ClientId, ValidAudience = _folder.Registration.TokenUrl.ToString(), IssuerSigningKey = _folder.ClientKey, ValidAlgorithms = [_folder.Registration.Alg],
        }).ConfigureAwait(false);
        if (!verdict.IsValid || context.Connection.ClientCertificate is null || Takes(Misbehaviour.RevokedRight))
        {
            await WriteAsync(context, 400, new() { ["error"] = "invalid_client", ["error_description"] = "The client is not registered with this key and certificate, or no longer." }, "application/json").ConfigureAwait(false);
            return;
        }
        var token = Convert.ToHexString(RandomNumberGenerator.GetBytes(24));
        _tokens[token] = true;
        await WriteAsync(context, 200, new() { ["access_token"] = token, ["token_type"] = "Bearer", ["expires_in"] = 300 }, "application/json").ConfigureAwait(false);
    }

    private async Task FhirAsync(HttpContext context, string[] path)
    {
        Requests++;
        context.Response.Headers["X-Correlation-Id"] = context.Request.Headers["X-Request-Id"].FirstOrDefault() ?? Guid.NewGuid().ToString();
        if (context.Request.Headers.Authorization.ToString() is not ['B', 'e', 'a', 'r', 'e', 'r', ' ', .. var token] || !_tokens.ContainsKey(token) || _misbehaviours.GetValueOrDefault(Misbehaviour.RevokedRight) != 0)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer error=\"invalid_token\"";
            await RefuseAsync(context, 401, "login", "The token is not one of ours, or no longer.").ConfigureAwait(false);
            return;
        }
        if (Takes(Misbehaviour.Slow))
        {
            // Until the caller hangs up, or the stand-in ends.
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return;
        }
        var full = Takes(Misbehaviour.TooMany);
        if (full || Takes(Misbehaviour.Unavailable))
        {
            context.Response.Headers.RetryAfter = RetryAfter.ToString(CultureInfo.InvariantCulture);
            await RefuseAsync(context, full ? 429 : 503, "transient", "Wait for as long as Retry-After says.").ConfigureAwait(false);
            return;
        }
        var body = context.Request.ContentType?.StartsWith("application/fhir+json", StringComparison.Ordinal) == true ? await JsonNode.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted).ConfigureAwait(false) as JsonObject : null;
        var breaks = Takes(Misbehaviour.Broken);
        var (status, resource) = Carry(context, path, body);
        if (breaks)
            context.Abort();
        else if (resource is null)
            await RefuseAsync(context, status, status == 412 ? "conflict" : "not-found", status == 412 ? "The resource has another version now: read it again." : "There is none.").ConfigureAwait(false);
        else
            await WriteAsync(context, status, resource).ConfigureAwait(false);
    }

    private (int Status, JsonObject? Resource) Carry(HttpContext context, string[] path, JsonObject? body)
    {
        lock (_resources)
        {
            var key = string.Join('/', path.Take(2));
            switch (context.Request.Method)
            {
                case "GET" when path.Length == 2:
                    return _resources.TryGetValue(key, out var read) ? (200, Shown(context, read)) : (404, null);
                case "POST" when path is [_, "_search"]:
                    var all = _resources.Where(r => r.Key.StartsWith(path[0] + "/", StringComparison.Ordinal)).Select(static r => (JsonNode)new JsonObject { ["resource"] = r.Value.DeepClone() }).ToArray();
                    return (200, new() { ["resourceType"] = "Bundle", ["type"] = "searchset", ["total"] = all.Length, ["entry"] = new JsonArray(all) });
                case "POST" when path.Length == 1 && body is not null:
                    if (context.Request.Headers["If-None-Exist"].ToString() is { Length: > 0 } condition && Matching(path[0], condition) is { } there)
                        return (200, Shown(context, there));
                    return (201, Store(context, $"{path[0]}/{Guid.NewGuid()}", body));
                case "PUT" when path.Length == 2 && body is not null:
                    if (!_resources.TryGetValue(key, out var old))
                        return (404, null);
                    if (Takes(Misbehaviour.VersionConflict))
                        Store(context, key, (JsonObject)old.DeepClone());
                    var version = (string?)_resources[key]["meta"]?["versionId"];
                    return context.Request.Headers.IfMatch == $"W/\"{version}\"" ? (200, Store(context, key, body)) : (412, null);
                case "DELETE" when path.Length == 2:
                    return _resources.TryRemove(key, out var removed) ? (200, removed) : (404, null);
                default:
                    return (404, null);
            }
        }
    }

    private JsonObject? Matching(string type, string condition)
    {
        // The last value of the condition is looked for as it is written: enough for a system with its value.
        var value = Uri.UnescapeDataString(condition.Split('=')[^1]).Split('|')[^1];
        return _resources.Where(r => r.Key.StartsWith(type + "/", StringComparison.Ordinal)).Select(static r => r.Value).FirstOrDefault(r => r["identifier"]?.AsArray().Any(i => (string?)i?["value"] == value) == true);
    }

    private JsonObject Store(HttpContext context, string key, JsonObject body)
    {
        body["id"] = key.Split('/')[1];
        body["meta"] = new JsonObject { ["versionId"] = Guid.NewGuid().ToString(), ["lastUpdated"] = DateTimeOffset.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture) };
        _resources[key] = body;
        return Shown(context, body);
    }

    private JsonObject Shown(HttpContext context, JsonObject resource)
    {
        context.Response.Headers.ETag = $"W/\"{resource["meta"]?["versionId"]}\"";
        context.Response.Headers.Location = new Uri(Address, $"/fhir/{resource["resourceType"]}/{resource["id"]}/_history/{resource["meta"]?["versionId"]}").ToString();
        return (JsonObject)resource.DeepClone();
    }

    private static Task RefuseAsync(HttpContext context, int status, string code, string diagnostics) => WriteAsync(context, status, new()
    {
        ["resourceType"] = "OperationOutcome", ["issue"] = new JsonArray(new JsonObject { ["severity"] = "error", ["code"] = code, ["diagnostics"] = diagnostics }),
    });

    private static Task WriteAsync(HttpContext context, int status, JsonObject body, string type = "application/fhir+json")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        return context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(body.ToJsonString()), context.RequestAborted).AsTask();
    }
}
