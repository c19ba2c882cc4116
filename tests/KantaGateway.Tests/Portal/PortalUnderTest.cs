using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace KantaGateway.Tests.Portal;

/// <summary>The portal alone on a loopback port: a session is the cookie's presence, the record is in memory.</summary>
internal sealed class PortalUnderTest : IAsyncDisposable
{
    public static readonly Pseudonym Self = Pseudonym.Read("portal-one"u8);

    /// <summary>A public controller that has joined, one of occupational care, and a private one.</summary>
    public const string Hospital = "1.2.246.10.99000033", OccupationalCare = "1.2.246.10.99000044", Clinic = "1.2.246.10.99000055";

    public const string SessionCookie = "__Host-kanta=session";

    private readonly WebApplication _app;

    private PortalUnderTest(WebApplication app, RecordInMemory record)
    {
        _app = app;
        Record = record;
        Address = new(app.Urls.First());
        Browser = new(new HttpClientHandler { UseCookies = false, AllowAutoRedirect = false }) { BaseAddress = Address };
    }

    public RecordInMemory Record { get; }

    public Uri Address { get; }

    public IEnumerable<Endpoint> Endpoints => ((Microsoft.AspNetCore.Routing.IEndpointRouteBuilder)_app).DataSources.SelectMany(source => source.Endpoints);

    /// <summary>Sends JSON, or asks where there is none.</summary>
    public async Task<(HttpStatusCode Status, string Json)> AskAsync(string path, string? json = null, string? from = null, string? cookies = SessionCookie)
    {
        using var request = new HttpRequestMessage(json is null ? HttpMethod.Get : HttpMethod.Post, path) { Content = json is null ? null : new StringContent(json, Encoding.UTF8, "application/json") };
        if (from is not null)
            request.Headers.Add("Sec-Fetch-Site", from);
        var (status, text, _) = await SendAsync(request, "en", cookies);
        return (status, text);
    }

    /// <summary>Follows no redirect and keeps no cookie: each test says what it sends.</summary>
    public HttpClient Browser { get; }

