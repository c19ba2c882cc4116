using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Dev;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using KantaGateway.Repository.Compartments;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Laws;

/// <summary>
/// The whole system in this process, on a data folder of its own: TLS, tokens and stores are the real ones, and a test
/// can reach inside to break something. The citizen acts through the gateway's inner requests, as the portal does.
/// </summary>
sealed class HouseInMemory : IAsyncDisposable
{
    public const string Secret = "Potilas pelkää että tiedot vuotavat";

    private readonly DevHost _host;
    private readonly string _data;

    private HouseInMemory(DevHost host, string data)
    {
        (_host, _data) = (host, data);
        Folder = new DevFolder(data);
        Target = new Uri(host.Address);
        Aurora = ClinicClient.Open(Folder, "aurora", Target);
        Revontuli = ClinicClient.Open(Folder, "revontuli", Target);
        Reader = Revontuli.Professional(Folder.ProfessionalOf("revontuli").Id);
    }

    public DevFolder Folder { get; }
    public Uri Target { get; }
    public ClinicClient Aurora { get; }
    public ClinicClient Revontuli { get; }

    /// <summary>A professional of revontuli.</summary>
    public FhirSession Reader { get; }

    public IServiceProvider Gateway => _host.Gateway.Services;

    public IServiceProvider Records => _host.Records.Services;

    /// <summary>Has the repository close every record that it has open: it opens none again with a grant that has opened one.</summary>
    public void CloseRecords() => Records.GetRequiredService<OpenedCompartments>().Dispose();

    /// <summary>Internal endpoint of each repository.</summary>
    public string[] Repositories => _host.Repository.Split(';');

    /// <summary>Another gateway over the same repository; the caller ends it.</summary>
    /// <param name="repository">Internal endpoint by which it reaches the repository.</param>
    /// <param name="configure">Instead of the house's own logging.</param>
    /// <param name="keys">Internal endpoint by which it reaches the key service; null: the key service's own.</param>
    public Task<Microsoft.AspNetCore.Builder.WebApplication> StartFurtherGatewayAsync(int port, string repository, Action<Microsoft.AspNetCore.Builder.WebApplicationBuilder>? configure = null, string? keys = null) =>
        _host.StartFurtherGatewayAsync(port, repository, configure, keys);

    /// <summary>The person of whom the house keeps records, set by <see cref="AdmitAsync"/>.</summary>
    public string PatientId { get; private set; } = "";

    public Requester Citizen { get; private set; } = null!;

    /// <param name="maxBinary">Largest content of a Binary, bytes.</param>
    /// <param name="log">Told of errors that any part logs.</param>
    /// <param name="probes">Whether there are live probes, which a test asks for its rounds before they come by themselves.</param>
    /// <param name="repositories">Over the one database.</param>
    /// <param name="stores">Database and Redis, as <c>infra/dev</c> is told them; null: in a file and in memory.</param>
    /// <param name="redis">Redis alone, where <paramref name="stores"/> is null.</param>
    /// <param name="audit">Database of the audit log that its gateways share, as its owner reaches it; null: each has its own, in files.</param>
    /// <param name="sockets">Whether repository and key service listen on sockets in its folder, <c>repository.sock</c> and <c>keys.sock</c>.</param>
    /// <param name="reviews">Clock by which reviews of emergencies are overdue; null: the system's.</param>
    /// <param name="mllp">Port for HL7 v2 over MLLP, of aurora alone; null: none.</param>
    /// <param name="breadth">How many patients may be opened without an open service event; null: any number.</param>
    public static async Task<HouseInMemory> OpenAsync(long maxBinary = RawContent.DefaultMax, ILoggerProvider? log = null, bool probes = false, TimeProvider? reviews = null, int repositories = 1, (string Postgres, string Redis)? stores = null, bool sockets = false, string? audit = null, BreadthOptions? breadth = null, string? redis = null, int? mllp = null)
    {
        var data = Directory.CreateTempSubdirectory("kanta-house-").FullName;
        var host = await DevHost.StartAsync(new DevHostOptions
        {
            Port = RunningHost.FreePorts(),
            DataFolder = data,
            MaxBinary = maxBinary,
            MllpPort = mllp,
            Repositories = repositories,
            Postgres = stores?.Postgres,
            Redis = stores?.Redis ?? redis,
            AuditPostgres = audit,
            Sockets = sockets,
            Breadth = breadth,
            ProbeInterval = probes ? 30 : null,
            Configure = builder =>
            {
                builder.Logging.ClearProviders();
                if (reviews is not null)
                    builder.Services.AddSingleton(s => new EmergencyTrail(s.GetRequiredService<GatewayOptions>(), Convert.FromBase64String(File.ReadAllText(s.GetRequiredService<GatewayOptions>().IdentifierKeyFile).Trim()),
                        s.GetRequiredService<PolicyLookup>(), s.GetRequiredService<DisclosureAudit>(), reviews));
                if (log is null)
                    return;
                builder.Logging.AddProvider(log);
                builder.Services.Configure<LoggerFilterOptions>(filters => filters.Rules.Add(new(log.GetType().FullName, null, LogLevel.Error, null)));
            },
        });
        return new(host, data);
    }

