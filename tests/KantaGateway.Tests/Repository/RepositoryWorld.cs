using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Repository;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Repository;

/// <summary>
/// A repository and a key service as processes would run, on Unix sockets in a folder of their own, and the pen that
/// signs grants for them.
/// </summary>
sealed class RepositoryWorld : IAsyncDisposable
{
    public const string Base = "https://localhost:8443/fhir";
    public const string Aurora = "1.2.246.10.11111111", Revontuli = "1.2.246.10.22222222";
    public const string Code = "010190-900P";

    private readonly ECDsa _key;
    private readonly byte[] _identifierKey = RandomNumberGenerator.GetBytes(32);
    private readonly PostgresDatabase? _postgres;
    private readonly Action<WebApplicationBuilder>? _configure;
    private readonly List<(IAsyncDisposable Host, HttpClient Http)> _repositories = [];
    private readonly ConcurrentQueue<Pseudonym> _registered = new();
    private WebApplication? _keys;
    private int _persons;

    private RepositoryWorld(PostgresDatabase? postgres, Action<WebApplicationBuilder>? configure, TimeProvider? time)
    {
        Time = time ?? TimeProvider.System;
        _postgres = postgres;
        _configure = configure;
        Folder = Directory.CreateTempSubdirectory("kanta-").FullName;
        _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Signer = new(_key, Time);
        Identifiers = new(_identifierKey);
        OwnerOnly.WriteWhole(Path("identifier.key"), System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(_identifierKey)));
        File.WriteAllText(Path("gateway.pem"), _key.ExportSubjectPublicKeyInfoPem());
    }

    public string Folder { get; }
    public GrantSigner Signer { get; }

    /// <summary>The clock of all its parts.</summary>
    public TimeProvider Time { get; }

    public IdentifierCipher Identifiers { get; }
    public string DatabaseFile => Path("repository.db");

    public static async Task<RepositoryWorld> StartAsync(PostgresDatabase? postgres = null, Action<WebApplicationBuilder>? configure = null, TimeProvider? time = null)
    {
        var world = new RepositoryWorld(postgres, configure, time);
        await MigrateStore.ApplyAsync(world.Options with { PostgresOwner = postgres?.Owner });
        await world.StartKeysAsync();
        await world.StartRepositoryAsync();
        return world;
    }

    public async Task StartKeysAsync()
    {
        _keys = KeysHost.Build(new()
        {
            Listen = "unix:" + Path("keys.sock"), KeyFile = Path("keys.json"), GatewayKeyFile = Path("gateway.pem"), CustodyFolder = Path("custody"), CreateStores = true,
        }, b =>
        {
            b.Logging.ClearProviders();
            b.Services.AddSingleton(Time);
        });
        await _keys.StartAsync();
        KeyService = InternalEndpoint.Parse("unix:" + Path("keys.sock")).CreateClient(TimeSpan.FromSeconds(30));
    }

    /// <summary>Has the key service start anew and know no more how far the records are, as after a restore that was accepted. Repositories are stopped before.</summary>
    public async Task ForgetHeadsAsync()
    {
        await StopKeysAsync();
        File.Delete(Path("custody/heads"));
        await StartKeysAsync();
    }

    /// <summary>The number that a code has, or is given.</summary>
    public async Task<Pseudonym> NumberOfAsync(string code) => await TryNumberOfAsync(code) ?? throw new InvalidOperationException("The key service gave no number.");

    /// <returns>Null: 503.</returns>
    public async Task<Pseudonym?> TryNumberOfAsync(string code)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/pseudonym") { Content = System.Net.Http.Json.JsonContent.Create(new { identityCode = code }) };
        request.Headers.Authorization = new("Bearer", Signer.SignServiceToken());
        using var answer = await KeyService.SendAsync(request);
        Assert.True(answer.StatusCode is HttpStatusCode.OK or HttpStatusCode.ServiceUnavailable, answer.StatusCode.ToString());
        return answer.IsSuccessStatusCode && Pseudonym.TryDecode((string?)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["pseudonym"], out var number) ? number : null;
    }

    /// <summary>What a backup of the custody folder has.</summary>
    public Dictionary<string, byte[]> BackUpCustody() => System.IO.Directory.GetFiles(Path("custody")).Where(static file => !file.EndsWith("lock", StringComparison.Ordinal)).ToDictionary(static file => file, File.ReadAllBytes);

    /// <summary>Has the key service start anew on what a backup has, as <c>infra/restore.sh</c> leaves it.</summary>
    public async Task BringBackCustodyAsync(Dictionary<string, byte[]> backup)
    {
        await StopKeysAsync();
        // It may know nothing of them any more.
        _registered.Clear();
        foreach (var file in System.IO.Directory.GetFiles(Path("custody")))
            File.Delete(file);
        foreach (var (file, bytes) in backup)
            await File.WriteAllBytesAsync(file, bytes);
        await File.WriteAllTextAsync(Path("custody/restored"), "");
        await StartKeysAsync();
    }

    /// <summary>To the key service.</summary>
    public HttpClient KeyService { get; private set; } = null!;

    /// <summary>Has a key ceremony held.</summary>
    public async Task<HttpStatusCode> HoldAsync(CeremonyStep step, uint version)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/ceremonies");
        request.Headers.Authorization = new("Bearer", Signer.Sign(new KeyCeremony($"{step} {version}", step, version, "proposer", "approver")));
        using var answer = await KeyService.SendAsync(request);
        // Identity codes are sealed anew beside it, and a key that seals one is not destroyed.
        while (answer.IsSuccessStatusCode && (await KeyService.GetFromJsonAsync<PeopleAnswer>("/v1/people"))!.Left > 0)
            await Task.Yield();
        return answer.StatusCode;
    }

    /// <summary>Has a person's key destroyed, and then what is stored under it, as the gateway does.</summary>
    public async Task EraseAsync(Pseudonym person, bool isStoreTold = true)
    {
        var erasure = Signer.Sign(new KeyErasure("act", person, "proposer", "approver"));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/erasures") { Headers = { Authorization = new("Bearer", erasure) } };
        using var answer = await KeyService.SendAsync(request);
        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        if (isStoreTold)
            (await AskAsync(HttpMethod.Post, "/erasures", erasure)).Is(HttpStatusCode.NoContent);
    }

    /// <summary>Has a person's data key replaced, as the gateway does.</summary>
    public Task<Reply> RotateAsync(Pseudonym person, string act = "act", int node = 0) =>
        AskAsync(HttpMethod.Post, "/data-key-rotations", Signer.Sign(new DataKeyRotation(act, person, "proposer", "approver")), node);

    /// <summary>A request of the gateway that is no interaction.</summary>
    public Task<Reply> AskAsync(HttpMethod method, string path, string? grant = null, int node = 0)
    {
        var request = new HttpRequestMessage(method, path);
        if (grant is not null)
            request.Headers.Add(InternalHeaders.Grant, grant);
        return SendAsync(node, request);
    }

    public async Task StopKeysAsync()
    {
        KeyService.Dispose();
        await _keys!.DisposeAsync();
        _keys = null;
    }

    /// <summary>Changes what the next repository is told.</summary>
    public Func<RepositoryOptions, RepositoryOptions> Change { get; set; } = static options => options;

    /// <summary>Of the next repository.</summary>
    public RepositoryOptions Options => Change(new()
    {
        Listen = "unix:" + Path($"repository{_repositories.Count}.sock"), Keys = "unix:" + Path("keys.sock"), DatabaseFile = DatabaseFile, Postgres = _postgres?.Service,
        IdentifierKeyFile = Path("identifier.key"), GatewayKeyFile = Path("gateway.pem"),
    });

    /// <summary>Starts a repository; one more on the same database when there is one already, as on another machine.</summary>
    public async Task StartRepositoryAsync()
    {
        var options = Options;
        var host = RepositoryHost.Build(options, b =>
        {
            b.Logging.ClearProviders();
            b.Services.AddSingleton(Time);
            _configure?.Invoke(b);
        });
        await host.StartAsync();
        _repositories.Add((host, InternalEndpoint.Parse(options.Listen).CreateClient(TimeSpan.FromSeconds(30))));
    }

    /// <summary>Starts one more, as a process of its own: the product's program.</summary>
    public async Task<Process> StartProcessAsync()
    {
        var (options, number) = (Options, _repositories.Count);
        OwnerOnly.WriteWhole(Path($"repository{number}.json"), JsonSerializer.SerializeToUtf8Bytes(new { options.Listen, options.Keys, options.DatabaseFile, options.Postgres, options.IdentifierKeyFile, options.GatewayKeyFile }));
        var process = Process.Start(new ProcessStartInfo("/bin/sh")
        {
            ArgumentList = { "-c", "exec dotnet \"$1\" \"$2\" >\"$3\" 2>&1", "sh", Solution.Output("fhir-adapters/KantaGateway.Repository", "KantaGateway.Repository.dll"), Path($"repository{number}.json"), Path($"repository{number}.log") },
        })!;
        var http = InternalEndpoint.Parse(options.Listen).CreateClient(TimeSpan.FromSeconds(30));
        _repositories.Add((new Ended(process), http));
        while (!await AnswersAsync())
        {
            Assert.False(process.HasExited, process.HasExited ? await File.ReadAllTextAsync(Path($"repository{number}.log")) : null);
            await Task.Delay(20);
        }
        return process;

        async Task<bool> AnswersAsync()
        {
            try
            {
                using var answer = await http.GetAsync(new Uri("/health/live", UriKind.Relative));
                return answer.IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }
    }

    private sealed class Ended(Process process) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
    }

    public async Task StopRepositoryAsync()
    {
        foreach (var (host, http) in _repositories)
        {
            http.Dispose();
            await host.DisposeAsync();
        }
        _repositories.Clear();
    }

    /// <summary>A person nobody else in the test has, with the number that the key service has given them.</summary>
    public async Task<Pseudonym> NewPersonAsync()
    {
        Pseudonym person;
        while (!_registered.TryDequeue(out person))
            // Several at once: they share a flush.
            foreach (var one in await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => NumberOfAsync(FictionalIdentityCode.Of("new person", Interlocked.Increment(ref _persons)).Reveal()))))
                _registered.Enqueue(one);
        return person;
    }

    /// <summary>The same, several.</summary>
    public async Task<Pseudonym[]> NewPeopleAsync(int count)
    {
        var people = new Pseudonym[count];
        for (var i = 0; i < count; i++)
            people[i] = await NewPersonAsync();
        return people;
    }

    /// <summary>A number that nobody has.</summary>
    public static Pseudonym SomeNumber() => Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size));

    public Caller As(Pseudonym person, string controller, Breadth breadth = Breadth.OwnRegister, params string[] denied) => new(this, new()
    {
        Id = Guid.NewGuid().ToString("N"), Use = GrantUse.Write, Compartment = person, Caller = controller, PurposeOfUse = "TREAT",
        Scope = new() { Breadth = breadth, Controller = controller, Withheld = new() { ServiceEvents = denied } }, Expires = Time.GetUtcNow().AddSeconds(50),
    });

    /// <summary>The person themselves.</summary>
    public Caller AsPerson(Pseudonym person) => As(person, "1.2.246.10.99999990", Breadth.WholePerson);

    public Grant DirectoryGrant(string controller, GrantUse use = GrantUse.Write) => new()
    {
        Id = Guid.NewGuid().ToString("N"), Use = use, Compartment = Pseudonym.Directory, Caller = controller, PurposeOfUse = "TREAT",
        Scope = new() { Breadth = Breadth.Directory, Controller = controller }, Expires = Time.GetUtcNow().AddSeconds(50),
    };

    public async Task<Reply> SendAsync(Grant? grant, Grant? directory, string method, string target, string? body = null,
        string? contentType = null, params (string Name, string Value)[] headers) =>
        await SendToAsync(0, grant, directory, method, target, body, contentType, headers);

    /// <param name="node">Which of the repositories, in the order of their start.</param>
    public async Task<Reply> SendToAsync(int node, Grant? grant, Grant? directory, string method, string target, string? body = null,
        string? contentType = null, params (string Name, string Value)[] headers)
    {
        using var request = Request(grant, directory, method, target, headers);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType ?? "application/fhir+json");
        }
        return await SendAsync(node, request);
    }

    /// <summary>With a grant as it was signed before, as a request that comes a second time has it.</summary>
    public async Task<Reply> SendSignedAsync(int node, string grant, string method, string target, string body)
    {
        using var request = Request(null, null, method, target, [(InternalHeaders.Grant, grant)]);
        request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body)) { Headers = { ContentType = new("application/fhir+json") } };
        return await SendAsync(node, request);
    }

    /// <summary>POSTs a Binary's content of unknown length.</summary>
    public async Task<Reply> SendStreamAsync(Grant grant, Stream content, string contentType, params (string Name, string Value)[] headers)
    {
        using var request = Request(grant, null, "POST", "/fhir/Binary", headers);
        request.Content = new StreamContent(content);
        request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        return await SendAsync(0, request);
    }

    /// <summary>Reads the first bytes of an answer and hangs up; how many there were.</summary>
    public async Task<int> ReadBeginningAsync(Grant grant, string target, int most, params (string Name, string Value)[] headers)
    {
        using var request = Request(grant, null, "GET", target, headers);
        using var response = await _repositories[0].Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await using var body = await response.Content.ReadAsStreamAsync();
        return await body.ReadAtLeastAsync(new byte[most], most, throwOnEndOfStream: false);
    }

    private HttpRequestMessage Request(Grant? grant, Grant? directory, string method, string target, (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(new(method), target);
        if (grant is not null)
            request.Headers.Add(InternalHeaders.Grant, Signer.Sign(Fresh(grant)));
        if (directory is not null)
            request.Headers.Add(InternalHeaders.DirectoryGrant, Signer.Sign(Fresh(directory)));
        request.Headers.Add(InternalHeaders.Base, Base);
        request.Headers.Add(InternalHeaders.CorrelationId, "test-1");
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return request;
    }

    /// <summary>Signed for this request: a grant opens a record once.</summary>
    private static Grant Fresh(Grant grant) => grant with { Id = Guid.NewGuid().ToString("N") };

    private async Task<Reply> SendAsync(int node, HttpRequestMessage request)
    {
        using var response = await _repositories[node].Http.SendAsync(request);
        return new(response.StatusCode, await response.Content.ReadAsByteArrayAsync(),
            response.Headers.Concat(response.Content.Headers).ToDictionary(h => h.Key, h => string.Join(",", h.Value), StringComparer.OrdinalIgnoreCase));
    }

    public async ValueTask DisposeAsync()
    {
        await StopRepositoryAsync();
        if (_keys is not null)
            await StopKeysAsync();
        Identifiers.Dispose();
        _key.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private string Path(string name) => System.IO.Path.Combine(Folder, name);
}

/// <summary>Sends requests under one decision.</summary>
sealed record Caller(RepositoryWorld World, Grant Grant)
{
    public Grant? Directory { get; init; }

    /// <summary>Which repository it talks to.</summary>
    public int Node { get; init; }

    public string PatientId => World.Identifiers.PatientId(Grant.Compartment);

    public Caller WithPolicy(long version) => this with { Grant = Grant with { PolicyVersion = version } };

    public Caller With(Func<DisclosureScope, DisclosureScope> scope) => this with { Grant = Grant with { Id = Guid.NewGuid().ToString("N"), Scope = scope(Grant.Scope) } };

    public Caller WithDirectory() => this with { Directory = World.DirectoryGrant(Grant.Scope.Controller) };

    public Task<Reply> GetAsync(string target) => World.SendToAsync(Node, Grant, Directory, "GET", "/fhir/" + target);

    public Task<Reply> SearchAsync(string type, string form = "") =>
        World.SendToAsync(Node, Grant, Directory, "POST", $"/fhir/{type}/_search", form, "application/x-www-form-urlencoded");

    public Task<Reply> CreateAsync(JsonNode resource, params (string, string)[] headers) =>
        World.SendToAsync(Node, Grant, Directory, "POST", "/fhir/" + (string?)resource["resourceType"], resource.ToJsonString(), null, headers);

    /// <summary>PUT [type]?[criteria].</summary>
    public Task<Reply> UpdateByAsync(string criteria, JsonNode resource, params (string, string)[] headers) =>
        World.SendToAsync(Node, Grant, Directory, "PUT", $"/fhir/{(string?)resource["resourceType"]}?{criteria}", resource.ToJsonString(), null, headers);

    /// <summary>PATCH with a JSON Patch where it is an array, else a FHIRPath Patch.</summary>
    public Task<Reply> PatchAsync(string target, JsonNode patch, params (string, string)[] headers) =>
        World.SendToAsync(Node, Grant, Directory, "PATCH", "/fhir/" + target, patch.ToJsonString(), patch is JsonArray ? "application/json-patch+json" : null, headers);

    public Task<Reply> UpdateAsync(JsonNode resource, string? ifMatch) =>
        World.SendToAsync(Node, Grant, Directory, "PUT", $"/fhir/{(string?)resource["resourceType"]}/{(string?)resource["id"]}", resource.ToJsonString(), null,
            ifMatch is null ? [] : [("If-Match", ifMatch)]);

    public Task<Reply> DeleteAsync(string target, params (string, string)[] headers) => World.SendToAsync(Node, Grant, Directory, "DELETE", "/fhir/" + target, null, null, headers);

    public Task<Reply> TransactAsync(JsonNode bundle, params (string, string)[] headers) => World.SendToAsync(Node, Grant, Directory, "POST", "/fhir", bundle.ToJsonString(), null, headers);

    public Task<Reply> PolicyAsync() => World.SendToAsync(Node, Grant with { Use = GrantUse.Policy }, null, "POST", "/policy", "");

    /// <summary>Stores a resource that must be accepted; its id.</summary>
    public async Task<string> StoreAsync(JsonNode resource)
    {
        var reply = await CreateAsync(resource);
        Assert.True(reply.Status == HttpStatusCode.Created, reply.Text);
        return (string)reply.Json["id"]!;
    }
}

/// <summary>A whole answer.</summary>
sealed record Reply(HttpStatusCode Status, byte[] Body, IReadOnlyDictionary<string, string> Headers)
{
    public string Text => Encoding.UTF8.GetString(Body);
    public JsonNode Json => JsonNode.Parse(Body)!;
    public string ETag => Headers["ETag"];
    public DisclosureManifest? Manifest => DisclosureManifest.Decode(Headers.GetValueOrDefault(InternalHeaders.Manifest));
    public string? Expression => (string?)Json["issue"]?[0]?["expression"]?[0];

    /// <summary>Where a link of a Bundle leads, below the base; null when it has no such link.</summary>
    public string? Link(string relation) =>
        ((string?)Json["link"]!.AsArray().SingleOrDefault(l => (string)l!["relation"]! == relation)?["url"])?[(RepositoryWorld.Base.Length + 1)..];

    /// <summary>Ids of the resources in a Bundle, in its order.</summary>
    public string[] Ids => [.. Json["entry"]?.AsArray().Select(e => (string)e!["resource"]!["id"]!) ?? []];

    public Reply Is(HttpStatusCode status)
    {
        Assert.True(Status == status, $"{(int)Status}: {Text}");
        return this;
    }
}

/// <summary>Resources of fictional people.</summary>
static class Some
{
    public static JsonObject Patient(string code = RepositoryWorld.Code, string family = "Koivu") => new()
    {
        ["resourceType"] = "Patient",
        ["identifier"] = new JsonArray(new JsonObject { ["system"] = "urn:oid:1.2.246.21", ["value"] = code }),
        ["name"] = new JsonArray(new JsonObject { ["family"] = family, ["given"] = new JsonArray("Testi") }),
    };

    public static JsonObject Encounter(string patientId, string? oid = null, string status = "in-progress")
    {
        var encounter = new JsonObject
        {
            ["resourceType"] = "Encounter", ["status"] = status,
            ["class"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "AMB" },
            ["subject"] = To("Patient/" + patientId),
            ["period"] = new JsonObject { ["start"] = "2026-01-05T08:00:00+02:00" },
        };
        if (oid is not null)
            encounter["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + oid });
        return encounter;
    }

    public static JsonObject Observation(string patientId, string code = "8867-4", string? encounterId = null, string note = "Muistiinpano")
    {
        var observation = new JsonObject
        {
            ["resourceType"] = "Observation", ["status"] = "final",
            ["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = code }) },
            ["subject"] = To("Patient/" + patientId),
            ["effectiveDateTime"] = "2026-01-05T08:10:00+02:00",
            ["note"] = new JsonArray(new JsonObject { ["text"] = note }),
        };
        if (encounterId is not null)
            observation["encounter"] = To("Encounter/" + encounterId);
        return observation;
    }

    public static JsonObject Consent(string patientId) => new()
    {
        ["resourceType"] = "Consent", ["status"] = "active",
        ["scope"] = Concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        ["category"] = new JsonArray(Concept("http://loinc.org", "59284-0")),
        ["patient"] = To("Patient/" + patientId),
        ["policyRule"] = Concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN"),
    };

    public static JsonObject Organization(string name = "Aurora") => new()
    {
        ["resourceType"] = "Organization",
        ["identifier"] = new JsonArray(new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:1.2.246.10.11111111" }),
        ["name"] = name,
    };

    public static JsonObject Transaction(params (string Method, string Url, JsonObject? Resource, string? FullUrl)[] entries)
    {
        var list = new JsonArray();
        foreach (var (method, url, resource, fullUrl) in entries)
        {
            var entry = new JsonObject { ["request"] = new JsonObject { ["method"] = method, ["url"] = url } };
            if (fullUrl is not null)
                entry["fullUrl"] = fullUrl;
            if (resource is not null)
                entry["resource"] = resource;
            list.Add((JsonNode)entry);
        }
        return new() { ["resourceType"] = "Bundle", ["type"] = "transaction", ["entry"] = list };
    }

    /// <summary>A JSON Patch of one operation.</summary>
    public static JsonArray Patch(string op, string path, JsonNode? value = null)
    {
        var operation = new JsonObject { ["op"] = op, ["path"] = path };
        if (op is "add" or "replace" or "test")
            operation["value"] = value;
        return [operation];
    }

    /// <summary>A FHIRPath Patch of one replacement.</summary>
    public static JsonObject PathPatch(string path, string valueName, JsonNode value) => new()
    {
        ["resourceType"] = "Parameters",
        ["parameter"] = new JsonArray(new JsonObject
        {
            ["name"] = "operation",
            ["part"] = new JsonArray(
                new JsonObject { ["name"] = "type", ["valueCode"] = "replace" },
                new JsonObject { ["name"] = "path", ["valueString"] = path },
                new JsonObject { ["name"] = "value", [valueName] = value }),
        }),
    };

    public static JsonObject To(string literal) => new() { ["reference"] = literal };

    private static JsonObject Concept(string system, string code) =>
        new() { ["coding"] = new JsonArray(new JsonObject { ["system"] = system, ["code"] = code }) };
}