    /// <param name="alwaysSignedIn">Every request is the citizen's; for looking at pages.</param>
    /// <param name="joint">Public controllers that need no permission among each other.</param>
    /// <param name="breach">Notices of breaches; null: there are none.</param>
    /// <param name="services">What further pages need.</param>
    /// <param name="options">Changes what the gateway is told.</param>
    /// <param name="mandates">Registers what citizens act for others by; null: they do not.</param>
    public static async Task<PortalUnderTest> StartAsync(bool alwaysSignedIn = false, string listen = "http://127.0.0.1:0", Action<IServiceCollection>? mandates = null,
        IReadOnlyList<string>? joint = null, KantaGateway.Gateway.Breach.BreachOptions? breach = null, Action<IServiceCollection>? services = null,
        Func<GatewayOptions, GatewayOptions>? options = null)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(listen);
        var ids = new IdentifierCipher(new byte[32]);
        var record = new RecordInMemory(ids);
        var settings = Options(mandates is not null) with { JointControllers = joint ?? [], Breach = breach };
        settings = options?.Invoke(settings) ?? settings;
        mandates?.Invoke(builder.Services);
        services?.Invoke(builder.Services);
        builder.Services.AddSingleton(settings).AddSingleton(ids).AddSingleton<IInnerRequests>(record)
            .AddSingleton<IIdentification>(new CookieIsCitizen(alwaysSignedIn)).AddSingleton(new OpenRequests(new Revocations(null, TimeProvider.System)));
        var clients = Path.GetTempFileName();
        await File.WriteAllTextAsync(clients, $"[{Controller(Hospital, "Keskussairaala", "public")},{Controller(OccupationalCare, "Työterveys Tuisku", "occupational")},{Controller(Clinic, "Lääkäriasema Aurora", "private")},{App("omakunto", "Omakunto")},{App("taskukunto", "Taskukunto")}]");
        builder.Services.AddSingleton(s => new ClientRegistry(clients, true, TimeProvider.System, s.GetRequiredService<ILogger<ClientRegistry>>()));
        builder.AddPortal(settings);
        // It asks a repository and a key service, which there are none of here.
        foreach (var recovery in builder.Services.Where(service => service.ImplementationType == typeof(DisputeRecovery)).ToList())
            builder.Services.Remove(recovery);
        builder.Services.AddSingleton<IWhoSeesWhat>(new SeenByNobody(record)).AddSingleton<IAccessLog>(record.Log);
        var app = builder.Build();
        // The public listener speaks TLS; its cookies refuse anything else.
        app.Use((context, next) =>
        {
            context.Request.Scheme = "https";
            return next(context);
        });
        app.MapPortal();
        await app.StartAsync();
        return new(app, record);
    }

    public async Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> GetAsync(string path, string language = "en", string? cookies = SessionCookie)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        return await SendAsync(request, language, cookies);
    }

    /// <summary>Opens the page for its token and posts the fields to its address.</summary>
    public async Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> PostAsync(
        string path, Dictionary<string, string> fields, string? page = null, string language = "en", string cookies = SessionCookie)
    {
        var (_, html, response) = await GetAsync(page ?? path, language, cookies);
        var token = html.Split("name=\"__RequestVerificationToken\" type=\"hidden\" value=\"")[1].Split('"')[0];
        var cookie = response.Headers.GetValues("Set-Cookie").First(c => c.StartsWith("__Host-kanta-form=", StringComparison.Ordinal)).Split(';')[0];
        using var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Content = new FormUrlEncodedContent(fields.Append(new("__RequestVerificationToken", token))),
        };
        return await SendAsync(request, language, $"{cookies}; {cookie}");
    }

    public async Task<(HttpStatusCode Status, string Html, HttpResponseMessage Response)> SendAsync(HttpRequestMessage request, string language, string? cookies)
    {
        request.Headers.Add("Accept-Language", language);
        if (cookies is not null)
            request.Headers.Add("Cookie", cookies);
        var response = await Browser.SendAsync(request);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(), response);
    }

    public async ValueTask DisposeAsync()
    {
        Browser.Dispose();
        await _app.DisposeAsync();
    }

    public static GatewayOptions Options(bool hasMandates) => new()
    {
        PublicAddress = "https://localhost:8443",
        Port = 8443,
        TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "",
        AuditFolder = "", AuditOrigin = "",
        Identification = new()
        {
            ClientsFile = "", TokenKeyFile = "", TestIdentityCodes = true,
            Mandates = hasMandates ? new() { Address = "https://valtuudet.example", ClientId = "kanta001", ApiKeyFile = "", OAuthPasswordFile = "" } : null,
            Citizens = new() { Authority = "", ClientId = "", SigningKeyFile = "", EncryptionKeyFile = "", Acr = "" },
        },
    };

    /// <summary>The citizen whose session it is.</summary>
    public static Requester Citizen => new()
    {
        Kind = RequesterKind.Citizen, ClientId = "portal", Organisation = Oid.Parse("1.2.246.10.99999990"), OrganisationName = "Portal",
        ControllerKind = ControllerKind.Public, Self = Self, CitizenName = "Helmi Koe", PurposeOfUse = "PATRQT", TokenId = "t", Scopes = [],
        Expires = DateTimeOffset.UtcNow.AddMinutes(15),
    };

    private static string Controller(string oid, string name, string kind) => $$"""
        {"client_id":"{{oid}}","organisation_oid":"{{oid}}","organisation_name":"{{name}}","controller_kind":"{{kind}}","scopes":["system/*.cruds"],"jwks_uri":"https://clinic.example/jwks","token_endpoint_auth_signing_alg":["ES384"]}
        """;

    private static string App(string id, string name) => $$"""
        {"client_id":"{{id}}","kind":"app","client_name":"{{name}}","redirect_uris":["https://app.example/"],"organisation_oid":"1.2.246.10.99000077","organisation_name":"{{name}} Sovellukset Oy","controller_kind":"private","scopes":["patient/*.rs","offline_access","online_access"],"jwks_uri":"https://app.example/jwks","token_endpoint_auth_signing_alg":["ES384"]}
        """;

    private sealed class CookieIsCitizen(bool always) : IIdentification
    {
        public ValueTask<(Requester? Requester, Fault? Fault)> IdentifyAsync(HttpContext context) => throw new NotSupportedException();

        public Requester? PortalRequester(HttpContext context) =>
            always || context.Request.Cookies["__Host-kanta"] == "session" ? Citizen with { CitizenName = null } : null;
    }
}