    /// <summary>Aurora registers a person and archives a note; revontuli registers the same person and opens a visit.</summary>
    /// <param name="citizen">Position in citizens.json.</param>
    /// <param name="open">Whether revontuli opens a visit.</param>
    /// <returns>The id of aurora's Observation with <see cref="Secret"/>.</returns>
    public async Task<string> AdmitAsync(int citizen = 0, bool open = true)
    {
        var code = Folder.Citizens[citizen].IdentityCode;
        PatientId = await StoredAsync(Aurora.System.CreateAsync("Patient", Json(Patient(code))));
        var visit = await StoredAsync(Aurora.System.CreateAsync("Encounter", Json(Encounter("1.2.246.10.99000011.14.2026.1", "finished"))));
        var observation = Observation(Secret);
        observation["encounter"] = new JsonObject { ["reference"] = "Encounter/" + visit };
        var note = await StoredAsync(Aurora.System.CreateAsync("Observation", Json(observation)));
        Assert.Equal(PatientId, await StoredAsync(Revontuli.System.CreateAsync("Patient", Json(Patient(code)))));
        if (open)
            await StoredAsync(Revontuli.System.CreateAsync("Encounter", Json(Encounter("1.2.246.10.99000022.14.2026.1", "in-progress"))));
        Gateway.GetRequiredService<IdentifierCipher>().TryReadResourceId(PatientId, out var self, out _);
        Citizen = CitizenOf(self);
        return note;
    }

    /// <summary>A person signed in to the portal.</summary>
    public Requester CitizenOf(Pseudonym self) => new()
    {
        Kind = RequesterKind.Citizen,
        ClientId = "portal",
        Organisation = Oid.Parse("1.2.246.10.99999990"),
        OrganisationName = "Kansalaisen portaali",
        ControllerKind = ControllerKind.Public,
        Self = self,
        PurposeOfUse = "PATRQT",
        TokenId = "session",
        Scopes = SmartScope.ParseAll(["patient/*.cruds"]),
        Expires = DateTimeOffset.UtcNow.AddHours(1),
    };

    /// <summary>The system at the desk of the clinic that only reads.</summary>
    public static Requester DeskOfRevontuli { get; } = new()
    {
        Kind = RequesterKind.System,
        ClientId = "revontuli",
        Organisation = Oid.Parse(DevelopmentFolder.Clinics[1].Oid),
        OrganisationName = DevelopmentFolder.Clinics[1].Name,
        ControllerKind = DevelopmentFolder.Clinics[1].Kind,
        PurposeOfUse = "TREAT",
        TokenId = "desk",
        Scopes = SmartScope.ParseAll(["system/*.cruds"]),
        Expires = DateTimeOffset.UtcNow.AddHours(1),
    };

    /// <summary>The person with this Patient id, signed in to the portal.</summary>
    public Requester CitizenOf(string patient) =>
        Gateway.GetRequiredService<IdentifierCipher>().TryReadResourceId(patient, out var self, out _) ? CitizenOf(self) : throw new ArgumentException("Not a Patient's id.", nameof(patient));

    /// <summary>A citizen declares; returns the id of the Consent.</summary>
    /// <param name="citizen">The admitted one by default.</param>
    public async Task<string> DeclareAsync(byte[] consent, Requester? citizen = null)
    {
        var answer = await Gateway.GetRequiredService<IInnerRequests>().SendAsync(citizen ?? Citizen, "POST", "Consent", consent);
        Assert.True(answer.Status == 201, Encoding.UTF8.GetString(answer.Body));
        return FhirReply.ParseLocation(answer.Headers.Location.ToString())!.Value.Id;
    }

    /// <summary>The admitted person is informed, and permits that others see the own records.</summary>
    public async Task PermitAsync()
    {
        await DeclareAsync(Declarations.Informing(PatientId, DateTimeOffset.UtcNow));
        await DeclareAsync(Declarations.Permit(PatientId, DateTimeOffset.UtcNow));
    }

    public async Task WithdrawAsync(string consentId)
    {
        var inner = Gateway.GetRequiredService<IInnerRequests>();
        var stored = await inner.SendAsync(Citizen, "GET", "Consent/" + consentId);
        using var document = System.Text.Json.JsonDocument.Parse(stored.Body);
        var answer = await inner.SendAsync(Citizen, "PUT", "Consent/" + consentId, Declarations.Withdrawn(document.RootElement),
            headers: new Microsoft.AspNetCore.Http.HeaderDictionary { ["If-Match"] = stored.Headers.ETag });
        Assert.True(answer.Status == 200, Encoding.UTF8.GetString(answer.Body));
    }

    public async ValueTask DisposeAsync()
    {
        Aurora.Dispose();
        Revontuli.Dispose();
        await _host.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    public static byte[] Json(JsonNode node) => Encoding.UTF8.GetBytes(node.ToJsonString());

    public static JsonObject Patient(string code) => new()
    {
        ["resourceType"] = "Patient",
        ["identifier"] = new JsonArray(new JsonObject { ["system"] = PersonalIdentityCode.System, ["value"] = code }),
        ["name"] = new JsonArray(new JsonObject { ["family"] = "Esimerkki" }),
    };

    public JsonObject Encounter(string oid, string status) => new()
    {
        ["resourceType"] = "Encounter",
        ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + oid }),
        ["status"] = status,
        ["class"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "AMB" },
        ["subject"] = new JsonObject { ["reference"] = "Patient/" + PatientId },
    };

    public JsonObject Observation(string text) => new()
    {
        ["resourceType"] = "Observation",
        ["status"] = "final",
        ["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = "8867-4" }), ["text"] = text },
        ["subject"] = new JsonObject { ["reference"] = "Patient/" + PatientId },
    };

    private static async Task<string> StoredAsync(Task<FhirReply> reply)
    {
        var answer = await reply;
        Assert.True(answer.Status == 201, answer.ToString());
        return answer.Stored!.Value.Id;
    }
}