/// <summary>Nobody sees anything of anybody; with a choice at hand everybody sees one of two entries. What is in force follows from the record.</summary>
internal sealed class SeenByNobody(RecordInMemory record) : IWhoSeesWhat
{
    public Task<PolicySnapshot> PolicyAsync(Requester citizen, CancellationToken cancel) => Task.FromResult(record.Policy);

    public Task<(SeenEntry, Asked)> ExplainAsync(Requester citizen, string type, string id, Onlooker onlooker, CancellationToken cancel) => throw new NotSupportedException();

    public Task<(IReadOnlyList<SeenOfController>, Asked)> PreviewAsync(Requester citizen, Declaration? about, CancellationToken cancel) =>
        Task.FromResult<(IReadOnlyList<SeenOfController>, Asked)>((
        [
            new("1.2.246.10.1234567", Register.Patient, 2, [0, 0], about is null ? null : [1, 0]),
            new(PortalUnderTest.OccupationalCare, Register.Occupational("0204819-8"), 1, [0, 0], about is null ? null : [0, 0]),
            // Occupational care of a public and of a private provider.
            new(PortalUnderTest.Hospital, Register.Occupational("0204819-8"), 1, [0, 0], about is null ? null : [0, 0]),
            new(PortalUnderTest.Clinic, Register.Occupational("1572860-0"), 1, [0, 0], about is null ? null : [0, 0]),
            // Of a controller that has left.
            new("1.2.246.10.1", Register.Occupational("0204819-8"), 1, [0, 0], about is null ? null : [0, 0]),
        ], null!));
}

/// <summary>The audit log as a list.</summary>
internal sealed class LogInMemory : IAccessLog
{
    public List<AccessLine> Lines { get; } = [];

    public bool IsAway { get; set; }

    /// <summary>Entries that were opened; each costs the key service an agreement of keys.</summary>
    public int Opened { get; private set; }

    /// <summary>Adds entries that are opened like others, and of which the person is told nothing: of refusals.</summary>
    public void Refuse(int count)
    {
        for (var i = 0; i < count; i++)
            Lines.Add(new(Lines.Count + 1, default, "", "", "", "", "", [], false, null));
    }

    public Task<AccessStretch> ForPersonAsync(Requester citizen, int limit, long beforeIndex, bool withOwn, CancellationToken cancel)
    {
        if (IsAway)
            throw new FaultException(new Fault(FaultKind.KeyUnavailable, "The key service cannot be reached."));
        var entries = Lines.Where(line => line.Index < beforeIndex && (withOwn || !line.BySelf)).OrderByDescending(line => line.Index).Take(limit + 1).ToList();
        var before = entries.Count > limit ? entries[limit - 1].Index : (long?)null;
        entries = entries[..Math.Min(limit, entries.Count)];
        Opened += entries.Count;
        return Task.FromResult(new AccessStretch([.. entries.Where(line => line.Items.Count > 0)], before));
    }

    public Task<ProvenLine?> ProveAsync(Requester citizen, long index, CancellationToken cancel) => IsAway
        ? throw new FaultException(new Fault(FaultKind.KeyUnavailable, "The key service cannot be reached."))
        : Task.FromResult(Lines.Find(line => line.Index == index) is { } line ? new ProvenLine(line, new(index, line.When, PortalUnderTest.Self.ToArray(), "{}"u8.ToArray(), new byte[32]), "c2sp.org/tlog-proof@v1\n", "localhost/log+00000000+AA==") : null);
}

/// <summary>One citizen's record behind the seam of inner FHIR requests: searches by type, <c>$everything</c>, both in pages, reads, creates and updates.</summary>
internal sealed class RecordInMemory : IInnerRequests
{
    private readonly IdentifierCipher _ids;
    private readonly List<(JsonObject Resource, string Controller)> _resources = [];
    private readonly Dictionary<string, long> _stored = [];
    private readonly List<Page> _pages = [];
    private readonly Dictionary<string, int?> _apart = [];
    private long _sequence = 1;

    /// <summary>What is left of an answer.</summary>
    private sealed record Page(string Target, int Count, int Total, (JsonObject Resource, string Controller)[] Left);

    public RecordInMemory(IdentifierCipher ids)
    {
        _ids = ids;
        _resources.Add((JsonNode.Parse($$"""{"resourceType":"Patient","id":"{{PatientId}}","meta":{"versionId":"{{ids.VersionId(PortalUnderTest.Self, 0)}}","lastUpdated":"2026-01-01T10:00:00Z"},"name":[{"family":"Koe","given":["Helmi"]}]}""")!.AsObject(), "1.2.246.10.99999990"));
    }

    /// <summary>As the repository would give it: in the order of storing, whatever the Consents are dated.</summary>
    public PolicySnapshot Policy => PolicySnapshot.Compile(_sequence, Of("Consent").Select(c =>
        Declarations.Read(JsonElement.Parse(c.ToJsonString())) is { } declaration ? declaration with { Order = _stored[declaration.Id] } : null), []);

    public LogInMemory Log { get; } = new();

    /// <summary>Most entries on a page of a search and of <c>$everything</c>, as the repository has it.</summary>
    public int MostOnPage { get; set; } = 200;

    /// <inheritdoc cref="MostOnPage"/>
    public int MostOfEverything { get; set; } = 1000;

    /// <summary>Every request, method and target.</summary>
    public List<string> Asked { get; } = [];

    /// <summary>When set, every request is answered with this status and nothing else.</summary>
    public int? Broken { get; set; }

    /// <summary>The same of changes alone.</summary>
    public int? RefusesChanges { get; set; }

    /// <summary>The same of the pages after the first.</summary>
    public int? BreaksOnPage { get; set; }

    public string PatientId => _ids.PatientId(PortalUnderTest.Self);

    public IEnumerable<JsonObject> Of(string type) => _resources.Select(r => r.Resource).Where(r => (string?)r["resourceType"] == type);

    /// <summary>Adds a resource and gives back its id.</summary>
    public string Add(string json, string controller = "1.2.246.10.1234567") => Add(JsonNode.Parse(json)!.AsObject(), controller);

    /// <summary>The content of a Binary lies apart: pages give it without.</summary>
    /// <param name="status">With which a read of it is refused; null: it is given whole.</param>
    public void LeavesOut(string id, int? status = null) => _apart[id] = status;

    /// <summary>It was never there.</summary>
    public void Forget(JsonObject resource) => _resources.RemoveAll(r => r.Resource == resource);

    /// <summary>Nobody has registered the person.</summary>
    public void ForgetsPatient() => _resources.RemoveAll(r => IsOf(r.Resource, "Patient"));

    public Task<FhirAnswer> SendAsync(Requester requester, string method, string target, ReadOnlyMemory<byte> body = default,
        string? contentType = null, IHeaderDictionary? headers = null, CancellationToken cancel = default)
    {
        lock (_resources)
        {
            Asked.Add($"{method} {target}");
            if (Broken is { } status)
                return Task.FromResult(new FhirAnswer(status, new HeaderDictionary(), []));
            if (RefusesChanges is { } refusal && (method == "PUT" || target == "Consent"))
                return Task.FromResult(new FhirAnswer(refusal, new HeaderDictionary(), []));
            var parts = target.Split('/');
            var form = method == "POST" && parts.Length > 1 ? QueryHelpers.ParseQuery(parts[^1] == "$everything" ? OperationParameters.ToForm("", body.Span).Form : Encoding.UTF8.GetString(body.Span)) : [];
            return Task.FromResult((method, parts) switch
            {
                ("GET", _) when BreaksOnPage is { } breaks && target.Contains("?_page=", StringComparison.Ordinal) => new FhirAnswer(breaks, new HeaderDictionary(), []),
                ("GET", _) when target.Split("?_page=") is [_, var page] => Show(_pages[int.Parse(page, CultureInfo.InvariantCulture)]),
                ("POST", [var type, "_search"]) => Show(target, form, Search(type)),
                // In the order of storing, of whatever type.
                ("POST", ["Patient", var id, "$everything"]) when id == PatientId && Of("Patient").Any() => Show(target, form, _resources),
                ("POST", ["Encounter", var id, "$everything"]) when Read("Encounter", id).Status == 200 =>
                    Show(target, form, _resources.Where(r => IsOf(r.Resource, "Patient") || (string?)r.Resource["id"] == id || r.Resource.ToJsonString().Contains($"\"Encounter/{id}\"", StringComparison.Ordinal))),
                ("POST", [_, _, "$everything"]) => new FhirAnswer(404, new HeaderDictionary(), []),
                ("GET", ["Binary", var id]) when _apart.GetValueOrDefault(id) is { } apart => new FhirAnswer(apart, new HeaderDictionary(), []),
                ("GET", ["Binary", var id]) when headers?.Accept.ToString() == "*/*" => Content(id, headers),
                ("GET", [var type, var id]) => Read(type, id),
                ("POST", ["Consent"]) => Created(Add(JsonNode.Parse(body.Span)!.AsObject(), "1.2.246.10.99999990")),
                ("POST", ["Communication"]) => Created(Add(JsonNode.Parse(body.Span)!.AsObject(), PortalUnderTest.Hospital), "Communication"),
                ("PUT", ["Consent", var id]) => Update(id, JsonNode.Parse(body.Span)!.AsObject(), headers),
                _ => new FhirAnswer(400, new HeaderDictionary(), []),
            });
        }
    }

    private string Add(JsonObject resource, string controller)
    {
        var sequence = _sequence++;
        var id = _ids.ResourceId(PortalUnderTest.Self, sequence);
        resource["id"] = id;
        var meta = new JsonObject { ["versionId"] = _ids.VersionId(PortalUnderTest.Self, sequence), ["lastUpdated"] = "2026-03-12T10:00:00Z" };
        if (resource["meta"]?["security"] is { } labels)
            meta["security"] = labels.DeepClone();
        resource["meta"] = meta;
        _resources.Add((resource, controller));
        _stored[id] = sequence;
        return id;
    }

    private static FhirAnswer Created(string id, string type = "Consent") => new(201, new HeaderDictionary { ["Location"] = $"{type}/{id}" }, []);

    private FhirAnswer Update(string id, JsonObject resource, IHeaderDictionary? headers)
    {
        var at = _resources.FindIndex(r => (string?)r.Resource["id"] == id);
        if (at < 0)
            return new(404, new HeaderDictionary(), []);
        var (old, controller) = _resources[at];
        if (headers?.IfMatch.ToString() != $"W/\"{(string?)old["meta"]!["versionId"]}\"")
            return new(412, new HeaderDictionary(), []);
        resource["meta"] = new JsonObject { ["versionId"] = _ids.VersionId(PortalUnderTest.Self, _sequence++), ["lastUpdated"] = "2026-03-12T11:00:00Z" };
        _resources[at] = (resource, controller);
        _stored[id] = _sequence - 1;
        return new(200, new HeaderDictionary(), []);
    }

    private FhirAnswer Read(string type, string id)
    {
        var found = _resources.FirstOrDefault(r => (string?)r.Resource["id"] == id && (string?)r.Resource["resourceType"] == type);
        return found.Resource is null
            ? new(404, new HeaderDictionary(), [])
            : Answer(found.Resource, [found], new HeaderDictionary { ["ETag"] = $"W/\"{(string?)found.Resource["meta"]!["versionId"]}\"" });
    }

    /// <summary>A Binary as its content, or the beginning of it that is asked for.</summary>
    private FhirAnswer Content(string id, IHeaderDictionary headers)
    {
        var found = _resources.FirstOrDefault(r => (string?)r.Resource["id"] == id && IsOf(r.Resource, "Binary"));
        if (found.Resource is null)
            return new(404, new HeaderDictionary(), []);
        var bytes = Convert.FromBase64String((string?)found.Resource["data"] ?? "");
        var last = int.Parse(headers.Range.ToString().Split('-')[1], CultureInfo.InvariantCulture);
        var part = bytes[..Math.Min(bytes.Length, last + 1)];
        return part.Length == 0 ? new(416, new HeaderDictionary(), []) : new(206, new HeaderDictionary { ["Content-Range"] = $"bytes 0-{part.Length - 1}/{bytes.Length}" }, part);
    }

    // By patient, as the portal asks: what names nobody is not found.
    private IEnumerable<(JsonObject Resource, string Controller)> Search(string type) =>
        _resources.Where(r => IsOf(r.Resource, type) && (type != "Consent" || (string?)r.Resource["patient"]?["reference"] == "Patient/" + PatientId));

    private static bool IsOf(JsonObject resource, string type) => (string?)resource["resourceType"] == type;

    private FhirAnswer Show(string target, Dictionary<string, StringValues> form, IEnumerable<(JsonObject Resource, string Controller)> found)
    {
        var types = form.GetValueOrDefault("_type") is [{ } named] ? named.Split(',') : null;
        var all = found.Where(r => types?.Contains((string?)r.Resource["resourceType"]) ?? true).ToArray();
        var asked = form.GetValueOrDefault("_count") is [{ } count] ? int.Parse(count, CultureInfo.InvariantCulture) : MostOnPage;
        return Show(new(target, Math.Min(asked, target.EndsWith("$everything", StringComparison.Ordinal) ? MostOfEverything : MostOnPage), all.Length, all));
    }

    private FhirAnswer Show(Page page)
    {
        var shown = page.Left.Take(page.Count).ToArray();
        var bundle = new JsonObject
        {
            ["resourceType"] = "Bundle", ["type"] = "searchset", ["total"] = page.Total,
            ["entry"] = new JsonArray([.. shown.Select(r => new JsonObject { ["resource"] = OnPage(r.Resource), ["search"] = new JsonObject { ["mode"] = "match" } })]),
        };
        if (page.Left.Length > shown.Length)
        {
            bundle["link"] = new JsonArray(new JsonObject { ["relation"] = "next", ["url"] = $"https://localhost:8443/fhir/{page.Target}?_page={_pages.Count}" });
            _pages.Add(page with { Left = page.Left[shown.Length..] });
        }
        return Answer(bundle, shown, new HeaderDictionary());
    }

    private JsonNode OnPage(JsonObject resource)
    {
        var shown = resource.DeepClone().AsObject();
        if (_apart.ContainsKey((string)shown["id"]!))
            shown.Remove("data");
        return shown;
    }

    private static FhirAnswer Answer(JsonObject body, IReadOnlyList<(JsonObject Resource, string Controller)> disclosed, IHeaderDictionary headers)
    {
        var bytes = Encoding.UTF8.GetBytes(body.ToJsonString());
        return new(200, headers, bytes, DisclosureManifest.Of(
            [.. disclosed.Select(d => new ManifestItem((string)d.Resource["resourceType"]!, (string)d.Resource["id"]!, (string)d.Resource["meta"]!["versionId"]!, d.Controller))], bytes));
    }
}
